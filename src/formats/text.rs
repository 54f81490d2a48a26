//! Plain text: UTF-8 throughout, without control characters.

use crate::formats::Source;

/// Bytes read at a time.
const PIECE: usize = 256 * 1024;
/// Largest text that is kept for a closer look.
const MAX_KEPT: u64 = 1 << 20;

/// A text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Text {
    /// The whole of it, if it is small.
    pub small: Option<String>,
}

/// Reads everything as text; `None` if some byte speaks against it.
///
/// # Errors
/// The bytes can't be read.
pub fn text(source: Source<'_>) -> std::io::Result<Option<Text>> {
    let mut at = 0_u64;
    let mut cut: Vec<u8> = Vec::new();
    while at < source.size() {
        let piece = source.read(at, PIECE)?;
        at = at.saturating_add(piece.len() as u64);
        let mut bytes = std::mem::take(&mut cut);
        bytes.extend_from_slice(&piece);
        let good = match std::str::from_utf8(&bytes) {
            Ok(text) => text,
            // A character may be cut by the end of the piece, never by the end of the file.
            Err(error) if error.error_len().is_none() && at < source.size() => {
                let (good, rest) = bytes.split_at_checked(error.valid_up_to()).unwrap_or_default();
                cut = rest.to_vec();
                std::str::from_utf8(good).unwrap_or_default()
            }
            Err(_) => return Ok(None),
        };
        let control = |byte: u8| byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r' | 0x0c);
        if good.bytes().any(control) {
            return Ok(None);
        }
    }
    if source.size() > MAX_KEPT {
        return Ok(Some(Text::default()));
    }
    let whole = source.read(0, usize::try_from(MAX_KEPT).unwrap_or(usize::MAX))?;
    Ok(Some(Text { small: String::from_utf8(whole).ok() }))
}
