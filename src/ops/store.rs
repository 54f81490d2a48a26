//! `mpm store dir|size|gc`.

use std::path::PathBuf;

use crate::ops::Services;
use crate::store::{Collected, DryRun, Store, StoreError};

/// Where the store is.
pub fn dir(services: &Services) -> PathBuf {
    services.folders.store.clone()
}

/// Number of blobs, and their bytes.
///
/// # Errors
/// The store can't be read.
pub fn size(services: &Services) -> Result<(u64, u64), StoreError> {
    Store::open(&services.folders.store)?.size()
}

/// Removes what no project's lock keeps.
///
/// # Errors
/// The store can't be read or written, or somebody holds its lease.
pub fn gc(services: &Services, dry_run: DryRun) -> Result<Collected, StoreError> {
    Store::open(&services.folders.store)?.collect(services.now, dry_run)
}
