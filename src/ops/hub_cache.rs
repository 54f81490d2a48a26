//! What lies in a folder whose files are to be adopted: a Hugging Face cache with its promises, or any files.
//!
//! The cache's layout: `models--ORG--NAME/blobs/<etag>`, where the etag is a sha256 or the id of a git blob;
//! `snapshots/<commit>/<path>`, links into `blobs` or plain files; and since version 2 of its clients `blobs/ab/<xet hash>`,
//! to which a repository's blobs are links. A Xet hash has 64 digits too, and promises nothing that can be checked here.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::model::{GitBlobId, Pin, Sha256};
use crate::sys::{Digests, Known, files};

/// Beginnings of folders that are repositories.
const REPOSITORIES: [&str; 4] = ["models--", "datasets--", "spaces--", "kernels--"];
/// Folders of other programs' records, never content.
const SKIPPED: [&str; 2] = [".git", ".mpm"];
/// What stands in the shared blobs' folder of a cache.
const SHARED: &str = "blobs/.huggingface-shared-blobs";

/// What a file's name promises about its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Promise {
    Sha256(Sha256),
    Git(GitBlobId),
}

/// A file that may be adopted.
#[derive(Debug)]
pub(super) struct Candidate {
    /// Below the folder that was looked into.
    pub(super) below: PathBuf,
    /// Everything that its names promise.
    pub(super) promises: BTreeSet<Promise>,
    /// As it stood when it was found.
    pub(super) metadata: Metadata,
}

/// What was found.
#[derive(Debug)]
pub(super) struct Found {
    /// The folder that all candidates lie below, without symlinks.
    pub(super) folder: PathBuf,
    /// What was looked into: the same, or one repository in it.
    pub(super) named: PathBuf,
    /// Whether it is a Hugging Face cache, or a repository of one.
    pub(super) is_cache: bool,
    /// One for each inode.
    pub(super) candidates: Vec<Candidate>,
    /// Links that lead out of the folder; they were not followed.
    pub(super) leading_out: u64,
    /// What can't be looked at, and why.
    pub(super) unreadable: Vec<(PathBuf, io::Error)>,
}

impl Promise {
    /// What a name in a repository's `blobs` promises.
    pub(super) fn of_name(name: &str) -> Option<Self> {
        match name.len() {
            64 => Sha256::parse(name).ok().map(Self::Sha256),
            40 => GitBlobId::parse(name).ok().map(Self::Git),
            _ => None,
        }
    }

    /// Whether the bytes are what was promised.
    pub(super) fn is_kept(self, known: &Known) -> bool {
        match self {
            Self::Sha256(digest) => known.pin().sha256 == digest,
            Self::Git(id) => known.git() == Some(id),
        }
    }

    /// The promise in words.
    pub(super) fn text(self) -> String {
        match self {
            Self::Sha256(digest) => format!("sha256 {digest}"),
            Self::Git(id) => format!("git blob {id}"),
        }
    }
}

impl Candidate {
    /// Device and inode.
    pub(super) fn inode(&self) -> (u64, u64) {
        (self.metadata.dev(), self.metadata.ino())
    }

    /// The digests that it takes to check the promises.
    pub(super) fn digests(&self) -> Digests {
        let git = self.promises.iter().any(|promise| matches!(promise, Promise::Git(_)));
        if git { Digests::AndGit } else { Digests::Sha256 }
    }

    /// A promise of another digest than this.
    pub(super) fn contradicts(&self, pin: &Pin) -> Option<Promise> {
        let other = |promise: &&Promise| matches!(promise, Promise::Sha256(digest) if *digest != pin.sha256);
        self.promises.iter().find(other).copied()
    }
}

/// Finds what may be adopted below a folder; the files of `store`, where that lies below it, are none.
///
/// # Errors
/// The folder can't be listed.
pub(super) fn look(folder: &Path, store: &Path) -> io::Result<Found> {
    let named = folder.canonicalize()?;
    let below = |name: &str| named.join(name);
    let (folder, repositories, is_cache) = if !repositories(&named)?.is_empty() {
        (named.clone(), repositories(&named)?, true)
    } else if below("hub").is_dir() && !repositories(&below("hub"))?.is_empty() {
        // The folder that holds a cache holds also tokens and other caches, which are nothing to adopt.
        (below("hub"), repositories(&below("hub"))?, true)
    } else if is_repository(&named) || (below("blobs").is_dir() && below("snapshots").is_dir()) {
        match (named.parent(), named.file_name()) {
            // Its blobs may be links into what all repositories of the cache share.
            (Some(cache), Some(name)) if cache.join(SHARED).is_file() => {
                (cache.to_owned(), vec![PathBuf::from(name)], true)
            }
            _ => (named.clone(), vec![PathBuf::new()], true),
        }
    } else {
        (named.clone(), Vec::new(), false)
    };
    let mut looking = Looking {
        candidates: BTreeMap::new(),
        leading_out: 0,
        unreadable: Vec::new(),
        store: store.canonicalize().ok(),
        folder,
    };
    if is_cache {
        for repository in &repositories {
            looking.blobs(&repository.join("blobs"));
            looking.snapshots(repository.join("snapshots"));
        }
        if named == looking.folder || named.join("hub") == looking.folder {
            looking.shared_blobs();
        }
    } else {
        looking.everything();
    }
    let Looking { folder, candidates, leading_out, unreadable, .. } = looking;
    let named = if named.starts_with(&folder) { named } else { folder.clone() };
    Ok(Found { folder, named, is_cache, candidates: candidates.into_values().collect(), leading_out, unreadable })
}

fn is_repository(folder: &Path) -> bool {
    let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    REPOSITORIES.iter().any(|beginning| name.len() > beginning.len() && name.starts_with(beginning))
}

/// The repositories of a cache, as names.
fn repositories(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let names = files::list(folder)?.into_iter().filter(|(_, kind)| *kind == files::Kind::Folder);
    Ok(names.map(|(name, _)| PathBuf::from(name)).filter(|name| is_repository(name)).collect())
}

struct Looking {
    folder: PathBuf,
    candidates: BTreeMap<(u64, u64), Candidate>,
    leading_out: u64,
    unreadable: Vec<(PathBuf, io::Error)>,
    store: Option<PathBuf>,
}

impl Looking {
    fn list(&mut self, below: &Path) -> Vec<(PathBuf, String, files::Kind)> {
        match files::list(&self.folder.join(below)) {
            Ok(listed) => {
                let entry = |(name, kind): (std::ffi::OsString, _)| {
                    (below.join(&name), name.to_string_lossy().into_owned(), kind)
                };
                listed.into_iter().map(entry).collect()
            }
            Err(error) => {
                self.unreadable.push((below.to_owned(), error));
                Vec::new()
            }
        }
    }

    /// The blobs of a repository: files, or links to what the cache shares.
    fn blobs(&mut self, below: &Path) {
        for (path, name, kind) in self.list(below) {
            // What a client is still writing.
            let ending = Path::new(&name).extension().and_then(|ending| ending.to_str());
            let unfinished = matches!(ending, Some("incomplete" | "lock")) || name.starts_with("tmp_");
            if !unfinished && matches!(kind, files::Kind::File | files::Kind::Symlink) {
                self.add(path, Promise::of_name(&name));
            }
        }
    }

    /// Plain files of snapshots, as clients write them where links are impossible or blobs are not kept apart.
    fn snapshots(&mut self, below: PathBuf) {
        let mut folders = vec![below];
        while let Some(folder) = folders.pop() {
            for (path, _, kind) in self.list(&folder) {
                match kind {
                    files::Kind::Folder => folders.push(path),
                    files::Kind::File => self.add(path, None),
                    // A link leads to a blob, which was found already.
                    files::Kind::Symlink | files::Kind::Other => {}
                }
            }
        }
    }

    fn shared_blobs(&mut self) {
        if !self.folder.join(SHARED).is_file() {
            return;
        }
        for (shard, name, kind) in self.list(Path::new("blobs")) {
            if kind != files::Kind::Folder || name.len() != 2 {
                continue;
            }
            for (path, name, kind) in self.list(&shard) {
                // Beside each lie its lock and a list of links to it.
                if kind == files::Kind::File && Sha256::parse(&name).is_ok() {
                    self.add(path, None);
                }
            }
        }
    }

    fn everything(&mut self) {
        let mut folders = vec![PathBuf::new()];
        while let Some(folder) = folders.pop() {
            if self.store.as_ref().is_some_and(|store| self.folder.join(&folder) == *store) {
                continue;
            }
            for (path, name, kind) in self.list(&folder) {
                match kind {
                    // `.cache/huggingface` is what the hub's clients note beside files in a folder of the user's.
                    files::Kind::Folder if SKIPPED.contains(&name.as_str()) || path.ends_with(".cache/huggingface") => {
                    }
                    files::Kind::Folder => folders.push(path),
                    files::Kind::File => self.add(path, None),
                    files::Kind::Symlink | files::Kind::Other => {}
                }
            }
        }
    }

    fn add(&mut self, below: PathBuf, promise: Option<Promise>) {
        let path = self.folder.join(&below);
        let metadata = match path.metadata() {
            Ok(metadata) if metadata.is_file() => metadata,
            Ok(_) => return,
            // A link to what is gone, or a file that went meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => {
                self.unreadable.push((below, error));
                return;
            }
        };
        if path.is_symlink() && !path.canonicalize().is_ok_and(|path| path.starts_with(&self.folder)) {
            self.leading_out = self.leading_out.saturating_add(1);
            return;
        }
        let candidate = self.candidates.entry((metadata.dev(), metadata.ino())).or_insert_with(|| Candidate {
            below,
            promises: BTreeSet::new(),
            metadata,
        });
        candidate.promises.extend(promise);
    }
}

#[cfg(test)]
mod tests {
    use super::Promise;

    #[test]
    fn names_promise_what_they_say() {
        assert!(matches!(Promise::of_name(&"ab".repeat(32)), Some(Promise::Sha256(_))));
        assert!(matches!(Promise::of_name(&"ab".repeat(20)), Some(Promise::Git(_))));
        for name in ["", "config.json", &"AB".repeat(32), &"ab".repeat(16)] {
            assert_eq!(Promise::of_name(name), None, "{name}");
        }
    }
}
