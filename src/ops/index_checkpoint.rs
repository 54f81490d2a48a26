//! `mpm index checkpoint`: admits what waits and signs the new head.

use std::path::PathBuf;

use crate::keys::{AskPassword, SecretKey};
use crate::model::Timestamp;
use crate::ops::authoring::{AuthoringError, Protection, open_key};
use crate::progress::Progress;
use crate::registry::{self, CheckpointOutcome, CheckpointRequest, Folder, State};

/// What is asked.
pub struct Request<'a> {
    /// The registry's folder.
    pub folder: PathBuf,
    /// The index key's file.
    pub index: PathBuf,
    /// The main key's file: renews what is past half its life.
    pub main: Option<PathBuf>,
    /// The time.
    pub now: Timestamp,
    /// Asks for passwords.
    pub ask: &'a AskPassword<'a>,
}

/// What was done.
#[derive(Debug)]
pub struct Outcome {
    /// The checkpoint.
    pub checkpoint: CheckpointOutcome,
    /// Root and registrar files that were renewed.
    pub renewed: Vec<String>,
}

/// Does it.
///
/// # Errors
/// What keys, reading and writing can break.
pub fn run(request: &Request<'_>, progress: &dyn Progress) -> Result<Outcome, AuthoringError> {
    let folder = Folder::at(&request.folder);
    // Before a lease is left in a folder that is none of ours.
    let needed = protection(&folder)?;
    let index = open_key(&request.index, Protection::None, request.ask)?;
    let main = request.main.as_ref().map(|path| open_key(path, needed, request.ask)).transpose()?;
    let _lease = folder.lock(progress)?;
    issue(&folder, &index, main.as_ref(), request.now)
}

/// Whether keys other than the index key need a password in this registry.
pub(super) fn protection(folder: &Folder) -> Result<Protection, AuthoringError> {
    let demo = State::read(folder)?.roots.newest().demo;
    Ok(if demo { Protection::None } else { Protection::Password })
}

/// Renews with the main key, then makes the checkpoint. The caller holds the lease.
pub(super) fn issue(
    folder: &Folder,
    index: &SecretKey,
    main: Option<&SecretKey>,
    now: Timestamp,
) -> Result<Outcome, AuthoringError> {
    let renewed = main.map(|main| registry::renew(folder, main, now)).transpose()?.unwrap_or_default();
    let checkpoint = registry::checkpoint(folder, &CheckpointRequest { now, signers: &[index], bases: None })?;
    Ok(Outcome { checkpoint, renewed })
}
