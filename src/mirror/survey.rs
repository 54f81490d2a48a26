//! What a copy holds: walked from its root as a reader walks it, without a network; and what of its files is wrong, lacking, or
//! nobody's.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::index::Head;
use crate::mirror::look::{Look, Seen};
use crate::mirror::record::Record;
use crate::mirror::sync::{Amount, examine};
use crate::mirror::{Destination, MirrorError};
use crate::model::{Sha256, Timestamp};
use crate::progress::{Doing, Event, Progress, Task};
use crate::sys::files::Kind;
use crate::sys::{Cancel, HttpClient, hash};

/// The task of hashing.
const TASK: Task = Task(1 << 60);

/// How closely a copy is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Signed files are checked, blobs by name and size.
    Sizes,
    /// Every blob is hashed, on all cores.
    Bytes,
}

/// A file that is not what it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Corrupt {
    /// Where it is, below the folder.
    pub path: String,
    /// What is wrong.
    pub why: String,
}

/// What a copy holds.
#[derive(Debug, Clone)]
pub struct Survey {
    /// What it shows.
    pub head: Head,
    /// Digest of the registry's first root.
    pub root: Sha256,
    /// Packages whose logs are there.
    pub packages: u64,
    /// Packages that the nodes name and whose logs are not there.
    pub packages_absent: u64,
    /// Nodes of the package tree that are not there, with all that they name.
    pub nodes_absent: u64,
    /// Releases that are there with every blob.
    pub whole: u64,
    /// Releases whose statements are there, and not all of their blobs.
    pub partial: u64,
    /// Releases that the logs name and that are not there.
    pub absent: u64,
    /// Blobs that statements name and that are not there.
    pub missing: Amount,
    /// The first of these by name, with what they are.
    pub missing_first: Vec<String>,
    /// Files of the copy, and their bytes.
    pub files: Amount,
    /// Of these, blobs.
    pub blobs: Amount,
    /// What is wrong.
    pub corrupt: Vec<Corrupt>,
    /// Files that no signed file leads to and that no run placed.
    pub extra: Vec<String>,
}

/// Looks at a copy.
///
/// # Errors
/// `E1001`: it is none. Its head does not count: the error of reading it. It can't be read.
pub fn survey(
    mut destination: Destination,
    depth: Depth,
    now: Timestamp,
    http: &HttpClient,
    cancel: &Cancel,
    progress: &dyn Progress,
) -> Result<Survey, MirrorError> {
    let registry = examine(&destination, http, now)?;
    let head = registry.head();
    destination.set_base(&head.bases);
    let nothing = BTreeSet::new();
    let look = Look::new(&registry, &destination, &nothing, cancel);
    let Seen { survey: mut counted, known, expected, .. } = look.walk()?;
    let record = Record::load(&destination).unwrap_or_else(|error| {
        counted.corrupt.push(Corrupt { path: ".mpm-mirror/placed".to_owned(), why: error.to_string() });
        Record::default()
    });
    let mut blobs: Vec<(String, Sha256, u64)> = Vec::new();
    let prefix = destination.blob(&Sha256::of(b"")).rsplitn(3, '/').last().unwrap_or_default().to_owned();
    for (path, kind, size) in tree(&destination, cancel)? {
        counted.files.add(size);
        let digest = path.strip_prefix(&prefix).and_then(|rest| Sha256::parse(rest.rsplit('/').next()?).ok());
        let digest = digest.filter(|digest| kind == Kind::File && destination.blob(digest) == path);
        if let Some(digest) = digest {
            counted.blobs.add(size);
            if !expected.contains_key(&digest) && !record.has(&path) {
                counted.extra.push(path.clone());
            }
            blobs.push((path, digest, size));
        } else if kind != Kind::File || !(known.contains(&path) || own(&path) || record.has(&path)) {
            counted.extra.push(path);
        }
    }
    match depth {
        Depth::Bytes => hash_all(&destination, &blobs, (cancel, progress), &mut counted.corrupt)?,
        Depth::Sizes => {
            for (path, digest, size) in &blobs {
                if let Some(expected) = expected.get(digest).filter(|expected| *expected != size) {
                    let why = format!("expected {expected} bytes, found {size}");
                    counted.corrupt.push(Corrupt { path: path.clone(), why });
                }
            }
        }
    }
    counted.corrupt.sort_by(|a, b| a.path.cmp(&b.path));
    counted.corrupt.dedup_by(|a, b| a.path == b.path);
    counted.extra.sort();
    Ok(Survey {
        root: destination.root(),
        head,
        packages: counted.packages,
        packages_absent: counted.packages_absent,
        nodes_absent: counted.nodes_absent,
        whole: counted.whole,
        partial: counted.partial,
        absent: counted.absent,
        missing: counted.missing,
        missing_first: counted.missing_first,
        files: counted.files,
        blobs: counted.blobs,
        corrupt: counted.corrupt,
        extra: counted.extra,
    })
}

/// Files that a mirror has beside those of the registry.
fn own(path: &str) -> bool {
    path == "copy.json" || path == "checkpoint.json" || path.starts_with("checkpoint.json.")
}

/// Every file below the folder but the mirror's own notes, with its kind and size. Links are told, never followed.
fn tree(destination: &Destination, cancel: &Cancel) -> Result<Vec<(String, Kind, u64)>, MirrorError> {
    let mut found = Vec::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        if cancel.is_cancelled() {
            return Err(MirrorError::Stopped);
        }
        for (name, kind) in destination.list(&folder)? {
            let name = name.to_string_lossy();
            let path = if folder.is_empty() { name.into_owned() } else { format!("{folder}/{name}") };
            if path == ".mpm-mirror" {
                continue;
            }
            if kind == Kind::Folder {
                folders.push(path);
                continue;
            }
            let size = destination.folder().join(&path).symlink_metadata().map_or(0, |found| found.len());
            found.push((path, kind, size));
        }
    }
    found.sort();
    Ok(found)
}

/// Hashes every blob against its name.
fn hash_all(
    destination: &Destination,
    blobs: &[(String, Sha256, u64)],
    (cancel, progress): (&Cancel, &dyn Progress),
    corrupt: &mut Vec<Corrupt>,
) -> Result<(), MirrorError> {
    let paths: Vec<PathBuf> = blobs.iter().map(|(path, ..)| destination.folder().join(path)).collect();
    let bytes = blobs.iter().fold(0_u64, |sum, (_, _, size)| sum.saturating_add(*size));
    let what = destination.folder().to_string_lossy().into_owned();
    progress.on(&Event::Started { task: TASK, doing: Doing::Hash, what: &what, bytes: Some(bytes) });
    let found = hash::hash_paths(&paths, cancel, &|_, bytes| progress.on(&Event::Advanced { task: TASK, bytes }));
    progress.on(&Event::Finished { task: TASK, ok: !cancel.is_cancelled() });
    if cancel.is_cancelled() {
        return Err(MirrorError::Stopped);
    }
    for ((path, digest, _), found) in blobs.iter().zip(found) {
        let why = match found {
            Ok(Some(found)) if found.sha256 == *digest => continue,
            Ok(Some(found)) => format!("its bytes are sha256 {} ({} bytes)", found.sha256, found.size),
            Ok(None) => "it went away".to_owned(),
            Err(error) => error.to_string(),
        };
        corrupt.push(Corrupt { path: path.clone(), why });
    }
    Ok(())
}

/// For callers that only tell: whether nothing is wrong.
impl Survey {
    /// Whether nothing that is there is wrong.
    pub fn is_sound(&self) -> bool {
        self.corrupt.is_empty()
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_notes_of_a_mirror_are_no_extra_files() {
        for (path, expected) in [
            ("copy.json", true),
            ("checkpoint.json", true),
            ("checkpoint.json.ab.minisig", true),
            ("x/copy.json", false),
        ] {
            assert_eq!(super::own(path), expected, "{path}");
        }
    }
}
