//! `mpm get`: one package or repository into a folder, with all checks and without a project.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::config::LinkMode;
use crate::index::Gate;
use crate::inspect::inspect;
use crate::install::{Applied, Site};
use crate::lock::{Lock, SourceId, Target};
use crate::manifest::{Dependency, DependencySource, Manifest};
use crate::model::{DependencyKey, Glob, HubId, PackageId, PackageKind, RegistryId, RelPath, VariantName};
use crate::ops::add::{self, Item, PackageItem};
use crate::ops::bringing::{self, bring};
use crate::ops::contents::Gathering;
use crate::ops::delta::Older;
use crate::ops::hubs::{Lender, Reading};
use crate::ops::locking::{self, Making};
use crate::ops::pipeline::{self, Released};
use crate::ops::project::{self, Project};
use crate::ops::registries::Registries;
use crate::ops::services::WAIT;
use crate::ops::{Accepted, PackageLine, PipelineError, Services, Travel, hubs, indexes, info, report, sources};
use crate::select::{Choice, Contents, SelectError, Selected, select};
use crate::store::Store;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Where to look for a Model.toml whose registries may answer; there need not be one.
    pub start: PathBuf,
    /// What to get.
    pub item: Item,
    /// The registry, if it must be named.
    pub registry: Option<RegistryId>,
    /// Variants.
    pub variants: Vec<VariantName>,
    /// Only these paths.
    pub include: Vec<Glob>,
    /// Not these paths.
    pub exclude: Vec<Glob>,
    /// The folder, absolute.
    pub to: PathBuf,
    /// How files come from the store; none: as configured.
    pub link: Option<LinkMode>,
    /// Only tell.
    pub dry_run: bool,
    /// What a person has accepted.
    pub accepted: Accepted,
}

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The folder.
    pub to: PathBuf,
    /// What came; a release may bring others that it needs.
    pub packages: Vec<PackageLine>,
    /// Bytes that travelled.
    pub travel: Travel,
    /// What was placed.
    pub applied: Applied,
    /// Nothing was done: only told.
    pub dry_run: bool,
    /// The arguments of `mpm` that would pin the same in a project.
    pub pin: Vec<String>,
}

/// Does it.
///
/// # Errors
/// Those of every stage; files in the way are named, and nothing is placed then.
pub fn run(services: &Services, request: &Request) -> Result<Outcome, PipelineError> {
    if request.to.is_file() {
        return Err(PipelineError::NotAFolder { path: request.to.clone() });
    }
    let around = around(request)?;
    match &request.item {
        Item::Package(item) => release(services, request, item, around),
        Item::Hub(id) => repository(services, request, id, around),
    }
}

/// The project around, if there is one: its registries may answer, and its policy counts. Its dependencies do not.
fn around(request: &Request) -> Result<Project, PipelineError> {
    let mut project = match project::find(&request.start) {
        Ok(folder) => Project::open(&folder)?,
        Err(_) => Project {
            folder: request.start.clone(),
            manifest_text: String::new(),
            manifest: Manifest::default(),
            lock_text: None,
        },
    };
    project.manifest.dependencies.clear();
    project.manifest.profiles.clear();
    project.manifest.package = None;
    project.lock_text = None;
    Ok(project)
}

fn dependency(request: &Request, key: DependencyKey, kind: PackageKind, source: DependencySource) -> Dependency {
    Dependency {
        key,
        kind,
        group: None,
        source,
        variants: request.variants.clone(),
        include: request.include.clone(),
        exclude: request.exclude.clone(),
        to: None,
        line: 0,
    }
}

fn release(
    services: &Services,
    request: &Request,
    item: &PackageItem,
    mut project: Project,
) -> Result<Outcome, PipelineError> {
    let demo = info::bind_demo(&mut project.manifest, &item.name);
    let registry = match demo {
        Some(id) => id,
        None => project.manifest.registry_for(&item.name, request.registry.as_ref())?.clone(),
    };
    let key = add::key_of(&item.name)?;
    let looked_up = {
        let mut registries = Registries::new(services, &project.folder, &project.manifest, None, Gate::NewTrust);
        let minimum = locking::minimum_age(services, &project.manifest);
        add::looked_up(services, registries.open(&registry)?, item, (&request.variants, minimum))?
    };
    let source = DependencySource::Registry {
        package: item.name.clone(),
        requirement: looked_up.requirement,
        registry: Some(registry),
        unique: false,
    };
    project
        .manifest
        .dependencies
        .push(Dependency { variants: looked_up.variants, ..dependency(request, key.clone(), looked_up.kind, source) });
    let mut registries = Registries::new(services, &project.folder, &project.manifest, None, Gate::NewTrust);
    let making = Making {
        services,
        project: &project.folder,
        manifest: &project.manifest,
        old: None,
        released: Released::default(),
        accepted: &request.accepted,
        registries: &mut registries,
        lender: Lender::Nothing,
    };
    let made = making.make()?;
    let store = services.store(WAIT)?;
    let releases: BTreeSet<PackageId> = match made.lock.direct.get(&(key, None)) {
        Some(Target::Release(id)) => BTreeSet::from([id.clone()]),
        _ => BTreeSet::new(),
    };
    let gathering = Gathering {
        services,
        project: &project,
        store: &store,
        registries: &mut registries,
        lock: &made.lock,
        doubted: locking::doubted(services, &made.lock)?,
        tables: &made.tables,
    };
    let gathered = gathering.gather(&releases, &BTreeSet::new(), made.statements)?;
    if !request.dry_run {
        for (id, registry) in registries.opened() {
            registry.remember(made.learnt.get(id).unwrap_or(&BTreeMap::new()), &*services.progress)?;
        }
    }
    // One folder holds one package: what it needs besides is told, not mixed in.
    let lock = alone(&made.lock, &releases);
    let id = releases.first().map(|id| format!("{}@={}", id.package.name, id.version)).unwrap_or_default();
    let selected = select(&project.manifest, &lock, &gathered.contents, &Choice::default())?;
    let variants: Vec<_> = selected.packages().iter().flat_map(|package| package.variants.clone()).collect();
    let mut placing = Placing { services, request, store: &store, registries, project: &project, lock: &lock };
    placing.finish(&selected, Travel::default(), pin_arguments(request, id, &variants))
}

/// The lock with these releases alone, and without their edges.
fn alone(lock: &Lock, releases: &BTreeSet<PackageId>) -> Lock {
    let mut lock = lock.clone();
    lock.packages.retain(|id, _| releases.contains(id));
    for package in lock.packages.values_mut() {
        package.dependencies.clear();
    }
    lock
}

fn repository(
    services: &Services,
    request: &Request,
    id: &HubId,
    mut project: Project,
) -> Result<Outcome, PipelineError> {
    let source = SourceId::of_hub(id.clone());
    pipeline::policy_of(services, &project.manifest, &Lock::default()).judge_sources([source.clone()])?;
    let key = add::hub_key(id).or_else(|| DependencyKey::parse("repository").ok());
    let key = key.ok_or_else(|| PipelineError::UnknownKey { key: id.to_string(), near: Vec::new() })?;
    let listing = hubs::listing(services, id)?;
    // The patterns look at all that is there; what they leave out is never asked for.
    let globs = [("include", &request.include), ("exclude", &request.exclude)];
    for (field, glob) in globs.iter().flat_map(|(field, globs)| globs.iter().map(move |glob| (*field, glob))) {
        if !listing.files.iter().any(|file| glob.matches(&file.path)) {
            let glob = glob.as_str().to_owned();
            return Err(SelectError::GlobMatchesNothing { key, field, glob, line: 0 }.into());
        }
    }
    let wanted = |path: &RelPath| Glob::admit(&request.include, &request.exclude, path);
    if !listing.files.iter().any(|file| wanted(&file.path)) {
        return Err(SelectError::Nothing { key, line: 0 }.into());
    }
    let yes = request.accepted.yes || request.dry_run;
    let lender = if request.dry_run { Lender::Nothing } else { Lender::Cache };
    let (files, read) = hubs::pins(services, id, &listing, Reading { wanted: &wanted, lender, known: &[], yes })?;
    let mut lock = Lock::default();
    let hashed = sources::locked(id.kind, Some(listing.commit.to_string()), files.clone());
    lock.sources.insert(source.clone(), hashed.locked);
    lock.direct.insert((key.clone(), None), Target::Source(source.clone()));
    let plain = Dependency {
        include: Vec::new(),
        exclude: Vec::new(),
        ..dependency(request, key, id.kind, DependencySource::Hub(id.clone()))
    };
    project.manifest.dependencies.push(plain);
    let contents = Contents { releases: BTreeMap::new(), sources: BTreeMap::from([(source, files)]) };
    let selected = select(&project.manifest, &lock, &contents, &Choice::default())?;
    let store = services.store(WAIT)?;
    let registries = Registries::new(services, &project.folder, &project.manifest, None, Gate::Locked);
    let mut placing = Placing { services, request, store: &store, registries, project: &project, lock: &lock };
    let pinned = format!("{}@{}", id.name(), listing.commit);
    placing.finish(&selected, read, pin_arguments(request, pinned, &[]))
}

fn pin_arguments(request: &Request, id: String, variants: &[VariantName]) -> Vec<String> {
    let mut arguments = vec!["add".to_owned(), id];
    let mut option = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
    for variant in variants {
        option("--variant", variant.to_string());
    }
    for (name, globs) in [("--include", &request.include), ("--exclude", &request.exclude)] {
        for glob in globs {
            option(name, glob.as_str().to_owned());
        }
    }
    arguments
}

/// The rest of the way: from what was selected to files in the folder.
struct Placing<'a, 'r> {
    services: &'a Services,
    request: &'a Request,
    store: &'a Store,
    registries: Registries<'r>,
    project: &'a Project,
    lock: &'a Lock,
}

impl Placing<'_, '_> {
    fn finish(&mut self, selected: &Selected, read: Travel, pin: Vec<String>) -> Result<Outcome, PipelineError> {
        let (services, request) = (self.services, self.request);
        let policy = pipeline::policy_of(services, &self.project.manifest, self.lock);
        let approved = policy.judge(selected)?;
        let mut packages = report::lines(self.lock, selected);
        for line in &mut packages {
            line.folder = None;
        }
        let wanted = pipeline::wanted(self.lock, selected);
        let mut travel = read;
        if !request.dry_run {
            self.store.claim(&wanted.iter().map(|wanted| wanted.pin).collect())?;
            travel.add(&bringing::seed(services, self.store, &wanted)?);
        }
        let (needed, missing) = bringing::missing(self.store, &wanted)?;
        let indexes = indexes::foresee(services, self.store, &mut self.registries, &needed, &Older::default())?;
        travel.after(&missing);
        travel.add(&indexes);
        let to = request.to.clone();
        let outcome = Outcome { to, packages, travel, applied: Applied::default(), dry_run: request.dry_run, pin };
        if request.dry_run {
            return Ok(outcome);
        }
        let link = request.link.or(services.config.link).unwrap_or(LinkMode::Auto);
        if link == LinkMode::Symlink {
            let text =
                "the files are links into the store, and no lock keeps what they lead to: `mpm store gc` may remove it";
            services.progress.warn("links-unkept", text.to_owned());
        }
        let site = Site { project: &request.to, store: self.store, link };
        site.foresee_export(selected, &services.cancel)?;
        pipeline::ask_about(services, request.accepted.yes, &missing)?;
        bring(services, self.store, &mut self.registries, &wanted)?;
        let facts = inspect(self.store, selected, &services.cancel)?;
        let cleared = policy.clear(approved, &facts)?;
        pipeline::tell(services, &cleared);
        let plan = site.plan_export(&cleared, &services.cancel)?;
        let applied = site.export(&plan, &services.cancel, &*services.progress)?;
        Ok(Outcome { applied, ..outcome })
    }
}
