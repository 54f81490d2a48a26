//! `mpm diff`: what a change of the lock means.

use std::path::{Path, PathBuf};

use crate::lock::{Found, Lock};
use crate::ops::project::{self, Project};
use crate::ops::{Change, PipelineError, Services, report};
use crate::sys::file_at;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Where to look for Model.toml.
    pub start: PathBuf,
    /// The git revision to compare with.
    pub from: String,
    /// The revision that is compared; none: the lock as it stands.
    pub to: Option<String>,
}

/// The answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// From the one to the other.
    pub changes: Vec<Change>,
}

/// Largest Model.lock that is read, in bytes.
const MAX_LOCK: u64 = 64 << 20;

/// Does it.
///
/// # Errors
/// `E0920` for a revision without a lock, and locks that don't parse.
pub fn run(_services: &Services, request: &Request) -> Result<Outcome, PipelineError> {
    let folder = project::find(&request.start)?;
    let before = lock_at(&folder, &request.from)?;
    let after = match &request.to {
        Some(revision) => lock_at(&folder, revision)?,
        None => Project::open(&folder)?.whole_lock()?,
    };
    Ok(Outcome { changes: report::changes(Some(&before), &after) })
}

/// The lock of a revision.
fn lock_at(folder: &Path, revision: &str) -> Result<Lock, PipelineError> {
    let fail = |problem: String| PipelineError::NoRevision { revision: revision.to_owned(), problem };
    let bytes = file_at(&folder.join("Model.lock"), revision, MAX_LOCK)
        .map_err(|error| fail(error.problem))?
        .ok_or_else(|| fail("that commit holds none".to_owned()))?;
    let text = String::from_utf8(bytes).map_err(|_| fail("it is not UTF-8 text".to_owned()))?;
    Ok(match Lock::parse(&text)? {
        Found::Whole(lock) | Found::Conflict { merged: lock } => lock,
    })
}
