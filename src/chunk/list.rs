//! A chunk index as bytes and as values.

use crate::chunk::{ChunkError, ChunkHash};
use crate::model::{Pin, Sha256};

/// Most bytes of one chunk: what a client must be ready to hold.
pub const MAX_CHUNK: u32 = 8 << 20;
/// Most chunks of one index.
pub const MAX_CHUNKS: u32 = 1 << 20;
/// Largest index, in bytes: a header of 56 and 36 a chunk.
pub const MAX_INDEX: u64 = 56 + 36 * (MAX_CHUNKS as u64);

const MAGIC: [u8; 12] = *b"mpm.chunks/1";
const HEADER: usize = 56;
const ENTRY: usize = 36;

/// A chunk index: how a blob divides into chunks, and what each is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkList {
    blob: Pin,
    /// Where each chunk ends, rising; the last is the blob's size.
    ends: Vec<u64>,
    /// As many.
    hashes: Vec<ChunkHash>,
}

/// One chunk of a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// Its first byte, counted from the blob's begin.
    pub offset: u64,
    /// Its bytes: 1 to [`MAX_CHUNK`].
    pub length: u32,
    /// What they are.
    pub hash: ChunkHash,
}

impl ChunkList {
    /// Puts a list together of chunks in order: lengths in bytes, and hashes.
    ///
    /// # Errors
    /// `E0233`: too many chunks, an empty or a too large one, or chunks that are not as long as the blob.
    pub fn new(blob: Pin, chunks: impl IntoIterator<Item = (u32, ChunkHash)>) -> Result<Self, ChunkError> {
        Self::of(blob, 0, chunks)
    }

    /// The same, with memory for so many from the start.
    fn of(blob: Pin, count: usize, chunks: impl IntoIterator<Item = (u32, ChunkHash)>) -> Result<Self, ChunkError> {
        let mut list = Self { blob, ends: Vec::with_capacity(count), hashes: Vec::with_capacity(count) };
        let mut end = 0_u64;
        for (number, (length, hash)) in (0_u32..).zip(chunks) {
            if number >= MAX_CHUNKS {
                return Err(ChunkError::TooMany { found: u64::from(number).saturating_add(1), most: MAX_CHUNKS });
            }
            if length == 0 || length > MAX_CHUNK {
                return Err(ChunkError::Chunk { number, length, most: MAX_CHUNK });
            }
            // At most 2^20 times 2^23.
            end = end.saturating_add(u64::from(length));
            list.ends.push(end);
            list.hashes.push(hash);
        }
        if end == blob.size { Ok(list) } else { Err(ChunkError::Sum { expected: blob.size, found: end }) }
    }

    /// Reads an index of `blob`. That its own bytes are the pinned ones was checked when they were fetched. What it holds
    /// in memory is bounded by the bytes that are there, not by what they say.
    ///
    /// # Errors
    /// `E0231`: no index, cut, or with bytes behind its end; `E0232`: of another blob; `E0233`: as for [`ChunkList::new`].
    pub fn parse(bytes: &[u8], blob: &Pin) -> Result<Self, ChunkError> {
        let (header, entries) = bytes.split_at_checked(HEADER).ok_or(ChunkError::Header)?;
        let rest = header.strip_prefix(&MAGIC).ok_or(ChunkError::Header)?;
        let (count, rest) = rest.split_first_chunk::<4>().ok_or(ChunkError::Header)?;
        let (size, rest) = rest.split_first_chunk::<8>().ok_or(ChunkError::Header)?;
        let sha256 = rest.first_chunk::<32>().ok_or(ChunkError::Header)?;
        let count = u32::from_le_bytes(*count);
        let found = Pin { sha256: Sha256::from_bytes(*sha256), size: u64::from_le_bytes(*size) };
        if found != *blob {
            return Err(ChunkError::Blob { expected: *blob, found });
        }
        if count > MAX_CHUNKS {
            return Err(ChunkError::TooMany { found: u64::from(count), most: MAX_CHUNKS });
        }
        let expected = u64::from(count).saturating_mul(ENTRY as u64).saturating_add(HEADER as u64);
        if bytes.len() as u64 != expected {
            return Err(ChunkError::Length { count, expected, found: bytes.len() as u64 });
        }
        Self::of(*blob, entries.len() / ENTRY, entries.chunks_exact(ENTRY).filter_map(entry))
    }

    /// The index as it is stored.
    pub fn render(&self) -> Vec<u8> {
        let count = u32::try_from(self.hashes.len()).unwrap_or(MAX_CHUNKS);
        let mut bytes = Vec::with_capacity(self.hashes.len().saturating_mul(ENTRY).saturating_add(HEADER));
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&count.to_le_bytes());
        bytes.extend_from_slice(&self.blob.size.to_le_bytes());
        bytes.extend_from_slice(self.blob.sha256.as_bytes());
        for chunk in self.iter() {
            bytes.extend_from_slice(&chunk.length.to_le_bytes());
            bytes.extend_from_slice(chunk.hash.as_bytes());
        }
        bytes
    }

    /// The blob that is divided.
    pub fn blob(&self) -> &Pin {
        &self.blob
    }

    /// Number of chunks.
    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Whether there is no chunk: the blob is empty.
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// A chunk by its number, counted from 0.
    pub fn get(&self, number: usize) -> Option<Chunk> {
        let offset = match number.checked_sub(1) {
            None => 0,
            Some(before) => *self.ends.get(before)?,
        };
        let (end, hash) = (*self.ends.get(number)?, *self.hashes.get(number)?);
        let length = u32::try_from(end.checked_sub(offset)?).ok()?;
        Some(Chunk { offset, length, hash })
    }

    /// The number of the chunk that holds the blob's byte at `offset`.
    pub fn at(&self, offset: u64) -> Option<usize> {
        let number = self.ends.partition_point(|end| *end <= offset);
        (number < self.ends.len()).then_some(number)
    }

    /// The chunks in order.
    pub fn iter(&self) -> impl Iterator<Item = Chunk> {
        (0..self.len()).filter_map(|number| self.get(number))
    }
}

/// One entry: length and hash. An entry of another length can't come.
fn entry(bytes: &[u8]) -> Option<(u32, ChunkHash)> {
    let (length, hash) = bytes.split_first_chunk::<4>()?;
    Some((u32::from_le_bytes(*length), ChunkHash::from_bytes(*hash.first_chunk::<32>()?)))
}
