//! Folders and names below the store.

use std::fs::{DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use crate::model::Sha256;
use crate::store::{Shared, Store, StoreError, Voice};
use crate::sys::{blob_path, files};

/// What `v1/format` holds.
pub(super) const FORMAT: &str = "mpm.store/1\n";
/// The mark by which backup programs know what can be made again (bford.info/cachedir).
const CACHEDIR: &str =
    "Signature: 8a477f597d28d172789f06886806bc55\n# The store of mpm; its blobs can be fetched again.\n";
/// The mode of folders.
const OWN: u32 = 0o755;
/// The bits of a folder that a group shares: setgid and writable.
const GROUP: u32 = 0o2020;
/// Folders that stand from the start.
const FOLDERS: [&str; 6] = ["v1", "v1/blobs", "v1/blobs/sha256", "v1/partial", "v1/roots", "v1/active"];

impl Store {
    /// Opens the store in `folder` (`…/mpm/store`), creating it where it is missing.
    ///
    /// # Errors
    /// The folder can't be made, or its layout is of another version.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        create_all(folder)?;
        // The store itself may well be reached through a symlink of the user's; below it nothing is.
        let folder = folder.canonicalize().map_err(StoreError::at(folder))?;
        for name in FOLDERS {
            require_folder(&folder.join(name))?;
        }
        let format = folder.join("v1/format");
        match files::read_capped(&format, 64).map_err(StoreError::at(&format))? {
            Some(found) if found == FORMAT.as_bytes() => {}
            Some(found) => {
                let found = String::from_utf8_lossy(&found).trim_end().to_owned();
                return Err(StoreError::OtherLayout { path: folder, found, expected: FORMAT.trim_end() });
            }
            None => {
                let mark = folder.join("CACHEDIR.TAG");
                files::write_readable(&mark, CACHEDIR.as_bytes()).map_err(StoreError::at(&mark))?;
                files::write_readable(&format, FORMAT.as_bytes()).map_err(StoreError::at(&format))?;
            }
        }
        Ok(Self {
            folder,
            shared: Arc::new(Shared::default()),
            layers: Arc::default(),
            passed: Arc::default(),
            voice: Voice::default(),
        })
    }

    /// Opens the store in `folder` only if there is one: nothing is written.
    ///
    /// # Errors
    /// It can't be read, or its layout is of another version.
    pub fn open_existing(folder: &Path) -> Result<Option<Self>, StoreError> {
        match folder.join("v1/format").symlink_metadata() {
            Ok(_) => Self::open(folder).map(Some),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
            Err(error) => Err(StoreError::at(folder)(error)),
        }
    }

    /// The folder of blobs' folders.
    pub(super) fn shards(&self) -> PathBuf {
        self.folder.join("v1/blobs/sha256")
    }

    /// Where a blob's file is or would be.
    pub(super) fn path_of(&self, digest: &Sha256) -> PathBuf {
        self.folder.join("v1").join(blob_path(digest))
    }

    /// Writes a file of `v1/` beside the blobs, such as `facts/ab/…`, for everybody to read and nobody else to write. The folders
    /// that hold it are made.
    ///
    /// # Errors
    /// The store can't be written.
    pub fn write_beside(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let mut path = self.folder.join("v1");
        for part in name.split('/') {
            if path != self.folder.join("v1") {
                require_folder(&path)?;
            }
            path.push(part);
        }
        files::write_readable(&path, bytes).map_err(StoreError::at(&path))
    }

    /// Checks, once a process, that the blob's folder is a folder and no symlink; `false` if it is not there.
    pub(super) fn shard_stands(&self, digest: &Sha256) -> Result<bool, StoreError> {
        let name: String = digest.hex().chars().take(2).collect();
        if self.shared.shards.lock().unwrap_or_else(PoisonError::into_inner).contains(&name) {
            return Ok(true);
        }
        let stands = is_folder(&self.shards().join(&name))?;
        if stands {
            self.shared.shards.lock().unwrap_or_else(PoisonError::into_inner).insert(name);
        }
        Ok(stands)
    }

    /// The blob's folder, made if it is missing.
    pub(super) fn make_shard(&self, digest: &Sha256) -> Result<PathBuf, StoreError> {
        let path = self.path_of(digest);
        let shard = path.parent().unwrap_or(&self.folder).to_owned();
        if !self.shard_stands(digest)? {
            require_folder(&shard)?;
            let above = self.shards();
            files::sync_dir(&above).map_err(StoreError::at(&above))?;
        }
        Ok(shard)
    }
}

fn require_folder(path: &Path) -> Result<(), StoreError> {
    if is_folder(path)? { Ok(()) } else { create_folder(path) }
}

fn create_all(path: &Path) -> Result<(), StoreError> {
    match DirBuilder::new().recursive(true).mode(OWN).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        result => result.map_err(StoreError::at(path)),
    }
}

/// Makes a folder below the store. Never writable for others, whatever the umask: who writes into the store decides what
/// projects get. Writable for a group only where the folder above says so, with the bit by which its group is passed on.
fn create_folder(path: &Path) -> Result<(), StoreError> {
    let above = path.parent().and_then(|above| above.metadata().ok()).map_or(0, |above| above.mode());
    let mode = if above & GROUP == GROUP { OWN | GROUP } else { OWN };
    match DirBuilder::new().mode(OWN).create(path) {
        // Whoever was first gives it its mode.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => return Ok(()),
        result => result.map_err(StoreError::at(path))?,
    }
    std::fs::set_permissions(path, Permissions::from_mode(mode)).map_err(StoreError::at(path))
}

pub(super) fn is_folder(path: &Path) -> Result<bool, StoreError> {
    let planted = |found| StoreError::Planted { path: path.to_owned(), found, expected: "a folder" };
    match path.symlink_metadata() {
        Ok(found) if found.is_dir() => Ok(true),
        Ok(found) if found.is_symlink() => Err(planted("a symlink")),
        Ok(_) => Err(planted("no folder")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(StoreError::at(path)(error)),
    }
}
