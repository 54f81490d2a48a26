//! What every error says about itself: a stable code, a class that decides the exit code, and hints.
//!
//! Refuses to know how an error is shown; that is the terminal's business.

use std::fmt;

/// Whose problem an error is. The exit code follows from this alone (docs/errors.md).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Failed, and the user's to fix: exit code 1.
    Yours,
    /// The command line, or a question that nobody could answer: exit code 2.
    Usage,
    /// A place that can't be reached: exit code 3.
    Network,
    /// Trust or integrity: exit code 4.
    Trust,
    /// Refused by policy: exit code 5.
    Policy,
    /// A lock was held too long: exit code 6.
    Busy,
    /// Stopped by a signal: exit code 130.
    Interrupted,
    /// A bug of ours: exit code 70.
    Internal,
}

impl Class {
    /// The exit code, frozen.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Yours => 1,
            Self::Usage => 2,
            Self::Network => 3,
            Self::Trust => 4,
            Self::Policy => 5,
            Self::Busy => 6,
            Self::Internal => 70,
            Self::Interrupted => 130,
        }
    }

    /// The word in JSON output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Yours => "yours",
            Self::Usage => "usage",
            Self::Network => "network",
            Self::Trust => "trust",
            Self::Policy => "policy",
            Self::Busy => "busy",
            Self::Internal => "internal",
            Self::Interrupted => "interrupted",
        }
    }
}

/// A stable code such as `E0203`; docs/errors.md has a section for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(pub &'static str);

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Something that helps to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hint {
    /// A command to run next, exact and ready to paste.
    Run(String),
    /// A fact: what was left unchanged, what was ruled out, what an attacker could have done.
    Note(String),
    /// Lines to add to a file.
    Add {
        /// The file.
        file: &'static str,
        /// The lines.
        lines: String,
    },
}

/// An error that says what it is.
pub trait Diagnose: std::error::Error + Send + Sync {
    /// The stable code.
    fn code(&self) -> Code;
    /// Whose problem it is.
    fn class(&self) -> Class;
    /// How it came to this, a sentence a line, in order; for errors that are conclusions.
    fn details(&self) -> Vec<String> {
        Vec::new()
    }
    /// What helps to go on; most useful first.
    fn hints(&self) -> Vec<Hint> {
        Vec::new()
    }
}
