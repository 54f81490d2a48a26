//! What the resolver knows of the world: listings of packages, or their verified absence.

use std::collections::BTreeMap;

use crate::catalog::{PackageLog, ReleaseEvent};
use crate::model::{PackageRef, Sha256, Version};

/// A release of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedRelease {
    /// The release event.
    pub event: ReleaseEvent,
    /// Digest of the yank record in force, if it is yanked.
    pub yanked: Option<Sha256>,
}

/// All releases of one package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// The package, its name as published.
    pub package: PackageRef,
    /// Releases by version.
    pub releases: BTreeMap<Version, ListedRelease>,
}

impl Listing {
    /// The listing that a log amounts to.
    pub fn of(package: PackageRef, log: &PackageLog) -> Self {
        todo!()
    }
}

/// Listings by package; `None` is a verified absence.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// What was looked up.
    pub listings: BTreeMap<PackageRef, Option<Listing>>,
}
