//! `mpm mirror verify` and `mpm mirror status`: what a mirror's folder holds, and whether it is right. Opens no socket.

use std::path::PathBuf;

use crate::mirror::{Depth, Destination, MirrorError, Survey, survey};
use crate::model::Sha256;
use crate::ops::{PipelineError, Services};

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The folder, absolute.
    pub folder: PathBuf,
    /// The root that the mirror must have; none: the one that it says it has.
    pub root: Option<Sha256>,
    /// How closely to look.
    pub depth: Depth,
}

/// Looks.
///
/// # Errors
/// `E1001`: it is no mirror; `E1002`: of another root; its head does not count; it can't be read.
pub fn run(services: &Services, request: &Request) -> Result<Survey, PipelineError> {
    let destination = Destination::existing(&request.folder)?;
    if let Some(root) = request.root.filter(|root| *root != destination.root()) {
        let (path, registry, found) = (request.folder.clone(), destination.id().clone(), destination.id().clone());
        return Err(MirrorError::OtherRegistry { path, registry, root, found, found_root: destination.root() }.into());
    }
    let (http, progress) = (&services.http, &*services.progress);
    Ok(survey(destination, request.depth, services.now, http, &services.cancel, progress)?)
}
