//! `mpm lock`: Model.lock answers Model.toml; `--check` says why it does not.

use std::path::PathBuf;
use std::time::Duration;

use crate::ops::pipeline::{self, Reach, Released, Wish};
use crate::ops::project::Project;
use crate::ops::{Accepted, Change, LockRule, PipelineError, Services, sync};

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Where to look for Model.toml.
    pub start: PathBuf,
    /// Only check; every reason is told.
    pub check: bool,
    /// Whether Model.lock may change.
    pub lock_rule: LockRule,
    /// Only tell what would change.
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
    /// Number of locked releases and sources.
    pub entries: u64,
}

/// Does it.
///
/// # Errors
/// `E0910` with every reason under `--check` and `--locked`, and those of resolving and verifying.
pub fn run(services: &Services, request: &Request) -> Result<Outcome, PipelineError> {
    let project = Project::open(&request.start)?;
    let read_only = request.check || request.dry_run || request.lock_rule == LockRule::Locked;
    let _lease = if read_only { None } else { Some(project.lease(services, request.wait)?) };
    let project = Project::open(&project.folder)?;
    let rule = if request.check { LockRule::Locked } else { request.lock_rule };
    let wish = sync::Request::to_lock(&project.folder, rule, request.dry_run, &request.accepted, request.wait);
    let wish = Wish { request: &wish, released: Released::default(), reach: Reach::Lock, manifest_changed: false };
    let done = pipeline::run(services, &project, &wish)?;
    Ok(Outcome {
        project: done.project,
        changes: done.lock_changes,
        written: done.lock_written,
        entries: done.lock_entries,
    })
}
