//! Images, sounds and column files that are told by first and last bytes, so that nothing hides behind their end.

use crate::formats::{Shape, Source};

/// The format word of a media or column file.
///
/// # Errors
/// The bytes can't be read.
pub fn media(source: Source<'_>) -> std::io::Result<Shape<&'static str>> {
    let head = source.read(0, 12)?;
    let tail = source.tail(12)?;
    let riff = |kind: &[u8]| head.starts_with(b"RIFF") && head.get(8..12) == Some(kind);
    let (word, whole) = if head.starts_with(b"\x89PNG\r\n\x1a\n") {
        ("png", tail.get(tail.len().saturating_sub(8)..) == Some(b"IEND\xaeB`\x82"))
    } else if head.starts_with(b"\xff\xd8\xff") {
        ("jpeg", tail.ends_with(b"\xff\xd9"))
    } else if head.starts_with(b"GIF87a") || head.starts_with(b"GIF89a") {
        ("gif", tail.ends_with(b";"))
    } else if riff(b"WEBP") {
        ("webp", riff_ends(&head, source.size()))
    } else if riff(b"WAVE") {
        ("wav", riff_ends(&head, source.size()))
    } else if head.starts_with(b"fLaC") {
        ("flac", true)
    } else if head.starts_with(b"OggS") {
        ("ogg", true)
    } else if head.starts_with(b"ID3") {
        ("mp3", true)
    } else if head.starts_with(b"PAR1") {
        ("parquet", source.size() >= 12 && tail.ends_with(b"PAR1") && footer(source, &tail))
    } else if head.starts_with(b"ARROW1\0\0") {
        ("arrow", source.size() >= 24 && tail.ends_with(b"ARROW1"))
    } else {
        return Ok(Shape::Other);
    };
    Ok(if whole {
        Shape::Whole(word)
    } else {
        Shape::Broken(format!("begins as {word} and does not end as {word} does: cut short, or data behind its end"))
    })
}

/// Whether the length in a RIFF header is the file's.
fn riff_ends(head: &[u8], size: u64) -> bool {
    let length = head.get(4..8).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok()).map(u32::from_le_bytes);
    length.is_some_and(|length| u64::from(length).checked_add(8) == Some(size))
}

/// Whether parquet's footer fits into the file.
fn footer(source: Source<'_>, tail: &[u8]) -> bool {
    let length = tail.get(4..8).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok()).map(u32::from_le_bytes);
    length.is_some_and(|length| u64::from(length).saturating_add(12) <= source.size())
}
