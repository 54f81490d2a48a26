//! Version requirements, with cargo's meaning and cargo's pre-release rule.

use std::fmt;

use semver::{Op, Version, VersionReq};

/// A version requirement such as `^1.2`, `=1.0.0`, `>=1, <3` or `*`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Requirement {
    text: String,
    parsed: VersionReq,
}

/// Why a text is not a requirement.
#[derive(Debug, thiserror::Error)]
#[error("{found:?} is not a version requirement: write \"1.2\", \"=1.2.3\" or \">=1, <3\"")]
pub struct RequirementError {
    /// What was found.
    pub found: String,
    #[source]
    source: semver::Error,
}

impl Requirement {
    /// Parses a requirement.
    ///
    /// # Errors
    /// A text that cargo would refuse too.
    pub fn parse(text: &str) -> Result<Self, RequirementError> {
        let parsed = VersionReq::parse(text)
            .map_err(|source| RequirementError { found: text.chars().take(80).collect(), source })?;
        Ok(Self { text: text.trim().to_owned(), parsed })
    }

    /// The requirement that asks for one version exactly.
    pub fn exactly(version: &Version) -> Self {
        let text = format!("={}.{}.{}", version.major, version.minor, version.patch);
        let text = if version.pre.is_empty() { text } else { format!("{text}-{}", version.pre) };
        let comparator = semver::Comparator {
            op: Op::Exact,
            major: version.major,
            minor: Some(version.minor),
            patch: Some(version.patch),
            pre: version.pre.clone(),
        };
        Self { text, parsed: VersionReq { comparators: vec![comparator] } }
    }

    /// Any version that is no pre-release.
    pub fn any() -> Self {
        Self { text: "*".to_owned(), parsed: VersionReq::STAR }
    }

    /// Whether the version satisfies the requirement. Pre-releases only where the requirement names one of the same
    /// major, minor and patch.
    pub fn matches(&self, version: &Version) -> bool {
        self.parsed.matches(version)
    }

    /// Whether the requirement names one version in full (`=1.2.3`).
    pub fn is_exact(&self) -> bool {
        matches!(self.parsed.comparators.as_slice(), [one] if one.op == Op::Exact && one.patch.is_some())
    }

    /// The requirement as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The parsed form, for the solver.
    pub fn parsed(&self) -> &VersionReq {
        &self.parsed
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Requirement({:?})", self.text)
    }
}
