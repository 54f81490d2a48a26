//! Who may publish: thresholds, retired and revoked keys, handovers, yanks.

use std::collections::BTreeSet;

use modelpm::catalog::YankAction;
use modelpm::diagnose::Diagnose as _;
use modelpm::index::{Familiarity, IndexError, Registry};
use modelpm::keys::SecretKey;
use modelpm::model::{Fingerprint, Pin, Sha256};
use modelpm::progress::Silent;
use modelpm::trust::{RetiredKey, RetiredPrefix};

use super::fixture::{Index, Machine, WAYS, Way, name, namespace, version};

fn take(registry: &Registry, number: &str) -> Result<BTreeSet<Fingerprint>, IndexError> {
    let package = name("acme/minilm");
    let listings = registry.listings(&BTreeSet::from([package.clone()]))?;
    let listing = listings[&package].as_ref().expect("it is listed");
    Ok(registry.statement(&package, &listing.releases[&version(number)])?.signers)
}

fn code<T>(result: Result<T, IndexError>) -> &'static str {
    result.err().map_or("", |error| error.code().0)
}

/// Publishes the entries, then opens from a folder.
fn published(index: &mut Index) -> (Machine, Registry) {
    index.registrar();
    index.checkpoint();
    let machine = Machine::new();
    let registry = machine.open(index, Way::Folder).unwrap();
    (machine, registry)
}

fn fingerprints(keys: &[&SecretKey]) -> BTreeSet<Fingerprint> {
    keys.iter().map(|key| key.public().fingerprint()).collect()
}

#[test]
fn a_threshold_of_publishers_must_sign() {
    let second = SecretKey::generate().unwrap();
    let mut index = Index::new();
    index.grant("acme", |entry| {
        entry.keys.push(second.public().clone());
        entry.threshold = 2;
    });
    let pin = Pin::of(&index.statement("acme/minilm", "1.1.0").render());
    index.countersign(&format!("releases/{}.json", pin.sha256), &second);
    let (_machine, registry) = published(&mut index);
    assert_eq!(take(&registry, "1.1.0").unwrap(), fingerprints(&[&index.publisher, &second]));
    assert_eq!(code(take(&registry, "1.0.0")), "E0104");
}

#[test]
fn a_namespace_that_nobody_was_given_publishes_nothing() {
    let mut index = Index::new();
    let pin = index.release("other/tool", "1.0.0");
    let (_machine, registry) = published(&mut index);
    assert_eq!(code(registry.locked_statement(&name("other/tool"), &version("1.0.0"), &pin)), "E0120");
}

#[test]
fn the_key_of_another_namespace_counts_for_nothing() {
    let other = SecretKey::generate().unwrap();
    let mut index = Index::new();
    index.grant("other", |entry| entry.keys = vec![other.public().clone()]);
    let pin = index.release("other/tool", "1.0.0");
    let (_machine, registry) = published(&mut index);
    assert_eq!(code(registry.locked_statement(&name("other/tool"), &version("1.0.0"), &pin)), "E0104");
}

#[test]
fn a_retired_key_counts_up_to_its_prefix_and_no_further() {
    let next = SecretKey::generate().unwrap();
    let mut index = Index::new();
    let log = index.logs[&name("acme/minilm")].clone();
    let first = log.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let old = index.publisher.public().clone();
    let prefix = |bytes: &[u8]| RetiredPrefix {
        package: name("acme/minilm"),
        size: bytes.len() as u64,
        sha256: Sha256::of(bytes),
    };
    for (prefixes, good) in [
        (vec![prefix(&log)], ["", ""]),
        (vec![prefix(&log[..first])], ["", "E0104"]),
        (Vec::new(), ["E0104", "E0104"]),
        // The digest of another history: a line was slipped in.
        (vec![RetiredPrefix { sha256: Sha256::of(b"x"), ..prefix(&log) }], ["E0104", "E0104"]),
        (vec![RetiredPrefix { package: name("acme/other"), ..prefix(&log) }], ["E0104", "E0104"]),
        (vec![RetiredPrefix { size: log.len() as u64 + 1, ..prefix(&log) }], ["E0104", "E0104"]),
    ] {
        index.grant("acme", |entry| {
            entry.keys = vec![next.public().clone()];
            entry.retired = vec![RetiredKey { key: old.clone(), prefixes: prefixes.clone() }];
        });
        let (_machine, registry) = published(&mut index);
        assert_eq!([code(take(&registry, "1.0.0")), code(take(&registry, "1.1.0"))], good, "{prefixes:?}");
    }
}

#[test]
fn what_is_revoked_is_refused() {
    let mut index = Index::new();
    let pin = Pin::of(&index.statement("acme/minilm", "1.1.0").render());
    index.revocations.releases.insert(pin.sha256, "harm".to_owned());
    let (_machine, registry) = published(&mut index);
    assert_eq!(code(take(&registry, "1.1.0")), "E0109");
    assert_eq!(code(take(&registry, "1.0.0")), "");
    index.revocations.keys.insert(index.publisher.public().fingerprint(), "stolen".to_owned());
    let (_machine, registry) = published(&mut index);
    assert_eq!(code(take(&registry, "1.0.0")), "E0104");
}

#[test]
fn yanks_are_signed_by_publishers_or_registrars_and_their_counters_rise() {
    let stranger = SecretKey::generate().unwrap();
    for way in WAYS {
        let mut index = Index::new();
        let pin = Pin::of(&index.statement("acme/minilm", "1.0.0").render());
        let key = |index: &Index, registrar| {
            let key = if registrar { &index.registrar_key } else { &index.publisher };
            SecretKey::open(&key.to_text(None, "test").unwrap(), None).unwrap()
        };
        let publisher = key(&index, false);
        index.yank("acme/minilm", "1.0.0", pin, YankAction::Yank, 1, &publisher);
        index.checkpoint();
        let machine = Machine::new();
        let standing = |index: &Index| {
            let registry = machine.open(index, way)?;
            let package = name("acme/minilm");
            let listings = registry.listings(&BTreeSet::from([package.clone()]))?;
            let release = &listings[&package].as_ref().unwrap().releases[&version("1.0.0")];
            let record = registry.yank(&package, release)?;
            assert_eq!(record.is_some(), release.yanked.is_some());
            Ok::<_, IndexError>(record.map(|record| record.reason))
        };
        assert_eq!(standing(&index).unwrap(), Some("wrong labels".to_owned()), "{way:?}");
        let registrar = key(&index, true);
        index.yank("acme/minilm", "1.0.0", pin, YankAction::Unyank, 2, &registrar);
        index.checkpoint();
        assert_eq!(standing(&index).unwrap(), None);
        let before = index.logs.clone();
        // The index replays the first record, or a stranger's.
        index.yank("acme/minilm", "1.0.0", pin, YankAction::Yank, 1, &publisher);
        index.checkpoint();
        assert_eq!(code(standing(&index)), "E0121");
        index.logs = before;
        index.yank("acme/minilm", "1.0.0", pin, YankAction::Yank, 3, &stranger);
        index.checkpoint();
        assert_eq!(code(standing(&index)), "E0104");
    }
}

#[test]
fn signers_are_known_through_handovers_alone() {
    let [second, third] = [(); 2].map(|()| SecretKey::generate().unwrap());
    let acme = namespace("acme");
    let known = |index: &mut Index, signers: &[&SecretKey], locked: &[&SecretKey]| {
        let (_machine, registry) = published(index);
        registry.knows_signers(&acme, &fingerprints(signers), &fingerprints(locked)).unwrap()
    };
    let handed = |by_old: bool| {
        let mut index = Index::new();
        let digest = index.grant("acme", |entry| entry.keys = vec![second.public().clone()]);
        if by_old {
            let key = SecretKey::open(&index.publisher.to_text(None, "test").unwrap(), None).unwrap();
            index.countersign(&format!("trust/namespaces/{digest}.json"), &key);
        }
        index
    };
    let mut index = handed(true);
    let first = SecretKey::open(&index.publisher.to_text(None, "test").unwrap(), None).unwrap();
    assert_eq!(known(&mut index, &[&second], &[]), Familiarity::New);
    assert_eq!(known(&mut index, &[&second], &[&second]), Familiarity::Known);
    assert_eq!(known(&mut index, &[&second], &[&first]), Familiarity::Known);
    let changed = Familiarity::Changed { remembered: fingerprints(&[&first]) };
    assert_eq!(known(&mut index, &[&third], &[&first]), changed);
    // The registrar alone changed the key.
    let mut index = handed(false);
    let first = SecretKey::open(&index.publisher.to_text(None, "test").unwrap(), None).unwrap();
    let changed = Familiarity::Changed { remembered: fingerprints(&[&first]) };
    assert_eq!(known(&mut index, &[&second], &[&first]), changed);
    // It slips its own key in beside the old one, and hands over with that.
    let mut index = Index::new();
    let first = SecretKey::open(&index.publisher.to_text(None, "test").unwrap(), None).unwrap();
    index.grant("acme", |entry| entry.keys.push(second.public().clone()));
    let digest = index.grant("acme", |entry| entry.keys = vec![third.public().clone()]);
    index.countersign(&format!("trust/namespaces/{digest}.json"), &second);
    let changed = Familiarity::Changed { remembered: fingerprints(&[&first]) };
    assert_eq!(known(&mut index, &[&third], &[&first]), changed);
}

#[test]
fn accepted_signers_are_remembered() {
    let index = Index::new();
    let machine = Machine::new();
    let registry = machine.open(&index, Way::Folder).unwrap();
    let signers = take(&registry, "1.0.0").unwrap();
    let acme = namespace("acme");
    assert_eq!(registry.knows_signers(&acme, &signers, &BTreeSet::new()).unwrap(), Familiarity::New);
    registry.remember(&[(acme.clone(), signers.clone())].into(), &Silent).unwrap();
    let registry = machine.reopen(&index, Way::Folder).unwrap();
    assert_eq!(registry.knows_signers(&acme, &signers, &BTreeSet::new()).unwrap(), Familiarity::Known);
}
