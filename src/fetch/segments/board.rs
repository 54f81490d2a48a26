//! Who does what of one blob: segments that are to be taken, on their way, landed, written.
//!
//! Plain state behind a lock, without sockets and threads. Segments are taken from the front on, so that what is written is
//! always a beginning of the blob, and what is held is little.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::fetch::segments::memory::Buffer;
use crate::fetch::segments::part::Part;
use crate::fetch::segments::plan::Plan;

/// Durations that the usual one is told from.
const REMEMBERED: usize = 15;
/// How many times the usual duration makes a request late.
const LATE: u32 = 4;
/// No request is late before this, where another base can be asked…
const SOON: Duration = Duration::from_millis(250);
/// …and where only the same one can.
const LATER: Duration = Duration::from_secs(2);

/// A segment on its way.
struct Flight {
    since: Instant,
    base: usize,
    /// Requests for it.
    count: usize,
    there: Arc<AtomicUsize>,
}

/// What there is to do for somebody who asks one base.
pub(super) enum Turn {
    /// One that was given back.
    Again(Part),
    /// The next.
    Next,
    /// One that is late: ask for it a second time.
    Second(usize),
    /// Nothing, at this moment.
    Wait,
    /// Nothing any more.
    End,
}

/// The state of one blob.
pub(super) struct Board {
    pub(super) plan: Plan,
    /// The next to be written.
    front: usize,
    /// The next that nobody has taken.
    next: usize,
    returned: BTreeMap<usize, Part>,
    flying: BTreeMap<usize, Flight>,
    landed: BTreeMap<usize, Part>,
    took: VecDeque<Duration>,
    /// Segments that may be in memory.
    window: usize,
    /// Answers take long to begin.
    pub(super) far: bool,
    /// Somebody ended it.
    pub(super) ended: bool,
}

impl Board {
    pub(super) fn new(plan: Plan, window: usize) -> Self {
        Self {
            plan,
            front: 0,
            next: 0,
            returned: BTreeMap::new(),
            flying: BTreeMap::new(),
            landed: BTreeMap::new(),
            took: VecDeque::new(),
            window,
            far: false,
            ended: false,
        }
    }

    /// What somebody who asks this base is to do. `others`: whether other bases could be asked too.
    pub(super) fn turn(&mut self, base: usize, others: bool, now: Instant) -> Turn {
        if self.ended || self.front >= self.plan.count() {
            Turn::End
        } else if let Some(part) = self.take_returned(base, others) {
            self.fly(part.number, base, &part.there, now);
            Turn::Again(part)
        } else if self.is_late(base, others, now) {
            Turn::Second(self.front)
        } else if self.has_room() {
            Turn::Next
        } else {
            Turn::Wait
        }
    }

    /// The first that was given back, but none that this base gave wrong bytes for while others are there.
    fn take_returned(&mut self, base: usize, others: bool) -> Option<Part> {
        let fits = |part: &Part| !others || !part.avoids(base);
        let number = *self.returned.iter().find(|(_, part)| fits(part))?.0;
        self.returned.remove(&number)
    }

    /// Whether there is a segment that nobody has taken, and that is near enough to the front.
    pub(super) fn has_room(&self) -> bool {
        !self.ended && self.next < self.plan.count() && self.next < self.front.saturating_add(self.window)
    }

    /// The way is long: so many segments may be in memory from now on, if not more already.
    pub(super) fn stretch(&mut self, segments: usize) {
        self.window = self.window.max(segments);
        self.far = true;
    }

    /// Where the next segment begins that nobody has taken, and its length.
    pub(super) fn peek(&self) -> (u64, usize) {
        self.plan.at(self.next)
    }

    /// Takes the next segment, with memory for it.
    pub(super) fn take_next(&mut self, base: usize, buffer: Buffer, now: Instant) -> Part {
        let part = Part::new(self.next, self.plan.at(self.next).0, buffer, self.plan.checks(self.next));
        self.fly(self.next, base, &part.there, now);
        self.next += 1;
        part
    }

    /// Whether one was given back.
    pub(super) fn has_returned(&self) -> bool {
        !self.returned.is_empty()
    }

    /// Its request goes out now: what it waited for before was not the base.
    pub(super) fn depart(&mut self, number: usize, now: Instant) {
        if let Some(flight) = self.flying.get_mut(&number).filter(|flight| flight.count == 1) {
            flight.since = now;
        }
    }

    /// Whether the front is worth a second request: it takes far longer than usual.
    pub(super) fn is_late(&self, base: usize, others: bool, now: Instant) -> bool {
        let Some(flight) = self.flying.get(&self.front).filter(|flight| flight.count == 1) else { return false };
        let least = if others && flight.base != base { SOON } else { LATER };
        // While nobody knows what is usual, nothing is late: a line may be slow.
        let Some(usual) = self.usual() else { return false };
        let late = usual.saturating_mul(LATE).max(least);
        now.saturating_duration_since(flight.since) >= late
    }

    /// The median of the last durations.
    fn usual(&self) -> Option<Duration> {
        let mut sorted: Vec<Duration> = self.took.iter().copied().collect();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied()
    }

    /// A segment is on its way.
    pub(super) fn fly(&mut self, number: usize, base: usize, there: &Arc<AtomicUsize>, now: Instant) {
        let flight = self.flying.entry(number).or_insert_with(|| Flight {
            since: now,
            base,
            count: 0,
            there: Arc::clone(there),
        });
        flight.count += 1;
    }

    /// Whether its bytes are there already, or nobody wants any.
    pub(super) fn settled(&self, number: usize) -> bool {
        self.ended || number < self.front || self.landed.contains_key(&number)
    }

    /// Whether somebody else brought it.
    pub(super) fn beaten(&self, number: usize) -> bool {
        !self.ended && self.settled(number)
    }

    /// A segment is whole. Whether it is news.
    pub(super) fn land(&mut self, part: Part, now: Instant) -> bool {
        let flight = self.flying.remove(&part.number);
        if part.number < self.front || self.landed.contains_key(&part.number) {
            return false;
        }
        if let Some(flight) = flight {
            if self.took.len() >= REMEMBERED {
                self.took.pop_front();
            }
            self.took.push_back(now.saturating_duration_since(flight.since));
        }
        self.landed.insert(part.number, part);
        true
    }

    /// Somebody could not bring it. What is there of it stays, unless another is still at it.
    pub(super) fn give_back(&mut self, part: Part) {
        if let Some(flight) = self.flying.get_mut(&part.number) {
            flight.count = flight.count.saturating_sub(1);
            if flight.count > 0 {
                return;
            }
            self.flying.remove(&part.number);
        }
        if part.number >= self.front && !self.landed.contains_key(&part.number) {
            self.returned.insert(part.number, part);
        }
    }

    /// The segment that is to be written now, if it is there.
    pub(super) fn pop(&mut self) -> Option<Part> {
        let part = self.landed.remove(&self.front)?;
        self.front += 1;
        Some(part)
    }

    /// Whether the segment that is to be written now is there.
    pub(super) fn is_next_here(&self) -> bool {
        self.landed.contains_key(&self.front)
    }

    /// Whether everything is written.
    pub(super) fn is_done(&self) -> bool {
        self.front >= self.plan.count()
    }

    /// Bytes in memory.
    pub(super) fn held(&self) -> u64 {
        let part = |part: &Part| part.there.load(Ordering::Relaxed);
        let landed: usize = self.landed.values().map(part).sum();
        let returned: usize = self.returned.values().map(part).sum();
        let flying: usize = self.flying.values().map(|flight| flight.there.load(Ordering::Relaxed)).sum();
        (landed + returned + flying) as u64
    }

    /// What is there of the front after all have given back what they had.
    pub(super) fn rest(&mut self) -> Option<Part> {
        self.returned.remove(&self.front)
    }
}
