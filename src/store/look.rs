//! Looking blobs up: what is there, and whether it is still what was stored.

use std::collections::BTreeSet;
use std::fs::{File, FileTimes, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::sync::PoisonError;

use crate::model::{Pin, Sha256};
use crate::store::{Entry, Store, StoreError, seal};
use crate::sys::{files, hash};

/// Blobs whose stand is remembered at most; beyond it they are hashed again where it matters.
pub(super) const REMEMBERED: usize = 65_536;

/// How often a blob that changes while it is hashed is hashed anew.
const TRIES: u32 = 3;

/// How a blob's file stood when it was hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stand {
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl Stand {
    pub(super) fn of(file: &Metadata) -> Self {
        Self { inode: file.ino(), size: file.len(), modified: (file.mtime(), file.mtime_nsec()) }
    }
}

impl Store {
    /// The blob from a layer, or from the store, if it is there with the recorded size, mtime and inode. Where those differ,
    /// or the user is root, it is hashed again; one that fails is set aside and counts as missing.
    ///
    /// # Errors
    /// The store can't be read, or a symlink stands in it.
    pub fn find(&self, pin: &Pin) -> Result<Option<Entry>, StoreError> {
        Ok(self.find_open(pin)?.map(|(entry, _)| entry))
    }

    /// Whether a file of this name and size is there, unread: for telling what would be done.
    pub fn seems_to_have(&self, pin: &Pin) -> bool {
        let own = self.path_of(&pin.sha256).symlink_metadata();
        self.seems_below(pin) || own.is_ok_and(|file| file.is_file() && file.len() == pin.size)
    }

    /// The same with the open file that was checked, for whoever places it: its path may lead elsewhere later.
    ///
    /// # Errors
    /// As for [`Store::find`].
    pub fn find_open(&self, pin: &Pin) -> Result<Option<(Entry, File)>, StoreError> {
        match self.look_below(pin) {
            Some(found) => Ok(Some(found)),
            None => self.look(pin),
        }
    }

    /// The open file of this name from the store or a layer, unread and of any size: for whoever checks its bytes and can do
    /// without.
    pub fn lend(&self, digest: &Sha256) -> Option<File> {
        let below = || self.layers.iter().find_map(|layer| files::open_regular(&layer.path_of(digest)).ok().flatten());
        self.open_blob(digest).ok().flatten().or_else(below)
    }

    /// The pins that are missing, looked up on all cores as [`Store::find`] does.
    ///
    /// # Errors
    /// The store can't be read.
    pub fn missing(&self, pins: &BTreeSet<Pin>) -> Result<BTreeSet<Pin>, StoreError> {
        let pins: Vec<&Pin> = pins.iter().collect();
        let found = hash::on_all_cores(&pins, &|_, pin: &&Pin| self.find_seen(pin));
        let mut missing = BTreeSet::new();
        for (pin, entry) in pins.into_iter().zip(found) {
            if entry?.is_none() {
                missing.insert(*pin);
            }
        }
        Ok(missing)
    }

    /// Reads a small blob whole, hashed against its pin; other bytes are set aside and count as missing.
    ///
    /// # Errors
    /// It is larger than `cap`, or the store can't be read.
    pub fn read(&self, pin: &Pin, cap: u64) -> Result<Option<Vec<u8>>, StoreError> {
        if pin.size > cap {
            return Err(StoreError::TooLarge { digest: pin.sha256, size: pin.size, cap });
        }
        if let Some((_, file)) = self.look_below(pin)
            && let Ok(bytes) = files::read_whole(&file, pin.size)
            && Pin::of(&bytes) == *pin
        {
            return Ok(Some(bytes));
        }
        let Some(file) = self.open_blob(&pin.sha256)? else { return Ok(None) };
        match files::read_open(&file, pin.size) {
            Ok(bytes) if Pin::of(&bytes) == *pin => Ok(Some(bytes)),
            Ok(_) => self.judge_anew(pin, &file).map(|_| None),
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => self.judge_anew(pin, &file).map(|_| None),
            Err(error) => Err(StoreError::at(&self.path_of(&pin.sha256))(error)),
        }
    }

    /// Hashes the store's own blob whatever its record says: whether it is good. A bad one is set aside.
    ///
    /// # Errors
    /// The store can't be read.
    pub fn recheck(&self, pin: &Pin) -> Result<bool, StoreError> {
        let Some(file) = self.open_blob(&pin.sha256)? else { return Ok(false) };
        self.judge_anew(pin, &file)
    }

    /// The same in the store itself, whatever its layers have.
    pub(super) fn look(&self, pin: &Pin) -> Result<Option<(Entry, File)>, StoreError> {
        let path = self.path_of(&pin.sha256);
        let Some((file, metadata)) = self.open_seen(&pin.sha256)? else { return Ok(None) };
        if self.stands(pin, &metadata) || self.judge(pin, &file, metadata)? {
            return Ok(Some((Entry { path, pin: *pin }, file)));
        }
        Ok(None)
    }

    /// Whether a file that looks so is known to be the blob.
    fn stands(&self, pin: &Pin, metadata: &Metadata) -> bool {
        // What this process hashed or wrote needs no seal. A file that root may write can change in ways that no record shows:
        // disks fail, and so do scripts.
        let sealed = || !rustix::process::geteuid().is_root() && seal::holds(&pin.sha256, metadata);
        metadata.len() == pin.size && (self.remembers(&pin.sha256, metadata) || sealed())
    }

    /// The blob's path and how its file stands, for whoever links it; looked at without opening it where what is known of it
    /// allows that.
    ///
    /// # Errors
    /// As for [`Store::find`].
    pub fn find_seen(&self, pin: &Pin) -> Result<Option<(Entry, Metadata)>, StoreError> {
        let path = self.path_of(&pin.sha256);
        if self.has_no_layers()
            && self.shard_stands(&pin.sha256)?
            && let Ok(found) = path.symlink_metadata()
            && found.is_file()
            && self.stands(pin, &found)
        {
            return Ok(Some((Entry { path, pin: *pin }, found)));
        }
        let Some((entry, file)) = self.find_open(pin)? else { return Ok(None) };
        let found = file.metadata().map_err(StoreError::at(&entry.path))?;
        Ok(Some((entry, found)))
    }

    /// Opens the blob's file, following no symlink.
    pub(super) fn open_blob(&self, digest: &Sha256) -> Result<Option<File>, StoreError> {
        Ok(self.open_seen(digest)?.map(|(file, _)| file))
    }

    fn open_seen(&self, digest: &Sha256) -> Result<Option<(File, Metadata)>, StoreError> {
        if !self.shard_stands(digest)? {
            return Ok(None);
        }
        let path = self.path_of(digest);
        files::open_regular_seen(&path).map_err(|error| match path.symlink_metadata() {
            Ok(found) if found.is_symlink() => {
                StoreError::Planted { path: path.clone(), found: "a symlink", expected: "a blob" }
            }
            Ok(found) if !found.is_file() => {
                StoreError::Planted { path: path.clone(), found: "no regular file", expected: "a blob" }
            }
            _ => StoreError::at(&path)(error),
        })
    }

    fn judge_anew(&self, pin: &Pin, file: &File) -> Result<bool, StoreError> {
        self.judge(pin, file, file.metadata().map_err(StoreError::at(&self.path_of(&pin.sha256)))?)
    }

    /// Hashes an open blob. Good ones are sealed again; bad ones are set aside.
    fn judge(&self, pin: &Pin, file: &File, seen: Metadata) -> Result<bool, StoreError> {
        let path = self.path_of(&pin.sha256);
        let at = || StoreError::at(&path);
        let mut before = seen;
        for _ in 0..TRIES {
            let found = hash::hash_seen(file, before.len()).map_err(at())?;
            let metadata = file.metadata().map_err(at())?;
            if Stand::of(&metadata) != Stand::of(&before) {
                // Touched while it was read: what was hashed may not be what is there. Or another process sealed it.
                before = metadata;
                continue;
            }
            if found.sha256 != pin.sha256 {
                break;
            }
            if seal::holds(&pin.sha256, &metadata) {
                self.remember(&pin.sha256, &metadata);
            } else {
                // A blob of another user can't be sealed: it is hashed each time.
                let _ = seal_file(&pin.sha256, file);
                self.remember(&pin.sha256, &file.metadata().map_err(at())?);
            }
            // A pin may name the right digest and a wrong size; that is not the blob's fault.
            return Ok(found.size == pin.size);
        }
        self.set_aside(&pin.sha256)?;
        Ok(false)
    }

    /// Moves a blob that failed out of the way, where the next collection removes it.
    pub(super) fn set_aside(&self, digest: &Sha256) -> Result<(), StoreError> {
        let path = self.path_of(digest);
        self.forget(digest);
        match std::fs::rename(&path, self.staging().join(format!("damaged-{digest}"))) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreError::at(&path)(error)),
            _ => Ok(()),
        }
    }

    fn remembers(&self, digest: &Sha256, file: &Metadata) -> bool {
        let hashed = self.shared.hashed.lock().unwrap_or_else(PoisonError::into_inner);
        hashed.get(digest) == Some(&Stand::of(file))
    }

    pub(super) fn remember(&self, digest: &Sha256, file: &Metadata) {
        self.remember_stand(digest, Stand::of(file));
    }

    pub(super) fn remember_stand(&self, digest: &Sha256, stand: Stand) {
        let mut hashed = self.shared.hashed.lock().unwrap_or_else(PoisonError::into_inner);
        if hashed.len() < REMEMBERED {
            hashed.insert(*digest, stand);
        }
    }

    pub(super) fn forget(&self, digest: &Sha256) {
        self.shared.hashed.lock().unwrap_or_else(PoisonError::into_inner).remove(digest);
    }
}

/// The same where the file system is known to keep fine times; how the file stands then.
pub(super) fn seal_fine(digest: &Sha256, file: &File, found: &Metadata) -> io::Result<Stand> {
    let time = seal::fine(digest, found);
    file.set_times(FileTimes::new().set_modified(time))?;
    let since = time.duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap_or_default();
    let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
    Ok(Stand { modified: (seconds, i64::from(since.subsec_nanos())), ..Stand::of(found) })
}

/// Gives a file the time that seals it.
pub(super) fn seal_file(digest: &Sha256, file: &File) -> io::Result<()> {
    let metadata = file.metadata()?;
    file.set_times(FileTimes::new().set_modified(seal::fine(digest, &metadata)))?;
    if !seal::holds(digest, &file.metadata()?) {
        file.set_times(FileTimes::new().set_modified(seal::coarse(digest, &metadata)))?;
    }
    Ok(())
}
