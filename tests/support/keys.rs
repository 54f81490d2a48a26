//! Keys for tests: new ones, without passwords, so that no key derivation slows a test down.

use modelpm::keys::SecretKey;

/// A new key.
pub fn key() -> SecretKey {
    SecretKey::generate().expect("randomness")
}

/// The text of a key's file, without a password.
pub fn text(key: &SecretKey) -> String {
    key.to_text(None, "a key of a test").expect("the text of a key")
}

/// Writes a key's files, without a password, and returns the path of the secret one.
pub fn write(folder: &std::path::Path, name: &str, key: &SecretKey) -> std::path::PathBuf {
    let path = folder.join(name);
    modelpm::keys::write_key(&path, key, None).expect("a key file");
    path
}
