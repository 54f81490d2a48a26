//! `mpm store dir|size|gc`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::lock::{Found, Lock};
use crate::model::{Pin, Sha256};
use crate::ops::services::WAIT;
use crate::ops::{PipelineError, ProjectError, Services, project};
use crate::statement::{FileEntry, Files, MAX_LIST, MAX_STATEMENT, Statement, parse_list};
use crate::store::{Collected, DryRun, Rules, Store, StoreError};

/// What is asked of a collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Only what was not used for so long.
    pub older_than: Option<Duration>,
    /// Only until the store is no larger than so many bytes.
    pub max_size: Option<u64>,
    /// Model.lock files whose blobs are kept, absolute.
    pub keep_locks: Vec<PathBuf>,
    /// Only tell.
    pub dry_run: DryRun,
    /// How long to wait for another collection.
    pub wait: Duration,
}

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

/// Number of blobs, and their bytes, of each layer.
///
/// # Errors
/// A layer can't be read.
pub fn sizes_of_layers(services: &Services) -> Result<Vec<(PathBuf, u64, u64)>, StoreError> {
    let store = services.store(WAIT)?;
    let size = |folder: &Path| store.size_of_layer(folder).map(|(blobs, bytes)| (folder.to_owned(), blobs, bytes));
    store.layers().map(size).collect()
}

/// Removes what no project's lock keeps, and no rule spares.
///
/// # Errors
/// The store can't be read or written, somebody holds its lease, or a lock that was named can't be read.
pub fn gc(services: &Services, request: &Request) -> Result<Collected, PipelineError> {
    let store = services.store(request.wait)?;
    let mut keep = BTreeSet::new();
    for path in &request.keep_locks {
        keep_lock(services, &store, path, &mut keep)?;
    }
    let rules = Rules { older_than: request.older_than, max_size: request.max_size, keep, dry_run: request.dry_run };
    Ok(store.collect_by(&rules, services.now, &services.cancel)?)
}

/// Adds every blob that a lock can lead to: all variants, for the lock does not say which are chosen.
fn keep_lock(
    services: &Services,
    store: &Store,
    path: &Path,
    keep: &mut BTreeSet<Sha256>,
) -> Result<(), PipelineError> {
    let text = project::read_text(path)?
        .ok_or_else(|| ProjectError::Read { path: path.to_owned(), source: std::io::ErrorKind::NotFound.into() })?;
    let lock = match Lock::parse(&text)? {
        Found::Whole(lock) | Found::Conflict { merged: lock } => lock,
    };
    for (id, locked) in &lock.packages {
        keep.insert(locked.statement.sha256);
        if !keep_release(store, &locked.statement, keep)? {
            services.progress.warn(
                "unknown-release",
                format!("what {id} holds can't be told, since the store does not have what describes it: its blobs are not kept"),
            );
        }
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    for locked in lock.sources.values() {
        keep.extend(project::locked_files(folder, locked).iter().map(|file| file.pin.sha256));
    }
    Ok(())
}

/// Adds the blobs of a release; `false` if the store lacks its statement, or a file list.
fn keep_release(store: &Store, statement: &Pin, keep: &mut BTreeSet<Sha256>) -> Result<bool, PipelineError> {
    let Some(bytes) = store.read(statement, MAX_STATEMENT)? else { return Ok(false) };
    match Statement::parse(&bytes)?.files {
        Files::Inline(files) => keep.extend(files.iter().flat_map(digests)),
        Files::Lists(lists) => {
            for list in &lists {
                keep.insert(list.pin.sha256);
                let Some(bytes) = store.read(&list.pin, MAX_LIST)? else { return Ok(false) };
                keep.extend(parse_list(&bytes, list)?.iter().flat_map(digests));
            }
        }
    }
    Ok(true)
}

/// A file and its chunk index.
fn digests(file: &FileEntry) -> impl Iterator<Item = Sha256> {
    [Some(file.pin), file.chunks].into_iter().flatten().map(|pin| pin.sha256)
}
