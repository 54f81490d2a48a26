//! test_updater_delegation_graphs: who answers for a name, found in one step, and for that name alone.

use modelpm::keys::SecretKey;
use modelpm::model::Pin;

use super::{Client, code, take_from};
use crate::index::fixture::name;

#[test]
fn targetfile_search() {
    let mut client = Client::new();
    // More names than one leaf holds: a look-up goes down one path.
    for number in 0..200 {
        client.index.release(&format!("acme/p{number}"), "0.1.0");
    }
    client.index.checkpoint();
    for (asked, found) in [
        ("acme/minilm", true),
        ("acme/p7", true),
        ("acme/p199", true),
        ("acme/p200", false),
        ("acme/p_7", false),
        ("acme/mini-lm", false),
        ("other/minilm", false),
    ] {
        client.machine.server.requests();
        let registry = client.machine.reopen(&client.index, crate::index::fixture::Way::Sparse);
        let registry = registry.unwrap_or_else(|_| client.open().unwrap());
        client.machine.server.requests();
        let listings = registry.listings(&[name(asked)].into()).unwrap();
        assert_eq!(listings[&name(asked)].is_some(), found, "{asked}");
        let paths = client.asked();
        let logs: Vec<&String> = paths.iter().filter(|path| path.starts_with("packages/")).collect();
        assert!(logs.iter().all(|path| **path == format!("packages/{asked}.jsonl")), "{asked}: {paths:?}");
        assert!(paths.iter().filter(|path| path.starts_with("tree/")).count() <= 3, "{asked}: {paths:?}");
    }
}

#[test]
fn cached_role_is_verified_against_current_delegator() {
    let mut client = Client::new();
    let other = SecretKey::generate().unwrap();
    let public = other.public().clone();
    // Two namespaces. The publisher of one signs a release in the other as well.
    client.index.grant("team", |entry| entry.keys = vec![public]);
    client.index.release("team/minilm", "1.1.0");
    client.index.registrar();
    client.index.checkpoint();
    let registry = client.open().unwrap();
    assert_eq!(code(take_from(&registry, "acme/minilm", "1.1.0")), "");
    assert_eq!(code(take_from(&registry, "team/minilm", "1.1.0")), "E0104", "it was good for acme, not for team");
    let statement = Pin::of(&client.index.statement("team/minilm", "1.1.0").render());
    client.index.countersign(&format!("releases/{}.json", statement.sha256), &other);
    assert_eq!(code(client.take("team/minilm", "1.1.0")), "");
}

#[test]
fn delegation_not_in_snapshot() {
    let mut client = Client::new();
    assert_eq!(client.refresh(), "");
    // Entry, release and log are there; the registrar's tree does not name the namespace.
    client.index.release("team/tool", "1.0.0");
    client.index.grant("team", |_| {});
    client.index.checkpoint();
    let registry = client.open().unwrap();
    client.asked();
    assert_eq!(code(take_from(&registry, "team/tool", "1.0.0")), "E0120");
    let entries: Vec<String> = client.asked().into_iter().filter(|path| path.contains("namespaces")).collect();
    assert_eq!(entries, Vec::<String>::new(), "what nothing pins is not even asked for");
}
