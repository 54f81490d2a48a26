//! `mpm verify`: every placed file and every blob is what it was.

use std::path::PathBuf;
use std::time::Duration;

use crate::install::Altered;
use crate::ops::{PipelineError, Services};
use crate::store::BadBlob;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Where to look for Model.toml.
    pub start: PathBuf,
    /// Mend what is bad.
    pub repair: bool,
    /// Only the store.
    pub store_only: bool,
    /// How long to wait for somebody else's lease.
    pub wait: Duration,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Files of the project that were hashed.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Blobs of the store that were hashed.
    pub blobs: u64,
    /// Their bytes.
    pub blob_bytes: u64,
    /// Files that are not as they were placed.
    pub altered: Vec<Altered>,
    /// Blobs that are not what their name says.
    pub bad_blobs: Vec<BadBlob>,
    /// Whether everything bad was mended.
    pub repaired: bool,
}

impl Outcome {
    /// Whether anything is bad and was not mended: exit code 4.
    pub fn is_bad(&self) -> bool {
        !self.repaired && !(self.altered.is_empty() && self.bad_blobs.is_empty())
    }
}

/// Does it.
///
/// # Errors
/// Those of the stages that it goes through.
pub fn run(services: &Services, request: &Request) -> Result<Outcome, PipelineError> {
    todo!()
}
