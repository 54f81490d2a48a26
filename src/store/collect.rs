//! Collecting: removing what no root keeps, by roots and times, never by link count.
//!
//! How old a blob is, its own change time says: it moves when the blob is stored, taken once more, or linked. A blob that a
//! record names was needed when the record's project was seen last. Access times are not asked: a backup or `verify` moves
//! them, and many mounts keep none. See docs/decisions/0031-the-age-of-a-blob.md.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use crate::model::{Sha256, Timestamp};
use crate::store::survey::Found;
use crate::store::{DryRun, Hold, Root, Store, StoreError};
use crate::sys::{Cancel, Lease, fault, files};

/// Seconds after which a partial download that nobody went on with is removed.
const PARTIAL: i64 = 7 * 86_400;
/// Seconds after which a scratch file is a dead process's.
const SCRATCH: i64 = 86_400;
/// Seconds after which a file that was to be renamed is a dead process's.
const UNFINISHED: i64 = 3_600;
/// How long the record of a project that is gone stays where it still says in which order blobs go.
const MEMORY: u64 = 30 * 86_400;
/// Blobs are told apart by age to the hour, so that memory does not grow with the store.
const HOUR: u64 = 3_600;

/// Which of the blobs that nobody needs go. Each rule spares some; without one, all go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Only those that were not used for so long.
    pub older_than: Option<Duration>,
    /// Those not used for longest first, and only until the store is no larger than so many bytes.
    pub max_size: Option<u64>,
    /// Blobs that are kept besides those that roots name.
    pub keep: BTreeSet<Sha256>,
    /// Whether anything is removed at all.
    pub dry_run: DryRun,
}

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
    /// Blobs that nobody needs and a rule spared.
    pub spared_blobs: u64,
    /// Their bytes.
    pub spared_bytes: u64,
    /// Partial downloads and leftovers removed.
    pub leftovers: u64,
    /// What the records said.
    pub roots: Vec<Root>,
}

impl Collected {
    /// Bytes of all blobs that stay.
    pub fn left_bytes(&self) -> u64 {
        self.kept_bytes.saturating_add(self.spared_bytes)
    }
}

/// A collection at work.
struct Sweep<'a> {
    store: &'a Store,
    rules: &'a Rules,
    now: Timestamp,
    /// The time by the clock that stamps the store's files.
    clock: i64,
    /// Since when somebody puts blobs in; what changed since then stays.
    at_work: Option<i64>,
    roots: Vec<Root>,
}

/// Why a blob stays, or for how many seconds nobody used it.
enum Verdict {
    Kept,
    Unneeded(u64),
}

/// The age from which blobs go, so that the store becomes as small as wished.
struct Limit {
    /// Hours: older ones go.
    hours: u64,
    /// Bytes that must go of those of just this age.
    rest: u64,
}

impl Store {
    /// Removes what no root keeps and leftovers of dead processes. A project that can't be reached keeps its roots for 30
    /// days; one that is gone (its folder is there, its lock is not) keeps nothing.
    ///
    /// # Errors
    /// The store can't be read or written, or somebody holds its lease.
    pub fn collect(&self, now: Timestamp, dry_run: DryRun) -> Result<Collected, StoreError> {
        let rules = Rules { older_than: None, max_size: None, keep: BTreeSet::new(), dry_run };
        self.collect_by(&rules, now, &Cancel::new())
    }

    /// The same, with rules that spare some of it.
    ///
    /// # Errors
    /// As for [`Store::collect`], or the user wished to stop.
    pub fn collect_by(&self, rules: &Rules, now: Timestamp, cancel: &Cancel) -> Result<Collected, StoreError> {
        self.collect_at(rules, now, self.file_system_time(now), cancel)
    }

    /// The same at a time of the file system's clock.
    pub(super) fn collect_at(
        &self,
        rules: &Rules,
        now: Timestamp,
        clock: i64,
        cancel: &Cancel,
    ) -> Result<Collected, StoreError> {
        let sweeps = rules.dry_run == DryRun::No;
        // The lease comes before the marks and the roots are read: see `presence`.
        let _lease = if sweeps { Some(self.collection_lease()?) } else { None };
        let mut collected = Collected::default();
        let at_work = self.at_work_since(clock, sweeps, &mut collected.leftovers)?;
        let sweep = Sweep { store: self, rules, now, clock, at_work, roots: self.roots(now)? };
        let limit = rules.max_size.map(|size| sweep.limit(size, cancel)).transpose()?;
        sweep.blobs(limit, &mut collected, cancel)?;
        if sweeps {
            sweep.records()?;
            self.forget_passed_over(clock)?;
        }
        self.collect_leftovers(clock, sweeps, &mut collected)?;
        if sweeps {
            let removed = self.collect_beside(clock)?;
            collected.leftovers = collected.leftovers.saturating_add(removed);
        }
        collected.roots = sweep.roots;
        Ok(collected)
    }

    /// The lease of collections; whoever is waited for is named.
    pub(super) fn collection_lease(&self) -> Result<Lease, StoreError> {
        let waiting = |holder: &str| {
            self.voice.progress.note("waiting", format!("waiting for {holder}, which collects in the store"));
        };
        Ok(Lease::take(&self.collection(), self.voice.patience, &waiting)?)
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

    /// Removes what was seen in blobs that are gone, and what writes left that were not ended.
    fn collect_beside(&self, clock: i64) -> Result<u64, StoreError> {
        let before = clock.saturating_sub(UNFINISHED);
        let folder = |name: &str| self.folder().join("v1").join(name);
        Lease::clear_unfinished(&self.folder().join("v1"));
        let mut removed = 0_u64;
        for folder in [self.folder().to_owned(), folder(""), folder("roots"), folder("passed")] {
            removed = removed.saturating_add(files::clear_unfinished_before(&folder, before));
        }
        let facts = folder("facts");
        for (shard, kind) in files::list(&facts).map_err(StoreError::at(&facts))? {
            let shard = facts.join(shard);
            if kind != files::Kind::Folder {
                continue;
            }
            removed = removed.saturating_add(files::clear_unfinished_before(&shard, before));
            for (name, _) in files::list(&shard).map_err(StoreError::at(&shard))? {
                let digest = name.to_str().and_then(|name| Sha256::parse(name.strip_suffix(".json")?).ok());
                if digest.is_some_and(|digest| !self.stands_anywhere(&digest)) {
                    let path = shard.join(name);
                    files::remove(&path).map_err(StoreError::at(&path))?;
                    removed = removed.saturating_add(1);
                }
            }
        }
        Ok(removed)
    }

    /// The time by the clock that stamps the store's files, which may be another machine's.
    pub(super) fn file_system_time(&self, now: Timestamp) -> i64 {
        let stamped = tempfile::tempfile_in(self.staging()).and_then(|file| file.metadata());
        stamped.map_or_else(|_| i64::try_from(now.seconds()).unwrap_or(i64::MAX), |file| file.mtime())
    }
}

impl Sweep<'_> {
    /// Hands on every blob with what becomes of it.
    fn each(
        &self,
        cancel: &Cancel,
        take: &mut dyn FnMut(&Found, Verdict) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        for shard in self.store.shard_names()? {
            if cancel.is_cancelled() {
                return Err(StoreError::Stopped);
            }
            let mut kept = BTreeSet::new();
            let mut seen: BTreeMap<Sha256, Timestamp> = BTreeMap::new();
            for root in &self.roots {
                root.each_with_prefix(&shard, &mut |digest| {
                    if root.hold == Hold::Gone {
                        let last = seen.entry(digest).or_insert(root.seen);
                        *last = root.seen.max(*last);
                    } else {
                        kept.insert(digest);
                    }
                })?;
            }
            for found in self.store.blobs_of(&shard)? {
                let digest = &found.digest;
                let recent = self.at_work.is_some_and(|since| found.file.ctime() >= since);
                let verdict = if recent || kept.contains(digest) || self.rules.keep.contains(digest) {
                    Verdict::Kept
                } else {
                    let unchanged = u64::try_from(self.clock.saturating_sub(found.file.ctime())).unwrap_or(0);
                    let needed = seen.get(digest).map(|seen| self.now.since(*seen));
                    Verdict::Unneeded(needed.map_or(unchanged, |needed| needed.min(unchanged)))
                };
                take(&found, verdict)?;
            }
        }
        Ok(())
    }

    fn is_old(&self, age: u64) -> bool {
        self.rules.older_than.is_none_or(|limit| age >= limit.as_secs())
    }

    /// From which age on blobs go so that the store becomes no larger than `size`.
    fn limit(&self, size: u64, cancel: &Cancel) -> Result<Limit, StoreError> {
        let mut total = 0_u64;
        let mut by_hour: BTreeMap<u64, u64> = BTreeMap::new();
        self.each(cancel, &mut |found, verdict| {
            total = total.saturating_add(found.file.len());
            if let Verdict::Unneeded(age) = verdict
                && self.is_old(age)
            {
                let bytes = by_hour.entry(age / HOUR).or_default();
                *bytes = bytes.saturating_add(found.file.len());
            }
            Ok(())
        })?;
        let mut rest = total.saturating_sub(size);
        if rest == 0 {
            return Ok(Limit { hours: u64::MAX, rest });
        }
        for (hours, bytes) in by_hour.into_iter().rev() {
            if bytes >= rest {
                return Ok(Limit { hours, rest });
            }
            rest = rest.saturating_sub(bytes);
        }
        Ok(Limit { hours: 0, rest: u64::MAX })
    }

    /// Removes what nobody needs and no rule spares.
    fn blobs(&self, mut limit: Option<Limit>, collected: &mut Collected, cancel: &Cancel) -> Result<(), StoreError> {
        self.each(cancel, &mut |found, verdict| {
            let bytes = found.file.len();
            let goes = match verdict {
                Verdict::Kept => {
                    collected.kept_blobs = collected.kept_blobs.saturating_add(1);
                    collected.kept_bytes = collected.kept_bytes.saturating_add(bytes);
                    return Ok(());
                }
                Verdict::Unneeded(age) => {
                    self.is_old(age) && limit.as_mut().is_none_or(|limit| limit.takes(age, bytes))
                }
            };
            if !goes {
                collected.spared_blobs = collected.spared_blobs.saturating_add(1);
                collected.spared_bytes = collected.spared_bytes.saturating_add(bytes);
                return Ok(());
            }
            if self.rules.dry_run == DryRun::No {
                fault::point("gc-remove").map_err(StoreError::at(&found.path))?;
                files::remove(&found.path).map_err(StoreError::at(&found.path))?;
                self.store.forget(&found.digest);
            }
            collected.blobs = collected.blobs.saturating_add(1);
            collected.bytes = collected.bytes.saturating_add(bytes);
            Ok(())
        })
    }

    /// Notes which projects were seen, and forgets those whose records say nothing any longer.
    fn records(&self) -> Result<(), StoreError> {
        let memory = match (self.rules.older_than, self.rules.max_size) {
            (Some(limit), _) => limit.as_secs(),
            (None, Some(_)) => MEMORY,
            (None, None) => 0,
        };
        for root in &self.roots {
            match root.hold {
                Hold::Stands => root.note_seen(),
                Hold::Gone if self.now.since(root.seen) >= memory => root.forget()?,
                Hold::Gone | Hold::Absent | Hold::Adopted => {}
            }
        }
        Ok(())
    }
}

impl Limit {
    /// Whether a blob of this age goes.
    fn takes(&mut self, age: u64, bytes: u64) -> bool {
        let hours = age / HOUR;
        let goes = hours > self.hours || (hours == self.hours && self.rest > 0);
        if goes && hours == self.hours {
            self.rest = self.rest.saturating_sub(bytes);
        }
        goes
    }
}
