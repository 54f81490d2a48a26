//! test_expiration: what has expired gives no new trust; what is stored and has expired stops nothing that is newer.

use modelpm::model::Timestamp;

use super::{Client, trusted};
use crate::index::fixture::{DAY, NOW};

fn at(seconds: u64) -> Option<Timestamp> {
    Timestamp::from_seconds(seconds).ok()
}

#[test]
fn root_expired() {
    let mut client = Client::new();
    assert_eq!(client.refresh(), "");
    client.index.next_root(|_| {});
    client.index.checkpoint();
    assert_eq!(client.refresh(), "");
    client.index.next_root(|root| root.expires = at(NOW - DAY));
    client.index.checkpoint();
    // The suite's client keeps the new root. Ours keeps all or nothing: numbers never come from two looks.
    client.refuses("E0116");
    assert_eq!(client.trusted(), trusted(2, 1, 2));
    client.index.next_root(|root| root.expires = at(NOW + 100 * DAY));
    client.index.checkpoint();
    assert_eq!(client.refresh(), "");
    assert_eq!(client.trusted(), trusted(4, 1, 4), "expiry counts on the last root alone");
}

#[test]
fn timestamp_expired() {
    let mut client = Client::new();
    assert_eq!(client.refresh(), "");
    client.index.issued = NOW - 95 * DAY;
    client.index.checkpoint();
    client.refuses("E0116");
    assert_eq!(client.trusted(), trusted(1, 1, 1));
    client.index.issued = NOW;
    client.index.checkpoint();
    let honest = client.index.files.clone();
    client.recovers(honest);
}

#[test]
fn targets_expired() {
    let mut client = Client::new();
    assert_eq!(client.refresh(), "");
    client.index.issued = NOW - 400 * DAY;
    client.index.registrar();
    client.index.issued = NOW;
    client.index.checkpoint();
    client.refuses("E0116");
    assert_eq!(client.trusted(), trusted(1, 1, 1));
    client.index.registrar();
    client.index.checkpoint();
    let honest = client.index.files.clone();
    client.recovers(honest);
}

#[test]
fn expired_local_root() {
    let mut client = Client::new();
    client.index.next_root(|root| root.expires = at(NOW + 7 * DAY));
    client.index.checkpoint();
    assert_eq!(client.refresh(), "");
    client.index.next_root(|root| root.expires = at(NOW + 21 * DAY));
    client.index.checkpoint();
    client.machine.now = NOW + 18 * DAY;
    assert_eq!(client.refresh(), "");
    assert_eq!(client.trusted(), trusted(3, 1, 3));
}

#[test]
fn expired_local_timestamp() {
    let mut client = Client::new();
    client.index.issued = NOW - 83 * DAY;
    client.index.checkpoint();
    assert_eq!(client.refresh(), "");
    client.machine.now = NOW + 18 * DAY;
    assert_eq!(client.refresh(), "E0116");
    client.index.issued = NOW;
    client.index.registrar();
    client.index.checkpoint();
    assert_eq!(client.refresh(), "");
    assert_eq!(client.trusted(), trusted(1, 2, 3));
}
