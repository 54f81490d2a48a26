//! Collecting: removing what no root keeps, by roots and times, never by link count.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use crate::model::Timestamp;
use crate::store::{DryRun, Store, StoreError};
use crate::sys::{Lease, fault, files};

/// How long a collection waits for another one.
const PATIENCE: Duration = Duration::from_secs(10);
/// Seconds after which a partial download that nobody went on with is removed.
const PARTIAL: i64 = 7 * 86_400;
/// Seconds after which a scratch file is a dead process's.
const SCRATCH: i64 = 86_400;

/// What a collection did, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Collected {
    /// Blobs removed.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Blobs that roots keep, or that came since a process at work began.
    pub kept_blobs: u64,
    /// Their bytes.
    pub kept_bytes: u64,
    /// Partial downloads and leftovers removed.
    pub leftovers: u64,
}

impl Store {
    /// Removes what no root keeps and leftovers of dead processes. A project that can't be reached keeps its roots for 30
    /// days; one that is gone (its folder is there, its lock is not) keeps nothing.
    ///
    /// # Errors
    /// The store can't be read or written, or somebody holds its lease.
    pub fn collect(&self, now: Timestamp, dry_run: DryRun) -> Result<Collected, StoreError> {
        let sweep = dry_run == DryRun::No;
        // The lease comes before the marks and the roots are read: see `presence`.
        let _lease = if sweep { Some(Lease::take(&self.collection(), PATIENCE, &|_| ())?) } else { None };
        let clock = self.file_system_time(now);
        let mut collected = Collected::default();
        let at_work = self.at_work_since(clock, sweep, &mut collected.leftovers)?;
        let roots = self.roots(now, sweep)?;
        for shard in self.shard_names()? {
            let mut kept = BTreeSet::new();
            for root in &roots {
                root.add_with_prefix(&shard, &mut kept)?;
            }
            for found in self.blobs_of(&shard)? {
                let recent = at_work.is_some_and(|since| found.file.ctime() >= since);
                if recent || kept.contains(&found.digest) {
                    collected.kept_blobs = collected.kept_blobs.saturating_add(1);
                    collected.kept_bytes = collected.kept_bytes.saturating_add(found.file.len());
                    continue;
                }
                if sweep {
                    fault::point("gc-remove").map_err(StoreError::at(&found.path))?;
                    files::remove(&found.path).map_err(StoreError::at(&found.path))?;
                    self.forget(&found.digest);
                }
                collected.blobs = collected.blobs.saturating_add(1);
                collected.bytes = collected.bytes.saturating_add(found.file.len());
            }
        }
        self.collect_leftovers(clock, sweep, &mut collected)?;
        Ok(collected)
    }

    fn collect_leftovers(&self, clock: i64, sweep: bool, collected: &mut Collected) -> Result<(), StoreError> {
        let folder = self.staging();
        for (name, kind) in files::list(&folder).map_err(StoreError::at(&folder))? {
            let path = folder.join(&name);
            let Ok(metadata) = path.symlink_metadata() else { continue };
            let age = clock.saturating_sub(metadata.mtime());
            let name = name.to_string_lossy();
            let old = match name.as_ref() {
                // What failed waits for nobody.
                name if name.starts_with("damaged-") => true,
                name if name.starts_with("scratch-") => age > SCRATCH,
                _ => age > PARTIAL,
            };
            if !old || kind == files::Kind::Folder {
                continue;
            }
            if sweep {
                files::remove(&path).map_err(StoreError::at(&path))?;
            }
            collected.leftovers = collected.leftovers.saturating_add(1);
        }
        Ok(())
    }

    /// The time by the clock that stamps the store's files, which may be another machine's.
    fn file_system_time(&self, now: Timestamp) -> i64 {
        let stamped = tempfile::tempfile_in(self.staging()).and_then(|file| file.metadata());
        stamped.map_or_else(|_| i64::try_from(now.seconds()).unwrap_or(i64::MAX), |file| file.mtime())
    }
}
