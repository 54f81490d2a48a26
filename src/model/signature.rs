//! Minisign signature files, parsed strictly.
//!
//! Format: minisign's own (four lines). Stricter than the tools that write it, because the files are malleable: only the
//! prehashed algorithm `ED`, exactly four LF lines, canonical base64, at most 8 KiB.

use std::fmt;

/// Largest signature file, in bytes.
pub(crate) const MAX_SIGNATURE: u64 = 8 * 1024;
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// A well-formed signature file. Says nothing about whom or what it is of.
#[derive(Clone)]
pub struct Signature {
    text: String,
}

/// Why bytes are not a signature file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Longer than 8 KiB.
    #[error("the signature file is larger than 8 KiB")]
    TooLarge,
    /// Not exactly four lines of UTF-8 that end with LF, with the comment markers in place.
    #[error("the signature file is not four LF lines with minisign's two comments")]
    Shape,
    /// Base64 with surplus, spaces or non-zero spare bits, or of another length.
    #[error("the signature file holds base64 that is not canonical or of the wrong length")]
    Base64,
    /// The legacy algorithm, whose tag is not signed and can be confused.
    #[error("the signature is not prehashed (ED): sign again with `minisign -S -H`")]
    Legacy,
}

impl Signature {
    /// Parses the bytes of a `.minisig` file.
    ///
    /// # Errors
    /// Any departure from the strict form.
    pub fn parse(bytes: &[u8]) -> Result<Self, SignatureError> {
        if bytes.len() as u64 > MAX_SIGNATURE {
            return Err(SignatureError::TooLarge);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| SignatureError::Shape)?;
        let mut lines = text.strip_suffix('\n').ok_or(SignatureError::Shape)?.split('\n');
        let (Some(untrusted), Some(signature), Some(trusted), Some(global), None) =
            (lines.next(), lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(SignatureError::Shape);
        };
        let comment = trusted.strip_prefix("trusted comment: ").ok_or(SignatureError::Shape)?;
        let first = untrusted.strip_prefix("untrusted comment: ").ok_or(SignatureError::Shape)?;
        if text.contains('\r') || comment.trim_end() != comment || comment.contains('\0') || first.contains('\0') {
            return Err(SignatureError::Shape);
        }
        let signature = base64_decode(signature).ok_or(SignatureError::Base64)?;
        let global = base64_decode(global).ok_or(SignatureError::Base64)?;
        if signature.len() != 74 || global.len() != 64 {
            return Err(SignatureError::Base64);
        }
        if signature.first_chunk::<2>() != Some(b"ED") {
            return Err(SignatureError::Legacy);
        }
        Ok(Self { text: text.to_owned() })
    }

    /// The file's text, for the crate that checks it.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signature(..)")
    }
}

/// Canonical base64 with padding (RFC 4648 section 4): no white space, spare bits zero.
pub(crate) fn base64_decode(text: &str) -> Option<Vec<u8>> {
    let bytes = text.as_bytes();
    if bytes.is_empty() || !bytes.len().is_multiple_of(4) {
        return None;
    }
    let padding = bytes.iter().rev().take_while(|byte| **byte == b'=').count();
    let data = bytes.get(..bytes.len() - padding)?;
    let mut out = Vec::with_capacity(bytes.len() / 4 * 3);
    let (mut buffer, mut bits) = (0_u32, 0_u32);
    for byte in data {
        let value = ALPHABET.iter().position(|letter| letter == byte)?;
        buffer = buffer << 6 | u32::try_from(value).ok()?;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            out.push(u8::try_from(buffer >> bits & 0xff).ok()?);
            buffer &= (1 << bits) - 1;
        }
    }
    (padding <= 2 && buffer == 0 && bits == [0, 2, 4].get(padding).copied()?).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::base64_decode;

    #[test]
    fn base64_is_canonical() {
        for (text, bytes) in [("TQ==", Some(&b"M"[..])), ("TWE=", Some(b"Ma")), ("TWFu", Some(b"Man"))] {
            assert_eq!(base64_decode(text).as_deref(), bytes);
        }
        for text in ["TR==", "TWF=", "TQ", "TQ= ", "T===", "TQ==\n", ""] {
            assert_eq!(base64_decode(text), None, "{text:?}");
        }
    }
}
