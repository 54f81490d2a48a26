//! Reading an index: compiled in, folder, bundle, git, sparse; one reader behind five ways to get files (docs/formats/index.md).
//!
//! Applies TRUST.md's client rules: walks roots, checks the checkpoint against memory and floor, follows hashes. Keeps the
//! memory of each registry under its first root. Refuses to know blobs, the store and the project.

mod builtin;
mod builtin_table;
mod carrier;
mod error;
mod folder;
mod git;
mod memory;
mod origin;
mod reader;
mod sparse;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::manifest::IndexAddress;
use crate::model::{Fingerprint, Floor, PublicKey, RegistryId, SafeUrl, Sha256, Timestamp};
use crate::progress::Progress;
use crate::statement::Statement;
use crate::sys::{BlobReader, HttpClient, Scope};

pub use carrier::Carrier;
pub use error::IndexError;
pub use memory::{Memory, Remembered};
pub use origin::{Freshness, Origin, OriginError};
pub use reader::{Carried, CarriedHead, Extent, Familiarity, Head, Names, Registry, Walk, Walked, origin};

/// Fingerprint of the first root of the registry that is compiled in.
pub fn builtin_root() -> Sha256 {
    // An empty table has no root; its place is taken by a digest that no root has.
    Sha256::parse(builtin_table::ROOT).unwrap_or_else(|_| Sha256::from_bytes([0; 32]))
}

/// The files of an index in a folder.
pub fn folder(root: &Path) -> Arc<dyn Origin> {
    Arc::new(folder::Folder::new(root))
}

/// Which registry is opened, and how much is asked of it.
#[derive(Debug, Clone)]
pub struct Opening {
    /// Its id.
    pub id: RegistryId,
    /// Digest of its first root.
    pub root: Sha256,
    /// A later root that must be met.
    pub root_at: Option<(u64, Sha256)>,
    /// Where its index is; folders absolute.
    pub address: IndexAddress,
    /// Copies of it that are asked first, in order.
    pub mirrors: Vec<IndexAddress>,
    /// The lock's floor, if there is one.
    pub floor: Option<Floor>,
    /// New trust, or what a lock already pins.
    pub gate: Gate,
    /// What the site says about checkpoints that are carried in.
    pub air_gap: AirGap,
}

/// What a site behind an air gap says. Only its own configuration does: no project, no index, no bundle.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AirGap {
    /// How old, in seconds since it was issued, a file may be that has expired.
    pub max_staleness: Option<u64>,
    /// The key that signs import records; with it, only checkpoints that such a record names are accepted.
    pub import_key: Option<PublicKey>,
}

/// Whether expiry stops or warns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// `add`, `lock`, `update`, first trust, key changes: expiry stops.
    NewTrust,
    /// `sync` of an unchanged lock: expiry warns.
    Locked,
}

/// What reading works with.
pub struct World<'a> {
    /// The client; offline, it opens nothing and stored state must do.
    pub http: &'a HttpClient,
    /// Trust state of all registries.
    pub trust: PathBuf,
    /// Copies of indexes that can be made again.
    pub cache: PathBuf,
    /// The time, read once.
    pub now: Timestamp,
    /// Takes notices.
    pub progress: &'a dyn Progress,
}

/// A statement that a threshold of publishers signed for exactly this package and version.
#[derive(Debug, Clone)]
pub struct VerifiedStatement {
    /// What it says.
    pub statement: Statement,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Who signed.
    pub signers: BTreeSet<Fingerprint>,
}

/// Where a registry's blobs can be had, resolved against its index.
#[derive(Clone)]
pub enum Base {
    /// Over HTTP(S), and which addresses may be met on the way.
    Http(SafeUrl, Scope),
    /// A folder.
    Folder(PathBuf),
    /// The object database of the fetched commit, or the binary.
    Objects(Arc<dyn BlobReader>),
}
