//! How pull-through brings a blob: once however many ask, into a store with a quota, from the registry's own places.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::chunk::ChunkList;
use crate::diagnose::{Class, Diagnose as _};
use crate::fetch::{FetchError, Job, Place, Seeds};
use crate::index::{self, Freshness, Gate, Opening, Origin, OriginError, Registry, World};
use crate::manifest::IndexAddress;
use crate::model::{Pin, SafeUrl, Sha256};
use crate::ops::serving::Blobs;
use crate::ops::serving::pulled::PulledBlobs;
use crate::ops::serving::pulling::{Listed, Pulled};
use crate::ops::serving::registry::{RegistryShelf, read_small};
use crate::ops::{PipelineError, Services, bringing};
use crate::progress::{Event, Progress, Silent};
use crate::serve::{Grown, ServeError};
use crate::sys::{BlobReader, Clock, files};

/// How long what an index says may be served without asking again.
const FRESH: Duration = Duration::from_secs(5);
/// Most paths whose age is remembered.
const REMEMBERED: usize = 65_536;
/// Largest note of what is guarded.
const MAX_GUARDED: u64 = 1 << 20;

/// Brings blobs.
pub(super) struct Bringer {
    pub(super) services: Services,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) blobs: Arc<PulledBlobs>,
    /// Registries that were ever read with a credential.
    pub(super) guarded: Mutex<Guarded>,
    /// Whether the server asks for tokens, so that what is guarded has somebody to go to.
    pub(super) has_tokens: bool,
    /// Blobs that are coming, in this process.
    pub(super) coming: Mutex<BTreeSet<Pin>>,
    pub(super) landed: Condvar,
}

/// Where a registry's blobs are.
pub(super) struct Places {
    opening: Opening,
    origin: Arc<dyn Origin>,
    found: Mutex<Vec<Place>>,
    guarded: AtomicBool,
}

impl Places {
    /// Whether something of the registry ever came with a credential.
    pub(super) fn are_guarded(&self) -> bool {
        self.guarded.load(Ordering::Relaxed)
    }
}

/// Services for what lives longer than a run.
pub(super) fn copy_of(services: &Services, clock: &dyn Clock, progress: Arc<dyn Progress>) -> Services {
    Services {
        now: clock.now(),
        folders: services.folders.clone(),
        config: services.config.clone(),
        http: services.http.clone(),
        hub: services.hub.clone(),
        progress,
        ask: Arc::new(crate::ops::Nobody),
        cancel: services.cancel.clone(),
    }
}

impl Bringer {
    /// A registry that may be pulled through.
    pub(super) fn pulled(self: &Arc<Self>, listed: Listed) -> Result<Pulled, PipelineError> {
        let Listed { id, declaration, namespaces } = listed;
        let root = declaration.root;
        let opening = Opening {
            id: id.clone(),
            root,
            root_at: declaration.root_at,
            address: declaration.index,
            mirrors: Vec::new(),
            floor: None,
            gate: Gate::Locked,
            air_gap: crate::ops::registries::air_gap(&self.services),
        };
        let origin: Arc<dyn Origin> =
            Arc::new(Patient { inner: index::origin(&opening, &self.world())?, asked: Mutex::default() });
        let places = Arc::new(Places {
            opening: opening.clone(),
            origin: Arc::clone(&origin),
            found: Mutex::default(),
            guarded: AtomicBool::new(self.guarded().has(&root)),
        });
        let (bringer, at) = (Arc::clone(self), Arc::clone(&places));
        let bring = Arc::new(move |pin: &Pin| bringer.bring(&at, pin, None, None));
        let blobs: Arc<dyn Blobs> = Arc::<PulledBlobs>::clone(&self.blobs);
        let shelf =
            RegistryShelf::new((id.clone(), root), origin, blobs, self.services.http.clone(), Arc::clone(&self.clock))
                .remembering(&self.services.folders.trust, bring)
                .at(opening);
        if let IndexAddress::Sparse(url) | IndexAddress::Git(url) = &places.opening.address {
            self.guard(&places, url)?;
        }
        if places.are_guarded() && !self.has_tokens {
            return Err(ServeError::Guarded { registry: id }.into());
        }
        match self.places(&places) {
            // Nobody can be asked now: what is here is served.
            Err(error) if error.class() == Class::Network => {}
            other => drop(other?),
        }
        Ok(Pulled { id, root, namespaces, shelf, places })
    }

    fn guarded(&self) -> MutexGuard<'_, Guarded> {
        self.guarded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes, before anything is asked of it, that an address is asked with a credential.
    fn guard(&self, at: &Places, url: &SafeUrl) -> Result<(), PipelineError> {
        if !self.services.http.has_credential(url)? {
            return Ok(());
        }
        if !self.has_tokens {
            return Err(ServeError::Guarded { registry: at.opening.id.clone() }.into());
        }
        self.guarded().add(&at.opening.root)?;
        at.guarded.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn world(&self) -> World<'_> {
        World {
            http: &self.services.http,
            trust: self.services.folders.trust.clone(),
            cache: self.services.folders.cache.clone(),
            now: self.clock.now(),
            progress: &Silent,
        }
    }

    /// Where a registry's blobs can be had: configured mirrors first. Found once, and again when that failed.
    fn places(&self, at: &Places) -> Result<Vec<Place>, PipelineError> {
        let mut found = at.found.lock().unwrap_or_else(PoisonError::into_inner);
        if found.is_empty() {
            // What a failure left half found is found anew.
            found.clear();
            for mirror in self.services.config.mirrors.get(&at.opening.root).into_iter().flatten() {
                found.push(bringing::place(crate::ops::registries::mirror(&self.services, mirror)));
            }
            let registry = Registry::open_at(&at.opening, &self.world(), Arc::clone(&at.origin))?;
            let all: Vec<Place> = registry.bases()?.into_iter().map(bringing::place).collect();
            let mut places = std::mem::take(&mut *found);
            places.extend(all);
            for place in &places {
                if let Place::Http(url, _) = place {
                    self.guard(at, url)?;
                }
            }
            *found = places;
        }
        Ok(found.clone())
    }

    /// The bytes of a small blob that is here.
    pub(super) fn read(&self, digest: &Sha256, cap: u64) -> Option<Vec<u8>> {
        read_small(&self.blobs.open(digest).ok()??, cap)
    }

    /// Brings a blob, unless it is here. Whoever asks for one that is coming waits for it.
    pub(super) fn bring(
        &self,
        at: &Places,
        pin: &Pin,
        list: Option<Arc<ChunkList>>,
        grown: Option<&Arc<Grown>>,
    ) -> Result<(), PipelineError> {
        let _turn = self.turn(pin);
        if self.blobs.store.find(pin)?.is_some() {
            return Ok(());
        }
        let full = || ServeError::Quota { sha256: pin.sha256, size: pin.size };
        let _room = self.blobs.room(pin).ok_or_else(full)?;
        let growth: Arc<dyn Progress> = Arc::new(Growth {
            under: Arc::clone(&self.services.progress),
            grown: grown.map(Arc::clone),
            sum: Mutex::new(0),
        });
        let services = copy_of(&self.services, &*self.clock, growth);
        let places = [self.places(at)?];
        let job = |chunks| Job {
            pin: *pin,
            what: format!("blob {}", pin.sha256.short()),
            places: 0,
            chunks,
            seeds: Seeds::default(),
        };
        let chunked = list.is_some();
        let brought = bringing::fetch(&services, &self.blobs.store, &[job(list)], &places);
        match brought {
            // The index may be what is wrong.
            Err(PipelineError::Fetch(FetchError::WrongBytes { .. } | FetchError::Index { .. })) if chunked => {
                bringing::fetch(&services, &self.blobs.store, &[job(None)], &places)?;
            }
            other => other?,
        }
        self.blobs.came(pin);
        Ok(())
    }

    /// Waits until nobody is at a blob, and is at it then.
    fn turn(&self, pin: &Pin) -> Turn<'_> {
        let mut coming = self.coming.lock().unwrap_or_else(PoisonError::into_inner);
        while !coming.insert(*pin) {
            coming = self.landed.wait(coming).unwrap_or_else(PoisonError::into_inner);
        }
        Turn { bringer: self, pin: *pin }
    }
}

struct Turn<'b> {
    bringer: &'b Bringer,
    pin: Pin,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.bringer.coming.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.pin);
        self.bringer.landed.notify_all();
    }
}

/// Tells how far a blob is; the rest goes on as it came, but for what bars would draw.
struct Growth {
    under: Arc<dyn Progress>,
    grown: Option<Arc<Grown>>,
    sum: Mutex<u64>,
}

impl Progress for Growth {
    fn on(&self, event: &Event<'_>) {
        match event {
            Event::Advanced { bytes, .. } | Event::Kept { bytes, .. } => {
                let mut sum = self.sum.lock().unwrap_or_else(PoisonError::into_inner);
                *sum = sum.saturating_add(*bytes);
                if let Some(grown) = &self.grown {
                    grown.reached(*sum);
                }
            }
            Event::Notice(_) => self.under.on(event),
            _ => {}
        }
    }
}

/// An index that is asked again only once in a while, and whose copies do when it can't be asked.
struct Patient {
    inner: Arc<dyn Origin>,
    asked: Mutex<BTreeMap<String, Instant>>,
}

impl Patient {
    fn is_fresh(&self, path: &str) -> bool {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.get(path).is_some_and(|when| when.elapsed() < FRESH)
    }

    fn note(&self, path: &str) {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.len() >= REMEMBERED {
            asked.clear();
        }
        asked.insert(path.to_owned(), Instant::now());
    }
}

impl Origin for Patient {
    fn get(&self, path: &str, cap: u64, freshness: Freshness) -> Result<Option<Vec<u8>>, OriginError> {
        if freshness == Freshness::Revalidate && self.is_fresh(path) {
            return self.inner.get(path, cap, Freshness::Immutable);
        }
        match self.inner.get(path, cap, freshness) {
            Ok(found) => {
                self.note(path);
                Ok(found)
            }
            // What was read before is signed, and says how old it is: clients judge that.
            Err(error) if error.class() == Class::Network && freshness != Freshness::PastCaches => {
                match self.inner.get(path, cap, Freshness::Immutable) {
                    Ok(Some(kept)) => Ok(Some(kept)),
                    _ => Err(error),
                }
            }
            Err(error) => Err(error),
        }
    }

    fn get_many(&self, paths: &[(String, u64)], freshness: Freshness) -> Result<Vec<Option<Vec<u8>>>, OriginError> {
        if freshness == Freshness::Revalidate {
            return paths.iter().map(|(path, cap)| self.get(path, *cap, freshness)).collect();
        }
        self.inner.get_many(paths, freshness)
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }

    fn may_lag(&self) -> bool {
        self.inner.may_lag()
    }

    fn may_be_written(&self) -> bool {
        self.inner.may_be_written()
    }

    fn blobs(&self, base: &str) -> Option<Arc<dyn BlobReader>> {
        self.inner.blobs(base)
    }
}

/// Registries that were ever read with a credential, by their first roots: a note that outlives the credential.
pub(super) struct Guarded {
    path: PathBuf,
    roots: BTreeSet<Sha256>,
}

impl Guarded {
    pub(super) fn read(state: &Path) -> Result<Self, ServeError> {
        let path = state.join("guarded");
        let fail = |source| ServeError::State { path: state.to_owned(), source };
        let bytes = files::read_capped(&path, MAX_GUARDED).map_err(fail)?.unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let roots = text.lines().filter_map(|line| Sha256::parse(line).ok()).collect();
        Ok(Self { path, roots })
    }

    fn has(&self, root: &Sha256) -> bool {
        self.roots.contains(root)
    }

    fn add(&mut self, root: &Sha256) -> Result<(), ServeError> {
        if self.roots.insert(*root) {
            let lines: Vec<String> = self.roots.iter().map(Sha256::to_string).collect();
            let text = lines.join("\n");
            let fail = |source| ServeError::State { path: self.path.clone(), source };
            files::write_private(&self.path, text.as_bytes()).map_err(fail)?;
        }
        Ok(())
    }
}
