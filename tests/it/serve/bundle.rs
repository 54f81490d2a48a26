//! A bundle that is served as it lies there: one file, volumes, a folder; whole, rotten, cut short, and from a stranger.

use std::collections::BTreeSet;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use modelpm::bundle::Bundle;
use modelpm::model::{Pin, Sha256};

use super::{Answer, Serving, blob_path};
use crate::flows::fixture::{folder, manifest, ok, placed, project, project_at, registry};
use crate::support::hub::Hub;
use crate::support::project::Project;
use crate::support::registry::TestRegistry;
use crate::support::{blob, peers};

const REST: &str = "[models]\n\"acme/minilm\" = \"1\"\n\n[datasets]\n\"uci/digits\" = \"1\"\n";

/// A machine with a bundle of all that a registry holds, made with more arguments.
fn bundle(registry: &TestRegistry, more: &[&str]) -> (Project, PathBuf) {
    let machine = Project::new().manifest(&manifest(registry, &folder(registry), ""));
    let to = machine.home().join("site.mpmb");
    ok(&machine, &[&["bundle", "create", "-o", &to.display().to_string(), "--all"], more].concat());
    (machine, to)
}

/// Where a blob begins in a bundle of one file.
fn begin(bundle: &Path, bytes: &[u8]) -> u64 {
    let open = Bundle::open(&[bundle.to_owned()]).unwrap();
    open.data_begin() + open.table().blobs[&Sha256::of(bytes)].offset
}

/// Flips a bit of a file.
fn flip(file: &Path, at: u64) {
    let open = std::fs::OpenOptions::new().read(true).write(true).open(file).unwrap();
    let mut byte = [0];
    open.read_exact_at(&mut byte, at).unwrap();
    open.write_all_at(&[byte[0] ^ 1], at).unwrap();
}

/// A machine inside, which knows nothing of the registry.
fn serve(bundle: &Path, root: &str, more: &[&str]) -> (Project, Serving) {
    let machine = Project::new();
    let text = bundle.display().to_string();
    let serving = Serving::start(&machine, &[&[&*text, "--root", root, "--scrub", "0"], more].concat());
    (machine, serving)
}

fn is_right(serving: &Serving, bytes: &[u8]) {
    let path = blob_path(bytes);
    let whole = serving.get(&path, &[]);
    assert_eq!((whole.status, whole.body == bytes), (200, true), "{}", serving.said());
    let part = serving.get(&path, &["range: bytes=7-5000"]);
    assert_eq!((part.status, &part.body[..]), (206, &bytes[7..=5000]));
}

#[test]
fn a_bundle_is_served_as_the_registry_that_it_is() {
    let registry = registry();
    let root = registry.root_sha256().hex();
    let expected = project(&registry, REST);
    ok(&expected, &["sync"]);
    let bytes = blob::safetensors(2, 3_000);
    for shape in [&[][..], &["--volume-size", "70000"], &["--folder"]] {
        let (_maker, made) = bundle(&registry, shape);
        let made = if shape.contains(&"--volume-size") { made.with_file_name("site.002.mpmb") } else { made };
        for verify in ["record", "chunks"] {
            let (_machine, mut serving) = serve(&made, &root, &["--verify", verify]);
            let client = project_at(&registry, &serving.sparse(), REST);
            ok(&client, &["sync"]);
            assert_eq!(placed(&client), placed(&expected), "{shape:?}");
            assert_eq!(client.text("Model.lock"), expected.text("Model.lock"));
            is_right(&serving, &bytes);
            if let Some(curl) = peers::peer("curl") {
                let url = format!("{}{}", serving.url(), blob_path(&bytes));
                let ran = Command::new(curl).args(["-sSf", "-r", "100-9000", &url]).output().unwrap();
                assert!(ran.stdout == bytes[100..=9_000], "{shape:?}");
            }
            let hub = serving.get("/acme/minilm/resolve/1.1.0/model.safetensors", &["range: bytes=5-9"]);
            assert_eq!((hub.status, &hub.body[..]), (206, &bytes[5..10]), "{shape:?}");
            let head = serving.ask("HEAD", "/acme/minilm/resolve/main/config.json", &[]);
            assert_eq!(head.status, 200);
            assert_eq!(serving.stop(), Some(0));
        }
    }
}

#[test]
fn a_blob_that_goes_on_in_the_next_volume_is_sent_whole() {
    let mut registry = registry();
    let bytes = blob::safetensors(77, 60_000);
    registry.release("acme/large", "1.0.0").file("model.safetensors", &bytes).publish();
    let (_maker, made) = bundle(&registry, &["--volume-size", "65536"]);
    let first = made.with_file_name("site.001.mpmb");
    let open = Bundle::open(std::slice::from_ref(&first)).unwrap();
    let lies = open.extents(&Sha256::of(&bytes)).unwrap().unwrap();
    assert!(lies.pieces().len() > 3 && lies.length() == bytes.len() as u64, "{lies:?}");
    let (_machine, serving) = serve(&first, &registry.root_sha256().hex(), &[]);
    is_right(&serving, &bytes);
    assert_eq!(serving.get(&blob_path(&bytes), &["range: bytes=60000-200000"]).body, bytes[60_000..=200_000]);
    // A bit in a later volume than its first.
    let piece = &lies.pieces()[1];
    let number = (1..99).find(|number| {
        use std::os::unix::fs::MetadataExt as _;
        let path = made.with_file_name(format!("site.{number:03}.mpmb"));
        path.metadata().is_ok_and(|found| found.ino() == piece.file.metadata().unwrap().ino())
    });
    flip(&made.with_file_name(format!("site.{:03}.mpmb", number.unwrap())), piece.offset + 3);
    assert_eq!(serving.get(&blob_path(&bytes), &["range: bytes=0-9"]).status, 500);
    serving.says("E1096");
}

#[test]
fn a_flipped_bit_is_never_served() {
    let registry = registry();
    let root = registry.root_sha256().hex();
    let bytes = blob::safetensors(2, 3_000);
    let path = blob_path(&bytes);
    for (shape, verify) in [("file", "record"), ("file", "chunks"), ("folder", "record"), ("folder", "chunks")] {
        let more: &[&str] = if shape == "folder" { &["--folder"] } else { &[] };
        let (_maker, made) = bundle(&registry, more);
        let (file, at) = if shape == "folder" {
            (made.join(&path[1..]), 4_000)
        } else {
            (made.clone(), begin(&made, &bytes) + 4_000)
        };
        let (_machine, serving) = serve(&made, &root, &["--verify", verify]);
        is_right(&serving, &bytes);
        let mode = file.metadata().unwrap().permissions();
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
        flip(&file, at);
        std::fs::set_permissions(&file, mode).unwrap();
        let refused = |answer: &Answer| (answer.status, answer.text().contains("E1096")) == (500, true);
        for range in ["bytes=0-9", "bytes=4000-4000", "bytes=0-"] {
            let answer = serving.get(&path, &[&format!("range: {range}")]);
            assert!(refused(&answer), "{shape} {verify}: {}", answer.text());
        }
        serving.says("E1096");
        // It can't be taken out of the bundle: it is remembered, reported once, and all else is served.
        assert_eq!(serving.said().matches("E1096").count(), 1, "{}", serving.said());
        assert_eq!(serving.figure("corrupt_total"), 1);
        assert!(serving.get("/health", &[]).text().contains("degraded"));
        is_right(&serving, &blob::safetensors(1, 3_000));
    }
}

#[test]
fn a_rotten_file_of_the_index_is_no_answer() {
    let registry = registry();
    let (_maker, made) = bundle(&registry, &[]);
    let open = Bundle::open(std::slice::from_ref(&made)).unwrap();
    let (_machine, serving) = serve(&made, &registry.root_sha256().hex(), &[]);
    let name = "packages/acme/vocab.jsonl";
    assert_eq!(serving.get(&format!("/{name}"), &[]).status, 200);
    flip(&made, open.data_begin() + open.table().files[name].offset + 20);
    let answer = serving.get(&format!("/{name}"), &[]);
    assert_eq!((answer.status, answer.text().contains("E0141")), (500, true), "{}", answer.text());
}

#[test]
fn what_is_no_bundle_is_said_before_anybody_comes() {
    let registry = registry();
    let root = registry.root_sha256().hex();
    let (maker, made) = bundle(&registry, &[]);
    let good = std::fs::read(&made).unwrap();
    let bad = maker.home().join("bad.mpmb");
    let site = Project::new();
    let text = bad.display().to_string();
    let start = |more: &[&str]| {
        let ran = site.mpm(&[&["serve", &*text, "--listen", "127.0.0.1:0"], more].concat());
        assert_ne!(ran.code, 0);
        ran
    };
    for (bytes, code) in [
        (&good[..good.len() - 1], "E1082"),
        (&good[..good.len() / 2], "E1082"),
        (&good[..50], "E1080"),
        (&b""[..], "E1080"),
        (&b"garbage, and more of it than a first line would take, so that it could have been one at all"[..], "E1080"),
    ] {
        std::fs::write(&bad, bytes).unwrap();
        start(&["--root", &root]).says(&[code]);
    }
    std::fs::remove_file(&bad).unwrap();
    start(&["--root", &root]).expect(1).says(&["E1088"]);
    // Whom to trust is not the bundle's to say.
    std::fs::write(&bad, &good).unwrap();
    start(&[]).says(&["--root SHA256", &root]);
    start(&["--root", &"0".repeat(64)]).expect(4).says(&[&root]);
    // Where the site wants each checkpoint let in by a record, a bundle is no way around that.
    let strict = Project::new();
    ok(&strict, &["key", "new", "import.key", "--no-password"]);
    let key = strict.text("import.key.pub").unwrap().lines().nth(1).unwrap().to_owned();
    let config = strict.home().join("site.toml");
    std::fs::write(&config, format!("import-key = \"{key}\"\n")).unwrap();
    let strict = strict.variable("MPM_TEST_SITE_CONFIG", config);
    strict.mpm(&["serve", &text, "--root", &root]).expect(4).says(&["E0126"]);
    let unit = site.mpm(&["serve", "unit", "/srv/site.mpmb", "--root", &root]).expect(0).stdout;
    assert!(unit.contains(&format!("mpm serve /srv/site.mpmb --root sha256:{root} --listen")), "{unit}");
    // A checkpoint that rotted.
    let open = Bundle::open(std::slice::from_ref(&made)).unwrap();
    flip(&bad, open.data_begin() + open.table().files["checkpoint.json"].offset + 20);
    start(&["--root", &root]).says(&["E0141"]);
    // A volume that lacks.
    let (_maker, made) = bundle(&registry, &["--volume-size", "70000"]);
    let first = made.with_file_name("site.001.mpmb");
    std::fs::remove_file(made.with_file_name("site.002.mpmb")).unwrap();
    site.mpm(&["serve", &first.display().to_string(), "--root", &root]).expect(1).says(&["E1083", "number 2"]);
}

#[test]
fn files_of_the_hub_are_served_by_the_lock_and_read_with_the_right_to_them() {
    let registry = registry();
    let hub = Hub::start();
    let weights = blob::safetensors(60, 2_000);
    let commit =
        hub.model("Org/Tiny").file("config.json", "{}\n").lfs("model.safetensors", weights.clone()).commit("main");
    let rest = "[models]\n\"acme/vocab\" = \"1\"\ntiny = { hf = \"Org/Tiny\" }\n";
    let outside =
        Project::new().manifest(&manifest(&registry, &folder(&registry), rest)).variable("HF_ENDPOINT", hub.url());
    ok(&outside, &["lock"]);
    ok(&outside, &["bundle", "create", "-o", "site.mpmb", "--lock", "Model.lock"]);
    let inside = Project::new();
    for name in ["Model.lock", "Model.toml", "site.mpmb"] {
        inside.write(name, outside.read(name).unwrap());
    }
    let tokens = [("hub", "hf:*"), ("acme", "acme"), ("all", "*")].map(|(name, right)| {
        let made = inside.mpm(&["serve", "token", name, "--tokens", "tokens.toml", "--read", right]).expect(0).stdout;
        made.trim().to_owned()
    });
    // The project around says which root counts.
    let serving = Serving::start(&inside, &["site.mpmb", "--lock", "Model.lock", "--tokens", "tokens.toml"]);
    let status = |path: &str| {
        let asked = tokens.iter().map(|token| serving.get(path, &[&format!("authorization: Bearer {token}")]).status);
        asked.collect::<Vec<_>>()
    };
    assert_eq!(status(&blob_path(&weights)), [200, 403, 200]);
    assert_eq!(status(&blob_path(b"one\ntwo\nthree\n")), [403, 200, 200]);
    assert_eq!(status("/packages/acme/vocab.jsonl"), [403, 200, 200]);
    assert_eq!(status(&format!("/Org/Tiny/resolve/{commit}/model.safetensors"))[0], 200);
    assert_eq!(serving.get(&blob_path(&weights), &[]).status, 401);
    // A client with that right alone installs what its lock pins of the hub.
    let client = Project::new()
        .manifest("[project]\nname = \"service\"\n\n[models]\ntiny = { hf = \"Org/Tiny\" }\n")
        .variable("HF_ENDPOINT", hub.url());
    ok(&client, &["lock"]);
    drop(hub);
    let client = client.config(&format!(
        "[tokens]\n\"{}\" = \"{}\"\n\n[hub]\nmirrors = [\"{}/\"]\n",
        serving.address,
        tokens[0],
        serving.url()
    ));
    ok(&client, &["sync", "--locked"]);
    assert_eq!(placed(&client)["models/tiny/model.safetensors"], weights);
    drop(serving);
    // Without the lock nothing vouches for what no release names.
    let serving = Serving::start(&inside, &["site.mpmb"]);
    serving.says("--lock Model.lock");
    assert_eq!(serving.get(&blob_path(&weights), &[]).status, 404);
}

#[test]
fn what_nothing_signed_leads_to_is_handed_to_nobody() {
    let registry = registry();
    let (maker, made) = bundle(&registry, &[]);
    let stowed = b"#!/bin/sh\n".to_vec();
    let bad = maker.home().join("bad.mpmb");
    crate::bundle::hostile::rewritten(&made, &bad, |_, blobs| drop(blobs.insert(Sha256::of(&stowed), stowed.clone())));
    let held: BTreeSet<Sha256> =
        Bundle::open(std::slice::from_ref(&bad)).unwrap().table().blobs.keys().copied().collect();
    assert!(held.contains(&Pin::of(&stowed).sha256));
    let (_machine, serving) = serve(&bad, &registry.root_sha256().hex(), &[]);
    assert_eq!(serving.get(&blob_path(&stowed), &[]).status, 404);
    is_right(&serving, &blob::safetensors(2, 3_000));
}
