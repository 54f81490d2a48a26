//! `mpm tree`: what leads to what.

use std::path::PathBuf;

use crate::ops::{PipelineError, Services};

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Where to look for Model.toml.
    pub start: PathBuf,
}

/// One line's node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The id, as in the lock.
    pub id: String,
    /// The key, for direct dependencies.
    pub key: Option<String>,
    /// The group, if any.
    pub group: Option<String>,
    /// Bytes of all files.
    pub bytes: u64,
    /// Seen above already: its children are not repeated.
    pub repeated: bool,
    /// What it leads to.
    pub children: Vec<Node>,
}

/// The answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The project's name.
    pub project: String,
    /// Direct dependencies.
    pub roots: Vec<Node>,
}

/// Does it.
///
/// # Errors
/// Those of the stages that it goes through.
pub fn run(services: &Services, request: &Request) -> Result<Outcome, PipelineError> {
    todo!()
}
