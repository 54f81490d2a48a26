//! Each rule of logs and trees, by the code that breaking it gives.

use crate::catalog::{
    Admitted, Listing, NamespaceLeaf, Node, PackageLeaf, PackageLog, ReleaseEvent, YankAction, YankEvent,
    build_namespaces, build_packages, key_of,
};
use crate::diagnose::Diagnose as _;
use crate::model::{
    CheckpointNumber, Namespace, PackageKind, PackageName, PackageRef, Pin, RegistryId, Sha256, Timestamp, Version,
};
use crate::statement::Statement;

fn leaf(name: &str) -> PackageLeaf {
    let name = PackageName::parse(name).expect("a name");
    PackageLeaf { log: Pin::of(name.as_str().as_bytes()), name, advisories: None }
}

fn release(version: &str) -> ReleaseEvent {
    ReleaseEvent {
        version: Version::parse(version).expect("a version"),
        statement: Pin::of(version.as_bytes()),
        kind: PackageKind::Model,
        dependencies: Vec::new(),
        size: 7,
        admitted: Admitted {
            checkpoint: CheckpointNumber { epoch: 1, number: 2 },
            time: Timestamp::from_seconds(3).expect("a time"),
        },
    }
}

fn yank(action: YankAction, version: &str) -> YankEvent {
    YankEvent { action, version: Version::parse(version).expect("a version"), record: Sha256::of(version.as_bytes()) }
}

fn log_code(lines: &[&[u8]]) -> &'static str {
    PackageLog::parse(&lines.concat()).map_or_else(|error| error.code().0, |_| "")
}

#[test]
fn logs_are_read_as_they_are_written() {
    let (first, second) =
        (PackageLog::render_release(&release("1.0.0")), PackageLog::render_release(&release("2.0.0")));
    let yanked = PackageLog::render_yank(&yank(YankAction::Yank, "1.0.0"));
    let undone = PackageLog::render_yank(&yank(YankAction::Unyank, "1.0.0"));
    let unknown = b"{\"event\":\"badge\",\"text\":\"x\"}\n";
    let log = PackageLog::parse(&[&first[..], unknown, &yanked, &second].concat()).expect("parses");
    assert_eq!(log.releases.iter().map(|(event, _)| event).collect::<Vec<_>>(), [&release("1.0.0"), &release("2.0.0")]);
    assert_eq!(log.releases.first().map(|(_, end)| *end), Some(first.len() as u64));
    let package = PackageRef {
        registry: RegistryId::parse("acme").expect("an id"),
        name: PackageName::parse("acme/x").expect("a name"),
    };
    let standing = |log: &PackageLog| -> Vec<bool> {
        Listing::of(package.clone(), log).releases.values().map(|release| release.yanked.is_some()).collect()
    };
    assert_eq!(standing(&log), [true, false]);
    let undone = PackageLog::parse(&[first, yanked, undone, second].concat()).expect("parses");
    assert_eq!(standing(&undone), [false, false]);
}

#[test]
fn logs_that_break_a_rule_are_refused() {
    let one = PackageLog::render_release(&release("1.0.0"));
    let yanked = PackageLog::render_yank(&yank(YankAction::Yank, "1.0.0"));
    let changed = |from: &str, to: &str| String::from_utf8(one.clone()).expect("text").replace(from, to).into_bytes();
    let long = format!("{{\"event\":\"x\",\"pad\":\"{}\"}}\n", "x".repeat(1 << 20));
    for (lines, code) in [
        (vec![&one[..]], ""),
        (vec![], ""),
        (vec![&one, &one], "E0213"),
        (vec![&yanked, &one], "E0214"),
        (vec![&one, &PackageLog::render_yank(&yank(YankAction::Unyank, "3.0.0"))], "E0214"),
        (vec![one.strip_suffix(b"\n").expect("LF")], "E0211"),
        (vec![b"\n"], "E0211"),
        (vec![b"[\"release\"]\n"], "E0211"),
        (vec![b"{\"event\":\"x\",\"critical\":true}\n"], "E0216"),
        (vec![b"{\"event\":\"x\",\"critical\":false}\n"], ""),
        (vec![long.as_bytes()], "E0211"),
        (vec![&changed("1.0.0", "1.0.0+b")], "E0211"),
        (vec![&changed("\"model\"", "\"code\"")], "E0211"),
        (vec![&changed("\"size\":7", "\"size\":18446744073709551615")], "E0211"),
        (vec![&changed("\"size\":5", "\"size\":0")], "E0211"),
        (vec![&changed("\"size\":5", "\"size\":2000000")], "E0211"),
        (vec![&changed("[1,2]", "[1,18446744073709551615]")], "E0211"),
        (vec![&changed("[1,2]", "[1,2,3]")], "E0211"),
        (vec![&changed("\"time\":3", "\"time\":999999999999999")], "E0211"),
    ] {
        assert_eq!(log_code(&lines), code, "{:.80}", String::from_utf8_lossy(&lines.concat()));
    }
    let many = b"{\"event\":\"x\"}\n".repeat(200_001);
    assert_eq!(log_code(&[&many]), "E0215");
}

#[test]
fn an_event_says_what_its_statement_says() {
    let statement = Statement::parse(
        br#"{"type":"mpm.release/1","registry":"acme","name":"acme/x","version":"1.0.0","kind":"model","files":[],
            "dependencies":[{"kind":"requires","name":"a/b","requirement":"^1"}]}"#,
    )
    .expect("parses");
    let (pin, admitted) = (Pin::of(b"x"), release("1.0.0").admitted);
    let event = ReleaseEvent::of(&statement, pin, admitted);
    assert_eq!(PackageLog::parse(&PackageLog::render_release(&event)).expect("parses").releases[0].0, event);
    event.check(&statement, pin).expect("the same");
    for lie in [
        ReleaseEvent { version: Version::new(2, 0, 0), ..event.clone() },
        ReleaseEvent { statement: Pin::of(b"y"), ..event.clone() },
        ReleaseEvent { kind: PackageKind::Dataset, ..event.clone() },
        ReleaseEvent { dependencies: Vec::new(), ..event.clone() },
        ReleaseEvent { size: 1, ..event.clone() },
    ] {
        assert_eq!(lie.check(&statement, pin).expect_err("a lie").code().0, "E0217");
    }
}

fn names(count: u32) -> Vec<PackageLeaf> {
    (0..count).map(|i| leaf(&format!("ns{}/name-{i}", i % 7))).collect()
}

/// Walks a tree as a reader does and gives back the names that it finds.
fn walk(nodes: &std::collections::BTreeMap<Sha256, Vec<u8>>, root: Sha256, prefix: &str, found: &mut Vec<PackageLeaf>) {
    let bytes = nodes.get(&root).expect("a node");
    assert_eq!(Sha256::of(bytes), root);
    match Node::parse_packages(bytes, prefix).expect("parses") {
        Node::Leaf(entries) => found.extend(entries),
        Node::Inner(children) => {
            for (digit, child) in children {
                walk(nodes, child, &format!("{prefix}{digit:x}"), found);
            }
        }
    }
}

#[test]
fn a_tree_holds_what_it_was_made_of() {
    for count in [0, 1, 64, 65, 1_000] {
        let mut entries = names(count);
        let tree = build_packages(&entries).expect("builds");
        let mut found = Vec::new();
        walk(&tree.nodes, tree.root, "", &mut found);
        entries.sort_by(|left, right| left.name.cmp(&right.name));
        found.sort_by(|left, right| left.name.cmp(&right.name));
        assert_eq!(found, entries);
        let root = tree.nodes.get(&tree.root).expect("a root");
        assert_eq!(root.starts_with(b"mpm.tree/1 leaf -\n"), count <= 64, "{count}");
        entries.reverse();
        assert_eq!(build_packages(&entries).expect("builds"), tree);
    }
}

#[test]
fn names_that_count_as_equal_make_no_tree() {
    assert_eq!(build_packages(&[leaf("a/b-c"), leaf("a/b_c")]).expect_err("equal").code().0, "E0219");
    let namespace = |text: &str| NamespaceLeaf {
        namespace: Namespace::parse(text).expect("a name"),
        entry: Sha256::of(text.as_bytes()),
    };
    assert!(build_namespaces(&[namespace("a.b"), namespace("a-b")]).is_err());
    let tree = build_namespaces(&[namespace("b"), namespace("a")]).expect("builds");
    let root = tree.nodes.get(&tree.root).expect("a root");
    let expected = Node::Leaf(vec![namespace("a"), namespace("b")]);
    assert_eq!(Node::parse_namespaces(root, "").expect("parses"), expected);
}

#[test]
fn nodes_that_lie_are_refused() {
    let sha = Sha256::of(b"");
    let line = |name: &str| format!("{name} 1 {sha} -\n");
    let node = |lines: &str| format!("mpm.tree/1 node -\n{lines}");
    let leaf_of = |lines: &str| format!("mpm.tree/1 leaf -\n{lines}");
    let first = key_of("a/b").hex();
    let (inside, outside) = (first.get(..1).expect("hex"), if first.starts_with('0') { "1" } else { "0" });
    let many: Vec<String> = (0..65).map(|i| line(&format!("a/n{i:02}"))).collect();
    for (text, prefix, code) in [
        (leaf_of(""), "", ""),
        (leaf_of(&line("a/b")), "", ""),
        (leaf_of(&format!("a/b 1 {sha} 2 {sha}\n")), "", ""),
        (leaf_of(&line("a/b")), "0", "E0218"),
        (format!("mpm.tree/1 leaf {inside}\n{}", line("a/b")), inside, ""),
        (format!("mpm.tree/1 leaf {outside}\n{}", line("a/b")), outside, "E0218"),
        (leaf_of(&[line("a/c"), line("a/b")].concat()), "", "E0219"),
        (leaf_of(&[line("a/b"), line("a/b")].concat()), "", "E0219"),
        (leaf_of(&[line("a/b-c"), line("a/b_c")].concat()), "", "E0219"),
        (leaf_of(&many.concat()), "", "E0220"),
        (" ".repeat(65 * 1024), "", "E0220"),
        (leaf_of("a/b"), "", "E0212"),
        (leaf_of("\n"), "", "E0212"),
        (leaf_of("a/b 1\n"), "", "E0212"),
        (leaf_of(&format!("a/b 01 {sha} -\n")), "", "E0212"),
        (leaf_of(&format!("a/b +1 {sha} -\n")), "", "E0212"),
        (leaf_of(&format!("a/b 18446744073709551615 {sha} -\n")), "", "E0212"),
        (leaf_of(&format!("a/b 1 sha256:{sha} -\n")), "", "E0212"),
        (leaf_of(&format!("a/b 1 {sha} - -\n")), "", "E0212"),
        (leaf_of(&format!("a/b  1 {sha} -\n")), "", "E0212"),
        (leaf_of(&line("a/b")).replace('\n', "\r\n"), "", "E0218"),
        ("mpm.tree/2 leaf -\n".to_owned(), "", "E0212"),
        ("mpm.tree/1 twig -\n".to_owned(), "", "E0212"),
        ("mpm.tree/1 leaf\n".to_owned(), "", "E0212"),
        (String::new(), "", "E0212"),
        (node(""), "", "E0212"),
        (node(&format!("0 {sha}\nf {sha}\n")), "", ""),
        (node(&format!("f {sha}\n0 {sha}\n")), "", "E0219"),
        (node(&format!("0 {}\n0 {sha}\n", Sha256::from_bytes([0; 32]))), "", "E0212"),
        (node(&format!("A {sha}\n")), "", "E0212"),
        (node(&format!("10 {sha}\n")), "", "E0212"),
        (node(&format!("0{sha}\n")), "", "E0212"),
    ] {
        let found = Node::parse_packages(text.as_bytes(), prefix).map_or_else(|error| error.code().0, |_| "");
        assert_eq!(found, code, "{prefix:?} {text:.100}");
    }
}
