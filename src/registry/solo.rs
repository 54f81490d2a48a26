//! Small teams: one main key for root, registrar and publishing, one index key, and a recovery key that is kept elsewhere.

use std::collections::BTreeMap;

use crate::keys::SecretKey;
use crate::model::{Namespace, PublicKey, RegistryId, Sha256, Timestamp};
use crate::registry::grant::write_first;
use crate::registry::state::after;
use crate::registry::{CheckpointRequest, Folder, Issue, RegistryError, Roots, State, checkpoint, reissue, write_root};
use crate::sys::files;
use crate::trust::{Freshness, NamespaceEntry, Role, RoleKeys, TrustRoot};

const DAY: u64 = 86_400;
/// Days that a checkpoint lives.
const CHECKPOINT_DAYS: u64 = 90;
/// Seconds that a registrar file lives.
const REGISTRAR_LIFE: u64 = 365 * DAY;
/// Seconds that a root lives.
const ROOT_LIFE: u64 = 3 * 365 * DAY;

/// A registry about to be made.
#[derive(Debug, Clone)]
pub struct NewRegistry<'a> {
    /// Its id.
    pub id: RegistryId,
    /// Namespaces that the main key publishes in.
    pub namespaces: Vec<Namespace>,
    /// Root, registrar and publisher.
    pub main: &'a SecretKey,
    /// Signs checkpoints.
    pub index: &'a SecretKey,
    /// Can replace the main key.
    pub recovery: PublicKey,
    /// Whether files expire.
    pub freshness: Freshness,
    /// Whether this is a demonstration whose keys are public.
    pub demo: bool,
    /// When.
    pub now: Timestamp,
}

/// Makes a registry in a folder that is empty, or holds what git puts there. Returns the digest of its first root.
///
/// # Errors
/// `E0823`: something stands there. What writing can break.
pub fn create(folder: &Folder, new: &NewRegistry<'_>) -> Result<Sha256, RegistryError> {
    let listed =
        files::list(folder.path()).map_err(|source| RegistryError::File { path: folder.path().to_owned(), source })?;
    // What a fresh repository has; blobs may be there already.
    let harmless =
        [".git", ".gitattributes", ".gitignore", ".mpm-lease", ".mpm-drafts", "README.md", "LICENSE", "blobs"];
    if let Some((name, _)) = listed.iter().find(|(name, _)| !harmless.iter().any(|known| name == known)) {
        let found = name.to_string_lossy().into_owned();
        return Err(RegistryError::NotEmpty { folder: folder.path().to_owned(), found });
    }
    folder.write(".gitattributes", b"* -text\n")?;
    let role = |keys: Vec<PublicKey>| RoleKeys { keys, threshold: 1 };
    let main = new.main.public().clone();
    let root = TrustRoot {
        registry: new.id.clone(),
        epoch: 1,
        number: 1,
        roles: BTreeMap::from([
            (Role::Root, role(vec![main.clone(), new.recovery.clone()])),
            (Role::Registrar, role(vec![main.clone()])),
            (Role::Index, role(vec![new.index.public().clone()])),
        ]),
        checkpoint_max_days: CHECKPOINT_DAYS,
        freshness: new.freshness,
        expires: (new.freshness == Freshness::Normal).then(|| new.now.plus(ROOT_LIFE)),
        demo: new.demo,
    };
    let digest = write_root(folder, &root, &[new.main])?;
    let entries: Vec<NamespaceEntry> = new
        .namespaces
        .iter()
        .map(|namespace| NamespaceEntry {
            registry: new.id.clone(),
            namespace: namespace.clone(),
            number: 1,
            previous: None,
            keys: vec![main.clone()],
            threshold: 1,
            retired: Vec::new(),
        })
        .collect();
    let issue = Issue { now: new.now, life: REGISTRAR_LIFE, signers: &[new.main] };
    write_first(folder, &Roots::read(folder)?, &entries, issue)?;
    checkpoint(folder, &CheckpointRequest { now: new.now, signers: &[new.index], bases: None })?;
    Ok(digest)
}

/// Renews what is past half its life and what the main key alone may sign; the checkpoint comes after. Returns the files.
///
/// # Errors
/// What reading and writing can break.
pub fn renew(folder: &Folder, main: &SecretKey, now: Timestamp) -> Result<Vec<String>, RegistryError> {
    let mut renewed = Vec::new();
    let state = State::read(folder)?;
    let root = state.roots.newest();
    let alone = |role: Role| {
        let keys = root.keys(role);
        keys.threshold == 1 && keys.keys.contains(main.public())
    };
    if alone(Role::Root) && past_half(root.expires, ROOT_LIFE, now) {
        let number = after(root.number, "roots")?;
        let next = TrustRoot { number, expires: Some(now.plus(ROOT_LIFE)), ..root.clone() };
        write_root(folder, &next, &[main])?;
        renewed.push(format!("trust/root/{number}.json"));
    }
    let life = state.registrar.expires.map_or(0, |expires| expires.since(state.registrar.issued));
    if alone(Role::Registrar) && past_half(state.registrar.expires, life, now) {
        let number = reissue(folder, Issue { now, life: REGISTRAR_LIFE, signers: &[main] })?;
        renewed.push(format!("trust/registrar/{number}.json"));
    }
    Ok(renewed)
}

fn past_half(expires: Option<Timestamp>, life: u64, now: Timestamp) -> bool {
    expires.is_some_and(|expires| expires.since(now) < life / 2)
}
