//! Ids of the Hugging Face hub: repositories, revisions and commits, kept as they are written there.
//!
//! They are never package names: capitals count, and an id may have one part.

use std::fmt;

use crate::model::{PackageKind, Sha256};

/// What stands before an id of the hub wherever an id of a package could stand too.
const SCHEME: &str = "hf:";
/// What stands before the id of a dataset.
const DATASETS: &str = "datasets/";
/// The revision that is meant where none is named.
const MAIN: &str = "main";
/// Longest part of a repository's id, in bytes.
const MAX_PART: usize = 96;
/// Longest revision, in bytes.
const MAX_REVISION: usize = 200;
/// First parts that mean something else in the hub's addresses.
const RESERVED: &[&str] = &["api", "datasets", "models", "spaces", "kernels"];

/// Why a text is no id of the hub.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HubIdError {
    /// Not a repository.
    #[error("{found:?} is no repository of the hub: write ORG/NAME as the hub does, capitals included")]
    Repository {
        /// What was found, cut.
        found: String,
    },
    /// Not a revision.
    #[error("{found:?} is no revision: write a branch, a tag or a commit of 40 hex digits")]
    Revision {
        /// What was found, cut.
        found: String,
    },
    /// Not a commit.
    #[error("{found:?} is no commit: it has 40 lowercase hex digits")]
    Commit {
        /// What was found, cut.
        found: String,
    },
    /// Not `hf:…`.
    #[error("{found:?} is no id of the hub: write hf:ORG/NAME or hf:datasets/ORG/NAME, with @REVISION if not main")]
    Shape {
        /// What was found, cut.
        found: String,
    },
}

/// A repository: `org/name`, or `name` alone for some old ones.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HubRepository(String);

/// A branch, a tag, a `refs/…` name or a commit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HubRevision(String);

/// A commit of a repository: 40 lowercase hex digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HubCommit(String);

/// What is asked of the hub: a repository of one kind at one revision; in text `hf:[datasets/]ID@REVISION`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HubId {
    /// Model or dataset: two name spaces.
    pub kind: PackageKind,
    /// The repository.
    pub repository: HubRepository,
    /// The revision.
    pub revision: HubRevision,
}

/// The folder of a repository in a cache of the hub's clients.
pub fn hub_cache_folder(kind: PackageKind, repository: &str) -> String {
    let kind = match kind {
        PackageKind::Model => "models",
        PackageKind::Dataset => "datasets",
    };
    format!("{kind}--{}", repository.replace('/', "--"))
}

fn cut(text: &str) -> String {
    text.chars().take(100).collect()
}

fn is_part(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let bytes = text.as_bytes();
    bytes.len() <= MAX_PART
        && bytes.first().is_some_and(|byte| word(*byte))
        && bytes.last().is_some_and(|byte| word(*byte))
        && bytes.iter().all(|byte| word(*byte) || matches!(byte, b'.' | b'-'))
        && !text.contains("..")
        && !text.contains("--")
}

impl HubRepository {
    /// Parses `org/name` or `name`, by the hub's own rules.
    ///
    /// # Errors
    /// Other characters, more than two parts, a part that is too long.
    pub fn parse(text: &str) -> Result<Self, HubIdError> {
        let good = match text.split_once('/') {
            Some((organisation, name)) => is_part(organisation) && is_part(name) && !RESERVED.contains(&organisation),
            None => is_part(text) && !RESERVED.contains(&text),
        };
        if good { Ok(Self(text.to_owned())) } else { Err(HubIdError::Repository { found: cut(text) }) }
    }

    /// The id as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl HubRevision {
    /// Parses a name that git would take for a branch or tag and that is fit for an address and a path.
    ///
    /// # Errors
    /// Other characters, empty parts, parts that begin with a dot, more than 200 bytes.
    pub fn parse(text: &str) -> Result<Self, HubIdError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'/' | b'+');
        let part = |part: &str| {
            let stem = part.len() > 5 && part.to_ascii_lowercase().ends_with(".lock");
            !part.is_empty() && !part.starts_with(['.', '-']) && !part.ends_with('.') && !stem
        };
        let good =
            text.len() <= MAX_REVISION && text.bytes().all(plain) && text.split('/').all(part) && !text.contains("..");
        if good { Ok(Self(text.to_owned())) } else { Err(HubIdError::Revision { found: cut(text) }) }
    }

    /// The branch that is meant where none is named.
    pub fn main() -> Self {
        Self(MAIN.to_owned())
    }

    /// The revision as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The commit, if the revision names one in full: it never moves.
    pub fn commit(&self) -> Option<HubCommit> {
        HubCommit::parse(&self.0).ok()
    }
}

impl HubCommit {
    /// Parses 40 lowercase hex digits.
    ///
    /// # Errors
    /// Anything else.
    pub fn parse(text: &str) -> Result<Self, HubIdError> {
        let hex = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f');
        if text.len() == 40 && text.bytes().all(hex) {
            Ok(Self(text.to_owned()))
        } else {
            Err(HubIdError::Commit { found: cut(text) })
        }
    }

    /// The commit that stands for what has a digest and no commit of its own: the first 40 hex digits.
    pub fn of(digest: &Sha256) -> Self {
        Self(digest.hex().chars().take(40).collect())
    }

    /// The 40 hex digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first 12 hex digits, for text that a person reads.
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or_default()
    }
}

impl HubId {
    /// Whether a text claims to be an id of the hub, rightly or not.
    pub fn is_meant(text: &str) -> bool {
        text.starts_with(SCHEME)
    }

    /// Parses `hf:[datasets/]ID[@REVISION]`; without a revision `main` is meant.
    ///
    /// # Errors
    /// A text of another shape, or a part that breaks its rule.
    pub fn parse(text: &str) -> Result<Self, HubIdError> {
        let rest = text.strip_prefix(SCHEME).ok_or_else(|| HubIdError::Shape { found: cut(text) })?;
        let (rest, revision) = match rest.split_once('@') {
            Some((rest, revision)) => (rest, HubRevision::parse(revision)?),
            None => (rest, HubRevision::main()),
        };
        let (kind, repository) = match rest.strip_prefix(DATASETS) {
            Some(repository) => (PackageKind::Dataset, repository),
            None => (PackageKind::Model, rest),
        };
        Ok(Self { kind, repository: HubRepository::parse(repository)?, revision })
    }

    /// The id without its revision: `hf:[datasets/]ID`.
    pub fn name(&self) -> String {
        let prefix = if self.kind == PackageKind::Dataset { DATASETS } else { "" };
        format!("{SCHEME}{prefix}{}", self.repository)
    }
}

impl fmt::Display for HubRepository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for HubRevision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for HubCommit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for HubId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name(), self.revision)
    }
}

#[cfg(test)]
mod tests {
    use super::{HubId, HubRevision, hub_cache_folder};
    use crate::model::PackageKind;

    #[test]
    fn ids_are_kept_as_they_are_written() {
        for (typed, whole) in [
            ("hf:Qwen/Qwen3-0.6B", Some("hf:Qwen/Qwen3-0.6B@main")),
            ("hf:gpt2@v1.0", Some("hf:gpt2@v1.0")),
            ("hf:datasets/org/Name_x@refs/pr/1", Some("hf:datasets/org/Name_x@refs/pr/1")),
            ("hf:datasets/squad", Some("hf:datasets/squad@main")),
            ("hf:", None),
            ("hf:a/b/c", None),
            ("hf:spaces/x", None),
            ("hf:../x", None),
            ("hf:a/b--c", None),
            ("hf:-a/b", None),
            ("hf:a/b@", None),
            ("hf:a/b@../x", None),
            ("hf:a/b@--upload-pack=x", None),
            ("hf:a/b@x\ny", None),
            ("a/b", None),
        ] {
            let parsed = HubId::parse(typed);
            assert_eq!(parsed.as_ref().ok().map(ToString::to_string).as_deref(), whole, "{typed}: {parsed:?}");
            if let Ok(id) = parsed {
                assert_eq!(HubId::parse(&id.to_string()), Ok(id));
            }
        }
        assert_eq!(HubId::parse("hf:datasets/a/b").expect("parses").kind, PackageKind::Dataset);
    }

    #[test]
    fn a_cache_has_a_folder_for_each_repository() {
        assert_eq!(hub_cache_folder(PackageKind::Model, "Qwen/Qwen3-0.6B"), "models--Qwen--Qwen3-0.6B");
        assert_eq!(hub_cache_folder(PackageKind::Dataset, "squad"), "datasets--squad");
    }

    #[test]
    fn a_full_commit_is_one() {
        let commit = "0123456789abcdef0123456789abcdef01234567";
        assert!(HubRevision::parse(commit).expect("parses").commit().is_some());
        assert!(HubRevision::parse(&commit.to_uppercase()).expect("parses").commit().is_none());
        assert!(HubRevision::main().commit().is_none());
    }
}
