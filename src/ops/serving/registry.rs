//! A shelf over a registry that lies somewhere: an origin for its index, a place for its blobs.
//!
//! The index is opened again when its checkpoint changes. While somebody writes it, what was opened before goes on being served.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::catalog::MAX_LOG;
use crate::index::{Extent, Freshness, Gate, IndexError, Opening, Origin, Registry, World};
use crate::manifest::IndexAddress;
use crate::model::{HubRepository, Namespace, PackageKind, PackageName, Pin, RegistryId, Sha256, Version};
use crate::ops::PipelineError;
use crate::ops::serving::Blobs;
use crate::ops::serving::known::Known;
use crate::progress::Silent;
use crate::serve::{HubSource, IndexPath, Listed, OpenBlob, Package, Release, ServeError, Shelf, Trouble, Wanted};
use crate::statement::{Files, ListPin, MAX_LIST, ReleaseFiles, Statement, parse_list};
use crate::sys::{Clock, Extents, HttpClient, files};
use crate::trust::MAX_CHECKPOINT;
use crate::verify::Mismatch;

/// How often the checkpoint is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Most packages and releases that are kept ready.
const READY: usize = 256;
/// Most files of a release that is kept ready.
const READY_FILES: usize = 20_000;

/// A registry on a shelf.
pub(in crate::ops) struct RegistryShelf {
    id: RegistryId,
    root: Sha256,
    origin: Arc<dyn Origin>,
    blobs: Arc<dyn Blobs>,
    http: HttpClient,
    clock: Arc<dyn Clock>,
    sources: Vec<HubSource>,
    /// What the machine remembers of registries, where this one is met as any client meets it; none: as a copy that stands alone.
    trust: Option<PathBuf>,
    /// The folder in which the index lies, where it lies in one.
    folder: Option<PathBuf>,
    /// How it is met, in place of a folder without mirrors.
    opening: Option<Opening>,
    /// Blobs that nothing signed leads to, and no lock, are not handed out.
    only_named: bool,
    /// Brings a file list that is not here.
    bring: Option<Arc<Bring>>,
    view: Mutex<View>,
}

/// Brings a small blob to where blobs are.
pub(super) type Bring = dyn Fn(&Pin) -> Result<(), PipelineError> + Send + Sync;

/// What was opened last.
#[derive(Default)]
struct View {
    looked: Option<Instant>,
    /// Digest of the checkpoint's bytes.
    head: Option<Sha256>,
    open: Option<Arc<Open>>,
}

/// A registry as one checkpoint shows it.
pub(super) struct Open {
    pub(super) registry: Registry,
    packages: Mutex<BTreeMap<PackageName, Option<Arc<Package>>>>,
    releases: Mutex<BTreeMap<(PackageName, Version), Arc<Release>>>,
    known: Mutex<Option<Arc<Known>>>,
}

impl RegistryShelf {
    pub(in crate::ops) fn new(
        (id, root): (RegistryId, Sha256),
        origin: Arc<dyn Origin>,
        blobs: Arc<dyn Blobs>,
        http: HttpClient,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let sources = Vec::new();
        Self {
            id,
            root,
            origin,
            blobs,
            http,
            clock,
            sources,
            folder: None,
            trust: None,
            opening: None,
            only_named: false,
            bring: None,
            view: Mutex::default(),
        }
    }

    /// The same, met as any client meets it: what is remembered below `trust` counts, and grows. Lists that are not here are
    /// brought.
    pub(super) fn remembering(self, trust: &Path, bring: Arc<Bring>) -> Self {
        Self { trust: Some(trust.to_owned()), bring: Some(bring), ..self }
    }

    /// The same with the folder in which its index lies.
    pub(in crate::ops) fn in_folder(self, folder: &Path) -> Self {
        Self { folder: Some(folder.to_owned()), ..self }
    }

    /// The same with commits of the hub whose files are here.
    pub(in crate::ops) fn with_sources(self, sources: Vec<HubSource>) -> Self {
        Self { sources, ..self }
    }

    /// The same, with bases counted from where its index is.
    pub(in crate::ops) fn at(self, opening: Opening) -> Self {
        Self { opening: Some(opening), ..self }
    }

    /// The same, handing out only blobs that statements of it or its sources name: it came from a stranger.
    ///
    /// # Errors
    /// The registry does not count from its root.
    pub(in crate::ops) fn only_named(self) -> Result<Self, Trouble> {
        let shelf = Self { only_named: true, ..self };
        shelf.known()?;
        Ok(shelf)
    }

    /// The registry as its checkpoint shows it now.
    pub(super) fn open(&self) -> Result<Arc<Open>, IndexError> {
        let mut view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = view.looked.is_some_and(|looked| looked.elapsed() < LOOK);
        if let Some(open) = view.open.as_ref().filter(|_| fresh) {
            return Ok(Arc::clone(open));
        }
        let bytes = self.origin.get("checkpoint.json", MAX_CHECKPOINT, Freshness::Revalidate);
        let head = bytes.ok().flatten().map(|bytes| Sha256::of(&bytes));
        view.looked = Some(Instant::now());
        if let Some(open) = view.open.as_ref().filter(|_| head == view.head) {
            return Ok(Arc::clone(open));
        }
        match self.open_anew() {
            Ok(registry) => {
                let open = Arc::new(Open {
                    registry,
                    packages: Mutex::default(),
                    releases: Mutex::default(),
                    known: Mutex::default(),
                });
                view.head = head;
                view.open = Some(Arc::clone(&open));
                Ok(open)
            }
            // Somebody is writing it: a second later it fits together.
            Err(error) => view.open.as_ref().map(Arc::clone).ok_or(error),
        }
    }

    fn open_anew(&self) -> Result<Registry, IndexError> {
        let alone = || Opening {
            id: self.id.clone(),
            root: self.root,
            root_at: None,
            address: IndexAddress::Folder(String::new()),
            mirrors: Vec::new(),
            floor: None,
            gate: Gate::Locked,
            air_gap: crate::index::AirGap::default(),
        };
        let opening = self.opening.clone().unwrap_or_else(alone);
        let trust = self.trust.clone().unwrap_or_default();
        let now = self.clock.now();
        let world = World { http: &self.http, trust, cache: PathBuf::new(), now, progress: &Silent };
        let origin = Arc::clone(&self.origin);
        if self.trust.is_none() {
            return Registry::examine_from(&opening, &world, origin);
        }
        let registry = Registry::open_at(&opening, &world, origin)?;
        registry.remember(&BTreeMap::new(), &Silent)?;
        Ok(registry)
    }

    /// The bases of blobs that the checkpoint names.
    pub(in crate::ops) fn bases(&self) -> Result<Vec<String>, IndexError> {
        Ok(self.open()?.registry.head().bases)
    }

    fn is_ours(&self, registry: &RegistryId) -> bool {
        *registry == self.id
    }

    fn read_package(&self, open: &Open, name: &PackageName) -> Result<Option<Arc<Package>>, IndexError> {
        let listings = match open.registry.listings(&BTreeSet::from([name.clone()])) {
            // A copy of a part has no log of it.
            Err(IndexError::Missing { .. }) => return Ok(None),
            other => other?,
        };
        let Some(listing) = listings.into_values().flatten().next() else { return Ok(None) };
        let here = open.registry.here(listing.releases.values())?;
        let revoked = &open.registry.revocations().releases;
        let mut releases = Vec::new();
        for (version, release) in &listing.releases {
            let event = &release.event;
            if !here.contains(&event.statement.sha256) {
                continue;
            }
            let yanked = match release.yanked {
                None => None,
                Some(_) => open.registry.yank(name, release)?.map(|record| record.reason),
            };
            releases.push(Listed {
                version: version.clone(),
                statement: event.statement,
                kind: event.kind,
                size: event.size,
                admitted: event.admitted.time,
                yanked,
                refused: revoked.get(&event.statement.sha256).map(|reason| format!("revoked: {reason}")),
            });
        }
        Ok(Some(Arc::new(Package { registry: self.id.clone(), name: listing.package.name, releases })))
    }

    fn read_release(&self, open: &Open, name: &PackageName, version: &Version) -> Result<Option<Release>, Trouble> {
        let Some(package) = self.package_of(open, name)? else { return Ok(None) };
        let Some(listed) = package.releases.iter().find(|listed| listed.version == *version) else { return Ok(None) };
        let verified = open
            .registry
            .locked_statement(&package.name, version, &listed.statement)
            .map_err(|error| -> Trouble { Box::new(error) })?;
        let files = self.files(&verified.statement).map_err(|error| -> Trouble { Box::new(error) })?;
        Ok(Some(Release { statement: verified.statement, pin: listed.statement, files, listed: listed.clone() }))
    }

    /// The files of a statement, lists brought where they are not here.
    pub(super) fn files(&self, statement: &Statement) -> Result<ReleaseFiles, PipelineError> {
        if let (Some(bring), Files::Lists(lists)) = (&self.bring, &statement.files) {
            for list in lists {
                bring(&list.pin)?;
            }
        }
        read_files(&*self.blobs, statement)
    }

    fn package_of(&self, open: &Open, name: &PackageName) -> Result<Option<Arc<Package>>, Trouble> {
        if let Some(found) = open.packages.lock().unwrap_or_else(PoisonError::into_inner).get(name) {
            return Ok(found.clone());
        }
        let found = self.read_package(open, name).map_err(|error| -> Trouble { Box::new(error) })?;
        let mut packages = open.packages.lock().unwrap_or_else(PoisonError::into_inner);
        if packages.len() >= READY {
            packages.clear();
        }
        packages.insert(name.clone(), found.clone());
        Ok(found)
    }

    /// What the statements of this copy name. Made when it is first needed, by a reader of its own that is forgotten after.
    fn known(&self) -> Result<Arc<Known>, Trouble> {
        let open = self.open().map_err(|error| -> Trouble { Box::new(error) })?;
        let mut known = open.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.as_ref() {
            return Ok(Arc::clone(known));
        }
        let made = Arc::new(self.make_known()?);
        *known = Some(Arc::clone(&made));
        Ok(made)
    }

    fn make_known(&self) -> Result<Known, Trouble> {
        let trouble = |error: IndexError| -> Trouble { Box::new(error) };
        let registry = self.open_anew().map_err(trouble)?;
        let mut known = Known::default();
        for name in registry.names(Extent::All).map_err(trouble)?.names {
            let log = format!("packages/{name}.jsonl");
            if !matches!(self.origin.get(&log, MAX_LOG, Freshness::Immutable), Ok(Some(_))) {
                continue;
            }
            let listings = registry.listings(&BTreeSet::from([name.clone()])).map_err(trouble)?;
            let Some(listing) = listings.into_values().flatten().next() else { continue };
            let here = registry.here(listing.releases.values()).map_err(trouble)?;
            for release in listing.releases.values() {
                if let Some(record) = release.yanked {
                    known.add_digest(&self.id, &name.namespace(), record);
                }
                if !here.contains(&release.event.statement.sha256) {
                    continue;
                }
                // One that does not count authorises nothing, and nobody is let to its blobs by it.
                let Ok(verified) = registry.statement(&name, release) else { continue };
                match read_files(&*self.blobs, &verified.statement) {
                    Ok(files) => known.add(&verified.statement, &release.event.statement, &files),
                    // Its lists are not here: what they name is not known, and what the statement names is.
                    Err(_) => known.add_statement(&verified.statement, &release.event.statement),
                }
            }
        }
        known.settle();
        Ok(known)
    }
}

/// The files of a statement, lists read from where blobs are.
pub(super) fn read_files(blobs: &dyn Blobs, statement: &Statement) -> Result<ReleaseFiles, PipelineError> {
    let mut lists = Vec::new();
    if let Files::Lists(pins) = &statement.files {
        for list in pins {
            lists.push(parse_list(&read_list(blobs, list, statement)?, list)?);
        }
    }
    Ok(ReleaseFiles::assemble(statement, lists)?)
}

fn read_list(blobs: &dyn Blobs, list: &ListPin, statement: &Statement) -> Result<Vec<u8>, PipelineError> {
    let bytes = match blobs.open(&list.pin.sha256) {
        Ok(Some(found)) => read_small(&found, MAX_LIST).unwrap_or_default(),
        _ => Vec::new(),
    };
    let found = Pin::of(&bytes);
    if found == list.pin {
        return Ok(bytes);
    }
    let what = format!("{} {} file list", statement.name, statement.version);
    Err(Mismatch { what, expected: list.pin, found }.into())
}

/// A small blob's bytes.
pub(super) fn read_small(found: &Extents, cap: u64) -> Option<Vec<u8>> {
    if found.length() > cap {
        return None;
    }
    let mut bytes = vec![0; usize::try_from(found.length()).ok()?];
    found.read_exact_at(&mut bytes, 0).ok()?;
    Some(bytes)
}

/// Opens what is wanted at a place: a blob, or a file that stands in a pack.
pub(super) fn open_at(blobs: &dyn Blobs, wanted: &Wanted) -> std::io::Result<Option<OpenBlob>> {
    let Some(place) = &wanted.pack else {
        let Some(found) = blobs.open(&wanted.sha256)? else { return Ok(None) };
        // Of another size it is another blob, or a part of one.
        if wanted.size.is_some_and(|size| size != found.length()) {
            return Ok(None);
        }
        let pin = Pin { sha256: wanted.sha256, size: found.length() };
        return Ok(Some(OpenBlob { bytes: found, pin }));
    };
    let (Some(pack), Some(size)) = (blobs.open(&place.pack)?, wanted.size) else { return Ok(None) };
    let Some(end) = place.offset.checked_add(size).filter(|end| *end <= pack.length()) else { return Ok(None) };
    let pin = Pin { sha256: wanted.sha256, size };
    Ok(Some(OpenBlob { bytes: pack.part(place.offset..end), pin }))
}

impl Shelf for RegistryShelf {
    fn registries(&self) -> Vec<RegistryId> {
        vec![self.id.clone()]
    }

    fn index_file(&self, registry: &RegistryId, path: &IndexPath) -> Result<Option<Vec<u8>>, Trouble> {
        if !self.is_ours(registry) {
            return Ok(None);
        }
        let found = self.origin.get(path.as_str(), MAX_LOG, Freshness::Revalidate);
        found.map_err(|error| -> Trouble { Box::new(error) })
    }

    fn index_open(&self, registry: &RegistryId, path: &IndexPath) -> Result<Option<File>, Trouble> {
        let Some(folder) = self.folder.as_ref().filter(|_| self.is_ours(registry)) else { return Ok(None) };
        let found = files::open_below(folder, Path::new(path.as_str()));
        found.map_err(|source| -> Trouble { Box::new(ServeError::Index { path: path.as_str().to_owned(), source }) })
    }

    fn packages(&self, registry: &RegistryId) -> Result<Vec<PackageName>, Trouble> {
        if !self.is_ours(registry) {
            return Ok(Vec::new());
        }
        let names = self.open().and_then(|open| open.registry.names(Extent::All));
        Ok(names.map_err(|error| -> Trouble { Box::new(error) })?.names.into_iter().collect())
    }

    fn package(&self, registry: &RegistryId, name: &PackageName) -> Result<Option<Arc<Package>>, Trouble> {
        if !self.is_ours(registry) {
            return Ok(None);
        }
        let open = self.open().map_err(|error| -> Trouble { Box::new(error) })?;
        self.package_of(&open, name)
    }

    fn release(
        &self,
        registry: &RegistryId,
        name: &PackageName,
        version: &Version,
    ) -> Result<Option<Arc<Release>>, Trouble> {
        if !self.is_ours(registry) {
            return Ok(None);
        }
        let open = self.open().map_err(|error| -> Trouble { Box::new(error) })?;
        let key = (name.clone(), version.clone());
        if let Some(found) = open.releases.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(Some(Arc::clone(found)));
        }
        let Some(release) = self.read_release(&open, name, version)?.map(Arc::new) else { return Ok(None) };
        if release.files.entries().len() <= READY_FILES {
            let mut releases = open.releases.lock().unwrap_or_else(PoisonError::into_inner);
            if releases.len() >= READY / 8 {
                releases.clear();
            }
            releases.insert(key, Arc::clone(&release));
        }
        Ok(Some(release))
    }

    fn sources(&self) -> Vec<HubSource> {
        self.sources.clone()
    }

    fn is_of_a_source(&self, digest: &Sha256) -> bool {
        self.sources.iter().any(|source| source.names(digest))
    }

    fn open(&self, wanted: &Wanted) -> Result<Option<OpenBlob>, Trouble> {
        let digest = wanted.pack.map_or(wanted.sha256, |place| place.pack);
        if self.only_named && !self.is_of_a_source(&digest) && !self.known()?.has(&digest) {
            return Ok(None);
        }
        open_at(&*self.blobs, wanted).map_err(|error| unreadable(&wanted.sha256, error))
    }

    fn upstreams(
        &self,
        kind: PackageKind,
        repository: &HubRepository,
    ) -> Result<Vec<(RegistryId, PackageName, Version)>, Trouble> {
        Ok(self.known()?.upstreams(kind, repository))
    }

    fn owners(&self, digest: &Sha256) -> Result<BTreeSet<(RegistryId, Namespace)>, Trouble> {
        Ok(self.known()?.owners(digest))
    }

    fn chunks(&self, digest: &Sha256) -> Result<Option<Pin>, Trouble> {
        Ok(self.known()?.chunks(digest))
    }

    fn each(&self, visit: &mut dyn FnMut(Sha256) -> bool) -> Result<(), Trouble> {
        self.blobs.each(visit).map_err(|error| unreadable(&Sha256::from_bytes([0; 32]), error))
    }

    fn take_out(&self, blob: &OpenBlob) -> bool {
        self.blobs.take_out(&blob.pin.sha256, &blob.bytes)
    }
}

/// The place of a blob can't be read.
pub(super) fn unreadable(digest: &Sha256, source: std::io::Error) -> Trouble {
    Box::new(ServeError::Blob { sha256: *digest, source })
}
