//! Blobs out of folders: read once, hashed on the way, on all cores. The lease of the whole mirror stands for leases of blobs.

use std::path::PathBuf;
use std::sync::mpsc::sync_channel;

use crate::fetch::{Place, room_for};
use crate::mirror::plan::Blobs;
use crate::mirror::sync::{Rules, Supply};
use crate::mirror::{Destination, MirrorError};
use crate::model::Pin;
use crate::progress::{Doing, Event, Progress, Task};
use crate::sys::{Bringing, Cancel, Existing, blob_path, files, hash};
use crate::verify::{Verified, verify};

/// The task of copying.
const TASK: Task = Task((1 << 60) + 1);
/// Bytes that share their barriers.
const BYTES: u64 = 512 << 20;
/// Most files that share their barriers: each is held open.
const FILES: u64 = 4096;

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
    let most = usize::try_from(files::open_files(FILES * 2) / 2).unwrap_or(256).max(64);
    let what = folders.first().map(|folder| folder.to_string_lossy().into_owned()).unwrap_or_default();
    rules.progress.on(&Event::Started { task: TASK, doing: Doing::Fetch, what: &what, bytes: Some(bytes) });
    let work =
        Work { folders: &folders, bringing: Bringing::into(partial), cancel: rules.cancel, progress: rules.progress };
    let result = work.run(destination, here.into_iter().collect(), most, &mut left);
    rules.progress.on(&Event::Finished { task: TASK, ok: result.is_ok() });
    result.map(|()| left)
}

struct Work<'a> {
    folders: &'a [PathBuf],
    bringing: Bringing,
    cancel: &'a Cancel,
    progress: &'a dyn Progress,
}

impl Work<'_> {
    /// Copies batch by batch; while one is copied, the one before gets to the disk.
    fn run(
        &self,
        destination: &Destination,
        blobs: Vec<(Pin, String)>,
        most: usize,
        left: &mut Blobs,
    ) -> Result<(), MirrorError> {
        std::thread::scope(|scope| {
            let (sender, receiver) = sync_channel::<Vec<Verified>>(0);
            let placing = scope.spawn(move || {
                for batch in receiver {
                    destination.take(batch)?;
                }
                Ok(())
            });
            let mut result = Ok(());
            for batch in batches(&blobs, most / 2) {
                let copied = hash::on_all_cores(batch, &|_, blob: &(Pin, String)| self.one(blob));
                let mut verified = Vec::with_capacity(copied.len());
                for (copied, (pin, what)) in copied.into_iter().zip(batch) {
                    match copied {
                        Ok(Some(blob)) => verified.push(blob),
                        Ok(None) => drop(left.insert(*pin, what.clone())),
                        Err(error) => result = Err(MirrorError::at(destination.folder())(error)),
                    }
                }
                // What was copied before an error stays.
                if sender.send(verified).is_err() || result.is_err() {
                    break;
                }
            }
            drop(sender);
            let placed = placing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            placed.and(result)
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
            if let Ok(verified) = verify(staged, pin) {
                return Ok(Some(verified));
            }
        }
        Ok(None)
    }
}

/// Blobs that share their barriers.
fn batches(blobs: &[(Pin, String)], most: usize) -> Vec<&[(Pin, String)]> {
    let mut batches = Vec::new();
    let mut rest = blobs;
    while !rest.is_empty() {
        let mut bytes = 0_u64;
        let fits = |(pin, _): &(Pin, String)| {
            bytes = bytes.saturating_add(pin.size);
            bytes <= BYTES
        };
        let count = rest.iter().take(most.max(1)).map(fits).take_while(|fits| *fits).count().max(1);
        let (batch, behind) = rest.split_at(count.min(rest.len()));
        batches.push(batch);
        rest = behind;
    }
    batches
}

#[cfg(test)]
mod tests {
    use crate::mirror::copy::{BYTES, batches};
    use crate::model::Pin;

    #[test]
    fn batches_are_bounded_by_files_and_by_bytes() {
        let blob = |size| (Pin { size, ..Pin::of(b"") }, String::new());
        let blobs: Vec<_> = [1, 1, 1, BYTES, BYTES + 1, BYTES / 2, BYTES / 2, 1].map(blob).into();
        let counts: Vec<usize> = batches(&blobs, 2).into_iter().map(<[_]>::len).collect();
        assert_eq!(counts, [2, 1, 1, 1, 2, 1]);
        assert!(batches(&[], 2).is_empty());
    }
}
