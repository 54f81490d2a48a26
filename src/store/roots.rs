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
/// Longest first line.
const HEADER: usize = 16 * 1024;
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

/// A root whose blobs are kept.
#[derive(Debug)]
pub(super) struct Root {
    path: PathBuf,
    file: File,
    start: u64,
    count: u64,
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
            files::write_atomic(&path, &bytes).map_err(StoreError::at(&path))?;
        }
        self.wait_for_collection()
    }

    pub(super) fn roots_folder(&self) -> PathBuf {
        self.folder.join("v1/roots")
    }

    /// The roots that keep blobs. Those of projects that are gone are removed if `sweep` says so.
    pub(super) fn roots(&self, now: Timestamp, sweep: bool) -> Result<Vec<Root>, StoreError> {
        let folder = self.roots_folder();
        let mut roots = Vec::new();
        for (name, _) in files::list(&folder).map_err(StoreError::at(&folder))? {
            // A write that a process did not live to end.
            if name.as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let path = folder.join(name);
            let Some((root, header)) = Root::open(&path)? else { continue };
            if root.keeps(&header, now, sweep) {
                roots.push(root);
            } else if sweep {
                files::remove(&path).map_err(StoreError::at(&path))?;
            }
        }
        Ok(roots)
    }
}

/// Whether the record at `path` says the same and is fresh.
fn says_already(path: &Path, lines: &[u8], now: Timestamp) -> bool {
    let Ok(Some((root, header))) = Root::open(path) else { return false };
    let Ok(seen) = Timestamp::from_seconds(header.seen) else { return false };
    let fresh = seen <= now && now.since(seen) < FRESH;
    fresh && root.bytes() == lines.len() as u64 && {
        let mut old = vec![0; lines.len()];
        root.file.read_exact_at(&mut old, root.start).is_ok() && old == lines
    }
}

impl Root {
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

    /// Whether the project is there with its lock, or was so not long ago.
    fn keeps(&self, header: &Header, now: Timestamp, sweep: bool) -> bool {
        if header.project.starts_with(ADOPTED) {
            return now.seconds().saturating_sub(header.seen) < ABSENCE;
        }
        let project = Path::new(&header.project);
        match project.join(LOCK).symlink_metadata() {
            Ok(_) => {
                if sweep {
                    // Seen now: the file's own time says so without writing all of it again.
                    let seen = SystemTime::UNIX_EPOCH + Duration::from_secs(now.seconds());
                    let _ = self.file.set_times(FileTimes::new().set_modified(seen));
                }
                true
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && project.is_dir() => false,
            Err(_) => {
                let touched = self.file.metadata().map_or(0, |file| u64::try_from(file.mtime()).unwrap_or(0));
                // A time of the future would keep for ever.
                let seen = header.seen.max(touched).min(now.seconds());
                now.seconds().saturating_sub(seen) < ABSENCE
            }
        }
    }

    /// Adds the digests whose hex form begins with these two digits.
    pub(super) fn add_with_prefix(&self, prefix: &str, to: &mut BTreeSet<Sha256>) -> Result<(), StoreError> {
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
            to.insert(Sha256::parse(&line).map_err(|_| StoreError::DamagedRoot { path: self.path.clone() })?);
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
