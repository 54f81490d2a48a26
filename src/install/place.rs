//! One file from the store to its place: reflink, hard link, symlink or copy, whole or not at all.

use std::collections::BTreeMap;
use std::fs::{File, FileTimes, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use crate::config::LinkMode;
use crate::install::disk;
use crate::install::error::InstallError;
use crate::install::receipt::{Link, Stat};
use crate::model::{HumanSize, Pin, RelPath, Sha256};
use crate::progress::Progress;
use crate::sys;

/// From this size on, a file that can't be linked becomes a symlink before it becomes a copy.
pub(super) const LARGE: u64 = 16 << 20;

/// Whether something stands at a place that is to be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Nothing does: whatever comes there meanwhile is not ours.
    Free,
    /// A file of ours.
    Taken,
}

/// Where a file's bytes are taken.
#[derive(Debug, Clone, Copy)]
pub(super) enum Supply<'a> {
    /// From the store.
    Store,
    /// From the project's own file with the same bytes, which a layout shares: never a second copy where a link will do.
    Home(&'a RelPath),
    /// From the store, as a copy: small bytes that were made for a layout, whose owner may write there as if they were its
    /// own, and must not reach the store.
    Made,
}

/// Ways that share bytes, from the best.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    #[default]
    Reflink,
    Hard,
    Neither,
}

/// Places files; remembers which ways this pair of file systems does not have.
pub(super) struct Placer<'a> {
    mode: LinkMode,
    /// Whether files may become links into the store unasked: only where a record keeps what they lead to.
    kept: bool,
    /// The first way of the chain that still may work, by the device that holds the blob: a layer of the store may lie on
    /// another one.
    levels: Mutex<BTreeMap<u64, Level>>,
    told_symlink: AtomicBool,
    told_copy: AtomicBool,
    /// The time that files of their own bytes get; none: that of their making.
    time: Option<SystemTime>,
    /// A file of its own bytes was written: they need a barrier.
    pub(super) wrote: AtomicBool,
    progress: &'a dyn Progress,
}

/// The staged name beside a place. It follows from the place, so that a later run finds what a dead one left.
pub(super) fn staged(target: &Path, path: &RelPath) -> PathBuf {
    target.with_file_name(format!(".mpm-staged-{}", Sha256::of(path.as_str().as_bytes()).short()))
}

impl<'a> Placer<'a> {
    pub(super) fn new(mode: LinkMode, progress: &'a dyn Progress) -> Self {
        Self {
            mode,
            kept: true,
            levels: Mutex::default(),
            told_symlink: AtomicBool::new(false),
            told_copy: AtomicBool::new(false),
            time: None,
            wrote: AtomicBool::new(false),
            progress,
        }
    }

    /// The same for a place of which no record is kept: one day, nobody needs the blobs any more.
    pub(super) fn without_record(self) -> Self {
        Self { kept: false, ..self }
    }

    /// The same, with one time for every file of its own bytes. A link's time is the blob's seal, and stays.
    pub(super) fn at(self, time: SystemTime) -> Self {
        Self { time: Some(time), ..self }
    }

    /// Places the blob that stands at `blob` at `path` of the project.
    pub(super) fn place(
        &self,
        project: &Path,
        (path, pin): (&RelPath, &Pin),
        (blob, seen, from): (&Path, &Metadata, Supply<'_>),
        at: Place,
    ) -> Result<(Stat, Link), InstallError> {
        let target = path.under(project);
        let fail = |source| InstallError::Disk { doing: "place", path: target.clone(), source };
        sys::fault::point("place-file").map_err(fail)?;
        if at == Place::Free
            && matches!(from, Supply::Store)
            && let Some(stat) = self.straight(path, (blob, seen), &target)?
        {
            return Ok((stat, Link::Hard));
        }
        let staged = staged(&target, path);
        let link = match from {
            Supply::Store => self.stored(path, pin, blob, &staged)?,
            Supply::Made => self.copy(path, pin, blob, &staged)?,
            Supply::Home(home) => match beside(&home.under(project), &staged) {
                Ok(()) => Link::Hard,
                Err(error) if is_full(&error) => return Err(disk_error(path, &staged, error)),
                Err(_) => self.stored(path, pin, blob, &staged)?,
            },
        };
        if matches!(link, Link::Reflink | Link::Copy) {
            self.wrote.store(true, Ordering::Relaxed);
            if let Some(time) = self.time {
                // Before it gets its name, so that no file of another time is ever there.
                set_time(&staged, time).map_err(fail)?;
            }
        }
        let moved = match at {
            Place::Taken => std::fs::rename(&staged, &target),
            Place::Free => move_to_free(&staged, &target),
        };
        if let Err(source) = moved {
            let _ = std::fs::remove_file(&staged);
            return Err(match source.kind() {
                io::ErrorKind::AlreadyExists | io::ErrorKind::IsADirectory | io::ErrorKind::DirectoryNotEmpty => {
                    InstallError::InTheWay { paths: vec![path.clone()] }
                }
                _ => fail(source),
            });
        }
        let found = std::fs::symlink_metadata(&target).map_err(fail)?;
        Ok((disk::stat(&found), link))
    }

    /// A hard link at the place itself where nothing stands: it is whole from its first moment and replaces nothing, so it needs
    /// no other name before. `None`: by the way that is taken otherwise, which says what is wrong if something is.
    fn straight(
        &self,
        path: &RelPath,
        (blob, seen): (&Path, &Metadata),
        target: &Path,
    ) -> Result<Option<Stat>, InstallError> {
        let hard = match self.mode {
            LinkMode::Auto => self.level(seen) == Level::Hard,
            LinkMode::Hard => true,
            LinkMode::Reflink | LinkMode::Symlink | LinkMode::Copy => false,
        };
        if !hard || seen.mode() & 0o222 != 0 {
            return Ok(None);
        }
        match std::fs::hard_link(blob, target) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(InstallError::InTheWay { paths: vec![path.clone()] });
            }
            Err(_) => return Ok(None),
        }
        let fail = |source| InstallError::Disk { doing: "place", path: target.to_owned(), source };
        let placed = std::fs::symlink_metadata(target).map_err(fail)?;
        if (placed.dev(), placed.ino()) != (seen.dev(), seen.ino()) {
            std::fs::remove_file(target).map_err(fail)?;
            return Err(fail(io::Error::other("another file was put in the place of a checked one")));
        }
        Ok(Some(disk::stat(&placed)))
    }

    /// The way that was asked for.
    fn stored(&self, path: &RelPath, pin: &Pin, blob: &Path, staged: &Path) -> Result<Link, InstallError> {
        match self.mode {
            LinkMode::Auto => self.auto(path, pin, blob, staged),
            LinkMode::Reflink => forced(path, Link::Reflink, reflink(blob, staged)),
            LinkMode::Hard => match hard(blob, staged) {
                Err(error) if error.kind() == io::ErrorKind::TooManyLinks => self.without_link(path, pin, blob, staged),
                other => forced(path, Link::Hard, other),
            },
            LinkMode::Symlink => forced(path, Link::Symlink, symlink(blob, staged)),
            LinkMode::Copy => self.copy(path, pin, blob, staged),
        }
    }

    /// The best way that works here.
    fn auto(&self, path: &RelPath, pin: &Pin, blob: &Path, staged: &Path) -> Result<Link, InstallError> {
        let found = std::fs::metadata(blob).map_err(|error| disk_error(path, staged, error))?;
        if self.level(&found) == Level::Reflink {
            match reflink(blob, staged) {
                Ok(()) => return Ok(Link::Reflink),
                Err(error) if is_full(&error) => return Err(disk_error(path, staged, error)),
                Err(_) => self.no_better_than(&found, Level::Hard),
            }
        }
        if self.level(&found) == Level::Hard {
            match hard_of(&found, blob, staged) {
                Ok(()) => return Ok(Link::Hard),
                Err(error) if is_full(&error) || error.kind() == io::ErrorKind::NotFound => {
                    return Err(disk_error(path, staged, error));
                }
                // This blob has its fill of links, is writable, or is another user's where the kernel protects links; others
                // may still be linked.
                Err(error) if of_this_file(&error) => {}
                Err(_) => self.no_better_than(&found, Level::Neither),
            }
        }
        self.without_link(path, pin, blob, staged)
    }

    fn level(&self, blob: &Metadata) -> Level {
        self.levels.lock().unwrap_or_else(PoisonError::into_inner).get(&blob.dev()).copied().unwrap_or_default()
    }

    fn no_better_than(&self, blob: &Metadata, level: Level) {
        let mut levels = self.levels.lock().unwrap_or_else(PoisonError::into_inner);
        let known = levels.entry(blob.dev()).or_default();
        *known = level.max(*known);
    }

    /// Large files by symlink, if the file system has them; others by copy.
    fn without_link(&self, path: &RelPath, pin: &Pin, blob: &Path, staged: &Path) -> Result<Link, InstallError> {
        if self.kept && pin.size >= LARGE && clear_then(staged, || symlink(blob, staged)).is_ok() {
            if !self.told_symlink.swap(true, Ordering::Relaxed) {
                self.progress.note(
                    "placed-by-symlink",
                    format!(
                        "{path} and other large files are symbolic links into the store, since it can't be linked from \
                         this project's file system; `--link copy` copies instead"
                    ),
                );
            }
            return Ok(Link::Symlink);
        }
        self.copy(path, pin, blob, staged)
    }

    fn copy(&self, path: &RelPath, pin: &Pin, blob: &Path, staged: &Path) -> Result<Link, InstallError> {
        if pin.size >= LARGE && !self.told_copy.swap(true, Ordering::Relaxed) {
            self.progress.warn(
                "large-copy",
                format!(
                    "{path} ({}) and other large files are copied, and take their space twice",
                    HumanSize(pin.size)
                ),
            );
        }
        clear_then(staged, || std::fs::copy(blob, staged).map(drop))
            .and_then(|()| read_only(staged))
            .map_err(|source| disk_error(path, staged, source))?;
        Ok(Link::Copy)
    }
}

/// Does `make` where nothing may stand yet; what a dead run left there is removed first.
fn clear_then(staged: &Path, make: impl Fn() -> io::Result<()>) -> io::Result<()> {
    match std::fs::remove_file(staged) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => make(),
    }
}

fn reflink(blob: &Path, staged: &Path) -> io::Result<()> {
    clear_then(staged, || reflink_copy::reflink(blob, staged))?;
    read_only(staged)
}

/// A hard link, and only to an inode that nobody can write through by accident.
fn hard(blob: &Path, staged: &Path) -> io::Result<()> {
    hard_of(&std::fs::metadata(blob)?, blob, staged)
}

fn hard_of(found: &Metadata, blob: &Path, staged: &Path) -> io::Result<()> {
    if found.permissions().mode() & 0o222 != 0 {
        return Err(io::Error::other("the blob is writable"));
    }
    match std::fs::hard_link(blob, staged) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            clear_then(staged, || std::fs::hard_link(blob, staged))
        }
        other => other,
    }
}

/// A hard link to a placed file. A symbolic link is not one to share: what it leads to is in the store.
fn beside(home: &Path, staged: &Path) -> io::Result<()> {
    if std::fs::symlink_metadata(home)?.is_file() {
        hard(home, staged)
    } else {
        Err(io::ErrorKind::InvalidInput.into())
    }
}

/// Gives a file or folder one time.
pub(super) fn set_time(path: &Path, time: SystemTime) -> io::Result<()> {
    File::open(path)?.set_times(FileTimes::new().set_accessed(time).set_modified(time))
}

fn read_only(path: &Path) -> io::Result<()> {
    std::fs::set_permissions(path, Permissions::from_mode(0o444))
}

/// Moves a staged file to a place where nothing stands, and never over something.
fn move_to_free(staged: &Path, target: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    match renameat_with(CWD, staged, CWD, target, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(()),
        // The file system doesn't know the flag: the plan saw that nothing stands there, and we hold the lease.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::OPNOTSUPP) => {
            if std::fs::symlink_metadata(target).is_ok() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            std::fs::rename(staged, target)
        }
        Err(error) => Err(error.into()),
    }
}

fn forced(path: &RelPath, link: Link, done: io::Result<()>) -> Result<Link, InstallError> {
    match done {
        Ok(()) => Ok(link),
        Err(source) if is_full(&source) => {
            Err(InstallError::Disk { doing: "place", path: path.as_str().into(), source })
        }
        Err(source) => Err(InstallError::Link { path: path.clone(), wanted: link.as_str(), source }),
    }
}

/// Failures to link that say nothing about other files.
fn of_this_file(error: &io::Error) -> bool {
    let protected = error.raw_os_error() == Some(rustix::io::Errno::PERM.raw_os_error());
    error.kind() == io::ErrorKind::TooManyLinks || protected || error.raw_os_error().is_none()
}

/// Failures that another way of linking would not mend.
fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::ReadOnlyFilesystem
    )
}

/// The file by the name that the user knows; what was written of it goes, since a full disk needs the room.
fn disk_error(path: &RelPath, staged: &Path, source: io::Error) -> InstallError {
    let _ = std::fs::remove_file(staged);
    InstallError::Disk { doing: "write", path: path.as_str().into(), source }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::FileExt as _;

    use crate::config::LinkMode;
    use crate::install::place::{LARGE, Placer, staged};
    use crate::install::receipt::Link;
    use crate::model::{Pin, RelPath, Sha256};
    use crate::progress::Silent;

    #[test]
    fn a_large_file_that_nobody_keeps_does_not_become_a_link_into_the_store() {
        let folder = tempfile::tempdir().expect("a folder");
        let blob = folder.path().join("blob");
        let file = fs::File::create(&blob).expect("made");
        file.write_all_at(b"x", LARGE).expect("written");
        let pin = Pin { sha256: Sha256::of(b"whatever"), size: LARGE + 1 };
        let path = RelPath::parse("w.bin").expect("a path");
        let staged = staged(&folder.path().join("w.bin"), &path);
        for (kept, expected) in [(true, Link::Symlink), (false, Link::Copy)] {
            let placer = Placer::new(LinkMode::Auto, &Silent);
            let placer = if kept { placer } else { placer.without_record() };
            assert_eq!(placer.without_link(&path, &pin, &blob, &staged).expect("placed"), expected);
        }
    }
}
