//! `mpm serve`: a mirror's folder, or the store, to whoever asks inside a site.

use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::index;
use crate::lock::SourceFiles;
use crate::mirror::Destination;
use crate::model::{RegistryId, Sha256};
use crate::ops::serving::{FolderBlobs, RegistryShelf, StoreShelf};
use crate::ops::{PipelineError, Services, mirroring, project};
use crate::serve::{self, HubSource, Limits, Listener, LogPlace, Options, Shelf, TlsFiles, Verify};
use crate::sys::{Cancel, Clock, block_on_server};

/// What is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A folder that is a registry, absolute.
    Folder(PathBuf),
    /// What the store holds of releases that this machine has verified.
    Store,
}

/// What is asked.
#[derive(Clone)]
pub struct Request {
    /// What is served.
    pub content: Content,
    /// Digest of the first root that a folder must have; none: the one that it says it has.
    pub root: Option<Sha256>,
    /// Model.lock files whose `hf` sources are served, absolute.
    pub locks: Vec<PathBuf>,
    /// Where to listen.
    pub listen: SocketAddr,
    /// How blobs are checked.
    pub verify: Verify,
    /// What is taken from clients.
    pub limits: Limits,
    /// How long a scrub takes to hash everything once; none: nothing is scrubbed.
    pub scrub: Option<Duration>,
    /// Certificate and key, absolute.
    pub tls: Option<TlsFiles>,
    /// The file of tokens, absolute.
    pub tokens: Option<PathBuf>,
    /// Where the access log goes.
    pub log: Option<LogPlace>,
    /// The clock: a server lives long.
    pub clock: Arc<dyn Clock>,
}

/// A server that listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ready {
    /// Where, with the port that it got.
    pub address: SocketAddr,
    /// The registries.
    pub registries: Vec<RegistryId>,
    /// What the operator should know of what is not served.
    pub notes: Vec<String>,
}

/// How often the wish to stop is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// Serves until somebody wishes to stop; `ready` is called when clients can come.
///
/// # Errors
/// `E1091`: the address can't be listened on; what is to be served can't be read.
pub fn run(services: &Services, request: &Request, ready: &mut dyn FnMut(&Ready)) -> Result<(), PipelineError> {
    let (shelf, notes) = shelf(services, request)?;
    let listener = Listener::bind(request.listen)?;
    ready(&Ready { address: listener.address(), registries: shelf.registries(), notes });
    let options = Options {
        verify: request.verify,
        limits: request.limits.clone(),
        scrub: request.scrub,
        tls: request.tls.clone(),
        tokens: request.tokens.clone(),
        log: request.log.clone(),
        state: state(services, &request.content),
        clock: Arc::clone(&request.clock),
        progress: Arc::clone(&services.progress),
    };
    let cancel = services.cancel.clone();
    let content = serve::Content { shelf, fill: None };
    let served = block_on_server(serve::run(listener, content, options, stopped(cancel)));
    served.map_err(|source| serve::ServeError::Listen { address: request.listen, source })??;
    Ok(())
}

/// The server's own folder: one for each folder that is served.
fn state(services: &Services, content: &Content) -> PathBuf {
    let place = match content {
        Content::Folder(folder) => folder,
        Content::Store => &services.folders.store,
    };
    let name = Sha256::of(place.as_os_str().as_bytes()).short();
    services.folders.trust.parent().unwrap_or(Path::new("/")).join("serve").join(name)
}

/// Resolves when somebody wishes to stop.
async fn stopped(cancel: Cancel) {
    while !cancel.is_cancelled() {
        tokio::time::sleep(LOOK).await;
    }
}

fn shelf(services: &Services, request: &Request) -> Result<(Arc<dyn Shelf>, Vec<String>), PipelineError> {
    let sources = sources(&request.locks)?;
    match &request.content {
        Content::Folder(folder) => folder_shelf(services, request, folder, sources),
        Content::Store => store_shelf(services, sources),
    }
}

fn folder_shelf(
    services: &Services,
    request: &Request,
    folder: &Path,
    sources: Vec<HubSource>,
) -> Result<(Arc<dyn Shelf>, Vec<String>), PipelineError> {
    let none = || serve::ServeError::NoRegistry { path: folder.to_owned() };
    let (id, root) = Destination::claimed(folder)?.ok_or_else(none)?;
    if let Some(expected) = request.root.filter(|expected| *expected != root) {
        return Err(PipelineError::RootChanged { registry: id, found: root, locked: expected });
    }
    let origin = index::folder(folder);
    let make = |base: &str| {
        let aside = folder.join(".mpm-mirror").is_dir().then(|| PathBuf::from(".mpm-mirror/corrupt"));
        let blobs = Arc::new(FolderBlobs::new(folder, base, aside));
        RegistryShelf::new(
            (id.clone(), root),
            Arc::clone(&origin),
            blobs,
            services.http.clone(),
            Arc::clone(&request.clock),
        )
    };
    // What does not count is served to nobody: the operator is told now.
    let bases = make(".").bases()?;
    let relative = bases.iter().find(|base| !base.contains("://"));
    let base = relative.map_or(".", |base| base.trim_end_matches('/'));
    let mut notes = Vec::new();
    if request.root.is_none() {
        notes.push(format!("registry {id} has root sha256:{root}, as the folder says: compare it, or give --root"));
    }
    Ok((Arc::new(make(base).with_sources(sources)), notes))
}

fn store_shelf(services: &Services, sources: Vec<HubSource>) -> Result<(Arc<dyn Shelf>, Vec<String>), PipelineError> {
    let store = services.store(Duration::ZERO)?;
    let shelf = StoreShelf::new(store, &services.folders.trust, sources);
    let holding = shelf.holding().map_err(PipelineError::Serving)?;
    let mut notes = vec![
        "the store holds no index: mpm takes blobs from here by `mirrors`, and asks its registries for the rest"
            .to_owned(),
    ];
    if holding.releases.is_empty() {
        notes.push("this machine has verified no release yet, so there is nothing to serve".to_owned());
    }
    if holding.lacking > 0 {
        let text = format!("{} releases are left out: the store lacks their statements or file lists", holding.lacking);
        notes.push(text);
    }
    Ok((Arc::new(shelf), notes))
}

/// The commits of the hub that locks pin.
fn sources(paths: &[PathBuf]) -> Result<Vec<HubSource>, PipelineError> {
    let mut found = Vec::new();
    for read in mirroring::locks(paths)? {
        for (id, locked) in &read.lock.sources {
            let (Some(hub), Some(commit)) = (id.hub(), locked.commit()) else { continue };
            let files = match &locked.files {
                SourceFiles::Inline(files) => files.clone(),
                SourceFiles::Table(pin) => project::source_table(&read.folder, pin)?,
            };
            let files = files.into_iter().map(|file| (file.path, file.pin)).collect();
            found.push(HubSource { id: hub.clone(), commit, files });
        }
    }
    Ok(found)
}

/// A systemd unit for a server: it may read what it serves, write its own notes, and nothing else.
pub fn unit(folder: Option<&Path>, listen: SocketAddr) -> String {
    let content = folder.map_or_else(String::new, |folder| format!(" {}", quoted(folder)));
    format!(
        "\
# /etc/systemd/system/mpm-serve.service
[Unit]
Description=mpm serve: verified models and datasets for this site
Documentation=man:mpm-serve(1)
After=network-online.target
Wants=network-online.target

[Service]
ExecStart=/usr/local/bin/mpm serve{content} --listen {listen} --access-log -
DynamicUser=yes
StateDirectory=mpm-serve
Environment=HOME=/var/lib/mpm-serve
Environment=XDG_STATE_HOME=/var/lib/mpm-serve
Environment=XDG_DATA_HOME=/var/lib/mpm-serve
Environment=XDG_CACHE_HOME=/var/lib/mpm-serve
Restart=on-failure
# A stop that lets clients end what they are at; see --grace.
TimeoutStopSec=45
LimitNOFILE=16384
MemoryMax=512M
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=read-only
PrivateTmp=yes
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectControlGroups=yes
RestrictAddressFamilies=AF_INET AF_INET6
RestrictNamespaces=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
CapabilityBoundingSet=

[Install]
WantedBy=multi-user.target
"
    )
}

/// A path as one word of a unit file.
fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy().replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%").replace('$', "$$");
    if text.contains([' ', '\'', '"', ';']) { format!("\"{text}\"") } else { text }
}
