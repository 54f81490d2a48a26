//! Blobs into the store: from places, and from folders that are sources.

use crate::store::StoreError;
use crate::verify::Mismatch;

/// Why a blob that landed was not taken.
#[derive(Debug)]
pub(super) enum Broken {
    /// Other bytes.
    Mismatch(Mismatch),
    /// The store.
    Store(StoreError),
}
