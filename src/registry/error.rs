//! Why an index can't be written.

use std::path::PathBuf;

use crate::catalog::{LogError, TreeError};
use crate::diagnose::{Class, Code, Diagnose, Hint};
use crate::keys::KeysError;
use crate::model::{Fingerprint, Namespace, PackageName, RegistryId, Sha256, Version};
use crate::statement::StatementError;
use crate::sys::LeaseError;
use crate::trust::TrustError;

/// Why an index can't be written. Whatever it says, `checkpoint.json` still stands as it did.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// Something in the folder can't be read or written, or is a symlink.
    #[error("registry file {} can't be used", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The folder holds no registry.
    #[error("{} holds no registry: it has no trust/root/1.json", folder.display())]
    NotARegistry {
        /// The folder.
        folder: PathBuf,
    },
    /// A registry would go where something stands.
    #[error("{} is not empty: {found} stands there", folder.display())]
    NotEmpty {
        /// The folder.
        folder: PathBuf,
        /// What stands there.
        found: String,
    },
    /// A file that never changes would change.
    #[error("{file} stands already with other bytes: expected sha256 {expected}, found {found}")]
    Immutable {
        /// The file.
        file: String,
        /// What would have been written.
        expected: Sha256,
        /// What stands there.
        found: Sha256,
    },
    /// A file is not there, though a signed file names it.
    #[error("{file} is missing, though a signed file names it")]
    Missing {
        /// The file.
        file: String,
    },
    /// A file has other bytes than a signed file says.
    #[error("{file} was changed: expected sha256 {expected}, found {found}")]
    Changed {
        /// The file.
        file: String,
        /// What is pinned.
        expected: Sha256,
        /// What was found.
        found: Sha256,
    },
    /// A trust file is refused.
    #[error("trust file {file} is refused")]
    Trust {
        /// The file.
        file: String,
        /// Why.
        #[source]
        source: TrustError,
    },
    /// The checkpoint that stands is not this registry's.
    #[error("checkpoint.json is not signed by an index key of any root of this registry")]
    ForeignCheckpoint,
    /// A log is refused.
    #[error("log {file} is refused")]
    Log {
        /// The file.
        file: String,
        /// Why.
        #[source]
        source: LogError,
    },
    /// A tree is refused.
    #[error("the hash tree is refused")]
    Tree(#[from] TreeError),
    /// A statement is refused.
    #[error("statement {file} is refused")]
    Statement {
        /// The file.
        file: String,
        /// Why.
        #[source]
        source: StatementError,
    },
    /// Nobody may publish in a namespace.
    #[error("registry {registry} knows no namespace {namespace}")]
    UnknownNamespace {
        /// The registry.
        registry: RegistryId,
        /// The namespace.
        namespace: Namespace,
    },
    /// A key that may not do what it was asked to.
    #[error("key {key} may not {action}: expected one of {expected}")]
    NotAuthorised {
        /// The key.
        key: Fingerprint,
        /// What it was asked to do.
        action: String,
        /// The keys that may.
        expected: String,
    },
    /// A version stands with another statement.
    #[error("{package} {version} stands already with statement {standing}, not {offered}")]
    VersionStands {
        /// The package.
        package: PackageName,
        /// Its version.
        version: Version,
        /// The statement that stands.
        standing: Sha256,
        /// The statement that was offered.
        offered: Sha256,
    },
    /// A new name that the eye takes for one that stands.
    #[error("{offered} looks like {standing}, which stands already")]
    LooksLike {
        /// The new name.
        offered: String,
        /// The one that stands.
        standing: String,
    },
    /// The clock can't be right.
    #[error("the clock says {now}, before the checkpoint that stands was made ({standing})")]
    Clock {
        /// The time that was given.
        now: String,
        /// When the checkpoint was made.
        standing: String,
    },
    /// A number that can't rise.
    #[error("the number of {what} is the highest there is: make a root with a new epoch")]
    Exhausted {
        /// What.
        what: &'static str,
    },
    /// Another process writes this index.
    #[error("the index is being written by another process")]
    Busy(#[source] LeaseError),
    /// A key can't be used.
    #[error(transparent)]
    Keys(#[from] KeysError),
}

impl Diagnose for RegistryError {
    fn code(&self) -> Code {
        Code(match self {
            Self::File { .. } => "E0821",
            Self::NotARegistry { .. } => "E0822",
            Self::NotEmpty { .. } => "E0823",
            Self::Immutable { .. } => "E0824",
            Self::Missing { .. } => "E0825",
            Self::Changed { .. } => "E0826",
            Self::Trust { .. } => "E0827",
            Self::ForeignCheckpoint => "E0828",
            Self::Log { .. } => "E0829",
            Self::Tree(source) => return source.code(),
            Self::Statement { source, .. } => return source.code(),
            Self::UnknownNamespace { .. } => "E0830",
            Self::NotAuthorised { .. } => "E0831",
            Self::VersionStands { .. } => "E0832",
            Self::Clock { .. } => "E0833",
            Self::Exhausted { .. } => "E0834",
            Self::LooksLike { .. } => "E0835",
            Self::Busy(source) => return source.code(),
            Self::Keys(source) => return source.code(),
        })
    }

    fn class(&self) -> Class {
        match self {
            Self::Immutable { .. }
            | Self::Missing { .. }
            | Self::Changed { .. }
            | Self::Trust { .. }
            | Self::ForeignCheckpoint
            | Self::Log { .. }
            | Self::Tree(_)
            | Self::Statement { .. } => Class::Trust,
            Self::Busy(source) => source.class(),
            Self::Keys(source) => source.class(),
            _ => Class::Yours,
        }
    }

    fn hints(&self) -> Vec<Hint> {
        let unchanged = Hint::Note("checkpoint.json and the logs are unchanged".to_owned());
        match self {
            Self::NotARegistry { .. } => vec![Hint::Run("mpm index init DIR --id ID --namespace NAMESPACE".to_owned())],
            Self::VersionStands { .. } => {
                vec![Hint::Note("a version never changes: publish the next one".to_owned()), unchanged]
            }
            Self::LooksLike { .. } => {
                vec![
                    Hint::Note("`rn` and `m`, `0` and `o`, `1` and `l`, `-`, `_` and `.` count as alike".to_owned()),
                    unchanged,
                ]
            }
            Self::Missing { .. } | Self::Changed { .. } | Self::ForeignCheckpoint | Self::Immutable { .. } => {
                vec![Hint::Run("git log --stat".to_owned()), unchanged]
            }
            Self::Keys(source) => source.hints(),
            Self::Busy(source) => source.hints(),
            _ => vec![unchanged],
        }
    }
}
