//! The one reader behind the five ways.
//!
//! `roots` and `head` open a registry, `lookup` follows hashes from the checkpoint to a log, `statement` and `signers` from
//! the registrar file to a signature. Nothing is written before `remember`.

mod carry;
mod head;
mod lookup;
mod names;
mod places;
mod roots;
mod signers;
mod source;
mod statement;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use crate::bundle;
use crate::catalog::{ListedRelease, Listing};
use crate::index::builtin::Builtin;
use crate::index::carrier::Carrier;
use crate::index::folder::Folder;
use crate::index::git::Git;
use crate::index::memory::{Learnt, Memory, State};
use crate::index::sparse::Sparse;
use crate::index::{Base, Expected, IndexError, Opening, Origin, OriginError, VerifiedStatement, World};
use crate::manifest::IndexAddress;
use crate::model::{Fingerprint, Floor, Namespace, PackageName, Pin, RegistryId, SafeUrl, Sha256, Version, nearest};
use crate::progress::Progress;
use crate::sys::{HttpError, Scope};
use crate::trust::{Freshness as Life, Revocations, YankRecord};

use head::Judge;
use lookup::Looked;
pub(super) use lookup::log_path;
use places::{Elsewhere, Standing};
use source::Source;
use statement::KnownEntry;

pub use carry::{Carried, CarriedHead, Head, Walk, Walked};
pub use names::{Extent, Names};

/// An opened registry: roots walked, checkpoint and registrar file checked.
pub struct Registry {
    source: Source,
    address: IndexAddress,
    scope: Scope,
    memory: Memory,
    state: State,
    /// What was read since, by what it was verified from.
    seen: Mutex<Seen>,
}

/// What an opened registry has read.
#[derive(Default)]
struct Seen {
    packages: BTreeMap<String, Option<Arc<Looked>>>,
    names: BTreeSet<PackageName>,
    entries: BTreeMap<Namespace, Arc<KnownEntry>>,
    verified: BTreeMap<Sha256, BTreeSet<Fingerprint>>,
}

/// How well the signers of a namespace are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Familiarity {
    /// Never met: first trust.
    New,
    /// Remembered, or reached by handovers.
    Known,
    /// Others were remembered.
    Changed {
        /// Those.
        remembered: BTreeSet<Fingerprint>,
    },
}

impl Registry {
    /// Opens: steps 1 to 4 of the client's rules.
    ///
    /// # Errors
    /// `E0111` and following; class trust for what is wrong, network for what can't be reached.
    pub fn open(opening: &Opening, world: &World<'_>) -> Result<Self, IndexError> {
        Self::open_expecting(opening, world, &Expected::default())
    }

    /// The same; what is expected is asked for ahead where that saves time.
    ///
    /// # Errors
    /// As [`Registry::open`].
    pub fn open_expecting(opening: &Opening, world: &World<'_>, expected: &Expected) -> Result<Self, IndexError> {
        let memory = Memory::load(&world.trust, &opening.root)?;
        let mut places: Vec<IndexAddress> = opening.mirrors.clone();
        places.push(opening.address.clone());
        while places.len() > 1 {
            let mirror = places.remove(0);
            match Self::open_mirror(opening, world, (memory.clone(), expected), &mirror, &places) {
                Ok(registry) => return Ok(registry),
                // A second history is no fault of a place.
                Err(error @ IndexError::Equivocation { .. }) => return Err(error),
                Err(error) => world.progress.warn("index-mirror", mirror_failed(&error)),
            }
        }
        let (origin, scope) = open_origin(opening, &opening.address, world)?;
        Self::read(
            opening,
            world,
            memory,
            At { expected: expected.clone(), ..At::new(origin, scope, opening.address.clone()) },
        )
    }

    /// Opens a registry at a copy, with other places for what that lacks.
    fn open_mirror(
        opening: &Opening,
        world: &World<'_>,
        known: (Memory, &Expected),
        address: &IndexAddress,
        others: &[IndexAddress],
    ) -> Result<Self, IndexError> {
        let (origin, scope) = open_origin(opening, address, world)?;
        let elsewhere = others.iter().map(|other| Elsewhere::new(opening, other, world)).collect();
        let (memory, expected) = known;
        let at = At { elsewhere, expected: expected.clone(), ..At::new(origin, scope, address.clone()) };
        Self::read(opening, world, memory, at)
    }

    /// The same over files that come in some way of the caller's.
    ///
    /// # Errors
    /// As [`Registry::open`].
    pub fn open_from(opening: &Opening, world: &World<'_>, origin: Arc<dyn Origin>) -> Result<Self, IndexError> {
        let memory = Memory::load(&world.trust, &opening.root)?;
        let (scope, address) = (Scope::public(), opening.address.clone());
        Self::read(opening, world, memory, At::new(origin, scope, address))
    }

    /// The same, with bases counted from where the index is said to be.
    ///
    /// # Errors
    /// As [`Registry::open`].
    pub fn open_at(opening: &Opening, world: &World<'_>, origin: Arc<dyn Origin>) -> Result<Self, IndexError> {
        let memory = Memory::load(&world.trust, &opening.root)?;
        let scope = match &opening.address {
            IndexAddress::Sparse(url) | IndexAddress::Git(url) => world
                .http
                .scope_of(url)
                .map_err(|source| IndexError::Address { registry: opening.id.clone(), source: Box::new(source) })?,
            IndexAddress::Folder(_) | IndexAddress::Builtin => Scope::public(),
        };
        let address = opening.address.clone();
        Self::read(opening, world, memory, At::new(origin, scope, address))
    }

    /// The same for what was carried here: what this machine remembers is compared with it, and never stands in for it. Other
    /// places give what it lacks.
    ///
    /// # Errors
    /// As [`Registry::open`].
    pub fn open_carried(
        opening: &Opening,
        world: &World<'_>,
        origin: Arc<dyn Origin>,
        others: &[IndexAddress],
    ) -> Result<Self, IndexError> {
        let memory = Memory::load(&world.trust, &opening.root)?;
        let (scope, address) = (Scope::public(), opening.address.clone());
        let elsewhere = others.iter().map(|other| Elsewhere::new(opening, other, world)).collect();
        Self::read(opening, world, memory, At { elsewhere, alone: true, ..At::new(origin, scope, address) })
    }

    /// Opens a copy as it stands, without what this machine remembers: nothing is compared with it, and nothing becomes of it.
    ///
    /// # Errors
    /// As [`Registry::open`].
    pub fn examine(opening: &Opening, world: &World<'_>) -> Result<Self, IndexError> {
        let (origin, scope) = open_origin(opening, &opening.address, world)?;
        let address = opening.address.clone();
        Self::read(opening, world, Memory::none(), At::new(origin, scope, address))
    }

    /// The same over files that come in some way of the caller's.
    ///
    /// # Errors
    /// As [`Registry::open`].
    pub fn examine_from(opening: &Opening, world: &World<'_>, origin: Arc<dyn Origin>) -> Result<Self, IndexError> {
        let (scope, address) = (Scope::public(), opening.address.clone());
        Self::read(opening, world, Memory::none(), At { alone: true, ..At::new(origin, scope, address) })
    }

    fn read(opening: &Opening, world: &World<'_>, memory: Memory, at: At) -> Result<Self, IndexError> {
        let At { origin, scope, address, elsewhere, alone, expected } = at;
        let other_places = alone || !elsewhere.is_empty();
        let source = Source {
            registry: opening.id.clone(),
            origin,
            // Where others can be asked, nobody waits for long.
            lag: if other_places { Duration::ZERO } else { world.http.settings().patience.lag },
            elsewhere,
            behind: OnceLock::new(),
        };
        let builtin = opening.address == IndexAddress::Builtin;
        if let Some(folder) = memory.exposed() {
            world.progress.warn(
                "trust-exposed",
                format!(
                    "others may write in {}: what this machine remembers of registry {} may be theirs; take it from them \
                     with `chmod go-w`, or `chown` where it is another's",
                    folder.display(),
                    opening.id
                ),
            );
        }
        let judge = Judge {
            source: &source,
            opening,
            memory: (!builtin).then_some(&memory),
            now: world.now,
            network: world.http.policy(),
            progress: world.progress,
            other_places,
            expected: &expected,
        };
        let state = judge.head()?;
        if !builtin && state.root.demo {
            world.progress.warn(
                "demo-registry",
                format!("registry {} is a demonstration: its secret keys are public", opening.id),
            );
        }
        if !builtin && state.root.freshness == Life::None {
            world.progress.note(
                "no-freshness",
                format!(
                    "registry {} does not expire: an index that is frozen can't be told from a quiet one",
                    opening.id
                ),
            );
        }
        Ok(Self { source, address, scope, memory, state, seen: Mutex::default() })
    }

    /// Its id.
    pub fn id(&self) -> &RegistryId {
        &self.source.registry
    }

    /// The numbers that were met: what a lock's floor becomes.
    pub fn floor(&self) -> Floor {
        self.state.floor()
    }

    /// Whether the root says `demo`.
    pub fn is_demo(&self) -> bool {
        self.state.root.demo
    }

    /// What is revoked.
    pub fn revocations(&self) -> &Revocations {
        &self.state.registrar.revocations
    }

    /// Which addresses requests on behalf of this index may meet.
    pub fn scope(&self) -> Scope {
        self.scope
    }

    /// Listings of packages, looked up in parallel; `None` is a verified absence. Checks stored log prefixes.
    ///
    /// # Errors
    /// Step 5 of the rules.
    pub fn listings(
        &self,
        names: &BTreeSet<PackageName>,
    ) -> Result<BTreeMap<PackageName, Option<Listing>>, IndexError> {
        self.look_up(names)?;
        let seen = self.seen();
        let listing = |name: &PackageName| {
            seen.packages.get(&name.normalised()).and_then(Option::as_ref).map(|looked| looked.listing(self.id()))
        };
        Ok(names.iter().map(|name| (name.clone(), listing(name))).collect())
    }

    /// Names near a name that does not exist, from the leaves that were read.
    pub fn names_near(&self, name: &PackageName) -> Vec<PackageName> {
        let seen = self.seen();
        let near = nearest(name.as_str(), seen.names.iter().map(PackageName::as_str));
        near.into_iter().filter_map(|text| PackageName::parse(text).ok()).collect()
    }

    /// The statement of a listed release, checked: step 6 of the rules. With its file lists still to be read as blobs.
    ///
    /// # Errors
    /// Too few signatures, another identity, revoked, an event that differs from the statement.
    pub fn statement(&self, name: &PackageName, release: &ListedRelease) -> Result<VerifiedStatement, IndexError> {
        self.checked_statement(name, &release.event.version, release.event.statement)
    }

    /// The same for a release that a lock pins: it must be in the log under this digest.
    ///
    /// # Errors
    /// As above; and a pin that disagrees with the log.
    pub fn locked_statement(
        &self,
        name: &PackageName,
        version: &Version,
        pin: &Pin,
    ) -> Result<VerifiedStatement, IndexError> {
        self.checked_statement(name, version, *pin)
    }

    /// Checks that a release which a lock pins is in the log, under this digest.
    ///
    /// # Errors
    /// `E0118`, `E0119`; what reading the log can break.
    pub fn still_lists(&self, name: &PackageName, version: &Version, pin: &Pin) -> Result<(), IndexError> {
        let looked = self.package(name)?;
        self.listed(name, looked.as_deref(), version, *pin).map(drop)
    }

    /// The yank record in force for a listed release, checked.
    ///
    /// # Errors
    /// It is missing, or not signed by publishers or registrars.
    pub fn yank(&self, name: &PackageName, release: &ListedRelease) -> Result<Option<YankRecord>, IndexError> {
        self.standing(name, &release.event.version)
    }

    /// Whether these signers of a namespace are remembered, or reached from remembered ones by handovers; also from the
    /// signers that a lock remembers.
    ///
    /// # Errors
    /// The chain of entries can't be read.
    pub fn knows_signers(
        &self,
        namespace: &Namespace,
        signers: &BTreeSet<Fingerprint>,
        locked: &BTreeSet<Fingerprint>,
    ) -> Result<Familiarity, IndexError> {
        self.familiarity(namespace, signers, locked)
    }

    /// Whether signers are among these keys of a namespace, or reached from them by handovers, whatever this machine
    /// remembers.
    ///
    /// # Errors
    /// The chain of entries can't be read.
    pub fn hands_over(
        &self,
        namespace: &Namespace,
        from: &BTreeSet<Fingerprint>,
        to: &BTreeSet<Fingerprint>,
    ) -> Result<bool, IndexError> {
        self.leads_to(namespace, from, to)
    }

    /// Where its blobs can be had.
    ///
    /// # Errors
    /// `E0124`: a base that the rules refuse.
    pub fn bases(&self) -> Result<Vec<Base>, IndexError> {
        let named = &self.state.checkpoint.bases;
        let own = Standing { address: &self.address, scope: self.scope, origin: Some(&*self.source.origin) };
        let mut bases: Vec<Base> = Vec::new();
        if let Some(blobs) = self.source.origin.own_blobs() {
            // A bundle has the blobs that it has, wherever others are.
            bases.push(Base::Objects(blobs));
        } else if !self.source.elsewhere.is_empty() && named.iter().all(|base| base.contains("://")) {
            // A mirror has blobs of its own, whatever the checkpoint says of the place that it is a copy of.
            bases.extend(self.base(&own, ".").ok());
        }
        for base in named {
            bases.push(self.base(&own, base)?);
        }
        Ok(bases)
    }

    /// Further places of blobs: where the registry is read from a mirror, those beside the places behind it. Names may be looked up
    /// for this.
    pub fn further_bases(&self) -> Vec<Base> {
        let relative = || self.state.checkpoint.bases.iter().filter(|base| !base.contains("://"));
        let there = self.source.elsewhere.iter().map(Elsewhere::standing);
        there
            .flat_map(|there| relative().filter_map(move |base| self.base(&there, base).ok()).collect::<Vec<_>>())
            .collect()
    }

    /// Whether it is read from a mirror, with other places behind it.
    pub fn has_further_places(&self) -> bool {
        !self.source.elsewhere.is_empty()
    }

    /// Writes what was learnt into the memory, under a lease: after verification, at the end of a run that succeeded.
    /// `accepted` are namespaces with the signers that the user has now accepted. `progress` is told who is waited for.
    ///
    /// # Errors
    /// `E0125`: the memory can't be written.
    pub fn remember(
        &self,
        accepted: &BTreeMap<Namespace, BTreeSet<Fingerprint>>,
        progress: &dyn Progress,
    ) -> Result<(), IndexError> {
        let seen = self.seen();
        let logs = seen.packages.values().flatten().map(|looked| (looked.leaf.name.clone(), looked.leaf.log)).collect();
        let learnt = Learnt { state: &self.state, logs: &logs, signers: accepted, verified: &seen.verified };
        self.memory.remember(&learnt, progress)
    }

    /// Keeps a site's import record, with its signature, in this machine's memory of the registry.
    ///
    /// # Errors
    /// `E0125`: the memory can't be written.
    pub fn keep_import(&self, record: &[u8], signature: &str) -> Result<(), IndexError> {
        self.memory.keep_import(&Sha256::of(&self.state.checkpoint_bytes), record, signature)
    }

    fn base(&self, at: &Standing<'_>, base: &str) -> Result<Base, IndexError> {
        let refused = |rule| IndexError::Base { registry: self.id().clone(), base: base.to_owned(), rule };
        if base.contains("://") {
            let url = SafeUrl::parse(base).map_err(|_| refused("it is no address that carries no credentials"))?;
            return match url.inner().scheme() {
                // Whether plain http and private addresses are met is judged at each request, with this scope.
                "https" | "http" => Ok(Base::Http(url, at.scope)),
                _ => Err(refused("bases are relative paths, https, or http where that is allowed")),
            };
        }
        if base.starts_with('/') || base.contains('\\') || base.split('/').any(|part| part == "..") {
            return Err(refused("a relative base stays below its index"));
        }
        if let Some(blobs) = at.origin.and_then(|origin| origin.blobs(base)) {
            return Ok(Base::Objects(blobs));
        }
        match at.address {
            IndexAddress::Sparse(url) => {
                // `./` keeps a first part with a colon from being taken for a scheme.
                let below = url.below(&format!("./{base}")).map_err(|_| refused("it is no relative path"))?;
                Ok(Base::Http(below, at.scope))
            }
            IndexAddress::Folder(folder) => Ok(Base::Folder(Path::new(folder).join(base))),
            IndexAddress::Git(_) | IndexAddress::Builtin => Err(refused("this kind of index holds no blobs")),
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place that is read, and those behind it.
struct At {
    origin: Arc<dyn Origin>,
    scope: Scope,
    address: IndexAddress,
    elsewhere: Vec<Elsewhere>,
    /// Whether what this machine remembers never stands in for it.
    alone: bool,
    /// What the run will need.
    expected: Expected,
}

impl At {
    fn new(origin: Arc<dyn Origin>, scope: Scope, address: IndexAddress) -> Self {
        Self { origin, scope, address, elsewhere: Vec::new(), alone: false, expected: Expected::default() }
    }
}

/// What is told of a mirror that could not be used.
fn mirror_failed(error: &IndexError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    format!("a mirror that this machine's configuration names can't be used: {text}; the next place is asked")
}

/// The way that an address is read.
/// The files of an index, with copies kept below the world's cache, for who reads them over a longer time.
///
/// # Errors
/// The address is refused, or can't be reached.
pub fn origin(opening: &Opening, world: &World<'_>) -> Result<Arc<dyn Origin>, IndexError> {
    open_origin(opening, &opening.address, world).map(|(origin, _)| origin)
}

fn open_origin(
    opening: &Opening,
    at: &IndexAddress,
    world: &World<'_>,
) -> Result<(Arc<dyn Origin>, Scope), IndexError> {
    let address = |source: HttpError| IndexError::Address { registry: opening.id.clone(), source: Box::new(source) };
    let place = |source: OriginError| IndexError::Origin { registry: opening.id.clone(), source: Box::new(source) };
    let copies = world.cache.join("indexes").join(opening.root.hex());
    Ok(match at {
        IndexAddress::Builtin => (Arc::new(Builtin::new()), Scope::public()),
        IndexAddress::Folder(path) if bundle::is_named(Path::new(path)) => {
            let opened = Carrier::open(Path::new(path)).map_err(|error| place(OriginError::Bundle(error)))?;
            (Arc::new(opened), Scope::public())
        }
        IndexAddress::Folder(folder) => (Arc::new(Folder::new(Path::new(folder))), Scope::public()),
        IndexAddress::Sparse(url) => {
            let scope = world.http.scope_of(url).map_err(address)?;
            // What changes under its name is kept for each place.
            let kept = if *at == opening.address {
                "sparse".to_owned()
            } else {
                format!("sparse-{}", Sha256::of(url.inner().as_str().as_bytes()).short())
            };
            (Arc::new(Sparse::new(url, &copies.join(kept), world.http, scope, world.now)), scope)
        }
        IndexAddress::Git(url) => {
            let scope = world.http.scope_of(url).map_err(address)?;
            // One copy an address: another remote's objects have no business in it.
            let copy = copies.join(format!("git-{}", Sha256::of(url.inner().as_str().as_bytes()).short()));
            (Arc::new(Git::open(url, &copy, world.http, scope, world.progress).map_err(place)?), scope)
        }
    })
}
