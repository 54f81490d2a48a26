//! `mpm info`: what a registry says about a package.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::model::{Fingerprint, PackageKind, PackageName, RegistryId, Requirement, Timestamp, Version};
use crate::ops::{PipelineError, Services};
use crate::statement::Statement;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Where to look for Model.toml; there may be none.
    pub start: PathBuf,
    /// The package.
    pub name: PackageName,
    /// Which version; none: the newest that is not yanked.
    pub requirement: Option<Requirement>,
    /// The registry, if it must be named.
    pub registry: Option<RegistryId>,
}

/// One version in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionLine {
    /// The version.
    pub version: Version,
    /// When the index admitted it.
    pub admitted: Timestamp,
    /// Bytes of all files.
    pub bytes: u64,
    /// Why it is yanked, if it is: severity and reason.
    pub yanked: Option<(String, String)>,
}

/// One variant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VariantLine {
    /// Its name.
    pub name: String,
    /// Whether it is the default.
    pub default: bool,
    /// Its properties, in words.
    pub properties: Vec<String>,
    /// Bytes with the common files; none where file lists were not read.
    pub bytes: Option<u64>,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The registry that answered.
    pub registry: RegistryId,
    /// The chosen version's statement.
    pub statement: Statement,
    /// Who signed it.
    pub signers: BTreeSet<Fingerprint>,
    /// Its variants.
    pub variants: Vec<VariantLine>,
    /// All versions, newest first.
    pub versions: Vec<VersionLine>,
    /// Model or dataset.
    pub kind: PackageKind,
}

/// Does it.
///
/// # Errors
/// Those of the stages that it goes through.
pub fn run(services: &Services, request: &Request) -> Result<Outcome, PipelineError> {
    todo!()
}
