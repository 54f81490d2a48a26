//! Pull-through: registries that are served as they are read, and blobs that are brought when somebody asks for them.
//!
//! This server meets a registry as any client does: roots, checkpoint and signatures are checked, what the machine remembers
//! counts, and nothing is brought that no statement names which its publishers signed. What came with a credential is guarded, and
//! stays so when the credential is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::chunk::{ChunkList, MAX_INDEX};
use crate::diagnose::Diagnose as _;
use crate::index::Memory;
use crate::lock::Lock;
use crate::manifest::RegistryDeclaration;
use crate::model::{HubRepository, Namespace, PackageKind, PackageName, Pin, RegistryId, Sha256, Version};
use crate::ops::serving::Blobs as _;
use crate::ops::serving::bringer::{Bringer, Guarded, Places, copy_of};
use crate::ops::serving::known::Known;
use crate::ops::serving::pulled::PulledBlobs;
use crate::ops::serving::registry::{RegistryShelf, open_at, read_files, unreadable};
use crate::ops::{PipelineError, Services};
use crate::serve::{Fill, Grown, IndexPath, OpenBlob, Package, PathKind, Release, ServeError, Shelf, Trouble, Wanted};
use crate::statement::{Files, MAX_STATEMENT, Statement};
use crate::sys::{Clock, files};
use crate::trust::YankRecord;

/// An index is at most one part of its blob in so many: what is larger was made to cost.
const LEAST_SHARE: u64 = 100;

/// A registry that may be pulled through.
pub(in crate::ops) struct Listed {
    /// Its id.
    pub(in crate::ops) id: RegistryId,
    /// What the project says of it.
    pub(in crate::ops) declaration: RegistryDeclaration,
    /// The namespaces that may be; empty: all.
    pub(in crate::ops) namespaces: BTreeSet<Namespace>,
}

/// Registries on a shelf that is filled as it is asked for.
pub(in crate::ops) struct Pulling {
    bringer: Arc<Bringer>,
    registries: Vec<Pulled>,
    known: Mutex<Known>,
}

pub(super) struct Pulled {
    pub(super) id: RegistryId,
    pub(super) root: Sha256,
    pub(super) namespaces: BTreeSet<Namespace>,
    pub(super) shelf: RegistryShelf,
    pub(super) places: Arc<Places>,
}

/// Whether file lists are brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lists {
    Brought,
    AtHand,
}

impl Pulled {
    fn admits(&self, namespace: &Namespace) -> bool {
        self.namespaces.is_empty() || self.namespaces.iter().any(|one| one.normalised() == namespace.normalised())
    }
}

impl Pulling {
    /// Puts registries on a shelf.
    ///
    /// # Errors
    /// `E1097`: a registry that is read with a credential, and no tokens. An address that is refused; the store of what is pulled, or the server's notes, can't be opened.
    pub(in crate::ops) fn open(
        services: &Services,
        listed: Vec<Listed>,
        (folder, quota): (&Path, Option<u64>),
        (state, has_tokens): (&Path, bool),
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, PipelineError> {
        let own = &services.folders.store;
        let layers: Vec<PathBuf> = if own.join("v1/format").exists() { vec![own.clone()] } else { Vec::new() };
        let blobs = PulledBlobs::open(folder, &layers, quota)?;
        let bringer = Arc::new(Bringer {
            services: copy_of(services, &**clock, Arc::clone(&services.progress)),
            clock: Arc::clone(clock),
            blobs: Arc::new(blobs),
            guarded: Mutex::new(Guarded::read(state)?),
            has_tokens,
            coming: Mutex::default(),
            landed: Condvar::new(),
        });
        let mut registries = Vec::new();
        for one in listed {
            registries.push(bringer.pulled(one)?);
        }
        let here = Self { bringer, registries, known: Mutex::default() };
        here.recall()?;
        Ok(here)
    }

    /// Learns again what statements that were verified before name: clients may have them still.
    fn recall(&self) -> Result<(), PipelineError> {
        for one in &self.registries {
            let memory = Memory::load(&self.bringer.services.folders.trust, &one.root)?;
            for digest in memory.statements()? {
                if memory.revocations().releases.contains_key(&digest) {
                    continue;
                }
                let bytes = self.bringer.read(&digest, MAX_STATEMENT).unwrap_or_default();
                let Ok(statement) = Statement::parse(&bytes) else { continue };
                let ours = statement.registry == one.id && one.admits(&statement.name.namespace());
                if ours && Sha256::of(&bytes) == digest {
                    self.learn(one, &statement, &Pin::of(&bytes), Lists::AtHand)?;
                }
            }
        }
        Ok(())
    }

    fn one(&self, id: &RegistryId) -> Option<&Pulled> {
        self.registries.iter().find(|one| one.id == *id)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what a verified statement names.
    fn learn(&self, one: &Pulled, statement: &Statement, pin: &Pin, lists: Lists) -> Result<(), PipelineError> {
        let blobs = &self.bringer.blobs;
        blobs.describes(pin);
        if let Files::Lists(all) = &statement.files {
            for list in all {
                blobs.describes(&list.pin);
            }
        }
        let files = match lists {
            Lists::Brought => Some(one.shelf.files(statement)?),
            Lists::AtHand => read_files(&**blobs, statement).ok(),
        };
        let mut known = self.known();
        match &files {
            Some(files) => known.add(statement, pin, files),
            None => known.add_statement(statement, pin),
        }
        known.settle();
        Ok(())
    }

    /// A release that its publishers signed: checked as any client checks it, learnt and remembered.
    fn locked(
        &self,
        one: &Pulled,
        name: &PackageName,
        version: &Version,
        pin: &Pin,
    ) -> Result<Statement, PipelineError> {
        let open = one.shelf.open()?;
        let verified = open.registry.locked_statement(name, version, pin)?;
        self.bringer.blobs.store.put_bytes(&verified.bytes)?;
        self.bringer.blobs.came(pin);
        self.learn(one, &verified.statement, pin, Lists::Brought)?;
        open.registry.remember(&BTreeMap::new(), &*self.bringer.services.progress)?;
        Ok(verified.statement)
    }

    /// Brings all that a lock pins of the registries that are served; how many blobs could not be had.
    pub(in crate::ops) fn prefetch(&self, lock: &Lock) -> Result<usize, PipelineError> {
        let mut failed = 0;
        for (id, locked) in &lock.packages {
            let admitted = self.one(&id.package.registry).filter(|one| one.admits(&id.package.name.namespace()));
            let Some(one) = admitted else { continue };
            let statement = self.locked(one, &id.package.name, &id.version, &locked.statement)?;
            let files = one.shelf.files(&statement)?;
            let mut pins: BTreeSet<Pin> = statement.packs.iter().copied().collect();
            pins.extend(files.entries().iter().filter(|file| file.pack.is_none()).map(|file| file.pin));
            for pin in pins {
                if self.bringer.services.cancel.is_cancelled() {
                    return Err(PipelineError::Cancelled);
                }
                if let Err(error) = self.bring(&pin, None) {
                    failed += 1;
                    self.bringer.services.progress.warn("prefetch", format!("{}: {id}: {error}", error.code()));
                }
            }
        }
        Ok(failed)
    }

    /// The registry that may give a blob.
    fn supplier(&self, digest: &Sha256) -> Result<&Pulled, PipelineError> {
        let owners = self.known().owners(digest);
        let found = owners.iter().find_map(|(id, namespace)| self.one(id).filter(|one| one.admits(namespace)));
        found.ok_or_else(|| ServeError::NotPulled { sha256: *digest }.into())
    }

    fn bring(&self, pin: &Pin, grown: Option<&Arc<Grown>>) -> Result<(), PipelineError> {
        let one = self.supplier(&pin.sha256)?;
        // Before the blob's own turn: it is a blob itself.
        let list = self.list_of(one, pin);
        self.bringer.bring(&one.places, pin, list, grown)
    }

    /// The chunks of a blob, their index brought.
    fn list_of(&self, one: &Pulled, pin: &Pin) -> Option<Arc<ChunkList>> {
        let index = self.known().chunks(&pin.sha256)?;
        if index.size > MAX_INDEX || index.size > pin.size / LEAST_SHARE {
            return None;
        }
        self.bringer.blobs.describes(&index);
        self.bringer.bring(&one.places, &index, None, None).ok()?;
        let bytes = self.bringer.read(&index.sha256, MAX_INDEX).filter(|bytes| Pin::of(bytes) == index)?;
        ChunkList::parse(&bytes, pin).ok().map(Arc::new)
    }

    /// A statement or yank record that a client asks for and that was not met before: nothing is handed out of it before it was
    /// checked. Whether it may be.
    fn meet(&self, one: &Pulled, path: &str, bytes: &[u8]) -> Result<bool, PipelineError> {
        if path.starts_with("releases/") {
            let statement = Statement::parse(bytes)?;
            if !one.admits(&statement.name.namespace()) {
                return Ok(false);
            }
            return self.locked(one, &statement.name, &statement.version, &Pin::of(bytes)).map(|_| true);
        }
        let Ok(record) = YankRecord::parse(bytes) else { return Ok(false) };
        let namespace = record.package.namespace();
        if one.admits(&namespace) {
            let mut known = self.known();
            known.add_digest(&one.id, &namespace, Sha256::of(bytes));
            known.settle();
        }
        Ok(one.admits(&namespace))
    }
}

impl Shelf for Pulling {
    fn registries(&self) -> Vec<RegistryId> {
        self.registries.iter().map(|one| one.id.clone()).collect()
    }

    fn index_file(&self, registry: &RegistryId, path: &IndexPath) -> Result<Option<Vec<u8>>, Trouble> {
        let Some(one) = self.one(registry) else { return Ok(None) };
        if let PathKind::Package(name) = path.kind()
            && !one.admits(&name.namespace())
        {
            return Ok(None);
        }
        let Some(bytes) = one.shelf.index_file(registry, path)? else { return Ok(None) };
        let PathKind::Signed(digest) = path.kind() else { return Ok(Some(bytes)) };
        if self.known().has(digest) {
            return Ok(Some(bytes));
        }
        // A signature alone says nothing, and its file comes first.
        if path.as_str().ends_with(".minisig") || Sha256::of(&bytes) != *digest {
            return Ok(None);
        }
        let met = self.meet(one, path.as_str(), &bytes).map_err(|error| -> Trouble { Box::new(error) })?;
        Ok(met.then_some(bytes))
    }

    fn packages(&self, registry: &RegistryId) -> Result<Vec<PackageName>, Trouble> {
        let Some(one) = self.one(registry) else { return Ok(Vec::new()) };
        let mut names = one.shelf.packages(registry)?;
        names.retain(|name| one.admits(&name.namespace()));
        Ok(names)
    }

    fn package(&self, registry: &RegistryId, name: &PackageName) -> Result<Option<Arc<Package>>, Trouble> {
        match self.one(registry).filter(|one| one.admits(&name.namespace())) {
            Some(one) => one.shelf.package(registry, name),
            None => Ok(None),
        }
    }

    fn release(
        &self,
        registry: &RegistryId,
        name: &PackageName,
        version: &Version,
    ) -> Result<Option<Arc<Release>>, Trouble> {
        let Some(one) = self.one(registry).filter(|one| one.admits(&name.namespace())) else { return Ok(None) };
        let Some(release) = one.shelf.release(registry, name, version)? else { return Ok(None) };
        if !self.known().has(&release.pin.sha256) {
            self.locked(one, name, version, &release.pin).map_err(|error| -> Trouble { Box::new(error) })?;
        }
        Ok(Some(release))
    }

    fn open(&self, wanted: &Wanted) -> Result<Option<OpenBlob>, Trouble> {
        let digest = wanted.pack.map_or(wanted.sha256, |place| place.pack);
        if !self.known().has(&digest) {
            return Ok(None);
        }
        open_at(&*self.bringer.blobs, wanted).map_err(|error| unreadable(&wanted.sha256, error))
    }

    fn upstreams(
        &self,
        kind: PackageKind,
        repository: &HubRepository,
    ) -> Result<Vec<(RegistryId, PackageName, Version)>, Trouble> {
        Ok(self.known().upstreams(kind, repository))
    }

    fn owners(&self, digest: &Sha256) -> Result<BTreeSet<(RegistryId, Namespace)>, Trouble> {
        Ok(self.known().owners(digest))
    }

    fn is_guarded(&self, registry: &RegistryId) -> bool {
        self.one(registry).is_some_and(|one| one.places.are_guarded())
    }

    fn chunks(&self, digest: &Sha256) -> Result<Option<Pin>, Trouble> {
        Ok(self.known().chunks(digest))
    }

    fn each(&self, visit: &mut dyn FnMut(Sha256) -> bool) -> Result<(), Trouble> {
        self.bringer.blobs.each(visit).map_err(|error| unreadable(&Sha256::from_bytes([0; 32]), error))
    }

    fn take_out(&self, blob: &OpenBlob) -> bool {
        self.bringer.blobs.take_out(&blob.pin.sha256, &blob.bytes)
    }
}

impl Fill for Pulling {
    fn promised(&self, digest: &Sha256) -> Result<Option<Pin>, Trouble> {
        let known = self.known();
        Ok(known.size(digest).map(|size| Pin { sha256: *digest, size }))
    }

    fn fill(&self, pin: &Pin, grown: &Arc<Grown>) -> Result<(), Trouble> {
        self.bring(pin, Some(grown)).map_err(|error| -> Trouble { Box::new(error) })
    }

    fn list(&self, pin: &Pin) -> Option<Arc<ChunkList>> {
        self.list_of(self.supplier(&pin.sha256).ok()?, pin)
    }

    fn partial(&self, pin: &Pin) -> Option<File> {
        let path = self.bringer.blobs.store.staging().join(format!("{}.part", pin.sha256));
        files::open_regular(&path).ok().flatten()
    }
}
