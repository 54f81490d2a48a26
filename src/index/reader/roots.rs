//! Step 2 of the client's rules: from the pinned or the remembered root to the newest, one by one.

use std::collections::BTreeMap;

use crate::index::expected::{registrar_path, signatures_of};
use crate::index::memory::Memory;
use crate::index::reader::source::Source;
use crate::index::{Freshness, IndexError, Opening};
use crate::model::{PublicKey, Sha256};
use crate::trust::{MAX_ROOT, MAX_ROOTS, Role, TrustError, TrustRoot};

/// The newest root, and the digests of all that lead to it.
pub(super) struct Chain {
    pub(super) newest: TrustRoot,
    pub(super) bytes: Vec<u8>,
    pub(super) digests: BTreeMap<u64, Sha256>,
}

/// Walks until a root is absent.
pub(super) fn walk(
    source: &Source,
    opening: &Opening,
    memory: Option<&Memory>,
    freshness: Freshness,
) -> Result<Chain, IndexError> {
    let mut chain = match remembered(source, opening, memory)? {
        Some(chain) => chain,
        None => first(source, opening, freshness)?,
    };
    for _ in 0..=MAX_ROOTS {
        let Some(number) = chain.newest.number.checked_add(1) else { break };
        let path = path_of(number);
        let bytes = match source.get(&path, MAX_ROOT, freshness) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return met(source, opening, chain),
            // Offline, the walk ends where the copies end.
            Err(IndexError::Origin { source: error, .. }) if error.is_offline() => return met(source, opening, chain),
            Err(error) => return Err(error),
        };
        // Its own keys sign it too: which files to ask for is read from it, whether they count is checked below.
        let next = TrustRoot::parse(&bytes).map_err(source.refused(&path))?;
        let keys: Vec<&PublicKey> =
            [&chain.newest, &next].iter().flat_map(|root| &root.keys(Role::Root).keys).collect();
        let signatures = source.signatures(&path, keys, freshness)?;
        chain.newest = chain.newest.next(&bytes, &signatures).map_err(source.refused(&path))?;
        chain.digests.insert(number, Sha256::of(&bytes));
        chain.bytes = bytes;
    }
    Err(IndexError::TooManyRoots { registry: source.registry.clone(), limit: MAX_ROOTS })
}

fn path_of(number: u64) -> String {
    format!("trust/root/{number}.json")
}

/// The newest root of the memory; none where a pinned later root can't be compared with what it recorded.
fn remembered(source: &Source, opening: &Opening, memory: Option<&Memory>) -> Result<Option<Chain>, IndexError> {
    let Some(state) = memory.and_then(Memory::state) else { return Ok(None) };
    if let Some((number, _)) = opening.root_at
        && number <= state.root.number
        && !state.roots.contains_key(&number)
    {
        return Ok(None);
    }
    if state.root.registry != opening.id {
        let error = TrustError::Identity {
            file: "root file",
            field: "registry",
            expected: opening.id.to_string(),
            found: state.root.registry.to_string(),
        };
        return Err(source.refused(&path_of(state.root.number))(error));
    }
    Ok(Some(Chain { newest: state.root.clone(), bytes: state.root_bytes.clone(), digests: state.roots.clone() }))
}

fn first(source: &Source, opening: &Opening, freshness: Freshness) -> Result<Chain, IndexError> {
    let path = path_of(1);
    let refused = source.refused(&path);
    let bytes = source.required(&path, MAX_ROOT, freshness)?;
    let found = Sha256::of(&bytes);
    if found != opening.root {
        return Err(refused(TrustError::Fingerprint { expected: opening.root, found }));
    }
    let keys = TrustRoot::parse(&bytes).map_err(&refused)?;
    if freshness == Freshness::Immutable {
        // The pin says that it is the root: what its keys sign can be asked for at once.
        let index = &keys.keys(Role::Index).keys;
        source.origin.expect(&signatures_of("checkpoint.json", index, Freshness::Revalidate));
        if let Some(floor) = opening.floor {
            let registrars = &keys.keys(Role::Registrar).keys;
            source.origin.expect(&signatures_of(&registrar_path(floor.registrar), registrars, freshness));
        }
    }
    let signatures = source.signatures(&path, &keys.keys(Role::Root).keys, freshness)?;
    let newest = TrustRoot::first(&bytes, &signatures, &opening.root, &opening.id).map_err(refused)?;
    Ok(Chain { newest, bytes, digests: BTreeMap::from([(1, found)]) })
}

/// Compares the root that was pinned besides the first.
fn met(source: &Source, opening: &Opening, chain: Chain) -> Result<Chain, IndexError> {
    let Some((number, expected)) = opening.root_at else { return Ok(chain) };
    let found = chain.digests.get(&number);
    if found == Some(&expected) {
        return Ok(chain);
    }
    Err(IndexError::RootAt {
        registry: source.registry.clone(),
        number,
        expected,
        found: found.map_or_else(|| "absent".to_owned(), |digest| format!("sha256:{digest}")),
    })
}
