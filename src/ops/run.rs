//! `mpm run`: the environment in which a command finds what was placed.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::LinkMode;
use crate::install::{Receipt, Scrutiny, Site};
use crate::layout;
use crate::lock::Lock;
use crate::manifest::LayoutKind;
use crate::model::RelPath;
use crate::ops::pipeline;
use crate::ops::project::{self, Project};
use crate::ops::{PipelineError, Services, report, sync};
use crate::store::Store;

/// Variables that lead old transformers, sentence-transformers and llama.cpp elsewhere, each before the hub's own.
const ELSEWHERE: &[&str] = &[
    "TRANSFORMERS_CACHE",
    "PYTORCH_TRANSFORMERS_CACHE",
    "PYTORCH_PRETRAINED_BERT_CACHE",
    "SENTENCE_TRANSFORMERS_HOME",
    "LLAMA_CACHE",
];
/// Most reasons and files that a refusal names.
const SHOWN: usize = 5;
/// All ways of placing files: which one it was makes no receipt stale.
const LINKS: &[LinkMode] = &[LinkMode::Auto, LinkMode::Reflink, LinkMode::Hard, LinkMode::Symlink, LinkMode::Copy];

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
    /// Variables to remove.
    pub removed: Vec<&'static str>,
}

/// Does it.
///
/// # Errors
/// `E0919` where what is placed is not what Model.toml and Model.lock say.
pub fn run(services: &Services, request: &Request) -> Result<Outcome, PipelineError> {
    let project = Project::open(&request.start)?;
    let lock = project.whole_lock()?;
    let store = Store::open(&services.folders.store)?;
    let site = Site { project: &project.folder, store: &store, link: LinkMode::Auto };
    let receipt = site.receipt()?.unwrap_or_default();
    let mut variables = vec![("MPM_PROJECT".to_owned(), project.folder.to_string_lossy().into_owned())];
    for ((key, group), target) in &lock.direct {
        let id = report::target_id(target);
        let placed = receipt.package(key.as_str()).filter(|placed| placed.id == id);
        match placed {
            Some(placed) => {
                let folder = placed.folder.under(&project.folder);
                variables.push((variable(key.as_str()), folder.to_string_lossy().into_owned()));
            }
            None if group.is_none() => {
                return Err(PipelineError::NotPlaced { key: key.to_string() });
            }
            None => {}
        }
    }
    current(&project, &lock, &receipt)?;
    stands(services, &project, &site, &receipt)?;
    let mut removed = Vec::new();
    for declaration in &project.manifest.install.layouts {
        match declaration.kind {
            LayoutKind::HuggingFace => {
                variables.extend(huggingface(&project, &layout::root(declaration)));
                removed.extend(ELSEWHERE);
            }
        }
    }
    variables.sort();
    Ok(Outcome { variables, removed })
}

/// Whether the receipt answers manifest and lock as they stand. How files were linked does not count, nor does an edit
/// that decides nothing about them.
fn current(project: &Project, lock: &Lock, receipt: &Receipt) -> Result<(), PipelineError> {
    let stale = crate::lock::check(&project.manifest, lock);
    if !stale.is_empty() {
        return Err(PipelineError::NotCurrent { reasons: stale.iter().map(ToString::to_string).collect() });
    }
    let lock_text = project.lock_text.as_deref().unwrap_or_default();
    let inputs = |link: &LinkMode| {
        project::inputs(&project.manifest_text, lock_text, &pipeline::settings_text(&receipt.choice, *link))
    };
    let meaning = project::meaning(&project.manifest, lock, &receipt.choice);
    if receipt.meaning == Some(meaning) || LINKS.iter().any(|link| receipt.inputs == Some(inputs(link))) {
        if sync::names_all(project, lock, &receipt.choice, receipt) {
            return Ok(());
        }
        return Err(PipelineError::NotCurrent { reasons: vec!["the receipt leaves out files".to_owned()] });
    }
    Err(PipelineError::NotCurrent { reasons: vec!["they changed since files were placed".to_owned()] })
}

/// Whether what was placed is still there, by a quick look.
fn stands(services: &Services, project: &Project, site: &Site<'_>, receipt: &Receipt) -> Result<(), PipelineError> {
    let examined = site.examine(receipt, Scrutiny::Quick, &services.cancel, &*services.progress)?;
    if !examined.altered.is_empty() {
        let mut reasons: Vec<String> =
            examined.altered.iter().take(SHOWN).map(|file| format!("{}: {}", file.path, file.how)).collect();
        if let Some(more) = examined.altered.len().checked_sub(SHOWN).filter(|more| *more > 0) {
            reasons.push(format!("and {more} more files"));
        }
        return Err(PipelineError::NotCurrent { reasons });
    }
    // A receipt that came with the files is not made this disk's own: `sync` would believe it unread.
    if let (Some(refreshed), true) = (&examined.refreshed, examined.ours) {
        // Files that look otherwise were read; noted, they are not read again. Who holds the project notes it as well.
        if let Ok(_lease) = project.lease(services, Duration::ZERO) {
            site.write_receipt(refreshed)?;
        }
    }
    Ok(())
}

/// The cache, under the names that newer and older clients know, and no network: what is not there is an error, not a
/// download.
fn huggingface(project: &Project, root: &RelPath) -> [(String, String); 3] {
    let folder = root.under(&project.folder).to_string_lossy().into_owned();
    [
        ("HF_HUB_CACHE".to_owned(), folder.clone()),
        ("HUGGINGFACE_HUB_CACHE".to_owned(), folder),
        ("HF_HUB_OFFLINE".to_owned(), "1".to_owned()),
    ]
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
