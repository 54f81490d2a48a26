//! `mpm diff`: what a change of the lock means.

use std::path::PathBuf;

use crate::lock::{Found, Lock};
use crate::ops::project::Project;
use crate::ops::{Change, PipelineError, Services, report};
use crate::sys::file_at;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Where to look for Model.toml.
    pub start: PathBuf,
    /// The git revision to compare with.
    pub revision: String,
}

/// The answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// From that revision to the lock on disk.
    pub changes: Vec<Change>,
}

/// Largest Model.lock that is read, in bytes.
const MAX_LOCK: u64 = 64 << 20;

/// Does it.
///
/// # Errors
/// `E0920` for a revision without a lock, and locks that don't parse.
pub fn run(_services: &Services, request: &Request) -> Result<Outcome, PipelineError> {
    let project = Project::open(&request.start)?;
    let fail = |problem: String| PipelineError::NoRevision { revision: request.revision.clone(), problem };
    let bytes = file_at(&project.folder.join("Model.lock"), &request.revision, MAX_LOCK)
        .map_err(|error| fail(error.problem))?
        .ok_or_else(|| fail("that commit holds none".to_owned()))?;
    let text = String::from_utf8(bytes).map_err(|_| fail("it is not UTF-8 text".to_owned()))?;
    let before = whole(Lock::parse(&text)?);
    Ok(Outcome { changes: report::changes(Some(&before), &project.whole_lock()?) })
}

fn whole(found: Found) -> Lock {
    match found {
        Found::Whole(lock) | Found::Conflict { merged: lock } => lock,
    }
}
