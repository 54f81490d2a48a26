//! The frozen files of version 1 and the examples of docs/formats: each parses, and is written again as the same bytes;
//! each bad one gives its code. Any bytes at all make an error, never a panic.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use modelpm::catalog::{Node, PackageLeaf, PackageLog, build_namespaces, build_packages};
use modelpm::diagnose::{Class, Diagnose};
use modelpm::model::{
    FileClass, HubCommit, HubRepository, Namespace, PackageKind, PackageName, Pin, PublicKey, RegistryId, RelPath,
    Requirement, Sha256, Signature, Timestamp, VariantName, Version, canonical,
};
use modelpm::statement::{
    Dependency, DependencyKind, FileEntry, Files, Licence, ListPin, Provenance, ReleaseFiles, Statement, Upstream,
    Variant, parse_list, render_list,
};
use modelpm::trust::{
    Checkpoint, ImportRecord, NamespaceEntry, Registrar, Revocations, Role, TrustRoot, YankRecord, count_signers,
};
use proptest::prelude::{Just, Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};

const FORMATS: [&str; 12] = [
    "root",
    "registrar",
    "namespace",
    "checkpoint",
    "yank",
    "import",
    "statement",
    "list",
    "log",
    "packages-leaf",
    "packages-node",
    "namespaces-leaf",
];

type Outcome = Result<Vec<u8>, Box<dyn Diagnose>>;

fn refuse<E: Diagnose + 'static>(error: E) -> Box<dyn Diagnose> {
    Box::new(error)
}

/// Parses bytes of a format and writes them again.
fn again(format: &str, bytes: &[u8]) -> Outcome {
    let (registry, namespace) = (RegistryId::parse("acme").expect("an id"), Namespace::parse("acme").expect("a name"));
    match format {
        "root" => TrustRoot::parse(bytes).map(|file| file.render()).map_err(refuse),
        "registrar" => Registrar::parse(bytes).map(|file| file.render()).map_err(refuse),
        "namespace" => NamespaceEntry::parse(bytes, &registry, &namespace).map(|file| file.render()).map_err(refuse),
        "checkpoint" => Checkpoint::parse(bytes).map(|file| file.render()).map_err(refuse),
        "yank" => YankRecord::parse(bytes).map(|file| file.render()).map_err(refuse),
        "import" => ImportRecord::parse(bytes).map(|file| file.render()).map_err(refuse),
        "statement" => Statement::parse(bytes).map(|file| file.render()).map_err(refuse),
        "list" => parse_list(bytes, &promised(bytes)).map(|entries| render_list(&entries)).map_err(refuse),
        "log" => PackageLog::parse(bytes).map(|log| written(&log)).map_err(refuse),
        "packages-leaf" | "packages-node" => {
            Node::parse_packages(bytes, "").map_err(refuse).and_then(|node| match node {
                Node::Leaf(entries) => {
                    build_packages(&entries).map_err(refuse).map(|tree| tree.nodes[&tree.root].clone())
                }
                Node::Inner(children) => {
                    Ok(children.iter().fold(b"mpm.tree/1 node -\n".to_vec(), |mut text, (digit, child)| {
                        text.extend(format!("{digit:x} {child}\n").bytes());
                        text
                    }))
                }
            })
        }
        "namespaces-leaf" => Node::parse_namespaces(bytes, "").map_err(refuse).and_then(|node| match node {
            Node::Leaf(entries) => {
                build_namespaces(&entries).map_err(refuse).map(|tree| tree.nodes[&tree.root].clone())
            }
            Node::Inner(_) => Ok(Vec::new()),
        }),
        other => panic!("no format {other:?}"),
    }
}

/// What a statement would promise of a list of these bytes.
fn promised(bytes: &[u8]) -> ListPin {
    let size = |line: &[u8]| {
        let value: Option<serde_json::Value> = serde_json::from_slice(line).ok();
        value.and_then(|value| value.get("size")?.as_u64()).unwrap_or_default()
    };
    let lines = bytes.split_inclusive(|byte| *byte == b'\n');
    let total = lines.clone().fold(0_u64, |sum, line| sum.saturating_add(size(line)));
    ListPin { pin: Pin::of(bytes), count: lines.count() as u64, bytes: total }
}

/// A log whose releases come before its yanks, as the golden ones have them.
fn written(log: &PackageLog) -> Vec<u8> {
    let releases = log.releases.iter().map(|(event, _)| PackageLog::render_release(event));
    releases.chain(log.yanks.iter().map(PackageLog::render_yank)).flatten().collect()
}

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Files of the three folders of golden files (`folder` is `.` or `bad`), sorted, signatures left out.
fn golden(folder: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for room in ["trust", "index", "statement"] {
        let listing = std::fs::read_dir(project().join("tests/golden").join(room).join(folder)).expect("a folder");
        files.extend(
            listing
                .map(|entry| entry.expect("an entry").path())
                .filter(|path| path.is_file() && path.extension().is_none_or(|extension| extension != "minisig")),
        );
    }
    files.sort();
    files
}

/// The words of a file's name between dots: format, then code or a remark.
fn words(path: &Path) -> Vec<String> {
    let name = path.file_name().expect("a name").to_str().expect("text");
    name.split('.').map(str::to_owned).collect()
}

#[test]
fn golden_files_are_written_again_as_they_are() {
    let mut met = BTreeSet::new();
    for path in golden(".") {
        let format = words(&path).swap_remove(0);
        let bytes = std::fs::read(&path).expect("reads");
        let found = again(&format, &bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(String::from_utf8_lossy(&found), String::from_utf8_lossy(&bytes), "{}", path.display());
        met.insert(format);
    }
    assert_eq!(met, FORMATS.iter().map(|format| (*format).to_owned()).collect());
}

#[test]
fn bad_files_give_their_code() {
    let mut codes = BTreeSet::new();
    for path in golden("bad") {
        let words = words(&path);
        let bytes = std::fs::read(&path).expect("reads");
        let error = again(&words[0], &bytes).err().unwrap_or_else(|| panic!("{} was accepted", path.display()));
        assert_eq!(error.code().0, words[1], "{}: {error}", path.display());
        assert_eq!(error.class(), Class::Trust);
        assert!(!error.to_string().ends_with('.') && !error.hints().is_empty());
        codes.insert(words[1].clone());
    }
    assert!(codes.len() >= 20, "{codes:?}");
}

/// The signatures that lie beside a golden file.
fn signatures(path: &Path) -> Vec<Signature> {
    let name = format!("{}.", path.file_name().expect("a name").to_str().expect("text"));
    let listing = std::fs::read_dir(path.parent().expect("a folder")).expect("a folder");
    let beside = listing.map(|entry| entry.expect("an entry").path()).filter(|other| {
        let other = other.file_name().expect("a name").to_str().expect("text");
        other.starts_with(&name) && other.ends_with(".minisig")
    });
    beside.map(|path| Signature::parse(&std::fs::read(path).expect("reads")).expect("strict")).collect()
}

#[test]
fn golden_signatures_hold() {
    let folder = project().join("tests/golden/trust");
    let read = |name: &str| (std::fs::read(folder.join(name)).expect("reads"), signatures(&folder.join(name)));
    let (registry, namespace) = (RegistryId::parse("acme").expect("an id"), Namespace::parse("acme").expect("a name"));
    let (bytes, signed) = read("root.first.json");
    let first = TrustRoot::first(&bytes, &signed, &Sha256::of(&bytes), &registry).expect("counts");
    let (bytes, signed) = read("root.next.json");
    let root = first.next(&bytes, &signed).expect("counts");
    let now = Timestamp::from_seconds(1_800_000_000).expect("a time");
    let (bytes, signed) = read("checkpoint.json");
    let checkpoint = Checkpoint::check(&bytes, &signed, &root, now).expect("counts");
    assert!(Checkpoint::check(&bytes, &signed, &first, now).is_err());
    let (bytes, signed) = read("registrar.json");
    let registrar = Registrar::check(&bytes, &signed, &root, checkpoint.registrar).expect("counts");
    let (bytes, _) = read("namespace.first.json");
    let entry = NamespaceEntry::parse(&bytes, &registry, &namespace).expect("parses");
    let digest = Sha256::of(&bytes);
    let (bytes, signed) = read("namespace.next.json");
    assert!(entry.hands_over_to(&digest, &bytes, &signed, &registrar.revocations));
    let entry = NamespaceEntry::parse(&bytes, &registry, &namespace).expect("parses");
    let (bytes, signed) = read("yank.json");
    let nothing = Revocations::default();
    assert_eq!(entry.check(&bytes, &signed, &nothing, &|_| false).expect("counts").signers().len(), 1);
    let path = project().join("tests/golden/statement/statement.inline.json");
    let bytes = std::fs::read(&path).expect("reads");
    entry.check(&bytes, &signatures(&path), &nothing, &|_| false).expect("counts");
    // A signature of one file says nothing about another.
    assert!(entry.check(&bytes, &signed, &nothing, &|_| false).is_err());
    assert!(root.check(Role::Index, &bytes, &signatures(&path)).is_err());
}

/// Made by the original tool, of the bytes `test`.
const STOCK_KEY: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";
const STOCK: &str = "untrusted comment: signature from minisign secret key
RUQf6LRCGA9i559r3g7V1qNyJDApGip8MfqcadIgT9CuhV3EMhHoN1mGTkUidF/z7SrlQgXdy8ofjb7bNJJylDOocrCo8KLzZwo=
trusted comment: timestamp:1633700835\tfile:test\tprehashed
wLMDjy9FLAuxZ3q4NlEvkgtyhrr0gtTu6KC4KBJdITbbOeAi1zBIYo0v4iTgt8jJpIidRJnp94ABQkJAgAooBQ==
";

#[test]
fn signature_files_are_strict() {
    let keys = [PublicKey::parse(STOCK_KEY).expect("a key")];
    let holds = |text: &str, message: &[u8]| {
        Signature::parse(text.as_bytes()).map(|signature| count_signers(&keys, 1, message, &[signature]).is_some())
    };
    assert_eq!(holds(STOCK, b"test"), Ok(true));
    assert_eq!(holds(STOCK, b"tesT"), Ok(false));
    assert_eq!(holds(&STOCK.replace("prehashed", "prehasheD"), b"test"), Ok(false));
    assert_eq!(holds(&STOCK.replace("secret key", "whatever"), b"test"), Ok(true));
    let lines: Vec<&str> = STOCK.lines().collect();
    for (what, text) in [
        ("two lines", format!("{}\n{}\n", lines[0], lines[1])),
        ("five lines", format!("{STOCK}\n")),
        ("CRLF", STOCK.replace('\n', "\r\n")),
        ("no final newline", STOCK.trim_end().to_owned()),
        ("padded comment", STOCK.replace("prehashed\n", "prehashed \n")),
        ("legacy", STOCK.replace("RUQf", "RWQf")),
        ("space in base64", STOCK.replace("LzZwo=", "LzZwo= ")),
        ("spare bits", STOCK.replace("LzZwo=", "LzZwp=")),
        ("too large", STOCK.replace("secret key", &"x".repeat(9_000))),
    ] {
        assert!(Signature::parse(text.as_bytes()).is_err(), "{what}");
    }
}

/// The examples of a page: the block behind each line `<!-- example: FORMAT -->`.
fn examples(page: &str) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(project().join("docs/formats").join(page)).expect("a page");
    let mut parts = text.split("<!-- example: ");
    parts.next();
    parts
        .map(|part| {
            let (format, rest) = part.split_once(" -->\n```").expect("a block follows");
            let (_, rest) = rest.split_once('\n').expect("a language");
            (format.to_owned(), rest.split_once("```\n").expect("the block ends").0.to_owned())
        })
        .collect()
}

#[test]
fn examples_of_the_pages_are_real() {
    let mut met = BTreeSet::new();
    for page in ["common.md", "statement.md", "index.md", "trust.md"] {
        for (format, text) in examples(page) {
            let found = again(&format, text.as_bytes()).unwrap_or_else(|error| panic!("{page}, {format}: {error}"));
            assert_eq!(String::from_utf8_lossy(&found), text, "{page}, {format}");
            met.insert(format);
        }
    }
    assert_eq!(met, FORMATS.iter().map(|format| (*format).to_owned()).collect());
}

/// What must not panic, whatever the bytes.
fn swallow(bytes: &[u8]) {
    for format in FORMATS {
        drop(again(format, bytes));
    }
    drop(canonical::parse::<serde_json::Value>(bytes, 1 << 20));
    drop(Node::parse_packages(bytes, "0f"));
    if let Ok(signature) = Signature::parse(bytes) {
        drop(count_signers(&[PublicKey::parse(STOCK_KEY).expect("a key")], 1, bytes, &[signature]));
    }
    let text = String::from_utf8_lossy(bytes);
    for text in [&*text, text.trim_end()] {
        drop((PublicKey::parse(text), RelPath::parse(text), Requirement::parse(text), PackageName::parse(text)));
        drop((Sha256::parse(text), RegistryId::parse(text), VariantName::parse(text)));
    }
}

/// Some changes of some bytes.
pub(crate) fn any_changes() -> impl Strategy<Value = Vec<(usize, u8, Vec<u8>)>> {
    let odd =
        [&b"18446744073709551615"[..], b"\"", b"[[[[[[[[[[[[[[[[[[[[", b"null", "\u{202e}".as_bytes(), b"\\u0000"];
    let odd = prop::sample::select(odd.map(<[u8]>::to_vec).to_vec());
    let with = prop_oneof![1 => prop::collection::vec(any::<u8>(), 1..20), 6 => odd];
    prop::collection::vec((any::<usize>(), any::<u8>(), with), 1..4)
}

/// One change of some bytes.
pub(crate) fn mutate(bytes: &mut Vec<u8>, at: usize, how: u8, with: &[u8]) {
    let at = at % bytes.len().max(1);
    match how % 5 {
        0 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << (how % 8);
            }
        }
        1 => bytes.truncate(at),
        2 => drop(bytes.splice(at..at, with.iter().copied())),
        3 => drop(bytes.splice(at..(at + with.len()).min(bytes.len()), with.iter().copied())),
        _ => bytes.extend_from_within(at..),
    }
}

proptest! {
    #[test]
    fn any_bytes_are_an_error_at_worst(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
        swallow(&bytes);
    }

    #[test]
    fn any_text_is_an_error_at_worst(text in "(\\PC|[\"{}\\[\\]:,\n ]|mpm\\.[a-z]+/1|18446744073709551615){0,200}") {
        swallow(text.as_bytes());
    }

    #[test]
    fn changed_golden_bytes_are_an_error_or_another_document(
        which in any::<prop::sample::Index>(),
        changes in any_changes(),
    ) {
        let files: Vec<PathBuf> = golden(".").into_iter().collect();
        let mut bytes = std::fs::read(which.get(&files)).expect("reads");
        for (at, how, with) in changes {
            mutate(&mut bytes, at, how, &with);
        }
        swallow(&bytes);
    }

    #[test]
    fn a_changed_signature_file_is_refused_or_does_not_hold(at in any::<usize>(), bit in 0_u8..8) {
        let path = project().join("tests/golden/trust/checkpoint.json");
        let message = std::fs::read(&path).expect("reads");
        let root = TrustRoot::parse(&std::fs::read(project().join("tests/golden/trust/root.next.json")).expect("reads"));
        let signature = signatures(&path).swap_remove(0);
        let mut bytes = signature.as_str().as_bytes().to_vec();
        let first_line = signature.as_str().find('\n').expect("lines");
        // The first line is the untrusted comment, which nobody signs.
        let at = first_line + 1 + at % (bytes.len() - first_line - 1);
        bytes[at] ^= 1 << bit;
        if let Ok(changed) = Signature::parse(&bytes) {
            prop_assert!(root.expect("parses").check(Role::Index, &message, &[changed]).is_err());
        }
    }

    #[test]
    fn statements_are_read_as_they_were_written(statement in statements()) {
        let bytes = statement.render();
        let read = Statement::parse(&bytes).expect("parses");
        prop_assert_eq!(read.render(), bytes);
        let lists = match &read.files {
            Files::Inline(_) => Vec::new(),
            Files::Lists(_) => return Ok(()),
        };
        prop_assert_eq!(ReleaseFiles::assemble(&read, lists).expect("fits").entries().len(), match &statement.files {
            Files::Inline(entries) => entries.len(),
            Files::Lists(_) => 0,
        });
        prop_assert_eq!(read, statement);
    }

    #[test]
    fn lists_are_read_as_they_were_written(entries in files()) {
        let bytes = render_list(&entries);
        prop_assert_eq!(parse_list(&bytes, &ListPin::of(&entries)).expect("parses"), entries);
    }

    #[test]
    fn a_tree_is_a_function_of_its_set(
        names in prop::collection::btree_set("[a-z]{1,3}/[a-z0-9]{1,4}", 0..400),
        seed in any::<u64>(),
    ) {
        let mut entries: Vec<PackageLeaf> = names.iter().map(|name| PackageLeaf {
            name: PackageName::parse(name).expect("a name"),
            log: Pin::of(name.as_bytes()),
            advisories: None,
        }).collect();
        let tree = build_packages(&entries).expect("builds");
        entries.sort_by_key(|entry| Sha256::of(format!("{seed}{}", entry.name).as_bytes()));
        prop_assert_eq!(&build_packages(&entries).expect("builds"), &tree);
        let mut met = BTreeSet::new();
        walk(&tree.nodes, tree.root, "", &mut met);
        prop_assert_eq!(met, names);
    }
}

/// Reads a tree from its root, and finds every node needed and no other.
fn walk(nodes: &BTreeMap<Sha256, Vec<u8>>, at: Sha256, prefix: &str, met: &mut BTreeSet<String>) {
    match Node::parse_packages(&nodes[&at], prefix).expect("parses") {
        Node::Leaf(entries) => met.extend(entries.iter().map(|entry| entry.name.to_string())),
        Node::Inner(children) => {
            let before = met.len();
            for (digit, child) in children {
                walk(nodes, child, &format!("{prefix}{digit:x}"), met);
            }
            assert!(met.len() - before > 64, "a node where a leaf would do");
        }
    }
}

fn files() -> impl Strategy<Value = Vec<FileEntry>> {
    let names = prop::collection::btree_map(
        ("[a-z]{1,3}(/[a-z]{1,3}){0,2}\\.bin", prop_oneof![Just(None), Just(Some("f32")), Just(Some("int8"))]),
        (0_u64..1 << 40, any::<[u8; 32]>(), 0_usize..5),
        0..20,
    );
    names.prop_map(|entries| {
        let classes = [FileClass::Weights, FileClass::Data, FileClass::Code, FileClass::Config, FileClass::Doc];
        let mut entries: Vec<FileEntry> = entries
            .into_iter()
            // A folder of its own for each variant, so that no set of generated paths clashes.
            .map(|((path, variant), (size, sha256, class))| FileEntry {
                path: RelPath::parse(&format!("{}/{path}", variant.unwrap_or("all")))
                    .unwrap_or_else(|_| RelPath::parse(&format!("x/{}.bin", path.len())).expect("a path")),
                pin: Pin { sha256: Sha256::from_bytes(sha256), size },
                class: classes[class],
                variant: variant.map(|variant| VariantName::parse(variant).expect("a name")),
                pack: None,
                chunks: (size % 3 == 0).then(|| Pin { sha256: Sha256::from_bytes(sha256), size: size % 1_000 }),
            })
            .collect();
        entries.sort_by(|left, right| (&left.path, &left.variant).cmp(&(&right.path, &right.variant)));
        entries.dedup_by(|left, right| left.path == right.path);
        entries
    })
}

fn statements() -> impl Strategy<Value = Statement> {
    let text = prop::option::of("[^\\pC\\pZ]{1,40}".prop_map(|text| {
        // The fixed form is NFC; text that is not would come back changed.
        let rendered = String::from_utf8(canonical::render(&text)).expect("text");
        serde_json::from_str::<String>(&rendered).expect("text")
    }));
    let dependencies = prop::collection::btree_set("dep/[a-z]{1,8}", 0..6);
    let version = (any::<u32>(), any::<u32>(), any::<u32>());
    (files(), text.clone(), text, dependencies, version, any::<bool>(), any::<[u8; 32]>()).prop_map(
        |(files, description, licence, dependencies, version, adapter, digest)| {
            let name = |text: &str| PackageName::parse(text).expect("a name");
            let registry = || RegistryId::parse("acme").expect("an id");
            let provenance = || Provenance {
                registry: registry(),
                name: name("acme/base"),
                version: Version::new(1, 0, 0),
                statement: Sha256::from_bytes(digest),
            };
            let variant = Variant { format: Some("gguf".to_owned()), ..Variant::default() };
            let variants = ["f32", "int8"].map(|text| (VariantName::parse(text).expect("a name"), variant.clone()));
            Statement {
                registry: registry(),
                name: name("acme/minilm"),
                version: Version::new(version.0.into(), version.1.into(), version.2.into()),
                kind: if adapter { PackageKind::Model } else { PackageKind::Dataset },
                description,
                licence: licence.map(|expression| Licence { expression, text: Some(Sha256::from_bytes(digest)) }),
                default_variant: adapter.then(|| VariantName::parse("f32").expect("a name")),
                variants: BTreeMap::from(variants),
                files: Files::Inline(files),
                dependencies: dependencies
                    .iter()
                    .map(|dependency| Dependency {
                        kind: if adapter { DependencyKind::BaseModel } else { DependencyKind::Requires },
                        name: name(dependency),
                        registry: adapter.then(|| RegistryId::parse("other").expect("an id")),
                        requirement: Requirement::parse("^1.2").expect("a requirement"),
                    })
                    .collect(),
                base_model: adapter.then(provenance),
                trained_on: if adapter { Vec::new() } else { vec![provenance()] },
                packs: Vec::new(),
                upstream: adapter.then(|| Upstream {
                    repository: HubRepository::parse("Org/Name_1").expect("a repository"),
                    commit: HubCommit::parse(&"0a".repeat(20)).expect("a commit"),
                }),
            }
        },
    )
}
