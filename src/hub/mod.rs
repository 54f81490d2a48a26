//! Words of the Hugging Face hub: its addresses, what it answers, why it refuses.
//!
//! Pure: texts in, values out; used by whoever asks a hub, lays files out as its clients do, or stands in for one. What is
//! read here was seen with the hub's own clients of 2024 to 2026. Refuses to know sockets. Nothing that a hub says is
//! trusted: a size and a digest are promises that bytes must keep.

mod address;
mod error;
mod refusal;
mod wire;

#[cfg(test)]
mod tests;

use crate::model::{GitBlob, HubCommit, Pin, RelPath};

pub use address::{Endpoint, EndpointError};
pub use error::{HubError, refusal_hints};
pub use refusal::{Refusal, Told};
pub use wire::{next_query, parse_commit, parse_tree};

/// The hub's own address, where nobody names another.
pub const DEFAULT_ENDPOINT: &str = "https://huggingface.co";
/// Largest answer about a repository, in bytes: it may list 100,000 files.
pub const MAX_INFO: u64 = 64 << 20;
/// Largest page of a listing, in bytes.
pub const MAX_PAGE: u64 = 16 << 20;
/// Most files of one commit.
pub const MAX_FILES: usize = 1_000_000;

/// What a listing says about one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubFile {
    /// Its path in the repository.
    pub path: RelPath,
    /// How its bytes can be told.
    pub identity: HubIdentity,
}

/// How a hub names the bytes of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HubIdentity {
    /// A large file: size and sha256.
    Large(Pin),
    /// A file that lies in git itself: size and git's own id, which is a SHA-1.
    Small {
        /// Bytes.
        size: u64,
        /// The id of the blob.
        git: GitBlob,
    },
}

impl HubIdentity {
    /// Bytes of the file.
    pub fn size(&self) -> u64 {
        match self {
            Self::Large(pin) => pin.size,
            Self::Small { size, .. } => *size,
        }
    }
}

/// One commit with all its files, sorted by path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// The commit.
    pub commit: HubCommit,
    /// The files.
    pub files: Vec<HubFile>,
}
