//! Staged writes: an open handle on the store's file system that hashes what it takes.

use std::path::{Path, PathBuf};

use crate::model::{Pin, Sha256Hasher};

/// A file being written in order; finished, it becomes [`Staged`].
#[derive(Debug)]
pub struct Staging {
    path: PathBuf,
}

/// A whole file with its digest, held by an open handle: nothing re-opens a path between check and use. Dropped without
/// being committed, it is removed.
#[derive(Debug)]
pub struct Staged {
    pin: Pin,
    what: String,
    path: PathBuf,
    file: std::fs::File,
}

impl Staged {
    /// Digest and size of what was written.
    pub fn pin(&self) -> Pin {
        self.pin
    }

    /// What it is for, in messages.
    pub fn what(&self) -> &str {
        &self.what
    }
}
