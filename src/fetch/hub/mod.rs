//! Asking a hub: which commit a revision is, what files it has, and their bytes.
//!
//! Every answer is bounded; a rate limit is obeyed by all threads at once; a token goes to the endpoint's host only, which
//! the HTTP client sees to. Signed addresses are never kept: each try begins at the hub again.

mod error;
mod gate;
mod listing;
mod place;
mod small;

use std::sync::Arc;
use std::time::Duration;

use crate::hub::{Endpoint, HubError, Refusal, Told};
use crate::model::{HubId, SafeUrl};
use crate::progress::Progress;
use crate::sys::{Cancel, HttpClient, HttpError, Reply, Said, Scope};

pub use error::HubFetchError;
pub use gate::Gate;
pub(in crate::fetch) use place::Unopened;
pub use place::{HubPlace, HubProblem};
pub use small::{SmallFile, SmallOutcome};

/// How often a rate limit is waited for without anything coming in between.
pub(super) const MAX_WAITS: u32 = 8;
/// How long a rate limit is waited for where the hub does not say.
const USUAL_WAIT: Duration = Duration::from_secs(30);
/// The longest that a hub is waited for at once: its limits count by windows of five minutes.
const LONGEST_WAIT: Duration = Duration::from_secs(330);

/// A hub as this run meets it.
#[derive(Clone)]
pub struct Hub<'a> {
    /// The client.
    pub http: &'a HttpClient,
    /// Where it is.
    pub endpoint: &'a Endpoint,
    /// What addresses may be met on its behalf.
    pub scope: Scope,
    /// Where the token comes from that may be sent to it, in words.
    pub token: Option<String>,
    /// Rate limits, shared by all who ask in this run.
    pub gate: Arc<Gate>,
    /// The wish to stop.
    pub cancel: &'a Cancel,
    /// Takes events.
    pub progress: &'a dyn Progress,
}

impl Hub<'_> {
    /// Asks the interface until it answers with 200.
    fn ask(&self, id: &HubId, url: &SafeUrl, cap: u64) -> Result<Reply, HubFetchError> {
        let mut waits = 0;
        loop {
            self.pass_gate()?;
            let reply = self.http.ask(url, cap, self.scope)?;
            match reply.status {
                200 => return Ok(reply),
                429 => {
                    waits += 1;
                    self.close_gate(id, &reply.said, waits)?;
                }
                status => return Err(self.refused(id, &reply.url, status, &reply.said)?),
            }
        }
    }

    fn pass_gate(&self) -> Result<(), HubFetchError> {
        if self.gate.pass(&|| self.cancel.is_cancelled()) { Ok(()) } else { Err(HubFetchError::Stopped) }
    }

    /// After a 429: everybody waits as long as the hub says.
    fn close_gate(&self, id: &HubId, said: &Said, waits: u32) -> Result<(), HubFetchError> {
        let wait = wait_of(said);
        if waits > MAX_WAITS {
            return Err(HubError::Limited { id: id.clone(), seconds: wait.as_secs() }.into());
        }
        if self.gate.close(wait) {
            tell_wait(self.progress, wait);
        }
        Ok(())
    }

    /// The error for a status that is no success.
    fn refused(&self, id: &HubId, at: &SafeUrl, status: u16, said: &Said) -> Result<HubFetchError, HubFetchError> {
        let with_token = self.http.has_credential(self.endpoint.url())?;
        let told = Told { code: said.code.as_deref(), message: said.message.as_deref(), with_token };
        let token = if with_token { self.token.clone() } else { None };
        Ok(match Refusal::of(status, told) {
            Some(refusal) => HubError::Refused { id: id.clone(), page: self.endpoint.page(id), token, refusal }.into(),
            None => HttpError::Status { url: Box::new(at.clone()), status, said: Box::new(said.clone()) }.into(),
        })
    }
}

/// How long to wait after a 429.
fn wait_of(said: &Said) -> Duration {
    said.wait.unwrap_or(USUAL_WAIT).clamp(Duration::from_millis(100), LONGEST_WAIT)
}

pub(super) fn tell_wait(progress: &dyn Progress, wait: Duration) {
    let text = format!("the hub's rate limit is reached; going on in {} s, as it asks", wait.as_secs_f32().ceil());
    progress.note("rate-limit", text);
}
