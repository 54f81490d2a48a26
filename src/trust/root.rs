//! Roots: the registry's constitution.

use std::collections::BTreeMap;

use crate::model::{PublicKey, RegistryId, Sha256, Signature, Timestamp};
use crate::trust::{SignedBy, TrustError};

/// Largest root file, in bytes.
pub const MAX_ROOT: u64 = 64 * 1024;
/// Most roots that are walked in one run.
pub const MAX_ROOTS: u64 = 1_024;

/// Who a root speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Names all keys, its own included.
    Root,
    /// Says which keys publish in a namespace.
    Registrar,
    /// Signs checkpoints.
    Index,
}

/// The keys of a role and how many must sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleKeys {
    /// Distinct keys, in file order.
    pub keys: Vec<PublicKey>,
    /// 1 up to the number of keys.
    pub threshold: u64,
}

/// Whether files of this registry expire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// They do.
    Normal,
    /// They do not: a freeze can't be seen.
    None,
}

/// A root file's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustRoot {
    /// The registry's label.
    pub registry: RegistryId,
    /// Rises to reset stored numbers.
    pub epoch: u64,
    /// 1, 2, 3…
    pub number: u64,
    /// Keys and thresholds of all three roles.
    pub roles: BTreeMap<Role, RoleKeys>,
    /// Longest life of a checkpoint, in days.
    pub checkpoint_max_days: u64,
    /// Whether files expire.
    pub freshness: Freshness,
    /// When this root expires; absent exactly if freshness is none.
    pub expires: Option<Timestamp>,
    /// Whether this is a demonstration whose keys are public.
    pub demo: bool,
}

impl TrustRoot {
    /// Parses a root file's bytes without any signature: for authoring, and the first step of checking.
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

    /// The first root of a registry: pinned by its digest, signed by a threshold of its own keys.
    ///
    /// # Errors
    /// Another digest, id or number, or too few signatures.
    pub fn first(
        bytes: &[u8],
        signatures: &[Signature],
        pinned: &Sha256,
        registry: &RegistryId,
    ) -> Result<Self, TrustError> {
        todo!()
    }

    /// The next root: number one higher, epoch not lower, signed by thresholds of this root's keys and of its own.
    ///
    /// # Errors
    /// Anything else.
    pub fn next(&self, bytes: &[u8], signatures: &[Signature]) -> Result<Self, TrustError> {
        todo!()
    }

    /// Checks that a threshold of a role's keys signed the message.
    ///
    /// # Errors
    /// Too few distinct authorised keys.
    pub fn check(&self, role: Role, message: &[u8], signatures: &[Signature]) -> Result<SignedBy, TrustError> {
        todo!()
    }

    /// The keys of a role.
    pub fn keys(&self, role: Role) -> &RoleKeys {
        todo!()
    }
}
