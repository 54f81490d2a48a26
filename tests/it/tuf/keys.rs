//! test_keys: thresholds, doubled keys, other kinds of keys, and signatures that are no signatures.

use modelpm::keys::{SecretKey, signature_path};
use modelpm::trust::{Role, RoleKeys};

use super::{Client, trusted};

fn keys<const N: usize>() -> [SecretKey; N] {
    [(); N].map(|()| SecretKey::generate().unwrap())
}

/// The next root gives the index role these keys and this threshold.
fn index_role(client: &mut Client, keys: &[&SecretKey], threshold: u64) {
    let keys = keys.iter().map(|key| key.public().clone()).collect();
    client.index.next_root(|root| drop(root.roles.insert(Role::Index, RoleKeys { keys, threshold })));
    client.index.checkpoint();
}

#[test]
fn snapshot_does_not_meet_threshold() {
    let mut client = Client::new();
    let all = keys::<3>();
    let [one, two, three] = &all;
    index_role(&mut client, &[one, two, three], 3);
    client.sign("checkpoint.json", &[one, two, three]);
    assert_eq!(client.refresh(), "");
    client.index.checkpoint();
    client.sign("checkpoint.json", &[one, two]);
    client.refuses("E0104");
    client.index.countersign("checkpoint.json", three);
    assert_eq!((client.refresh(), client.trusted()), ("", trusted(2, 1, 3)));
}

#[test]
fn snapshot_has_too_few_keys() {
    let mut client = Client::new();
    assert_eq!(client.refresh(), "");
    let all = keys::<5>();
    let five: Vec<&SecretKey> = all.iter().collect();
    index_role(&mut client, &five, 6);
    client.sign("checkpoint.json", &five);
    // A threshold that nobody can reach is no root at all.
    client.refuses("E0106");
    assert_eq!(client.trusted(), trusted(1, 1, 1));
}

#[test]
fn duplicate_keys() {
    let mut client = Client::new();
    assert_eq!(client.refresh(), "");
    let [key] = keys::<1>();
    index_role(&mut client, &[&key; 9], 6);
    client.sign("checkpoint.json", &[&key]);
    client.refuses("E0106");
    assert_eq!(client.trusted(), trusted(1, 1, 1));
}

#[test]
fn duplicate_sig_keyids() {
    let mut client = Client::new();
    assert_eq!(client.refresh(), "");
    let all = keys::<2>();
    let [one, two] = &all;
    index_role(&mut client, &[one, two], 2);
    client.sign("checkpoint.json", &[one]);
    // The one signature once more, where the other key's would lie.
    let [from, to] = [one, two].map(|key| signature_path("checkpoint.json", key.public()));
    let signature = client.index.files[&from].clone();
    client.index.put(&to, signature);
    client.refuses("E0104");
    client.sign("checkpoint.json", &[one, two]);
    assert_eq!(client.refresh(), "");
}

#[test]
fn keytype_and_scheme() {
    let mut client = Client::new();
    let [second] = keys::<1>();
    let (first, public) = (client.index.root_key.clone(), second.public().clone());
    client.index.next_root(|root| {
        let role = root.roles.get_mut(&Role::Root).unwrap();
        role.keys.push(public);
        role.threshold = 2;
    });
    client.index.checkpoint();
    client.sign("trust/root/2.json", &[&first, &second]);
    assert_eq!((client.refresh(), client.trusted()), ("", trusted(2, 1, 2)));
    // The next one with a signature of the right form that does not hold.
    client.index.next_root(|_| {});
    client.index.checkpoint();
    client.sign("trust/root/3.json", &[&first, &second]);
    let honest = client.index.files.clone();
    let path = signature_path("trust/root/3.json", second.public());
    let other = second.sign(b"another file", "test").unwrap();
    client.index.put(&path, other.into_bytes());
    client.refuses("E0104");
    client.index.files = honest;
    assert_eq!((client.refresh(), client.trusted()), ("", trusted(3, 1, 3)));
    // Keys of any other kind than Ed25519 are not keys.
    client.index.next_root(|_| {});
    client.index.checkpoint();
    let text = String::from_utf8(client.index.files["trust/root/4.json"].clone()).unwrap();
    // The first two bytes of a key, `Ed`, are its kind.
    client.index.put("trust/root/4.json", text.replacen("\"RW", "\"RX", 1).into_bytes());
    client.sign("trust/root/4.json", &[&first, &second]);
    client.refuses("E0101");
}

#[test]
fn invalid_sig_in_valid_metadata() {
    let mut client = Client::new();
    let [second] = keys::<1>();
    let first = client.index.index_key.clone();
    index_role(&mut client, &[&first, &second], 1);
    let path = signature_path("checkpoint.json", first.public());
    for wrong in [first.sign(b"another file", "test").unwrap().into_bytes(), Vec::new(), b"no signature\n".to_vec()] {
        client.index.checkpoint();
        client.sign("checkpoint.json", &[&second]);
        client.index.put(&path, wrong);
        assert_eq!(client.refresh(), "", "one good signature is enough where one is asked for");
    }
}
