//! Why a server does not start, or stops.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::diagnose::{Class, Code, Diagnose, Hint};
use crate::model::{RegistryId, Sha256};

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
    /// A token file that is none.
    #[error("{} is no token file: {reason}", path.display())]
    Tokens {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A certificate or key that is none.
    #[error("{} can't be used for TLS: {reason}", path.display())]
    Tls {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The access log can't be written.
    #[error("the access log {} can't be written", path.display())]
    Log {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The server's own notes can't be kept.
    #[error("the server can't keep its notes in {}", path.display())]
    State {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Others may write the notes that say what was verified.
    #[error("others may write in {}, where the server notes what it has verified", path.display())]
    Exposed {
        /// The folder.
        path: PathBuf,
    },
    /// A blob whose bytes are not what its name says.
    #[error("the blob {sha256} is corrupt in this copy and is not served")]
    Corrupt {
        /// Its digest.
        sha256: Sha256,
    },
    /// A blob that no statement of what may be pulled through names.
    #[error("the blob {sha256} is named by no statement of what this server pulls through")]
    NotPulled {
        /// Its digest.
        sha256: Sha256,
    },
    /// A blob for which there is no room.
    #[error("the blob {sha256} of {size} bytes does not fit into the quota of what is pulled through")]
    Quota {
        /// Its digest.
        sha256: Sha256,
        /// Its bytes.
        size: u64,
    },
    /// What comes with a credential needs tokens.
    #[error(
        "registry {registry} is read with a credential, and this server has no tokens: it would hand on what others may not read"
    )]
    Guarded {
        /// The registry.
        registry: RegistryId,
    },
    /// Work of the server's own broke.
    #[error("work of the server broke off: {reason}")]
    Broken {
        /// How.
        reason: String,
    },
    /// A file of an index can't be read.
    #[error("{path} of the index can't be read")]
    Index {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
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
            Self::Index { .. } | Self::Blob { .. } => Code("E1092"),
            Self::NoRegistry { .. } => Code("E1093"),
            Self::Tokens { .. } => Code("E1094"),
            Self::Tls { .. } => Code("E1095"),
            Self::Corrupt { .. } => Code("E1096"),
            Self::Guarded { .. } => Code("E1097"),
            Self::Log { .. } | Self::State { .. } | Self::Exposed { .. } => Code("E1098"),
            Self::Broken { .. } => Code("E1099"),
            Self::NotPulled { .. } | Self::Quota { .. } => Code("E1090"),
        }
    }

    fn class(&self) -> Class {
        match self {
            Self::Listen { .. }
            | Self::Index { .. }
            | Self::Blob { .. }
            | Self::NoRegistry { .. }
            | Self::Tokens { .. }
            | Self::Tls { .. }
            | Self::Log { .. }
            | Self::State { .. }
            | Self::Exposed { .. }
            | Self::NotPulled { .. }
            | Self::Quota { .. } => Class::Yours,
            Self::Guarded { .. } => Class::Policy,
            Self::Corrupt { .. } => Class::Trust,
            Self::Broken { .. } => Class::Internal,
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
            Self::Tokens { path, .. } => {
                vec![Hint::Run(format!("mpm serve token NAME --tokens {} --read NAMESPACE", path.display()))]
            }
            Self::Tls { .. } => vec![Hint::Note(
                "both are PEM files: the certificate with those that lead to the authority, and its key".to_owned(),
            )],
            Self::Log { .. } | Self::State { .. } => {
                vec![Hint::Note("its folder must be there, and the user that serves may write in it".to_owned())]
            }
            Self::Exposed { path } => vec![Hint::Run(format!("chmod go-w '{}'", path.display()))],
            Self::Guarded { registry } => vec![
                Hint::Run(format!("mpm serve token NAME --tokens tokens.toml --read '{registry}:*'")),
                Hint::Note("then serve with `--tokens tokens.toml`".to_owned()),
            ],
            Self::Quota { .. } => vec![Hint::Note("`--quota` gives it more room".to_owned())],
            Self::NotPulled { .. } => {
                vec![Hint::Note("ask for the release's statement first, or list its namespace".to_owned())]
            }
            Self::Corrupt { .. } => {
                vec![Hint::Note("bring it again: `mpm mirror sync` for a mirror, `mpm sync` for the store".to_owned())]
            }
            Self::Broken { .. } => Vec::new(),
            Self::Index { .. } | Self::Blob { .. } => {
                vec![Hint::Note("is the folder there, and may the user that serves read all of it?".to_owned())]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ServeError;
    use crate::diagnose::{Class, Diagnose as _};

    #[test]
    fn what_broke_by_itself_is_a_bug_of_ours() {
        let error = ServeError::Broken { reason: "a thread could not be started".to_owned() };
        assert_eq!((error.code().0, error.class()), ("E1099", Class::Internal));
    }
}
