//! What a copy of a registry carries: files of the index as bytes under their paths, each checked as any reader checks it.
//!
//! Nothing is given out that was not verified: nodes and entries by their digests, logs by their pinned prefix (what follows
//! it is left behind), signed files with those signatures alone that hold.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::{ListedRelease, MAX_LOG, MAX_NODE, Node, PackageLeaf, TreeError, key_of};
use crate::index::reader::Registry;
use crate::index::reader::lookup::log_path;
use crate::index::reader::source::Pinned;
use crate::index::reader::statement::{KnownEntry, entry_path, keys_of};
use crate::index::{Freshness, IndexError, VerifiedStatement};
use crate::model::{
    CheckpointNumber, Namespace, PackageName, Pin, PublicKey, RegistryId, Sha256, Signature, Timestamp, Version,
};
use crate::statement::MAX_STATEMENT;
use crate::trust::{MAX_ROOT, MAX_YANK, Role, TrustRoot, count_signers};

/// Most entries of a namespace that are carried, the newest first: a reader walks back no further.
const MAX_ENTRIES: usize = 64;

/// A file of an index, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carried {
    /// Where it lies in an index.
    pub path: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// What a registry's head says, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The registry's label.
    pub registry: RegistryId,
    /// Epoch and number of the checkpoint.
    pub at: CheckpointNumber,
    /// When it was signed.
    pub issued: Timestamp,
    /// When the first of root, registrar file and checkpoint expires; none: never.
    pub expires: Option<Timestamp>,
    /// Digest of the checkpoint's bytes.
    pub sha256: Sha256,
    /// Where blobs can be had, as the checkpoint says.
    pub bases: Vec<String>,
}

/// The checkpoint with its signatures: what is written last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CarriedHead {
    /// Epoch and number.
    pub at: CheckpointNumber,
    /// `checkpoint.json`.
    pub checkpoint: Carried,
    /// Its signatures beside it.
    pub signatures: Vec<Carried>,
    /// The same under names that follow from the checkpoint's bytes: they never change.
    pub by_digest: Vec<Carried>,
}

/// A walk over the package tree, a batch of nodes at a time.
#[derive(Debug, Clone)]
pub struct Walk {
    /// Nodes that are to be read, by prefix.
    level: BTreeMap<String, Sha256>,
    /// Keys whose leaves are wanted; none: all.
    keys: Option<BTreeSet<String>>,
}

/// Nodes and what their leaves name.
#[derive(Debug, Clone, Default)]
pub struct Walked {
    /// The nodes.
    pub nodes: Vec<Carried>,
    /// Names in those that are leaves.
    pub names: Vec<PackageName>,
}

/// Where the signatures of a checkpoint lie under a name that never changes.
pub(super) fn checkpoint_by_digest(bytes: &[u8]) -> String {
    format!("checkpoints/{}.json", Sha256::of(bytes))
}

impl Registry {
    /// What its head says.
    pub fn head(&self) -> Head {
        let ends = [self.state.root.expires, self.state.registrar.expires, self.state.checkpoint.expires];
        Head {
            registry: self.id().clone(),
            at: self.state.checkpoint.at,
            issued: self.state.checkpoint.issued,
            expires: ends.into_iter().flatten().min(),
            sha256: Sha256::of(&self.state.checkpoint_bytes),
            bases: self.state.checkpoint.bases.clone(),
        }
    }

    /// Roots and registrar file, with their signatures.
    ///
    /// # Errors
    /// `E0111`, `E0112`: one is not there, or is another.
    pub fn carry_trust(&self) -> Result<Vec<Carried>, IndexError> {
        let mut carried = Vec::new();
        let mut before: Option<TrustRoot> = None;
        for number in 1..=self.state.root.number {
            let path = format!("trust/root/{number}.json");
            let digest = self.state.roots.get(&number).ok_or_else(|| self.source.missing(&path))?;
            let bytes = self.pinned_file(&path, *digest, MAX_ROOT)?;
            let root = TrustRoot::parse(&bytes).map_err(self.source.refused(&path))?;
            let keys: Vec<&PublicKey> =
                before.iter().chain([&root]).flat_map(|root| &root.keys(Role::Root).keys).collect();
            self.signed(&mut carried, &path, bytes, keys)?;
            before = Some(root);
        }
        let path = format!("trust/registrar/{}.json", self.state.registrar.number);
        let keys = self.state.root.keys(Role::Registrar);
        self.signed(&mut carried, &path, self.state.registrar_bytes.clone(), &keys.keys)?;
        Ok(carried)
    }

    /// The checkpoint with the signatures that it was read with.
    ///
    /// # Errors
    /// `E0114`, `E0111`: this place is behind what this machine knows, and so has no signature of the newest one.
    pub fn carry_head(&self) -> Result<CarriedHead, IndexError> {
        let path = "checkpoint.json";
        let bytes = self.state.checkpoint_bytes.clone();
        let keys = self.state.root.keys(Role::Index);
        let holding = holding(path, &bytes, &keys.keys, &self.state.signatures);
        if self.state.root.check(Role::Index, &bytes, &self.state.signatures).is_err() {
            return Err(self.source.missing(&format!("{path}.*.minisig")));
        }
        let fixed = checkpoint_by_digest(&bytes);
        let mut by_digest: Vec<Carried> = holding
            .iter()
            .map(|signature| Carried { path: signature.path.replacen(path, &fixed, 1), bytes: signature.bytes.clone() })
            .collect();
        by_digest.push(Carried { path: fixed, bytes: bytes.clone() });
        Ok(CarriedHead {
            at: self.state.checkpoint.at,
            checkpoint: Carried { path: path.to_owned(), bytes },
            signatures: holding,
            by_digest,
        })
    }

    /// Begins a walk over the package tree: to the leaves of these names, or over the whole of it.
    pub fn walk(&self, names: Option<&BTreeSet<PackageName>>) -> Walk {
        let key = |name: &PackageName| key_of(&name.normalised()).hex();
        let keys = names.map(|names| names.iter().map(key).collect());
        Walk { level: BTreeMap::from([(String::new(), self.state.checkpoint.packages)]), keys }
    }

    /// The next nodes of a walk, at most so many; `None`: it is at its end. After an error the walk can go on: the nodes that
    /// could not be had are left out, with all below them.
    ///
    /// # Errors
    /// A node that is not there, or that is not what was pinned.
    pub fn walk_on(&self, walk: &mut Walk, most: usize) -> Result<Option<Walked>, IndexError> {
        if walk.level.is_empty() {
            return Ok(None);
        }
        let rest = walk.level.keys().nth(most.max(1)).cloned();
        let rest = rest.map(|key| walk.level.split_off(&key)).unwrap_or_default();
        let now = std::mem::replace(&mut walk.level, rest);
        let wanted: Vec<Pinned> = now.values().map(node).collect();
        let mut walked = Walked::default();
        for ((prefix, digest), bytes) in now.into_iter().zip(self.source.pinned(&wanted)?) {
            match Node::parse_packages(&bytes, &prefix).map_err(self.refused_node(&digest))? {
                Node::Leaf(lines) => walked.names.extend(lines.into_iter().map(|leaf| leaf.name)),
                Node::Inner(children) => walk.descend(&prefix, children),
            }
            walked.nodes.push(Carried { path: node(&digest).path, bytes });
        }
        Ok(Some(walked))
    }

    /// Logs, advisory lists and yank records of packages; a package that does not exist has none.
    ///
    /// # Errors
    /// Step 5 of the rules; a yank record that is not there or not signed.
    pub fn carry_packages(&self, names: &BTreeSet<PackageName>) -> Result<Vec<Carried>, IndexError> {
        self.look_up(names)?;
        let mut carried = Vec::new();
        for name in names {
            let Some(looked) = self.package(name)? else { continue };
            let bytes = self.logs(&[&looked.leaf])?.pop().unwrap_or_default();
            carried.push(Carried { path: log_path(&looked.leaf.name), bytes });
            carried.extend(self.advisories(&looked.leaf)?);
            let versions: BTreeSet<Version> = looked.log.yanks.iter().map(|event| event.version.clone()).collect();
            for version in &versions {
                // Every record about the version is checked here.
                self.standing(name, version)?;
            }
            let entry = if versions.is_empty() { None } else { Some(self.entry(&looked.leaf.name.namespace())?) };
            for event in &looked.log.yanks {
                let path = format!("yanks/{}.json", event.record);
                let bytes = self.pinned_file(&path, event.record, MAX_YANK)?;
                let registrars = &self.state.root.keys(Role::Registrar).keys;
                let publishers = entry.iter().flat_map(|known| keys_of(&known.entry));
                let keys: Vec<&PublicKey> = publishers.chain(registrars).collect();
                self.signed(&mut carried, &path, bytes, keys)?;
            }
        }
        Ok(carried)
    }

    /// The nodes of the namespace tree that lead to some namespaces, and their entries with those before them.
    ///
    /// # Errors
    /// `E0120`, and what is not there or not what was pinned.
    pub fn carry_namespaces(&self, namespaces: &BTreeSet<Namespace>) -> Result<Vec<Carried>, IndexError> {
        let mut carried = Vec::new();
        let keys: BTreeSet<String> = namespaces.iter().map(|name| key_of(&name.normalised()).hex()).collect();
        let mut walk =
            Walk { level: BTreeMap::from([(String::new(), self.state.registrar.namespaces)]), keys: Some(keys) };
        while let Some((prefix, digest)) = walk.level.pop_first() {
            let bytes = self.pinned_file(&node(&digest).path, digest, MAX_NODE)?;
            match Node::parse_namespaces(&bytes, &prefix).map_err(self.refused_node(&digest))? {
                Node::Leaf(_) => {}
                Node::Inner(children) => walk.descend(&prefix, children),
            }
            carried.push(Carried { path: node(&digest).path, bytes });
        }
        for namespace in namespaces {
            self.carry_entries(namespace, &mut carried)?;
        }
        Ok(carried)
    }

    /// The entry of a namespace and those before it, with the signatures of handovers.
    fn carry_entries(&self, namespace: &Namespace, carried: &mut Vec<Carried>) -> Result<(), IndexError> {
        let first = self.entry(namespace)?;
        let mut entry = KnownEntry { digest: first.digest, bytes: first.bytes.clone(), entry: first.entry.clone() };
        for _ in 0..MAX_ENTRIES {
            let before = match entry.entry.previous {
                None => None,
                Some(digest) => match self.entry_at(&entry.entry.namespace, digest) {
                    // The place is a copy that lacks it: then nothing is reached through it.
                    Err(IndexError::Missing { .. }) => None,
                    other => Some(other?),
                },
            };
            let keys: Vec<&PublicKey> = before.iter().flat_map(|before| &before.entry.keys).collect();
            self.signed(carried, &entry_path(&entry.digest), entry.bytes, keys)?;
            let Some(next) = before else { return Ok(()) };
            entry = next;
        }
        Ok(())
    }

    /// Which of these releases' statements this place has, by digest: a copy of a part lacks some. Nothing is said about their
    /// bytes.
    ///
    /// # Errors
    /// The place can't be reached.
    pub fn here<'r>(&self, releases: impl Iterator<Item = &'r ListedRelease>) -> Result<BTreeSet<Sha256>, IndexError> {
        let pins: Vec<Pin> = releases.map(|release| release.event.statement).collect();
        let paths: Vec<_> =
            pins.iter().map(|pin| (format!("releases/{}.json", pin.sha256), pin.size.min(MAX_STATEMENT))).collect();
        let found = self.source.get_many(&paths, Freshness::Immutable)?;
        Ok(pins.into_iter().zip(found).filter(|(_, found)| found.is_some()).map(|(pin, _)| pin.sha256).collect())
    }

    /// A release statement, checked, with its signatures.
    ///
    /// # Errors
    /// Step 6 of the rules.
    pub fn carry_release(
        &self,
        name: &PackageName,
        release: &ListedRelease,
    ) -> Result<(VerifiedStatement, Vec<Carried>), IndexError> {
        let verified = self.statement(name, release)?;
        let known = self.entry(&verified.statement.name.namespace())?;
        let path = format!("releases/{}.json", release.event.statement.sha256);
        let mut carried = Vec::new();
        self.signed(&mut carried, &path, verified.bytes.clone(), keys_of(&known.entry).collect::<Vec<_>>())?;
        Ok((verified, carried))
    }

    /// The advisory list of a package: the pinned prefix of it.
    fn advisories(&self, leaf: &PackageLeaf) -> Result<Option<Carried>, IndexError> {
        let Some(pin) = leaf.advisories else { return Ok(None) };
        let path = format!("advisories/{}.jsonl", leaf.name);
        let as_log = PackageLeaf { log: pin, ..leaf.clone() };
        let bytes = self.source.patiently(Freshness::Revalidate, |freshness| {
            let bytes = self.source.required(&path, MAX_LOG, freshness)?;
            self.pinned_prefix(&as_log, &path, bytes)
        })?;
        Ok(Some(Carried { path, bytes }))
    }

    fn pinned_file(&self, path: &str, sha256: Sha256, cap: u64) -> Result<Vec<u8>, IndexError> {
        let wanted = [Pinned { path: path.to_owned(), sha256, cap }];
        self.source.pinned(&wanted)?.pop().ok_or_else(|| self.source.missing(path))
    }

    /// Adds a file with those of its signatures by these keys that hold, the signatures first.
    fn signed<'k>(
        &self,
        carried: &mut Vec<Carried>,
        path: &str,
        bytes: Vec<u8>,
        keys: impl IntoIterator<Item = &'k PublicKey>,
    ) -> Result<(), IndexError> {
        let keys: Vec<&PublicKey> = keys.into_iter().collect();
        let signatures = self.source.signatures(path, keys.iter().copied(), Freshness::Immutable)?;
        carried.extend(holding(path, &bytes, keys, &signatures));
        carried.push(Carried { path: path.to_owned(), bytes });
        Ok(())
    }

    fn refused_node(&self, digest: &Sha256) -> impl Fn(TreeError) -> IndexError + use<> {
        let (registry, path) = (self.id().clone(), node(digest).path);
        move |source| IndexError::Tree { registry: registry.clone(), path: path.clone(), source: Box::new(source) }
    }
}

impl Walk {
    fn descend(&mut self, prefix: &str, children: BTreeMap<u8, Sha256>) {
        for (digit, child) in children {
            let below = format!("{prefix}{digit:x}");
            let wanted = self.keys.as_ref().is_none_or(|keys| {
                // Keys are sorted, and those that begin with a prefix stand together.
                keys.range(below.clone()..).next().is_some_and(|key| key.starts_with(&below))
            });
            if wanted {
                self.level.insert(below, child);
            }
        }
    }
}

/// The signatures that hold, each under the name that follows from its key.
fn holding<'k>(
    path: &str,
    bytes: &[u8],
    keys: impl IntoIterator<Item = &'k PublicKey>,
    signatures: &[Signature],
) -> Vec<Carried> {
    let mut carried = Vec::new();
    let mut seen = BTreeSet::new();
    for key in keys.into_iter().filter(|key| seen.insert(key.fingerprint())) {
        let own = std::slice::from_ref(key);
        let good = signatures.iter().find(|one| count_signers(own, 1, bytes, std::slice::from_ref(one)).is_some());
        if let Some(signature) = good {
            let path = format!("{path}.{}.minisig", key.fingerprint().short());
            carried.push(Carried { path, bytes: signature.as_str().as_bytes().to_vec() });
        }
    }
    carried
}

fn node(digest: &Sha256) -> Pinned {
    Pinned { path: format!("tree/{digest}"), sha256: *digest, cap: MAX_NODE }
}
