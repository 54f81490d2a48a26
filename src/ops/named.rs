//! What a name on the command line means in a lock: a dependency's key, a package's name, a repository of the hub.

use std::collections::BTreeSet;

use crate::lock::{Lock, SourceId, Target};
use crate::model::{DependencyKey, HubId, PackageId, nearest};
use crate::ops::PipelineError;

/// A name as it is typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Name {
    /// A dependency by its key, or a package by its name wherever it stands in the lock.
    Key(DependencyKey),
    /// A repository of the hub, at whatever revisions the lock has it.
    Hub(HubId),
}

/// What the lock has under a name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Named {
    /// Releases.
    pub(super) releases: BTreeSet<PackageId>,
    /// Sources.
    pub(super) sources: BTreeSet<SourceId>,
}

impl Name {
    fn typed(&self) -> String {
        match self {
            Self::Key(key) => key.to_string(),
            Self::Hub(id) => id.name(),
        }
    }
}

/// What the lock has under a name.
///
/// # Errors
/// `E0912`: nothing.
pub(super) fn find(lock: &Lock, name: &Name) -> Result<Named, PipelineError> {
    let mut named = Named::default();
    match name {
        Name::Hub(id) => {
            let same = |other: &&SourceId| {
                other.hub().is_some_and(|other| other.kind == id.kind && other.repository == id.repository)
            };
            named.sources = lock.sources.keys().filter(same).cloned().collect();
        }
        Name::Key(key) => {
            let same = |id: &&PackageId| id.package.name.as_str() == key.as_str();
            named.releases = lock.packages.keys().filter(same).cloned().collect();
            for (_, target) in lock.direct.iter().filter(|((other, _), _)| other == key) {
                match target {
                    Target::Release(id) => drop(named.releases.insert(id.clone())),
                    Target::Source(id) => drop(named.sources.insert(id.clone())),
                }
            }
        }
    }
    if named == Named::default() { Err(unknown(lock, &name.typed())) } else { Ok(named) }
}

fn unknown(lock: &Lock, typed: &str) -> PipelineError {
    let keys = lock.direct.keys().map(|(key, _)| key.to_string());
    let names = lock.packages.keys().map(|id| id.package.name.to_string());
    let hubs = lock.sources.keys().filter_map(|id| id.hub().map(HubId::name));
    let known: Vec<String> = keys.chain(names).chain(hubs).collect();
    let mut near: Vec<String> =
        nearest(typed, known.iter().map(String::as_str)).into_iter().map(str::to_owned).collect();
    near.dedup();
    PipelineError::NotLocked { name: typed.to_owned(), near }
}
