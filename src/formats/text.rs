//! Plain text: UTF-8 throughout, without control characters.

use crate::formats::Source;

/// Bytes read at a time.
const PIECE: usize = 256 * 1024;
/// Largest text that is kept for a closer look.
const MAX_KEPT: u64 = 1 << 20;

/// Control characters that no text has, three at a time: looking for these in turn is much faster than at each byte.
const CONTROL: [[u8; 3]; 10] = [
    [0, 1, 2],
    [3, 4, 5],
    [6, 7, 8],
    [0x0b, 0x0e, 0x0f],
    [0x10, 0x11, 0x12],
    [0x13, 0x14, 0x15],
    [0x16, 0x17, 0x18],
    [0x19, 0x1a, 0x1b],
    [0x1c, 0x1d, 0x1e],
    [0x1f, 0x1f, 0x1f],
];

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
        if CONTROL.iter().any(|[a, b, c]| memchr::memchr3(*a, *b, *c, good.as_bytes()).is_some()) {
            return Ok(None);
        }
    }
    if source.size() > MAX_KEPT {
        return Ok(Some(Text::default()));
    }
    let whole = source.read(0, usize::try_from(MAX_KEPT).unwrap_or(usize::MAX))?;
    Ok(Some(Text { small: String::from_utf8(whole).ok() }))
}
