//! Model.toml: what a project needs, what it publishes, and where things go (docs/formats/manifest.md).
//!
//! Pure: text in, values out, with the line of every dependency. `edit` changes the text and keeps comments. Refuses to
//! know versions that exist, files and the lock.

mod dependency;
mod edit;
mod error;
mod parse;
mod publisher;
mod registry;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use crate::model::{
    Age, DependencyKey, Glob, GroupName, HubCommit, HubId, HubRepository, Namespace, PackageKind, PackageName,
    RegistryId, RelPath, Requirement, SafeUrl, Sha256, VariantName, Version,
};

pub use edit::{
    NewDependency, NewRegistry, NewSource, add_dependency, add_layout, add_registry, new_manifest, remove_dependency,
    set_requirement,
};
pub use error::ManifestError;
pub use registry::AddressError;

/// The parsed Model.toml.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Manifest {
    /// `[project] name`.
    pub project: Option<String>,
    /// `[registries]` by id.
    pub registries: BTreeMap<RegistryId, RegistryDeclaration>,
    /// All dependencies in file order.
    pub dependencies: Vec<Dependency>,
    /// `[profiles]`: for each profile, the variants it chooses by key.
    pub profiles: BTreeMap<String, BTreeMap<DependencyKey, Vec<VariantName>>>,
    /// `[install]`.
    pub install: InstallFolders,
    /// `[policy]`, as far as it is built.
    pub policy: PolicyDeclaration,
    /// `[package]` and `[variants]`.
    pub package: Option<PackageDeclaration>,
}

/// Where an index is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IndexAddress {
    /// Compiled into the binary.
    Builtin,
    /// `sparse+https://…` (or http where user configuration allows).
    Sparse(SafeUrl),
    /// `git+https`, `git+http`, `git+ssh`, `git+file`; the address without the prefix.
    Git(SafeUrl),
    /// A folder; relative to the project.
    Folder(String),
}

/// A registry as a project names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryDeclaration {
    /// Where its index is.
    pub index: IndexAddress,
    /// Digest of its first root.
    pub root: Sha256,
    /// A later root that must be met: number and digest.
    pub root_at: Option<(u64, Sha256)>,
    /// Names that only this registry may answer.
    pub namespaces: Vec<Namespace>,
    /// Whether it answers names that nobody claims.
    pub default: bool,
    /// Line of the table in Model.toml, from 1.
    pub line: usize,
}

/// Where a dependency comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DependencySource {
    /// A registry.
    Registry {
        /// The package.
        package: PackageName,
        /// Which versions.
        requirement: Requirement,
        /// The registry, if named.
        registry: Option<RegistryId>,
        /// Whether one version must serve every edge.
        unique: bool,
    },
    /// A folder, relative to the project (may begin with `../`).
    Path(String),
    /// A repository of the Hugging Face hub.
    Hub(HubId),
}

/// One dependency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// Its key: where it lands.
    pub key: DependencyKey,
    /// Which table it stands in.
    pub kind: PackageKind,
    /// The group, if it is in one.
    pub group: Option<GroupName>,
    /// Where it comes from.
    pub source: DependencySource,
    /// Variants asked for; empty: the default.
    pub variants: Vec<VariantName>,
    /// Only these paths; empty: all.
    pub include: Vec<Glob>,
    /// Not these paths; wins.
    pub exclude: Vec<Glob>,
    /// Where it lands instead of its key.
    pub to: Option<RelPath>,
    /// Line in Model.toml, from 1.
    pub line: usize,
}

/// `[install]`: where things land.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstallFolders {
    /// Folder of models.
    pub models: RelPath,
    /// Folder of datasets.
    pub datasets: RelPath,
    /// Layouts for other tools, each kind at most once.
    pub layouts: Vec<LayoutDeclaration>,
}

/// A layout: the same files placed as another tool expects them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LayoutKind {
    /// The cache of the Hugging Face hub's clients.
    HuggingFace,
}

/// An entry of `[install] layouts`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayoutDeclaration {
    /// Which.
    pub kind: LayoutKind,
    /// Its folder instead of the usual one.
    pub to: Option<RelPath>,
}

/// `[policy]`, as far as it is built.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PolicyDeclaration {
    /// Expired checkpoints stop `sync` too.
    pub require_fresh: bool,
    /// How long a release must have been in its index before it is picked, and the line that says so.
    pub minimum_age: Option<(Age, usize)>,
    /// Whether what nobody signed may be installed.
    pub unsigned: Unsigned,
    /// `[policy.unsafe]`, by what each entry is about.
    pub unsafe_releases: BTreeMap<UnsafeSubject, UnsafeAllowance>,
}

/// Whether sources, where nobody signs, may be used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Unsigned {
    /// They may.
    #[default]
    Allow,
    /// They may not.
    Deny,
}

/// What an entry of `[policy.unsafe]` is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum UnsafeSubject {
    /// One release: `namespace/name@version`.
    Release(PackageName, Version),
    /// One commit of a repository of the hub: `hf:ID@COMMIT`.
    Hub {
        /// Model or dataset.
        kind: PackageKind,
        /// The repository.
        repository: HubRepository,
        /// The commit.
        commit: HubCommit,
    },
}

/// What one release may carry although it can run code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsafeAllowance {
    /// The format words, such as `pickle`.
    pub formats: Vec<String>,
    /// Digest of the release statement, if pinned.
    pub sha256: Option<Sha256>,
    /// Why.
    pub reason: String,
    /// Line in Model.toml, from 1.
    pub line: usize,
}

/// `[package]`: what this project publishes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageDeclaration {
    /// The package.
    pub name: PackageName,
    /// The version.
    pub version: Version,
    /// Model or dataset.
    pub kind: PackageKind,
    /// One line for people.
    pub description: Option<String>,
    /// An SPDX expression.
    pub license: Option<String>,
    /// The folder that is published, relative to Model.toml.
    pub dir: RelPath,
    /// Keys among the dependencies that are installed along.
    pub requires: Vec<DependencyKey>,
    /// The key that this was made from.
    pub base_model: Option<DependencyKey>,
    /// Keys that this was trained on.
    pub trained_on: Vec<DependencyKey>,
    /// The variant that is installed when nobody names one.
    pub default_variant: Option<VariantName>,
    /// `[variants]`.
    pub variants: BTreeMap<VariantName, VariantDeclaration>,
    /// Globs of files declared as code.
    pub code: Vec<Glob>,
}

/// `[variants.NAME]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VariantDeclaration {
    /// A folder whose files appear without this prefix.
    pub dir: Option<RelPath>,
    /// Globs of its files.
    pub include: Vec<Glob>,
    /// File format.
    pub format: Option<String>,
    /// Number format.
    pub precision: Option<String>,
    /// Quantisation.
    pub quantization: Option<String>,
}

impl fmt::Display for UnsafeSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Release(name, version) => write!(f, "{name}@{version}"),
            Self::Hub { kind, repository, commit } => {
                let folder = if *kind == PackageKind::Dataset { "datasets/" } else { "" };
                write!(f, "hf:{folder}{repository}@{commit}")
            }
        }
    }
}

impl LayoutKind {
    /// All of them.
    pub const ALL: &[Self] = &[Self::HuggingFace];

    /// The word in files and output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HuggingFace => "huggingface",
        }
    }
}

impl Default for InstallFolders {
    #[expect(clippy::expect_used, reason = "two constant words are safe paths")]
    fn default() -> Self {
        let folder = |name| RelPath::parse(name).expect("a constant word is a safe path");
        Self { models: folder("models"), datasets: folder("datasets"), layouts: Vec::new() }
    }
}

impl Manifest {
    /// Parses Model.toml.
    ///
    /// # Errors
    /// `E0301` to `E0311`: syntax, unknown keys (with line, column and the nearest known key), words of features that are
    /// not built yet, settings that belong to the machine, dependencies and registries that clash.
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        parse::parse(text)
    }

    /// Which registry answers a name: the dependency's own, the one whose namespaces claim it, the default, the only one.
    ///
    /// # Errors
    /// `E0312` and `E0313`: none or several could; the error lists them.
    pub fn registry_for(&self, name: &PackageName, named: Option<&RegistryId>) -> Result<&RegistryId, ManifestError> {
        registry::registry_for(self, name, named)
    }
}
