//! Which bytes of a pack to ask for.

use std::ops::Range;

/// Bytes between two wanted files that are rather fetched along than asked around.
pub const GAP: u64 = 64 << 10;
/// Most requests for one pack: beyond these the gaps that are fetched along grow.
pub const RANGES: usize = 32;

/// A wanted piece of a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slice {
    /// Offset of its first byte.
    pub offset: u64,
    /// Its bytes.
    pub size: u64,
}

impl Slice {
    /// Offset after its last byte.
    pub fn end(self) -> u64 {
        self.offset.saturating_add(self.size)
    }
}

/// The ranges to ask for, in order, each with at least one byte; none if nothing is wanted. Three quarters of a pack are one
/// request. `slices` are sorted and lie in the pack.
pub fn ranges(pack: u64, slices: &[Slice]) -> Vec<Range<u64>> {
    let wanted = slices.iter().fold(0_u64, |sum, slice| sum.saturating_add(slice.size));
    if wanted == 0 {
        return Vec::new();
    }
    // One request, from the first wanted byte on: what came before a connection broke does not come again.
    let mut gap = if wanted >= pack - pack / 4 { pack } else { GAP };
    loop {
        let found = joined(slices, gap);
        if found.len() <= RANGES {
            return found;
        }
        gap = gap.saturating_mul(2);
    }
}

fn joined(slices: &[Slice], gap: u64) -> Vec<Range<u64>> {
    let mut ranges: Vec<Range<u64>> = Vec::new();
    for slice in slices.iter().filter(|slice| slice.size > 0) {
        match ranges.last_mut() {
            Some(last) if slice.offset <= last.end.saturating_add(gap) => last.end = last.end.max(slice.end()),
            _ => ranges.push(slice.offset..slice.end()),
        }
    }
    ranges
}
