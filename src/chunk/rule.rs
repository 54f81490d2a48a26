//! How large the chunks of a blob are, by its name and size.

use crate::chunk::MAX_CHUNK;
use crate::model::RelPath;

/// Smallest blob that `publish` makes an index for, in bytes.
pub const INDEXED_FROM: u64 = 8 << 20;
/// Average chunk of text and tables, in bytes: rows change one by one.
const ROWS: u32 = 64 << 10;
/// Average chunk of everything else, in bytes.
const OTHER: u32 = 128 << 10;
/// Most average chunks of a blob; where it has more, the average doubles.
const MOST: u64 = 3 << 16;
/// Largest average chunk, in bytes.
const LARGEST: u32 = 4 << 20;
/// Most chunks of an index that `publish` writes.
pub const MAX_WRITTEN: usize = 1 << 18;
/// What files of rows are called.
const ROWS_NAMES: &[&str] = &["arrow", "csv", "feather", "json", "jsonl", "md", "ndjson", "parquet", "tsv", "txt"];

/// Sizes of the chunks of a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CutRule {
    average: u32,
}

impl CutRule {
    /// The rule for a file of a release: its path's ending and its size in bytes decide. None: it is too large for an index.
    pub fn of(path: &RelPath, size: u64) -> Option<Self> {
        let name = path.file_name().to_ascii_lowercase();
        let rows = name.rsplit_once('.').is_some_and(|(_, ending)| ROWS_NAMES.contains(&ending));
        let mut average = if rows { ROWS } else { OTHER };
        while size.div_ceil(u64::from(average)) > MOST {
            average = average.checked_mul(2).filter(|average| *average <= LARGEST)?;
        }
        Some(Self { average })
    }

    /// The average chunk, in bytes: a power of two.
    pub fn average(self) -> u32 {
        self.average
    }

    /// The smallest chunk that is cut by content, in bytes; a border is not nearer to another either.
    pub fn smallest(self) -> u32 {
        self.average / 4
    }

    /// The largest chunk, in bytes.
    pub fn largest(self) -> u32 {
        self.average.saturating_mul(4).min(MAX_CHUNK)
    }
}
