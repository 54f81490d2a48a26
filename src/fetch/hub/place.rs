//! A commit of a repository as a place where blobs can be had.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::diagnose::{Class, Hint};
use crate::fetch::hub::Gate;
use crate::hub::{Endpoint, Refusal, Told, refusal_hints};
use crate::model::{HubCommit, HubId, RelPath, SafeUrl, Sha256};
use crate::sys::{HttpClient, HttpError, RangeBody, Scope};

/// A commit of a repository: the digests that it can give, by the paths that they have there.
#[derive(Debug, Clone)]
pub struct HubPlace {
    endpoint: Endpoint,
    /// Known once it was asked.
    scope: OnceLock<Scope>,
    token: Option<String>,
    gate: Arc<Gate>,
    id: HubId,
    commit: HubCommit,
    paths: BTreeMap<Sha256, RelPath>,
}

/// Why a hub did not give a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HubProblem {
    /// It refuses.
    Refused {
        /// Why.
        refusal: Refusal,
        /// The page of the repository.
        page: String,
        /// Where the token came from, if one was sent.
        token: Option<String>,
    },
    /// It asks to be left alone.
    Limited {
        /// For so many seconds.
        wait: std::time::Duration,
    },
    /// The host that it sent us to no longer takes the signed address.
    Expired {
        /// That host's status.
        status: u16,
    },
}

/// Why a blob could not be opened here.
pub(in crate::fetch) enum Unopened {
    Absent,
    Stopped,
    Http(HttpError),
    Hub(HubProblem),
}

impl HubPlace {
    /// A commit of a hub that need not be asked: its host's name is looked up when it is. The token is where it comes from, in
    /// words.
    pub fn new(
        endpoint: &Endpoint,
        token: Option<String>,
        gate: Arc<Gate>,
        id: &HubId,
        commit: &HubCommit,
        paths: BTreeMap<Sha256, RelPath>,
    ) -> Self {
        let (endpoint, id, commit) = (endpoint.clone(), id.clone(), commit.clone());
        Self { endpoint, scope: OnceLock::new(), token, gate, id, commit, paths }
    }

    /// What to call it in messages.
    pub fn name(&self) -> String {
        format!("{} on {}", self.id.name(), self.endpoint.url())
    }

    /// The rate limit that all who ask this hub share.
    pub(in crate::fetch) fn gate(&self) -> &Gate {
        &self.gate
    }

    /// The address of a blob, and its opening by `open`. It begins at the hub each time: the address that the hub signs
    /// lives for an hour.
    pub(in crate::fetch) fn open(
        &self,
        http: &HttpClient,
        digest: &Sha256,
        stopped: &dyn Fn() -> bool,
        open: impl FnOnce(&SafeUrl) -> Option<Result<RangeBody, HttpError>>,
    ) -> Result<RangeBody, Unopened> {
        let path = self.paths.get(digest).ok_or(Unopened::Absent)?;
        let url = self.endpoint.file(&self.id, &self.commit, path).map_err(|_| Unopened::Absent)?;
        if !self.gate.pass(stopped) {
            return Err(Unopened::Stopped);
        }
        match open(&url) {
            None => Err(Unopened::Stopped),
            Some(Ok(body)) => Ok(body),
            Some(Err(error)) => Err(self.explained(http, error)),
        }
    }

    fn explained(&self, http: &HttpClient, error: HttpError) -> Unopened {
        let HttpError::Status { url, status, said } = &error else { return Unopened::Http(error) };
        let own = url.inner().origin() == self.endpoint.url().inner().origin();
        if *status == 429 {
            return Unopened::Hub(HubProblem::Limited { wait: super::wait_of(said) });
        }
        if !own && matches!(status, 400 | 401 | 403 | 404 | 410) {
            return Unopened::Hub(HubProblem::Expired { status: *status });
        }
        let with_token = http.has_credential(self.endpoint.url()).unwrap_or(false);
        let told = Told { code: said.code.as_deref(), message: said.message.as_deref(), with_token };
        match Refusal::of(*status, told) {
            Some(refusal) => Unopened::Hub(HubProblem::Refused {
                refusal,
                page: self.endpoint.page(&self.id),
                token: if with_token { self.token.clone() } else { None },
            }),
            None => Unopened::Http(error),
        }
    }

    /// The scope of its requests.
    pub(in crate::fetch) fn scope(&self, http: &HttpClient) -> Result<Scope, HttpError> {
        if let Some(scope) = self.scope.get() {
            return Ok(*scope);
        }
        let scope = http.scope_of(self.endpoint.url())?;
        Ok(*self.scope.get_or_init(|| scope))
    }
}

impl HubProblem {
    /// Whose problem it is.
    pub fn class(&self) -> Class {
        match self {
            Self::Refused { .. } => Class::Yours,
            Self::Limited { .. } | Self::Expired { .. } => Class::Network,
        }
    }

    /// Whether asking again may help.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Limited { .. } | Self::Expired { .. })
    }

    /// What helps.
    pub fn hints(&self) -> Vec<Hint> {
        match self {
            Self::Refused { refusal, page, token } => refusal_hints(refusal, page, token.as_deref()),
            Self::Limited { .. } => {
                vec![Hint::Note("a token raises the limit: set HF_TOKEN, or run `hf auth login`".to_owned())]
            }
            Self::Expired { .. } => Vec::new(),
        }
    }
}

impl fmt::Display for HubProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { refusal, .. } => refusal.fmt(f),
            Self::Limited { wait } => write!(f, "its rate limit is reached, and it asks to wait {} s", wait.as_secs()),
            Self::Expired { status } => write!(f, "the address that the hub signed was answered with {status}"),
        }
    }
}

impl std::error::Error for HubProblem {}
