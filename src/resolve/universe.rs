//! The question, the listings and the preferences as one thing to ask: which versions an edge admits, in which order.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::{ListedRelease, Listing, Snapshot};
use crate::model::{PackageId, PackageRef, RegistryId, Requirement, Timestamp, Version, nearest};
use crate::resolve::{Asker, NoSolution, Preferences, Question, Resolution, RootRequirement, Unmet};
use crate::statement::Dependency;

/// What is asked, known and preferred.
#[derive(Clone, Copy)]
pub(super) struct Universe<'a> {
    pub(super) question: &'a Question,
    pub(super) snapshot: &'a Snapshot,
    pub(super) prefer: &'a Preferences,
    /// Packages of which one version must serve every edge, by registry and normalised name, with the line that says so.
    pub(super) unique: &'a BTreeMap<(RegistryId, String), usize>,
}

/// Packages that some requirement of the project wants one version of.
pub(super) fn unique_packages(question: &Question) -> BTreeMap<(RegistryId, String), usize> {
    let mut unique = BTreeMap::new();
    for root in question.roots.iter().filter(|root| root.unique) {
        let key = (root.package.registry.clone(), root.package.name.normalised());
        unique.entry(key).and_modify(|line: &mut usize| *line = root.line.min(*line)).or_insert(root.line);
    }
    unique
}

/// What the snapshot says about a name.
pub(super) enum Look<'a> {
    /// Not looked up yet.
    Missing,
    /// Verified absent.
    Absent,
    /// These releases.
    Listed(&'a Listing),
}

impl<'a> Universe<'a> {
    pub(super) fn look(&self, package: &PackageRef) -> Look<'a> {
        match self.snapshot.listings.get(package) {
            None => Look::Missing,
            Some(None) => Look::Absent,
            Some(Some(listing)) => Look::Listed(listing),
        }
    }

    /// The project's requirements in an order that does not depend on where they stand in Model.toml.
    pub(super) fn roots(&self) -> Vec<&'a RootRequirement> {
        let mut roots: Vec<&RootRequirement> = self.question.roots.iter().collect();
        roots.sort_by(|a, b| {
            let key = |root: &'a RootRequirement| (&root.package, root.requirement.as_str(), &root.key, &root.group);
            key(a).cmp(&key(b))
        });
        roots
    }

    /// Whether one version must serve every edge to the package, and the line that says so.
    pub(super) fn unique(&self, package: &PackageRef) -> Option<usize> {
        if self.unique.is_empty() {
            return None;
        }
        self.unique.get(&(package.registry.clone(), package.name.normalised())).copied()
    }

    /// Whether a yanked release may still be taken.
    pub(super) fn kept(&self, package: &PackageRef, version: &Version) -> bool {
        self.prefer.locked.get(package).is_some_and(|versions| versions.contains(version))
            || self.precise(package).any(|precise| precise == version)
    }

    /// Whether a release may be picked at all: yanked and young ones only as far as lock or command hold them.
    pub(super) fn free(&self, package: &PackageRef, version: &Version, release: &ListedRelease) -> bool {
        (release.yanked.is_none() || self.kept(package, version)) && self.waits(package, version, release).is_none()
    }

    /// When a release will be old enough, if it is not and the lock does not hold it.
    pub(super) fn waits(&self, package: &PackageRef, version: &Version, release: &ListedRelease) -> Option<Timestamp> {
        let held = || self.prefer.locked.get(package).is_some_and(|versions| versions.contains(version));
        self.prefer.minimum_age?.waits(release).filter(|_| !held())
    }

    /// Versions of the package that were asked for by name, highest first.
    pub(super) fn precise<'b>(&'b self, package: &'b PackageRef) -> impl Iterator<Item = &'a Version> + 'b {
        let prefer = self.prefer;
        prefer.precise.iter().rev().filter(move |id| id.package == *package).map(|id| &id.version)
    }

    /// Versions that the lock prefers for the package, highest first.
    pub(super) fn locked<'b>(&'b self, package: &'b PackageRef) -> impl Iterator<Item = &'a Version> + 'b {
        let prefer = self.prefer;
        let held = if prefer.released.contains(package) { None } else { prefer.locked.get(package) };
        held.into_iter().flatten().rev()
    }

    /// Versions that this requirement admits and that are free to be picked, lowest first.
    pub(super) fn admitted(
        &self,
        listing: &'a Listing,
        requirement: &'a Requirement,
    ) -> impl DoubleEndedIterator<Item = (&'a Version, &'a ListedRelease)> + 'a {
        let universe = *self;
        listing.releases.iter().filter(move |(version, release)| {
            requirement.matches(version) && universe.free(&listing.package, version, release)
        })
    }

    /// The first choice for an edge before anything else is known.
    pub(super) fn first_choice(
        &self,
        listing: &'a Listing,
        requirement: &'a Requirement,
        picked: Option<&BTreeSet<Version>>,
    ) -> Option<(&'a Version, &'a ListedRelease)> {
        let admitted: Vec<_> = self.admitted(listing, requirement).collect();
        let find = |wanted: &Version| admitted.iter().find(|(version, _)| *version == wanted).copied();
        let package = &listing.package;
        self.precise(package)
            .find_map(find)
            .or_else(|| self.locked(package).find_map(find))
            .or_else(|| picked.into_iter().flatten().rev().find_map(find))
            .or_else(|| admitted.iter().rfind(|(_, release)| release.yanked.is_none()).copied())
            .or_else(|| admitted.last().copied())
    }

    /// The release that the lock holds for one edge, if it holds one that the edge still admits.
    pub(super) fn locked_edge(
        &self,
        asker: &Edge<'_>,
        listing: &'a Listing,
        requirement: &'a Requirement,
    ) -> Option<(&'a Version, &'a ListedRelease)> {
        let package = &listing.package;
        if self.prefer.released.contains(package) {
            return None;
        }
        let held: Vec<&Version> = match asker {
            Edge::Root(root) => {
                let key = (root.key.clone(), root.group.clone());
                self.prefer
                    .direct
                    .get(&key)
                    .filter(|id| id.package == *package)
                    .map(|id| &id.version)
                    .into_iter()
                    .collect()
            }
            Edge::Release(id) => {
                let targets = self.prefer.edges.get(*id);
                targets.into_iter().flatten().filter(|id| id.package == *package).map(|id| &id.version).collect()
            }
        };
        let admitted = |version: &&Version| requirement.matches(version);
        held.into_iter().rev().filter(admitted).find_map(|version| listing.releases.get_key_value(version))
    }

    /// Whether the registry of a release's dependency may be asked.
    pub(super) fn configured(&self, owner: &PackageRef, target: &PackageRef) -> bool {
        owner.registry == target.registry || self.question.registries.contains(&target.registry)
    }

    /// Refuses names of Model.toml that do not exist.
    pub(super) fn check_roots(&self) -> Result<(), NoSolution> {
        let absent = self.roots().into_iter().find(|root| matches!(self.look(&root.package), Look::Absent));
        let Some(first) = absent else { return Ok(()) };
        let asked_by = self.roots().into_iter().filter(|root| root.package == first.package).map(Asker::of).collect();
        let known: Vec<&str> = self
            .snapshot
            .listings
            .values()
            .flatten()
            .filter(|listing| listing.package.registry == first.package.registry)
            .map(|listing| listing.package.name.as_str())
            .collect();
        let near = nearest(first.package.name.as_str(), known).into_iter().map(str::to_owned).collect();
        Err(NoSolution::Unknown { package: Box::new(first.package.clone()), asked_by, nearest: near })
    }

    /// Refuses an answer that lacks what was asked for by exact name.
    pub(super) fn check_precise(&self, resolution: &Resolution) -> Result<(), NoSolution> {
        let lacking = self.prefer.precise.iter().find(|id| !resolution.releases.contains_key(*id));
        let Some(id) = lacking else { return Ok(()) };
        let listing = match self.look(&id.package) {
            Look::Listed(listing) => Some(listing),
            Look::Missing | Look::Absent => None,
        };
        Err(self.precise_lacks(id, listing, self.askers(&id.package, resolution)))
    }

    /// Refuses what was asked for by exact name and can't be picked whatever else is.
    pub(super) fn check_precise_exists(&self) -> Result<(), NoSolution> {
        for id in &self.prefer.precise {
            let Look::Listed(listing) = self.look(&id.package) else { continue };
            let release = listing.releases.get(&id.version);
            let free = release.is_some_and(|release| self.free(&id.package, &id.version, release));
            if !free {
                let roots = self.roots().into_iter().filter(|root| root.package == id.package);
                let asked_by = roots.map(|root| (Asker::of(root), root.requirement.clone())).collect();
                return Err(self.precise_lacks(id, Some(listing), asked_by));
            }
        }
        Ok(())
    }

    fn precise_lacks(
        &self,
        id: &PackageId,
        listing: Option<&Listing>,
        asked_by: Vec<(Asker, Requirement)>,
    ) -> NoSolution {
        let release = listing.and_then(|listing| listing.releases.get(&id.version));
        let waits = release.and_then(|release| self.waits(&id.package, &id.version, release));
        let why = match (release, waits, self.prefer.minimum_age) {
            (None, ..) => {
                Unmet::Absent(listing.into_iter().flat_map(|l| l.releases.keys().rev().cloned()).take(100).collect())
            }
            (Some(_), Some(ready), Some(minimum)) => Unmet::TooYoung { ready, minimum },
            (Some(release), ..) => Unmet::NotAdmitted { yanked: release.yanked.is_some() },
        };
        NoSolution::Precise { id: Box::new(id.clone()), why, asked_by }
    }

    /// Who asks for a package, with the requirements, in an answer.
    fn askers(&self, package: &PackageRef, resolution: &Resolution) -> Vec<(Asker, Requirement)> {
        let roots = self.roots().into_iter().filter(|root| root.package == *package);
        let mut askers: Vec<(Asker, Requirement)> =
            roots.map(|root| (Asker::of(root), root.requirement.clone())).collect();
        for id in resolution.releases.keys() {
            let Look::Listed(listing) = self.look(&id.package) else { continue };
            let Some(release) = listing.releases.get(&id.version) else { continue };
            for dependency in &release.event.dependencies {
                if target(&id.package, dependency) == *package {
                    askers.push((Asker::Release(id.clone()), dependency.requirement.clone()));
                }
            }
        }
        askers
    }
}

/// The package that a dependency of a release names.
pub(super) fn target(owner: &PackageRef, dependency: &Dependency) -> PackageRef {
    let registry = dependency.registry.clone().unwrap_or_else(|| owner.registry.clone());
    PackageRef { registry, name: dependency.name.clone() }
}

/// Who an edge starts at.
pub(super) enum Edge<'a> {
    /// Model.toml.
    Root(&'a RootRequirement),
    /// A release.
    Release(&'a PackageId),
}
