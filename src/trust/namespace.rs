//! Namespace entries: which keys publish where, and how that changed.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::catalog::MAX_LOG;
use crate::model::{Namespace, PackageName, PublicKey, RegistryId, Sha256, Signature, canonical};
use crate::trust::threshold::signers_of;
use crate::trust::wire::{Format, Unknown, refuse};
use crate::trust::{Revocations, SignedBy, TrustError, ValueError, count_signers};

/// Largest namespace entry, in bytes.
pub const MAX_NAMESPACE: u64 = 1 << 20;

/// Most retired keys of a namespace.
pub const MAX_RETIRED: usize = 256;

const FORMAT: Format = Format {
    r#type: "mpm.namespace/1",
    file: "namespace entry",
    limit: MAX_NAMESPACE,
    known: &["critical", "keys", "namespace", "number", "previous", "registry", "retired", "threshold", "type"],
};

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

#[derive(Serialize, Deserialize)]
struct EntryWire {
    r#type: String,
    registry: String,
    namespace: String,
    number: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    previous: Option<String>,
    keys: Vec<String>,
    threshold: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    retired: Vec<RetiredWire>,
    #[serde(flatten)]
    rest: Unknown,
}

#[derive(Serialize, Deserialize)]
struct RetiredWire {
    key: String,
    prefixes: Vec<PrefixWire>,
    #[serde(flatten)]
    rest: Unknown,
}

#[derive(Serialize, Deserialize)]
struct PrefixWire {
    package: String,
    size: u64,
    sha256: String,
    #[serde(flatten)]
    rest: Unknown,
}

impl NamespaceEntry {
    /// Parses an entry that its digest pinned. The namespace is compared as the tree's leaf writes it.
    ///
    /// # Errors
    /// `E0101` to `E0106`: a shape or rule that is broken, another registry or namespace.
    pub fn parse(bytes: &[u8], registry: &RegistryId, namespace: &Namespace) -> Result<Self, TrustError> {
        let wire: EntryWire = FORMAT.parse(bytes)?;
        FORMAT.same("registry", registry.as_str(), &wire.registry)?;
        FORMAT.same("namespace", namespace.as_str(), &wire.namespace)?;
        let number = FORMAT.number("number", wire.number, 1)?;
        let previous = wire.previous.map(|text| FORMAT.digest("previous", &text)).transpose()?;
        if previous.is_some() != (number > 1) {
            let rule = "stands or is missing: every entry but the first names the one before";
            return FORMAT.field("previous", Err(refuse(&number.to_string(), rule)));
        }
        let keys = FORMAT.keys("keys", &wire.keys, wire.threshold)?;
        let retired = read_retired(wire.retired, namespace)?;
        let mut seen: BTreeSet<_> = keys.iter().map(PublicKey::fingerprint).collect();
        for key in retired.iter().map(|retired| retired.key.fingerprint()) {
            // A key that is both would count in full, and its retirement for nothing.
            if !seen.insert(key) {
                return Err(TrustError::DuplicateKey { file: FORMAT.file, role: "retired", key });
            }
        }
        let (registry, namespace) = (registry.clone(), namespace.clone());
        Ok(Self { registry, namespace, number, previous, keys, threshold: wire.threshold, retired })
    }

    /// The fixed form.
    pub fn render(&self) -> Vec<u8> {
        let prefix = |prefix: &RetiredPrefix| PrefixWire {
            package: prefix.package.to_string(),
            size: prefix.size,
            sha256: prefix.sha256.hex(),
            rest: Unknown {},
        };
        let retired = |retired: &RetiredKey| RetiredWire {
            key: retired.key.as_str().to_owned(),
            prefixes: retired.prefixes.iter().map(prefix).collect(),
            rest: Unknown {},
        };
        canonical::render(&EntryWire {
            r#type: FORMAT.r#type.to_owned(),
            registry: self.registry.to_string(),
            namespace: self.namespace.to_string(),
            number: self.number,
            previous: self.previous.map(|digest| digest.hex()),
            keys: self.keys.iter().map(|key| key.as_str().to_owned()).collect(),
            threshold: self.threshold,
            retired: self.retired.iter().map(retired).collect(),
            rest: Unknown {},
        })
    }

    /// Whether a statement (or yank record) counts: a threshold of current keys, or of current keys and retired keys that
    /// count for it. `retired_counts` says for a retired key whether the release lies within a prefix of its log that
    /// still counts; revoked keys never do.
    ///
    /// # Errors
    /// `E0104`, `E0109`: too few signatures, or revoked.
    pub fn check(
        &self,
        message: &[u8],
        signatures: &[Signature],
        revoked: &Revocations,
        retired_counts: &dyn Fn(&RetiredKey) -> bool,
    ) -> Result<SignedBy, TrustError> {
        let statement = Sha256::of(message);
        if let Some(reason) = revoked.releases.get(&statement) {
            return Err(TrustError::RevokedRelease { statement, reason: reason.clone() });
        }
        let retired = self.retired.iter().filter(|retired| retired_counts(retired)).map(|retired| &retired.key);
        let keys: Vec<PublicKey> = self.keys.iter().chain(retired).filter(|key| !revoked.has(key)).cloned().collect();
        count_signers(&keys, self.threshold, message, signatures).ok_or_else(|| TrustError::Signatures {
            file: "file of a publisher",
            role: "publisher",
            threshold: self.threshold,
            found: signers_of(&keys, message, signatures).len() as u64,
        })
    }

    /// Whether the entry in `next` is a handover: one higher, it names the digest of this entry's stored bytes, signed by a
    /// threshold of this entry's keys that are not revoked. The digest is given, since bytes may hold fields that this
    /// version does not know.
    pub fn hands_over_to(&self, digest: &Sha256, next: &[u8], signatures: &[Signature], revoked: &Revocations) -> bool {
        let Ok(entry) = Self::parse(next, &self.registry, &self.namespace) else { return false };
        let keys: Vec<PublicKey> = self.keys.iter().filter(|key| !revoked.has(key)).cloned().collect();
        self.number.checked_add(1) == Some(entry.number)
            && entry.previous == Some(*digest)
            && count_signers(&keys, self.threshold, next, signatures).is_some()
    }
}

fn read_retired(wire: Vec<RetiredWire>, namespace: &Namespace) -> Result<Vec<RetiredKey>, TrustError> {
    FORMAT.at_most("retired", wire.len(), MAX_RETIRED)?;
    let mut retired = Vec::with_capacity(wire.len());
    for entry in wire {
        let key = FORMAT.field("retired", PublicKey::parse(&entry.key))?;
        let mut prefixes: Vec<RetiredPrefix> = Vec::with_capacity(entry.prefixes.len());
        for prefix in entry.prefixes {
            let package = FORMAT.field("prefixes", PackageName::parse(&prefix.package))?;
            if package.namespace() != *namespace {
                return FORMAT.field("prefixes", Err(refuse(&prefix.package, "lies in another namespace")));
            }
            if prefixes.last().is_some_and(|last| last.package >= package) {
                return Err(TrustError::Order { file: FORMAT.file, field: "prefixes", entry: prefix.package });
            }
            if prefix.size == 0 || prefix.size > MAX_LOG {
                let source = ValueError::Integer { found: prefix.size, least: 1, most: MAX_LOG };
                return FORMAT.field("prefixes", Err(source));
            }
            let sha256 = FORMAT.digest("prefixes", &prefix.sha256)?;
            prefixes.push(RetiredPrefix { package, size: prefix.size, sha256 });
        }
        retired.push(RetiredKey { key, prefixes });
    }
    Ok(retired)
}
