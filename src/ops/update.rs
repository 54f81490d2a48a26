//! `mpm update`: newer versions within the requirements, in the lock alone.

use std::path::PathBuf;
use std::time::Duration;

use crate::lock::{Found, Lock, SourceId, Target};
use crate::model::{DependencyKey, HubId, PackageRef, nearest};
use crate::ops::pipeline::{self, Reach, Released, Wish};
use crate::ops::project::Project;
use crate::ops::{Accepted, Change, LockRule, PipelineError, Services, sync};
use crate::select::Choice;

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

/// What is to be updated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Name {
    /// A dependency by its key, or a package by its name wherever it stands in the lock.
    Key(DependencyKey),
    /// A repository of the hub, at whatever revisions the lock has it.
    Hub(HubId),
}

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The project's folder.
    pub project: PathBuf,
    /// What changed.
    pub changes: Vec<Change>,
    /// Whether Model.lock was written.
    pub written: bool,
}

/// Does it.
///
/// # Errors
/// `E0912` for a name that the lock does not hold, and those of resolving and verifying.
pub fn run(services: &Services, request: &Request) -> Result<Outcome, PipelineError> {
    let project = Project::open(&request.start)?;
    let _lease = if request.dry_run { None } else { Some(project.lease(services, request.wait)?) };
    let project = Project::open(&project.folder)?;
    let released = match project.lock()? {
        Some(Found::Whole(lock) | Found::Conflict { merged: lock }) => released(&lock, &request.names)?,
        None => Released::default(),
    };
    let wish = sync::Request {
        start: project.folder.clone(),
        choice: Choice::default(),
        lock_rule: LockRule::Free,
        link: None,
        check: false,
        dry_run: request.dry_run,
        force: false,
        export: None,
        accepted: request.accepted.clone(),
        wait: request.wait,
    };
    let wish = Wish { request: &wish, released, reach: Reach::Lock, manifest_changed: false };
    let done = pipeline::run(services, &project, &wish)?;
    Ok(Outcome { project: done.project, changes: done.lock_changes, written: done.lock_written })
}

fn released(lock: &Lock, names: &[Name]) -> Result<Released, PipelineError> {
    let hub = |id: &&SourceId| id.hub().is_some();
    let all = Released {
        packages: lock.packages.keys().map(|id| id.package.clone()).collect(),
        sources: lock.sources.keys().filter(hub).cloned().collect(),
    };
    if names.is_empty() {
        return Ok(all);
    }
    let mut released = Released::default();
    for name in names {
        let mut named = Released::default();
        match name {
            Name::Hub(id) => {
                let same = |other: &&SourceId| {
                    other.hub().is_some_and(|other| other.kind == id.kind && other.repository == id.repository)
                };
                named.sources = all.sources.iter().filter(same).cloned().collect();
            }
            Name::Key(key) => {
                let same = |package: &&PackageRef| package.name.as_str() == key.as_str();
                named.packages = all.packages.iter().filter(same).cloned().collect();
                for (_, target) in lock.direct.iter().filter(|((other, _), _)| other == key) {
                    match target {
                        Target::Release(id) => drop(named.packages.insert(id.package.clone())),
                        Target::Source(id) => drop(named.sources.insert(id.clone())),
                    }
                }
            }
        }
        if named == Released::default() {
            return Err(unknown(lock, name));
        }
        released.packages.extend(named.packages);
        released.sources.extend(named.sources);
    }
    Ok(released)
}

fn unknown(lock: &Lock, name: &Name) -> PipelineError {
    let typed = match name {
        Name::Key(key) => key.to_string(),
        Name::Hub(id) => id.name(),
    };
    let keys = lock.direct.keys().map(|(key, _)| key.to_string());
    let names = lock.packages.keys().map(|id| id.package.name.to_string());
    let hubs = lock.sources.keys().filter_map(|id| id.hub().map(HubId::name));
    let known: Vec<String> = keys.chain(names).chain(hubs).collect();
    let near = nearest(&typed, known.iter().map(String::as_str)).into_iter().map(str::to_owned).collect();
    PipelineError::UnknownKey { key: typed, near }
}
