//! Blobs into the store: sealed, made durable, renamed; many of them with shared barriers.

use std::collections::BTreeSet;
use std::fs::{File, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use crate::model::{Pin, Sha256};
use crate::store::look::{self, Stand};
use crate::store::{Entry, Store, StoreError};
use crate::sys::{Staged, Staging, fault, files};
use crate::verify::{Verified, verify};

/// From so many blobs on, one barrier for the whole file system is cheaper than one for each.
const SHARED_BARRIER: usize = 8;

/// What a mode keeps of the rights that it gives.
const READ_ONLY: u32 = 0o555;

/// What became of many blobs.
#[derive(Debug)]
pub struct Inserted {
    /// Those that are in the store now.
    pub entries: Vec<Entry>,
    /// Those that were written to after they were hashed, and what they are; they were not taken.
    pub changed: Vec<(Pin, String)>,
}

impl Store {
    /// Blobs that are best given to [`Store::insert_all`] at a time: each holds an open file.
    pub const BATCH: usize = 256;

    /// Takes a verified blob.
    ///
    /// # Errors
    /// The disk is full, or the store can't be written.
    pub fn insert(&self, blob: Verified) -> Result<Entry, StoreError> {
        let pin = *blob.pin();
        self.insert_all(vec![blob])?;
        Ok(Entry { path: self.path_of(&pin.sha256), pin })
    }

    /// Takes many blobs with shared barriers.
    ///
    /// # Errors
    /// As for one.
    pub fn insert_all(&self, blobs: Vec<Verified>) -> Result<Vec<Entry>, StoreError> {
        let Inserted { entries, changed } = self.insert_steady(blobs)?;
        match changed.into_iter().next() {
            Some((_, what)) => Err(StoreError::Changed { what }),
            None => Ok(entries),
        }
    }

    /// Takes those of many blobs whose files nobody wrote to since they were hashed. Only a file that has a name outside of the
    /// store can be written to.
    ///
    /// # Errors
    /// As for one.
    pub fn insert_steady(&self, blobs: Vec<Verified>) -> Result<Inserted, StoreError> {
        let mut inserting = self.inserting();
        let inserted = inserting.take_steady(blobs)?;
        inserting.end()?;
        Ok(inserted)
    }

    /// Begins to take blobs in several goes, of which each makes the names of the one before durable along with its bytes.
    pub fn inserting(&self) -> Inserting<'_> {
        Inserting { store: self, owed: BTreeSet::new() }
    }

    /// Gives a staged blob its name, unless a good one has it already. Returns the folder.
    fn name(&self, pin: Pin, mut blob: Staged, stand: Stand) -> Result<PathBuf, StoreError> {
        let shard = self.make_shard(&pin.sha256)?;
        let path = self.path_of(&pin.sha256);
        loop {
            if blob.rename_to(&path).map_err(StoreError::at(&path))? {
                self.remember_stand(&pin.sha256, stand);
                return Ok(shard);
            }
            // Somebody was first. A damaged blob is set aside by the look, and ours takes its place.
            if let Some((_, file)) = self.look(&pin)? {
                freshen(&file);
                blob.discard();
                return Ok(shard);
            }
            if self.open_blob(&pin.sha256)?.is_some() {
                // Still there, though it is not what its name says.
                self.set_aside(&pin.sha256)?;
            }
        }
    }

    /// Puts small bytes (a statement, a file list) into the store as a blob.
    ///
    /// # Errors
    /// The store can't be written.
    pub fn put_bytes(&self, bytes: &[u8]) -> Result<Pin, StoreError> {
        let pin = Pin::of(bytes);
        self.enter_clean()?;
        if self.freshened(&pin)? {
            return Ok(pin);
        }
        let partial = self.staging();
        fault::point("statement-write").map_err(StoreError::at(&partial))?;
        let mut staging = Staging::create(&partial, pin.sha256.hex()).map_err(StoreError::at(&partial))?;
        staging.write(bytes).map_err(StoreError::at(&partial))?;
        match verify(staging.finish(), &pin) {
            Ok(blob) => self.insert(blob).map(|_| pin),
            // The bytes were hashed twice, from the same memory.
            Err(mismatch) => Err(StoreError::at(&partial)(std::io::Error::other(mismatch))),
        }
    }

    /// Whether the blob is there and whole; if so, a collection that runs meanwhile leaves it alone.
    ///
    /// # Errors
    /// The store can't be read.
    pub fn hold(&self, pin: &Pin) -> Result<bool, StoreError> {
        self.freshened(pin)
    }

    /// Whether the blob is there; a file of the store itself changes its time, one of a layer is not touched.
    fn freshened(&self, pin: &Pin) -> Result<bool, StoreError> {
        if self.look_below(pin).is_some() {
            return Ok(true);
        }
        let found = self.look(pin)?;
        if let Some((_, file)) = &found {
            freshen(file);
        }
        Ok(found.is_some())
    }

    /// Has a collection leave alone those of these blobs that are there, for as long as this process is at work: for who
    /// places blobs that no root names. Where the store can't be written, nothing is claimed, and nothing fails.
    ///
    /// # Errors
    /// The store can't be read, or a collection takes too long.
    pub fn claim(&self, pins: &BTreeSet<Pin>) -> Result<(), StoreError> {
        match self.enter_clean() {
            Err(StoreError::Unusable { .. } | StoreError::Full { .. }) => return Ok(()),
            other => other?,
        }
        for pin in pins {
            self.hold(pin)?;
        }
        Ok(())
    }

    /// Removes a blob that failed, so that it is fetched again.
    ///
    /// # Errors
    /// The store can't be written.
    pub fn discard(&self, digest: &Sha256) -> Result<(), StoreError> {
        if !self.shard_stands(digest)? {
            return Ok(());
        }
        self.forget(digest);
        let path = self.path_of(digest);
        files::remove(&path).map_err(StoreError::at(&path))?;
        Ok(())
    }
}

/// Blobs that are taken in several goes. What was taken has its name, and keeps it over a crash of the machine once the next go,
/// or the end, came.
#[derive(Debug)]
pub struct Inserting<'s> {
    store: &'s Store,
    /// Folders whose new names are not durable yet.
    owed: BTreeSet<PathBuf>,
}

impl Inserting<'_> {
    /// So many blobs are best taken at a time, each of which holds an open file.
    pub fn most(&self) -> usize {
        Store::BATCH.max(files::open_limit() / 4)
    }

    /// Takes many blobs.
    ///
    /// # Errors
    /// The disk is full, or the store can't be written.
    pub fn take(&mut self, blobs: Vec<Verified>) -> Result<(), StoreError> {
        match self.take_steady(blobs)?.changed.into_iter().next() {
            Some((_, what)) => Err(StoreError::Changed { what }),
            None => Ok(()),
        }
    }

    fn take_steady(&mut self, blobs: Vec<Verified>) -> Result<Inserted, StoreError> {
        let mut inserted = Inserted { entries: Vec::with_capacity(blobs.len()), changed: Vec::new() };
        if blobs.is_empty() {
            return Ok(inserted);
        }
        let store = self.store;
        store.enter()?;
        let partial = store.staging();
        let shared = blobs.len() >= SHARED_BARRIER;
        let mut staged = Vec::with_capacity(blobs.len());
        for blob in blobs {
            let pin = *blob.pin();
            let blob = blob.into_staged();
            match store.settle(&blob, &pin.sha256).map_err(StoreError::at(&store.path_of(&pin.sha256)))? {
                Some(stand) => staged.push((pin, blob, stand)),
                None => inserted.changed.push((pin, blob.what().to_owned())),
            }
        }
        // Nothing gets its name before its bytes are on the disk.
        if shared {
            fault::point("blob-sync").map_err(StoreError::at(&partial))?;
        }
        if shared && files::sync_filesystem(&partial).map_err(StoreError::at(&partial))? {
            self.owed.clear();
        } else {
            for (pin, blob, _) in &staged {
                blob.sync().map_err(StoreError::at(&store.path_of(&pin.sha256)))?;
            }
        }
        for (pin, blob, stand) in staged {
            self.owed.insert(store.name(pin, blob, stand)?);
            inserted.entries.push(Entry { path: store.path_of(&pin.sha256), pin });
        }
        Ok(inserted)
    }

    /// Makes the last names durable.
    ///
    /// # Errors
    /// A write was lost.
    pub fn end(self) -> Result<(), StoreError> {
        let partial = self.store.staging();
        let shared = self.owed.len() >= SHARED_BARRIER;
        if !(shared && files::sync_filesystem(&partial).map_err(StoreError::at(&partial))?) {
            for shard in &self.owed {
                files::sync_dir(shard).map_err(StoreError::at(shard))?;
            }
        }
        Ok(())
    }
}

impl Store {
    /// Makes a file read-only and seals it, and says how it stands then; `None` if somebody wrote to it since it was hashed.
    fn settle(&self, blob: &Staged, digest: &Sha256) -> std::io::Result<Option<Stand>> {
        let Some(metadata) = blob.close_to_writers()? else { return Ok(None) };
        if self.shared.fine.load(Ordering::Relaxed) {
            return look::seal_fine(digest, blob.file(), &metadata).map(Some);
        }
        look::seal_file(digest, blob.file())?;
        let sealed = blob.file().metadata()?;
        self.shared.fine.store(sealed.mtime_nsec() != 0, Ordering::Relaxed);
        Ok(Some(Stand::of(&sealed)))
    }
}

/// Moves the file's change time, by which a collection tells what is in use from what is old.
fn freshen(file: &File) {
    // A blob of another user in a shared store can't be freshened; roots keep it. One that was private stays so.
    let Ok(metadata) = file.metadata() else { return };
    let _ = file.set_permissions(Permissions::from_mode(metadata.permissions().mode() & READ_ONLY));
}
