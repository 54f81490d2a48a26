//! Bytes into a registry's own base, named by their digests.

use std::fs::File;
use std::io::{self, Read as _};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::model::{Pin, Sha256Hasher};
use crate::progress::{Doing, Event, Progress, Task};
use crate::publish::indexing::Indexes;
use crate::publish::{Assigned, PublishError};
use crate::registry::Folder;
use crate::sys::{Cancel, blob_path, fault, files};

const TASK: Task = Task(0);
/// In the registry's folder.
const DRAFTS: &str = ".mpm-drafts";

/// Hashes files on all cores; pins in the order of the files.
pub(super) fn hash_all(
    files: &[Assigned],
    indexes: &Indexes,
    cancel: &Cancel,
    progress: &dyn Progress,
) -> Result<Vec<Pin>, PublishError> {
    let workers = std::thread::available_parallelism().map_or(1, NonZero::get).min(files.len().max(1));
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<Option<Result<Pin, PublishError>>>> = Mutex::new(files.iter().map(|_| None).collect());
    progress.on(&Event::Started { task: TASK, doing: Doing::Hash, what: "files", bytes: None });
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some((index, file)) = claim(files, &next) {
                    let pin = hash(index, file, indexes, cancel, progress);
                    if let Ok(mut results) = results.lock()
                        && let Some(slot) = results.get_mut(index)
                    {
                        *slot = Some(pin);
                    }
                }
            });
        }
    });
    let results = results.into_inner().unwrap_or_default();
    let pins: Result<Vec<Pin>, PublishError> =
        results.into_iter().map(|slot| slot.unwrap_or(Err(PublishError::Stopped))).collect();
    progress.on(&Event::Finished { task: TASK, ok: pins.is_ok() });
    pins
}

fn claim<'f>(files: &'f [Assigned], next: &AtomicUsize) -> Option<(usize, &'f Assigned)> {
    let index = next.fetch_add(1, Ordering::Relaxed);
    files.get(index).map(|file| (index, file))
}

fn hash(
    number: usize,
    assigned: &Assigned,
    indexes: &Indexes,
    cancel: &Cancel,
    progress: &dyn Progress,
) -> Result<Pin, PublishError> {
    let file = open(&assigned.file)?;
    let advanced = |bytes| progress.on(&Event::Advanced { task: TASK, bytes });
    match indexes.read(number, assigned, &file, cancel, &advanced)? {
        Some(pin) => Ok(pin),
        None => digest(&file, &assigned.file, cancel, &advanced),
    }
}

pub(super) fn open(path: &Path) -> Result<File, PublishError> {
    let wrap = |source| PublishError::File { path: path.to_owned(), source };
    files::open_regular(path).map_err(wrap)?.ok_or_else(|| wrap(io::ErrorKind::NotFound.into()))
}

fn digest(mut file: &File, path: &Path, cancel: &Cancel, advanced: &dyn Fn(u64)) -> Result<Pin, PublishError> {
    let mut hasher = Sha256Hasher::new();
    let mut buffer = vec![0_u8; 256 * 1024];
    let mut size = 0;
    loop {
        if cancel.is_cancelled() {
            return Err(PublishError::Stopped);
        }
        let count = file.read(&mut buffer).map_err(|source| PublishError::File { path: path.to_owned(), source })?;
        if count == 0 {
            return Ok(Pin { sha256: hasher.finish(), size });
        }
        hasher.update(buffer.get(..count).unwrap_or_default());
        size += count as u64;
        advanced(count as u64);
    }
}

/// Where copies and packs are written before they get their names: a folder of the registry's, which goes with this value.
/// The lease on the registry guards it, so that what a killed process left there goes as well.
pub(super) struct Drafts {
    path: PathBuf,
}

impl Drafts {
    pub(super) fn new(folder: &Folder) -> Result<Self, PublishError> {
        // Asked for what stands in it, so that it is no symlink.
        let path = folder.inside(&format!("{DRAFTS}/draft"))?;
        let path = path.parent().unwrap_or(folder.path()).to_owned();
        let wrap = |source| PublishError::File { path: path.clone(), source };
        match std::fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(wrap(error)),
            _ => {}
        }
        std::fs::create_dir_all(&path).map_err(wrap)?;
        Ok(Self { path })
    }

    /// A folder of its own for one draft; it goes when it is dropped.
    pub(super) fn draft(&self) -> Result<tempfile::TempDir, PublishError> {
        let wrap = |source| PublishError::File { path: self.path.clone(), source };
        tempfile::TempDir::with_prefix_in("draft-", &self.path).map_err(wrap)
    }
}

impl Drop for Drafts {
    fn drop(&mut self) {
        // What can't be removed now is by the next one.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// Gives a draft, durable by now, its name.
pub(super) fn name(draft: &Path, target: &Path, folder: &Folder) -> Result<(), PublishError> {
    let parent = target.parent().unwrap_or(folder.path());
    let wrap = |source| PublishError::File { path: target.to_owned(), source };
    std::fs::create_dir_all(parent).map_err(wrap)?;
    fault::point("publish-rename").map_err(wrap)?;
    std::fs::rename(draft, target).map_err(wrap)?;
    files::sync_dir(parent).map_err(wrap)
}

/// Brings a file into the base: reflink, else copy. Never a hard link: the next training run would write into it.
/// What was hashed is what is placed: the placed bytes are hashed again.
pub(super) fn place(
    folder: &Folder,
    drafts: &Drafts,
    file: &Path,
    pin: &Pin,
    cancel: &Cancel,
) -> Result<bool, PublishError> {
    let Some(target) = missing(folder, pin)? else { return Ok(false) };
    let wrap = |source| PublishError::File { path: target.clone(), source };
    let draft = drafts.draft()?;
    let copy = draft.path().join("blob");
    reflink_copy::reflink_or_copy(file, &copy).map_err(wrap)?;
    let placed = open(&copy)?;
    if digest(&placed, &copy, cancel, &|_| {})? != *pin {
        return Err(PublishError::FileChanged { path: file.to_owned() });
    }
    placed.sync_all().map_err(wrap)?;
    name(&copy, &target, folder)?;
    Ok(true)
}

/// Brings bytes of ours into the base.
pub(super) fn place_bytes(folder: &Folder, bytes: &[u8]) -> Result<Pin, PublishError> {
    let pin = Pin::of(bytes);
    if missing(folder, &pin)?.is_some() {
        folder.write(&blob_path(&pin.sha256), bytes)?;
    }
    Ok(pin)
}

/// Where a blob goes, unless it lies there in its size.
pub(super) fn missing(folder: &Folder, pin: &Pin) -> Result<Option<PathBuf>, PublishError> {
    let target = folder.inside(&blob_path(&pin.sha256))?;
    let there = target.symlink_metadata().is_ok_and(|found| found.is_file() && found.len() == pin.size);
    Ok((!there).then_some(target))
}
