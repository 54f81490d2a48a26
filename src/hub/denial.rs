//! How a stand-in for the hub refuses: the status and headers by which its clients know their own exceptions.

/// Longest message, in characters: it travels in a header.
const LONGEST: usize = 500;

/// Why somebody does not get something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denial {
    /// There is no such repository, or nobody is told.
    NoRepository(String),
    /// The repository has no such revision, or does not hand it out.
    NoRevision(String),
    /// The revision has no such file.
    NoFile(String),
    /// It is there, and its bytes are not in this copy.
    Lacking(String),
    /// A token is needed.
    Anonymous(String),
    /// The token does not do.
    Forbidden(String),
    /// The token counts for nothing.
    Token,
    /// The request makes no sense.
    Bad(String),
}

impl Denial {
    /// The status of the answer.
    pub fn status(&self) -> u16 {
        match self {
            Self::NoRepository(_) | Self::NoRevision(_) | Self::NoFile(_) | Self::Lacking(_) => 404,
            Self::Anonymous(_) | Self::Token => 401,
            Self::Forbidden(_) => 403,
            Self::Bad(_) => 400,
        }
    }

    /// `X-Error-Code`: what makes `RepositoryNotFoundError`, `RevisionNotFoundError`, `EntryNotFoundError` and `GatedRepoError` of
    /// it. A file that is lacking has none: code that takes a missing file for an optional one must not go on without it.
    pub fn code(&self) -> Option<&'static str> {
        match self {
            Self::NoRepository(_) => Some("RepoNotFound"),
            Self::NoRevision(_) => Some("RevisionNotFound"),
            Self::NoFile(_) => Some("EntryNotFound"),
            Self::Anonymous(_) | Self::Forbidden(_) => Some("GatedRepo"),
            Self::Lacking(_) | Self::Token | Self::Bad(_) => None,
        }
    }

    /// `X-Error-Message`: fit for a header.
    pub fn message(&self) -> String {
        header_text(match self {
            Self::NoRepository(text)
            | Self::NoRevision(text)
            | Self::NoFile(text)
            | Self::Lacking(text)
            | Self::Anonymous(text)
            | Self::Forbidden(text)
            | Self::Bad(text) => text,
            // The hub's own words, by which clients tell a bad token from a private repository.
            Self::Token => "Invalid credentials in Authorization header",
        })
    }
}

/// A text that can stand in a header: printable ASCII, and not too long.
pub fn header_text(text: &str) -> String {
    let plain = |letter: char| if letter.is_ascii_graphic() || letter == ' ' { letter } else { '?' };
    text.chars().take(LONGEST).map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::{Denial, header_text};
    use crate::hub::{Refusal, Told};

    #[test]
    fn our_own_reader_of_a_hub_understands_them() {
        let text = || "why".to_owned();
        for (denial, with_token, expected) in [
            (Denial::NoRepository(text()), false, Refusal::NoRepository),
            (Denial::NoRevision(text()), false, Refusal::NoRevision),
            (Denial::NoFile(text()), false, Refusal::NoFile),
            (Denial::Anonymous(text()), false, Refusal::Gated),
            (Denial::Forbidden(text()), true, Refusal::Gated),
            (Denial::Token, true, Refusal::Token),
        ] {
            let message = denial.message();
            let told = Told { code: denial.code(), message: Some(&message), with_token };
            assert_eq!(Refusal::of(denial.status(), told), Some(expected), "{denial:?}");
        }
    }

    #[test]
    fn a_message_can_break_no_header() {
        assert_eq!(header_text("a\r\nX-Evil: ü"), "a??X-Evil: ?");
        assert_eq!(header_text(&"a".repeat(9_000)).len(), 500);
    }
}
