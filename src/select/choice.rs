//! Which dependencies a choice means, and what they lead to.

use std::collections::BTreeSet;

use crate::lock::{Lock, SourceId, Target};
use crate::manifest::{Dependency, Manifest};
use crate::model::{DependencyKey, GroupName, PackageId, nearest};
use crate::select::{Choice, Groups, SelectError};

/// Releases and sources of the lock that a choice needs (groups and keys, with all that they lead to). What the lock does
/// not have is left out; [`crate::select::select`] names it.
pub fn needed(manifest: &Manifest, lock: &Lock, choice: &Choice) -> (BTreeSet<PackageId>, BTreeSet<SourceId>) {
    let (mut releases, mut sources) = (BTreeSet::new(), BTreeSet::new());
    let mut waiting: Vec<&PackageId> = Vec::new();
    for dependency in chosen(manifest, choice) {
        match target(lock, dependency) {
            Some(Target::Release(id)) => waiting.push(id),
            Some(Target::Source(id)) => {
                sources.insert(id.clone());
            }
            None => {}
        }
    }
    while let Some(id) = waiting.pop() {
        if let Some(package) = lock.packages.get(id)
            && releases.insert(id.clone())
        {
            waiting.extend(&package.dependencies);
        }
    }
    (releases, sources)
}

/// The dependencies that a choice means, one for each key. A key that is named counts in whatever group it stands.
pub(super) fn chosen<'m>(manifest: &'m Manifest, choice: &Choice) -> Vec<&'m Dependency> {
    let mut keys = BTreeSet::new();
    manifest
        .dependencies
        .iter()
        .filter(|dependency| {
            if !choice.only.is_empty() {
                return choice.only.contains(&dependency.key);
            }
            match (&choice.groups, &dependency.group) {
                (_, None) | (Groups::All, _) => true,
                (Groups::None, Some(_)) => false,
                (Groups::Some(groups), Some(group)) => groups.contains(group),
            }
        })
        .filter(|dependency| keys.insert(&dependency.key))
        .collect()
}

/// What a dependency leads to.
pub(super) fn target<'l>(lock: &'l Lock, dependency: &Dependency) -> Option<&'l Target> {
    lock.direct.get(&(dependency.key.clone(), dependency.group.clone()))
}

/// Refuses names that Model.toml does not have.
///
/// # Errors
/// `E0551`: a group, profile or key.
pub fn names_exist(manifest: &Manifest, choice: &Choice) -> Result<(), SelectError> {
    if let Groups::Some(groups) = &choice.groups {
        let known: BTreeSet<&str> = manifest
            .dependencies
            .iter()
            .filter_map(|dependency| dependency.group.as_ref())
            .map(GroupName::as_str)
            .collect();
        for group in groups {
            exists("group", group.as_str(), &known)?;
        }
    }
    if let Some(profile) = &choice.profile {
        exists("profile", profile, &manifest.profiles.keys().map(String::as_str).collect())?;
    }
    let known: BTreeSet<&str> = manifest.dependencies.iter().map(|dependency| dependency.key.as_str()).collect();
    choice.only.iter().map(DependencyKey::as_str).try_for_each(|key| exists("dependency", key, &known))
}

fn exists(what: &'static str, name: &str, known: &BTreeSet<&str>) -> Result<(), SelectError> {
    if known.contains(name) {
        return Ok(());
    }
    let nearest = nearest(name, known.iter().copied()).into_iter().map(str::to_owned).collect();
    let known = known.iter().map(|name| (*name).to_owned()).collect();
    Err(SelectError::NoSuch { what, found: name.to_owned(), nearest, known })
}
