//! `mpm bundle list` and `mpm bundle verify`: what a bundle holds, and whether it is right. Unpacks nothing, opens no socket.

use std::path::PathBuf;

use crate::bundle::Bundle;
use crate::index::World;
use crate::mirror::{self, Inspected, Inspection, MirrorError};
use crate::model::Sha256;
use crate::ops::{PipelineError, Services};

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The file, the volumes, or the folder, absolute.
    pub files: Vec<PathBuf>,
    /// The root that the registry in it must have; none: the one that the bundle says.
    pub root: Option<Sha256>,
    /// Whether every entry is hashed.
    pub hash: bool,
}

/// What was seen.
#[derive(Debug)]
pub struct Outcome {
    /// The bundle.
    pub bundle: Bundle,
    /// What is in it.
    pub inspected: Inspected,
}

/// Looks.
///
/// # Errors
/// `E1080` to `E1084`: it can't be read; `E1014`: of another root; its head does not count.
pub fn run(services: &Services, request: &Request) -> Result<Outcome, PipelineError> {
    let bundle = Bundle::open(&request.files).map_err(MirrorError::from)?;
    let head = &bundle.table().head;
    let root = request.root.unwrap_or(head.root);
    let how = Inspection {
        besides: None,
        lent: &|_| None,
        hash: request.hash,
        cancel: &services.cancel,
        progress: &*services.progress,
    };
    let inspected = mirror::inspect(&bundle, (&head.registry, root), &world(services), &how)?;
    Ok(Outcome { bundle, inspected })
}

/// What reading works with.
pub(super) fn world(services: &Services) -> World<'_> {
    World {
        http: &services.http,
        trust: services.folders.trust.clone(),
        cache: services.folders.cache.clone(),
        now: services.now,
        progress: &*services.progress,
    }
}
