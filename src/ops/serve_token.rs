//! `mpm serve token`: a token for a server's token file.

use std::path::PathBuf;

use crate::model::Timestamp;
use crate::ops::PipelineError;
use crate::serve::{self, ServeError};

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The token file, absolute.
    pub file: PathBuf,
    /// The token's name.
    pub name: String,
    /// What it may read.
    pub read: Vec<String>,
    /// When it counts no longer.
    pub expires: Option<Timestamp>,
}

/// The token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Its text: the only time that it is seen.
    pub token: String,
}

/// Makes it.
///
/// # Errors
/// `E1094`: the file is none, has a token of that name, or can't be written; a name or right that is none.
pub fn run(request: &Request) -> Result<Outcome, PipelineError> {
    let fail = |reason: String| ServeError::Tokens { path: request.file.clone(), reason };
    let random = serve::random().map_err(fail)?;
    let (token, lines) = serve::new_token(&request.name, &request.read, request.expires, random).map_err(fail)?;
    serve::add_token(&request.file, &request.name, &lines)?;
    Ok(Outcome { token })
}
