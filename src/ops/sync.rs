//! `mpm sync`: the project holds exactly what its lock says.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::LinkMode;
use crate::install::Applied;
use crate::model::RelPath;
use crate::ops::{Accepted, Change, LockRule, PackageLine, PipelineError, Services, Travel};
use crate::select::Choice;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Where to look for Model.toml: here, then in the folders above.
    pub start: PathBuf,
    /// Groups, profile, keys.
    pub choice: Choice,
    /// Whether Model.lock may change.
    pub lock_rule: LockRule,
    /// How files come from the store; none: as configured.
    pub link: Option<LinkMode>,
    /// Look at every placed file by stat, not only at folders of large packages.
    pub check: bool,
    /// Only tell.
    pub dry_run: bool,
    /// Replace placed files that somebody changed.
    pub force: bool,
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
    /// Nothing had to be done.
    pub up_to_date: bool,
    /// Nothing was done: only told.
    pub dry_run: bool,
    /// What changed in the lock; empty: it stands as it was.
    pub lock_changes: Vec<Change>,
    /// Whether Model.lock was written.
    pub lock_written: bool,
    /// Bytes that travelled.
    pub travel: Travel,
    /// What was placed and removed.
    pub applied: Applied,
    /// Packages that the project now holds.
    pub packages: Vec<PackageLine>,
    /// Packages that were placed or changed by this run, by folder.
    pub changed: Vec<RelPath>,
    /// Packages that are gone, by id.
    pub removed: Vec<String>,
}

/// Does it.
///
/// # Errors
/// Those of the stages that it goes through.
pub fn run(services: &Services, request: &Request) -> Result<Outcome, PipelineError> {
    todo!()
}
