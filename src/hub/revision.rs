//! What a revision means where packages stand in for repositories: a version, a range, a variant, a commit, `main`.

use crate::model::{HubCommit, Requirement, VariantName, Version};

/// The branch that is meant where no revision is named.
pub const MAIN: &str = "main";
/// Longest revision that is looked at, in bytes.
const LONGEST: usize = 200;
/// Most versions that a refusal lists.
const LISTED: usize = 8;

/// How a release stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Nothing is said against it.
    Good,
    /// Who asks for it by name gets it, with the reason; nobody else does.
    Yanked(String),
    /// Nobody gets it.
    Refused(String),
}

/// A release that there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offered {
    /// Its version.
    pub version: Version,
    /// How it stands.
    pub standing: Standing,
}

/// What a revision says, before anybody looks what there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revision {
    /// The newest that nothing is said against.
    Main,
    /// A commit, which never moves.
    Commit(HubCommit),
    /// A version, or, of which there are several readings, versions with variants: those with the longer version first.
    Version(Vec<(Version, Option<VariantName>)>),
    /// The highest version of a range.
    Range(Requirement),
    /// Nothing that a package has.
    Other,
}

impl Revision {
    /// Reads a revision as a client wrote it.
    pub fn parse(text: &str) -> Self {
        let text = text.strip_prefix("refs/heads/").or_else(|| text.strip_prefix("refs/tags/")).unwrap_or(text);
        if text.len() > LONGEST {
            return Self::Other;
        }
        if text == MAIN {
            return Self::Main;
        }
        if let Ok(commit) = HubCommit::parse(text) {
            return Self::Commit(commit);
        }
        let mut readings = Vec::new();
        if let Ok(version) = Version::parse(text) {
            readings.push((version, None));
        }
        for (at, _) in text.rmatch_indices('-') {
            let (version, variant) = (text.get(..at), text.get(at.saturating_add(1)..));
            if let (Some(Ok(version)), Some(Ok(variant))) =
                (version.map(Version::parse), variant.map(VariantName::parse))
            {
                readings.push((version, Some(variant)));
            }
        }
        if !readings.is_empty() {
            return Self::Version(readings);
        }
        // A version in full is that version, though cargo would read a range in it.
        Requirement::parse(text).map_or(Self::Other, Self::Range)
    }
}

/// The release that `main` or a range leads to: the highest version that nothing is said against. `main` leads to a pre-release
/// where there is nothing else, a range only if it names one.
pub fn newest(offered: &[Offered], range: Option<&Requirement>) -> Option<usize> {
    let good = offered.iter().enumerate().filter(|(_, one)| one.standing == Standing::Good);
    let admitted = good.filter(|(_, one)| range.is_none_or(|range| range.matches(&one.version)));
    let rank = |one: &Offered| (range.is_some() || one.version.pre.is_empty(), one.version.clone());
    admitted.max_by_key(|(_, one)| rank(one)).map(|(at, _)| at)
}

/// The versions that there are, newest first and not too many, for who asked for another.
pub fn list(offered: &[Offered]) -> String {
    let mut all: Vec<&Offered> = offered.iter().collect();
    all.sort_by(|left, right| right.version.cmp(&left.version));
    let mut words: Vec<String> = all
        .iter()
        .take(LISTED)
        .map(|one| match &one.standing {
            Standing::Good => one.version.to_string(),
            Standing::Yanked(_) => format!("{} (yanked)", one.version),
            Standing::Refused(_) => format!("{} (refused)", one.version),
        })
        .collect();
    if all.len() > LISTED {
        words.push(format!("{} more", all.len().saturating_sub(LISTED)));
    }
    if words.is_empty() { "none".to_owned() } else { words.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::{Offered, Revision, Standing, list, newest};
    use crate::model::{Requirement, Version};

    fn offered(versions: &[&str]) -> Vec<Offered> {
        let standing = |mark: Option<char>| match mark {
            Some('y') => Standing::Yanked("wrong".to_owned()),
            Some('r') => Standing::Refused("revoked".to_owned()),
            _ => Standing::Good,
        };
        let one = |text: &&str| {
            let (version, mark) = text.split_once(' ').map_or((*text, None), |(one, mark)| (one, mark.chars().next()));
            Offered { version: Version::parse(version).expect("a version"), standing: standing(mark) }
        };
        versions.iter().map(one).collect()
    }

    #[test]
    fn revisions_are_told_apart() {
        let commit = "0123456789abcdef0123456789abcdef01234567";
        for (text, expected) in [
            ("main", "Main".to_owned()),
            ("refs/heads/main", "Main".to_owned()),
            (commit, "Commit".to_owned()),
            ("1.2.0", "1.2.0".to_owned()),
            ("refs/tags/1.2.0", "1.2.0".to_owned()),
            ("1.2.0-int8", "1.2.0-int8|1.2.0 int8".to_owned()),
            ("1.2.0-rc.1-int8", "1.2.0-rc.1-int8|1.2.0-rc.1 int8|1.2.0 rc.1-int8".to_owned()),
            ("1.2.0-q4_k_m", "1.2.0 q4_k_m".to_owned()),
            ("^1.2", "^1.2".to_owned()),
            ("1.2", "1.2".to_owned()),
            ("=1.2.0", "=1.2.0".to_owned()),
            (">=1, <3", ">=1, <3".to_owned()),
            ("*", "*".to_owned()),
            ("refs/pr/1", "Other".to_owned()),
            ("v1.2.0", "Other".to_owned()),
            ("", "Other".to_owned()),
            ("../x", "Other".to_owned()),
        ] {
            let found = match Revision::parse(text) {
                Revision::Main => "Main".to_owned(),
                Revision::Commit(_) => "Commit".to_owned(),
                Revision::Other => "Other".to_owned(),
                Revision::Range(range) => range.to_string(),
                Revision::Version(readings) => {
                    let word = |(version, variant): (Version, Option<crate::model::VariantName>)| {
                        variant.map_or(version.to_string(), |variant| format!("{version} {variant}"))
                    };
                    readings.into_iter().map(word).collect::<Vec<_>>().join("|")
                }
            };
            assert_eq!(found, expected, "{text}");
        }
        assert_eq!(Revision::parse(&"1".repeat(500)), Revision::Other);
    }

    #[test]
    fn main_and_ranges_lead_to_nothing_yanked_or_refused() {
        for (versions, range, expected) in [
            (&["1.0.0", "1.2.0", "2.0.0"][..], "main", Some("2.0.0")),
            (&["1.0.0", "1.2.0", "2.0.0 y"], "main", Some("1.2.0")),
            (&["1.0.0", "1.2.0 y", "1.3.0 r", "2.0.0"], "^1", Some("1.0.0")),
            (&["1.0.0", "1.2.0 y"], "^1.2", None),
            (&["1.0.0 y"], "main", None),
            (&["1.0.0", "1.1.0-rc.1"], "main", Some("1.0.0")),
            (&["1.1.0-rc.1", "1.1.0-rc.2"], "main", Some("1.1.0-rc.2")),
            (&["1.0.0", "1.1.0-rc.1"], "^1.1.0-rc", Some("1.1.0-rc.1")),
            (&["1.1.0-rc.1"], "^1", None),
            (&[], "main", None),
        ] {
            let all = offered(versions);
            let range = (range != "main").then(|| Requirement::parse(range).expect("a range"));
            let found = newest(&all, range.as_ref()).map(|at| all[at].version.to_string());
            assert_eq!(found.as_deref(), expected, "{versions:?} {range:?}");
        }
    }

    #[test]
    fn a_list_of_versions_says_how_they_stand() {
        assert_eq!(list(&offered(&["1.0.0", "2.0.0 y", "1.5.0 r"])), "2.0.0 (yanked), 1.5.0 (refused), 1.0.0");
        assert_eq!(list(&[]), "none");
        let many: Vec<String> = (0..12).map(|minor| format!("1.{minor}.0")).collect();
        let many = list(&offered(&many.iter().map(String::as_str).collect::<Vec<_>>()));
        assert!(many.starts_with("1.11.0, 1.10.0") && many.ends_with("4 more"), "{many}");
    }
}
