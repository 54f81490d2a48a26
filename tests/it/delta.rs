//! Chunk indexes and what they are for: written by `publish`, fetched first, and a new version that costs what changed.

use std::path::{Path, PathBuf};
use std::process::Command;

use modelpm::chunk::{CutRule, INDEXED_FROM, Indexer};
use modelpm::formats::{Source, tensor_borders};
use modelpm::manifest::Manifest;
use modelpm::model::{Pin, RelPath, Sha256};
use modelpm::progress::Silent;
use modelpm::publish::{self, Facts};
use modelpm::statement::{FileEntry, Files, Statement};
use modelpm::sys::{Cancel, blob_path};
use serde_json::Value;

use crate::flows::fixture::{ok, project_at};
use crate::support::blob;
use crate::support::peers;
use crate::support::project::Project;
use crate::support::registry::TestRegistry;
use crate::support::server::{Fault, Server};

const PATH: &str = "model.safetensors";
const WANTS: &str = "[models]\n\"acme/big\" = \"1\"\n";

/// Twelve MiB in one tensor.
fn first() -> Vec<u8> {
    blob::safetensors(5, 3 << 20)
}

/// The same with a word changed in eight places, and 100,000 bytes put in, as much taken out at the end.
fn second() -> Vec<u8> {
    let mut bytes = first();
    let length = bytes.len();
    for place in 1..9 {
        let at = place * length / 10;
        bytes[at..at + 4].copy_from_slice(b"new!");
    }
    let put = blob::random(77, 100_000);
    bytes.splice(5_000_000..5_000_000, put);
    bytes.truncate(length);
    bytes
}

fn index_of(bytes: &[u8]) -> Vec<u8> {
    let size = bytes.len() as u64;
    let rule = CutRule::of(&RelPath::parse(PATH).expect("a path"), size).expect("not too large");
    let borders = tensor_borders(Source::new(&bytes, size)).expect("memory reads");
    let mut indexer = Indexer::new(rule, size, &borders);
    indexer.push(bytes);
    indexer.finish(Pin::of(bytes)).expect("fits").render()
}

fn blob_of(bytes: &[u8]) -> String {
    blob_path(&Sha256::of(bytes))
}

/// A registry with version 1.0.0, its server, and a project that holds it.
struct Site {
    registry: TestRegistry,
    server: Server,
    project: Project,
}

impl Site {
    fn new() -> Self {
        let mut registry = TestRegistry::of_late("acme", 3_600);
        registry.namespace("acme");
        let index = index_of(&first());
        registry.put_blob(&index);
        registry.release("acme/big", "1.0.0").file(PATH, first()).chunks(PATH, &index).publish();
        let server = Server::start(registry.folder());
        let project = project_at(&registry, &format!("sparse+{}", server.url()), WANTS);
        ok(&project, &["sync"]);
        Self { registry, server, project }
    }

    /// Publishes 1.1.0 whose statement names this index; it is in the base.
    fn publish(&mut self, index: &[u8]) {
        self.registry.put_blob(index);
        self.registry.release("acme/big", "1.1.0").file(PATH, second()).chunks(PATH, index).publish();
    }

    /// Where the project's store keeps a blob.
    fn stored(&self, bytes: &[u8]) -> PathBuf {
        self.project.store().join("v1").join(blob_of(bytes))
    }

    /// Bytes that were sent of a blob since the last question, and of everything else below `blobs`.
    fn sent(&self, bytes: &[u8]) -> (u64, u64) {
        let path = blob_of(bytes);
        let (mut of, mut others) = (0, 0);
        for request in self.server.requests().iter().filter(|request| request.path.starts_with("blobs/")) {
            *(if request.path == path { &mut of } else { &mut others }) += request.sent;
        }
        (of, others)
    }

    #[track_caller]
    fn holds_second(&self) {
        assert!(self.project.read(&format!("models/acme/big/{PATH}")) == Some(second()), "other bytes were placed");
    }
}

fn travel(project: &Project, arguments: &[&str]) -> (u64, u64) {
    let ran = ok(project, &[arguments, &["--json"]].concat());
    let document: Value = serde_json::from_str(&ran.stdout).expect("a document");
    // `add` tells of the sync that it does.
    let travel = document.get("sync").unwrap_or(&document)["travel"].clone();
    let number = |field: &str| travel[field].as_u64().unwrap_or_else(|| panic!("no {field}: {}", ran.stdout));
    (number("bytes"), number("seeded-bytes"))
}

/// Removes a file that is read-only in a folder that is not.
fn purge(path: &Path) {
    std::fs::remove_file(path).expect("removed");
}

#[test]
fn an_update_costs_what_changed_and_says_so_before() {
    let mut site = Site::new();
    let index = index_of(&second());
    site.publish(&index);
    site.sent(&second());
    let size = second().len() as u64;

    let (told, lent) = travel(&site.project, &["update", "--dry-run"]);
    assert_eq!(told + lent, size);
    assert!(told < size / 3 && told > 100_000, "{told}");
    assert_eq!(site.sent(&second()), (0, index.len() as u64), "the index alone was fetched to know it");
    ok(&site.project, &["update"]);
    assert_eq!(travel(&site.project, &["sync", "--dry-run"]), (told, lent));
    ok(&site.project, &["sync", "--dry-run"]).says(&["Would fetch 1 blob", "out of earlier versions"]);
    assert_eq!(site.sent(&second()), (0, 0), "the store has kept the index");

    ok(&site.project, &["sync"]).says(&["Took", "out of earlier versions: not downloaded"]);
    site.holds_second();
    assert_eq!(site.sent(&second()), (told, 0));
    ok(&site.project, &["verify"]);
}

#[test]
fn what_seeds_is_what_the_store_still_has() {
    for how in ["index purged", "blob purged", "blob changed", "statement purged"] {
        let mut site = Site::new();
        site.publish(&index_of(&second()));
        ok(&site.project, &["update"]);
        let old = site.stored(&first());
        match how {
            "index purged" => purge(&site.stored(&index_of(&first()))),
            "blob purged" => purge(&old),
            "blob changed" => {
                let mut bytes = first();
                // Where the two versions agree; of the same length, so that nothing but its bytes tells.
                bytes[200_000..9_000_000].fill(7);
                purge(&old);
                std::fs::write(&old, bytes).expect("written");
            }
            _ => purge(&site.stored(&std::fs::read(statement_file(&site.registry, "1.0.0")).expect("reads"))),
        }
        site.sent(&second());
        let ran = ok(&site.project, &["sync", "--force"]);
        site.holds_second();
        let (sent, _) = site.sent(&second());
        let size = second().len() as u64;
        match how {
            "index purged" => assert!(sent < size / 3, "cut here, as it was cut there: {sent}"),
            "blob changed" => assert!(sent > 8_000_000 && sent <= size, "{sent}"),
            _ => assert_eq!(sent, size, "{how}\n{}", ran.stderr),
        }
        let verified = site.project.mpm(&["verify"]);
        assert_eq!(verified.code, if how == "blob changed" { 4 } else { 0 }, "{how}\n{}", verified.stderr);
    }
}

#[test]
fn a_file_that_was_renamed_lends_too_and_lists_are_read() {
    let mut registry = TestRegistry::of_late("acme", 3_600);
    registry.namespace("acme");
    // Published with a tool that makes no index.
    registry.release("acme/big", "1.0.0").file("README.md", "#\n").file(PATH, first()).in_lists(1).publish();
    let server = Server::start(registry.folder());
    let project = project_at(&registry, &format!("sparse+{}", server.url()), WANTS);
    ok(&project, &["sync"]);
    let index = index_of(&second());
    registry.put_blob(&index);
    let renamed = "weights/all.safetensors";
    let next = registry.release("acme/big", "1.1.0").file("README.md", "#\n").file(renamed, second());
    next.chunks(renamed, &index).in_lists(1).publish();
    let (told, lent) = travel(&project, &["add", "acme/big@1.1", "--dry-run"]);
    assert!(lent > 9_000_000 && told < 4_000_000, "{told} {lent}");
    ok(&project, &["update"]);
    server.requests();
    ok(&project, &["sync"]);
    assert!(project.read(&format!("models/acme/big/{renamed}")) == Some(second()));
    let path = blob_of(&second());
    let sent: u64 = server.requests().iter().filter(|request| request.path == path).map(|request| request.sent).sum();
    assert_eq!(sent + lent, second().len() as u64);
}

fn statement_file(registry: &TestRegistry, version: &str) -> PathBuf {
    let digest = registry.statement_sha256("acme/big", version);
    registry.folder().join(format!("releases/{digest}.json"))
}

#[test]
fn a_bad_index_is_a_warning_and_never_an_end() {
    let good = index_of(&second());
    let with = |at: usize, bytes: &[u8]| {
        let mut index = good.clone();
        index[at..at + bytes.len()].copy_from_slice(bytes);
        index
    };
    for (what, index, says) in [
        ("another hash in the middle", with(56 + 36 * 20 + 10, &[1, 2, 3]), "disagrees with the file"),
        ("cut", good[..good.len() - 20].to_vec(), "is not used"),
        ("a chunk of 8 MiB and a byte", with(56, &((8_u32 << 20) + 1).to_le_bytes()), "is not used"),
        ("of the old version", index_of(&first()), "is not used"),
        ("nothing", Vec::new(), "is not used"),
        ("more than it could save", vec![0; 12_582_992 / 100 + 1], "is not used"),
        ("not there", b"absent".to_vec(), "can't be had"),
    ] {
        let mut site = Site::new();
        site.publish(&index);
        if what == "not there" {
            std::fs::remove_file(site.registry.blob(&Sha256::of(&index))).expect("removed");
        }
        ok(&site.project, &["update"]);
        let ran = ok(&site.project, &["sync"]);
        site.holds_second();
        assert!(ran.stderr.contains(says) && ran.stderr.contains("acme/big"), "{what}:\n{}", ran.stderr);
        if says == "disagrees with the file" {
            let publisher = site.registry.publisher("acme").public().fingerprint().short();
            ran.says(&[&publisher]);
        }
        ok(&site.project, &["verify"]);
        ok(&site.project, &["sync"]).says(&["Nothing to do"]);
    }
}

#[test]
fn a_lying_index_over_wrong_bytes_is_exit_4() {
    let mut site = Site::new();
    let mut index = index_of(&second());
    let hash = 56 + 36 * 20 + 10;
    index[hash] ^= 1;
    site.publish(&index);
    site.server.fault(&blob_of(&second()), usize::MAX, Fault::Flip(12_000_000));
    ok(&site.project, &["update"]);
    site.project.mpm(&["sync"]).expect(4).says(&["wrong bytes"]);
    assert!(site.project.read(&format!("models/acme/big/{PATH}")) == Some(first()), "nothing was changed");
}

#[test]
fn an_index_of_other_bytes_that_the_base_gives_is_exit_4_and_a_good_base_mends_it() {
    let mut site = Site::new();
    let mut other = second();
    other[7_000_000..7_000_100].fill(0);
    // Chunks of the other bytes below the header of the right ones.
    let mut index = index_of(&second());
    let lies = index_of(&other);
    assert_eq!(index.len(), lies.len(), "the change moved no cut");
    index[56..].copy_from_slice(&lies[56..]);
    site.publish(&index);
    let honest = tempfile::tempdir().expect("a folder");
    site.registry.copy_to(honest.path());
    std::fs::write(site.registry.blob(&Sha256::of(&second())), &other).expect("written");
    ok(&site.project, &["update"]);
    let publisher = site.registry.publisher("acme").public().fingerprint().short();
    site.project.mpm(&["sync"]).expect(4).says(&["E0729", "acme/big", &publisher]);
    assert!(site.project.read(&format!("models/acme/big/{PATH}")) == Some(first()), "nothing was changed");

    let mirror = Server::start(honest.path());
    let root = site.registry.root_sha256().prefixed();
    site.project = site.project.config(&format!("[mirrors]\n\"{root}\" = [\"{}\"]\n", mirror.url()));
    ok(&site.project, &["sync"]).says(&["acme/big", "chunk index"]);
    site.holds_second();
}

#[test]
fn an_index_is_kept_and_never_needed() {
    let site = Site::new();
    let index = site.stored(&index_of(&first()));
    assert!(index.is_file());
    ok(&site.project, &["store", "gc"]);
    assert!(index.is_file(), "a project that has the blob keeps its index");
    purge(&index);
    drop(site.server.requests());
    ok(&site.project, &["sync"]).says(&["Nothing to do"]);
    ok(&site.project, &["sync", "--check"]).says(&["Nothing to do"]);
    ok(&site.project, &["verify"]);
    std::fs::remove_file(site.project.folder().join(format!("models/acme/big/{PATH}"))).expect("removed");
    ok(&site.project, &["sync"]);
    assert!(site.server.requests().is_empty(), "the blob is there: nobody asks for its index");
}

#[test]
fn publishing_writes_an_index_of_what_is_large() {
    let mut registry = TestRegistry::of_late("acme", 3_600);
    registry.namespace("acme");
    let project = tempfile::tempdir().expect("a folder");
    let out = project.path().join("out");
    std::fs::create_dir_all(out.join("copy")).expect("a folder");
    let files = [
        ("model.safetensors", first()),
        ("copy/model.safetensors", first()),
        ("rows.jsonl", blob::random(9, usize::try_from(INDEXED_FROM).expect("fits"))),
        ("small.bin", blob::random(9, usize::try_from(INDEXED_FROM).expect("fits") - 1)),
    ];
    for (path, bytes) in &files {
        std::fs::write(out.join(path), bytes).expect("written");
    }
    let text = "[package]\nname = \"acme/big\"\nversion = \"1.0.0\"\nkind = \"model\"\ndir = \"out\"\n";
    let manifest = Manifest::parse(text).expect("parses");
    let source = publish::Source {
        project: project.path(),
        package: manifest.package.as_ref().expect("a package"),
        facts: &Facts::default(),
    };
    let signer = registry.publisher("acme").clone();
    publish::publish(&registry.handle(), &source, &signer, &Cancel::new(), &Silent).expect("published");
    registry.checkpoint(60);
    let bytes = std::fs::read(statement_file(&registry, "1.0.0")).expect("reads");
    let Files::Inline(entries) = Statement::parse(&bytes).expect("parses").files else { panic!("inline") };
    let of =
        |path: &str| -> FileEntry { entries.iter().find(|entry| entry.path.as_str() == path).expect("there").clone() };
    let index = index_of(&first());
    for path in ["model.safetensors", "copy/model.safetensors"] {
        assert_eq!((of(path).pin, of(path).chunks), (Pin::of(&first()), Some(Pin::of(&index))));
    }
    assert_eq!(std::fs::read(registry.blob(&Sha256::of(&index))).expect("in the base"), index);
    let rows = of("rows.jsonl");
    let stored = std::fs::read(registry.blob(&rows.chunks.expect("an index").sha256)).expect("in the base");
    let list = modelpm::chunk::ChunkList::parse(&stored, &rows.pin).expect("parses");
    assert!((80..300).contains(&list.len()), "{} chunks of about 64 KiB", list.len());
    assert_eq!(of("small.bin").chunks, None);
    assert!(files.iter().all(|(path, bytes)| of(path).pin == Pin::of(bytes)));
}

#[test]
fn the_rule_is_enough_to_cut_alike() {
    let Some(python) = peers::python() else { return };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let golden = root.join("tests/golden/chunk/cuts.json");
    let ran = Command::new(python).arg(root.join("tests/support/python/cut.py")).arg(&golden).output().expect("runs");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    assert_eq!(ran.stdout, std::fs::read(golden).expect("reads"));
}
