//! Globs over release paths: `*` stops at `/`, `**` does not.

use std::fmt;

use crate::model::RelPath;

/// A pattern over release paths.
#[derive(Clone)]
pub struct Glob {
    text: String,
    matcher: globset::GlobMatcher,
}

/// Why a text is not a glob.
#[derive(Debug, thiserror::Error)]
#[error("{text:?} is not a glob pattern")]
pub struct GlobError {
    /// What was found.
    pub text: String,
    #[source]
    source: globset::Error,
}

impl Glob {
    /// Parses a pattern.
    ///
    /// # Errors
    /// Unbalanced brackets and braces.
    pub fn parse(text: &str) -> Result<Self, GlobError> {
        let glob = globset::GlobBuilder::new(text)
            .literal_separator(true)
            .build()
            .map_err(|source| GlobError { text: text.to_owned(), source })?;
        Ok(Self { text: text.to_owned(), matcher: glob.compile_matcher() })
    }

    /// Whether the pattern covers the path.
    pub fn matches(&self, path: &RelPath) -> bool {
        self.matcher.is_match(path.as_str())
    }

    /// Whether `include` (all, if empty) and `exclude`, which wins, let a path through.
    pub fn admit(include: &[Self], exclude: &[Self], path: &RelPath) -> bool {
        let any = |globs: &[Self]| globs.iter().any(|glob| glob.matches(path));
        (include.is_empty() || any(include)) && !any(exclude)
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl PartialEq for Glob {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Glob {}

impl fmt::Debug for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Glob({:?})", self.text)
    }
}
