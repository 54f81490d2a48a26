//! Versions: from requirements and listings to one version an edge (`PubGrub`).
//!
//! Pure and restartable: it says which packages it needs to know, the caller loads them, it goes on. Nothing links weights
//! together, so each distinct requirement is solved on its own and several versions of a package live side by side; only
//! `unique` packages get one version for all. Refuses to know the lock's text, places and time.

mod conflict;
mod explain;
mod solve;
mod universe;
mod walk;

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::{ListedRelease, Snapshot};
use crate::model::{Age, DependencyKey, GroupName, PackageId, PackageRef, RegistryId, Requirement, Timestamp, Version};

pub use conflict::{Asker, Conflict, Failing, NoSolution, Reason, RuledOut, Unmet};

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
    /// What each of the project's requirements has in the lock: where it still satisfies, it stays.
    pub direct: BTreeMap<(DependencyKey, Option<GroupName>), PackageId>,
    /// What each locked release leads to: where it still satisfies, it stays.
    pub edges: BTreeMap<PackageId, BTreeSet<PackageId>>,
    /// Packages whose locked versions are not preferred (`update NAME`). To update all, leave the lock's fields empty.
    pub released: BTreeSet<PackageRef>,
    /// Releases asked for by exact name, yanked or not: first choice, and an error if no requirement admits them.
    pub precise: BTreeSet<PackageId>,
    /// Releases that are younger are left alone, unless the lock holds them.
    pub minimum_age: Option<MinimumAge>,
    /// Whether the snapshot may be old because nobody could be asked: explanations say so.
    pub offline: bool,
}

/// How long a release must have been in its index before it is picked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MinimumAge {
    /// The time, read once.
    pub now: Timestamp,
    /// How long.
    pub age: Age,
    /// The line of Model.toml that says so; none: the machine's configuration does.
    pub line: Option<usize>,
}

impl MinimumAge {
    /// When a release is old enough, by the checkpoint that admitted it; none: it is.
    pub fn waits(&self, release: &ListedRelease) -> Option<Timestamp> {
        let ready = release.event.admitted.time.plus(self.age.seconds());
        (ready > self.now).then_some(ready)
    }
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

/// Resolves as far as the snapshot goes.
///
/// # Errors
/// `E0401` to `E0405`: nothing satisfies the requirements, a name does not exist, a registry is not configured.
pub fn resolve(question: &Question, snapshot: &Snapshot, prefer: &Preferences) -> Result<Step, NoSolution> {
    let unique = universe::unique_packages(question);
    let universe = universe::Universe { question, snapshot, prefer, unique: &unique };
    universe.check_roots()?;
    match walk::by_lock(&universe) {
        walk::Walk::Complete(resolution) => return Ok(Step::Done(resolution)),
        walk::Walk::Missing(missing) => return Ok(Step::Need(missing)),
        walk::Walk::Stuck => {}
    }
    let missing = walk::explore(&universe);
    if !missing.is_empty() {
        return Ok(Step::Need(missing));
    }
    universe.check_precise_exists()?;
    let picked = match solve::solve(&universe)? {
        solve::Solved::Picked(picked) => picked,
        solve::Solved::Missing(missing) => return Ok(Step::Need(missing)),
    };
    match walk::among(&universe, &picked) {
        walk::Walk::Complete(resolution) => {
            universe.check_precise(&resolution)?;
            Ok(Step::Done(resolution))
        }
        walk::Walk::Missing(_) | walk::Walk::Stuck => {
            Err(NoSolution::Internal { what: "the solver's picks do not satisfy every edge".to_owned() })
        }
    }
}
