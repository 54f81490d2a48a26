//! What a fetch can be lent: files of the user's Hugging Face cache, verified and taken into the store by link.
//!
//! A cache is nothing to be trusted: whatever is found is hashed, and counts only if it is exactly what was wanted.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::model::{GitBlobId, HubId, HumanSize, Pin, RelPath, hub_cache_folder};
use crate::ops::adopting::{Fate, LARGE, Taking};
use crate::ops::hub_cache::Promise;
use crate::ops::{PipelineError, Services};
use crate::progress::{Doing, Event, Task};
use crate::store::{Store, StoreError};
use crate::sys::{Copying, Digests, Existing, Known, NotBrought, Way, files, hash};

/// The task of looking into the cache.
const TASK: Task = Task((1 << 61) + 1);
/// Snapshots of a repository that are looked into at most.
const SNAPSHOTS: usize = 64;

/// A file of the hub that the lock pins.
#[derive(Debug, Clone)]
pub(super) struct HubWanted {
    /// The repository; its revision is not looked at, since the pin says all.
    pub(super) hub: HubId,
    /// The path in the repository.
    pub(super) path: RelPath,
    /// Its bytes.
    pub(super) pin: Pin,
}

/// A file of the hub of which only the size and what git calls it are known yet.
#[derive(Debug, Clone)]
pub(super) struct HubUnpinned {
    /// The repository.
    pub(super) hub: HubId,
    /// The path in the repository.
    pub(super) path: RelPath,
    /// Its size.
    pub(super) size: u64,
    /// What git calls its bytes.
    pub(super) git: GitBlobId,
}

/// What the cache gave.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Seeded {
    /// Pins that the store holds now.
    pub(super) pins: BTreeSet<Pin>,
    /// Blobs that were taken.
    pub(super) blobs: u64,
    /// Their bytes.
    pub(super) bytes: u64,
    /// Bytes of those that had to be copied.
    pub(super) copied: u64,
    /// Files that were named right and held other bytes; the user was told.
    pub(super) refused: Vec<PathBuf>,
}

/// What is looked for, by whatever is known of it.
#[derive(Debug, Clone, Copy)]
enum Sought {
    Pin(Pin),
    Git(GitBlobId, u64),
}

/// Where it may lie in the cache.
#[derive(Debug)]
struct Spot {
    below: PathBuf,
    /// What the name of the blob promises; none for a plain file.
    promise: Option<Promise>,
}

/// What came of a search.
#[derive(Debug, Default)]
struct Sight {
    fate: Option<Fate>,
    /// Files that are not what their names promise: what was promised, and what was found.
    refused: Vec<(PathBuf, Promise, String)>,
}

/// Takes those of the wanted files that the user's cache has into the store. Whoever calls it has left out what the store
/// holds. Files that are named right and hold other bytes are warned of and not used.
///
/// # Errors
/// The store can't be written, or the user wished to stop. A cache that can't be read has nothing.
pub(super) fn seed_from_cache(
    services: &Services,
    store: &Store,
    wanted: &[HubWanted],
) -> Result<Seeded, PipelineError> {
    let distinct: BTreeMap<Pin, &HubWanted> = wanted.iter().map(|wanted| (wanted.pin, wanted)).collect();
    let sought: Vec<_> = distinct.iter().map(|(pin, wanted)| (&wanted.hub, &wanted.path, Sought::Pin(*pin))).collect();
    Ok(search(services, store, &sought)?.1)
}

/// Takes those files that the user's cache has under the size and git name that the hub tells; a pin for each, in the order
/// of the files.
///
/// # Errors
/// As for [`seed_from_cache`].
pub(super) fn pin_from_cache(
    services: &Services,
    store: &Store,
    files: &[HubUnpinned],
) -> Result<(Vec<Option<Pin>>, Seeded), PipelineError> {
    let sought: Vec<_> = files.iter().map(|file| (&file.hub, &file.path, Sought::Git(file.git, file.size))).collect();
    search(services, store, &sought)
}

fn search(
    services: &Services,
    store: &Store,
    sought: &[(&HubId, &RelPath, Sought)],
) -> Result<(Vec<Option<Pin>>, Seeded), PipelineError> {
    let nothing = || (vec![None; sought.len()], Seeded::default());
    let cache = services.folders.hub_cache.as_ref().and_then(|cache| cache.canonicalize().ok());
    let Some(cache) = cache else { return Ok(nothing()) };
    let searching = Searching { services, cache, snapshots: snapshots_of(services, sought) };
    let spots: Vec<(Sought, Vec<Spot>)> =
        sought.iter().map(|(hub, path, sought)| (*sought, searching.spots(hub, path, *sought))).collect();
    if spots.iter().all(|(_, spots)| spots.is_empty()) {
        return Ok(nothing());
    }
    let taking = Taking::begin(services, store, Copying::Allowed)?;
    let told = AtomicBool::new(false);
    let progress = &*services.progress;
    progress.on(&Event::Started { task: TASK, doing: Doing::Hash, what: "Hugging Face cache", bytes: None });
    let sights = hash::on_all_cores(&spots, &|_, (sought, spots): &(Sought, Vec<Spot>)| {
        let sight = searching.look(&taking, *sought, spots)?;
        if let Some(Fate::Taken(pin, Way::Copy)) = &sight.fate
            && pin.size >= LARGE
            && !told.swap(true, Ordering::Relaxed)
        {
            let size = HumanSize(pin.size);
            let text = format!(
                "a file of the Hugging Face cache ({size}) is copied into the store, since it can't be linked from there"
            );
            progress.warn("large-copy", text);
        }
        Ok::<_, StoreError>(sight)
    });
    let sights: Result<Vec<Sight>, StoreError> = sights.into_iter().collect();
    // What was taken before a stop stays.
    let lost = taking.end();
    progress.on(&Event::Finished { task: TASK, ok: sights.is_ok() && lost.is_ok() });
    Ok(gather(services, sights?, &lost?))
}

/// Adds up, and warns of what is wrong.
fn gather(services: &Services, sights: Vec<Sight>, lost: &BTreeSet<Pin>) -> (Vec<Option<Pin>>, Seeded) {
    let (mut pins, mut seeded) = (Vec::with_capacity(sights.len()), Seeded::default());
    for Sight { fate, refused } in sights {
        let found = match fate {
            Some(Fate::Taken(pin, way)) if !lost.contains(&pin) => {
                seeded.blobs += 1;
                seeded.bytes = seeded.bytes.saturating_add(pin.size);
                if way == Way::Copy {
                    seeded.copied = seeded.copied.saturating_add(pin.size);
                }
                Some(pin)
            }
            Some(Fate::There(pin)) if !lost.contains(&pin) => Some(pin),
            _ => None,
        };
        seeded.pins.extend(found);
        pins.push(found);
        for (path, promise, found) in refused {
            let text = format!(
                "{} is not what its name promises ({}; found {found}): it is not used",
                path.display(),
                promise.text()
            );
            services.progress.warn("cache-differs", text);
            seeded.refused.push(path);
        }
    }
    (pins, seeded)
}

/// The snapshots of each repository that is sought in, once.
fn snapshots_of(services: &Services, sought: &[(&HubId, &RelPath, Sought)]) -> BTreeMap<String, Vec<PathBuf>> {
    let folders: BTreeSet<String> =
        sought.iter().map(|(hub, _, _)| hub_cache_folder(hub.kind, hub.repository.as_str())).collect();
    let Some(cache) = &services.folders.hub_cache else { return BTreeMap::new() };
    let list = |folder: String| {
        let snapshots = Path::new(&folder).join("snapshots");
        let listed = files::list(&cache.join(&snapshots)).unwrap_or_default().into_iter();
        let folders = listed.filter(|(_, kind)| *kind == files::Kind::Folder);
        (folder, folders.take(SNAPSHOTS).map(|(name, _)| snapshots.join(name)).collect())
    };
    folders.into_iter().map(list).collect()
}

struct Searching<'a> {
    services: &'a Services,
    cache: PathBuf,
    snapshots: BTreeMap<String, Vec<PathBuf>>,
}

impl Searching<'_> {
    /// Where a file may lie: under its name among the blobs, and under its path in a snapshot.
    fn spots(&self, hub: &HubId, path: &RelPath, sought: Sought) -> Vec<Spot> {
        let repository = hub_cache_folder(hub.kind, hub.repository.as_str());
        let (name, promise) = match sought {
            Sought::Pin(pin) => (pin.sha256.hex(), Promise::Sha256(pin.sha256)),
            Sought::Git(id, _) => (id.to_string(), Promise::Git(id)),
        };
        let blob = Spot { below: Path::new(&repository).join("blobs").join(name), promise: Some(promise) };
        let mut spots = Vec::new();
        if self.stands(&blob.below) {
            spots.push(blob);
        }
        for snapshot in self.snapshots.get(&repository).into_iter().flatten() {
            let below = path.under(snapshot);
            if self.stands(&below) {
                let promise = promise_of_link(&self.cache.join(&below));
                spots.push(Spot { below, promise });
            }
        }
        spots
    }

    fn stands(&self, below: &Path) -> bool {
        self.cache.join(below).symlink_metadata().is_ok()
    }

    /// Looks at one spot after the other until one has it.
    fn look(&self, taking: &Taking<'_>, sought: Sought, spots: &[Spot]) -> Result<Sight, StoreError> {
        let (mut sight, mut tried) = (Sight::default(), BTreeSet::new());
        for spot in spots {
            if self.services.cancel.is_cancelled() {
                return Err(StoreError::Stopped);
            }
            // A link to another version of the file: it says so itself.
            if matches!((sought, spot.promise), (Sought::Pin(pin), Some(Promise::Sha256(other))) if other != pin.sha256)
            {
                continue;
            }
            let Ok(Some(existing)) = Existing::open(&self.cache, &spot.below) else { continue };
            let (path, size) = (existing.path().to_owned(), existing.size());
            if !tried.insert(existing.inode()) {
                continue;
            }
            if size != size_of(sought) {
                // Another version; but where the name promises these very bytes, they are truncated or worse.
                let broken = spot.promise.filter(|promise| promises(*promise, sought));
                sight.refused.extend(broken.map(|promise| (path, promise, format!("{size} bytes"))));
                continue;
            }
            let known = match hash_at(taking, existing, sought, spot, self.services) {
                Ok(known) => known,
                Err(error) => {
                    taking.not_brought(error, &path)?;
                    continue;
                }
            };
            if is_it(sought, &known) {
                match taking.keep(known)? {
                    Fate::Left(_) | Fate::Refused(_) => {}
                    fate => {
                        sight.fate = Some(fate);
                        return Ok(sight);
                    }
                }
            } else if let Some(promise) = spot.promise.filter(|promise| !promise.is_kept(&known)) {
                sight.refused.push((path, promise, format!("sha256 {}", known.pin().sha256)));
            }
        }
        Ok(sight)
    }
}

/// Whether a name promises exactly what is sought.
fn promises(promise: Promise, sought: Sought) -> bool {
    match (sought, promise) {
        (Sought::Pin(pin), Promise::Sha256(digest)) => digest == pin.sha256,
        (Sought::Git(id, _), Promise::Git(promised)) => id == promised,
        _ => false,
    }
}

/// What the blob promises to which a link of a snapshot leads. The step after, to what all repositories share, is named by
/// another hash.
fn promise_of_link(path: &Path) -> Option<Promise> {
    let target = std::fs::read_link(path).ok()?;
    let among_blobs = target.parent()?.file_name()? == "blobs";
    Promise::of_name(target.file_name()?.to_str().filter(|_| among_blobs)?)
}

fn size_of(sought: Sought) -> u64 {
    match sought {
        Sought::Pin(pin) => pin.size,
        Sought::Git(_, size) => size,
    }
}

fn is_it(sought: Sought, known: &Known) -> bool {
    match sought {
        Sought::Pin(pin) => known.pin() == pin,
        Sought::Git(id, size) => known.git() == Some(id) && known.pin().size == size,
    }
}

fn hash_at(
    taking: &Taking<'_>,
    existing: Existing,
    sought: Sought,
    spot: &Spot,
    services: &Services,
) -> Result<Known, NotBrought> {
    let git = matches!(sought, Sought::Git(..)) || matches!(spot.promise, Some(Promise::Git(_)));
    let digests = if git { Digests::AndGit } else { Digests::Sha256 };
    let advanced = |bytes| services.progress.on(&Event::Advanced { task: TASK, bytes });
    taking.bringing().hash(existing, digests, &services.cancel, &advanced)
}

#[cfg(test)]
mod tests;
