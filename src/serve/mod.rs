//! The server behind `mpm serve`: a registry, and a Hugging Face endpoint, for clients inside a site (docs/guide/serve.md).
//!
//! Owns the listener, the routes, and how a blob's bytes leave: ranges, integrity, rights, limits. What is served comes from a
//! [`Shelf`] that `ops` hands in. Refuses to fetch (a [`Fill`] does), to decide trust (the shelf's answers were checked) and to
//! write anything but its own notes.

mod answer;
mod blob;
mod body;
mod error;
mod listen;
mod options;
mod path;
mod range;
mod registry;
mod shelf;
mod site;

use std::future::Future;
use std::sync::Arc;

use axum::Router;
use axum::routing::get;

pub use error::ServeError;
pub use listen::Listener;
pub use options::{Limits, Options, Verify};
pub use path::IndexPath;
pub use shelf::{HubSource, Listed, OpenBlob, Package, Release, Shelf, Trouble, Wanted};

use site::Site;

/// Serves a shelf until `shutdown` resolves; connections then have the options' grace to end what they are at.
///
/// # Errors
/// `E1091`: the listener does not work; `E1092` and following: what the options name can't be used.
pub async fn run(
    listener: Listener,
    shelf: Arc<dyn Shelf>,
    options: Options,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    let site = Arc::new(Site::new(shelf, options)?);
    let router = router(&site);
    listen::accept(listener, router, site, shutdown).await
}

/// Every route, over one state.
fn router(site: &Arc<Site>) -> Router {
    Router::new().route("/health", get(answer::health)).fallback(registry::any).with_state(Arc::clone(site))
}
