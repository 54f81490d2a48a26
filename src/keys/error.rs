//! Why a key can't be used.

use std::path::PathBuf;

use crate::diagnose::{Class, Code, Diagnose, Hint};

/// Why a key can't be used.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// A key file, and what is wrong with it.
    #[error("key file {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: Box<KeysError>,
    },
    /// The text is not a minisign key, or its bytes contradict each other.
    #[error("it is not a minisign key: expected a comment line and a line of base64, whole and unchanged")]
    NotAKey,
    /// The key is encrypted, and nobody gave a password.
    #[error("the key is encrypted and no password was given")]
    PasswordNeeded,
    /// Another password.
    #[error("the password does not open the key")]
    WrongPassword,
    /// A file stands where a new key would go.
    #[error("it exists already")]
    Exists,
    /// No such file.
    #[error("there is no such file")]
    Missing,
    /// The file can't be read or written.
    #[error("it can't be read or written")]
    Io(#[from] std::io::Error),
    /// The library that signs refused.
    #[error("{doing} went wrong")]
    Crypto {
        /// What was being done.
        doing: &'static str,
        /// Why.
        #[source]
        source: minisign::PError,
    },
    /// A comment that would break the form of a key or signature file.
    #[error("the comment {comment:?} does not fit on one line of a minisign file")]
    Comment {
        /// The comment.
        comment: String,
    },
    /// A passwordless key of stock minisign, which carries no checksum, was to be encrypted.
    #[error("the key was made by `minisign -G -W` and carries no checksum, so it can't be encrypted here")]
    NoChecksum,
}

impl Diagnose for KeysError {
    fn code(&self) -> Code {
        Code(match self {
            Self::File { source, .. } => return source.code(),
            Self::NotAKey => "E0801",
            Self::PasswordNeeded => "E0802",
            Self::WrongPassword => "E0803",
            Self::Exists => "E0804",
            Self::Missing | Self::Io(_) => "E0805",
            Self::Crypto { .. } | Self::Comment { .. } => "E0806",
            Self::NoChecksum => "E0807",
        })
    }

    fn class(&self) -> Class {
        match self {
            Self::File { source, .. } => source.class(),
            Self::PasswordNeeded => Class::Usage,
            _ => Class::Yours,
        }
    }

    fn hints(&self) -> Vec<Hint> {
        match self {
            Self::File { source, .. } => source.hints(),
            Self::PasswordNeeded => vec![Hint::Note(
                "set the environment variable MPM_KEY_PASSWORD, or run the command at a terminal, where it asks"
                    .to_owned(),
            )],
            Self::Missing => vec![Hint::Run("mpm key new NAME".to_owned())],
            Self::Exists => vec![Hint::Note("a key file is never overwritten: name another file".to_owned())],
            Self::NoChecksum => vec![Hint::Run("minisign -C -s FILE".to_owned())],
            _ => Vec::new(),
        }
    }
}
