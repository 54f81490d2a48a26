//! What the resolver knows of the world: listings of packages, or their verified absence.

use std::collections::BTreeMap;

use crate::catalog::{PackageLog, ReleaseEvent, YankAction};
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
    /// The listing that a log amounts to: the last event about a version decides whether it is yanked.
    pub fn of(package: PackageRef, log: &PackageLog) -> Self {
        let listed = |event: &ReleaseEvent| ListedRelease { event: event.clone(), yanked: None };
        let mut releases: BTreeMap<Version, ListedRelease> =
            log.releases.iter().map(|(event, _)| (event.version.clone(), listed(event))).collect();
        for event in &log.yanks {
            if let Some(release) = releases.get_mut(&event.version) {
                release.yanked = match event.action {
                    YankAction::Yank => Some(event.record),
                    YankAction::Unyank => None,
                };
            }
        }
        Self { package, releases }
    }
}

/// Listings by package; `None` is a verified absence.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// What was looked up.
    pub listings: BTreeMap<PackageRef, Option<Listing>>,
}
