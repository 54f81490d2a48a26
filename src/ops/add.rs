//! `mpm add`: names into Model.toml, resolved, locked and placed in one go.

use std::path::PathBuf;

use crate::model::{DependencyKey, GroupName, PackageName, RegistryId, Requirement, VariantName};
use crate::ops::{PipelineError, Services, sync};

/// One thing to add: `NAME[@REQUIREMENT]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The package.
    pub name: PackageName,
    /// Which versions; none: compatible with the newest.
    pub requirement: Option<Requirement>,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What to add.
    pub items: Vec<Item>,
    /// Key instead of the name; only with one item.
    pub key: Option<DependencyKey>,
    /// The group.
    pub group: Option<GroupName>,
    /// The registry, if it must be named.
    pub registry: Option<RegistryId>,
    /// Variants.
    pub variants: Vec<VariantName>,
    /// Make the project where there is none.
    pub init: bool,
    /// Stop when the lock is written.
    pub no_sync: bool,
    /// The rest: project, choice, rules.
    pub sync: sync::Request,
}

/// One thing that was added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Added {
    /// Its key.
    pub key: DependencyKey,
    /// The requirement as written.
    pub requirement: String,
    /// The registry that answers it.
    pub registry: RegistryId,
    /// Whether the registry was written down with it.
    pub registry_written: bool,
}

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Whether Model.toml was made.
    pub created: bool,
    /// What was added.
    pub added: Vec<Added>,
    /// What followed.
    pub sync: sync::Outcome,
}

/// Does it.
///
/// # Errors
/// Those of the stages that it goes through.
pub fn run(services: &Services, request: &Request) -> Result<Outcome, PipelineError> {
    todo!()
}
