//! Staged writes: an open handle on the store's file system that hashes what it takes.
//!
//! Owns the way of bytes from a stream to a name: written and hashed in order, made durable, renamed. Refuses to know which
//! bytes were wanted; `verify` compares. A scratch file goes when it is dropped, a partial download stays for the next run.

mod memory;

use std::fmt;
use std::fs::{File, Metadata, Permissions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{FallocateFlags, Mode, OFlags};
use rustix::io::Errno;

use crate::model::{Pin, Sha256Hasher};
use crate::sys::behind::{Hashing, Piece, WriteBack};
use crate::sys::existing::Stand;
use crate::sys::{Cancel, Lease, fault, files};

pub use memory::Hashed;

/// Bytes read at a time where a prefix is hashed again.
const PIECE: usize = 256 * 1024;

/// Read-only for everybody.
const MODE: u32 = 0o444;

/// A file being written in order; finished, it becomes [`Staged`].
pub struct Staging {
    what: String,
    digest: Digest,
    written: u64,
    place: Place,
    file: File,
    back: Option<WriteBack>,
}

/// Where the digest is computed.
enum Digest {
    /// On the thread that writes.
    Here(Sha256Hasher),
    /// On a thread of its own.
    Behind(Hashing),
}

impl Default for Digest {
    fn default() -> Self {
        Self::Here(Sha256Hasher::new())
    }
}

impl Digest {
    fn so_far(&self) -> Sha256Hasher {
        match self {
            Self::Here(hasher) => hasher.clone(),
            Self::Behind(hashing) => hashing.so_far(),
        }
    }

    fn end(self) -> Sha256Hasher {
        match self {
            Self::Here(hasher) => hasher,
            Self::Behind(hashing) => hashing.end(),
        }
    }

    fn take(&mut self, piece: Piece) {
        match self {
            Self::Here(hasher) => hasher.update((*piece).as_ref()),
            Self::Behind(hashing) => hashing.take(piece),
        }
    }

    /// The digest on this thread, from now on.
    fn here(&mut self) -> &mut Sha256Hasher {
        if let Self::Behind(_) = self {
            *self = Self::Here(std::mem::take(self).end());
        }
        match self {
            Self::Here(hasher) => hasher,
            Self::Behind(_) => unreachable!("it was brought here just now"),
        }
    }
}

/// In which pieces a partial download is read again, and which of them are worth keeping.
pub trait Grain {
    /// Bytes of the piece that begins at `offset`; none: nothing is kept from there on.
    fn length(&self, offset: u64) -> Option<usize>;

    /// Whether the piece that begins at `offset` is kept, with all before it. The last may be shorter than asked.
    fn admits(&mut self, offset: u64, piece: &[u8]) -> bool;
}

/// Pieces of any length, all kept: the whole's digest decides.
struct Anyhow;

impl Grain for Anyhow {
    fn length(&self, _: u64) -> Option<usize> {
        Some(PIECE)
    }

    fn admits(&mut self, _: u64, _: &[u8]) -> bool {
        true
    }
}

/// Reads until the buffer is full or the file ends.
fn read_full(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut count = 0;
    while let Some(rest) = buffer.get_mut(count..).filter(|rest| !rest.is_empty()) {
        match file.read(rest) {
            Ok(0) => break,
            Ok(more) => count += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}

/// A whole file with its digest, held by an open handle: nothing re-opens a path between check and use. Dropped without
/// being committed, a scratch file is removed; a partial download stays.
#[derive(Debug)]
pub struct Staged {
    pin: Pin,
    what: String,
    place: Place,
    file: File,
    /// The mode that it has in the store.
    mode: u32,
    /// How an inode stood that has names elsewhere: somebody may write to it.
    shared: Option<Box<Stand>>,
    /// Write-back that is under way.
    back: Mutex<Option<WriteBack>>,
    /// Given up after the file has its name or is gone.
    _lease: Option<Lease>,
}

/// A path that may have to go.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    remove: bool,
}

impl Place {
    /// A path that goes unless the file gets another.
    pub(super) fn passing(path: PathBuf) -> Self {
        Self { path, remove: true }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.remove {
            // Nobody can act on a leftover; a collection removes it.
            let _ = files::remove(&self.path);
        }
    }
}

impl fmt::Debug for Staging {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Staging").field("place", &self.place).field("written", &self.written).finish_non_exhaustive()
    }
}

impl Staging {
    /// A scratch file in `folder`, which must exist.
    ///
    /// # Errors
    /// The folder can't be written.
    pub fn create(folder: &Path, what: impl Into<String>) -> io::Result<Self> {
        let temporary = tempfile::Builder::new().prefix("scratch-").tempfile_in(folder)?;
        let (file, path) = temporary.keep().map_err(|error| error.error)?;
        let place = Place { path, remove: true };
        Ok(Self { what: what.into(), digest: Digest::default(), written: 0, place, file, back: None })
    }

    /// Goes on with the partial download at `path`, or begins it. What is there is hashed again, so nothing is believed
    /// about it; of a file longer than `limit` nothing is kept. The caller holds the lease of this download.
    ///
    /// # Errors
    /// It can't be opened; `InvalidInput` if it is a symlink or has another name; `Interrupted` if `cancel` was set
    /// meanwhile.
    pub fn resume(path: &Path, what: impl Into<String>, limit: u64, cancel: &Cancel) -> io::Result<Self> {
        Self::resume_by(path, what, limit, &mut Anyhow, cancel)
    }

    /// The same by a grain: from the first grain on that is not whole or not right nothing is kept.
    ///
    /// # Errors
    /// As for [`Staging::resume`].
    pub fn resume_by(
        path: &Path,
        what: impl Into<String>,
        limit: u64,
        grain: &mut dyn Grain,
        cancel: &Cancel,
    ) -> io::Result<Self> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let mode = Mode::RUSR | Mode::WUSR;
        let not_ours = || io::Error::new(io::ErrorKind::InvalidInput, "is no partial download of ours");
        let file = match rustix::fs::open(path, flags, mode) {
            Ok(handle) => File::from(handle),
            Err(Errno::LOOP | Errno::MLINK) => return Err(not_ours()),
            Err(error) => return Err(error.into()),
        };
        let metadata = file.metadata()?;
        // A name elsewhere means bytes that somebody else counts on.
        if !metadata.is_file() || metadata.nlink() > 1 {
            return Err(not_ours());
        }
        let place = Place { path: path.to_owned(), remove: false };
        let mut staging = Self { what: what.into(), digest: Digest::default(), written: 0, place, file, back: None };
        if metadata.len() > limit {
            staging.restart()?;
        }
        let mut buffer = Vec::new();
        while let Some(length) = grain.length(staging.written) {
            if cancel.is_cancelled() {
                return Err(io::Error::new(io::ErrorKind::Interrupted, "stopped"));
            }
            buffer.resize(length, 0);
            let count = read_full(&mut staging.file, &mut buffer)?;
            let piece = buffer.get(..count).unwrap_or_default();
            if piece.is_empty() {
                return Ok(staging);
            }
            if !grain.admits(staging.written, piece) {
                break;
            }
            staging.digest.here().update(piece);
            staging.written = staging.written.saturating_add(count as u64);
        }
        staging.file.set_len(staging.written)?;
        staging.file.seek(io::SeekFrom::Start(staging.written))?;
        Ok(staging)
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// The disk is full or broken. What of `bytes` was written is not known: a partial download is cut back.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.append(bytes)?;
        self.digest.here().update(bytes);
        Ok(())
    }

    /// Takes the next bytes together with their memory, which the digest needs for a while longer after [`Staging::hurry`].
    ///
    /// # Errors
    /// As for [`Staging::write`].
    pub fn write_piece(&mut self, piece: Piece) -> io::Result<()> {
        self.append((*piece).as_ref())?;
        self.digest.take(piece);
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let result = fault::point("fetch-write").and_then(|()| self.file.write_all(bytes));
        if let Err(error) = result {
            self.file.set_len(self.written)?;
            self.file.seek(io::SeekFrom::Start(self.written))?;
            return Err(error);
        }
        self.written = self.written.saturating_add(bytes.len() as u64);
        if let Some(back) = &mut self.back {
            back.wrote(bytes.len() as u64);
        }
        Ok(())
    }

    /// Prepares for many bytes: the digest is computed on a thread of its own, what is written goes to the disk while more
    /// comes, and `size` bytes get their blocks now, so that a disk that is too full says so before they are fetched. What
    /// the system does not offer is done without.
    ///
    /// # Errors
    /// The disk or quota is too full for so many bytes.
    pub fn hurry(&mut self, size: u64) -> io::Result<()> {
        self.work_behind();
        match rustix::fs::fallocate(&self.file, FallocateFlags::KEEP_SIZE, 0, size) {
            Err(error @ (Errno::NOSPC | Errno::DQUOT)) => Err(error.into()),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// From now on the digest is computed on a thread of its own, and what is written goes to the disk while more comes. What
    /// the system does not offer is done without.
    pub fn work_behind(&mut self) {
        if let Digest::Here(hasher) = &self.digest
            && let Ok(hashing) = Hashing::start(hasher.clone())
        {
            self.digest = Digest::Behind(hashing);
        }
        if self.back.is_none() {
            self.back = WriteBack::start(&self.file).ok();
        }
    }

    /// Gives back the blocks that were set aside and not used.
    ///
    /// # Errors
    /// The file can't be cut.
    pub fn trim(&self) -> io::Result<()> {
        self.file.set_len(self.written)
    }

    /// Bytes so far.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Forgets all bytes and begins anew.
    ///
    /// # Errors
    /// The file can't be cut.
    pub fn restart(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        let _ = std::mem::take(&mut self.digest);
        self.written = 0;
        Ok(())
    }

    /// Removes the file, also if it is a partial download.
    pub fn discard(mut self) {
        self.place.remove = true;
    }

    /// Digest and size of what was written so far.
    pub fn pin(&self) -> Pin {
        Pin { sha256: self.digest.so_far().finish(), size: self.written }
    }

    /// The whole file with its digest.
    pub fn finish(self) -> Staged {
        let pin = Pin { sha256: self.digest.end().finish(), size: self.written };
        let (what, place, file, back) = (self.what, self.place, self.file, Mutex::new(self.back));
        Staged { pin, what, place, file, mode: MODE, shared: None, back, _lease: None }
    }

    /// Takes bytes that are all zero without giving them blocks.
    pub(super) fn write_hole(&mut self, zeros: Piece) -> io::Result<()> {
        let end = self.written.saturating_add((*zeros).as_ref().len() as u64);
        self.file.set_len(end)?;
        self.file.seek(io::SeekFrom::Start(end))?;
        self.digest.take(zeros);
        self.written = end;
        Ok(())
    }
}

impl Staged {
    /// A clone of a file that exists elsewhere; it was hashed itself.
    pub(super) fn of_clone(pin: Pin, what: &str, place: Place, file: File, mode: u32) -> Self {
        Self { pin, what: what.to_owned(), place, file, mode, shared: None, back: Mutex::default(), _lease: None }
    }

    /// A further name for an inode that stood so when it was hashed.
    pub(super) fn of_link(pin: Pin, what: &str, place: Place, file: File, stand: Stand) -> io::Result<Self> {
        // Nobody writes through either name by accident from now on. What else the mode says stays: a private file
        // does not become public, nor a program useless.
        let mode = file.metadata()?.mode() & 0o555;
        let (what, shared) = (what.to_owned(), Some(Box::new(stand)));
        Ok(Self { pin, what, place, file, mode, shared, back: Mutex::default(), _lease: None })
    }

    /// The same file, to have another mode in the store.
    pub(super) fn with_mode(self, mode: u32) -> Self {
        Self { mode, ..self }
    }

    /// Takes the right to write from everybody, and says how the file stood before that; `None` if somebody wrote since the
    /// bytes were hashed.
    ///
    /// # Errors
    /// The file can't be asked or changed, or a write was lost.
    pub(crate) fn close_to_writers(&self) -> io::Result<Option<Metadata>> {
        // Also before a barrier that many files share: a lost write is told to this handle, and only once.
        let back = self.back.lock().unwrap_or_else(PoisonError::into_inner).take();
        back.map_or(Ok(()), WriteBack::end)?;
        if let Some(stand) = &self.shared
            && !stand.holds(&self.file)?
        {
            return Ok(None);
        }
        let metadata = self.file.metadata()?;
        if metadata.permissions().mode() & 0o7777 != self.mode {
            self.file.set_permissions(Permissions::from_mode(self.mode))?;
        }
        Ok(Some(metadata))
    }

    /// The same file, with a lease that is held until it is stored or dropped.
    #[must_use]
    pub fn guarded_by(self, lease: Lease) -> Self {
        Self { _lease: Some(lease), ..self }
    }

    /// Digest and size of what was written.
    pub fn pin(&self) -> Pin {
        self.pin
    }

    /// What it is for, in messages.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// The open file; read it by position.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Removes the file, also if it is a partial download.
    pub fn discard(mut self) {
        self.place.remove = true;
    }

    /// Makes the bytes durable.
    ///
    /// # Errors
    /// A write was lost.
    pub(crate) fn sync(&self) -> io::Result<()> {
        fault::point("blob-sync")?;
        self.file.sync_all()
    }

    /// Gives the file its last name without replacing anything; `false` if something stands there. The caller has made
    /// the bytes durable, and syncs the folder after.
    ///
    /// # Errors
    /// The file system refuses; or the name that was renamed did not lead to the open file: nothing stays there then.
    pub(crate) fn rename_to(&mut self, path: &Path) -> io::Result<bool> {
        fault::point("blob-rename")?;
        if !files::rename_new(&self.place.path, path)? {
            return Ok(false);
        }
        self.place.remove = false;
        let (ours, named) = (self.file.metadata()?, path.symlink_metadata()?);
        if (ours.dev(), ours.ino()) != (named.dev(), named.ino()) {
            files::remove(path)?;
            return Err(io::Error::other("another file was put in the place of a checked one"));
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use crate::model::Pin;
    use crate::sys::{Cancel, Staging, files};

    #[test]
    fn a_scratch_file_goes_and_a_partial_download_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut scratch = Staging::create(folder.path(), "x").expect("made");
        scratch.write(b"abc").expect("written");
        assert_eq!(scratch.finish().pin(), Pin::of(b"abc"));
        assert!(files::list(folder.path()).expect("readable").is_empty());

        let path = folder.path().join("blob.part");
        let mut partial = Staging::resume(&path, "x", 6, &Cancel::new()).expect("begun");
        partial.write(b"abc").expect("written");
        drop(partial);
        let mut partial = Staging::resume(&path, "x", 6, &Cancel::new()).expect("went on");
        assert_eq!(partial.written(), 3);
        partial.write(b"def").expect("written");
        let mut staged = partial.finish();
        assert_eq!(staged.pin(), Pin::of(b"abcdef"));
        let name = folder.path().join("blob");
        assert!(staged.rename_to(&name).expect("renamed"));
        assert_eq!(files::read_capped(&name, 6).expect("readable").as_deref(), Some(&b"abcdef"[..]));
    }

    #[test]
    fn a_partial_download_that_is_too_long_or_no_file_of_ours_is_not_gone_on_with() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("blob.part");
        files::write_atomic(&path, b"abcdef").expect("written");
        assert_eq!(Staging::resume(&path, "x", 5, &Cancel::new()).expect("begun").written(), 0);
        let link = folder.path().join("link.part");
        std::os::unix::fs::symlink(&path, &link).expect("linked");
        assert!(Staging::resume(&link, "x", 5, &Cancel::new()).is_err());
        std::fs::hard_link(&path, folder.path().join("again")).expect("linked");
        assert!(Staging::resume(&path, "x", 5, &Cancel::new()).is_err());
    }

    #[test]
    fn a_file_put_in_the_place_of_a_checked_one_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("blob.part");
        let mut staged = Staging::resume(&path, "x", 6, &Cancel::new()).expect("begun").finish();
        files::remove(&path).expect("removed");
        files::write_atomic(&path, b"evil").expect("written");
        assert!(staged.rename_to(&folder.path().join("blob")).is_err());
        assert!(!folder.path().join("blob").exists());
    }
}
