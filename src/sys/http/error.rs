//! Why a request failed: never with a credential, a query or a body in it.

use std::path::PathBuf;
use std::time::Duration;

use crate::diagnose::{Class, Code, Diagnose, Hint};
use crate::model::SafeUrl;
use crate::sys::credentials_file::CredentialsError;
use crate::sys::http::{AddressError, HelperError, Said};

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// Sockets may not be opened.
    #[error("{url} is needed, and this run is offline")]
    Offline {
        /// What was asked for.
        url: Box<SafeUrl>,
    },
    /// The rules refuse the address, or a redirect to it.
    #[error("{url} is not opened: {source}")]
    Refused {
        /// What was asked for, or where a redirect led.
        url: Box<SafeUrl>,
        /// The rule.
        source: AddressError,
    },
    /// No answer: name, connection, TLS, or a body that broke off.
    #[error("{url} can't be reached")]
    Unreachable {
        /// What was asked for.
        url: Box<SafeUrl>,
        /// What the connection said.
        source: NoAnswer,
    },
    /// An answer, and a certificate that says nothing for it.
    #[error("{url} can't be reached: its certificate is refused")]
    Certificate {
        /// What was asked for.
        url: Box<SafeUrl>,
        /// What is wrong with it.
        source: NoAnswer,
    },
    /// An answer that is no success.
    #[error("{url} answered {status}")]
    Status {
        /// What was asked for.
        url: Box<SafeUrl>,
        /// The status.
        status: u16,
        /// What the server said beside it.
        said: Box<Said>,
    },
    /// Silence.
    #[error("{url} sent nothing for {} s", seconds.as_secs_f32())]
    Stalled {
        /// What was asked for.
        url: Box<SafeUrl>,
        /// How long.
        seconds: Duration,
    },
    /// A drip.
    #[error("{url} sends too slowly: {bytes} bytes in {} s, at least {least} are expected", seconds.as_secs_f32())]
    TooSlow {
        /// What was asked for.
        url: Box<SafeUrl>,
        /// Bytes that came.
        bytes: u64,
        /// Bytes that should have.
        least: u64,
        /// In this time.
        seconds: Duration,
    },
    /// More than the caller allows.
    #[error("{url} is larger than the {cap} bytes that such a file may have")]
    TooLarge {
        /// What was asked for.
        url: Box<SafeUrl>,
        /// Bytes allowed.
        cap: u64,
    },
    /// A body that is not the file's own bytes.
    #[error("{url} came with the content encoding {encoding:?}: the file's own bytes are needed")]
    Encoded {
        /// What was asked for.
        url: Box<SafeUrl>,
        /// The encoding.
        encoding: String,
    },
    /// A partial answer that is not the part that was asked for.
    #[error("{url} answered with another range: {found:?}, expected one from byte {expected}")]
    Range {
        /// What was asked for.
        url: Box<SafeUrl>,
        /// First byte that was asked for.
        expected: u64,
        /// `Content-Range` as it came.
        found: String,
    },
    /// A file of certificate authorities that can't be used.
    #[error("the certificate authorities in {} can't be used: {reason}", path.display())]
    Authorities {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A netrc file that can't be used.
    #[error("the netrc file {} can't be used: {reason}", path.display())]
    Netrc {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The file of tokens that can't be used.
    #[error(transparent)]
    Credentials(Box<CredentialsError>),
    /// The credential helper gave no answer.
    #[error("the credential helper {program} failed for {host}")]
    Helper {
        /// The program.
        program: String,
        /// The host that it was asked about.
        host: String,
        /// Why.
        source: Box<HelperError>,
    },
    /// No TLS on this machine.
    #[error("no HTTP client can be made on this machine")]
    Client {
        /// What is wrong.
        source: reqwest::Error,
    },
}

/// What a connection said, without the layers that only repeat that there is one.
#[derive(Debug)]
pub struct NoAnswer(reqwest::Error);

impl std::error::Error for NoAnswer {}

impl NoAnswer {
    /// Whether the connection ended over the server's certificate.
    fn is_certificate(&self) -> bool {
        self.any(&|error| matches!(error, rustls::Error::InvalidCertificate(_)))
    }

    /// Whether the server refused to speak the protocol that was offered.
    pub(super) fn is_protocol(&self) -> bool {
        let refused = rustls::Error::AlertReceived(rustls::AlertDescription::NoApplicationProtocol);
        self.any(&|error| *error == refused || *error == rustls::Error::NoApplicationProtocol)
    }

    /// Whether something in it is such an error of TLS.
    fn any(&self, is: &dyn Fn(&rustls::Error) -> bool) -> bool {
        let mut next: Option<&(dyn std::error::Error + 'static)> = Some(&self.0);
        while let Some(error) = next {
            if error.downcast_ref().is_some_and(is) {
                return true;
            }
            // An I/O error shows what it holds, which may be another one, but names only the source of that as its own.
            let held = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
            next = held.map_or_else(|| error.source(), |held| Some(held));
        }
        false
    }
}

impl std::fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut texts: Vec<String> = Vec::new();
        let mut next: Option<&(dyn std::error::Error + 'static)> = Some(&self.0);
        while let Some(error) = next {
            let text = error.to_string();
            let empty = ["error sending request", "dns error", "error resolving DNS"].contains(&text.as_str())
                || text.starts_with("client error (");
            // Some errors show their cause themselves.
            if !empty && !texts.iter().any(|said| said.contains(&text)) {
                texts.push(text);
            }
            next = error.source();
        }
        f.write_str(if texts.is_empty() { "no answer" } else { "" })?;
        f.write_str(&texts.join(": "))
    }
}

impl HttpError {
    /// No answer came.
    pub(super) fn unreachable(url: Box<SafeUrl>, source: reqwest::Error) -> Self {
        let source = NoAnswer(source.without_url());
        if source.is_certificate() { Self::Certificate { url, source } } else { Self::Unreachable { url, source } }
    }

    /// How long the server wants to be left alone, if it said so.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { said, .. } => said.wait,
            _ => None,
        }
    }

    /// Whether the same request may succeed later without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Stalled { .. } | Self::TooSlow { .. } => true,
            Self::Status { status, .. } => matches!(status, 408 | 425 | 429 | 500..=599),
            _ => false,
        }
    }
}

impl Diagnose for HttpError {
    fn code(&self) -> Code {
        Code(match self {
            Self::Offline { .. } => "E0151",
            Self::Refused { .. } => "E0152",
            Self::Unreachable { .. } | Self::Certificate { .. } => "E0153",
            Self::Status { .. } => "E0154",
            Self::Stalled { .. } | Self::TooSlow { .. } => "E0155",
            Self::TooLarge { .. } => "E0156",
            Self::Encoded { .. } | Self::Range { .. } => "E0157",
            Self::Authorities { .. } | Self::Client { .. } => "E0158",
            Self::Netrc { .. } => "E0159",
            Self::Credentials(error) => return error.code(),
            Self::Helper { .. } => "E0183",
        })
    }

    fn class(&self) -> Class {
        match self {
            Self::Refused { .. } => Class::Policy,
            Self::Credentials(error) => error.class(),
            Self::Authorities { .. } | Self::Client { .. } | Self::Netrc { .. } | Self::Helper { .. } => Class::Yours,
            _ => Class::Network,
        }
    }

    fn hints(&self) -> Vec<Hint> {
        match self {
            Self::Offline { .. } => vec![Hint::Note("run the command once without --offline".to_owned())],
            Self::Refused { url, source: AddressError::PlainHttp { .. } } => vec![Hint::Add {
                file: "config.toml",
                lines: format!("[network]\nallow-http = [\"{}\"]", host_of(url)),
            }],
            Self::Refused { url, source: AddressError::Class { .. } } => vec![
                Hint::Note("an index or a redirect may lead into your own network by intent or by mistake".to_owned()),
                Hint::Add {
                    file: "config.toml",
                    lines: format!("[network]\nallow-private = [\"{}\"]", host_of(url)),
                },
            ],
            Self::Status { status: 401 | 403, url, .. } => vec![
                Hint::Run(format!("mpm login {}", host_of(url))),
                Hint::Note("a token that is refused may have expired, or be for something else".to_owned()),
            ],
            Self::Credentials(error) => error.hints(),
            Self::Helper { .. } => vec![Hint::Note(
                "[credentials] helper in config.toml names it; docs/formats/credentials.md says what it must answer".to_owned(),
            )],
            Self::Unreachable { .. } | Self::Stalled { .. } | Self::TooSlow { .. } => vec![Hint::Note(
                "check the address, the proxy and the connection, or try again later; what Model.lock pins and the store \
                 holds installs with `mpm sync --offline`"
                    .to_owned(),
            )],
            Self::Certificate { .. } => vec![
                Hint::Note(
                    "a site that has an authority of its own names its file in config.toml: network.ca-file".to_owned(),
                ),
                Hint::Note("else the server's owner has to renew it, or the address is another's: nothing was sent".to_owned()),
            ],
            Self::Status { status: 429 | 500..=599, .. } => {
                vec![Hint::Note("the server says that it can't answer now: try again later".to_owned())]
            }
            Self::Client { .. } => vec![Hint::Note(
                "where the system has no certificate authorities, name a file of them: network.ca-file, or SSL_CERT_FILE"
                    .to_owned(),
            )],
            _ => Vec::new(),
        }
    }
}

fn host_of(url: &SafeUrl) -> String {
    let host = url.inner().host_str().unwrap_or_default();
    url.inner().port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}
