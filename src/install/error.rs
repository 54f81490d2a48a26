//! Why nothing, or not everything, was placed.

use std::io;
use std::path::PathBuf;

use crate::diagnose::{Class, Code, Diagnose, Hint};
use crate::model::{Pin, RelPath};
use crate::store::StoreError;

/// Most paths that one message names.
const SHOWN: usize = 10;

/// Why nothing, or not everything, was placed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InstallError {
    /// The file system refused.
    #[error("can't {doing} {}", path.display())]
    Disk {
        /// What was being done, as a verb.
        doing: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The receipt, a file table or the list of pending files does not read.
    #[error("{} is damaged: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A receipt of a later format.
    #[error("{} was written by a newer mpm: expected mpm.receipt/1, found {found}", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its type.
        found: String,
    },
    /// Files of the user's stand where files must be placed.
    #[error("{} in the way that mpm did not place:{}", counted(paths.len(), "file stands", "files stand"), listed(paths))]
    InTheWay {
        /// All of them, relative to the project.
        paths: Vec<RelPath>,
    },
    /// Placed files whose bytes are no longer those that were placed.
    #[error("{}:{}", counted(paths.len(), "file was changed since mpm placed it", "files were changed since mpm placed them"), listed(paths))]
    Changed {
        /// All of them, relative to the project.
        paths: Vec<RelPath>,
    },
    /// A symlink where a folder must be.
    #[error("folders are symbolic links, and mpm never places through one:{}", listed(paths))]
    Symlinked {
        /// All of them, relative to the project.
        paths: Vec<RelPath>,
    },
    /// A blob is not in the store.
    #[error("the store does not hold sha256 {} of {} bytes, which {path} needs", pin.sha256, pin.size)]
    NotInStore {
        /// The file that needs it.
        path: RelPath,
        /// The blob.
        pin: Pin,
    },
    /// The way of linking that was asked for is not possible here.
    #[error("can't place {path} by {wanted}")]
    Link {
        /// The file.
        path: RelPath,
        /// The way that was asked for.
        wanted: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Somebody wished to stop.
    #[error("stopped while placing files")]
    Interrupted,
}

impl Diagnose for InstallError {
    fn code(&self) -> Code {
        match self {
            Self::Disk { .. } => Code("E0751"),
            Self::Damaged { .. } => Code("E0752"),
            Self::Newer { .. } => Code("E0753"),
            Self::InTheWay { .. } => Code("E0754"),
            Self::Changed { .. } => Code("E0755"),
            Self::Symlinked { .. } => Code("E0756"),
            Self::NotInStore { .. } => Code("E0757"),
            Self::Link { .. } => Code("E0758"),
            Self::Interrupted => Code("E0759"),
            Self::Store(error) => error.code(),
        }
    }

    fn class(&self) -> Class {
        match self {
            Self::Interrupted => Class::Interrupted,
            Self::Store(error) => error.class(),
            _ => Class::Yours,
        }
    }

    fn hints(&self) -> Vec<Hint> {
        let unchanged = || Hint::Note("nothing in the project was changed".to_owned());
        match self {
            Self::Disk { source, .. } => disk_hints(source),
            Self::Damaged { path, .. } | Self::Newer { path, .. } => vec![
                unchanged(),
                Hint::Note(format!(
                    "to start afresh, remove {} and sync again: files that hold the right bytes are taken over, any \
                     other file is left alone",
                    path.display()
                )),
            ],
            Self::InTheWay { .. } => {
                vec![unchanged(), Hint::Note("move the files away, then run the command again".to_owned())]
            }
            Self::Changed { .. } => vec![
                unchanged(),
                Hint::Note("to keep the changes, copy the files to a place of your own".to_owned()),
                Hint::Run("mpm verify --repair".to_owned()),
            ],
            Self::Symlinked { .. } => vec![
                unchanged(),
                Hint::Note(
                    "replace the links by folders, or choose another place with `to = …` in Model.toml".to_owned(),
                ),
            ],
            Self::NotInStore { .. } => vec![Hint::Run("mpm sync".to_owned())],
            Self::Link { .. } => vec![Hint::Run("mpm sync --link auto".to_owned())],
            Self::Store(error) => error.hints(),
            Self::Interrupted => vec![Hint::Note("what was placed is kept; the next `mpm sync` goes on".to_owned())],
        }
    }
}

fn disk_hints(source: &io::Error) -> Vec<Hint> {
    let next = || Hint::Note("what was placed before is kept; the next `mpm sync` goes on".to_owned());
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            vec![Hint::Note("free some space on that file system".to_owned()), next()]
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            vec![Hint::Note("the project's folder must be writable for you".to_owned()), next()]
        }
        _ => vec![next()],
    }
}

fn counted(count: usize, one: &str, many: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {many}") }
}

/// The first paths, a line each, and the number of the rest.
fn listed(paths: &[RelPath]) -> String {
    let mut lines: Vec<String> = paths.iter().take(SHOWN).map(|path| format!("  {path}")).collect();
    if let Some(more) = paths.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        lines.push(format!("  … and {more} more"));
    }
    format!("\n{}", lines.join("\n"))
}
