//! Capped reads, atomic writes, private folders, barriers.
//!
//! Owns how a file is opened, replaced and made durable. Refuses to know what is in it. Nothing here follows a symlink in
//! the last component, and nothing opens what is no regular file: a pipe or a device in a file's place is an error.

use std::ffi::OsString;
use std::fs::{DirBuilder, File, Metadata};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

#[cfg(target_os = "linux")]
use rustix::fs::{AtFlags, ResolveFlags};
use rustix::fs::{CWD, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use tempfile::NamedTempFile;

use crate::sys::fault;

/// From so many files on, one barrier for the whole file system is cheaper than one for each.
const SHARED_BARRIER: usize = 8;

/// Reads a regular file of at most `cap` bytes; `None` if it is not there. A symlink is not followed.
///
/// # Errors
/// It is larger (`FileTooLarge`), not a regular file, or can't be read.
pub fn read_capped(path: &Path, cap: u64) -> io::Result<Option<Vec<u8>>> {
    let Some(file) = open_regular(path)? else { return Ok(None) };
    read_open(&file, cap).map(Some)
}

/// Reads an open file of at most `cap` bytes from where it stands.
///
/// # Errors
/// It is larger (`FileTooLarge`) or can't be read.
pub fn read_open(file: &File, cap: u64) -> io::Result<Vec<u8>> {
    let too_large = || io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than the {cap} bytes allowed here"));
    let length = file.metadata()?.len();
    if length > cap {
        return Err(too_large());
    }
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
    // The file may grow between the question and the reading.
    file.take(cap.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > cap { Err(too_large()) } else { Ok(bytes) }
}

/// Reads an open file of at most `cap` bytes from its start, wherever it stands.
///
/// # Errors
/// As for [`read_open`].
pub fn read_whole(mut file: &File, cap: u64) -> io::Result<Vec<u8>> {
    io::Seek::rewind(&mut file)?;
    read_open(file, cap)
}

/// Opens a regular file for reading; `None` if it is not there. A symlink is not followed, a pipe does not block.
///
/// # Errors
/// It is a symlink or not a regular file, or can't be opened.
pub fn open_regular(path: &Path) -> io::Result<Option<File>> {
    Ok(open_regular_seen(path)?.map(|(file, _)| file))
}

/// The same, and how the open file stands.
///
/// # Errors
/// As for [`open_regular`].
pub fn open_regular_seen(path: &Path) -> io::Result<Option<(File, Metadata)>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(handle) => File::from(handle),
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::LOOP | Errno::MLINK) => return Err(not_regular("a symlink")),
        Err(error) => return Err(error.into()),
    };
    let metadata = file.metadata()?;
    if metadata.is_file() { Ok(Some((file, metadata))) } else { Err(not_regular("not a regular file")) }
}

/// Opens a regular file below a folder for reading. Symlinks on the way are followed as long as they stay below it; `None`
/// if nothing is there. Nothing but a regular file is opened for long, and a pipe does not block.
///
/// # Errors
/// A link leads out of the folder, or what is there is no regular file or can't be opened.
pub fn open_below(folder: &Path, below: &Path) -> io::Result<Option<File>> {
    #[cfg(target_os = "linux")]
    {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let rules = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        match rustix::fs::openat2(File::open(folder)?, below, flags, Mode::empty(), rules) {
            Ok(handle) => {
                let file = File::from(handle);
                return if file.metadata()?.is_file() {
                    Ok(Some(file))
                } else {
                    Err(not_regular("not a regular file"))
                };
            }
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            Err(Errno::XDEV | Errno::LOOP) => return Err(not_regular("a symlink that leads out of the folder")),
            // The kernel does not know the call, or a sandbox forbids it: resolved here, with less against a race.
            Err(Errno::NOSYS | Errno::PERM | Errno::INVAL) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let folder = folder.canonicalize()?;
    let found = match folder.join(below).canonicalize() {
        Ok(found) => found,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    if found.starts_with(&folder) {
        open_regular(&found)
    } else {
        Err(not_regular("a symlink that leads out of the folder"))
    }
}

/// Gives the inode of an open file a further name; nothing is replaced. `path` is where it was opened, for systems that can't
/// link what is open: the caller compares inodes.
///
/// # Errors
/// The file systems differ, or the system refuses.
pub fn link_open(file: &File, path: &Path, to: &Path) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use std::os::fd::AsRawFd as _;
        let open = format!("/proc/self/fd/{}", file.as_raw_fd());
        match rustix::fs::linkat(CWD, &open, CWD, to, AtFlags::SYMLINK_FOLLOW) {
            Ok(()) => return Ok(()),
            // There is no /proc, or nothing has the file's name any more; the path will tell.
            Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
    }
    std::fs::hard_link(path.canonicalize()?, to)
}

fn not_regular(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("is {what}; a regular file was expected"))
}

/// Writes a whole file: temporary file beside it, fsync, rename, fsync of the folder. Mode 0644 less umask, or the mode of
/// the file that it replaces. Folders that are missing are made.
///
/// # Errors
/// The folder can't be written.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = parent(path)?;
    std::fs::create_dir_all(&folder)?;
    let mode = match std::fs::symlink_metadata(path) {
        Ok(old) if old.is_file() => Some(old.permissions().mode() & 0o777),
        _ => None,
    };
    replace(path, &folder, bytes, 0o666, mode)
}

/// The same without barriers, for copies that can be had again and that whoever reads them checks: after a power cut the file
/// may be short or empty.
///
/// # Errors
/// The folder can't be written.
pub fn write_copy(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut temporary = unfinished(&parent(path)?, 0o666)?;
    temporary.write_all(bytes).map_err(|error| bare(&error))?;
    fault::point("atomic-rename")?;
    temporary.persist(path).map(drop).map_err(|error| bare(&error.error))
}

/// The same with mode 0644 whatever the umask, in a folder that exists: what others may read and nobody else may write.
///
/// # Errors
/// The folder can't be written.
pub fn write_readable(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace(path, &parent(path)?, bytes, 0o600, Some(0o644))
}

/// The same with mode 0600 in a folder of mode 0700: state and secrets. Folders that are missing are made private.
///
/// # Errors
/// The folder can't be written.
pub fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = parent(path)?;
    create_private_dirs(&folder)?;
    replace(path, &folder, bytes, 0o600, None)
}

fn replace(path: &Path, folder: &Path, bytes: &[u8], create: u32, mode: Option<u32>) -> io::Result<()> {
    let mut temporary = unfinished(folder, create)?;
    if let Some(mode) = mode {
        temporary.as_file().set_permissions(std::fs::Permissions::from_mode(mode))?;
    }
    temporary.write_all(bytes).map_err(|error| bare(&error))?;
    temporary.as_file().sync_all()?;
    fault::point("atomic-rename")?;
    temporary.persist(path).map_err(|error| bare(&error.error))?;
    sync_dir(folder)
}

/// Writes many whole files with shared barriers: all bytes first, in `staging` (on the same file system), then their names, in
/// the order given. Mode 0644. Folders that are missing are made; a symlink in a file's place is replaced, not followed.
///
/// # Errors
/// The folders can't be written; those files that have their names by then are whole.
pub fn write_many(staging: &Path, files: &[(PathBuf, &[u8])]) -> io::Result<()> {
    let mut folders = std::collections::BTreeSet::new();
    let mut written = Vec::with_capacity(files.len());
    for (path, bytes) in files {
        let folder = parent(path)?;
        if !folders.contains(&folder) {
            std::fs::create_dir_all(&folder)?;
            folders.insert(folder);
        }
        let mut temporary = unfinished(staging, 0o600)?;
        temporary.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
        temporary.write_all(bytes).map_err(|error| bare(&error))?;
        written.push((temporary, path));
    }
    let shared = written.len() >= SHARED_BARRIER;
    if !(shared && sync_filesystem(staging)?) {
        for (temporary, _) in &written {
            temporary.as_file().sync_all()?;
        }
    }
    for (temporary, path) in written {
        fault::point("many-rename")?;
        temporary.persist(path).map_err(|error| bare(&error.error))?;
    }
    if !(shared && sync_filesystem(staging)?) {
        for folder in folders {
            sync_dir(&folder)?;
        }
    }
    Ok(())
}

/// A file that is still written, in the folder where it will stand, with a name by which [`clear_unfinished`] knows it.
///
/// # Errors
/// The folder can't be written.
pub fn unfinished(folder: &Path, mode: u32) -> io::Result<NamedTempFile> {
    let permissions = std::fs::Permissions::from_mode(mode);
    let mut builder = tempfile::Builder::new();
    builder.prefix(".mpm-").suffix(".tmp").permissions(permissions).tempfile_in(folder).map_err(|error| bare(&error))
}

/// Removes what processes that were killed in the midst of an atomic write left in a folder. The caller holds the lease that
/// guards the folder's files. What can't be removed stays: nobody can act on it.
pub fn clear_unfinished(folder: &Path) {
    clear_unfinished_before(folder, i64::MAX);
}

/// The same with those that were written before a time (seconds by the file system's clock), where no lease guards the folder.
/// Says how many.
pub fn clear_unfinished_before(folder: &Path, time: i64) -> u64 {
    let mut removed = 0_u64;
    for (name, kind) in list(folder).unwrap_or_default() {
        let random = name.to_str().and_then(|name| name.strip_prefix(".mpm-")?.strip_suffix(".tmp"));
        let ours = random.is_some_and(|random| random.len() == 6 && random.bytes().all(|c| c.is_ascii_alphanumeric()));
        let path = folder.join(&name);
        let old = || path.symlink_metadata().is_ok_and(|file| file.mtime() < time);
        if ours && kind == Kind::File && old() && remove(&path).is_ok_and(|gone| gone) {
            removed = removed.saturating_add(1);
        }
    }
    removed
}

/// The error without the name of a temporary file, which means nothing to anybody.
pub(super) fn bare(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(number) => io::Error::from_raw_os_error(number),
        None => io::Error::from(error.kind()),
    }
}

fn parent(path: &Path) -> io::Result<PathBuf> {
    match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => Ok(PathBuf::from(".")),
        Some(folder) => Ok(folder.to_owned()),
        None => Err(io::Error::new(io::ErrorKind::InvalidInput, "a path without a folder can't be written")),
    }
}

/// Creates a folder and its missing parents for this user alone (0700). Folders that exist keep their mode.
///
/// # Errors
/// It can't be made, or something that is no folder stands there.
pub fn create_private_dirs(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Whether others than this user may write in a folder: by its mode, or because it is theirs. Root may everywhere and does not
/// count.
pub fn others_may_write(folder: &Path) -> bool {
    let mine = |owner: u32| owner == 0 || owner == rustix::process::geteuid().as_raw();
    folder.symlink_metadata().is_ok_and(|found| found.mode() & 0o022 != 0 || !mine(found.uid()))
}

/// What stands in a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symlink, which is never followed.
    Symlink,
    /// A pipe, a socket, a device.
    Other,
}

/// Names in a folder with their kinds, sorted; empty if the folder is not there.
///
/// # Errors
/// It can't be read.
pub fn list(folder: &Path) -> io::Result<Vec<(OsString, Kind)>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        let kind = match entry.file_type() {
            Ok(kind) if kind.is_file() => Kind::File,
            Ok(kind) if kind.is_dir() => Kind::Folder,
            Ok(kind) if kind.is_symlink() => Kind::Symlink,
            Ok(_) => Kind::Other,
            // Gone between the two questions.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        found.push((entry.file_name(), kind));
    }
    found.sort();
    Ok(found)
}

/// Removes a file; one that is not there is no error. Says whether it was.
///
/// # Errors
/// It can't be removed.
pub fn remove(path: &Path) -> io::Result<bool> {
    match std::fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Renames without replacing; `false` if something stands at `to` already.
///
/// # Errors
/// The file system refuses.
pub fn rename_new(from: &Path, to: &Path) -> io::Result<bool> {
    #[cfg(any(target_os = "linux", target_os = "macos"))]
    match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Ok(()) => return Ok(true),
        Err(Errno::EXIST) => return Ok(false),
        // File systems such as NFS don't know the flag: a hard link does not replace either.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {}
        Err(error) => return Err(error.into()),
    }
    match std::fs::hard_link(from, to) {
        Ok(()) => remove(from).map(|_| true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

/// Makes the names in a folder durable.
///
/// # Errors
/// The folder can't be opened or synced.
pub fn sync_dir(folder: &Path) -> io::Result<()> {
    match fault::point("name-sync").and_then(|()| File::open(folder)?.sync_all()) {
        // Some network file systems can't sync folders; they order names by themselves.
        Err(error) if matches!(error.raw_os_error(), Some(22 | 95)) => Ok(()),
        result => result,
    }
}

/// Makes all that was written to the file system of `folder` durable: one barrier for many small files. `false` where the
/// system can't; then each file needs its own.
///
/// # Errors
/// A write was lost.
pub fn sync_filesystem(folder: &Path) -> io::Result<bool> {
    #[cfg(target_os = "linux")]
    {
        fault::point("name-sync")?;
        rustix::fs::syncfs(File::open(folder)?)?;
        Ok(true)
    }
    #[cfg(not(target_os = "linux"))]
    {
        Ok(false)
    }
}

/// Bytes free for this user on the file system that holds `path` (or its nearest parent that exists).
///
/// # Errors
/// The file system can't be asked.
pub fn free_space(path: &Path) -> io::Result<u64> {
    let mut asked = path;
    loop {
        match rustix::fs::statvfs(asked) {
            Ok(answer) => return Ok(answer.f_bavail.saturating_mul(answer.f_frsize)),
            Err(Errno::NOENT | Errno::NOTDIR) => match asked.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => asked = parent,
                _ => return Err(Errno::NOENT.into()),
            },
            Err(error) => return Err(error.into()),
        }
    }
}

/// Files that this process may have open at a time, at most 16,384 of them told.
pub fn open_limit() -> usize {
    let most = 16_384;
    rustix::process::getrlimit(rustix::process::Resource::Nofile)
        .current
        .and_then(|limit| usize::try_from(limit).ok())
        .map_or(most, |limit| limit.min(most))
}

/// Whether an error says that the disk or a quota is full.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use crate::sys::files;

    fn mode(path: &Path) -> u32 {
        path.symlink_metadata().expect("it is there").permissions().mode() & 0o777
    }

    #[test]
    fn what_is_written_is_read_back_under_its_cap() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a/b.txt");
        assert_eq!(files::read_capped(&path, 10).expect("readable"), None);
        files::write_atomic(&path, b"0123456789").expect("written");
        assert_eq!(files::read_capped(&path, 10).expect("readable").as_deref(), Some(&b"0123456789"[..]));
        assert_eq!(files::read_capped(&path, 9).expect_err("too large").kind(), io::ErrorKind::FileTooLarge);
        files::write_private(&folder.path().join("secret/state"), b"x").expect("written");
        assert_eq!((mode(&folder.path().join("secret")), mode(&folder.path().join("secret/state"))), (0o700, 0o600));
    }

    #[test]
    fn the_mode_of_a_replaced_file_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        files::write_atomic(&path, b"1").expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).expect("changed");
        files::write_atomic(&path, b"2").expect("written");
        assert_eq!(mode(&path), 0o640);
        assert_eq!(files::list(folder.path()).expect("readable").len(), 1, "no temporary file is left");
    }

    #[test]
    fn symlinks_pipes_and_folders_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("target");
        files::write_atomic(&target, b"secret").expect("written");
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&target, &link).expect("linked");
        for path in [&link, folder.path()] {
            assert_eq!(files::read_capped(path, 100).expect_err("refused").kind(), io::ErrorKind::InvalidInput);
        }
    }

    #[test]
    fn renaming_never_replaces() {
        let folder = tempfile::tempdir().expect("a folder");
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        files::write_atomic(&from, b"1").expect("written");
        assert!(files::rename_new(&from, &to).expect("renamed"));
        files::write_atomic(&from, b"2").expect("written");
        assert!(!files::rename_new(&from, &to).expect("told"));
        assert_eq!(files::read_capped(&to, 1).expect("readable").as_deref(), Some(&b"1"[..]));
    }

    #[test]
    fn free_space_is_asked_of_the_nearest_parent() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(files::free_space(&folder.path().join("not/yet/there")).expect("answered") > 0);
    }
}
