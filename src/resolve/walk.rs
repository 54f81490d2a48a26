//! Walks from the project's requirements along edges, with one rule for which version an edge takes.
//!
//! The same walk serves three times: with what the lock holds (if that still satisfies, nothing changes), ahead of the
//! solver to learn which listings it will want, and behind it to give every edge its version among the picks.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::{ListedRelease, Listing};
use crate::model::{PackageId, PackageRef, Requirement, Version};
use crate::resolve::universe::{self, Edge, Look, Universe};
use crate::resolve::{Resolution, Resolved};

/// How far a walk came.
pub(super) enum Walk {
    /// Every edge has its version.
    Complete(Resolution),
    /// These listings are not known yet, and nothing known speaks against the rest.
    Missing(BTreeSet<PackageRef>),
    /// Some edge has no version by this rule.
    Stuck,
}

type Choice<'a> = Option<(&'a Version, &'a ListedRelease)>;

/// Takes for every edge what the lock holds for it.
pub(super) fn by_lock(universe: &Universe<'_>) -> Walk {
    if !universe.prefer.precise.is_empty() {
        return Walk::Stuck;
    }
    let walk = walk(universe, |edge, listing, requirement| {
        universe.locked_edge(edge, listing, requirement).or_else(|| {
            let find = |version: &Version| listing.releases.get_key_value(version);
            universe.locked(&listing.package).filter(|version| requirement.matches(version)).find_map(find)
        })
    });
    match walk {
        Walk::Complete(resolution) if !unique_holds(universe, &resolution) => Walk::Stuck,
        other => other,
    }
}

/// Takes for every edge the lock's version if it was picked, else the highest that was.
pub(super) fn among(universe: &Universe<'_>, picked: &BTreeMap<PackageRef, BTreeSet<Version>>) -> Walk {
    walk(universe, |edge, listing, requirement| {
        let picked = picked.get(&listing.package)?;
        let named = universe.precise(&listing.package).find(|v| requirement.matches(v) && picked.contains(*v));
        let held = universe.locked_edge(edge, listing, requirement).map(|(version, _)| version);
        let held = held.filter(|version| picked.contains(*version));
        let version = named.or(held).or_else(|| picked.iter().rev().find(|version| requirement.matches(version)))?;
        listing.releases.get_key_value(version)
    })
}

/// Follows the first choices as far as listings are known; returns those that are not.
pub(super) fn explore(universe: &Universe<'_>) -> BTreeSet<PackageRef> {
    let mut missing = BTreeSet::new();
    let mut picked: BTreeMap<PackageRef, BTreeSet<Version>> = BTreeMap::new();
    let mut seen: BTreeSet<(PackageRef, String)> = BTreeSet::new();
    let mut queue: Vec<(PackageRef, &Requirement)> =
        universe.roots().into_iter().map(|root| (root.package.clone(), &root.requirement)).collect();
    while !queue.is_empty() {
        let mut next = Vec::new();
        for (package, requirement) in queue {
            if !seen.insert((package.clone(), requirement.as_str().to_owned())) {
                continue;
            }
            let listing = match universe.look(&package) {
                Look::Listed(listing) => listing,
                Look::Absent => continue,
                Look::Missing => {
                    missing.insert(package);
                    continue;
                }
            };
            let choice = universe.first_choice(listing, requirement, picked.get(&listing.package));
            let Some((version, release)) = choice else { continue };
            picked.entry(listing.package.clone()).or_default().insert(version.clone());
            for dependency in &release.event.dependencies {
                let target = universe::target(&listing.package, dependency);
                if universe.configured(&listing.package, &target) {
                    next.push((target, &dependency.requirement));
                }
            }
        }
        queue = next;
    }
    missing
}

fn unique_holds(universe: &Universe<'_>, resolution: &Resolution) -> bool {
    let mut before: Option<&PackageRef> = None;
    for id in resolution.releases.keys() {
        if before == Some(&id.package) && universe.unique(&id.package).is_some() {
            return false;
        }
        before = Some(&id.package);
    }
    true
}

fn walk<'a>(universe: &Universe<'a>, choose: impl Fn(&Edge<'_>, &'a Listing, &'a Requirement) -> Choice<'a>) -> Walk {
    let mut resolution = Resolution::default();
    let mut missing = BTreeSet::new();
    let mut queue: Vec<(PackageId, &'a ListedRelease)> = Vec::new();
    for root in universe.roots() {
        match take(universe, &Edge::Root(root), &root.package, &root.requirement, &choose) {
            Taken::Release(id, release) => {
                resolution.direct.insert((root.key.clone(), root.group.clone()), id.clone());
                queue.push((id, release));
            }
            Taken::Missing => _ = missing.insert(root.package.clone()),
            Taken::None => return Walk::Stuck,
        }
    }
    while let Some((id, release)) = queue.pop() {
        if resolution.releases.contains_key(&id) {
            continue;
        }
        let mut dependencies = BTreeSet::new();
        for dependency in &release.event.dependencies {
            let target = universe::target(&id.package, dependency);
            if !universe.configured(&id.package, &target) {
                return Walk::Stuck;
            }
            match take(universe, &Edge::Release(&id), &target, &dependency.requirement, &choose) {
                Taken::Release(to, release) => {
                    dependencies.insert(to.clone());
                    queue.push((to, release));
                }
                Taken::Missing => _ = missing.insert(target),
                Taken::None => return Walk::Stuck,
            }
        }
        let dependencies = dependencies.into_iter().collect();
        resolution.releases.insert(id.clone(), Resolved { id, dependencies });
    }
    if missing.is_empty() { Walk::Complete(resolution) } else { Walk::Missing(missing) }
}

enum Taken<'a> {
    Release(PackageId, &'a ListedRelease),
    Missing,
    None,
}

fn take<'a>(
    universe: &Universe<'a>,
    edge: &Edge<'_>,
    package: &PackageRef,
    requirement: &'a Requirement,
    choose: &impl Fn(&Edge<'_>, &'a Listing, &'a Requirement) -> Choice<'a>,
) -> Taken<'a> {
    match universe.look(package) {
        Look::Missing => Taken::Missing,
        Look::Absent => Taken::None,
        Look::Listed(listing) => match choose(edge, listing, requirement) {
            Some((version, release)) => {
                let id = PackageId { package: listing.package.clone(), version: version.clone() };
                Taken::Release(id, release)
            }
            None => Taken::None,
        },
    }
}
