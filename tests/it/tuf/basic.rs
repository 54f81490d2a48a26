//! test_basic: what is asked for, what is kept, and each way in which one file can be wrong.

use modelpm::model::{Pin, Sha256, Timestamp};
use modelpm::progress::Silent;
use modelpm::trust::Role;

use super::{Client, code, trusted};
use crate::index::fixture::{DAY, NOW, name};

#[test]
fn basic_refresh_requests() {
    let client = Client::new();
    assert_eq!(client.refresh(), "");
    let expected =
        ["checkpoint.json", "trust/registrar/1.json", "trust/root/1.json", "trust/root/2.json"].map(str::to_owned);
    assert_eq!(client.asked(), expected, "the roots until one is absent, then what they lead to");
}

#[test]
fn basic_refresh_trusted_data() {
    let client = Client::new();
    assert_eq!((client.trusted(), client.refresh()), (None, ""));
    assert_eq!(client.trusted(), trusted(1, 1, 1));
    for (stored, served) in [
        ("root.json", "trust/root/1.json"),
        ("registrar.json", "trust/registrar/1.json"),
        ("checkpoint.json", "checkpoint.json"),
    ] {
        assert_eq!(client.stored(stored).as_ref(), client.index.files.get(served), "{stored}");
    }
}

#[test]
fn implicit_refresh() {
    let client = Client::new();
    let registry = client.open().unwrap();
    let nothing = registry.listings(&[name("acme/none")].into()).unwrap();
    assert!(nothing[&name("acme/none")].is_none());
    registry.remember(&std::collections::BTreeMap::new(), &Silent).unwrap();
    assert_eq!(client.trusted(), trusted(1, 1, 1), "a question for what is not there refreshes all the same");
}

#[test]
fn invalid_initial_root() {
    let mut client = Client::new();
    let text = String::from_utf8(client.index.files["trust/root/1.json"].clone()).unwrap();
    let without: String =
        text.lines().filter(|line| !line.contains("\"number\"")).map(|line| format!("{line}\n")).collect();
    assert_ne!(without, text);
    client.index.root_digest = Sha256::of(without.as_bytes());
    client.index.put("trust/root/1.json", without.into_bytes());
    let key = client.index.root_key.clone();
    client.sign("trust/root/1.json", &[&key]);
    assert_eq!(client.refresh(), "E0101");
    assert_eq!((client.asked(), client.trusted()), (at_once(), None));
}

/// What is asked for before anything is known.
fn at_once() -> Vec<String> {
    ["checkpoint.json", "trust/root/1.json", "trust/root/2.json"].map(str::to_owned).to_vec()
}

#[test]
fn unsigned_initial_root() {
    let mut client = Client::new();
    let other = client.index.files["checkpoint.json"].clone();
    let path = client.index.path("trust/root/1.json.", ".minisig");
    // A signature of the right key, of something else.
    let signature = client.index.root_key.sign(&other, "test").unwrap();
    client.index.put(&path, signature.into_bytes());
    assert_eq!(client.refresh(), "E0104");
    assert_eq!((client.asked(), client.trusted()), (at_once(), None));
}

#[test]
fn unsigned_metadata() {
    for path in ["trust/root/2.json", "checkpoint.json", "trust/registrar/2.json"] {
        let mut client = Client::new();
        assert_eq!(client.take_minilm(), "");
        client.index.next_root(|_| {});
        client.index.registrar();
        client.index.checkpoint();
        let honest = client.index.files.clone();
        client.unsign(path);
        client.refuses("E0104");
        assert_eq!(client.trusted(), trusted(1, 1, 1), "{path}");
        client.recovers(honest);
        assert_eq!(client.trusted(), trusted(2, 2, 2));
    }
    // A statement: what stands above it is good, and the statement is not used.
    let mut client = Client::new();
    let pin = client.index.release("acme/minilm", "1.2.0");
    client.index.checkpoint();
    let honest = client.index.files.clone();
    client.unsign(&format!("releases/{}.json", pin.sha256));
    assert_eq!(code(client.take("acme/minilm", "1.2.0")), "E0104");
    assert_eq!(client.take_minilm(), "");
    client.recovers(honest);
    assert_eq!(code(client.take("acme/minilm", "1.2.0")), "");
}

#[test]
fn url_and_metadata_version_mismatch() {
    for (path, number, expected) in
        [("trust/root/2.json", "\"number\": 2", "E0105"), ("trust/registrar/2.json", "\"number\": 2", "E0105")]
    {
        let mut client = Client::new();
        assert_eq!(client.refresh(), "");
        client.index.next_root(|_| {});
        client.index.registrar();
        client.index.checkpoint();
        let honest = client.index.files.clone();
        let key = if path.contains("root") { &client.index.root_key } else { &client.index.registrar_key }.clone();
        client.edit(path, &key, number, "\"number\": 3");
        client.refuses(expected);
        client.recovers(honest);
    }
    // A statement is named by its digest: another one under that name is other bytes.
    let mut client = Client::new();
    let path = |client: &Client, number| {
        let statement = client.index.statement("acme/minilm", number);
        format!("releases/{}.json", Pin::of(&statement.render()).sha256)
    };
    let (older, newer) = (path(&client, "1.0.0"), path(&client, "1.1.0"));
    let honest = client.index.files.clone();
    client.index.put(&newer, honest[&older].clone());
    client.refuses("E0112");
    client.recovers(honest);
}

#[test]
fn timestamp_content_changes() {
    let mut client = Client::new();
    assert_eq!(client.refresh(), "");
    let (honest, before) = (client.index.files.clone(), client.stored("checkpoint.json"));
    client.index.release("acme/minilm", "9.0.0");
    client.index.checkpoint_again();
    // The suite's client keeps what it has and says nothing. Ours keeps it too, and says that the two differ.
    client.refuses("E0115");
    assert_eq!(client.stored("checkpoint.json"), before);
    client.recovers(honest);
}

#[test]
fn basic_metadata_hash_support() {
    let client = Client::new();
    assert_eq!(client.take_minilm(), "");
    let named: Vec<String> = client.asked().into_iter().filter(|path| path.contains("tree/")).collect();
    assert!(named.len() >= 2, "both trees are read by digest: {named:?}");
    for path in named {
        let digest = path.strip_prefix("tree/").unwrap();
        assert_eq!(Sha256::of(&client.index.files[&path]).hex(), digest);
    }
}

#[test]
fn targets_hash_mismatch() {
    for start in ["packages/acme/minilm.jsonl", "trust/namespaces/"] {
        let mut client = Client::new();
        assert_eq!(client.take_minilm(), "");
        client.index.release("acme/minilm", "1.2.0");
        client.index.grant("acme", |_| {});
        client.index.registrar();
        client.index.checkpoint();
        let honest = client.index.files.clone();
        let entry = format!("trust/namespaces/{}.json", client.index.entries.values().next().unwrap().0);
        let path = if start.ends_with('/') { entry } else { start.to_owned() };
        let mut bytes = honest[&path].clone();
        bytes[20] ^= 1;
        client.index.put(&path, bytes);
        client.refuses("E0112");
        client.recovers(honest);
    }
}

#[test]
fn snapshot_hash_mismatch() {
    let mut client = Client::new();
    assert_eq!(client.take_minilm(), "");
    client.index.release("acme/other", "1.0.0");
    client.index.checkpoint();
    let honest = client.index.files.clone();
    let checkpoint = modelpm::trust::Checkpoint::parse(&honest["checkpoint.json"]).unwrap();
    let zeros = Sha256::parse(&"0".repeat(64)).unwrap();
    let key = client.index.index_key.clone();
    client.edit("checkpoint.json", &key, &checkpoint.packages.hex(), &zeros.hex());
    client.index.put(&format!("tree/{zeros}"), honest[&format!("tree/{}", checkpoint.packages)].clone());
    client.refuses("E0112");
    client.recovers(honest);
}

#[test]
fn metadata_bytes_match() {
    let mut client = Client::new();
    let key = client.index.index_key.clone();
    client.edit("checkpoint.json", &key, "\"type\": ", "\"type\" :\n\n   ");
    let served = client.index.files["checkpoint.json"].clone();
    assert_eq!(client.refresh(), "");
    assert_eq!(client.stored("checkpoint.json"), Some(served), "kept as it came, not written anew");
    // So the next look finds the same bytes, and no equivocation.
    assert_eq!(client.refresh(), "");
}

#[test]
fn custom_fields() {
    let mut client = Client::new();
    assert_eq!(client.refresh(), "");
    client.index.next_root(|_| {});
    client.index.checkpoint();
    let key = client.index.root_key.clone();
    client.edit("trust/root/2.json", &key, "\"threshold\": 1", "\"threshold\": 1, \"another-field\": \"value\"");
    client.edit("trust/root/2.json", &key, "{", "{\"custom-field\": {\"a\": 1, \"b\": [2]},");
    assert_eq!(client.refresh(), "");
    assert_eq!(client.trusted(), trusted(2, 1, 2));
    // What nobody signed is no field but a change.
    client.index.next_root(|_| {});
    client.index.checkpoint();
    let next = client.index.files.clone();
    let text = String::from_utf8(next["trust/root/3.json"].clone()).unwrap();
    client.index.put("trust/root/3.json", text.replacen('{', "{\"custom-field\": 1,", 1).into_bytes());
    client.refuses("E0104");
    client.recovers(next);
}

#[test]
fn deprecated_keyid_hash_algorithms() {
    let mut client = Client::new();
    let next = modelpm::keys::SecretKey::generate().unwrap();
    let public = next.public().clone();
    client.index.next_root(|root| root.roles.get_mut(&Role::Index).unwrap().keys = vec![public]);
    client.index.index_key = next;
    client.index.checkpoint();
    let key = client.index.root_key.clone();
    client.edit("trust/root/2.json", &key, "\"threshold\": 1", "\"keyid_hash_algorithms\": \"md5\", \"threshold\": 1");
    assert_eq!(client.refresh(), "", "a key is named by the digest of its bytes, whatever a file says about that");
    assert_eq!(client.trusted(), trusted(2, 1, 2));
}

#[test]
fn snapshot_404() {
    let mut client = Client::new();
    assert_eq!(client.take_minilm(), "");
    client.index.release("acme/other", "1.0.0");
    client.index.checkpoint();
    let honest = client.index.files.clone();
    let checkpoint = modelpm::trust::Checkpoint::parse(&honest["checkpoint.json"]).unwrap();
    client.index.files.remove(&format!("tree/{}", checkpoint.packages));
    client.refuses("E0111");
    client.recovers(honest);
}

#[test]
fn targets_404() {
    for path in ["trust/registrar/2.json", "packages/acme/minilm.jsonl"] {
        let mut client = Client::new();
        assert_eq!(client.refresh(), "");
        client.index.registrar();
        client.index.checkpoint();
        let honest = client.index.files.clone();
        client.index.files.remove(path);
        client.refuses("E0111");
        client.recovers(honest);
    }
}

#[test]
fn timestamp_404() {
    let mut client = Client::new();
    assert_eq!(client.refresh(), "");
    let honest = client.index.files.clone();
    client.index.files.remove("checkpoint.json");
    client.refuses("E0111");
    client.recovers(honest);
}

#[test]
fn incorrect_metadata_type() {
    let mut client = Client::new();
    assert_eq!(client.refresh(), "");
    // One key holds both roles, so that nothing but the type tells the files apart.
    let key = client.index.index_key.clone();
    let public = key.public().clone();
    client.index.next_root(|root| root.roles.get_mut(&Role::Registrar).unwrap().keys = vec![public]);
    client.index.registrar_key = key.clone();
    client.index.registrar();
    client.index.checkpoint();
    let honest = client.index.files.clone();
    let text = String::from_utf8(honest["checkpoint.json"].clone()).unwrap();
    client.index.put("checkpoint.json", text.replace("mpm.checkpoint/1", "mpm.registrar/1").into_bytes());
    client.sign("checkpoint.json", &[&key]);
    client.refuses("E0102");
    client.index.put("checkpoint.json", honest["trust/registrar/2.json"].clone());
    client.sign("checkpoint.json", &[&key]);
    client.refuses("E0102");
    client.recovers(honest);
}

#[test]
fn faketime() {
    let mut client = Client::new();
    client.index.next_root(|root| root.expires = Timestamp::from_seconds(NOW + 7 * DAY).ok());
    client.index.checkpoint();
    assert_eq!(client.refresh(), "");
    client.machine.now = NOW + 8 * DAY;
    assert_eq!(client.refresh(), "E0116");
}
