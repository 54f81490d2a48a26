//! `mpm add`: names into Model.toml, resolved, locked and placed in one go.

use std::path::Path;

use crate::catalog::Listing;
use crate::index::{Gate, Registry};
use crate::manifest::{self, LayoutKind, Manifest, NewDependency, NewRegistry, NewSource};
use crate::model::{
    DependencyKey, Glob, GroupName, HubId, HumanSize, Namespace, PackageKind, PackageName, RegistryId, Requirement,
    VariantName, Version,
};
use crate::ops::info;
use crate::ops::locking;
use crate::ops::pipeline::{self, Reach, Released, Wish};
use crate::ops::project::{self, Project};
use crate::ops::registries::Registries;
use crate::ops::{PipelineError, ProjectError, Question, Services, init, sync};
use crate::resolve::MinimumAge;

/// One thing to add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A package of a registry: `NAME[@REQUIREMENT]`.
    Package(PackageItem),
    /// A repository of the hub: `hf:ID[@REVISION]`.
    Hub(HubId),
}

/// A package to add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageItem {
    /// The package.
    pub name: PackageName,
    /// Which versions; none: compatible with the newest.
    pub requirement: Option<Requirement>,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What to add.
    pub items: Vec<Item>,
    /// Key instead of the name; only with one item.
    pub key: Option<DependencyKey>,
    /// The group.
    pub group: Option<GroupName>,
    /// The registry, if it must be named.
    pub registry: Option<RegistryId>,
    /// Variants.
    pub variants: Vec<VariantName>,
    /// Only these paths.
    pub include: Vec<Glob>,
    /// Not these paths.
    pub exclude: Vec<Glob>,
    /// Make the project where there is none.
    pub init: bool,
    /// Stop when the lock is written.
    pub no_sync: bool,
    /// The rest: project, choice, rules.
    pub sync: sync::Request,
}

/// One thing that was added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Added {
    /// Its key.
    pub key: DependencyKey,
    /// The requirement as written; for the hub, the id with its revision.
    pub requirement: String,
    /// The registry that answers it; none: the hub does.
    pub registry: Option<RegistryId>,
    /// Whether the registry was written down with it.
    pub registry_written: bool,
    /// Whether the layout of the hub's cache was turned on with it.
    pub layout_written: bool,
}

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Whether Model.toml was made.
    pub created: bool,
    /// What was added.
    pub added: Vec<Added>,
    /// What followed.
    pub sync: sync::Outcome,
}

/// Namespace of the registry that is compiled in.
const DEMO_NAMESPACE: &str = "demo";
/// Id of that registry.
const DEMO_REGISTRY: &str = "mpm-demo";

/// Does it.
///
/// # Errors
/// Those of every stage; nothing in the project is changed then, and a project that this run made is removed again.
pub fn run(services: &Services, request: &Request) -> Result<Outcome, PipelineError> {
    let start = &request.sync.start;
    let folder = match project::find(start) {
        Ok(folder) => folder,
        Err(_) if request.init => return in_new_project(services, request),
        Err(error) => return Err(error.into()),
    };
    let project = Project::open(&folder)?;
    let _lease = if request.sync.dry_run { None } else { Some(project.lease(services, request.sync.wait)?) };
    in_project(services, request, Project::open(&folder)?)
}

fn in_new_project(services: &Services, request: &Request) -> Result<Outcome, PipelineError> {
    let folder = &request.sync.start;
    let text = manifest::new_manifest(&init::name_of(folder));
    let manifest = Manifest::parse(&text)?;
    let project = Project { folder: folder.clone(), manifest_text: text, manifest, lock_text: None };
    if request.sync.dry_run {
        return Ok(Outcome { created: true, ..in_project(services, request, project)? });
    }
    let existed = folder.exists();
    let fail = |source| ProjectError::Write { path: folder.clone(), source };
    std::fs::create_dir_all(folder).map_err(fail)?;
    let lease = project.lease(services, request.sync.wait)?;
    let done = in_project(services, request, project).and_then(|outcome| {
        init::write_attributes(folder)?;
        Ok(Outcome { created: true, ..outcome })
    });
    drop(lease);
    if done.is_err() && !folder.join("Model.toml").exists() {
        take_back(folder, existed);
    }
    done
}

/// Removes what was made for a project that did not come to be; what is not empty stays.
fn take_back(folder: &Path, existed: bool) {
    let state = folder.join(".mpm");
    let _ = std::fs::remove_file(state.join(".gitignore"));
    let _ = std::fs::remove_dir(&state);
    if !existed {
        let _ = std::fs::remove_dir(folder);
    }
}

fn in_project(services: &Services, request: &Request, mut project: Project) -> Result<Outcome, PipelineError> {
    let mut outcome = Outcome::default();
    for item in &request.items {
        let added = match item {
            Item::Package(item) => edit(services, request, item, &mut project)?,
            Item::Hub(id) => edit_hub(request, id, &mut project)?,
        };
        outcome.added.push(added);
    }
    let reach = if request.no_sync { Reach::Lock } else { Reach::Place };
    let wish = Wish { request: &request.sync, released: Released::default(), reach, manifest_changed: true };
    outcome.sync = pipeline::run(services, &project, &wish)?;
    Ok(outcome)
}

/// Writes one item into the manifest's text, still in memory.
fn edit(
    services: &Services,
    request: &Request,
    item: &PackageItem,
    project: &mut Project,
) -> Result<Added, PipelineError> {
    let mut text = project.manifest_text.clone();
    let written = bind_demo(request, item, &project.manifest, &mut text)?;
    let manifest = Manifest::parse(&text)?;
    let id = manifest.registry_for(&item.name, request.registry.as_ref())?.clone();
    let claimed = manifest.registries.get(&id).is_some_and(|registry| {
        registry.namespaces.iter().any(|n| n.normalised() == item.name.namespace().normalised())
    });
    let old_lock = project.lock()?.map(|found| match found {
        crate::lock::Found::Whole(lock) | crate::lock::Found::Conflict { merged: lock } => lock,
    });
    let mut registries = Registries::new(services, &project.folder, &manifest, old_lock.as_ref(), Gate::NewTrust);
    let registry = registries.open(&id)?;
    let LookedUp { kind, requirement, variants } =
        looked_up(services, registry, item, (&request.variants, locking::minimum_age(services, &manifest)))?;
    let key = request.key.clone().map_or_else(|| key_of(&item.name), Ok)?;
    let source = NewSource::Registry {
        package: (key.as_str() != item.name.as_str()).then(|| item.name.clone()),
        requirement: requirement.clone(),
        registry: (!claimed).then(|| id.clone()),
        variants,
    };
    write_down(request, project, &text, (&key, kind, source))?;
    Ok(Added {
        key,
        requirement: requirement.to_string(),
        registry: Some(id),
        registry_written: written,
        layout_written: false,
    })
}

/// What a registry says about a package that is wanted.
pub(super) struct LookedUp {
    pub(super) kind: PackageKind,
    /// The requirement that was named, or this version and compatible ones.
    pub(super) requirement: Requirement,
    /// The variants that were named or chosen; none: the default.
    pub(super) variants: Vec<VariantName>,
}

/// Looks a package up: whether a release satisfies, of what kind it is, and which variant is wanted.
pub(super) fn looked_up(
    services: &Services,
    registry: &Registry,
    item: &PackageItem,
    (variants, minimum): (&[VariantName], Option<MinimumAge>),
) -> Result<LookedUp, PipelineError> {
    let listing = info::listing(services, registry, &item.name)?;
    let newest = pick(&listing, item.requirement.as_ref(), minimum);
    let (kind, requirement) = match (&item.requirement, newest) {
        (Some(requirement), Some((_, kind))) => (kind, requirement.clone()),
        // Told here, since the line of Model.toml that would ask for it is not written yet.
        (Some(requirement), None) => return Err(no_release(&listing, &requirement.to_string())),
        (None, Some((version, kind))) => (kind, compatible(&version)?),
        (None, None) => return Err(no_release(&listing, "*")),
    };
    let variants = if variants.is_empty() {
        ask_variant(services, registry, &listing, (item, minimum))?
    } else {
        variants.to_vec()
    };
    Ok(LookedUp { kind, requirement, variants })
}

/// The key that a package gets where nobody names one: its name.
pub(super) fn key_of(name: &PackageName) -> Result<DependencyKey, PipelineError> {
    let unknown = |_| PipelineError::UnknownKey { key: name.to_string(), near: Vec::new() };
    DependencyKey::parse(name.as_str()).map_err(unknown)
}

/// Writes a repository of the hub into the manifest's text; whether it is there, the lock will show.
fn edit_hub(request: &Request, id: &HubId, project: &mut Project) -> Result<Added, PipelineError> {
    let key = match &request.key {
        Some(key) => key.clone(),
        None => hub_key(id).ok_or_else(|| PipelineError::Unanswered {
            question: format!("{} gives no key that Model.toml could have; which one?", id.name()),
            flag: "--as KEY",
        })?,
    };
    let source = NewSource::Hub { repository: id.repository.clone(), revision: id.revision.clone() };
    // Code asks for it by its id on the hub: unless Model.toml says otherwise, it is where that code looks.
    let text = manifest::add_layout(&project.manifest_text, LayoutKind::HuggingFace)?;
    let layout_written = text != project.manifest_text;
    write_down(request, project, &text, (&key, id.kind, source))?;
    Ok(Added { key, requirement: id.to_string(), registry: None, registry_written: false, layout_written })
}

/// The key that a repository gets where nobody names one: its id in lower case.
pub(super) fn hub_key(id: &HubId) -> Option<DependencyKey> {
    let parts = id.repository.as_str().split('/').map(|part| part.trim_matches('_').to_ascii_lowercase());
    DependencyKey::parse(&parts.collect::<Vec<_>>().join("/")).ok()
}

fn write_down(
    request: &Request,
    project: &mut Project,
    text: &str,
    (key, kind, source): (&DependencyKey, PackageKind, NewSource),
) -> Result<(), PipelineError> {
    let dependency = NewDependency {
        key: key.clone(),
        kind,
        group: request.group.clone(),
        source,
        include: request.include.clone(),
        exclude: request.exclude.clone(),
    };
    project.manifest_text = manifest::add_dependency(text, &dependency)?;
    project.manifest = Manifest::parse(&project.manifest_text)?;
    Ok(())
}

/// The registry that is compiled in is bound only here, by name, where no registry claims its namespace.
fn bind_demo(
    request: &Request,
    item: &PackageItem,
    manifest: &Manifest,
    text: &mut String,
) -> Result<bool, PipelineError> {
    let claimed =
        manifest.registries.values().flat_map(|registry| &registry.namespaces).any(|n| n.as_str() == DEMO_NAMESPACE);
    if item.name.namespace().as_str() != DEMO_NAMESPACE || claimed || request.registry.is_some() {
        return Ok(false);
    }
    let name = |error| PipelineError::SourceFolder { path: "mpm-demo".into(), problem: format!("{error}") };
    let registry = NewRegistry {
        id: RegistryId::parse(DEMO_REGISTRY).map_err(name)?,
        index: "builtin".to_owned(),
        root: crate::index::builtin_root(),
        namespaces: vec![Namespace::parse(DEMO_NAMESPACE).map_err(name)?],
    };
    if manifest.registries.contains_key(&registry.id) {
        return Ok(false);
    }
    *text = manifest::add_registry(text, &registry)?;
    Ok(true)
}

/// The newest release that the requirement admits: not yanked, old enough, and no pre-release unless it asks for one. Where
/// only others are left, one of those: the resolver says why not.
fn pick(
    listing: &Listing,
    requirement: Option<&Requirement>,
    minimum: Option<MinimumAge>,
) -> Option<(Version, PackageKind)> {
    let any = Requirement::any();
    let requirement = requirement.unwrap_or(&any);
    let mut fitting = listing.releases.iter().rev().filter(|(version, _)| requirement.matches(version));
    let found = fitting
        .clone()
        .find(|(_, release)| release.yanked.is_none() && minimum.is_none_or(|minimum| minimum.waits(release).is_none()))
        .or_else(|| fitting.next());
    found.map(|(version, release)| (version.clone(), release.event.kind))
}

/// What is written where nobody named a requirement: this version or a compatible one.
fn compatible(version: &Version) -> Result<Requirement, PipelineError> {
    Requirement::parse(&version.to_string()).map_err(|_| PipelineError::NoRevision {
        revision: version.to_string(),
        problem: "not a requirement".to_owned(),
    })
}

fn no_release(listing: &Listing, requirement: &str) -> PipelineError {
    PipelineError::NoRelease {
        name: listing.package.name.clone(),
        requirement: requirement.to_owned(),
        versions: listing
            .releases
            .iter()
            .rev()
            .map(|(version, release)| format!("{version}{}", if release.yanked.is_some() { " (yanked)" } else { "" }))
            .collect(),
    }
}

/// Variants and no default: a person chooses, or nobody does. Never all of them unasked.
fn ask_variant(
    services: &Services,
    registry: &Registry,
    listing: &Listing,
    (item, minimum): (&PackageItem, Option<MinimumAge>),
) -> Result<Vec<VariantName>, PipelineError> {
    let Some((version, _)) = pick(listing, item.requirement.as_ref(), minimum) else { return Ok(Vec::new()) };
    let Some(release) = listing.releases.get(&version) else { return Ok(Vec::new()) };
    let statement = registry.statement(&item.name, release)?.statement;
    if statement.default_variant.is_some() || statement.variants.is_empty() {
        return Ok(Vec::new());
    }
    let lines = info::variants(&statement);
    let labels: Vec<String> = lines.iter().map(label).collect();
    let text = format!("{} {version} has no default variant; which one?", item.name);
    let question = Question::Which { text: text.clone(), labels: labels.clone() };
    let chosen = services.ask.ask(&question).and_then(|number| statement.variants.keys().nth(number).cloned());
    match chosen {
        Some(variant) => Ok(vec![variant]),
        None => {
            Err(PipelineError::Unanswered { question: format!("{text} {}", labels.join("; ")), flag: "--variant NAME" })
        }
    }
}

fn label(line: &info::VariantLine) -> String {
    let mut words = line.properties.clone();
    words.extend(line.bytes.map(|bytes| HumanSize(bytes).to_string()));
    format!("{} ({})", line.name, words.join(", "))
}
