//! What the place that a bundle is for is thought to have: a bundle that goes on from there leaves it out.

use std::collections::BTreeSet;

use crate::bundle::{Bundle, Since};
use crate::catalog::ListedRelease;
use crate::model::{CheckpointNumber, PackageName, Pin};

/// What is left out because it is thought to be there.
#[derive(Debug, Clone)]
pub enum Held {
    /// Nothing.
    Nothing,
    /// All of the releases that are wanted and that this checkpoint, or one before it, admitted.
    Checkpoint(CheckpointNumber),
    /// What an earlier bundle holds.
    Bundle(Bundle),
}

impl Held {
    /// Whether the statement of a release is there.
    pub(super) fn has_release(&self, release: &ListedRelease) -> bool {
        match self {
            Self::Nothing => false,
            Self::Checkpoint(at) => release.event.admitted.checkpoint <= *at,
            Self::Bundle(bundle) => {
                bundle.table().files.contains_key(&format!("releases/{}.json", release.event.statement.sha256))
            }
        }
    }

    /// Whether an earlier bundle holds a blob.
    pub(super) fn has_blob(&self, pin: &Pin) -> bool {
        matches!(self, Self::Bundle(bundle) if bundle.table().blob(pin).is_some())
    }

    /// Packages that an earlier bundle holds the logs of: they stay readable under the new checkpoint.
    pub(super) fn packages(&self) -> BTreeSet<PackageName> {
        let Self::Bundle(bundle) = self else { return BTreeSet::new() };
        let name = |path: &String| PackageName::parse(path.strip_prefix("packages/")?.strip_suffix(".jsonl")?).ok();
        bundle.table().files.keys().filter_map(name).collect()
    }

    /// The same as a bundle says it.
    pub(super) fn since(&self) -> Option<Since> {
        match self {
            Self::Nothing => None,
            Self::Checkpoint(checkpoint) => Some(Since { checkpoint: *checkpoint, bundle: None }),
            Self::Bundle(bundle) => {
                Some(Since { checkpoint: bundle.table().head.checkpoint, bundle: Some(bundle.digest()) })
            }
        }
    }
}
