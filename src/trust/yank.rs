//! Yank records: why a release is not taken by new resolutions.

use crate::catalog::YankAction;
use crate::model::{PackageName, RegistryId, Sha256, Version};
use crate::trust::TrustError;

/// Largest yank record, in bytes.
pub const MAX_YANK: u64 = 16 * 1024;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Something better exists.
    Notice,
    /// It does not work as promised.
    Broken,
    /// It does harm.
    Malicious,
}

/// A yank record's content; signed by a threshold of publishers or registrars.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct YankRecord {
    /// The registry's label.
    pub registry: RegistryId,
    /// The package.
    pub package: PackageName,
    /// Its version.
    pub version: Version,
    /// The statement that is meant.
    pub statement: Sha256,
    /// Yank or unyank.
    pub action: YankAction,
    /// Why, at most 1 KiB, for people; shown escaped.
    pub reason: String,
    /// How bad.
    pub severity: Severity,
    /// Rises with each record about this version.
    pub counter: u64,
}

impl YankRecord {
    /// Parses a record.
    ///
    /// # Errors
    /// A shape or rule that is broken.
    pub fn parse(bytes: &[u8]) -> Result<Self, TrustError> {
        todo!()
    }

    /// The fixed form.
    pub fn render(&self) -> Vec<u8> {
        todo!()
    }
}
