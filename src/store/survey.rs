//! Going through all blobs: counting, hashing.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::model::{Pin, Sha256};
use crate::progress::{Doing, Event, Progress, Task};
use crate::store::{BadBlob, Store, StoreError};
use crate::sys::{Cancel, files, hash};

/// Blobs that are handed to the cores at a time: memory does not grow with the store.
const PORTION: usize = 16_384;
/// The task of a survey.
const TASK: Task = Task(1 << 62);

/// Files that were hashed already: device and inode, and the digest that they have.
pub type Hashed = BTreeMap<(u64, u64), Sha256>;

/// A blob that was come by.
pub(super) struct Found {
    pub(super) digest: Sha256,
    pub(super) path: PathBuf,
    pub(super) file: Metadata,
}

impl Store {
    /// Number of blobs and their bytes.
    ///
    /// # Errors
    /// The store can't be read.
    pub fn size(&self) -> Result<(u64, u64), StoreError> {
        let (mut blobs, mut bytes) = (0_u64, 0_u64);
        for shard in self.shard_names()? {
            for found in self.blobs_of(&shard)? {
                blobs = blobs.saturating_add(1);
                bytes = bytes.saturating_add(found.file.size());
            }
        }
        Ok((blobs, bytes))
    }

    /// The same of a layer, a store in a folder of its own.
    ///
    /// # Errors
    /// It can't be read.
    pub fn size_of_layer(&self, folder: &Path) -> Result<(u64, u64), StoreError> {
        self.of_layer(folder).size()
    }

    /// Hashes every blob of a layer, as [`Store::verify_but`] does with the store's own.
    ///
    /// # Errors
    /// As for [`Store::verify`].
    pub fn verify_layer(
        &self,
        folder: &Path,
        hashed: &Hashed,
        cancel: &Cancel,
        progress: &dyn Progress,
    ) -> Result<Vec<BadBlob>, StoreError> {
        self.of_layer(folder).verify_but(hashed, cancel, progress)
    }

    /// Which file is which blob: device and inode of each, with the pin that its name and size make.
    ///
    /// # Errors
    /// The store can't be read.
    pub fn inodes(&self) -> Result<BTreeMap<(u64, u64), Pin>, StoreError> {
        let mut inodes = BTreeMap::new();
        for shard in self.shard_names()? {
            for Found { digest, file, .. } in self.blobs_of(&shard)? {
                inodes.insert((file.dev(), file.ino()), Pin { sha256: digest, size: file.len() });
            }
        }
        Ok(inodes)
    }

    /// Hashes every blob on all cores; returns those that are not what their name says.
    ///
    /// # Errors
    /// The store can't be read, or the user wished to stop.
    pub fn verify(&self, cancel: &Cancel, progress: &dyn Progress) -> Result<Vec<BadBlob>, StoreError> {
        self.verify_but(&Hashed::new(), cancel, progress)
    }

    /// The same, but for blobs whose file was hashed a moment ago under another name: a hard link in a project.
    ///
    /// # Errors
    /// As for [`Store::verify`].
    pub fn verify_but(
        &self,
        hashed: &Hashed,
        cancel: &Cancel,
        progress: &dyn Progress,
    ) -> Result<Vec<BadBlob>, StoreError> {
        let (_, bytes) = self.size()?;
        progress.on(&Event::Started { task: TASK, doing: Doing::Hash, what: "store", bytes: Some(bytes) });
        let result = self.verify_all(bytes, hashed, cancel, progress);
        progress.on(&Event::Finished { task: TASK, ok: result.as_ref().is_ok_and(Vec::is_empty) });
        result
    }

    fn verify_all(
        &self,
        bytes: u64,
        hashed: &Hashed,
        cancel: &Cancel,
        progress: &dyn Progress,
    ) -> Result<Vec<BadBlob>, StoreError> {
        let left = AtomicU64::new(bytes);
        let advanced = |_: usize, piece: u64| {
            // The store may grow meanwhile; what was promised is not exceeded.
            let before =
                left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| Some(left.saturating_sub(piece)));
            let piece = piece.min(before.unwrap_or(0));
            if piece > 0 {
                progress.on(&Event::Advanced { task: TASK, bytes: piece });
            }
        };
        let mut bad = Vec::new();
        let mut portion: Vec<(Sha256, PathBuf)> = Vec::new();
        let hash_portion = |portion: &mut Vec<(Sha256, PathBuf)>, bad: &mut Vec<BadBlob>| {
            let (digests, paths): (Vec<_>, Vec<_>) = std::mem::take(portion).into_iter().unzip();
            let pins = hash::hash_paths(&paths, cancel, &advanced);
            if cancel.is_cancelled() {
                return Err(StoreError::Stopped);
            }
            for ((expected, path), pin) in digests.into_iter().zip(paths).zip(pins) {
                match pin {
                    // Collected meanwhile, or whole.
                    Ok(None) => {}
                    Ok(Some(pin)) if pin.sha256 == expected => {}
                    Ok(Some(pin)) => bad.push(BadBlob { path, expected, found: Some(pin.sha256) }),
                    Err(_) => bad.push(BadBlob { path, expected, found: None }),
                }
            }
            Ok(())
        };
        for shard in self.shard_names()? {
            // The same inode holds the same bytes: what they are is known.
            let known = |found: &Found| hashed.get(&(found.file.dev(), found.file.ino())) == Some(&found.digest);
            let (done, open): (Vec<_>, Vec<_>) = self.blobs_of(&shard)?.into_iter().partition(known);
            advanced(0, done.iter().map(|found| found.file.size()).sum());
            portion.extend(open.into_iter().map(|found| (found.digest, found.path)));
            if portion.len() >= PORTION {
                hash_portion(&mut portion, &mut bad)?;
            }
        }
        hash_portion(&mut portion, &mut bad)?;
        Ok(bad)
    }

    /// The folders of blobs that are there, sorted.
    pub(super) fn shard_names(&self) -> Result<Vec<String>, StoreError> {
        let folder = self.shards();
        let mut names = Vec::new();
        for (name, kind) in files::list(&folder).map_err(StoreError::at(&folder))? {
            match (name.to_str().filter(|name| is_prefix(name)), kind) {
                (Some(name), files::Kind::Folder) => names.push(name.to_owned()),
                (Some(name), _) => {
                    return Err(StoreError::Planted {
                        path: folder.join(name),
                        found: "no folder",
                        expected: "a folder",
                    });
                }
                // Not ours, and not in the way.
                (None, _) => {}
            }
        }
        Ok(names)
    }

    /// The blobs of one folder, sorted. Whatever is not named like a blob is passed over.
    pub(super) fn blobs_of(&self, shard: &str) -> Result<Vec<Found>, StoreError> {
        let folder = self.shards().join(shard);
        let mut blobs = Vec::new();
        for (name, _) in files::list(&folder).map_err(StoreError::at(&folder))? {
            let Some(digest) = blob_name(&name, shard) else { continue };
            let path = folder.join(name);
            // Gone between the two questions, if it can't be asked.
            let Ok(file) = path.symlink_metadata() else { continue };
            blobs.push(Found { digest, path, file });
        }
        Ok(blobs)
    }
}

fn is_prefix(name: &str) -> bool {
    name.len() == 2 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn blob_name(name: &OsStr, shard: &str) -> Option<Sha256> {
    let name = name.to_str().filter(|name| name.len() == 64 && name.starts_with(shard))?;
    Sha256::parse(name).ok()
}
