//! What a machine remembers of a registry, under its first root.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::index::IndexError;
use crate::model::{Fingerprint, Pin, Sha256};
use crate::statement::Statement;
use crate::trust::Revocations;

/// The memory of one registry, read from disk.
#[derive(Debug, Clone)]
pub struct Memory {
    folder: PathBuf,
}

impl Memory {
    /// Reads the memory of the registry with this first root; empty if there is none.
    ///
    /// # Errors
    /// It can't be read or is damaged.
    pub fn load(trust: &Path, root: &Sha256) -> Result<Self, IndexError> {
        todo!()
    }

    /// Revocations of the newest registrar file that was verified.
    pub fn revocations(&self) -> &Revocations {
        todo!()
    }

    /// Who was verified to have signed a statement under this root, on this machine. The store is shared between
    /// registries; this record is what says that a stored statement counts for this one.
    ///
    /// # Errors
    /// The record can't be read.
    pub fn verified(&self, statement: &Sha256) -> Result<Option<BTreeSet<Fingerprint>>, IndexError> {
        todo!()
    }
}
