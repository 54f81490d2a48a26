//! `mpm update`: newer versions within the requirements, in the lock alone.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use crate::lock::{Found, Lock};
use crate::model::{PackageName, PackageRef, nearest};
use crate::ops::pipeline::{self, Reach, Wish};
use crate::ops::project::Project;
use crate::ops::{Accepted, Change, LockRule, PipelineError, Services, sync};
use crate::select::Choice;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Where to look for Model.toml.
    pub start: PathBuf,
    /// Only these; empty: all.
    pub names: Vec<PackageName>,
    /// Only tell.
    pub dry_run: bool,
    /// What a person has accepted.
    pub accepted: Accepted,
    /// How long to wait for somebody else's lease.
    pub wait: Duration,
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
        None => BTreeSet::new(),
    };
    let wish = sync::Request {
        start: project.folder.clone(),
        choice: Choice::default(),
        lock_rule: LockRule::Free,
        link: None,
        check: false,
        dry_run: request.dry_run,
        force: false,
        accepted: request.accepted.clone(),
        wait: request.wait,
    };
    let wish = Wish { request: &wish, released, reach: Reach::Lock, manifest_changed: false };
    let done = pipeline::run(services, &project, &wish)?;
    Ok(Outcome { project: done.project, changes: done.lock_changes, written: done.lock_written })
}

fn released(lock: &Lock, names: &[PackageName]) -> Result<BTreeSet<PackageRef>, PipelineError> {
    let all: BTreeSet<PackageRef> = lock.packages.keys().map(|id| id.package.clone()).collect();
    if names.is_empty() {
        return Ok(all);
    }
    let mut released = BTreeSet::new();
    for name in names {
        let named: Vec<_> = all.iter().filter(|package| package.name == *name).cloned().collect();
        if named.is_empty() {
            let near = nearest(name.as_str(), all.iter().map(|package| package.name.as_str()));
            return Err(PipelineError::UnknownKey {
                key: name.to_string(),
                near: near.into_iter().map(str::to_owned).collect(),
            });
        }
        released.extend(named);
    }
    Ok(released)
}
