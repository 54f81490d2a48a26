//! Pins with the paths where they go: lock × statements × the choice of variants, groups and globs.
//!
//! Pure. `fetch`, `install`, mirrors, bundles and layouts all take what this makes. Refuses to know files.

use std::collections::{BTreeMap, BTreeSet};

use crate::diagnose::{Class, Code, Diagnose};
use crate::lock::{Lock, SourceFile, SourceId};
use crate::manifest::Manifest;
use crate::model::{DependencyKey, FileClass, GroupName, PackageId, PackageKind, Pin, RelPath, Sha256, VariantName};
use crate::statement::{ReleaseFiles, Statement};

/// Which part of the lock is wanted on this machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choice {
    /// Groups besides the main dependencies.
    pub groups: Groups,
    /// The profile, if any.
    pub profile: Option<String>,
    /// Only these keys; empty: all.
    pub only: BTreeSet<DependencyKey>,
}

/// Groups that are installed besides the main dependencies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Groups {
    /// None.
    #[default]
    None,
    /// These.
    Some(BTreeSet<GroupName>),
    /// All.
    All,
}

/// What the statements of the locked releases say, lists read; and the file tables of locked sources.
#[derive(Debug, Clone, Default)]
pub struct Contents {
    /// By id.
    pub releases: BTreeMap<PackageId, (Statement, ReleaseFiles)>,
    /// By id.
    pub sources: BTreeMap<SourceId, Vec<SourceFile>>,
}

/// Who vouches for a pin.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// A statement that a publisher signed.
    Release(PackageId),
    /// A source table of the lock.
    Source(SourceId),
}

/// One file to be placed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectedFile {
    /// Path below the package's folder in the project.
    pub path: RelPath,
    /// Path in the release.
    pub release_path: RelPath,
    /// Its bytes.
    pub pin: Pin,
    /// What it is declared to be.
    pub class: FileClass,
}

/// One folder to be placed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectedPackage {
    /// Who vouches.
    pub origin: Origin,
    /// Model or dataset.
    pub kind: PackageKind,
    /// The key, for direct dependencies.
    pub key: Option<DependencyKey>,
    /// The folder, relative to the project.
    pub folder: RelPath,
    /// Variants chosen, for output.
    pub variants: Vec<VariantName>,
    /// The files, sorted by path.
    pub files: Vec<SelectedFile>,
}

/// Everything to be placed. Only [`select`] makes it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selected {
    packages: Vec<SelectedPackage>,
}

impl Selected {
    /// The folders, sorted by folder.
    pub fn packages(&self) -> &[SelectedPackage] {
        &self.packages
    }

    /// Distinct pins, sorted.
    pub fn pins(&self) -> BTreeSet<Pin> {
        self.packages.iter().flat_map(|package| package.files.iter().map(|file| file.pin)).collect()
    }
}

/// Why nothing can be selected.
#[derive(Debug, thiserror::Error)]
pub enum SelectError {
    /// Placeholder variant; the room's owner replaces it.
    #[error("placeholder")]
    Placeholder,
}

impl Diagnose for SelectError {
    fn code(&self) -> Code {
        Code("E0551")
    }
    fn class(&self) -> Class {
        Class::Yours
    }
}

/// Releases of the lock that a choice needs (groups and keys, with all that they lead to).
pub fn needed(manifest: &Manifest, lock: &Lock, choice: &Choice) -> (BTreeSet<PackageId>, BTreeSet<SourceId>) {
    todo!()
}

/// Selects.
///
/// # Errors
/// A variant that does not exist, no default where one is needed, folders or paths that clash, a glob that matches nothing,
/// a dataset under `[models]`.
pub fn select(manifest: &Manifest, lock: &Lock, contents: &Contents, choice: &Choice) -> Result<Selected, SelectError> {
    todo!()
}
