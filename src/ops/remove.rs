//! `mpm remove`: keys out of Model.toml, with what they brought.

use crate::manifest::{self, Manifest};
use crate::model::{DependencyKey, GroupName, nearest};
use crate::ops::pipeline::{self, Reach, Released, Wish};
use crate::ops::project::Project;
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
/// `E0912`, and those of the stages that follow.
pub fn run(services: &Services, request: &Request) -> Result<Outcome, PipelineError> {
    let mut project = Project::open(&request.sync.start)?;
    let _lease = if request.sync.dry_run { None } else { Some(project.lease(services, request.sync.wait)?) };
    project = Project::open(&project.folder)?;
    let mut text = project.manifest_text.clone();
    for key in &request.keys {
        text = manifest::remove_dependency(&text, key, request.group.as_ref())?
            .ok_or_else(|| unknown(&project.manifest, key))?;
    }
    project.manifest = Manifest::parse(&text)?;
    project.manifest_text = text;
    let reach = if request.no_sync { Reach::Lock } else { Reach::Place };
    let wish = Wish { request: &request.sync, released: Released::default(), reach, manifest_changed: true };
    let sync = pipeline::run(services, &project, &wish)?;
    Ok(Outcome { removed: request.keys.clone(), sync })
}

/// The error for a key that Model.toml does not have.
pub(super) fn unknown(manifest: &Manifest, key: &DependencyKey) -> PipelineError {
    let keys: Vec<&str> = manifest.dependencies.iter().map(|dependency| dependency.key.as_str()).collect();
    let near = nearest(key.as_str(), keys).into_iter().map(str::to_owned).collect();
    PipelineError::UnknownKey { key: key.to_string(), near }
}
