//! The state that all requests share.

use std::sync::Arc;

use axum::http::HeaderMap;

use crate::model::{Namespace, RegistryId};
use crate::serve::body::Frames;
use crate::serve::{Options, ServeError, Shelf, Trouble};

/// What a request works with.
pub(super) struct Site {
    pub(super) shelf: Arc<dyn Shelf>,
    pub(super) options: Options,
    pub(super) frames: Arc<Frames>,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Caller {
    /// Nobody who says so.
    Anonymous,
}

/// Why somebody is not let in at all: a token that is none of this server's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Denied;

impl Site {
    pub(super) fn new(shelf: Arc<dyn Shelf>, options: Options) -> Result<Self, ServeError> {
        Ok(Self { shelf, options, frames: Frames::new() })
    }

    /// Who asks, by the `Authorization` of a request.
    #[expect(clippy::unused_self, reason = "tokens come")]
    pub(super) fn caller(&self, _headers: &HeaderMap) -> Result<Caller, Denied> {
        Ok(Caller::Anonymous)
    }

    /// Whether somebody may read what a namespace of a registry holds.
    #[expect(clippy::unused_self, reason = "tokens come")]
    pub(super) fn may_read(&self, _caller: &Caller, _registry: &RegistryId, _namespace: &Namespace) -> bool {
        true
    }

    /// Asks the shelf, on a thread that may wait.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&dyn Shelf) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, Trouble> {
        let shelf = Arc::clone(&self.shelf);
        match tokio::task::spawn_blocking(move || question(&*shelf)).await {
            Ok(answer) => answer,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }
}
