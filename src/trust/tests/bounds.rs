//! The edges: what is just allowed, and what is one too many.

use super::{House, Signer, code, id};
use crate::catalog::{MAX_LOG, YankAction};
use crate::model::{Namespace, PackageName, Sha256, Version};
use crate::trust::{
    Checkpoint, MAX_BASES, MAX_CHECKPOINT, MAX_CHECKPOINT_DAYS, MAX_KEYS, MAX_NAMESPACE, MAX_NUMBER, MAX_REASON,
    MAX_REGISTRAR, MAX_RETIRED, MAX_ROOT, MAX_YANK, NamespaceEntry, Registrar, RetiredKey, RetiredPrefix, Role,
    RoleKeys, Severity, TrustError, TrustRoot, YankRecord,
};

/// Reads a file of one kind and gives the code of its refusal, or nothing.
type Parse = fn(&[u8]) -> &'static str;

/// A document with spaces before its last brace, so that it has this size.
fn padded(bytes: &[u8], size: u64) -> Vec<u8> {
    let text = String::from_utf8(bytes.to_vec()).expect("text");
    let (head, _) = text.trim_end().rsplit_once('}').expect("an object");
    let width = usize::try_from(size).expect("small") - head.len() - 2;
    format!("{head}{}}}\n", " ".repeat(width)).into_bytes()
}

#[test]
fn a_file_may_be_as_large_as_its_limit() {
    let good = House::checkpoint().render();
    for (size, expected) in [(MAX_CHECKPOINT, ""), (16_384, ""), (MAX_CHECKPOINT + 1, "E0101")] {
        let bytes = padded(&good, size);
        assert_eq!((bytes.len() as u64, code(Checkpoint::parse(&bytes))), (size, expected));
    }
}

#[test]
fn bases_are_dots_relative_paths_or_addresses() {
    let with = |bases: Vec<String>| code(Checkpoint::parse(&Checkpoint { bases, ..House::checkpoint() }.render()));
    let long = |length: usize| "x/".repeat(8) + &"y".repeat(length - 16);
    for (base, expected) in [
        (".".to_owned(), ""),
        ("blobs/here".to_owned(), ""),
        ("https://blobs.example/a".to_owned(), ""),
        (format!("https://blobs.example/{}", "a".repeat(1_002)), ""),
        (format!("https://blobs.example/{}", "a".repeat(1_003)), "E0101"),
        (String::new(), "E0101"),
        ("..".to_owned(), "E0101"),
        ("/absolute".to_owned(), "E0101"),
        ("a b".to_owned(), "E0101"),
        ("a\tb".to_owned(), "E0101"),
        ("a\u{7}b".to_owned(), "E0101"),
        ("a\u{2003}b".to_owned(), "E0101"),
        ("https://blobs.example/a b".to_owned(), "E0101"),
        ("https://blobs.example/a\u{7}".to_owned(), "E0101"),
        ("https://user:word@blobs.example/".to_owned(), "E0101"),
        ("file:///etc".to_owned(), "E0101"),
        ("https://blobs.example/?a=b".to_owned(), "E0101"),
        ("https://blobs.example/#a".to_owned(), "E0101"),
        (long(200), ""),
    ] {
        assert_eq!(with(vec![base.clone()]), expected, "{base:?}");
    }
    assert_eq!(with(vec![".".to_owned(); MAX_BASES]), "");
    assert_eq!(with(vec![".".to_owned(); MAX_BASES + 1]), "E0101");
    let error: TrustError =
        Checkpoint::parse(&Checkpoint { bases: vec![String::new()], ..House::checkpoint() }.render())
            .expect_err("empty");
    assert!(error.to_string().contains("bases"), "{error}");
}

#[test]
fn every_kind_of_file_has_its_limit() {
    let entry = entry(&Signer::new());
    let kinds: [(&str, Vec<u8>, u64, u64, Parse); 4] = [
        ("root", House::new().root().render(), MAX_ROOT, 64 * 1_024, |bytes| code(TrustRoot::parse(bytes))),
        ("registrar", House::registrar().render(), MAX_REGISTRAR, 1_048_576, |bytes| code(Registrar::parse(bytes))),
        ("namespace", entry.render(), MAX_NAMESPACE, 1_048_576, |bytes| {
            code(NamespaceEntry::parse(bytes, &id(), &Namespace::parse("acme").expect("a name")))
        }),
        ("yank", yank("x").render(), MAX_YANK, 16_384, |bytes| code(YankRecord::parse(bytes))),
    ];
    for (kind, good, limit, written, parse) in kinds {
        assert_eq!(limit, written, "{kind}");
        assert_eq!(parse(&padded(&good, limit)), "", "{kind}");
        assert_eq!(parse(&padded(&good, limit + 1)), "E0101", "{kind}");
    }
}

#[test]
fn size_is_judged_before_signatures_and_digests() {
    let house = House::new();
    let large = vec![b' '; 1_048_577];
    assert_eq!(code(TrustRoot::first(&large, &[], &Sha256::of(b"x"), &id())), "E0101");
    assert_eq!(code(house.root().next(&large, &[])), "E0101");
    assert_eq!(code(Registrar::check(&large, &[], &house.root(), 1)), "E0101");
    assert_eq!(code(Checkpoint::check(&large, &[], &house.root(), super::at(0))), "E0101");
}

#[test]
fn digests_stand_without_a_prefix() {
    let text = String::from_utf8(House::registrar().render()).expect("text");
    let hex = Sha256::of(b"").hex();
    for (written, expected) in [(hex.clone(), ""), (format!("sha256:{hex}"), "E0101"), (hex.to_uppercase(), "E0101")] {
        assert_eq!(code(Registrar::parse(text.replace(&hex, &written).as_bytes())), expected, "{written}");
    }
}

fn entry(owner: &Signer) -> NamespaceEntry {
    NamespaceEntry {
        registry: id(),
        namespace: Namespace::parse("acme").expect("a name"),
        number: 1,
        previous: None,
        keys: vec![owner.public.clone()],
        threshold: 1,
        retired: Vec::new(),
    }
}

fn yank(reason: &str) -> YankRecord {
    YankRecord {
        registry: id(),
        package: PackageName::parse("acme/minilm").expect("a name"),
        version: Version::new(1, 0, 0),
        statement: Sha256::of(b"x"),
        action: YankAction::Yank,
        reason: reason.to_owned(),
        severity: Severity::Broken,
        counter: 1,
    }
}

#[test]
fn reasons_numbers_and_days_have_their_edges() {
    let longest = "é".repeat(512);
    assert_eq!(longest.len(), MAX_REASON);
    assert_eq!(code(YankRecord::parse(&yank(&longest).render())), "");
    assert_eq!(code(YankRecord::parse(&yank(&format!("{longest}x")).render())), "E0101");
    let counted = |counter| code(YankRecord::parse(&YankRecord { counter, ..yank("x") }.render()));
    assert_eq!([counted(0), counted(1), counted(MAX_NUMBER), counted(MAX_NUMBER + 1)], ["E0101", "", "", "E0101"]);
    assert_eq!(MAX_NUMBER, 9_007_199_254_740_991, "what every reader of JSON holds exactly");
    let house = House::new();
    let root = |change: &dyn Fn(&mut TrustRoot)| {
        let mut root = house.root();
        change(&mut root);
        code(TrustRoot::parse(&root.render()))
    };
    for (days, expected) in [(1, ""), (MAX_CHECKPOINT_DAYS, ""), (MAX_CHECKPOINT_DAYS + 1, "E0101")] {
        assert_eq!(root(&|root| root.checkpoint_max_days = days), expected, "{days}");
    }
    assert_eq!([root(&|root| root.epoch = 0), root(&|root| root.epoch = MAX_NUMBER)], ["", ""]);
    let keys: Vec<_> = (0..MAX_KEYS).map(|_| Signer::new().public).collect();
    let many = |threshold| {
        root(&|root| {
            root.roles.insert(Role::Index, RoleKeys { keys: keys.clone(), threshold });
        })
    };
    let all = MAX_KEYS as u64;
    assert_eq!([many(0), many(1), many(all), many(all + 1)], ["E0106", "", "", "E0106"]);
    let registrar = |number| code(Registrar::parse(&Registrar { number, ..House::registrar() }.render()));
    assert_eq!(
        [registrar(0), registrar(1), registrar(MAX_NUMBER), registrar(MAX_NUMBER + 1)],
        ["E0101", "", "", "E0101"]
    );
}

#[test]
fn retired_keys_and_their_prefixes_have_their_edges() {
    let owner = Signer::new();
    let parse = |entry: &NamespaceEntry| {
        code(NamespaceEntry::parse(&entry.render(), &id(), &Namespace::parse("acme").expect("a name")))
    };
    let prefix = |package: &str, size| RetiredPrefix {
        package: PackageName::parse(package).expect("a name"),
        size,
        sha256: Sha256::of(b"x"),
    };
    let with = |prefixes: Vec<RetiredPrefix>| {
        let retired = vec![RetiredKey { key: Signer::new().public, prefixes }];
        parse(&NamespaceEntry { retired, ..entry(&owner) })
    };
    for (size, expected) in [(0, "E0101"), (1, ""), (67_108_864, ""), (MAX_LOG + 1, "E0101")] {
        assert_eq!(with(vec![prefix("acme/a", size)]), expected, "{size}");
    }
    assert_eq!(with(vec![prefix("acme/a", 1), prefix("acme/b", 1)]), "");
    assert_eq!(with(vec![prefix("acme/a", 1), prefix("acme/a", 2)]), "E0101", "twice");
    assert_eq!(with(vec![prefix("acme/b", 1), prefix("acme/a", 1)]), "E0101", "another order");
    assert_eq!(with(vec![prefix("other/a", 1)]), "E0101", "another namespace");
    let retired = |count: usize| {
        let retired = (0..count).map(|_| RetiredKey { key: Signer::new().public, prefixes: Vec::new() }).collect();
        parse(&NamespaceEntry { retired, ..entry(&owner) })
    };
    assert_eq!([retired(MAX_RETIRED), retired(MAX_RETIRED + 1)], ["", "E0101"]);
    // A key that publishes and is retired as well, or retired twice.
    let twice = |key: &Signer| RetiredKey { key: key.public.clone(), prefixes: Vec::new() };
    let other = Signer::new();
    assert_eq!(parse(&NamespaceEntry { retired: vec![twice(&owner)], ..entry(&owner) }), "E0106");
    assert_eq!(parse(&NamespaceEntry { retired: vec![twice(&other), twice(&other)], ..entry(&owner) }), "E0106");
    // The first entry has none before it, every other has one.
    for (number, previous, expected) in [
        (1, None, ""),
        (1, Some(Sha256::of(b"x")), "E0101"),
        (2, None, "E0101"),
        (2, Some(Sha256::of(b"x")), ""),
        (0, None, "E0101"),
    ] {
        assert_eq!(parse(&NamespaceEntry { number, previous, ..entry(&owner) }), expected, "{number} {previous:?}");
    }
}
