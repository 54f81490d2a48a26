//! What a folder's signed files say, checked from the roots down.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::{MAX_LOG, MAX_NODE, NamespaceLeaf, Node, PackageLeaf, PackageLog, TreeError};
use crate::model::{Namespace, PackageName, Pin, Sha256};
use crate::registry::{Folder, RegistryError, Roots};
use crate::trust::{
    Checkpoint, MAX_CHECKPOINT, MAX_NAMESPACE, MAX_NUMBER, MAX_REGISTRAR, NamespaceEntry, Registrar, Role, TrustError,
    TrustRoot,
};

/// The checkpoint's file.
pub(super) const CHECKPOINT: &str = "checkpoint.json";

/// A registry as its folder holds it.
#[derive(Debug, Clone)]
pub struct State {
    /// Its roots.
    pub roots: Roots,
    /// The newest registrar file.
    pub registrar: Registrar,
    /// Entries by namespace, with their digests.
    pub namespaces: BTreeMap<Namespace, (Sha256, NamespaceEntry)>,
    /// The checkpoint that stands, if one was ever made.
    pub checkpoint: Option<Checkpoint>,
    /// The lines of the package tree.
    pub packages: BTreeMap<PackageName, PackageLeaf>,
    /// Nodes of both trees, by digest.
    pub(super) nodes: BTreeSet<Sha256>,
}

impl State {
    /// Reads a folder.
    ///
    /// # Errors
    /// `E0821` to `E0829`: what is missing, changed or not signed.
    pub fn read(folder: &Folder) -> Result<Self, RegistryError> {
        let roots = Roots::read(folder)?;
        let checkpoint = read_checkpoint(folder, &roots)?;
        let registrar = read_registrar(folder, &roots, checkpoint.as_ref())?;
        let mut nodes = BTreeSet::new();
        let mut namespaces = BTreeMap::new();
        for leaf in read_tree(folder, &registrar.namespaces, Node::parse_namespaces, &mut nodes)? {
            let NamespaceLeaf { namespace, entry } = leaf;
            let file = entry_path(&entry);
            let bytes = folder.read_pinned(&file, MAX_NAMESPACE, &entry)?;
            let parsed = NamespaceEntry::parse(&bytes, &registrar.registry, &namespace)
                .map_err(|source| RegistryError::Trust { file, source })?;
            namespaces.insert(namespace, (entry, parsed));
        }
        let mut packages = BTreeMap::new();
        if let Some(checkpoint) = &checkpoint {
            for leaf in read_tree(folder, &checkpoint.packages, Node::parse_packages, &mut nodes)? {
                packages.insert(leaf.name.clone(), leaf);
            }
        }
        Ok(Self { roots, registrar, namespaces, checkpoint, packages, nodes })
    }

    /// The pinned prefix of a package's log; empty for a package that the tree does not have. What follows the prefix in
    /// the file was signed by nobody and is left out.
    ///
    /// # Errors
    /// `E0825`, `E0826`: it is shorter, or was changed. `E0829`.
    pub fn log(&self, folder: &Folder, name: &PackageName) -> Result<(Vec<u8>, PackageLog), RegistryError> {
        let Some(leaf) = self.packages.get(name) else { return Ok((Vec::new(), PackageLog::default())) };
        let file = log_path(&leaf.name);
        let bytes = prefix(folder, &file, &leaf.log)?;
        let log = PackageLog::parse(&bytes).map_err(|source| RegistryError::Log { file, source })?;
        Ok((bytes, log))
    }

    /// Checks that the newest registrar file counts under the newest root: what a checkpoint may name.
    ///
    /// # Errors
    /// `E0827`: the root changed the registrar's keys, and no registrar file was written since.
    pub fn check_registrar(&self, folder: &Folder) -> Result<(), RegistryError> {
        let number = self.registrar.number;
        let bytes = folder.read(&registrar_path(number), MAX_REGISTRAR)?.unwrap_or_default();
        check_registrar(folder, self.roots.newest(), number, &bytes).map(drop)
    }

    /// The entry of a namespace.
    ///
    /// # Errors
    /// `E0830`.
    pub fn entry(&self, namespace: &Namespace) -> Result<&NamespaceEntry, RegistryError> {
        self.namespaces.get(namespace).map(|(_, entry)| entry).ok_or_else(|| RegistryError::UnknownNamespace {
            registry: self.registrar.registry.clone(),
            namespace: namespace.clone(),
        })
    }
}

/// The number after one that stands. Files can't state a higher one than [`MAX_NUMBER`].
///
/// # Errors
/// `E0834`.
pub(super) fn after(number: u64, what: &'static str) -> Result<u64, RegistryError> {
    number.checked_add(1).filter(|next| *next <= MAX_NUMBER).ok_or(RegistryError::Exhausted { what })
}

fn prefix(folder: &Folder, file: &str, pin: &Pin) -> Result<Vec<u8>, RegistryError> {
    // A log that is ahead may be longer than its pin, but no longer than a log may be.
    let mut bytes = folder.read(file, MAX_LOG)?.ok_or_else(|| RegistryError::Missing { file: file.to_owned() })?;
    bytes.truncate(usize::try_from(pin.size).unwrap_or(usize::MAX));
    let found = Sha256::of(&bytes);
    if found == pin.sha256 {
        Ok(bytes)
    } else {
        Err(RegistryError::Changed { file: file.to_owned(), expected: pin.sha256, found })
    }
}

fn read_checkpoint(folder: &Folder, roots: &Roots) -> Result<Option<Checkpoint>, RegistryError> {
    let Some(bytes) = folder.read(CHECKPOINT, MAX_CHECKPOINT)? else { return Ok(None) };
    let checkpoint = Checkpoint::parse(&bytes).map_err(|source| trust(CHECKPOINT, source))?;
    // The checkpoint that stands may be older than the newest root, whose index key may be another. It is never older than
    // an epoch of which it knows nothing.
    let signed = |root: &TrustRoot| -> Result<bool, RegistryError> {
        let signatures = folder.signatures(CHECKPOINT, &root.keys(Role::Index).keys)?;
        Ok(root.epoch == checkpoint.at.epoch && root.check(Role::Index, &bytes, &signatures).is_ok())
    };
    for root in roots.newest_first() {
        if root.registry == checkpoint.registry && signed(root)? {
            return Ok(Some(checkpoint));
        }
    }
    Err(RegistryError::ForeignCheckpoint)
}

/// The newest registrar file: the one that the checkpoint names, or one that is signed under the newest root and grew from
/// it.
fn read_registrar(folder: &Folder, roots: &Roots, checkpoint: Option<&Checkpoint>) -> Result<Registrar, RegistryError> {
    let root = roots.newest();
    let mut number = checkpoint.map_or(1, |checkpoint| checkpoint.registrar);
    let missing = |number| RegistryError::Missing { file: registrar_path(number) };
    let mut bytes = folder.read(&registrar_path(number), MAX_REGISTRAR)?.ok_or_else(|| missing(number))?;
    let standing = (number, bytes.clone());
    while let Some(next) = number.checked_add(1) {
        let Some(newer) = folder.read(&registrar_path(next), MAX_REGISTRAR)? else { break };
        (number, bytes) = (next, newer);
    }
    if checkpoint.is_some() && number == standing.0 {
        return read_older(folder, roots, &standing);
    }
    // Only the newest root's keys say what is new: a key that was rotated out must not be able to add to it.
    let newest = check_registrar(folder, root, number, &bytes)?;
    if checkpoint.is_some() {
        let older = read_older(folder, roots, &standing)?;
        let file = registrar_path(number);
        newest.grows_from(&older.revocations).map_err(|source| trust(&file, source))?;
    }
    Ok(newest)
}

fn check_registrar(folder: &Folder, root: &TrustRoot, number: u64, bytes: &[u8]) -> Result<Registrar, RegistryError> {
    let file = registrar_path(number);
    let signatures = folder.signatures(&file, &root.keys(Role::Registrar).keys)?;
    Registrar::check(bytes, &signatures, root, number).map_err(|source| trust(&file, source))
}

/// A registrar file that counted under this root or an earlier one.
fn read_older(folder: &Folder, roots: &Roots, (number, bytes): &(u64, Vec<u8>)) -> Result<Registrar, RegistryError> {
    let file = registrar_path(*number);
    let mut refusal = None;
    for root in roots.newest_first() {
        let signatures = folder.signatures(&file, &root.keys(Role::Registrar).keys)?;
        match root.check(Role::Registrar, bytes, &signatures) {
            Ok(_) => return Registrar::parse(bytes).map_err(|source| trust(&file, source)),
            Err(source) => refusal = refusal.or(Some(source)),
        }
    }
    Err(refusal.map_or(RegistryError::Missing { file: file.clone() }, |source| trust(&file, source)))
}

fn read_tree<L>(
    folder: &Folder,
    root: &Sha256,
    parse: fn(&[u8], &str) -> Result<Node<L>, TreeError>,
    nodes: &mut BTreeSet<Sha256>,
) -> Result<Vec<L>, RegistryError> {
    let mut waiting = vec![(*root, String::new())];
    let mut found = Vec::new();
    while let Some((digest, prefix)) = waiting.pop() {
        let bytes = folder.read_pinned(&node_path(&digest), MAX_NODE, &digest)?;
        nodes.insert(digest);
        match parse(&bytes, &prefix)? {
            Node::Leaf(lines) => found.extend(lines),
            Node::Inner(children) => {
                waiting.extend(children.iter().map(|(digit, child)| (*child, format!("{prefix}{digit:x}"))));
            }
        }
    }
    Ok(found)
}

pub(super) fn registrar_path(number: u64) -> String {
    format!("trust/registrar/{number}.json")
}

pub(super) fn entry_path(digest: &Sha256) -> String {
    format!("trust/namespaces/{digest}.json")
}

pub(super) fn node_path(digest: &Sha256) -> String {
    format!("tree/{digest}")
}

pub(super) fn log_path(name: &PackageName) -> String {
    format!("packages/{name}.jsonl")
}

fn trust(file: &str, source: TrustError) -> RegistryError {
    RegistryError::Trust { file: file.to_owned(), source }
}
