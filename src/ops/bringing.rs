//! Blobs into the store: from places, and from folders that are sources.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use crate::diagnose::{Class, Diagnose as _};
use crate::fetch::hub::HubPlace;
use crate::fetch::{FetchError, FetchOutcome, Fetcher, Health, Job, Landed, Place, Seeds, room_for, room_for_jobs};
use crate::index::Base;
use crate::model::{HubCommit, HubId, Pin, RegistryId, RelPath, Sha256};
use crate::ops::delta::Older;
use crate::ops::indexes::{Indexed, accuse, help, name_signers};
use crate::ops::registries::{self, Registries};
use crate::ops::seeding::{HubWanted, seed_from_cache};
use crate::ops::unpacking::Packed;
use crate::ops::{PipelineError, Services, Travel};
use crate::select::{Origin, Selected};
use crate::store::{Inserting, Store, StoreError};
use crate::sys::{Staged, Staging, files};
use crate::verify::{Mismatch, Verified, verify};

/// Blobs at a time where configuration says nothing.
pub(super) const JOBS: usize = 8;
/// Bytes of verified blobs that wait for one shared barrier.
const BATCH_BYTES: u64 = 64 << 20;
/// Bytes of chunk indexes that are held at a time, unless one alone is larger: with so many, what was gathered is fetched first.
const HELD_INDEXES: u64 = 12 << 20;
/// Open files of earlier releases, likewise.
const HELD_FILES: usize = 128;
/// Bytes of a source file that are copied at a time.
const COPY_BUFFER: usize = 1 << 20;

/// A blob that a release needs.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    /// Its bytes.
    pub(super) pin: Pin,
    /// What it is, for messages.
    pub(super) what: String,
    /// Whose places have it.
    pub(super) supplier: Supplier,
    /// The pack that it travels in, and the offset there; none: it is a blob of its own.
    pub(super) pack: Option<(Pin, u64)>,
    /// Its chunk index, where a release names one.
    pub(super) indexed: Option<Indexed>,
}

/// Who has a blob.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Supplier {
    /// A registry, at its bases.
    Registry(RegistryId),
    /// A commit of a repository of the hub, under this path.
    Hub {
        /// The repository.
        id: HubId,
        /// The commit.
        commit: HubCommit,
        /// The path.
        path: RelPath,
    },
}

impl Supplier {
    /// What those that are asked at the same places have in common.
    fn group(&self) -> Group<'_> {
        match self {
            Self::Registry(id) => Group::Registry(id),
            Self::Hub { id, commit, .. } => Group::Hub(id, commit),
        }
    }
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Group<'w> {
    Registry(&'w RegistryId),
    Hub(&'w HubId, &'w HubCommit),
}

/// Why a blob that landed was not taken.
#[derive(Debug)]
pub(super) enum Broken {
    /// Other bytes.
    Mismatch(Mismatch),
    /// The store.
    Store(StoreError),
}

/// What of it the store lacks, and what it has.
pub(super) fn missing<'w>(
    store: &Store,
    wanted: &'w [Wanted],
) -> Result<(BTreeMap<Pin, &'w Wanted>, Travel), PipelineError> {
    let lacking = store.missing(&wanted.iter().map(|wanted| wanted.pin).collect())?;
    Ok(lacking_of(store, wanted, &lacking))
}

/// The same by names and sizes alone, for telling what would travel.
pub(super) fn seemingly_missing<'w>(store: &Store, wanted: &'w [Wanted]) -> (BTreeMap<Pin, &'w Wanted>, Travel) {
    let pins = wanted.iter().map(|wanted| wanted.pin);
    lacking_of(store, wanted, &pins.filter(|pin| !store.seems_to_have(pin)).collect())
}

fn lacking_of<'w>(store: &Store, wanted: &'w [Wanted], lacking: &BTreeSet<Pin>) -> (BTreeMap<Pin, &'w Wanted>, Travel) {
    let distinct: BTreeMap<Pin, &Wanted> = wanted.iter().map(|wanted| (wanted.pin, wanted)).collect();
    let free = files::free_space(store.folder()).unwrap_or(u64::MAX);
    let mut travel = Travel { free, ..Travel::default() };
    let mut needed = BTreeMap::new();
    for (pin, wanted) in distinct {
        if lacking.contains(&pin) {
            travel.blobs += 1;
            if wanted.pack.is_none() {
                travel.bytes = travel.bytes.saturating_add(pin.size);
            }
            needed.insert(pin, wanted);
        } else {
            travel.reused_blobs += 1;
            travel.reused_bytes = travel.reused_bytes.saturating_add(pin.size);
        }
    }
    travel.bytes = travel.bytes.saturating_add(Packed::of(&needed).bytes());
    (needed, travel)
}

/// Takes what the store lacks and the user's Hugging Face cache has, if it is for a repository of the hub.
pub(super) fn seed(services: &Services, store: &Store, wanted: &[Wanted]) -> Result<Travel, PipelineError> {
    let hub: Vec<Wanted> =
        wanted.iter().filter(|wanted| matches!(wanted.supplier, Supplier::Hub { .. })).cloned().collect();
    if hub.is_empty() {
        return Ok(Travel::default());
    }
    let (needed, _) = missing(store, &hub)?;
    let sought: Vec<HubWanted> = needed
        .into_iter()
        .filter_map(|(pin, wanted)| match &wanted.supplier {
            Supplier::Hub { id, path, .. } => Some(HubWanted { hub: id.clone(), path: path.clone(), pin }),
            Supplier::Registry(_) => None,
        })
        .collect();
    if sought.is_empty() {
        return Ok(Travel::default());
    }
    let seeded = seed_from_cache(services, store, &sought)?;
    Ok(Travel { adopted_blobs: seeded.blobs, adopted_bytes: seeded.bytes, ..Travel::default() })
}

/// Brings what the store lacks: from mirrors of a registry first, and what they can't give from the places behind them.
pub(super) fn bring(
    services: &Services,
    store: &Store,
    registries: &mut Registries<'_>,
    wanted: &[Wanted],
) -> Result<Travel, PipelineError> {
    bring_from(services, store, registries, wanted, &Older::default())
}

/// The same, with what earlier releases lend. Chunk indexes are used that the store has; one by one, where a blob can't be
/// had with its index, it is tried once more without.
pub(super) fn bring_from(
    services: &Services,
    store: &Store,
    registries: &mut Registries<'_>,
    wanted: &[Wanted],
    older: &Older,
) -> Result<Travel, PipelineError> {
    let (_, travel) = missing(store, wanted)?;
    match bring_once(services, store, registries, wanted, older) {
        Err(PipelineError::Fetch(error))
            if matches!(error.class(), Class::Network | Class::Trust) && registries.reach_further() =>
        {
            services.progress.note("mirror-lacks", "what the mirror can't give is asked of the places behind it");
            bring_once(services, store, registries, wanted, older).map(|_| travel)
        }
        other => other,
    }
}

/// The same from the places that are asked now.
fn bring_once(
    services: &Services,
    store: &Store,
    registries: &mut Registries<'_>,
    wanted: &[Wanted],
    older: &Older,
) -> Result<Travel, PipelineError> {
    let (needed, travel) = missing(store, wanted)?;
    if needed.is_empty() {
        return Ok(travel);
    }
    let packed = Packed::of(&needed);
    let needed = if packed.is_empty() {
        needed
    } else {
        // Both kinds, before the first byte.
        room_for(&store.begin()?, needed.keys().fold(0, |sum: u64, pin| sum.saturating_add(pin.size)))?;
        let known = Health::read(&services.folders.cache.join("places.json"), services.now);
        let already = |pin: &Pin| matches!(store.find(pin), Ok(Some(_)));
        let fetcher = fetcher(services, store, &known, &already)?;
        let absent =
            packed.bring(store, &fetcher, &mut |id| Ok(registries.bases(id)?.into_iter().map(place).collect()))?;
        // Files whose packs are nowhere may lie there as blobs of their own.
        needed.into_iter().filter(|(pin, wanted)| wanted.pack.is_none() || absent.contains(pin)).collect()
    };
    let (jobs, places) = jobs(services, registries, &needed)?;
    if needed.values().any(|wanted| wanted.indexed.is_some()) {
        // What is fetched together checks only that it fits itself.
        room_for_jobs(&store.begin()?, &jobs)?;
    }
    let wave = |wave: &mut Vec<Job>| match fetch(services, store, wave, &places) {
        Err(PipelineError::Fetch(FetchError::WrongBytes { .. })) if wave.iter().any(|job| job.chunks.is_some()) => {
            without_indexes(services, store, wave, &places, &needed)
        }
        Err(PipelineError::Fetch(error @ FetchError::Index { expected, .. })) => {
            name_signers(services, needed.get(&expected).copied());
            Err(error.into())
        }
        other => other,
    };
    let (mut together, mut bytes, mut files) = (Vec::new(), 0_u64, 0_usize);
    for mut job in jobs {
        // Only a server is asked for ranges; from a folder the whole is as quick.
        let far = places.get(job.places).is_some_and(|places| places.iter().any(is_far));
        if let Some(wanted) = needed.get(&job.pin).filter(|_| far)
            && let Some((list, lent)) = help(services, store, wanted, older)?
        {
            bytes = bytes.saturating_add(wanted.indexed.as_ref().map_or(0, |indexed| indexed.index.size));
            files = files.saturating_add(lent.seeds.files.len());
            (job.chunks, job.seeds) = (Some(list), lent.seeds);
        }
        together.push(job);
        if bytes >= HELD_INDEXES || files >= HELD_FILES {
            wave(&mut together)?;
            together.clear();
            (bytes, files) = (0, 0);
        }
    }
    wave(&mut together)?;
    Ok(travel)
}

/// Tries once more what came wrong, without chunk indexes: one of them may be what is wrong.
fn without_indexes(
    services: &Services,
    store: &Store,
    wave: &mut Vec<Job>,
    places: &[Vec<Place>],
    needed: &BTreeMap<Pin, &Wanted>,
) -> Result<(), PipelineError> {
    let lacking = store.missing(&wave.iter().map(|job| job.pin).collect())?;
    wave.retain(|job| lacking.contains(&job.pin));
    let indexed: Vec<Pin> = wave.iter().filter(|job| job.chunks.is_some()).map(|job| job.pin).collect();
    for job in &mut *wave {
        (job.chunks, job.seeds) = (None, Seeds::default());
    }
    fetch(services, store, wave, places)?;
    for wanted in indexed.iter().filter_map(|pin| needed.get(pin)) {
        accuse(services, store, wanted)?;
    }
    Ok(())
}

fn is_far(place: &Place) -> bool {
    matches!(place, Place::Http(..))
}

/// Whether some of a supplier's places are asked for ranges of blobs.
pub(super) fn gives_ranges(registries: &mut Registries<'_>, supplier: &Supplier) -> Result<bool, PipelineError> {
    match supplier {
        Supplier::Registry(id) => match registries.bases(id) {
            Ok(bases) => Ok(bases.into_iter().map(place).any(|place| is_far(&place))),
            Err(error) if error.class() == Class::Interrupted => Err(error),
            // Where blobs are brought it is an error; to tell of them, nobody need be asked.
            Err(_) => Ok(false),
        },
        Supplier::Hub { .. } => Ok(false),
    }
}

/// Brings jobs from places into the store.
pub(super) fn fetch(
    services: &Services,
    store: &Store,
    jobs: &[Job],
    places: &[Vec<Place>],
) -> Result<(), PipelineError> {
    let known = Health::read(&services.folders.cache.join("places.json"), services.now);
    let already = |pin: &Pin| matches!(store.find(pin), Ok(Some(_)));
    let fetcher = fetcher(services, store, &known, &already)?;
    let mut batch = Batch::begin(store);
    let result = fetcher.fetch(jobs, places, &mut |landed| match landed {
        Landed::Blob(job, staged) => batch.take(&job.pin, staged),
        // Other processes may be waiting for what this one has fetched and not stored yet.
        Landed::Pause => batch.flush(),
    });
    // What landed before an error stays: the next run does not fetch it again.
    let ended = batch.end();
    match result {
        Ok(()) => ended?,
        Err(FetchOutcome::Fetch(error)) => return Err(error.into()),
        Err(FetchOutcome::Done(broken)) => return Err(broken.into()),
    }
    Ok(())
}

fn fetcher<'a>(
    services: &'a Services,
    store: &Store,
    known: &'a Health,
    already: &'a (dyn Fn(&Pin) -> bool + Sync),
) -> Result<Fetcher<'a>, PipelineError> {
    Ok(Fetcher {
        known,
        http: &services.http,
        staging: store.begin()?,
        jobs: services.config.jobs.unwrap_or(JOBS),
        already,
        patience: store.patience(),
        cancel: &services.cancel,
        progress: &*services.progress,
    })
}

/// The jobs, and the lists of places that they name: one for each registry and each commit.
fn jobs(
    services: &Services,
    registries: &mut Registries<'_>,
    needed: &BTreeMap<Pin, &Wanted>,
) -> Result<(Vec<Job>, Vec<Vec<Place>>), PipelineError> {
    let mut paths: BTreeMap<(&HubId, &HubCommit), BTreeMap<Sha256, RelPath>> = BTreeMap::new();
    for (pin, wanted) in needed {
        if let Supplier::Hub { id, commit, path } = &wanted.supplier {
            paths.entry((id, commit)).or_default().insert(pin.sha256, path.clone());
        }
    }
    let mut places: Vec<Vec<Place>> = Vec::new();
    let mut numbers: BTreeMap<Group<'_>, usize> = BTreeMap::new();
    let mut jobs = Vec::with_capacity(needed.len());
    for (pin, wanted) in needed {
        let group = wanted.supplier.group();
        let number = if let Some(number) = numbers.get(&group) {
            *number
        } else {
            places.push(match &group {
                Group::Registry(id) => registries.bases(id)?.into_iter().map(place).collect(),
                Group::Hub(id, commit) => {
                    let digests = paths.remove(&(*id, *commit)).unwrap_or_default();
                    hub_places(services, id, commit, digests)
                }
            });
            numbers.insert(group, places.len() - 1);
            places.len() - 1
        };
        let what = wanted.what.clone();
        jobs.push(Job { pin: *pin, what, places: number, chunks: None, seeds: Seeds::default() });
    }
    Ok((jobs, places))
}

/// Where the files of a commit can be had: configured mirrors, then the hub.
pub(super) fn hub_places(
    services: &Services,
    id: &HubId,
    commit: &HubCommit,
    digests: BTreeMap<Sha256, RelPath>,
) -> Vec<Place> {
    let mirrors = services.config.hub_mirrors.iter().map(|mirror| place(registries::mirror(services, mirror)));
    let settings = &services.hub;
    let (token, gate) = (settings.token.clone(), Arc::clone(&settings.gate));
    let hub = HubPlace::new(&settings.endpoint, token, gate, id, commit, digests);
    mirrors.chain([Place::Hub(Arc::new(hub))]).collect()
}

pub(super) fn place(base: Base) -> Place {
    match base {
        Base::Http(url, scope) => Place::Http(url, scope),
        Base::Folder(folder) => Place::Folder(folder),
        Base::Objects(reader) => Place::Objects(reader),
    }
}

/// Verified blobs on their way into the store, so that small ones share a barrier.
pub(super) struct Batch<'s> {
    inserting: Inserting<'s>,
    blobs: Vec<Verified>,
    bytes: u64,
}

impl<'s> Batch<'s> {
    pub(super) fn begin(store: &'s Store) -> Self {
        Self { inserting: store.inserting(), blobs: Vec::new(), bytes: 0 }
    }

    pub(super) fn take(&mut self, pin: &Pin, staged: Staged) -> Result<(), Broken> {
        self.blobs.push(verify(staged, pin).map_err(Broken::Mismatch)?);
        self.bytes += pin.size;
        if self.blobs.len() >= self.inserting.most() || self.bytes >= BATCH_BYTES { self.flush() } else { Ok(()) }
    }

    pub(super) fn flush(&mut self) -> Result<(), Broken> {
        self.bytes = 0;
        self.inserting.take(std::mem::take(&mut self.blobs)).map_err(Broken::Store)
    }

    /// Takes what is left, and makes all names durable.
    pub(super) fn end(mut self) -> Result<(), Broken> {
        let flushed = self.flush();
        self.inserting.end().map_err(Broken::Store)?;
        flushed
    }
}

/// Copies what folders that are sources hold into the store. Bytes that are no longer what the lock says are refused.
pub(super) fn bring_sources(
    services: &Services,
    store: &Store,
    project: &Path,
    selected: &Selected,
) -> Result<(), PipelineError> {
    for package in selected.packages() {
        let Origin::Source(id) = &package.origin else { continue };
        let Some(folder) = id.folder().map(|folder| project.join(folder)) else { continue };
        let pins: BTreeSet<Pin> = package.files.iter().map(|file| file.pin).collect();
        let lacking = store.missing(&pins)?;
        if lacking.is_empty() {
            continue;
        }
        let staging = store.begin()?;
        for file in package.files.iter().filter(|file| lacking.contains(&file.pin)) {
            if services.cancel.is_cancelled() {
                return Err(PipelineError::Cancelled);
            }
            let path = file.release_path.under(&folder);
            let broken =
                |error: std::io::Error| PipelineError::SourceFolder { path: path.clone(), problem: error.to_string() };
            let staged = copy(&staging, &path, &format!("{id} {}", file.release_path)).map_err(broken)?;
            store.insert(verify(staged, &file.pin)?)?;
        }
    }
    Ok(())
}

fn copy(staging: &Path, path: &Path, what: &str) -> std::io::Result<Staged> {
    let mut file = files::open_regular(path)?.ok_or(std::io::ErrorKind::NotFound)?;
    let mut staging = Staging::create(staging, what)?;
    let mut buffer = vec![0_u8; COPY_BUFFER];
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok(staging.finish());
        }
        staging.write(buffer.get(..count).unwrap_or_default())?;
    }
}
