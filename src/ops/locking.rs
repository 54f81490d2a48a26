//! Making a lock: requirements to releases, releases to signed statements, statements to entries.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::{ListedRelease, Listing, Snapshot};
use crate::index::{Familiarity, IndexError, Memory, VerifiedStatement};
use crate::lock::{Lock, LockedPackage, LockedRegistry, SourceId, Target, expected_overrides};
use crate::manifest::{DependencySource, Manifest};
use crate::model::{Fingerprint, Namespace, PackageId, PackageName, PackageRef, RegistryId};
use crate::ops::hubs::{self, Lender};
use crate::ops::pipeline::Released;
use crate::ops::project;
use crate::ops::registries::Registries;
use crate::ops::sources::{self, Hashed};
use crate::ops::{Accepted, PipelineError, Question, Services, Travel};
use crate::resolve::{self, MinimumAge, NoSolution, Preferences, Resolution, RootRequirement, Step};
use crate::sys::NetworkPolicy;

/// What a lock is made from.
pub(super) struct Making<'a, 'r> {
    /// The world.
    pub(super) services: &'a Services,
    /// The project's folder.
    pub(super) project: &'a std::path::Path,
    /// What is wanted.
    pub(super) manifest: &'a Manifest,
    /// The lock before, if any: preferences.
    pub(super) old: Option<&'a Lock>,
    /// What of it is not preferred.
    pub(super) released: Released,
    /// What a person has accepted.
    pub(super) accepted: &'a Accepted,
    /// The registries of this run.
    pub(super) registries: &'a mut Registries<'r>,
    /// What may lend files of the hub.
    pub(super) lender: Lender,
}

/// A new lock and what was learnt on the way.
pub(super) struct Made {
    /// The lock.
    pub(super) lock: Lock,
    /// Statements that this run verified.
    pub(super) statements: BTreeMap<PackageId, VerifiedStatement>,
    /// File tables of sources that do not fit into the lock.
    pub(super) tables: BTreeMap<crate::model::Sha256, Vec<u8>>,
    /// Keys that the user has now accepted, by registry and namespace.
    pub(super) learnt: BTreeMap<RegistryId, BTreeMap<Namespace, BTreeSet<Fingerprint>>>,
    /// What was read of the hub's small files on the way.
    pub(super) travel: Travel,
}

impl Making<'_, '_> {
    /// Resolves, verifies and pins.
    pub(super) fn make(mut self) -> Result<Made, PipelineError> {
        self.check_roots()?;
        let (resolution, snapshot) = self.resolve()?;
        let mut made = Made {
            lock: Lock::default(),
            statements: BTreeMap::new(),
            tables: BTreeMap::new(),
            learnt: BTreeMap::new(),
            travel: Travel::default(),
        };
        for ((key, group), id) in &resolution.direct {
            made.lock.direct.insert((key.clone(), group.clone()), Target::Release(id.clone()));
        }
        for (id, resolved) in &resolution.releases {
            let listed = listed(&snapshot, id)?;
            let locked = self.pin(id, listed, &resolved.dependencies, &mut made)?;
            made.lock.packages.insert(id.clone(), locked);
        }
        self.tell_yanked(&snapshot)?;
        self.add_sources(&mut made)?;
        self.add_unsafe(&mut made);
        self.add_registries(&mut made)?;
        Ok(made)
    }

    /// Another first root is another registry: a person must say so.
    fn check_roots(&self) -> Result<(), PipelineError> {
        let Some(old) = self.old else { return Ok(()) };
        for (id, locked) in &old.registries {
            if let Some(declared) = self.manifest.registries.get(id)
                && declared.root != locked.root
                && !self.accepted.roots.contains(&declared.root)
            {
                return Err(PipelineError::RootChanged {
                    registry: id.clone(),
                    found: declared.root,
                    locked: locked.root,
                });
            }
        }
        Ok(())
    }

    fn resolve(&mut self) -> Result<(Resolution, Snapshot), PipelineError> {
        let question =
            resolve::Question { roots: roots(self.manifest)?, registries: self.registries.ids().cloned().collect() };
        let prefer = self.preferences();
        let mut snapshot = Snapshot::default();
        loop {
            match resolve::resolve(&question, &snapshot, &prefer) {
                Ok(Step::Done(resolution)) => return Ok((resolution, snapshot)),
                Ok(Step::Need(packages)) => self.load(&packages, &mut snapshot)?,
                Err(error) => return Err(self.with_near_names(error)),
            }
        }
    }

    /// Who asks for a yanked release by its exact name should know why it was yanked.
    fn tell_yanked(&mut self, snapshot: &Snapshot) -> Result<(), PipelineError> {
        for id in self.released.precise.clone() {
            let release = listed(snapshot, &id)?;
            let Some(record) = self.registries.open(&id.package.registry)?.yank(&id.package.name, release)? else {
                continue;
            };
            let reason = record.reason.escape_debug();
            self.services.progress.warn("yanked", format!("{id} is yanked, and taken because you named it: {reason}"));
        }
        Ok(())
    }

    fn load(&mut self, packages: &BTreeSet<PackageRef>, snapshot: &mut Snapshot) -> Result<(), PipelineError> {
        let mut by_registry: BTreeMap<RegistryId, BTreeSet<PackageName>> = BTreeMap::new();
        for package in packages {
            by_registry.entry(package.registry.clone()).or_default().insert(package.name.clone());
        }
        for (registry, names) in by_registry {
            let listings = if self.accepted.available {
                self.available(&registry, &names)?
            } else {
                self.registries.open(&registry)?.listings(&names)?
            };
            for (name, listing) in listings {
                let package = PackageRef { registry: registry.clone(), name };
                self.check_still_listed(&package)?;
                snapshot.listings.insert(package, listing);
            }
        }
        Ok(())
    }

    /// Listings of what is in the copy that is read: releases whose statements are not there are left out, with a word.
    fn available(
        &mut self,
        registry: &RegistryId,
        names: &BTreeSet<PackageName>,
    ) -> Result<BTreeMap<PackageName, Option<Listing>>, PipelineError> {
        let opened = self.registries.open(registry)?;
        let mut found = BTreeMap::new();
        for name in names {
            let package = PackageRef { registry: registry.clone(), name: name.clone() };
            let mut listing = match opened.listings(&BTreeSet::from([name.clone()])) {
                Ok(mut found) => found.remove(name).flatten(),
                // It is not in this copy, which does not mean that it does not exist.
                Err(IndexError::Missing { .. }) => Some(Listing { package, releases: BTreeMap::new() }),
                Err(error) => return Err(error.into()),
            };
            if let Some(listing) = &mut listing {
                let all = listing.releases.len();
                let here = opened.here(listing.releases.values())?;
                listing.releases.retain(|_, release| here.contains(&release.event.statement.sha256));
                let left = all.saturating_sub(listing.releases.len());
                if left > 0 || all == 0 {
                    let text = format!(
                        "{left} of {all} releases of {name} are not in this copy of {registry}, and passed over"
                    );
                    self.services.progress.note("available", text);
                }
            }
            found.insert(name.clone(), listing);
        }
        Ok(found)
    }

    /// Logs only grow: what the old lock pins of a package is still there, or somebody took it away. Otherwise a cut log would
    /// lead an update back to an older version. Another epoch may have another history.
    fn check_still_listed(&mut self, package: &PackageRef) -> Result<(), PipelineError> {
        if !self.keeps_root(&package.registry) {
            return Ok(());
        }
        let Some(old) = self.old else { return Ok(()) };
        let registry = self.registries.open(&package.registry)?;
        let epoch = registry.floor().checkpoint.epoch;
        if old.registries.get(&package.registry).is_none_or(|locked| locked.floor.checkpoint.epoch != epoch) {
            return Ok(());
        }
        for (id, locked) in old.packages.iter().filter(|(id, _)| id.package == *package) {
            registry.still_lists(&package.name, &id.version, &locked.statement)?;
        }
        Ok(())
    }

    fn with_near_names(&mut self, error: NoSolution) -> PipelineError {
        let Some(package) = error.unknown_package().cloned() else { return error.into() };
        let asked_by = error.explain();
        let near = self.registries.open(&package.registry).map(|registry| registry.names_near(&package.name));
        PipelineError::UnknownPackage {
            name: package.name,
            registry: package.registry,
            asked_by,
            near: near.unwrap_or_default().iter().map(ToString::to_string).collect(),
            offline: self.services.http.policy() == NetworkPolicy::Offline,
        }
    }

    fn preferences(&self) -> Preferences {
        let mut prefer = Preferences {
            released: self.released.packages.clone(),
            precise: self.released.precise.clone(),
            minimum_age: minimum_age(self.services, self.manifest),
            offline: self.services.http.policy() == NetworkPolicy::Offline,
            ..Preferences::default()
        };
        for id in self.old.into_iter().flat_map(|lock| lock.packages.keys()) {
            if self.keeps_root(&id.package.registry) {
                prefer.locked.entry(id.package.clone()).or_default().insert(id.version.clone());
            }
        }
        let stays =
            |id: &PackageId| self.keeps_root(&id.package.registry) && !self.released.packages.contains(&id.package);
        for (key, target) in self.old.into_iter().flat_map(|lock| &lock.direct) {
            if let Target::Release(id) = target
                && stays(id)
            {
                prefer.direct.insert(key.clone(), id.clone());
            }
        }
        for (id, locked) in self.old.into_iter().flat_map(|lock| &lock.packages) {
            let edges: BTreeSet<PackageId> = locked.dependencies.iter().filter(|id| stays(id)).cloned().collect();
            if stays(id) && !edges.is_empty() {
                prefer.edges.insert(id.clone(), edges);
            }
        }
        prefer
    }

    /// Whether the old lock speaks of the same registry: its versions and floors count only then.
    fn keeps_root(&self, id: &RegistryId) -> bool {
        let locked = self.old.and_then(|lock| lock.registries.get(id)).map(|registry| registry.root);
        let declared = self.manifest.registries.get(id).map(|registry| registry.root);
        locked.is_some() && locked == declared
    }

    fn old_entry(&self, id: &PackageId) -> Option<&LockedPackage> {
        if self.keeps_root(&id.package.registry) { self.old?.packages.get(id) } else { None }
    }

    /// The entry of one release: its statement verified, its signers known or accepted.
    fn pin(
        &mut self,
        id: &PackageId,
        listed: &ListedRelease,
        dependencies: &[PackageId],
        made: &mut Made,
    ) -> Result<LockedPackage, PipelineError> {
        let event = &listed.event;
        let old = self.old_entry(id).cloned();
        if let Some(old) = &old
            && old.statement != event.statement
        {
            return Err(PipelineError::PinDisagrees {
                package: id.to_string(),
                what: "the statement",
                locked: old.statement.sha256.prefixed(),
                found: event.statement.sha256.prefixed(),
            });
        }
        let registry = self.registries.open(&id.package.registry)?;
        let verified = registry.statement(&id.package.name, listed)?;
        let signers = verified.signers.clone();
        made.statements.insert(id.clone(), verified);
        // A release that was locked with these signers was accepted when it was locked.
        if old.as_ref().is_none_or(|old| !old.signers.is_subset(&signers)) {
            self.accept_signers(id, &signers, made)?;
        }
        Ok(LockedPackage {
            kind: event.kind,
            statement: event.statement,
            signers: old.filter(|old| old.signers.is_subset(&signers)).map_or(signers, |old| old.signers),
            size: event.size,
            dependencies: dependencies.iter().cloned().collect(),
        })
    }

    fn accept_signers(
        &mut self,
        id: &PackageId,
        signers: &BTreeSet<Fingerprint>,
        made: &mut Made,
    ) -> Result<(), PipelineError> {
        let namespace = id.package.name.namespace();
        let locked = self.locked_signers(id);
        let registry = self.registries.open(&id.package.registry)?;
        if let Familiarity::Changed { remembered } = registry.knows_signers(&namespace, signers, &locked)? {
            let confirmed = signers.is_subset(&self.accepted.keys)
                || {
                    let text = format!(
                        "{id} is signed by {}, but {namespace} was known to publish with {}. Did the publisher confirm this through another channel?",
                        short(signers),
                        short(&remembered)
                    );
                    self.services.ask.ask(&Question::Confirm { text }) == Some(0)
                };
            if !confirmed {
                return Err(PipelineError::SignersChanged {
                    package: id.to_string(),
                    namespace,
                    found: signers.clone(),
                    remembered,
                });
            }
        }
        made.learnt.entry(id.package.registry.clone()).or_default().entry(namespace).or_default().extend(signers);
        Ok(())
    }

    /// Signers that the old lock remembers for the namespace of a release.
    fn locked_signers(&self, id: &PackageId) -> BTreeSet<Fingerprint> {
        if !self.keeps_root(&id.package.registry) {
            return BTreeSet::new();
        }
        let same = |other: &PackageId| {
            other.package.registry == id.package.registry
                && other.package.name.namespace() == id.package.name.namespace()
        };
        let entries = self.old.into_iter().flat_map(|lock| &lock.packages);
        entries.filter(|(other, _)| same(other)).flat_map(|(_, locked)| locked.signers.iter().copied()).collect()
    }

    fn add_sources(&self, made: &mut Made) -> Result<(), PipelineError> {
        for (id, folder, kind) in sources::of(self.manifest, self.project) {
            let hashed = sources::hash(&folder, kind, &self.services.cancel)?;
            put_source(made, id, hashed);
        }
        for id in sources::hub_ids(self.manifest) {
            // A commit never changes: what the lock has of it stays, and the hub is not asked.
            let locked = self.old.and_then(|old| old.sources.get(&id));
            if let Some(locked) = locked.filter(|_| !self.released.sources.contains(&id)) {
                made.lock.sources.insert(id, locked.clone());
            } else {
                let known = locked.map(|locked| project::locked_files(self.project, locked)).unwrap_or_default();
                let (hashed, travel) = hubs::lock(self.services, &id, (self.lender, &known, self.accepted.yes))?;
                made.travel.add(&travel);
                put_source(made, id, hashed);
            }
        }
        for dependency in &self.manifest.dependencies {
            if let Some(id) = sources::id_of(dependency) {
                made.lock.direct.insert((dependency.key.clone(), dependency.group.clone()), Target::Source(id));
            }
        }
        Ok(())
    }

    fn add_unsafe(&self, made: &mut Made) {
        made.lock.unsafe_releases = expected_overrides(self.manifest, &made.lock);
    }

    /// Registries with their floors. A floor rises only together with an entry of its registry, so that a lock does not
    /// change because time passed.
    fn add_registries(&mut self, made: &mut Made) -> Result<(), PipelineError> {
        let used: BTreeSet<RegistryId> = made.lock.packages.keys().map(|id| id.package.registry.clone()).collect();
        for id in used {
            let root = self.registries.declaration(&id)?.root;
            let entries = |lock: &Lock| -> BTreeMap<PackageId, LockedPackage> {
                lock.packages
                    .iter()
                    .filter(|(package, _)| package.package.registry == id)
                    .map(|(package, locked)| (package.clone(), locked.clone()))
                    .collect()
            };
            let before = self.old.filter(|_| self.keeps_root(&id));
            let old_floor = before.and_then(|lock| lock.registries.get(&id)).map(|registry| registry.floor);
            let unchanged = before.is_some_and(|lock| entries(lock) == entries(&made.lock));
            let floor = match old_floor {
                Some(floor) if unchanged => floor,
                Some(floor) => floor.highest(self.registries.open(&id)?.floor()),
                None => self.registries.open(&id)?.floor(),
            };
            made.lock.registries.insert(id, LockedRegistry { root, floor });
        }
        Ok(())
    }
}

fn put_source(made: &mut Made, id: SourceId, hashed: Hashed) {
    if let Some(table) = hashed.table {
        made.tables.insert(crate::model::Sha256::of(&table), table);
    }
    made.lock.sources.insert(id, hashed.locked);
}

fn short(keys: &BTreeSet<Fingerprint>) -> String {
    keys.iter().map(Fingerprint::short).collect::<Vec<_>>().join(", ")
}

fn listed<'s>(snapshot: &'s Snapshot, id: &PackageId) -> Result<&'s ListedRelease, PipelineError> {
    let listing = snapshot.listings.get(&id.package).and_then(Option::as_ref);
    listing.and_then(|listing| listing.releases.get(&id.version)).ok_or_else(|| PipelineError::NoRelease {
        name: id.package.name.clone(),
        requirement: id.version.to_string(),
        versions: Vec::new(),
    })
}

/// How old a release must be to be picked: what the project says, or this machine if that is longer.
pub(super) fn minimum_age(services: &Services, manifest: &Manifest) -> Option<MinimumAge> {
    let now = services.now;
    let project = manifest.policy.minimum_age.map(|(age, line)| MinimumAge { now, age, line: Some(line) });
    let machine = services.config.minimum_age.map(|age| MinimumAge { now, age, line: None });
    match (project, machine) {
        (Some(project), Some(machine)) if machine.age > project.age => Some(machine),
        (project, machine) => project.or(machine),
    }
}

/// The project's own requirements, each bound to the registry that answers it.
pub(super) fn roots(manifest: &Manifest) -> Result<Vec<RootRequirement>, PipelineError> {
    let mut roots = Vec::new();
    for dependency in &manifest.dependencies {
        if let DependencySource::Registry { package, requirement, registry, unique } = &dependency.source {
            let registry = manifest.registry_for(package, registry.as_ref())?.clone();
            roots.push(RootRequirement {
                key: dependency.key.clone(),
                group: dependency.group.clone(),
                package: PackageRef { registry, name: package.clone() },
                requirement: requirement.clone(),
                unique: *unique,
                line: dependency.line,
            });
        }
    }
    Ok(roots)
}

/// Entries of a lock that stored revocations speak against: their records count for nothing until a registry says otherwise.
pub(super) fn doubted(services: &Services, lock: &Lock) -> Result<BTreeMap<PackageId, String>, PipelineError> {
    let mut doubted = BTreeMap::new();
    for (registry, locked) in &lock.registries {
        let memory = Memory::load(&services.folders.trust, &locked.root)?;
        let revoked = memory.revocations();
        if revoked.keys.is_empty() && revoked.releases.is_empty() {
            continue;
        }
        for (id, entry) in lock.packages.iter().filter(|(id, _)| id.package.registry == *registry) {
            let by_key = entry.signers.iter().find_map(|key| revoked.keys.get(key));
            if let Some(reason) = revoked.releases.get(&entry.statement.sha256).or(by_key) {
                doubted.insert(id.clone(), reason.escape_debug().to_string());
            }
        }
    }
    Ok(doubted)
}
