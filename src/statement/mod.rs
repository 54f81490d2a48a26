//! Release statements and file lists: what a publisher promises about one release (docs/formats/statement.md).
//!
//! Pure: bytes in, values out. Refuses to know who signed, or where bytes come from.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

mod error;
mod files;
mod packs;
mod rules;
#[cfg(test)]
mod tests;
mod wire;

use std::collections::BTreeMap;

use crate::model::{
    HubCommit, HubRepository, PackageKind, PackageName, Pin, RegistryId, Requirement, Sha256, VariantName, Version,
};

pub use error::{FieldError, StatementError};
pub use files::{
    FileEntry, Files, ListPin, MAX_CHUNK_INDEX, MAX_FILES, MAX_LISTS, ReleaseFiles, parse_list, render_list,
};
pub use packs::{MAX_PACK, MAX_PACKED, MAX_PACKS, PackPlace};
pub(crate) use rules::{cut, dependency_set, integer, sorted, version};
pub(crate) use wire::{DependencyWire, Unknown, bare_digest};
pub use wire::{MAX_INLINE_FILES, MAX_INTEGER, MAX_LIST, MAX_STATEMENT, MAX_VARIANTS};

/// A release statement: the only thing that authorises bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The registry that the release belongs to.
    pub registry: RegistryId,
    /// The package.
    pub name: PackageName,
    /// The version, without build metadata.
    pub version: Version,
    /// Model or dataset.
    pub kind: PackageKind,
    /// One line for people, if given.
    pub description: Option<String>,
    /// The licence, if given.
    pub licence: Option<Licence>,
    /// The variant that is installed when nobody names one.
    pub default_variant: Option<VariantName>,
    /// Named subsets of the files.
    pub variants: BTreeMap<VariantName, Variant>,
    /// The files, inline or in lists.
    pub files: Files,
    /// Blobs that small files travel in, sorted by digest.
    pub packs: Vec<Pin>,
    /// Packages that are installed along.
    pub dependencies: Vec<Dependency>,
    /// The release that this one was made from (adapters, fine-tunes).
    pub base_model: Option<Provenance>,
    /// The releases that this one was trained on.
    pub trained_on: Vec<Provenance>,
    /// Where the same files stand on the Hugging Face hub, if the publisher says so.
    pub upstream: Option<Upstream>,
}

/// A commit of a repository of the Hugging Face hub, of the release's own kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// The repository.
    pub repository: HubRepository,
    /// The commit.
    pub commit: HubCommit,
}

/// A licence as the publisher states it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Licence {
    /// An SPDX expression.
    pub expression: String,
    /// Digest of the licence text among the files, if given.
    pub text: Option<Sha256>,
}

/// Properties of a variant; each a short word or absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Variant {
    /// File format, such as `safetensors`.
    pub format: Option<String>,
    /// Number format, such as `bf16`.
    pub precision: Option<String>,
    /// Quantisation, such as `q4_k_m`.
    pub quantization: Option<String>,
}

/// What a dependency is for. All kinds are installed along.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DependencyKind {
    /// Needed to use the release.
    Requires,
    /// Needed, and what an adapter was made for.
    BaseModel,
}

impl DependencyKind {
    /// The word in files and output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requires => "requires",
            Self::BaseModel => "base-model",
        }
    }
}

/// Another package that a release needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// What for.
    pub kind: DependencyKind,
    /// The package.
    pub name: PackageName,
    /// The registry's id if it is not the statement's own.
    pub registry: Option<RegistryId>,
    /// Which versions.
    pub requirement: Requirement,
}

/// An exact release that this one came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provenance {
    /// The registry's id.
    pub registry: RegistryId,
    /// The package.
    pub name: PackageName,
    /// Its version.
    pub version: Version,
    /// Digest of its release statement.
    pub statement: Sha256,
}

impl Statement {
    /// Parses the bytes of a statement and checks every rule that needs nothing else: names, paths, uniqueness within
    /// common files plus each variant, the default variant, sums that do not overflow, order.
    ///
    /// # Errors
    /// `E0201` to `E0209`.
    pub fn parse(bytes: &[u8]) -> Result<Self, StatementError> {
        wire::parse(bytes)
    }

    /// The fixed form of this statement.
    pub fn render(&self) -> Vec<u8> {
        wire::render(self)
    }

    /// Compares what the statement says it is with what was asked for.
    ///
    /// # Errors
    /// `E0202`: another registry, package or version; the name as the index writes it.
    pub fn check_identity(
        &self,
        registry: &RegistryId,
        name: &PackageName,
        version: &Version,
    ) -> Result<(), StatementError> {
        let compare = |field, expected: String, found: String| {
            if expected == found { Ok(()) } else { Err(StatementError::Identity { field, expected, found }) }
        };
        compare("registry", registry.to_string(), self.registry.to_string())?;
        compare("name", name.to_string(), self.name.to_string())?;
        compare("version", version.to_string(), self.version.to_string())
    }

    /// Bytes of all files together.
    pub fn total_size(&self) -> u64 {
        self.files.total_size()
    }
}
