//! Large blobs over several connections, in segments that are taken in turn, so that the front moves in order.
//!
//! What is written is always a beginning of the blob: a partial download is a file and nothing else. Segments that land
//! before their turn wait in memory, of which a run has a bounded amount. Workers are tasks of the runtime, each with a base
//! and a connection of its own; the thread that called writes.

mod bases;
mod board;
mod lent;
mod memory;
mod part;
mod plan;
mod worker;

use std::ops::Range;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;

use crate::chunk::ChunkList;
use crate::fetch::{Problem, Seeds};
use crate::model::{Pin, SafeUrl};
use crate::sys::{HttpClient, Piece, Scope, block_on};

pub(super) use bases::is_transient;
pub(super) use memory::Memory;

use bases::{Base, Out};
use board::Board;
use lent::Lent;
use part::Part;
use plan::Plan;

/// Bytes of a segment: large enough that a request costs little beside it, small enough that few are lost and held.
pub(super) const SEGMENT: usize = 1 << 20;
/// From so many missing bytes on a blob is brought in segments.
pub(super) const LEAST: u64 = 4 << 20;
/// Connections that a download begins with.
const FIRST: usize = 2;
/// Most connections of one download to one base.
const MOST: usize = 8;
/// Time between two looks at a wish to stop, and at what is there.
const LOOK: Duration = Duration::from_millis(50);
/// Time over which a speed is measured before more connections are tried: on a long line, some round trips.
const MEASURED: Duration = Duration::from_millis(250);
/// How long those who work are waited for when a download ends early.
const FAREWELL: Duration = Duration::from_millis(500);

/// What all downloads of a run share.
#[derive(Clone)]
pub(super) struct Common {
    pub(super) memory: Arc<Memory>,
    /// Connections at a time.
    pub(super) connections: Arc<Semaphore>,
    pub(super) most: usize,
}

impl Common {
    pub(super) fn new(connections: usize) -> Self {
        Self { memory: Memory::new(), connections: Arc::new(Semaphore::new(connections)), most: connections }
    }
}

/// A base to ask, and what is known of it.
pub(super) struct Source {
    /// Its number among the places of the job.
    pub(super) place: usize,
    pub(super) url: SafeUrl,
    pub(super) scope: Scope,
    /// The version that the bytes so far are of.
    pub(super) etag: Option<String>,
}

/// What one download is about.
pub(super) struct Wanted<'a> {
    pub(super) http: &'a HttpClient,
    pub(super) pin: Pin,
    /// The first byte that is missing; where there is a list, a chunk begins there.
    pub(super) from: u64,
    /// The chunks that it is made of. Each is compared as it lands, so that several bases can be asked at once.
    pub(super) list: Option<&'a Arc<ChunkList>>,
    /// What the store lends of them.
    pub(super) seeds: &'a Seeds,
    pub(super) common: &'a Common,
    pub(super) stopped: &'a dyn Fn() -> bool,
    /// How long to rest after so many failures.
    pub(super) pause: fn(&HttpClient, &Pin, u32, &Problem) -> Duration,
}

/// Who takes what comes.
pub(super) trait Sink {
    /// What stops it.
    type Error;

    /// The next bytes of the blob.
    fn write(&mut self, piece: Piece) -> Result<(), Self::Error>;

    /// So many bytes more need not be fetched.
    fn kept(&mut self, bytes: u64);

    /// So many bytes are here, written or not.
    fn reached(&mut self, bytes: u64);

    /// The version that a base says it has.
    fn version(&mut self, place: usize, etag: &str) -> Result<(), Self::Error>;

    /// A base gave other bytes than the list says for this range of the blob.
    fn lied(&mut self, place: usize, range: Range<u64>);
}

/// How bringing ended.
pub(super) enum Ended {
    /// As many bytes are there as are pinned.
    Whole,
    /// Each base that is out, and why. Those that are not listed do not do ranges, or have another version now: they can be
    /// asked for the whole in one stream.
    Failed(Vec<(usize, Problem)>),
    /// Somebody wished to stop.
    Stopped,
}

/// Places, and how many bytes they gave.
pub(super) type Given = Vec<(usize, u64)>;

/// What the workers of one download share.
struct Shared {
    http: HttpClient,
    pin: Pin,
    bases: Vec<Base>,
    board: Mutex<Board>,
    /// Something landed, or somebody left.
    landed: Condvar,
    /// The state changed.
    moved: Notify,
    taking: tokio::sync::Mutex<()>,
    memory: Arc<Memory>,
    lent: Option<Lent>,
    /// Bytes that were lent and not told of.
    lent_bytes: AtomicU64,
    connections: Arc<Semaphore>,
    workers: AtomicUsize,
    pause: fn(&HttpClient, &Pin, u32, &Problem) -> Duration,
}

impl Shared {
    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether other bases are asked besides this one.
    fn others(&self, base: usize) -> bool {
        let now = Instant::now();
        self.bases.iter().enumerate().any(|(number, other)| number != base && other.rest(now).is_some())
    }

    fn pause(&self, tries: u32, problem: &Problem) -> Duration {
        (self.pause)(&self.http, &self.pin, tries, problem)
    }
}

/// Brings what is missing from these bases. Returns how it ended, and the places that gave bytes, and how many.
pub(super) fn bring<S: Sink>(
    wanted: &Wanted<'_>,
    sources: Vec<Source>,
    sink: &mut S,
) -> Result<(Ended, Given), S::Error> {
    let bases: Vec<Base> =
        sources.into_iter().map(|source| Base::new(source.place, source.url, source.scope, source.etag)).collect();
    let most = wanted.common.most.clamp(1, MOST + bases.len().saturating_sub(1));
    let plan = match wanted.list {
        Some(list) => Plan::chunked(wanted.from, list),
        None => Plan::plain(wanted.from, wanted.pin.size),
    };
    let board = Board::new(plan, 2 * most + 2);
    let shared = Arc::new(Shared {
        http: wanted.http.clone(),
        pin: wanted.pin,
        bases,
        board: Mutex::new(board),
        landed: Condvar::new(),
        moved: Notify::new(),
        taking: tokio::sync::Mutex::new(()),
        memory: Arc::clone(&wanted.common.memory),
        lent_bytes: AtomicU64::new(0),
        lent: wanted.list.and_then(|list| Lent::new(list, wanted.seeds)),
        connections: Arc::clone(&wanted.common.connections),
        workers: AtomicUsize::new(0),
        pause: wanted.pause,
    });
    let mut crew = Crew { shared: Arc::clone(&shared), tasks: JoinSet::new(), most };
    crew.begin();
    let mut writer = Writer { shared: &shared, sink, written: wanted.from, told: Vec::new() };
    let ended = writer.go(wanted.stopped, &mut crew);
    crew.dismiss();
    writer.look()?;
    let given = shared.bases.iter().filter(|base| base.given() > 0).map(|base| (base.place, base.given())).collect();
    let ended = ended?;
    if !matches!(ended, Ended::Whole) {
        writer.rest()?;
    }
    Ok((ended, given))
}

/// Those who work.
struct Crew {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
    most: usize,
}

impl Crew {
    fn begin(&mut self) {
        let bases = self.shared.bases.len();
        let each = (self.most / bases.max(1)).clamp(1, FIRST);
        for base in (0..bases).flat_map(|base| std::iter::repeat_n(base, each)) {
            self.hire(base);
        }
    }

    /// So many more, up to the most, who ask the base that gave most so far and is still asked: what a line needs is found in
    /// a few steps.
    fn hire_more(&mut self, count: usize) {
        let now = Instant::now();
        let bases = self.shared.bases.iter().enumerate().filter(|(_, base)| base.rest(now).is_some());
        if let Some((base, _)) = bases.max_by_key(|(_, base)| base.given()) {
            let there = self.tasks.len();
            for _ in there..there.saturating_add(count).min(self.most) {
                self.hire(base);
            }
        }
    }

    fn hire(&mut self, base: usize) {
        self.shared.workers.fetch_add(1, Ordering::SeqCst);
        let shared = Arc::clone(&self.shared);
        // Spawning needs the runtime around it.
        block_on(async { drop(self.tasks.spawn(worker::work(shared, base))) });
    }

    /// Has them give back what they have, and waits for that a moment.
    fn dismiss(&mut self) {
        self.shared.board().ended = true;
        self.shared.moved.notify_waiters();
        block_on(async {
            let all = async { while self.tasks.join_next().await.is_some() {} };
            let _ = tokio::time::timeout(FAREWELL, all).await;
            self.tasks.abort_all();
        });
    }
}

/// Adds connections while that brings more.
struct Pace {
    since: Instant,
    bytes: u64,
    before: f64,
    grows: bool,
}

/// By how much more a connection must bring to be worth it.
const WORTH: f64 = 1.1;

impl Pace {
    fn new() -> Self {
        Self { since: Instant::now(), bytes: 0, before: 0.0, grows: true }
    }

    /// Whether another connection is worth trying, after so many bytes.
    fn wants_more(&mut self, bytes: u64) -> bool {
        self.bytes += bytes;
        let spent = self.since.elapsed();
        if !self.grows || spent < MEASURED {
            return false;
        }
        #[expect(clippy::cast_precision_loss, reason = "a speed")]
        let speed = self.bytes as f64 / spent.as_secs_f64();
        self.grows = speed >= self.before * WORTH;
        (self.since, self.bytes, self.before) = (Instant::now(), 0, speed);
        self.grows
    }
}

/// The thread that writes.
struct Writer<'w, S> {
    shared: &'w Shared,
    sink: &'w mut S,
    written: u64,
    /// Bases whose version was told.
    told: Vec<usize>,
}

impl<S: Sink> Writer<'_, S> {
    fn go(&mut self, stopped: &dyn Fn() -> bool, crew: &mut Crew) -> Result<Ended, S::Error> {
        if self.shared.board().is_done() {
            return Ok(Ended::Whole);
        }
        let (mut pace, mut looked) = (Pace::new(), Instant::now());
        loop {
            if stopped() {
                return Ok(Ended::Stopped);
            }
            let part = self.wait();
            let landed = part.is_some();
            if let Some(part) = part {
                let bytes = part.buffer.len() as u64;
                self.write(part)?;
                if self.shared.board().is_done() {
                    return Ok(Ended::Whole);
                }
                // Where an answer takes long to begin, all that may ask are worth it, and finding that out would take long too.
                let far = std::mem::take(&mut self.shared.board().far) && pace.grows;
                if pace.wants_more(bytes) || far {
                    crew.hire_more(if far { crew.most } else { crew.tasks.len() });
                }
            }
            if looked.elapsed() >= LOOK {
                looked = Instant::now();
                self.look()?;
            }
            if !landed && self.shared.workers.load(Ordering::SeqCst) == 0 && !self.shared.board().is_next_here() {
                return Ok(self.outcome());
            }
        }
    }

    /// The segment that is to be written now, if it comes soon.
    fn wait(&self) -> Option<Part> {
        let mut board = self.shared.board();
        if let Some(part) = board.pop() {
            return Some(part);
        }
        board = self.shared.landed.wait_timeout(board, LOOK).unwrap_or_else(PoisonError::into_inner).0;
        board.pop()
    }

    fn write(&mut self, part: Part) -> Result<(), S::Error> {
        // There is room for another.
        self.shared.moved.notify_waiters();
        self.written += part.buffer.len() as u64;
        self.sink.write(Box::new(part.buffer))
    }

    fn look(&mut self) -> Result<(), S::Error> {
        let lent = self.shared.lent_bytes.swap(0, Ordering::Relaxed);
        if lent > 0 {
            self.sink.kept(lent);
        }
        let held = self.shared.board().held();
        self.sink.reached(self.written.saturating_add(held).min(self.shared.pin.size));
        for (number, base) in self.shared.bases.iter().enumerate() {
            if !self.told.contains(&number)
                && let Some(etag) = base.etag()
            {
                self.told.push(number);
                self.sink.version(base.place, &etag)?;
            }
            for range in base.take_lies() {
                self.sink.lied(base.place, range);
            }
        }
        Ok(())
    }

    /// Everybody left before the end.
    fn outcome(&self) -> Ended {
        let problem = |base: &Base| match base.take_out() {
            Some(Out::Problem(problem)) => Some((base.place, problem)),
            Some(Out::Unranged) | None => None,
        };
        Ended::Failed(self.shared.bases.iter().filter_map(problem).collect())
    }

    /// Writes what follows of what came, though not all did.
    fn rest(&mut self) -> Result<(), S::Error> {
        loop {
            let part = self.shared.board().pop();
            match part {
                Some(part) => self.write(part)?,
                None => break,
            }
        }
        let rest = self.shared.board().rest();
        if let Some(mut part) = rest {
            let length = part.beginning();
            part.buffer.cut(length);
            if length > 0 {
                self.write(part)?;
            }
        }
        Ok(())
    }
}
