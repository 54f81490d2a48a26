//! Why a bundle can't be read or written.

use std::io;
use std::path::{Path, PathBuf};

use crate::bundle::parse::TableError;
use crate::diagnose::{Class, Code, Diagnose, Hint};
use crate::model::HumanSize;
use crate::sys::files;

/// Why a bundle can't be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// It is no bundle, or one of another version.
    #[error("{} is no bundle that this version reads: {why}", path.display())]
    NoBundle {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Its table breaks a rule, or is not the one that its first line names.
    #[error("{} is damaged or was changed", path.display())]
    Table {
        /// The file.
        path: PathBuf,
        /// The rule.
        #[source]
        source: TableError,
    },
    /// It ends too early or too late.
    #[error("{} has {found} bytes, and its table says {expected}: {}", path.display(),
        if found < expected { "it was cut short" } else { "something was added at its end" })]
    Length {
        /// The file.
        path: PathBuf,
        /// Bytes that it must have.
        expected: u64,
        /// Bytes that it has.
        found: u64,
    },
    /// Volumes that are not one bundle.
    #[error("these files are not the volumes of one bundle: {why}")]
    Volumes {
        /// What does not fit.
        why: String,
    },
    /// A folder that holds something else than its table says.
    #[error("{} is not what the bundle's table says: {why}", path.display())]
    Folder {
        /// The file in it.
        path: PathBuf,
        /// What is wrong.
        why: &'static str,
    },
    /// Something stands where the bundle is to be written.
    #[error("{} is there already", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// More or larger than a bundle can hold.
    #[error("this is more than one bundle holds: 2,000,000 files and blobs, files of an index of 1 GiB, 8 PiB in all")]
    TooMuch,
    /// The disk or quota is full, or would be.
    #[error("{} has no room for the bundle{}", path.display(), room(needed.as_ref()))]
    Full {
        /// The folder.
        path: PathBuf,
        /// Bytes that are to be written and bytes that are free, where that was counted.
        needed: Option<(u64, u64)>,
        /// What the system said.
        #[source]
        source: Option<io::Error>,
    },
    /// A file can't be read or written.
    #[error("can't use {}", path.display())]
    Disk {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// An entry whose bytes are not there any more, or are others.
    #[error("{what} is not what was pinned any more: it changed while the bundle was written")]
    Changed {
        /// What it is.
        what: String,
        /// Its digest.
        digest: crate::model::Sha256,
    },
    /// The user wished to stop.
    #[error("stopped")]
    Stopped,
}

fn room(needed: Option<&(u64, u64)>) -> String {
    needed.map_or_else(String::new, |(needed, free)| {
        format!(": {} are to be written, {} are free", HumanSize(*needed), HumanSize(*free))
    })
}

impl BundleError {
    /// The error of a file.
    pub(super) fn at(path: &Path) -> impl Fn(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| {
            if files::is_full(&source) {
                Self::Full { path: path.clone(), needed: None, source: Some(source) }
            } else if source.kind() == io::ErrorKind::Interrupted {
                Self::Stopped
            } else {
                Self::Disk { path: path.clone(), source }
            }
        }
    }
}

impl Diagnose for BundleError {
    fn code(&self) -> Code {
        Code(match self {
            Self::NoBundle { .. } => "E1080",
            Self::Table { .. } => "E1081",
            Self::Length { .. } => "E1082",
            Self::Volumes { .. } => "E1083",
            Self::Folder { .. } => "E1084",
            Self::Exists { .. } => "E1085",
            Self::TooMuch => "E1086",
            Self::Full { .. } => "E1087",
            Self::Disk { .. } | Self::Changed { .. } => "E1088",
            Self::Stopped => "E1089",
        })
    }

    fn class(&self) -> Class {
        match self {
            Self::Table { .. } | Self::Length { .. } | Self::Folder { .. } => Class::Trust,
            Self::Stopped => Class::Interrupted,
            _ => Class::Yours,
        }
    }

    fn hints(&self) -> Vec<Hint> {
        let note = |text: &str| Hint::Note(text.to_owned());
        match self {
            Self::NoBundle { .. } => {
                vec![
                    note("nothing was changed"),
                    note("a bundle is what `mpm bundle create` wrote: a file, volumes, or a folder"),
                ]
            }
            Self::Table { .. } | Self::Length { .. } => vec![
                note("nothing was changed; what is in it is not used"),
                note("copy the bundle to the medium once more, and compare: `sha256sum` on both sides"),
            ],
            Self::Volumes { .. } => {
                vec![note("nothing was changed"), note("name every volume of one bundle; their order does not matter")]
            }
            Self::Folder { .. } => vec![
                note("nothing was changed; what is in the folder is not used"),
                note("a bundle's folder holds the files of its table and nothing else: copy it once more"),
            ],
            Self::Exists { path } => {
                vec![note("nothing was changed"), Hint::Run(format!("rm -r '{}'", path.display()))]
            }
            Self::TooMuch => vec![note("make several bundles: name packages, locks or --variant")],
            Self::Full { .. } => vec![
                note("no bundle was written; what was fetched for it is kept, and the same command goes on"),
                note("make room, or ask for less with --newest, --variant or --since"),
            ],
            Self::Disk { path, .. } => vec![Hint::Run(format!("ls -ld '{}'", path.display()))],
            Self::Changed { .. } => vec![note("no bundle was written; run the command again")],
            Self::Stopped => vec![note("what was fetched is kept; the same command goes on")],
        }
    }
}
