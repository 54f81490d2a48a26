//! Which releases a copy is to have.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::{ListedRelease, Listing};
use crate::index::{IndexError, Registry};
use crate::mirror::MirrorError;
use crate::model::{Glob, PackageName, Pin, RelPath, Requirement, VariantName, Version};

/// Packages that are looked up at a time.
const BATCH: usize = 256;
/// Nodes that are asked for at a time.
const NODES: usize = 64;

/// What a copy is to have; its parts join.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wish {
    /// Every package.
    pub all: bool,
    /// Packages by name or pattern.
    pub patterns: Vec<Pattern>,
    /// Exactly these releases: what locks pin.
    pub locked: BTreeMap<PackageName, BTreeMap<Version, Pin>>,
    /// Only these variants of releases that have such, with their common files; empty: all.
    pub variants: BTreeSet<VariantName>,
    /// The same for single packages, in place of those for all.
    pub choices: BTreeMap<PackageName, BTreeSet<VariantName>>,
    /// Of each package that is not asked for by a lock, so many of the newest versions.
    pub newest: Option<usize>,
    /// Packages whose logs come along, whatever is asked for of their releases.
    pub known: BTreeSet<PackageName>,
    /// Every node of the package tree, whatever is asked for: what it does not name is known not to exist.
    pub tree: bool,
    /// Leaves out, with a word, what the place that is copied lacks itself.
    pub available: bool,
}

/// A package, or a pattern over names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    /// One package, and which of its versions; none: all.
    Name(PackageName, Option<Requirement>),
    /// All whose names match, such as `acme/*`.
    Glob(Glob),
}

/// Releases by package and version.
pub(super) type Chosen = BTreeMap<PackageName, BTreeMap<Version, ListedRelease>>;

impl Wish {
    /// Whether exactly this release is asked for.
    pub(super) fn pins(&self, name: &PackageName, version: &Version) -> bool {
        self.locked.get(name).is_some_and(|versions| versions.contains_key(version))
    }

    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        !self.all && self.patterns.is_empty() && self.locked.is_empty()
    }

    /// The variants that are wanted of a package; empty: all.
    pub(super) fn variants_of(&self, name: &PackageName) -> &BTreeSet<VariantName> {
        self.choices.get(name).unwrap_or(&self.variants)
    }

    /// In a few words, for people.
    pub fn told(&self) -> String {
        let mut parts = Vec::new();
        if self.all {
            parts.push("everything".to_owned());
        }
        parts.extend(self.patterns.iter().map(Pattern::told));
        let locked: usize = self.locked.values().map(BTreeMap::len).sum();
        if locked > 0 {
            parts.push(format!("{locked} locked"));
        }
        let mut text = parts.join(", ");
        if let Some(newest) = self.newest {
            text = format!("{text}; {newest} newest versions");
        }
        if !self.variants.is_empty() {
            let names: Vec<&str> = self.variants.iter().map(VariantName::as_str).collect();
            text = format!("{text}; variants {}", names.join(", "));
        }
        text
    }
}

impl Pattern {
    fn told(&self) -> String {
        match self {
            Self::Name(name, None) => name.to_string(),
            Self::Name(name, Some(requirement)) => format!("{name}@{requirement}"),
            Self::Glob(glob) => glob.as_str().to_owned(),
        }
    }

    fn matches(&self, name: &PackageName) -> bool {
        match self {
            Self::Name(other, _) => other.normalised() == name.normalised(),
            // A package's name is a path of two parts.
            Self::Glob(glob) => RelPath::parse(name.as_str()).is_ok_and(|path| glob.matches(&path)),
        }
    }

    fn admits(&self, version: &Version) -> bool {
        match self {
            Self::Name(_, Some(requirement)) => requirement.matches(version),
            _ => true,
        }
    }
}

/// The releases that a wish means. What a release needs of the same registry comes along: the newest version that will do.
pub(super) fn choose(registry: &Registry, wish: &Wish) -> Result<Chosen, MirrorError> {
    let mut chosen = Chosen::new();
    let names = asked(registry, wish)?;
    let all: Vec<&PackageName> = names.iter().collect();
    let mut answered = vec![false; wish.patterns.len()];
    for batch in all.chunks(BATCH) {
        let batch: BTreeSet<PackageName> = batch.iter().map(|name| (*name).clone()).collect();
        for (name, listing) in listings(registry, &batch, wish.available)? {
            let Some(listing) = listing else { continue };
            let mut admitted: BTreeMap<&Version, &ListedRelease> = BTreeMap::new();
            if wish.all {
                admitted.extend(&listing.releases);
            }
            for (pattern, answered) in wish.patterns.iter().zip(&mut answered) {
                if pattern.matches(&name) {
                    let some = listing.releases.iter().filter(|(version, _)| pattern.admits(version));
                    let before = admitted.len();
                    admitted.extend(some);
                    *answered |= admitted.len() > before || wish.all;
                }
            }
            let own = newest(admitted, wish.newest);
            chosen.entry(listing.package.name.clone()).or_default().extend(own);
        }
    }
    let mut asked = wish.patterns.iter().zip(&answered);
    if let Some((pattern, _)) = asked.find(|(_, answered)| !**answered) {
        let why = match pattern {
            Pattern::Name(_, None) => "there is no such package",
            Pattern::Name(_, Some(_)) => "no version of it fits",
            Pattern::Glob(_) => "no name matches",
        };
        return Err(MirrorError::Nothing { registry: registry.id().clone(), asked: pattern.told(), why });
    }
    chosen.retain(|_, versions| !versions.is_empty());
    if !wish.all || wish.newest.is_some() {
        close(registry, &mut chosen, wish.available)?;
    }
    locked(registry, wish, &mut chosen)?;
    Ok(chosen)
}

/// Names that the wish may mean.
fn asked(registry: &Registry, wish: &Wish) -> Result<BTreeSet<PackageName>, MirrorError> {
    let mut names = BTreeSet::new();
    let glob = wish.patterns.iter().any(|pattern| matches!(pattern, Pattern::Glob(_)));
    if wish.all || glob {
        let mut walk = registry.walk(None);
        // One node at a time where some may be lacking: a batch would go as a whole.
        let most = if wish.available { 1 } else { NODES };
        loop {
            match registry.walk_on(&mut walk, most) {
                Ok(None) => break,
                Ok(Some(walked)) => names.extend(walked.names),
                Err(IndexError::Missing { .. }) if wish.available => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    if !wish.all {
        names.retain(|name| wish.patterns.iter().any(|pattern| pattern.matches(name)));
    }
    names.extend(wish.patterns.iter().filter_map(|pattern| match pattern {
        Pattern::Name(name, _) => Some(name.clone()),
        Pattern::Glob(_) => None,
    }));
    Ok(names)
}

/// Listings of packages; where what is lacking may be left out, one by one.
fn listings(
    registry: &Registry,
    names: &BTreeSet<PackageName>,
    available: bool,
) -> Result<BTreeMap<PackageName, Option<Listing>>, MirrorError> {
    if !available {
        return Ok(registry.listings(names)?);
    }
    let mut found = BTreeMap::new();
    for name in names {
        match registry.listings(&BTreeSet::from([name.clone()])) {
            Ok(more) => found.extend(more),
            Err(IndexError::Missing { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(found)
}

/// The newest so many of some versions: what is not yanked, and no pre-release where there is anything else. Without a number,
/// all of them.
fn newest(admitted: BTreeMap<&Version, &ListedRelease>, most: Option<usize>) -> Vec<(Version, ListedRelease)> {
    let own = |(version, release): (&Version, &ListedRelease)| (version.clone(), release.clone());
    let Some(most) = most else { return admitted.into_iter().map(own).collect() };
    let standing: Vec<(&Version, &ListedRelease)> =
        admitted.into_iter().filter(|(_, release)| release.yanked.is_none()).collect();
    let stable = standing.iter().any(|(version, _)| version.pre.is_empty());
    let fit = standing.into_iter().filter(|(version, _)| !stable || version.pre.is_empty());
    fit.rev().take(most).map(own).collect()
}

/// Adds what chosen releases need of the same registry, and what that needs.
fn close(registry: &Registry, chosen: &mut Chosen, available: bool) -> Result<(), MirrorError> {
    let mut open: Vec<ListedRelease> = chosen.values().flat_map(BTreeMap::values).cloned().collect();
    while !open.is_empty() {
        let mut needs: BTreeMap<PackageName, BTreeSet<String>> = BTreeMap::new();
        let mut requirements: BTreeMap<String, Requirement> = BTreeMap::new();
        for dependency in open.iter().flat_map(|release| &release.event.dependencies) {
            if dependency.registry.as_ref().is_none_or(|id| id == registry.id()) {
                let text = dependency.requirement.to_string();
                needs.entry(dependency.name.clone()).or_default().insert(text.clone());
                requirements.insert(text, dependency.requirement.clone());
            }
        }
        open.clear();
        let names: BTreeSet<PackageName> = needs.keys().cloned().collect();
        for (name, listing) in listings(registry, &names, available)? {
            let Some(listing) = listing else { continue };
            let name_there = listing.package.name.clone();
            for text in needs.get(&name).into_iter().flatten() {
                let Some(requirement) = requirements.get(text) else { continue };
                let fits = |version: &&Version| requirement.matches(version);
                let have = chosen.get(&name_there);
                if have.is_some_and(|have| have.keys().any(|version| fits(&version))) {
                    continue;
                }
                let fitting = || listing.releases.iter().filter(|(version, _)| fits(version)).rev();
                let best = fitting().find(|(_, release)| release.yanked.is_none()).or_else(|| fitting().next());
                if let Some((version, release)) = best {
                    open.push(release.clone());
                    chosen.entry(name_there.clone()).or_default().insert(version.clone(), release.clone());
                }
            }
        }
    }
    Ok(())
}

/// Adds exactly the releases that locks pin: each must be in the log, under its digest.
fn locked(registry: &Registry, wish: &Wish, chosen: &mut Chosen) -> Result<(), MirrorError> {
    let names: Vec<&PackageName> = wish.locked.keys().collect();
    for batch in names.chunks(BATCH) {
        let batch: BTreeSet<PackageName> = batch.iter().map(|name| (*name).clone()).collect();
        for (name, listing) in registry.listings(&batch)? {
            for (version, pin) in wish.locked.get(&name).into_iter().flatten() {
                registry.still_lists(&name, version, pin)?;
                let Some(listing) = &listing else { continue };
                if let Some(release) = listing.releases.get(version) {
                    chosen.entry(listing.package.name.clone()).or_default().insert(version.clone(), release.clone());
                }
            }
        }
    }
    Ok(())
}
