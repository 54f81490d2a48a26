//! Roots, thresholds, checkpoints, registrar files, namespace entries, yank records: who may say what, and how fresh it is.
//!
//! Pure: bytes, signatures and a point in time in; proofs out (docs/formats/trust.md). Refuses to know files, sockets and
//! clocks. `threshold` holds the one function that counts signatures.

mod checkpoint;
mod namespace;
mod registrar;
mod root;
mod threshold;
mod yank;

use std::collections::BTreeSet;

use crate::diagnose::{Class, Code, Diagnose};
use crate::model::Fingerprint;

pub use checkpoint::{Checkpoint, MAX_CHECKPOINT};
pub use namespace::{MAX_NAMESPACE, NamespaceEntry, RetiredKey, RetiredPrefix};
pub use registrar::{MAX_REGISTRAR, Registrar, Revocations};
pub use root::{Freshness, MAX_ROOT, MAX_ROOTS, Role, RoleKeys, TrustRoot};
pub use threshold::{SignedBy, count_signers};
pub use yank::{MAX_YANK, Severity, YankRecord};

/// Why a trust file is refused.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// Placeholder variant; the room's owner replaces it.
    #[error("placeholder")]
    Placeholder,
}

impl Diagnose for TrustError {
    fn code(&self) -> Code {
        Code("E0101")
    }
    fn class(&self) -> Class {
        Class::Trust
    }
}

/// A set of keys by their names.
pub type Fingerprints = BTreeSet<Fingerprint>;
