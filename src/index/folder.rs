//! Files of an index: folder. Each part of a path is opened from the folder before it, and none may be a symbolic link.

use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::index::{Freshness, Origin, OriginError};
use crate::sys::BlobReader;

/// Reads below a folder.
pub(super) struct Folder {
    root: PathBuf,
}

impl Folder {
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Opens a file without following a link anywhere below the root.
    fn open(&self, path: &str) -> Result<Option<std::fs::File>, OriginError> {
        let whole = || self.root.join(path);
        let fail = |error: Errno| match error {
            // Following a link, or a file where a folder must be.
            Errno::LOOP | Errno::MLINK | Errno::NOTDIR => OriginError::NotAFile { path: whole() },
            other => OriginError::Folder { path: whole(), source: other.into() },
        };
        let folder = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        // The root itself is the user's choice, links included. Where it is missing, the place is, not the file.
        let mut at: OwnedFd = rustix::fs::open(&self.root, folder, Mode::empty())
            .map_err(|error| OriginError::Folder { path: self.root.clone(), source: error.into() })?;
        let mut parts = path.split('/').peekable();
        while let Some(part) = parts.next() {
            if part.is_empty() || part == "." || part == ".." {
                return Err(OriginError::NotAFile { path: whole() });
            }
            let last = parts.peek().is_none();
            let flags = if last { OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC } else { folder };
            at = match rustix::fs::openat(&at, part, flags | OFlags::NOFOLLOW, Mode::empty()) {
                Ok(next) => next,
                Err(Errno::NOENT) => return Ok(None),
                Err(error) => return Err(fail(error)),
            };
        }
        let file = std::fs::File::from(at);
        let kind = file.metadata().map_err(|source| OriginError::Folder { path: whole(), source })?;
        if kind.is_file() { Ok(Some(file)) } else { Err(OriginError::NotAFile { path: whole() }) }
    }
}

impl Origin for Folder {
    fn get(&self, path: &str, cap: u64, _: Freshness) -> Result<Option<Vec<u8>>, OriginError> {
        let Some(file) = self.open(path)? else { return Ok(None) };
        let mut bytes = Vec::new();
        file.take(cap.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(|source| OriginError::Folder { path: self.root.join(path), source })?;
        if bytes.len() as u64 > cap {
            return Err(OriginError::TooLarge { path: path.to_owned(), place: self.describe(), cap });
        }
        Ok(Some(bytes))
    }

    fn describe(&self) -> String {
        self.root.display().to_string()
    }

    fn may_be_written(&self) -> bool {
        true
    }

    fn blobs(&self, _: &str) -> Option<Arc<dyn BlobReader>> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::Folder;
    use crate::diagnose::Diagnose as _;
    use crate::index::{Freshness, Origin};

    #[test]
    fn links_devices_and_dots_are_refused() {
        let temporary = tempfile::tempdir().expect("a folder");
        let root = temporary.path().join("index");
        std::fs::create_dir_all(root.join("a/real")).expect("made");
        std::fs::File::create(root.join("a/real/file")).expect("made");
        std::os::unix::fs::symlink("real", root.join("a/link")).expect("made");
        std::os::unix::fs::symlink("/etc/hostname", root.join("a/file")).expect("made");
        std::os::unix::fs::symlink(&root, temporary.path().join("way")).expect("made");
        for (path, expected) in [
            ("a/real/file", Some(true)),
            ("a/real/none", Some(false)),
            ("none/file", Some(false)),
            ("a/link/file", None),
            ("a/file", None),
            ("a/real", None),
            ("a/real/file/below", None),
            ("a/../a/real/file", None),
            ("/etc/hostname", None),
        ] {
            // The root itself may be reached through a link.
            let got = Folder::new(&temporary.path().join("way")).get(path, 10, Freshness::Immutable);
            match (expected, got) {
                (Some(there), Ok(found)) => assert_eq!(found.is_some(), there, "{path}"),
                (None, Err(error)) => assert_eq!(error.code().0, "E0142", "{path}: {error}"),
                (expected, got) => panic!("{path}: {expected:?} {got:?}"),
            }
        }
    }

    #[test]
    fn a_missing_folder_is_not_a_missing_file() {
        let temporary = tempfile::tempdir().expect("a folder");
        let folder = Folder::new(&temporary.path().join("none"));
        let error = folder.get("a", 1, Freshness::Immutable).expect_err("missing");
        assert_eq!(error.code().0, "E0141");
    }
}
