//! `mpm path`: where a dependency lies.

use std::path::PathBuf;

use crate::config::LinkMode;
use crate::install::Site;
use crate::model::DependencyKey;
use crate::ops::project::Project;
use crate::ops::{PipelineError, Services, remove, report};
use crate::store::Store;

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
/// `E0912` for a key that Model.toml does not have, `E0919` for one that is not placed as the lock says.
pub fn run(services: &Services, request: &Request) -> Result<Outcome, PipelineError> {
    let project = Project::open(&request.start)?;
    if !project.manifest.dependencies.iter().any(|dependency| dependency.key == request.key) {
        return Err(remove::unknown(&project.manifest, &request.key));
    }
    let lock = project.whole_lock()?;
    let store = Store::open(&services.folders.store)?;
    let receipt = Site { project: &project.folder, store: &store, link: LinkMode::Auto }.receipt()?.unwrap_or_default();
    let targets: Vec<String> = lock
        .direct
        .iter()
        .filter(|((key, _), _)| *key == request.key)
        .map(|(_, target)| report::target_id(target))
        .collect();
    let placed = receipt
        .packages
        .iter()
        .find(|placed| placed.key.as_deref() == Some(request.key.as_str()) && targets.contains(&placed.id));
    match placed {
        Some(placed) => Ok(Outcome { folder: placed.folder.under(&project.folder) }),
        None => Err(PipelineError::NotPlaced { key: request.key.to_string() }),
    }
}
