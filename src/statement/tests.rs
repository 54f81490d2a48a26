//! Each rule of statements and file lists, by the code that breaking it gives.

use serde_json::{Value, json};

use crate::diagnose::Diagnose as _;
use crate::model::{PackageName, RegistryId, Version};
use crate::statement::{
    FileEntry, Files, ListPin, MAX_CHUNK_INDEX, MAX_INTEGER, ReleaseFiles, Statement, StatementError, parse_list,
    render_list,
};

const SHA: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn file(path: &str) -> Value {
    json!({"path": path, "sha256": SHA, "size": 1, "class": "weights"})
}

fn of_variant(path: &str, variant: &str) -> Value {
    json!({"path": path, "sha256": SHA, "size": 1, "class": "weights", "variant": variant})
}

fn with_chunks(chunks: &Value) -> Value {
    json!([{"path": "a", "sha256": SHA, "size": 1, "class": "weights", "chunks": chunks}])
}

fn base() -> Value {
    json!({
        "type": "mpm.release/1", "registry": "acme", "name": "acme/minilm", "version": "1.2.0", "kind": "model",
        "variants": {"f32": {"format": "safetensors"}, "int8": {}},
        "files": [file("a.txt"), of_variant("b.bin", "f32"), of_variant("b.bin", "int8")],
    })
}

fn parse(value: &Value) -> Result<Statement, StatementError> {
    Statement::parse(&serde_json::to_vec(value).expect("renders"))
}

/// The base with one top-level field set must give this code; an empty code means that it parses.
fn check(field: &str, value: &Value, code: &str) {
    let mut statement = base();
    if let Some(map) = statement.as_object_mut() {
        map.insert(field.to_owned(), value.clone());
    }
    let found = parse(&statement).map_or_else(|error| error.code().0, |_| "");
    assert_eq!(found, code, "{field}: {value}");
}

#[test]
fn lies_in_each_field_are_refused() {
    for (field, value, code) in [
        ("type", json!("mpm.root/1"), "E0202"),
        ("type", json!(1), "E0201"),
        ("critical", json!(["shards"]), "E0203"),
        ("critical", json!(["packs"]), ""),
        ("critical", json!(["files"]), ""),
        ("unknown", json!({"deep": [1, {"x": true}]}), ""),
        ("registry", json!("Acme"), "E0204"),
        ("name", json!("minilm"), "E0204"),
        ("version", json!("1.0"), "E0204"),
        ("version", json!("1.0.0+build"), "E0204"),
        ("version", json!(format!("1.0.0-{}", "x".repeat(200))), "E0204"),
        ("version", json!("18446744073709551616.0.0"), "E0204"),
        ("kind", json!("code"), "E0204"),
        ("description", json!("two\nlines"), "E0204"),
        ("description", json!("\u{1b}[31mred"), "E0204"),
        ("description", json!("reversed \u{202e}"), "E0204"),
        ("description", json!("x".repeat(1_025)), "E0204"),
        ("description", json!(""), "E0204"),
        ("description", json!(null), "E0201"),
        ("license", json!({"expression": "MIT\u{0}"}), "E0204"),
        ("license", json!({"expression": "MIT", "text": "sha256:"}), "E0204"),
        ("license", json!(["MIT"]), "E0201"),
        ("upstream", json!({"hub": "huggingface", "id": "Org/Name", "commit": "0".repeat(40)}), ""),
        ("upstream", json!({"hub": "another", "id": "?", "commit": 1}), "E0201"),
        ("upstream", json!({"hub": "another", "id": "?", "commit": "?"}), ""),
        ("upstream", json!({"hub": "huggingface", "id": "../x", "commit": "0".repeat(40)}), "E0204"),
        ("upstream", json!({"hub": "huggingface", "id": "Org/Name", "commit": "main"}), "E0204"),
        ("upstream", json!("Org/Name"), "E0201"),
        ("default-variant", json!("q4"), "E0207"),
        ("default-variant", json!("f32"), ""),
        ("variants", json!({"f32": {}}), "E0207"),
        ("variants", json!({"f32": {"format": "a b"}, "int8": {}}), "E0204"),
        ("variants", json!({"F32": {}, "int8": {}}), "E0204"),
        ("variants", json!({"f32": {}, "int8": {}, "a-b": {}, "a_b": {}}), "E0209"),
        ("variants", (0..65).map(|i| (format!("v{i}"), json!({}))).collect(), "E0208"),
        ("file-lists", json!([]), "E0204"),
    ] {
        check(field, &value, code);
    }
}

#[test]
fn files_keep_the_rules_of_the_set() {
    let many: Vec<Value> = (0..1_001).map(|i| file(&format!("{i:04}"))).collect();
    let sized = |size: u64| json!([{"path": "a", "sha256": SHA, "size": size, "class": "data"}, {"path": "b", "sha256": SHA, "size": 1, "class": "data"}]);
    for (files, code) in [
        (json!([]), ""),
        (json!([file("b"), file("a")]), "E0205"),
        (json!([file("a"), file("a")]), "E0205"),
        (json!([file("A"), file("a")]), "E0205"),
        (json!([file("a"), file("a/b")]), "E0205"),
        (json!([file("a"), of_variant("a", "f32")]), "E0205"),
        (json!([of_variant("A", "f32"), file("a")]), "E0205"),
        (json!([of_variant("A", "f32"), of_variant("a", "int8")]), ""),
        (json!([of_variant("a", "int8"), of_variant("a", "f32")]), "E0205"),
        (json!([of_variant("a", "q4")]), "E0207"),
        (json!([file("../a")]), "E0204"),
        (json!([file("/a")]), "E0204"),
        (json!([file("CON")]), "E0204"),
        (json!([{"path": "a", "sha256": SHA.to_uppercase(), "size": 1, "class": "data"}]), "E0204"),
        (json!([{"path": "a", "sha256": format!("sha256:{SHA}"), "size": 1, "class": "data"}]), "E0204"),
        (json!([{"path": "a", "sha256": SHA, "size": 1, "class": "virus"}]), "E0204"),
        (with_chunks(&json!({"sha256": SHA, "size": 92})), ""),
        (with_chunks(&json!({"sha256": SHA, "size": 92, "unknown": [1]})), ""),
        (with_chunks(&json!({"sha256": SHA, "size": MAX_CHUNK_INDEX})), ""),
        (with_chunks(&json!({"sha256": SHA, "size": MAX_CHUNK_INDEX + 1})), "E0204"),
        (with_chunks(&json!({"sha256": SHA.to_uppercase(), "size": 92})), "E0204"),
        (with_chunks(&json!({"sha256": SHA})), "E0201"),
        (with_chunks(&json!(null)), "E0201"),
        (with_chunks(&json!([SHA, 92])), "E0201"),
        (json!([["a", SHA, 1, "data"]]), "E0201"),
        (json!(many), "E0208"),
        (sized(u64::MAX), "E0204"),
        (sized(MAX_INTEGER), "E0208"),
        (sized(MAX_INTEGER - 1), ""),
    ] {
        check("files", &files, code);
    }
}

#[test]
fn references_are_sorted_once_and_not_to_itself() {
    let on = |name: &str| json!({"kind": "requires", "name": name, "requirement": "^1"});
    let from =
        |name: &str, version: &str| json!({"registry": "acme", "name": name, "version": version, "statement": SHA});
    let in_registry =
        |registry: &str| json!([{"kind": "requires", "name": "a/b", "registry": registry, "requirement": "1"}]);
    let many: Vec<Value> = (0..257).map(|i| on(&format!("a/p{i:03}"))).collect();
    for (field, value, code) in [
        ("dependencies", json!([on("a/b"), on("a/c")]), ""),
        ("dependencies", json!([on("a/c"), on("a/b")]), "E0209"),
        ("dependencies", json!([on("a/b"), on("a/b")]), "E0209"),
        ("dependencies", json!([on("a/b-c"), on("a/b_c")]), "E0209"),
        ("dependencies", json!([on("acme/minilm")]), "E0209"),
        ("dependencies", json!([on("acme/minilm-x"), on("acme/other")]), ""),
        ("dependencies", in_registry("acme"), "E0209"),
        ("dependencies", in_registry("other"), ""),
        ("dependencies", in_registry("https://evil.example"), "E0204"),
        ("dependencies", json!([{"kind": "evil", "name": "a/b", "requirement": "1"}]), "E0204"),
        ("dependencies", json!([{"kind": "requires", "name": "a/b", "requirement": " 1"}]), "E0204"),
        ("dependencies", json!([{"kind": "requires", "name": "a/b", "requirement": "banana"}]), "E0204"),
        ("dependencies", json!(many), "E0208"),
        ("base-model", from("acme/minilm", "1.1.0"), ""),
        ("base-model", from("acme/minilm", "1.2.0"), "E0209"),
        ("trained-on", json!([from("a/b", "1.0.0"), from("a/b", "2.0.0")]), ""),
        ("trained-on", json!([from("a/b", "2.0.0"), from("a/b", "1.0.0")]), "E0209"),
        ("trained-on", json!([from("acme/minilm", "1.2.0")]), "E0209"),
    ] {
        check(field, &value, code);
    }
}

fn with_lists(lists: &[ListPin]) -> Value {
    let lists: Vec<Value> = lists
        .iter()
        .map(|list| json!({"sha256": list.pin.sha256.hex(), "size": list.pin.size, "count": list.count, "bytes": list.bytes}))
        .collect();
    let mut statement = base();
    if let Some(map) = statement.as_object_mut() {
        map.remove("files");
        map.insert("file-lists".to_owned(), json!(lists));
    }
    statement
}

fn entries(files: &Value) -> Vec<FileEntry> {
    let mut statement = base();
    if let Some(map) = statement.as_object_mut() {
        map.insert("files".to_owned(), files.clone());
    }
    let Files::Inline(entries) = parse(&statement).expect("parses").files else { panic!("inline") };
    entries
}

#[test]
fn lists_are_put_together_in_order() {
    let first = entries(&json!([file("a"), file("b")]));
    let second = entries(&json!([file("c"), of_variant("d", "f32")]));
    let clash = entries(&json!([file("C")]));
    let pins = [ListPin::of(&first), ListPin::of(&second)];
    let statement = parse(&with_lists(&pins)).expect("parses");
    assert_eq!(statement.total_size(), 4);
    let files = ReleaseFiles::assemble(&statement, vec![first.clone(), second.clone()]).expect("fits");
    assert_eq!(files.entries().len(), 4);

    let code = |lists| ReleaseFiles::assemble(&statement, lists).map_or_else(|error| error.code().0, |_| "");
    assert_eq!(code(vec![first.clone()]), "E0206");
    assert_eq!(code(vec![second.clone(), first.clone()]), "E0205");
    assert_eq!(code(vec![first.clone(), first.clone()]), "E0205");
    assert_eq!(code(vec![first.clone(), clash.clone()]), "E0206");
    let clashing = parse(&with_lists(&[ListPin::of(&clash), ListPin::of(&second)])).expect("parses");
    let error = ReleaseFiles::assemble(&clashing, vec![clash, second]).expect_err("C and c");
    assert_eq!(error.code().0, "E0205");
    let mut undeclared = statement;
    undeclared.variants.clear();
    let lists = vec![first, entries(&json!([file("c"), of_variant("d", "f32")]))];
    assert_eq!(ReleaseFiles::assemble(&undeclared, lists).expect_err("f32").code().0, "E0207");
}

#[test]
fn a_list_is_what_its_pin_says() {
    let good = entries(&json!([file("a"), file("b")]));
    let bytes = render_list(&good);
    let pin = ListPin::of(&good);
    assert_eq!(parse_list(&bytes, &pin).expect("parses"), good);
    let code = |bytes: &[u8], list: ListPin| {
        let list = ListPin { pin: crate::model::Pin { size: bytes.len() as u64, ..list.pin }, ..list };
        parse_list(bytes, &list).map_or_else(|error| error.code().0, |_| "")
    };
    for (list, expected) in [
        (ListPin { count: 1, ..pin }, "E0206"),
        (ListPin { count: 3, ..pin }, "E0206"),
        (ListPin { count: u64::MAX, ..pin }, "E0206"),
        (ListPin { bytes: 3, ..pin }, "E0206"),
    ] {
        assert_eq!(code(&bytes, list), expected, "{list:?}");
    }
    assert_eq!(
        parse_list(&bytes, &ListPin { pin: crate::model::Pin { size: 1, ..pin.pin }, ..pin })
            .expect_err("size")
            .code()
            .0,
        "E0206"
    );
    let swapped: Vec<u8> = bytes.split_inclusive(|byte| *byte == b'\n').rev().flatten().copied().collect();
    assert_eq!(code(&swapped, pin), "E0205");
    assert_eq!(code(bytes.strip_suffix(b"\n").expect("LF"), pin), "E0206");
    assert_eq!(code(b"\n\n", pin), "E0206");
    assert_eq!(code(b"{}\n{}\n", pin), "E0206");
}

#[test]
fn pins_of_lists_have_bounds() {
    let pin = |size: u64, count: u64, bytes: u64| json!({"sha256": SHA, "size": size, "count": count, "bytes": bytes});
    let many: Vec<Value> = (0..65).map(|_| pin(1, 1, 1)).collect();
    for (lists, code) in [
        (json!([pin(1, 1, 1)]), ""),
        (json!([pin(u64::MAX, 1, 1)]), "E0204"),
        (json!([pin(1, u64::MAX, 1)]), "E0204"),
        (json!([pin(1, 0, 1)]), "E0204"),
        (json!([pin(1, 1, u64::MAX)]), "E0204"),
        (json!([pin(1, 1, MAX_INTEGER), pin(1, 1, 1)]), "E0208"),
        (json!([pin(1, 2_000_000, 1), pin(1, 1, 1)]), "E0208"),
        (json!(many), "E0208"),
        (json!((0..9).map(|_| pin(64 << 20, 1, 1)).collect::<Vec<_>>()), "E0208"),
    ] {
        let mut statement = with_lists(&[]);
        if let Some(map) = statement.as_object_mut() {
            map.insert("file-lists".to_owned(), lists.clone());
        }
        assert_eq!(parse(&statement).map_or_else(|error| error.code().0, |_| ""), code, "{lists}");
    }
}

#[test]
fn another_release_is_told_apart() {
    let statement = parse(&base()).expect("parses");
    let asked = |registry, name, version| {
        let version = Version::parse(version).expect("a version");
        let (registry, name) = (RegistryId::parse(registry).expect("an id"), PackageName::parse(name).expect("a name"));
        statement.check_identity(&registry, &name, &version).map_or_else(|error| error.code().0, |()| "")
    };
    assert_eq!(asked("acme", "acme/minilm", "1.2.0"), "");
    assert_eq!(asked("evil", "acme/minilm", "1.2.0"), "E0202");
    assert_eq!(asked("acme", "acme/other", "1.2.0"), "E0202");
    assert_eq!(asked("acme", "acme/minilm", "1.0.0"), "E0202");
}

#[test]
fn what_is_not_one_document_is_refused() {
    let text = serde_json::to_string(&base()).expect("renders");
    let twice = text.replacen('{', r#"{"kind":"dataset","#, 1);
    for bytes in [twice, format!("{text} x"), format!("\u{feff}{text}"), format!("[{text}]"), " ".repeat(2 << 20)] {
        assert_eq!(Statement::parse(bytes.as_bytes()).expect_err("refused").code().0, "E0201", "{bytes:.40}");
    }
}

/// A statement with these packs and files.
fn with_packs(packs: &Value, files: &Value) -> Result<Statement, StatementError> {
    let mut statement = base();
    if let Some(map) = statement.as_object_mut() {
        map.insert("packs".to_owned(), packs.clone());
        map.insert("files".to_owned(), files.clone());
    }
    parse(&statement)
}

#[test]
fn places_in_packs_keep_their_rules() {
    let sha = |digit: &str| digit.repeat(64);
    let packs = json!([{"sha256": sha("a"), "size": 100}, {"sha256": sha("b"), "size": 1 << 30}]);
    let file = |path: &str, digest: &str, size: u64, pack: &str, offset: u64| json!({"path": path, "sha256": sha(digest), "size": size, "class": "data", "pack": {"sha256": sha(pack), "offset": offset}});
    let plain = |path: &str, digest: &str, size: u64| json!({"path": path, "sha256": sha(digest), "size": size, "class": "data"});
    for (files, code) in [
        (json!([file("a", "1", 100, "a", 0)]), ""),
        (json!([file("a", "1", 50, "a", 50), file("b", "2", 50, "a", 0), file("c", "3", 50, "b", 0)]), ""),
        (json!([file("a", "1", 50, "a", 0), file("b", "1", 50, "a", 0), plain("c", "2", 7)]), ""),
        (json!([file("a", "1", 4 << 20, "b", (1 << 30) - (4 << 20))]), ""),
        (json!([file("a", "1", 101, "a", 0)]), "E0210"),
        (json!([file("a", "1", 1, "a", 100)]), "E0210"),
        (json!([file("a", "1", 2, "a", 99)]), "E0210"),
        (json!([file("a", "1", 0, "a", 0)]), "E0210"),
        (json!([file("a", "1", 1, "c", 0)]), "E0210"),
        (json!([file("a", "1", (4 << 20) + 1, "b", 0)]), "E0210"),
        (json!([file("a", "1", 1, "b", 1 << 30)]), "E0204"),
        (json!([file("a", "1", 1, "b", u64::MAX)]), "E0204"),
        (json!([file("a", "1", 50, "a", 0), file("b", "2", 50, "a", 49)]), "E0210"),
        (json!([file("a", "1", 90, "a", 0), file("b", "2", 1, "a", 10), file("c", "3", 1, "a", 80)]), "E0210"),
        (json!([file("a", "1", 50, "a", 0), file("b", "2", 50, "a", 0)]), "E0210"),
        (json!([file("a", "1", 50, "a", 0), file("b", "1", 50, "a", 50)]), "E0210"),
        (json!([file("a", "1", 50, "a", 0), file("b", "1", 50, "b", 0)]), "E0210"),
        (json!([file("a", "1", 50, "a", 0), file("b", "1", 49, "a", 0)]), "E0210"),
        (json!([file("a", "1", 50, "a", 0), plain("b", "1", 50)]), "E0210"),
        (json!([{"path": "a", "sha256": sha("1"), "size": 1, "class": "data", "pack": [sha("a"), 0]}]), "E0201"),
        (
            json!([{"path": "a", "sha256": sha("1"), "size": 1, "class": "data", "pack": {"sha256": "x", "offset": 0}}]),
            "E0204",
        ),
    ] {
        assert_eq!(with_packs(&packs, &files).map_or_else(|error| error.code().0, |_| ""), code, "{files}");
    }
}

#[test]
fn pins_of_packs_have_bounds() {
    let pack = |number: u64, size: u64| json!({"sha256": format!("{number:064x}"), "size": size});
    let many = |count: u64| -> Value { (0..count).map(|number| pack(number, 1)).collect() };
    for (packs, code) in [
        (many(1_000), ""),
        (many(1_001), "E0208"),
        (json!([pack(1, 0)]), "E0204"),
        (json!([pack(1, (1 << 30) + 1)]), "E0204"),
        (json!([pack(2, 1), pack(1, 1)]), "E0209"),
        (json!([pack(1, 1), pack(1, 1)]), "E0209"),
        (json!([["a", 1]]), "E0201"),
    ] {
        assert_eq!(with_packs(&packs, &json!([])).map_or_else(|error| error.code().0, |_| ""), code, "{packs:.80}");
    }
}

#[test]
fn files_of_lists_are_placed_in_packs_as_inline_ones_are() {
    let digest = "1".repeat(64);
    let entry = |path: &str, offset: u64| json!({"path": path, "sha256": digest, "size": 50, "class": "data", "pack": {"sha256": "a".repeat(64), "offset": offset}});
    let assembled = |entries: &[Value]| {
        let lines: Vec<String> = entries.iter().map(ToString::to_string).collect();
        let parsed = format!("{}\n", lines.join("\n"));
        let sum = ListPin {
            pin: crate::model::Pin::of(parsed.as_bytes()),
            count: entries.len() as u64,
            bytes: 50 * entries.len() as u64,
        };
        let list = parse_list(parsed.as_bytes(), &sum).expect("a list");
        let mut statement = parse(&with_lists(&[])).expect("a statement");
        statement.packs = vec![crate::model::Pin { sha256: "a".repeat(64).parse().expect("a digest"), size: 100 }];
        statement.files = Files::Lists(vec![sum]);
        ReleaseFiles::assemble(&statement, vec![list]).map_or_else(|error| error.code().0, |_| "")
    };
    assert_eq!(assembled(&[entry("a", 50), entry("b", 50)]), "");
    assert_eq!(assembled(&[entry("a", 51)]), "E0210");
    assert_eq!(assembled(&[entry("a", 50), entry("b", 0)]), "E0210");
}
