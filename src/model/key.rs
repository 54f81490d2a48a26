//! Minisign public keys and their fingerprints.

use std::fmt;

use crate::model::Sha256;

/// Bytes of a minisign public key: `Ed`, an 8-byte id that decides nothing, 32 bytes of Ed25519.
const RAW: usize = 42;

/// The name of a key: sha256 of its 32 raw Ed25519 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(Sha256);

/// A minisign public key. Two keys are equal when their Ed25519 bytes are: minisign's 8-byte ids are chosen, not derived.
#[derive(Clone)]
pub struct PublicKey {
    text: String,
    raw: [u8; RAW],
}

/// Why a text is not a public key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is not a minisign public key: 56 characters of base64 that begin with RW")]
pub struct KeyError {
    /// What was found, cut to 80 characters.
    pub found: String,
}

impl Fingerprint {
    /// A fingerprint from the digest that it is.
    pub fn from_sha256(digest: Sha256) -> Self {
        Self(digest)
    }

    /// Parses 64 lowercase hex digits.
    ///
    /// # Errors
    /// Anything else.
    pub fn parse(text: &str) -> Result<Self, crate::model::DigestError> {
        Sha256::parse(text).map(Self)
    }

    /// The 64 hex digits.
    pub fn hex(&self) -> String {
        self.0.hex()
    }

    /// The first 16 hex digits: what stands in the name of a signature file.
    pub fn short(&self) -> String {
        self.0.hex().chars().take(16).collect()
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.hex())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({})", self.hex())
    }
}

impl PublicKey {
    /// Parses the second line of a minisign public key file.
    ///
    /// # Errors
    /// Anything but canonical base64 of 42 bytes that begin with `Ed`.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let fail = || KeyError { found: text.chars().take(80).collect() };
        let bytes = super::signature::base64_decode(text).ok_or_else(fail)?;
        let raw: [u8; RAW] = bytes.try_into().map_err(|_| fail())?;
        if raw.first_chunk::<2>() != Some(b"Ed") {
            return Err(fail());
        }
        Ok(Self { text: text.to_owned(), raw })
    }

    /// The base64 text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The 32 Ed25519 bytes.
    pub fn ed25519(&self) -> &[u8] {
        self.raw.get(10..).unwrap_or_default()
    }

    /// The 8-byte id, as minisign prints and stores it. It selects nothing.
    pub fn minisign_id(&self) -> &[u8] {
        self.raw.get(2..10).unwrap_or_default()
    }

    /// The key's name.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint(Sha256::of(self.ed25519()))
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.ed25519() == other.ed25519()
    }
}

impl Eq for PublicKey {}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.text)
    }
}
