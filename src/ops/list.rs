//! `mpm list`: what the lock holds and where it lies.

use std::path::PathBuf;

use crate::ops::{PackageLine, PipelineError, Services};
use crate::select::Choice;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Where to look for Model.toml.
    pub start: PathBuf,
    /// Groups, profile, keys.
    pub choice: Choice,
}

/// The answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// By name.
    pub packages: Vec<PackageLine>,
    /// Whether the project is placed as the lock says, as far as the receipt tells.
    pub placed: bool,
}

/// Does it.
///
/// # Errors
/// Those of the stages that it goes through.
pub fn run(services: &Services, request: &Request) -> Result<Outcome, PipelineError> {
    todo!()
}
