//! Rollback, equivocation, expiry, epochs and roots: with memory, and with a lock alone.

use std::collections::{BTreeMap, BTreeSet};

use modelpm::index::{Gate, IndexError};
use modelpm::keys::SecretKey;
use modelpm::model::{CheckpointNumber, Floor, Sha256};
use modelpm::progress::Silent;
use modelpm::sys::NetworkPolicy;
use modelpm::trust::{Freshness, Role};

use super::fixture::{DAY, Index, Machine, NOW, WAYS, Way, name};

fn code<T>(result: Result<T, IndexError>) -> &'static str {
    use modelpm::diagnose::Diagnose as _;
    result.err().map_or("", |error| error.code().0)
}

fn learn(machine: &Machine, index: &Index, way: Way) {
    let registry = machine.open(index, way).unwrap();
    registry.listings(&BTreeSet::from([name("acme/minilm")])).unwrap();
    registry.remember(&BTreeMap::new(), &Silent).unwrap();
}

#[test]
fn an_older_checkpoint_gives_way_to_the_stored_state() {
    for way in WAYS {
        let mut index = Index::new();
        let machine = Machine::new();
        let old = index.files.clone();
        index.checkpoint();
        learn(&machine, &index, way);
        machine.heard.take();
        index.files = old;
        let registry = machine.open(&index, way).unwrap();
        assert_eq!(registry.floor().checkpoint, CheckpointNumber { epoch: 1, number: 2 }, "{way:?}");
        assert!(machine.heard.take().contains("index-behind"));
    }
}

#[test]
fn an_older_checkpoint_than_the_lock_is_refused_on_a_fresh_machine() {
    for way in WAYS {
        let index = Index::new();
        let floor = |root_number, number, registrar| {
            Some(Floor { root_number, registrar, checkpoint: CheckpointNumber { epoch: 1, number } })
        };
        for (floor, expected) in
            [(floor(1, 1, 1), ""), (floor(1, 2, 1), "E0114"), (floor(2, 1, 1), "E0114"), (floor(1, 1, 2), "E0114")]
        {
            let machine = Machine { floor, ..Machine::new() };
            assert_eq!(code(machine.open(&index, way)), expected, "{way:?} {floor:?}");
        }
    }
}

#[test]
fn the_stored_state_must_satisfy_the_floor() {
    let mut index = Index::new();
    let machine = Machine::new();
    let old = index.files.clone();
    index.checkpoint();
    learn(&machine, &index, Way::Folder);
    index.files = old;
    let floor = Floor { root_number: 1, registrar: 1, checkpoint: CheckpointNumber { epoch: 1, number: 3 } };
    let machine = Machine { floor: Some(floor), ..machine };
    let error = machine.open(&index, Way::Folder).err().unwrap();
    assert!(error.to_string().contains("is 1.1, at least"), "{error}");
}

#[test]
fn equal_numbers_with_other_bytes_are_equivocation_and_show_both_digests() {
    for way in WAYS {
        let mut index = Index::new();
        let machine = Machine::new();
        learn(&machine, &index, way);
        let before = Sha256::of(&index.files["checkpoint.json"]);
        index.release("acme/other", "1.0.0");
        index.checkpoint_again();
        assert_eq!(code(machine.open(&index, way)), "E0115", "{way:?}");
        let error = machine.open(&index, way).err().unwrap();
        let after = Sha256::of(&index.files["checkpoint.json"]);
        assert!(error.to_string().contains(&before.hex()) && error.to_string().contains(&after.hex()));
    }
}

#[test]
fn a_log_that_was_edited_or_cut_is_refused() {
    for (what, way) in [("edited", Way::Folder), ("cut", Way::Sparse), ("edited", Way::Git)] {
        let mut index = Index::new();
        let machine = Machine::new();
        learn(&machine, &index, way);
        index.logs.clear();
        if what == "edited" {
            index.release("acme/minilm", "0.1.0");
            index.release("acme/minilm", "1.1.0");
        }
        index.release("acme/minilm", "1.0.0");
        index.checkpoint();
        let registry = machine.open(&index, way).unwrap();
        assert_eq!(code(registry.listings(&BTreeSet::from([name("acme/minilm")]))), "E0117", "{what}");
    }
}

#[test]
fn expiry_stops_new_trust_and_warns_for_a_lock() {
    let index = Index::new();
    for (now, gate, expected, warned) in [
        (NOW, Gate::NewTrust, "", false),
        (NOW + 90 * DAY, Gate::NewTrust, "E0116", false),
        (NOW + 90 * DAY, Gate::Locked, "", true),
        (NOW + 5_000 * DAY, Gate::Locked, "", true),
        (NOW + 5_000 * DAY, Gate::NewTrust, "E0116", false),
    ] {
        let machine = Machine { gate, now, ..Machine::new() };
        assert_eq!(code(machine.open(&index, Way::Folder)), expected, "{now} {gate:?}");
        assert_eq!(machine.heard.take().contains("expired"), warned, "{now} {gate:?}");
    }
    // Nobody can do anything about it offline.
    let machine =
        Machine { now: NOW + 90 * DAY, gate: Gate::Locked, network: NetworkPolicy::Offline, ..Machine::new() };
    machine.open(&index, Way::Folder).unwrap();
    assert!(machine.heard.take().is_empty());
}

#[test]
fn a_checkpoint_from_the_future_is_refused_and_nothing_is_stored() {
    let index = Index { issued: NOW + 2 * DAY, ..Index::new() };
    let mut index = index;
    index.checkpoint();
    let machine = Machine::new();
    assert_eq!(code(machine.open(&index, Way::Folder)), "E0108");
    assert!(!machine.trust().exists());
}

#[test]
fn a_registry_that_does_not_expire_says_so_and_a_demo_warns() {
    let mut index = Index::new();
    index.next_root(|root| {
        root.freshness = Freshness::None;
        root.expires = None;
        root.demo = true;
    });
    index.registrar();
    index.checkpoint();
    let machine = Machine { now: NOW + 5_000 * DAY, ..Machine::new() };
    let registry = machine.open(&index, Way::Folder).unwrap();
    assert!(registry.is_demo());
    assert_eq!(machine.heard.take(), BTreeSet::from(["demo-registry", "no-freshness"]));
}

#[test]
fn roots_are_walked_one_by_one_and_kept() {
    for way in WAYS {
        let mut index = Index::new();
        for _ in 0..3 {
            let next = SecretKey::generate().unwrap();
            let before = std::mem::replace(&mut index.root_key, next);
            let key = index.root_key.public().clone();
            index.next_root(|root| root.roles.get_mut(&Role::Root).unwrap().keys = vec![key]);
            let path = format!("trust/root/{}.json", index.root.number);
            index.countersign(&path, &before);
        }
        index.checkpoint();
        let machine = Machine::new();
        learn(&machine, &index, way);
        // A machine that knows root 4 needs none of the older ones.
        index.files.retain(|path, _| !path.starts_with("trust/root/1.") && !path.starts_with("trust/root/2."));
        assert_eq!(machine.open(&index, way).unwrap().floor().root_number, 4, "{way:?}");
    }
}

#[test]
fn a_root_that_the_old_or_the_new_keys_did_not_sign_is_refused() {
    for by_old in [true, false] {
        let mut index = Index::new();
        let next = SecretKey::generate().unwrap();
        index.next_root(|root| root.roles.get_mut(&Role::Root).unwrap().keys = vec![next.public().clone()]);
        if !by_old {
            index.files.retain(|path, _| !path.starts_with("trust/root/2.json."));
            index.countersign("trust/root/2.json", &next);
        }
        index.checkpoint();
        assert_eq!(code(Machine::new().open(&index, Way::Folder)), "E0104", "{by_old}");
    }
}

#[test]
fn a_pinned_later_root_must_be_met() {
    let mut index = Index::new();
    index.next_root(|_| {});
    index.checkpoint();
    let digest = Sha256::of(&index.files["trust/root/2.json"]);
    for (root_at, expected) in
        [((2, digest), ""), ((2, Sha256::of(b"x")), "E0122"), ((3, digest), "E0122"), ((1, index.root_digest), "")]
    {
        let machine = Machine { root_at: Some(root_at), ..Machine::new() };
        for _ in 0..2 {
            let opened = machine.open(&index, Way::Folder);
            if let Ok(registry) = &opened {
                registry.remember(&BTreeMap::new(), &Silent).unwrap();
            }
            assert_eq!(code(opened), expected, "{root_at:?}");
        }
    }
}

#[test]
fn a_higher_epoch_resets_numbers_and_prefixes_loudly() {
    let mut index = Index::new();
    let machine = Machine::new();
    index.number = 1 << 40;
    index.checkpoint();
    learn(&machine, &index, Way::Folder);
    // The history is another one, the numbers begin again: only the root keys can say so.
    index.logs.clear();
    index.release("acme/minilm", "1.0.0");
    index.number = 1;
    index.registrar_number = 0;
    index.next_root(|root| root.epoch = 2);
    index.registrar();
    index.checkpoint();
    let floor = Floor { root_number: 1, registrar: 9, checkpoint: CheckpointNumber { epoch: 1, number: 1 << 40 } };
    let machine = Machine { floor: Some(floor), ..machine };
    machine.heard.take();
    let registry = machine.open(&index, Way::Folder).unwrap();
    assert!(machine.heard.take().contains("epoch-raised"));
    registry.listings(&BTreeSet::from([name("acme/minilm")])).unwrap();
    registry.remember(&BTreeMap::new(), &Silent).unwrap();
    assert_eq!(machine.reopen(&index, Way::Folder).unwrap().floor().checkpoint.epoch, 2);
}

#[test]
fn a_revocation_can_not_be_taken_back() {
    let mut index = Index::new();
    let machine = Machine::new();
    index.revocations.releases.insert(Sha256::of(b"bad"), "harm".to_owned());
    index.registrar();
    index.checkpoint();
    learn(&machine, &index, Way::Folder);
    index.revocations.releases.clear();
    index.registrar();
    index.checkpoint();
    assert_eq!(code(machine.open(&index, Way::Folder)), "E0110");
}

#[test]
fn memory_is_never_lowered() {
    let mut index = Index::new();
    let machine = Machine::new();
    let early = machine.open(&index, Way::Folder).unwrap();
    index.checkpoint();
    learn(&machine, &index, Way::Folder);
    early.remember(&BTreeMap::new(), &Silent).unwrap();
    assert_eq!(machine.reopen(&index, Way::Folder).unwrap().floor().checkpoint.number, 2);
}

#[test]
fn no_more_roots_are_walked_than_the_limit() {
    let mut index = Index::new();
    for _ in 0..=modelpm::trust::MAX_ROOTS {
        index.next_root(|_| {});
    }
    index.checkpoint();
    assert_eq!(code(Machine::new().open(&index, Way::Memory)), "E0123");
}

#[test]
fn a_damaged_memory_is_named_and_not_taken_for_none() {
    let index = Index::new();
    let machine = Machine::new();
    learn(&machine, &index, Way::Folder);
    std::fs::write(machine.trust().join(index.root_digest.hex()).join("checkpoint.json"), b"{").unwrap();
    let error = machine.open(&index, Way::Folder).err().unwrap();
    assert!(error.to_string().contains("checkpoint.json"), "{error}");
    assert_eq!(code::<()>(Err(error)), "E0125");
}
