//! The HTTP client: one choke point for offline, proxies, certificate authorities, tokens, redirects and addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::config::Secret;
use crate::diagnose::{Class, Code, Diagnose};
use crate::model::SafeUrl;

/// Whether sockets may be opened at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NetworkPolicy {
    /// They may.
    #[default]
    Online,
    /// They may not: every request fails before a socket.
    Offline,
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
    /// A netrc file.
    pub netrc: Option<PathBuf>,
}

/// The client. Cheap to clone.
#[derive(Clone)]
pub struct HttpClient {
    settings: std::sync::Arc<HttpSettings>,
}

/// A small answer, read whole under a cap.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body; empty for 304 and 404.
    pub body: Vec<u8>,
    /// `ETag`, if given.
    pub etag: Option<String>,
}

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// Placeholder variant; the room's owner replaces it.
    #[error("placeholder")]
    Placeholder,
}

impl Diagnose for HttpError {
    fn code(&self) -> Code {
        Code("E0151")
    }
    fn class(&self) -> Class {
        Class::Network
    }
}

impl HttpClient {
    /// Makes a client.
    ///
    /// # Errors
    /// The CA file can't be read.
    pub fn new(settings: HttpSettings) -> Result<Self, HttpError> {
        todo!()
    }

    /// Whether sockets may be opened.
    pub fn policy(&self) -> NetworkPolicy {
        self.settings.policy
    }
}
