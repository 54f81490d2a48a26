//! The five ways to get a file of an index.

use std::path::PathBuf;
use std::sync::Arc;

use crate::bundle::BundleError;
use crate::diagnose::{Class, Code, Diagnose, Hint};
use crate::sys::git::GitError;
use crate::sys::{BlobReader, HttpError};

/// Whether a copy that may be old will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// Any copy will do: the file never changes, or its bytes are pinned.
    Immutable,
    /// It changes: ask whether it did.
    Revalidate,
    /// Ask past every cache.
    PastCaches,
}

/// A way to get files of an index.
pub trait Origin: Send + Sync {
    /// The file at a path, if it is there and no larger than `cap`.
    ///
    /// # Errors
    /// The place can't be reached, or the file is larger.
    fn get(&self, path: &str, cap: u64, freshness: Freshness) -> Result<Option<Vec<u8>>, OriginError>;

    /// Many at once, in parallel where that helps; answers in order.
    ///
    /// # Errors
    /// The first that fails.
    fn get_many(&self, paths: &[(String, u64)], freshness: Freshness) -> Result<Vec<Option<Vec<u8>>>, OriginError> {
        paths.iter().map(|(path, cap)| self.get(path, *cap, freshness)).collect()
    }

    /// What to call it in messages; no credentials.
    fn describe(&self) -> String;

    /// Whether its files may be of different ages for a while, because caches lie between.
    fn may_lag(&self) -> bool {
        false
    }

    /// Whether somebody may be writing its files this moment, so that a second look an instant later can help.
    fn may_be_written(&self) -> bool {
        false
    }

    /// Blobs that it has whatever the checkpoint says of bases.
    fn own_blobs(&self) -> Option<Arc<dyn BlobReader>> {
        None
    }

    /// Blobs below a relative base that only this place can read; `None` where a base is a folder or an address.
    fn blobs(&self, base: &str) -> Option<Arc<dyn BlobReader>>;
}

/// Why a file can't be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OriginError {
    /// Over HTTP.
    #[error(transparent)]
    Http(HttpError),
    /// Out of a git repository.
    #[error(transparent)]
    Git(GitError),
    /// A folder that can't be read.
    #[error("{} can't be read", path.display())]
    Folder {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A bundle that can't be opened.
    #[error(transparent)]
    Bundle(BundleError),
    /// A symbolic link, device or other thing where a file is expected.
    #[error("{} is not a regular file in a regular folder", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// Larger than its kind may be.
    #[error("{path} of {place} is larger than the {cap} bytes that it may have")]
    TooLarge {
        /// The file.
        path: String,
        /// The index.
        place: String,
        /// Bytes allowed.
        cap: u64,
    },
}

impl OriginError {
    /// Whether the run is offline and the place was not asked.
    pub fn is_offline(&self) -> bool {
        matches!(self, Self::Http(HttpError::Offline { .. }) | Self::Git(GitError::Http(HttpError::Offline { .. })))
    }
}

impl From<GitError> for OriginError {
    fn from(error: GitError) -> Self {
        Self::Git(error)
    }
}

impl Diagnose for OriginError {
    fn code(&self) -> Code {
        match self {
            Self::Http(error) => error.code(),
            Self::Git(error) => error.code(),
            Self::Bundle(error) => error.code(),
            Self::Folder { .. } => Code("E0141"),
            Self::NotAFile { .. } => Code("E0142"),
            Self::TooLarge { .. } => Code("E0143"),
        }
    }

    fn class(&self) -> Class {
        match self {
            Self::Http(error) => error.class(),
            Self::Git(error) => error.class(),
            Self::Bundle(error) => error.class(),
            Self::Folder { .. } => Class::Network,
            Self::NotAFile { .. } | Self::TooLarge { .. } => Class::Trust,
        }
    }

    fn hints(&self) -> Vec<Hint> {
        match self {
            Self::Http(error) => error.hints(),
            Self::Git(error) => error.hints(),
            Self::Bundle(error) => error.hints(),
            Self::NotAFile { .. } | Self::TooLarge { .. } => {
                vec![Hint::Note("nothing was changed; the index's owner can say what is wrong there".to_owned())]
            }
            Self::Folder { path, .. } => vec![Hint::Run(format!("ls -ld '{}'", path.display()))],
        }
    }
}
