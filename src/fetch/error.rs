//! Why a blob can't be had.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::diagnose::{Class, Code, Diagnose, Hint};
use crate::fetch::hub::HubProblem;
use crate::model::{HumanSize, Pin, Sha256};
use crate::sys::{HttpError, LeaseError};

/// Why a blob can't be had.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// It would not fit.
    #[error("{} are to be fetched and {} must stay free, but {} are free in {}", HumanSize(*needed), HumanSize(*margin), HumanSize(*free), folder.display())]
    NoSpace {
        /// Where they would go.
        folder: PathBuf,
        /// Bytes that are missing.
        needed: u64,
        /// Bytes that stay free.
        margin: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// No place gave it, and none gave wrong bytes.
    #[error("{what} can't be had from any place{}", Failures(failures))]
    Unreachable {
        /// What it is.
        what: String,
        /// Each place, and why not.
        failures: Vec<PlaceFailure>,
    },
    /// Sockets may not be opened, and no other place has it.
    #[error("{what} ({}) is not in the store, and this run is offline{}", HumanSize(pin.size), Failures(failures))]
    Offline {
        /// What it is.
        what: String,
        /// Its bytes.
        pin: Pin,
        /// Each place, and why not.
        failures: Vec<PlaceFailure>,
    },
    /// A place gave wrong bytes, and no other the right ones.
    #[error("{what}: expected sha256 {} of {} bytes, but no place gave them{}", expected.sha256, expected.size, Failures(failures))]
    WrongBytes {
        /// What it is.
        what: String,
        /// What is pinned.
        expected: Pin,
        /// Each place, and what it gave.
        failures: Vec<PlaceFailure>,
    },
    /// Its chunk index describes another blob, and without it no place gave it.
    #[error("the chunk index of {what} is wrong: each chunk is as it says, and together they are not sha256 {}; without it, no place gave the blob{}", expected.sha256, Failures(failures))]
    Index {
        /// What it is.
        what: String,
        /// What is pinned.
        expected: Pin,
        /// Each place that was asked without it, and why not.
        failures: Vec<PlaceFailure>,
    },
    /// The registry names no place for its blobs.
    #[error("no place is known that has {what}")]
    NoPlace {
        /// What it is.
        what: String,
    },
    /// The disk or quota became full.
    #[error("no space is left for {what}")]
    Full {
        /// What it is.
        what: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The folder of partial downloads can't be used.
    #[error("can't use {}", path.display())]
    Local {
        /// The folder or file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another process holds it and does nothing.
    #[error(transparent)]
    Busy(#[from] LeaseError),
    /// The user wished to stop.
    #[error("stopped")]
    Stopped,
}

/// A place that did not give a blob.
#[derive(Debug)]
pub struct PlaceFailure {
    /// The place.
    pub place: String,
    /// Why not.
    pub problem: Problem,
}

/// Why a place did not give a blob.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// HTTP.
    #[error(transparent)]
    Http(HttpError),
    /// A folder or object database.
    #[error(transparent)]
    Read(io::Error),
    /// It is not there.
    #[error("it is not there: it is not in this copy")]
    Absent,
    /// Fewer bytes came than are pinned, and then no more.
    #[error("only {received} bytes came")]
    Short {
        /// Bytes that came.
        received: u64,
    },
    /// Other bytes than are pinned.
    #[error("wrong bytes: {0}")]
    Wrong(Found),
    /// A hub.
    #[error(transparent)]
    Hub(HubProblem),
}

/// What came instead of the pinned bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// As many bytes, but others.
    Digest(Sha256),
    /// A file of another size.
    Size(u64),
    /// More bytes than are pinned; the rest was not read.
    MoreThan(u64),
    /// Other bytes in this range than the blob's chunk index says.
    Range {
        /// Offset of the first.
        from: u64,
        /// Offset after the last.
        to: u64,
    },
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Digest(digest) => write!(f, "found sha256 {digest}"),
            Self::Size(size) => write!(f, "found {size} bytes"),
            Self::MoreThan(size) => write!(f, "found more than {size} bytes"),
            Self::Range { from, to } => write!(f, "found others from byte {from} to {to}"),
        }
    }
}

/// A line for each place.
struct Failures<'a>(&'a [PlaceFailure]);

impl fmt::Display for Failures<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|failure| write!(f, "\n  {}: {}", failure.place, Whole(&failure.problem)))
    }
}

/// An error with its causes.
struct Whole<'a>(&'a (dyn std::error::Error + 'static));

impl fmt::Display for Whole<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        let mut last = self.0.to_string();
        while let Some(error) = cause {
            let text = error.to_string();
            // Some errors show their cause themselves.
            if !last.contains(&text) {
                write!(f, ": {text}")?;
            }
            last = text;
            cause = error.source();
        }
        Ok(())
    }
}

impl Problem {
    /// Whether the bytes themselves were wrong.
    pub fn is_wrong(&self) -> bool {
        matches!(self, Self::Wrong(_))
    }

    fn class(&self) -> Class {
        match self {
            Self::Wrong(_) => Class::Trust,
            Self::Http(error) => error.class(),
            Self::Hub(problem) => problem.class(),
            Self::Read(_) | Self::Absent | Self::Short { .. } => Class::Network,
        }
    }
}

impl FetchError {
    /// The error for a blob that no place gave.
    pub(super) fn from_failures(what: &str, pin: Pin, failures: Vec<PlaceFailure>) -> Self {
        let what = what.to_owned();
        let offline = |failure: &PlaceFailure| matches!(failure.problem, Problem::Http(HttpError::Offline { .. }));
        if failures.is_empty() {
            Self::NoPlace { what }
        } else if failures.iter().any(|failure| failure.problem.is_wrong()) {
            Self::WrongBytes { what, expected: pin, failures }
        } else if failures.iter().any(offline) {
            Self::Offline { what, pin, failures }
        } else {
            Self::Unreachable { what, failures }
        }
    }
}

impl Diagnose for FetchError {
    fn code(&self) -> Code {
        match self {
            Self::NoSpace { .. } => Code("E0721"),
            Self::Unreachable { .. } => Code("E0722"),
            Self::Offline { .. } => Code("E0723"),
            Self::WrongBytes { .. } => Code("E0724"),
            Self::NoPlace { .. } => Code("E0725"),
            Self::Full { .. } => Code("E0726"),
            Self::Local { .. } => Code("E0727"),
            Self::Stopped => Code("E0728"),
            Self::Index { .. } => Code("E0729"),
            Self::Busy(error) => error.code(),
        }
    }

    fn class(&self) -> Class {
        match self {
            Self::NoSpace { .. } | Self::Full { .. } | Self::Local { .. } => Class::Yours,
            Self::WrongBytes { .. } | Self::Index { .. } => Class::Trust,
            Self::Offline { .. } | Self::NoPlace { .. } => Class::Network,
            // A rule or a setting of the user's that stops every place is what has to change.
            Self::Unreachable { failures, .. } => match failures.split_first() {
                Some((first, rest)) if rest.iter().all(|one| one.problem.class() == first.problem.class()) => {
                    first.problem.class()
                }
                _ => Class::Network,
            },
            Self::Stopped => Class::Interrupted,
            Self::Busy(error) => error.class(),
        }
    }

    fn hints(&self) -> Vec<Hint> {
        let kept = || Hint::Note("nothing was placed; partial downloads are kept and gone on with".to_owned());
        let http = |failures: &[PlaceFailure]| {
            let mut hints: Vec<Hint> = Vec::new();
            for failure in failures {
                let more = match &failure.problem {
                    Problem::Http(error) => error.hints(),
                    Problem::Hub(problem) => problem.hints(),
                    _ => Vec::new(),
                };
                hints.extend(more.into_iter().filter(|hint| !hints.contains(hint)).collect::<Vec<_>>());
            }
            hints
        };
        match self {
            Self::NoSpace { .. } | Self::Full { .. } => vec![Hint::Run("mpm store gc --dry-run".to_owned()), kept()],
            Self::Unreachable { failures, .. } => {
                let mut hints = http(failures);
                hints.push(kept());
                hints
            }
            Self::Offline { .. } => {
                vec![Hint::Note("run the command once without --offline".to_owned()), kept()]
            }
            Self::WrongBytes { .. } => vec![
                Hint::Note("nothing was placed, and the wrong bytes were not kept".to_owned()),
                Hint::Note(
                    "a place that changes bytes is damaged or attacked: tell whoever runs it, and try again later"
                        .to_owned(),
                ),
            ],
            Self::Index { .. } => vec![Hint::Note(
                "nothing was placed; whoever published the release made the index: tell them".to_owned(),
            )],
            Self::NoPlace { .. } => {
                vec![Hint::Note("the registry's checkpoint names no base; tell whoever runs it".to_owned())]
            }
            Self::Local { path, .. } => vec![Hint::Run(format!("ls -ld '{}'", path.display())), kept()],
            Self::Stopped => vec![kept()],
            Self::Busy(error) => error.hints(),
        }
    }
}
