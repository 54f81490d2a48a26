//! Locking repositories of the hub: a revision becomes a commit, and every file of the commit a pin.

use crate::fetch::hub::{SmallFile, SmallOutcome};
use crate::hub::{HubIdentity, Listing};
use crate::lock::{SourceFile, SourceId};
use crate::model::{HubId, Pin, RelPath};
use crate::ops::bringing::JOBS;
use crate::ops::sources::{self, Hashed};
use crate::ops::{PipelineError, Services};
use crate::store::{Store, StoreError};
use crate::verify::{GitMismatch, verify_git};

/// Asks the hub what a source is now.
pub(super) fn lock(services: &Services, id: &SourceId) -> Result<Hashed, PipelineError> {
    let hub = id.hub().ok_or_else(|| PipelineError::UnknownKey { key: id.to_string(), near: Vec::new() })?;
    let listing = listing(services, hub)?;
    let files = pins(services, hub, &listing, &|_| true)?;
    Ok(sources::locked(hub.kind, Some(listing.commit.to_string()), files))
}

/// The commit that a revision names now, with its files.
pub(super) fn listing(services: &Services, id: &HubId) -> Result<Listing, PipelineError> {
    let hub = services.hub()?;
    let commit = hub.commit(id)?;
    Ok(hub.listing(id, commit)?)
}

/// The pins of the wanted files. The hub tells the sha256 of large files; small ones are read, compared with git's id, and
/// are in the store from then on.
pub(super) fn pins(
    services: &Services,
    id: &HubId,
    listing: &Listing,
    wanted: &dyn Fn(&RelPath) -> bool,
) -> Result<Vec<SourceFile>, PipelineError> {
    let (mut files, mut small) = (Vec::new(), Vec::new());
    for file in listing.files.iter().filter(|file| wanted(&file.path)) {
        match file.identity {
            HubIdentity::Large(pin) => files.push(SourceFile { path: file.path.clone(), pin }),
            HubIdentity::Small { size, git } => small.push(SmallFile { path: file.path.clone(), size, git }),
        }
    }
    let store = Store::open(&services.folders.store)?;
    read_small(services, &store, (id, listing), &small, &mut files)?;
    files.sort();
    Ok(files)
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
