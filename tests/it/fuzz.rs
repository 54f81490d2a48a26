//! The bodies of the fuzz targets (tests/fuzz), on every toolchain: over their corpus, and over what a loop makes of it.

#[path = "../fuzz/targets.rs"]
mod targets;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use modelpm::lock::{LockedSource, SourceFile};
use modelpm::model::{Pin, RelPath};

use crate::formats::mutate;
use crate::support::blob;
use targets::TARGETS;

/// Longest that one input may take.
const LONGEST: Duration = Duration::from_secs(5);

type Seeds = BTreeMap<String, Vec<u8>>;

fn folder(below: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(below)
}

fn files(folder: &Path) -> Seeds {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let file = |entry: std::fs::DirEntry| {
        let name = entry.file_name().into_string().expect("text");
        entry.path().is_file().then(|| (name, std::fs::read(entry.path()).expect("reads")))
    };
    entries.filter_map(file).collect()
}

/// Golden files of a folder, good and bad, whose names begin so.
fn golden(below: &str, starts: &[&str]) -> Seeds {
    let mut found = Seeds::new();
    for inner in ["", "good", "bad"] {
        for (name, bytes) in files(&folder("golden").join(below).join(inner)) {
            if starts.iter().any(|start| name.starts_with(start)) && bytes.len() < 8_192 {
                found.insert(format!("{inner}-{name}").trim_start_matches('-').to_owned(), bytes);
            }
        }
    }
    found
}

fn only(seeds: Seeds, wanted: impl Fn(&str) -> bool) -> Seeds {
    seeds.into_iter().filter(|(name, _)| wanted(name)).collect()
}

fn texts(all: &[(&str, &str)]) -> Seeds {
    all.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect()
}

/// Tables of bundles.
fn tables() -> Seeds {
    let page = std::fs::read_to_string(folder("../docs/formats/bundle.md")).expect("a page");
    let (_, rest) = page.split_once("<!-- example: table -->\n```text\n").expect("an example");
    let (text, _) = rest.split_once("```\n").expect("it ends");
    let digest = "0263829989b6fd954f72baaf2fc64bc2e2f01d692d4de72986ea808f6e99813f";
    let more = text.replace("variant", &format!("since 1.40 {digest}\npartial\nvariant"));
    texts(&[("example", text), ("more", &more), ("escape", &text.replace("trust/root", "trust/../root"))])
}

/// What a target's corpus is made from.
fn seeds(target: &str) -> Seeds {
    let signed = |name: &str| name.ends_with(".minisig");
    match target {
        "manifest" => golden("manifest", &[""]),
        "lock" => golden("lock", &[""]),
        "root" | "registrar" | "namespace" | "checkpoint" | "yank" => {
            only(golden("trust", &[&format!("{target}.")]), |name| !signed(name))
        }
        "import" => golden("trust", &["import."]),
        "bundle_table" => tables(),
        "signature" => only(golden("trust", &["checkpoint", "yank"]), signed)
            .into_iter()
            .chain(only(golden("minisign", &[""]), signed))
            .collect(),
        "keys" => only(golden("minisign", &["stock"]), |_| true),
        "packages_node" => golden("index", &["packages"]),
        "namespaces_node" => golden("index", &["namespaces"]),
        "log" => golden("index", &["log"]),
        "statement" => only(golden("statement", &["statement"]), |name| !signed(name)),
        "file_list" => golden("statement", &["list"]),
        "chunk_index" => golden("chunk", &["blob", "cut.", "E0"]),
        other => made(other),
    }
}

/// Seeds of the targets that have no golden files.
fn made(target: &str) -> Seeds {
    let commit = "0123456789abcdef0123456789abcdef01234567";
    match target {
        "file_table" => {
            let file = |path: &str| SourceFile { path: RelPath::parse(path).unwrap(), pin: Pin::of(path.as_bytes()) };
            [("two", LockedSource::table_bytes(&[file("a.json"), file("b/c.bin")]))]
                .map(|(name, bytes)| (name.to_owned(), bytes))
                .into()
        }
        "config" => texts(&[(
            "all",
            "jobs = 4\nregistries = \"listed\"\n[store]\ndir = \"/a\"\n[tokens]\n\"a.example\" = \"x\"\n[mirrors]\n\"sha256:00\" = [\"https://b.example/\"]\n[trusted]\n",
        )]),
        "hub_commit" => {
            texts(&[("commit", &format!("{{\"sha\":\"{commit}\",\"id\":\"acme/minilm\",\"siblings\":[]}}"))])
        }
        "hub_tree" => texts(&[
            (
                "files",
                &format!(
                    "[{{\"type\":\"directory\",\"path\":\"sub\",\"oid\":\"x\",\"size\":0}},{{\"type\":\"file\",\"path\":\"a.json\",\"oid\":\"{commit}\",\"size\":3}},{{\"type\":\"file\",\"path\":\"w.safetensors\",\"oid\":\"{commit}\",\"size\":9,\"lfs\":{{\"oid\":\"{}\",\"size\":9,\"pointerSize\":1}}}}]",
                    "ab".repeat(32)
                ),
            ),
            ("link", "<https://hub.example/api/models/a/tree/main?cursor=eyJ&limit=1000>; rel=\"next\""),
        ]),
        "content" => [
            ("safetensors", blob::safetensors(1, 20)),
            ("pickle", blob::pickle()),
            ("torch", blob::torch_zip()),
            ("gguf", blob::gguf()),
            ("npz", blob::zip("a.npy", b"\x93NUMPY\x01\0v\0{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }")),
            ("npy", b"\x93NUMPY\x01\0v\0{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }".to_vec()),
            ("json", b"{\"auto_map\": {\"AutoModel\": \"modeling.Net\"}, \"a\": [1, 2.5, null]}".to_vec()),
            ("onnx", b"\x08\x07\x12\x05torch:\x10\x12\x04main\"\x08\x08\x01\x12\x04data".to_vec()),
            ("text", b"#!/bin/sh\necho hello\n".to_vec()),
        ]
        .map(|(name, bytes)| (name.to_owned(), bytes))
        .into(),
        "content_range" => {
            texts(&[("part", "bytes 7-9/10"), ("unknown", "bytes 0-18446744073709551615/*"), ("none", "bytes */10")])
        }
        "netrc" => texts(&[
            ("machine", "machine models.example login me password secret\n"),
            (
                "all",
                "# words\nmacdef init\ncd /\n\nmachine a.example\n  login b\n  password c\ndefault login d password e\n",
            ),
        ]),
        "words" => texts(&[
            ("package", "acme/mini-lm_v1.5"),
            ("id", "acme:acme/minilm@1.2.0"),
            ("path", "a/b-c/model.safetensors"),
            ("away", "../x"),
            ("url", "https://models.example/a/b?c=d"),
            ("hub", "hf:datasets/org/Name_x@refs/pr/1"),
            ("requirement", ">=1.2, <3, =2.0.0-rc.1"),
            ("glob", "**/*.{json,bin}"),
            ("digest", "sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"),
        ]),
        other => panic!("no seeds for {other}"),
    }
}

/// Runs a body; a panic or a long time is told with the input.
fn swallow(name: &str, body: fn(&[u8]), bytes: &[u8]) {
    let begun = Instant::now();
    let ended = catch_unwind(AssertUnwindSafe(|| body(bytes)));
    let told = || format!("{name}: {:?}", String::from_utf8_lossy(bytes));
    assert!(ended.is_ok(), "{}", told());
    assert!(begun.elapsed() < LONGEST, "{:?} for {}", begun.elapsed(), told());
}

#[test]
fn each_target_has_its_program_and_its_corpus() {
    let manifest = std::fs::read_to_string(folder("fuzz/Cargo.toml")).unwrap();
    let bins: BTreeSet<&str> =
        manifest.split("[[bin]]\nname = \"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    let names: BTreeSet<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    assert_eq!(bins, names);
    let programs: BTreeSet<String> = files(&folder("fuzz/fuzz_targets")).into_keys().collect();
    assert_eq!(programs, names.iter().map(|name| format!("{name}.rs")).collect());
    for (name, bytes) in files(&folder("fuzz/fuzz_targets")) {
        let body = format!("targets::{}(bytes)", name.trim_end_matches(".rs"));
        assert!(String::from_utf8(bytes).unwrap().contains(&body), "{name}");
    }
}

#[test]
fn the_corpus_is_what_it_is_made_from() {
    let write = std::env::var_os("MPM_WRITE_CORPUS").is_some();
    for (name, _) in TARGETS {
        let place = folder("fuzz/corpus").join(name);
        let wanted = seeds(name);
        assert!(!wanted.is_empty(), "{name} has no seeds");
        if write {
            let _ = std::fs::remove_dir_all(&place);
            std::fs::create_dir_all(&place).unwrap();
            wanted.iter().for_each(|(file, bytes)| std::fs::write(place.join(file), bytes).unwrap());
        }
        let found = files(&place);
        assert_eq!(
            found.keys().collect::<Vec<_>>(),
            wanted.keys().collect::<Vec<_>>(),
            "{name}: run with MPM_WRITE_CORPUS=1"
        );
        assert!(found == wanted, "{name}: run with MPM_WRITE_CORPUS=1");
    }
}

#[test]
fn every_target_swallows_its_corpus() {
    for (name, body) in TARGETS {
        for (file, bytes) in files(&folder("fuzz/corpus").join(name)) {
            swallow(&format!("{name}/{file}"), *body, &bytes);
        }
        for bytes in [&b""[..], b"\0", b"\xff\xfe", b"[", b"{\"", &[b'['; 20_000], &[b'{'; 20_000], &[b'"'; 20_000]] {
            swallow(name, *body, bytes);
        }
    }
}

/// A simple generator: its seed is all that a failure needs to be had again.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit.max(1) as u64).expect("small")
    }
}

#[test]
fn what_a_loop_makes_of_the_corpus_is_swallowed() {
    // With `--full`, as many as a quarter of a minute brings for each target; else some thousand.
    let full = std::env::var_os("MPM_FULL").is_some();
    let odd: [&[u8]; 8] = [
        b"18446744073709551615",
        b"-1",
        b"1e400",
        b"\"",
        b"null",
        b"\\u0000",
        "\u{202e}".as_bytes(),
        b"\xff\xff\xff\xff\xff\xff\xff\x7f",
    ];
    let mut total = 0_u64;
    for (name, body) in TARGETS {
        let corpus: Vec<Vec<u8>> = files(&folder("fuzz/corpus").join(name)).into_values().collect();
        let mut dice = Dice(0x9e37_79b9_7f4a_7c15 ^ name.len() as u64);
        let (begun, mut rounds) = (Instant::now(), 0_u64);
        while if full { begun.elapsed() < Duration::from_secs(15) } else { rounds < 3_000 } {
            let mut bytes = corpus[dice.below(corpus.len())].clone();
            for _ in 0..=dice.below(4) {
                let (at, how) = (dice.below(usize::MAX), u8::try_from(dice.below(256)).expect("a byte"));
                // What is put in is odd, or comes from another file.
                let other = &corpus[dice.below(corpus.len())];
                let from = dice.below(other.len());
                let until = (from + dice.below(40)).min(other.len());
                let with = if dice.below(2) == 0 { odd[dice.below(odd.len())] } else { &other[from..until] };
                mutate(&mut bytes, at, how, with);
                bytes.truncate(64 * 1024);
            }
            swallow(name, *body, &bytes);
            rounds += 1;
        }
        total += rounds;
    }
    println!("{total} inputs over {} targets", TARGETS.len());
}
