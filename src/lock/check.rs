//! Whether a lock still answers Model.toml, and why not.

use std::fmt;

use crate::lock::Lock;
use crate::manifest::Manifest;

/// One reason why a lock is stale.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stale {
    /// Placeholder variant; the room's owner replaces it.
    Placeholder,
}

impl fmt::Display for Stale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("placeholder")
    }
}

/// Every reason why the lock does not answer the manifest; empty: it does. Pure: `path` sources are checked by whoever can
/// read them.
pub fn check(manifest: &Manifest, lock: &Lock) -> Vec<Stale> {
    todo!()
}
