//! `mpm upgrade`: requirements of Model.toml raised to the newest releases, and the lock with them.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use crate::catalog::Listing;
use crate::index::Gate;
use crate::lock::{Found, SourceId};
use crate::manifest::{self, Dependency, DependencySource, Manifest};
use crate::model::{DependencyKey, HubId, PackageRef, Requirement, Version, nearest};
use crate::ops::pipeline::{self, Reach, Released, Wish};
use crate::ops::project::Project;
use crate::ops::registries::Registries;
use crate::ops::{Accepted, Change, LockRule, Name, PipelineError, Services, info, locking, sync};
use crate::resolve::MinimumAge;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Where to look for Model.toml.
    pub start: PathBuf,
    /// Only these; empty: all.
    pub names: Vec<Name>,
    /// Only tell.
    pub dry_run: bool,
    /// What a person has accepted.
    pub accepted: Accepted,
    /// How long to wait for somebody else's lease.
    pub wait: Duration,
}

/// A requirement that was raised, or would be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raised {
    /// The dependency's key.
    pub key: DependencyKey,
    /// What stood there.
    pub from: Requirement,
    /// What stands there now.
    pub to: Requirement,
    /// Its line in Model.toml.
    pub line: usize,
}

/// A dependency whose line stays as it is although something newer may exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// The dependency's key.
    pub key: DependencyKey,
    /// Its line in Model.toml.
    pub line: usize,
    /// Why.
    pub why: Why,
}

/// Why a line stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// It asks for one version exactly, and was not named; the newest is another.
    Exact(Version),
    /// A source of the hub that names a commit.
    Commit(HubId),
    /// A source of the hub that names a branch or tag: the lock goes where it leads.
    Followed(HubId),
    /// A folder has no versions.
    Folder,
    /// No release is free to be chosen.
    NoRelease,
}

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The project's folder.
    pub project: PathBuf,
    /// Lines of Model.toml that changed.
    pub raised: Vec<Raised>,
    /// Lines that stay although they were asked about, or could be newer.
    pub left: Vec<Left>,
    /// What changed in the lock.
    pub changes: Vec<Change>,
    /// Whether files were written.
    pub written: bool,
}

/// Does it.
///
/// # Errors
/// `E0912` for a name that Model.toml does not have, and those of resolving and verifying; nothing is changed then.
pub fn run(services: &Services, request: &Request) -> Result<Outcome, PipelineError> {
    let project = Project::open(&request.start)?;
    let _lease = if request.dry_run { None } else { Some(project.lease(services, request.wait)?) };
    let mut project = Project::open(&project.folder)?;
    let chosen = chosen(&project.manifest, &request.names)?;
    let mut outcome = Outcome::default();
    let mut released = Released::default();
    let lock = project.lock()?.map(|found| match found {
        Found::Whole(lock) | Found::Conflict { merged: lock } => lock,
    });
    let manifest = project.manifest.clone();
    let minimum = locking::minimum_age(services, &manifest);
    let mut registries = Registries::new(services, &project.folder, &manifest, lock.as_ref(), Gate::NewTrust);
    let mut text = project.manifest_text.clone();
    let mut seen = BTreeSet::new();
    for dependency in chosen.iter().filter(|dependency| seen.insert(dependency.key.clone())) {
        let mut leave = |why| outcome.left.push(Left { key: dependency.key.clone(), line: dependency.line, why });
        match &dependency.source {
            DependencySource::Path(_) if request.names.is_empty() => {}
            DependencySource::Path(_) => leave(Why::Folder),
            DependencySource::Hub(id) => {
                released.sources.insert(SourceId::of_hub(id.clone()));
                leave(if id.revision.commit().is_some() { Why::Commit(id.clone()) } else { Why::Followed(id.clone()) });
            }
            DependencySource::Registry { package, requirement, registry, .. } => {
                let id = manifest.registry_for(package, registry.as_ref())?.clone();
                let listing = info::listing(services, registries.open(&id)?, package)?;
                released.packages.insert(PackageRef { registry: id, name: package.clone() });
                let named = !request.names.is_empty();
                match raise(&listing, requirement, named, minimum) {
                    Ok(Some(to)) => {
                        text = manifest::set_requirement(&text, &dependency.key, &to)?;
                        let (key, from, line) = (dependency.key.clone(), requirement.clone(), dependency.line);
                        outcome.raised.push(Raised { key, from, to, line });
                    }
                    Ok(None) => {}
                    Err(why) => leave(why),
                }
            }
        }
    }
    drop(registries);
    let manifest_changed = text != project.manifest_text;
    project.manifest = Manifest::parse(&text)?;
    project.manifest_text = text;
    let wish =
        sync::Request::to_lock(&project.folder, LockRule::Free, request.dry_run, &request.accepted, request.wait);
    let done =
        pipeline::run(services, &project, &Wish { request: &wish, released, reach: Reach::Lock, manifest_changed })?;
    outcome.written = !request.dry_run && (done.lock_written || manifest_changed);
    outcome.project = done.project;
    outcome.changes = done.lock_changes;
    Ok(outcome)
}

/// The dependencies that are meant, in the file's order.
fn chosen(manifest: &Manifest, names: &[Name]) -> Result<Vec<Dependency>, PipelineError> {
    if names.is_empty() {
        return Ok(manifest.dependencies.clone());
    }
    let mut chosen = Vec::new();
    for name in names {
        let meant: Vec<Dependency> =
            manifest.dependencies.iter().filter(|dependency| means(name, dependency)).cloned().collect();
        if meant.is_empty() {
            return Err(unknown(manifest, name));
        }
        chosen.extend(meant);
    }
    chosen.sort_by_key(|dependency| dependency.line);
    chosen.dedup();
    Ok(chosen)
}

fn means(name: &Name, dependency: &Dependency) -> bool {
    match (name, &dependency.source) {
        (Name::Hub(id), DependencySource::Hub(other)) => id.kind == other.kind && id.repository == other.repository,
        (Name::Hub(_), _) => false,
        (Name::Key(key), DependencySource::Registry { package, .. }) => {
            dependency.key == *key || package.as_str() == key.as_str()
        }
        (Name::Key(key), _) => dependency.key == *key,
    }
}

fn unknown(manifest: &Manifest, name: &Name) -> PipelineError {
    let typed = match name {
        Name::Key(key) => key.to_string(),
        Name::Hub(id) => id.name(),
    };
    let known: Vec<String> = manifest
        .dependencies
        .iter()
        .map(|dependency| match &dependency.source {
            DependencySource::Hub(id) if matches!(name, Name::Hub(_)) => id.name(),
            _ => dependency.key.to_string(),
        })
        .collect();
    let near = nearest(&typed, known.iter().map(String::as_str)).into_iter().map(str::to_owned).collect();
    PipelineError::UnknownKey { key: typed, near }
}

/// The requirement that the newest release calls for, if it is another; or why the line stays.
fn raise(
    listing: &Listing,
    requirement: &Requirement,
    named: bool,
    minimum: Option<MinimumAge>,
) -> Result<Option<Requirement>, Why> {
    let newest = newest(listing, requirement, minimum).ok_or(Why::NoRelease)?;
    if requirement.is_exact() {
        if requirement.matches(newest) {
            return Ok(None);
        }
        return if named { Ok(Some(Requirement::exactly(newest))) } else { Err(Why::Exact(newest.clone())) };
    }
    // What is locked already may be newer than what is free to be chosen: nothing is ever lowered.
    let higher = listing.releases.keys().any(|version| version > newest && requirement.matches(version));
    if higher && !requirement.matches(newest) {
        return Ok(None);
    }
    Ok(requirement.raised_to(newest).filter(|raised| raised.as_str() != requirement.as_str()))
}

/// The newest release that is not yanked and old enough; pre-releases count only where the requirement admits one.
pub(super) fn newest<'l>(
    listing: &'l Listing,
    requirement: &Requirement,
    minimum: Option<MinimumAge>,
) -> Option<&'l Version> {
    let free = |(version, release): &(&'l Version, &crate::catalog::ListedRelease)| {
        release.yanked.is_none()
            && (version.pre.is_empty() || requirement.matches(version))
            && minimum.is_none_or(|minimum| minimum.waits(release).is_none())
    };
    listing.releases.iter().rev().find(free).map(|(version, _)| version)
}
