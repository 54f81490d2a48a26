//! Facts of many small blobs in one file: `v1/facts/sets/<64 hex>.json`, named by the digest of their pins.
//!
//! A file for each would cost more than looking again; one for all of a package spares reading 20,000 files to place them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::inspect::kept::WireHit;
use crate::model::{Pin, Sha256, Sha256Hasher, canonical};
use crate::scan::{Fact, Format, Hit, RULES, SCANNER_VERSION};
use crate::store::Store;
use crate::sys::files;

/// Fewer blobs are looked at again.
pub(super) const LEAST: usize = 64;
/// Largest file; a set that would be larger is not kept.
const MAX_FILE: u64 = 64 << 20;
const TYPE: &str = "mpm.facts-set/1";

/// Blobs of one set, sorted: the key says which, so the file need not.
pub(super) struct Set {
    pins: Vec<Pin>,
    key: Sha256,
}

#[derive(Serialize, Deserialize)]
struct Wire {
    /// The formats that occur.
    formats: Vec<String>,
    key: String,
    /// For each blob the place of its format in `formats`.
    of: Vec<u32>,
    /// What else was seen, by the blob's place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    more: Vec<WireMore>,
    scanner: u32,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Serialize, Deserialize)]
struct WireMore {
    at: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    external: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    hits: Vec<WireHit>,
}

impl Set {
    /// The set of these pins; none where there are too few.
    pub(super) fn of(mut pins: Vec<Pin>) -> Option<Self> {
        pins.sort_unstable();
        pins.dedup();
        if pins.len() < LEAST || u32::try_from(pins.len()).is_err() {
            return None;
        }
        let mut hasher = Sha256Hasher::new();
        for pin in &pins {
            hasher.update(pin.sha256.as_bytes());
            hasher.update(&pin.size.to_le_bytes());
        }
        Some(Self { pins, key: hasher.finish() })
    }

    /// The pins, sorted.
    pub(super) fn pins(&self) -> &[Pin] {
        &self.pins
    }

    fn path(&self, store: &Store) -> PathBuf {
        store.folder().join("v1/facts/sets").join(format!("{}.json", self.key.hex()))
    }

    /// What is kept about the set, if it is whole and made by these rules.
    pub(super) fn read(&self, store: &Store) -> Option<Vec<Fact>> {
        let bytes = files::read_capped(&self.path(store), MAX_FILE).ok()??;
        let wire: Wire = canonical::parse(&bytes, MAX_FILE).ok()?;
        let current = wire.kind == TYPE
            && wire.scanner == SCANNER_VERSION
            && wire.key == self.key.hex()
            && wire.of.len() == self.pins.len();
        if !current {
            return None;
        }
        let mut facts = Vec::with_capacity(wire.of.len());
        for at in wire.of {
            let format = wire.formats.get(usize::try_from(at).ok()?)?.clone();
            facts.push(Fact { format: Format(format), hits: Vec::new(), external: Vec::new() });
        }
        for more in wire.more {
            let fact = facts.get_mut(usize::try_from(more.at).ok()?)?;
            if !more.hits.iter().all(|hit| RULES.contains(&hit.rule.as_str())) {
                return None;
            }
            fact.hits = more.hits.into_iter().map(|hit| Hit { rule: hit.rule, detail: hit.detail }).collect();
            fact.external = more.external;
        }
        Some(facts)
    }

    /// Keeps the facts of the set, in the order of its pins. A store that can't be written only costs time.
    pub(super) fn write(&self, store: &Store, facts: &[Fact]) {
        let mut places: BTreeMap<&str, u32> = BTreeMap::new();
        for fact in facts {
            places.entry(&fact.format.0).or_insert(0);
        }
        for (number, place) in places.values_mut().enumerate() {
            *place = u32::try_from(number).unwrap_or(u32::MAX);
        }
        let of = facts.iter().map(|fact| places.get(fact.format.0.as_str()).copied().unwrap_or(u32::MAX)).collect();
        let more = facts.iter().zip(0_u32..).filter(|(fact, _)| !fact.hits.is_empty() || !fact.external.is_empty());
        let more = more.map(|(fact, at)| WireMore {
            at,
            external: fact.external.clone(),
            hits: fact.hits.iter().map(|hit| WireHit { rule: hit.rule.clone(), detail: hit.detail.clone() }).collect(),
        });
        let wire = Wire {
            formats: places.keys().map(|format| (*format).to_owned()).collect(),
            key: self.key.hex(),
            of,
            more: more.collect(),
            scanner: SCANNER_VERSION,
            kind: TYPE.to_owned(),
        };
        let bytes = canonical::render(&wire);
        let path = self.path(store);
        if bytes.len() as u64 <= MAX_FILE && path.parent().is_some_and(|folder| std::fs::create_dir_all(folder).is_ok())
        {
            let _ = files::write_atomic(&path, &bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::inspect::sets::{LEAST, Set};
    use crate::model::Pin;
    use crate::model::shaken::{put, shaken};
    use crate::scan::{Fact, Format, Hit, RULES};
    use crate::store::Store;

    fn pins(salt: usize) -> Vec<Pin> {
        (0..LEAST).map(|number| Pin::of(format!("{salt} {number}").as_bytes())).collect()
    }

    fn facts() -> Vec<Fact> {
        let plain = |format: &str| Fact { format: Format(format.to_owned()), hits: Vec::new(), external: Vec::new() };
        let mut facts: Vec<Fact> = (0..LEAST).map(|number| plain(["text", "json"][number % 2])).collect();
        facts[7].hits = vec![Hit { rule: RULES[0].to_owned(), detail: "seen".to_owned() }];
        facts[8].external = vec!["w.bin".to_owned()];
        facts
    }

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(folder.path()).expect("a store");
        (folder, store)
    }

    fn kept() -> Vec<u8> {
        let (_folder, store) = store();
        let set = Set::of(pins(0)).expect("enough");
        set.write(&store, &facts());
        std::fs::read(set.path(&store)).expect("kept")
    }

    #[test]
    fn facts_of_a_set_are_read_back_for_exactly_its_blobs() {
        let (_folder, store) = store();
        let set = Set::of(pins(0)).expect("enough");
        set.write(&store, &facts());
        assert_eq!(set.read(&store), Some(facts()));
        let other = Set::of(pins(1)).expect("enough");
        assert_eq!(other.read(&store), None);
        put(&other.path(&store), &kept());
        assert_eq!(other.read(&store), None, "facts of another set");
        assert!(Set::of(pins(0)[1..].to_vec()).is_none(), "too few");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_bytes_are_facts_of_a_set_or_none(bytes in shaken(&kept())) {
            let (_folder, store) = store();
            let set = Set::of(pins(0)).expect("enough");
            put(&set.path(&store), &bytes);
            if let Some(facts) = set.read(&store) {
                prop_assert_eq!(facts.len(), LEAST);
            }
        }
    }
}
