//! Blobs out of folders: read once, hashed on the way, on all cores. The lease of the whole mirror stands for leases of blobs.

use std::num::NonZero;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;

use crate::fetch::{Place, room_for};
use crate::mirror::plan::Blobs;
use crate::mirror::sync::{Rules, Supply};
use crate::mirror::{Destination, MirrorError};
use crate::model::Pin;
use crate::progress::{Doing, Event, Progress, Task};
use crate::sys::{Bringing, Cancel, Existing, blob_path, files};
use crate::verify::{Verified, verify};

/// The task of copying.
const TASK: Task = Task((1 << 60) + 1);
/// Bytes that share their barriers.
const BYTES: u64 = 256 << 20;
/// From this size on, a blob is made durable by the thread that copied it.
const LARGE: u64 = 8 << 20;
/// Most files that share their barriers: each is held open.
const FILES: usize = 4096;

/// Copies what folders have of some blobs; those that they don't have are left, and so are those that are wrong there.
pub(super) fn copy(
    destination: &Destination,
    supply: &Supply,
    blobs: Blobs,
    rules: &Rules<'_>,
) -> Result<Blobs, MirrorError> {
    // Folders that come before any other place: those behind are for failures.
    let leading = |places: &[Place]| -> Vec<PathBuf> {
        places
            .iter()
            .map_while(|place| if let Place::Folder(folder) = place { Some(folder.clone()) } else { None })
            .collect()
    };
    let mut folders = leading(&supply.places);
    for extra in &supply.extra {
        folders.extend(leading(&extra.places));
    }
    folders.sort();
    folders.dedup();
    let there = |pin: &Pin| folders.iter().any(|folder| folder.join(blob_path(&pin.sha256)).is_file());
    let (here, mut left): (Blobs, Blobs) = blobs.into_iter().partition(|(pin, _)| there(pin));
    if here.is_empty() {
        return Ok(left);
    }
    let partial = destination.partial();
    let bytes = here.keys().fold(0_u64, |sum, pin| sum.saturating_add(pin.size));
    room_for(&partial, bytes).map_err(|error| MirrorError::fetching(destination.folder(), error))?;
    let most = (files::open_limit() / 2).clamp(64, FILES);
    let what = folders.first().map(|folder| folder.to_string_lossy().into_owned()).unwrap_or_default();
    rules.progress.on(&Event::Started { task: TASK, doing: Doing::Fetch, what: &what, bytes: Some(bytes) });
    let work =
        Work { folders: &folders, bringing: Bringing::into(partial), cancel: rules.cancel, progress: rules.progress };
    let here: Vec<(Pin, String)> = here.into_iter().collect();
    let result = work.run(destination, &here, most, &mut left);
    rules.progress.on(&Event::Finished { task: TASK, ok: result.is_ok() });
    result.map(|()| left)
}

struct Work<'a> {
    folders: &'a [PathBuf],
    bringing: Bringing,
    cancel: &'a Cancel,
    progress: &'a dyn Progress,
}

/// What became of one blob.
#[expect(clippy::large_enum_variant, reason = "one at a time is handed over")]
enum Copied {
    Here(Verified),
    /// No folder has it, or its bytes are others there.
    Left(usize),
    Failed(std::io::Error),
}

impl Work<'_> {
    /// Copies on all cores; while some are copied, those before get to the disk.
    fn run(
        &self,
        destination: &Destination,
        blobs: &[(Pin, String)],
        most: usize,
        left: &mut Blobs,
    ) -> Result<(), MirrorError> {
        // Twice as many as cores: some wait for the disk while others hash.
        let cores = std::thread::available_parallelism().map_or(2, NonZero::get);
        let workers = cores.saturating_mul(2).min(blobs.len());
        let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        let (sender, receiver) = sync_channel::<Copied>(most / 2);
        std::thread::scope(|scope| {
            for _ in 0..workers {
                let (sender, next, stop) = (sender.clone(), &next, &stop);
                scope.spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        let Some(blob) = blobs.get(number) else { return };
                        let copied = match self.one(blob) {
                            Ok(Some(verified)) => Copied::Here(verified),
                            Ok(None) => Copied::Left(number),
                            Err(error) => Copied::Failed(error),
                        };
                        if sender.send(copied).is_err() {
                            return;
                        }
                    }
                });
            }
            drop(sender);
            let (mut batch, mut bytes, mut result) = (Vec::new(), 0_u64, Ok(()));
            for copied in &receiver {
                match copied {
                    Copied::Here(verified) => {
                        bytes = bytes.saturating_add(verified.pin().size);
                        batch.push(verified);
                    }
                    Copied::Left(number) => left.extend(blobs.get(number).cloned()),
                    Copied::Failed(error) => result = result.and(Err(MirrorError::at(destination.folder())(error))),
                }
                if batch.len() >= most / 2 || bytes >= BYTES {
                    bytes = 0;
                    result = result.and(destination.take(std::mem::take(&mut batch)));
                }
                if result.is_err() {
                    stop.store(true, Ordering::Relaxed);
                }
            }
            // What was copied before an error stays.
            let placed = destination.take(batch);
            result.and(placed)
        })
    }

    /// One blob; none where no folder has it, or where its bytes are others there.
    fn one(&self, (pin, what): &(Pin, String)) -> std::io::Result<Option<Verified>> {
        let below = PathBuf::from(blob_path(&pin.sha256));
        for folder in self.folders {
            // What can't be opened there may be had elsewhere; the fetcher says why not.
            let Ok(Some(existing)) = Existing::open(folder, &below) else { continue };
            if existing.size() != pin.size {
                continue;
            }
            let (staged, _) = self.bringing.duplicate(&existing, what, self.cancel)?;
            self.progress.on(&Event::Advanced { task: TASK, bytes: pin.size });
            if pin.size >= LARGE {
                // Here, and not with the rest of its batch: meanwhile other threads hash.
                staged.sync()?;
            }
            if let Ok(verified) = verify(staged, pin) {
                return Ok(Some(verified));
            }
        }
        Ok(None)
    }
}
