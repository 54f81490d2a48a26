//! Why bytes are not the chunk index of a blob.

use crate::diagnose::{Class, Code, Diagnose, Hint};
use crate::model::{HumanSize, Pin};

/// Why bytes are not the chunk index of a blob.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// It does not open as an index does.
    #[error("the chunk index does not begin with `mpm.chunks/1` and a header")]
    Header,
    /// More chunks than an index may have.
    #[error("the chunk index has {found} chunks, more than {most}")]
    TooMany {
        /// What it says.
        found: u64,
        /// The most.
        most: u32,
    },
    /// Fewer or more bytes than its chunks need.
    #[error("the chunk index has {found} bytes, expected {expected} for its {count} chunks")]
    Length {
        /// Chunks that the header says.
        count: u32,
        /// Bytes that those need.
        expected: u64,
        /// Bytes that there are.
        found: u64,
    },
    /// It is the index of another blob.
    #[error("the chunk index is of the blob {} of {}, expected {} of {}", found.sha256, HumanSize(found.size), expected.sha256, HumanSize(expected.size))]
    Blob {
        /// The blob that it was asked for.
        expected: Pin,
        /// The blob that it names.
        found: Pin,
    },
    /// A chunk of no bytes, or of more than a client holds.
    #[error("chunk {number} has {length} bytes, which is not between 1 and {most}")]
    Chunk {
        /// Counted from 0.
        number: u32,
        /// What it says.
        length: u32,
        /// The most.
        most: u32,
    },
    /// The chunks are not the blob.
    #[error("the chunks have {found} bytes together, the blob has {expected}")]
    Sum {
        /// Bytes of the blob.
        expected: u64,
        /// Bytes of all chunks.
        found: u64,
    },
}

impl Diagnose for ChunkError {
    fn code(&self) -> Code {
        match self {
            Self::Header | Self::Length { .. } => Code("E0231"),
            Self::Blob { .. } => Code("E0232"),
            Self::TooMany { .. } | Self::Chunk { .. } | Self::Sum { .. } => Code("E0233"),
        }
    }

    fn class(&self) -> Class {
        Class::Trust
    }

    fn hints(&self) -> Vec<Hint> {
        vec![Hint::Note("the index was not used; a blob can be had without one, and its sha256 is checked".to_owned())]
    }
}
