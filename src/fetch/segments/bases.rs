//! How the bases of one blob behave: who rests, and who is out.

use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::fetch::{Found, Problem};
use crate::model::SafeUrl;
use crate::sys::{HttpError, Scope};

/// Failures in turn without getting further.
const TRIES: u32 = 4;
/// Bytes by which a base must get further for the count to begin anew.
const GAIN: u64 = 1 << 20;

/// Wrong chunks after which a base is out; one is forgotten for so many good bytes.
const MOST_LIES: u32 = 6;
/// Good bytes that make up for a wrong chunk.
const FORGIVEN: u64 = 16 << 20;
/// How many rests longer than after one failure a base rests that holds the others up.
const SLOW: u32 = 2;

/// A base that is asked.
pub(super) struct Base {
    /// Its number among the places of the job.
    pub(super) place: usize,
    pub(super) url: SafeUrl,
    pub(super) scope: Scope,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    failures: u32,
    gained: u64,
    /// It got further by that much since it failed last.
    moving: bool,
    rests_since: Option<Instant>,
    rests_until: Option<Instant>,
    out: Option<Out>,
    etag: Option<String>,
    given: u64,
    /// Wrong chunks that were not made up for, and good bytes since.
    lies: u32,
    good: u64,
    /// Wrong ranges that nobody was told of yet.
    untold: Vec<Range<u64>>,
    /// How often it held the others up.
    slow: u32,
    /// The shortest time from a request to its answer's first byte.
    nearest: Option<Duration>,
}

/// Why a base is asked no more.
pub(super) enum Out {
    /// It has no ranges, or another version of the file.
    Unranged,
    /// A problem.
    Problem(Problem),
}

impl Base {
    pub(super) fn new(place: usize, url: SafeUrl, scope: Scope, etag: Option<String>) -> Self {
        Self { place, url, scope, state: Mutex::new(State { etag, ..State::default() }) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The version that it said it has.
    pub(super) fn etag(&self) -> Option<String> {
        self.state().etag.clone()
    }

    /// Takes the version that an answer names; `false` if it is another than before.
    pub(super) fn is_same(&self, etag: Option<&str>) -> bool {
        // A weak one says that bytes may differ, and can't be asked for with a range.
        let Some(etag) = etag.filter(|etag| !etag.starts_with("W/") && etag.len() <= 256) else { return true };
        self.state().etag.get_or_insert_with(|| etag.to_owned()) == etag
    }

    /// Bytes came.
    pub(super) fn gave(&self, bytes: u64) {
        let mut state = self.state();
        state.given = state.given.saturating_add(bytes);
        state.gained = state.gained.saturating_add(bytes);
        if state.gained >= GAIN {
            (state.gained, state.failures, state.moving) = (0, 0, true);
        }
        state.good = state.good.saturating_add(bytes);
        if state.good >= FORGIVEN {
            (state.good, state.lies) = (0, state.lies.saturating_sub(1));
        }
    }

    /// These ranges of the blob came wrong. It rests, unless there is nobody else to ask and it was the first time; after too
    /// many it is out.
    pub(super) fn lied(&self, ranges: Vec<Range<u64>>, alone: bool, pause: &dyn Fn(u32) -> Duration) {
        let mut state = self.state();
        let Some(last) = ranges.last().cloned() else { return };
        state.untold.extend(ranges);
        (state.lies, state.good) = (state.lies + 1, 0);
        if state.lies >= MOST_LIES {
            let found = Found::Range { from: last.start, to: last.end };
            state.out.get_or_insert(Out::Problem(Problem::Wrong(found)));
        } else if !alone || state.lies > 1 {
            state.rests_until = Some(Instant::now() + pause(state.lies));
        }
    }

    /// Wrong ranges since this was asked.
    pub(super) fn take_lies(&self) -> Vec<Range<u64>> {
        std::mem::take(&mut self.state().untold)
    }

    /// A second request for what it was asked for was faster.
    pub(super) fn is_slow(&self, pause: &dyn Fn(u32) -> Duration) {
        let mut state = self.state();
        state.slow += 1;
        state.rests_until = Some(Instant::now() + pause(state.slow.saturating_add(SLOW)));
    }

    /// An answer began after so long; the shortest such time so far.
    pub(super) fn answered_after(&self, first: Duration) -> Duration {
        let mut state = self.state();
        let nearest = state.nearest.map_or(first, |nearest| nearest.min(first));
        state.nearest = Some(nearest);
        nearest
    }

    /// Bytes that came from it.
    pub(super) fn given(&self) -> u64 {
        self.state().given
    }

    /// How long it is to be left alone; none: it is asked no more.
    pub(super) fn rest(&self, now: Instant) -> Option<Duration> {
        let state = self.state();
        if state.out.is_some() {
            return None;
        }
        Some(state.rests_until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now)))
    }

    /// A request that began then failed. `pause` says how long to rest after so many failures; `others`: whether other
    /// bases are there to be asked meanwhile.
    pub(super) fn failed(
        &self,
        problem: Problem,
        began: Instant,
        others: bool,
        pause: &dyn Fn(u32, &Problem) -> Duration,
    ) {
        let mut state = self.state();
        if !is_transient(&problem) {
            state.out.get_or_insert(Out::Problem(problem));
            return;
        }
        // Several requests that are cut off together are one failure.
        if state.rests_since.is_some_and(|since| since >= began) {
            return;
        }
        state.failures += 1;
        // A stall has cost its time: another place is asked before this one is again.
        let stalled = matches!(problem, Problem::Http(HttpError::Stalled { .. } | HttpError::TooSlow { .. }));
        let enough = if stalled { others || state.failures >= 2 } else { state.failures >= TRIES };
        if enough {
            state.out.get_or_insert(Out::Problem(problem));
            return;
        }
        let now = Instant::now();
        // One that gets on between two breaks is asked for the rest at once, unless it asks to be left alone.
        let at_once = std::mem::take(&mut state.moving) && is_break(&problem);
        state.rests_since = Some(now);
        state.rests_until = Some(if at_once { now } else { now + pause(state.failures, &problem) });
    }

    /// It is asked no more.
    pub(super) fn leave(&self, out: Out) {
        self.state().out.get_or_insert(out);
    }

    /// Why it is asked no more, taken away.
    pub(super) fn take_out(&self) -> Option<Out> {
        self.state().out.take()
    }
}

/// Whether a connection broke, rather than that a server said something.
fn is_break(problem: &Problem) -> bool {
    matches!(problem, Problem::Short { .. } | Problem::Http(HttpError::Unreachable { .. }))
}

/// Whether the same place may do better when it is asked again.
pub(in crate::fetch) fn is_transient(problem: &Problem) -> bool {
    match problem {
        Problem::Http(error) => error.is_transient(),
        Problem::Hub(problem) => problem.is_transient(),
        Problem::Short { .. } => true,
        Problem::Read(_) | Problem::Absent | Problem::Wrong(_) => false,
    }
}
