//! `mpm fetch`: what the lock needs is in the store; nothing is placed.

use crate::ops::pipeline::{self, Reach, Released, Wish};
use crate::ops::project::Project;
use crate::ops::{Change, PipelineError, Services, Travel, sync};

/// What is asked: as for `sync`.
pub type Request = sync::Request;

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Whether nothing was done but told.
    pub dry_run: bool,
    /// What changed in the lock.
    pub lock_changes: Vec<Change>,
    /// Bytes that travelled.
    pub travel: Travel,
}

/// Does it.
///
/// # Errors
/// Those of every stage but installing.
pub fn run(services: &Services, request: &Request) -> Result<Outcome, PipelineError> {
    let project = Project::open(&request.start)?;
    let _lease = if request.dry_run { None } else { Some(project.lease(services, request.wait)?) };
    let project = Project::open(&project.folder)?;
    let wish = Wish { request, released: Released::default(), reach: Reach::Fetch, manifest_changed: false };
    let done = pipeline::run(services, &project, &wish)?;
    Ok(Outcome { dry_run: done.dry_run, lock_changes: done.lock_changes, travel: done.travel })
}
