//! Checkpoints: the head of an index.

use crate::model::{CheckpointNumber, RegistryId, Sha256, Signature, Timestamp};
use crate::trust::{TrustError, TrustRoot};

/// Largest checkpoint, in bytes.
pub const MAX_CHECKPOINT: u64 = 16 * 1024;

/// A checkpoint's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The registry's label.
    pub registry: RegistryId,
    /// Epoch and number.
    pub at: CheckpointNumber,
    /// When it was made.
    pub issued: Timestamp,
    /// When it stops counting for new trust; absent exactly if the root's freshness is none.
    pub expires: Option<Timestamp>,
    /// Number of the newest root.
    pub root: u64,
    /// Number of the newest registrar file.
    pub registrar: u64,
    /// Root node of the package tree.
    pub packages: Sha256,
    /// Where blobs can be had: relative paths and https addresses, in order.
    pub bases: Vec<String>,
}

impl Checkpoint {
    /// Parses without signatures.
    ///
    /// # Errors
    /// A shape or rule that is broken.
    pub fn parse(bytes: &[u8]) -> Result<Self, TrustError> {
        todo!()
    }

    /// The fixed form.
    pub fn render(&self) -> Vec<u8> {
        todo!()
    }

    /// A checkpoint that counts under `root` at `now`: signature, id, epoch, root number, life within the root's limit,
    /// `issued` at most 24 h ahead. Expiry is for [`Checkpoint::expired`].
    ///
    /// # Errors
    /// Each broken rule by its own variant.
    pub fn check(bytes: &[u8], signatures: &[Signature], root: &TrustRoot, now: Timestamp) -> Result<Self, TrustError> {
        todo!()
    }

    /// Seconds since it expired, if it has.
    pub fn expired(&self, now: Timestamp) -> Option<u64> {
        todo!()
    }
}
