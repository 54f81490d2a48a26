//! What was pulled through: a store of its own, which holds no more than a quota.
//!
//! What was asked for last stays longest. Statements, file lists and chunk indexes stay: they say what the rest is.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use crate::model::{Pin, Sha256};
use crate::ops::PipelineError;
use crate::ops::serving::{Blobs, FolderBlobs};
use crate::store::Store;
use crate::sys::Extents;

/// Blobs that were pulled through.
pub(super) struct PulledBlobs {
    /// The store that is written, over the machine's own as a layer.
    pub(super) store: Store,
    /// Its own blobs, and those of the machine's store below it.
    own: FolderBlobs,
    layers: Vec<FolderBlobs>,
    quota: Option<u64>,
    held: Mutex<Held>,
}

/// What is there, and when it was asked for.
#[derive(Default)]
struct Held {
    blobs: BTreeMap<Sha256, (u64, u64)>,
    /// In order of use, for who must go.
    order: BTreeSet<(u64, Sha256)>,
    describing: BTreeSet<Sha256>,
    /// Blobs for which the layers are not asked: what they have is wrong.
    passed: BTreeSet<Sha256>,
    bytes: u64,
    /// Bytes that are coming.
    coming: u64,
    turn: u64,
}

/// Room that was taken for a blob that comes, given back when it is here or not.
pub(super) struct Room<'b> {
    blobs: &'b PulledBlobs,
    pin: Pin,
}

impl Held {
    fn put(&mut self, digest: Sha256, size: u64) {
        self.turn = self.turn.saturating_add(1);
        let turn = self.turn;
        match self.blobs.insert(digest, (size, turn)) {
            Some((_, before)) => {
                self.order.remove(&(before, digest));
            }
            None => self.bytes = self.bytes.saturating_add(size),
        }
        self.order.insert((turn, digest));
    }

    fn drop_blob(&mut self, digest: &Sha256) {
        if let Some((size, turn)) = self.blobs.remove(digest) {
            self.order.remove(&(turn, *digest));
            self.bytes = self.bytes.saturating_sub(size);
        }
    }
}

impl PulledBlobs {
    /// Opens the store in a folder, and looks at what it holds.
    pub(super) fn open(
        folder: &Path,
        layers: &[std::path::PathBuf],
        quota: Option<u64>,
    ) -> Result<Self, PipelineError> {
        let store = Store::open(folder)?.over(layers)?;
        let mut held = Held::default();
        let own = FolderBlobs::new(&folder.join("v1"), ".", None);
        let mut found: Vec<(std::time::SystemTime, Sha256, u64)> = Vec::new();
        let unreadable = |source: io::Error| crate::serve::ServeError::State { path: folder.to_owned(), source };
        own.each(&mut |digest| {
            if let Ok(Some(blob)) = own.open(&digest) {
                let file = blob.pieces().first().and_then(|piece| piece.file.metadata().ok());
                let used = file.and_then(|file| file.accessed().ok());
                found.push((used.unwrap_or(std::time::UNIX_EPOCH), digest, blob.length()));
            }
            true
        })
        .map_err(unreadable)?;
        found.sort_unstable();
        for (_, digest, size) in found {
            held.put(digest, size);
        }
        let layers = layers.iter().map(|layer| FolderBlobs::new(&layer.join("v1"), ".", None)).collect();
        Ok(Self { store, own, layers, quota, held: Mutex::new(held) })
    }

    /// This blob says what others are: it stays.
    pub(super) fn describes(&self, pin: &Pin) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.describing.insert(pin.sha256);
    }

    /// It was brought.
    pub(super) fn came(&self, pin: &Pin) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).put(pin.sha256, pin.size);
    }

    /// Takes room for a blob, for which others go; none: the quota has not so much.
    pub(super) fn room(&self, pin: &Pin) -> Option<Room<'_>> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(quota) = self.quota {
            if pin.size > quota {
                // Nothing goes for what can't come.
                return None;
            }
            let over = |held: &Held| held.bytes.saturating_add(held.coming).saturating_add(pin.size) > quota;
            while over(&held) {
                let next = held.order.iter().find(|(_, digest)| !held.describing.contains(digest)).copied();
                let (_, digest) = next?;
                // Who is reading it goes on reading: the file is gone when it is closed.
                self.store.discard(&digest).ok()?;
                held.drop_blob(&digest);
            }
        }
        held.coming = held.coming.saturating_add(pin.size);
        Some(Room { blobs: self, pin: *pin })
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        let mut held = self.blobs.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.coming = held.coming.saturating_sub(self.pin.size);
    }
}

impl Blobs for PulledBlobs {
    fn open(&self, digest: &Sha256) -> io::Result<Option<Extents>> {
        if let Some(found) = self.own.open(digest)? {
            let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            if held.blobs.contains_key(digest) {
                held.put(*digest, found.length());
            }
            return Ok(Some(found));
        }
        if self.held.lock().unwrap_or_else(PoisonError::into_inner).passed.contains(digest) {
            return Ok(None);
        }
        // A layer that can't be read has nothing.
        Ok(self.layers.iter().find_map(|layer| layer.open(digest).ok().flatten()))
    }

    fn each(&self, visit: &mut dyn FnMut(Sha256) -> bool) -> io::Result<()> {
        let all: Vec<Sha256> = {
            let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            held.blobs.keys().copied().collect()
        };
        for digest in all {
            if !visit(digest) {
                break;
            }
        }
        Ok(())
    }

    fn take_out(&self, digest: &Sha256, wrong: &Extents) -> bool {
        let gone = self.store.recheck(&Pin { sha256: *digest, size: wrong.length() }).is_ok_and(|good| !good);
        let passed = self.store.pass_over(digest).is_ok();
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.passed.insert(*digest);
        if gone {
            held.drop_blob(digest);
        }
        gone && passed
    }
}
