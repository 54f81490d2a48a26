//! Why the store can't do it.

use std::io;
use std::path::{Path, PathBuf};

use crate::diagnose::{Class, Code, Diagnose, Hint};
use crate::model::Sha256;
use crate::sys::{LeaseError, files};

/// Why the store can't do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file or folder of the store can't be made, read or written.
    #[error("can't use {} in the store", path.display())]
    Unusable {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Written by a version that this one does not know.
    #[error("the store {} has the layout {found:?}, expected {expected:?}", path.display())]
    OtherLayout {
        /// The store's folder.
        path: PathBuf,
        /// What its format file says, cut.
        found: String,
        /// What this version writes.
        expected: &'static str,
    },
    /// The disk or the quota is full.
    #[error("no space is left for {}", path.display())]
    Full {
        /// What was to be written.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A symlink, or a file where a folder belongs: somebody else's work.
    #[error("{} is {found}, expected {expected}: somebody put it into the store", path.display())]
    Planted {
        /// What was found.
        path: PathBuf,
        /// What it is.
        found: &'static str,
        /// What belongs there.
        expected: &'static str,
    },
    /// Larger than the reader allows.
    #[error("blob {digest} of {size} bytes is to be read whole, at most {cap} are allowed")]
    TooLarge {
        /// The blob.
        digest: Sha256,
        /// Its size.
        size: u64,
        /// What is allowed.
        cap: u64,
    },
    /// A record of what a project keeps is damaged; nothing is removed while it is not known what it kept.
    #[error("the record {} of what a project keeps is damaged", path.display())]
    DamagedRoot {
        /// The record.
        path: PathBuf,
    },
    /// Another process collects, for too long.
    #[error(transparent)]
    Busy(#[from] LeaseError),
    /// A file with a name outside of the store was written to while it was taken in.
    #[error("{what} changed while it was taken into the store")]
    Changed {
        /// The file.
        what: String,
    },
    /// The user wished to stop.
    #[error("stopped")]
    Stopped,
}

impl StoreError {
    /// The error for an I/O error at a path.
    pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| {
            if files::is_full(&source) {
                Self::Full { path, source }
            } else if source.kind() == io::ErrorKind::Interrupted {
                Self::Stopped
            } else {
                Self::Unusable { path, source }
            }
        }
    }
}

impl Diagnose for StoreError {
    fn code(&self) -> Code {
        match self {
            Self::Unusable { .. } => Code("E0701"),
            Self::OtherLayout { .. } => Code("E0702"),
            Self::Full { .. } => Code("E0703"),
            Self::Planted { .. } => Code("E0704"),
            Self::TooLarge { .. } => Code("E0705"),
            Self::DamagedRoot { .. } => Code("E0706"),
            Self::Stopped => Code("E0707"),
            Self::Changed { .. } => Code("E0708"),
            Self::Busy(error) => error.code(),
        }
    }

    fn class(&self) -> Class {
        match self {
            Self::Unusable { .. }
            | Self::OtherLayout { .. }
            | Self::Full { .. }
            | Self::DamagedRoot { .. }
            | Self::Changed { .. } => Class::Yours,
            Self::Planted { .. } | Self::TooLarge { .. } => Class::Trust,
            Self::Stopped => Class::Interrupted,
            Self::Busy(error) => error.class(),
        }
    }

    fn hints(&self) -> Vec<Hint> {
        let unchanged = || Hint::Note("blobs that were stored before are unchanged".to_owned());
        match self {
            Self::Unusable { source, .. } if source.kind() == io::ErrorKind::ReadOnlyFilesystem => vec![
                Hint::Note(
                    "a store that can't be written can lie below another one: name it in MPM_STORE_LAYERS, and set \
                     MPM_STORE to a folder of your own"
                        .to_owned(),
                ),
                unchanged(),
            ],
            Self::Unusable { .. } | Self::TooLarge { .. } | Self::Stopped => vec![unchanged()],
            Self::OtherLayout { .. } => vec![
                Hint::Note("use the version of mpm that wrote it, or another folder through MPM_STORE".to_owned()),
                unchanged(),
            ],
            Self::Full { .. } => vec![Hint::Run("mpm store gc --dry-run".to_owned()), unchanged()],
            Self::Planted { path, .. } => vec![
                Hint::Run(format!("ls -ld '{}'", path.display())),
                Hint::Note("it was not followed, and nothing was changed; find out who put it there".to_owned()),
            ],
            Self::DamagedRoot { path } => vec![
                Hint::Note(
                    "run `mpm sync` in your projects, which write their records anew; nothing was removed".to_owned(),
                ),
                Hint::Run(format!("rm '{}'", path.display())),
            ],
            Self::Changed { .. } => {
                vec![Hint::Note("it was not taken; try again when nothing writes to it".to_owned()), unchanged()]
            }
            Self::Busy(error) => error.hints(),
        }
    }
}
