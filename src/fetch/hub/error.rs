//! Why asking a hub failed.

use std::io;
use std::path::PathBuf;

use crate::diagnose::{Class, Code, Diagnose, Hint};
use crate::hub::HubError;
use crate::sys::HttpError;

/// Why asking a hub failed.
#[derive(Debug, thiserror::Error)]
pub enum HubFetchError {
    /// In its own words.
    #[error(transparent)]
    Hub(#[from] HubError),
    /// On the way to it.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The folder of downloads can't be used.
    #[error("can't use {}", folder.display())]
    Local {
        /// The folder.
        folder: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The user wished to stop.
    #[error("stopped")]
    Stopped,
}

impl Diagnose for HubFetchError {
    fn code(&self) -> Code {
        match self {
            Self::Hub(error) => error.code(),
            Self::Http(error) => error.code(),
            Self::Local { .. } => Code("E0677"),
            Self::Stopped => Code("E0678"),
        }
    }

    fn class(&self) -> Class {
        match self {
            Self::Hub(error) => error.class(),
            Self::Http(error) => error.class(),
            Self::Local { .. } => Class::Yours,
            Self::Stopped => Class::Interrupted,
        }
    }

    fn hints(&self) -> Vec<Hint> {
        match self {
            Self::Hub(error) => error.hints(),
            Self::Http(error) => error.hints(),
            Self::Local { folder, .. } => vec![Hint::Run(format!("ls -ld '{}'", folder.display()))],
            Self::Stopped => vec![Hint::Note("nothing was changed".to_owned())],
        }
    }
}
