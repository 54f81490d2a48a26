//! Why a selection can't be laid out.

use crate::diagnose::{Class, Code, Diagnose, Hint};
use crate::model::PathError;

/// Why a selection can't be laid out.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// Two dependencies give one file of one snapshot different bytes.
    #[error("{first} and {second} both lie at {repository} {commit} in the layout, and {path:?} differs between them")]
    Differs {
        /// The repository as the other tool names it.
        repository: String,
        /// The commit, or what stands for one.
        commit: String,
        /// The path in it.
        path: String,
        /// The dependency that came first, by key or id.
        first: String,
        /// The other.
        second: String,
    },
    /// Paths that can't live side by side, or a layout in a package's folder.
    #[error("the layout {layout} can't lie at {path}")]
    Clash {
        /// The layout.
        layout: &'static str,
        /// Its root, or a folder of it.
        path: String,
        /// Which two paths.
        #[source]
        source: PathError,
    },
    /// A path that is no safe one any more where the layout puts it.
    #[error("the layout {layout} can't place {path:?} of {of}")]
    Place {
        /// The layout.
        layout: &'static str,
        /// The dependency, by key or id.
        of: String,
        /// The path, or a name that becomes one.
        path: String,
        /// The rule that it breaks.
        #[source]
        source: PathError,
    },
    /// A revision that would lead to two commits.
    #[error("{first} and {second} would both be revision {revision:?} of {repository} in the layout")]
    Ambiguous {
        /// The repository as the other tool names it.
        repository: String,
        /// The revision.
        revision: String,
        /// One of them, by key or id.
        first: String,
        /// The other.
        second: String,
    },
}

impl Diagnose for LayoutError {
    fn code(&self) -> Code {
        Code(match self {
            Self::Differs { .. } => "E0781",
            Self::Clash { .. } => "E0782",
            Self::Place { .. } => "E0783",
            Self::Ambiguous { .. } => "E0784",
        })
    }

    fn class(&self) -> Class {
        Class::Yours
    }

    fn hints(&self) -> Vec<Hint> {
        let note = |text: &str| Hint::Note(text.to_owned());
        let unchanged = note("nothing was placed");
        match self {
            Self::Differs { .. } => vec![
                note(
                    "ask for both variants in one dependency (`variants = […]`), which then lie in folders of their own; \
                     or take one of the two out",
                ),
                unchanged,
            ],
            Self::Clash { .. } => vec![
                note("choose another folder: `layouts = [{ layout = \"…\", to = \"…\" }]` in [install] of Model.toml"),
                unchanged,
            ],
            Self::Place { .. } => {
                vec![note("`exclude` the file, or choose a shorter folder with `to` at the layout"), unchanged]
            }
            Self::Ambiguous { .. } => vec![note("take one of the two out, or the layout"), unchanged],
        }
    }
}
