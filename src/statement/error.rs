//! Why bytes are not a statement or a file list.

use crate::diagnose::{Class, Code, Diagnose, Hint};
use crate::model::canonical::CanonicalError;
use crate::model::{DigestError, HubIdError, KindError, NameError, PathError, RequirementError, TimeError};

/// A value that breaks the rules of its field.
#[derive(Debug, thiserror::Error)]
pub enum FieldError {
    /// Not a name or version.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Not a safe relative path.
    #[error(transparent)]
    Path(#[from] PathError),
    /// Not a digest.
    #[error(transparent)]
    Digest(#[from] DigestError),
    /// Not a kind or class.
    #[error(transparent)]
    Kind(#[from] KindError),
    /// Not a requirement.
    #[error(transparent)]
    Requirement(#[from] RequirementError),
    /// Not a point in time.
    #[error(transparent)]
    Time(#[from] TimeError),
    /// Not an id of the hub.
    #[error(transparent)]
    Hub(#[from] HubIdError),
    /// Text that breaks a rule.
    #[error("{found:?} {rule}")]
    Text {
        /// What was found, cut to 80 characters.
        found: String,
        /// The rule.
        rule: &'static str,
    },
    /// A number outside its bounds.
    #[error("{found} is not between {least} and {most}")]
    Integer {
        /// What was found.
        found: u64,
        /// The smallest that would do.
        least: u64,
        /// The largest that would do.
        most: u64,
    },
}

/// Why bytes are not a statement or file list, or not the one that was asked for.
#[derive(Debug, thiserror::Error)]
pub enum StatementError {
    /// Not a document of the fixed JSON family, too large, or of another shape.
    #[error("the release statement is not valid")]
    Document(#[source] CanonicalError),
    /// A line of a file list that is not valid.
    #[error("line {line} of the file list is not valid")]
    ListLine {
        /// Counted from 1.
        line: u64,
        /// What is wrong with it.
        #[source]
        source: CanonicalError,
    },
    /// A file list whose last line is cut.
    #[error("the file list ends within line {line}")]
    ListCut {
        /// Counted from 1.
        line: u64,
    },
    /// A type, registry, package or version other than what was asked for.
    #[error("the release statement has the {field} {found:?}, expected {expected:?}")]
    Identity {
        /// The field.
        field: &'static str,
        /// What was asked for.
        expected: String,
        /// What it says, cut to 200 characters.
        found: String,
    },
    /// A field marked as critical that this version does not know.
    #[error("the release statement needs a reader that knows the field {name:?}")]
    Critical {
        /// The field.
        name: String,
    },
    /// A value that breaks the rules of its field.
    #[error("the field {at} of the release statement does not hold what it must")]
    Field {
        /// Where, as `files[3].path`.
        at: String,
        /// What is wrong with it.
        #[source]
        source: FieldError,
    },
    /// Both `files` and `file-lists`, or neither.
    #[error("a release statement has either files or file-lists")]
    FilesOrLists,
    /// Two entries that are not in order: by path, then variant. What stands twice is not in order.
    #[error("the file {second:?} must not follow {first:?}: files are sorted by path, then variant")]
    FileOrder {
        /// The one before.
        first: String,
        /// The one that follows.
        second: String,
    },
    /// Files of one installation that can't live in one folder.
    #[error("files of {} clash", variant.as_deref().map_or_else(|| "all variants".to_owned(), |name| format!("the variant {name:?}")))]
    Clash {
        /// The variant, or common files.
        variant: Option<String>,
        /// Which paths.
        #[source]
        source: PathError,
    },
    /// A file list that differs from what the statement says of it.
    #[error("the file list {list} has {found} as its {what}, the statement says {expected}")]
    List {
        /// Digest of the list.
        list: String,
        /// Its size, count or bytes.
        what: &'static str,
        /// What the statement says.
        expected: u64,
        /// What the list has.
        found: u64,
    },
    /// Another number of lists than the statement has.
    #[error("{found} file lists were read, the statement has {expected}")]
    Lists {
        /// How many the statement has.
        expected: usize,
        /// How many were given.
        found: usize,
    },
    /// A variant that the statement does not declare.
    #[error("{at} names the variant {variant:?}, which the statement does not declare")]
    Variant {
        /// What names it: a path, or `default-variant`.
        at: String,
        /// The variant.
        variant: String,
    },
    /// More of something than a statement may have.
    #[error("{found} {what} are more than the {limit} that a release may have")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        found: u64,
        /// How many may be.
        limit: u64,
    },
    /// A place in a pack that can't be.
    #[error("the file {path:?} {rule}")]
    Place {
        /// The file.
        path: String,
        /// The rule that it breaks.
        rule: &'static str,
    },
    /// A dependency or provenance entry that stands out of order or twice, or points to the release's own package.
    #[error("the entry {name:?} of {field} {rule}")]
    Reference {
        /// The field.
        field: &'static str,
        /// The entry.
        name: String,
        /// The rule that it breaks.
        rule: &'static str,
    },
}

impl Diagnose for StatementError {
    fn code(&self) -> Code {
        Code(match self {
            Self::Document(_) => "E0201",
            Self::Identity { .. } => "E0202",
            Self::Critical { .. } => "E0203",
            Self::Field { .. } | Self::FilesOrLists => "E0204",
            Self::FileOrder { .. } | Self::Clash { .. } => "E0205",
            Self::ListLine { .. } | Self::ListCut { .. } | Self::List { .. } | Self::Lists { .. } => "E0206",
            Self::Variant { .. } => "E0207",
            Self::TooMany { .. } => "E0208",
            Self::Reference { .. } => "E0209",
            Self::Place { .. } => "E0210",
        })
    }

    fn class(&self) -> Class {
        Class::Trust
    }

    fn hints(&self) -> Vec<Hint> {
        match self {
            Self::Critical { .. } => vec![Hint::Note("a newer mpm reads this release; nothing was changed".to_owned())],
            Self::Identity { .. } => {
                vec![Hint::Note(
                    "a genuine statement may have been offered for another release; nothing was changed".to_owned(),
                )]
            }
            _ => vec![Hint::Note("nothing of this release was used or changed".to_owned())],
        }
    }
}
