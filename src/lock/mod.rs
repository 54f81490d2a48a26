//! Model.lock: what was resolved, pinned (docs/formats/lock.md).
//!
//! Pure: text in, values out, and the same values give the same bytes in every version of the tool. Refuses to know files
//! and addresses: an entry holds a registry's id, never a URL, never a credential.

mod check;
mod conflict;
mod error;
mod parse;
mod render;
mod table;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use crate::lock::error::Rule;
use crate::model::{
    DependencyKey, Fingerprint, Floor, GroupName, HubCommit, HubId, PackageId, PackageKind, Pin, RegistryId, RelPath,
    Sha256,
};

pub use check::{Stale, check, expected_overrides, unsafe_subject};
pub use error::LockError;

/// Version of the format that this tool writes.
pub const VERSION: u32 = 1;
/// Longest id of a source, in bytes.
const MAX_SOURCE_ID: usize = 5000;
/// Most files of a source entry that stand in the lock itself.
pub const MAX_INLINE_FILES: usize = 200;

/// The parsed Model.lock.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lock {
    /// Registries that entries name.
    pub registries: BTreeMap<RegistryId, LockedRegistry>,
    /// What each key of Model.toml got.
    pub direct: BTreeMap<(DependencyKey, Option<GroupName>), Target>,
    /// Releases by id.
    pub packages: BTreeMap<PackageId, LockedPackage>,
    /// Sources by id.
    pub sources: BTreeMap<SourceId, LockedSource>,
    /// Overrides of the format gate, with their reasons.
    pub unsafe_releases: BTreeMap<Target, LockedUnsafe>,
}

/// What a key of Model.toml leads to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// A release.
    Release(PackageId),
    /// A source.
    Source(SourceId),
}

/// A registry in the lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockedRegistry {
    /// Digest of its first root.
    pub root: Sha256,
    /// The lowest numbers that this lock accepts.
    pub floor: Floor,
}

/// A release in the lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockedPackage {
    /// Model or dataset.
    pub kind: PackageKind,
    /// Digest and size of the release statement.
    pub statement: Pin,
    /// Fingerprints of the keys that signed it.
    pub signers: BTreeSet<Fingerprint>,
    /// Bytes of all files together.
    pub size: u64,
    /// What is installed along.
    pub dependencies: BTreeSet<PackageId>,
}

/// The id of a source: what Model.toml asks for, such as `path:../model` or `hf:Qwen/Qwen3-0.6B@main`. Kept as it is
/// written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId {
    text: String,
    hub: Option<HubId>,
}

/// A source in the lock: nobody signs there, so the lock holds its file table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockedSource {
    /// Model or dataset.
    pub kind: PackageKind,
    /// The full revision: for `path`, `sha256:` of the file table; for `hf`, the commit.
    pub revision: String,
    /// Bytes of all files together.
    pub size: u64,
    /// The file table.
    pub files: SourceFiles,
}

/// A source's file table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceFiles {
    /// In the lock, sorted by path.
    Inline(Vec<SourceFile>),
    /// In `Model.lock.d/<sha256>.json`.
    Table(Pin),
}

/// One file of a source.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SourceFile {
    /// Its path.
    pub path: RelPath,
    /// Its bytes.
    pub pin: Pin,
}

/// An override of the format gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockedUnsafe {
    /// The format words.
    pub formats: BTreeSet<String>,
    /// Why.
    pub reason: String,
}

/// A lock as it was found on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// It parses.
    Whole(Lock),
    /// It holds merge-conflict markers; both sides parse.
    Conflict {
        /// Entries of both sides: preferences, with the higher floor.
        merged: Lock,
    },
}

impl SourceId {
    /// The id of a folder; `path` as written in Model.toml.
    pub fn path(path: &str) -> Self {
        Self { text: format!("path:{path}"), hub: None }
    }

    /// The id of a repository of the hub at a revision.
    pub fn of_hub(id: HubId) -> Self {
        Self { text: id.to_string(), hub: Some(id) }
    }

    /// Whether a text is meant to be a source's id and not a release's.
    fn is_meant(text: &str) -> bool {
        text.starts_with("path:") || HubId::is_meant(text)
    }

    /// Parses an id as the lock writes it.
    ///
    /// # Errors
    /// Neither `path:` with something behind it nor `hf:` in its full form; or control characters.
    fn parse(text: &str) -> Result<Self, Rule> {
        let refused = || Rule::SourceId { found: text.chars().take(100).collect() };
        if HubId::is_meant(text) {
            let id = HubId::parse(text).map_err(|_| refused())?;
            // One id has one spelling.
            return if id.to_string() == text { Ok(Self::of_hub(id)) } else { Err(refused()) };
        }
        let good = text.strip_prefix("path:").is_some_and(|path| !path.is_empty())
            && text.len() <= MAX_SOURCE_ID
            && !text.chars().any(char::is_control);
        if good { Ok(Self { text: text.to_owned(), hub: None }) } else { Err(refused()) }
    }

    /// The folder of a `path` source.
    pub fn folder(&self) -> Option<&str> {
        self.text.strip_prefix("path:")
    }

    /// What an `hf` source asks of the hub.
    pub fn hub(&self) -> Option<&HubId> {
        self.hub.as_ref()
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl LockedSource {
    /// The commit of an `hf` source.
    pub fn commit(&self) -> Option<HubCommit> {
        HubCommit::parse(&self.revision).ok()
    }
}

impl std::fmt::Display for SourceId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl Lock {
    /// Parses a lock; merge-conflict markers give [`Found::Conflict`].
    ///
    /// # Errors
    /// `E0501` to `E0509`: syntax, fields that this version does not have, a version that is too new, an entry that stands
    /// twice, an edge without its entry, markers that do not pair up, a file table that is not the one locked.
    pub fn parse(text: &str) -> Result<Found, LockError> {
        parse::parse(text)
    }

    /// The text of this lock: sorted, one fact a line, the same bytes for the same facts.
    pub fn render(&self) -> String {
        render::render(self)
    }
}
