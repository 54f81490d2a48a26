//! How a server serves: checked values, no defaults hidden elsewhere.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::model::Namespace;
use crate::progress::Progress;
use crate::serve::{LogPlace, TlsFiles};
use crate::sys::Clock;

/// How blobs are checked before their bytes leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verify {
    /// Each was hashed once and its file stands since as it stood then; a scrub hashes all of them again and again.
    Record,
    /// Each chunk is compared before it leaves, where a chunk index exists.
    Chunks,
}

/// What a server takes from clients.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at a time.
    pub connections: usize,
    /// Of these, from one address.
    pub connections_each: usize,
    /// Bytes of a request's head.
    pub head: usize,
    /// Time for a request's head to come.
    pub head_time: Duration,
    /// Requests a second from one address; ten seconds' worth may come at once.
    pub requests: u32,
    /// Bytes a second of one connection; none: as many as go.
    pub rate: Option<u64>,
    /// Bytes a second that a client must take, counted over `slow_time`.
    pub slow: u64,
    /// How long a client may take fewer.
    pub slow_time: Duration,
    /// How long connections have to end when the server stops.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 512,
            connections_each: 256,
            head: 64 * 1024,
            head_time: Duration::from_secs(15),
            requests: 2_000,
            rate: None,
            slow: 1024,
            slow_time: Duration::from_secs(30),
            grace: Duration::from_secs(30),
        }
    }
}

/// How a server serves.
#[derive(Clone)]
pub struct Options {
    /// How blobs are checked.
    pub verify: Verify,
    /// What it takes from clients.
    pub limits: Limits,
    /// How long a scrub takes to hash everything once; none: nothing is scrubbed.
    pub scrub: Option<Duration>,
    /// Files of more bytes are announced to clients of the hub without their length: these refuse a length beyond 50 GB, and take
    /// the bytes.
    pub hub_largest: u64,
    /// Namespaces whose publishers may say where their releases stand on the hub; empty: all.
    pub upstreams: Vec<Namespace>,
    /// Certificate and key; none: no TLS.
    pub tls: Option<TlsFiles>,
    /// The file of tokens; none: everybody may read.
    pub tokens: Option<PathBuf>,
    /// Where the access log goes; none: there is none.
    pub log: Option<LogPlace>,
    /// The server's own folder for notes: which blobs it has verified.
    pub state: PathBuf,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Takes what the operator should know.
    pub progress: Arc<dyn Progress>,
}
