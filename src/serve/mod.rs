//! The server behind `mpm serve`: a registry, and a Hugging Face endpoint, for clients inside a site (docs/guide/serve.md).
//!
//! Owns the listener, the routes, and how a blob's bytes leave: ranges, integrity, rights, limits. What is served comes from a
//! [`Shelf`] that `ops` hands in. Refuses to fetch (a [`Fill`] does), to decide trust (the shelf's answers were checked) and to
//! write anything but its own notes.

mod addresses;
mod answer;
mod blob;
mod body;
mod chunked;
mod error;
mod fill;
mod flights;
mod hub;
mod keep;
mod listen;
mod log;
mod meter;
mod options;
mod path;
mod pull;
mod range;
mod registry;
mod shelf;
mod site;
mod tls;
mod tokens;
mod wire;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::routing::get;

pub use error::ServeError;
pub use fill::{Fill, Grown};
pub use listen::Listener;
pub use log::LogPlace;
pub use options::{Limits, Options, Verify};
pub use path::{IndexPath, PathKind};
pub use shelf::{HubSource, Listed, OpenBlob, Package, Release, Shelf, Trouble, Wanted};
pub use tls::TlsFiles;
pub use tokens::{add_token, new_token, random};

use site::Site;

/// What is served, and what brings what is missing.
#[derive(Clone)]
pub struct Content {
    /// What is there.
    pub shelf: Arc<dyn Shelf>,
    /// What brings more; none: what is not there is not there.
    pub fill: Option<Arc<dyn Fill>>,
}

/// Serves until `shutdown` resolves; connections then have the options' grace to end what they are at.
///
/// # Errors
/// `E1091`: the listener does not work; `E1092` and following: what the options name can't be used.
pub async fn run(
    listener: Listener,
    content: Content,
    options: Options,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    let site = Arc::new(Site::new(content, options)?);
    let router = router(&site);
    if let Some(period) = site.options.scrub {
        scrub(&site, period)?;
    }
    let served = listen::accept(listener, router, Arc::clone(&site), shutdown).await;
    site.stop.store(true, Ordering::Relaxed);
    served
}

/// Begins to hash everything again and again, on a thread of its own.
fn scrub(site: &Arc<Site>, period: Duration) -> Result<(), ServeError> {
    let (keeper, shelf, stop) = (Arc::clone(&site.keeper), Arc::clone(&site.shelf), Arc::clone(&site.stop));
    let work = move || keeper.scrub(&*shelf, period, &stop);
    let begun = std::thread::Builder::new().name("mpm-scrub".to_owned()).spawn(work);
    begun.map(drop).map_err(|source| ServeError::Broken { reason: source.to_string() })
}

/// Every route, over one state.
fn router(site: &Arc<Site>) -> Router {
    Router::new()
        .route("/health", get(answer::health))
        .route("/metrics", get(answer::metrics))
        .fallback(registry::any)
        .with_state(Arc::clone(site))
}
