//! Handing a signed statement in: it counts once a checkpoint admitted it.

use crate::keys::SecretKey;
use crate::model::{Namespace, PackageName, PublicKey, Sha256, Version};
use crate::registry::{Folder, RegistryError, State};
use crate::statement::{MAX_STATEMENT, Statement};

/// What became of a statement that was handed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Submitted {
    /// It was not there.
    New,
    /// The same bytes were there, waiting or admitted.
    Standing,
}

/// Checks that a key may publish in a namespace.
///
/// # Errors
/// `E0830`, `E0831`.
pub fn may_publish(state: &State, key: &PublicKey, namespace: &Namespace) -> Result<(), RegistryError> {
    let entry = state.entry(namespace)?;
    let fingerprint = key.fingerprint();
    if entry.keys.contains(key) && !state.registrar.revocations.keys.contains_key(&fingerprint) {
        return Ok(());
    }
    Err(RegistryError::NotAuthorised {
        key: fingerprint,
        action: format!("publish in namespace {namespace}"),
        expected: entry.keys.iter().map(|key| key.fingerprint().short()).collect::<Vec<_>>().join(", "),
    })
}

/// Writes a statement into `releases/`, signed. The same bytes again change nothing, except that another signer's
/// signature is added.
///
/// # Errors
/// `E0832`: its version stands, or waits, with another statement. `E0830`, `E0831`, `E0835`, and what writing can break.
pub fn submit(
    folder: &Folder,
    state: &State,
    bytes: &[u8],
    signers: &[&SecretKey],
) -> Result<Submitted, RegistryError> {
    let digest = Sha256::of(bytes);
    let file = release_path(&digest);
    let statement =
        Statement::parse(bytes).map_err(|source| RegistryError::Statement { file: file.clone(), source })?;
    for signer in signers {
        may_publish(state, signer.public(), &statement.name.namespace())?;
    }
    check_name(state, &statement.name)?;
    check_version(folder, state, &statement, &digest)?;
    folder.sign(&file, bytes, signers)?;
    Ok(if folder.write_once(&file, bytes)? { Submitted::New } else { Submitted::Standing })
}

/// Checks that a new package is not taken for one that stands.
///
/// # Errors
/// `E0835`.
pub fn check_name(state: &State, name: &PackageName) -> Result<(), RegistryError> {
    if state.packages.contains_key(name) {
        return Ok(());
    }
    let skeleton = name.skeleton();
    match state.packages.keys().find(|standing| standing.skeleton() == skeleton) {
        Some(standing) => Err(looks_like(name.as_str(), standing.as_str())),
        None => Ok(()),
    }
}

/// Two names that the eye takes for one.
pub(super) fn looks_like(offered: &str, standing: &str) -> RegistryError {
    RegistryError::LooksLike { offered: offered.to_owned(), standing: standing.to_owned() }
}

/// Checks that no other statement stands, or waits, for a version.
///
/// # Errors
/// `E0832`; `E0830`.
pub fn check_version(
    folder: &Folder,
    state: &State,
    statement: &Statement,
    offered: &Sha256,
) -> Result<(), RegistryError> {
    match standing(folder, state, &statement.name, &statement.version)? {
        Some(standing) if standing != *offered => Err(RegistryError::VersionStands {
            package: statement.name.clone(),
            version: statement.version.clone(),
            standing,
            offered: *offered,
        }),
        _ => Ok(()),
    }
}

/// The statement that stands for a version: in the log, or else waiting in `releases/` under the namespace's signatures.
fn standing(
    folder: &Folder,
    state: &State,
    name: &PackageName,
    version: &Version,
) -> Result<Option<Sha256>, RegistryError> {
    let (_, log) = state.log(folder, name)?;
    if let Some((event, _)) = log.releases.iter().find(|(event, _)| event.version == *version) {
        return Ok(Some(event.statement.sha256));
    }
    let entry = state.entry(&name.namespace())?;
    for (digest, file) in named_by_hash(folder, "releases")? {
        let Some(bytes) = folder.read(&file, MAX_STATEMENT)? else { continue };
        let Ok(statement) = Statement::parse(&bytes) else { continue };
        if statement.name != *name || statement.version != *version || Sha256::of(&bytes) != digest {
            continue;
        }
        // Anybody can leave a file; only a publisher's stands in another publisher's way.
        let signatures = folder.signatures(&file, &entry.keys)?;
        if crate::trust::count_signers(&entry.keys, 1, &bytes, &signatures).is_some() {
            return Ok(Some(digest));
        }
    }
    Ok(None)
}

/// The files of a folder whose names are `<sha256>.json`, with what their names say.
pub(super) fn named_by_hash(folder: &Folder, inside: &str) -> Result<Vec<(Sha256, String)>, RegistryError> {
    let names = folder.names(inside)?;
    let named = names.iter().filter_map(|name| {
        let digest = Sha256::parse(name.strip_suffix(".json")?).ok()?;
        (format!("{digest}.json") == *name).then(|| (digest, format!("{inside}/{name}")))
    });
    Ok(named.collect())
}

pub(super) fn release_path(digest: &Sha256) -> String {
    format!("releases/{digest}.json")
}
