//! Registrar files: the namespace tree and what is revoked.

use std::collections::BTreeMap;

use crate::model::{Fingerprint, RegistryId, Sha256, Signature, Timestamp};
use crate::trust::{TrustError, TrustRoot};

/// Largest registrar file, in bytes.
pub const MAX_REGISTRAR: u64 = 1 << 20;

/// What no longer counts, each with its reason; it only grows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Revocations {
    /// Keys whose signatures count for nothing.
    pub keys: BTreeMap<Fingerprint, String>,
    /// Statements that authorise nothing.
    pub releases: BTreeMap<Sha256, String>,
}

/// A registrar file's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registrar {
    /// The registry's label.
    pub registry: RegistryId,
    /// 1, 2, 3…
    pub number: u64,
    /// When it was made.
    pub issued: Timestamp,
    /// When it expires; absent exactly if the root's freshness is none.
    pub expires: Option<Timestamp>,
    /// Root node of the namespace tree.
    pub namespaces: Sha256,
    /// What is revoked.
    pub revocations: Revocations,
}

impl Registrar {
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

    /// A registrar file that counts under `root`; `number` is the one that the checkpoint names.
    ///
    /// # Errors
    /// Each broken rule by its own variant.
    pub fn check(bytes: &[u8], signatures: &[Signature], root: &TrustRoot, number: u64) -> Result<Self, TrustError> {
        todo!()
    }

    /// Checks that everything an older file revoked is revoked here too.
    ///
    /// # Errors
    /// A revocation that was taken back.
    pub fn grows_from(&self, older: &Revocations) -> Result<(), TrustError> {
        todo!()
    }
}
