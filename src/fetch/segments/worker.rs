//! One who asks a base for segments, one after the other, over a connection that is kept.
//!
//! Where an answer takes long to begin, one request asks for several segments that follow each other: a run.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::fetch::segments::bases::{Base, Out};
use crate::fetch::segments::board::Turn;
use crate::fetch::segments::memory::BUDGET;
use crate::fetch::segments::part::Part;
use crate::fetch::segments::{SEGMENT, Shared};
use crate::fetch::{Found, Problem};
use crate::sys::{ByteRange, HttpError, Lines, RangeBody, blob_path};

/// Time between two looks at what is to be done.
const LOOK: Duration = Duration::from_millis(50);

/// Most segments of a run.
const LONGEST: usize = 8;

/// What an answer must take to begin for runs to be worth it.
const FAR: Duration = Duration::from_millis(20);

/// How asking for one segment ended.
enum Flown {
    /// All of it is there.
    Whole,
    /// Nobody wants it any more.
    Settled,
    /// It is left for somebody else to take.
    Left,
    /// The base does not do ranges, or has another version.
    Unranged,
    Failed(Problem),
    /// These ranges of the blob came wrong.
    Lied(Vec<Range<u64>>),
}

/// What is known of the way to a base.
#[derive(Default)]
struct Way {
    /// The shortest time from a request to its answer's first byte, of all who ask this base.
    first: Duration,
    /// From there to the end of a segment.
    segment: Duration,
}

impl Way {
    /// Segments that one request is to ask for, when so many ask: waiting for an answer is to cost no more than what it brings,
    /// as far as there is memory.
    fn run(&self, workers: usize) -> usize {
        if self.first < FAR || self.first <= self.segment {
            return 1;
        }
        let wished = self.first.as_micros() / self.segment.as_micros().max(1) + 1;
        let affordable = BUDGET / SEGMENT / workers.max(1);
        usize::try_from(wished).unwrap_or(LONGEST).min(affordable).clamp(1, LONGEST)
    }
}

/// Works until there is nothing left to do, or the base is out.
pub(super) async fn work(shared: Arc<Shared>, base: usize) {
    let _present = Present::new(&shared);
    let Some(asked) = shared.bases.get(base) else { return };
    let mut way = Way::default();
    loop {
        match asked.rest(Instant::now()) {
            None => return,
            Some(rest) if rest.is_zero() => {}
            Some(rest) => {
                if shared.board().ended {
                    return;
                }
                tokio::time::sleep(rest.min(LOOK)).await;
                continue;
            }
        }
        let longest = way.run(shared.workers.load(Ordering::SeqCst));
        if longest > 1 {
            shared.board().stretch(BUDGET / SEGMENT);
        }
        let Some(run) = next(&shared, base, longest).await else { return };
        Errand { shared: &shared, base, asked, way: &mut way, run, over: Bytes::new(), began: Instant::now() }
            .bring()
            .await;
    }
}

/// The next segment, with memory for it, or several that nobody had yet.
async fn next(shared: &Shared, base: usize, longest: usize) -> Option<VecDeque<Part>> {
    loop {
        let turn = shared.board().turn(base, shared.others(base), Instant::now());
        match turn {
            Turn::End => return None,
            Turn::Again(part) => return Some([part].into()),
            Turn::Second(number) => {
                let mut board = shared.board();
                let (offset, length) = board.plan.at(number);
                let part = Part::new(number, offset, shared.memory.spare(length), board.plan.checks(number));
                board.fly(number, base, &part.there, Instant::now());
                return Some([part].into());
            }
            Turn::Next => {
                if let Some(run) = fresh(shared, base, longest).await {
                    return Some(run);
                }
            }
            Turn::Wait => {
                let _ = tokio::time::timeout(LOOK, shared.moved.notified()).await;
            }
        }
    }
}

/// Segments that nobody had yet; none: something else is to be done first. One at a time: memory goes to segments in their
/// order, so that the front is never without.
async fn fresh(shared: &Shared, base: usize, longest: usize) -> Option<VecDeque<Part>> {
    let _taking = tokio::time::timeout(LOOK, shared.taking.lock()).await.ok()?;
    if !shared.board().has_room() {
        return None;
    }
    let length = shared.board().peek().1;
    let mut buffer = std::pin::pin!(shared.memory.take(length));
    loop {
        if let Ok(buffer) = tokio::time::timeout(LOOK, &mut buffer).await {
            let mut part = shared.board().take_next(base, buffer, Instant::now());
            if let Some(lent) = &shared.lent {
                // Reading from the store's disk is work that the runtime has to know of.
                tokio::task::block_in_place(|| part.seed(&mut |at, bytes| lent.read(at, bytes)));
                let there = part.there.load(Ordering::Relaxed);
                shared.lent_bytes.fetch_add(there as u64, Ordering::Relaxed);
                return Some([part].into());
            }
            return Some(lengthened(shared, base, part, longest));
        }
        let board = shared.board();
        if board.ended || board.has_returned() || board.is_late(base, shared.others(base), Instant::now()) {
            return None;
        }
    }
}

/// A run of a segment and those after it, as far as there is memory at once.
fn lengthened(shared: &Shared, base: usize, first: Part, longest: usize) -> VecDeque<Part> {
    let mut run = VecDeque::from([first]);
    let mut board = shared.board();
    while run.len() < longest && board.has_room() {
        let Some(buffer) = shared.memory.take_now(board.peek().1) else { break };
        run.push_back(board.take_next(base, buffer, Instant::now()));
    }
    run
}

/// Asking a base once, or as often as it takes to have what one segment lacks.
struct Errand<'e> {
    shared: &'e Shared,
    base: usize,
    asked: &'e Base,
    way: &'e mut Way,
    /// What is still to come, in order. Only the first may be there in part.
    run: VecDeque<Part>,
    /// What came already of the segment after the last.
    over: Bytes,
    began: Instant,
}

impl Errand<'_> {
    /// Asks for what the segments lack, and says how it went.
    async fn bring(mut self) {
        let Some(first) = self.run.front_mut() else { return };
        first.ask(self.base);
        let flown = if first.missing().is_none() {
            Flown::Whole
        } else {
            let connection = Arc::clone(&self.shared.connections).acquire_owned();
            let permit = race(self.shared, first.number, connection).await;
            match permit {
                None => Flown::Settled,
                Some(_permit) => {
                    self.depart();
                    self.fly().await
                }
            }
        };
        if let Some(part) = self.run.pop_front() {
            self.end(part, flown);
        }
        while let Some(part) = self.run.pop_front() {
            self.end(part, Flown::Left);
        }
    }

    /// The first segment is asked for from now on.
    fn depart(&mut self) {
        self.began = Instant::now();
        if let Some(part) = self.run.front_mut() {
            part.ask(self.base);
            self.shared.board().depart(part.number, self.began);
        }
    }

    /// Says how it went with one segment.
    fn end(&self, mut part: Part, flown: Flown) {
        let (shared, asked, base) = (self.shared, self.asked, self.base);
        let bad = part.take_bad(base);
        let mut board = shared.board();
        let flown = if bad.is_empty() { flown } else { Flown::Lied(bad) };
        match flown {
            Flown::Lied(ranges) => {
                board.give_back(part);
                asked.lied(ranges, !shared.others(base), &|tries| shared.pause(tries, &Problem::Absent));
            }
            Flown::Whole => {
                if board.land(part, Instant::now()) {
                    shared.landed.notify_all();
                }
            }
            Flown::Settled => {
                // Another was asked for the same and was faster: this base holds the others up.
                if board.beaten(part.number) && shared.others(base) {
                    asked.is_slow(&|tries| shared.pause(tries, &Problem::Absent));
                }
                board.give_back(part);
            }
            Flown::Left => board.give_back(part),
            Flown::Unranged => {
                board.give_back(part);
                asked.leave(Out::Unranged);
            }
            Flown::Failed(problem) => {
                board.give_back(part);
                let pause = |tries: u32, problem: &Problem| shared.pause(tries, problem);
                asked.failed(problem, self.began, shared.others(base), &pause);
            }
        }
        drop(board);
        shared.moved.notify_waiters();
    }

    /// Asks until the last segment of the run is there; those before it are ended on the way.
    async fn fly(&mut self) -> Flown {
        let (shared, asked) = (self.shared, self.asked);
        let Ok(url) = asked.url.below(&blob_path(&shared.pin.sha256)) else {
            let error = std::io::Error::new(std::io::ErrorKind::InvalidInput, "no address can be made of it");
            return Flown::Failed(Problem::Read(error));
        };
        while let Some((number, from, length)) = self.lacking() {
            let range = ByteRange { from, to: Some(from.saturating_add(length)) };
            let etag = asked.etag();
            let sent = Instant::now();
            let opened =
                race(shared, number, shared.http.open_range(&url, range, etag.as_deref(), asked.scope, Lines::Each))
                    .await;
            if matches!(opened, Some(Ok(_))) {
                self.way.first = asked.answered_after(sent.elapsed());
            }
            let mut body = match opened {
                None => return Flown::Settled,
                Some(Err(HttpError::Status { status: 404 | 410, .. })) => return Flown::Failed(Problem::Absent),
                Some(Err(error)) => return Flown::Failed(Problem::Http(error)),
                Some(Ok(body)) => body,
            };
            if let Some(total) = body.total().filter(|total| *total != shared.pin.size) {
                return Flown::Failed(Problem::Wrong(Found::Size(total)));
            }
            if body.status() != 206 || !asked.is_same(body.etag()) {
                return Flown::Unranged;
            }
            // What came besides of the answer before is nobody's: its connection was closed on it.
            self.over = Bytes::new();
            if let Some(ended) = self.read(&mut body).await {
                return ended;
            }
        }
        Flown::Whole
    }

    /// The first segment that lacks something, where in the blob that begins, and how many bytes one request can bring: what
    /// follows in this segment, and the segments after it.
    fn lacking(&self) -> Option<(usize, u64, u64)> {
        let part = self.run.front()?;
        let missing = part.missing()?;
        let after: usize = self.run.iter().skip(1).map(|part| part.buffer.len()).sum();
        let length = missing.len().saturating_add(after);
        Some((part.number, part.offset.saturating_add(missing.start as u64), length as u64))
    }

    /// Reads the bytes of one request. None: they are there.
    async fn read(&mut self, body: &mut RangeBody) -> Option<Flown> {
        loop {
            let since = Instant::now();
            if let Some(ended) = self.read_one(body).await {
                return Some(ended);
            }
            self.way.segment = since.elapsed();
            if self.run.len() < 2 {
                break;
            }
            let part = self.run.pop_front()?;
            // Where a chunk of it is wrong, what follows may be right all the same.
            self.end(part, Flown::Whole);
            self.depart();
        }
        // Its end has to be seen for the connection to be used again.
        let _ = tokio::time::timeout(LOOK, body.chunk()).await;
        None
    }

    /// Reads what the request brings of the first segment.
    async fn read_one(&mut self, body: &mut RangeBody) -> Option<Flown> {
        let part = self.run.front_mut()?;
        let mut left = part.missing().map_or(0, |missing| missing.len());
        while left > 0 {
            if self.over.is_empty() {
                self.over = match race(self.shared, part.number, body.chunk()).await {
                    None => return Some(Flown::Settled),
                    Some(Err(error)) => return Some(Flown::Failed(Problem::Http(error))),
                    Some(Ok(None)) => {
                        let received = part.offset.saturating_add(part.beginning() as u64);
                        return Some(Flown::Failed(Problem::Short { received }));
                    }
                    Some(Ok(Some(bytes))) => bytes,
                };
            }
            let bytes = self.over.split_to(self.over.len().min(left));
            let taken = part.take(&bytes);
            self.asked.gave(taken as u64);
            left -= taken;
        }
        None
    }
}

/// A future's answer, unless nobody wants the segment first.
async fn race<F: Future>(shared: &Shared, number: usize, future: F) -> Option<F::Output> {
    let mut future = std::pin::pin!(future);
    loop {
        let mut moved = std::pin::pin!(shared.moved.notified());
        moved.as_mut().enable();
        if shared.board().settled(number) {
            return None;
        }
        tokio::select! {
            biased;
            answer = &mut future => return Some(answer),
            () = moved => {}
        }
    }
}

/// Counts those who work.
struct Present<'s>(&'s Shared);

impl<'s> Present<'s> {
    fn new(shared: &'s Shared) -> Self {
        Self(shared)
    }
}

impl Drop for Present<'_> {
    fn drop(&mut self) {
        self.0.workers.fetch_sub(1, Ordering::SeqCst);
        self.0.landed.notify_all();
    }
}
