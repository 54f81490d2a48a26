//! `mpm remove`: keys out of Model.toml, with what they brought.

use crate::model::{DependencyKey, GroupName};
use crate::ops::{PipelineError, Services, sync};

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Keys to remove.
    pub keys: Vec<DependencyKey>,
    /// Only from this group.
    pub group: Option<GroupName>,
    /// Stop when the lock is written.
    pub no_sync: bool,
    /// The rest.
    pub sync: sync::Request,
}

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Keys removed.
    pub removed: Vec<DependencyKey>,
    /// What followed.
    pub sync: sync::Outcome,
}

/// Does it.
///
/// # Errors
/// Those of the stages that it goes through.
pub fn run(services: &Services, request: &Request) -> Result<Outcome, PipelineError> {
    todo!()
}
