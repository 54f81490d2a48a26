//! Names of packages, namespaces, registries, variants and groups.
//!
//! Every part is lowercase ASCII, `[a-z0-9]` with inner `.`, `_`, `-`, at most 64 characters. `-`, `_` and `.` count as
//! equal when names are compared: [`PackageName::normalised`].

use std::fmt;
use std::str::FromStr;

use semver::Version;

/// Longest part of a name, in characters.
const MAX_PART: usize = 64;

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// A part breaks the alphabet, the length or the shape.
    #[error("{what} {found:?} is not a name: use 1 to 64 of a-z, 0-9 and inner `.`, `_`, `-`")]
    Part {
        /// Which name.
        what: &'static str,
        /// What was found, escaped and cut.
        found: String,
    },
    /// Not `namespace/name`.
    #[error("{found:?} is not a package name: write namespace/name")]
    Shape {
        /// What was found.
        found: String,
    },
    /// A version that does not parse.
    #[error("{found:?} is not a version: write major.minor.patch")]
    Version {
        /// What was found.
        found: String,
    },
}

fn is_part(text: &str) -> bool {
    let bytes = text.as_bytes();
    let edge = |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    bytes.len() <= MAX_PART
        && edge(bytes.first())
        && edge(bytes.last())
        && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-'))
}

fn cut(text: &str) -> String {
    text.chars().take(80).collect()
}

fn normalise(text: &str) -> String {
    text.chars().map(|c| if matches!(c, '_' | '.') { '-' } else { c }).collect()
}

fn skeleton(text: &str) -> String {
    let same = |c| match c {
        '_' | '.' => '-',
        '0' => 'o',
        '1' => 'l',
        other => other,
    };
    text.chars().map(same).collect::<String>().replace("rn", "m")
}

macro_rules! part {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// Parses the name.
            ///
            /// # Errors
            /// A text outside the alphabet, the length or the shape.
            pub fn parse(text: &str) -> Result<Self, NameError> {
                if is_part(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(NameError::Part { what: $what, found: cut(text) })
                }
            }

            /// The name as it is written.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The form in which names are compared: `_` and `.` become `-`.
            pub fn normalised(&self) -> String {
                normalise(&self.0)
            }

            /// What the eye takes it for: names that share it look alike.
            pub fn skeleton(&self) -> String {
                skeleton(&self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:?})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::parse(text)
            }
        }
    };
}

part!(
    /// The first part of a package name: what a publisher's keys are bound to.
    Namespace,
    "namespace"
);
part!(
    /// The label of a registry in every file that it signs. The registry itself is its first root, not this.
    RegistryId,
    "registry id"
);
part!(
    /// A named subset of a release's files.
    VariantName,
    "variant"
);
part!(
    /// A named set of dependencies that is installed on demand.
    GroupName,
    "group"
);

/// `namespace/name` in a registry.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackageName {
    text: String,
    slash: usize,
}

impl PackageName {
    /// Parses `namespace/name`.
    ///
    /// # Errors
    /// A missing or second slash, or a part that is not a name.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let Some((namespace, name)) = text.split_once('/') else {
            return Err(NameError::Shape { found: cut(text) });
        };
        Namespace::parse(namespace)?;
        if !is_part(name) {
            return Err(NameError::Part { what: "package name", found: cut(name) });
        }
        Ok(Self { text: text.to_owned(), slash: namespace.len() })
    }

    /// The name as it is written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The part before the slash.
    pub fn namespace(&self) -> Namespace {
        Namespace(self.text.get(..self.slash).unwrap_or_default().to_owned())
    }

    /// The part behind the slash.
    pub fn short(&self) -> &str {
        self.text.get(self.slash + 1..).unwrap_or_default()
    }

    /// The form in which names are compared: `_` and `.` become `-`.
    pub fn normalised(&self) -> String {
        normalise(&self.text)
    }

    /// What the eye takes it for: names that share it look alike.
    pub fn skeleton(&self) -> String {
        skeleton(&self.text)
    }
}

impl fmt::Display for PackageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for PackageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PackageName({:?})", self.text)
    }
}

impl FromStr for PackageName {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::parse(text)
    }
}

/// A package of one registry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackageRef {
    /// The registry's id.
    pub registry: RegistryId,
    /// The package.
    pub name: PackageName,
}

impl fmt::Display for PackageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.registry, self.name)
    }
}

/// One release of one package of one registry; in text `registry:namespace/name@version`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackageId {
    /// The package. Ids sort by name, then registry, then version, through [`PackageId::sort_key`].
    pub package: PackageRef,
    /// The version.
    pub version: Version,
}

impl PackageId {
    /// Parses `registry:namespace/name@version`.
    ///
    /// # Errors
    /// A text of another shape.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let shape = || NameError::Shape { found: cut(text) };
        let (registry, rest) = text.split_once(':').ok_or_else(shape)?;
        let (name, version) = rest.split_once('@').ok_or_else(shape)?;
        let version = Version::parse(version).map_err(|_| NameError::Version { found: cut(version) })?;
        let package = PackageRef { registry: RegistryId::parse(registry)?, name: PackageName::parse(name)? };
        Ok(Self { package, version })
    }

    /// The order of entries in files: name, registry, version.
    pub fn sort_key(&self) -> (&PackageName, &RegistryId, &Version) {
        (&self.package.name, &self.package.registry, &self.version)
    }
}

impl fmt::Display for PackageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.package, self.version)
    }
}

/// A key of `[models]` or `[datasets]`: one or two name parts, and where the dependency lands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DependencyKey(String);

impl DependencyKey {
    /// Parses `name` or `namespace/name`.
    ///
    /// # Errors
    /// A part that is not a name, or more than two of them.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let good = match text.split_once('/') {
            Some((first, second)) => is_part(first) && is_part(second),
            None => is_part(text),
        };
        if good { Ok(Self(text.to_owned())) } else { Err(NameError::Part { what: "dependency", found: cut(text) }) }
    }

    /// The key as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DependencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Up to three of `candidates` that a person may have meant by `typed`, nearest first (Damerau-Levenshtein distance of
/// at most a quarter of the length).
pub fn nearest<'a>(typed: &str, candidates: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let limit = (typed.chars().count() / 4).max(1);
    let mut near: Vec<(usize, &str)> = candidates
        .into_iter()
        .map(|candidate| (distance(typed, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .collect();
    near.sort_unstable();
    near.dedup();
    near.into_iter().take(3).map(|(_, name)| name).collect()
}

/// Optimal string alignment distance: edits and swaps of neighbours.
fn distance(left: &str, right: &str) -> usize {
    let left: Vec<char> = left.chars().take(160).collect();
    let right: Vec<char> = right.chars().take(160).collect();
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.iter().enumerate() {
        let mut next = vec![i + 1];
        for (j, b) in right.iter().enumerate() {
            let mut best = (row[j] + usize::from(a != b)).min(row[j + 1] + 1).min(next[j] + 1);
            if i > 0 && j > 0 && *a == right[j - 1] && left[i - 1] == *b {
                best = best.min(before[j - 1] + 1);
            }
            next.push(best);
        }
        before = row;
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{PackageId, PackageName, nearest};

    #[test]
    fn names_keep_to_the_alphabet() {
        for (text, good) in [
            ("acme/minilm", true),
            ("a/b", true),
            ("acme/mini-lm_v1.5", true),
            ("acme", false),
            ("Acme/minilm", false),
            ("acme/minilm/x", false),
            ("acme/-x", false),
            ("acme/x.", false),
            ("acme/", false),
            ("acme/mini\u{430}", false),
            ("../x", false),
        ] {
            assert_eq!(PackageName::parse(text).is_ok(), good, "{text}");
        }
        assert!(PackageName::parse(&format!("a/{}", "x".repeat(65))).is_err());
    }

    #[test]
    fn names_that_look_alike_share_a_skeleton() {
        let skeleton = |text: &str| PackageName::parse(text).expect("a name").skeleton();
        for (left, right, alike) in [
            ("acme/minilm", "acrne/minilm", true),
            ("acme/minilm", "acme/mini1m", true),
            ("acme/gpt-4o", "acme/gpt-40", true),
            ("acme/a-b.c", "acme/a_b-c", true),
            ("acme/rn", "acme/m", true),
            ("acme/r-n", "acme/m", false),
            ("acme/minilm", "acme/minilm2", false),
            ("acme/nr", "acme/rn", false),
        ] {
            assert_eq!(skeleton(left) == skeleton(right), alike, "{left} {right}");
        }
    }

    #[test]
    fn ids_round_trip() {
        let id = PackageId::parse("acme:acme/minilm@1.2.0").expect("parses");
        assert_eq!(id.to_string(), "acme:acme/minilm@1.2.0");
        assert_eq!(PackageName::parse("a/b_c.d").expect("parses").normalised(), "a/b-c-d");
    }

    #[test]
    fn typos_find_their_name() {
        assert_eq!(nearest("demo/digist-mlp", ["demo/digits-mlp", "demo/digits"]), vec!["demo/digits-mlp"]);
        assert!(nearest("zzz", ["demo/digits"]).is_empty());
    }
}
