//! Which segments a blob's missing bytes are brought in.

use std::sync::Arc;

use crate::chunk::ChunkList;
use crate::fetch::segments::SEGMENT;
use crate::fetch::segments::part::Check;

/// Segments of a blob, from the first missing byte on.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    from: u64,
    size: u64,
    chunked: Option<Chunked>,
}

/// Segments of whole chunks.
#[derive(Debug, Clone)]
struct Chunked {
    list: Arc<ChunkList>,
    /// The first chunk of each segment, and the number of chunks.
    starts: Vec<usize>,
}

impl Plan {
    /// Segments of the usual length.
    pub(super) fn plain(from: u64, size: u64) -> Self {
        Self { from, size, chunked: None }
    }

    /// Segments of whole chunks: as many as come to the usual length, and at least one. `from` is where a chunk begins.
    pub(super) fn chunked(from: u64, list: &Arc<ChunkList>) -> Self {
        let size = list.blob().size;
        let first = list.at(from).unwrap_or(list.len());
        let (mut starts, mut length) = (vec![first], 0_u64);
        for number in first..list.len() {
            let more = list.get(number).map_or(0, |chunk| u64::from(chunk.length));
            if length > 0 && length + more > SEGMENT as u64 {
                starts.push(number);
                length = 0;
            }
            length += more;
        }
        if first < list.len() {
            starts.push(list.len());
        }
        Self { from, size, chunked: Some(Chunked { list: Arc::clone(list), starts }) }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        match &self.chunked {
            Some(chunked) => chunked.starts.len().saturating_sub(1),
            None => usize::try_from(self.size.saturating_sub(self.from).div_ceil(SEGMENT as u64)).unwrap_or(usize::MAX),
        }
    }

    /// Where a segment begins, and its length.
    pub(super) fn at(&self, number: usize) -> (u64, usize) {
        let plain = self.from.saturating_add((number as u64).saturating_mul(SEGMENT as u64));
        let (offset, end) = self.chunked.as_ref().map_or_else(
            || (plain, plain.saturating_add(SEGMENT as u64).min(self.size)),
            |chunked| (chunked.start(number, self.size), chunked.start(number.saturating_add(1), self.size)),
        );
        (offset, usize::try_from(end.saturating_sub(offset)).unwrap_or(0))
    }

    /// The chunks of a segment.
    pub(super) fn checks(&self, number: usize) -> Vec<Check> {
        let Some(chunked) = &self.chunked else { return Vec::new() };
        let (Some(first), Some(end)) = (chunked.starts.get(number), chunked.starts.get(number.saturating_add(1)))
        else {
            return Vec::new();
        };
        let mut at = 0;
        let check = |chunk: crate::chunk::Chunk| {
            let start = at;
            at += usize::try_from(chunk.length).unwrap_or(0);
            Check { range: start..at, hash: chunk.hash }
        };
        (*first..*end).filter_map(|number| chunked.list.get(number)).map(check).collect()
    }
}

impl Chunked {
    fn start(&self, number: usize, size: u64) -> u64 {
        self.starts.get(number).and_then(|chunk| self.list.get(*chunk)).map_or(size, |chunk| chunk.offset)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::chunk::{ChunkHash, ChunkList};
    use crate::fetch::segments::SEGMENT;
    use crate::fetch::segments::plan::Plan;
    use crate::model::{Pin, Sha256};

    fn check(plan: &Plan, from: u64, size: u64, most: usize) {
        let mut at = from;
        for number in 0..plan.count() {
            let (offset, length) = plan.at(number);
            assert_eq!(offset, at);
            assert!(length > 0 && length <= most);
            at += length as u64;
            let checks = plan.checks(number);
            assert!(checks.is_empty() || checks.last().expect("one").range.end == length);
        }
        assert_eq!(at, size.max(from));
    }

    #[test]
    fn segments_follow_each_other_to_the_end() {
        let segment = SEGMENT as u64;
        for (from, size) in [(0, 1), (0, segment), (5, segment), (7, 3 * segment + 9), (4, 4), (9, 4)] {
            check(&Plan::plain(from, size), from, size, SEGMENT);
        }
    }

    #[test]
    fn segments_of_chunks_are_whole_chunks() {
        let lengths = [300_000, 800_000, 1, 5_000_000, 2, 1 << 20, 70_000];
        let size = lengths.iter().map(|length| u64::from(*length)).sum();
        let blob = Pin { sha256: Sha256::of(b"x"), size };
        let hash = ChunkHash::of(b"x");
        let list = Arc::new(ChunkList::new(blob, lengths.map(|length| (length, hash))).expect("a list"));
        let plan = Plan::chunked(0, &list);
        check(&plan, 0, size, 5_000_000);
        assert_eq!((0..plan.count()).map(|number| plan.checks(number).len()).collect::<Vec<_>>(), [1, 2, 1, 1, 1, 1]);
        check(&Plan::chunked(1_100_000, &list), 1_100_000, size, 5_000_000);
        assert_eq!(Plan::chunked(size, &list).count(), 0);
    }
}
