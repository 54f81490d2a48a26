//! One pack: its places in turn, the ranges that are asked for, and the files that are cut out of what comes.

use std::collections::BTreeSet;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::fetch::pack::source::{Opened, Trouble, open};
use crate::fetch::pack::{PackFile, PackJob};
use crate::fetch::stream::name;
use crate::fetch::{FetchError, Fetcher, Found, Place, PlaceFailure, Problem};
use crate::model::Sha256;
use crate::pack::{Slice, ranges};
use crate::progress::{Doing, Event, Task};
use crate::sys::{Hashed, HttpError, Staged, files};

/// Tries at one place without a file landing.
const TRIES: u32 = 4;
/// Wrong files from one place, and none right since, after which it is asked for no more of this pack.
const WRONG: usize = 8;
/// First task of this room's packs.
const FIRST_TASK: u64 = (1 << 61) | (1 << 48);

/// One pack on its way.
pub(super) struct Cutting<'a, 'j> {
    pub(super) fetcher: &'a Fetcher<'a>,
    pub(super) job: &'j PackJob<'j>,
    pub(super) number: usize,
    pub(super) places: &'a [Place],
    pub(super) health: &'a [AtomicU32],
    pub(super) memory: &'a Mutex<()>,
    pub(super) stopped: &'a dyn Fn() -> bool,
    /// Hands a file over; `false` if nobody takes it any more.
    pub(super) hand: &'a dyn Fn(&'j PackFile<'j>, Staged) -> bool,
}

/// What is left of a pack while one place is asked.
struct Left<'j> {
    /// Files that did not come yet, in order.
    files: Vec<&'j PackFile<'j>>,
    /// Those of them of which this place gave wrong bytes.
    wrong: BTreeSet<u64>,
    /// The first wrong file's digest and what stands in the message for it.
    found: Option<(&'j PackFile<'j>, Sha256)>,
    /// Wrong files since the last right one.
    in_a_row: usize,
    /// Files that came, over all places.
    landed: usize,
}

/// A file that grows in memory.
struct Knife<'j> {
    /// What this stream can give, in order.
    files: std::vec::IntoIter<&'j PackFile<'j>>,
    file: Option<&'j PackFile<'j>>,
    held: Vec<u8>,
}

impl<'j> Cutting<'_, 'j> {
    /// Brings these files; returns those whose pack no place has.
    pub(super) fn run(&self, files: Vec<&'j PackFile<'j>>) -> Result<Vec<&'j PackFile<'j>>, FetchError> {
        if files.is_empty() {
            return Ok(files);
        }
        let task = Task(FIRST_TASK.saturating_add(self.number as u64));
        let bytes = files.iter().map(|file| file.pin.size).fold(0, u64::saturating_add);
        let progress = self.fetcher.progress;
        progress.on(&Event::Started { task, doing: Doing::Fetch, what: &self.job.what, bytes: Some(bytes) });
        let result = self.bring(files, task);
        progress.on(&Event::Finished { task, ok: result.is_ok() });
        result
    }

    fn bring(&self, files: Vec<&'j PackFile<'j>>, task: Task) -> Result<Vec<&'j PackFile<'j>>, FetchError> {
        let nothing = Left { files, wrong: BTreeSet::new(), found: None, in_a_row: 0, landed: 0 };
        let (mut left, mut failures) = (nothing, Vec::new());
        for number in self.order() {
            let Some(place) = self.places.get(number) else { continue };
            let problem = self.ask(place, &mut left, task)?;
            let liar = !left.wrong.is_empty();
            if liar {
                self.tell_wrong(place, &left);
            }
            let failed = liar || !matches!(problem, None | Some(Problem::Absent));
            if failed && let Some(count) = self.health.get(number) {
                count.fetch_add(1, Ordering::Relaxed);
            }
            if failed || problem.is_none() {
                self.fetcher.known.note(&name(place), !failed, None);
            }
            if left.files.is_empty() {
                return Ok(Vec::new());
            }
            let wrong = left.found.map(|(_, digest)| Problem::Wrong(Found::Digest(digest)));
            failures.extend(wrong.or(problem).map(|problem| PlaceFailure { place: name(place), problem }));
        }
        if !failures.is_empty() && failures.iter().all(|failure| matches!(failure.problem, Problem::Absent)) {
            return Ok(left.files);
        }
        // The file that is told of is one that a place lied about, if any.
        let told =
            left.found.map(|(file, _)| file).filter(|file| left.files.iter().any(|one| one.offset == file.offset));
        let (what, pin) = match told.or(left.files.first().copied()) {
            Some(file) => (file.what, file.pin),
            None => (self.job.what.as_str(), self.job.pack),
        };
        Err(FetchError::from_failures(what, pin, failures))
    }

    /// The places, those that failed in this run or lately last.
    fn order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.places.len()).collect();
        let failed = |place: &usize| self.health.get(*place).is_some_and(|failed| failed.load(Ordering::Relaxed) > 0);
        let known = self.fetcher.known;
        let lately = |place: &usize| self.places.get(*place).is_some_and(|place| known.failed_lately(&name(place)));
        order.sort_by_cached_key(|place| (failed(place), lately(place), *place));
        order
    }

    /// Asks one place until it has given all that it can. `None`: what is left, it gave wrong.
    fn ask(&self, place: &Place, left: &mut Left<'j>, task: Task) -> Result<Option<Problem>, FetchError> {
        (left.wrong, left.found, left.in_a_row) = (BTreeSet::new(), None, 0);
        let (mut tries, mut landed, mut whole) = (0, left.landed, false);
        // Whoever has a whole pack in memory is alone in that.
        let memory = matches!(place, Place::Objects(_)).then_some(self.memory);
        let _alone = memory.map(|memory| memory.lock().unwrap_or_else(PoisonError::into_inner));
        loop {
            tries += 1;
            let Some(problem) = self.pull(place, left, whole, task)? else { return Ok(None) };
            if left.landed > landed {
                (tries, landed) = (1, left.landed);
            }
            if refuses_ranges(&problem) && !whole {
                whole = true;
                continue;
            }
            let stalled = matches!(problem, Problem::Http(HttpError::Stalled { .. } | HttpError::TooSlow { .. }));
            let enough = if stalled { self.places.len() > 1 || tries >= 2 } else { tries >= TRIES };
            if enough || left.in_a_row >= WRONG || !is_transient(&problem) {
                return Ok(Some(problem));
            }
            self.pause(tries, &problem)?;
        }
    }

    /// Asks one place for all that is left, range by range. `None`: it came, right or wrong.
    fn pull(&self, place: &Place, left: &mut Left<'j>, whole: bool, task: Task) -> Result<Option<Problem>, FetchError> {
        let pack = &self.job.pack;
        let slices: Vec<Slice> =
            left.wanted().iter().map(|file| Slice { offset: file.offset, size: file.pin.size }).collect();
        let mut planned = ranges(pack.size, &slices);
        if whole && !planned.is_empty() {
            planned = std::iter::once(0..pack.size).collect();
        }
        for range in planned {
            // A place that sends all where a part was asked for may have given this range already.
            if !left.wanted().iter().any(|file| range.contains(&file.offset)) {
                continue;
            }
            match self.cut_range(place, &range, left, task) {
                Ok(()) if left.in_a_row >= WRONG => return Ok(None),
                Ok(()) => {}
                Err(Halt::Trouble(Trouble::Problem(problem))) => return Ok(Some(problem)),
                Err(Halt::Trouble(Trouble::Stopped)) => return Err(FetchError::Stopped),
                Err(Halt::Local(error)) => return Err(self.local(error)),
            }
        }
        Ok(None)
    }

    fn cut_range(&self, place: &Place, range: &Range<u64>, left: &mut Left<'j>, task: Task) -> Result<(), Halt> {
        let mut opened = open(place, self.fetcher.http, (&self.job.pack, range), self.stopped)?;
        let (begun, all) = (opened.at, opened.all);
        let within = |file: &&&PackFile<'_>| file.offset >= begun && (all || file.offset < range.end);
        let wanted: Vec<_> = left.wanted().iter().filter(within).copied().collect();
        let mut knife = Knife::new(wanted);
        let mut came = BTreeSet::new();
        let result = self.cut_stream(&mut opened, &mut knife, left, &mut came, task);
        left.files.retain(|file| !came.contains(&file.offset));
        result
    }

    fn cut_stream(
        &self,
        opened: &mut Opened,
        knife: &mut Knife<'j>,
        left: &mut Left<'j>,
        came: &mut BTreeSet<u64>,
        task: Task,
    ) -> Result<(), Halt> {
        while knife.file.is_some() && left.in_a_row < WRONG {
            let mut at = opened.at;
            let Some(mut chunk) = opened.next(self.stopped)? else {
                return Err(Problem::Short { received: at }.into());
            };
            while let Some((file, bytes)) = knife.cut(&mut at, &mut chunk) {
                let hashed = Hashed::of(&bytes);
                if hashed.pin() != file.pin {
                    left.note_wrong(file, hashed.pin().sha256);
                    continue;
                }
                let staged = hashed.stage(&self.fetcher.staging, file.what).map_err(Halt::Local)?;
                came.insert(file.offset);
                (left.in_a_row, left.landed) = (0, left.landed.saturating_add(1));
                if !(self.hand)(file, staged) {
                    return Err(Trouble::Stopped.into());
                }
                self.fetcher.progress.on(&Event::Advanced { task, bytes: file.pin.size });
                knife.take_back(bytes);
            }
        }
        Ok(())
    }

    /// Names a place that gave wrong bytes, once for many files.
    fn tell_wrong(&self, place: &Place, left: &Left<'_>) {
        let Some((first, found)) = left.found else { return };
        let more = match left.wrong.len() {
            1 => String::new(),
            many => format!(", and for {} more files of the same pack", many - 1),
        };
        let text = format!(
            "{} gave wrong bytes for {}: expected sha256 {} of {} bytes, found sha256 {found}{more}; they were not kept",
            name(place),
            first.what,
            first.pin.sha256,
            first.pin.size
        );
        self.fetcher.progress.warn("bad-blob", text);
    }

    fn pause(&self, tries: u32, problem: &Problem) -> Result<(), FetchError> {
        let patience = &self.fetcher.http.settings().patience;
        let doubled = patience.pause.saturating_mul(1 << tries.saturating_sub(1).min(10));
        // Clients that were cut off together do not come back together.
        let seed = Sha256::of(format!("{tries} {} {}", std::process::id(), self.job.pack.sha256).as_bytes());
        let spread = seed.as_bytes().first().copied().map_or(0, u32::from);
        let asked = if let Problem::Http(error) = problem { error.retry_after() } else { None };
        let jittered = doubled.saturating_add(doubled.saturating_mul(spread) / 512);
        let length = asked.map_or(jittered, |asked| asked.max(jittered)).min(patience.longest_pause);
        let begun = Instant::now();
        while let Some(left) = length.checked_sub(begun.elapsed()).filter(|left| !left.is_zero()) {
            if (self.stopped)() {
                return Err(FetchError::Stopped);
            }
            std::thread::sleep(left.min(Duration::from_millis(50)));
        }
        Ok(())
    }

    fn local(&self, source: io::Error) -> FetchError {
        if files::is_full(&source) {
            FetchError::Full { what: self.job.what.clone(), source }
        } else {
            FetchError::Local { path: self.fetcher.staging.clone(), source }
        }
    }
}

/// Why a range was not cut to its end.
enum Halt {
    Trouble(Trouble),
    /// The disk.
    Local(io::Error),
}

impl From<Trouble> for Halt {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

impl From<Problem> for Halt {
    fn from(problem: Problem) -> Self {
        Self::Trouble(problem.into())
    }
}

impl<'j> Left<'j> {
    /// What the place that is asked may still give.
    fn wanted(&self) -> Vec<&'j PackFile<'j>> {
        self.files.iter().filter(|file| !self.wrong.contains(&file.offset)).copied().collect()
    }

    fn note_wrong(&mut self, file: &'j PackFile<'j>, found: Sha256) {
        self.wrong.insert(file.offset);
        self.found.get_or_insert((file, found));
        self.in_a_row = self.in_a_row.saturating_add(1);
    }
}

impl<'j> Knife<'j> {
    fn new(files: Vec<&'j PackFile<'j>>) -> Self {
        let mut files = files.into_iter();
        let file = files.next();
        Self { files, file, held: Vec::new() }
    }

    /// The next whole file in `chunk`, whose first byte stands at `at`; both move on. `None`: the chunk is used up, or nothing
    /// more is wanted.
    fn cut(&mut self, at: &mut u64, chunk: &mut Bytes) -> Option<(&'j PackFile<'j>, Bytes)> {
        let file = self.file?;
        let begin = file.offset.saturating_add(self.held.len() as u64);
        let skipped = usize::try_from(begin.saturating_sub(*at)).unwrap_or(usize::MAX).min(chunk.len());
        drop(chunk.split_to(skipped));
        *at = at.saturating_add(skipped as u64);
        let lacking = usize::try_from(file.pin.size).unwrap_or(usize::MAX).saturating_sub(self.held.len());
        let piece = chunk.split_to(lacking.min(chunk.len()));
        *at = at.saturating_add(piece.len() as u64);
        if piece.len() < lacking {
            self.held.extend_from_slice(&piece);
            return None;
        }
        self.file = self.files.next();
        if self.held.is_empty() {
            return Some((file, piece));
        }
        self.held.extend_from_slice(&piece);
        Some((file, std::mem::take(&mut self.held).into()))
    }

    /// Room that a file needed is used for the next.
    fn take_back(&mut self, bytes: Bytes) {
        if self.held.capacity() == 0
            && let Ok(bytes) = bytes.try_into_mut()
        {
            let mut room = Vec::from(bytes);
            room.clear();
            self.held = room;
        }
    }
}

/// Whether the same place may do better when it is asked again.
fn is_transient(problem: &Problem) -> bool {
    match problem {
        Problem::Http(error) => error.is_transient(),
        Problem::Short { .. } => true,
        Problem::Hub(_) | Problem::Read(_) | Problem::Absent | Problem::Wrong(_) => false,
    }
}

/// Whether a place gives no parts, though it may give the whole.
fn refuses_ranges(problem: &Problem) -> bool {
    matches!(problem, Problem::Http(HttpError::Range { .. } | HttpError::Status { status: 416, .. }))
}
