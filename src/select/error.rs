//! Why nothing can be selected.

use crate::diagnose::{Class, Code, Diagnose, Hint};
use crate::model::{DependencyKey, HumanSize, PackageKind, PathError, VariantName};

/// Most names that a hint lists.
const SHOWN: usize = 8;

/// Why nothing can be selected. `of` names a dependency by its key, or a release that only others need by its id.
#[derive(Debug, thiserror::Error)]
pub enum SelectError {
    /// A group, profile or key that Model.toml does not have.
    #[error("Model.toml has no {what} {found:?}")]
    NoSuch {
        /// What was named.
        what: &'static str,
        /// The name.
        found: String,
        /// What may have been meant, nearest first.
        nearest: Vec<String>,
        /// What there is.
        known: Vec<String>,
    },
    /// A dependency that the lock does not have.
    #[error("Model.toml line {line}: {key} has no entry in Model.lock")]
    NotLocked {
        /// Its key.
        key: DependencyKey,
        /// Its line.
        line: usize,
    },
    /// A dependency in the table of another kind.
    #[error("Model.toml line {line}: {key} is a {found} and stands among the {expected}s")]
    Kind {
        /// Its key.
        key: DependencyKey,
        /// The table's kind.
        expected: PackageKind,
        /// What it is.
        found: PackageKind,
        /// Its line.
        line: usize,
    },
    /// A variant that the release does not have.
    #[error("{of} has no variant \"{found}\"; it has {}", listed(variants))]
    NoSuchVariant {
        /// The dependency.
        of: String,
        /// The variant asked for.
        found: VariantName,
        /// What it has, with the bytes that each would install.
        variants: Vec<(VariantName, u64)>,
    },
    /// Variants, no default, and nobody chose.
    #[error("{of} has several variants and no default: choose among {}", listed(variants))]
    NoDefault {
        /// The dependency.
        of: String,
        /// What it has, with the bytes that each would install.
        variants: Vec<(VariantName, u64)>,
    },
    /// A pattern that no path of the release matches.
    #[error("{}{field} of {key} has {glob:?}, which matches no file of the release", spot(*line))]
    GlobMatchesNothing {
        /// The dependency's key.
        key: DependencyKey,
        /// `include` or `exclude`.
        field: &'static str,
        /// The pattern.
        glob: String,
        /// The dependency's line; 0 where no Model.toml says it.
        line: usize,
    },
    /// Include, exclude and variants leave no file.
    #[error("{}include and exclude of {key} leave no file", spot(*line))]
    Nothing {
        /// The dependency's key.
        key: DependencyKey,
        /// The dependency's line.
        line: usize,
    },
    /// Two folders that are one, or one in the other.
    #[error("{of} can't land in {folder}: another dependency lands there, in it or around it")]
    Clash {
        /// The dependency.
        of: String,
        /// The folder.
        folder: String,
        /// Which two.
        #[source]
        source: PathError,
    },
    /// A place that is no safe path.
    #[error("{of} can't land in {folder}")]
    Place {
        /// The dependency.
        of: String,
        /// The folder or file.
        folder: String,
        /// The rule that it breaks.
        #[source]
        source: PathError,
    },
    /// Contents that the caller should have loaded: a bug of ours.
    #[error("the contents of {of} were not loaded")]
    NotLoaded {
        /// The release or source.
        of: String,
    },
}

fn listed(variants: &[(VariantName, u64)]) -> String {
    if variants.is_empty() {
        return "none".to_owned();
    }
    let each: Vec<String> = variants.iter().map(|(name, bytes)| format!("{name} ({})", HumanSize(*bytes))).collect();
    each.join(", ")
}

/// Where a dependency stands; nothing for one that no Model.toml has.
fn spot(line: usize) -> String {
    if line == 0 { String::new() } else { format!("Model.toml line {line}: ") }
}

/// The first of many.
fn some(known: &[String]) -> &[String] {
    known.get(..SHOWN).unwrap_or(known)
}

fn more(known: &[String]) -> String {
    known.len().checked_sub(SHOWN).filter(|more| *more > 0).map(|more| format!(" and {more} more")).unwrap_or_default()
}

impl Diagnose for SelectError {
    fn code(&self) -> Code {
        Code(match self {
            Self::NoSuch { .. } => "E0551",
            Self::NotLocked { .. } => "E0552",
            Self::Kind { .. } => "E0553",
            Self::NoSuchVariant { .. } => "E0554",
            Self::NoDefault { .. } => "E0555",
            Self::GlobMatchesNothing { .. } => "E0556",
            Self::Nothing { .. } => "E0557",
            Self::Clash { .. } => "E0558",
            Self::Place { .. } => "E0559",
            Self::NotLoaded { .. } => "E0560",
        })
    }

    fn class(&self) -> Class {
        match self {
            // A question that only a person can answer.
            Self::NoDefault { .. } => Class::Usage,
            Self::NotLoaded { .. } => Class::Internal,
            _ => Class::Yours,
        }
    }

    fn hints(&self) -> Vec<Hint> {
        let add = |lines: String| Hint::Add { file: "Model.toml", lines };
        let unchanged = Hint::Note("nothing was placed".to_owned());
        let mut hints = match self {
            Self::NoSuch { nearest, .. } if !nearest.is_empty() => {
                vec![Hint::Note(format!("did you mean {}?", nearest.join(" or ")))]
            }
            Self::NoSuch { what, known, .. } => vec![Hint::Note(match known.as_slice() {
                [] => format!("it has no {what} at all"),
                known => format!("it has {}{}", some(known).join(", "), more(known)),
            })],
            Self::NotLocked { .. } => vec![Hint::Run("mpm lock".to_owned())],
            Self::Kind { key, found, .. } => {
                vec![Hint::Note(format!("move the line of {key} to [{found}s], or to the {found}s of its group"))]
            }
            Self::NoSuchVariant { of, variants, .. } | Self::NoDefault { of, variants } => match variants.first() {
                Some((first, _)) => vec![add(format!("{of:?} = {{ version = \"…\", variant = \"{first}\" }}"))],
                None => vec![Hint::Note(format!("take variant away from {of}: its release has none"))],
            },
            Self::Clash { of, .. } | Self::Place { of, .. } => {
                vec![Hint::Note(format!("give {of} another key, or a place of its own with to = \"…\""))]
            }
            _ => Vec::new(),
        };
        hints.push(unchanged);
        hints
    }
}
