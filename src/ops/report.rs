//! What outcomes have in common: changes of a lock, lines about packages, bytes that travel.

use std::collections::BTreeSet;

use crate::model::{Fingerprint, PackageKind, RelPath, VariantName};

/// One difference between two locks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// `registry:namespace/name`, or a source id.
    pub what: String,
    /// Version or revision before; none: added.
    pub from: Option<String>,
    /// Version or revision after; none: removed.
    pub to: Option<String>,
    /// Bytes of all files before.
    pub bytes_before: u64,
    /// Bytes of all files after.
    pub bytes_after: u64,
    /// Signers before.
    pub signers_before: BTreeSet<Fingerprint>,
    /// Signers after.
    pub signers_after: BTreeSet<Fingerprint>,
}

/// One package of a project, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageLine {
    /// `registry:namespace/name@version`, or a source id.
    pub id: String,
    /// The name, or the source id.
    pub name: String,
    /// Version, or revision.
    pub version: String,
    /// Model or dataset.
    pub kind: PackageKind,
    /// The dependency's key, if it is direct.
    pub key: Option<String>,
    /// Variants chosen.
    pub variants: Vec<VariantName>,
    /// Where it lands, relative to the project; none: not selected.
    pub folder: Option<RelPath>,
    /// Bytes selected.
    pub bytes: u64,
    /// Files selected.
    pub files: u64,
    /// Who signed; empty for sources.
    pub signers: BTreeSet<Fingerprint>,
}

/// Bytes that travelled, or would.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Travel {
    /// Blobs brought from places.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Blobs that the store had.
    pub reused_blobs: u64,
    /// Their bytes.
    pub reused_bytes: u64,
    /// Bytes free where the store is.
    pub free: u64,
}
