//! Blobs below a folder.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::model::Sha256;
use crate::ops::serving::Blobs;
use crate::sys::{Extents, blob_path, files};

/// Blobs below a base of a registry's folder.
pub(in crate::ops) struct FolderBlobs {
    folder: PathBuf,
    /// Where blobs lie, relative to it.
    base: PathBuf,
    /// Where what is wrong goes, relative to it; none: it stays where it is.
    aside: Option<PathBuf>,
}

impl FolderBlobs {
    pub(in crate::ops) fn new(folder: &Path, base: &str, aside: Option<PathBuf>) -> Self {
        let base = if base == "." { PathBuf::new() } else { PathBuf::from(base) };
        Self { folder: folder.to_owned(), base, aside }
    }

    fn below(&self, digest: &Sha256) -> PathBuf {
        self.base.join(blob_path(digest))
    }
}

impl Blobs for FolderBlobs {
    fn open(&self, digest: &Sha256) -> io::Result<Option<Extents>> {
        let Some(file) = files::open_below(&self.folder, &self.below(digest))? else { return Ok(None) };
        let size = file.metadata()?.len();
        Ok(Some(Extents::one(Arc::new(file), 0, size)))
    }

    fn each(&self, visit: &mut dyn FnMut(Sha256) -> bool) -> io::Result<()> {
        let top = self.folder.join(&self.base).join("blobs/sha256");
        let list = |folder: &Path| match files::list(folder) {
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Ok(Vec::new())
            }
            other => other,
        };
        for (shard, _) in list(&top)? {
            for (name, kind) in list(&top.join(shard))? {
                let digest = name.to_str().and_then(|name| Sha256::parse(name).ok());
                if let Some(digest) = digest.filter(|_| kind == files::Kind::File)
                    && !visit(digest)
                {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn take_out(&self, digest: &Sha256, wrong: &Extents) -> bool {
        let Some(aside) = &self.aside else { return false };
        let path = self.folder.join(self.below(digest));
        let Some(wrong) = wrong.pieces().first() else { return false };
        let (Ok(found), Ok(open)) = (path.symlink_metadata(), wrong.file.metadata()) else { return false };
        // Another file may stand there by now.
        if (found.dev(), found.ino()) != (open.dev(), open.ino()) {
            return false;
        }
        let aside = self.folder.join(aside);
        files::create_private_dirs(&aside).is_ok() && std::fs::rename(&path, aside.join(digest.hex())).is_ok()
    }
}
