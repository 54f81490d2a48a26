//! Roots: the registry's constitution.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::{PublicKey, RegistryId, Sha256, Signature, Timestamp, canonical};
use crate::trust::threshold::signers_of;
use crate::trust::wire::{Format, Unknown, refuse};
use crate::trust::{SignedBy, TrustError, count_signers};

/// Largest root file, in bytes.
pub const MAX_ROOT: u64 = 64 * 1024;
/// Most roots that are walked in one run.
pub const MAX_ROOTS: u64 = 1_024;

/// Most days that a root may let its checkpoints live.
pub const MAX_CHECKPOINT_DAYS: u64 = 3_650;

const FORMAT: Format = Format {
    r#type: "mpm.root/1",
    file: "root file",
    limit: MAX_ROOT,
    known: &[
        "checkpoint-max-days",
        "critical",
        "demo",
        "epoch",
        "expires",
        "freshness",
        "number",
        "registry",
        "roles",
        "type",
    ],
};

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

impl Role {
    /// The word in files and output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Registrar => "registrar",
            Self::Index => "index",
        }
    }
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
    /// Keys and thresholds of all three roles; one that is missing has no key, and nothing counts as signed by it.
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

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct RootWire {
    r#type: String,
    registry: String,
    number: u64,
    epoch: u64,
    roles: RolesWire,
    checkpoint_max_days: u64,
    freshness: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires: Option<u64>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    demo: bool,
    #[serde(flatten)]
    rest: Unknown,
}

#[derive(Serialize, Deserialize)]
struct RolesWire {
    root: RoleWire,
    registrar: RoleWire,
    index: RoleWire,
    #[serde(flatten)]
    rest: Unknown,
}

#[derive(Serialize, Deserialize)]
struct RoleWire {
    keys: Vec<String>,
    threshold: u64,
    #[serde(flatten)]
    rest: Unknown,
}

impl TrustRoot {
    /// Parses a root file's bytes without any signature: for authoring, and the first step of checking.
    ///
    /// # Errors
    /// `E0101` to `E0107`: a shape or rule that is broken.
    pub fn parse(bytes: &[u8]) -> Result<Self, TrustError> {
        let wire: RootWire = FORMAT.parse(bytes)?;
        let freshness = match wire.freshness.as_str() {
            "normal" => Freshness::Normal,
            "none" => Freshness::None,
            other => return FORMAT.field("freshness", Err(refuse(other, "is not one of normal, none"))),
        };
        let mut roles = BTreeMap::new();
        for (role, keys) in
            [(Role::Root, wire.roles.root), (Role::Registrar, wire.roles.registrar), (Role::Index, wire.roles.index)]
        {
            let threshold = keys.threshold;
            roles.insert(role, RoleKeys { keys: FORMAT.keys(role.as_str(), &keys.keys, threshold)?, threshold });
        }
        let days = wire.checkpoint_max_days;
        if !(1..=MAX_CHECKPOINT_DAYS).contains(&days) {
            let source = crate::trust::ValueError::Integer { found: days, least: 1, most: MAX_CHECKPOINT_DAYS };
            return FORMAT.field("checkpoint-max-days", Err(source));
        }
        let root = Self {
            registry: FORMAT.registry(&wire.registry)?,
            epoch: FORMAT.number("epoch", wire.epoch, 0)?,
            number: FORMAT.number("number", wire.number, 1)?,
            roles,
            checkpoint_max_days: days,
            freshness,
            expires: wire.expires.map(|seconds| FORMAT.time("expires", seconds)).transpose()?,
            demo: wire.demo,
        };
        root.check_expiry("root file", root.expires)?;
        Ok(root)
    }

    /// The fixed form.
    pub fn render(&self) -> Vec<u8> {
        let role = |role| {
            let RoleKeys { keys, threshold } = self.keys(role);
            let keys = keys.iter().map(|key| key.as_str().to_owned()).collect();
            RoleWire { keys, threshold: *threshold, rest: Unknown {} }
        };
        canonical::render(&RootWire {
            r#type: FORMAT.r#type.to_owned(),
            registry: self.registry.to_string(),
            number: self.number,
            epoch: self.epoch,
            roles: RolesWire {
                root: role(Role::Root),
                registrar: role(Role::Registrar),
                index: role(Role::Index),
                rest: Unknown {},
            },
            checkpoint_max_days: self.checkpoint_max_days,
            freshness: self.freshness.as_str().to_owned(),
            expires: self.expires.map(Timestamp::seconds),
            demo: self.demo,
            rest: Unknown {},
        })
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
        FORMAT.check_size(bytes)?;
        let found = Sha256::of(bytes);
        if found != *pinned {
            return Err(TrustError::Fingerprint { expected: *pinned, found });
        }
        let root = Self::parse(bytes)?;
        FORMAT.same("registry", registry.as_str(), root.registry.as_str())?;
        if root.number != 1 {
            return Err(TrustError::Number { file: FORMAT.file, expected: 1, found: root.number });
        }
        root.check(Role::Root, bytes, signatures)?;
        Ok(root)
    }

    /// The next root: number one higher, epoch not lower, signed by thresholds of this root's keys and of its own.
    ///
    /// # Errors
    /// Anything else.
    pub fn next(&self, bytes: &[u8], signatures: &[Signature]) -> Result<Self, TrustError> {
        FORMAT.check_size(bytes)?;
        // Nothing is parsed that the keys of the root before did not sign.
        self.check(Role::Root, bytes, signatures)?;
        let next = Self::parse(bytes)?;
        next.check(Role::Root, bytes, signatures)?;
        FORMAT.same("registry", self.registry.as_str(), next.registry.as_str())?;
        let expected = self.number.saturating_add(1);
        if next.number != expected {
            return Err(TrustError::Number { file: FORMAT.file, expected, found: next.number });
        }
        if next.epoch < self.epoch {
            return Err(TrustError::Epoch { file: FORMAT.file, expected: self.epoch, found: next.epoch });
        }
        Ok(next)
    }

    /// Checks that a threshold of a role's keys signed the message.
    ///
    /// # Errors
    /// `E0104`: too few distinct authorised keys.
    pub fn check(&self, role: Role, message: &[u8], signatures: &[Signature]) -> Result<SignedBy, TrustError> {
        let file = match role {
            Role::Root => "root file",
            // Registrars sign yank records as well.
            Role::Registrar => "registrars' file",
            Role::Index => "checkpoint",
        };
        let RoleKeys { keys, threshold } = self.keys(role);
        count_signers(keys, *threshold, message, signatures).ok_or_else(|| TrustError::Signatures {
            file,
            role: role.as_str(),
            threshold: *threshold,
            found: signers_of(keys, message, signatures).len() as u64,
        })
    }

    /// The keys of a role.
    pub fn keys(&self, role: Role) -> &RoleKeys {
        const NOBODY: &RoleKeys = &RoleKeys { keys: Vec::new(), threshold: 0 };
        self.roles.get(&role).unwrap_or(NOBODY)
    }

    /// Seconds since it expired, if it has. Counts on the newest root alone.
    pub fn expired(&self, now: Timestamp) -> Option<u64> {
        expired(self.expires, now)
    }

    /// An expiry stands in a file exactly if files of this registry expire.
    pub(super) fn check_expiry(&self, file: &'static str, expires: Option<Timestamp>) -> Result<(), TrustError> {
        match (self.freshness, expires) {
            (Freshness::Normal, None) => Err(TrustError::Expiry { file, rule: "has no expiry" }),
            (Freshness::None, Some(_)) => {
                Err(TrustError::Expiry { file, rule: "has an expiry, though the root says that nothing expires" })
            }
            _ => Ok(()),
        }
    }
}

impl Freshness {
    /// The word in files and output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::None => "none",
        }
    }
}

/// Seconds since a point in time that has come.
pub(super) fn expired(expires: Option<Timestamp>, now: Timestamp) -> Option<u64> {
    expires.filter(|expires| *expires <= now).map(|expires| now.since(expires))
}
