//! Existing files into the store: what `store adopt` and the seeds of a fetch have in common.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::model::{Pin, Sha256};
use crate::ops::Services;
use crate::ops::hub_cache::{Candidate, Promise};
use crate::store::{Store, StoreError};
use crate::sys::{Bringing, Copying, Existing, Known, NotBrought, Way, files};
use crate::verify::{Verified, verify};

/// From this size on a file is copied only if somebody was told.
pub(super) const LARGE: u64 = 16 << 20;
/// Bytes that wait for one shared barrier.
const BATCH_BYTES: u64 = 64 << 20;

/// A file whose name promises other bytes than it has: it is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The file.
    pub path: PathBuf,
    /// What its name promises: `sha256 …` or `git blob …`.
    pub promised: String,
    /// What its bytes are.
    pub found: Pin,
}

/// A file that was left where it is, though nothing is wrong with its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// The file.
    pub path: PathBuf,
    /// Why, in words.
    pub reason: String,
}

/// What became of a file.
#[derive(Debug, Clone)]
pub(super) enum Fate {
    /// It is in the store now.
    Taken(Pin, Way),
    /// The store had it.
    There(Pin),
    Refused(Refused),
    Left(Left),
}

/// Takes files; shared by all cores.
pub(super) struct Taking<'a> {
    services: &'a Services,
    store: &'a Store,
    bringing: Bringing,
    copying: Copying,
    inodes: OnceLock<BTreeMap<(u64, u64), Pin>>,
    /// Digests that some thread takes: the same bytes may lie there twice.
    claimed: Mutex<BTreeSet<Sha256>>,
    batch: Mutex<Batch>,
}

/// What waits to get its name, and what somebody wrote to meanwhile.
#[derive(Default)]
struct Batch {
    blobs: Vec<Verified>,
    bytes: u64,
    changed: BTreeSet<Pin>,
}

impl<'a> Taking<'a> {
    /// Begins to put files into the store.
    pub(super) fn begin(services: &'a Services, store: &'a Store, copying: Copying) -> Result<Self, StoreError> {
        Ok(Self {
            services,
            store,
            bringing: Bringing::into(store.begin()?),
            copying,
            inodes: OnceLock::new(),
            claimed: Mutex::default(),
            batch: Mutex::default(),
        })
    }

    /// What the ways of bringing files can do.
    pub(super) fn bringing(&self) -> &Bringing {
        &self.bringing
    }

    /// The same, with another rule about copies.
    pub(super) fn copying(self, copying: Copying) -> Self {
        Self { copying, ..self }
    }

    /// Takes a candidate below `folder`, if its bytes are what its names promise.
    pub(super) fn take(
        &self,
        folder: &Path,
        candidate: &Candidate,
        advanced: &dyn Fn(u64),
    ) -> Result<Fate, StoreError> {
        let path = folder.join(&candidate.below);
        let left = |reason: String| Ok(Fate::Left(Left { path: path.clone(), reason }));
        if self.services.cancel.is_cancelled() {
            return Err(StoreError::Stopped);
        }
        if let Some(pin) = self.stored_inode(candidate)?
            && candidate.contradicts(&pin).is_none()
            && self.store.hold(&pin)?
        {
            return Ok(Fate::There(pin));
        }
        let existing = match Existing::open(folder, &candidate.below) {
            Ok(Some(existing)) => existing,
            Ok(None) => return left("it is gone".to_owned()),
            Err(error) => return left(error.to_string()),
        };
        let known = match self.hash(existing, candidate, advanced) {
            Ok(known) => known,
            Err(error) => return self.not_brought(error, &path).map(Fate::Left),
        };
        if let Some(broken) = candidate.promises.iter().find(|promise| !promise.is_kept(&known)) {
            return Ok(Fate::Refused(refused(path, *broken, &known)));
        }
        self.keep(known)
    }

    fn hash(&self, existing: Existing, candidate: &Candidate, advanced: &dyn Fn(u64)) -> Result<Known, NotBrought> {
        self.bringing.hash(existing, candidate.digests(), &self.services.cancel, advanced)
    }

    /// Takes bytes that are what they should be, unless the store has them.
    pub(super) fn keep(&self, known: Known) -> Result<Fate, StoreError> {
        let (pin, path) = (known.pin(), known.path().to_owned());
        let first = self.claimed.lock().unwrap_or_else(PoisonError::into_inner).insert(pin.sha256);
        if !first || self.store.hold(&pin)? {
            return Ok(Fate::There(pin));
        }
        let brought = self.bringing.bring(known, &path.display().to_string(), self.copying, &self.services.cancel);
        let (staged, way) = match brought {
            Ok(brought) => brought,
            Err(error) => {
                self.claimed.lock().unwrap_or_else(PoisonError::into_inner).remove(&pin.sha256);
                return self.not_brought(error, &path).map(Fate::Left);
            }
        };
        let Ok(verified) = verify(staged, &pin) else {
            return self.not_brought(NotBrought::Changed, &path).map(Fate::Left);
        };
        let mut batch = self.batch.lock().unwrap_or_else(PoisonError::into_inner);
        batch.blobs.push(verified);
        batch.bytes = batch.bytes.saturating_add(pin.size);
        if batch.blobs.len() >= Store::BATCH || batch.bytes >= BATCH_BYTES {
            batch.flush(self.store)?;
        }
        Ok(Fate::Taken(pin, way))
    }

    /// Gives what waits its name; returns what somebody wrote to meanwhile, which was not taken.
    pub(super) fn end(&self) -> Result<BTreeSet<Pin>, StoreError> {
        let mut batch = self.batch.lock().unwrap_or_else(PoisonError::into_inner);
        batch.flush(self.store)?;
        Ok(std::mem::take(&mut batch.changed))
    }

    /// The blob that the file is another name of, if it has another name at all.
    fn stored_inode(&self, candidate: &Candidate) -> Result<Option<Pin>, StoreError> {
        if candidate.metadata.nlink() < 2 {
            return Ok(None);
        }
        if self.inodes.get().is_none() {
            // Two threads may both ask; the answers are alike.
            let _ = self.inodes.set(self.store.inodes()?);
        }
        Ok(self.inodes.get().and_then(|inodes| inodes.get(&candidate.inode())).copied())
    }

    /// What an obstacle means: an end of the run, or a file that is left.
    pub(super) fn not_brought(&self, error: NotBrought, path: &Path) -> Result<Left, StoreError> {
        match error {
            NotBrought::Disk(source) if source.kind() == io::ErrorKind::Interrupted => Err(StoreError::Stopped),
            NotBrought::Disk(source) if files::is_full(&source) => {
                Err(StoreError::Full { path: self.store.folder().to_owned(), source })
            }
            other => Ok(Left { path: path.to_owned(), reason: other.to_string() }),
        }
    }
}

/// The refusal of a file that breaks a promise.
pub(super) fn refused(path: PathBuf, promise: Promise, known: &Known) -> Refused {
    Refused { path, promised: promise.text(), found: known.pin() }
}

/// What is said of a file that somebody wrote to at the last moment.
pub(super) fn changed(path: PathBuf) -> Left {
    Left { path, reason: NotBrought::Changed.to_string() }
}

impl Batch {
    fn flush(&mut self, store: &Store) -> Result<(), StoreError> {
        self.bytes = 0;
        let changed = store.insert_steady(std::mem::take(&mut self.blobs))?.changed;
        self.changed.extend(changed.into_iter().map(|(pin, _)| pin));
        Ok(())
    }
}
