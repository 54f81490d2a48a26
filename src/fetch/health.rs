//! How places behaved in earlier runs: a small file that is believed for nothing but the order in which they are asked.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::model::{Sha256, Timestamp, canonical};
use crate::sys::files;

/// Largest file that is read, in bytes.
const CAP: u64 = 64 << 10;
/// Most places that are remembered; the oldest go.
const PLACES: usize = 256;
/// What it says it is.
const TYPE: &str = "mpm.places/1";
/// For so many seconds a failure counts.
const LATELY: u64 = 3600;

/// What is remembered of places, by the digest of what they are called: an address may hold what is nobody's business.
#[derive(Debug)]
pub struct Health {
    path: PathBuf,
    now: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    places: BTreeMap<String, Record>,
    changed: bool,
}

/// One place.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    /// Failures since it last gave something.
    failures: u32,
    /// Bytes a second, when it last gave much.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    speed: Option<u64>,
    /// When that was, in seconds since 1970.
    when: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Wire {
    #[serde(rename = "type")]
    kind: String,
    places: BTreeMap<String, Record>,
}

impl Health {
    /// What the file says; one that is damaged, too large or not there says nothing.
    pub fn read(path: &Path, now: Timestamp) -> Self {
        let wire = files::read_capped(path, CAP).ok().flatten().and_then(|bytes| canonical::parse(&bytes, CAP).ok());
        let places = wire.filter(|wire: &Wire| wire.kind == TYPE).map(|wire| wire.places).unwrap_or_default();
        let state = Mutex::new(State { places, changed: false });
        Self { path: path.to_owned(), now: now.seconds(), state }
    }

    /// Whether a place failed a short while ago, and gave nothing since.
    pub(super) fn failed_lately(&self, place: &str) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(record) = state.places.get(&key(place)) else { return false };
        // A time to come is some other clock's.
        record.failures > 0 && record.when <= self.now && self.now - record.when < LATELY
    }

    /// A place gave bytes, at so many a second if that was measured; or it failed.
    pub(super) fn note(&self, place: &str, gave: bool, speed: Option<u64>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let record = state.places.entry(key(place)).or_default();
        record.failures = if gave { 0 } else { record.failures.saturating_add(1) };
        record.speed = speed.or(record.speed);
        record.when = self.now;
        state.changed = true;
    }

    /// Writes it, if something is to be remembered. That it can't be written harms nobody.
    pub(super) fn keep(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !std::mem::take(&mut state.changed) {
            return;
        }
        while state.places.len() > PLACES {
            let oldest = state.places.iter().min_by_key(|(_, record)| record.when).map(|(key, _)| key.clone());
            let Some(oldest) = oldest else { break };
            state.places.remove(&oldest);
        }
        let wire = Wire { kind: TYPE.to_owned(), places: state.places.clone() };
        if let Some(folder) = self.path.parent() {
            let _ = std::fs::create_dir_all(folder);
        }
        let _ = files::write_private(&self.path, &canonical::render(&wire));
    }
}

fn key(place: &str) -> String {
    Sha256::of(place.as_bytes()).hex()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::fetch::health::{Health, LATELY, PLACES};
    use crate::model::Timestamp;
    use crate::model::shaken::{put, shaken};

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(seconds).expect("a time")
    }

    #[test]
    fn a_failure_counts_for_a_while_and_until_the_place_gives_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("cache/places.json");
        let first = Health::read(&path, at(10_000));
        first.note("https://a/", false, None);
        first.note("https://b/", true, Some(1000));
        first.keep();
        let later = Health::read(&path, at(10_000 + LATELY - 1));
        assert!(later.failed_lately("https://a/") && !later.failed_lately("https://b/"));
        assert!(!Health::read(&path, at(10_000 + LATELY)).failed_lately("https://a/"));
        assert!(!Health::read(&path, at(9_000)).failed_lately("https://a/"), "another clock's");
        later.note("https://a/", true, None);
        later.keep();
        assert!(!Health::read(&path, at(10_001)).failed_lately("https://a/"));
        let text = std::fs::read_to_string(&path).expect("written");
        assert!(!text.contains("https"), "{text}");
    }

    #[test]
    fn it_is_bounded_and_read_again_at_its_largest() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("places.json");
        let many = Health::read(&path, at(1));
        (0..2 * PLACES).for_each(|number| many.note(&number.to_string(), false, Some(u64::MAX)));
        many.keep();
        let read = Health::read(&path, at(1));
        assert_eq!(read.state.lock().expect("whole").places.len(), PLACES);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_memory_or_none(bytes in shaken(br#"{"type":"mpm.places/1","places":{"ab":{"failures":1,"when":5}}}"#)) {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("places.json");
            put(&path, &bytes);
            let health = Health::read(&path, at(10));
            let _ = health.failed_lately("x");
            health.note("x", false, None);
            health.keep();
        }
    }
}
