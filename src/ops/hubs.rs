//! Locking repositories of the hub: a revision becomes a commit, and every file of the commit a pin.

use std::collections::BTreeMap;

use crate::fetch::hub::{SmallFile, SmallOutcome};
use crate::fetch::room_for;
use crate::hub::{HubIdentity, Listing};
use crate::lock::{SourceFile, SourceId};
use crate::model::{HubId, Pin, RelPath};
use crate::ops::bringing::JOBS;
use crate::ops::pipeline::ask_about;
use crate::ops::seeding::{HubUnpinned, pin_from_cache};
use crate::ops::services::WAIT;
use crate::ops::sources::{self, Hashed};
use crate::ops::{PipelineError, Services, Travel};
use crate::store::{Store, StoreError};
use crate::sys::{files, hash};
use crate::verify::{GitMismatch, verify_git};

/// What may lend files while locking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lender {
    /// The user's Hugging Face cache; what it lends becomes the store's too.
    Cache,
    /// Nothing: a run that only tells leaves the cache as it is.
    Nothing,
}

/// Asks the hub what a source is now. `known` is what an older lock says of it: a small file that did not change is not read
/// again.
pub(super) fn lock(
    services: &Services,
    id: &SourceId,
    (lender, known, yes): (Lender, &[SourceFile], bool),
) -> Result<(Hashed, Travel), PipelineError> {
    let hub = id.hub().ok_or_else(|| PipelineError::UnknownKey { key: id.to_string(), near: Vec::new() })?;
    let listing = listing(services, hub)?;
    let (files, travel) = pins(services, hub, &listing, Reading { wanted: &|_| true, lender, known, yes })?;
    Ok((sources::locked(hub.kind, Some(listing.commit.to_string()), files), travel))
}

/// The commit that a revision names now, with its files.
pub(super) fn listing(services: &Services, id: &HubId) -> Result<Listing, PipelineError> {
    let hub = services.hub()?;
    let commit = hub.commit(id)?;
    Ok(hub.listing(id, commit)?)
}

/// Which files are wanted, and what spares asking for them.
#[derive(Clone, Copy)]
pub(super) struct Reading<'a> {
    /// Whether a path is wanted.
    pub(super) wanted: &'a dyn Fn(&RelPath) -> bool,
    /// What may lend files.
    pub(super) lender: Lender,
    /// What is known of another commit.
    pub(super) known: &'a [SourceFile],
    /// Whether large transfers are agreed to.
    pub(super) yes: bool,
}

/// The pins of the wanted files. The hub tells the sha256 of large files; small ones are read, from the user's cache where it
/// has them, compared with git's id, and are in the store from then on.
pub(super) fn pins(
    services: &Services,
    id: &HubId,
    listing: &Listing,
    reading: Reading<'_>,
) -> Result<(Vec<SourceFile>, Travel), PipelineError> {
    let (mut pinned, mut small) = (Vec::new(), Vec::new());
    for file in listing.files.iter().filter(|file| (reading.wanted)(&file.path)) {
        match file.identity {
            HubIdentity::Large(pin) => pinned.push(SourceFile { path: file.path.clone(), pin }),
            HubIdentity::Small { size, git } => small.push(SmallFile { path: file.path.clone(), size, git }),
        }
    }
    let store = services.store(WAIT)?;
    unchanged(services, &store, reading.known, &mut small, &mut pinned)?;
    let mut travel = match reading.lender {
        Lender::Cache => from_cache(services, &store, id, &mut small, &mut pinned)?,
        Lender::Nothing => Travel::default(),
    };
    travel.blobs = small.len() as u64;
    travel.bytes = small.iter().map(|file| file.size).fold(0, u64::saturating_add);
    // A hub may call anything small.
    if travel.bytes > 0 {
        room_for(store.folder(), travel.bytes)?;
        let free = files::free_space(store.folder()).unwrap_or(u64::MAX);
        ask_about(services, reading.yes, &Travel { free, ..travel })?;
    }
    read_small(services, &store, (id, listing), &small, &mut pinned)?;
    pinned.sort();
    Ok((pinned, travel))
}

/// Takes those out of `small` that have the bytes which another commit had at the same path, as the store's blob shows.
fn unchanged(
    services: &Services,
    store: &Store,
    known: &[SourceFile],
    small: &mut Vec<SmallFile>,
    files: &mut Vec<SourceFile>,
) -> Result<(), PipelineError> {
    let known: BTreeMap<&RelPath, Pin> = known.iter().map(|file| (&file.path, file.pin)).collect();
    let mut rest = Vec::new();
    for file in std::mem::take(small) {
        let pin = known.get(&file.path).filter(|pin| pin.size == file.size);
        let same = match pin.map(|pin| store.find_open(pin)).transpose()?.flatten() {
            Some((entry, blob)) => match hash::hash_open_with_git(&blob, &services.cancel, &|_| ()) {
                Ok((found, Some(git))) if found == entry.pin && git == file.git => Some(entry.pin),
                _ => None,
            },
            None => None,
        };
        match same {
            Some(pin) => files.push(SourceFile { path: file.path, pin }),
            None => rest.push(file),
        }
    }
    *small = rest;
    Ok(())
}

/// Takes what the user's cache has out of `small`.
fn from_cache(
    services: &Services,
    store: &Store,
    id: &HubId,
    small: &mut Vec<SmallFile>,
    files: &mut Vec<SourceFile>,
) -> Result<Travel, PipelineError> {
    let sought: Vec<HubUnpinned> = small
        .iter()
        .map(|file| HubUnpinned { hub: id.clone(), path: file.path.clone(), size: file.size, git: file.git })
        .collect();
    let (pins, seeded) = pin_from_cache(services, store, &sought)?;
    let mut rest = Vec::new();
    for (file, pin) in std::mem::take(small).into_iter().zip(pins) {
        match pin {
            Some(pin) => files.push(SourceFile { path: file.path, pin }),
            None => rest.push(file),
        }
    }
    *small = rest;
    Ok(Travel { adopted_blobs: seeded.blobs, adopted_bytes: seeded.bytes, ..Travel::default() })
}

/// Why a small file was not taken.
enum Broken {
    Mismatch(GitMismatch),
    Store(StoreError),
}

fn read_small(
    services: &Services,
    store: &Store,
    (id, listing): (&HubId, &Listing),
    small: &[SmallFile],
    files: &mut Vec<SourceFile>,
) -> Result<(), PipelineError> {
    if small.is_empty() {
        return Ok(());
    }
    let staging = store.begin()?;
    let jobs = services.config.jobs.unwrap_or(JOBS);
    let mut waiting = Vec::new();
    let result = services.hub()?.small_files((id, &listing.commit), small, (&staging, jobs), &mut |file, staged| {
        let verified = verify_git(staged, file.git, file.size, &services.cancel).map_err(Broken::Mismatch)?;
        let pin: Pin = *verified.pin();
        files.push(SourceFile { path: file.path.clone(), pin });
        waiting.push(verified);
        // Many small files share their barriers; none of them needs much memory, but each an open file.
        if waiting.len() >= Store::BATCH {
            store.insert_all(std::mem::take(&mut waiting)).map_err(Broken::Store)?;
        }
        Ok(())
    });
    store.insert_all(waiting)?;
    result.map_err(|outcome| match outcome {
        SmallOutcome::Hub(error) => error.into(),
        SmallOutcome::Done(Broken::Mismatch(error)) => error.into(),
        SmallOutcome::Done(Broken::Store(error)) => error.into(),
    })
}
