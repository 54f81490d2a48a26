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

    /// The same kind of requirement, raised so that this version is the lowest that it admits: `^1.2` becomes `^2.0`, as
    /// precise as it was. `None` where no higher one says more than this one: `*`, exact ones (they are meant), and
    /// bounds that admit the version already.
    pub fn raised_to(&self, version: &Version) -> Option<Self> {
        let one = match self.parsed.comparators.as_slice() {
            [one] => one,
            [] => return None,
            _ if self.matches(version) => return None,
            _ => return Self::parse(&version.to_string()).ok(),
        };
        if self.is_exact() {
            return None;
        }
        let word = match one.op {
            Op::Tilde => "~",
            Op::Caret if self.text.starts_with('^') => "^",
            Op::Caret => "",
            Op::Exact => "=",
            Op::Wildcard if one.minor.is_some() => {
                return Self::parse(&format!("{}.{}.*", version.major, version.minor)).ok();
            }
            Op::Wildcard => return Self::parse(&format!("{}.*", version.major)).ok(),
            _ if self.matches(version) => return None,
            _ => return Self::parse(&version.to_string()).ok(),
        };
        let text = match (one.minor, one.patch) {
            _ if !version.pre.is_empty() => version.to_string(),
            (None, _) => version.major.to_string(),
            (Some(_), None) => format!("{}.{}", version.major, version.minor),
            _ => version.to_string(),
        };
        Self::parse(&format!("{word}{text}")).ok()
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

#[cfg(test)]
mod tests {
    use super::{Requirement, Version};

    #[test]
    fn a_raised_requirement_keeps_its_form() {
        for (from, version, expected) in [
            ("^1.2", "2.0.3", Some("^2.0")),
            ("1", "1.4.0", Some("1")),
            ("1", "3.0.0", Some("3")),
            ("1.2.0", "1.4.1", Some("1.4.1")),
            ("~1.0", "2.5.1", Some("~2.5")),
            ("=1", "2.0.0", Some("=2")),
            ("=1.0.0", "2.0.0", None),
            ("*", "2.0.0", None),
            ("1.*", "2.1.0", Some("2.*")),
            ("1.0.*", "2.1.0", Some("2.1.*")),
            (">=1", "2.0.0", None),
            (">=1, <3", "2.0.0", None),
            (">=1, <3", "3.1.0", Some("3.1.0")),
            ("<2", "3.1.0", Some("3.1.0")),
            ("0.3", "0.4.9", Some("0.4")),
            ("^1.0.0-rc.1", "2.0.0-rc.2", Some("^2.0.0-rc.2")),
        ] {
            let version = Version::parse(version).unwrap();
            let raised = Requirement::parse(from).unwrap().raised_to(&version);
            assert_eq!(raised.as_ref().map(Requirement::as_str), expected, "{from} to {version}");
            assert!(raised.is_none_or(|raised| raised.matches(&version)), "{from} to {version}");
        }
    }
}
