//! Ids of git blobs: what the hub names small files by.

use std::fmt;

/// The id of a git blob: the SHA-1 of `blob <size>`, a zero byte and the bytes; printed as 40 lowercase hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GitBlobId([u8; 20]);

/// Why a text is no id of a git blob.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the id of a git blob is 40 lowercase hex digits, found {found:?}")]
pub struct GitBlobIdError {
    /// What was found, cut to 80 characters.
    pub found: String,
}

impl GitBlobId {
    /// An id from its 20 raw bytes.
    pub fn from_bytes(bytes: [u8; 20]) -> Self {
        Self(bytes)
    }

    /// Parses 40 lowercase hex digits.
    ///
    /// # Errors
    /// Anything else, uppercase digits included.
    pub fn parse(text: &str) -> Result<Self, GitBlobIdError> {
        let fail = || GitBlobIdError { found: text.chars().take(80).collect() };
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        if text.len() != 40 {
            return Err(fail());
        }
        let mut bytes = [0_u8; 20];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let [high, low] = pair else { return Err(fail()) };
            let (Some(high), Some(low)) = (digit(*high), digit(*low)) else { return Err(fail()) };
            *byte = high << 4 | low;
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for GitBlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for GitBlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GitBlobId({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::GitBlobId;

    #[test]
    fn ids_are_read_as_they_are_printed() {
        let text = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391";
        assert_eq!(GitBlobId::parse(text).expect("parses").to_string(), text);
        for bad in ["", "e69d", &text.to_uppercase(), &format!("{text}0"), &"é".repeat(20)] {
            assert!(GitBlobId::parse(bad).is_err(), "{bad}");
        }
    }
}
