//! Why a server does not start, or stops.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::diagnose::{Class, Code, Diagnose, Hint};
use crate::model::Sha256;

/// Why a server does not start, or stops.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The address can't be listened on.
    #[error("{address} can't be listened on")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// A folder that is no registry.
    #[error("{} is no registry: it has no root of one", path.display())]
    NoRegistry {
        /// The folder.
        path: PathBuf,
    },
    /// A blob's place can't be read.
    #[error("the blob {sha256} can't be read")]
    Blob {
        /// Its digest.
        sha256: Sha256,
        /// Why.
        source: std::io::Error,
    },
}

impl Diagnose for ServeError {
    fn code(&self) -> Code {
        match self {
            Self::Listen { .. } => Code("E1091"),
            Self::Blob { .. } => Code("E1092"),
            Self::NoRegistry { .. } => Code("E1093"),
        }
    }

    fn class(&self) -> Class {
        match self {
            Self::Listen { .. } | Self::Blob { .. } | Self::NoRegistry { .. } => Class::Yours,
        }
    }

    fn hints(&self) -> Vec<Hint> {
        match self {
            Self::Listen { address, source } => match source.kind() {
                std::io::ErrorKind::AddrInUse => vec![
                    Hint::Run(format!("ss -ltnp 'sport = :{}'", address.port())),
                    Hint::Note(
                        "another program listens there; `--listen ADDRESS:0` takes a port that is free".to_owned(),
                    ),
                ],
                std::io::ErrorKind::PermissionDenied => {
                    vec![Hint::Note("ports below 1024 need a right that systemd or a proxy can give".to_owned())]
                }
                _ => vec![Hint::Note("the address must be one of this machine's".to_owned())],
            },
            Self::NoRegistry { path } => vec![
                Hint::Run(format!("mpm mirror sync {} --all", path.display())),
                Hint::Note("without a folder, `mpm serve` serves what the store holds".to_owned()),
            ],
            Self::Blob { .. } => {
                vec![Hint::Note("is the folder there, and may the user that serves read all of it?".to_owned())]
            }
        }
    }
}
