//! What the registrar does: namespaces, their keys, and revocations.

use std::collections::BTreeMap;

use crate::catalog::{NamespaceLeaf, build_namespaces};
use crate::keys::SecretKey;
use crate::model::{Fingerprint, Namespace, PublicKey, Sha256, Timestamp};
use crate::registry::release::looks_like;
use crate::registry::state::{after, entry_path, node_path, registrar_path};
use crate::registry::{Folder, RegistryError, Roots, State};
use crate::trust::{Freshness, NamespaceEntry, Registrar, RetiredKey, RetiredPrefix, Revocations};

/// A registrar file about to be made.
#[derive(Debug, Clone, Copy)]
pub struct Issue<'a> {
    /// When.
    pub now: Timestamp,
    /// How long it counts, in seconds; without meaning where nothing expires.
    pub life: u64,
    /// The registrar's keys, a threshold of them.
    pub signers: &'a [&'a SecretKey],
}

/// A namespace's next entry.
#[derive(Debug, Clone)]
pub struct EntryChange {
    /// The namespace.
    pub namespace: Namespace,
    /// Keys that publish from now on.
    pub keys: Vec<PublicKey>,
    /// How many of them must sign.
    pub threshold: u64,
    /// Keys that publish no more, but count for what the index has admitted so far.
    pub retire: Vec<PublicKey>,
    /// Keys that publish no more and count for nothing.
    pub disown: Vec<PublicKey>,
}

/// Writes a namespace's first or next entry and the registrar file that names it. Signed by `handover` as well, a threshold
/// of the previous entry's publishers, it is a handover, which clients follow without asking. Returns the entry's digest.
///
/// # Errors
/// `E0827`: the entry breaks a rule. `E0835`: a new namespace that looks like one that stands. What reading and writing can
/// break.
pub fn change_namespace(
    folder: &Folder,
    change: &EntryChange,
    handover: &[&SecretKey],
    issue: Issue<'_>,
) -> Result<Sha256, RegistryError> {
    let state = State::read(folder)?;
    let before = state.namespaces.get(&change.namespace);
    let skeleton = change.namespace.skeleton();
    if before.is_none()
        && let Some(standing) = state.namespaces.keys().find(|standing| standing.skeleton() == skeleton)
    {
        return Err(looks_like(change.namespace.as_str(), standing.as_str()));
    }
    let mut retired = before.map(|(_, entry)| entry.retired.clone()).unwrap_or_default();
    retired.retain(|old| !change.keys.contains(&old.key));
    let prefixes = prefixes(&state, &change.namespace);
    retired.extend(change.retire.iter().map(|key| RetiredKey { key: key.clone(), prefixes: prefixes.clone() }));
    retired.extend(change.disown.iter().map(|key| RetiredKey { key: key.clone(), prefixes: Vec::new() }));
    let entry = NamespaceEntry {
        registry: state.registrar.registry.clone(),
        namespace: change.namespace.clone(),
        number: before.map_or(Ok(1), |(_, entry)| after(entry.number, "entries of the namespace"))?,
        previous: before.map(|(digest, _)| *digest),
        keys: change.keys.clone(),
        threshold: change.threshold,
        retired,
    };
    let digest = write_entry(folder, &entry, handover)?;
    let mut entries = entries(&state);
    entries.insert(change.namespace.clone(), digest);
    write_registrar(folder, &state, &entries, state.registrar.revocations.clone(), issue)?;
    Ok(digest)
}

/// Revokes a key: its signatures count for nothing.
///
/// # Errors
/// What reading and writing can break.
pub fn revoke_key(folder: &Folder, key: Fingerprint, reason: &str, issue: Issue<'_>) -> Result<u64, RegistryError> {
    let state = State::read(folder)?;
    let mut revocations = state.registrar.revocations.clone();
    revocations.keys.entry(key).or_insert_with(|| reason.to_owned());
    write_registrar(folder, &state, &entries(&state), revocations, issue)
}

/// Revokes a release by the digest of its statement: it authorises nothing.
///
/// # Errors
/// What reading and writing can break.
pub fn revoke_release(
    folder: &Folder,
    statement: Sha256,
    reason: &str,
    issue: Issue<'_>,
) -> Result<u64, RegistryError> {
    let state = State::read(folder)?;
    let mut revocations = state.registrar.revocations.clone();
    revocations.releases.entry(statement).or_insert_with(|| reason.to_owned());
    write_registrar(folder, &state, &entries(&state), revocations, issue)
}

/// Writes the next registrar file with the same content and a new life.
///
/// # Errors
/// What reading and writing can break.
pub fn reissue(folder: &Folder, issue: Issue<'_>) -> Result<u64, RegistryError> {
    let state = State::read(folder)?;
    write_registrar(folder, &state, &entries(&state), state.registrar.revocations.clone(), issue)
}

/// Writes the first registrar file of a registry that has a root and nothing else.
pub(super) fn write_first(
    folder: &Folder,
    roots: &Roots,
    first: &[NamespaceEntry],
    issue: Issue<'_>,
) -> Result<(), RegistryError> {
    let mut entries = BTreeMap::new();
    for entry in first {
        entries.insert(entry.namespace.clone(), write_entry(folder, entry, &[])?);
    }
    write_numbered(folder, roots, 1, &entries, Revocations::default(), issue)
}

fn write_entry(folder: &Folder, entry: &NamespaceEntry, handover: &[&SecretKey]) -> Result<Sha256, RegistryError> {
    let bytes = entry.render();
    let digest = Sha256::of(&bytes);
    let file = entry_path(&digest);
    NamespaceEntry::parse(&bytes, &entry.registry, &entry.namespace)
        .map_err(|source| RegistryError::Trust { file: file.clone(), source })?;
    folder.sign(&file, &bytes, handover)?;
    folder.write_once(&file, &bytes)?;
    Ok(digest)
}

fn entries(state: &State) -> BTreeMap<Namespace, Sha256> {
    state.namespaces.iter().map(|(namespace, (digest, _))| (namespace.clone(), *digest)).collect()
}

/// The logs of a namespace as the checkpoint pins them.
fn prefixes(state: &State, namespace: &Namespace) -> Vec<RetiredPrefix> {
    let inside = state.packages.values().filter(|leaf| leaf.name.namespace() == *namespace);
    inside
        .map(|leaf| RetiredPrefix { package: leaf.name.clone(), size: leaf.log.size, sha256: leaf.log.sha256 })
        .collect()
}

fn write_registrar(
    folder: &Folder,
    state: &State,
    entries: &BTreeMap<Namespace, Sha256>,
    revocations: Revocations,
    issue: Issue<'_>,
) -> Result<u64, RegistryError> {
    let number = after(state.registrar.number, "registrar files")?;
    write_numbered(folder, &state.roots, number, entries, revocations, issue)?;
    Ok(number)
}

fn write_numbered(
    folder: &Folder,
    roots: &Roots,
    number: u64,
    entries: &BTreeMap<Namespace, Sha256>,
    revocations: Revocations,
    issue: Issue<'_>,
) -> Result<(), RegistryError> {
    let root = roots.newest();
    let leaves: Vec<NamespaceLeaf> = entries
        .iter()
        .map(|(namespace, entry)| NamespaceLeaf { namespace: namespace.clone(), entry: *entry })
        .collect();
    let tree = build_namespaces(&leaves)?;
    for (digest, node) in &tree.nodes {
        folder.write_once(&node_path(digest), node)?;
    }
    let registrar = Registrar {
        registry: root.registry.clone(),
        number,
        issued: issue.now,
        expires: (root.freshness == Freshness::Normal).then(|| issue.now.plus(issue.life)),
        namespaces: tree.root,
        revocations,
    };
    let bytes = registrar.render();
    folder.write_signed(&registrar_path(number), &bytes, issue.signers, |signatures| {
        Registrar::check(&bytes, signatures, root, number).map(drop)
    })
}
