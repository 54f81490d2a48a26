//! The next checkpoint: admits what waits, grows logs and tree, and signs the new head.

use std::collections::BTreeSet;
use std::path::Path;

use crate::catalog::{Admitted, YankAction, build_packages};
use crate::keys::SecretKey;
use crate::model::{CheckpointNumber, PackageName, Sha256, Timestamp, Version};
use crate::registry::admit::{admit, leaves, write_logs};
use crate::registry::state::{CHECKPOINT, after, node_path};
use crate::registry::{Folder, Refusal, RegistryError, State};
use crate::sys::files;
use crate::trust::{Checkpoint, Freshness, Role};

/// Seconds of a day.
const DAY: u64 = 86_400;
/// Days that a node stays after nothing leads to it.
const NODE_DAYS: u64 = 7;

/// A checkpoint about to be made.
#[derive(Debug, Clone)]
pub struct CheckpointRequest<'a> {
    /// When.
    pub now: Timestamp,
    /// Index keys, a threshold of them.
    pub signers: &'a [&'a SecretKey],
    /// Where blobs can be had; none: as before, at first the index's own folder.
    pub bases: Option<Vec<String>>,
}

/// A file that did not make it into a log.
#[derive(Debug)]
pub struct Refused {
    /// The file.
    pub file: String,
    /// Why.
    pub why: Refusal,
}

/// What a checkpoint did.
#[derive(Debug)]
pub struct CheckpointOutcome {
    /// Its epoch and number.
    pub at: CheckpointNumber,
    /// Digest of its bytes.
    pub sha256: Sha256,
    /// When it stops counting for new trust.
    pub expires: Option<Timestamp>,
    /// Releases that it admitted.
    pub releases: Vec<(PackageName, Version)>,
    /// Yanks and unyanks that it applied.
    pub yanks: Vec<(PackageName, Version, YankAction)>,
    /// Files that stay outside.
    pub refused: Vec<Refused>,
    /// Old nodes that were dropped.
    pub dropped: usize,
}

/// Makes the next checkpoint of a folder. Hold the folder's lease.
///
/// Everything that it names is written before it: logs, nodes, signature, `checkpoint.json` last.
///
/// # Errors
/// `E0821` to `E0834`. Whatever fails, the checkpoint that stood still stands.
pub fn checkpoint(folder: &Folder, request: &CheckpointRequest<'_>) -> Result<CheckpointOutcome, RegistryError> {
    let state = State::read(folder)?;
    state.check_registrar(folder)?;
    let root = state.roots.newest();
    let at = next_number(&state)?;
    if let Some(standing) = &state.checkpoint
        && standing.issued > request.now
    {
        let (now, standing) = (request.now.to_string(), standing.issued.to_string());
        return Err(RegistryError::Clock { now, standing });
    }
    for signer in request.signers {
        let keys = &root.keys(Role::Index).keys;
        if !keys.contains(signer.public()) {
            return Err(RegistryError::NotAuthorised {
                key: signer.public().fingerprint(),
                action: "sign checkpoints".to_owned(),
                expected: keys.iter().map(|key| key.fingerprint().short()).collect::<Vec<_>>().join(", "),
            });
        }
    }
    let admission = admit(folder, &state, Admitted { checkpoint: at, time: request.now })?;
    let tree = build_packages(&leaves(&state, &admission))?;
    let bases = request.bases.clone().or_else(|| state.checkpoint.as_ref().map(|standing| standing.bases.clone()));
    let life = root.checkpoint_max_days.saturating_mul(DAY);
    let next = Checkpoint {
        registry: root.registry.clone(),
        at,
        issued: request.now,
        expires: (root.freshness == Freshness::Normal).then(|| request.now.plus(life)),
        root: root.number,
        registrar: state.registrar.number,
        packages: tree.root,
        bases: bases.unwrap_or_else(|| vec![".".to_owned()]),
    };
    write_logs(folder, &admission)?;
    for (digest, node) in tree.nodes.iter().filter(|(digest, _)| !state.nodes.contains(digest)) {
        folder.write_once(&node_path(digest), node)?;
    }
    let bytes = next.render();
    folder.write_signed(CHECKPOINT, &bytes, request.signers, |signatures| {
        Checkpoint::check(&bytes, signatures, root, request.now).map(drop)
    })?;
    let mut keep: BTreeSet<Sha256> = tree.nodes.keys().copied().collect();
    keep.extend(State::read(folder)?.nodes);
    let dropped = drop_old_nodes(folder, &keep)?;
    Ok(CheckpointOutcome {
        at,
        sha256: Sha256::of(&bytes),
        expires: next.expires,
        releases: admission.releases,
        yanks: admission.yanks,
        refused: admission.refused.into_iter().map(|(file, why)| Refused { file, why }).collect(),
        dropped,
    })
}

fn next_number(state: &State) -> Result<CheckpointNumber, RegistryError> {
    let epoch = state.roots.newest().epoch;
    let Some(standing) = &state.checkpoint else { return Ok(CheckpointNumber { epoch, number: 1 }) };
    match after(standing.at.number, "checkpoints") {
        Ok(number) => Ok(CheckpointNumber { epoch, number }),
        // A stolen index key can use up all numbers: a new epoch begins anew.
        Err(_) if epoch > standing.at.epoch => Ok(CheckpointNumber { epoch, number: 1 }),
        Err(error) => Err(error),
    }
}

/// Drops nodes that nothing leads to and that are older than seven days: readers of the checkpoint before may need those.
/// The file system's own clock tells: a node is as old as it is older than the checkpoint that was just written.
fn drop_old_nodes(folder: &Folder, keep: &BTreeSet<Sha256>) -> Result<usize, RegistryError> {
    let written = |path: &Path| path.symlink_metadata().and_then(|found| found.modified());
    let Ok(now) = written(&folder.inside(CHECKPOINT)?) else { return Ok(0) };
    let mut dropped = 0;
    for name in folder.names("tree")? {
        let Ok(digest) = Sha256::parse(&name) else { continue };
        if digest.hex() != name || keep.contains(&digest) {
            continue;
        }
        let path = folder.inside(&node_path(&digest))?;
        let age = written(&path).ok().and_then(|then| now.duration_since(then).ok()).unwrap_or_default();
        if age.as_secs() > NODE_DAYS * DAY {
            files::remove(&path).map_err(|source| RegistryError::File { path, source })?;
            dropped += 1;
        }
    }
    Ok(dropped)
}
