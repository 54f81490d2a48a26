//! Authoring an index: roots, namespaces, releases, yanks, checkpoints (docs/formats/index.md).
//!
//! Works on a folder of files; git is the user's business. Refuses to know networks and projects.

use std::path::{Path, PathBuf};

use crate::diagnose::{Class, Code, Diagnose};

/// Why an index can't be written.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// Placeholder variant; the room's owner replaces it.
    #[error("placeholder")]
    Placeholder,
}

impl Diagnose for RegistryError {
    fn code(&self) -> Code {
        Code("E0821")
    }
    fn class(&self) -> Class {
        Class::Yours
    }
}
