//! `mpm serve`: a mirror's folder, or the store, to whoever asks inside a site.

use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::bundle::Bundle;
use crate::diagnose::Diagnose as _;
use crate::index::{self, Gate, Opening};
use crate::lock::SourceFiles;
use crate::manifest::IndexAddress;
use crate::mirror::{Destination, MirrorError};
use crate::model::{Namespace, RegistryId, Sha256};
use crate::ops::registries::air_gap;
use crate::ops::serving::{BundleBlobs, BundleIndex, FolderBlobs, Listed, Pulling, RegistryShelf, StoreShelf};
use crate::ops::{PipelineError, Services, bundle_import, mirroring, project};
use crate::serve::{self, HubSource, Limits, Listener, LogPlace, Options, Shelf, TlsFiles, Verify};
use crate::sys::{Cancel, Clock, block_on_server};

/// What is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A folder that is a registry, absolute.
    Folder(PathBuf),
    /// A bundle that is one, in volumes of which this is one, or a folder, absolute; and where to look for a Model.toml that names its
    /// registry.
    Bundle(PathBuf, PathBuf),
    /// What the store holds of releases that this machine has verified.
    Store,
    /// Registries of a project, read and brought as they are asked for.
    Through(Through),
}

/// What is pulled through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Through {
    /// Where to look for the Model.toml that declares the registries.
    pub start: PathBuf,
    /// Registries, each with a namespace that may be pulled; none: all of it.
    pub listed: Vec<(RegistryId, Option<Namespace>)>,
    /// The folder of the store of what is pulled, absolute; none: the usual one.
    pub folder: Option<PathBuf>,
    /// Most bytes that it holds.
    pub quota: Option<u64>,
    /// Model.lock files whose releases are brought at once, absolute.
    pub prefetch: Vec<PathBuf>,
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
    /// Files of more bytes are announced to clients of the hub without their length.
    pub hub_largest: u64,
    /// Namespaces whose publishers may say where their releases stand on the hub; empty: all.
    pub upstreams: Vec<Namespace>,
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
    let (content, mut notes) = content(services, request)?;
    notes.extend(warnings(request));
    let listener = Listener::bind(request.listen)?;
    ready(&Ready { address: listener.address(), registries: content.shelf.registries(), notes });
    let options = Options {
        verify: request.verify,
        limits: request.limits.clone(),
        scrub: request.scrub,
        hub_largest: request.hub_largest,
        upstreams: request.upstreams.clone(),
        tls: request.tls.clone(),
        tokens: request.tokens.clone(),
        log: request.log.clone(),
        state: state(services, &request.content),
        clock: Arc::clone(&request.clock),
        progress: Arc::clone(&services.progress),
    };
    let cancel = services.cancel.clone();
    let served = block_on_server(serve::run(listener, content, options, stopped(cancel)));
    served.map_err(|source| serve::ServeError::Listen { address: request.listen, source })??;
    Ok(())
}

/// What an operator may not have meant.
fn warnings(request: &Request) -> Option<String> {
    if request.listen.ip().is_loopback() {
        return None;
    }
    match (&request.tokens, &request.tls) {
        (None, _) => {
            Some(format!("everybody who reaches {} may read everything: `--tokens` says who may", request.listen))
        }
        (Some(_), None) => Some("tokens come in the clear: `--tls-cert` and `--tls-key` hide them".to_owned()),
        (Some(_), Some(_)) => None,
    }
}

/// The server's own folder: one for each folder that is served.
fn state(services: &Services, content: &Content) -> PathBuf {
    let place = match content {
        Content::Folder(place) | Content::Bundle(place, _) => place.clone(),
        Content::Store => services.folders.store.clone(),
        Content::Through(through) => {
            through.folder.clone().unwrap_or_else(|| services.folders.store.with_file_name("pulled"))
        }
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

fn content(services: &Services, request: &Request) -> Result<(serve::Content, Vec<String>), PipelineError> {
    let sources = sources(&request.locks)?;
    let (shelf, notes) = match &request.content {
        Content::Folder(folder) => folder_shelf(services, request, folder, sources)?,
        Content::Bundle(path, start) => bundle_shelf(services, request, (path, start), sources)?,
        Content::Store => store_shelf(services, sources)?,
        Content::Through(through) => return pulling(services, request, through),
    };
    Ok((serve::Content { shelf, fill: None }, notes))
}

fn pulling(
    services: &Services,
    request: &Request,
    through: &Through,
) -> Result<(serve::Content, Vec<String>), PipelineError> {
    let folder = project::find(&through.start)?;
    let manifest = project::Project::open(&folder)?.manifest;
    let mut listed: Vec<Listed> = Vec::new();
    for (id, namespace) in &through.listed {
        let declared = manifest.registries.get(id);
        let mut declaration = declared.ok_or_else(|| PipelineError::NotConfigured { registry: id.clone() })?.clone();
        if let IndexAddress::Folder(path) = &declaration.index {
            declaration.index = IndexAddress::Folder(folder.join(path).to_string_lossy().into_owned());
        }
        match listed.iter_mut().find(|one| one.id == *id) {
            // One of them says all.
            Some(one) if namespace.is_none() || one.namespaces.is_empty() => one.namespaces.clear(),
            Some(one) => one.namespaces.extend(namespace.clone()),
            None => {
                listed.push(Listed {
                    id: id.clone(),
                    declaration,
                    namespaces: namespace.clone().into_iter().collect(),
                });
            }
        }
    }
    let place = through.folder.clone().unwrap_or_else(|| services.folders.store.with_file_name("pulled"));
    let state = state(services, &request.content);
    let access = (&*state, request.tokens.is_some());
    let pulling = Arc::new(Pulling::open(services, listed, (&place, through.quota), access, &request.clock)?);
    prefetch(services, &pulling, &through.prefetch)?;
    let shelf: Arc<dyn Shelf> = Arc::<Pulling>::clone(&pulling);
    let fill: Arc<dyn serve::Fill> = pulling;
    Ok((serve::Content { shelf, fill: Some(fill) }, Vec::new()))
}

/// Begins to bring what locks pin, on a thread of its own: clients that come first are served first.
fn prefetch(services: &Services, pulling: &Arc<Pulling>, paths: &[PathBuf]) -> Result<(), PipelineError> {
    let locks = mirroring::locks(paths)?;
    if locks.is_empty() {
        return Ok(());
    }
    let (pulling, progress) = (Arc::clone(pulling), Arc::clone(&services.progress));
    let work = move || {
        for read in &locks {
            match pulling.prefetch(&read.lock) {
                Ok(0) => progress.note("prefetch", format!("all that {} pins is here", read.folder.display())),
                Ok(failed) => progress.warn("prefetch", format!("{failed} blobs could not be brought")),
                Err(error) => progress.warn("prefetch", format!("{}: {error}", error.code())),
            }
        }
    };
    let begun = std::thread::Builder::new().name("mpm-prefetch".to_owned()).spawn(work);
    begun.map(drop).map_err(|source| serve::ServeError::Broken { reason: source.to_string() }.into())
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
    Ok((Arc::new(make(base).in_folder(folder).with_sources(sources)), notes))
}

/// A bundle as it lies there. Nobody vouches for it: whom to trust, and how far, is what `mpm bundle import` asks too.
fn bundle_shelf(
    services: &Services,
    request: &Request,
    (path, start): (&Path, &Path),
    sources: Vec<HubSource>,
) -> Result<(Arc<dyn Shelf>, Vec<String>), PipelineError> {
    let bundle = Bundle::open(&[path.to_owned()]).map_err(MirrorError::from)?;
    let head = &bundle.table().head;
    let id = head.registry.clone();
    let declared = mirroring::around(start, &[])?.registries.get(&id).map(|declared| declared.root);
    let root = bundle_import::root(services, &bundle, request.root.or(declared))?;
    if root != head.root {
        return Err(PipelineError::RootChanged { registry: id, found: head.root, locked: root });
    }
    let opening = Opening {
        id: id.clone(),
        root,
        root_at: None,
        address: IndexAddress::Folder(path.to_string_lossy().into_owned()),
        mirrors: Vec::new(),
        floor: None,
        gate: Gate::Locked,
        air_gap: air_gap(services),
    };
    let origin = Arc::new(BundleIndex::of(&bundle));
    let blobs = Arc::new(BundleBlobs::of(&bundle));
    let shelf = RegistryShelf::new((id, root), origin, blobs, services.http.clone(), Arc::clone(&request.clock));
    let shelf = shelf.at(opening).with_sources(sources).only_named().map_err(PipelineError::Serving)?;
    let mut notes = Vec::new();
    if let Some(since) = &head.since {
        let text = "the bundle holds only what is new since checkpoint";
        notes.push(format!("{text} {}: import it into a mirror to serve both", since.checkpoint));
    }
    if !head.sources.is_empty() && request.locks.is_empty() {
        notes.push("the bundle holds files of `hf` sources: they are served with `--lock Model.lock`".to_owned());
    }
    Ok((Arc::new(shelf), notes))
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
pub fn unit(folder: Option<&Path>, root: Option<&Sha256>, listen: SocketAddr) -> String {
    let root = root.map_or_else(String::new, |root| format!(" --root {}", root.prefixed()));
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
# With secrets, that only root can read:
#   LoadCredential=tokens:/etc/mpm/tokens.toml
#   LoadCredential=key:/etc/mpm/key.pem
# and `--tokens %d/tokens --tls-cert /etc/mpm/cert.pem --tls-key %d/key`. They are read again when the unit is restarted.
ExecStart=/usr/local/bin/mpm serve{content}{root} --listen {listen} --access-log -
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
