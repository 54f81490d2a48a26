//! The world as one value, built once a run.

use std::sync::Arc;
use std::time::Duration;

use crate::config::Config;
use crate::fetch::hub::{Gate, Hub};
use crate::hub::{DEFAULT_ENDPOINT, Endpoint, EndpointError};
use crate::model::Timestamp;
use crate::progress::Progress;
use crate::store::{Store, StoreError};
use crate::sys::{Cancel, Folders, HttpClient, HttpError};

/// Built in `cli` and in tests. Stages never take it: they take the piece that they need.
pub struct Services {
    /// The time, read once.
    pub now: Timestamp,
    /// Where things are.
    pub folders: Folders,
    /// User over site configuration.
    pub config: Config,
    /// The client; offline is its property.
    pub http: HttpClient,
    /// The Hugging Face hub, or what stands in for it.
    pub hub: HubSettings,
    /// Takes events.
    pub progress: Arc<dyn Progress>,
    /// Answers questions.
    pub ask: Arc<dyn Ask>,
    /// The wish to stop.
    pub cancel: Cancel,
}

/// How long commands without `--wait` wait for another process.
pub(super) const WAIT: Duration = Duration::from_mins(5);

/// Which hub is asked, and as whom.
#[derive(Debug, Clone)]
pub struct HubSettings {
    /// Where it is.
    pub endpoint: Endpoint,
    /// Where its token comes from, in words; none: there is none.
    pub token: Option<String>,
    /// Rate limits that were met in this run.
    pub gate: Arc<Gate>,
}

impl HubSettings {
    /// A hub at this address; none: the hub's own.
    ///
    /// # Errors
    /// A text that is no endpoint.
    pub fn at(endpoint: Option<&str>) -> Result<Self, EndpointError> {
        let endpoint = Endpoint::parse(endpoint.unwrap_or(DEFAULT_ENDPOINT))?;
        Ok(Self { endpoint, token: None, gate: Arc::default() })
    }
}

impl Services {
    /// The store over its layers. `wait` bounds how long a collection of another process is waited for.
    ///
    /// # Errors
    /// The store can't be made or read.
    pub fn store(&self, wait: Duration) -> Result<Store, StoreError> {
        let store = Store::open(&self.folders.store)?.telling(Arc::clone(&self.progress), wait);
        store.over(&self.config.layers)
    }

    /// The hub as a run meets it. What may be met on its behalf follows from where it stands.
    ///
    /// # Errors
    /// `E0152`: the endpoint itself is refused, such as plain http to a host that is not listed.
    pub fn hub(&self) -> Result<Hub<'_>, HttpError> {
        Ok(Hub {
            http: &self.http,
            endpoint: &self.hub.endpoint,
            scope: self.http.scope_of(self.hub.endpoint.url())?,
            token: self.hub.token.clone(),
            gate: Arc::clone(&self.hub.gate),
            cancel: &self.cancel,
            progress: &*self.progress,
        })
    }
}

/// A question that only a person, or a flag, can answer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Question {
    /// Which of these? Labels to show.
    Which {
        /// The question.
        text: String,
        /// The labels.
        labels: Vec<String>,
    },
    /// Yes or no?
    Confirm {
        /// The question.
        text: String,
    },
}

/// Answers questions; `None` where nobody can.
pub trait Ask: Send + Sync {
    /// The index of the label (0: yes, 1: no for `Confirm`), or `None`.
    fn ask(&self, question: &Question) -> Option<usize>;
}

/// Answers nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Nobody;

impl Ask for Nobody {
    fn ask(&self, _: &Question) -> Option<usize> {
        None
    }
}
