//! Rules of single values that statements, logs and lists share.

use crate::model::{RegistryId, Requirement, Version};
use crate::statement::{Dependency, FieldError, MAX_INTEGER, StatementError};

/// Longest version, in bytes.
const MAX_VERSION: usize = 128;
/// Longest requirement, in bytes.
const MAX_REQUIREMENT: usize = 256;
/// Longest property of a variant, in bytes.
const MAX_WORD: usize = 64;
/// Most dependencies of one release.
pub(crate) const MAX_DEPENDENCIES: usize = 256;

/// Names the field in which a value broke a rule.
pub(super) fn at<T, E: Into<FieldError>>(
    field: impl FnOnce() -> String,
    value: Result<T, E>,
) -> Result<T, StatementError> {
    value.map_err(|error| StatementError::Field { at: field(), source: error.into() })
}

/// What of a text may stand in an error: no word of ours is longer.
pub(crate) fn cut(text: &str) -> String {
    text.chars().take(80).collect()
}

fn refuse(found: &str, rule: &'static str) -> FieldError {
    FieldError::Text { found: cut(found), rule }
}

/// A release version: semantic, without build metadata, which would make two names of one place in the order.
///
/// # Errors
/// Anything else.
pub(crate) fn version(text: &str) -> Result<Version, FieldError> {
    if text.len() > MAX_VERSION {
        return Err(refuse(text, "is longer than the 128 bytes of a version"));
    }
    let version = Version::parse(text).map_err(|_| refuse(text, "is not a version: write major.minor.patch"))?;
    if version.build.is_empty() { Ok(version) } else { Err(refuse(text, "has build metadata, which no release has")) }
}

/// A requirement as it is written, without surplus space.
///
/// # Errors
/// Anything else.
pub(crate) fn requirement(text: &str) -> Result<Requirement, FieldError> {
    if text.len() > MAX_REQUIREMENT {
        return Err(refuse(text, "is longer than the 256 bytes of a requirement"));
    }
    let requirement = Requirement::parse(text)?;
    if requirement.as_str() == text { Ok(requirement) } else { Err(refuse(text, "begins or ends with a space")) }
}

/// An integer that every reader of JSON and TOML holds exactly.
///
/// # Errors
/// Above 2^53-1.
pub(crate) fn integer(found: u64) -> Result<u64, FieldError> {
    if found <= MAX_INTEGER { Ok(found) } else { Err(FieldError::Integer { found, least: 0, most: MAX_INTEGER }) }
}

/// One line for people: not empty, at most `most` bytes, nothing that changes how other text is shown.
///
/// # Errors
/// Anything else.
pub(super) fn line(text: &str, most: usize) -> Result<String, FieldError> {
    if text.is_empty() {
        return Err(refuse(text, "is empty"));
    }
    if text.len() > most {
        return Err(refuse(text, "is too long"));
    }
    if text.chars().any(is_hidden) {
        return Err(refuse(text, "holds a control character or one that reverses text"));
    }
    Ok(text.to_owned())
}

/// A short word: letters, digits and `. _ + -`.
///
/// # Errors
/// Anything else.
pub(super) fn word(text: &str) -> Result<String, FieldError> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '+' | '-');
    if !text.is_empty() && text.len() <= MAX_WORD && text.chars().all(good) {
        Ok(text.to_owned())
    } else {
        Err(refuse(text, "is not a word of 1 to 64 letters, digits and . _ + -"))
    }
}

fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// The order of dependencies in files: name, then registry.
pub(crate) fn sorted(dependencies: &[Dependency]) -> Vec<Dependency> {
    let mut sorted = dependencies.to_vec();
    sorted.sort_by(|left, right| (&left.name, &left.registry).cmp(&(&right.name, &right.registry)));
    sorted
}

/// Order and uniqueness of a list of dependencies.
///
/// # Errors
/// Too many, out of order, or two of one package.
pub(crate) fn dependency_set(dependencies: &[Dependency]) -> Result<(), StatementError> {
    if dependencies.len() > MAX_DEPENDENCIES {
        return Err(StatementError::TooMany {
            what: "dependencies",
            found: dependencies.len() as u64,
            limit: MAX_DEPENDENCIES as u64,
        });
    }
    let refuse = |dependency: &Dependency, rule| StatementError::Reference {
        field: "dependencies",
        name: dependency.name.to_string(),
        rule,
    };
    for (first, second) in dependencies.iter().zip(dependencies.iter().skip(1)) {
        if (&first.name, &first.registry) >= (&second.name, &second.registry) {
            return Err(refuse(second, "is out of order or stands twice: sort by name, then registry"));
        }
    }
    let mut seen: std::collections::BTreeSet<(String, Option<&RegistryId>)> = std::collections::BTreeSet::new();
    for dependency in dependencies {
        if !seen.insert((dependency.name.normalised(), dependency.registry.as_ref())) {
            return Err(refuse(dependency, "stands twice: `-`, `_` and `.` count as equal"));
        }
    }
    Ok(())
}
