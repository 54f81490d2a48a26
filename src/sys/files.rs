//! Capped reads, atomic writes, private folders.

use std::path::Path;

/// Reads a regular file of at most `cap` bytes; `None` if it is not there. A symlink is not followed.
///
/// # Errors
/// It is larger (`FileTooLarge`), not a regular file, or can't be read.
pub fn read_capped(path: &Path, cap: u64) -> std::io::Result<Option<Vec<u8>>> {
    todo!()
}

/// Writes a whole file: temporary file beside it, fsync, rename, fsync of the folder. Mode 0644 less umask.
///
/// # Errors
/// The folder can't be written.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    todo!()
}

/// The same with mode 0600 in a folder of mode 0700: state and secrets.
///
/// # Errors
/// The folder can't be written.
pub fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    todo!()
}

/// Bytes free for this user on the file system that holds `path` (or its nearest parent that exists).
///
/// # Errors
/// The file system can't be asked.
pub fn free_space(path: &Path) -> std::io::Result<u64> {
    todo!()
}
