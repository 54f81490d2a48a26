//! Where chunks end: at content, so that an insertion moves the cuts along with the bytes.

use std::sync::LazyLock;

use crate::chunk::{ChunkError, ChunkHash, ChunkHasher, ChunkList, CutRule};
use crate::model::{Pin, Sha256};

/// Bytes that the running hash depends on.
const WINDOW: u64 = 64;

/// A number for each byte: the first eight bytes, little-endian, of the sha256 of `mpm.gear/1` and that byte.
static GEAR: LazyLock<Box<[u64; 256]>> = LazyLock::new(|| {
    let mut gear = Box::new([0_u64; 256]);
    for (byte, number) in (0..=u8::MAX).zip(gear.iter_mut()) {
        let mut text = b"mpm.gear/1".to_vec();
        text.push(byte);
        let digest = Sha256::of(&text);
        *number = digest.as_bytes().first_chunk::<8>().map_or(0, |first| u64::from_le_bytes(*first));
    }
    gear
});

/// Cuts a blob whose bytes come in order.
pub struct Cutter {
    rule: CutRule,
    /// Where segments end, falling: the last of the list is the next.
    segments: Vec<u64>,
    /// Bytes that were taken.
    at: u64,
    /// Where the chunk begins.
    start: u64,
    hash: u64,
    strict: u64,
    loose: u64,
}

/// What happens to bytes up to some place.
enum Zone {
    /// Nothing is looked at.
    Skip,
    /// The hash goes on.
    Roll,
    /// The chunk ends where these bits of the hash are zero.
    Find(u64),
}

impl Cutter {
    /// A cutter for `size` bytes. Of `borders`, bytes at which something new begins, those count that are far enough from
    /// the one before and from both ends; in any order.
    pub fn new(rule: CutRule, size: u64, borders: &[u64]) -> Self {
        let mut borders = borders.to_vec();
        borders.sort_unstable();
        let (mut segments, mut last) = (Vec::new(), 0_u64);
        let smallest = u64::from(rule.smallest());
        for border in borders {
            let far = |from: u64, to: u64| to.checked_sub(from).is_some_and(|length| length >= smallest);
            if far(last, border) && far(border, size) {
                segments.push(border);
                last = border;
            }
        }
        segments.push(size);
        segments.reverse();
        let bits = rule.average().trailing_zeros();
        Self {
            rule,
            segments,
            at: 0,
            start: 0,
            hash: 0,
            strict: top(bits.saturating_add(1)),
            loose: top(bits.saturating_sub(1)),
        }
    }

    /// Takes the next bytes; appends to `cuts` how many of them belong to each chunk that ends here, counted from the cut
    /// before or from their begin. Bytes beyond the promised size are a chunk of their own, of any length.
    pub fn push(&mut self, mut bytes: &[u8], cuts: &mut Vec<usize>) {
        let mut open = 0_usize;
        while !bytes.is_empty() {
            let (zone, until) = self.zone();
            let room = usize::try_from(until.saturating_sub(self.at)).unwrap_or(usize::MAX);
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            let found = match zone {
                Zone::Skip => None,
                Zone::Roll => find(&mut self.hash, now, None),
                Zone::Find(mask) => find(&mut self.hash, now, Some(mask)),
            };
            let taken = found.map_or(now.len(), |place| place.saturating_add(1));
            bytes = if found.is_some() { bytes.get(taken..).unwrap_or_default() } else { later };
            self.at = self.at.saturating_add(taken as u64);
            open = open.saturating_add(taken);
            if found.is_some() || self.at >= self.end() {
                cuts.push(open);
                open = 0;
                self.begin();
            }
        }
    }

    fn begin(&mut self) {
        self.start = self.at;
        self.hash = 0;
        while self.segments.last().is_some_and(|end| *end <= self.at) {
            self.segments.pop();
        }
    }

    /// Where the segment ends.
    fn segment(&self) -> u64 {
        self.segments.last().copied().unwrap_or(u64::MAX)
    }

    /// Where the chunk ends at the latest.
    fn end(&self) -> u64 {
        self.segment().min(self.start.saturating_add(u64::from(self.rule.largest())))
    }

    /// What happens to the next bytes, and up to where.
    fn zone(&self) -> (Zone, u64) {
        let end = self.end();
        let smallest = u64::from(self.rule.smallest());
        // A cut at content leaves no tiny chunk before a border.
        let last = end.min(self.segment().saturating_sub(smallest));
        // The chunk may end after the byte in front of `first.saturating_add(1)`.
        let first = self.start.saturating_add(smallest.saturating_sub(1));
        let middle = self.start.saturating_add(u64::from(self.rule.average()).saturating_sub(1));
        let zones = [
            (Zone::Skip, first.saturating_sub(WINDOW.saturating_sub(1))),
            (Zone::Roll, first),
            (Zone::Find(self.strict), middle),
            (Zone::Find(self.loose), last),
        ];
        for (zone, until) in zones {
            let until = until.min(last);
            if self.at < until {
                return (zone, until);
            }
        }
        (Zone::Skip, end.max(self.at.saturating_add(1)))
    }
}

/// The `bits` highest bits.
fn top(bits: u32) -> u64 {
    u64::MAX.checked_shl(64_u32.saturating_sub(bits)).unwrap_or(0)
}

/// Goes on with the hash over `bytes`; the place of the first byte after which the bits of `mask` are zero. Eight bytes at
/// a time, in pairs: it is what publishing costs.
fn find(hash: &mut u64, bytes: &[u8], mask: Option<u64>) -> Option<usize> {
    let gear = &**GEAR;
    let number = |byte: u8| gear.get(usize::from(byte)).copied().unwrap_or(0);
    let one = |hash: u64, byte: u8| (hash << 1).wrapping_add(number(byte));
    let two =
        |hash: u64, first: u8, second: u8| (hash << 2).wrapping_add((number(first) << 1).wrapping_add(number(second)));
    let ends = |hash: u64| mask.is_some_and(|mask| hash & mask == 0);
    let (eights, rest) = bytes.as_chunks::<8>();
    let mut at = 0_usize;
    for eight in eights {
        let [b1, b2, b3, b4, b5, b6, b7, b8] = *eight;
        let (h1, h2) = (one(*hash, b1), two(*hash, b1, b2));
        let (h3, h4) = (one(h2, b3), two(h2, b3, b4));
        let (h5, h6) = (one(h4, b5), two(h4, b5, b6));
        let (h7, h8) = (one(h6, b7), two(h6, b7, b8));
        if ends(h1) | ends(h2) | ends(h3) | ends(h4) | ends(h5) | ends(h6) | ends(h7) | ends(h8) {
            let place = [h1, h2, h3, h4, h5, h6, h7].iter().position(|hash| ends(*hash)).unwrap_or(7);
            return Some(at.saturating_add(place));
        }
        *hash = h8;
        at = at.saturating_add(8);
    }
    for byte in rest {
        *hash = one(*hash, *byte);
        if ends(*hash) {
            return Some(at);
        }
        at = at.saturating_add(1);
    }
    None
}

/// Makes the chunk index of a blob whose bytes come in order.
pub struct Indexer {
    cutter: Cutter,
    hasher: ChunkHasher,
    open: u32,
    chunks: Vec<(u32, ChunkHash)>,
    cuts: Vec<usize>,
}

impl Indexer {
    /// As for [`Cutter::new`].
    pub fn new(rule: CutRule, size: u64, borders: &[u64]) -> Self {
        let cutter = Cutter::new(rule, size, borders);
        Self { cutter, hasher: ChunkHasher::new(), open: 0, chunks: Vec::new(), cuts: Vec::new() }
    }

    /// Takes the next bytes.
    pub fn push(&mut self, mut bytes: &[u8]) {
        self.cuts.clear();
        self.cutter.push(bytes, &mut self.cuts);
        for cut in &self.cuts {
            let Some((chunk, rest)) = bytes.split_at_checked(*cut) else { break };
            self.hasher.update(chunk);
            let length = self.open.saturating_add(u32::try_from(chunk.len()).unwrap_or(u32::MAX));
            self.chunks.push((length, self.hasher.take()));
            (self.open, bytes) = (0, rest);
        }
        self.hasher.update(bytes);
        self.open = self.open.saturating_add(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    }

    /// The list, if all bytes of `blob` came and no others.
    ///
    /// # Errors
    /// `E0233`: more or fewer came, or they make more chunks than an index may have.
    pub fn finish(mut self, blob: Pin) -> Result<ChunkList, ChunkError> {
        if self.open > 0 {
            self.chunks.push((self.open, self.hasher.take()));
        }
        ChunkList::new(blob, self.chunks)
    }
}

#[cfg(test)]
mod tests;
