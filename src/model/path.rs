//! Relative paths that are safe to create on every platform.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use unicode_normalization::UnicodeNormalization as _;

/// Longest component, in bytes.
const MAX_COMPONENT: usize = 255;
/// Longest path, in bytes.
const MAX_PATH: usize = 1024;
/// Most components.
const MAX_DEPTH: usize = 32;

/// A path below some folder: relative, `/` between components, NFC, free of what any platform treats specially.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelPath(String);

/// Why a text is not a safe relative path, or a set of them cannot live in one folder.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// The path itself breaks a rule.
    #[error("path {path:?} {rule}")]
    Refused {
        /// The path, escaped by `Debug`, cut to 200 characters.
        path: String,
        /// The rule that it breaks.
        rule: &'static str,
    },
    /// Two paths that some file system cannot tell apart, or a file where a folder must be.
    #[error("paths {first:?} and {second:?} can't live in one folder")]
    Clash {
        /// The one seen first.
        first: String,
        /// The one that clashes.
        second: String,
    },
}

impl RelPath {
    /// Parses a path.
    ///
    /// # Errors
    /// Absolute paths, `.`, `..`, `.git`, empty components, backslashes, colons, control and invisible characters, names that
    /// Windows reserves, a trailing dot or space, text that is not NFC, and what is too long or too deep.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        match broken_rule(text) {
            None => Ok(Self(text.to_owned())),
            Some(rule) => Err(PathError::Refused { path: text.chars().take(200).collect(), rule }),
        }
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last component.
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// The path without its last component, if it has more than one.
    pub fn parent(&self) -> Option<Self> {
        self.0.rsplit_once('/').map(|(parent, _)| Self(parent.to_owned()))
    }

    /// This path with another below it.
    ///
    /// # Errors
    /// The joined path is too long or too deep.
    pub fn join(&self, below: &Self) -> Result<Self, PathError> {
        let joined = format!("{}/{}", self.0, below.0);
        // Both keep every other rule, and so do they together.
        match long_or_deep(&joined) {
            None => Ok(Self(joined)),
            Some(rule) => Err(PathError::Refused { path: joined.chars().take(200).collect(), rule }),
        }
    }

    /// What is left behind a leading folder, if the path lies in it.
    pub fn strip_prefix(&self, folder: &Self) -> Option<Self> {
        self.0.strip_prefix(folder.as_str())?.strip_prefix('/').map(|rest| Self(rest.to_owned()))
    }

    /// The path below `folder` on this machine.
    pub fn under(&self, folder: &Path) -> PathBuf {
        folder.join(&self.0)
    }

    /// The components in order.
    pub fn components(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }
}

fn broken_rule(text: &str) -> Option<&'static str> {
    if text.is_empty() {
        return Some("is empty");
    }
    if text.len() > MAX_PATH {
        return long_or_deep(text);
    }
    if text.starts_with('/') {
        return Some("is absolute");
    }
    if text.chars().any(is_hidden) {
        return Some("holds a control or invisible character");
    }
    if text.contains(['\\', ':', '<', '>', '"', '|', '?', '*']) {
        return Some("holds one of \\ : < > \" | ? *");
    }
    if !text.is_ascii() && !text.nfc().eq(text.chars()) {
        return Some("is not in Unicode form NFC");
    }
    long_or_deep(text).or_else(|| text.split('/').find_map(broken_component))
}

fn long_or_deep(text: &str) -> Option<&'static str> {
    if text.len() > MAX_PATH {
        Some("is longer than 1024 bytes")
    } else if text.split('/').count() > MAX_DEPTH {
        Some("is deeper than 32 folders")
    } else {
        None
    }
}

fn broken_component(component: &str) -> Option<&'static str> {
    if component.is_empty() {
        return Some("has an empty component");
    }
    if component == "." || component == ".." {
        return Some("has a component . or ..");
    }
    if component.len() > MAX_COMPONENT {
        return Some("has a component longer than 255 bytes");
    }
    if component.ends_with(['.', ' ']) || component.starts_with(' ') {
        return Some("has a component that begins or ends with a space, or ends with a dot");
    }
    if component.eq_ignore_ascii_case(".git") || component.eq_ignore_ascii_case("git~1") {
        return Some("has a component that git takes for a repository, whose settings can run programs");
    }
    let stem = component.split('.').next().unwrap_or_default().trim_end().to_ascii_lowercase();
    let reserved = matches!(stem.as_str(), "con" | "prn" | "aux" | "nul" | "conin$" | "conout$")
        || ["com", "lpt"].iter().any(|device| {
            stem.strip_prefix(device).is_some_and(|rest| {
                matches!(rest, "0" | "1" | "2" | "3" | "4" | "5" | "6" | "7" | "8" | "9" | "¹" | "²" | "³")
            })
        });
    reserved.then_some("has a name that Windows reserves")
}

/// Characters that change how a path is shown, or cannot be seen.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RelPath({:?})", self.0)
    }
}

impl std::str::FromStr for RelPath {
    type Err = PathError;
    fn from_str(text: &str) -> Result<Self, PathError> {
        Self::parse(text)
    }
}

/// A set of paths that can live in one folder on every file system.
///
/// Paths are compared folded (lower case, NFC), so that `A` and `a` clash; so do `a` and `a/b`.
#[derive(Debug, Default, Clone)]
pub struct PathSet {
    /// Folded path to (path as written, whether it is a file).
    seen: BTreeMap<String, (String, bool)>,
}

impl PathSet {
    /// An empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file.
    ///
    /// # Errors
    /// The path clashes with one that is there.
    pub fn insert(&mut self, path: &RelPath) -> Result<(), PathError> {
        let folded = fold(path.as_str());
        if let Some((first, _)) = self.seen.get(&folded) {
            return Err(PathError::Clash { first: first.clone(), second: path.0.clone() });
        }
        for (at, _) in path.0.match_indices('/') {
            let folder = path.0.get(..at).unwrap_or_default();
            let entry = self.seen.entry(fold(folder)).or_insert_with(|| (folder.to_owned(), false));
            if entry.1 || entry.0 != folder {
                return Err(PathError::Clash { first: entry.0.clone(), second: path.0.clone() });
            }
        }
        self.seen.insert(folded, (path.0.clone(), true));
        Ok(())
    }
}

/// Upper case first: it joins letters that lower case keeps apart (ß, ſ, the two forms of σ).
fn fold(text: &str) -> String {
    if text.is_ascii() { text.to_ascii_lowercase() } else { text.to_uppercase().to_lowercase().nfc().collect() }
}

#[cfg(test)]
mod tests {
    use super::{PathSet, RelPath};

    fn refused(texts: &[&str]) {
        for text in texts {
            assert!(RelPath::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn paths_that_lead_elsewhere_are_refused() {
        refused(&["", "/etc/passwd", "../x", "a/../b", "..", "a/..", "a/./b", ".", "a//b", "a/"]);
        refused(&["C:\\x", "C:/x", "c:x", "\\\\srv\\s", "//srv/s", "a\\b", "..\\x"]);
    }

    #[test]
    fn control_characters_in_paths_are_refused() {
        refused(&["a\0b", "a\nb", "a\rb", "a\tb", "a\u{1b}[0m", "a\u{7f}", "a\u{9b}31m", "a\u{202e}b", "a\u{200b}b"]);
        refused(&["e\u{301}", "a\u{feff}"]);
    }

    #[test]
    fn names_that_some_system_reserves_are_refused() {
        refused(&["CON", "con", "aux.txt", "a/nul", "com1.bin", "LPT9", "a/CON/b", "x.", "x ", "a./b", "a /b"]);
        // Settings in a folder of that name run programs when git looks at it.
        refused(&[".git/config", "a/.GIT", "a/GIT~1/config"]);
        refused(&["f:stream", "a*b", "a?b", "a<b", "a>b", "a|b", "a\"b"]);
        for text in [
            "a",
            "a/b.bin",
            ".gitattributes",
            ".github/x",
            "a.git",
            "console.txt",
            "model-00001-of-00030.safetensors",
            "é.txt",
        ] {
            assert!(RelPath::parse(text).is_ok(), "{text:?}");
        }
    }

    #[test]
    fn long_and_deep_paths_are_refused() {
        assert!(RelPath::parse(&"x".repeat(255)).is_ok());
        assert!(RelPath::parse(&"x".repeat(256)).is_err());
        assert!(RelPath::parse(&vec!["d"; 200].join("/")).is_err());
        assert!(RelPath::parse(&"d/".repeat(1_000_000)).is_err());
    }

    #[test]
    fn paths_that_clash_are_refused() {
        for (first, second) in [
            ("Model.bin", "model.bin"),
            ("a", "a/b"),
            ("a/b", "a"),
            ("A/x", "a/y"),
            ("a", "a"),
            ("ΑΣ", "ασ"),
            ("ß", "SS"),
        ] {
            let mut set = PathSet::new();
            let parse = |text| RelPath::parse(text).expect("parses");
            set.insert(&parse(first)).expect("first");
            assert!(set.insert(&parse(second)).is_err(), "{first} {second}");
        }
    }
}
