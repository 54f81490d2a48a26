//! The store: the machine's content-addressed blobs, shared by all projects (docs/formats/store.md).
//!
//! Takes only [`Verified`]. Owns `store/v1/`. Refuses to know packages, projects (beyond the roots that keep blobs) and
//! networks.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::diagnose::{Class, Code, Diagnose};
use crate::model::{Pin, Sha256, Timestamp};
use crate::sys::{Cancel, Clock};
use crate::verify::Verified;

/// The store.
#[derive(Debug, Clone)]
pub struct Store {
    folder: PathBuf,
}

/// A blob that the store holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where its file is.
    pub path: PathBuf,
    /// What it is.
    pub pin: Pin,
}

/// What a collection did, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Collected {
    /// Blobs removed.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Blobs that roots keep.
    pub kept_blobs: u64,
    /// Their bytes.
    pub kept_bytes: u64,
    /// Partial downloads and leftovers removed.
    pub leftovers: u64,
}

/// Why the store can't do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Placeholder variant; the room's owner replaces it.
    #[error("placeholder")]
    Placeholder,
}

impl Diagnose for StoreError {
    fn code(&self) -> Code {
        Code("E0701")
    }
    fn class(&self) -> Class {
        Class::Yours
    }
}

impl Store {
    /// Opens the store in `folder` (`…/mpm/store`), creating it where it is missing.
    ///
    /// # Errors
    /// The folder can't be made, or its layout is of another version.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        todo!()
    }

    /// The folder that was opened.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where partial downloads and staged files live, on the store's file system.
    pub fn staging(&self) -> PathBuf {
        self.folder.join("v1/partial")
    }

    /// The blob, if it is there with the recorded size, mtime and inode. Where those differ, or the user is root, it is
    /// hashed again; one that fails is set aside and counts as missing.
    ///
    /// # Errors
    /// The store can't be read.
    pub fn find(&self, pin: &Pin) -> Result<Option<Entry>, StoreError> {
        todo!()
    }

    /// The pins that are missing.
    ///
    /// # Errors
    /// The store can't be read.
    pub fn missing(&self, pins: &BTreeSet<Pin>) -> Result<BTreeSet<Pin>, StoreError> {
        todo!()
    }

    /// Takes a verified blob.
    ///
    /// # Errors
    /// The disk is full, or the store can't be written.
    pub fn insert(&self, blob: Verified) -> Result<Entry, StoreError> {
        todo!()
    }

    /// Takes many blobs with shared barriers.
    ///
    /// # Errors
    /// As for one.
    pub fn insert_all(&self, blobs: Vec<Verified>) -> Result<Vec<Entry>, StoreError> {
        todo!()
    }

    /// Reads a small blob whole, hashed against its pin.
    ///
    /// # Errors
    /// It is not there, larger than `cap`, or other bytes.
    pub fn read(&self, pin: &Pin, cap: u64) -> Result<Option<Vec<u8>>, StoreError> {
        todo!()
    }

    /// Puts small bytes (a statement, a file list) into the store as a blob.
    ///
    /// # Errors
    /// The store can't be written.
    pub fn put_bytes(&self, bytes: &[u8]) -> Result<Pin, StoreError> {
        todo!()
    }

    /// Records that a project's lock keeps these blobs, seen at `now`.
    ///
    /// # Errors
    /// The store can't be written.
    pub fn keep(&self, project: &Path, digests: &BTreeSet<Sha256>, now: Timestamp) -> Result<(), StoreError> {
        todo!()
    }

    /// Removes what no root keeps and leftovers of dead processes. A project that can't be reached keeps its roots for 30
    /// days; one that is gone (its folder is there, its lock is not) keeps nothing.
    ///
    /// # Errors
    /// The store can't be read or written, or somebody holds its lease.
    pub fn collect(&self, now: Timestamp, dry_run: DryRun) -> Result<Collected, StoreError> {
        todo!()
    }

    /// Number of blobs and their bytes.
    ///
    /// # Errors
    /// The store can't be read.
    pub fn size(&self) -> Result<(u64, u64), StoreError> {
        todo!()
    }

    /// Hashes every blob on all cores; returns those that are not what their name says.
    ///
    /// # Errors
    /// The store can't be read.
    pub fn verify(
        &self,
        cancel: &Cancel,
        progress: &dyn crate::progress::Progress,
    ) -> Result<Vec<BadBlob>, StoreError> {
        todo!()
    }

    /// Removes a blob that failed, so that it is fetched again.
    ///
    /// # Errors
    /// The store can't be written.
    pub fn discard(&self, digest: &Sha256) -> Result<(), StoreError> {
        todo!()
    }
}

/// Whether a change is made or only told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DryRun {
    /// Only told.
    Yes,
    /// Made.
    No,
}

/// A blob whose bytes are not what its name says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadBlob {
    /// Its file.
    pub path: PathBuf,
    /// Its name.
    pub expected: Sha256,
    /// The digest of its bytes; none: it can't be read.
    pub found: Option<Sha256>,
}
