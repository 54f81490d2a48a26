//! Pins with the paths where they go: lock × statements × the choice of variants, groups and globs.
//!
//! Pure. `fetch`, `install`, mirrors, bundles and layouts all take what this makes. Refuses to know files.

mod choice;
mod error;
mod files;
mod place;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::lock::{Lock, SourceFile, SourceId};
use crate::manifest::Manifest;
use crate::model::{DependencyKey, FileClass, GroupName, PackageId, PackageKind, Pin, RelPath, Sha256, VariantName};
use crate::select::files::FilesError;
use crate::select::place::Landing;
use crate::statement::{ReleaseFiles, Statement};

pub use choice::{names_exist, needed};
pub use error::SelectError;
pub use files::variant_sizes;

/// Which part of the lock is wanted on this machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choice {
    /// Groups besides the main dependencies.
    pub groups: Groups,
    /// The profile, if any.
    pub profile: Option<String>,
    /// Only these keys, whatever their groups; empty: all.
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

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Release(id) => id.fmt(f),
            Self::Source(id) => id.fmt(f),
        }
    }
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
    /// The pack that it travels in, and the offset there; none: it is a blob of its own.
    pub pack: Option<(Pin, u64)>,
    /// Its chunk index, where a release names one.
    pub chunks: Option<Pin>,
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

impl SelectedPackage {
    /// Bytes of all its files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.pin.size).fold(0, u64::saturating_add)
    }
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

    /// Digests of the chunk indexes of its files: nothing needs them, and they are worth keeping.
    pub fn indexes(&self) -> impl Iterator<Item = Sha256> {
        let files = self.packages.iter().flat_map(|package| &package.files);
        files.filter_map(|file| file.chunks).map(|index| index.sha256)
    }

    /// Bytes that the project holds when all is placed.
    pub fn placed_bytes(&self) -> u64 {
        self.packages.iter().map(SelectedPackage::bytes).fold(0, u64::saturating_add)
    }

    /// Bytes of the distinct files: what the store must hold.
    pub fn distinct_bytes(&self) -> u64 {
        self.pins().iter().map(|pin| pin.size).fold(0, u64::saturating_add)
    }
}

/// Selects.
///
/// # Errors
/// `E0551` to `E0560`: a name that Model.toml does not have, a variant that does not exist, no default where one is needed,
/// folders or paths that clash, a glob that matches nothing, a dataset under `[models]`.
pub fn select(manifest: &Manifest, lock: &Lock, contents: &Contents, choice: &Choice) -> Result<Selected, SelectError> {
    choice::names_exist(manifest, choice)?;
    let profile = choice.profile.as_ref().and_then(|name| manifest.profiles.get(name));
    let mut packages = Vec::new();
    for landing in place::landings(manifest, lock, choice)? {
        let asked: &[VariantName] = landing.dependency.map_or(&[], |dependency| {
            // A profile is named for this machine; what stands at the dependency is for all.
            profile.and_then(|choices| choices.get(&dependency.key)).unwrap_or(&dependency.variants)
        });
        packages.push(fill(landing, contents, asked)?);
    }
    packages.sort_by(|left, right| left.folder.cmp(&right.folder));
    Ok(Selected { packages })
}

fn fill(landing: Landing<'_>, contents: &Contents, asked: &[VariantName]) -> Result<SelectedPackage, SelectError> {
    let of = landing.name();
    let (folder, dependency) = (landing.folder, landing.dependency);
    let place = |error| match error {
        FilesError::Select(error) => error,
        FilesError::Path(source) => SelectError::Place { of: of.clone(), folder: folder.to_string(), source },
    };
    let not_loaded = || SelectError::NotLoaded { of: landing.origin.to_string() };
    let (variants, files) = match &landing.origin {
        Origin::Release(id) => {
            let (statement, files) = contents.releases.get(id).ok_or_else(not_loaded)?;
            let variants = files::variants(&of, statement, files, asked)?;
            let selected = files::of_release(statement, files, &variants, dependency).map_err(place)?;
            (variants, selected)
        }
        Origin::Source(id) => {
            let files = contents.sources.get(id).ok_or_else(not_loaded)?;
            if let Some(found) = asked.first() {
                return Err(SelectError::NoSuchVariant { of, found: found.clone(), variants: Vec::new() });
            }
            (Vec::new(), files::of_source(files, dependency).map_err(place)?)
        }
    };
    for file in &files {
        folder.join(&file.path).map_err(FilesError::Path).map_err(place)?;
    }
    let key = dependency.map(|dependency| dependency.key.clone());
    Ok(SelectedPackage { origin: landing.origin, kind: landing.kind, key, folder, variants, files })
}
