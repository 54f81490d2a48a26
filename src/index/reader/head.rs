//! Steps 3 and 4 of the client's rules: the checkpoint and the registrar file, against memory, floor and clock.

use crate::index::error::age;
use crate::index::memory::{Memory, State};
use crate::index::reader::carry::checkpoint_by_digest;
use crate::index::reader::roots::{Chain, walk};
use crate::index::reader::source::{Behind, Source};
use crate::index::{Freshness, Gate, IndexError, Opening};
use crate::model::{Floor, Sha256, Signature, Timestamp};
use crate::progress::Progress;
use crate::sys::NetworkPolicy;
use crate::trust::{Checkpoint, ImportRecord, MAX_CHECKPOINT, MAX_IMPORT, MAX_REGISTRAR, Registrar, Role};

const CHECKPOINT: &str = "checkpoint.json";

/// What the head is judged by.
pub(super) struct Judge<'a> {
    pub(super) source: &'a Source,
    pub(super) opening: &'a Opening,
    /// Absent for the registry that is compiled in: the binary alone says what it holds.
    pub(super) memory: Option<&'a Memory>,
    pub(super) now: Timestamp,
    pub(super) network: NetworkPolicy,
    pub(super) progress: &'a dyn Progress,
    /// Whether another place can be asked, so that the stored state is not needed yet.
    pub(super) other_places: bool,
}

impl Judge<'_> {
    /// The newest root, checkpoint and registrar file that count.
    pub(super) fn head(&self) -> Result<State, IndexError> {
        let mut newest = None;
        let read = self.source.patiently(Freshness::Revalidate, |freshness| self.attempt(freshness, &mut newest));
        let state = match read {
            Ok(state) => state,
            Err(error) if self.other_places => return Err(error),
            Err(error) => self.stored(error, newest)?,
        };
        self.tell_epoch(&state);
        self.tell_expired(&state);
        Ok(state)
    }

    fn attempt(&self, freshness: Freshness, newest: &mut Option<u64>) -> Result<State, IndexError> {
        let roots = if freshness == Freshness::PastCaches { freshness } else { Freshness::Immutable };
        let chain = walk(self.source, self.opening, self.memory, roots)?;
        *newest = Some(chain.newest.number);
        // The signature is written first and read first: what comes apart all the same is asked for again.
        let keys = &chain.newest.keys(Role::Index).keys;
        let mut signatures = self.source.signatures(CHECKPOINT, keys, freshness)?;
        let bytes = self.source.required(CHECKPOINT, MAX_CHECKPOINT, freshness)?;
        if chain.newest.check(Role::Index, &bytes, &signatures).is_err() {
            // A copy that is written just now, or whose writer was killed between the two, has them under a name that never
            // changes as well.
            let fixed = self.source.signatures(&checkpoint_by_digest(&bytes), keys, Freshness::Immutable);
            signatures.extend(fixed.unwrap_or_default());
        }
        let checkpoint =
            Checkpoint::check(&bytes, &signatures, &chain.newest, self.now).map_err(self.source.refused(CHECKPOINT))?;
        self.check_numbers(&chain, &checkpoint)?;
        self.check_same("checkpoint", &checkpoint, &bytes)?;
        let (registrar, registrar_bytes) = self.registrar(&chain, &checkpoint, roots)?;
        let import = self.imported(&checkpoint, &bytes, Ask::There(freshness))?;
        let Chain { newest: root, bytes: root_bytes, digests: roots } = chain;
        let state = State {
            root,
            root_bytes,
            roots,
            registrar,
            registrar_bytes,
            checkpoint,
            checkpoint_bytes: bytes,
            signatures,
            import,
        };
        self.check_expiry(&state)?;
        Ok(state)
    }

    /// Nothing may be lower than what this machine or the lock has seen. A higher epoch resets all but the roots.
    fn check_numbers(&self, chain: &Chain, checkpoint: &Checkpoint) -> Result<(), IndexError> {
        let stored = self.memory.and_then(Memory::state).map(|state| (state.floor(), "this machine"));
        let locked = self.opening.floor.map(|floor| (floor, "Model.lock"));
        let found =
            Floor { root_number: chain.newest.number, registrar: checkpoint.registrar, checkpoint: checkpoint.at };
        for (floor, witness) in stored.into_iter().chain(locked) {
            if let Some((what, found, least)) = below(&found, &floor) {
                let (found, least) = (found.into(), least.into());
                let (registry, place) = (self.source.registry.clone(), self.source.place());
                return Err(IndexError::Behind { registry, place, what, found, least, witness });
            }
        }
        Ok(())
    }

    fn check_same(&self, what: &str, checkpoint: &Checkpoint, bytes: &[u8]) -> Result<(), IndexError> {
        match self.memory.and_then(Memory::state) {
            Some(state) if state.checkpoint.at == checkpoint.at && state.checkpoint_bytes != bytes => {
                Err(self.equivocation(format!("{what} {}", checkpoint.at), &state.checkpoint_bytes, bytes))
            }
            _ => Ok(()),
        }
    }

    fn registrar(
        &self,
        chain: &Chain,
        checkpoint: &Checkpoint,
        freshness: Freshness,
    ) -> Result<(Registrar, Vec<u8>), IndexError> {
        let path = format!("trust/registrar/{}.json", checkpoint.registrar);
        let bytes = self.source.required(&path, MAX_REGISTRAR, freshness)?;
        let signatures = self.source.signatures(&path, &chain.newest.keys(Role::Registrar).keys, freshness)?;
        let refused = self.source.refused(&path);
        let registrar = Registrar::check(&bytes, &signatures, &chain.newest, checkpoint.registrar).map_err(&refused)?;
        if let Some(state) = self.memory.and_then(Memory::state)
            && state.checkpoint.at.epoch == checkpoint.at.epoch
        {
            if state.registrar.number == registrar.number && state.registrar_bytes != bytes {
                let what = format!("registrar files {}", registrar.number);
                return Err(self.equivocation(what, &state.registrar_bytes, &bytes));
            }
            registrar.grows_from(&state.registrar.revocations).map_err(refused)?;
        }
        Ok((registrar, bytes))
    }

    fn check_expiry(&self, state: &State) -> Result<(), IndexError> {
        if self.opening.gate == Gate::Locked {
            return Ok(());
        }
        for Expired { what, seconds, age } in expired(state, self.now) {
            let limit = self.opening.air_gap.max_staleness;
            if limit.is_none_or(|limit| age > limit) {
                let (registry, since_issued) = (self.source.registry.clone(), age);
                return Err(IndexError::Expired { registry, what, seconds, since_issued, limit });
            }
        }
        Ok(())
    }

    /// The site's import record of a checkpoint, where the site asks for one: from this machine's memory, else from the place.
    fn imported(
        &self,
        checkpoint: &Checkpoint,
        bytes: &[u8],
        ask: Ask,
    ) -> Result<Option<(Vec<u8>, Signature)>, IndexError> {
        // The registry that is compiled in came with the binary, which the site let in.
        let (Some(key), Some(memory)) = (&self.opening.air_gap.import_key, self.memory) else { return Ok(None) };
        let digest = Sha256::of(bytes);
        let meant = (self.opening.root, checkpoint.at, digest);
        let good =
            |(record, signature): &(Vec<u8>, Signature)| ImportRecord::check(record, signature, key, meant).is_some();
        if let Some(kept) = memory.import(&digest).filter(good) {
            return Ok(Some(kept));
        }
        if let Ask::There(freshness) = ask {
            let path = ImportRecord::path(&digest);
            let signatures = self.source.signatures(&path, [key], freshness)?;
            if let Some(record) = self.source.get(&path, MAX_IMPORT, freshness)? {
                let found = signatures.into_iter().map(|signature| (record.clone(), signature)).find(good);
                if found.is_some() {
                    return Ok(found);
                }
            }
        }
        let (registry, at) = (self.source.registry.clone(), checkpoint.at);
        Err(IndexError::NotImported { registry, at, sha256: digest, key: key.fingerprint() })
    }

    /// Where the place is behind, or nobody may be asked, the stored state will do if it satisfies the floor and no newer
    /// root was seen.
    fn stored(&self, error: IndexError, newest: Option<u64>) -> Result<State, IndexError> {
        let offline = matches!(&error, IndexError::Origin { source, .. } if source.is_offline());
        let behind = matches!(&error, IndexError::Behind { .. });
        let Some(state) = self.memory.and_then(Memory::state).filter(|_| offline || behind) else { return Err(error) };
        let satisfied = self.opening.floor.is_none_or(|floor| below(&state.floor(), &floor).is_none());
        let current = newest.is_none_or(|newest| newest == state.root.number)
            && state.checkpoint.at.epoch == state.root.epoch
            && state.root.registry == self.opening.id;
        let met = self.opening.root_at.is_none_or(|(number, digest)| state.roots.get(&number) == Some(&digest));
        if !(satisfied && current && met) {
            return Err(error);
        }
        self.imported(&state.checkpoint, &state.checkpoint_bytes, Ask::Memory)?;
        self.check_expiry(state)?;
        if let IndexError::Behind { what, found, least, witness, .. } = &error {
            let behind = Behind { what, found: found.clone(), least: least.clone(), witness };
            // Set once: the head is read once.
            let _ = self.source.behind.set(behind);
            self.progress.warn("index-behind", format!("{error}; what this machine verified before is used"));
        }
        Ok(state.clone())
    }

    fn tell_epoch(&self, state: &State) {
        let stored = self.memory.and_then(Memory::state).map(|state| state.checkpoint.at.epoch);
        let locked = self.opening.floor.map(|floor| floor.checkpoint.epoch);
        let now = state.checkpoint.at.epoch;
        if let Some(before) = stored.into_iter().chain(locked).filter(|before| *before < now).max() {
            self.progress.warn(
                "epoch-raised",
                format!(
                    "registry {} began epoch {now} (epoch {before} was known): its root keys reset the numbers and \
                     histories that this machine remembered",
                    self.source.registry
                ),
            );
        }
    }

    fn tell_expired(&self, state: &State) {
        if self.opening.gate == Gate::NewTrust {
            // The site's configuration lets it through: then its age is told, always.
            for Expired { what, seconds, age: since } in expired(state, self.now) {
                let text = format!(
                    "the {what} of registry {} expired {} ago; max-staleness in the site's configuration lets it pass: it is {} old",
                    self.source.registry,
                    age(seconds),
                    age(since)
                );
                self.progress.warn("stale", text);
            }
            return;
        }
        // Offline nobody could do anything about it.
        if self.network == NetworkPolicy::Offline {
            return;
        }
        for Expired { what, seconds, .. } in expired(state, self.now) {
            self.progress.warn(
                "expired",
                format!("the {what} of registry {} expired {} ago", self.source.registry, age(seconds)),
            );
        }
    }

    fn equivocation(&self, what: String, stored: &[u8], found: &[u8]) -> IndexError {
        let registry = self.source.registry.clone();
        IndexError::Equivocation { registry, what, stored: Sha256::of(stored), found: Sha256::of(found) }
    }
}

/// A file that expired.
struct Expired {
    what: &'static str,
    /// Seconds since.
    seconds: u64,
    /// Seconds since it was issued. A root does not say when that was: of one that expired it is the longer of the time since then
    /// and the age of the checkpoint.
    age: u64,
}

/// What expired.
fn expired(state: &State, now: Timestamp) -> Vec<Expired> {
    let checkpoint_age = now.since(state.checkpoint.issued);
    let one = |what, seconds: Option<u64>, age: &dyn Fn(u64) -> u64| {
        seconds.map(|seconds| Expired { what, seconds, age: age(seconds) })
    };
    let all = [
        one("root", state.root.expired(now), &|seconds| seconds.max(checkpoint_age)),
        one("checkpoint", state.checkpoint.expired(now), &|_| checkpoint_age),
        one("registrar file", state.registrar.expired(now), &|_| now.since(state.registrar.issued)),
    ];
    all.into_iter().flatten().collect()
}

/// Where an import record may be looked for.
#[derive(Debug, Clone, Copy)]
enum Ask {
    /// In this machine's memory, then at the place.
    There(Freshness),
    /// In this machine's memory alone.
    Memory,
}

/// The first number that is lower than the floor's.
fn below(found: &Floor, floor: &Floor) -> Option<(&'static str, String, String)> {
    if found.root_number < floor.root_number {
        return Some(("the root", found.root_number.to_string(), floor.root_number.to_string()));
    }
    if found.checkpoint < floor.checkpoint {
        return Some(("the checkpoint", found.checkpoint.to_string(), floor.checkpoint.to_string()));
    }
    (found.checkpoint.epoch == floor.checkpoint.epoch && found.registrar < floor.registrar)
        .then(|| ("the registrar file", found.registrar.to_string(), floor.registrar.to_string()))
}

#[cfg(test)]
mod tests {
    use super::below;
    use crate::model::{CheckpointNumber, Floor};

    #[test]
    fn a_higher_epoch_resets_all_but_the_roots() {
        let floor = |root_number, epoch, number, registrar| Floor {
            root_number,
            registrar,
            checkpoint: CheckpointNumber { epoch, number },
        };
        let least = floor(2, 1, 50, 7);
        for (found, expected) in [
            (floor(2, 1, 50, 7), None),
            (floor(1, 1, 60, 8), Some("the root")),
            (floor(2, 1, 49, 8), Some("the checkpoint")),
            (floor(2, 1, 51, 6), Some("the registrar file")),
            (floor(3, 2, 1, 1), None),
            (floor(3, 0, 99, 9), Some("the checkpoint")),
        ] {
            assert_eq!(below(&found, &least).map(|(what, ..)| what), expected, "{found:?}");
        }
    }
}
