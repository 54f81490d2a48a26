//! From the solver's derivation to the facts that it rests on: grouped, in the order in which a person would tell them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use pubgrub::{DerivationTree, External, Ranges};

use crate::model::{PackageRef, Requirement, Version};
use crate::resolve::solve::{Positions, Slot, SlotId, Table};
use crate::resolve::universe::{self, Universe};
use crate::resolve::{Asker, Conflict, Failing, Reason, RuledOut};

type Tree = DerivationTree<SlotId, Positions, String>;

/// Most versions that a failing requirement lists; the newest are the interesting ones.
const MOST_VERSIONS: usize = 100;

/// The leaves of a derivation: dependencies by (from, to, range), and the ends where nothing is left.
#[derive(Default)]
struct Leaves {
    edges: Vec<(SlotId, SlotId, Positions, Positions)>,
    ends: BTreeSet<SlotId>,
    unavailable: BTreeSet<SlotId>,
}

/// The conflict that a derivation proves.
pub(super) fn conflict(universe: &Universe<'_>, table: &Table<'_>, tree: &Tree) -> Conflict {
    let leaves = gather(tree);
    let mut reasons = Vec::new();
    for (_, to, _, range) in leaves.edges.iter().filter(|(from, ..)| *from == SlotId::ROOT) {
        asks(universe, table, *to, range, &mut reasons);
    }
    for (from, to, positions, range) in ordered(&leaves) {
        let (Some(slot), Some(target)) = (table.slot(from), table.slot(to)) else { continue };
        depends(slot, target, &positions, &range, &mut reasons);
    }
    for id in &leaves.unavailable {
        reasons.extend(table.slot(*id).map(|slot| Reason::SelfConflict { package: slot.package.clone() }));
    }
    for id in &leaves.ends {
        let Some(slot) = table.slot(*id) else { continue };
        match slot.requirement {
            Some(requirement) if slot.admitted.is_empty() => {
                reasons.push(Reason::Fails(failing(universe, slot, requirement)));
            }
            Some(_) => {}
            None => reasons.push(Reason::Unique {
                package: slot.package.clone(),
                line: universe.unique(&slot.package).unwrap_or(0),
                existing: newest_first(slot, |position| slot.admitted.binary_search(&position).is_ok()),
            }),
        }
    }
    // Two edges with disjoint ranges on a `unique` package need no end of their own.
    for (_, to, ..) in &leaves.edges {
        let Some(slot) = table.slot(*to) else { continue };
        let told = |reason: &Reason| matches!(reason, Reason::Unique { package, .. } if *package == slot.package);
        if slot.requirement.is_none() && !reasons.iter().any(told) {
            reasons.push(Reason::Unique {
                package: slot.package.clone(),
                line: universe.unique(&slot.package).unwrap_or(0),
                existing: newest_first(slot, |position| slot.admitted.binary_search(&position).is_ok()),
            });
        }
    }
    Conflict { reasons, offline: universe.prefer.offline }
}

/// Walks a derivation without recursion, each shared part once.
fn gather(tree: &Tree) -> Leaves {
    let mut leaves = Leaves::default();
    let mut seen: BTreeSet<usize> = BTreeSet::new();
    let mut stack: Vec<&Tree> = vec![tree];
    while let Some(tree) = stack.pop() {
        match tree {
            DerivationTree::Derived(derived) => {
                for cause in [&derived.cause2, &derived.cause1] {
                    if seen.insert(Arc::as_ptr(cause).addr()) {
                        stack.push(cause);
                    }
                }
            }
            DerivationTree::External(External::FromDependencyOf(from, positions, to, range)) => {
                leaves.edges.push((*from, *to, positions.clone(), range.clone()));
            }
            DerivationTree::External(External::NoVersions(slot, _)) => _ = leaves.ends.insert(*slot),
            DerivationTree::External(External::Custom(slot, ..)) => _ = leaves.unavailable.insert(*slot),
            DerivationTree::External(External::NotRoot(..)) => {}
        }
    }
    leaves
}

/// Dependencies of releases, those with the same ends as one, breadth first from the project.
fn ordered(leaves: &Leaves) -> Vec<(SlotId, SlotId, Positions, Positions)> {
    let mut depth: BTreeMap<SlotId, usize> = BTreeMap::from([(SlotId::ROOT, 0)]);
    for round in 1..=leaves.edges.len() {
        for (from, to, ..) in &leaves.edges {
            if depth.get(from).is_some_and(|found| *found < round) {
                depth.entry(*to).or_insert(round);
            }
        }
    }
    let mut merged: Vec<(SlotId, SlotId, Positions, Positions)> = Vec::new();
    for (from, to, positions, range) in leaves.edges.iter().filter(|(from, ..)| *from != SlotId::ROOT) {
        match merged.iter_mut().find(|(f, t, _, r)| f == from && t == to && r == range) {
            Some(found) => found.2 = found.2.union(positions),
            None => merged.push((*from, *to, positions.clone(), range.clone())),
        }
    }
    merged.sort_by_key(|(from, to, ..)| (depth.get(from).copied().unwrap_or(usize::MAX), *from, *to));
    merged
}

fn asks(universe: &Universe<'_>, table: &Table<'_>, to: SlotId, range: &Positions, reasons: &mut Vec<Reason>) {
    let Some(slot) = table.slot(to) else { return };
    let mut roots = universe.roots();
    roots.sort_by_key(|root| root.line);
    for root in roots {
        let same = named(slot, &root.package) && leads_to(slot, &root.requirement, range);
        let reason = Reason::Asks {
            asker: Asker::of(root),
            package: slot.package.clone(),
            requirement: root.requirement.clone(),
        };
        if same && !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
}

fn depends(slot: &Slot<'_>, target: &Slot<'_>, positions: &Positions, range: &Positions, reasons: &mut Vec<Reason>) {
    let versions =
        newest_first(slot, |position| positions.contains(&position) && slot.admitted.binary_search(&position).is_ok());
    let all = slot.admitted.iter().all(|position| positions.contains(position));
    let mut requirements: Vec<Requirement> = Vec::new();
    for (position, (_, release)) in slot.versions.iter().enumerate() {
        for dependency in release.event.dependencies.iter().filter(|_| positions.contains(&position)) {
            let on = universe::target(&slot.package, dependency);
            let same = named(target, &on) && leads_to(target, &dependency.requirement, range);
            if same && !requirements.contains(&dependency.requirement) {
                requirements.push(dependency.requirement.clone());
            }
        }
    }
    for requirement in requirements {
        reasons.push(Reason::Depends {
            package: slot.package.clone(),
            versions: versions.clone(),
            all,
            on: target.package.clone(),
            requirement,
        });
    }
}

fn named(slot: &Slot<'_>, package: &PackageRef) -> bool {
    slot.package.registry == package.registry && slot.package.name.normalised() == package.name.normalised()
}

/// Whether an edge with this requirement leads to the slot with this range.
fn leads_to(slot: &Slot<'_>, requirement: &Requirement, range: &Positions) -> bool {
    match slot.requirement {
        Some(own) => own.as_str() == requirement.as_str(),
        // Ranges of several edges of one release are met together, so that each covers the intersection.
        None => range.subset_of(&slot.range(requirement)) || *range == Ranges::empty(),
    }
}

fn newest_first(slot: &Slot<'_>, wanted: impl Fn(usize) -> bool) -> Vec<Version> {
    let found = slot.versions.iter().enumerate().rev().filter(|(position, _)| wanted(*position));
    found.map(|(_, (version, _))| (*version).clone()).take(MOST_VERSIONS).collect()
}

fn failing(universe: &Universe<'_>, slot: &Slot<'_>, requirement: &Requirement) -> Failing {
    let mut existing = Vec::new();
    let mut ruled_out = Vec::new();
    for (version, release) in slot.versions.iter().rev().take(MOST_VERSIONS) {
        let base = Version::new(version.major, version.minor, version.patch);
        if requirement.matches(version) && release.yanked.is_some() {
            ruled_out.push(((*version).clone(), RuledOut::Yanked));
        } else if let Some(ready) =
            universe.waits(&slot.package, version, release).filter(|_| requirement.matches(version))
        {
            ruled_out.push(((*version).clone(), RuledOut::TooYoung { ready }));
        } else if !version.pre.is_empty() && requirement.matches(&base) {
            ruled_out.push(((*version).clone(), RuledOut::PreRelease));
        } else if universe.free(&slot.package, version, release) {
            existing.push((*version).clone());
        }
    }
    Failing {
        package: slot.package.clone(),
        requirement: requirement.clone(),
        exists: slot.exists,
        minimum_age: universe.prefer.minimum_age,
        existing,
        ruled_out,
    }
}
