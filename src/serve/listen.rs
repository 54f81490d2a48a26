//! Connections: taken one by one, bounded, watched, and ended when the server stops.

use std::convert::Infallible;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::ServiceExt as _;

use crate::serve::ServeError;
use crate::serve::addresses::{Addresses, Place};
use crate::serve::answer::plain;
use crate::serve::log::{Asked, Counted};
use crate::serve::site::Site;
use crate::serve::tls::Tls;
use crate::serve::wire::Wire;

/// Pause after the system could give no connection: most likely files are used up, and some are closed meanwhile.
const PAUSE: Duration = Duration::from_millis(50);
/// Most headers of a request.
const HEADERS: usize = 100;
/// How many who are turned away are told so at a time, and how long.
const LEAVING: usize = 64;
const FAREWELL: Duration = Duration::from_secs(1);
/// KiB of what they say that are heard.
const HEARD: usize = 16;
/// What a connection beyond the limits gets.
const TOO_MANY: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: 40\r\n\
retry-after: 5\r\nconnection: close\r\n\r\ntoo many connections; try again shortly\n";

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

/// What every connection is served with.
#[derive(Clone)]
struct Serving {
    site: Arc<Site>,
    router: Router,
    http: http1::Builder,
    addresses: Arc<Addresses>,
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
    let serving = Serving { addresses: Addresses::new(limits.clone()), site, router, http };
    let (graceful, leaving) = (GracefulShutdown::new(), Arc::new(Semaphore::new(LEAVING)));
    let mut shutdown = pin!(shutdown);
    loop {
        let (stream, peer) = tokio::select! {
            () = &mut shutdown => break,
            accepted = listener.accept() => {
                let Ok(accepted) = accepted else {
                    tokio::time::sleep(PAUSE).await;
                    continue;
                };
                accepted
            }
        };
        let Some(place) = serving.addresses.enter(peer.ip()) else {
            serving.site.meter.turned_away();
            match Arc::clone(&leaving).try_acquire_owned() {
                Ok(leave) if serving.site.tls.is_none() => drop(tokio::spawn(turn_away(stream, leave))),
                // Nobody waits for all who are turned away.
                _ => {}
            }
            continue;
        };
        let _ = stream.set_nodelay(true);
        tokio::spawn(serving.clone().begin(stream, peer.ip(), place, graceful.watcher()));
    }
    drop(listener);
    let _ = tokio::time::timeout(limits.grace, graceful.shutdown()).await;
    Ok(())
}

/// Tells somebody why, and hears what was said already: a connection that is closed on unread bytes takes the answer along.
async fn turn_away(mut stream: TcpStream, _leave: OwnedSemaphorePermit) {
    let farewell = async {
        stream.write_all(TOO_MANY).await?;
        stream.shutdown().await?;
        let mut heard = [0; 1024];
        for _ in 0..HEARD {
            if stream.read(&mut heard).await? == 0 {
                break;
            }
        }
        Ok::<_, std::io::Error>(())
    };
    let _ = tokio::time::timeout(FAREWELL, farewell).await;
}

impl Serving {
    /// Serves a connection to its end.
    async fn begin(self, stream: TcpStream, peer: IpAddr, place: Place, watcher: Watcher) {
        self.site.meter.connected();
        let meter = Arc::clone(&self.site.meter);
        let config = self.site.tls.as_ref().map(Tls::config);
        match config {
            None => self.serve(stream, peer, watcher).await,
            Some(config) => {
                let shake = tokio_rustls::TlsAcceptor::from(config).accept(stream);
                // Who does not get through the handshake in time is not waited for.
                let time = self.site.options.limits.head_time;
                if let Ok(Ok(stream)) = tokio::time::timeout(time, shake).await {
                    self.serve(stream, peer, watcher).await;
                }
            }
        }
        meter.disconnected();
        drop(place);
    }

    async fn serve<S>(self, stream: S, peer: IpAddr, watcher: Watcher)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let wire = Wire::new(stream, self.site.options.limits.clone(), Arc::clone(&self.site.meter));
        let http = self.http.clone();
        let service = service_fn(move |request| {
            let serving = self.clone();
            async move { Ok::<_, Infallible>(serving.answer(request, peer).await) }
        });
        // What goes wrong on a connection is that connection's matter.
        let _: Result<(), hyper::Error> = watcher.watch(http.serve_connection(TokioIo::new(wire), service)).await;
    }

    /// Answers a request, and has it counted and logged when its last byte is gone.
    async fn answer(self, request: Request<Incoming>, peer: IpAddr) -> Response<Body> {
        let said = |name: header::HeaderName| {
            let value = request.headers().get(name)?;
            Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        let asked = Asked {
            address: peer,
            method: request.method().as_str().to_owned(),
            path: request.uri().path().to_owned(),
            range: said(header::RANGE),
            agent: said(header::USER_AGENT),
            token: self.site.caller(request.headers()).ok().and_then(|caller| caller.name()),
            begun: Instant::now(),
        };
        let answer = if self.addresses.may_ask(peer) {
            match self.router.oneshot(request).await {
                Ok(answer) => answer,
                Err(never) => match never {},
            }
        } else {
            self.site.meter.too_many();
            let mut answer = plain(StatusCode::TOO_MANY_REQUESTS, "too many requests from this address");
            answer.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
            answer
        };
        let (parts, body) = answer.into_parts();
        let length = parts.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        let counted = Counted::new(body, length, Arc::clone(&self.site.log), asked, parts.status.as_u16());
        Response::from_parts(parts, Body::new(counted))
    }
}
