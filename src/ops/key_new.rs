//! `mpm key new`: a minisign key pair.

use std::path::PathBuf;

use crate::keys::AskPassword;
use crate::model::PublicKey;
use crate::ops::authoring::{AuthoringError, Protection, new_key};

/// What is asked.
pub struct Request<'a> {
    /// The secret key's file; the public key goes beside it as `FILE.pub`.
    pub path: PathBuf,
    /// Whether it gets a password.
    pub protection: Protection,
    /// Asks for the password.
    pub ask: &'a AskPassword<'a>,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The secret key's file.
    pub path: PathBuf,
    /// The public key.
    pub public: PublicKey,
}

/// Does it.
///
/// # Errors
/// `E0802`, `E0804`, `E0805`, `E0954`.
pub fn run(request: &Request<'_>) -> Result<Outcome, AuthoringError> {
    let key = new_key(&request.path, request.protection, request.ask)?;
    Ok(Outcome { path: request.path.clone(), public: key.public().clone() })
}
