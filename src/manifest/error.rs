//! Why Model.toml is refused.

use crate::diagnose::{Class, Code, Diagnose, Hint};
use crate::model::tables::{Spot, TomlError};
use crate::model::{NameError, PackageName, RegistryId};

/// Why Model.toml is refused.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not TOML, an unknown or missing key, a value of the wrong type or one that breaks a rule.
    #[error(transparent)]
    Toml(#[from] TomlError),
    /// A word that the format knows and this version does not do.
    #[error("{spot}: {key:?} is not built yet")]
    NotBuilt {
        /// Where.
        spot: Spot,
        /// The key.
        key: String,
    },
    /// A setting that a project may never make.
    #[error("{spot}: a project's file can't set {key:?}")]
    Misplaced {
        /// Where.
        spot: Spot,
        /// The key.
        key: String,
        /// Where it belongs.
        belongs: &'static str,
    },
    /// The same key twice.
    #[error("{spot}: the dependency {key:?} stands in {first} too, and {rule}")]
    Twice {
        /// Where the second one is.
        spot: Spot,
        /// The key.
        key: String,
        /// Where the first one is.
        first: String,
        /// The rule that it breaks.
        rule: &'static str,
    },
    /// Two registries claim what only one can have.
    #[error("{spot}: the registries \"{first}\" and \"{second}\" both have {what}")]
    TwoRegistries {
        /// Where the second one is.
        spot: Spot,
        /// The first.
        first: RegistryId,
        /// The second.
        second: RegistryId,
        /// What both have.
        what: String,
    },
    /// A name of something that this file does not have.
    #[error("{spot}: {key} names {found:?}, which is not {expected}")]
    NoSuch {
        /// Where.
        spot: Spot,
        /// The key that holds the name.
        key: String,
        /// The name.
        found: String,
        /// What the name should be.
        expected: &'static str,
        /// What would do, nearest first.
        nearest: Vec<String>,
    },
    /// Two keys that can't stand together.
    #[error("{spot}: {key:?} can't stand beside {beside:?}")]
    Conflict {
        /// Where.
        spot: Spot,
        /// The key.
        key: String,
        /// The other.
        beside: &'static str,
    },
    /// More dependencies than are read.
    #[error("Model.toml has {found} dependencies, at most {limit} are read")]
    TooMany {
        /// How many.
        found: usize,
        /// How many may be.
        limit: usize,
    },
    /// Nothing says which registry answers a name.
    #[error("no registry answers {name}: {}", listed(registries))]
    NoRegistry {
        /// The package.
        name: PackageName,
        /// The registries that are configured.
        registries: Vec<RegistryId>,
    },
    /// A dependency names a registry that is not configured.
    #[error("{name} asks for the registry \"{named}\", which Model.toml does not have: {}", listed(registries))]
    UnknownRegistry {
        /// The package.
        name: PackageName,
        /// The registry asked for.
        named: RegistryId,
        /// The registries that are configured.
        registries: Vec<RegistryId>,
    },
}

/// A rule of this format that a single value breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Rule {
    /// An index address of no known kind.
    #[error(
        "{found:?} is no index address: write \"builtin\", sparse+https://…, git+https://…, git+ssh://…, git+file://… or \
         a folder"
    )]
    Index { found: String },
    /// A later root of another shape.
    #[error("{found:?} is no later root: write \"4:sha256:…\"")]
    RootAt { found: String },
    /// A folder that breaks a rule.
    #[error("{found:?} is no folder: {rule}")]
    Folder { found: String, rule: &'static str },
    /// A place that belongs to something else.
    #[error("{found:?} lies in what belongs to the project or to other tools")]
    Reserved { found: String },
    /// A text that must say something.
    #[error("the text is empty, longer than 1000 characters or holds control characters")]
    Text,
    /// An unsafe release of another shape.
    #[error(
        "{found:?} is no release: write \"namespace/name@version\", or \"hf:ID@COMMIT\" for a repository of the hub"
    )]
    Release { found: String },
    /// Neither allowed nor denied.
    #[error("{found:?} is neither \"allow\" nor \"deny\"")]
    Unsigned { found: String },
    /// A list that must hold something.
    #[error("the list is empty")]
    Empty,
    /// A layout that nobody knows.
    #[error("{found:?} is no layout: known is \"huggingface\"")]
    Layout { found: String },
    /// A layout that stands in the list already.
    #[error("the layout stands in the list twice")]
    LayoutTwice,
    /// A registry id that means something else in Model.lock.
    #[error("the registry id {found:?} is reserved")]
    RegistryId { found: String },
    /// A key that would have to be a package's name.
    #[error("the key is no package name; a key of your own needs package = \"namespace/name\"")]
    KeyIsNoPackage {
        #[source]
        source: NameError,
    },
    /// A variant without files.
    #[error("a variant needs dir or include")]
    NoFiles,
    /// A published version with build metadata.
    #[error("the version {found} has build metadata, which releases do not have")]
    BuildMetadata { found: String },
}

fn listed(registries: &[RegistryId]) -> String {
    let names: Vec<&str> = registries.iter().map(RegistryId::as_str).collect();
    if names.is_empty() { "none is configured".to_owned() } else { format!("configured are {}", names.join(", ")) }
}

impl ManifestError {
    /// Where it is, if it is in one place.
    pub fn spot(&self) -> Option<&Spot> {
        match self {
            Self::Toml(error) => error.spot(),
            Self::NotBuilt { spot, .. }
            | Self::Misplaced { spot, .. }
            | Self::Twice { spot, .. }
            | Self::TwoRegistries { spot, .. }
            | Self::NoSuch { spot, .. }
            | Self::Conflict { spot, .. } => Some(spot),
            Self::TooMany { .. } | Self::NoRegistry { .. } | Self::UnknownRegistry { .. } => None,
        }
    }
}

impl Diagnose for ManifestError {
    fn code(&self) -> Code {
        Code(match self {
            Self::Toml(TomlError::TooLarge { .. } | TomlError::Syntax { .. }) => "E0301",
            Self::Toml(TomlError::UnknownKey { .. }) => "E0302",
            Self::Toml(TomlError::MissingKey { .. } | TomlError::WrongType { .. }) => "E0303",
            Self::Toml(TomlError::Value { .. }) => "E0304",
            Self::NotBuilt { .. } => "E0305",
            Self::Misplaced { .. } => "E0306",
            Self::Twice { .. } => "E0307",
            Self::TwoRegistries { .. } => "E0308",
            Self::NoSuch { .. } => "E0309",
            Self::Conflict { .. } => "E0310",
            Self::TooMany { .. } => "E0311",
            Self::NoRegistry { .. } => "E0312",
            Self::UnknownRegistry { .. } => "E0313",
        })
    }

    fn class(&self) -> Class {
        Class::Yours
    }

    fn hints(&self) -> Vec<Hint> {
        let mut hints: Vec<Hint> = self.spot().and_then(Spot::snippet).map(Hint::Note).into_iter().collect();
        let near: &[String] = match self {
            Self::Toml(error) => error.nearest(),
            Self::NoSuch { nearest, .. } => nearest,
            _ => &[],
        };
        if !near.is_empty() {
            hints.push(Hint::Note(format!("did you mean {}?", near.join(" or "))));
        }
        match self {
            Self::Misplaced { belongs, .. } => hints.push(Hint::Note(format!("it belongs in {belongs}"))),
            Self::NoRegistry { name, registries } if !registries.is_empty() => hints.push(Hint::Note(format!(
                "write registry = \"…\" at {name}, or its namespace {:?} into the registry's namespaces",
                name.namespace().as_str()
            ))),
            Self::NoRegistry { .. } => hints.push(Hint::Add {
                file: "Model.toml",
                lines: "[registries.NAME]\nindex = \"sparse+https://…\"\nroot = \"sha256:…\"".to_owned(),
            }),
            Self::UnknownRegistry { named, .. } => hints.push(Hint::Add {
                file: "Model.toml",
                lines: format!("[registries.{named}]\nindex = \"sparse+https://…\"\nroot = \"sha256:…\""),
            }),
            _ => {}
        }
        hints
    }
}
