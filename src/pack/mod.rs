//! Packs: which small files travel together, and which bytes of a pack to ask for.
//!
//! A pack is a blob: small files one after the other, and nothing else. What a file is and where it stands in one, the release
//! statement says (docs/formats/statement.md). Pure. Refuses to know files, sockets and who signed.

mod layout;
mod ranges;
#[cfg(test)]
mod tests;

pub use layout::{LEAST, Member, Pack, Part, SMALL, lay_out};
pub use ranges::{GAP, RANGES, Slice, ranges};
