//! TLS from two files, read again when they change: whoever renews certificates need not know of the server.

use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::progress::Progress;
use crate::serve::ServeError;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Where certificate and key are, in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate, and those that lead to the authority.
    pub certificate: PathBuf,
    /// Its secret key.
    pub key: PathBuf,
}

/// What handshakes are made with.
pub(super) struct Tls {
    files: TlsFiles,
    progress: Arc<dyn Progress>,
    now: Mutex<Now>,
}

struct Now {
    looked: Instant,
    stood: [Option<(u64, u64, i64, i64)>; 2],
    config: Arc<ServerConfig>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// `E1095`: they are none, or do not belong together.
    pub(super) fn open(files: TlsFiles, progress: Arc<dyn Progress>) -> Result<Self, ServeError> {
        let stood = files.stood();
        let config = Arc::new(files.read()?);
        Ok(Self { files, progress, now: Mutex::new(Now { looked: Instant::now(), stood, config }) })
    }

    /// The configuration of the files as they are now; where they can't be read, or do not belong together, as they were.
    pub(super) fn config(&self) -> Arc<ServerConfig> {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        if now.looked.elapsed() >= LOOK {
            now.looked = Instant::now();
            let stood = self.files.stood();
            if stood != now.stood {
                match self.files.read() {
                    Ok(config) => {
                        now.config = Arc::new(config);
                        now.stood = stood;
                        self.progress.note("tls", "certificate and key were read anew");
                    }
                    // Two files are written one after the other: most likely the other one comes in a moment.
                    Err(error) => {
                        self.progress.warn("tls", format!("the certificate before goes on being used: {error}"));
                    }
                }
            }
        }
        Arc::clone(&now.config)
    }
}

impl TlsFiles {
    fn stood(&self) -> [Option<(u64, u64, i64, i64)>; 2] {
        [&self.certificate, &self.key].map(|path| {
            let found = path.metadata().ok()?;
            Some((found.ino(), found.len(), found.mtime(), found.mtime_nsec()))
        })
    }

    fn read(&self) -> Result<ServerConfig, ServeError> {
        let fail = |path: &PathBuf, reason: String| ServeError::Tls { path: path.clone(), reason };
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&self.certificate)
            .and_then(Iterator::collect)
            .map_err(|error| fail(&self.certificate, error.to_string()))?;
        if chain.is_empty() {
            return Err(fail(&self.certificate, "it holds no certificate".to_owned()));
        }
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(|error| fail(&self.key, error.to_string()))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .map_err(|error| fail(&self.certificate, error.to_string()))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}
