//! `mpm run`: the environment in which a command finds what was placed.

use std::path::PathBuf;

use crate::ops::{PipelineError, Services};

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Where to look for Model.toml.
    pub start: PathBuf,
}

/// The answer: the caller replaces itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Variables to set.
    pub variables: Vec<(String, String)>,
}

/// Does it.
///
/// # Errors
/// Those of the stages that it goes through.
pub fn run(services: &Services, request: &Request) -> Result<Outcome, PipelineError> {
    todo!()
}
