//! Why a hub can't be used.

use crate::diagnose::{Class, Code, Diagnose, Hint};
use crate::hub::{MAX_FILES, Refusal};
use crate::model::{HubId, PathError};

/// Why a repository of a hub can't be used, as far as the hub's own words say it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// It refuses.
    #[error("{id}: {refusal}")]
    Refused {
        /// What was asked for.
        id: HubId,
        /// The page of the repository.
        page: String,
        /// Where the token came from, if one was sent.
        token: Option<String>,
        /// Why.
        refusal: Refusal,
    },
    /// It asked to be left alone, again and again.
    #[error("{id}: the hub's rate limit is reached, and it still asks to wait {seconds} s")]
    Limited {
        /// What was asked for.
        id: HubId,
        /// What it said last.
        seconds: u64,
    },
    /// Something else than the hub answered.
    #[error("{id}: what answers in the place of the hub is not one: {problem}")]
    Strange {
        /// What was asked for.
        id: HubId,
        /// What is wrong.
        problem: String,
    },
    /// A path that no project can hold.
    #[error("{id}: the repository holds a path that can't be placed: {source}")]
    Path {
        /// What was asked for.
        id: HubId,
        /// The rule.
        source: PathError,
    },
    /// Nothing there, or too much.
    #[error("{id}: the commit has {found} files, from 1 to {MAX_FILES} can be locked")]
    Count {
        /// What was asked for.
        id: HubId,
        /// How many.
        found: usize,
    },
}

impl Diagnose for HubError {
    fn code(&self) -> Code {
        Code(match self {
            Self::Refused { refusal: Refusal::Gated | Refusal::Token, .. } => "E0672",
            Self::Refused { .. } => "E0671",
            Self::Limited { .. } => "E0673",
            Self::Strange { .. } => "E0674",
            Self::Path { .. } | Self::Count { .. } => "E0675",
        })
    }

    fn class(&self) -> Class {
        match self {
            Self::Refused { .. } | Self::Path { .. } | Self::Count { .. } => Class::Yours,
            Self::Limited { .. } | Self::Strange { .. } => Class::Network,
        }
    }

    fn hints(&self) -> Vec<Hint> {
        let note = |text: &str| Hint::Note(text.to_owned());
        let unchanged = || note("nothing was changed");
        match self {
            Self::Refused { page, token, refusal, .. } => {
                let mut hints = refusal_hints(refusal, page, token.as_deref());
                hints.push(unchanged());
                hints
            }
            Self::Limited { .. } => vec![
                note("a token raises the limit: set HF_TOKEN, or run `hf auth login`"),
                note("what came is kept; the same command goes on later"),
            ],
            Self::Strange { .. } => {
                vec![note("is HF_ENDPOINT right, and does no proxy or login page answer instead?"), unchanged()]
            }
            Self::Path { .. } | Self::Count { .. } => vec![unchanged()],
        }
    }
}

/// What helps against a refusal; shared with whoever meets one while fetching.
pub fn refusal_hints(refusal: &Refusal, page: &str, token: Option<&str>) -> Vec<Hint> {
    let note = |text: String| Hint::Note(text);
    match refusal {
        Refusal::Gated => vec![
            note(format!("ask for access on {page}")),
            note(match token {
                Some(origin) => format!("the token from {origin} was sent, but its account has no access"),
                None => "then show who you are: set HF_TOKEN, or run `hf auth login`".to_owned(),
            }),
        ],
        Refusal::Token => {
            vec![note(format!("make a new token and replace the one from {}", token.unwrap_or("your configuration")))]
        }
        Refusal::NoRepository => vec![
            note("compare the id with the hub's page, capitals included; a dataset is hf:datasets/ORG/NAME".to_owned()),
            note(match token {
                Some(origin) => format!("the token from {origin} was sent; it may not see the repository"),
                None => "a private repository needs a token: set HF_TOKEN, or run `hf auth login`".to_owned(),
            }),
        ],
        Refusal::NoRevision => vec![note(format!("its branches and tags are listed on {page}"))],
        Refusal::NoFile | Refusal::Other(_) => vec![note(format!("look at {page}"))],
    }
}
