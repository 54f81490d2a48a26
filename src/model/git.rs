//! Git's ids of blobs.

use std::fmt;

/// The id that git gives to a file's bytes: SHA-1 over `blob SIZE\0` and the bytes, printed as 40 lowercase hex digits. It
/// tells what a listing means; what is pinned is a sha256.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GitBlob([u8; 20]);

/// Why a text is no id of a blob.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("git's id of a blob is 40 lowercase hex digits, found {found:?}")]
pub struct GitBlobError {
    /// What was found, cut.
    pub found: String,
}

impl GitBlob {
    /// An id from its 20 raw bytes.
    pub fn from_bytes(bytes: [u8; 20]) -> Self {
        Self(bytes)
    }

    /// Parses 40 lowercase hex digits.
    ///
    /// # Errors
    /// Anything else.
    pub fn parse(text: &str) -> Result<Self, GitBlobError> {
        let fail = || GitBlobError { found: text.chars().take(80).collect() };
        let hex = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f');
        if text.len() != 40 || !text.bytes().all(hex) {
            return Err(fail());
        }
        let mut bytes = [0_u8; 20];
        for (at, byte) in bytes.iter_mut().enumerate() {
            let pair = text.get(2 * at..2 * at + 2).ok_or_else(fail)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| fail())?;
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for GitBlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for GitBlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GitBlob({self})")
    }
}
