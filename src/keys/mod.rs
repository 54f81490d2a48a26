//! Secret keys: the only importer of `minisign`, the only room that touches one.

use std::path::Path;

use crate::diagnose::{Class, Code, Diagnose};
use crate::model::PublicKey;

/// A secret key in memory. Shows nothing of itself.
pub struct SecretKey {
    inner: minisign::SecretKey,
    public: PublicKey,
}

impl std::fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SecretKey({})", self.public.fingerprint())
    }
}

/// Why a key can't be used.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// Placeholder variant; the room's owner replaces it.
    #[error("placeholder")]
    Placeholder,
}

impl Diagnose for KeysError {
    fn code(&self) -> Code {
        Code("E0801")
    }
    fn class(&self) -> Class {
        Class::Yours
    }
}

impl SecretKey {
    /// A new key.
    ///
    /// # Errors
    /// No randomness.
    pub fn generate() -> Result<Self, KeysError> {
        todo!()
    }

    /// Reads a minisign secret key file, of stock minisign too (passwordless ones with the zero checksum included).
    ///
    /// # Errors
    /// Not a key, or another password.
    pub fn open(text: &str, password: Option<&str>) -> Result<Self, KeysError> {
        todo!()
    }

    /// The text of the secret key file; encrypted if there is a password.
    ///
    /// # Errors
    /// Key derivation failed.
    pub fn to_text(&self, password: Option<&str>, comment: &str) -> Result<String, KeysError> {
        todo!()
    }

    /// Its public half.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs bytes: the text of a `.minisig` file, prehashed.
    ///
    /// # Errors
    /// Signing failed.
    pub fn sign(&self, bytes: &[u8], trusted_comment: &str) -> Result<String, KeysError> {
        todo!()
    }
}

/// Name of the signature file that this key leaves beside a file.
pub fn signature_path(file: &str, key: &PublicKey) -> String {
    format!("{file}.{}.minisig", key.fingerprint().short())
}
