//! Why a mirror can't be made or looked at.

use std::io;
use std::path::{Path, PathBuf};

use crate::bundle::BundleError;
use crate::diagnose::{Class, Code, Diagnose, Hint};
use crate::fetch::FetchError;
use crate::index::IndexError;
use crate::model::{CheckpointNumber, HumanSize, RegistryId, Sha256};
use crate::statement::StatementError;
use crate::sys::{LeaseError, files};
use crate::verify::Mismatch;

/// Why a mirror can't be made or looked at.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MirrorError {
    /// Reading the registry.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// Fetching a blob.
    #[error(transparent)]
    Fetch(FetchError),
    /// A file list.
    #[error(transparent)]
    Statement(#[from] StatementError),
    /// Bytes that are not what was pinned.
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
    /// A bundle that can't be read or written.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// A bundle with something in it that no signed file leads to.
    #[error("{} holds {extra} entries that nothing signed leads to, the first is {first}", path.display())]
    Stowaway {
        /// The bundle.
        path: PathBuf,
        /// How many.
        extra: usize,
        /// The first.
        first: String,
    },
    /// A bundle that lacks blobs of releases that it holds, and so does the place that it is for.
    #[error("{} lacks {missing} blobs ({}) of the releases in it: {first}", path.display(), HumanSize(*bytes))]
    Lacking {
        /// The bundle.
        path: PathBuf,
        /// How many.
        missing: u64,
        /// Their bytes.
        bytes: u64,
        /// The first, by name.
        first: String,
        /// The checkpoint that it goes on from, if it does.
        since: Option<CheckpointNumber>,
    },
    /// A signed file of a bundle that does not count.
    #[error("{}: {what} does not count: {why}", path.display())]
    Unsound {
        /// The bundle.
        path: PathBuf,
        /// The file in it.
        what: String,
        /// Why.
        why: String,
    },
    /// A bundle of another registry.
    #[error("{} is of registry {found} (root sha256:{found_root}), not of {registry} (root sha256:{root})",
        path.display())]
    OtherBundle {
        /// The bundle.
        path: PathBuf,
        /// What was asked for.
        registry: RegistryId,
        /// Its root.
        root: Sha256,
        /// What the bundle says.
        found: RegistryId,
        /// The root that it says.
        found_root: Sha256,
    },
    /// Another run has the folder.
    #[error(transparent)]
    Lease(LeaseError),
    /// A folder with something else in it.
    #[error("{} is no mirror: {what}", path.display())]
    NoMirror {
        /// The folder.
        path: PathBuf,
        /// What is there.
        what: &'static str,
    },
    /// A mirror of another registry.
    #[error("{} is a mirror of registry {found} (root sha256:{found_root}), not of {registry} (root sha256:{root})",
        path.display())]
    OtherRegistry {
        /// The folder.
        path: PathBuf,
        /// What was asked for.
        registry: RegistryId,
        /// Its root.
        root: Sha256,
        /// What is there.
        found: RegistryId,
        /// Its root.
        found_root: Sha256,
    },
    /// The source shows an older checkpoint than the mirror has.
    #[error("the registry shows {what} {found}; the mirror in {} has {standing}", path.display())]
    Older {
        /// The mirror.
        path: PathBuf,
        /// Which number.
        what: &'static str,
        /// The source's.
        found: String,
        /// The mirror's.
        standing: String,
    },
    /// One number, two contents.
    #[error("the registry shows another checkpoint {at} (sha256:{found}) than the mirror has (sha256:{standing})")]
    TwoCheckpoints {
        /// The number of both.
        at: CheckpointNumber,
        /// The source's.
        found: Sha256,
        /// The mirror's.
        standing: Sha256,
    },
    /// The mirror's disk or quota is full, or would be.
    #[error("{} has no room for the mirror{}", path.display(), room(needed.as_ref()))]
    Full {
        /// The mirror.
        path: PathBuf,
        /// Bytes that are to come and bytes that are free, where that was counted.
        needed: Option<(u64, u64)>,
        /// What the system said.
        #[source]
        source: Option<io::Error>,
    },
    /// A file or folder of the mirror can't be used.
    #[error("can't use {}", path.display())]
    Folder {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A symbolic link, device or other thing where the mirror has files and folders of its own.
    #[error("{} is a symbolic link or no folder: a mirror is written through no link", path.display())]
    Link {
        /// What stands there.
        path: PathBuf,
    },
    /// A note of the mirror's own that is damaged.
    #[error("{} is not what a mirror writes there", path.display())]
    Note {
        /// The file.
        path: PathBuf,
    },
    /// A name or pattern that nothing answers.
    #[error("registry {registry} has nothing for {asked:?}: {why}")]
    Nothing {
        /// The registry.
        registry: RegistryId,
        /// What was asked.
        asked: String,
        /// Why nothing answers.
        why: &'static str,
    },
    /// The mirror would be copied into itself.
    #[error("{} is where the copy comes from", path.display())]
    Itself {
        /// The folder.
        path: PathBuf,
    },
    /// The user wished to stop.
    #[error("stopped")]
    Stopped,
}

fn room(needed: Option<&(u64, u64)>) -> String {
    needed.map_or_else(String::new, |(needed, free)| {
        format!(": {} are to come, {} are free", HumanSize(*needed), HumanSize(*free))
    })
}

impl From<LeaseError> for MirrorError {
    fn from(error: LeaseError) -> Self {
        match error {
            LeaseError::Unusable { path, source } if files::is_full(&source) => {
                Self::Full { path, needed: None, source: Some(source) }
            }
            other => Self::Lease(other),
        }
    }
}

impl MirrorError {
    /// The error of a file of the mirror.
    pub(super) fn at(path: &Path) -> impl Fn(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| {
            if files::is_full(&source) {
                Self::Full { path: path.clone(), needed: None, source: Some(source) }
            } else if source.kind() == io::ErrorKind::Interrupted {
                Self::Stopped
            } else {
                Self::Folder { path: path.clone(), source }
            }
        }
    }

    /// What fetching into a mirror's folder failed with.
    pub(super) fn fetching(folder: &Path, error: FetchError) -> Self {
        let path = folder.to_owned();
        match error {
            FetchError::NoSpace { needed, free, .. } => Self::Full { path, needed: Some((needed, free)), source: None },
            FetchError::Full { source, .. } => Self::Full { path, needed: None, source: Some(source) },
            FetchError::Busy(error) => Self::from(error),
            FetchError::Local { path, source } => Self::at(&path)(source),
            FetchError::Stopped => Self::Stopped,
            other => Self::Fetch(other),
        }
    }
}

impl Diagnose for MirrorError {
    fn code(&self) -> Code {
        match self {
            Self::Index(error) => error.code(),
            Self::Fetch(error) => error.code(),
            Self::Statement(error) => error.code(),
            Self::Mismatch(error) => error.code(),
            Self::Bundle(error) => error.code(),
            Self::Lease(error) => error.code(),
            Self::NoMirror { .. } => Code("E1001"),
            Self::OtherRegistry { .. } => Code("E1002"),
            Self::Older { .. } | Self::TwoCheckpoints { .. } => Code("E1003"),
            Self::Full { .. } => Code("E1004"),
            Self::Folder { .. } => Code("E1005"),
            Self::Link { .. } => Code("E1006"),
            Self::Note { .. } => Code("E1007"),
            Self::Nothing { .. } => Code("E1008"),
            Self::Itself { .. } => Code("E1009"),
            Self::Stopped => Code("E1010"),
            Self::Stowaway { .. } => Code("E1011"),
            Self::Lacking { .. } => Code("E1012"),
            Self::Unsound { .. } => Code("E1013"),
            Self::OtherBundle { .. } => Code("E1014"),
        }
    }

    fn class(&self) -> Class {
        match self {
            Self::Index(error) => error.class(),
            Self::Fetch(error) => error.class(),
            Self::Statement(error) => error.class(),
            Self::Mismatch(error) => error.class(),
            Self::Bundle(error) => error.class(),
            Self::Lease(error) => error.class(),
            Self::Older { .. }
            | Self::TwoCheckpoints { .. }
            | Self::Stowaway { .. }
            | Self::Unsound { .. }
            | Self::OtherBundle { .. } => Class::Trust,
            Self::Itself { .. } => Class::Usage,
            Self::Stopped => Class::Interrupted,
            _ => Class::Yours,
        }
    }

    fn hints(&self) -> Vec<Hint> {
        let note = |text: &str| Hint::Note(text.to_owned());
        match self {
            Self::Index(error) => error.hints(),
            Self::Fetch(error) => error.hints(),
            Self::Statement(error) => error.hints(),
            Self::Mismatch(error) => error.hints(),
            Self::Bundle(error) => error.hints(),
            Self::Lease(error) => error.hints(),
            Self::NoMirror { .. } => vec![
                note("nothing was changed"),
                note("name a folder that is empty, that is not there yet, or that `mpm mirror sync` made"),
            ],
            Self::OtherRegistry { .. } => {
                vec![note("nothing was changed"), note("each registry has a mirror in a folder of its own")]
            }
            Self::Older { .. } => vec![note(
                "an old copy is served, by delay or on purpose; the mirror was left as it is. If the registry was restored \
                 from a backup, its owners must publish a new root with a higher epoch",
            )],
            Self::TwoCheckpoints { .. } => vec![note(
                "the index key's holder shows different histories to different readers; tell the registry's owners, with \
                 these digests. The mirror was left as it is",
            )],
            Self::Stowaway { .. } | Self::Unsound { .. } => vec![
                note("nothing was imported: this is not what `mpm bundle create` wrote"),
                note(
                    "ask whoever made the bundle for another, and compare its digest, which `mpm bundle list` shows, with them",
                ),
            ],
            Self::Lacking { since: Some(since), .. } => vec![
                note("nothing was imported"),
                Hint::Note(format!(
                    "the bundle holds only what is new since checkpoint {since}: import the one before it first, or have one made \
                     without --since"
                )),
            ],
            Self::Lacking { .. } => {
                vec![
                    note("nothing was imported"),
                    note("have the bundle made again, where everything is that it must hold"),
                ]
            }
            Self::OtherBundle { .. } => vec![
                note("nothing was imported"),
                note(
                    "a registry is its first root: compare the digests with the registry's owners; each has a folder of its own",
                ),
            ],
            Self::Full { .. } => vec![
                note(
                    "what the mirror showed before it still shows, whole; what came is kept, and the same command goes on",
                ),
                note("make room, or ask for less with --newest or --variant and remove the rest with --prune"),
            ],
            Self::Folder { path, .. } => {
                vec![Hint::Run(format!("ls -ld '{}'", path.display())), note("what the mirror showed it still shows")]
            }
            Self::Link { .. } => vec![
                note("nothing was written through it; mount or bind a disk there instead, or remove the link"),
                note("the folder of the mirror itself may be reached through a link"),
            ],
            Self::Note { .. } => vec![note(
                "nothing was changed; make the mirror anew in another folder: `mpm mirror sync NEW --from OLD` takes what is \
                 good of the old one",
            )],
            Self::Nothing { .. } => vec![note("nothing was changed"), Hint::Run("mpm search --all".to_owned())],
            Self::Itself { .. } => vec![note("nothing was changed")],
            Self::Stopped => vec![note("what came is kept; the same command goes on where it stopped")],
        }
    }
}
