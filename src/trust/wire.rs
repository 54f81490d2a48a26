//! What all trust files share: header, bounds, keys, and the words in which values are refused.

use std::collections::BTreeSet;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::model::canonical;
use crate::model::{PublicKey, RegistryId, Sha256, Timestamp};
use crate::trust::{TrustError, ValueError};

/// Largest integer: what every reader of JSON and TOML holds exactly, 2^53-1.
pub const MAX_NUMBER: u64 = (1 << 53) - 1;
/// Most keys of a role or namespace.
pub const MAX_KEYS: usize = 64;
/// Longest reason, in bytes.
pub const MAX_REASON: usize = 1_024;

/// A kind of trust file: its type, its name for people, its cap, and the fields that `critical` may name.
pub(super) struct Format {
    pub(super) r#type: &'static str,
    pub(super) file: &'static str,
    pub(super) limit: u64,
    pub(super) known: &'static [&'static str],
}

/// The fields that this version does not know: read past, never written. A flattened field also makes serde refuse a list
/// in the place of an object.
#[derive(Serialize, Deserialize)]
pub(super) struct Unknown {}

#[derive(Deserialize)]
struct Header {
    r#type: String,
    #[serde(default)]
    critical: Vec<String>,
    #[serde(flatten)]
    _rest: Unknown,
}

impl Format {
    /// Refuses what is too large; for callers that look at signatures before they parse.
    pub(super) fn check_size(&self, bytes: &[u8]) -> Result<(), TrustError> {
        let found = bytes.len() as u64;
        if found <= self.limit {
            Ok(())
        } else {
            Err(TrustError::TooLarge { file: self.file, found, limit: self.limit })
        }
    }

    /// Parses bytes of this type: size, type and critical fields first.
    pub(super) fn parse<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T, TrustError> {
        self.check_size(bytes)?;
        let document = |source| TrustError::Document { file: self.file, source };
        let header: Header = canonical::parse(bytes, self.limit).map_err(document)?;
        self.same("type", self.r#type, &header.r#type)?;
        if let Some(name) = header.critical.iter().find(|name| !self.known.contains(&name.as_str())) {
            return Err(TrustError::Critical { file: self.file, name: name.chars().take(80).collect() });
        }
        // The header's reader has walked the whole document by the rules.
        serde_json::from_slice(bytes).map_err(|error| document(error.into()))
    }

    /// Compares what a file says it is with what was asked for.
    pub(super) fn same(&self, field: &'static str, expected: &str, found: &str) -> Result<(), TrustError> {
        if expected == found {
            return Ok(());
        }
        Err(TrustError::Identity {
            file: self.file,
            field,
            expected: expected.to_owned(),
            found: found.chars().take(200).collect(),
        })
    }

    /// Names the field in which a value broke a rule.
    pub(super) fn field<T, E: Into<ValueError>>(
        &self,
        field: &'static str,
        value: Result<T, E>,
    ) -> Result<T, TrustError> {
        value.map_err(|error| TrustError::Value { file: self.file, field, source: error.into() })
    }

    /// The registry's label.
    pub(super) fn registry(&self, text: &str) -> Result<RegistryId, TrustError> {
        self.field("registry", RegistryId::parse(text))
    }

    /// A number of a sequence that begins with `least`.
    pub(super) fn number(&self, field: &'static str, found: u64, least: u64) -> Result<u64, TrustError> {
        let good = (least..=MAX_NUMBER).contains(&found);
        let error = ValueError::Integer { found, least, most: MAX_NUMBER };
        self.field(field, if good { Ok(found) } else { Err(error) })
    }

    /// A point in time.
    pub(super) fn time(&self, field: &'static str, seconds: u64) -> Result<Timestamp, TrustError> {
        self.field(field, Timestamp::from_seconds(seconds))
    }

    /// A digest of 64 hex digits without a prefix.
    pub(super) fn digest(&self, field: &'static str, text: &str) -> Result<Sha256, TrustError> {
        let digest = self.field(field, Sha256::parse(text))?;
        if text.len() == 64 {
            Ok(digest)
        } else {
            self.field(field, Err(refuse(text, "is not 64 hex digits without a prefix")))
        }
    }

    /// Text of a bounded length. It is shown escaped, so that it may hold anything.
    pub(super) fn reason(&self, field: &'static str, text: String) -> Result<String, TrustError> {
        if text.len() <= MAX_REASON {
            Ok(text)
        } else {
            self.field(field, Err(refuse(&text, "is longer than 1024 bytes")))
        }
    }

    /// No more entries than a cap.
    pub(super) fn at_most(&self, field: &'static str, found: usize, limit: usize) -> Result<(), TrustError> {
        if found <= limit { Ok(()) } else { Err(TrustError::TooMany { file: self.file, field, found, limit }) }
    }

    /// Distinct keys and a threshold that they can reach.
    pub(super) fn keys(
        &self,
        role: &'static str,
        texts: &[String],
        threshold: u64,
    ) -> Result<Vec<PublicKey>, TrustError> {
        self.at_most(role, texts.len(), MAX_KEYS)?;
        let mut keys = Vec::with_capacity(texts.len());
        let mut seen = BTreeSet::new();
        for text in texts {
            let key = self.field(role, PublicKey::parse(text))?;
            if !seen.insert(key.fingerprint()) {
                return Err(TrustError::DuplicateKey { file: self.file, role, key: key.fingerprint() });
            }
            keys.push(key);
        }
        if threshold == 0 || threshold > keys.len() as u64 {
            return Err(TrustError::Threshold { file: self.file, role, threshold, keys: keys.len() });
        }
        Ok(keys)
    }
}

/// A refusal of text.
pub(super) fn refuse(found: &str, rule: &'static str) -> ValueError {
    ValueError::Text { found: found.chars().take(80).collect(), rule }
}
