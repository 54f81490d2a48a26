//! credentials.toml on disk: read only where nobody else may read it, written for its owner alone, under a lease.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::{ConfigError, Secret, parse_credentials, render_credentials};
use crate::diagnose::{Class, Code, Diagnose, Hint};
use crate::sys::{Lease, LeaseError, files, trial};

/// Largest file, in bytes.
const MAX_FILE: u64 = 1 << 20;
/// How long another process that writes is waited for.
const WAIT: Duration = Duration::from_secs(30);

/// Why the file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// It can't be read or written.
    #[error("{} can't be used", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Others may read or change it.
    #[error("others may read or change {} (mode {mode:o})", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It does not parse.
    #[error("{} can't be used", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<ConfigError>,
    },
    /// Another process holds it.
    #[error(transparent)]
    Lease(#[from] LeaseError),
}

impl Diagnose for CredentialsError {
    fn code(&self) -> Code {
        Code(match self {
            Self::Io { .. } | Self::Content { .. } => "E0181",
            Self::Open { .. } => "E0182",
            Self::Lease(error) => return error.code(),
        })
    }

    fn class(&self) -> Class {
        match self {
            Self::Lease(error) => error.class(),
            _ => Class::Yours,
        }
    }

    fn hints(&self) -> Vec<Hint> {
        match self {
            Self::Open { path, .. } => vec![
                Hint::Run(format!("chmod 600 {}", path.display())),
                Hint::Note(
                    "no token of it was used; whoever could read it may have one: have them replaced".to_owned(),
                ),
            ],
            Self::Io { .. } => vec![Hint::Note("no token was stored or used".to_owned())],
            Self::Content { source, .. } => source.hints(),
            Self::Lease(error) => error.hints(),
        }
    }
}

/// The tokens in the file; none where there is no file.
///
/// # Errors
/// Others may read it, it is no regular file, or it does not parse.
pub fn read(path: &Path) -> Result<BTreeMap<String, Secret>, CredentialsError> {
    let fail = |source| CredentialsError::Io { path: path.to_owned(), source };
    let Some(bytes) = files::read_capped(path, MAX_FILE).map_err(fail)? else { return Ok(BTreeMap::new()) };
    if let Some(mode) = trial::mode(path).map_err(fail)?.filter(|mode| mode & 0o077 != 0) {
        return Err(CredentialsError::Open { path: path.to_owned(), mode });
    }
    let text = String::from_utf8(bytes)
        .map_err(|_| fail(std::io::Error::new(std::io::ErrorKind::InvalidData, "it is not UTF-8 text")))?;
    parse_credentials(&text, &path.to_string_lossy())
        .map_err(|source| CredentialsError::Content { path: path.to_owned(), source: Box::new(source) })
}

/// Changes the file's tokens and writes it for its owner alone. A file without tokens is removed.
///
/// # Errors
/// As [`read`]; the file can't be written; another process holds it for too long.
pub fn change<R>(path: &Path, edit: impl FnOnce(&mut BTreeMap<String, Secret>) -> R) -> Result<R, CredentialsError> {
    let fail = |source| CredentialsError::Io { path: path.to_owned(), source };
    let folder = path.parent().unwrap_or(path);
    files::create_private_dirs(folder).map_err(fail)?;
    let _lease = Lease::take(&folder.join(".credentials.lease"), WAIT, &|_| {})?;
    let mut tokens = read(path)?;
    let result = edit(&mut tokens);
    if tokens.is_empty() {
        files::remove(path).map_err(fail)?;
    } else {
        files::write_private(path, render_credentials(&tokens).as_bytes()).map_err(fail)?;
    }
    Ok(result)
}
