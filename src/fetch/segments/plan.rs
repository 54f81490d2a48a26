//! Which segments a blob's missing bytes are brought in.

use crate::fetch::segments::SEGMENT;

/// Segments of a blob, from the first missing byte on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    from: u64,
    size: u64,
}

impl Plan {
    /// Segments of the usual length.
    pub(super) fn plain(from: u64, size: u64) -> Self {
        Self { from, size }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        let left = self.size.saturating_sub(self.from);
        usize::try_from(left.div_ceil(SEGMENT as u64)).unwrap_or(usize::MAX)
    }

    /// Where a segment begins, and its length.
    pub(super) fn at(&self, number: usize) -> (u64, usize) {
        let offset = self.from.saturating_add((number as u64).saturating_mul(SEGMENT as u64));
        let length = self.size.saturating_sub(offset).min(SEGMENT as u64);
        (offset, usize::try_from(length).unwrap_or(SEGMENT))
    }
}

#[cfg(test)]
mod tests {
    use crate::fetch::segments::SEGMENT;
    use crate::fetch::segments::plan::Plan;

    #[test]
    fn segments_follow_each_other_to_the_end() {
        let segment = SEGMENT as u64;
        for (from, size) in [(0, 1), (0, segment), (5, segment), (7, 3 * segment + 9), (4, 4), (9, 4)] {
            let plan = Plan::plain(from, size);
            let mut at = from;
            for number in 0..plan.count() {
                let (offset, length) = plan.at(number);
                assert_eq!(offset, at);
                assert!(length > 0 && length <= SEGMENT);
                at += length as u64;
            }
            assert_eq!(at, size.max(from));
        }
    }
}
