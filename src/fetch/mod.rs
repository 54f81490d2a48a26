//! Blobs from places: scheduling, hashing while streaming, resume, failover.
//!
//! One synchronous face that takes many jobs; async stays inside. Refuses to know the store: what it holds already is
//! asked through a closure. Its files are `<staging>/<sha256>.part`, `.journal` and `.lease`.
//!
//! * Hash decides, and nothing else does: lengths, ranges and `ETag`s only make transfers short.
//! * Wrong bytes are never kept, and the place that sent them is named only if it sent all of them.
//! * A blob's lease is held until its bytes are stored or dropped, so two processes that want it bring it once.

mod by_chunks;
mod download;
mod error;
mod growing;
mod health;
pub mod hub;
mod journal;
mod pack;
mod segments;
mod stream;

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::chunk::ChunkList;
use crate::model::{Pin, SafeUrl};
use crate::progress::{Event, Progress};
use crate::sys::{Attempt, BlobReader, Cancel, HttpClient, Scope, Staged, files};

pub use pack::{PackFile, PackJob, Unpacked};

pub use error::{FetchError, Found, PlaceFailure, Problem};

pub use health::Health;

use download::Download;
use hub::HubPlace;
use segments::Common;

/// Bytes that stay free besides what is fetched.
const MARGIN: u64 = 16 << 20;
/// Most blobs, and connections, at a time.
const MOST: usize = 64;
/// Pause before jobs that another process is at are looked at again.
const PAUSE: Duration = Duration::from_millis(100);

/// Where blobs can be had. Each reads a range of a pin as a stream.
#[derive(Clone)]
pub enum Place {
    /// `<base>/blobs/sha256/ab/<64 hex>` over HTTP(S).
    /// The scope says which addresses may be met on the way.
    Http(SafeUrl, Scope),
    /// The same below a folder.
    Folder(PathBuf),
    /// An object database or the binary itself.
    Objects(Arc<dyn BlobReader>),
    /// A commit of a repository of the Hugging Face hub.
    Hub(Arc<HubPlace>),
}

/// One blob to bring.
#[derive(Debug, Clone)]
pub struct Job {
    /// Its bytes.
    pub pin: Pin,
    /// What it is for messages: `demo/digits-mlp 1.1.0 model.safetensors`.
    pub what: String,
    /// Which of the given lists of places has it.
    pub places: usize,
    /// The chunks that it is made of, where the release says: every base is asked at once then, and each chunk is compared as
    /// it lands.
    pub chunks: Option<Arc<ChunkList>>,
    /// What the store lends of its chunks.
    pub seeds: Seeds,
}

/// Chunks of a blob that lie in files which are here already. Nothing is believed of them: each is compared.
#[derive(Debug, Default, Clone)]
pub struct Seeds {
    /// The files.
    pub files: Vec<Arc<File>>,
    /// For a chunk's number in the job's list: which file, and the offset there.
    pub chunks: BTreeMap<u32, (u32, u64)>,
}

/// What fetching works with.
pub struct Fetcher<'a> {
    /// The client; offline, it opens nothing.
    pub http: &'a HttpClient,
    /// Folder for partial downloads, on the store's file system.
    pub staging: PathBuf,
    /// Blobs at a time, and connections over all of them; a large blob uses several.
    pub jobs: usize,
    /// Whether another process has stored the blob meanwhile; asked under the blob's lease.
    pub already: &'a (dyn Fn(&Pin) -> bool + Sync),
    /// How places behaved in earlier runs.
    pub known: &'a Health,
    /// How long another process may hold a blob without any byte coming.
    pub patience: Duration,
    /// Stops between chunks.
    pub cancel: &'a Cancel,
    /// Takes events.
    pub progress: &'a dyn Progress,
}

/// What happened to a job.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one at a time is handed over, never kept")]
pub enum Landed<'j> {
    /// Its blob is here, with the pinned bytes. Its lease is held until it is stored or dropped.
    Blob(&'j Job, Staged),
    /// What is left is being brought by other processes, who may be waiting for what was handed over: store it now.
    Pause,
}

/// Fetching failed, or what was done with a blob did.
#[derive(Debug)]
pub enum FetchOutcome<E> {
    /// Fetching failed.
    Fetch(FetchError),
    /// The caller's own error.
    Done(E),
}

/// How one job ended.
#[expect(clippy::large_enum_variant, reason = "one a blob, handed over at once")]
enum Ended {
    Blob(Staged),
    Already,
    /// Another process is at it.
    Busy,
    Failed(FetchError),
}

impl Fetcher<'_> {
    /// Brings every job's blob and hands each to `done` as it lands (from one thread at a time). A blob that another
    /// process stored meanwhile is not handed over. Free disk is checked before the first byte. The first error of `done`,
    /// or a blob that no place can give, ends the rest; what landed stays, partial downloads are kept.
    ///
    /// # Errors
    /// `E0721` and following; trust (exit 4) if a place answered with wrong bytes and no other had the right ones.
    pub fn fetch<E>(
        &self,
        jobs: &[Job],
        places: &[Vec<Place>],
        done: &mut dyn FnMut(Landed<'_>) -> Result<(), E>,
    ) -> Result<(), FetchOutcome<E>> {
        let result = self.fetch_all(jobs, places, done);
        self.known.keep();
        result
    }

    fn fetch_all<E>(
        &self,
        jobs: &[Job],
        places: &[Vec<Place>],
        done: &mut dyn FnMut(Landed<'_>) -> Result<(), E>,
    ) -> Result<(), FetchOutcome<E>> {
        self.prepare(jobs).map_err(FetchOutcome::Fetch)?;
        let health: Vec<Vec<AtomicU32>> =
            places.iter().map(|list| list.iter().map(|_| AtomicU32::new(0)).collect()).collect();
        let bytes = jobs.iter().fold(0_u64, |sum, job| sum.saturating_add(job.pin.size));
        self.progress.on(&Event::Needed { bytes });
        let common = Common::new(self.jobs.clamp(1, MOST));
        let run = Run { fetcher: self, jobs, places, health, common, waits: Mutex::new(BTreeMap::new()) };
        let mut todo: Vec<usize> = (0..jobs.len()).collect();
        // Large ones first: what begins last ends last.
        todo.sort_by_key(|number| std::cmp::Reverse(jobs.get(*number).map(|job| job.pin.size)));
        loop {
            let busy = run.round(&todo, done)?;
            if busy.is_empty() {
                return Ok(());
            }
            done(Landed::Pause).map_err(FetchOutcome::Done)?;
            if self.cancel.is_cancelled() {
                return Err(FetchOutcome::Fetch(FetchError::Stopped));
            }
            run.look_at_waits(&busy).map_err(FetchOutcome::Fetch)?;
            std::thread::sleep(PAUSE);
            todo = busy;
        }
    }

    /// Makes the folder and checks that what is to come fits.
    fn prepare(&self, jobs: &[Job]) -> Result<(), FetchError> {
        if jobs.is_empty() {
            return Ok(());
        }
        let local = |source| FetchError::Local { path: self.staging.clone(), source };
        std::fs::create_dir_all(&self.staging).map_err(local)?;
        room_for_jobs(&self.staging, jobs)
    }
}

/// Whether what is still to come of these blobs fits into the folder of partial downloads, and leaves some room.
///
/// # Errors
/// `E0721`: it does not.
pub fn room_for_jobs(staging: &Path, jobs: &[Job]) -> Result<(), FetchError> {
    let needed = jobs.iter().fold(0_u64, |needed, job| {
        let part = staging.join(format!("{}.part", job.pin.sha256));
        // Blocks that an interrupted run set aside are there as well.
        let there = part.symlink_metadata().map_or(0, |file| file.len().max(file.blocks().saturating_mul(512)));
        needed.saturating_add(job.pin.size.saturating_sub(there))
    });
    room_for(staging, needed)
}

/// Whether so many bytes fit into a folder, and leave some room.
///
/// # Errors
/// `E0721`: they do not.
pub fn room_for(folder: &Path, needed: u64) -> Result<(), FetchError> {
    let local = |source| FetchError::Local { path: folder.to_owned(), source };
    let free = files::free_space(folder).map_err(local)?;
    if needed > 0 && needed.saturating_add(MARGIN) > free {
        return Err(FetchError::NoSpace { folder: folder.to_owned(), needed, margin: MARGIN, free });
    }
    Ok(())
}

/// One call of [`Fetcher::fetch`].
struct Run<'a> {
    fetcher: &'a Fetcher<'a>,
    jobs: &'a [Job],
    places: &'a [Vec<Place>],
    /// How often a place failed in this run: those that did are asked last.
    health: Vec<Vec<AtomicU32>>,
    common: Common,
    /// Leases that others hold, by job.
    waits: Mutex<BTreeMap<usize, Wait>>,
}

/// A lease that another process holds.
struct Wait {
    attempt: Attempt,
    /// Length of the partial download when it was last seen to grow, and when that was.
    seen: Option<(u64, Instant)>,
    told: bool,
}

impl Run<'_> {
    /// Tries these jobs in parallel; returns those that other processes are at.
    fn round<E>(
        &self,
        todo: &[usize],
        done: &mut dyn FnMut(Landed<'_>) -> Result<(), E>,
    ) -> Result<Vec<usize>, FetchOutcome<E>> {
        let (queue, stop) = (Mutex::new(todo.iter().copied().collect()), AtomicBool::new(false));
        let workers = self.fetcher.jobs.clamp(1, MOST).min(todo.len().max(1));
        let (sender, receiver) = sync_channel::<(usize, Ended)>(workers);
        let mut busy = Vec::new();
        let mut failed = None;
        std::thread::scope(|scope| {
            for worker in 0..workers {
                let sender = sender.clone();
                let (queue, stop) = (&queue, &stop);
                // One begins at the small end: small blobs do not wait until all large ones are here.
                let small = worker == 1;
                scope.spawn(move || self.work(queue, small, stop, &sender));
            }
            drop(sender);
            for (number, ended) in receiver {
                let Some(job) = self.jobs.get(number) else { continue };
                let error = match ended {
                    Ended::Already => continue,
                    Ended::Busy => {
                        busy.push(number);
                        continue;
                    }
                    // After an error of the caller's own nothing more is handed over; what landed is a partial download.
                    Ended::Blob(_) if matches!(failed, Some(FetchOutcome::Done(_))) => continue,
                    Ended::Blob(staged) => match done(Landed::Blob(job, staged)) {
                        Ok(()) => continue,
                        Err(error) => FetchOutcome::Done(error),
                    },
                    Ended::Failed(error) => FetchOutcome::Fetch(error),
                };
                stop.store(true, Ordering::Relaxed);
                // The first error is the one that is told; those that follow are its echo.
                failed.get_or_insert(error);
            }
        });
        busy.sort_unstable();
        failed.map_or(Ok(busy), Err)
    }

    fn work(
        &self,
        queue: &Mutex<VecDeque<usize>>,
        small: bool,
        stop: &AtomicBool,
        sender: &SyncSender<(usize, Ended)>,
    ) {
        let stopped = || stop.load(Ordering::Relaxed) || self.fetcher.cancel.is_cancelled();
        while !stop.load(Ordering::Relaxed) {
            let next = {
                let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
                if small { queue.pop_back() } else { queue.pop_front() }
            };
            let Some(number) = next else { return };
            let Some(job) = self.jobs.get(number) else { return };
            let ended = self.bring(number, job, &stopped).unwrap_or_else(Ended::Failed);
            if sender.send((number, ended)).is_err() {
                return;
            }
        }
    }

    fn bring(&self, number: usize, job: &Job, stopped: &dyn Fn() -> bool) -> Result<Ended, FetchError> {
        if stopped() {
            return Err(FetchError::Stopped);
        }
        let path = self.fetcher.staging.join(format!("{}.lease", job.pin.sha256));
        let mut wait = {
            let mut waits = self.waits.lock().unwrap_or_else(PoisonError::into_inner);
            waits.remove(&number).unwrap_or_else(|| Wait { attempt: Attempt::new(&path), seen: None, told: false })
        };
        let Some(lease) = wait.attempt.try_now()? else {
            self.waits.lock().unwrap_or_else(PoisonError::into_inner).insert(number, wait);
            return Ok(Ended::Busy);
        };
        if (self.fetcher.already)(&job.pin) {
            return Ok(Ended::Already);
        }
        let places = self.places.get(job.places).map(Vec::as_slice).unwrap_or_default();
        let health = self.health.get(job.places).map(Vec::as_slice).unwrap_or_default();
        let common = &self.common;
        let staged = Download { fetcher: self.fetcher, job, number, places, health, common, stopped }.run()?;
        Ok(Ended::Blob(staged.guarded_by(lease)))
    }

    /// Says once who is waited for, and gives up on a process that lives and does nothing.
    fn look_at_waits(&self, busy: &[usize]) -> Result<(), FetchError> {
        let mut waits = self.waits.lock().unwrap_or_else(PoisonError::into_inner);
        for number in busy {
            let (Some(wait), Some(job)) = (waits.get_mut(number), self.jobs.get(*number)) else { continue };
            let part = self.fetcher.staging.join(format!("{}.part", job.pin.sha256));
            let length = part.symlink_metadata().map_or(0, |file| file.len());
            match wait.seen {
                Some((before, since)) if before == length => {
                    if since.elapsed() >= self.fetcher.patience {
                        return Err(wait.attempt.given_up(since.elapsed()).into());
                    }
                }
                _ => wait.seen = Some((length, Instant::now())),
            }
            if !wait.told {
                wait.told = true;
                let text = format!("{} is being fetched by {}; waiting for it", job.what, wait.attempt.held_by());
                self.fetcher.progress.note("waiting", text);
            }
        }
        Ok(())
    }
}
