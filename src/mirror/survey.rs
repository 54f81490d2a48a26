//! What a copy holds: walked from its root as a reader walks it, without a network; and what of its files is wrong, lacking, or
//! nobody's.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::catalog::ListedRelease;
use crate::index::{Carried, Head, IndexError, Registry};
use crate::mirror::plan::{blobs_of, read_list, told};
use crate::mirror::record::Record;
use crate::mirror::sync::{Amount, examine};
use crate::mirror::{Destination, MirrorError};
use crate::model::{Namespace, PackageName, Pin, Sha256, Timestamp};
use crate::progress::{Doing, Event, Progress, Task};
use crate::statement::{FileEntry, Files, ListPin, ReleaseFiles, Statement};
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

/// Most missing blobs that are named.
const NAMED: usize = 20;

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
    let mut look = Look { registry: &registry, destination: &destination, cancel, seen: Seen::default() };
    look.walk()?;
    let Seen { survey: mut counted, known, expected, .. } = look.seen;
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

/// What was seen so far.
#[derive(Default)]
struct Seen {
    survey: Counted,
    /// Paths of the index that were reached.
    known: BTreeSet<String>,
    /// Blobs that statements name, with their sizes.
    expected: BTreeMap<Sha256, u64>,
    /// Of these, the ones that are not there.
    absent: BTreeSet<Sha256>,
}

#[derive(Default)]
struct Counted {
    packages: u64,
    packages_absent: u64,
    nodes_absent: u64,
    whole: u64,
    partial: u64,
    absent: u64,
    missing: Amount,
    missing_first: Vec<String>,
    files: Amount,
    blobs: Amount,
    corrupt: Vec<Corrupt>,
    extra: Vec<String>,
}

struct Look<'a> {
    registry: &'a Registry,
    destination: &'a Destination,
    cancel: &'a Cancel,
    seen: Seen,
}

impl Look<'_> {
    fn walk(&mut self) -> Result<(), MirrorError> {
        self.take("trust", self.registry.carry_trust())?;
        let head = self.registry.carry_head()?;
        self.seen.known.extend(head.by_digest.into_iter().chain(head.signatures).map(|file| file.path));
        let mut namespaces: BTreeSet<Namespace> = BTreeSet::new();
        let mut walk = self.registry.walk(None);
        loop {
            if self.cancel.is_cancelled() {
                return Err(MirrorError::Stopped);
            }
            match self.registry.walk_on(&mut walk, 1) {
                Ok(None) => break,
                Ok(Some(walked)) => {
                    self.seen.known.extend(walked.nodes.into_iter().map(|node| node.path));
                    for name in walked.names {
                        if self.package(&name)? {
                            namespaces.insert(name.namespace());
                        }
                    }
                }
                Err(IndexError::Missing { .. }) => self.seen.survey.nodes_absent += 1,
                Err(error) => self.corrupt("tree", error)?,
            }
        }
        for namespace in namespaces {
            let carried = self.registry.carry_namespaces(&BTreeSet::from([namespace.clone()]));
            self.take(&format!("trust/namespaces ({namespace})"), carried)?;
        }
        Ok(())
    }

    /// Looks at one package; whether its log is there.
    fn package(&mut self, name: &PackageName) -> Result<bool, MirrorError> {
        let log = format!("packages/{name}.jsonl");
        if !self.destination.folder().join(&log).exists() {
            self.seen.survey.packages_absent += 1;
            return Ok(false);
        }
        self.seen.known.insert(log.clone());
        let listing = match self.registry.listings(&BTreeSet::from([name.clone()])) {
            Ok(mut found) => found.remove(name).flatten(),
            Err(error) => {
                self.corrupt(&log, error)?;
                return Ok(true);
            }
        };
        self.seen.survey.packages += 1;
        let carried = self.registry.carry_packages(&BTreeSet::from([name.clone()]));
        self.take(&log, carried)?;
        for release in listing.iter().flat_map(|listing| listing.releases.values()) {
            self.release(name, release)?;
        }
        Ok(true)
    }

    fn release(&mut self, name: &PackageName, release: &ListedRelease) -> Result<(), MirrorError> {
        let path = format!("releases/{}.json", release.event.statement.sha256);
        if self.destination.folder().join(&path).symlink_metadata().is_err() {
            self.seen.survey.absent += 1;
            return Ok(());
        }
        self.seen.known.insert(path.clone());
        let statement = match self.registry.carry_release(name, release) {
            Ok((verified, carried)) => {
                self.seen.known.extend(carried.into_iter().map(|file| file.path));
                verified.statement
            }
            Err(error) => {
                self.seen.survey.absent += 1;
                return self.corrupt(&path, error);
            }
        };
        let what = format!("{name} {}", release.event.version);
        if self.blobs(&what, &statement)? {
            self.seen.survey.whole += 1;
        } else {
            self.seen.survey.partial += 1;
        }
        Ok(())
    }

    /// Looks for the blobs of a release; whether all are there.
    fn blobs(&mut self, what: &str, statement: &Statement) -> Result<bool, MirrorError> {
        let mut all = true;
        let mut files: Vec<FileEntry> = Vec::new();
        match &statement.files {
            Files::Inline(inline) => files.clone_from(inline),
            Files::Lists(pins) => {
                let mut lists = Vec::new();
                for list in pins {
                    let there = self.blob(list.pin, &format!("{what} file list"))?;
                    let opened = if there { self.list(list, what) } else { None };
                    all &= opened.is_some();
                    lists.extend(opened);
                }
                if lists.len() == pins.len() {
                    files = ReleaseFiles::assemble(statement, lists)?.entries().to_vec();
                }
            }
        }
        for file in &files {
            for (pin, part) in blobs_of(statement, file) {
                all &= self.blob(pin, &told(what, file, part))?;
            }
        }
        Ok(all)
    }

    /// A file list, if it is what its pin says.
    fn list(&mut self, list: &ListPin, what: &str) -> Option<Vec<FileEntry>> {
        match read_list(self.destination, list, what) {
            Ok(entries) => Some(entries),
            Err(error) => {
                let path = self.destination.blob(&list.pin.sha256);
                self.seen.survey.corrupt.push(Corrupt { path, why: error.to_string() });
                None
            }
        }
    }

    fn blob(&mut self, pin: Pin, what: &str) -> Result<bool, MirrorError> {
        if self.seen.expected.insert(pin.sha256, pin.size).is_some() {
            return Ok(!self.seen.absent.contains(&pin.sha256));
        }
        let path = self.destination.inside(&self.destination.blob(&pin.sha256))?;
        // One of another size is there, and wrong.
        if path.symlink_metadata().is_ok_and(|found| found.is_file()) {
            return Ok(true);
        }
        self.seen.absent.insert(pin.sha256);
        self.seen.survey.missing.add(pin.size);
        if self.seen.survey.missing_first.len() < NAMED {
            self.seen.survey.missing_first.push(what.to_owned());
        }
        Ok(false)
    }

    fn take(&mut self, what: &str, carried: Result<Vec<Carried>, IndexError>) -> Result<(), MirrorError> {
        match carried {
            Ok(carried) => {
                self.seen.known.extend(carried.into_iter().map(|file| file.path));
                Ok(())
            }
            Err(error) => self.corrupt(what, error),
        }
    }

    /// Notes a file that does not count; what has to do with this machine and not with the copy ends the look.
    fn corrupt(&mut self, path: &str, error: IndexError) -> Result<(), MirrorError> {
        let path = match &error {
            IndexError::Memory { .. } | IndexError::Lease(_) => return Err(error.into()),
            IndexError::Missing { path, .. } | IndexError::WrongBytes { path, .. } | IndexError::Tree { path, .. } => {
                path.clone()
            }
            _ => path.to_owned(),
        };
        let mut why = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(error) = cause {
            why = format!("{why}: {error}");
            cause = error.source();
        }
        self.seen.known.insert(path.clone());
        self.seen.survey.corrupt.push(Corrupt { path, why });
        Ok(())
    }
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
