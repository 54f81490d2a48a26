//! The store: the machine's content-addressed blobs, shared by all projects (docs/formats/store.md).
//!
//! Takes only [`Verified`]. Owns `store/v1/`. Refuses to know packages, projects (beyond the roots that keep blobs) and
//! networks.
//!
//! Whoever uses blobs over some time calls [`Store::keep`] first, then finds and inserts: what a root keeps, no collection
//! removes, and what was inserted since the process began to insert, none removes either.

mod collect;
mod error;
mod insert;
mod layers;
mod layout;
mod look;
mod presence;
mod roots;
mod seal;
mod survey;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::model::{Pin, Sha256};
use crate::progress::{Progress, Silent};
use crate::sys::Lease;

pub use insert::{Inserted, Inserting};
pub use survey::Hashed;

pub use collect::{Collected, Rules};
pub use error::StoreError;
pub use roots::{Hold, Root};

/// The store. Cheap to clone; clones share what they know of blobs.
#[derive(Debug, Clone)]
pub struct Store {
    folder: PathBuf,
    shared: Arc<Shared>,
    /// Stores of others, which are asked first and never written.
    layers: Arc<Vec<layers::Layer>>,
    /// Blobs for which no layer is asked.
    passed: Arc<Mutex<BTreeSet<Sha256>>>,
    voice: Voice,
}

/// Whom the store tells what a user should know, and how long it waits for others.
#[derive(Clone)]
struct Voice {
    progress: Arc<dyn Progress>,
    patience: Duration,
}

impl std::fmt::Debug for Voice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Voice").field("patience", &self.patience).finish_non_exhaustive()
    }
}

impl Default for Voice {
    fn default() -> Self {
        Self { progress: Arc::new(Silent), patience: presence::PATIENCE }
    }
}

/// What all clones of a store share.
#[derive(Debug, Default)]
struct Shared {
    /// Blobs that this process has hashed, as they stood then.
    hashed: Mutex<BTreeMap<Sha256, look::Stand>>,
    /// The file system was seen to keep times as fine as a seal needs them.
    fine: AtomicBool,
    /// Folders `ab` that were found to be folders.
    shards: Mutex<BTreeSet<String>>,
    /// The mark that tells collections that this process is at work.
    presence: Mutex<Option<Lease>>,
}

/// A blob that the store holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where its file is.
    pub path: PathBuf,
    /// What it is.
    pub pin: Pin,
}

/// Whether a change is made or only told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DryRun {
    /// Only told.
    Yes,
    /// Made.
    No,
}

/// A blob whose bytes are not what its name says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadBlob {
    /// Its file.
    pub path: PathBuf,
    /// Its name.
    pub expected: Sha256,
    /// The digest of its bytes; none: it can't be read.
    pub found: Option<Sha256>,
}

impl Store {
    /// The same store, which tells `progress` whom it waits for and what is wrong with its layers, and waits at most so long
    /// for a collection that runs.
    #[must_use]
    pub fn telling(self, progress: Arc<dyn Progress>, patience: Duration) -> Self {
        Self { voice: Voice { progress, patience }, ..self }
    }

    /// How long others are waited for.
    pub fn patience(&self) -> Duration {
        self.voice.patience
    }

    /// The folder that was opened.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Begins to bring blobs in: marks this process as at work, removes what dead ones staged, and returns the folder for
    /// partial downloads and staged files.
    ///
    /// # Errors
    /// The store can't be written.
    pub fn begin(&self) -> Result<PathBuf, StoreError> {
        self.enter_clean()?;
        Ok(self.staging())
    }

    /// Where partial downloads and staged files live, on the store's file system.
    pub fn staging(&self) -> PathBuf {
        self.folder.join("v1/partial")
    }
}

#[cfg(test)]
mod tests;
