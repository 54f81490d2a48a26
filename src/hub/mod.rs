//! Words of the Hugging Face hub: its addresses, what it answers, why it refuses.
//!
//! Pure: texts in, values out; used by whoever asks a hub, lays files out as its clients do, or stands in for one. What is
//! read here was seen with the hub's own clients of 2024 to 2026. Refuses to know sockets. Nothing that a hub says is
//! trusted: a size and a digest are promises that bytes must keep.

mod address;
mod asked;
mod denial;
mod error;
mod refusal;
mod revision;
mod shown;
mod wire;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use crate::model::{GitBlobId, HubCommit, HubId, PathSet, Pin, RelPath};

pub use address::{Endpoint, EndpointError};
pub use asked::{Asked, AskedRepository, What, parse_asked};
pub use denial::{Denial, header_text};
pub use error::{HubError, refusal_hints};
pub use refusal::{Refusal, Told};
pub use revision::{MAIN, Offered, Revision, Standing, list, newest};
pub use shown::{
    CommitWords, Detail, Named, NoPage, PAGE, Shown, TreePage, TreeQuery, find, render_info, render_paths, render_refs,
    render_tree,
};
pub use wire::{next_query, parse_commit, parse_tree};

/// The hub's own address, where nobody names another.
pub const DEFAULT_ENDPOINT: &str = "https://huggingface.co";
/// Largest answer about a repository, in bytes: it may list 100,000 files.
pub const MAX_INFO: u64 = 64 << 20;
/// Largest page of a listing, in bytes.
pub const MAX_PAGE: u64 = 16 << 20;
/// Most files of one commit.
pub const MAX_FILES: usize = 1_000_000;
/// Most pages of one listing: the hub puts 1,000 entries on one, folders among them.
const MAX_PAGES: usize = 10_000;
/// Most bytes of all files of a commit together. A lock can't say more.
const MAX_BYTES: u64 = i64::MAX.cast_unsigned();

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
        git: GitBlobId,
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

impl Listing {
    /// The files of a commit, from all pages of its listing.
    ///
    /// # Errors
    /// `E0675`: none or too many files, paths that can't live in one folder; `E0674`: sizes that no disk has.
    pub fn new(id: &HubId, commit: HubCommit, mut files: Vec<HubFile>) -> Result<Self, HubError> {
        if files.is_empty() || files.len() > MAX_FILES {
            return Err(HubError::Count { id: id.clone(), found: files.len() });
        }
        let bytes = files.iter().try_fold(0_u64, |sum, file| sum.checked_add(file.identity.size()));
        if bytes.is_none_or(|bytes| bytes > MAX_BYTES) {
            return Err(strange(id, "the sizes that it lists add up to more than any disk holds"));
        }
        files.sort_by(|left, right| left.path.cmp(&right.path));
        let mut paths = PathSet::new();
        for file in &files {
            paths.insert(&file.path).map_err(|source| HubError::Path { id: id.clone(), source })?;
        }
        Ok(Self { commit, files })
    }
}

/// The pages of a listing, followed from one to the next.
#[derive(Debug, Default)]
pub struct Pages {
    seen: BTreeSet<String>,
}

impl Pages {
    /// The query of the page after this one; none: it was the last.
    ///
    /// # Errors
    /// `E0674`: it was read already, or there are more pages than a listing has.
    pub fn after(&mut self, id: &HubId, link: Option<&str>) -> Result<Option<String>, HubError> {
        let Some(query) = link.and_then(next_query) else { return Ok(None) };
        if self.seen.len() >= MAX_PAGES {
            return Err(strange(id, "its listing has more pages than any"));
        }
        if !self.seen.insert(query.clone()) {
            return Err(strange(id, "a page of its listing leads back to one before"));
        }
        Ok(Some(query))
    }
}

fn strange(id: &HubId, problem: &str) -> HubError {
    HubError::Strange { id: id.clone(), problem: problem.to_owned() }
}
