//! Namespace entries: which keys publish where, and how that changed.

use crate::model::{Namespace, PackageName, PublicKey, RegistryId, Sha256, Signature};
use crate::trust::{Revocations, SignedBy, TrustError};

/// Largest namespace entry, in bytes.
pub const MAX_NAMESPACE: u64 = 1 << 20;

/// The prefix of one log up to which a retired key still counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetiredPrefix {
    /// The package.
    pub package: PackageName,
    /// Bytes of the prefix.
    pub size: u64,
    /// Digest of the prefix.
    pub sha256: Sha256,
}

/// A key that publishes no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetiredKey {
    /// The key.
    pub key: PublicKey,
    /// What it still counts for; none listed: nothing.
    pub prefixes: Vec<RetiredPrefix>,
}

/// A namespace entry's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamespaceEntry {
    /// The registry's label.
    pub registry: RegistryId,
    /// The namespace.
    pub namespace: Namespace,
    /// 1, 2, 3…
    pub number: u64,
    /// Digest of the entry before; absent exactly for the first.
    pub previous: Option<Sha256>,
    /// Keys that publish now.
    pub keys: Vec<PublicKey>,
    /// How many of them must sign.
    pub threshold: u64,
    /// Keys that once did.
    pub retired: Vec<RetiredKey>,
}

impl NamespaceEntry {
    /// Parses an entry that its digest pinned.
    ///
    /// # Errors
    /// A shape or rule that is broken.
    pub fn parse(bytes: &[u8], registry: &RegistryId, namespace: &Namespace) -> Result<Self, TrustError> {
        todo!()
    }

    /// The fixed form.
    pub fn render(&self) -> Vec<u8> {
        todo!()
    }

    /// Whether a statement (or yank record) counts: a threshold of current keys, or of current keys and retired keys that
    /// count for it. `retired_counts` says for a retired key whether the release lies within a prefix of its log that
    /// still counts; revoked keys never do.
    ///
    /// # Errors
    /// Too few signatures, or revoked.
    pub fn check(
        &self,
        message: &[u8],
        signatures: &[Signature],
        revoked: &Revocations,
        retired_counts: &dyn Fn(&RetiredKey) -> bool,
    ) -> Result<SignedBy, TrustError> {
        todo!()
    }

    /// Whether `next` is a handover: one higher, `previous` names this entry's bytes, signed by a threshold of this
    /// entry's keys that are not revoked.
    pub fn hands_over_to(
        &self,
        next_bytes: &[u8],
        next: &Self,
        signatures: &[Signature],
        revoked: &Revocations,
    ) -> bool {
        todo!()
    }
}
