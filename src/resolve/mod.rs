//! Versions: from requirements and listings to one version an edge (PubGrub).
//!
//! Pure and restartable: it says which packages it needs to know, the caller loads them, it goes on. Refuses to know the
//! lock's text, places and time.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::Snapshot;
use crate::diagnose::{Class, Code, Diagnose};
use crate::model::{DependencyKey, GroupName, PackageId, PackageRef, RegistryId, Requirement, Version};

/// A requirement of the project itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootRequirement {
    /// The dependency's key.
    pub key: DependencyKey,
    /// Its group, if any.
    pub group: Option<GroupName>,
    /// The package.
    pub package: PackageRef,
    /// Which versions.
    pub requirement: Requirement,
    /// Whether one version must serve every edge to this package.
    pub unique: bool,
    /// Line in Model.toml, for explanations.
    pub line: usize,
}

/// What is asked.
#[derive(Debug, Clone, Default)]
pub struct Question {
    /// The project's requirements.
    pub roots: Vec<RootRequirement>,
    /// Registries that are configured: a dependency on another is refused with the lines to add.
    pub registries: BTreeSet<RegistryId>,
}

/// What is preferred and what is let in.
#[derive(Debug, Clone, Default)]
pub struct Preferences {
    /// Versions that the lock holds: first choice while they are allowed, yanked or not.
    pub locked: BTreeMap<PackageRef, BTreeSet<Version>>,
    /// Packages whose locked versions are not preferred (`update NAME`); empty with `update_all`: all.
    pub released: BTreeSet<PackageRef>,
    /// Releases asked for by exact name, yanked or not.
    pub precise: BTreeSet<PackageId>,
}

/// One resolved release and what it leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The release.
    pub id: PackageId,
    /// The releases that its dependencies resolved to, sorted.
    pub dependencies: Vec<PackageId>,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Resolution {
    /// The release that each of the project's requirements got, by key and group.
    pub direct: BTreeMap<(DependencyKey, Option<GroupName>), PackageId>,
    /// Every release, by id.
    pub releases: BTreeMap<PackageId, Resolved>,
}

/// The answer, or what must be known first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Done.
    Done(Resolution),
    /// Listings that are not in the snapshot yet.
    Need(BTreeSet<PackageRef>),
}

/// Why there is no answer: a structure that the terminal renders.
#[derive(Debug, thiserror::Error)]
pub enum NoSolution {
    /// Placeholder variant; the room's owner replaces it.
    #[error("placeholder")]
    Placeholder,
}

impl Diagnose for NoSolution {
    fn code(&self) -> Code {
        Code("E0401")
    }
    fn class(&self) -> Class {
        Class::Yours
    }
}

/// Resolves as far as the snapshot goes.
///
/// # Errors
/// Nothing satisfies the requirements, or a name does not exist.
pub fn resolve(question: &Question, snapshot: &Snapshot, prefer: &Preferences) -> Result<Step, NoSolution> {
    todo!()
}

impl NoSolution {
    /// The package whose absence is the reason, if that is the reason.
    pub fn unknown_package(&self) -> Option<&PackageRef> {
        todo!()
    }
}
