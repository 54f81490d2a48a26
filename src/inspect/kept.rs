//! The file of facts beside a blob: `v1/facts/ab/<64 hex>.json`, the part of a fact that does not depend on the name.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::model::{Pin, Sha256, canonical};
use crate::scan::{Fact, Format, Hit, RULES, SCANNER_VERSION};
use crate::store::Store;
use crate::sys::files;

/// Smaller blobs are looked at again: that is quicker than keeping a file for each.
pub(super) const KEPT_FROM: u64 = 1 << 20;
/// Largest file of facts; one that would be larger is not kept.
const MAX_FILE: u64 = 64 * 1024;

#[derive(Serialize, Deserialize)]
struct Wire {
    #[serde(rename = "type")]
    kind: String,
    scanner: u32,
    sha256: String,
    size: u64,
    format: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    hits: Vec<WireHit>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    external: Vec<String>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct WireHit {
    pub(super) rule: String,
    pub(super) detail: String,
}

/// The file's place in `v1/`.
fn name(digest: &Sha256) -> String {
    let hex = digest.hex();
    format!("facts/{}/{hex}.json", hex.get(..2).unwrap_or_default())
}

fn path(store: &Store, digest: &Sha256) -> PathBuf {
    store.folder().join("v1").join(name(digest))
}

/// What is kept about a blob, if it is whole and made by these rules.
pub(super) fn read(store: &Store, pin: &Pin) -> Option<Fact> {
    if pin.size < KEPT_FROM {
        return None;
    }
    let bytes = files::read_capped(&path(store, &pin.sha256), MAX_FILE).ok()??;
    let wire: Wire = canonical::parse(&bytes, MAX_FILE).ok()?;
    let current = wire.kind == "mpm.facts/1"
        && wire.scanner == SCANNER_VERSION
        && wire.sha256 == pin.sha256.hex()
        && wire.size == pin.size
        && wire.hits.iter().all(|hit| RULES.contains(&hit.rule.as_str()));
    let hits = wire.hits.into_iter().map(|hit| Hit { rule: hit.rule, detail: hit.detail });
    current.then(|| Fact { format: Format(wire.format), hits: hits.collect(), external: wire.external })
}

/// Keeps a fact. A store that can't be written only means that the blob is looked at again.
pub(super) fn write(store: &Store, pin: &Pin, fact: &Fact) {
    if pin.size < KEPT_FROM {
        return;
    }
    let hits = fact.hits.iter().map(|hit| WireHit { rule: hit.rule.clone(), detail: hit.detail.clone() });
    let wire = Wire {
        kind: "mpm.facts/1".to_owned(),
        scanner: SCANNER_VERSION,
        sha256: pin.sha256.hex(),
        size: pin.size,
        format: fact.format.0.clone(),
        hits: hits.collect(),
        external: fact.external.clone(),
    };
    let bytes = canonical::render(&wire);
    if bytes.len() as u64 > MAX_FILE {
        return;
    }
    let _ = store.write_beside(&name(&pin.sha256), &bytes);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::inspect::kept::{KEPT_FROM, MAX_FILE, path, read, write};
    use crate::model::shaken::{put, shaken};
    use crate::model::{Pin, Sha256};
    use crate::scan::{Fact, Format, Hit, RULES};
    use crate::store::Store;

    fn pin() -> Pin {
        Pin { sha256: Sha256::of(b"a large blob"), size: KEPT_FROM }
    }

    fn fact() -> Fact {
        let rule = RULES.first().expect("a rule");
        let hits = vec![Hit { rule: (*rule).to_owned(), detail: "os.system".to_owned() }];
        Fact { format: Format("pickle".to_owned()), hits, external: vec!["weights.bin".to_owned()] }
    }

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(folder.path()).expect("a store");
        (folder, store)
    }

    fn kept() -> Vec<u8> {
        let (_folder, store) = store();
        write(&store, &pin(), &fact());
        std::fs::read(path(&store, &pin().sha256)).expect("kept")
    }

    #[test]
    fn a_fact_is_read_back_for_exactly_its_blob() {
        let (_folder, store) = store();
        write(&store, &pin(), &fact());
        assert_eq!(read(&store, &pin()), Some(fact()));
        assert_eq!(read(&store, &Pin { size: KEPT_FROM + 1, ..pin() }), None);
        let other = Sha256::of(b"another");
        put(&path(&store, &other), &kept());
        assert_eq!(read(&store, &Pin { sha256: other, ..pin() }), None, "a fact of another blob");
        let large = Fact { external: vec!["x".repeat(usize::try_from(MAX_FILE).expect("small"))], ..fact() };
        write(&store, &Pin { sha256: other, ..pin() }, &large);
        assert_eq!(read(&store, &Pin { sha256: other, ..pin() }), None, "too large to be kept");
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_fact_or_none(bytes in shaken(&kept())) {
            let (_folder, store) = store();
            put(&path(&store, &pin().sha256), &bytes);
            if let Some(fact) = read(&store, &pin()) {
                prop_assert!(fact.hits.iter().all(|hit| RULES.contains(&hit.rule.as_str())));
            }
        }
    }
}
