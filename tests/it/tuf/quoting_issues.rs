//! test_quoting_issues: names that mean something in an address or on a disk.

use modelpm::model::{PackageName, Pin, Sha256};

use super::Client;

#[test]
fn unusual_role_name() {
    for odd in ["acme/?", "acme/#", "acme//x", "acme/../x", "../acme", "acme/%2e%2e", "acme/a b", "acme/a\\b", "acme/"]
    {
        assert!(PackageName::parse(odd).is_err(), "{odd}");
        // The index lists it all the same, in a tree that its key signed.
        let mut client = Client::new();
        assert_eq!(client.take_minilm(), "");
        client.index.checkpoint();
        let checkpoint = modelpm::trust::Checkpoint::parse(&client.index.files["checkpoint.json"]).unwrap();
        let leaf = String::from_utf8(client.index.files[&format!("tree/{}", checkpoint.packages)].clone()).unwrap();
        let pin = Pin::of(b"x");
        let odd_line = format!("{odd} {} {} -", pin.size, pin.sha256);
        let (header, lines) = leaf.split_once('\n').unwrap();
        let mut lines: Vec<&str> = lines.lines().chain([odd_line.as_str()]).collect();
        lines.sort_unstable();
        let leaf = format!("{header}\n{}\n", lines.join("\n"));
        let digest = Sha256::of(leaf.as_bytes());
        let honest = client.index.files.clone();
        client.index.put(&format!("tree/{digest}"), leaf.into_bytes());
        let key = client.index.index_key.clone();
        client.edit("checkpoint.json", &key, &checkpoint.packages.hex(), &digest.hex());
        client.machine.server.requests();
        client.refuses("E0212");
        let strayed: Vec<String> = client.asked().into_iter().filter(|path| path.starts_with("packages")).collect();
        assert_eq!(strayed, Vec::<String>::new(), "{odd}: nothing is asked for by such a name");
        client.recovers(honest);
    }
}
