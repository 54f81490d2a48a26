//! `mpm diff`: what a change of the lock means.

use std::path::PathBuf;

use crate::ops::{Change, PipelineError, Services};

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

/// Does it.
///
/// # Errors
/// Those of the stages that it goes through.
pub fn run(services: &Services, request: &Request) -> Result<Outcome, PipelineError> {
    todo!()
}
