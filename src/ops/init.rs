//! `mpm init`: a fresh Model.toml.

use std::path::{Path, PathBuf};

use crate::manifest;
use crate::ops::ProjectError;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The folder; made if it is missing.
    pub folder: PathBuf,
    /// The project's name; none: the folder's.
    pub name: Option<String>,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The new Model.toml.
    pub manifest: PathBuf,
}

/// Does it.
///
/// # Errors
/// `E0903`, `E0904`.
pub fn run(request: &Request) -> Result<Outcome, ProjectError> {
    let manifest = request.folder.join("Model.toml");
    if manifest.symlink_metadata().is_ok() {
        return Err(ProjectError::Exists { path: manifest });
    }
    let fail = |source| ProjectError::Write { path: request.folder.clone(), source };
    std::fs::create_dir_all(&request.folder).map_err(fail)?;
    let name = request.name.clone().unwrap_or_else(|| name_of(&request.folder));
    super::project::write(&manifest, manifest::new_manifest(&name).as_bytes())?;
    write_attributes(&request.folder)?;
    Ok(Outcome { manifest })
}

/// The lock is generated: reviewers fold it, and git never converts its line ends.
pub(super) fn write_attributes(folder: &Path) -> Result<(), ProjectError> {
    let attributes = folder.join(".gitattributes");
    if attributes.symlink_metadata().is_ok() {
        return Ok(());
    }
    let text = "Model.lock text eol=lf linguist-generated=true\nModel.lock.d/** -text linguist-generated=true\n";
    super::project::write(&attributes, text.as_bytes())
}

/// The folder's own name.
pub(super) fn name_of(folder: &Path) -> String {
    folder.file_name().map_or_else(|| "project".to_owned(), |name| name.to_string_lossy().into_owned())
}
