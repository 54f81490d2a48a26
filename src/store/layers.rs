//! Layers: stores of others below this one, that are read and never written.
//!
//! A layer is asked before the store itself. Nothing is written there: no seal, no lease, no mark, not even a mode. What is wrong
//! with a layer is a warning, and its blob counts as missing: it is fetched into the store. A blob of a layer that `verify` found
//! to be bad is passed over from then on, by a mark in the store.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::model::{Pin, Sha256};
use crate::store::layout::{FORMAT, is_folder};
use crate::store::look::{REMEMBERED, Stand};
use crate::store::{Entry, Store, StoreError, seal};
use crate::sys::{Cancel, blob_path, files, hash};

/// How long a blob is passed over in layers at least, in seconds.
const MARKED: i64 = 30 * 86_400;

/// A store of others.
#[derive(Debug)]
pub(super) struct Layer {
    folder: PathBuf,
    /// Blobs that this process has hashed, as they stood then.
    hashed: Mutex<BTreeMap<Sha256, Stand>>,
    /// Blobs of which it was said that they are bad.
    told: Mutex<BTreeSet<Sha256>>,
}

/// What is wrong with a blob of a layer.
enum Flaw {
    Absent,
    Unreadable(io::Error),
    Other(&'static str),
}

impl Store {
    /// The same store over layers, which are asked in this order. One that is missing or of another version is left out, with a
    /// warning; so is the store itself.
    ///
    /// # Errors
    /// The store can't be read.
    pub fn over(self, folders: &[PathBuf]) -> Result<Self, StoreError> {
        let mut layers = Vec::new();
        for folder in folders {
            match Layer::open(folder) {
                Ok(layer) if layer.folder == self.folder => {}
                Ok(layer) => layers.push(layer),
                Err(error) => self.voice.progress.warn(
                    "layer",
                    format!("the layer {} is left out: {error}; what it would have given is fetched", folder.display()),
                ),
            }
        }
        let passed = if layers.is_empty() { BTreeSet::new() } else { self.passed_over()? };
        Ok(Self { layers: Arc::new(layers), passed: Arc::new(Mutex::new(passed)), ..self })
    }

    /// Folders of the layers that can be read, in the order in which they are asked.
    pub fn layers(&self) -> impl Iterator<Item = &Path> {
        self.layers.iter().map(|layer| layer.folder.as_path())
    }

    /// Whether only the store itself is asked.
    pub(super) fn has_no_layers(&self) -> bool {
        self.layers.is_empty()
    }

    /// The blob from the first layer that has it whole.
    pub(super) fn look_below(&self, pin: &Pin) -> Option<(Entry, File)> {
        if self.layers.is_empty() || self.passed.lock().unwrap_or_else(PoisonError::into_inner).contains(&pin.sha256) {
            return None;
        }
        self.layers.iter().find_map(|layer| match layer.look(pin) {
            Ok(file) => Some((Entry { path: layer.path_of(&pin.sha256), pin: *pin }, file)),
            Err(Flaw::Absent) => None,
            Err(flaw) => {
                if layer.told.lock().unwrap_or_else(PoisonError::into_inner).insert(pin.sha256) {
                    let path = layer.path_of(&pin.sha256);
                    let text = format!("{} is passed over: {flaw}; the blob is fetched", path.display());
                    self.voice.progress.warn("layer", text);
                }
                None
            }
        })
    }

    /// Whether a layer seems to have it, unread.
    pub(super) fn seems_below(&self, pin: &Pin) -> bool {
        let fits = |path: PathBuf| path.symlink_metadata().is_ok_and(|file| file.is_file() && file.len() == pin.size);
        self.layers.iter().any(|layer| fits(layer.path_of(&pin.sha256)))
    }

    /// Whether the store or a layer has a file of this name.
    pub(super) fn stands_anywhere(&self, digest: &Sha256) -> bool {
        let below = self.layers.iter().map(|layer| layer.path_of(digest));
        below.chain([self.path_of(digest)]).any(|path| path.symlink_metadata().is_ok())
    }

    /// Has a blob passed over in all layers from now on: somebody hashed it, and it is bad.
    ///
    /// # Errors
    /// The store can't be written.
    pub fn pass_over(&self, digest: &Sha256) -> Result<(), StoreError> {
        self.write_beside(&format!("passed/{}", digest.hex()), b"")?;
        self.passed.lock().unwrap_or_else(PoisonError::into_inner).insert(*digest);
        Ok(())
    }

    /// Takes marks back after 30 days where the store does not have the blob any more: the layer may have been mended.
    pub(super) fn forget_passed_over(&self, clock: i64) -> Result<(), StoreError> {
        for digest in self.passed_over()? {
            let path = self.passed_folder().join(digest.hex());
            let Ok(mark) = path.symlink_metadata() else { continue };
            if clock.saturating_sub(mark.mtime()) >= MARKED && self.path_of(&digest).symlink_metadata().is_err() {
                files::remove(&path).map_err(StoreError::at(&path))?;
            }
        }
        Ok(())
    }

    fn passed_folder(&self) -> PathBuf {
        self.folder.join("v1/passed")
    }

    fn passed_over(&self) -> Result<BTreeSet<Sha256>, StoreError> {
        let folder = self.passed_folder();
        let names = files::list(&folder).map_err(StoreError::at(&folder))?;
        Ok(names.iter().filter_map(|(name, _)| Sha256::parse(name.to_str()?).ok()).collect())
    }

    /// A store that knows the blobs of a layer, to go through them.
    pub(super) fn of_layer(&self, folder: &Path) -> Self {
        Self { folder: folder.to_owned(), shared: Arc::default(), layers: Arc::default(), ..self.clone() }
    }
}

impl Layer {
    fn open(folder: &Path) -> io::Result<Self> {
        let folder = folder.canonicalize()?;
        match files::read_capped(&folder.join("v1/format"), 64)? {
            Some(found) if found == FORMAT.as_bytes() => {}
            Some(_) => return Err(io::Error::new(io::ErrorKind::InvalidData, "it is a store of another version")),
            None => return Err(io::Error::new(io::ErrorKind::NotFound, "it is no store: there is no v1/format")),
        }
        Ok(Self { folder, hashed: Mutex::default(), told: Mutex::default() })
    }

    pub(super) fn path_of(&self, digest: &Sha256) -> PathBuf {
        self.folder.join("v1").join(blob_path(digest))
    }

    /// The open blob, whole: by its seal, or else by its hash, which is remembered for this process. A layer that was copied with
    /// other tools has no seals, and none are made.
    fn look(&self, pin: &Pin) -> Result<File, Flaw> {
        let path = self.path_of(&pin.sha256);
        match path.parent().map(is_folder) {
            Some(Ok(true)) => {}
            Some(Ok(false)) | None => return Err(Flaw::Absent),
            Some(Err(StoreError::Planted { .. })) => return Err(Flaw::Other("its folder is none, or a symlink")),
            Some(Err(_)) => return Err(Flaw::Other("its folder can't be read")),
        }
        let file = files::open_regular(&path).map_err(Flaw::Unreadable)?.ok_or(Flaw::Absent)?;
        let metadata = file.metadata().map_err(Flaw::Unreadable)?;
        if metadata.len() != pin.size {
            return Err(Flaw::Other("it has another size"));
        }
        let stand = Stand::of(&metadata);
        let remembered = || self.hashed.lock().unwrap_or_else(PoisonError::into_inner).get(&pin.sha256) == Some(&stand);
        let sealed = seal::holds(&pin.sha256, &metadata) && !rustix::process::geteuid().is_root();
        if sealed || remembered() {
            return Ok(file);
        }
        let found = hash::hash_open(&file, &Cancel::new(), &|_| ()).map_err(Flaw::Unreadable)?;
        if found != *pin {
            return Err(Flaw::Other("it has other bytes than its name says"));
        }
        if Stand::of(&file.metadata().map_err(Flaw::Unreadable)?) != stand {
            return Err(Flaw::Other("it changed while it was read"));
        }
        let mut hashed = self.hashed.lock().unwrap_or_else(PoisonError::into_inner);
        if hashed.len() < REMEMBERED {
            hashed.insert(pin.sha256, stand);
        }
        Ok(file)
    }
}

impl std::fmt::Display for Flaw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Absent => f.write_str("it is not there"),
            Self::Unreadable(error) => write!(f, "{error}"),
            Self::Other(text) => f.write_str(text),
        }
    }
}
