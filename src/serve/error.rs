//! Why a server does not start, or stops.

use std::net::SocketAddr;

use crate::diagnose::{Class, Code, Diagnose, Hint};

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
}

impl Diagnose for ServeError {
    fn code(&self) -> Code {
        match self {
            Self::Listen { .. } => Code("E1091"),
        }
    }

    fn class(&self) -> Class {
        match self {
            Self::Listen { .. } => Class::Yours,
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
        }
    }
}
