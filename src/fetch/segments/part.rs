//! A segment in memory: what of it is there, what is still to come, and whether it is right.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::chunk::ChunkHash;
use crate::fetch::segments::memory::Buffer;

/// A part of a segment that has a hash of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Check {
    /// Where it is in the segment.
    pub(super) range: Range<usize>,
    pub(super) hash: ChunkHash,
}

/// A segment in memory.
pub(super) struct Part {
    pub(super) number: usize,
    /// Its first byte in the blob.
    pub(super) offset: u64,
    pub(super) buffer: Buffer,
    /// Ranges that are still to come, in order.
    missing: VecDeque<Range<usize>>,
    /// Chunks that are not whole yet, in order; none where the blob has no list.
    unchecked: VecDeque<Check>,
    /// Chunks that came wrong from the base that is asked now.
    bad: Vec<Check>,
    /// Bases that gave wrong bytes for it.
    avoid: Vec<usize>,
    /// Who gave the beginning of the chunk that is not whole yet.
    holder: Option<usize>,
    /// Bytes that are there, for those who look on.
    pub(super) there: Arc<AtomicUsize>,
}

impl Part {
    /// A segment with nothing of it there.
    pub(super) fn new(number: usize, offset: u64, buffer: Buffer, checks: Vec<Check>) -> Self {
        let missing = Some(0..buffer.len()).filter(|range| range.start < range.end).into_iter().collect();
        Self {
            number,
            offset,
            buffer,
            missing,
            unchecked: checks.into(),
            bad: Vec::new(),
            avoid: Vec::new(),
            holder: None,
            there: Arc::default(),
        }
    }

    /// Fills chunks with what the store lends: `read` puts the bytes of the chunk that begins at an offset of the blob where
    /// they belong. Only right ones count.
    pub(super) fn seed(&mut self, read: &mut dyn FnMut(u64, &mut [u8]) -> bool) {
        let checks = std::mem::take(&mut self.unchecked);
        self.missing.clear();
        for check in checks {
            let at = self.offset.saturating_add(check.range.start as u64);
            let lent = self.buffer.bytes_mut().get_mut(check.range.clone());
            if lent.is_some_and(|bytes| read(at, bytes) && ChunkHash::of(bytes) == check.hash) {
                self.there.fetch_add(check.range.len(), Ordering::Relaxed);
                continue;
            }
            self.miss(check);
        }
    }

    /// A chunk is to come, after all that are.
    fn miss(&mut self, check: Check) {
        match self.missing.back_mut() {
            Some(last) if last.end == check.range.start => last.end = check.range.end,
            _ => self.missing.push_back(check.range.clone()),
        }
        self.unchecked.push_back(check);
    }

    /// A base is asked from now on. A chunk that another began is begun anew: whoever gives a wrong one gave all of it.
    pub(super) fn ask(&mut self, base: usize) {
        if self.holder != Some(base)
            && let (Some(missing), Some(check)) = (self.missing.front_mut(), self.unchecked.front())
        {
            let again = missing.start.saturating_sub(check.range.start);
            missing.start -= again;
            self.there.fetch_sub(again, Ordering::Relaxed);
        }
        self.holder = Some(base);
    }

    /// What is to be asked for now.
    pub(super) fn missing(&self) -> Option<Range<usize>> {
        self.missing.front().cloned()
    }

    /// Takes bytes at the beginning of what is missing; returns how many it had use for.
    pub(super) fn take(&mut self, bytes: &[u8]) -> usize {
        let Some(range) = self.missing.front_mut() else { return 0 };
        let count = bytes.len().min(range.len());
        let end = range.start + count;
        if let (Some(to), Some(bytes)) = (self.buffer.bytes_mut().get_mut(range.start..end), bytes.get(..count)) {
            to.copy_from_slice(bytes);
        }
        range.start = end;
        if range.start >= range.end {
            self.missing.pop_front();
        }
        self.there.fetch_add(count, Ordering::Relaxed);
        while let Some(check) = self.unchecked.front().filter(|check| check.range.end <= end).cloned() {
            self.unchecked.pop_front();
            let bytes = self.buffer.as_ref().get(check.range.clone()).unwrap_or_default();
            if ChunkHash::of(bytes) != check.hash {
                self.there.fetch_sub(check.range.len(), Ordering::Relaxed);
                self.bad.push(check);
            }
        }
        count
    }

    /// The chunks that came wrong from this base; they are asked for again, elsewhere if possible.
    pub(super) fn take_bad(&mut self, base: usize) -> Vec<Range<u64>> {
        let bad = std::mem::take(&mut self.bad);
        let ranges = bad
            .iter()
            .map(|check| self.offset + check.range.start as u64..self.offset + check.range.end as u64)
            .collect::<Vec<_>>();
        if bad.is_empty() {
            return ranges;
        }
        if !self.avoid.contains(&base) {
            self.avoid.push(base);
        }
        let mut all: Vec<Check> = bad.into_iter().chain(std::mem::take(&mut self.unchecked)).collect();
        all.sort_by_key(|check| check.range.start);
        self.missing.clear();
        for check in all {
            self.miss(check);
        }
        ranges
    }

    /// Whether this base gave wrong bytes for it.
    pub(super) fn avoids(&self, base: usize) -> bool {
        self.avoid.contains(&base)
    }

    /// How many bytes are there before the first that is missing or not known to be right.
    pub(super) fn beginning(&self) -> usize {
        let missing = self.missing.front().map(|range| range.start);
        let unchecked = self.unchecked.front().map(|check| check.range.start);
        let bad = self.bad.iter().map(|check| check.range.start).min();
        [missing, unchecked, bad].into_iter().flatten().min().unwrap_or(self.buffer.len())
    }
}

#[cfg(test)]
mod tests {
    use crate::chunk::ChunkHash;
    use crate::fetch::segments::memory::Memory;
    use crate::fetch::segments::part::{Check, Part};

    const BYTES: &[u8] = b"aaabbbbccdddd";

    fn part() -> Part {
        let checks = [0..3, 3..7, 7..9, 9..13].map(|range| Check { hash: ChunkHash::of(&BYTES[range.clone()]), range });
        Part::new(0, 100, Memory::new().spare(BYTES.len()), checks.into())
    }

    #[test]
    fn a_wrong_chunk_alone_is_asked_for_again() {
        let mut part = part();
        part.ask(0);
        assert_eq!(part.take(b"aaabb"), 5);
        assert_eq!(part.beginning(), 3, "what is not checked does not count");
        assert_eq!(part.take(b"Xbccdddd more"), 8);
        assert_eq!(part.missing(), None);
        let bad = std::ops::Range { start: 103, end: 107 };
        assert_eq!((part.take_bad(0), part.avoids(0), part.avoids(1)), (vec![bad], true, false));
        assert_eq!((part.missing(), part.beginning()), (Some(3..7), 3));
        part.ask(1);
        assert_eq!(part.take(b"bbbb"), 4);
        assert_eq!((part.take_bad(1), part.missing(), part.beginning()), (vec![], None, 13));
        assert_eq!(part.buffer.as_ref(), BYTES);
    }

    #[test]
    fn a_chunk_is_all_of_one_base() {
        let mut part = part();
        part.ask(0);
        part.take(b"aaabb");
        part.ask(0);
        assert_eq!(part.missing(), Some(5..13), "the same base goes on");
        part.ask(1);
        assert_eq!(part.missing(), Some(3..13), "another begins the chunk anew");
        assert_eq!(part.there.load(std::sync::atomic::Ordering::Relaxed), 3);
    }

    #[test]
    fn what_is_lent_is_not_asked_for_and_wrong_loans_are() {
        let mut part = part();
        part.seed(&mut |at, bytes| {
            let from = usize::try_from(at - 100).expect("small");
            bytes.copy_from_slice(&BYTES[from..from + bytes.len()]);
            if at == 109 {
                bytes[0] = b'X';
            }
            at != 103
        });
        assert_eq!(part.missing(), Some(3..7));
        part.ask(0);
        part.take(b"bbbb");
        assert_eq!(part.missing(), Some(9..13));
        part.take(b"dddd");
        assert_eq!((part.take_bad(0), part.missing()), (vec![], None));
        assert_eq!(part.buffer.as_ref(), BYTES);
    }
}
