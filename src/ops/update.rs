//! `mpm update`: newer versions within the requirements, in the lock alone.

use std::path::PathBuf;
use std::time::Duration;

use crate::model::PackageName;
use crate::ops::{Accepted, Change, PipelineError, Services};

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
/// Those of the stages that it goes through.
pub fn run(services: &Services, request: &Request) -> Result<Outcome, PipelineError> {
    todo!()
}
