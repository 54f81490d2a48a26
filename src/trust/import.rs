//! Import records: which checkpoint a site has let in. The site's own word, under a key that no registry names.

use serde::{Deserialize, Serialize};

use crate::model::{CheckpointNumber, PublicKey, RegistryId, Sha256, Signature, Timestamp, canonical};
use crate::trust::wire::{Format, Unknown};
use crate::trust::{TrustError, count_signers};

/// Largest import record, in bytes.
pub const MAX_IMPORT: u64 = 4 * 1024;

const FORMAT: Format = Format {
    r#type: "mpm.import/1",
    file: "import record",
    limit: MAX_IMPORT,
    known: &["checkpoint", "critical", "epoch", "number", "registry", "root", "time", "type"],
};

/// An import record's content; signed by the site's import key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportRecord {
    /// The registry's label.
    pub registry: RegistryId,
    /// Digest of its first root.
    pub root: Sha256,
    /// Epoch and number of the checkpoint.
    pub at: CheckpointNumber,
    /// Digest of the checkpoint's bytes.
    pub checkpoint: Sha256,
    /// When it was let in. It makes nothing younger: age is counted from what the registry signed.
    pub time: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct ImportWire {
    r#type: String,
    registry: String,
    root: String,
    epoch: u64,
    number: u64,
    checkpoint: String,
    time: u64,
    #[serde(flatten)]
    rest: Unknown,
}

impl ImportRecord {
    /// Where the record of a checkpoint lies in a copy.
    pub fn path(checkpoint: &Sha256) -> String {
        format!("imports/{checkpoint}.json")
    }

    /// Parses a record.
    ///
    /// # Errors
    /// `E0101` to `E0103`: a shape or rule that is broken.
    pub fn parse(bytes: &[u8]) -> Result<Self, TrustError> {
        let wire: ImportWire = FORMAT.parse(bytes)?;
        Ok(Self {
            registry: FORMAT.registry(&wire.registry)?,
            root: FORMAT.digest("root", &wire.root)?,
            at: CheckpointNumber {
                epoch: FORMAT.number("epoch", wire.epoch, 0)?,
                number: FORMAT.number("number", wire.number, 0)?,
            },
            checkpoint: FORMAT.digest("checkpoint", &wire.checkpoint)?,
            time: FORMAT.time("time", wire.time)?,
        })
    }

    /// The fixed form.
    pub fn render(&self) -> Vec<u8> {
        canonical::render(&ImportWire {
            r#type: FORMAT.r#type.to_owned(),
            registry: self.registry.to_string(),
            root: self.root.hex(),
            epoch: self.at.epoch,
            number: self.at.number,
            checkpoint: self.checkpoint.hex(),
            time: self.time.seconds(),
            rest: Unknown {},
        })
    }

    /// A record of exactly this checkpoint of this registry, signed by the site's key; none: it says something else, or nobody
    /// who counts signed it.
    pub fn check(
        bytes: &[u8],
        signature: &Signature,
        key: &PublicKey,
        (root, at, checkpoint): (Sha256, CheckpointNumber, Sha256),
    ) -> Option<Self> {
        if bytes.len() as u64 > MAX_IMPORT {
            return None;
        }
        count_signers(std::slice::from_ref(key), 1, bytes, std::slice::from_ref(signature))?;
        let record = Self::parse(bytes).ok()?;
        ((record.root, record.at, record.checkpoint) == (root, at, checkpoint)).then_some(record)
    }
}
