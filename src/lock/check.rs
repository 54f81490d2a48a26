//! Whether a lock still answers Model.toml, and why not.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::lock::{Lock, LockedUnsafe, SourceId, Target};
use crate::manifest::{Dependency, DependencySource, Manifest, UnsafeSubject};
use crate::model::{
    DependencyKey, GroupName, PackageId, PackageKind, PackageName, PackageRef, RegistryId, Requirement, Sha256,
};

/// One reason why a lock is stale. Lines are those of Model.toml.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stale {
    /// A dependency that the lock does not have.
    Missing {
        /// Its key.
        key: DependencyKey,
        /// Its group.
        group: Option<GroupName>,
        /// Its line.
        line: usize,
    },
    /// A dependency that the lock has in other groups only.
    Group {
        /// Its key.
        key: DependencyKey,
        /// The group in Model.toml.
        expected: Option<GroupName>,
        /// The group in the lock.
        found: Option<GroupName>,
        /// Its line.
        line: usize,
    },
    /// A dependency that comes from elsewhere than the lock says: another package, registry or folder.
    Source {
        /// Its key.
        key: DependencyKey,
        /// What Model.toml asks for.
        expected: String,
        /// What the lock has.
        found: String,
        /// Its line.
        line: usize,
    },
    /// A locked version that the requirement does not let in.
    Version {
        /// Its key.
        key: DependencyKey,
        /// The requirement.
        expected: Requirement,
        /// The release in the lock.
        found: PackageId,
        /// Its line.
        line: usize,
    },
    /// A dependency in the table of another kind.
    Kind {
        /// Its key.
        key: DependencyKey,
        /// The table's kind.
        expected: PackageKind,
        /// The kind in the lock.
        found: PackageKind,
        /// Its line.
        line: usize,
    },
    /// A package that must have one version and has several.
    Unique {
        /// Its key.
        key: DependencyKey,
        /// The package.
        package: PackageRef,
        /// How many versions the lock has.
        found: usize,
        /// Its line.
        line: usize,
    },
    /// Nothing in Model.toml says which registry answers.
    NoRegistry {
        /// Its key.
        key: DependencyKey,
        /// The package.
        name: PackageName,
        /// Its line.
        line: usize,
    },
    /// An entry for a dependency that Model.toml does not have.
    Orphan {
        /// Its key.
        key: DependencyKey,
        /// Its group.
        group: Option<GroupName>,
    },
    /// An entry that nothing leads to.
    Unreached {
        /// The entry.
        entry: String,
    },
    /// An edge without its entry.
    Dangling {
        /// The entry that the edge begins at.
        from: String,
        /// What it leads to.
        to: String,
    },
    /// A registry in the lock that Model.toml does not have.
    Registry {
        /// The registry.
        id: RegistryId,
    },
    /// A registry whose root is another.
    Root {
        /// The registry.
        id: RegistryId,
        /// The root in Model.toml.
        expected: Sha256,
        /// The root in the lock.
        found: Sha256,
        /// Its line.
        line: usize,
    },
    /// An override of the format gate that differs.
    Unsafe {
        /// The release or source.
        package: Target,
        /// What Model.toml says.
        expected: Option<LockedUnsafe>,
        /// What the lock says.
        found: Option<LockedUnsafe>,
        /// Its line, where Model.toml has it.
        line: Option<usize>,
    },
}

/// Every reason why the lock does not answer the manifest; empty: it does. Pure: `path` sources are checked by whoever can
/// read them.
pub fn check(manifest: &Manifest, lock: &Lock) -> Vec<Stale> {
    let mut reasons = Vec::new();
    registries(manifest, lock, &mut reasons);
    for dependency in &manifest.dependencies {
        dependency_reasons(manifest, lock, dependency, &mut reasons);
    }
    orphans(manifest, lock, &mut reasons);
    reasons.extend(dangling(lock).into_iter().map(|(from, to)| Stale::Dangling { from, to }));
    unreached(lock, &mut reasons);
    overrides(manifest, lock, &mut reasons);
    reasons
}

fn registries(manifest: &Manifest, lock: &Lock, reasons: &mut Vec<Stale>) {
    for (id, locked) in &lock.registries {
        match manifest.registries.get(id) {
            None => reasons.push(Stale::Registry { id: id.clone() }),
            Some(declared) if declared.root != locked.root => reasons.push(Stale::Root {
                id: id.clone(),
                expected: declared.root,
                found: locked.root,
                line: declared.line,
            }),
            Some(_) => {}
        }
    }
}

fn dependency_reasons(manifest: &Manifest, lock: &Lock, dependency: &Dependency, reasons: &mut Vec<Stale>) {
    let (key, line) = (dependency.key.clone(), dependency.line);
    let place = (key.clone(), dependency.group.clone());
    let Some(target) = lock.direct.get(&place) else {
        let other = lock.direct.keys().find(|(other, group)| {
            *other == key && !manifest.dependencies.iter().any(|d| d.key == key && d.group == *group)
        });
        reasons.push(match other {
            Some((_, found)) => Stale::Group { key, expected: dependency.group.clone(), found: found.clone(), line },
            None => Stale::Missing { key, group: dependency.group.clone(), line },
        });
        return;
    };
    let differs = |expected: String| Stale::Source { key: key.clone(), expected, found: target.to_string(), line };
    let found_kind = match target {
        Target::Release(id) => lock.packages.get(id).map(|package| package.kind),
        Target::Source(id) => lock.sources.get(id).map(|source| source.kind),
    };
    match (&dependency.source, target) {
        (DependencySource::Path(path), Target::Source(id)) if SourceId::path(path) == *id => {}
        (DependencySource::Path(path), _) => reasons.push(differs(SourceId::path(path).to_string())),
        (DependencySource::Hub(hub), Target::Source(id)) if id.hub() == Some(hub) => {}
        (DependencySource::Hub(hub), _) => reasons.push(differs(hub.to_string())),
        (DependencySource::Registry { package, requirement, registry, unique }, target) => {
            let Ok(registry) = manifest.registry_for(package, registry.as_ref()) else {
                reasons.push(Stale::NoRegistry { key, name: package.clone(), line });
                return;
            };
            let wanted = PackageRef { registry: registry.clone(), name: package.clone() };
            match target {
                Target::Release(id) if id.package == wanted => {
                    if !requirement.matches(&id.version) {
                        reasons.push(Stale::Version {
                            key: key.clone(),
                            expected: requirement.clone(),
                            found: id.clone(),
                            line,
                        });
                    }
                    let found = lock.packages.keys().filter(|other| other.package == wanted).count();
                    if *unique && found > 1 {
                        reasons.push(Stale::Unique { key: key.clone(), package: wanted, found, line });
                    }
                }
                _ => reasons.push(differs(wanted.to_string())),
            }
        }
    }
    if let Some(found) = found_kind
        && found != dependency.kind
    {
        reasons.push(Stale::Kind { key, expected: dependency.kind, found, line });
    }
}

fn orphans(manifest: &Manifest, lock: &Lock, reasons: &mut Vec<Stale>) {
    let wanted: BTreeSet<(&DependencyKey, Option<&GroupName>)> =
        manifest.dependencies.iter().map(|dependency| (&dependency.key, dependency.group.as_ref())).collect();
    for (key, group) in lock.direct.keys() {
        let moved = reasons
            .iter()
            .any(|reason| matches!(reason, Stale::Group { key: moved, found, .. } if moved == key && found == group));
        if !wanted.contains(&(key, group.as_ref())) && !moved {
            reasons.push(Stale::Orphan { key: key.clone(), group: group.clone() });
        }
    }
}

/// Edges of a lock without their entries: where each begins, and what it leads to.
pub(super) fn dangling(lock: &Lock) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for ((key, _), target) in &lock.direct {
        let there = match target {
            Target::Release(id) => lock.packages.contains_key(id),
            Target::Source(id) => lock.sources.contains_key(id),
        };
        if !there {
            found.push((key.to_string(), target.to_string()));
        }
    }
    for (id, package) in &lock.packages {
        if !lock.registries.contains_key(&id.package.registry) {
            found.push((id.to_string(), format!("the registry {}", id.package.registry)));
        }
        let missing = package.dependencies.iter().filter(|edge| !lock.packages.contains_key(edge));
        found.extend(missing.map(|edge| (id.to_string(), edge.to_string())));
    }
    found
}

fn unreached(lock: &Lock, reasons: &mut Vec<Stale>) {
    let (mut releases, mut sources) = (BTreeSet::new(), BTreeSet::new());
    let mut waiting: Vec<&PackageId> = Vec::new();
    for target in lock.direct.values() {
        match target {
            Target::Release(id) => waiting.push(id),
            Target::Source(id) => {
                sources.insert(id);
            }
        }
    }
    while let Some(id) = waiting.pop() {
        if releases.insert(id)
            && let Some(package) = lock.packages.get(id)
        {
            waiting.extend(&package.dependencies);
        }
    }
    let entry = |entry: String| Stale::Unreached { entry };
    reasons.extend(lock.packages.keys().filter(|id| !releases.contains(id)).map(|id| entry(id.to_string())));
    reasons.extend(lock.sources.keys().filter(|id| !sources.contains(id)).map(|id| entry(id.to_string())));
}

/// What the manifest's overrides come to for the releases and commits of a lock: what the lock must record.
pub fn expected_overrides(manifest: &Manifest, lock: &Lock) -> BTreeMap<Target, LockedUnsafe> {
    let releases = lock.packages.keys().map(|id| Target::Release(id.clone()));
    let targets = releases.chain(lock.sources.keys().map(|id| Target::Source(id.clone())));
    let expected = targets.filter_map(|target| {
        let allowance = manifest.policy.unsafe_releases.get(&unsafe_subject(lock, &target)?)?;
        let formats = allowance.formats.iter().cloned().collect();
        Some((target, LockedUnsafe { formats, reason: allowance.reason.clone() }))
    });
    expected.collect()
}

/// What an entry of `[policy.unsafe]` must be about to be about this entry of a lock; none: no override can be.
pub fn unsafe_subject(lock: &Lock, target: &Target) -> Option<UnsafeSubject> {
    match target {
        Target::Release(id) => Some(UnsafeSubject::Release(id.package.name.clone(), id.version.clone())),
        Target::Source(id) => {
            let (hub, commit) = (id.hub()?, lock.sources.get(id)?.commit()?);
            Some(UnsafeSubject::Hub { kind: hub.kind, repository: hub.repository.clone(), commit })
        }
    }
}

fn overrides(manifest: &Manifest, lock: &Lock, reasons: &mut Vec<Stale>) {
    let expected = expected_overrides(manifest, lock);
    let targets: BTreeSet<&Target> = expected.keys().chain(lock.unsafe_releases.keys()).collect();
    for target in targets {
        let (wanted, found) = (expected.get(target), lock.unsafe_releases.get(target));
        if wanted != found {
            let declared = unsafe_subject(lock, target);
            let allowance = declared.and_then(|subject| manifest.policy.unsafe_releases.get(&subject));
            reasons.push(Stale::Unsafe {
                package: target.clone(),
                expected: wanted.cloned(),
                found: found.cloned(),
                line: allowance.map(|allowance| allowance.line),
            });
        }
    }
}

fn group_text(group: Option<&GroupName>) -> String {
    group.map_or_else(|| "the main dependencies".to_owned(), |group| format!("group {group}"))
}

fn unsafe_text(allowance: Option<&LockedUnsafe>) -> String {
    allowance.map_or_else(
        || "nothing".to_owned(),
        |found| format!("{} ({})", found.formats.iter().cloned().collect::<Vec<_>>().join(", "), found.reason),
    )
}

impl fmt::Display for Stale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { key, group, line } => {
                write!(f, "Model.toml line {line}: {key} in {} has no entry in Model.lock", group_text(group.as_ref()))
            }
            Self::Group { key, expected, found, line } => write!(
                f,
                "Model.toml line {line}: {key} is in {}, Model.lock has it in {}",
                group_text(expected.as_ref()),
                group_text(found.as_ref())
            ),
            Self::Source { key, expected, found, line } => {
                write!(f, "Model.toml line {line}: {key} asks for {expected}, Model.lock has {found}")
            }
            Self::Version { key, expected, found, line } => {
                write!(f, "Model.toml line {line}: {key} asks for version {expected}, Model.lock has {found}")
            }
            Self::Kind { key, expected, found, line } => {
                write!(f, "Model.toml line {line}: {key} stands among the {expected}s, Model.lock says it is a {found}")
            }
            Self::Unique { key, package, found, line } => {
                write!(f, "Model.toml line {line}: {key} asks for one version of {package}, Model.lock has {found}")
            }
            Self::NoRegistry { key, name, line } => {
                write!(f, "Model.toml line {line}: no registry answers {name}, which {key} asks for")
            }
            Self::Orphan { key, group } => {
                write!(f, "Model.lock has {key} in {}, Model.toml does not", group_text(group.as_ref()))
            }
            Self::Unreached { entry } => write!(f, "Model.lock has {entry}, which nothing needs"),
            Self::Dangling { from, to } => write!(f, "Model.lock: {from} leads to {to}, which has no entry"),
            Self::Registry { id } => write!(f, "Model.lock has the registry {id}, Model.toml does not"),
            Self::Root { id, expected, found, line } => write!(
                f,
                "Model.toml line {line}: the registry {id} has root {}, Model.lock has {}",
                expected.prefixed(),
                found.prefixed()
            ),
            Self::Unsafe { package, expected, found, line } => {
                let line = line.map(|line| format!(" line {line}")).unwrap_or_default();
                write!(
                    f,
                    "Model.toml{line}: what {package} may carry is {}, Model.lock has {}",
                    unsafe_text(expected.as_ref()),
                    unsafe_text(found.as_ref())
                )
            }
        }
    }
}
