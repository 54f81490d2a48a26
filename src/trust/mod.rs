//! Roots, thresholds, checkpoints, registrar files, namespace entries, yank records: who may say what, and how fresh it is.
//!
//! Pure: bytes, signatures and a point in time in; proofs out (docs/formats/trust.md). Refuses to know files, sockets and
//! clocks. `threshold` holds the one function that counts signatures.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

mod checkpoint;
mod error;
mod import;
mod namespace;
mod registrar;
mod root;
#[cfg(test)]
mod tests;
mod threshold;
mod wire;
mod yank;

use std::collections::BTreeSet;

use crate::model::Fingerprint;

pub use checkpoint::{Checkpoint, MAX_AHEAD, MAX_BASES, MAX_CHECKPOINT};
pub use error::{TrustError, ValueError};
pub use import::{ImportRecord, MAX_IMPORT};
pub use namespace::{MAX_NAMESPACE, MAX_RETIRED, NamespaceEntry, RetiredKey, RetiredPrefix};
pub use registrar::{MAX_REGISTRAR, Registrar, Revocations};
pub use root::{Freshness, MAX_CHECKPOINT_DAYS, MAX_ROOT, MAX_ROOTS, Role, RoleKeys, TrustRoot};
pub use threshold::{SignedBy, count_signers};
pub use wire::{MAX_KEYS, MAX_NUMBER, MAX_REASON};
pub use yank::{MAX_YANK, Severity, YankRecord, Yanked};

/// A set of keys by their names.
pub type Fingerprints = BTreeSet<Fingerprint>;
