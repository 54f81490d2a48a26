//! `mpm search`: names of packages in the registries of a project.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::diagnose::{Class, Diagnose as _};
use crate::index::{Extent, Gate, Registry};
use crate::manifest::Manifest;
use crate::model::{PackageKind, PackageName, RegistryId, Version};
use crate::ops::project::{self, Project};
use crate::ops::registries::Registries;
use crate::ops::{PipelineError, Services, info};

/// Nodes of an index behind a server that are read for one search: some 500 KiB, and with them thousands of names.
const NODES: usize = 400;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Where to look for Model.toml; there may be none.
    pub start: PathBuf,
    /// Words that a name must hold, each of them.
    pub words: Vec<String>,
    /// Only this registry.
    pub registry: Option<RegistryId>,
    /// Whether to read every name of indexes behind a server.
    pub all: bool,
    /// Most packages to tell about.
    pub limit: usize,
}

/// A package that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// The registry.
    pub registry: RegistryId,
    /// The name.
    pub name: PackageName,
    /// The newest release that is free to be chosen: version, kind, bytes; none: all are yanked.
    pub newest: Option<(Version, PackageKind, u64)>,
}

/// A registry that was looked into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Looked {
    /// Which.
    pub registry: RegistryId,
    /// How many in a thousand of its names were looked at.
    pub permille: u64,
}

/// The answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The best hits.
    pub hits: Vec<Hit>,
    /// How many names hold the words.
    pub matches: u64,
    /// Where was looked.
    pub looked: Vec<Looked>,
}

/// Does it.
///
/// # Errors
/// `E0922` for a registry that is not configured, and those of reading an index, if none can be read.
pub fn run(services: &Services, request: &Request) -> Result<Outcome, PipelineError> {
    let (folder, mut manifest) = match project::find(&request.start) {
        Ok(folder) => (folder.clone(), Project::open(&folder)?.manifest),
        Err(_) => (request.start.clone(), Manifest::default()),
    };
    if manifest.registries.is_empty() {
        bind_builtin(&mut manifest);
    }
    let ids: Vec<RegistryId> = match &request.registry {
        Some(id) => vec![id.clone()],
        None => manifest.registries.keys().cloned().collect(),
    };
    let mut registries = Registries::new(services, &folder, &manifest, None, Gate::Locked);
    let words: Vec<String> = request.words.iter().map(|word| plain(word)).collect();
    let mut outcome = Outcome::default();
    let mut found = Vec::new();
    let mut unreachable = None;
    for id in ids {
        let looked = registries.open(&id).and_then(|registry| look(registry, request, &words));
        match looked {
            Ok((names, permille)) => {
                outcome.looked.push(Looked { registry: id.clone(), permille });
                found.extend(names.into_iter().map(|name| (rank(&name, &words), id.clone(), name)));
            }
            // One registry that is away does not hide the others.
            Err(error) if error.class() == Class::Network => {
                services.progress.warn("index-unreachable", error.to_string());
                unreachable.get_or_insert(error);
            }
            Err(error) => return Err(error),
        }
    }
    if let (Some(error), true) = (unreachable, outcome.looked.is_empty()) {
        return Err(error);
    }
    found.sort();
    outcome.matches = found.len() as u64;
    for (_, id, name) in found.into_iter().take(request.limit) {
        let newest = newest(registries.open(&id)?, &name)?;
        outcome.hits.push(Hit { registry: id, name, newest });
    }
    Ok(outcome)
}

/// Where no registry is configured, there is still the one that is compiled in.
pub(super) fn bind_builtin(manifest: &mut Manifest) {
    if let Ok(name) = PackageName::parse("demo/any") {
        info::bind_demo(manifest, &name);
    }
}

/// Names that hold the words, and how large a part of all names was looked at.
fn look(
    registry: &Registry,
    request: &Request,
    words: &[String],
) -> Result<(BTreeSet<PackageName>, u64), PipelineError> {
    let extent = if request.all || registry.is_near() { Extent::All } else { Extent::Nodes(NODES) };
    let seen = registry.names(extent)?;
    let mut names: BTreeSet<PackageName> = seen.names.into_iter().filter(|name| holds(name, words)).collect();
    // A whole name is looked up where it must stand, however little of the index was walked.
    if let ([word], true) = (request.words.as_slice(), seen.permille < 1000)
        && let Ok(name) = PackageName::parse(&word.to_lowercase())
    {
        names.extend(registry.listings(&BTreeSet::from([name]))?.into_values().flatten().map(|l| l.package.name));
    }
    Ok((names, seen.permille))
}

/// Letters as names are compared: case, `-`, `_` and `.` make no difference.
fn plain(word: &str) -> String {
    word.to_lowercase().replace(['_', '.'], "-")
}

fn holds(name: &PackageName, words: &[String]) -> bool {
    let name = name.normalised();
    words.iter().all(|word| name.contains(word.as_str()))
}

/// What comes first: the name itself, its last part, a beginning, anything else.
fn rank(name: &PackageName, words: &[String]) -> u8 {
    let name = name.normalised();
    let last = name.rsplit('/').next().unwrap_or_default();
    let best = |word: &String| match word.as_str() {
        word if name == word || last == word => 0,
        word if last.starts_with(word) => 1,
        word if name.starts_with(word) => 2,
        _ => 3,
    };
    words.iter().map(best).max().unwrap_or(3)
}

fn newest(registry: &Registry, name: &PackageName) -> Result<Option<(Version, PackageKind, u64)>, PipelineError> {
    let listings = registry.listings(&BTreeSet::from([name.clone()]))?;
    let listing = listings.into_values().flatten().next();
    let free = listing.iter().flat_map(|listing| listing.releases.iter().rev()).filter(|(_, r)| r.yanked.is_none());
    let best = free.clone().find(|(version, _)| version.pre.is_empty()).or_else(|| free.clone().next());
    Ok(best.map(|(version, release)| (version.clone(), release.event.kind, release.event.size)))
}
