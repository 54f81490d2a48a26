//! `mpm publish`: what Model.toml's `[package]` names, into a registry's folder.

use std::path::PathBuf;

use crate::keys::AskPassword;
use crate::lock::{Found, Lock, Target};
use crate::manifest::{Dependency as Declared, DependencySource, Manifest, PackageDeclaration};
use crate::model::{DependencyKey, PackageName, RegistryId, Timestamp, Version};
use crate::ops::ProjectError;
use crate::ops::authoring::{AuthoringError, Protection, open_key};
use crate::ops::index_checkpoint::{self, issue, protection};
use crate::ops::project::{find, read_text};
use crate::progress::Progress;
use crate::publish::{self, Facts, Published, Source};
use crate::registry::{Folder, State};
use crate::statement::{Dependency, DependencyKind, Provenance};
use crate::sys::Cancel;

/// What is asked.
pub struct Request<'a> {
    /// Where the search for Model.toml begins.
    pub start: PathBuf,
    /// The registry's folder.
    pub registry: PathBuf,
    /// The publisher key's file; in solo mode the main key's.
    pub key: PathBuf,
    /// The index key's file; none: the release waits for the next checkpoint.
    pub index: Option<PathBuf>,
    /// The time.
    pub now: Timestamp,
    /// Asks for passwords.
    pub ask: &'a AskPassword<'a>,
}

/// What was done.
#[derive(Debug)]
pub struct Outcome {
    /// The package.
    pub name: PackageName,
    /// Its version.
    pub version: Version,
    /// The registry's id.
    pub registry: RegistryId,
    /// What was published.
    pub published: Published,
    /// The checkpoint that admitted it, if one was made.
    pub checkpoint: Option<index_checkpoint::Outcome>,
}

/// Does it.
///
/// # Errors
/// `E0951` to `E0953`; what the project, keys, publishing and the index can break.
pub fn run(request: &Request<'_>, cancel: &Cancel, progress: &dyn Progress) -> Result<Outcome, AuthoringError> {
    let project = find(&request.start)?;
    let path = project.join("Model.toml");
    let text = read_text(&path)?.ok_or_else(|| ProjectError::NoManifest { start: request.start.clone() })?;
    let manifest = Manifest::parse(&text)?;
    let package = manifest.package.as_ref().ok_or(AuthoringError::NoPackage { manifest: path })?;
    let lock = match read_text(&project.join("Model.lock"))?.as_deref().map(Lock::parse).transpose()? {
        Some(Found::Whole(lock)) => Some(lock),
        Some(Found::Conflict { .. }) | None => None,
    };
    let folder = Folder::at(&request.registry);
    let needed = protection(&folder)?;
    let registry = State::read(&folder)?.registrar.registry;
    let facts = facts(&manifest, package, lock.as_ref(), &registry)?;
    let key = open_key(&request.key, needed, request.ask)?;
    let index = request.index.as_ref().map(|path| open_key(path, Protection::None, request.ask)).transpose()?;
    let _lease = folder.lock(progress)?;
    let source = Source { project: &project, package, facts: &facts };
    let published = publish::publish(&folder, &source, &key, cancel, progress)?;
    let checkpoint = index.map(|index| issue(&folder, &index, Some(&key), request.now)).transpose()?;
    Ok(Outcome { name: package.name.clone(), version: package.version.clone(), registry, published, checkpoint })
}

/// What Model.toml and Model.lock say about where a release came from. `requires` are installed along under their
/// requirements; the base model and the training data are recorded by digest, as they were locked.
fn facts(
    manifest: &Manifest,
    package: &PackageDeclaration,
    lock: Option<&Lock>,
    home: &RegistryId,
) -> Result<Facts, AuthoringError> {
    let mut dependencies = Vec::new();
    for key in &package.requires {
        let declared = declared(manifest, key)?;
        let DependencySource::Registry { package: name, requirement, registry, .. } = &declared.source else {
            return Err(no_release(key, "it is a source: a signed release can't depend on one"));
        };
        let answers = manifest.registry_for(name, registry.as_ref())?;
        let kind =
            if package.base_model.as_ref() == Some(key) { DependencyKind::BaseModel } else { DependencyKind::Requires };
        dependencies.push(Dependency {
            kind,
            name: name.clone(),
            registry: (answers != home).then(|| answers.clone()),
            requirement: requirement.clone(),
        });
    }
    let base_model = package.base_model.as_ref().map(|key| provenance(manifest, lock, key)).transpose()?;
    let trained_on = package.trained_on.iter().map(|key| provenance(manifest, lock, key)).collect::<Result<_, _>>()?;
    Ok(Facts { dependencies, base_model, trained_on })
}

fn provenance(manifest: &Manifest, lock: Option<&Lock>, key: &DependencyKey) -> Result<Provenance, AuthoringError> {
    let declared = declared(manifest, key)?;
    let lock = lock.ok_or_else(|| no_release(key, "there is no whole Model.lock that says which release was used"))?;
    let target = lock.direct.get(&(key.clone(), declared.group.clone()));
    let Some(Target::Release(id)) = target else {
        return Err(no_release(key, "Model.lock holds no signed release for it"));
    };
    let locked = lock.packages.get(id).ok_or_else(|| no_release(key, "Model.lock holds no entry for its release"))?;
    Ok(Provenance {
        registry: id.package.registry.clone(),
        name: id.package.name.clone(),
        version: id.version.clone(),
        statement: locked.statement.sha256,
    })
}

fn declared<'m>(manifest: &'m Manifest, key: &DependencyKey) -> Result<&'m Declared, AuthoringError> {
    let found = manifest.dependencies.iter().find(|dependency| dependency.key == *key);
    found.ok_or_else(|| no_release(key, "Model.toml has no dependency of this key"))
}

fn no_release(key: &DependencyKey, reason: &'static str) -> AuthoringError {
    AuthoringError::NoRelease { key: key.clone(), reason }
}
