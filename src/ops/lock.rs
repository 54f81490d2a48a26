//! `mpm lock`: Model.lock answers Model.toml; `--check` says why it does not.

use std::path::PathBuf;
use std::time::Duration;

use crate::ops::{Accepted, Change, LockRule, PipelineError, Services};

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
/// Those of the stages that it goes through.
pub fn run(services: &Services, request: &Request) -> Result<Outcome, PipelineError> {
    todo!()
}
