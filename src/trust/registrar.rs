//! Registrar files: the namespace tree and what is revoked.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::{Fingerprint, PublicKey, RegistryId, Sha256, Signature, Timestamp, canonical};
use crate::trust::checkpoint::check_life;
use crate::trust::root::expired;
use crate::trust::wire::{Format, Unknown};
use crate::trust::{Role, TrustError, TrustRoot};

/// Largest registrar file, in bytes.
pub const MAX_REGISTRAR: u64 = 1 << 20;

const FORMAT: Format = Format {
    r#type: "mpm.registrar/1",
    file: "registrar file",
    limit: MAX_REGISTRAR,
    known: &[
        "critical",
        "expires",
        "issued",
        "namespaces",
        "number",
        "registry",
        "revoked-keys",
        "revoked-releases",
        "type",
    ],
};

/// What no longer counts, each with its reason; it only grows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Revocations {
    /// Keys whose signatures count for nothing.
    pub keys: BTreeMap<Fingerprint, String>,
    /// Statements that authorise nothing.
    pub releases: BTreeMap<Sha256, String>,
}

impl Revocations {
    /// Whether a key is revoked.
    pub fn has(&self, key: &PublicKey) -> bool {
        self.keys.contains_key(&key.fingerprint())
    }
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

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct RegistrarWire {
    r#type: String,
    registry: String,
    number: u64,
    issued: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires: Option<u64>,
    namespaces: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    revoked_keys: Vec<RevokedKeyWire>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    revoked_releases: Vec<RevokedReleaseWire>,
    #[serde(flatten)]
    rest: Unknown,
}

#[derive(Serialize, Deserialize)]
struct RevokedKeyWire {
    key: String,
    reason: String,
    #[serde(flatten)]
    rest: Unknown,
}

#[derive(Serialize, Deserialize)]
struct RevokedReleaseWire {
    statement: String,
    reason: String,
    #[serde(flatten)]
    rest: Unknown,
}

impl Registrar {
    /// Parses without signatures.
    ///
    /// # Errors
    /// `E0101` to `E0107`: a shape or rule that is broken.
    pub fn parse(bytes: &[u8]) -> Result<Self, TrustError> {
        let wire: RegistrarWire = FORMAT.parse(bytes)?;
        let keys = wire.revoked_keys.into_iter().map(|entry| (entry.key, entry.reason));
        let releases = wire.revoked_releases.into_iter().map(|entry| (entry.statement, entry.reason));
        let revocations = Revocations {
            keys: revoked("revoked-keys", keys)?
                .into_iter()
                .map(|(digest, reason)| (Fingerprint::from_sha256(digest), reason))
                .collect(),
            releases: revoked("revoked-releases", releases)?,
        };
        let registrar = Self {
            registry: FORMAT.registry(&wire.registry)?,
            number: FORMAT.number("number", wire.number, 1)?,
            issued: FORMAT.time("issued", wire.issued)?,
            expires: wire.expires.map(|seconds| FORMAT.time("expires", seconds)).transpose()?,
            namespaces: FORMAT.digest("namespaces", &wire.namespaces)?,
            revocations,
        };
        check_life(FORMAT.file, registrar.issued, registrar.expires)?;
        Ok(registrar)
    }

    /// The fixed form.
    pub fn render(&self) -> Vec<u8> {
        let key = |(key, reason): (&Fingerprint, &String)| RevokedKeyWire {
            key: key.hex(),
            reason: reason.clone(),
            rest: Unknown {},
        };
        let release = |(statement, reason): (&Sha256, &String)| RevokedReleaseWire {
            statement: statement.hex(),
            reason: reason.clone(),
            rest: Unknown {},
        };
        canonical::render(&RegistrarWire {
            r#type: FORMAT.r#type.to_owned(),
            registry: self.registry.to_string(),
            number: self.number,
            issued: self.issued.seconds(),
            expires: self.expires.map(Timestamp::seconds),
            namespaces: self.namespaces.hex(),
            revoked_keys: self.revocations.keys.iter().map(key).collect(),
            revoked_releases: self.revocations.releases.iter().map(release).collect(),
            rest: Unknown {},
        })
    }

    /// A registrar file that counts under `root`; `number` is the one that the checkpoint names.
    ///
    /// # Errors
    /// Each broken rule by its own variant.
    pub fn check(bytes: &[u8], signatures: &[Signature], root: &TrustRoot, number: u64) -> Result<Self, TrustError> {
        FORMAT.check_size(bytes)?;
        root.check(Role::Registrar, bytes, signatures)?;
        let registrar = Self::parse(bytes)?;
        FORMAT.same("registry", root.registry.as_str(), registrar.registry.as_str())?;
        if registrar.number != number {
            return Err(TrustError::Number { file: FORMAT.file, expected: number, found: registrar.number });
        }
        root.check_expiry(FORMAT.file, registrar.expires)?;
        Ok(registrar)
    }

    /// Checks that everything an older file revoked is revoked here too.
    ///
    /// # Errors
    /// `E0110`: a revocation that was taken back.
    pub fn grows_from(&self, older: &Revocations) -> Result<(), TrustError> {
        let key = older.keys.keys().find(|key| !self.revocations.keys.contains_key(key));
        if let Some(key) = key {
            return Err(TrustError::RevocationWithdrawn { what: format!("the key {key}") });
        }
        let release = older.releases.keys().find(|release| !self.revocations.releases.contains_key(release));
        match release {
            Some(release) => Err(TrustError::RevocationWithdrawn { what: format!("the release statement {release}") }),
            None => Ok(()),
        }
    }

    /// Seconds since it expired, if it has.
    pub fn expired(&self, now: Timestamp) -> Option<u64> {
        expired(self.expires, now)
    }
}

fn revoked(
    field: &'static str,
    entries: impl Iterator<Item = (String, String)>,
) -> Result<BTreeMap<Sha256, String>, TrustError> {
    let mut revoked: BTreeMap<Sha256, String> = BTreeMap::new();
    for (text, reason) in entries {
        let digest = FORMAT.digest(field, &text)?;
        // One order, so that the same revocations are the same bytes.
        if revoked.last_key_value().is_some_and(|(last, _)| *last >= digest) {
            return Err(TrustError::Order { file: FORMAT.file, field, entry: text });
        }
        revoked.insert(digest, FORMAT.reason(field, reason)?);
    }
    Ok(revoked)
}
