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

#[cfg(test)]
mod tests {
    use std::io;

    use crate::diagnose::{Class, Diagnose as _};
    use crate::fetch::hub::HubFetchError;

    #[test]
    fn what_is_no_fault_of_the_hub_says_so() {
        let source = io::Error::from(io::ErrorKind::PermissionDenied);
        let local = HubFetchError::Local { folder: "/store/partial".into(), source };
        assert_eq!((local.code().0, local.class()), ("E0677", Class::Yours));
        assert_eq!((HubFetchError::Stopped.code().0, HubFetchError::Stopped.class()), ("E0678", Class::Interrupted));
    }
}
