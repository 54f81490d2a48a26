//! Secret key files as minisign writes them.
//!
//! Format: base64 of `Ed`, key derivation (`Sc` or two zero bytes), `B2`, salt 32, limits 8 and 8, then key id 8, secret 64
//! and checksum 32, which are combined by exclusive or with the scrypt stream if there is a password.

use std::path::Path;

use ct_codecs::{Base64, Decoder as _};

use crate::keys::{AskPassword, KeysError, SecretKey};
use crate::model::PublicKey;
use crate::sys::files;

/// Bytes of a secret key.
const RAW: usize = 158;
/// Where the part that a password encrypts begins.
const SECRET: usize = 54;
/// Where the checksum begins.
const CHECKSUM: usize = 126;
/// Largest key file, in bytes.
const MAX_FILE: u64 = 8 * 1024;

/// How the secret part is kept.
enum Protection {
    Password,
    None,
}

/// Reads a secret key file; `ask` is called if it is encrypted.
///
/// # Errors
/// `E0801` to `E0805`, with the path.
pub fn read_key(path: &Path, ask: &AskPassword<'_>) -> Result<SecretKey, KeysError> {
    let text = read_text(path)?;
    let opened =
        protection(&decode(&text).map_err(|source| at(path, source))?).and_then(|protection| match protection {
            Protection::None => open(&text, None),
            Protection::Password => {
                let password =
                    ask(&format!("password of the key {}", path.display())).ok_or(KeysError::PasswordNeeded)?;
                open(&text, Some(&password))
            }
        });
    opened.map_err(|source| at(path, source))
}

/// Reads a public key: a minisign public key file, or the file beside a secret key.
///
/// # Errors
/// `E0801` and `E0805`, with the path.
pub fn read_public_key(path: &Path) -> Result<PublicKey, KeysError> {
    let text = read_text(path)?;
    let line = text.lines().nth(1).unwrap_or_default();
    PublicKey::parse(line).map_err(|_| at(path, KeysError::NotAKey))
}

/// Writes a new secret key file, readable by its owner alone, and the public key beside it as `FILE.pub`.
///
/// # Errors
/// `E0804` if either file exists; `E0805` to `E0807`.
pub fn write_key(path: &Path, key: &SecretKey, password: Option<&str>) -> Result<(), KeysError> {
    let public = path.with_file_name(format!("{}.pub", path.file_name().unwrap_or_default().to_string_lossy()));
    for file in [path, &public] {
        if file.symlink_metadata().is_ok() {
            return Err(at(file, KeysError::Exists));
        }
    }
    let comment = format!("minisign secret key of mpm, fingerprint {}", key.public().fingerprint());
    let text = key.to_text(password, &comment).map_err(|source| at(path, source))?;
    let written = |file: &Path, result: std::io::Result<bool>| match result {
        Ok(true) => Ok(()),
        Ok(false) => Err(at(file, KeysError::Exists)),
        Err(source) => Err(at(file, KeysError::Io(source))),
    };
    written(path, write_new(path, text.as_bytes()))?;
    written(&public, write_new(&public, crate::keys::public_key_text(key.public()).as_bytes()))
}

/// Writes a file that must not exist yet, for its owner's eyes; `false` if it does.
fn write_new(path: &Path, bytes: &[u8]) -> std::io::Result<bool> {
    let draft = path.with_file_name(format!(".{}.new", path.file_name().unwrap_or_default().to_string_lossy()));
    files::write_private(&draft, bytes)?;
    let placed = files::rename_new(&draft, path);
    if !matches!(placed, Ok(true)) {
        files::remove(&draft)?;
    }
    placed
}

pub(super) fn open(text: &str, password: Option<&str>) -> Result<SecretKey, KeysError> {
    let raw = decode(text)?;
    match (protection(&raw)?, password) {
        (Protection::None, _) => open_plain(&raw),
        (Protection::Password, None) => Err(KeysError::PasswordNeeded),
        (Protection::Password, Some(password)) => {
            let boxed = minisign::SecretKey::from_bytes(&raw)
                .and_then(|key| key.to_box(None))
                .map_err(|_| KeysError::NotAKey)?;
            let inner = boxed.into_secret_key(Some(password.to_owned())).map_err(|_| KeysError::WrongPassword)?;
            SecretKey::from_inner(inner, true)
        }
    }
}

pub(super) fn to_text(inner: &minisign::SecretKey, password: Option<&str>, comment: &str) -> Result<String, KeysError> {
    if comment.chars().any(char::is_control) {
        return Err(KeysError::Comment { comment: comment.to_owned() });
    }
    let crypto = |source| KeysError::Crypto { doing: "writing a key", source };
    let mut raw = inner.to_bytes();
    match password {
        None => {
            // A key that was opened with a password still names its derivation: the plain form has none.
            raw.iter_mut().take(SECRET).skip(6).for_each(|byte| *byte = 0);
            raw.iter_mut().take(4).skip(2).for_each(|byte| *byte = 0);
        }
        Some(password) => encrypt(&mut raw, password)?,
    }
    let boxed = minisign::SecretKey::from_bytes(&raw).and_then(|key| key.to_box(Some(comment))).map_err(crypto)?;
    Ok(boxed.into_string())
}

/// Encrypts a key that exists. The library encrypts only the keys that it makes, so a key is made for this password and
/// thrown away: what hides it is the stream for its salt and limits, and with these it serves ours.
fn encrypt(raw: &mut [u8], password: &str) -> Result<(), KeysError> {
    if raw.iter().skip(CHECKSUM).all(|byte| *byte == 0) {
        return Err(KeysError::NoChecksum);
    }
    let crypto = |source| KeysError::Crypto { doing: "encrypting a key", source };
    let lent = minisign::KeyPair::generate_encrypted_keypair(Some(password.to_owned())).map_err(crypto)?;
    let closed = lent.sk.to_bytes();
    let open = lent
        .sk
        .to_box(None)
        .and_then(|boxed| boxed.into_secret_key(Some(password.to_owned())))
        .map_err(crypto)?
        .to_bytes();
    for (index, ((byte, closed), open)) in raw.iter_mut().zip(closed).zip(open).enumerate() {
        *byte = if index < SECRET { closed } else { *byte ^ closed ^ open };
    }
    Ok(())
}

/// A passwordless key. Stock minisign writes a zero checksum, which the library would refuse; so a key that has none must
/// prove itself: what it signs must verify under the public half that it carries.
fn open_plain(raw: &[u8]) -> Result<SecretKey, KeysError> {
    let inner = minisign::SecretKey::from_bytes(raw).map_err(|_| KeysError::NotAKey)?;
    if raw.iter().skip(CHECKSUM).any(|byte| *byte != 0) {
        let boxed = inner.to_box(None).map_err(|_| KeysError::NotAKey)?;
        let inner = boxed.into_unencrypted_secret_key().map_err(|_| KeysError::NotAKey)?;
        return SecretKey::from_inner(inner, false);
    }
    let public = minisign::PublicKey::from_secret_key(&inner).map_err(|_| KeysError::NotAKey)?;
    // The library checks the signature that it made against the public key that it is given.
    minisign::sign(Some(&public), &inner, &b""[..], Some(""), Some("")).map_err(|_| KeysError::NotAKey)?;
    SecretKey::from_inner(inner, false)
}

fn decode(text: &str) -> Result<Vec<u8>, KeysError> {
    let mut lines = text.lines();
    let comment = lines.next().unwrap_or_default();
    let (Some(line), true) = (lines.next(), comment.starts_with("untrusted comment:")) else {
        return Err(KeysError::NotAKey);
    };
    let raw = Base64::decode_to_vec(line, None).map_err(|_| KeysError::NotAKey)?;
    if raw.len() == RAW && raw.starts_with(b"Ed") && raw.get(4..6) == Some(b"B2") {
        Ok(raw)
    } else {
        Err(KeysError::NotAKey)
    }
}

fn protection(raw: &[u8]) -> Result<Protection, KeysError> {
    match raw.get(2..4) {
        Some(b"Sc") => Ok(Protection::Password),
        Some([0, 0]) => Ok(Protection::None),
        _ => Err(KeysError::NotAKey),
    }
}

fn read_text(path: &Path) -> Result<String, KeysError> {
    // A key file may well be a symlink: key managers and secret mounts place them so.
    let path_read = path.canonicalize().map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => at(path, KeysError::Missing),
        _ => at(path, KeysError::Io(source)),
    })?;
    let bytes = files::read_capped(&path_read, MAX_FILE)
        .map_err(|source| at(path, KeysError::Io(source)))?
        .ok_or_else(|| at(path, KeysError::Missing))?;
    String::from_utf8(bytes).map_err(|_| at(path, KeysError::NotAKey))
}

fn at(path: &Path, source: KeysError) -> KeysError {
    KeysError::File { path: path.to_owned(), source: Box::new(source) }
}
