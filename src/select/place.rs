//! Where each dependency lands (docs/formats/manifest.md).

use std::collections::{BTreeMap, BTreeSet};

use crate::lock::{Lock, Target};
use crate::manifest::{Dependency, Manifest};
use crate::model::{PackageId, PackageKind, PackageName, PathError, PathSet, RegistryId, RelPath};
use crate::select::choice::{chosen, needed, target};
use crate::select::{Choice, Origin, SelectError};

/// A folder to fill.
pub(super) struct Landing<'a> {
    pub(super) origin: Origin,
    pub(super) kind: PackageKind,
    pub(super) dependency: Option<&'a Dependency>,
    pub(super) folder: RelPath,
}

impl Landing<'_> {
    /// The dependency for messages: its key, or its id if only others need it.
    pub(super) fn name(&self) -> String {
        self.dependency.map_or_else(|| self.origin.to_string(), |dependency| dependency.key.to_string())
    }
}

/// All folders of a choice: every chosen key, then every release that only others need.
pub(super) fn landings<'a>(
    manifest: &'a Manifest,
    lock: &Lock,
    choice: &Choice,
) -> Result<Vec<Landing<'a>>, SelectError> {
    let mut landings = Vec::new();
    let mut done = BTreeSet::new();
    for dependency in chosen(manifest, choice) {
        let Some(target) = target(lock, dependency) else {
            return Err(SelectError::NotLocked { key: dependency.key.clone(), line: dependency.line });
        };
        let landing = direct(manifest, lock, dependency, target)?;
        done.insert(landing.origin.clone());
        landings.push(landing);
    }
    let directs = directs(manifest, lock);
    let shared = shared_names(lock);
    for id in needed(manifest, lock, choice).0 {
        if done.contains(&Origin::Release(id.clone())) {
            continue;
        }
        // A release that also has a key is at its key, whether or not this choice names the key: a folder does not move.
        landings.push(match directs.get(&id) {
            Some(dependency) => direct(manifest, lock, dependency, &Target::Release(id))?,
            None => transitive(manifest, lock, &shared, id)?,
        });
    }
    distinct(&landings)?;
    Ok(landings)
}

fn direct<'a>(
    manifest: &Manifest,
    lock: &Lock,
    dependency: &'a Dependency,
    target: &Target,
) -> Result<Landing<'a>, SelectError> {
    let (origin, found) = match target {
        Target::Release(id) => (Origin::Release(id.clone()), lock.packages.get(id).map(|package| package.kind)),
        Target::Source(id) => (Origin::Source(id.clone()), lock.sources.get(id).map(|source| source.kind)),
    };
    let (key, line, expected) = (dependency.key.clone(), dependency.line, dependency.kind);
    let found = found.ok_or_else(|| SelectError::NotLocked { key: key.clone(), line })?;
    if found != expected {
        return Err(SelectError::Kind { key, expected, found, line });
    }
    let folder = match &dependency.to {
        Some(folder) => folder.clone(),
        None => below(manifest, expected, key.as_str()).map_err(|source| SelectError::Place {
            of: key.to_string(),
            folder: key.to_string(),
            source,
        })?,
    };
    Ok(Landing { origin, kind: expected, dependency: Some(dependency), folder })
}

fn transitive<'a>(
    manifest: &Manifest,
    lock: &Lock,
    shared: &BTreeSet<&PackageName>,
    id: PackageId,
) -> Result<Landing<'a>, SelectError> {
    let kind = lock
        .packages
        .get(&id)
        .map(|package| package.kind)
        .ok_or_else(|| SelectError::NotLoaded { of: id.to_string() })?;
    let (name, registry) = (&id.package.name, &id.package.registry);
    let text = if shared.contains(name) {
        format!(".deps/{registry}/{name}@{}", id.version)
    } else {
        format!(".deps/{name}@{}", id.version)
    };
    let folder = below(manifest, kind, &text).map_err(|source| SelectError::Place {
        of: id.to_string(),
        folder: text,
        source,
    })?;
    Ok(Landing { origin: Origin::Release(id), kind, dependency: None, folder })
}

fn below(manifest: &Manifest, kind: PackageKind, path: &str) -> Result<RelPath, PathError> {
    let folder = match kind {
        PackageKind::Model => &manifest.install.models,
        PackageKind::Dataset => &manifest.install.datasets,
    };
    folder.join(&RelPath::parse(path)?)
}

/// The dependency that a release lands at, for every release that has a key: of several, the first in the main
/// dependencies, else in the groups.
fn directs<'m>(manifest: &'m Manifest, lock: &Lock) -> BTreeMap<PackageId, &'m Dependency> {
    let mut dependencies: Vec<&Dependency> = manifest.dependencies.iter().collect();
    dependencies.sort_by_key(|dependency| (&dependency.group, &dependency.key));
    let mut directs = BTreeMap::new();
    for dependency in dependencies {
        if let Some(Target::Release(id)) = target(lock, dependency) {
            directs.entry(id.clone()).or_insert(dependency);
        }
    }
    directs
}

/// Names that packages of two registries share, anywhere in the lock: a choice of groups moves no folder.
fn shared_names(lock: &Lock) -> BTreeSet<&PackageName> {
    let mut registries: BTreeMap<&PackageName, BTreeSet<&RegistryId>> = BTreeMap::new();
    for id in lock.packages.keys() {
        registries.entry(&id.package.name).or_default().insert(&id.package.registry);
    }
    registries.into_iter().filter(|(_, registries)| registries.len() > 1).map(|(name, _)| name).collect()
}

/// No folder is another or lies in another, on any file system.
fn distinct(landings: &[Landing<'_>]) -> Result<(), SelectError> {
    let mut folders = PathSet::new();
    for landing in landings {
        folders.insert(&landing.folder).map_err(|source| SelectError::Clash {
            of: landing.name(),
            folder: landing.folder.to_string(),
            source,
        })?;
    }
    Ok(())
}
