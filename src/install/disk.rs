//! What stands on disk: stat, hash, folders that may be links; and work on all cores.

use std::collections::BTreeMap;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::install::error::InstallError;
use crate::install::receipt::Stat;
use crate::model::{Pin, RelPath, Sha256Hasher};
use crate::sys::{self, Cancel};

/// Bytes read at a time.
const CHUNK: usize = 256 << 10;

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Nothing,
    /// A regular file.
    File(Stat),
    /// A symbolic link; the stat is the link's own.
    Link(Stat),
    /// A folder, a pipe, a device.
    Other,
}

/// What stands where a folder must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ground {
    /// A folder, and so is each above it.
    Folder,
    /// Nothing yet.
    Nothing,
    /// This component is a symbolic link.
    Symlink(RelPath),
    /// This component is something else.
    Other(RelPath),
}

/// Looks at folders of a project, each once.
#[derive(Debug)]
pub(super) struct Grounds<'a> {
    project: &'a Path,
    known: BTreeMap<RelPath, Ground>,
}

impl<'a> Grounds<'a> {
    pub(super) fn new(project: &'a Path) -> Self {
        Self { project, known: BTreeMap::new() }
    }

    /// What stands at `folder`, and above it up to the project.
    pub(super) fn at(&mut self, folder: &RelPath) -> Result<Ground, InstallError> {
        if let Some(known) = self.known.get(folder) {
            return Ok(known.clone());
        }
        let above = match folder.parent() {
            Some(parent) => self.at(&parent)?,
            None => Ground::Folder,
        };
        let ground = if above == Ground::Folder {
            let path = folder.under(self.project);
            match std::fs::symlink_metadata(&path) {
                Ok(found) if found.is_dir() => Ground::Folder,
                Ok(found) if found.is_symlink() => Ground::Symlink(folder.clone()),
                Ok(_) => Ground::Other(folder.clone()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ground::Nothing,
                Err(source) => return Err(InstallError::Disk { doing: "look at", path, source }),
            }
        } else {
            above
        };
        self.known.insert(folder.clone(), ground.clone());
        Ok(ground)
    }

    /// What stands around a file: the ground below it.
    pub(super) fn below(&mut self, file: &RelPath) -> Result<Ground, InstallError> {
        file.parent().map_or(Ok(Ground::Folder), |parent| self.at(&parent))
    }
}

/// What stands at `path`, without following a link there.
pub(super) fn standing(path: &Path) -> Result<Standing, InstallError> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.is_file() => Ok(Standing::File(stat(&found))),
        Ok(found) if found.is_symlink() => Ok(Standing::Link(stat(&found))),
        Ok(_) => Ok(Standing::Other),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(Standing::Nothing)
        }
        Err(source) => Err(InstallError::Disk { doing: "look at", path: path.to_owned(), source }),
    }
}

pub(super) fn stat(found: &Metadata) -> Stat {
    Stat {
        size: found.len(),
        mtime: found.mtime().saturating_mul(1_000_000_000).saturating_add(found.mtime_nsec()),
        inode: found.ino(),
        device: found.dev(),
    }
}

/// Hashes a file. `advanced` is told of each chunk. A link at its end is followed only by [`hash_through`].
pub(super) fn hash(path: &Path, cancel: &Cancel, advanced: &dyn Fn(u64)) -> Result<Pin, InstallError> {
    let file = sys::files::open_regular(path).and_then(|file| file.ok_or_else(|| io::ErrorKind::NotFound.into()));
    drain(file, path, cancel, advanced)
}

/// Hashes what a symbolic link of ours leads to.
pub(super) fn hash_through(path: &Path, cancel: &Cancel, advanced: &dyn Fn(u64)) -> Result<Pin, InstallError> {
    let flags = rustix::fs::OFlags::NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path);
    drain(file, path, cancel, advanced)
}

fn drain(file: io::Result<File>, path: &Path, cancel: &Cancel, advanced: &dyn Fn(u64)) -> Result<Pin, InstallError> {
    let fail = |source| InstallError::Disk { doing: "read", path: path.to_owned(), source };
    let mut file = file.map_err(fail)?;
    if !file.metadata().map_err(fail)?.is_file() {
        return Err(fail(io::Error::other("not a regular file")));
    }
    let mut hasher = Sha256Hasher::new();
    let mut size = 0_u64;
    let mut buffer = vec![0_u8; CHUNK];
    loop {
        if cancel.is_cancelled() {
            return Err(InstallError::Interrupted);
        }
        let read = match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(source) => return Err(fail(source)),
        };
        hasher.update(buffer.get(..read).unwrap_or_default());
        size = size.saturating_add(read as u64);
        advanced(read as u64);
    }
    Ok(Pin { sha256: hasher.finish(), size })
}

/// Does `work` for each item on all cores; results in the order of the items. The first error stops the rest.
pub(super) fn on_all_cores<T: Sync, R: Send>(
    items: &[T],
    cancel: &Cancel,
    work: &(dyn Fn(&T) -> Result<R, InstallError> + Sync),
) -> Result<Vec<R>, InstallError> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(items.len());
    let step = |item: &T| if cancel.is_cancelled() { Err(InstallError::Interrupted) } else { work(item) };
    if threads <= 1 {
        return items.iter().map(step).collect();
    }
    let next = AtomicUsize::new(0);
    let stop = AtomicBool::new(false);
    let run = || {
        let mut done = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(at) else { break };
            let result = step(item);
            if result.is_err() {
                stop.store(true, Ordering::Relaxed);
            }
            done.push((at, result));
        }
        done
    };
    let mut all: Vec<(usize, Result<R, InstallError>)> = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        handles
            .into_iter()
            .flat_map(|handle| handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    all.sort_by_key(|(at, _)| *at);
    all.into_iter().map(|(_, result)| result).collect()
}
