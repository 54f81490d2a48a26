//! `mpm index init`: a registry for a small team.

use std::path::{Path, PathBuf};

use crate::keys::{AskPassword, SecretKey, read_public_key};
use crate::model::{Fingerprint, Namespace, PublicKey, RegistryId, Sha256, Timestamp};
use crate::ops::authoring::{AuthoringError, Protection, new_key, new_password, open_key};
use crate::progress::Progress;
use crate::registry::{self, Folder, NewRegistry, RegistryError};
use crate::trust::Freshness;

/// What is asked.
pub struct Request<'a> {
    /// The registry's folder; made if it is missing.
    pub folder: PathBuf,
    /// Its id.
    pub id: RegistryId,
    /// Namespaces that the main key publishes in.
    pub namespaces: Vec<Namespace>,
    /// The main key's file; made, with a password, if it is missing.
    pub main: PathBuf,
    /// The index key's file; made, without a password, if it is missing.
    pub index: PathBuf,
    /// A public key file of the recovery key; none: one is made and shown once.
    pub recovery: Option<PathBuf>,
    /// Whether files expire.
    pub freshness: Freshness,
    /// Whether it is a demonstration, whose keys need no password.
    pub demo: bool,
    /// The time.
    pub now: Timestamp,
    /// Asks for passwords.
    pub ask: &'a AskPassword<'a>,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Digest of the first root: what projects write down.
    pub root: Sha256,
    /// The main key.
    pub main: Fingerprint,
    /// The index key.
    pub index: Fingerprint,
    /// The recovery key.
    pub recovery: Fingerprint,
    /// The new recovery key's file, to be kept elsewhere: it is stored nowhere.
    pub recovery_text: Option<String>,
}

/// Does it.
///
/// # Errors
/// `E0823`: something stands there. What keys and writing can break.
pub fn run(request: &Request<'_>, progress: &dyn Progress) -> Result<Outcome, AuthoringError> {
    let folder = Folder::at(&request.folder);
    std::fs::create_dir_all(&request.folder)
        .map_err(|source| RegistryError::File { path: request.folder.clone(), source })?;
    let _lease = folder.lock(progress)?;
    let protection = if request.demo { Protection::None } else { Protection::Password };
    let main = open_or_make(&request.main, protection, request.ask)?;
    let index = open_or_make(&request.index, Protection::None, request.ask)?;
    let (recovery, recovery_text) = match &request.recovery {
        Some(path) => (read_public_key(path)?, None),
        None => new_recovery(protection, request.ask)?,
    };
    let new = NewRegistry {
        id: request.id.clone(),
        namespaces: request.namespaces.clone(),
        main: &main,
        index: &index,
        recovery: recovery.clone(),
        freshness: request.freshness,
        demo: request.demo,
        now: request.now,
    };
    let root = registry::create(&folder, &new)?;
    Ok(Outcome {
        root,
        main: main.public().fingerprint(),
        index: index.public().fingerprint(),
        recovery: recovery.fingerprint(),
        recovery_text,
    })
}

fn open_or_make(path: &Path, protection: Protection, ask: &AskPassword<'_>) -> Result<SecretKey, AuthoringError> {
    if path.exists() { open_key(path, protection, ask) } else { new_key(path, protection, ask) }
}

fn new_recovery(protection: Protection, ask: &AskPassword<'_>) -> Result<(PublicKey, Option<String>), AuthoringError> {
    let password = match protection {
        Protection::Password => Some(new_password(Path::new("recovery"), ask)?),
        Protection::None => None,
    };
    let key = SecretKey::generate()?;
    let text = key.to_text(password.as_deref(), "minisign secret key for recovery: keep it elsewhere")?;
    Ok((key.public().clone(), Some(text)))
}
