//! Files that exist already, on their way into the store without a second copy: clone, hard link, else copy.
//!
//! Owns that what is committed is what was hashed: a clone is hashed itself, a link is made of the inode that was hashed,
//! and a copy is hashed as it is written. Refuses to know which bytes were wanted, and why. See docs/decisions/0023.

use std::collections::BTreeSet;
use std::fs::{File, Metadata};
use std::io::{self, Read as _, Seek as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::model::{GitBlobId, Pin};
use crate::sys::staged::Place;
use crate::sys::{Cancel, Staged, Staging, files, hash};

/// Bytes copied at a time; as many zeros on end become a hole.
const PIECE: usize = 1 << 20;
/// From so many bytes on a copy is hashed and written back on threads of their own.
const MANY: u64 = 64 << 20;
/// Setuid, setgid, sticky: such a file is no blob.
const SPECIAL: u32 = 0o7000;

/// A regular file that somebody else wrote, open for reading.
#[derive(Debug)]
pub struct Existing {
    path: PathBuf,
    file: File,
    stand: Stand,
}

/// An existing file whose bytes were hashed.
#[derive(Debug)]
pub struct Known {
    existing: Existing,
    clone: Option<(Place, File)>,
    pin: Pin,
    git: Option<GitBlobId>,
}

/// How a file stood; whoever writes to it changes one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stand {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// Which digests are wanted besides sha256.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Digests {
    /// None.
    Sha256,
    /// The id of a git blob, which costs as much again.
    AndGit,
}

/// Up to which size a file may be copied that can't be linked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Copying {
    /// Below so many bytes.
    Below(u64),
    /// Whatever its size: somebody was told, and agreed.
    Allowed,
}

/// The way on which a file came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// An inode of its own that shares the blocks.
    Reflink,
    /// The same inode under a further name.
    Hard,
    /// A second copy of the bytes.
    Copy,
}

impl Way {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reflink => "reflink",
            Self::Hard => "hard link",
            Self::Copy => "copy",
        }
    }
}

/// Why a file did not come.
#[derive(Debug, thiserror::Error)]
pub enum NotBrought {
    /// Somebody wrote to it, or put another file in its place.
    #[error("it changed while it was read")]
    Changed,
    /// Neither a clone nor a link is possible, and nobody agreed to a copy.
    #[error("it can be neither cloned nor linked from where it lies, and is too large to be copied unasked")]
    MustCopy,
    /// The disk.
    #[error(transparent)]
    Disk(#[from] io::Error),
}

/// Where existing files are brought; remembers which file systems can't clone into it.
#[derive(Debug)]
pub struct Bringing {
    folder: PathBuf,
    cloneless: Mutex<BTreeSet<u64>>,
}

impl Stand {
    fn of(file: &Metadata) -> Self {
        Self {
            device: file.dev(),
            inode: file.ino(),
            size: file.len(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        }
    }

    /// Whether the open file still stands so.
    pub(super) fn holds(self, file: &File) -> io::Result<bool> {
        Ok(Self::of(&file.metadata()?) == self)
    }
}

impl Existing {
    /// Opens a file below a folder: links are followed as far as they stay below it. `None`: it is not there.
    ///
    /// # Errors
    /// A link that leads out of the folder, a file that is not regular or can't be opened.
    pub fn open(folder: &Path, below: &Path) -> io::Result<Option<Self>> {
        let Some(file) = files::open_below(folder, below)? else { return Ok(None) };
        let stand = Stand::of(&file.metadata()?);
        Ok(Some(Self { path: folder.join(below), file, stand }))
    }

    /// Where it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its bytes.
    pub fn size(&self) -> u64 {
        self.stand.size
    }

    /// Device and inode.
    pub fn inode(&self) -> (u64, u64) {
        (self.stand.device, self.stand.inode)
    }

    /// Hashes it where it is, and changes nothing.
    ///
    /// # Errors
    /// It changed meanwhile, or can't be read; `Interrupted` if `cancel` was set.
    pub fn hash(self, digests: Digests, cancel: &Cancel, advanced: &dyn Fn(u64)) -> Result<Known, NotBrought> {
        let (pin, git) = digest(&self.file, digests, cancel, advanced)?;
        if !self.stand.holds(&self.file)? {
            return Err(NotBrought::Changed);
        }
        Ok(Known { existing: self, clone: None, pin, git })
    }
}

fn digest(
    file: &File,
    digests: Digests,
    cancel: &Cancel,
    advanced: &dyn Fn(u64),
) -> io::Result<(Pin, Option<GitBlobId>)> {
    match digests {
        Digests::Sha256 => Ok((hash::hash_open(file, cancel, advanced)?, None)),
        Digests::AndGit => hash::hash_open_with_git(file, cancel, advanced),
    }
}

impl Known {
    /// Digest and size of its bytes.
    pub fn pin(&self) -> Pin {
        self.pin
    }

    /// What git calls its bytes; none if that was not asked, or if they were made to collide.
    pub fn git(&self) -> Option<GitBlobId> {
        self.git
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.existing.path
    }
}

/// Whether a hard link into a folder on `device` is right for such a file: one's own, and nothing that is more than bytes.
/// Who owns an inode can write to it whenever they like, so a blob is never another user's.
pub fn may_link(file: &Metadata, device: u64) -> bool {
    let readable = file.mode() & 0o400 != 0;
    let own = file.uid() == rustix::process::geteuid().as_raw();
    file.dev() == device && own && readable && file.mode() & SPECIAL == 0
}

impl Bringing {
    /// Into `folder`, which must exist.
    pub fn into(folder: PathBuf) -> Self {
        Self { folder, cloneless: Mutex::default() }
    }

    /// Hashes a file, in a clone where the file system has such: what was hashed can't change then.
    ///
    /// # Errors
    /// It changed meanwhile, or can't be read; `Interrupted` if `cancel` was set.
    pub fn hash(
        &self,
        existing: Existing,
        digests: Digests,
        cancel: &Cancel,
        advanced: &dyn Fn(u64),
    ) -> Result<Known, NotBrought> {
        let Some((place, clone)) = self.clone_of(&existing)? else { return existing.hash(digests, cancel, advanced) };
        let (pin, git) = digest(&clone, digests, cancel, advanced)?;
        Ok(Known { existing, clone: Some((place, clone)), pin, git })
    }

    /// Whether such a file can be cloned; makes a clone to find out, and drops it.
    pub fn clones(&self, existing: &Existing) -> bool {
        matches!(self.clone_of(existing), Ok(Some(_)))
    }

    fn clone_of(&self, existing: &Existing) -> io::Result<Option<(Place, File)>> {
        let device = existing.stand.device;
        if self.cloneless.lock().unwrap_or_else(PoisonError::into_inner).contains(&device) {
            return Ok(None);
        }
        let scratch = tempfile::Builder::new().prefix("scratch-").tempfile_in(&self.folder)?;
        match reflink(&scratch, &existing.file) {
            Ok(()) => {
                let (file, path) = scratch.keep().map_err(|error| error.error)?;
                Ok(Some((Place::passing(path), file)))
            }
            Err(error) if files::is_full(&error) => Err(error),
            Err(_) => {
                self.cloneless.lock().unwrap_or_else(PoisonError::into_inner).insert(device);
                Ok(None)
            }
        }
    }

    /// Brings what was hashed: the clone, a link to the inode, or a copy that is hashed again.
    ///
    /// # Errors
    /// It changed, it may not be copied, or the disk refuses.
    pub fn bring(
        &self,
        known: Known,
        what: &str,
        copying: Copying,
        cancel: &Cancel,
    ) -> Result<(Staged, Way), NotBrought> {
        let Known { existing, clone, pin, .. } = known;
        let mode = existing.file.metadata()?.mode();
        if let Some((place, file)) = clone {
            // What was private stays so.
            let mode = mode & 0o444 | 0o400;
            return Ok((Staged::of_clone(pin, what, place, file, mode), Way::Reflink));
        }
        if let Some(staged) = self.link(&existing, pin, what)? {
            return Ok((staged, Way::Hard));
        }
        match copying {
            Copying::Below(limit) if pin.size >= limit => Err(NotBrought::MustCopy),
            Copying::Below(_) | Copying::Allowed => {
                let staged = self.copy(&existing, what, cancel)?;
                if staged.pin() != pin {
                    staged.discard();
                    return Err(NotBrought::Changed);
                }
                Ok((staged.with_mode(mode & 0o444 | 0o400), Way::Copy))
            }
        }
    }

    /// A copy with an inode of its own, hashed on the way: a clone where the file system has such, else the bytes in one pass.
    ///
    /// # Errors
    /// It can't be read, or the disk refuses; `Interrupted` if `cancel` was set.
    pub fn duplicate(&self, existing: &Existing, what: &str, cancel: &Cancel) -> io::Result<(Staged, Way)> {
        if let Some((place, clone)) = self.clone_of(existing)? {
            let pin = hash::hash_open(&clone, cancel, &|_| ())?;
            return Ok((Staged::of_clone(pin, what, place, clone, 0o444), Way::Reflink));
        }
        Ok((self.copy(existing, what, cancel)?, Way::Copy))
    }

    /// A further name for the inode that was hashed; `None` where that can't be.
    fn link(&self, existing: &Existing, pin: Pin, what: &str) -> Result<Option<Staged>, NotBrought> {
        let file = &existing.file;
        if !may_link(&file.metadata()?, self.folder.metadata()?.dev()) {
            return Ok(None);
        }
        if !existing.stand.holds(file)? {
            return Err(NotBrought::Changed);
        }
        let mut builder = tempfile::Builder::new();
        builder.prefix("scratch-");
        let place = match builder.make_in(&self.folder, |to| files::link_open(file, &existing.path, to)) {
            Ok(made) => Place::passing(made.into_temp_path().keep().map_err(|error| error.error)?),
            Err(error) if files::is_full(&error) => return Err(error.into()),
            // Its last name is gone.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(NotBrought::Changed),
            // Another mount, links forbidden or used up: whatever it is, a copy does without.
            Err(_) => return Ok(None),
        };
        // A link moves the inode's change time, so the rest is compared, and the new time is remembered.
        let linked = Stand::of(&place.path().symlink_metadata()?);
        if (linked.device, linked.inode) != (existing.stand.device, existing.stand.inode) {
            // Layered file systems may have made a new inode for the name; its bytes were not hashed.
            return Ok(None);
        }
        let expected = Stand { changed: linked.changed, ..existing.stand };
        if linked != expected || !linked.holds(file)? {
            return Err(NotBrought::Changed);
        }
        let handle = file.try_clone()?;
        Ok(Some(Staged::of_link(pin, what, place, handle, linked)?))
    }

    fn copy(&self, existing: &Existing, what: &str, cancel: &Cancel) -> io::Result<Staged> {
        let mut reader = &existing.file;
        reader.rewind()?;
        let mut staging = Staging::create(&self.folder, what)?;
        if existing.size() >= MANY {
            staging.work_behind();
        }
        let whole = usize::try_from(existing.size()).unwrap_or(PIECE).saturating_add(1);
        let most = whole.min(PIECE);
        loop {
            if cancel.is_cancelled() {
                return Err(io::Error::new(io::ErrorKind::Interrupted, "stopped"));
            }
            let mut piece = Vec::with_capacity(most);
            let count = reader.take(most as u64).read_to_end(&mut piece)?;
            if count == 0 {
                return Ok(staging.finish());
            }
            // What is sparse stays so.
            if count == PIECE && piece.iter().all(|byte| *byte == 0) {
                staging.write_hole(Box::new(piece))?;
            } else {
                staging.write_piece(Box::new(piece))?;
            }
        }
    }
}

#[cfg(target_os = "linux")]
fn reflink(to: &tempfile::NamedTempFile, from: &File) -> io::Result<()> {
    Ok(rustix::fs::ioctl_ficlone(to.as_file(), from)?)
}

/// Elsewhere a clone is made by path alone, which could lead to another file than the open one.
#[cfg(not(target_os = "linux"))]
fn reflink(_: &tempfile::NamedTempFile, _: &File) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests;
