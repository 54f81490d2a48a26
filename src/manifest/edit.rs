//! Edits of Model.toml that keep comments and order.

use crate::manifest::ManifestError;
use crate::model::{
    DependencyKey, GroupName, Namespace, PackageKind, PackageName, RegistryId, Requirement, Sha256, VariantName,
};

/// A dependency to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDependency {
    /// Its key.
    pub key: DependencyKey,
    /// Which table.
    pub kind: PackageKind,
    /// Which group, if any.
    pub group: Option<GroupName>,
    /// The package, if the key is another.
    pub package: Option<PackageName>,
    /// Which versions.
    pub requirement: Requirement,
    /// The registry, if it must be named.
    pub registry: Option<RegistryId>,
    /// Variants asked for.
    pub variants: Vec<VariantName>,
}

/// A registry to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRegistry {
    /// Its id.
    pub id: RegistryId,
    /// The address as written in the file.
    pub index: String,
    /// Digest of its first root.
    pub root: Sha256,
    /// Names that only it may answer.
    pub namespaces: Vec<Namespace>,
}

/// The text of a fresh Model.toml.
pub fn new_manifest(name: &str) -> String {
    todo!()
}

/// Adds or replaces a dependency, comments kept.
///
/// # Errors
/// A text that does not parse.
pub fn add_dependency(text: &str, dependency: &NewDependency) -> Result<String, ManifestError> {
    todo!()
}

/// Adds a registry.
///
/// # Errors
/// A text that does not parse.
pub fn add_registry(text: &str, registry: &NewRegistry) -> Result<String, ManifestError> {
    todo!()
}

/// Removes a dependency from every table that has it; `None` if none does.
///
/// # Errors
/// A text that does not parse.
pub fn remove_dependency(
    text: &str,
    key: &DependencyKey,
    group: Option<&GroupName>,
) -> Result<Option<String>, ManifestError> {
    todo!()
}
