//! Why Model.lock is refused.

use crate::diagnose::{Class, Code, Diagnose, Hint};
use crate::lock::VERSION;
use crate::model::canonical::CanonicalError;
use crate::model::tables::{Spot, TomlError};
use crate::model::{RegistryId, Sha256};

/// Why a lock is refused.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Not TOML, a field that version 1 does not have, a missing field, a value that breaks a rule.
    #[error(transparent)]
    Toml(#[from] TomlError),
    /// Written by a newer version of the tool.
    #[error("Model.lock has version {found}, this mpm reads up to version {VERSION}")]
    TooNew {
        /// The version found.
        found: u64,
    },
    /// The same entry twice.
    #[error("{spot}: the entry {what} stands twice")]
    Twice {
        /// Where the second one is.
        spot: Spot,
        /// The entry.
        what: String,
    },
    /// An entry names one that is not there.
    #[error("{from} in Model.lock leads to {to}, which has no entry")]
    Dangling {
        /// The entry.
        from: String,
        /// What it names.
        to: String,
    },
    /// Conflict markers that do not pair up.
    #[error("Model.lock line {line}: a merge-conflict marker without its counterpart")]
    Markers {
        /// The line, from 1.
        line: usize,
    },
    /// Two sides of a merge name different registries by one id.
    #[error("the two sides of the merge in Model.lock give {id} different roots, {} and {}", ours.prefixed(), theirs.prefixed())]
    MergedRoots {
        /// The registry.
        id: RegistryId,
        /// The root of the one side.
        ours: Sha256,
        /// The root of the other.
        theirs: Sha256,
    },
    /// More entries than are read.
    #[error("Model.lock has {found} {what}, at most {limit} are read")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How many.
        found: usize,
        /// How many may be.
        limit: usize,
    },
    /// A file table that is not the one whose digest the lock holds.
    #[error("the file table of {of} is not the one that was locked: expected {expected}, found {found}")]
    Table {
        /// The source, or the file in `Model.lock.d/`.
        of: String,
        /// Expected.
        expected: String,
        /// Found.
        found: String,
    },
    /// A file table that is no valid document.
    #[error("the file table {} in Model.lock.d is not valid", sha256.hex())]
    TableSyntax {
        /// Its digest.
        sha256: Sha256,
        /// What is wrong.
        #[source]
        source: CanonicalError,
    },
    /// A file table whose entries break a rule.
    #[error("the file table of {of} breaks a rule: {rule}")]
    TableRule {
        /// The source, or the file in `Model.lock.d/`.
        of: String,
        /// The rule.
        rule: String,
    },
}

/// A rule of this format that a single value breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Rule {
    /// No version of this format.
    #[error("the first version is 1")]
    Version,
    /// Not a source's id.
    #[error("{found:?} is no source id: it is path:FOLDER or hf:ID@REVISION")]
    SourceId { found: String },
    /// Not two numbers.
    #[error("a checkpoint is two numbers: [epoch, number]")]
    Checkpoint,
    /// Not a digest of a file table.
    #[error("the revision of a folder is \"sha256:\" and the digest of its file table")]
    Revision,
    /// Not a commit.
    #[error("the revision of a repository of the hub is a commit of 40 lowercase hex digits")]
    Commit,
    /// A model's id for a dataset, or the reverse.
    #[error("the id of a dataset of the hub begins with hf:datasets/, and that of a model does not")]
    HubKind,
    /// Both forms of a file table, or none.
    #[error("a source has either files or table and table-size; a repository of the hub has table beside files")]
    Files,
    /// More files inline than the format allows.
    #[error("a source has at most 200 files in the lock itself, found {found}")]
    Inline { found: usize },
    /// Nobody signed.
    #[error("the list is empty")]
    Empty,
    /// Text that a person can't read.
    #[error("the text is empty, longer than 1000 characters or holds control characters")]
    Text,
}

impl LockError {
    /// Where it is, if it is in one place.
    pub fn spot(&self) -> Option<&Spot> {
        match self {
            Self::Toml(error) => error.spot(),
            Self::Twice { spot, .. } => Some(spot),
            _ => None,
        }
    }
}

impl Diagnose for LockError {
    fn code(&self) -> Code {
        Code(match self {
            Self::Toml(TomlError::UnknownKey { .. }) => "E0502",
            Self::Toml(_) => "E0501",
            Self::TooNew { .. } => "E0503",
            Self::Twice { .. } => "E0504",
            Self::Dangling { .. } => "E0505",
            Self::Markers { .. } => "E0506",
            Self::MergedRoots { .. } => "E0507",
            Self::TooMany { .. } => "E0508",
            Self::Table { .. } => "E0509",
            Self::TableSyntax { .. } | Self::TableRule { .. } => "E0510",
        })
    }

    fn class(&self) -> Class {
        match self {
            Self::Table { .. } => Class::Trust,
            _ => Class::Yours,
        }
    }

    fn hints(&self) -> Vec<Hint> {
        let mut hints: Vec<Hint> = self.spot().and_then(Spot::snippet).map(Hint::Note).into_iter().collect();
        let note = |text: &str| Hint::Note(text.to_owned());
        match self {
            Self::Toml(TomlError::UnknownKey { .. }) => {
                hints.push(note("a newer mpm may have written it: use the version that your team uses"));
                hints.push(Hint::Run("git checkout -- Model.lock".to_owned()));
            }
            Self::TooNew { .. } => hints.push(note("use an mpm that is as new as the one that wrote it")),
            Self::Toml(_) | Self::Twice { .. } | Self::Dangling { .. } | Self::TooMany { .. } => {
                hints.push(Hint::Run("git checkout -- Model.lock".to_owned()));
                hints.push(note("mpm writes Model.lock; edit Model.toml instead"));
            }
            Self::Markers { .. } => hints.push(Hint::Run("git checkout --merge -- Model.lock".to_owned())),
            Self::MergedRoots { id, .. } => hints.push(Hint::Note(format!(
                "decide which root [registries.{id}] in Model.toml has, and take that side's [[registry]] entry in Model.lock"
            ))),
            Self::Table { .. } => {
                hints.push(note("somebody changed the files that the lock pins, or their digest; nothing was installed"));
                hints.push(Hint::Run("git diff -- Model.lock Model.lock.d".to_owned()));
            }
            Self::TableSyntax { .. } | Self::TableRule { .. } => {
                hints.push(Hint::Run("git checkout -- Model.lock Model.lock.d".to_owned()));
            }
        }
        hints
    }
}
