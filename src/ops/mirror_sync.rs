//! `mpm mirror sync`: a copy of a registry, or of a part of it, in a folder.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use crate::fetch::Place;
use crate::lock::SourceFiles;
use crate::mirror::{self, Destination, Extra, Held, Supply, Wish};
use crate::model::{HubCommit, HubId, Pin, RegistryId, RelPath, Sha256};
use crate::ops::bringing;
use crate::ops::mirroring::{self, Copying, ReadLock, Source};
use crate::ops::registries::Registries;
use crate::ops::{PipelineError, Services, project};

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own on the command line")]
pub struct Request {
    /// Where to look for a Model.toml; there need not be one.
    pub start: PathBuf,
    /// The folder of the mirror, absolute.
    pub to: PathBuf,
    /// Which registry, and from where.
    pub source: Source,
    /// Model.lock files whose releases are wanted, absolute.
    pub locks: Vec<PathBuf>,
    /// What else is wanted.
    pub wish: Wish,
    /// Hash the blobs that are there.
    pub check: bool,
    /// Remove what is not wanted any more.
    pub prune: bool,
    /// Only tell.
    pub dry_run: bool,
    /// Every question is answered with yes.
    pub yes: bool,
    /// How long to wait for another run.
    pub wait: Duration,
}

/// What was done.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The folder.
    pub to: PathBuf,
    /// The registry's first root.
    pub root: Sha256,
    /// What the mirror did.
    pub mirror: mirror::Outcome,
    /// Files of sources that locks pin, by name of the source.
    pub sources: Vec<String>,
    /// Nothing was done: only told.
    pub dry_run: bool,
}

/// Does it.
///
/// # Errors
/// `E0911`: nothing is asked for, or it is not said of which registry. Those of the registry, of fetching and of the folder.
pub fn run(services: &Services, request: &Request) -> Result<Outcome, PipelineError> {
    if request.wish.is_empty() && request.locks.is_empty() {
        return Err(PipelineError::Unanswered {
            question: "what is the mirror to hold?".to_owned(),
            flag: "--lock FILE for what a lock pins, names or patterns such as 'acme/*', or --all",
        });
    }
    let locks = mirroring::locks(&request.locks)?;
    let (mut registries, id) = mirroring::choose(services, &request.start, &request.source, &locks)?;
    let declaration = registries.declaration(&id)?.clone();
    mirroring::apart(&declaration.index, &request.to)?;
    // Looked at before anybody is asked.
    let destination = Destination::at(&request.to, &id, declaration.root)?;
    let mut wish = request.wish.clone();
    let others = take_locked(&mut wish, &locks, &id);
    if others > 0 {
        services.progress.note(
            "other-registries",
            format!("{others} releases of other registries are left out: each registry has a mirror of its own"),
        );
    }
    let (extra, sources) = extra(services, &locks)?;
    let supply = supply(services, &mut registries, &id, &request.source, extra)?;
    let copying = Copying {
        services,
        check: request.check,
        prune: request.prune,
        dry_run: request.dry_run,
        yes: request.yes,
        wait: request.wait,
        held: &Held::Nothing,
        along: &[],
    };
    let registry = registries.open(&id)?;
    let made = copying.run(|rules| mirror::sync(registry, destination, &wish, &supply, rules))?;
    if !request.dry_run {
        registry.remember(&BTreeMap::new(), &*services.progress)?;
    }
    Ok(Outcome { to: request.to.clone(), root: declaration.root, mirror: made, sources, dry_run: request.dry_run })
}

/// Where the bytes come from.
pub(super) fn supply(
    services: &Services,
    registries: &mut Registries<'_>,
    id: &RegistryId,
    source: &Source,
    extra: Vec<Extra>,
) -> Result<Supply, PipelineError> {
    let mut places: Vec<Place> = Vec::new();
    if source.from.is_some() {
        places.extend(registries.open(id)?.bases()?.into_iter().map(bringing::place));
    } else {
        // What is on this machine already need not travel.
        places.push(Place::Folder(services.folders.store.join("v1")));
        places.extend(registries.bases(id)?.into_iter().map(bringing::place));
    }
    Ok(Supply { places, extra, bundles: Vec::new() })
}

/// Adds the releases that locks pin of a registry; how many they pin of others.
pub(super) fn take_locked(wish: &mut Wish, locks: &[ReadLock], id: &RegistryId) -> usize {
    let mut others = BTreeSet::new();
    for (package, locked) in locks.iter().flat_map(|lock| &lock.lock.packages) {
        if package.package.registry == *id {
            wish.locked
                .entry(package.package.name.clone())
                .or_default()
                .insert(package.version.clone(), locked.statement);
        } else {
            others.insert(package);
        }
    }
    others.len()
}

/// The files of hub sources that locks pin, with the places that have them; and which sources these are.
pub(super) fn extra(services: &Services, locks: &[ReadLock]) -> Result<(Vec<Extra>, Vec<String>), PipelineError> {
    let mut wanted: BTreeMap<(HubId, HubCommit), BTreeMap<Pin, RelPath>> = BTreeMap::new();
    let mut sources = BTreeSet::new();
    for ReadLock { folder, lock } in locks {
        for (id, locked) in &lock.sources {
            let (Some(hub), Some(commit)) = (id.hub(), locked.commit()) else {
                let text = format!("{id} is left out: it lies in a folder of its project");
                services.progress.note("path-source", text);
                continue;
            };
            let files = match &locked.files {
                SourceFiles::Inline(files) => files.clone(),
                SourceFiles::Table(pin) => project::source_table(folder, pin)?,
            };
            let entry = wanted.entry((hub.clone(), commit)).or_default();
            entry.extend(files.into_iter().map(|file| (file.pin, file.path)));
            sources.insert(id.to_string());
        }
    }
    let mut extra = Vec::new();
    for ((id, commit), files) in wanted {
        let digests = files.iter().map(|(pin, path)| (pin.sha256, path.clone())).collect();
        let mut places = vec![Place::Folder(services.folders.store.join("v1"))];
        places.extend(bringing::hub_places(services, &id, &commit, digests));
        let one = |(pin, path): (Pin, RelPath)| Extra { pin, what: format!("{id} {path}"), places: places.clone() };
        extra.extend(files.into_iter().map(one));
    }
    Ok((extra, sources.into_iter().collect()))
}
