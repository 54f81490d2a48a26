//! Why an index is refused or can't be read.

use std::path::PathBuf;

use crate::catalog::{LogError, TreeError};
use crate::diagnose::{Class, Code, Diagnose, Hint};
use crate::index::OriginError;
use crate::model::{CheckpointNumber, Fingerprint, Namespace, PackageName, Pin, RegistryId, Sha256, Version};
use crate::statement::StatementError;
use crate::sys::{HttpError, LeaseError};
use crate::trust::TrustError;

/// Why an index is refused or can't be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IndexError {
    /// The place can't be reached.
    #[error("the index of registry {registry} can't be read")]
    Origin {
        /// The registry.
        registry: RegistryId,
        /// Why.
        source: Box<OriginError>,
    },
    /// The address of the index is refused.
    #[error("the index of registry {registry} is not opened")]
    Address {
        /// The registry.
        registry: RegistryId,
        /// The rule.
        source: Box<HttpError>,
    },
    /// A file that must be there is not.
    #[error("{place} has no {path}: it is not in this copy of registry {registry}")]
    Missing {
        /// The registry.
        registry: RegistryId,
        /// Where.
        place: String,
        /// The file.
        path: String,
    },
    /// A trust file that is refused.
    #[error("{path} of registry {registry} is refused")]
    Trust {
        /// The registry.
        registry: RegistryId,
        /// The file.
        path: String,
        /// The rule.
        source: Box<TrustError>,
    },
    /// Bytes other than the ones that a signed file pins.
    #[error("{path} of registry {registry} is sha256:{found}, a signed file pins sha256:{expected}")]
    WrongBytes {
        /// The registry.
        registry: RegistryId,
        /// The file.
        path: String,
        /// The pin.
        expected: Sha256,
        /// What came.
        found: Sha256,
    },
    /// A tree node that breaks a rule.
    #[error("the tree node {path} of registry {registry} is refused")]
    Tree {
        /// The registry.
        registry: RegistryId,
        /// The file.
        path: String,
        /// The rule.
        source: Box<TreeError>,
    },
    /// A log that breaks a rule.
    #[error("the log of {package} in registry {registry} is refused")]
    Log {
        /// The registry.
        registry: RegistryId,
        /// The package.
        package: PackageName,
        /// The rule.
        source: Box<LogError>,
    },
    /// A statement that breaks a rule.
    #[error("the statement of {package} {version} in registry {registry} is refused")]
    Statement {
        /// The registry.
        registry: RegistryId,
        /// The package.
        package: PackageName,
        /// Its version.
        version: Box<Version>,
        /// The rule.
        source: Box<StatementError>,
    },
    /// Another registry, package or version than was asked for.
    #[error("the statement of {package} {version} names the {field} {found:?}, expected {expected:?}")]
    Identity {
        /// The package.
        package: PackageName,
        /// Its version.
        version: Box<Version>,
        /// The field.
        field: &'static str,
        /// What was asked for.
        expected: String,
        /// What it says.
        found: String,
    },
    /// Lower than what this machine or the lock has seen.
    #[error("{place} is behind: {what} of registry {registry} is {found}, at least {least} was seen by {witness}")]
    Behind {
        /// The registry.
        registry: RegistryId,
        /// Where.
        place: String,
        /// Which number.
        what: &'static str,
        /// What it says.
        found: Box<str>,
        /// What is needed.
        least: Box<str>,
        /// Who saw that: this machine, or Model.lock.
        witness: &'static str,
    },
    /// One number, two contents.
    #[error("registry {registry} shows two different {what}: sha256:{stored} was seen before, now sha256:{found}")]
    Equivocation {
        /// The registry.
        registry: RegistryId,
        /// Which file, with its number.
        what: String,
        /// What was seen before.
        stored: Sha256,
        /// What is shown now.
        found: Sha256,
    },
    /// Expired, where new trust is to be given.
    #[error("the {what} of registry {registry} expired {} ago{}", age(*seconds), too_old(*since_issued, limit.as_ref()))]
    Expired {
        /// The registry.
        registry: RegistryId,
        /// Root, checkpoint or registrar file.
        what: &'static str,
        /// For how long.
        seconds: u64,
        /// Seconds since it was issued.
        since_issued: u64,
        /// How old the site's configuration lets it be.
        limit: Option<u64>,
    },
    /// A checkpoint that the site has not let in.
    #[error("checkpoint {at} of registry {registry} (sha256:{sha256}) has no import record by this site's key {}",
        key.short())]
    NotImported {
        /// The registry.
        registry: RegistryId,
        /// The number.
        at: CheckpointNumber,
        /// Digest of the checkpoint's bytes.
        sha256: Sha256,
        /// The import key.
        key: Fingerprint,
    },
    /// A log that was changed where this machine had read it.
    #[error("the log of {package} in registry {registry} was rewritten: its first {size} bytes were sha256:{stored}")]
    Rewritten {
        /// The registry.
        registry: RegistryId,
        /// The package.
        package: PackageName,
        /// Bytes that were read before.
        size: u64,
        /// Their digest.
        stored: Sha256,
    },
    /// A package that was listed and is gone: a log that was cut to nothing.
    #[error("registry {registry} no longer lists {package}, whose log had {size} bytes, sha256:{stored}")]
    Delisted {
        /// The registry.
        registry: RegistryId,
        /// The package.
        package: PackageName,
        /// Bytes that were read before.
        size: u64,
        /// Their digest.
        stored: Sha256,
    },
    /// A lock that pins another statement than the log.
    #[error("{package} {version} is pinned as sha256:{}, {} bytes; registry {registry} has sha256:{}, {} bytes",
        locked.sha256, locked.size, listed.sha256, listed.size)]
    Pin {
        /// The registry.
        registry: RegistryId,
        /// The package.
        package: PackageName,
        /// Its version.
        version: Box<Version>,
        /// What the lock pins.
        locked: Box<Pin>,
        /// What the log says.
        listed: Box<Pin>,
    },
    /// A release that the verified log lacks.
    #[error("registry {registry} has no release {version} of {package}, which is pinned")]
    NotListed {
        /// The registry.
        registry: RegistryId,
        /// The package.
        package: PackageName,
        /// Its version.
        version: Box<Version>,
    },
    /// A namespace that nobody may publish in.
    #[error("the registrar of registry {registry} gave the namespace {namespace} to nobody")]
    NoNamespace {
        /// The registry.
        registry: RegistryId,
        /// The namespace.
        namespace: Namespace,
    },
    /// Yank records out of order.
    #[error("the yank record {record} of {package} {version} has the counter {found}, more than {before} was expected")]
    YankCounter {
        /// The package.
        package: PackageName,
        /// Its version.
        version: Box<Version>,
        /// The record.
        record: Sha256,
        /// Its counter.
        found: u64,
        /// The counter of the record before.
        before: u64,
    },
    /// A later root that was pinned and is not met.
    #[error("root {number} of registry {registry} is {found}, pinned is sha256:{expected}")]
    RootAt {
        /// The registry.
        registry: RegistryId,
        /// Its number.
        number: u64,
        /// The pin.
        expected: Sha256,
        /// What is there.
        found: String,
    },
    /// More roots than are walked.
    #[error("registry {registry} has more than {limit} roots ahead")]
    TooManyRoots {
        /// The registry.
        registry: RegistryId,
        /// The limit.
        limit: u64,
    },
    /// A base that the rules refuse.
    #[error("registry {registry} names the base {base:?}, which is refused: {rule}")]
    Base {
        /// The registry.
        registry: RegistryId,
        /// The base.
        base: String,
        /// The rule.
        rule: &'static str,
    },
    /// The memory of a registry can't be used.
    #[error("the memory of a registry in {} can't be used: {reason}", path.display())]
    Memory {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The memory is being written by somebody else.
    #[error(transparent)]
    Lease(#[from] LeaseError),
}

/// Hints of a place, and that a failure to read it changed nothing.
fn and_unchanged(mut hints: Vec<Hint>) -> Vec<Hint> {
    let said = |hint: &Hint| matches!(hint, Hint::Note(text) if text.contains("nothing was changed"));
    if !hints.iter().any(said) {
        hints.push(Hint::Note("nothing was changed".to_owned()));
    }
    hints
}

/// A length of time for people.
pub(super) fn age(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} seconds"),
        120..7_200 => format!("{} minutes", seconds / 60),
        7_200..172_800 => format!("{} hours", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// What is said of a limit that was passed.
fn too_old(since_issued: u64, limit: Option<&u64>) -> String {
    limit.map_or_else(String::new, |limit| {
        format!(": it is {} old, and max-staleness in the site's configuration is {}", age(since_issued), age(*limit))
    })
}

impl Diagnose for IndexError {
    fn code(&self) -> Code {
        match self {
            Self::Origin { source, .. } => source.code(),
            Self::Address { source, .. } => source.code(),
            Self::Trust { source, .. } => source.code(),
            Self::Tree { source, .. } => source.code(),
            Self::Log { source, .. } => source.code(),
            Self::Statement { source, .. } => source.code(),
            Self::Lease(error) => error.code(),
            Self::Missing { .. } => Code("E0111"),
            Self::WrongBytes { .. } => Code("E0112"),
            Self::Identity { .. } => Code("E0113"),
            Self::Behind { .. } => Code("E0114"),
            Self::Equivocation { .. } => Code("E0115"),
            Self::Expired { .. } => Code("E0116"),
            Self::NotImported { .. } => Code("E0126"),
            Self::Rewritten { .. } | Self::Delisted { .. } => Code("E0117"),
            Self::Pin { .. } => Code("E0118"),
            Self::NotListed { .. } => Code("E0119"),
            Self::NoNamespace { .. } => Code("E0120"),
            Self::YankCounter { .. } => Code("E0121"),
            Self::RootAt { .. } => Code("E0122"),
            Self::TooManyRoots { .. } => Code("E0123"),
            Self::Base { .. } => Code("E0124"),
            Self::Memory { .. } => Code("E0125"),
        }
    }

    fn class(&self) -> Class {
        match self {
            Self::Origin { source, .. } => source.class(),
            Self::Address { source, .. } => source.class(),
            Self::Log { source, .. } => source.class(),
            Self::Lease(error) => error.class(),
            Self::Missing { .. } => Class::Network,
            Self::Memory { .. } => Class::Yours,
            _ => Class::Trust,
        }
    }

    fn hints(&self) -> Vec<Hint> {
        let note = |text: &str| vec![Hint::Note(text.to_owned())];
        match self {
            Self::Origin { source, .. } => and_unchanged(source.hints()),
            Self::Address { source, .. } => and_unchanged(source.hints()),
            Self::Trust { source, .. } => source.hints(),
            Self::Lease(error) => error.hints(),
            Self::Missing { .. } => note("another copy may have it; nothing was changed"),
            Self::Behind { .. } => note(
                "an old copy is served, by delay or on purpose; nothing was changed. If the registry was restored from a \
                 backup, its owners must publish a new root with a higher epoch",
            ),
            Self::Equivocation { .. } | Self::Rewritten { .. } | Self::Delisted { .. } => note(
                "the index key's holder shows different histories to different readers; tell the registry's owners, with \
                 these digests. Nothing was changed",
            ),
            Self::NotImported { .. } => vec![
                Hint::Note(
                    "import-key in the site's configuration asks for one: whoever holds that key imports the bundle with \
                     `mpm bundle import FILE --into DIR --sign KEY`"
                        .to_owned(),
                ),
                Hint::Note("nothing was changed".to_owned()),
            ],
            Self::Expired { limit: Some(_), .. } => note(
                "bring a newer bundle: what Model.lock pins still installs with `mpm sync`; importing the same again makes nothing younger",
            ),
            Self::Expired { .. } => note(
                "the registry's owners have to publish a new one; what Model.lock pins still installs with `mpm sync`, unless [policy] require-fresh forbids it",
            ),
            Self::Pin { .. } | Self::NotListed { .. } => vec![
                Hint::Note(
                    "Model.lock was edited, belongs to another registry, or the index was changed where it may only grow: compare the lock with its history".to_owned(),
                ),
                Hint::Run("mpm diff".to_owned()),
                Hint::Note("nothing was placed".to_owned()),
            ],
            Self::Memory { .. } => note("it holds what this machine knows of the registry; nothing was changed"),
            _ => note("nothing was changed"),
        }
    }
}
