//! Facts about content: what format bytes have, and which rules speak against them. Facts say nothing about whether a
//! project wants them (docs/formats/formats-gate.md).
//!
//! Pure over positioned reads. Content is told first, without the name; then the name must agree. Refuses to know policy.

mod content;
mod names;

#[cfg(test)]
mod tests;

use crate::formats::ReadAt;
use crate::model::RelPath;

pub use content::content;
pub use names::{agree, name_rules};

/// Version of the rules: facts of another version are made anew.
pub const SCANNER_VERSION: u32 = 1;

/// Every rule that can speak against a file: the words that `[policy.unsafe]` may list.
pub const RULES: &[&str] = &[
    "archive",
    "auto-map",
    "bad-gguf",
    "bad-media",
    "bad-npy",
    "bad-safetensors",
    "bad-zip",
    "chat-template",
    "joblib",
    "keras-h5",
    "keras-zip",
    "name-mismatch",
    "native-library",
    "npy-object",
    "onnx-external",
    "pickle",
    "polyglot",
    "saved-model",
    "script",
    "tensorrt",
    "torch-zip",
    "torchscript",
    "unknown-binary",
    "unknown-name",
];

/// A format word, such as `safetensors` or `pickle`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Format(pub String);

/// What looking at one file showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// The format by content.
    pub format: Format,
    /// Rules that say that it can run code on load, is not whole, or that name and content disagree; none: data.
    pub hits: Vec<Hit>,
    /// Files that it reads its tensors from (ONNX), relative to its own folder, as written.
    pub external: Vec<String>,
}

/// A rule that speaks against a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// The rule's stable word, such as `pickle` or `name-mismatch`.
    pub rule: String,
    /// What was seen, in one sentence.
    pub detail: String,
}

impl Hit {
    pub(crate) fn new(rule: &str, detail: impl Into<String>) -> Self {
        Self { rule: rule.to_owned(), detail: detail.into() }
    }
}

/// Looks at one file. The name is part of the fact because content and name must agree.
///
/// # Errors
/// The bytes can't be read.
pub fn look(name: &RelPath, size: u64, bytes: &dyn ReadAt) -> std::io::Result<Fact> {
    Ok(agree(name, &content(size, bytes)?))
}
