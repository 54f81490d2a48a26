//! `mpm run`: the environment in which a command finds what was placed.

use std::path::PathBuf;

use crate::config::LinkMode;
use crate::install::Site;
use crate::ops::project::Project;
use crate::ops::{PipelineError, Services, report};
use crate::store::Store;

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
/// `E0919` where a dependency outside groups is not placed as the lock says.
pub fn run(services: &Services, request: &Request) -> Result<Outcome, PipelineError> {
    let project = Project::open(&request.start)?;
    let lock = project.whole_lock()?;
    let reasons = crate::lock::check(&project.manifest, &lock);
    if !reasons.is_empty() {
        return Err(PipelineError::Stale { reasons: reasons.iter().map(ToString::to_string).collect() });
    }
    let store = Store::open(&services.folders.store)?;
    let receipt = Site { project: &project.folder, store: &store, link: LinkMode::Auto }.receipt()?.unwrap_or_default();
    let mut variables = vec![("MPM_PROJECT".to_owned(), project.folder.to_string_lossy().into_owned())];
    for ((key, group), target) in &lock.direct {
        let id = report::target_id(target);
        let placed =
            receipt.packages.iter().find(|placed| placed.key.as_deref() == Some(key.as_str()) && placed.id == id);
        match placed {
            Some(placed) => {
                let folder = placed.folder.under(&project.folder);
                variables.push((variable(key.as_str()), folder.to_string_lossy().into_owned()));
            }
            None if group.is_none() => return Err(PipelineError::NotPlaced { key: key.to_string() }),
            None => {}
        }
    }
    variables.sort();
    Ok(Outcome { variables })
}

/// `acme/mini-lm` becomes `MPM_PATH_ACME__MINI_LM`.
fn variable(key: &str) -> String {
    let word = |part: &str| -> String {
        part.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
    };
    format!("MPM_PATH_{}", key.split('/').map(word).collect::<Vec<_>>().join("__"))
}

#[cfg(test)]
mod tests {
    use super::variable;

    #[test]
    fn keys_become_variables() {
        assert_eq!(variable("acme/mini-lm"), "MPM_PATH_ACME__MINI_LM");
        assert_eq!(variable("qwen"), "MPM_PATH_QWEN");
    }
}
