//! Checkpoints: the head of an index.

use serde::{Deserialize, Serialize};

use crate::model::{CheckpointNumber, RegistryId, RelPath, SafeUrl, Sha256, Signature, Timestamp, canonical};
use crate::trust::root::expired;
use crate::trust::wire::{Format, Unknown, refuse};
use crate::trust::{Role, TrustError, TrustRoot, ValueError};

/// Largest checkpoint, in bytes.
pub const MAX_CHECKPOINT: u64 = 16 * 1024;

/// Most bases of a checkpoint.
pub const MAX_BASES: usize = 32;
/// Seconds that a checkpoint's `issued` may be ahead of the clock.
pub const MAX_AHEAD: u64 = DAY;
const MAX_BASE: usize = 1_024;
const DAY: u64 = 86_400;

const FORMAT: Format = Format {
    r#type: "mpm.checkpoint/1",
    file: "checkpoint",
    limit: MAX_CHECKPOINT,
    known: &[
        "bases",
        "critical",
        "epoch",
        "expires",
        "issued",
        "number",
        "packages",
        "registrar",
        "registry",
        "root",
        "type",
    ],
};

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

#[derive(Serialize, Deserialize)]
struct CheckpointWire {
    r#type: String,
    registry: String,
    epoch: u64,
    number: u64,
    issued: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires: Option<u64>,
    root: u64,
    registrar: u64,
    packages: String,
    bases: Vec<String>,
    #[serde(flatten)]
    rest: Unknown,
}

impl Checkpoint {
    /// Parses without signatures.
    ///
    /// # Errors
    /// `E0101` to `E0107`: a shape or rule that is broken.
    pub fn parse(bytes: &[u8]) -> Result<Self, TrustError> {
        let wire: CheckpointWire = FORMAT.parse(bytes)?;
        FORMAT.at_most("bases", wire.bases.len(), MAX_BASES)?;
        for base in &wire.bases {
            FORMAT.field("bases", check_base(base))?;
        }
        let checkpoint = Self {
            registry: FORMAT.registry(&wire.registry)?,
            at: CheckpointNumber {
                epoch: FORMAT.number("epoch", wire.epoch, 0)?,
                number: FORMAT.number("number", wire.number, 1)?,
            },
            issued: FORMAT.time("issued", wire.issued)?,
            expires: wire.expires.map(|seconds| FORMAT.time("expires", seconds)).transpose()?,
            root: FORMAT.number("root", wire.root, 1)?,
            registrar: FORMAT.number("registrar", wire.registrar, 1)?,
            packages: FORMAT.digest("packages", &wire.packages)?,
            bases: wire.bases,
        };
        check_life("checkpoint", checkpoint.issued, checkpoint.expires)?;
        Ok(checkpoint)
    }

    /// The fixed form.
    pub fn render(&self) -> Vec<u8> {
        canonical::render(&CheckpointWire {
            r#type: FORMAT.r#type.to_owned(),
            registry: self.registry.to_string(),
            epoch: self.at.epoch,
            number: self.at.number,
            issued: self.issued.seconds(),
            expires: self.expires.map(Timestamp::seconds),
            root: self.root,
            registrar: self.registrar,
            packages: self.packages.hex(),
            bases: self.bases.clone(),
            rest: Unknown {},
        })
    }

    /// A checkpoint that counts under `root` at `now`: signature, id, epoch, root number, life within the root's limit,
    /// `issued` at most 24 h ahead. Expiry is for [`Checkpoint::expired`].
    ///
    /// # Errors
    /// Each broken rule by its own variant.
    pub fn check(bytes: &[u8], signatures: &[Signature], root: &TrustRoot, now: Timestamp) -> Result<Self, TrustError> {
        FORMAT.check_size(bytes)?;
        root.check(Role::Index, bytes, signatures)?;
        let checkpoint = Self::parse(bytes)?;
        FORMAT.same("registry", root.registry.as_str(), checkpoint.registry.as_str())?;
        if checkpoint.at.epoch != root.epoch {
            return Err(TrustError::Epoch { file: FORMAT.file, expected: root.epoch, found: checkpoint.at.epoch });
        }
        if checkpoint.root != root.number {
            return Err(TrustError::CheckpointRoot { expected: root.number, found: checkpoint.root });
        }
        root.check_expiry(FORMAT.file, checkpoint.expires)?;
        if let Some(expires) = checkpoint.expires {
            let seconds = expires.since(checkpoint.issued);
            let limit = root.checkpoint_max_days.saturating_mul(DAY);
            if seconds > limit {
                return Err(TrustError::Lifetime { seconds, limit });
            }
        }
        if checkpoint.issued.since(now) > MAX_AHEAD {
            return Err(TrustError::IssuedAhead { issued: checkpoint.issued, now });
        }
        Ok(checkpoint)
    }

    /// Seconds since it expired, if it has.
    pub fn expired(&self, now: Timestamp) -> Option<u64> {
        expired(self.expires, now)
    }
}

/// A file that expires does so after it was made.
pub(super) fn check_life(file: &'static str, issued: Timestamp, expires: Option<Timestamp>) -> Result<(), TrustError> {
    match expires {
        Some(expires) if expires <= issued => Err(TrustError::Expiry { file, rule: "expires before it was issued" }),
        _ => Ok(()),
    }
}

/// A base is `.`, a safe relative path, or an address with a scheme; which of those may be used is for whoever opens them.
fn check_base(base: &str) -> Result<(), ValueError> {
    if base.is_empty() || base.len() > MAX_BASE {
        return Err(refuse(base, "is not a base of 1 to 1024 bytes"));
    }
    if base.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(refuse(base, "holds a space or control character"));
    }
    if base == "." {
        return Ok(());
    }
    if base.contains("://") {
        let url = SafeUrl::parse(base)?;
        if url.inner().scheme() == "file" {
            return Err(refuse(base, "is a folder's address: a base below the index is a relative path"));
        }
        let plain = url.inner().query().is_none() && url.inner().fragment().is_none();
        return if plain { Ok(()) } else { Err(refuse(base, "is an address with a query or fragment")) };
    }
    RelPath::parse(base).map(drop).map_err(|_| refuse(base, "is neither a safe relative path nor an address"))
}
