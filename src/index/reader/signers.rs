//! Whether the signers of a namespace are known on this machine: remembered, or reached by handovers.

use std::collections::BTreeSet;

use crate::index::reader::statement::{KnownEntry, entry_path};
use crate::index::reader::{Familiarity, Registry};
use crate::index::{Freshness, IndexError};
use crate::model::{Fingerprint, Namespace, PublicKey};
use crate::trust::count_signers;

/// Most entries that are walked back.
const MAX_ENTRIES: usize = 64;

impl Registry {
    pub(super) fn familiarity(
        &self,
        namespace: &Namespace,
        signers: &BTreeSet<Fingerprint>,
        locked: &BTreeSet<Fingerprint>,
    ) -> Result<Familiarity, IndexError> {
        let mut known = self.memory.signers(namespace)?;
        known.extend(locked);
        if known.is_empty() {
            return Ok(Familiarity::New);
        }
        if self.leads_to(namespace, &known, signers)? {
            return Ok(Familiarity::Known);
        }
        Ok(Familiarity::Changed { remembered: known })
    }

    /// Whether signers are among these keys, or reached from them by handovers.
    pub(super) fn leads_to(
        &self,
        namespace: &Namespace,
        known: &BTreeSet<Fingerprint>,
        signers: &BTreeSet<Fingerprint>,
    ) -> Result<bool, IndexError> {
        if signers.is_subset(known) {
            return Ok(true);
        }
        let now = self.entry(namespace)?;
        let enough = |known: &BTreeSet<Fingerprint>| {
            signers.is_subset(known) || signers.intersection(known).count() as u64 >= now.entry.threshold
        };
        Ok(enough(known) || enough(&self.reached(namespace, &now, known.clone())?))
    }

    /// Keys that are reached from known ones: the keys of an entry whose handover a threshold of the entry before signed,
    /// with known keys alone. A key that the registrar slipped in between reaches nobody.
    fn reached(
        &self,
        namespace: &Namespace,
        now: &KnownEntry,
        mut known: BTreeSet<Fingerprint>,
    ) -> Result<BTreeSet<Fingerprint>, IndexError> {
        let mut entries = Vec::new();
        let mut previous = now.entry.previous;
        while let Some(digest) = previous {
            // A copy may lack old entries: then nothing is reached through them.
            if entries.len() >= MAX_ENTRIES {
                break;
            }
            let entry = match self.entry_at(namespace, digest) {
                Err(IndexError::Missing { .. }) => break,
                other => other?,
            };
            previous = entry.entry.previous;
            entries.push(entry);
        }
        entries.reverse();
        for (place, before) in entries.iter().enumerate() {
            let next = entries.get(place + 1).unwrap_or(now);
            if self.is_handover(before, next, &known)? {
                known.extend(next.entry.keys.iter().map(PublicKey::fingerprint));
            }
        }
        Ok(known)
    }

    fn is_handover(
        &self,
        before: &KnownEntry,
        next: &KnownEntry,
        known: &BTreeSet<Fingerprint>,
    ) -> Result<bool, IndexError> {
        let revoked = self.revocations();
        let keys: Vec<PublicKey> = before
            .entry
            .keys
            .iter()
            .filter(|key| known.contains(&key.fingerprint()) && !revoked.has(key))
            .cloned()
            .collect();
        if (keys.len() as u64) < before.entry.threshold {
            return Ok(false);
        }
        let signatures = self.source.signatures(&entry_path(&next.digest), &keys, Freshness::Immutable)?;
        Ok(before.entry.hands_over_to(&before.digest, &next.bytes, &signatures, revoked)
            && count_signers(&keys, before.entry.threshold, &next.bytes, &signatures).is_some())
    }
}
