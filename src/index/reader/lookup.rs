//! Step 5 of the client's rules: from a tree's root to a leaf, and from a leaf to a log.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::catalog::{Listing, MAX_LOG, MAX_NODE, Node, PackageLeaf, PackageLog, TreeError, key_of};
use crate::index::reader::Registry;
use crate::index::reader::source::Pinned;
use crate::index::{Freshness, IndexError};
use crate::manifest::IndexAddress;
use crate::model::{PackageName, PackageRef, Pin, RegistryId, Sha256};

/// A package whose log was read.
pub(super) struct Looked {
    pub(super) leaf: PackageLeaf,
    pub(super) log: PackageLog,
}

impl Looked {
    pub(super) fn listing(&self, registry: &RegistryId) -> Listing {
        Listing::of(PackageRef { registry: registry.clone(), name: self.leaf.name.clone() }, &self.log)
    }
}

/// A node that is to be read, with the keys and names that are looked for below it.
type Level<'n> = (Sha256, Vec<(String, &'n String)>);

/// How far a log may be ahead of its checkpoint, in bytes: it is read whole, and nobody vouches for what comes after the
/// pinned prefix.
const MAX_LEAD: u64 = 8 << 20;

/// Deepest prefix: all hex digits of a key.
const MAX_PREFIX: usize = 64;

impl Registry {
    /// Reads what is not known yet of these packages.
    pub(super) fn look_up(&self, names: &BTreeSet<PackageName>) -> Result<(), IndexError> {
        let mut wanted: BTreeSet<String> = names.iter().map(PackageName::normalised).collect();
        wanted.retain(|name| !self.seen().packages.contains_key(name));
        let root = self.state.checkpoint.packages;
        let leaves = self.descend(root, &wanted, Node::parse_packages)?;
        let mut found = Vec::new();
        for leaf in leaves.values().flatten() {
            self.seen().names.insert(leaf.name.clone());
        }
        for name in wanted {
            let leaf = leaves.get(&name).into_iter().flatten().find(|leaf| leaf.name.normalised() == name);
            if let Some(leaf) = leaf {
                found.push((name, leaf.clone()));
            } else {
                self.check_absent(names.iter().find(|asked| asked.normalised() == name))?;
                self.seen().packages.insert(name, None);
            }
        }
        let leaves: Vec<&PackageLeaf> = found.iter().map(|(_, leaf)| leaf).collect();
        let logs = self.logs(&leaves)?;
        for ((name, leaf), bytes) in found.into_iter().zip(logs) {
            let log = self.checked_log(&leaf, &bytes)?;
            self.seen().packages.insert(name, Some(Arc::new(Looked { leaf, log })));
        }
        Ok(())
    }

    /// A package, looked up.
    pub(super) fn package(&self, name: &PackageName) -> Result<Option<Arc<Looked>>, IndexError> {
        self.look_up(&BTreeSet::from([name.clone()]))?;
        Ok(self.seen().packages.get(&name.normalised()).cloned().flatten())
    }

    /// The leaves in which these normalised names must stand, by name: level by level, each level in one batch.
    pub(super) fn descend<L: Clone>(
        &self,
        root: Sha256,
        names: &BTreeSet<String>,
        parse: impl Fn(&[u8], &str) -> Result<Node<L>, TreeError>,
    ) -> Result<BTreeMap<String, Vec<L>>, IndexError> {
        let mut leaves = BTreeMap::new();
        if names.is_empty() {
            return Ok(leaves);
        }
        let keyed: Vec<(String, &String)> = names.iter().map(|name| (key_of(name).hex(), name)).collect();
        let mut level = BTreeMap::from([(String::new(), (root, keyed))]);
        while !level.is_empty() {
            let pins: Vec<Pinned> = level.values().map(|(digest, _)| node(digest)).collect();
            let nodes = self.source.pinned(&pins)?;
            let mut next: BTreeMap<String, Level<'_>> = BTreeMap::new();
            for ((prefix, (digest, names)), bytes) in level.into_iter().zip(nodes) {
                let refused = |source| IndexError::Tree {
                    registry: self.id().clone(),
                    path: node(&digest).path,
                    source: Box::new(source),
                };
                match parse(&bytes, &prefix).map_err(refused)? {
                    Node::Leaf(lines) => {
                        leaves.extend(names.into_iter().map(|(_, name)| (name.clone(), lines.clone())));
                    }
                    Node::Inner(_) if prefix.len() >= MAX_PREFIX => {}
                    Node::Inner(children) => {
                        for (key, name) in names {
                            let Some(below) = key.get(..=prefix.len()) else { continue };
                            let digit = below.chars().last().and_then(|digit| digit.to_digit(16));
                            // No child for the digit: no key begins so, and the name is absent.
                            let child = digit.and_then(|digit| children.get(&u8::try_from(digit).ok()?));
                            if let Some(child) = child {
                                let group = next.entry(below.to_owned()).or_insert_with(|| (*child, Vec::new()));
                                group.1.push((key, name));
                            }
                        }
                    }
                }
            }
            level = next;
        }
        Ok(leaves)
    }

    /// The pinned prefixes of logs, in order. Any copy that begins with the prefix will do; one that is shorter or differs
    /// is asked for again, past caches.
    pub(super) fn logs(&self, leaves: &[&PackageLeaf]) -> Result<Vec<Vec<u8>>, IndexError> {
        let mut asked = Asked { leaves, found: vec![None; leaves.len()], open: (0..leaves.len()).collect() };
        for freshness in [Freshness::Immutable, Freshness::Revalidate] {
            if !asked.open.is_empty() {
                let answers = self.source.get_many_or_none(&asked.paths(), freshness)?;
                asked.take(answers);
            }
        }
        // Opening another place costs a look-up of its name: only where something is open.
        let mut others = self.source.other_origins();
        while !asked.open.is_empty()
            && let Some(origin) = others.next()
        {
            asked.take(origin.get_many(&asked.paths(), Freshness::Revalidate).unwrap_or_default());
        }
        // What is still open is behind or wrong: one by one, with patience.
        let finish = |(leaf, bytes): (&&PackageLeaf, Option<Vec<u8>>)| match bytes {
            Some(bytes) => Ok(bytes),
            None => self.source.patiently(Freshness::PastCaches, |freshness| self.log(leaf, freshness)),
        };
        leaves.iter().zip(asked.found).map(finish).collect()
    }

    fn log(&self, leaf: &PackageLeaf, freshness: Freshness) -> Result<Vec<u8>, IndexError> {
        let path = log_path(&leaf.name);
        let bytes = self.source.get(&path, cap_of(leaf), freshness)?;
        let bytes = bytes.ok_or_else(|| self.source.missing(&format!("the log of {} ({path})", leaf.name)))?;
        self.pinned_prefix(leaf, &path, bytes)
    }

    /// Cuts a file that grows to what is pinned of it as the log of this leaf.
    pub(super) fn pinned_prefix(&self, leaf: &PackageLeaf, path: &str, bytes: Vec<u8>) -> Result<Vec<u8>, IndexError> {
        prefix(bytes, &leaf.log).map_err(|odd| match odd {
            Odd::Short(found) => IndexError::Behind {
                registry: self.id().clone(),
                place: self.source.place(),
                what: "the size of a package's log",
                found: format!("{found} ({})", leaf.name).into(),
                least: leaf.log.size.to_string().into(),
                witness: "its checkpoint",
            },
            Odd::Differs(found) => {
                let (registry, path) = (self.id().clone(), path.to_owned());
                IndexError::WrongBytes { registry, path, expected: leaf.log.sha256, found }
            }
        })
    }

    /// A package that this machine has read can't be absent: its log would have been cut to nothing.
    fn check_absent(&self, package: Option<&PackageName>) -> Result<(), IndexError> {
        let Some(package) = package else { return Ok(()) };
        match self.read_before(package)? {
            Some(Pin { size, sha256: stored }) if !self.memory.is_ahead_of(self.state.checkpoint.at)? => {
                let (registry, package) = (self.id().clone(), package.clone());
                Err(IndexError::Delisted { registry, package, size, stored })
            }
            _ => Ok(()),
        }
    }

    /// The prefix of a log that this machine read in this epoch. Where it does not fit, another process may have read a
    /// later checkpoint since this one opened its memory.
    fn read_before(&self, package: &PackageName) -> Result<Option<Pin>, IndexError> {
        if self.address == IndexAddress::Builtin {
            return Ok(None);
        }
        let stored = self.memory.prefix(package)?.filter(|stored| stored.epoch == self.state.checkpoint.at.epoch);
        Ok(stored.map(|stored| stored.pin))
    }

    /// Parses a log whose bytes were pinned, and compares it with what this machine read before.
    fn checked_log(&self, leaf: &PackageLeaf, bytes: &[u8]) -> Result<PackageLog, IndexError> {
        if let Some(Pin { size, sha256: stored }) = self.read_before(&leaf.name)? {
            let prefix = usize::try_from(size).ok().and_then(|size| bytes.get(..size));
            if prefix.map(Sha256::of) != Some(stored) && !self.memory.is_ahead_of(self.state.checkpoint.at)? {
                let (registry, package) = (self.id().clone(), leaf.name.clone());
                return Err(IndexError::Rewritten { registry, package, size, stored });
            }
        }
        PackageLog::parse(bytes).map_err(|source| IndexError::Log {
            registry: self.id().clone(),
            package: leaf.name.clone(),
            source: Box::new(source),
        })
    }
}

/// Logs that are asked for, here and there.
struct Asked<'a> {
    leaves: &'a [&'a PackageLeaf],
    found: Vec<Option<Vec<u8>>>,
    /// Places in the list that have no answer yet.
    open: Vec<usize>,
}

impl Asked<'_> {
    /// What is still open, with how much of it may be read.
    fn paths(&self) -> Vec<(String, u64)> {
        let open = self.open.iter().filter_map(|place| self.leaves.get(*place));
        open.map(|leaf| (log_path(&leaf.name), cap_of(leaf))).collect()
    }

    /// Takes answers to what was open, in order; those that do not begin with the pinned prefix are none.
    fn take(&mut self, answers: Vec<Option<Vec<u8>>>) {
        let answers = answers.into_iter().chain(std::iter::repeat(None));
        for (place, bytes) in std::mem::take(&mut self.open).into_iter().zip(answers) {
            let prefix = self.leaves.get(place).and_then(|leaf| prefix(bytes?, &leaf.log).ok());
            match (prefix, self.found.get_mut(place)) {
                (Some(bytes), Some(slot)) => *slot = Some(bytes),
                _ => self.open.push(place),
            }
        }
    }
}

/// Why bytes do not begin with a pinned prefix.
enum Odd {
    Short(usize),
    Differs(Sha256),
}

/// Cuts a log to its pinned prefix.
fn prefix(mut bytes: Vec<u8>, pin: &Pin) -> Result<Vec<u8>, Odd> {
    let size = usize::try_from(pin.size).unwrap_or(usize::MAX);
    if bytes.len() < size {
        return Err(Odd::Short(bytes.len()));
    }
    bytes.truncate(size);
    let found = Sha256::of(&bytes);
    if found == pin.sha256 { Ok(bytes) } else { Err(Odd::Differs(found)) }
}

/// How much of a log is read.
fn cap_of(leaf: &PackageLeaf) -> u64 {
    leaf.log.size.saturating_add(MAX_LEAD).min(MAX_LOG)
}

pub(in crate::index) fn log_path(name: &PackageName) -> String {
    format!("packages/{name}.jsonl")
}

/// Where a node lies.
pub(super) fn node_path(digest: &Sha256) -> String {
    format!("tree/{digest}")
}

fn node(digest: &Sha256) -> Pinned {
    Pinned { path: node_path(digest), sha256: *digest, cap: MAX_NODE }
}
