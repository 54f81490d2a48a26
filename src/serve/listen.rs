//! Connections: taken one by one, bounded, watched, and ended when the server stops.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;

use crate::serve::ServeError;
use crate::serve::site::Site;

/// Pause after the system could give no connection: most likely files are used up, and some are closed meanwhile.
const PAUSE: Duration = Duration::from_millis(50);
/// Most headers of a request.
const HEADERS: usize = 100;

/// An address that is listened on, and nobody served yet.
#[derive(Debug)]
pub struct Listener {
    listener: std::net::TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Listens; port 0 takes one that is free.
    ///
    /// # Errors
    /// `E1091`: the address is taken, or not this machine's.
    pub fn bind(address: SocketAddr) -> Result<Self, ServeError> {
        let listen = |source| ServeError::Listen { address, source };
        let listener = std::net::TcpListener::bind(address).map_err(listen)?;
        listener.set_nonblocking(true).map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        Ok(Self { listener, address })
    }

    /// Where it listens, with the port that it got.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Takes connections until `shutdown`.
pub(super) async fn accept(
    listener: Listener,
    router: Router,
    site: Arc<Site>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let address = listener.address;
    let listener = tokio::net::TcpListener::from_std(listener.listener)
        .map_err(|source| ServeError::Listen { address, source })?;
    let limits = site.options.limits.clone();
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.head_time)
        .max_headers(HEADERS)
        .max_buf_size(limits.head.max(8192));
    let graceful = GracefulShutdown::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let stream = tokio::select! {
            () = &mut shutdown => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(_) => {
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            },
        };
        let _ = stream.set_nodelay(true);
        let service = TowerToHyperService::new(router.clone());
        let connection = graceful.watch(http.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            // What goes wrong on a connection is that connection's matter.
            let _: Result<(), hyper::Error> = connection.await;
        });
    }
    drop(listener);
    let _ = tokio::time::timeout(limits.grace, graceful.shutdown()).await;
    Ok::<(), Infallible>(()).map_err(|never| match never {})
}
