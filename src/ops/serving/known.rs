//! Which blobs statements name: their sizes, their chunk indexes, and the namespaces that they belong to.
//!
//! A release may have a million files, so an entry is a line of fixed length in one sorted list.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{HubRepository, Namespace, PackageKind, PackageName, Pin, RegistryId, Sha256, Version};
use crate::statement::{Files, ReleaseFiles, Statement};

/// Nothing, among numbers.
const NONE: u32 = u32::MAX;

/// A blob that statements name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    sha256: [u8; 32],
    size: u64,
    /// The number of its chunk index.
    chunks: u32,
    /// The number of the namespace that names it.
    owner: u32,
}

/// A release.
type Named = (RegistryId, PackageName, Version);

/// Blobs that statements name.
#[derive(Debug, Default)]
pub(super) struct Known {
    entries: Vec<Entry>,
    sorted: usize,
    chunks: Vec<Pin>,
    owners: Vec<(RegistryId, Namespace)>,
    /// Releases by where their publishers say that they stand on the hub.
    upstreams: BTreeMap<(PackageKind, HubRepository), BTreeSet<Named>>,
}

impl Known {
    /// Takes the blobs of a release in: its statement, its lists, its files, packs and chunk indexes.
    pub(super) fn add(&mut self, statement: &Statement, pin: &Pin, files: &ReleaseFiles) {
        self.add_statement(statement, pin);
        let owner = self.owner(&statement.registry, &statement.name.namespace());
        for file in files.entries() {
            let chunks = match file.chunks {
                None => NONE,
                Some(index) => {
                    self.push(&index, NONE, owner);
                    let number = u32::try_from(self.chunks.len()).unwrap_or(NONE);
                    self.chunks.push(index);
                    number
                }
            };
            self.push(&file.pin, chunks, owner);
        }
    }

    /// Takes in what a statement names by itself.
    pub(super) fn add_statement(&mut self, statement: &Statement, pin: &Pin) {
        let owner = self.owner(&statement.registry, &statement.name.namespace());
        self.push(pin, NONE, owner);
        if let Some(upstream) = &statement.upstream {
            let release = (statement.registry.clone(), statement.name.clone(), statement.version.clone());
            self.upstreams.entry((statement.kind, upstream.repository.clone())).or_default().insert(release);
        }
        for pack in &statement.packs {
            self.push(pack, NONE, owner);
        }
        if let Files::Lists(lists) = &statement.files {
            for list in lists {
                self.push(&list.pin, NONE, owner);
            }
        }
    }

    /// Another name of a namespace, such as a yank record's digest.
    pub(super) fn add_digest(&mut self, registry: &RegistryId, namespace: &Namespace, sha256: Sha256) {
        let owner = self.owner(registry, namespace);
        self.push(&Pin { sha256, size: 0 }, NONE, owner);
    }

    fn push(&mut self, pin: &Pin, chunks: u32, owner: u32) {
        self.entries.push(Entry { sha256: *pin.sha256.as_bytes(), size: pin.size, chunks, owner });
    }

    fn owner(&mut self, registry: &RegistryId, namespace: &Namespace) -> u32 {
        let found = self.owners.iter().position(|(id, name)| id == registry && name == namespace);
        let number = found.unwrap_or_else(|| {
            self.owners.push((registry.clone(), namespace.clone()));
            self.owners.len().saturating_sub(1)
        });
        u32::try_from(number).unwrap_or(NONE)
    }

    /// Sorts what was taken in, after which it is found.
    pub(super) fn settle(&mut self) {
        self.entries.sort_unstable();
        self.entries.dedup();
        self.entries.shrink_to_fit();
        self.sorted = self.entries.len();
    }

    fn of(&self, digest: &Sha256) -> &[Entry] {
        let entries = self.entries.get(..self.sorted).unwrap_or_default();
        let begin = entries.partition_point(|entry| entry.sha256 < *digest.as_bytes());
        let same = entries.get(begin..).unwrap_or_default();
        let end = same.partition_point(|entry| entry.sha256 == *digest.as_bytes());
        same.get(..end).unwrap_or_default()
    }

    /// All of them, sorted.
    pub(super) fn digests(&self) -> impl Iterator<Item = Sha256> {
        self.entries.iter().map(|entry| Sha256::from_bytes(entry.sha256))
    }

    /// Whether a statement names it.
    pub(super) fn has(&self, digest: &Sha256) -> bool {
        !self.of(digest).is_empty()
    }

    /// Its size in bytes.
    pub(super) fn size(&self, digest: &Sha256) -> Option<u64> {
        self.of(digest).iter().map(|entry| entry.size).max()
    }

    /// Its chunk index.
    pub(super) fn chunks(&self, digest: &Sha256) -> Option<Pin> {
        let number = self.of(digest).iter().map(|entry| entry.chunks).find(|number| *number != NONE)?;
        self.chunks.get(usize::try_from(number).ok()?).copied()
    }

    /// The releases that stand on the hub in a repository.
    pub(super) fn upstreams(&self, kind: PackageKind, repository: &HubRepository) -> Vec<Named> {
        let found = self.upstreams.get(&(kind, repository.clone()));
        found.into_iter().flatten().cloned().collect()
    }

    /// The namespaces that name it.
    pub(super) fn owners(&self, digest: &Sha256) -> BTreeSet<(RegistryId, Namespace)> {
        let owner = |entry: &Entry| self.owners.get(usize::try_from(entry.owner).ok()?).cloned();
        self.of(digest).iter().filter_map(owner).collect()
    }
}
