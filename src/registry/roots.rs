//! The chain of roots in a folder.

use crate::keys::SecretKey;
use crate::model::Sha256;
use crate::registry::{Folder, RegistryError};
use crate::trust::{MAX_ROOT, MAX_ROOTS, Role, TrustRoot};

/// The roots of a registry, each checked by the one before.
#[derive(Debug, Clone)]
pub struct Roots {
    /// Digest of the first root: what the registry is.
    pub first: Sha256,
    /// From number 1 to the newest.
    chain: Vec<TrustRoot>,
    newest: TrustRoot,
}

impl Roots {
    /// Reads and checks the chain.
    ///
    /// # Errors
    /// `E0822`: there is no first root. `E0827`: a root is refused.
    pub fn read(folder: &Folder) -> Result<Self, RegistryError> {
        let not_there = || RegistryError::NotARegistry { folder: folder.path().to_owned() };
        let bytes = folder.read(&root_path(1), MAX_ROOT)?.ok_or_else(not_there)?;
        let parsed = parse(1, &bytes)?;
        let first = Sha256::of(&bytes);
        let signatures = folder.signatures(&root_path(1), &parsed.keys(Role::Root).keys)?;
        let root = TrustRoot::first(&bytes, &signatures, &first, &parsed.registry)
            .map_err(|source| RegistryError::Trust { file: root_path(1), source })?;
        let mut roots = Self { first, chain: vec![root.clone()], newest: root };
        for number in 2..=MAX_ROOTS {
            let Some(bytes) = folder.read(&root_path(number), MAX_ROOT)? else { break };
            let parsed = parse(number, &bytes)?;
            let keys = roots.newest.keys(Role::Root).keys.iter().chain(&parsed.keys(Role::Root).keys);
            let signatures = folder.signatures(&root_path(number), keys)?;
            let next = roots
                .newest
                .next(&bytes, &signatures)
                .map_err(|source| RegistryError::Trust { file: root_path(number), source })?;
            roots.chain.push(next.clone());
            roots.newest = next;
        }
        Ok(roots)
    }

    /// The newest root.
    pub fn newest(&self) -> &TrustRoot {
        &self.newest
    }

    /// All roots, the newest first.
    pub fn newest_first(&self) -> impl Iterator<Item = &TrustRoot> {
        self.chain.iter().rev()
    }
}

/// Writes the first root, or the next one after those that stand. Signed by `signers`, who must reach the thresholds of
/// the root before and of this one. Returns the digest of its bytes.
///
/// # Errors
/// `E0827`: it is no root, or no next one. `E0821`, `E0806`.
pub fn write_root(folder: &Folder, root: &TrustRoot, signers: &[&SecretKey]) -> Result<Sha256, RegistryError> {
    let bytes = root.render();
    let digest = Sha256::of(&bytes);
    let before = match Roots::read(folder) {
        Ok(roots) => Some(roots),
        Err(RegistryError::NotARegistry { .. }) => None,
        Err(error) => return Err(error),
    };
    folder.write_signed(&root_path(root.number), &bytes, signers, |signatures| match &before {
        None => TrustRoot::first(&bytes, signatures, &digest, &root.registry).map(drop),
        Some(roots) => roots.newest().next(&bytes, signatures).map(drop),
    })?;
    Ok(digest)
}

pub(super) fn root_path(number: u64) -> String {
    format!("trust/root/{number}.json")
}

fn parse(number: u64, bytes: &[u8]) -> Result<TrustRoot, RegistryError> {
    TrustRoot::parse(bytes).map_err(|source| RegistryError::Trust { file: root_path(number), source })
}
