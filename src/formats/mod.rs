//! Bounded readers, one a format, over positioned reads: they tell what bytes are, and never trust a length.
//!
//! Pure. Every reader caps what it allocates and how many records it walks, and no input makes one panic. Refuses to know
//! names, rules and policy.

mod gguf;
mod json;
mod magic;
mod media;
mod npy;
mod pickle;
mod protobuf;
mod safetensors;
mod template;
mod text;
mod zip;

#[cfg(test)]
pub(crate) mod tests;

pub use gguf::{Gguf, gguf};
pub use json::{Json, json};
pub use magic::{Magic, magic};
pub use media::media;
pub use npy::{Npy, npy};
pub use pickle::{Pickle, pickle};
pub use protobuf::{Protobuf, protobuf};
pub use safetensors::safetensors;
pub use template::suspicious_template;
pub use text::{Text, text};
pub use zip::{Zip, ends_as_zip, zip};

/// Positioned reads over some bytes.
pub trait ReadAt {
    /// Reads up to `buffer.len()` bytes at `offset`; 0 at the end.
    ///
    /// # Errors
    /// The bytes can't be read.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<usize>;
}

impl ReadAt for &[u8] {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<usize> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(self.len());
        let rest = self.get(start..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), rest.get(..count)) {
            to.copy_from_slice(from);
        }
        Ok(count)
    }
}

/// What a reader makes of bytes that begin as its format does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape<T> {
    /// Not this format.
    Other,
    /// Whole and without a rest.
    Whole(T),
    /// Begins as this format does, and breaks a rule of it.
    Broken(String),
}

/// Bytes of known length.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    bytes: &'a dyn ReadAt,
    size: u64,
}

impl<'a> Source<'a> {
    /// `size` bytes.
    pub fn new(bytes: &'a dyn ReadAt, size: u64) -> Self {
        Self { bytes, size }
    }

    /// How many bytes there are.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Up to `most` bytes from `offset`; fewer only at the end.
    ///
    /// # Errors
    /// The bytes can't be read, or end before their declared length.
    pub fn read(&self, offset: u64, most: usize) -> std::io::Result<Vec<u8>> {
        let left = usize::try_from(self.size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let mut buffer = vec![0_u8; left.min(most)];
        let mut filled = 0_usize;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let count = self.bytes.read_at(offset.saturating_add(filled as u64), rest)?.min(rest.len());
            if count == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            filled = filled.saturating_add(count);
        }
        Ok(buffer)
    }

    /// The last bytes, at most `most`.
    ///
    /// # Errors
    /// The bytes can't be read.
    pub fn tail(&self, most: usize) -> std::io::Result<Vec<u8>> {
        self.read(self.size.saturating_sub(most as u64), most)
    }
}

/// Where the tensors of a safetensors or GGUF file begin, in bytes, rising; nothing where it is another file or breaks a
/// rule of its format.
///
/// # Errors
/// The bytes can't be read.
pub fn tensor_borders(source: Source<'_>) -> std::io::Result<Vec<u64>> {
    if let Shape::Whole(tensors) = safetensors::tensors(source)? {
        return Ok(tensors);
    }
    Ok(match gguf::walked(source)? {
        Shape::Whole((_, tensors)) => tensors,
        Shape::Other | Shape::Broken(_) => Vec::new(),
    })
}

/// Reads a source from some place on, buffered.
pub(crate) struct Cursor<'a> {
    source: Source<'a>,
    at: u64,
    buffer: Vec<u8>,
    start: u64,
}

impl<'a> Cursor<'a> {
    const BUFFER: usize = 64 * 1024;

    pub(crate) fn new(source: Source<'a>, at: u64) -> Self {
        Self { source, at, buffer: Vec::new(), start: 0 }
    }

    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    pub(crate) fn left(&self) -> u64 {
        self.source.size.saturating_sub(self.at)
    }

    /// Goes on by `count` bytes; `None` beyond the end.
    pub(crate) fn skip(&mut self, count: u64) -> Option<()> {
        (count <= self.left()).then(|| self.at = self.at.saturating_add(count))
    }

    /// Goes to a place; `None` beyond the end.
    pub(crate) fn seek(&mut self, at: u64) -> Option<()> {
        (at <= self.source.size).then(|| self.at = at)
    }

    /// The next `count` bytes; `None` beyond the end. The caller caps `count`.
    pub(crate) fn take(&mut self, count: usize) -> std::io::Result<Option<Vec<u8>>> {
        if count as u64 > self.left() {
            return Ok(None);
        }
        if count > Self::BUFFER {
            let bytes = self.source.read(self.at, count)?;
            self.at = self.at.saturating_add(count as u64);
            return Ok(Some(bytes));
        }
        let held = |cursor: &Self| {
            let from = usize::try_from(cursor.at.checked_sub(cursor.start)?).ok()?;
            cursor.buffer.get(from..from.checked_add(count)?).map(<[u8]>::to_vec)
        };
        let mut bytes = held(self);
        if bytes.is_none() {
            self.buffer = self.source.read(self.at, Self::BUFFER)?;
            self.start = self.at;
            bytes = held(self);
        }
        if bytes.is_some() {
            self.at = self.at.saturating_add(count as u64);
        }
        Ok(bytes)
    }

    pub(crate) fn byte(&mut self) -> std::io::Result<Option<u8>> {
        Ok(self.take(1)?.and_then(|bytes| bytes.first().copied()))
    }

    pub(crate) fn u32(&mut self) -> std::io::Result<Option<u32>> {
        Ok(self.take(4)?.and_then(|bytes| Some(u32::from_le_bytes(bytes.try_into().ok()?))))
    }

    pub(crate) fn u64(&mut self) -> std::io::Result<Option<u64>> {
        Ok(self.take(8)?.and_then(|bytes| Some(u64::from_le_bytes(bytes.try_into().ok()?))))
    }
}
