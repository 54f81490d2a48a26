//! Git through gix: bare, no work tree, no hook, no filter; files from the object database of one commit.

use std::path::{Path, PathBuf};

use crate::diagnose::{Class, Code, Diagnose};
use crate::model::SafeUrl;

/// One commit of a repository, read in place.
pub struct Commit {
    folder: PathBuf,
}

/// Why git can't give it.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// Placeholder variant; the room's owner replaces it.
    #[error("placeholder")]
    Placeholder,
}

impl Diagnose for GitError {
    fn code(&self) -> Code {
        Code("E0161")
    }
    fn class(&self) -> Class {
        Class::Network
    }
}

/// Fetches the default branch into a side ref of the bare copy in `cache`, and opens its commit.
///
/// # Errors
/// The repository can't be reached or is no repository.
pub fn fetch(url: &SafeUrl, cache: &Path) -> Result<Commit, GitError> {
    todo!()
}
