//! Roots: which blobs the lock of a project keeps, and when the project was last seen; and which blobs were adopted from a
//! folder, and when.
//!
//! `v1/roots/<sha256 of the project's path>`: one line of JSON, then the sorted digests, a line of 65 bytes each, so that
//! those with a given beginning are found without reading the rest.

use std::collections::BTreeSet;
use std::fs::{File, FileTimes};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::model::{Sha256, Timestamp, canonical};
use crate::store::{Store, StoreError};
use crate::sys::files;

/// What the first line says it is.
const TYPE: &str = "mpm.keep/1";
/// Longest first line: a path of 4 KiB, of which JSON may make six times as much.
const HEADER: usize = 32 * 1024;
/// A digest and its line end.
const LINE: u64 = 65;
/// The file whose presence shows that a project still keeps its blobs.
const LOCK: &str = "Model.lock";
/// How long a project that can't be reached keeps its blobs.
const ABSENCE: u64 = 30 * 86_400;
/// What stands before the path of a folder whose files were adopted. No project's path begins so: to a reader that does not
/// know it, it is a project that can't be reached, which keeps its blobs as long.
const ADOPTED: &str = "adopted:";
/// A record younger than this that says the same is not written again.
const FRESH: u64 = 86_400;

/// The first line.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Header {
    #[serde(rename = "type")]
    kind: String,
    project: String,
    seen: u64,
    count: u64,
}

/// A record that is open.
#[derive(Debug)]
struct Record {
    path: PathBuf,
    file: File,
    start: u64,
    count: u64,
}

/// Whether the blobs of a record are kept, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hold {
    /// The project stands, with its lock.
    Stands,
    /// It can't be reached, and was seen within the last 30 days.
    Absent,
    /// The files of a folder were adopted within the last 30 days.
    Adopted,
    /// Nothing of it is kept any longer: its lock is gone, or it was not seen for too long.
    Gone,
}

impl Hold {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stands => "stands",
            Self::Absent => "absent",
            Self::Adopted => "adopted",
            Self::Gone => "gone",
        }
    }
}

/// What a record says, without its blobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// The folder of the project, or the one whose files were adopted.
    pub folder: String,
    /// When it was last seen.
    pub seen: Timestamp,
    /// How many blobs it names.
    pub blobs: u64,
    /// Whether they are kept.
    pub hold: Hold,
    /// The record's own file. It is opened anew for each question: there may be more projects than a process may have files.
    path: PathBuf,
}

impl Store {
    /// Records that a project's lock keeps these blobs, seen at `now`. Call it before finding or inserting them: it waits
    /// for a collection that is running, and what it names, no later one removes.
    ///
    /// # Errors
    /// The store can't be written.
    pub fn keep(&self, project: &Path, digests: &BTreeSet<Sha256>, now: Timestamp) -> Result<(), StoreError> {
        // A path that is no text can't be reached again by what is written here, and keeps its blobs for 30 days.
        let text = project.to_string_lossy().into_owned();
        self.record(project.as_os_str().as_encoded_bytes(), text, digests, now)
    }

    /// Records that these blobs were adopted from a folder at `now`: they are kept for 30 days, or longer if projects come
    /// to need them. What an earlier run recorded for the folder is replaced.
    ///
    /// # Errors
    /// The store can't be written.
    pub fn keep_adopted(&self, folder: &Path, digests: &BTreeSet<Sha256>, now: Timestamp) -> Result<(), StoreError> {
        let mut key = ADOPTED.as_bytes().to_vec();
        key.extend_from_slice(folder.as_os_str().as_encoded_bytes());
        self.record(&key, format!("{ADOPTED}{}", folder.to_string_lossy()), digests, now)
    }

    fn record(
        &self,
        key: &[u8],
        project: String,
        digests: &BTreeSet<Sha256>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let path = self.roots_folder().join(Sha256::of(key).hex());
        let mut lines = Vec::with_capacity(digests.len().saturating_mul(65));
        for digest in digests {
            lines.extend_from_slice(digest.hex().as_bytes());
            lines.push(b'\n');
        }
        if !says_already(&path, &lines, now) {
            let header = Header { kind: TYPE.to_owned(), project, seen: now.seconds(), count: digests.len() as u64 };
            let mut bytes = canonical::render_line(&header);
            bytes.append(&mut lines);
            files::write_readable(&path, &bytes).map_err(StoreError::at(&path))?;
        }
        self.wait_for_collection()
    }

    pub(super) fn roots_folder(&self) -> PathBuf {
        self.folder.join("v1/roots")
    }

    /// Every record, sorted by folder. Those that keep nothing are still there for whoever asks how old blobs are.
    ///
    /// # Errors
    /// The store can't be read, or a record is damaged.
    pub fn roots(&self, now: Timestamp) -> Result<Vec<Root>, StoreError> {
        let folder = self.roots_folder();
        let mut roots = Vec::new();
        for (name, _) in files::list(&folder).map_err(StoreError::at(&folder))? {
            // A write that a process did not live to end.
            if name.as_encoded_bytes().starts_with(b".") {
                continue;
            }
            if let Some((record, header)) = Record::open(&folder.join(name))? {
                roots.push(record.root(&header, now));
            }
        }
        roots.sort_by(|left, right| left.folder.cmp(&right.folder));
        Ok(roots)
    }
}

/// Whether the record at `path` says the same and is fresh.
fn says_already(path: &Path, lines: &[u8], now: Timestamp) -> bool {
    let Ok(Some((root, header))) = Record::open(path) else { return false };
    let Ok(seen) = Timestamp::from_seconds(header.seen) else { return false };
    let fresh = seen <= now && now.since(seen) < FRESH;
    fresh && root.bytes() == lines.len() as u64 && {
        let mut old = vec![0; lines.len()];
        root.file.read_exact_at(&mut old, root.start).is_ok() && old == lines
    }
}

impl Root {
    /// Hands on the digests whose hex form begins with these two digits. A record that was written anew meanwhile says what
    /// its project needs now; whoever wrote it looks for blobs only after the collection that asks here.
    pub(super) fn each_with_prefix(&self, prefix: &str, take: &mut dyn FnMut(Sha256)) -> Result<(), StoreError> {
        match Record::open(&self.path)? {
            Some((record, _)) => record.each_with_prefix(prefix, take),
            None => Ok(()),
        }
    }

    /// Notes on the record when its project was seen, without writing all of it again.
    pub(super) fn note_seen(&self) {
        let seen = SystemTime::UNIX_EPOCH + Duration::from_secs(self.seen.seconds());
        if let Ok(Some(file)) = files::open_regular(&self.path) {
            // Another user's record can't be touched; its project says itself when it is there.
            let _ = file.set_times(FileTimes::new().set_modified(seen));
        }
    }

    /// Removes the record.
    pub(super) fn forget(&self) -> Result<(), StoreError> {
        files::remove(&self.path).map(drop).map_err(StoreError::at(&self.path))
    }
}

impl Record {
    fn open(path: &Path) -> Result<Option<(Self, Header)>, StoreError> {
        let at = || StoreError::at(path);
        let damaged = || StoreError::DamagedRoot { path: path.to_owned() };
        let Some(file) = files::open_regular(path).map_err(at())? else { return Ok(None) };
        let length = file.metadata().map_err(at())?.len();
        let mut head = vec![0; HEADER.min(usize::try_from(length).unwrap_or(HEADER))];
        file.read_exact_at(&mut head, 0).map_err(at())?;
        let end = head.iter().position(|byte| *byte == b'\n').ok_or_else(damaged)?;
        let line = head.get(..end).unwrap_or_default();
        let header: Header = canonical::parse(line, HEADER as u64).map_err(|_| damaged())?;
        let root = Self { path: path.to_owned(), file, start: end as u64 + 1, count: header.count };
        let whole = header.count.checked_mul(LINE).and_then(|bytes| bytes.checked_add(root.start));
        if header.kind != TYPE || whole != Some(length) {
            return Err(damaged());
        }
        Ok(Some((root, header)))
    }

    fn bytes(&self) -> u64 {
        self.count.saturating_mul(LINE)
    }

    /// What it says, and whether the project is there with its lock, or was so not long ago.
    fn root(&self, header: &Header, now: Timestamp) -> Root {
        let touched = self.file.metadata().map_or(0, |file| u64::try_from(file.mtime()).unwrap_or(0));
        let young = |seen: u64| now.seconds().saturating_sub(seen) < ABSENCE;
        let (folder, seen, hold) = if let Some(folder) = header.project.strip_prefix(ADOPTED) {
            let hold = if young(header.seen) { Hold::Adopted } else { Hold::Gone };
            (folder, header.seen, hold)
        } else {
            // A time of the future would keep for ever.
            let seen = header.seen.max(touched).min(now.seconds());
            let project = Path::new(&header.project);
            let (seen, hold) = match project.join(LOCK).symlink_metadata() {
                Ok(_) => (now.seconds(), Hold::Stands),
                Err(error) if error.kind() == io::ErrorKind::NotFound && project.is_dir() => (seen, Hold::Gone),
                Err(_) if young(seen) => (seen, Hold::Absent),
                Err(_) => (seen, Hold::Gone),
            };
            (header.project.as_str(), seen, hold)
        };
        let seen = Timestamp::from_seconds(seen).unwrap_or(now);
        Root { folder: folder.to_owned(), seen, blobs: self.count, hold, path: self.path.clone() }
    }

    /// Hands on the digests whose hex form begins with these two digits.
    fn each_with_prefix(&self, prefix: &str, take: &mut dyn FnMut(Sha256)) -> Result<(), StoreError> {
        // The first line that is not below the prefix.
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.line(middle)?.as_str() < prefix {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        while low < self.count {
            let line = self.line(low)?;
            if !line.starts_with(prefix) {
                break;
            }
            take(Sha256::parse(&line).map_err(|_| StoreError::DamagedRoot { path: self.path.clone() })?);
            low += 1;
        }
        Ok(())
    }

    fn line(&self, number: u64) -> Result<String, StoreError> {
        let mut line = [0; 64];
        let offset = number.saturating_mul(LINE).saturating_add(self.start);
        self.file.read_exact_at(&mut line, offset).map_err(StoreError::at(&self.path))?;
        String::from_utf8(line.to_vec()).map_err(|_| StoreError::DamagedRoot { path: self.path.clone() })
    }
}
