//! One who asks a base for segments, one after the other, over a connection that is kept.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::fetch::segments::Shared;
use crate::fetch::segments::bases::{Base, Out};
use crate::fetch::segments::board::Turn;
use crate::fetch::segments::part::Part;
use crate::fetch::{Found, Problem};
use crate::sys::{ByteRange, HttpError, Lines, RangeBody, blob_path};

/// Time between two looks at what is to be done.
const LOOK: Duration = Duration::from_millis(50);

/// How asking for one segment ended.
enum Flown {
    /// All of it is there.
    Whole,
    /// Nobody wants it any more.
    Settled,
    /// The base does not do ranges, or has another version.
    Unranged,
    Failed(Problem),
    /// These ranges of the blob came wrong.
    Lied(Vec<Range<u64>>),
}

/// Works until there is nothing left to do, or the base is out.
pub(super) async fn work(shared: Arc<Shared>, base: usize) {
    let _present = Present::new(&shared);
    let Some(asked) = shared.bases.get(base) else { return };
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
        let Some(part) = next(&shared, base).await else { return };
        bring(&shared, base, asked, part).await;
    }
}

/// The next segment, with memory for it.
async fn next(shared: &Shared, base: usize) -> Option<Part> {
    loop {
        let turn = shared.board().turn(base, shared.others(base), Instant::now());
        match turn {
            Turn::End => return None,
            Turn::Again(part) => return Some(part),
            Turn::Second(number) => {
                let mut board = shared.board();
                let (offset, length) = board.plan.at(number);
                let part = Part::new(number, offset, shared.memory.spare(length), board.plan.checks(number));
                board.fly(number, base, &part.there, Instant::now());
                return Some(part);
            }
            Turn::Next => {
                if let Some(part) = fresh(shared, base).await {
                    return Some(part);
                }
            }
            Turn::Wait => {
                let _ = tokio::time::timeout(LOOK, shared.moved.notified()).await;
            }
        }
    }
}

/// A segment that nobody had yet; none: something else is to be done first. One at a time: memory goes to segments in their
/// order, so that the front is never without.
async fn fresh(shared: &Shared, base: usize) -> Option<Part> {
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
            }
            return Some(part);
        }
        let board = shared.board();
        if board.ended || board.has_returned() || board.is_late(base, shared.others(base), Instant::now()) {
            return None;
        }
    }
}

/// Asks for what a segment lacks, and says how it went.
async fn bring(shared: &Shared, base: usize, asked: &Base, mut part: Part) {
    let mut began = Instant::now();
    part.ask(base);
    let flown = if part.missing().is_none() {
        Flown::Whole
    } else {
        let permit = race(shared, part.number, Arc::clone(&shared.connections).acquire_owned()).await;
        began = began.max(Instant::now());
        match permit {
            None => Flown::Settled,
            Some(_permit) => {
                shared.board().depart(part.number, began);
                fly(shared, asked, &mut part).await
            }
        }
    };
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
        Flown::Unranged => {
            board.give_back(part);
            asked.leave(Out::Unranged);
        }
        Flown::Failed(problem) => {
            board.give_back(part);
            let pause = |tries: u32, problem: &Problem| shared.pause(tries, problem);
            asked.failed(problem, began, shared.others(base), &pause);
        }
    }
    drop(board);
    shared.moved.notify_waiters();
}

async fn fly(shared: &Shared, asked: &Base, part: &mut Part) -> Flown {
    let Ok(url) = asked.url.below(&blob_path(&shared.pin.sha256)) else {
        let error = std::io::Error::new(std::io::ErrorKind::InvalidInput, "no address can be made of it");
        return Flown::Failed(Problem::Read(error));
    };
    while let Some(missing) = part.missing() {
        let from = part.offset.saturating_add(missing.start as u64);
        let range = ByteRange { from, to: Some(from.saturating_add(missing.len() as u64)) };
        let etag = asked.etag();
        let opened =
            race(shared, part.number, shared.http.open_range(&url, range, etag.as_deref(), asked.scope, Lines::Each))
                .await;
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
        if let Some(ended) = read(shared, asked, part, missing.len(), &mut body).await {
            return ended;
        }
    }
    Flown::Whole
}

/// Reads the bytes of one range. None: they are there.
async fn read(shared: &Shared, asked: &Base, part: &mut Part, length: usize, body: &mut RangeBody) -> Option<Flown> {
    let mut left = length;
    while left > 0 {
        let bytes = match race(shared, part.number, body.chunk()).await {
            None => return Some(Flown::Settled),
            Some(Err(error)) => return Some(Flown::Failed(Problem::Http(error))),
            Some(Ok(None)) => {
                let received = part.offset.saturating_add(part.beginning() as u64);
                return Some(Flown::Failed(Problem::Short { received }));
            }
            Some(Ok(Some(bytes))) => bytes,
        };
        // What comes besides is nobody's: the connection is closed on it.
        let taken = part.take(bytes.get(..bytes.len().min(left)).unwrap_or_default());
        asked.gave(taken as u64);
        left -= taken;
    }
    // Its end has to be seen for the connection to be used again.
    let _ = tokio::time::timeout(LOOK, body.chunk()).await;
    None
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
