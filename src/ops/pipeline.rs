//! The pipeline: a manifest and a lock become files in the project, each stage's proof handed to the next.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::LinkMode;
use crate::diagnose::{Class, Diagnose as _};
use crate::index::{Gate, VerifiedStatement};
use crate::inspect::inspect;
use crate::install::{OnChanged, Placing, Plan, Site};
use crate::layout::{Layout, lay_out};
use crate::lock::{Found, Lock, SourceId};
use crate::manifest::{Manifest, Unsigned};
use crate::model::{Fingerprint, HumanSize, Namespace, PackageId, PackageRef, Pin, RegistryId, RelPath, Sha256};
use crate::ops::bringing::{self, Supplier, Wanted, bring_from};
use crate::ops::contents::{Gathered, Gathering};
use crate::ops::delta::Older;
use crate::ops::exporting;
use crate::ops::hubs::Lender;
use crate::ops::indexes::{self, Indexed};
use crate::ops::locking::{self, Made, Making};
use crate::ops::project::{self, Project};
use crate::ops::registries::Registries;
use crate::ops::sync::{Outcome, Request};
use crate::ops::{LockRule, PipelineError, Question, Services, Travel, report, sources};
use crate::policy::{Cleared, Policy};
use crate::progress::Progress;
use crate::select::{Choice, Groups, Origin, Selected, needed, select};
use crate::store::Store;

/// Bytes above which a question is asked before they travel.
const ASK_ABOVE: u64 = 20_000_000_000;

/// How far to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Write the lock.
    Lock,
    /// Write nothing, and say what would travel for the lock.
    Tell,
    /// Bring the blobs.
    Fetch,
    /// Place the files.
    Place,
}

/// What a verb wants of the pipeline.
pub(super) struct Wish<'a> {
    /// Choice, rules, waiting.
    pub(super) request: &'a Request,
    /// What of the lock is not preferred.
    pub(super) released: Released,
    /// How far to go.
    pub(super) reach: Reach,
    /// Whether `project.manifest_text` differs from the file and must be written.
    pub(super) manifest_changed: bool,
}

/// What of the lock a run does not prefer: it may take what is newer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Released {
    /// Packages.
    pub(super) packages: BTreeSet<PackageRef>,
    /// Sources of the hub.
    pub(super) sources: BTreeSet<SourceId>,
    /// Releases asked for by exact name, yanked or not (`update --precise`).
    pub(super) precise: BTreeSet<PackageId>,
}

impl Released {
    fn is_empty(&self) -> bool {
        self.packages.is_empty() && self.sources.is_empty() && self.precise.is_empty()
    }
}

/// The lock that a run goes on with.
struct Settled {
    fresh: bool,
    old: Option<Lock>,
    lock: Lock,
    statements: BTreeMap<PackageId, VerifiedStatement>,
    tables: BTreeMap<Sha256, Vec<u8>>,
    learnt: BTreeMap<RegistryId, BTreeMap<Namespace, BTreeSet<Fingerprint>>>,
    /// What travelled while it was made.
    travel: Travel,
}

/// Runs as far as wished.
pub(super) fn run(services: &Services, project: &Project, wish: &Wish<'_>) -> Result<Outcome, PipelineError> {
    let request = wish.request;
    let found = project.lock()?;
    let reasons = stale(services, project, found.as_ref())?;
    if request.lock_rule == LockRule::Locked && !reasons.is_empty() {
        return Err(PipelineError::Stale { reasons });
    }
    let fresh = !reasons.is_empty() || !wish.released.is_empty();
    if fresh {
        // Nobody is asked for what would be refused.
        let asked = sources::ids(&project.manifest);
        policy_of(services, &project.manifest, &Lock::default()).judge_sources(asked)?;
    }
    let old = found.map(|found| match found {
        Found::Whole(lock) | Found::Conflict { merged: lock } => lock,
    });
    let require_fresh = project.manifest.policy.require_fresh;
    let gate = if fresh || require_fresh { Gate::NewTrust } else { Gate::Locked };
    let mut registries = Registries::new(services, &project.folder, &project.manifest, old.as_ref(), gate);
    if require_fresh && !fresh {
        // Nothing else may need them: what the lock pins may all be in the store.
        let named: Vec<RegistryId> = old.iter().flat_map(|lock| lock.registries.keys().cloned()).collect();
        for id in &named {
            registries.open(id)?;
        }
    }
    let settled = match old {
        Some(lock) if !fresh => Settled {
            fresh,
            old: Some(lock.clone()),
            lock,
            statements: BTreeMap::new(),
            tables: BTreeMap::new(),
            learnt: BTreeMap::new(),
            travel: Travel::default(),
        },
        old => {
            let making = Making {
                services,
                project: &project.folder,
                manifest: &project.manifest,
                old: old.as_ref(),
                released: wish.released.clone(),
                accepted: &request.accepted,
                registries: &mut registries,
                lender: if request.dry_run { Lender::Nothing } else { Lender::Cache },
            };
            let made = making.make();
            note_refusal(&made, &registries, request, &*services.progress);
            let Made { lock, statements, tables, learnt, travel } = made?;
            Settled { fresh, old, lock, statements, tables, learnt, travel }
        }
    };
    Carrying { services, project, wish, registries }.carry(settled)
}

/// A run that refuses a release remembers the verified head that made it do so: what was revoked stays so without a network.
fn note_refusal<T>(
    result: &Result<T, PipelineError>,
    registries: &Registries<'_>,
    request: &Request,
    progress: &dyn Progress,
) {
    if let Err(error) = result
        && error.class() == Class::Trust
        && !request.dry_run
    {
        for (_, registry) in registries.opened() {
            // The run fails already, and with what matters more.
            let _ = registry.remember(&BTreeMap::new(), progress);
        }
    }
}

/// Every reason why the lock does not answer; sources included.
pub(super) fn stale(
    services: &Services,
    project: &Project,
    found: Option<&Found>,
) -> Result<Vec<String>, PipelineError> {
    match found {
        None => Ok(vec!["there is no Model.lock".to_owned()]),
        Some(Found::Conflict { .. }) => Ok(vec!["Model.lock holds merge-conflict markers".to_owned()]),
        Some(Found::Whole(lock)) => {
            let mut reasons: Vec<String> =
                crate::lock::check(&project.manifest, lock).iter().map(ToString::to_string).collect();
            if reasons.is_empty() {
                reasons = stale_sources(services, project, lock)?;
            }
            Ok(reasons)
        }
    }
}

/// Sources whose folders no longer are what the lock says.
pub(super) fn stale_sources(services: &Services, project: &Project, lock: &Lock) -> Result<Vec<String>, PipelineError> {
    let mut reasons = Vec::new();
    for (id, folder, kind) in sources::of(&project.manifest, &project.folder) {
        let Some(locked) = lock.sources.get(&id) else { continue };
        let now = sources::hash(&folder, kind, &services.cancel)?;
        if now.locked.revision != locked.revision {
            reasons.push(format!("{id} changed: locked {}, now {}", locked.revision, now.locked.revision));
        }
    }
    Ok(reasons)
}

/// What besides manifest and lock decides which files are placed, as text for the receipt.
pub(super) fn settings_text(choice: &Choice, link: LinkMode) -> String {
    format!("{choice:?} {link:?}")
}

/// How files come from the store.
pub(super) fn link_of(services: &Services, request: &Request) -> LinkMode {
    request.link.or(services.config.link).unwrap_or_default()
}

struct Carrying<'a, 'r> {
    services: &'a Services,
    project: &'a Project,
    wish: &'a Wish<'a>,
    registries: Registries<'r>,
}

impl Carrying<'_, '_> {
    fn carry(mut self, mut settled: Settled) -> Result<Outcome, PipelineError> {
        let (services, request) = (self.services, self.wish.request);
        let mut outcome = Outcome {
            project: self.project.folder.clone(),
            dry_run: request.dry_run,
            lock_changes: report::changes(settled.old.as_ref(), &settled.lock),
            lock_entries: (settled.lock.packages.len() + settled.lock.sources.len()) as u64,
            ..Outcome::default()
        };
        if self.wish.reach == Reach::Lock && !settled.fresh {
            outcome.lock_written = self.write(&settled)?;
            return Ok(outcome);
        }
        let store = services.store(request.wait)?;
        let fresh = std::mem::take(&mut settled.statements);
        let gathered = self.gather(&store, &settled, fresh)?;
        if self.wish.reach == Reach::Lock {
            outcome.lock_written = self.write(&settled)?;
            return Ok(outcome);
        }
        let selected = select(&self.project.manifest, &settled.lock, &gathered.contents, &request.choice)?;
        if self.wish.reach == Reach::Tell {
            // Nothing is placed: what the store has need not be hashed, and what policy says is for later.
            let wanted = wanted(&settled.lock, &selected);
            let (needed, mut missing) = bringing::seemingly_missing(&store, &wanted);
            self.older(&store, &settled, &needed, &mut missing)?;
            outcome.travel = missing;
            return Ok(outcome);
        }
        let layouts = self.lay_out(&settled.lock, &gathered, &selected)?;
        let policy = policy_of(services, &self.project.manifest, &settled.lock);
        let approved = policy.judge(&selected)?;
        outcome.packages = report::lines(&settled.lock, &selected);
        outcome.unsigned = report::unsigned(&outcome.packages);
        outcome.layouts = report::layouts(&self.project.manifest);
        let wanted = wanted(&settled.lock, &selected);
        if !request.dry_run {
            // What is named here, no collection removes from now on.
            let mut digests: BTreeSet<Sha256> = gathered.describing;
            digests.extend(selected.pins().iter().map(|pin| pin.sha256));
            digests.extend(selected.indexes());
            digests.extend(layouts.iter().flat_map(Layout::made_digests));
            match &request.export {
                // What is taken elsewhere is not what the project needs.
                Some(_) => store.claim(&selected.pins())?,
                None => store.keep(&self.project.folder, &digests, services.now)?,
            }
            outcome.travel = bringing::seed(services, &store, &wanted)?;
        }
        let (needed, mut missing) = bringing::missing(&store, &wanted)?;
        let (older, indexes) = self.older(&store, &settled, &needed, &mut missing)?;
        outcome.travel.add(&settled.travel);
        outcome.travel.after(&missing);
        outcome.travel.add(&gathered.travel);
        outcome.travel.add(&indexes);
        if request.dry_run {
            return Ok(outcome);
        }
        let travel = missing;
        if let Some(export) = &request.export {
            exporting::site(&store, export, link_of(services, request))
                .foresee_layer((&selected, &layouts), &services.cancel)?;
        } else if self.wish.reach == Reach::Place && travel.blobs > 0 {
            let site = Site { project: &self.project.folder, store: &store, link: LinkMode::Auto };
            site.foresee((&selected, &layouts), site.receipt()?.as_ref(), on_changed(request), &services.cancel)?;
        }
        ask_about(services, request.accepted.yes, &travel)?;
        if travel.blobs > 0 {
            bring_from(services, &store, &mut self.registries, &wanted, &older)?;
        }
        bringing::bring_sources(services, &store, &self.project.folder, &selected)?;
        if self.wish.reach == Reach::Fetch {
            outcome.lock_written = self.write(&settled)?;
            return Ok(outcome);
        }
        let facts = inspect(&store, &selected, &services.cancel)?;
        let cleared = policy.clear(approved, &facts)?;
        tell(services, &cleared);
        for bytes in layouts.iter().flat_map(Layout::made) {
            store.put_bytes(bytes)?;
        }
        if let Some(export) = &request.export {
            outcome.lock_written = self.write(&settled)?;
            let carried = Carried { services, project: self.project, store: &store, lock: &settled.lock };
            let placing = Placing { cleared: &cleared, layouts: &layouts };
            return exporting::export(&carried, request, export, placing, outcome);
        }
        self.place(&store, &settled, Placing { cleared: &cleared, layouts: &layouts }, outcome)
    }

    /// What earlier releases lend of what is missing, taken off from what will travel; and what travelled to know that.
    fn older(
        &mut self,
        store: &Store,
        settled: &Settled,
        needed: &BTreeMap<Pin, &Wanted>,
        missing: &mut Travel,
    ) -> Result<(Older, Travel), PipelineError> {
        let site = Site { project: &self.project.folder, store, link: LinkMode::Auto };
        // A receipt that can't be read says nothing here; where files are placed it is an error.
        let receipt = site.receipt().ok().flatten();
        let older = Older::of(store, needed, settled.old.as_ref(), receipt.as_ref());
        let mut travel = indexes::foresee(self.services, store, &mut self.registries, needed, &older)?;
        missing.lent(travel.seeded_bytes);
        (travel.seeded_bytes, travel.reused_blobs, travel.reused_bytes) = (0, 0, 0);
        Ok((older, travel))
    }

    fn lay_out(&self, lock: &Lock, gathered: &Gathered, selected: &Selected) -> Result<Vec<Layout>, PipelineError> {
        Ok(lay_out(&self.project.manifest.install.layouts, lock, &gathered.contents, selected)?)
    }

    /// What the lock's releases hold; a lock that is made anew is looked at whole, so that collisions between groups are
    /// found now, not on the machine that installs both.
    fn gather(
        &mut self,
        store: &Store,
        settled: &Settled,
        fresh: BTreeMap<PackageId, VerifiedStatement>,
    ) -> Result<Gathered, PipelineError> {
        let everything = Choice { groups: Groups::All, profile: None, only: BTreeSet::new() };
        let choice = if settled.fresh { &everything } else { &self.wish.request.choice };
        let (releases, sources) = needed(&self.project.manifest, &settled.lock, choice);
        let gathering = Gathering {
            services: self.services,
            project: self.project,
            store,
            registries: &mut self.registries,
            lock: &settled.lock,
            doubted: locking::doubted(self.services, &settled.lock)?,
            tables: &settled.tables,
        };
        let gathered = gathering.gather(&releases, &sources, fresh);
        note_refusal(&gathered, &self.registries, self.wish.request, &*self.services.progress);
        let gathered = gathered?;
        self.learn(settled)?;
        if settled.fresh {
            let selected = select(&self.project.manifest, &settled.lock, &gathered.contents, &everything)?;
            self.lay_out(&settled.lock, &gathered, &selected)?;
        }
        Ok(gathered)
    }

    /// Places what was cleared; manifest and lock are written between the plan, which may refuse, and the first file.
    fn place(
        &self,
        store: &Store,
        settled: &Settled,
        placing: Placing<'_>,
        mut outcome: Outcome,
    ) -> Result<Outcome, PipelineError> {
        let (services, request) = (self.services, self.wish.request);
        let link = link_of(services, request);
        let site = Site { project: &self.project.folder, store, link };
        let receipt = site.receipt()?;
        let mut plan = site.plan_with(placing, receipt.as_ref(), on_changed(request))?;
        plan.statements =
            settled.lock.packages.iter().map(|(id, locked)| (id.clone(), locked.statement.sha256)).collect();
        plan.choice = request.choice.clone();
        plan.meaning = Some(project::meaning(&self.project.manifest, &settled.lock, &request.choice));
        outcome.lock_written = self.write(settled)?;
        let text = settings_text(&request.choice, link);
        let inputs = project::inputs(&self.project.manifest_text, &settled.lock.render(), &text);
        let selected = placing.cleared.selected();
        outcome.changed = changed(&plan, selected);
        outcome.removed = report::removed(receipt.as_ref(), selected);
        outcome.applied = site.apply(&plan, placing, inputs, &services.cancel, &*services.progress)?;
        outcome.up_to_date = plan.is_empty() && !outcome.lock_written && !self.wish.manifest_changed;
        Ok(outcome)
    }

    /// Memory is written once everything that it says was verified.
    fn learn(&self, settled: &Settled) -> Result<(), PipelineError> {
        if self.wish.request.dry_run {
            return Ok(());
        }
        let nothing = BTreeMap::new();
        for (id, registry) in self.registries.opened() {
            registry.remember(settled.learnt.get(id).unwrap_or(&nothing), &*self.services.progress)?;
        }
        Ok(())
    }

    /// Writes Model.toml, tables and Model.lock where they differ. The manifest goes first: a lock that is behind it is
    /// healed by the next run.
    fn write(&self, settled: &Settled) -> Result<bool, PipelineError> {
        if self.wish.request.dry_run {
            return Ok(false);
        }
        let folder = &self.project.folder;
        if self.wish.manifest_changed {
            project::write(&folder.join("Model.toml"), self.project.manifest_text.as_bytes())?;
        }
        for (digest, table) in &settled.tables {
            let tables = folder.join("Model.lock.d");
            std::fs::create_dir_all(&tables)
                .map_err(|source| crate::ops::ProjectError::Write { path: tables.clone(), source })?;
            project::write(&tables.join(format!("{digest}.json")), table)?;
        }
        let text = settled.lock.render();
        if self.project.lock_text.as_deref() == Some(text.as_str()) {
            return Ok(false);
        }
        crate::sys::fault::point("lock-write")
            .map_err(|source| crate::ops::ProjectError::Write { path: folder.join("Model.lock"), source })?;
        project::write(&folder.join("Model.lock"), text.as_bytes())?;
        project::forget_tables(folder, &settled.lock);
        Ok(true)
    }
}

/// How far a run has come when files are placed.
pub(super) struct Carried<'a> {
    pub(super) services: &'a Services,
    pub(super) project: &'a Project,
    pub(super) store: &'a Store,
    pub(super) lock: &'a Lock,
}

fn on_changed(request: &Request) -> OnChanged {
    if request.force { OnChanged::Replace } else { OnChanged::Refuse }
}

/// Large transfers are a question.
pub(super) fn ask_about(services: &Services, yes: bool, travel: &Travel) -> Result<(), PipelineError> {
    if travel.bytes <= ASK_ABOVE || yes {
        return Ok(());
    }
    let text = format!("{} will travel; {} are free. Go on?", HumanSize(travel.bytes), HumanSize(travel.free));
    match services.ask.ask(&Question::Confirm { text: text.clone() }) {
        Some(0) => Ok(()),
        Some(_) => Err(PipelineError::Cancelled),
        None => Err(PipelineError::Unanswered { question: text, flag: "--yes" }),
    }
}

/// What a person should know of content that is allowed all the same.
pub(super) fn tell(services: &Services, cleared: &Cleared<'_>) {
    let progress = &*services.progress;
    let mut code: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (origin, path) in cleared.code() {
        code.entry(origin.to_string()).or_default().push(path.to_string());
    }
    for (origin, paths) in code {
        let shown = paths.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
        let more = if paths.len() > 5 { format!(" and {} more", paths.len() - 5) } else { String::new() };
        progress
            .note("code", format!("{origin} holds code that its publisher declares: {shown}{more}; nothing runs it"));
    }
    for (id, rules) in cleared.overridden() {
        let rules = rules.iter().cloned().collect::<Vec<_>>().join(", ");
        progress
            .warn("unsafe", format!("{id} is placed because [policy.unsafe] allows {rules}: loading it can run code"));
    }
}

/// The project's policy with what the lock says of its subjects; what the machine forbids the project can't allow.
pub(super) fn policy_of(services: &Services, manifest: &Manifest, lock: &Lock) -> Policy {
    let mut declared = manifest.policy.clone();
    if services.config.deny_unsigned {
        declared.unsigned = Unsigned::Deny;
    }
    Policy {
        declared,
        statements: lock.packages.iter().map(|(id, locked)| (id.clone(), locked.statement.sha256)).collect(),
        commits: lock
            .sources
            .iter()
            .filter_map(|(id, locked)| Some((id.clone(), (locked.commit()?, locked.table_digest()))))
            .collect(),
    }
}

pub(super) fn wanted(lock: &Lock, selected: &Selected) -> Vec<Wanted> {
    let mut wanted = Vec::new();
    for package in selected.packages() {
        let supplier = |path: &RelPath| match &package.origin {
            Origin::Release(id) => Some((id.package.name.to_string(), Supplier::Registry(id.package.registry.clone()))),
            Origin::Source(source) => {
                let (id, commit) = (source.hub()?.clone(), lock.sources.get(source)?.commit()?);
                Some((id.name(), Supplier::Hub { id, commit, path: path.clone() }))
            }
        };
        wanted.extend(package.files.iter().filter_map(|file| {
            let (name, supplier) = supplier(&file.release_path)?;
            let indexed = file.chunks.and_then(|index| Indexed::of(lock, &package.origin, &file.release_path, index));
            let what = format!("{name} {}", file.release_path);
            Some(Wanted { pin: file.pin, what, supplier, pack: file.pack, indexed })
        }));
    }
    wanted
}

/// Folders of packages that a plan touches.
pub(super) fn changed(plan: &Plan, selected: &Selected) -> Vec<RelPath> {
    let touched = |folder: &RelPath| plan.place.iter().any(|(path, _)| path.strip_prefix(folder).is_some());
    selected.packages().iter().map(|package| package.folder.clone()).filter(touched).collect()
}
