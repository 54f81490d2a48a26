//! Which registry a mirror is of, and where it is copied from.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::bundle::{self, Bundle};
use crate::fetch::Health;
use crate::index::{Carried, Gate};
use crate::lock::{Found, Lock, LockedRegistry};
use crate::manifest::{IndexAddress, Manifest, RegistryDeclaration};
use crate::mirror::{Amount, Destination, Held, MirrorError, Rules};
use crate::model::{RegistryId, Sha256};
use crate::ops::bringing::JOBS;
use crate::ops::project::{self, Project};
use crate::ops::registries::Registries;
use crate::ops::{PipelineError, ProjectError, Services, Travel, pipeline};

/// What says which registry is meant.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Source {
    /// The registry's id, if it must be named.
    pub registry: Option<RegistryId>,
    /// Where the copy comes from, in place of the project's index: an address as in Model.toml, or a folder.
    pub from: Option<String>,
    /// Digest of the registry's first root, where no project names it.
    pub root: Option<Sha256>,
}

/// How a copy is made or taken, as those who do either ask for it.
#[expect(clippy::struct_excessive_bools, reason = "each is a wish of its own")]
pub(super) struct Copying<'a> {
    pub(super) services: &'a Services,
    /// Whether blobs that are there are hashed.
    pub(super) check: bool,
    /// Whether what is not asked for any more goes.
    pub(super) prune: bool,
    /// Only tell.
    pub(super) dry_run: bool,
    /// Every question is answered with yes.
    pub(super) yes: bool,
    /// How long to wait for another run.
    pub(super) wait: Duration,
    /// What need not be in it.
    pub(super) held: &'a Held,
    /// Files that come along.
    pub(super) along: &'a [Carried],
}

impl Copying<'_> {
    /// Does the work by these rules. Where the user does not consent to what it would bring, that refusal is the error.
    pub(super) fn run<T>(&self, work: impl FnOnce(&Rules<'_>) -> Result<T, MirrorError>) -> Result<T, PipelineError> {
        let services = self.services;
        let refusal = RefCell::new(None);
        let consent = |amount: Amount, free: u64| {
            let travel = Travel { blobs: amount.files, bytes: amount.bytes, free, ..Travel::default() };
            let answer = pipeline::ask_about(services, self.yes, &travel);
            answer.map_err(|error| *refusal.borrow_mut() = Some(error)).is_ok()
        };
        let known = Health::read(&services.folders.cache.join("places.json"), services.now);
        let rules = Rules {
            known: &known,
            check: self.check,
            prune: self.prune,
            dry_run: self.dry_run,
            jobs: services.config.jobs.unwrap_or(JOBS),
            wait: self.wait,
            now: services.now,
            http: &services.http,
            cancel: &services.cancel,
            progress: &*services.progress,
            in_place: &|_| false,
            held: self.held,
            along: self.along,
            consent: &consent,
        };
        let done = work(&rules);
        match refusal.take() {
            Some(refused) => Err(refused),
            None => Ok(done?),
        }
    }
}

/// A lock with the folder that it lies in.
pub(super) struct ReadLock {
    pub(super) folder: PathBuf,
    pub(super) lock: Lock,
}

/// Reads the locks that were named.
pub(super) fn locks(paths: &[PathBuf]) -> Result<Vec<ReadLock>, PipelineError> {
    let mut locks = Vec::with_capacity(paths.len());
    for path in paths {
        let text = project::read_text(path)?
            .ok_or_else(|| ProjectError::Read { path: path.clone(), source: std::io::ErrorKind::NotFound.into() })?;
        let lock = match Lock::parse(&text)? {
            Found::Whole(lock) | Found::Conflict { merged: lock } => lock,
        };
        locks.push(ReadLock { folder: path.parent().unwrap_or(Path::new(".")).to_owned(), lock });
    }
    Ok(locks)
}

/// The registries that may be meant, and which of them is.
pub(super) fn choose<'a>(
    services: &'a Services,
    start: &'a Path,
    source: &Source,
    locks: &[ReadLock],
) -> Result<(Registries<'a>, RegistryId), PipelineError> {
    let mut manifest = around(start, locks)?;
    let id = identify(start, source, locks, &manifest)?;
    if let Some(declaration) = declared(start, source, &manifest, &id)? {
        manifest.registries.insert(id.clone(), declaration);
    }
    let mut floors = Lock::default();
    for lock in locks {
        let Some(locked) = lock.lock.registries.get(&id) else { continue };
        if let Some(declaration) = manifest.registries.get(&id)
            && declaration.root != locked.root
        {
            let (found, locked) = (declaration.root, locked.root);
            return Err(PipelineError::RootChanged { registry: id, found, locked });
        }
        let floor = floors.registries.get(&id).map_or(locked.floor, |before| before.floor.highest(locked.floor));
        floors.registries.insert(id.clone(), LockedRegistry { root: locked.root, floor });
    }
    // A copy gives no trust: what has expired is told, and readers decide.
    Ok((Registries::new(services, start, &manifest, Some(&floors), Gate::Locked).at_the_source(), id))
}

/// The project around, or the one of the first lock that has one.
pub(super) fn around(start: &Path, locks: &[ReadLock]) -> Result<Manifest, PipelineError> {
    let places = std::iter::once(start).chain(locks.iter().map(|lock| lock.folder.as_path()));
    for place in places {
        if let Ok(folder) = project::find(place) {
            let mut manifest = Project::open(&folder)?.manifest;
            for declaration in manifest.registries.values_mut() {
                if let IndexAddress::Folder(path) = &declaration.index {
                    declaration.index = IndexAddress::Folder(folder.join(path).to_string_lossy().into_owned());
                }
            }
            return Ok(manifest);
        }
    }
    Ok(Manifest::default())
}

fn identify(
    start: &Path,
    source: &Source,
    locks: &[ReadLock],
    manifest: &Manifest,
) -> Result<RegistryId, PipelineError> {
    if let Some(id) = &source.registry {
        return Ok(id.clone());
    }
    let mut ids: Vec<RegistryId> = locks.iter().flat_map(|lock| lock.lock.registries.keys()).cloned().collect();
    ids.sort();
    ids.dedup();
    if let (true, Some(folder)) = (ids.len() != 1, folder_of(start, source)) {
        ids.extend(claimed(&folder)?.map(|(id, _)| id));
    }
    if ids.is_empty() {
        ids = manifest.registries.keys().cloned().collect();
    }
    if let [only] = ids.as_slice() {
        Ok(only.clone())
    } else {
        let names: Vec<String> = ids.iter().map(ToString::to_string).collect();
        let question = match names.len() {
            0 => "which registry is to be mirrored? No project is around that names one".to_owned(),
            _ => format!("which registry is to be mirrored? There are {}", names.join(", ")),
        };
        Err(PipelineError::Unanswered { question, flag: "--registry ID" })
    }
}

/// The declaration with what was typed in its place; none: the project's own stands.
fn declared(
    start: &Path,
    source: &Source,
    manifest: &Manifest,
    id: &RegistryId,
) -> Result<Option<RegistryDeclaration>, PipelineError> {
    let known = manifest.registries.get(id);
    let index = match (&source.from, folder_of(start, source)) {
        (None, _) => None,
        (_, Some(folder)) => Some(IndexAddress::Folder(folder.to_string_lossy().into_owned())),
        (Some(text), None) => Some(IndexAddress::parse(text)?),
    };
    if let (Some(known), Some(root)) = (known, source.root)
        && known.root != root
    {
        return Err(PipelineError::RootChanged { registry: id.clone(), found: root, locked: known.root });
    }
    let Some(index) = index else { return Ok(None) };
    if let Some(known) = known {
        return Ok(Some(RegistryDeclaration { index, ..known.clone() }));
    }
    let Some(root) = source.root else {
        let claimed = folder_of(start, source).and_then(|folder| claimed(&folder).ok().flatten());
        let claims = claimed.map_or_else(String::new, |(_, root)| format!(": the copy says sha256:{root}"));
        let question = format!("which root has registry {id}? Compare it with what its owners say{claims}");
        return Err(PipelineError::Unanswered { question, flag: "--root SHA256" });
    };
    Ok(Some(RegistryDeclaration { index, root, root_at: None, namespaces: Vec::new(), default: false, line: 0 }))
}

/// The registry that a folder or a bundle says it is a copy of; whoever asks decides whether to believe it.
fn claimed(from: &Path) -> Result<Option<(RegistryId, Sha256)>, MirrorError> {
    if !bundle::is_named(from) {
        return Destination::claimed(from);
    }
    let opened = Bundle::open(&[from.to_owned()])?;
    let head = &opened.table().head;
    Ok(Some((head.registry.clone(), head.root)))
}

/// The folder or bundle that a copy comes from, where it is one.
pub(super) fn folder_of(start: &Path, source: &Source) -> Option<PathBuf> {
    let from = source.from.as_deref()?;
    (from != "builtin" && !from.contains("://")).then(|| start.join(from))
}

/// Refuses a copy of a folder into itself.
pub(super) fn apart(index: &IndexAddress, to: &Path) -> Result<(), MirrorError> {
    let IndexAddress::Folder(from) = index else { return Ok(()) };
    match (Path::new(from).canonicalize(), to.canonicalize()) {
        (Ok(from), Ok(to)) if from == to => Err(MirrorError::Itself { path: to }),
        _ => Ok(()),
    }
}
