//! Small files out of packs: each cut out of the stream, hashed from memory, and compared with its own pin.
//!
//! The pack itself is never kept, and its own digest decides nothing: what a place gives is judged file by file, so that one
//! wrong byte costs one file. A pack's lease is held until what came of it is stored, so two processes that want it bring it once.

mod cut;
mod source;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::fetch::{FetchError, FetchOutcome, Fetcher, Place};
use crate::model::Pin;
use crate::progress::Event;
use crate::sys::{Attempt, Lease, Staged};

use cut::Cutting;

/// Handfuls of files that wait to be stored: each file is an open one.
const WAITING: usize = 8;
/// Files that are handed over at a time.
const HANDFUL: usize = 16;
/// Pause before packs that another process is at are looked at again.
const PAUSE: Duration = Duration::from_millis(100);
/// Files of a pack that are looked for to see whether another process gets further with it.
const SAMPLE: usize = 32;

/// One pack, and what of it is wanted.
#[derive(Debug, Clone)]
pub struct PackJob<'w> {
    /// The pack.
    pub pack: Pin,
    /// What it is for messages: `demo/digits 1.0.0 (pack)`.
    pub what: String,
    /// Which of the given lists of places has it.
    pub places: usize,
    /// The wanted files, in the order of their offsets; none lies over another, and each ends in the pack.
    pub files: Vec<PackFile<'w>>,
}

/// A wanted file of a pack.
#[derive(Debug, Clone, Copy)]
pub struct PackFile<'w> {
    /// Its bytes.
    pub pin: Pin,
    /// Where they begin in the pack.
    pub offset: u64,
    /// What it is for messages.
    pub what: &'w str,
}

/// What happened to a pack.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one at a time is handed over, never kept")]
pub enum Unpacked<'j> {
    /// A file of one is here, with the pinned bytes.
    File(&'j PackFile<'j>, Staged),
    /// All that is wanted of a pack was handed over, or other processes are at what is left: store it now, others may be waiting.
    Pause,
}

/// What a worker says.
enum Said<'j> {
    Files(Vec<(&'j PackFile<'j>, Staged)>),
    /// A pack is done with; its lease goes when its files are stored. Those whose pack no place has stand beside.
    Ended(Option<Lease>, Vec<Pin>),
    /// Another process is at it.
    Busy(usize),
    Failed(FetchError),
}

impl Fetcher<'_> {
    /// Brings the wanted files of packs and hands each to `done` as it lands (from one thread at a time). What another process
    /// stored meanwhile may not be handed over. Returns those whose packs no place has: they may be there as blobs of their own. The caller has seen that there is room. The first error of `done`, or a file that no place gives, ends the rest.
    ///
    /// # Errors
    /// As for [`Fetcher::fetch`].
    pub fn unpack<'j, E>(
        &self,
        jobs: &'j [PackJob<'j>],
        places: &[Vec<Place>],
        done: &mut dyn FnMut(Unpacked<'_>) -> Result<(), E>,
    ) -> Result<Vec<Pin>, FetchOutcome<E>> {
        let result = self.unpack_all(jobs, places, done);
        self.known.keep();
        result
    }

    fn unpack_all<'j, E>(
        &self,
        jobs: &'j [PackJob<'j>],
        places: &[Vec<Place>],
        done: &mut dyn FnMut(Unpacked<'_>) -> Result<(), E>,
    ) -> Result<Vec<Pin>, FetchOutcome<E>> {
        let files = jobs.iter().flat_map(|job| &job.files);
        self.progress.on(&Event::Needed { bytes: files.fold(0, |sum, file| sum.saturating_add(file.pin.size)) });
        let health = places.iter().map(|list| list.iter().map(|_| AtomicU32::new(0)).collect()).collect();
        let (waits, memory) = (Mutex::new(BTreeMap::new()), Mutex::new(()));
        let run = Run { fetcher: self, jobs, places, health, waits, memory };
        let mut todo: Vec<usize> = (0..jobs.len()).collect();
        let mut absent = Vec::new();
        while !todo.is_empty() {
            todo = run.round(&todo, &mut absent, done)?;
            if todo.is_empty() {
                break;
            }
            done(Unpacked::Pause).map_err(FetchOutcome::Done)?;
            if self.cancel.is_cancelled() {
                return Err(FetchOutcome::Fetch(FetchError::Stopped));
            }
            run.look_at_waits(&todo).map_err(FetchOutcome::Fetch)?;
            std::thread::sleep(PAUSE);
        }
        Ok(absent)
    }
}

/// One call of [`Fetcher::unpack`].
struct Run<'a, 'j> {
    fetcher: &'a Fetcher<'a>,
    jobs: &'j [PackJob<'j>],
    places: &'a [Vec<Place>],
    /// How often a place failed in this run: those that did are asked last.
    health: Vec<Vec<AtomicU32>>,
    /// Leases that others hold, by job.
    waits: Mutex<BTreeMap<usize, Wait>>,
    /// Held by who has a whole pack in memory.
    memory: Mutex<()>,
}

/// A lease that another process holds.
struct Wait {
    attempt: Attempt,
    /// How many of the sampled files were there when that last grew, and when that was.
    seen: Option<(usize, Instant)>,
    told: bool,
}

impl<'j> Run<'_, 'j> {
    /// Tries these packs in parallel; returns those that other processes are at.
    fn round<E>(
        &self,
        todo: &[usize],
        absent: &mut Vec<Pin>,
        done: &mut dyn FnMut(Unpacked<'_>) -> Result<(), E>,
    ) -> Result<Vec<usize>, FetchOutcome<E>> {
        let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        let workers = self.fetcher.jobs.clamp(1, 64).min(todo.len().max(1));
        let (sender, receiver) = sync_channel::<Said<'j>>(WAITING);
        let mut busy = Vec::new();
        let mut failed = None;
        std::thread::scope(|scope| {
            for _ in 0..workers {
                let sender = sender.clone();
                let (next, stop) = (&next, &stop);
                scope.spawn(move || self.work(todo, next, stop, &sender));
            }
            drop(sender);
            for said in receiver {
                let result = match said {
                    // After an error of the caller's own nothing more is handed over.
                    _ if matches!(failed, Some(FetchOutcome::Done(_))) => continue,
                    Said::Files(files) => files
                        .into_iter()
                        .try_for_each(|(file, staged)| done(Unpacked::File(file, staged)))
                        .map_err(FetchOutcome::Done),
                    Said::Ended(_lease, lacking) => {
                        absent.extend(lacking);
                        done(Unpacked::Pause).map_err(FetchOutcome::Done)
                    }
                    Said::Busy(number) => {
                        busy.push(number);
                        Ok(())
                    }
                    Said::Failed(error) => Err(FetchOutcome::Fetch(error)),
                };
                if let Err(error) = result {
                    stop.store(true, Ordering::Relaxed);
                    // The first error is the one that is told; those that follow are its echo.
                    failed.get_or_insert(error);
                }
            }
        });
        busy.sort_unstable();
        failed.map_or(Ok(busy), Err)
    }

    fn work(&self, todo: &[usize], next: &AtomicUsize, stop: &AtomicBool, sender: &SyncSender<Said<'j>>) {
        let stopped = || stop.load(Ordering::Relaxed) || self.fetcher.cancel.is_cancelled();
        while !stop.load(Ordering::Relaxed) {
            let Some(number) = todo.get(next.fetch_add(1, Ordering::Relaxed)).copied() else { return };
            let said = self.bring(number, &stopped, sender).unwrap_or_else(Said::Failed);
            if sender.send(said).is_err() {
                return;
            }
        }
    }

    fn bring(
        &self,
        number: usize,
        stopped: &dyn Fn() -> bool,
        sender: &SyncSender<Said<'j>>,
    ) -> Result<Said<'j>, FetchError> {
        let Some(job) = self.jobs.get(number) else { return Ok(Said::Ended(None, Vec::new())) };
        if stopped() {
            return Err(FetchError::Stopped);
        }
        let path = self.fetcher.staging.join(format!("{}.lease", job.pack.sha256));
        let known = self.waits.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
        let waited = known.is_some();
        let mut wait = known.unwrap_or_else(|| Wait { attempt: Attempt::new(&path), seen: None, told: false });
        let Some(lease) = wait.attempt.try_now()? else {
            self.waits.lock().unwrap_or_else(PoisonError::into_inner).insert(number, wait);
            return Ok(Said::Busy(number));
        };
        // Whoever was at it stores in this order: where the first file is missing, nobody was since we looked.
        let already = |file: &PackFile<'_>| (self.fetcher.already)(&file.pin);
        let look = waited || job.files.first().is_some_and(already);
        let left = job.files.iter().filter(|file| !(look && already(file))).collect();
        let places = self.places.get(job.places).map(Vec::as_slice).unwrap_or_default();
        let health = self.health.get(job.places).map(Vec::as_slice).unwrap_or_default();
        // A receiver that is gone has failed, and stops this as well.
        let handful = RefCell::new(Vec::with_capacity(HANDFUL));
        let hand = |file: &'j PackFile<'j>, staged| {
            handful.borrow_mut().push((file, staged));
            handful.borrow().len() < HANDFUL || sender.send(Said::Files(handful.take())).is_ok()
        };
        let (fetcher, memory) = (self.fetcher, &self.memory);
        let lacking = Cutting { fetcher, job, number, places, health, memory, stopped, hand: &hand }.run(left);
        // What came before an error stays.
        let _ = sender.send(Said::Files(handful.take()));
        let lacking = lacking?;
        Ok(Said::Ended(Some(lease), lacking.into_iter().map(|file| file.pin).collect()))
    }

    /// Says once who is waited for, and gives up on a process that lives and does nothing.
    fn look_at_waits(&self, busy: &[usize]) -> Result<(), FetchError> {
        let mut waits = self.waits.lock().unwrap_or_else(PoisonError::into_inner);
        for number in busy {
            let (Some(wait), Some(job)) = (waits.get_mut(number), self.jobs.get(*number)) else { continue };
            let step = job.files.len().div_ceil(SAMPLE).max(1);
            let there = job.files.iter().step_by(step).filter(|file| (self.fetcher.already)(&file.pin)).count();
            match wait.seen {
                Some((before, since)) if before == there => {
                    if since.elapsed() >= self.fetcher.patience {
                        return Err(wait.attempt.given_up(since.elapsed()).into());
                    }
                }
                _ => wait.seen = Some((there, Instant::now())),
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
