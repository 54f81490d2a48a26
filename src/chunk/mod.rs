//! Chunk indexes: the hashes of a large blob's chunks, in order (docs/formats/chunk-index.md).
//!
//! `list` is the index, `cut` makes one of bytes, `rule` says how large chunks are.
//!
//! Pure: bytes in, values out. A list makes transfers short and finds a bad range early; it authorises nothing: the whole
//! blob's sha256 decides, whatever its list said.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

mod cut;
mod error;
mod hash;
mod list;
mod rule;
#[cfg(test)]
mod tests;

pub use cut::{Cutter, Indexer};
pub use error::ChunkError;
pub use hash::{ChunkHash, ChunkHasher};
pub use list::{Chunk, ChunkList, MAX_CHUNK, MAX_CHUNKS, MAX_INDEX};
pub use rule::{CutRule, INDEXED_FROM, MAX_WRITTEN};
