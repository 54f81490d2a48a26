//! What could stand next on a command line: names that this machine knows already. Asks no network and changes nothing.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::index::Gate;
use crate::lock::{Found, Lock};
use crate::manifest::{DependencySource, Manifest};
use crate::ops::project::{self, Project};
use crate::ops::registries::Registries;
use crate::ops::{Services, search};
use crate::progress::Silent;

/// Nodes of an index that are read at most: a shell waits for the answer.
const NODES: usize = 300;
/// Most words that are offered.
const MOST: usize = 500;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Where to look for Model.toml; there may be none.
    pub start: PathBuf,
    /// What kind of word is wanted.
    pub wanted: Wanted,
    /// What stands there already.
    pub typed: String,
}

/// Kinds of words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Keys of Model.toml.
    Keys,
    /// What Model.lock holds: keys and names.
    Locked,
    /// Packages of the registries.
    Packages,
    /// Groups of Model.toml.
    Groups,
    /// Profiles of Model.toml.
    Profiles,
    /// Registries of Model.toml.
    Registries,
}

/// Words that begin as typed, sorted. What can't be read offers nothing: a shell that waits is no place for errors.
pub fn run(services: &Services, request: &Request) -> Vec<String> {
    let project = project::find(&request.start).map(|folder| Project::open(&folder).ok());
    let project = project.ok().flatten();
    let manifest = project.as_ref().map(|project| project.manifest.clone()).unwrap_or_default();
    let words: BTreeSet<String> = match request.wanted {
        Wanted::Keys => keys(&manifest),
        Wanted::Locked => {
            let lock = project.and_then(|project| project.lock().ok().flatten()).map(|found| match found {
                Found::Whole(lock) | Found::Conflict { merged: lock } => lock,
            });
            keys(&manifest).into_iter().chain(lock.iter().flat_map(locked)).collect()
        }
        Wanted::Packages => packages(services, request, manifest),
        Wanted::Groups => {
            manifest.dependencies.iter().filter_map(|one| one.group.as_ref()).map(ToString::to_string).collect()
        }
        Wanted::Profiles => manifest.profiles.into_keys().collect(),
        Wanted::Registries => manifest.registries.keys().map(ToString::to_string).collect(),
    };
    words.into_iter().filter(|word| word.starts_with(&request.typed)).take(MOST).collect()
}

fn keys(manifest: &Manifest) -> BTreeSet<String> {
    manifest.dependencies.iter().map(|dependency| dependency.key.to_string()).collect()
}

fn locked(lock: &Lock) -> Vec<String> {
    lock.packages.keys().map(|id| id.package.name.to_string()).collect()
}

fn packages(services: &Services, request: &Request, mut manifest: Manifest) -> BTreeSet<String> {
    if manifest.registries.is_empty() {
        search::bind_builtin(&mut manifest);
    }
    let folder = project::find(&request.start).unwrap_or_else(|_| request.start.clone());
    let mut names: BTreeSet<String> = BTreeSet::new();
    for dependency in &manifest.dependencies {
        if let DependencySource::Registry { package, .. } = &dependency.source {
            names.insert(package.to_string());
        }
    }
    let quiet = services.quietly();
    let ids: Vec<_> = manifest.registries.keys().cloned().collect();
    let mut registries = Registries::new(&quiet, &folder, &manifest, None, Gate::Locked);
    for id in ids {
        if let Ok(registry) = registries.open(&id) {
            names.extend(registry.names_at_hand(NODES).iter().map(ToString::to_string));
        }
    }
    names
}

impl Services {
    /// The same world, whose notices nobody hears.
    fn quietly(&self) -> Self {
        Self {
            now: self.now,
            folders: self.folders.clone(),
            config: self.config.clone(),
            http: self.http.clone(),
            hub: self.hub.clone(),
            progress: std::sync::Arc::new(Silent),
            ask: std::sync::Arc::clone(&self.ask),
            cancel: self.cancel.clone(),
        }
    }
}
