//! `mpm outdated`: what the lock holds beside what there is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::catalog::{ListedRelease, Listing};
use crate::index::Gate;
use crate::lock::{Lock, SourceId, Target};
use crate::manifest::DependencySource;
use crate::model::{PackageId, PackageName, PackageRef, RegistryId, Requirement, Timestamp, Version};
use crate::ops::locking;
use crate::ops::project::Project;
use crate::ops::registries::Registries;
use crate::ops::{PipelineError, Services, update, upgrade};
use crate::resolve::MinimumAge;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Where to look for Model.toml.
    pub start: PathBuf,
    /// What is up to date as well.
    pub all: bool,
}

/// One line: an edge of Model.toml, or a release that only others need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The key in Model.toml; none: only others need it.
    pub key: Option<String>,
    /// `registry:namespace/name`, or a source's id.
    pub what: String,
    /// Its name for people.
    pub name: String,
    /// What Model.toml asks for; none for sources and for what only others need.
    pub requirement: Option<String>,
    /// Version or commit that is locked.
    pub locked: String,
    /// The newest that `mpm update` would lock; none: nothing can be picked.
    pub within: Option<String>,
    /// The newest of all, yanked ones and pre-releases left out.
    pub newest: Option<String>,
    /// Why the locked release was yanked, if it was.
    pub yanked: Option<String>,
    /// A newer release that is too young to be picked, and when it no longer is.
    pub waiting: Option<(String, Timestamp)>,
}

impl Line {
    /// Whether there is something to do or to know.
    pub fn is_outdated(&self) -> bool {
        let other = |found: &Option<String>| found.as_ref().is_some_and(|found| *found != self.locked);
        self.yanked.is_some() || self.waiting.is_some() || other(&self.within) || other(&self.newest)
    }
}

/// The answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// A line each, direct ones first.
    pub lines: Vec<Line>,
    /// How many were looked at.
    pub looked_at: u64,
}

/// Does it.
///
/// # Errors
/// `E0910` where there is no lock, and those of reading indexes and asking the hub.
pub fn run(services: &Services, request: &Request) -> Result<Outcome, PipelineError> {
    let project = Project::open(&request.start)?;
    let lock = project.whole_lock()?;
    let manifest = &project.manifest;
    let mut registries = Registries::new(services, &project.folder, manifest, Some(&lock), Gate::Locked);
    let listings = listings(&lock, &mut registries)?;
    let minimum = locking::minimum_age(services, manifest);
    let mut lines = Vec::new();
    for root in locking::roots(manifest)? {
        let target = lock.direct.get(&(root.key.clone(), root.group.clone()));
        let (Some(Target::Release(id)), Some(listing)) = (target, listings.get(&root.package)) else { continue };
        let mut line = line(id, listing, &mut registries, (&[&root.requirement], minimum))?;
        line.newest = upgrade::newest(listing, &root.requirement, minimum).map(ToString::to_string);
        line.key = Some(root.key.to_string());
        line.requirement = Some(root.requirement.to_string());
        lines.push(line);
    }
    lines.extend(sources(services, &lock, manifest)?);
    let direct: BTreeSet<&PackageId> = lock
        .direct
        .values()
        .filter_map(|target| if let Target::Release(id) = target { Some(id) } else { None })
        .collect();
    for id in lock.packages.keys().filter(|id| !direct.contains(id)) {
        let Some(listing) = listings.get(&id.package) else { continue };
        let asked = askers(&lock, &listings, id);
        let mut line = line(id, listing, &mut registries, (&asked.iter().collect::<Vec<_>>(), minimum))?;
        // What its dependents do not admit is their publishers' business.
        line.newest.clone_from(&line.within);
        lines.push(line);
    }
    let looked_at = lines.len() as u64;
    lines.retain(|line| request.all || line.is_outdated());
    Ok(Outcome { lines, looked_at })
}

fn listings(lock: &Lock, registries: &mut Registries<'_>) -> Result<BTreeMap<PackageRef, Listing>, PipelineError> {
    let mut names: BTreeMap<RegistryId, BTreeSet<PackageName>> = BTreeMap::new();
    for id in lock.packages.keys() {
        names.entry(id.package.registry.clone()).or_default().insert(id.package.name.clone());
    }
    let mut listings = BTreeMap::new();
    for (registry, names) in names {
        for (name, listing) in registries.open(&registry)?.listings(&names)? {
            let package = PackageRef { registry: registry.clone(), name };
            listings.extend(listing.map(|listing| (package, listing)));
        }
    }
    Ok(listings)
}

fn line(
    id: &PackageId,
    listing: &Listing,
    registries: &mut Registries<'_>,
    (asked, minimum): (&[&Requirement], Option<MinimumAge>),
) -> Result<Line, PipelineError> {
    let admits = |version: &&Version| asked.iter().all(|requirement| requirement.matches(version));
    let waits = |release: &ListedRelease| minimum.and_then(|minimum| minimum.waits(release));
    let free = listing
        .releases
        .iter()
        .filter(|(version, release)| (release.yanked.is_none() && waits(release).is_none()) || **version == id.version);
    // What is locked is never lowered.
    let within = free.map(|(version, _)| version).filter(|version| **version >= id.version).rfind(admits);
    let yanked = match listing.releases.get(&id.version) {
        Some(release) if release.yanked.is_some() => {
            let record = registries.open(&id.package.registry)?.yank(&id.package.name, release)?;
            record.map(|record| record.reason.escape_debug().to_string())
        }
        _ => None,
    };
    // A yanked release gives way to any other that is free, an older one too, once it is let go of.
    let within = if yanked.is_some() {
        let free = listing.releases.iter().filter(|(_, release)| release.yanked.is_none() && waits(release).is_none());
        free.map(|(version, _)| version).rfind(admits)
    } else {
        within
    };
    Ok(Line {
        key: None,
        what: id.package.to_string(),
        name: id.package.name.to_string(),
        requirement: None,
        locked: id.version.to_string(),
        within: within.map(ToString::to_string),
        newest: None,
        yanked,
        waiting: waiting(id, listing, minimum),
    })
}

/// The newest release that is too young to be picked, and when it no longer is.
fn waiting(id: &PackageId, listing: &Listing, minimum: Option<MinimumAge>) -> Option<(String, Timestamp)> {
    let minimum = minimum?;
    let mut later = listing
        .releases
        .iter()
        .rev()
        .filter(|(version, release)| **version > id.version && version.pre.is_empty() && release.yanked.is_none());
    later.find_map(|(version, release)| Some((version.to_string(), minimum.waits(release)?)))
}

/// What the locked releases ask of one that only they need.
fn askers(lock: &Lock, listings: &BTreeMap<PackageRef, Listing>, id: &PackageId) -> Vec<Requirement> {
    let mut asked = Vec::new();
    for (owner, _) in lock.packages.iter().filter(|(_, locked)| locked.dependencies.contains(id)) {
        let release = listings.get(&owner.package).and_then(|listing| listing.releases.get(&owner.version));
        for dependency in release.into_iter().flat_map(|release| &release.event.dependencies) {
            if dependency.name.normalised() == id.package.name.normalised()
                && dependency.requirement.matches(&id.version)
            {
                asked.push(dependency.requirement.clone());
            }
        }
    }
    asked
}

/// Sources of the hub at branches and tags: where those lead now.
fn sources(services: &Services, lock: &Lock, manifest: &crate::manifest::Manifest) -> Result<Vec<Line>, PipelineError> {
    let mut lines = Vec::new();
    for dependency in &manifest.dependencies {
        let DependencySource::Hub(hub) = &dependency.source else { continue };
        let id = SourceId::of_hub(hub.clone());
        let Some(commit) = lock.sources.get(&id).and_then(crate::lock::LockedSource::commit) else { continue };
        let now = if update::moves(&id) { services.hub()?.commit(hub)? } else { commit.clone() };
        lines.push(Line {
            key: Some(dependency.key.to_string()),
            what: id.to_string(),
            name: id.to_string(),
            requirement: None,
            locked: commit.to_string(),
            within: Some(now.to_string()),
            newest: Some(now.to_string()),
            yanked: None,
            waiting: None,
        });
    }
    Ok(lines)
}
