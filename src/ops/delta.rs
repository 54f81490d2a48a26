//! What the store lends to a new version: chunks of the files that earlier releases of the same package have there.
//!
//! Which releases those are, the lock says that gave way, and the receipt of what the project holds. Nothing of it is
//! trusted: whoever copies a chunk compares its hash, and the whole file's sha256 decides.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::sync::Arc;

use crate::chunk::{Chunk, ChunkHash, ChunkList, CutRule, INDEXED_FROM, MAX_INDEX};
use crate::fetch::Seeds;
use crate::install::Receipt;
use crate::lock::Lock;
use crate::model::{PackageId, PackageRef, Pin, RelPath, Sha256};
use crate::ops::PipelineError;
use crate::ops::bringing::Wanted;
use crate::ops::indexes::{Indexed, cut};
use crate::statement::{FileEntry, Files, MAX_LIST, MAX_STATEMENT, Statement, parse_list};
use crate::store::Store;
use crate::sys::{Cancel, files};

/// Files of earlier releases that are looked at for one blob.
const MOST_FILES: usize = 64;
/// Files that lend to one blob: they stay open.
const MOST_LENDERS: usize = 8;
/// Ranges that a blob may fall into: with more, one request for the whole is quicker.
const MOST_RANGES: u64 = 2_000;
/// What must be saved of a blob: one part in so many.
const LEAST_PART: u64 = 5;

/// Large files of earlier releases, by package.
#[derive(Default)]
pub(super) struct Older {
    files: BTreeMap<PackageRef, Vec<OldFile>>,
}

#[derive(Clone)]
struct OldFile {
    path: RelPath,
    pin: Pin,
    index: Option<Pin>,
}

/// What the store lends to one blob.
#[derive(Default)]
pub(super) struct Lent {
    /// Where the chunks are.
    pub(super) seeds: Seeds,
    /// Their bytes.
    pub(super) bytes: u64,
}

impl Older {
    /// Reads what the store still has of the statements that `old` and the receipt name, for the packages of `needed`.
    pub(super) fn of(
        store: &Store,
        needed: &BTreeMap<Pin, &Wanted>,
        old: Option<&Lock>,
        receipt: Option<&Receipt>,
    ) -> Self {
        let packages: BTreeSet<&PackageRef> =
            needed.values().filter_map(|wanted| Some(&wanted.indexed.as_ref()?.package.package)).collect();
        let mut older = Self::default();
        if packages.is_empty() {
            return older;
        }
        let locked = old.into_iter().flat_map(|lock| &lock.packages);
        let locked = locked.map(|(id, locked)| (id.package.clone(), locked.statement.sha256));
        let placed = receipt.into_iter().flat_map(Receipt::dependencies);
        let placed = placed.filter_map(|one| Some((PackageId::parse(&one.id).ok()?.package, one.statement?)));
        let named: BTreeSet<(PackageRef, Sha256)> =
            locked.chain(placed).filter(|(package, _)| packages.contains(package)).collect();
        for (package, statement) in named {
            let large = large_files(store, &statement).unwrap_or_default();
            older.files.entry(package).or_default().extend(large);
        }
        older
    }

    /// What of a blob's chunks the store lends; nothing where it would save too little or cut the rest into too many ranges.
    pub(super) fn lend(
        &self,
        store: &Store,
        wanted: &Wanted,
        list: &ChunkList,
        cancel: &Cancel,
    ) -> Result<Option<Lent>, PipelineError> {
        let Some(indexed) = &wanted.indexed else { return Ok(None) };
        let (Some(files), Some(rule)) =
            (self.files.get(&indexed.package.package), CutRule::of(&indexed.path, wanted.pin.size))
        else {
            return Ok(None);
        };
        let mut search = Search::new(list);
        for candidate in candidates(files, indexed, wanted) {
            if cancel.is_cancelled() {
                return Err(PipelineError::Cancelled);
            }
            let Some(file) = store.lend(&candidate.pin.sha256) else { continue };
            let known = known(store, &candidate, rule);
            let found = match known {
                Some(list) => Some(list),
                None if search.may_cut(&candidate, indexed) => cut(&file, candidate.pin, rule, cancel).ok().flatten(),
                None => None,
            };
            if let Some(found) = found {
                keep(store, &candidate, &found);
                search.take(file, &found);
            }
            if search.is_done() {
                break;
            }
        }
        if cancel.is_cancelled() {
            return Err(PipelineError::Cancelled);
        }
        Ok(search.worthwhile())
    }
}

/// Old files in the order in which they are looked at: the one at the same path, then the largest.
fn candidates(files: &[OldFile], indexed: &Indexed, wanted: &Wanted) -> Vec<OldFile> {
    let mut seen = BTreeSet::from([wanted.pin]);
    let mut candidates: Vec<OldFile> = files.to_vec();
    candidates.sort_by_key(|file| (file.path != indexed.path, std::cmp::Reverse(file.pin.size), file.pin));
    candidates.retain(|file| seen.insert(file.pin));
    candidates.truncate(MOST_FILES);
    candidates
}

/// The index of an old file, if the store has it and it was cut as the new one.
fn known(store: &Store, file: &OldFile, rule: CutRule) -> Option<ChunkList> {
    let index = file.index.filter(|_| CutRule::of(&file.path, file.pin.size) == Some(rule))?;
    ChunkList::parse(&store.read(&index, MAX_INDEX).ok()??, &file.pin).ok()
}

/// Keeps an index that was made here where it is the one that the publisher signed: the next run need not cut again.
fn keep(store: &Store, file: &OldFile, list: &ChunkList) {
    let bytes = list.render();
    if file.index.is_some_and(|index| index == Pin::of(&bytes) && !store.seems_to_have(&index)) {
        // It only saves time.
        let _ = store.put_bytes(&bytes);
    }
}

/// The large files of a release, from its statement in the store.
fn large_files(store: &Store, statement: &Sha256) -> Option<Vec<OldFile>> {
    let bytes = files::read_open(&store.lend(statement)?, MAX_STATEMENT).ok()?;
    if Sha256::of(&bytes) != *statement {
        return None;
    }
    let large = |entries: Vec<FileEntry>| {
        entries.into_iter().filter(|entry| entry.pin.size >= INDEXED_FROM).map(|entry| OldFile {
            path: entry.path,
            pin: entry.pin,
            index: entry.chunks,
        })
    };
    match Statement::parse(&bytes).ok()?.files {
        Files::Inline(entries) => Some(large(entries).collect()),
        Files::Lists(lists) => {
            let mut all = Vec::new();
            for list in lists {
                let bytes = store.read(&list.pin, MAX_LIST).ok()??;
                all.extend(large(parse_list(&bytes, &list).ok()?));
            }
            Some(all)
        }
    }
}

/// A search for the chunks of one blob in old files.
struct Search<'l> {
    list: &'l ChunkList,
    /// Chunks that nobody lends yet, by hash.
    sought: Vec<(ChunkHash, u32)>,
    lent: Lent,
    /// Bytes of old files that may still be cut here.
    may_cut: u64,
    /// Whether a file of the same path was met.
    same_path: bool,
}

impl<'l> Search<'l> {
    fn new(list: &'l ChunkList) -> Self {
        let mut sought: Vec<(ChunkHash, u32)> = list.iter().map(|chunk| chunk.hash).zip(0..).collect();
        sought.sort_unstable();
        Self { list, sought, lent: Lent::default(), may_cut: list.blob().size.saturating_mul(2), same_path: false }
    }

    /// Whether an old file without an index is cut here: reading costs time too. The one at the same path is; others only
    /// where there is none, as after a renaming.
    fn may_cut(&mut self, file: &OldFile, indexed: &Indexed) -> bool {
        let same = file.path == indexed.path;
        let may = (same || !self.same_path) && file.pin.size <= self.may_cut;
        self.same_path |= same;
        if may {
            self.may_cut -= file.pin.size;
        }
        may
    }

    fn take(&mut self, file: File, old: &ChunkList) {
        let Ok(number) = u32::try_from(self.lent.seeds.files.len()) else { return };
        let (mut used, mut met) = (false, BTreeSet::new());
        for Chunk { offset, length, hash } in old.iter() {
            let first = self.sought.partition_point(|(sought, _)| *sought < hash);
            // Each hash is looked at once a file: a file of zeros has one chunk, many times.
            if self.sought.get(first).is_none_or(|(sought, _)| *sought != hash) || !met.insert(first) {
                continue;
            }
            let same = self.sought.iter().skip(first).take_while(|(sought, _)| *sought == hash);
            for (_, chunk) in same {
                let fits = self.list.get(*chunk as usize).is_some_and(|chunk| chunk.length == length);
                if fits && !self.lent.seeds.chunks.contains_key(chunk) {
                    self.lent.seeds.chunks.insert(*chunk, (number, offset));
                    self.lent.bytes += u64::from(length);
                    used = true;
                }
            }
        }
        if used {
            self.lent.seeds.files.push(Arc::new(file));
            let lent = &self.lent.seeds.chunks;
            self.sought.retain(|(_, chunk)| !lent.contains_key(chunk));
        }
    }

    fn is_done(&self) -> bool {
        self.sought.is_empty() || self.lent.seeds.files.len() >= MOST_LENDERS
    }

    fn worthwhile(self) -> Option<Lent> {
        let lent = &self.lent.seeds.chunks;
        let mut ranges = 0_u64;
        let mut inside = false;
        for number in (0_u32..).take(self.list.len()) {
            let missing = !lent.contains_key(&number);
            ranges += u64::from(missing && !inside);
            inside = missing;
        }
        let enough = self.lent.bytes >= self.list.blob().size / LEAST_PART && self.lent.bytes > 0;
        (enough && ranges <= MOST_RANGES).then_some(self.lent)
    }
}

#[cfg(test)]
mod tests;
