//! A shelf over the store: blobs that verified statements name. The store holds no index, so none is served from it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::index::{Memory, Remembered};
use crate::model::{HubRepository, Namespace, PackageKind, PackageName, Pin, RegistryId, Sha256, Timestamp, Version};
use crate::ops::serving::Blobs;
use crate::ops::serving::known::Known;
use crate::ops::serving::registry::{open_at, read_files, read_small, unreadable};
use crate::serve::{HubSource, IndexPath, Listed, OpenBlob, Package, Release, Shelf, Trouble, Wanted};
use crate::statement::{MAX_STATEMENT, Statement};
use crate::store::Store;
use crate::sys::{Extents, files};

/// How often the memory is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// The store on a shelf.
pub(in crate::ops) struct StoreShelf {
    store: Store,
    trust: PathBuf,
    sources: Vec<HubSource>,
    view: Mutex<View>,
}

#[derive(Default)]
struct View {
    looked: Option<Instant>,
    stood: BTreeMap<PathBuf, Option<SystemTime>>,
    seen: Arc<Seen>,
}

/// What the machine's memory and the store know together.
#[derive(Default)]
struct Seen {
    registries: BTreeMap<RegistryId, BTreeMap<PackageName, BTreeMap<Version, Signed>>>,
    known: Known,
    /// Statements that were verified and whose bytes, or lists, the store has not.
    lacking: usize,
}

/// A statement that was verified here.
#[derive(Debug, Clone)]
struct Signed {
    listed: Listed,
}

/// What a store can serve, for the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::ops) struct Holding {
    /// Registries with the number of releases of each.
    pub(in crate::ops) releases: Vec<(RegistryId, usize)>,
    /// Statements that the store lacks.
    pub(in crate::ops) lacking: usize,
}

impl StoreShelf {
    pub(in crate::ops) fn new(store: Store, trust: &Path, sources: Vec<HubSource>) -> Self {
        Self { store, trust: trust.to_owned(), sources, view: Mutex::default() }
    }

    /// What there is.
    pub(in crate::ops) fn holding(&self) -> Result<Holding, Trouble> {
        let seen = self.seen()?;
        let count =
            |packages: &BTreeMap<PackageName, BTreeMap<Version, Signed>>| packages.values().map(BTreeMap::len).sum();
        let releases = seen.registries.iter().map(|(id, packages)| (id.clone(), count(packages))).collect();
        Ok(Holding { releases, lacking: seen.lacking })
    }

    fn seen(&self) -> Result<Arc<Seen>, Trouble> {
        let mut view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        if view.looked.is_some_and(|looked| looked.elapsed() < LOOK) {
            return Ok(Arc::clone(&view.seen));
        }
        let stood = self.stands();
        if view.looked.is_none() || stood != view.stood {
            view.seen = Arc::new(self.read()?);
            view.stood = stood;
        }
        view.looked = Some(Instant::now());
        Ok(Arc::clone(&view.seen))
    }

    /// The folders of registries' memories.
    fn roots(&self) -> Vec<Sha256> {
        let names = files::list(&self.trust).unwrap_or_default();
        names.iter().filter_map(|(name, _)| Sha256::parse(name.to_str()?).ok()).collect()
    }

    /// How they stand: what was verified since changes this.
    fn stands(&self) -> BTreeMap<PathBuf, Option<SystemTime>> {
        let modified = |path: &Path| path.metadata().and_then(|found| found.modified()).ok();
        let folder = |root: &Sha256| self.trust.join(root.hex());
        let paths = self.roots().into_iter().flat_map(|root| {
            let folder = folder(&root);
            [folder.join("verified"), folder]
        });
        paths.map(|path| (path.clone(), modified(&path))).collect()
    }

    fn read(&self) -> Result<Seen, Trouble> {
        let mut seen = Seen::default();
        for root in self.roots() {
            let memory = Memory::load(&self.trust, &root).map_err(|error| -> Trouble { Box::new(error) })?;
            let Some(head) = memory.remembered() else { continue };
            for digest in memory.statements().map_err(|error| -> Trouble { Box::new(error) })? {
                self.take(&mut seen, &memory, &head, digest);
            }
        }
        seen.known.settle();
        Ok(seen)
    }

    /// Takes a statement in, if the store has it and it is still good for something.
    fn take(&self, seen: &mut Seen, memory: &Memory, head: &Remembered, digest: Sha256) {
        if memory.revocations().releases.contains_key(&digest) {
            return;
        }
        let revoked = &memory.revocations().keys;
        match memory.verified(&digest) {
            Ok(Some(signers)) if !signers.iter().any(|signer| revoked.contains_key(signer)) => {}
            _ => return,
        }
        let bytes = Blobs::open(self, &digest).ok().flatten().and_then(|found| read_small(&found, MAX_STATEMENT));
        let Some(bytes) = bytes.filter(|bytes| Sha256::of(bytes) == digest) else {
            seen.lacking = seen.lacking.saturating_add(1);
            return;
        };
        let Ok(statement) = Statement::parse(&bytes) else { return };
        if statement.registry != head.registry {
            return;
        }
        let pin = Pin::of(&bytes);
        let Ok(files) = read_files(self, &statement) else {
            seen.lacking = seen.lacking.saturating_add(1);
            return;
        };
        seen.known.add(&statement, &pin, &files);
        let listed = Listed {
            version: statement.version.clone(),
            statement: pin,
            kind: statement.kind,
            size: statement.total_size(),
            admitted: Timestamp::EPOCH,
            yanked: None,
            refused: None,
        };
        let packages = seen.registries.entry(head.registry.clone()).or_default();
        packages.entry(statement.name).or_default().insert(statement.version, Signed { listed });
    }

    fn named(&self, digest: &Sha256) -> Result<bool, Trouble> {
        Ok(self.seen()?.known.has(digest) || self.is_of_a_source(digest))
    }
}

impl Blobs for StoreShelf {
    fn open(&self, digest: &Sha256) -> std::io::Result<Option<Extents>> {
        let Some(file) = self.store.lend(digest) else { return Ok(None) };
        let size = file.metadata()?.len();
        Ok(Some(Extents::one(Arc::new(file), 0, size)))
    }

    fn each(&self, visit: &mut dyn FnMut(Sha256) -> bool) -> std::io::Result<()> {
        let Ok(seen) = self.seen() else { return Ok(()) };
        for digest in seen.known.digests() {
            if !visit(digest) {
                break;
            }
        }
        Ok(())
    }

    fn take_out(&self, digest: &Sha256, wrong: &Extents) -> bool {
        // The store hashes it itself, and sets it aside.
        self.store.recheck(&Pin { sha256: *digest, size: wrong.length() }).is_ok_and(|found| !found)
    }
}

impl Shelf for StoreShelf {
    fn registries(&self) -> Vec<RegistryId> {
        self.seen().map(|seen| seen.registries.keys().cloned().collect()).unwrap_or_default()
    }

    fn index_file(&self, _: &RegistryId, _: &IndexPath) -> Result<Option<Vec<u8>>, Trouble> {
        Ok(None)
    }

    fn packages(&self, registry: &RegistryId) -> Result<Vec<PackageName>, Trouble> {
        let seen = self.seen()?;
        Ok(seen.registries.get(registry).map(|packages| packages.keys().cloned().collect()).unwrap_or_default())
    }

    fn package(&self, registry: &RegistryId, name: &PackageName) -> Result<Option<Arc<Package>>, Trouble> {
        let seen = self.seen()?;
        let Some(versions) = seen.registries.get(registry).and_then(|packages| packages.get(name)) else {
            return Ok(None);
        };
        let releases = versions.values().map(|signed| signed.listed.clone()).collect();
        Ok(Some(Arc::new(Package { registry: registry.clone(), name: name.clone(), releases })))
    }

    fn release(
        &self,
        registry: &RegistryId,
        name: &PackageName,
        version: &Version,
    ) -> Result<Option<Arc<Release>>, Trouble> {
        let Some(package) = self.package(registry, name)? else { return Ok(None) };
        let Some(listed) = package.releases.iter().find(|listed| listed.version == *version) else { return Ok(None) };
        let read = self.store.read(&listed.statement, MAX_STATEMENT).map_err(|error| -> Trouble { Box::new(error) })?;
        let Some(bytes) = read else { return Ok(None) };
        let trouble = |error: crate::ops::PipelineError| -> Trouble { Box::new(error) };
        let statement = Statement::parse(&bytes).map_err(|error| trouble(error.into()))?;
        let files = read_files(self, &statement).map_err(trouble)?;
        Ok(Some(Arc::new(Release { statement, pin: listed.statement, files, listed: listed.clone() })))
    }

    fn sources(&self) -> Vec<HubSource> {
        self.sources.clone()
    }

    fn is_of_a_source(&self, digest: &Sha256) -> bool {
        self.sources.iter().any(|source| source.names(digest))
    }

    fn open(&self, wanted: &Wanted) -> Result<Option<OpenBlob>, Trouble> {
        // What came in another way, from a hub perhaps, under a licence perhaps, is not this server's to hand out.
        if !self.named(&wanted.sha256)? {
            return Ok(None);
        }
        open_at(self, wanted).map_err(|error| unreadable(&wanted.sha256, error))
    }

    fn upstreams(
        &self,
        kind: PackageKind,
        repository: &HubRepository,
    ) -> Result<Vec<(RegistryId, PackageName, Version)>, Trouble> {
        Ok(self.seen()?.known.upstreams(kind, repository))
    }

    fn owners(&self, digest: &Sha256) -> Result<BTreeSet<(RegistryId, Namespace)>, Trouble> {
        Ok(self.seen()?.known.owners(digest))
    }

    fn chunks(&self, digest: &Sha256) -> Result<Option<Pin>, Trouble> {
        Ok(self.seen()?.known.chunks(digest))
    }

    fn each(&self, visit: &mut dyn FnMut(Sha256) -> bool) -> Result<(), Trouble> {
        Blobs::each(self, visit).map_err(|error| unreadable(&Sha256::from_bytes([0; 32]), error))
    }

    fn take_out(&self, blob: &OpenBlob) -> bool {
        Blobs::take_out(self, &blob.pin.sha256, &blob.bytes)
    }
}
