//! From an id and a revision to a commit and its files.
//!
//! An id of the hub is, in this order: a repository that a lock pins, a package of that name, and the package whose publisher says
//! that it stands there upstream. Where several packages answer, none does: whoever publishes in one namespace takes no name of
//! another.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::hub::{CommitWords, Denial, Named, Revision};
use crate::model::{HubCommit, HubRepository, PackageKind, PackageName, RegistryId, Timestamp, Version};
use crate::serve::hub::memory::Pinned;
use crate::serve::hub::package::Held;
use crate::serve::site::{Caller, Site};
use crate::serve::{Shelf, Trouble};
use crate::statement::FileEntry;

/// What is there, or why not, or that it can't be told.
pub(super) type Answer<T> = Result<Result<T, Denial>, Trouble>;

/// A commit of a repository, with its files in order of their paths.
pub(super) struct Snapshot {
    pub(super) kind: PackageKind,
    pub(super) id: String,
    pub(super) commit: HubCommit,
    pub(super) files: Arc<Vec<FileEntry>>,
    /// What the user should be told: `topic; text`.
    pub(super) warnings: Vec<String>,
    pub(super) time: Timestamp,
    pub(super) licence: Option<String>,
    pub(super) description: Option<String>,
    /// Revisions that hold the release's other variants.
    pub(super) others: Vec<String>,
}

impl Snapshot {
    pub(super) fn words(&self) -> CommitWords<'_> {
        CommitWords {
            kind: self.kind,
            id: &self.id,
            commit: &self.commit,
            time: self.time,
            licence: self.licence.as_deref(),
            description: self.description.as_deref(),
        }
    }

    /// Where a file may be that this one has not, for a message; empty where there is nothing to say.
    pub(super) fn elsewhere(&self) -> String {
        if self.others.is_empty() {
            String::new()
        } else {
            format!("; other variants are at {}", self.others.join(", "))
        }
    }
}

/// A repository: what this server has under an id.
pub(super) struct Repository<'s> {
    kind: PackageKind,
    id: String,
    sources: Vec<&'s Pinned>,
    package: Option<Held<'s>>,
}

/// A package that an id may mean, and of its releases those that may be meant; none: all.
type Candidate = (RegistryId, PackageName, Option<BTreeSet<Version>>);

/// Who looks for what.
struct Looking<'s> {
    site: &'s Site,
    shelf: &'s dyn Shelf,
    caller: &'s Caller,
    registries: Vec<RegistryId>,
    kind: PackageKind,
    /// The id without its registry.
    name: String,
}

/// What was found of an id, so far.
#[derive(Default)]
struct Found {
    packages: Vec<Candidate>,
    /// Something is there that the caller may not read.
    hidden: bool,
    /// It is there, and of the other kind.
    other_kind: bool,
}

impl<'s> Repository<'s> {
    /// Looks an id up among what the caller may read.
    pub(super) fn find(
        site: &'s Site,
        shelf: &'s dyn Shelf,
        caller: &Caller,
        registry: Option<&RegistryId>,
        kind: PackageKind,
        id: &str,
    ) -> Answer<Self> {
        let all = shelf.registries();
        let (registries, name) = match (registry, id.splitn(3, '/').collect::<Vec<_>>().as_slice()) {
            (None, [first, namespace, name]) => {
                let named: Vec<RegistryId> = all.into_iter().filter(|one| one.as_str() == *first).collect();
                if named.is_empty() {
                    return Ok(Err(Denial::NoRepository(format!("no registry {first} is served here"))));
                }
                (named, format!("{namespace}/{name}"))
            }
            (Some(_), [_, _, _]) => {
                return Ok(Err(Denial::NoRepository(format!("{id} is no id: write NAMESPACE/NAME"))));
            }
            (Some(registry), _) => (vec![registry.clone()], id.to_owned()),
            (None, _) => (all, id.to_owned()),
        };
        let is_named = registry.is_some() || name != id;
        let mut sources = Vec::new();
        let mut found = Found::default();
        if !is_named && site.may_read_sources(caller) {
            let of_id = site.hub.sources(shelf).iter().filter(|one| one.id.repository.as_str() == name);
            let (of_kind, others): (Vec<_>, Vec<_>) = of_id.partition(|one| one.id.kind == kind);
            found.other_kind = !others.is_empty();
            sources = of_kind;
        }
        let looking = Looking { site, shelf, caller, registries, kind, name };
        looking.own(&mut found)?;
        if found.packages.is_empty() {
            looking.upstream(&mut found)?;
        }
        let packages = std::mem::take(&mut found.packages);
        let package = match packages.as_slice() {
            [] if sources.is_empty() => return Ok(Err(found.denial(caller, kind, id))),
            [] => None,
            [(registry, package, versions)] => Held::open(site, shelf, registry, package, kind, versions.as_ref())?,
            several => return Ok(Err(ambiguous(id, several))),
        };
        if package.is_none() && sources.is_empty() {
            return Ok(Err(found.denial(caller, kind, id)));
        }
        Ok(Ok(Self { kind, id: id.to_owned(), sources, package }))
    }

    /// What the repository is at a revision.
    pub(super) fn at(&self, text: &str) -> Answer<Snapshot> {
        let revision = Revision::parse(text);
        let source = match &revision {
            Revision::Main => self.main_source(),
            Revision::Commit(commit) => self.sources.iter().find(|source| source.commit == *commit),
            _ => self.sources.iter().find(|source| source.id.revision.as_str() == text),
        };
        if let Some(source) = source {
            return Ok(Ok(Snapshot {
                kind: self.kind,
                id: self.id.clone(),
                commit: source.commit.clone(),
                files: Arc::clone(&source.files),
                warnings: Vec::new(),
                time: Timestamp::EPOCH,
                licence: None,
                description: None,
                others: Vec::new(),
            }));
        }
        match &self.package {
            Some(package) => package.at(&self.id, text, &revision),
            None => Ok(Err(Denial::NoRevision(format!(
                "{} has no revision {text:?} here: locks pin {}",
                self.id,
                self.sources.iter().map(|source| source.commit.to_string()).collect::<Vec<_>>().join(", ")
            )))),
        }
    }

    /// A source that asked the hub for `main`, else the first.
    fn main_source(&self) -> Option<&&'s Pinned> {
        let main = self.sources.iter().find(|source| source.id.revision.as_str() == crate::hub::MAIN);
        main.or_else(|| self.sources.first())
    }

    /// Its branches and its tags.
    pub(super) fn refs(&self) -> Answer<(Vec<Named>, Vec<Named>)> {
        let (mut branches, mut tags): (BTreeMap<String, HubCommit>, BTreeMap<String, HubCommit>) = Default::default();
        if let Some(package) = &self.package {
            let (main, versions) = package.refs()?;
            branches.extend(main.map(|commit| (crate::hub::MAIN.to_owned(), commit)));
            tags.extend(versions);
        }
        for source in &self.sources {
            if source.id.revision.commit().is_none() {
                branches.insert(source.id.revision.to_string(), source.commit.clone());
            }
        }
        if let Some(source) = self.main_source() {
            branches.insert(crate::hub::MAIN.to_owned(), source.commit.clone());
        }
        Ok(Ok((branches.into_iter().collect(), tags.into_iter().collect())))
    }
}

impl Looking<'_> {
    /// Whether the publisher of a package may say where it stands on the hub.
    fn is_believed(&self, name: &PackageName) -> bool {
        let believed = &self.site.options.upstreams;
        let own = name.namespace().normalised();
        believed.is_empty() || believed.iter().any(|one| one.normalised() == own)
    }

    /// Packages of this name.
    fn own(&self, found: &mut Found) -> Result<(), Trouble> {
        let Ok(name) = PackageName::parse(&self.name) else { return Ok(()) };
        for registry in &self.registries {
            // Whether there is one is told to nobody who may not read the namespace.
            if !self.site.may_read(self.caller, registry, &name.namespace()) {
                found.hidden = true;
                continue;
            }
            let Some(package) = self.shelf.package(registry, &name)? else { continue };
            if package.releases.iter().any(|release| release.kind == self.kind) {
                found.packages.push((registry.clone(), package.name.clone(), None));
            } else if !package.releases.is_empty() {
                found.other_kind = true;
            }
        }
        Ok(())
    }

    /// Packages whose publishers say that they stand on the hub under this id.
    fn upstream(&self, found: &mut Found) -> Result<(), Trouble> {
        let Ok(repository) = HubRepository::parse(&self.name) else { return Ok(()) };
        let mut packages: BTreeMap<(RegistryId, PackageName), BTreeSet<Version>> = BTreeMap::new();
        for (registry, name, version) in self.shelf.upstreams(self.kind, &repository)? {
            let readable = self.site.may_read(self.caller, &registry, &name.namespace());
            if self.registries.contains(&registry) && readable && self.is_believed(&name) {
                packages.entry((registry, name)).or_default().insert(version);
            }
        }
        // A package of that name has the name, also before those who may not read it.
        if let (true, false, Ok(own)) = (found.hidden, packages.is_empty(), PackageName::parse(&self.name)) {
            for registry in &self.registries {
                if self.shelf.package(registry, &own)?.is_some() {
                    return Ok(());
                }
            }
        }
        let packages = packages.into_iter().map(|((registry, name), versions)| (registry, name, Some(versions)));
        found.packages.extend(packages);
        Ok(())
    }
}

impl Found {
    /// Why there is nothing.
    fn denial(&self, caller: &Caller, kind: PackageKind, id: &str) -> Denial {
        if self.hidden {
            let namespace = id.rsplit_once('/').map_or(id, |(namespace, _)| namespace);
            return match caller {
                Caller::Anonymous => {
                    Denial::Anonymous(format!("a token that may read {namespace} is needed: set HF_TOKEN"))
                }
                Caller::Token(token) => Denial::Forbidden(format!("the token {} may not read {namespace}", token.name)),
            };
        }
        let hint = match (self.other_kind, kind) {
            (false, _) => "",
            (true, PackageKind::Model) => ": it is a dataset, ask for it as one (repo_type=\"dataset\")",
            (true, PackageKind::Dataset) => ": it is a model, ask for it as one (repo_type=\"model\")",
        };
        Denial::NoRepository(format!("{id} is no {kind} of this server{hint}"))
    }
}

fn ambiguous(id: &str, several: &[Candidate]) -> Denial {
    let all: Vec<String> = several.iter().map(|(registry, name, _)| format!("{registry}: {name}")).collect();
    Denial::NoRepository(format!(
        "{id} may be any of {}: ask for one by its own name, with /registries/REGISTRY at the end of HF_ENDPOINT",
        all.join(", ")
    ))
}
