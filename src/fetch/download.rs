//! One blob: its places in turn, retries, resume, and what came of it.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::fetch::by_chunks::ByChunks;
use crate::fetch::growing::{Growing, Meter, Source};
use crate::fetch::hub::{HubProblem, MAX_WAITS, tell_wait};
use crate::fetch::journal::Journal;
use crate::fetch::segments::{self, Common, Ended, is_transient};
use crate::fetch::stream::{Ask, Trouble, connection, name, open};
use crate::fetch::{FetchError, Fetcher, Found, Job, Place, PlaceFailure, Problem};
use crate::model::{Pin, Sha256};
use crate::progress::{Doing, Event};
use crate::sys::{HttpClient, HttpError, Staged, files};

/// Tries at one place without the download getting further.
const TRIES: u32 = 4;
/// Bytes by which a try must get further for the count to begin anew.
const GAIN: u64 = 1 << 20;
/// One blob on its way.
pub(super) struct Download<'a> {
    pub(super) fetcher: &'a Fetcher<'a>,
    pub(super) job: &'a Job,
    pub(super) number: usize,
    pub(super) places: &'a [Place],
    pub(super) health: &'a [AtomicU32],
    pub(super) common: &'a Common,
    pub(super) stopped: &'a dyn Fn() -> bool,
}

/// How one place was left.
enum Left {
    Whole,
    Failed(Problem),
}

impl Download<'_> {
    /// Brings the blob and compares its digest.
    pub(super) fn run(&self) -> Result<Staged, FetchError> {
        let meter = Meter { download: self, told: Cell::new(0) };
        let started = Event::Started {
            task: meter.task(),
            doing: Doing::Fetch,
            what: &self.job.what,
            bytes: Some(self.job.pin.size),
        };
        self.fetcher.progress.on(&started);
        let result = self.bring(&meter);
        self.fetcher.progress.on(&Event::Finished { task: meter.task(), ok: result.is_ok() });
        result
    }

    fn bring<'m>(&'m self, meter: &'m Meter<'m>) -> Result<Staged, FetchError> {
        let mut growing = Growing::begin(self, meter)?;
        match self.fill(&mut growing) {
            Ok(()) => self.end(growing),
            Err(error) => {
                // What it does not hold yet is free for others. Where that fails, the next run counts it as its own.
                let _ = growing.staging.trim();
                Err(error)
            }
        }
    }

    fn fill(&self, growing: &mut Growing<'_>) -> Result<(), FetchError> {
        let mut failures = Vec::new();
        let asked = match self.list() {
            Some(list) => self.by_chunks(list, growing)?,
            None => ByChunks::default(),
        };
        if asked.whole {
            return Ok(());
        }
        for (place, problem) in asked.out {
            self.add_failure(place, problem, &mut failures);
        }
        let (done, mut failures) = self.place_by_place(growing, &asked.skipped, failures)?;
        if done && asked.misled {
            let text = format!("the chunk index of {} does not describe it; it was fetched without", self.job.what);
            self.fetcher.progress.warn("bad-chunk-index", text);
        }
        if done {
            return Ok(());
        }
        if asked.misled {
            let (what, expected) = (self.job.what.clone(), self.job.pin);
            return Err(FetchError::Index { what, expected, failures: std::mem::take(&mut failures) });
        }
        Err(FetchError::from_failures(&self.job.what, self.job.pin, failures))
    }

    fn add_failure(&self, place: usize, problem: Problem, failures: &mut Vec<PlaceFailure>) {
        self.note_failure(place, &problem);
        let place = self.places.get(place).map(name).unwrap_or_default();
        failures.push(PlaceFailure { place, problem });
    }

    /// Asks the places in turn, but those that are skipped. Whether the blob is there, and why not.
    fn place_by_place(
        &self,
        growing: &mut Growing<'_>,
        skipped: &BTreeSet<usize>,
        mut failures: Vec<PlaceFailure>,
    ) -> Result<(bool, Vec<PlaceFailure>), FetchError> {
        // Whether some place refuses the rest of what is there, though it may give the whole.
        let mut whole_may_do = false;
        for round in 0..2 {
            for place in self.order().into_iter().filter(|place| !skipped.contains(place)) {
                match self.ask(place, growing)? {
                    Left::Whole => return Ok((true, failures)),
                    Left::Failed(problem) => {
                        whole_may_do |= round == 0 && refuses_the_rest(&problem) && growing.staging.written() > 0;
                        if round == 0 || problem.is_wrong() {
                            self.add_failure(place, problem, &mut failures);
                        } else {
                            self.note_failure(place, &problem);
                        }
                    }
                }
            }
            if !whole_may_do {
                break;
            }
            growing.restart()?;
        }
        Ok((false, failures))
    }

    /// The whole blob with its bytes compared: only right ones come here.
    fn end(&self, growing: Growing<'_>) -> Result<Staged, FetchError> {
        if let Some(journal) = &growing.journal {
            files::remove(journal).map_err(|error| self.local(error))?;
        }
        Ok(growing.staging.finish())
    }

    /// The places in their order; those that failed in this run come last, before them those that failed a short while ago.
    pub(super) fn order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.places.len()).collect();
        let failed = |place: &usize| self.health.get(*place).is_some_and(|failed| failed.load(Ordering::Relaxed) > 0);
        let known = self.fetcher.known;
        let lately = |place: &usize| self.places.get(*place).is_some_and(|place| known.failed_lately(&name(place)));
        order.sort_by_cached_key(|place| (failed(place), lately(place), *place));
        order
    }

    pub(super) fn note_failure(&self, place: usize, problem: &Problem) {
        // A copy that lacks one blob may have the next.
        if !matches!(problem, Problem::Absent)
            && let Some(failed) = self.health.get(place)
        {
            failed.fetch_add(1, Ordering::Relaxed);
            if let Some(place) = self.places.get(place) {
                self.fetcher.known.note(&name(place), false, None);
            }
        }
        if let (Problem::Wrong(found), Some(place)) = (problem, self.places.get(place)) {
            let Job { pin, what, .. } = self.job;
            let text = format!(
                "{} gave wrong bytes for {what}: expected sha256 {} of {} bytes, {found}; they were not kept",
                name(place),
                pin.sha256,
                pin.size
            );
            self.fetcher.progress.warn("bad-blob", text);
        }
    }

    /// Asks one place until it has given the rest, or has failed too often without getting further.
    fn ask(&self, number: usize, growing: &mut Growing<'_>) -> Result<Left, FetchError> {
        let Some(place) = self.places.get(number) else { return Ok(Left::Failed(Problem::Absent)) };
        if let Place::Http(..) = place
            && let Some(left) = self.ask_in_segments(number, growing)?
        {
            return Ok(left);
        }
        let (mut tries, mut furthest, mut waits) = (0, growing.staging.written(), 0);
        loop {
            tries += 1;
            let Some(problem) = self.pull(number, place, growing)? else {
                match self.judge(number, growing)? {
                    Judged::Right => {
                        self.fetcher.known.note(&name(place), true, None);
                        return Ok(Left::Whole);
                    }
                    Judged::Again => continue,
                    Judged::Wrong(found) => return Ok(Left::Failed(Problem::Wrong(Found::Digest(found)))),
                }
            };
            if let (Problem::Hub(HubProblem::Limited { wait }), Place::Hub(hub)) = (&problem, place)
                && waits < MAX_WAITS
            {
                // Everybody who asks this hub waits; being told to wait is no failed try.
                waits += 1;
                tries -= 1;
                if hub.gate().close(*wait) {
                    tell_wait(self.fetcher.progress, *wait);
                }
                continue;
            }
            if matches!(problem, Problem::Wrong(Found::MoreThan(_))) {
                growing.restart()?;
            }
            if growing.staging.written() >= furthest.saturating_add(GAIN) {
                (tries, furthest, waits) = (0, growing.staging.written(), 0);
            }
            // A stall has cost its time: another place is asked before this one is again.
            let stalled = matches!(problem, Problem::Http(HttpError::Stalled { .. } | HttpError::TooSlow { .. }));
            let enough = if stalled { self.places.len() > 1 || tries >= 2 } else { tries >= TRIES };
            if enough || !is_transient(&problem) {
                return Ok(Left::Failed(problem));
            }
            self.pause(tries, &problem)?;
        }
    }

    /// Asks one place for the rest in segments. None: it has to be asked for one stream.
    fn ask_in_segments(&self, number: usize, growing: &mut Growing<'_>) -> Result<Option<Left>, FetchError> {
        while growing.missing() >= segments::LEAST {
            match self.pull_segments(&[number], None, growing)? {
                Ended::Whole => match self.judge(number, growing)? {
                    Judged::Right => return Ok(Some(Left::Whole)),
                    Judged::Again => {}
                    Judged::Wrong(found) => return Ok(Some(Left::Failed(Problem::Wrong(Found::Digest(found))))),
                },
                Ended::Stopped => return Err(FetchError::Stopped),
                Ended::Failed(problems) => {
                    return Ok(problems.into_iter().next().map(|(_, problem)| Left::Failed(problem)));
                }
            }
        }
        Ok(None)
    }

    /// Reads from one place to the end. `None`: as many bytes are there as are pinned.
    fn pull(&self, number: usize, place: &Place, growing: &mut Growing<'_>) -> Result<Option<Problem>, FetchError> {
        let pin = &self.job.pin;
        let from = growing.staging.written();
        // An empty blob is asked for as well: a place that has other bytes under its name says so.
        if from == pin.size && from > 0 {
            return Ok(None);
        }
        let place_name = name(place);
        let journal = growing.journal.as_deref().and_then(Journal::read);
        let etag = journal.as_ref().and_then(|journal| journal.etag_for(&place_name));
        let Ok(held) = connection(place, &self.common.connections, self.stopped) else {
            return Err(FetchError::Stopped);
        };
        let ask = Ask { pin, from, etag, stopped: self.stopped };
        let mut opened = match open(place, self.fetcher.http, &ask) {
            Ok(opened) => opened,
            Err(Trouble::Stopped) => return Err(FetchError::Stopped),
            Err(Trouble::Problem(problem)) => return Ok(Some(problem)),
        };
        if opened.start != from {
            growing.restart()?;
        } else if from > 0 && etag.zip(opened.etag.as_deref()).is_some_and(|(before, now)| before != now) {
            // Not asked to, it goes on in another version: what is there is of the old one.
            growing.restart()?;
            drop((opened, held));
            return self.pull(number, place, growing);
        }
        growing.comes_from(number);
        growing.note_version(number, opened.etag.as_deref())?;
        loop {
            let chunk = match opened.next(self.stopped) {
                Ok(Some(chunk)) => chunk,
                Ok(None) if growing.staging.written() == pin.size => return Ok(None),
                Ok(None) => return Ok(Some(Problem::Short { received: growing.staging.written() })),
                // All bytes came; how the connection ends after them is nobody's concern.
                Err(Trouble::Problem(_)) if growing.staging.written() == pin.size && pin.size > 0 => return Ok(None),
                Err(Trouble::Problem(problem)) => return Ok(Some(problem)),
                Err(Trouble::Stopped) => return Err(FetchError::Stopped),
            };
            if growing.staging.written().saturating_add(chunk.len() as u64) > pin.size {
                return Ok(Some(Problem::Wrong(Found::MoreThan(pin.size))));
            }
            growing.staging.write_piece(Box::new(chunk)).map_err(|error| self.local(error))?;
            growing.meter.reached(growing.staging.written());
        }
    }

    /// Compares what is there. Wrong bytes are forgotten at once; this place is blamed only if all of them were its own.
    pub(super) fn judge(&self, number: usize, growing: &mut Growing<'_>) -> Result<Judged, FetchError> {
        let found = growing.staging.pin();
        if found == self.job.pin {
            return Ok(Judged::Right);
        }
        let source = growing.source;
        growing.restart()?;
        Ok(if source == Source::One(number) { Judged::Wrong(found.sha256) } else { Judged::Again })
    }

    fn pause(&self, tries: u32, problem: &Problem) -> Result<(), FetchError> {
        let length = pause_after(self.fetcher.http, &self.job.pin, tries, problem);
        let begun = Instant::now();
        while let Some(left) = length.checked_sub(begun.elapsed()).filter(|left| !left.is_zero()) {
            if (self.stopped)() {
                return Err(FetchError::Stopped);
            }
            std::thread::sleep(left.min(Duration::from_millis(50)));
        }
        Ok(())
    }

    pub(super) fn local(&self, source: io::Error) -> FetchError {
        if files::is_full(&source) {
            FetchError::Full { what: self.job.what.clone(), source }
        } else if source.kind() == io::ErrorKind::Interrupted {
            FetchError::Stopped
        } else {
            FetchError::Local { path: self.fetcher.staging.clone(), source }
        }
    }
}

/// What a comparison says.
pub(super) enum Judged {
    Right,
    /// Wrong, but by nobody's proven fault: from the start again.
    Again,
    Wrong(Sha256),
}

/// How long a place is left alone after so many failures: at least what it asks for, at most the longest.
pub(super) fn pause_after(http: &HttpClient, pin: &Pin, tries: u32, problem: &Problem) -> Duration {
    let patience = &http.settings().patience;
    let doubled = patience.pause.saturating_mul(1 << tries.saturating_sub(1).min(10));
    // Clients that were cut off together do not come back together.
    let seed = Sha256::of(format!("{tries} {} {}", std::process::id(), pin.sha256).as_bytes());
    let spread = seed.as_bytes().first().copied().map_or(0, u32::from);
    let asked = if let Problem::Http(error) = problem { error.retry_after() } else { None };
    let jittered = doubled.saturating_add(doubled.saturating_mul(spread) / 512);
    asked.map_or(jittered, |asked| asked.max(jittered)).min(patience.longest_pause)
}

/// Whether a place can't go on where the download stands, though it may have the whole.
pub(super) fn refuses_the_rest(problem: &Problem) -> bool {
    matches!(problem, Problem::Http(HttpError::Range { .. } | HttpError::Status { status: 416, .. }))
}
