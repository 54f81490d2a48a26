//! What a package is, and what a file in it is.

use std::fmt;
use std::str::FromStr;

/// What a package is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PackageKind {
    /// Weights and what belongs to them.
    Model,
    /// Data.
    Dataset,
}

/// What a file of a release is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileClass {
    /// Learned parameters.
    Weights,
    /// Rows, images, samples.
    Data,
    /// Something made to be executed.
    Code,
    /// Settings that other tools read.
    Config,
    /// Text for people.
    Doc,
}

/// A word that names no kind or class.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is not one of {expected}")]
pub struct KindError {
    /// What was found.
    pub found: String,
    /// The words that would do.
    pub expected: &'static str,
}

impl PackageKind {
    /// The word in files and output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Dataset => "dataset",
        }
    }
}

impl FileClass {
    /// The word in files and output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Weights => "weights",
            Self::Data => "data",
            Self::Code => "code",
            Self::Config => "config",
            Self::Doc => "doc",
        }
    }
}

impl FromStr for PackageKind {
    type Err = KindError;
    fn from_str(text: &str) -> Result<Self, KindError> {
        match text {
            "model" => Ok(Self::Model),
            "dataset" => Ok(Self::Dataset),
            _ => Err(KindError { found: text.chars().take(80).collect(), expected: "model, dataset" }),
        }
    }
}

impl FromStr for FileClass {
    type Err = KindError;
    fn from_str(text: &str) -> Result<Self, KindError> {
        match text {
            "weights" => Ok(Self::Weights),
            "data" => Ok(Self::Data),
            "code" => Ok(Self::Code),
            "config" => Ok(Self::Config),
            "doc" => Ok(Self::Doc),
            _ => {
                Err(KindError { found: text.chars().take(80).collect(), expected: "weights, data, code, config, doc" })
            }
        }
    }
}

impl fmt::Display for PackageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for FileClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
