//! The HTTP client: one choke point for offline, proxies, certificate authorities, tokens, redirects and addresses.
//!
//! Every request walks the same way: offline is looked at, the address is judged, credentials are added for exactly this
//! host, redirects are followed by hand under the same rules. Refuses to know what the bytes mean.

mod address;
mod body;
mod credentials;
mod error;
mod helper;
mod limit;
mod reply;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use reqwest::header;

use crate::config::Secret;
use crate::model::SafeUrl;
use crate::sys::runtime::block_on;

pub use address::{AddressClass, AddressError, Scope};
pub use body::{ByteRange, RangeBody, parse_content_range};
pub use credentials::netrc_hosts;
pub use error::HttpError;
pub use helper::{Action as HelperAction, HelperError, ask as ask_helper};
pub use reply::{Reply, Said};

use address::{Guard, Reach, Targets};
use credentials::Credentials;
use limit::Limit;

/// Most redirects that are followed.
const MAX_HOPS: usize = 5;
/// Largest file of certificate authorities, in bytes.
const MAX_AUTHORITIES: u64 = 16 << 20;

/// Whether sockets may be opened at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NetworkPolicy {
    /// They may.
    #[default]
    Online,
    /// They may not: every request fails before a socket.
    Offline,
}

/// How long a server is borne with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patience {
    /// Until a connection stands.
    pub connect: Duration,
    /// Without a byte.
    pub stall: Duration,
    /// Length of the window in which `least` bytes must come.
    pub window: Duration,
    /// Bytes that must come in each window.
    pub least: u64,
    /// Requests for a small file, the first included.
    pub tries: u32,
    /// Pause before the second try; doubles each time.
    pub pause: Duration,
    /// Longest pause, however long the server asks for.
    pub longest_pause: Duration,
    /// How long an index whose files do not fit together is asked again, past caches.
    pub lag: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            stall: Duration::from_secs(30),
            window: Duration::from_mins(1),
            least: 60 * 1024,
            tries: 3,
            pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(30),
            lag: Duration::from_secs(30),
        }
    }
}

/// What the client is made from; all of it from user or site configuration and the command line.
#[derive(Debug, Clone, Default)]
pub struct HttpSettings {
    /// Online or offline.
    pub policy: NetworkPolicy,
    /// A file of certificate authorities besides the system's.
    pub ca_file: Option<PathBuf>,
    /// Hosts (`host` or `host:port`) that may be met without TLS besides loopback.
    pub allow_http: BTreeSet<String>,
    /// Hosts that may stand on loopback, link-local or private addresses.
    pub allow_private: BTreeSet<String>,
    /// Bearer tokens by host.
    pub tokens: BTreeMap<String, Secret>,
    /// A file with tokens by host, and where it lies; it counts behind `tokens`.
    pub credentials: Option<PathBuf>,
    /// A program that keeps tokens, with its arguments; it is asked behind the file.
    pub helper: Option<Vec<String>>,
    /// A netrc file.
    pub netrc: Option<PathBuf>,
    /// A file that holds the token for one host, if it is there and `tokens` has none for that host.
    pub token_file: Option<(String, PathBuf)>,
    /// How long a server is borne with.
    pub patience: Patience,
    /// Bytes a second that bodies may come with, all together; none: as fast as they do.
    pub limit_rate: Option<u64>,
}

/// The client. Cheap to clone; nothing is built before the first request.
#[derive(Clone)]
pub struct HttpClient {
    settings: Arc<HttpSettings>,
    limit: Option<Arc<Limit>>,
    built: Arc<Built>,
}

/// What is made when it is first needed.
#[derive(Default)]
struct Built {
    credentials: OnceLock<Credentials>,
    clients: Mutex<BTreeMap<(Reach, Lines), reqwest::Client>>,
    /// Origins that speak HTTP/2 alone.
    only_http2: Mutex<BTreeSet<String>>,
    targets: Targets,
}

/// How requests to one origin share connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lines {
    /// As the server offers: with HTTP/2 all share one.
    Shared,
    /// One for each request at a time, by HTTP/1.1: for large bodies, which are faster and cost less so.
    Each,
}

/// What is asked of a small file.
#[derive(Debug, Clone, Copy, Default)]
pub struct Small<'a> {
    /// Largest body.
    pub cap: u64,
    /// The `ETag` of the copy that is here: the answer may be 304.
    pub etag: Option<&'a str>,
    /// Ask past caches.
    pub past_caches: bool,
}

/// A small answer, read whole under a cap.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status: 200, 304, 404, 410 or 451.
    pub status: u16,
    /// The body; empty for anything but 200.
    pub body: Vec<u8>,
    /// `ETag`, if given.
    pub etag: Option<String>,
}

impl HttpClient {
    /// Makes a client. Files that the settings name are read when the first request needs them.
    ///
    /// # Errors
    /// None yet: the settings are plain values.
    pub fn new(settings: HttpSettings) -> Result<Self, HttpError> {
        let limit = settings.limit_rate.map(|rate| Arc::new(Limit::new(rate)));
        Ok(Self { settings: Arc::new(settings), limit, built: Arc::new(Built::default()) })
    }

    /// Whether sockets may be opened.
    pub fn policy(&self) -> NetworkPolicy {
        self.settings.policy
    }

    /// What it was made from.
    pub fn settings(&self) -> &HttpSettings {
        &self.settings
    }

    /// What requests on behalf of a configured index may reach: decided by the class of that index's own host, after name
    /// resolution. A name that does not resolve here (a proxy may know it) is public, and so is everything offline.
    ///
    /// # Errors
    /// The address itself is refused: plain http to a host that is not listed.
    pub fn scope_of(&self, index: &SafeUrl) -> Result<Scope, HttpError> {
        let url = index.inner();
        if self.settings.policy == NetworkPolicy::Offline {
            return Ok(Scope::public());
        }
        let class = match address::literal(url) {
            Some(address) => address::class_of(address),
            None => self.resolve_class(url),
        };
        let scope = Scope { class };
        if matches!(url.scheme(), "https" | "http") {
            self.judge(index, scope)?;
        }
        Ok(scope)
    }

    fn resolve_class(&self, url: &url::Url) -> AddressClass {
        let Some(host) = url.host_str() else { return AddressClass::Public };
        let port = url.port_or_known_default().unwrap_or_default();
        // Inside the runtime: timers and look-ups need one around them.
        let found = block_on(async {
            tokio::time::timeout(self.settings.patience.connect, tokio::net::lookup_host((host, port))).await
        });
        let Ok(Ok(mut found)) = found else { return AddressClass::Public };
        let inside = |address: std::net::SocketAddr| {
            let class = address::class_of(address.ip());
            (class != AddressClass::Public).then_some(class)
        };
        found.find_map(inside).unwrap_or_default()
    }

    /// Gets a small file whole. Absent (404, 410, 451) and unchanged (304) are answers; what may pass is tried again.
    ///
    /// # Errors
    /// `E0151` to `E0159`.
    pub fn get_small(&self, url: &SafeUrl, small: Small<'_>, scope: Scope) -> Result<Answer, HttpError> {
        block_on(self.small(url, small, scope))
    }

    /// As [`HttpClient::get_small`], for a room that asks for many at once.
    pub(crate) async fn small(&self, url: &SafeUrl, small: Small<'_>, scope: Scope) -> Result<Answer, HttpError> {
        let patience = &self.settings.patience;
        let mut tried = 0;
        loop {
            tried += 1;
            let error = match self.small_once(url, small, scope).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            // A stall has cost its time already.
            let again = error.is_transient() && !matches!(error, HttpError::Stalled { .. } | HttpError::TooSlow { .. });
            if !again || tried >= patience.tries {
                return Err(error);
            }
            tokio::time::sleep(pause(patience, tried, error.retry_after(), url)).await;
        }
    }

    async fn small_once(&self, url: &SafeUrl, small: Small<'_>, scope: Scope) -> Result<Answer, HttpError> {
        let mut headers = header::HeaderMap::new();
        if small.past_caches {
            headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-cache"));
        } else if let Some(etag) = small.etag.and_then(|etag| header::HeaderValue::from_str(etag).ok()) {
            headers.insert(header::IF_NONE_MATCH, etag);
        }
        let (at, response) = self.request(url, &headers, scope, Lines::Shared).await?;
        let status = response.status().as_u16();
        match status {
            200 => {
                let body = self.body(at, response, ByteRange::from(0))?;
                let etag = body.etag().map(str::to_owned);
                Ok(Answer { status, body: body.read_whole(small.cap).await?, etag })
            }
            304 | 404 | 410 | 451 => Ok(Answer { status, body: Vec::new(), etag: None }),
            _ => Err(refused_status(at, &response)),
        }
    }

    /// Opens a range of a file. The server may send the whole (`status` 200, `start` 0), and must where `if_range` no longer
    /// names its version. One try: resuming is the caller's business.
    ///
    /// # Errors
    /// `E0151` to `E0159`; a status that is neither 200 nor 206.
    pub(crate) async fn open_range(
        &self,
        url: &SafeUrl,
        range: ByteRange,
        if_range: Option<&str>,
        scope: Scope,
        lines: Lines,
    ) -> Result<RangeBody, HttpError> {
        let mut headers = header::HeaderMap::new();
        let asked = range.header();
        let partial = asked.is_some();
        if let Some(asked) = asked {
            headers.extend(header::HeaderValue::from_str(&asked).ok().map(|asked| (header::RANGE, asked)));
            let version = if_range.and_then(|etag| header::HeaderValue::from_str(etag).ok());
            headers.extend(version.map(|version| (header::IF_RANGE, version)));
        }
        let (at, response) = self.request(url, &headers, scope, lines).await?;
        match response.status().as_u16() {
            200 => self.body(at, response, range),
            206 if partial => self.body(at, response, range),
            _ => Err(refused_status(at, &response)),
        }
    }

    /// The body of a successful answer to a request for these bytes.
    fn body(&self, at: Box<SafeUrl>, response: reqwest::Response, range: ByteRange) -> Result<RangeBody, HttpError> {
        RangeBody::new(at, response, range, &self.settings.patience, self.limit.clone())
    }

    /// The choke point: sends one GET and follows redirects by the rules.
    async fn request(
        &self,
        url: &SafeUrl,
        headers: &header::HeaderMap,
        scope: Scope,
        lines: Lines,
    ) -> Result<(Box<SafeUrl>, reqwest::Response), HttpError> {
        let mut at = Box::new(url.clone());
        let mut hops = 0;
        while hops <= MAX_HOPS {
            if self.settings.policy == NetworkPolicy::Offline {
                return Err(HttpError::Offline { url: at });
            }
            let reach = self.judge(&at, scope)?;
            let lines = if self.speaks_only_http2(&at) { Lines::Shared } else { lines };
            let mut request = self.client(reach, lines)?.get(at.inner().clone()).headers(headers.clone());
            // Redirected to another host, port or scheme, credentials stay behind.
            if at.inner().origin() == url.inner().origin()
                && let Some(value) = self.credentials()?.for_url(at.inner())?
            {
                request = request.header(header::AUTHORIZATION, value);
            }
            self.aim_at(&at);
            let patience = &self.settings.patience;
            let response = match tokio::time::timeout(patience.connect + patience.stall, request.send()).await {
                Err(_) => return Err(HttpError::Stalled { url: at, seconds: patience.stall }),
                Ok(Err(source)) => match unreachable_or_refused(at, source) {
                    HttpError::Unreachable { url, source } if lines == Lines::Each && source.is_protocol() => {
                        self.note_only_http2(&url);
                        at = url;
                        continue;
                    }
                    error => return Err(error),
                },
                Ok(Ok(response)) => response,
            };
            hops += 1;
            match redirect(&at, &response)? {
                None => return Ok((at, response)),
                Some(next) => *at = next,
            }
        }
        Err(HttpError::Refused { url: Box::new(url.clone()), source: AddressError::Hops { limit: MAX_HOPS } })
    }

    fn speaks_only_http2(&self, url: &SafeUrl) -> bool {
        let origins = self.built.only_http2.lock().unwrap_or_else(PoisonError::into_inner);
        !origins.is_empty() && origins.contains(&url.inner().origin().ascii_serialization())
    }

    fn note_only_http2(&self, url: &SafeUrl) {
        let origin = url.inner().origin().ascii_serialization();
        self.built.only_http2.lock().unwrap_or_else(PoisonError::into_inner).insert(origin);
    }

    /// How many authorities the configured file holds; 0: none is configured.
    ///
    /// # Errors
    /// `E0158`: the file can't be used.
    pub fn check_authorities(&self) -> Result<usize, HttpError> {
        self.settings.ca_file.as_deref().map_or(Ok(0), |path| Ok(authorities(path)?.len()))
    }

    /// Lays the same rules on the client that git's transport makes for itself: addresses after name resolution,
    /// certificate authorities, patience. Redirects are switched off by the transport's own option.
    pub(super) fn configure_blocking(
        &self,
        url: &SafeUrl,
        scope: Scope,
        builder: reqwest::blocking::ClientBuilder,
    ) -> Result<reqwest::blocking::ClientBuilder, HttpError> {
        let reach = self.judge(url, scope)?;
        self.aim_at(url);
        install_provider();
        let guard = Guard { reach, targets: Arc::clone(&self.built.targets) };
        let patience = &self.settings.patience;
        let builder = builder
            .connect_timeout(patience.connect)
            .timeout(patience.connect + patience.stall)
            .referer(false)
            .dns_resolver(Arc::new(guard));
        Ok(match &self.settings.ca_file {
            Some(path) => builder.tls_certs_merge(authorities(path)?),
            None => builder,
        })
    }

    /// Adds the credential that the user bound to exactly this host.
    pub(super) fn authorise_blocking(&self, request: &mut reqwest::blocking::Request) -> Result<(), HttpError> {
        let value = self.credentials()?.for_url(request.url())?;
        request.headers_mut().extend(value.map(|value| (header::AUTHORIZATION, value)));
        Ok(())
    }

    /// Refuses an address by the rules that need no name resolution.
    pub(super) fn admit(&self, url: &SafeUrl, scope: Scope) -> Result<(), HttpError> {
        self.judge(url, scope).map(drop)
    }

    fn judge(&self, url: &SafeUrl, scope: Scope) -> Result<Reach, HttpError> {
        address::judge(url.inner(), scope, &self.settings)
            .map_err(|source| HttpError::Refused { url: Box::new(url.clone()), source })
    }

    /// Tells the resolver that this name is asked for, and is no proxy's.
    fn aim_at(&self, url: &SafeUrl) {
        if let Some(host) = url.inner().host_str() {
            self.built.targets.lock().unwrap_or_else(PoisonError::into_inner).insert(host.to_ascii_lowercase());
        }
    }

    fn credentials(&self) -> Result<&Credentials, HttpError> {
        if let Some(credentials) = self.built.credentials.get() {
            return Ok(credentials);
        }
        let read = Credentials::read(&self.settings)?;
        Ok(self.built.credentials.get_or_init(|| read))
    }

    /// The client for a reach. Each has its own connections: none is shared with one that may go elsewhere.
    fn client(&self, reach: Reach, lines: Lines) -> Result<reqwest::Client, HttpError> {
        let mut clients = self.built.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&(reach, lines)) {
            return Ok(client.clone());
        }
        install_provider();
        let guard = Guard { reach, targets: Arc::clone(&self.built.targets) };
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("mpm/", env!("CARGO_PKG_VERSION")))
            .default_headers(
                [(header::ACCEPT_ENCODING, header::HeaderValue::from_static("identity"))].into_iter().collect(),
            )
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .retry(reqwest::retry::never())
            .connect_timeout(self.settings.patience.connect)
            .dns_resolver(guard)
            .no_gzip()
            .no_brotli()
            .no_zstd()
            .no_deflate();
        if lines == Lines::Each {
            builder = builder.http1_only();
        }
        if let Some(path) = &self.settings.ca_file {
            builder = builder.tls_certs_merge(authorities(path)?);
        }
        let client = builder.build().map_err(|source| HttpError::Client { source })?;
        clients.insert((reach, lines), client.clone());
        Ok(client)
    }
}

/// Reads a file of certificate authorities: PEM, at least one.
fn authorities(path: &Path) -> Result<Vec<reqwest::Certificate>, HttpError> {
    use std::io::Read as _;
    let fail = |reason: String| HttpError::Authorities { path: path.to_owned(), reason };
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MAX_AUTHORITIES).read_to_end(&mut bytes))
        .map_err(|source| fail(source.to_string()))?;
    let found = reqwest::Certificate::from_pem_bundle(&bytes).map_err(|_| fail("it is not PEM".to_owned()))?;
    if found.is_empty() { Err(fail("it holds no certificate in PEM".to_owned())) } else { Ok(found) }
}

/// Makes ring the process's TLS provider, once; one that is there stays.
fn install_provider() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        // An error means that somebody installed one already.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

/// Where a redirect leads, if the answer is one.
fn redirect(at: &SafeUrl, response: &reqwest::Response) -> Result<Option<SafeUrl>, HttpError> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let refuse = |url: &SafeUrl, source| HttpError::Refused { url: Box::new(url.clone()), source };
    let next = response
        .headers()
        .get(header::LOCATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|location| at.inner().join(location).ok())
        .and_then(|url| SafeUrl::parse(url.as_str()).ok())
        .ok_or_else(|| refuse(at, AddressError::Location))?;
    if at.inner().scheme() == "https" && next.inner().scheme() == "http" {
        return Err(refuse(&next, AddressError::Downgrade));
    }
    Ok(Some(next))
}

/// An address that the resolver refused comes back inside the client's own error.
fn unreachable_or_refused(url: Box<SafeUrl>, source: reqwest::Error) -> HttpError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&source);
    while let Some(error) = cause {
        if let Some(refused) = error.downcast_ref::<AddressError>() {
            return HttpError::Refused { url, source: refused.clone() };
        }
        cause = error.source();
    }
    HttpError::unreachable(url, source)
}

fn refused_status(url: Box<SafeUrl>, response: &reqwest::Response) -> HttpError {
    HttpError::Status { url, status: response.status().as_u16(), said: Box::new(Said::of(response.headers())) }
}

/// The pause before the next try: doubled each time, spread by up to a half so that clients don't march in step, at least
/// what the server asked for, at most the longest.
fn pause(patience: &Patience, tried: u32, asked: Option<Duration>, url: &SafeUrl) -> Duration {
    let base = patience.pause.saturating_mul(1 << tried.saturating_sub(1).min(16));
    let seed = crate::model::Sha256::of(format!("{tried} {}", url.inner()).as_bytes());
    let spread = seed.as_bytes().first().copied().map_or(0, u32::from);
    let jittered = base + base.saturating_mul(spread) / 512;
    asked.map_or(jittered, |asked| asked.max(jittered)).min(patience.longest_pause)
}
