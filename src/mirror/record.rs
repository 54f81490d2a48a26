//! What runs have placed in a mirror: the files that a prune may remove, and since when nodes are no longer needed.

use std::collections::{BTreeMap, BTreeSet};

use crate::mirror::MirrorError;
use crate::mirror::destination::Destination;
use crate::model::{RelPath, Timestamp};
use crate::sys::files;

/// Largest record, in bytes.
const MAX_RECORD: u64 = 1 << 30;
const PLACED: &str = ".mpm-mirror/placed";
const PLACING: &str = ".mpm-mirror/placing";

/// Paths that runs have placed.
#[derive(Debug, Clone, Default)]
pub(super) struct Record {
    /// Since when a path is not needed, in seconds; none: it is.
    placed: BTreeMap<String, Option<u64>>,
    /// The next file of paths that are about to be placed.
    next: u64,
}

impl Record {
    /// Reads what was written down, that of runs that were killed too.
    pub(super) fn load(destination: &Destination) -> Result<Self, MirrorError> {
        let mut record = Self::default();
        if let Some(bytes) = destination.read(PLACED, MAX_RECORD)? {
            record.take(destination, PLACED, &bytes)?;
        }
        for (name, kind) in destination.list(PLACING)? {
            let Some(number) = name.to_str().and_then(|name| name.parse::<u64>().ok()) else { continue };
            if kind == files::Kind::File {
                let path = format!("{PLACING}/{number}");
                let bytes = destination.read(&path, MAX_RECORD)?.unwrap_or_default();
                record.take(destination, &path, &bytes)?;
                record.next = record.next.max(number.saturating_add(1));
            }
        }
        Ok(record)
    }

    /// A line is a path, or a path and the second since which it is not needed. What is no path below the folder was written by
    /// somebody else: then nothing of the record is believed.
    fn take(&mut self, destination: &Destination, file: &str, bytes: &[u8]) -> Result<(), MirrorError> {
        let damaged = || MirrorError::Note { path: destination.folder().join(file) };
        let text = std::str::from_utf8(bytes).map_err(|_| damaged())?;
        for line in text.lines() {
            let (path, since) = match line.split_once('\t') {
                None => (line, None),
                Some((path, since)) => (path, Some(since.parse().map_err(|_| damaged())?)),
            };
            if RelPath::parse(path).is_err() || path.starts_with(".mpm-mirror") {
                return Err(damaged());
            }
            self.placed.insert(path.to_owned(), since);
        }
        Ok(())
    }

    /// Whether a run has placed a file.
    pub(super) fn has(&self, path: &str) -> bool {
        self.placed.contains_key(path)
    }

    /// Writes down that files are about to be placed, before they are: what a killed run leaves is known to the next.
    pub(super) fn announce<'p>(
        &mut self,
        destination: &Destination,
        paths: impl Iterator<Item = &'p str>,
    ) -> Result<(), MirrorError> {
        let mut text = String::new();
        for path in paths.filter(|path| !self.placed.contains_key(*path)).collect::<Vec<_>>() {
            text.push_str(path);
            text.push('\n');
            self.placed.insert(path.to_owned(), None);
        }
        if text.is_empty() {
            return Ok(());
        }
        destination.write(&format!("{PLACING}/{}", self.next), text.as_bytes())?;
        self.next = self.next.saturating_add(1);
        Ok(())
    }

    /// Tells which files are needed from now on; those that are not are marked with the time, if they were not before.
    pub(super) fn settle(&mut self, needed: &BTreeSet<String>, now: Timestamp) {
        for (path, since) in &mut self.placed {
            *since = if needed.contains(path) { None } else { since.or(Some(now.seconds())) };
        }
    }

    /// Paths that are not needed, with the second since which that is so.
    pub(super) fn unneeded(&self) -> impl Iterator<Item = (&str, u64)> {
        self.placed.iter().filter_map(|(path, since)| Some((path.as_str(), (*since)?)))
    }

    /// Forgets a file that is gone.
    pub(super) fn forget(&mut self, path: &str) {
        self.placed.remove(path);
    }

    /// Writes the whole record in one file.
    pub(super) fn save(&mut self, destination: &Destination) -> Result<(), MirrorError> {
        let mut text = String::new();
        for (path, since) in &self.placed {
            text.push_str(path);
            if let Some(since) = since {
                text.push('\t');
                text.push_str(&since.to_string());
            }
            text.push('\n');
        }
        if destination.read(PLACED, MAX_RECORD)?.as_deref() != Some(text.as_bytes()) {
            destination.write(PLACED, text.as_bytes())?;
        }
        for (name, kind) in destination.list(PLACING)? {
            if let Some(name) = name.to_str().filter(|_| kind == files::Kind::File) {
                destination.remove(&format!("{PLACING}/{name}"))?;
            }
        }
        self.next = 0;
        Ok(())
    }
}
