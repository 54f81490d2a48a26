//! Why a hub refuses, from its status and the headers that explain it.

use std::fmt;

/// What came with a status that is no success.
#[derive(Debug, Clone, Copy, Default)]
pub struct Told<'a> {
    /// `X-Error-Code`.
    pub code: Option<&'a str>,
    /// `X-Error-Message`.
    pub message: Option<&'a str>,
    /// Whether the request carried a token.
    pub with_token: bool,
}

/// Why a hub does not give something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such repository, or none that may be seen.
    NoRepository,
    /// The repository has no such branch, tag or commit.
    NoRevision,
    /// The commit has no such file.
    NoFile,
    /// Access must be asked for on the repository's page, or has not been granted yet.
    Gated,
    /// The token counts for nothing.
    Token,
    /// Something else, in the hub's words.
    Other(String),
}

impl Refusal {
    /// Reads a status of 401, 403, 404 or 410. None for any other status: the hub did not refuse, it failed.
    pub fn of(status: u16, told: Told<'_>) -> Option<Self> {
        let invalid = told.message.is_some_and(|message| {
            let message = message.to_ascii_lowercase();
            message.contains("invalid credentials") || message.contains("invalid username or password")
        });
        match (status, told.code) {
            (401 | 403 | 404 | 410, Some("GatedRepo")) => Some(Self::Gated),
            (401 | 403 | 404 | 410, Some("RepoNotFound" | "DisabledRepo")) => Some(Self::NoRepository),
            (404 | 410, Some("RevisionNotFound")) => Some(Self::NoRevision),
            (404 | 410, Some("EntryNotFound")) => Some(Self::NoFile),
            (401, _) if invalid || told.with_token => Some(Self::Token),
            // Whoever shows no token is not told whether a repository is private or missing.
            (401 | 404 | 410, None) => Some(Self::NoRepository),
            (401 | 403 | 404 | 410, code) => {
                let text = [code, told.message].into_iter().flatten().collect::<Vec<_>>().join(": ");
                Some(Self::Other(text.escape_debug().take(200).collect()))
            }
            _ => None,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRepository => f.write_str("the hub has no such repository, or does not show it"),
            Self::NoRevision => f.write_str("the repository has no such branch, tag or commit"),
            Self::NoFile => f.write_str("the commit has no such file"),
            Self::Gated => f.write_str("the repository is gated: its owners grant access on its page"),
            Self::Token => f.write_str("the hub does not accept the token"),
            Self::Other(text) if text.is_empty() => f.write_str("the hub refuses"),
            Self::Other(text) => write!(f, "the hub refuses: {text}"),
        }
    }
}
