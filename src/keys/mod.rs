//! Secret keys: the only importer of `minisign`, the only room that touches one.
//!
//! Owns minisign's secret key file (its own format: two lines, the second base64 of 158 bytes) and the signature files that
//! a key leaves. Refuses to know what is signed, and who may sign it.

mod error;
mod file;
#[cfg(test)]
mod tests;

use crate::model::PublicKey;

pub use error::KeysError;
pub use file::{read_key, read_public_key, write_key};

/// Asks for a password: the argument says what for. `None` where nobody answers.
pub type AskPassword<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// A secret key in memory. Shows nothing of itself.
#[derive(Clone)]
pub struct SecretKey {
    inner: minisign::SecretKey,
    public: PublicKey,
    protected: bool,
}

impl std::fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SecretKey({})", self.public.fingerprint())
    }
}

impl SecretKey {
    /// A new key. It is not protected until it is written with a password.
    ///
    /// # Errors
    /// `E0806`: no randomness.
    pub fn generate() -> Result<Self, KeysError> {
        let pair = minisign::KeyPair::generate_unencrypted_keypair()
            .map_err(|source| KeysError::Crypto { doing: "making a key", source })?;
        Self::from_inner(pair.sk, false)
    }

    /// Reads a minisign secret key file, of stock minisign too (passwordless ones with the zero checksum included).
    ///
    /// # Errors
    /// `E0801` to `E0803`: not a key, an encrypted key without a password, another password.
    pub fn open(text: &str, password: Option<&str>) -> Result<Self, KeysError> {
        file::open(text, password)
    }

    /// The text of the secret key file; encrypted if there is a password.
    ///
    /// # Errors
    /// `E0806`: key derivation failed, or the comment has more than one line. `E0807`: the key carries no checksum.
    pub fn to_text(&self, password: Option<&str>, comment: &str) -> Result<String, KeysError> {
        file::to_text(&self.inner, password, comment)
    }

    /// Its public half.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Whether the file that it was read from asked for a password.
    pub fn is_protected(&self) -> bool {
        self.protected
    }

    /// Signs bytes: the text of a `.minisig` file, prehashed. The untrusted comment names the fingerprint.
    ///
    /// # Errors
    /// `E0806`: the comment breaks the file's form, or there is no randomness.
    pub fn sign(&self, bytes: &[u8], trusted_comment: &str) -> Result<String, KeysError> {
        if trusted_comment.chars().any(char::is_control) || trusted_comment.trim_end() != trusted_comment {
            return Err(KeysError::Comment { comment: trusted_comment.to_owned() });
        }
        let untrusted = format!("signature by key {}", self.public.fingerprint());
        minisign::sign(None, &self.inner, bytes, Some(trusted_comment), Some(&untrusted))
            .map(minisign::SignatureBox::into_string)
            .map_err(|source| KeysError::Crypto { doing: "signing", source })
    }

    fn from_inner(inner: minisign::SecretKey, protected: bool) -> Result<Self, KeysError> {
        let public = minisign::PublicKey::from_secret_key(&inner).map_err(|_| KeysError::NotAKey)?;
        let public = PublicKey::parse(&public.to_base64()).map_err(|_| KeysError::NotAKey)?;
        Ok(Self { inner, public, protected })
    }
}

/// Name of the signature file that this key leaves beside a file.
pub fn signature_path(file: &str, key: &PublicKey) -> String {
    format!("{file}.{}.minisig", key.fingerprint().short())
}

/// The text of a minisign public key file.
pub fn public_key_text(key: &PublicKey) -> String {
    format!("untrusted comment: minisign public key, fingerprint {}\n{}\n", key.fingerprint(), key.as_str())
}
