//! Why a folder can't be published.

use std::path::PathBuf;

use crate::diagnose::{Class, Code, Diagnose, Hint};
use crate::model::{PathError, RelPath, VariantName};
use crate::registry::RegistryError;
use crate::statement::StatementError;

/// Why a folder can't be published. What was published before is unchanged.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// A file or folder can't be read or written.
    #[error("{} can't be read or written", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// There is nothing to publish.
    #[error("{} holds no file to publish", folder.display())]
    Empty {
        /// The folder.
        folder: PathBuf,
    },
    /// A symlink, pipe, socket or device.
    #[error("{} is {what}; only regular files are published", path.display())]
    NotRegular {
        /// The path.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// A name that some platform can't create.
    #[error("{} can't be published under its name", path.display())]
    Path {
        /// The file.
        path: PathBuf,
        /// The rule that it breaks.
        #[source]
        source: PathError,
    },
    /// Files that can't live in one folder once they are installed.
    #[error("the files that {what} installs clash")]
    Clash {
        /// Which files.
        what: String,
        /// Which two.
        #[source]
        source: PathError,
    },
    /// A file that two variants claim.
    #[error("{file} belongs to variant {first} and to variant {second}; expected one at most")]
    TwoVariants {
        /// The file.
        file: RelPath,
        /// One variant.
        first: VariantName,
        /// The other.
        second: VariantName,
    },
    /// A variant without files.
    #[error("variant {variant} has no files")]
    EmptyVariant {
        /// The variant.
        variant: VariantName,
    },
    /// A default that is no variant.
    #[error("default-variant {variant} is not among the variants: {known}")]
    UnknownDefault {
        /// The default.
        variant: VariantName,
        /// The variants.
        known: String,
    },
    /// A script or library that nobody declared as code.
    #[error("{file} is code, and Model.toml does not declare it as such")]
    Code {
        /// The file.
        file: RelPath,
    },
    /// A file changed while it was being published.
    #[error("{} changed while it was being published", path.display())]
    FileChanged {
        /// The file.
        path: PathBuf,
    },
    /// The statement would break a rule of its format.
    #[error("the release statement would break a rule")]
    Statement(#[from] StatementError),
    /// Somebody wished to stop.
    #[error("stopped")]
    Stopped,
    /// The index can't take it.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

impl Diagnose for PublishError {
    fn code(&self) -> Code {
        Code(match self {
            Self::File { .. } => "E0851",
            Self::Empty { .. } => "E0852",
            Self::NotRegular { .. } => "E0853",
            Self::Path { .. } => "E0854",
            Self::Clash { .. } => "E0855",
            Self::TwoVariants { .. } => "E0856",
            Self::EmptyVariant { .. } => "E0857",
            Self::UnknownDefault { .. } => "E0858",
            Self::Code { .. } => "E0859",
            Self::FileChanged { .. } => "E0860",
            Self::Stopped => "E0861",
            Self::Statement(source) => return source.code(),
            Self::Registry(source) => return source.code(),
        })
    }

    fn class(&self) -> Class {
        match self {
            Self::Code { .. } => Class::Policy,
            Self::Stopped => Class::Interrupted,
            Self::Registry(source) => source.class(),
            _ => Class::Yours,
        }
    }

    fn hints(&self) -> Vec<Hint> {
        let unchanged = Hint::Note("nothing was published".to_owned());
        match self {
            Self::Code { file } => {
                vec![Hint::Add { file: "Model.toml", lines: format!("[package]\ncode = [\"{file}\"]") }, unchanged]
            }
            Self::FileChanged { .. } => vec![Hint::Run("mpm publish".to_owned()), unchanged],
            Self::Registry(source) => source.hints(),
            _ => vec![unchanged],
        }
    }
}
