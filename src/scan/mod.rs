//! Facts about content: what format bytes have, by rule. Facts say nothing about whether a project wants them.
//!
//! Pure over positioned reads. Refuses to know policy.

use crate::model::RelPath;

/// Version of the rules: facts of another version are made anew.
pub const SCANNER_VERSION: u32 = 1;

/// A format word, such as `safetensors` or `pickle`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Format(pub String);

/// What looking at one file showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// The format by content.
    pub format: Format,
    /// The rule that says it can run code on load, or that name and content disagree; none: data.
    pub hit: Option<Hit>,
}

/// A rule that speaks against a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// The rule's stable word, such as `pickle` or `name-mismatch`.
    pub rule: String,
    /// What was seen, in one sentence.
    pub detail: String,
}

/// Looks at one file. The name is part of the fact because content and name must agree; `declared_code` says that the
/// statement declares it as code.
///
/// # Errors
/// The bytes can't be read.
pub fn look(name: &RelPath, size: u64, bytes: &dyn crate::formats::ReadAt) -> std::io::Result<Fact> {
    todo!()
}
