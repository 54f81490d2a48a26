//! `mpm path`: where a dependency lies.

use std::path::PathBuf;

use crate::model::DependencyKey;
use crate::ops::{PipelineError, Services};

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Where to look for Model.toml.
    pub start: PathBuf,
    /// The key.
    pub key: DependencyKey,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The folder, absolute.
    pub folder: PathBuf,
}

/// Does it.
///
/// # Errors
/// Those of the stages that it goes through.
pub fn run(services: &Services, request: &Request) -> Result<Outcome, PipelineError> {
    todo!()
}
