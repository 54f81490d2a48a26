//! What the authoring verbs share: their error, and how they open keys.

use std::path::{Path, PathBuf};

use crate::diagnose::{Class, Code, Diagnose, Hint};
use crate::keys::{AskPassword, KeysError, SecretKey, read_key, write_key};
use crate::lock::LockError;
use crate::manifest::ManifestError;
use crate::model::DependencyKey;
use crate::ops::ProjectError;
use crate::publish::PublishError;
use crate::registry::RegistryError;

/// Why an authoring verb ended early.
#[derive(Debug, thiserror::Error)]
pub enum AuthoringError {
    /// The project's files.
    #[error(transparent)]
    Project(#[from] ProjectError),
    /// Model.toml.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// Model.lock.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A key.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The index.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The folder that is published.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// Model.toml publishes nothing.
    #[error("{} has no [package]", manifest.display())]
    NoPackage {
        /// The Model.toml.
        manifest: PathBuf,
    },
    /// A key of `requires`, `base-model` or `trained-on` that leads to no signed release.
    #[error("{key} is named in [package], and {reason}")]
    NoRelease {
        /// The key.
        key: DependencyKey,
        /// Why it leads nowhere.
        reason: &'static str,
    },
    /// A key without a password for a role that needs one.
    #[error("key {} has no password; only index keys and keys of demo registries may do without", path.display())]
    Unprotected {
        /// The key's file.
        path: PathBuf,
    },
    /// Two different passwords, or an empty one.
    #[error("no password for the new key {}: it is empty, or the two differ", path.display())]
    NoPassword {
        /// The key's file.
        path: PathBuf,
    },
}

impl Diagnose for AuthoringError {
    fn code(&self) -> Code {
        match self {
            Self::Project(source) => source.code(),
            Self::Manifest(source) => source.code(),
            Self::Lock(source) => source.code(),
            Self::Keys(source) => source.code(),
            Self::Registry(source) => source.code(),
            Self::Publish(source) => source.code(),
            Self::NoPackage { .. } => Code("E0951"),
            Self::NoRelease { .. } => Code("E0952"),
            Self::Unprotected { .. } => Code("E0953"),
            Self::NoPassword { .. } => Code("E0954"),
        }
    }

    fn class(&self) -> Class {
        match self {
            Self::Project(source) => source.class(),
            Self::Manifest(source) => source.class(),
            Self::Lock(source) => source.class(),
            Self::Keys(source) => source.class(),
            Self::Registry(source) => source.class(),
            Self::Publish(source) => source.class(),
            Self::NoPackage { .. } | Self::NoRelease { .. } | Self::Unprotected { .. } => Class::Yours,
            Self::NoPassword { .. } => Class::Usage,
        }
    }

    fn hints(&self) -> Vec<Hint> {
        match self {
            Self::Project(source) => source.hints(),
            Self::Manifest(source) => source.hints(),
            Self::Lock(source) => source.hints(),
            Self::Keys(source) => source.hints(),
            Self::Registry(source) => source.hints(),
            Self::Publish(source) => source.hints(),
            Self::NoPackage { .. } => vec![Hint::Add {
                file: "Model.toml",
                lines: "[package]\nname = \"namespace/name\"\nversion = \"0.1.0\"\nkind = \"model\"\ndir = \"out\""
                    .to_owned(),
            }],
            Self::NoRelease { .. } => vec![Hint::Run("mpm lock".to_owned())],
            Self::Unprotected { path } => vec![Hint::Run(format!("minisign -C -s {}", path.display()))],
            Self::NoPassword { .. } => vec![Hint::Note("no key was made".to_owned())],
        }
    }
}

/// Whether a key needs a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protection {
    /// It does.
    Password,
    /// It may do without.
    None,
}

/// Opens a key that must have a password where `protection` says so.
pub(super) fn open_key(
    path: &Path,
    protection: Protection,
    ask: &AskPassword<'_>,
) -> Result<SecretKey, AuthoringError> {
    let key = read_key(path, ask)?;
    if protection == Protection::Password && !key.is_protected() {
        return Err(AuthoringError::Unprotected { path: path.to_owned() });
    }
    Ok(key)
}

/// Makes a key and writes its files.
pub(super) fn new_key(path: &Path, protection: Protection, ask: &AskPassword<'_>) -> Result<SecretKey, AuthoringError> {
    let password = match protection {
        Protection::Password => Some(new_password(path, ask)?),
        Protection::None => None,
    };
    let key = SecretKey::generate()?;
    write_key(path, &key, password.as_deref())?;
    Ok(key)
}

/// Asks for a new password twice.
pub(super) fn new_password(path: &Path, ask: &AskPassword<'_>) -> Result<String, AuthoringError> {
    let asked = |what: &str| ask(&format!("{what} {}", path.display())).ok_or(KeysError::PasswordNeeded);
    let first = asked("new password for the key")?;
    let second = asked("once more, the password for the key")?;
    if first.is_empty() || first != second {
        return Err(AuthoringError::NoPassword { path: path.to_owned() });
    }
    Ok(first)
}
