//! A folder into a release: files gathered, assigned to variants, classified, hashed, stated and signed.
//!
//! `gather` walks, `assign` decides what each file is, `blobs` and `packs` bring the bytes into the registry's base, `indexing`
//! makes chunk indexes of the large ones, `release` states and hands in. Refuses to know Model.toml's text, the lock and the
//! terminal.

mod assign;
mod blobs;
mod error;
mod gather;
mod indexing;
mod packs;
mod release;
#[cfg(test)]
mod tests;

pub use assign::{Assigned, assign};
pub use error::PublishError;
pub use gather::{Gathered, gather};
pub use release::{Facts, Published, Source, publish};
