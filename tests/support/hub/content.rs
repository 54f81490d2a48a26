//! Repositories: commits of files, and the names of commits.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use modelpm::model::Sha256;
use sha2::Digest as _;

use crate::support::http::Content;

/// One repository.
#[derive(Default)]
pub(super) struct Repository {
    pub(super) commits: BTreeMap<String, Files>,
    /// By full name: `refs/heads/main`, `refs/tags/v1`, `refs/pr/1`.
    pub(super) references: BTreeMap<String, String>,
    pub(super) private: bool,
    pub(super) gated: bool,
    pub(super) labels: Vec<String>,
}

/// The files of a commit by path.
pub(super) type Files = BTreeMap<String, Arc<Stored>>;

/// One file.
pub(super) struct Stored {
    pub(super) content: Content,
    /// Git's id of what git holds: the file, or its pointer.
    pub(super) blob_id: String,
    pub(super) large: Option<Large>,
}

/// What git's pointer says of a large file.
pub(super) struct Large {
    pub(super) sha256: String,
    pub(super) pointer_size: usize,
}

impl Stored {
    pub(super) fn small(bytes: Vec<u8>) -> Self {
        Self { blob_id: blob_id(&bytes), content: Content::bytes(bytes), large: None }
    }

    pub(super) fn large(content: Content, sha256: String) -> Self {
        let size = content.size();
        let pointer = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n");
        let large = Large { sha256, pointer_size: pointer.len() };
        Self { content, blob_id: blob_id(pointer.as_bytes()), large: Some(large) }
    }

    /// The ETag without its quotes: a sha256, or git's id.
    pub(super) fn version(&self) -> &str {
        self.large.as_ref().map_or(&self.blob_id, |large| &large.sha256)
    }
}

impl Repository {
    pub(super) fn commit(&mut self, id: &str, name: &str, changes: BTreeMap<String, Option<Arc<Stored>>>) -> String {
        let name = branch(name);
        let parent = self.references.get(&name).or_else(|| self.references.get("refs/heads/main")).cloned();
        let mut files = parent.as_ref().and_then(|parent| self.commits.get(parent)).cloned().unwrap_or_default();
        for (path, change) in changes {
            match change {
                Some(stored) => drop(files.insert(path, stored)),
                None => drop(files.remove(&path).expect("a file that is there")),
            }
        }
        let mut text = format!("{id}\n{}\n", parent.unwrap_or_default());
        for (path, stored) in &files {
            text.push_str(&format!("{} {path}\n", stored.version()));
        }
        let commit = Sha256::of(text.as_bytes()).hex()[..40].to_owned();
        self.commits.insert(commit.clone(), files);
        self.references.insert(name, commit.clone());
        commit
    }

    /// The commit that a revision means: a commit's id, a branch, a tag, or a full name.
    pub(super) fn find(&self, revision: &str) -> Option<(&str, &Files)> {
        let full = ["", "refs/heads/", "refs/tags/"].map(|folder| format!("{folder}{revision}"));
        let named = full.iter().find_map(|name| self.references.get(name)).map(String::as_str);
        self.commits.get_key_value(named.unwrap_or(revision)).map(|(commit, files)| (commit.as_str(), files))
    }
}

/// The full name of a branch.
pub(super) fn branch(name: &str) -> String {
    if name.starts_with("refs/") { name.to_owned() } else { format!("refs/heads/{name}") }
}

/// Git's id of a file with this content.
pub fn blob_id(bytes: &[u8]) -> String {
    let kind = gix::objs::Kind::Blob;
    gix::objs::compute_hash(gix::hash::Kind::Sha1, kind, bytes).expect("no collision attack").to_string()
}

/// A file's sha256, read in pieces.
pub(super) fn sha256_of(file: &Path) -> String {
    let (mut hasher, mut piece) = (sha2::Sha256::new(), vec![0; 1 << 20]);
    let mut file = std::fs::File::open(file).expect("a file");
    loop {
        match file.read(&mut piece).unwrap() {
            0 => break,
            count => hasher.update(&piece[..count]),
        }
    }
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The files below a folder by their path in it.
pub(super) fn files(folder: &Path) -> Vec<(String, PathBuf)> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).expect("a folder") {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => found.push((path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned(), path)),
            }
        }
    }
    found.sort();
    found
}
