//! The solver: each distinct (package, requirement) is a package of its own to `PubGrub`, so that edges don't conflict; a
//! `unique` package is one for all its edges. Versions are positions in the sorted listing.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use pubgrub::{
    Dependencies, DependencyConstraints, DependencyProvider, PackageResolutionStatistics, PubGrubError, Ranges,
};

use crate::catalog::{ListedRelease, Listing};
use crate::model::{PackageId, PackageRef, Requirement, Version};
use crate::resolve::explain;
use crate::resolve::universe::{self, Edge, Look, Universe};
use crate::resolve::{Asker, NoSolution};

/// A solver package: 0 is the project, which has no slot, then the slots in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct SlotId(pub(super) usize);

impl SlotId {
    pub(super) const ROOT: Self = Self(0);
}

impl fmt::Display for SlotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "slot {}", self.0)
    }
}

/// Positions in a listing.
pub(super) type Positions = Ranges<usize>;

/// What a slot stands for.
pub(super) struct Slot<'a> {
    /// The package, its name as published where it is.
    pub(super) package: PackageRef,
    /// The one requirement; none for a `unique` package, whose edges carry ranges.
    pub(super) requirement: Option<&'a Requirement>,
    /// Every listed version; empty where the package does not exist.
    pub(super) versions: Vec<(&'a Version, &'a ListedRelease)>,
    /// Whether the registry lists the package.
    pub(super) exists: bool,
    /// Positions of versions that may be picked, lowest first.
    pub(super) admitted: Vec<usize>,
    /// Positions that the lock holds for edges to this slot.
    held: BTreeSet<usize>,
    /// Whether Model.toml itself asks.
    direct: bool,
}

/// The solver's result.
pub(super) enum Solved {
    /// Versions picked by package.
    Picked(BTreeMap<PackageRef, BTreeSet<Version>>),
    /// Listings that it came to want.
    Missing(BTreeSet<PackageRef>),
}

/// Why the solver stopped before an answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Stop {
    #[error("listings are missing")]
    Missing(BTreeSet<PackageRef>),
    #[error("a registry is not configured")]
    Registry { asked_by: Box<PackageId>, package: Box<PackageRef> },
}

struct Solver<'a> {
    universe: Universe<'a>,
    table: RefCell<Table<'a>>,
}

#[derive(Default)]
pub(super) struct Table<'a> {
    slots: Vec<Slot<'a>>,
    by_key: BTreeMap<(PackageRef, Option<String>), SlotId>,
    /// What each slot took last, by package: an edge prefers a version that is already picked.
    picked: BTreeMap<PackageRef, BTreeMap<SlotId, usize>>,
}

/// Solves. Every root's listing is known to exist.
pub(super) fn solve(universe: &Universe<'_>) -> Result<Solved, NoSolution> {
    let solver = Solver { universe: *universe, table: RefCell::default() };
    match pubgrub::resolve(&solver, SlotId::ROOT, 0_usize) {
        Ok(selected) => {
            let table = solver.table.into_inner();
            let mut picked: BTreeMap<PackageRef, BTreeSet<Version>> = BTreeMap::new();
            for (slot, position) in selected {
                let Some(slot) = table.slot(slot) else { continue };
                if let Some((version, _)) = slot.versions.get(position) {
                    picked.entry(slot.package.clone()).or_default().insert((*version).clone());
                }
            }
            Ok(Solved::Picked(picked))
        }
        Err(PubGrubError::NoSolution(tree)) => {
            let table = solver.table.into_inner();
            Err(NoSolution::Conflict(Box::new(explain::conflict(universe, &table, &tree))))
        }
        Err(
            PubGrubError::ErrorRetrievingDependencies { source, .. }
            | PubGrubError::ErrorChoosingVersion { source, .. }
            | PubGrubError::ErrorInShouldCancel(source),
        ) => match source {
            Stop::Missing(missing) => Ok(Solved::Missing(missing)),
            Stop::Registry { asked_by, package } => {
                let mut lines: Vec<_> =
                    universe.roots().into_iter().filter(|root| root.package == asked_by.package).collect();
                lines.sort_by_key(|root| root.line);
                let lines = lines.into_iter().map(Asker::of).collect();
                Err(NoSolution::Registry { asked_by, package, lines })
            }
        },
    }
}

/// Positions as a set of closed runs, so that equal sets are equal values.
pub(super) fn runs(positions: impl Iterator<Item = usize>) -> Positions {
    let mut set = Positions::empty();
    let mut run: Option<(usize, usize)> = None;
    for position in positions {
        run = match run {
            Some((first, last)) if last + 1 == position => Some((first, position)),
            Some((first, last)) => {
                set = set.union(&Positions::from_range_bounds(first..=last));
                Some((position, position))
            }
            None => Some((position, position)),
        };
    }
    match run {
        Some((first, last)) => set.union(&Positions::from_range_bounds(first..=last)),
        None => set,
    }
}

impl Slot<'_> {
    /// Positions that a requirement admits.
    pub(super) fn range(&self, requirement: &Requirement) -> Positions {
        let admits = |position: &usize| self.versions.get(*position).is_some_and(|(v, _)| requirement.matches(v));
        runs(self.admitted.iter().copied().filter(admits))
    }

    fn position(&self, wanted: &Version) -> Option<usize> {
        self.versions.binary_search_by(|(version, _)| (*version).cmp(wanted)).ok()
    }
}

impl<'a> Table<'a> {
    /// The slot of an edge and the positions that the edge admits, or the name that is not known yet.
    fn edge(
        &mut self,
        universe: &Universe<'a>,
        edge: &Edge<'_>,
        package: &PackageRef,
        requirement: &'a Requirement,
    ) -> Result<(SlotId, Positions), PackageRef> {
        let listing = match universe.look(package) {
            Look::Missing => return Err(package.clone()),
            Look::Absent => None,
            Look::Listed(listing) => Some(listing),
        };
        let name = listing.map_or_else(|| package.clone(), |listing| listing.package.clone());
        let whole = universe.unique(&name).is_some();
        let key = (name, (!whole).then(|| requirement.as_str().to_owned()));
        let id = if let Some(id) = self.by_key.get(&key) {
            *id
        } else {
            self.slots.push(slot(universe, key.0.clone(), listing, (!whole).then_some(requirement)));
            let id = SlotId(self.slots.len());
            self.by_key.insert(key, id);
            id
        };
        let Some(slot) = id.0.checked_sub(1).and_then(|index| self.slots.get_mut(index)) else {
            return Ok((id, Positions::empty()));
        };
        slot.direct |= matches!(edge, Edge::Root(_));
        let held = listing.and_then(|listing| universe.locked_edge(edge, listing, requirement));
        if let Some(position) = held.and_then(|(version, _)| slot.position(version)) {
            slot.held.insert(position);
        }
        let range = if whole { slot.range(requirement) } else { Positions::full() };
        Ok((id, range))
    }
}

fn slot<'a>(
    universe: &Universe<'a>,
    package: PackageRef,
    listing: Option<&'a Listing>,
    requirement: Option<&'a Requirement>,
) -> Slot<'a> {
    let versions: Vec<_> = listing.into_iter().flat_map(|listing| &listing.releases).collect();
    let admitted = versions.iter().enumerate().filter(|(_, (version, release))| {
        requirement.is_none_or(|requirement| requirement.matches(version)) && universe.free(&package, version, release)
    });
    let admitted = admitted.map(|(position, _)| position).collect();
    let exists = listing.is_some();
    Slot { package, requirement, versions, exists, admitted, held: BTreeSet::new(), direct: false }
}

impl Solver<'_> {
    fn dependencies(&self, id: SlotId, position: usize) -> Result<Dependencies<SlotId, Positions, String>, Stop> {
        let mut table = self.table.borrow_mut();
        let table = &mut *table;
        let mut edges: BTreeMap<SlotId, Positions> = BTreeMap::new();
        let mut missing = BTreeSet::new();
        let mut add = |edge: Result<(SlotId, Positions), PackageRef>| match edge {
            Ok((to, range)) => {
                let both = edges.get(&to).map_or_else(|| range.clone(), |before| before.intersection(&range));
                edges.insert(to, both);
            }
            Err(package) => _ = missing.insert(package),
        };
        if id == SlotId::ROOT {
            for root in self.universe.roots() {
                add(table.edge(&self.universe, &Edge::Root(root), &root.package, &root.requirement));
            }
        } else if let Some((owner, version, release)) = table.release(id, position) {
            let owner = PackageId { package: owner, version };
            for dependency in &release.event.dependencies {
                let target = universe::target(&owner.package, dependency);
                if !self.universe.configured(&owner.package, &target) {
                    return Err(Stop::Registry { asked_by: Box::new(owner), package: Box::new(target) });
                }
                add(table.edge(&self.universe, &Edge::Release(&owner), &target, &dependency.requirement));
            }
        }
        if !missing.is_empty() {
            return Err(Stop::Missing(missing));
        }
        // A cycle of one: the edge leads to the very version that it starts at, or to another, which `unique` forbids.
        if edges.remove(&id).is_some_and(|range| !range.contains(&position)) {
            return Ok(Dependencies::Unavailable("depends on another version of itself".to_owned()));
        }
        Ok(Dependencies::Available(edges.into_iter().collect::<DependencyConstraints<_, _>>()))
    }
}

impl<'a> Table<'a> {
    /// The slot; the project has none.
    pub(super) fn slot(&self, id: SlotId) -> Option<&Slot<'a>> {
        self.slots.get(id.0.checked_sub(1)?)
    }

    fn release(&self, id: SlotId, position: usize) -> Option<(PackageRef, Version, &'a ListedRelease)> {
        let slot = self.slot(id)?;
        let (version, release) = slot.versions.get(position)?;
        Some((slot.package.clone(), (*version).clone(), *release))
    }

    /// Best position of a slot within a range: asked for by name, held by the lock for such an edge, held by the lock at
    /// all, already picked (for edges of releases), highest; a yanked one that the lock released comes last.
    fn choose(&self, universe: &Universe<'a>, id: SlotId, range: &Positions) -> Option<usize> {
        let slot = self.slot(id)?;
        let free = |position: &usize| range.contains(position) && slot.admitted.binary_search(position).is_ok();
        let find = |version: &Version| slot.position(version).filter(|position| free(position));
        let picked = self.picked.get(&slot.package).filter(|_| !slot.direct);
        let beside = || picked.into_iter().flat_map(|picks| picks.values()).copied().filter(|p| free(p)).max();
        let fresh = |position: &usize| {
            free(position) && slot.versions.get(*position).is_some_and(|(_, release)| release.yanked.is_none())
        };
        universe
            .precise(&slot.package)
            .find_map(find)
            .or_else(|| slot.held.iter().rev().copied().find(|position| free(position)))
            .or_else(|| universe.locked(&slot.package).find_map(find))
            .or_else(beside)
            .or_else(|| slot.admitted.iter().rev().copied().find(|position| fresh(position)))
            .or_else(|| slot.admitted.iter().rev().copied().find(|position| free(position)))
    }
}

impl DependencyProvider for Solver<'_> {
    type P = SlotId;
    type V = usize;
    type VS = Positions;
    type M = String;
    type Err = Stop;
    type Priority = (u32, bool, Reverse<usize>, Reverse<SlotId>);

    fn prioritize(
        &self,
        package: &SlotId,
        range: &Positions,
        statistics: &PackageResolutionStatistics,
    ) -> Self::Priority {
        let table = self.table.borrow();
        let Some(slot) = table.slot(*package) else { return (0, false, Reverse(0), Reverse(*package)) };
        let open = slot.admitted.iter().filter(|position| range.contains(position)).count();
        (statistics.conflict_count(), slot.direct, Reverse(open), Reverse(*package))
    }

    fn choose_version(&self, package: &SlotId, range: &Positions) -> Result<Option<usize>, Stop> {
        let mut table = self.table.borrow_mut();
        if *package == SlotId::ROOT {
            return Ok(range.contains(&0).then_some(0));
        }
        let choice = table.choose(&self.universe, *package, range);
        if let (Some(position), Some(slot)) = (choice, table.slot(*package)) {
            let name = slot.package.clone();
            table.picked.entry(name).or_default().insert(*package, position);
        }
        Ok(choice)
    }

    fn get_dependencies(
        &self,
        package: &SlotId,
        version: &usize,
    ) -> Result<Dependencies<SlotId, Positions, String>, Stop> {
        self.dependencies(*package, *version)
    }
}
