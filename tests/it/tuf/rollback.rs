//! test_rollback: no number falls and nothing that was listed goes, but under a new epoch that the root keys signed.

use modelpm::trust::MAX_NUMBER;

use super::{Client, code, take_from, trusted};
use crate::index::fixture::name;

/// A client that has seen a checkpoint 2 and registrar file 2, with what stood before.
fn ahead() -> (Client, std::collections::BTreeMap<String, Vec<u8>>) {
    let mut client = Client::new();
    let old = client.index.files.clone();
    client.index.registrar();
    client.index.checkpoint();
    assert_eq!(client.take_minilm(), "");
    client.machine.heard.take();
    (client, old)
}

#[test]
fn new_timestamp_version_rollback() {
    let (mut client, old) = ahead();
    client.index.files = old;
    // What was verified before is used instead, and it is said.
    let registry = client.open().unwrap();
    assert_eq!(registry.floor().checkpoint.number, 2);
    assert!(client.machine.heard.take().contains("index-behind"));
    assert_eq!(client.refresh(), "");
    assert_eq!(client.trusted(), trusted(1, 2, 2));
}

#[test]
fn snapshot_rollback() {
    let (mut client, _) = ahead();
    // A newer checkpoint names the older registrar file again.
    client.index.registrar_number = 1;
    client.index.checkpoint();
    let registry = client.open().unwrap();
    assert_eq!((registry.floor().checkpoint.number, registry.floor().registrar), (2, 2));
    assert!(client.machine.heard.take().contains("index-behind"));
    assert_eq!(client.refresh(), "");
    assert_eq!(client.trusted(), trusted(1, 2, 2));
}

#[test]
fn targets_role_removal() {
    let (mut client, _) = ahead();
    client.index.release("acme/other", "1.0.0");
    client.index.checkpoint();
    assert_eq!(code(client.take("acme/other", "1.0.0")), "");
    let log = client.index.logs.remove(&name("acme/other")).unwrap();
    client.index.checkpoint();
    let registry = client.open().unwrap();
    let listings = registry.listings(&[name("acme/other")].into());
    assert_eq!(code(listings), "E0117", "a package that was listed stays listed");
    // What this machine never read it can't miss.
    let stranger = crate::index::fixture::Machine::new();
    let listings = stranger.open(&client.index, crate::index::fixture::Way::Sparse).unwrap();
    assert!(listings.listings(&[name("acme/other")].into()).unwrap()[&name("acme/other")].is_none());
    client.index.logs.insert(name("acme/other"), log);
    client.index.checkpoint();
    assert_eq!(code(client.take("acme/other", "1.0.0")), "");
}

#[test]
fn targets_fast_forward_recovery() {
    let (mut client, _) = ahead();
    // Whoever had the index key listed a package that is to go.
    client.index.release("acme/unwanted", "1.0.0");
    client.index.checkpoint();
    assert_eq!(code(client.take("acme/unwanted", "1.0.0")), "");
    client.index.logs.remove(&name("acme/unwanted"));
    client.index.next_root(|root| root.epoch += 1);
    client.index.checkpoint();
    let registry = client.open().unwrap();
    assert!(client.machine.heard.take().contains("epoch-raised"), "it is said aloud");
    assert!(registry.listings(&[name("acme/unwanted")].into()).unwrap()[&name("acme/unwanted")].is_none());
    assert_eq!(code(take_from(&registry, "acme/minilm", "1.1.0")), "");
}

#[test]
fn new_snapshot_fast_forward_recovery() {
    let mut client = Client::new();
    client.index.registrar_number = 99;
    client.index.registrar();
    client.index.checkpoint();
    assert_eq!((client.refresh(), client.trusted()), ("", trusted(1, 100, 2)));
    client.index.registrar_number = 0;
    client.index.next_root(|root| root.epoch += 1);
    client.index.registrar();
    client.index.checkpoint();
    assert_eq!((client.refresh(), client.trusted()), ("", trusted(2, 1, 3)));
}

#[test]
fn new_timestamp_fast_forward_recovery() {
    let mut client = Client::new();
    client.index.number = MAX_NUMBER - 1;
    client.index.checkpoint();
    assert_eq!((client.refresh(), client.trusted()), ("", trusted(1, 1, MAX_NUMBER)));
    // A new key alone resets nothing: the suite's client takes this for the recovery, ours wants the epoch as well.
    client.index.number = 0;
    let next = modelpm::keys::SecretKey::generate().unwrap();
    let public = next.public().clone();
    client.index.next_root(|root| {
        root.roles.get_mut(&modelpm::trust::Role::Index).unwrap().keys = vec![public];
    });
    client.index.index_key = next;
    client.index.checkpoint();
    client.refuses("E0114");
    client.index.number = 0;
    client.index.next_root(|root| root.epoch += 1);
    client.index.checkpoint();
    assert_eq!((client.refresh(), client.trusted()), ("", trusted(3, 1, 1)));
}

#[test]
fn targets_rollback() {
    let (mut client, _) = ahead();
    let whole = client.index.logs[&name("acme/minilm")].clone();
    let first = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    client.index.logs.insert(name("acme/minilm"), whole[..first].to_vec());
    client.index.checkpoint();
    client.refuses("E0117");
    client.index.logs.insert(name("acme/minilm"), whole);
    client.index.checkpoint();
    let honest = client.index.files.clone();
    client.recovers(honest);
}
