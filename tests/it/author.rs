//! Keys, authoring and publishing: what is written parses, verifies, and is accepted by the stock tool.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use modelpm::catalog::{PackageLeaf, build_packages};
use modelpm::diagnose::{Class, Diagnose as _};
use modelpm::keys::SecretKey;
use modelpm::model::Pin;
use modelpm::ops::{AuthoringError, Protection, index_checkpoint, index_init, key_new, publish};
use modelpm::progress::Silent;
use modelpm::registry::{self, CheckpointRequest, Folder, State, Submitted};
use modelpm::sys::Cancel;
use modelpm::trust::{Checkpoint, Freshness, MAX_NUMBER};

use crate::support::keys::key;
use crate::support::peers;
use crate::support::registry::{TestRegistry, git, time};

fn acme() -> TestRegistry {
    let mut registry = TestRegistry::new("acme");
    registry.namespace("acme");
    registry
}

/// Files below a folder with their bytes.
fn files(folder: &Path, below: &str) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder.join(below)).into_iter().flatten().flatten() {
        let path = format!("{below}/{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            found.extend(files(folder, &path));
        } else {
            found.insert(path, std::fs::read(entry.path()).expect("readable"));
        }
    }
    found
}

#[test]
fn what_is_authored_is_read_back_and_verifies() {
    let mut registry = acme();
    registry.release("acme/base", "1.0.0").file("model.safetensors", b"0123").publish();
    registry.release("acme/adapter", "0.1.0").file("a.safetensors", b"4").base_model("acme/base", "=1.0.0").publish();
    registry.yank("acme/base", "1.0.0", "it was wrong");
    let state = registry.state();
    let checkpoint = state.checkpoint.clone().expect("a checkpoint");
    assert_eq!((checkpoint.at.number, state.packages.len(), state.registrar.number), (5, 2, 2));
    let (_, log) = state.log(&registry.handle(), &"acme/base".parse().expect("a name")).expect("a log");
    assert_eq!((log.releases.len(), log.yanks.len()), (1, 1));
    assert_eq!(std::fs::read(registry.folder().join(".gitattributes")).expect("there"), b"* -text\n");
}

#[test]
fn a_second_checkpoint_only_appends() {
    let mut registry = acme();
    registry.release("acme/base", "1.0.0").file("model.safetensors", b"0123").publish();
    let before = files(registry.folder(), "packages");
    let trees = files(registry.folder(), "tree");
    registry.release("acme/base", "1.1.0").file("model.safetensors", b"4567").publish();
    registry.release("acme/other", "1.0.0").file("model.safetensors", b"89").publish();
    let after = files(registry.folder(), "packages");
    for (path, bytes) in before {
        assert!(after.get(&path).is_some_and(|grown| grown.starts_with(&bytes) && grown.len() > bytes.len()), "{path}");
    }
    let nodes = files(registry.folder(), "tree");
    assert!(trees.iter().all(|(path, bytes)| nodes.get(path) == Some(bytes)), "young nodes stay");
    let at = registry.checkpoint(60).at.number;
    assert_eq!(registry.checkpoint(120).at.number, at + 1);
    let long_ago = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
    for path in files(registry.folder(), "tree").keys() {
        let node = std::fs::File::options().write(true).open(registry.folder().join(path)).expect("a node");
        node.set_modified(long_ago).expect("aged");
    }
    assert!(registry.checkpoint(180).dropped > 0, "nodes that nothing leads to go after seven days");
    registry.state();
}

#[test]
fn what_does_not_verify_stays_outside() {
    let mut registry = acme();
    registry.namespace("other");
    let stranger = key();
    let other = registry.publisher("other").clone();
    registry.release("acme/real", "1.0.0").file("a.txt", b"1").publish();
    let mut wrong = Vec::new();
    wrong.push(registry.release("acme/x", "1.0.0").file("a.txt", b"1").signed_by(&[&stranger]).submit());
    wrong.push(registry.release("acme/x", "1.0.1").file("a.txt", b"1").signed_by(&[&other]).submit());
    wrong.push(registry.release("acme/x", "1.0.2").file("a.txt", b"1").signed_by(&[]).submit());
    let foreign = |statement: &mut modelpm::statement::Statement| statement.registry = "evil".parse().expect("an id");
    wrong.push(registry.release("acme/x", "1.0.3").file("a.txt", b"1").edit(foreign).submit());
    wrong.push(registry.release("acme/real", "1.0.0").file("a.txt", b"2").submit());
    wrong.push(registry.release("acme/re-al", "1.0.0").file("a.txt", b"1").submit());
    wrong.push(registry.release("acme/re.al", "1.0.0").file("a.txt", b"1").edit(|s| s.description = None).submit());
    wrong.push(registry.release("acme/two", "1.0.0").file("a.txt", b"1").submit());
    wrong.push(registry.release("acme/two", "1.0.0").file("a.txt", b"2").submit());
    std::fs::write(registry.folder().join("packages/acme/planted.jsonl"), b"{}\n").expect("planted");
    let outcome = registry.checkpoint(60);
    let refused: Vec<&str> = outcome.refused.iter().map(|refused| refused.file.as_str()).collect();
    // Of two new names that are one, the first in order stands.
    let accepted: Vec<String> = outcome.releases.iter().map(|(name, version)| format!("{name}@{version}")).collect();
    assert_eq!(accepted, ["acme/re-al@1.0.0"], "{refused:?}");
    assert_eq!(refused.len(), wrong.len() - 1, "{refused:?}");
    assert_eq!(registry.state().packages.len(), 2);
}

#[test]
fn lines_that_nobody_signed_are_dropped_and_edited_logs_refused() {
    let mut registry = acme();
    registry.release("acme/base", "1.0.0").file("a.txt", b"1").publish();
    let path = registry.folder().join("packages/acme/base.jsonl");
    let mut log = std::fs::read(&path).expect("a log");
    log.extend_from_slice(b"{\"event\":\"planted\"}\n");
    std::fs::write(&path, &log).expect("planted");
    registry.release("acme/base", "1.1.0").file("a.txt", b"2").publish();
    let grown = String::from_utf8(std::fs::read(&path).expect("a log")).expect("text");
    assert!(!grown.contains("planted") && grown.lines().count() == 2, "{grown}");
    std::fs::write(&path, grown.replacen("1.0.0", "1.0.9", 1)).expect("edited");
    let request = CheckpointRequest { now: registry.now(), signers: &[&registry.index], bases: None };
    let error = registry::checkpoint(&registry.handle(), &request).expect_err("an edited log");
    assert_eq!(error.code().0, "E0826", "{error}");
}

#[test]
fn a_planted_symlink_is_not_followed() {
    let mut registry = acme();
    registry.release("acme/base", "1.0.0").file("a.txt", b"1").publish();
    let outside = tempfile::tempdir().expect("a folder");
    std::os::unix::fs::symlink(outside.path(), registry.folder().join("packages/evil")).expect("planted");
    registry.namespace("evil");
    registry.release("evil/x", "1.0.0").file("a.txt", b"1").submit();
    let request = CheckpointRequest { now: registry.now(), signers: &[&registry.index], bases: None };
    let before = std::fs::read(registry.folder().join("checkpoint.json")).expect("there");
    let error = registry::checkpoint(&registry.handle(), &request).expect_err("a symlink");
    assert_eq!(error.code().0, "E0821", "{error}");
    assert_eq!(std::fs::read_dir(outside.path()).expect("readable").count(), 0, "nothing was written outside");
    assert_eq!(std::fs::read(registry.folder().join("checkpoint.json")).expect("there"), before);
}

#[test]
fn a_checkpoint_of_nobody_stops_authoring() {
    let registry = acme();
    let path = registry.folder().join("checkpoint.json");
    let text = String::from_utf8(std::fs::read(&path).expect("there")).expect("text");
    std::fs::write(&path, text.replace("\"number\": 2", "\"number\": 999")).expect("edited");
    let error = State::read(&registry.handle()).expect_err("not signed");
    assert_eq!(error.code().0, "E0828", "{error}");
    let empty = tempfile::tempdir().expect("a folder");
    assert_eq!(State::read(&Folder::at(empty.path())).expect_err("nothing there").code().0, "E0822");
}

#[test]
fn keys_do_only_what_they_may() {
    let mut registry = acme();
    let (index, main) = (registry.index.clone(), registry.main.clone());
    let checkpoint = |registry: &TestRegistry, signer: &SecretKey, after| {
        let request = CheckpointRequest { now: time(after), signers: &[signer], bases: None };
        registry::checkpoint(&registry.handle(), &request)
    };
    let error = checkpoint(&registry, &main, 0).expect_err("not the index key");
    assert_eq!(error.code().0, "E0831", "{error}");
    registry.checkpoint(500);
    let error = checkpoint(&registry, &index, 0).expect_err("before the last");
    assert_eq!(error.code().0, "E0833", "{error}");
    let error = registry::may_publish(&registry.state(), index.public(), &"acme".parse().expect("a name"));
    assert_eq!(error.expect_err("no publisher").code().0, "E0831");
    let error = registry::may_publish(&registry.state(), main.public(), &"none".parse().expect("a name"));
    assert_eq!(error.expect_err("no namespace").code().0, "E0830");
    registry.release("acme/base", "1.0.0").file("a.txt", b"1").publish();
    let error = registry.release("acme/base", "1.0.0").file("a.txt", b"2").offer().expect_err("it stands");
    assert_eq!(error.code().0, "E0832", "{error}");
    let again = registry.release("acme/base", "1.0.0").file("a.txt", b"1").offer().expect("the same");
    assert_eq!(again, registry::Submitted::Standing);
}

#[test]
fn a_new_name_that_looks_like_one_that_stands_is_refused() {
    let mut registry = acme();
    registry.release("acme/minilm", "1.0.0").file("a.txt", b"1").publish();
    for name in ["acme/mini1m", "acme/rninilrn", "acme/minilrn"] {
        let error = registry.release(name, "1.0.0").file("a.txt", b"1").offer().expect_err("it looks alike");
        assert_eq!((error.code().0, error.class()), ("E0835", Class::Yours), "{error}");
        assert!(error.to_string().contains("acme/minilm") && error.to_string().contains(name), "{error}");
        // Left in the folder by other means, it waits for ever.
        registry.release(name, "1.0.0").file("a.txt", b"1").submit();
        let outcome = registry.checkpoint_now();
        assert!(outcome.releases.is_empty(), "{:?}", outcome.releases);
        assert!(outcome.refused.iter().any(|refused| refused.why.to_string().contains("looks like")), "{outcome:?}");
    }
    // Of two new ones, the first in order stands.
    registry.release("acme/gpt-4o", "1.0.0").file("a.txt", b"1").submit();
    registry.release("acme/gpt-40", "1.0.0").file("a.txt", b"1").submit();
    let admitted: Vec<String> = registry.checkpoint_now().releases.iter().map(|(name, _)| name.to_string()).collect();
    assert_eq!(admitted, ["acme/gpt-40"]);
    // What stands goes on.
    registry.release("acme/minilm", "1.1.0").file("a.txt", b"2").publish();
    // A namespace, by the registrar's hand.
    let (stranger, main) = (key(), registry.main.clone());
    let change = |namespace: &str| registry::EntryChange {
        namespace: namespace.parse().expect("a namespace"),
        keys: vec![stranger.public().clone()],
        threshold: 1,
        retire: Vec::new(),
        disown: Vec::new(),
    };
    let signers = [&main];
    let issue = registry::Issue { now: registry.now(), life: 1_000, signers: &signers };
    registry::change_namespace(&registry.handle(), &change("other-1"), &[], issue).expect("a new namespace");
    let error = registry::change_namespace(&registry.handle(), &change("other_l"), &[], issue).expect_err("alike");
    assert_eq!(error.code().0, "E0835", "{error}");
    registry::change_namespace(&registry.handle(), &change("other-1"), &[], issue).expect("the same one");
}

/// Signs a checkpoint that differs from the one that stands, as whoever has the index key can.
fn forge(registry: &TestRegistry, change: impl FnOnce(&mut Checkpoint)) {
    let mut checkpoint = registry.state().checkpoint.expect("a checkpoint");
    change(&mut checkpoint);
    std::fs::write(registry.folder().join("checkpoint.json"), checkpoint.render()).expect("written");
    registry.sign_file_with("checkpoint.json", &registry.index);
}

#[test]
fn a_stolen_index_key_that_uses_up_all_numbers_is_answered_by_a_new_epoch() {
    let mut registry = acme();
    forge(&registry, |checkpoint| checkpoint.at.number = MAX_NUMBER);
    let request = CheckpointRequest { now: registry.now(), signers: &[&registry.index], bases: None };
    let error = registry::checkpoint(&registry.handle(), &request).expect_err("no number is left");
    assert_eq!((error.code().0, error.class()), ("E0834", Class::Yours), "{error}");
    assert_eq!(registry.state().checkpoint.expect("it stands").at.number, MAX_NUMBER);
    registry.rotate_root(1);
    let at = registry.state().checkpoint.expect("a checkpoint").at;
    assert_eq!((at.epoch, at.number), (2, 1));
    assert_eq!(registry.checkpoint(60).at.number, 2);
}

#[test]
fn a_log_that_does_not_parse_stops_authoring_although_it_is_signed_for() {
    let mut registry = acme();
    registry.release("acme/base", "1.0.0").file("a.txt", b"1").publish();
    let log = b"{\"event\":\"release\"}\n";
    std::fs::write(registry.folder().join("packages/acme/base.jsonl"), log).expect("written");
    let leaf = PackageLeaf { name: "acme/base".parse().expect("a name"), log: Pin::of(log), advisories: None };
    let tree = build_packages(&[leaf]).expect("a tree");
    for (digest, node) in &tree.nodes {
        registry.handle().write_once(&format!("tree/{digest}"), node).expect("written");
    }
    forge(&registry, |checkpoint| checkpoint.packages = tree.root);
    let before = std::fs::read(registry.folder().join("checkpoint.json")).expect("there");
    registry.release("acme/base", "1.1.0").file("a.txt", b"2").submit();
    let request = CheckpointRequest { now: registry.now(), signers: &[&registry.index], bases: None };
    let error = registry::checkpoint(&registry.handle(), &request).expect_err("no log");
    assert_eq!((error.code().0, error.class()), ("E0829", Class::Trust), "{error}");
    assert_eq!(std::fs::read(registry.folder().join("checkpoint.json")).expect("there"), before);
    assert_eq!(std::fs::read(registry.folder().join("packages/acme/base.jsonl")).expect("there"), log);
}

#[test]
fn roots_rotate_and_namespaces_are_handed_over() {
    let mut registry = acme();
    registry.release("acme/base", "1.0.0").file("a.txt", b"1").publish();
    registry.rotate_root(1);
    assert_eq!(registry.state().checkpoint.expect("a checkpoint").at.epoch, 2);
    let old = registry.publisher("acme").clone();
    registry.handover("acme");
    registry.release("acme/base", "1.1.0").file("a.txt", b"2").publish();
    registry.release("acme/base", "1.2.0").file("a.txt", b"3").signed_by(&[&old]).submit();
    assert_eq!(registry.checkpoint(60).refused.len(), 1, "a retired key admits nothing new");
    registry.retire("acme");
    let current = registry.publisher("acme").clone();
    registry.revoke_key(&current, "stolen");
    let error = registry::may_publish(&registry.state(), current.public(), &"acme".parse().expect("a name"));
    assert_eq!(error.expect_err("revoked").code().0, "E0831");
    registry.revoke_release("acme/base", "1.0.0", "poisoned");
    let entry = registry.state().entry(&"acme".parse().expect("a name")).expect("an entry").clone();
    assert_eq!((entry.number, entry.retired.len()), (3, 2));
}

#[test]
fn what_is_past_half_its_life_is_renewed_by_the_main_key() {
    let registry = acme();
    let day = 86_400;
    let renew = |after| registry::renew(&registry.handle(), &registry.main, time(after)).expect("renewed");
    assert!(renew(30 * day).is_empty());
    assert_eq!(renew(200 * day), ["trust/registrar/3.json"]);
    assert_eq!(renew(600 * day), ["trust/root/2.json", "trust/registrar/4.json"]);
    let request = CheckpointRequest { now: time(600 * day), signers: &[&registry.index], bases: None };
    registry::checkpoint(&registry.handle(), &request).expect("a checkpoint under the new root");
}

#[test]
fn two_publishers_at_once_do_not_conflict_in_git() {
    let mut registry = acme();
    let copy = registry.as_git();
    for branch in ["one", "two"] {
        git(&copy.work, &["checkout", "-q", "-b", branch, "main"]);
        let name = format!("acme/{branch}");
        let digest = registry.release(&name, "1.0.0").file("a.txt", branch).submit();
        std::fs::create_dir_all(copy.work.join("releases")).expect("a folder");
        for (path, bytes) in files(registry.folder(), "releases") {
            if path.contains(&digest.hex()) {
                std::fs::write(copy.work.join(path), bytes).expect("written");
            }
        }
        copy.commit();
    }
    git(&copy.work, &["checkout", "-q", "main"]);
    git(&copy.work, &["merge", "-q", "one"]);
    git(&copy.work, &["merge", "-q", "-m", "both", "two"]);
    let request = CheckpointRequest { now: time(60), signers: &[&registry.index], bases: None };
    let outcome = registry::checkpoint(&Folder::at(&copy.work), &request).expect("a checkpoint");
    assert_eq!(outcome.releases.len(), 2, "{:?}", outcome.refused);
}

#[test]
fn stock_minisign_accepts_every_signature_and_we_accept_its_keys() {
    if peers::peer("minisign").is_none() {
        return;
    }
    let mut registry = acme();
    registry.release("acme/base", "1.0.0").file("a.txt", b"1").publish();
    registry.yank("acme/base", "1.0.0", "it was wrong");
    registry.handover("acme");
    let keys: Vec<&SecretKey> =
        [&registry.main, &registry.index].into_iter().chain(registry.publishers.values()).collect();
    let mut checked = 0;
    let mut all = files(registry.folder(), "trust");
    for below in ["releases", "yanks"] {
        all.extend(files(registry.folder(), below));
    }
    let checkpoint = format!("checkpoint.json.{}.minisig", registry.index.public().fingerprint().short());
    all.insert(checkpoint, Vec::new());
    for signature in all.keys().filter(|path| path.ends_with(".minisig")) {
        let (file, _) = signature.trim_end_matches(".minisig").rsplit_once('.').expect("a fingerprint");
        let Some(key) = keys.iter().find(|key| signature.contains(&key.public().fingerprint().short())) else {
            continue;
        };
        let status = Command::new("minisign")
            .args(["-V", "-H", "-q", "-x", signature, "-P", key.public().as_str(), "-m", file])
            .current_dir(registry.folder())
            .status()
            .expect("minisign runs");
        assert!(status.success(), "{signature}");
        checked += 1;
    }
    assert!(checked >= 5, "{checked}");
}

#[test]
fn keys_of_the_original_tool_open() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/minisign");
    let read = |name: &str| std::fs::read_to_string(golden.join(name)).expect("a vector");
    for (name, password) in [("stock-passwordless", None), ("stock-encrypted", Some("pass"))] {
        let key = SecretKey::open(&read(&format!("{name}.key")), password).expect("opens");
        assert_eq!(read(&format!("{name}.pub")).lines().nth(1), Some(key.public().as_str()));
    }
    let key = SecretKey::open(&read("stock-passwordless.key"), None).expect("opens");
    let signature = modelpm::model::Signature::parse(read("message.txt.minisig").as_bytes()).expect("strict");
    let message = read("message.txt");
    let keys = [key.public().clone()];
    assert!(modelpm::trust::count_signers(&keys, 1, message.as_bytes(), &[signature]).is_some());
}

/// A folder with a solo registry `hub` below it, and a project that publishes `acme/tiny`.
struct Solo {
    place: tempfile::TempDir,
}

impl Solo {
    fn new(demo: bool) -> Self {
        let solo = Self { place: tempfile::tempdir().expect("a folder") };
        let outcome = solo.init(demo).expect("a registry");
        assert!(outcome.recovery_text.is_some(), "shown once");
        solo.write("Model.toml", MANIFEST);
        solo.write("out/f32/m.safetensors", "weights");
        solo.write("out/README.md", "a card");
        solo
    }

    fn init(&self, demo: bool) -> Result<index_init::Outcome, AuthoringError> {
        let at = |path: &str| self.place.path().join(path);
        index_init::run(
            &index_init::Request {
                folder: at("hub"),
                id: "hub".parse().expect("an id"),
                namespaces: vec!["acme".parse().expect("a name")],
                main: at("keys/main.key"),
                index: at("keys/index.key"),
                recovery: None,
                freshness: Freshness::Normal,
                demo,
                now: time(0),
                ask: &|_| Some("secret".to_owned()),
            },
            &Silent,
        )
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.place.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text).expect("written");
    }

    fn publish(&self, after: u64) -> Result<publish::Outcome, AuthoringError> {
        let at = |path: &str| self.place.path().join(path);
        let request = publish::Request {
            start: at(""),
            registry: at("hub"),
            key: at("keys/main.key"),
            index: Some(at("keys/index.key")),
            now: time(after),
            ask: &|_| Some("secret".to_owned()),
        };
        publish::run(&request, &Cancel::new(), &Silent)
    }
}

const MANIFEST: &str = r#"
[package]
name = "acme/tiny"
version = "1.0.0"
kind = "model"
license = "Apache-2.0"
dir = "out"
default-variant = "f32"

[variants.f32]
dir = "f32"
format = "safetensors"
"#;

#[test]
fn a_small_team_publishes_with_two_keys() {
    let solo = Solo::new(false);
    let first = solo.publish(10).expect("published");
    assert_eq!((first.published.submitted, first.published.files, first.published.new_blobs), (Submitted::New, 2, 2));
    assert_eq!(first.checkpoint.expect("a checkpoint").checkpoint.releases.len(), 1);
    let again = solo.publish(20).expect("the same again");
    assert_eq!((again.published.submitted, again.published.new_blobs), (Submitted::Standing, 0));
    assert!(again.checkpoint.expect("a checkpoint").checkpoint.releases.is_empty());
    solo.write("out/README.md", "another card");
    assert_eq!(solo.publish(30).expect_err("it stands").code().0, "E0832");
    let renewed = index_checkpoint::run(
        &index_checkpoint::Request {
            folder: solo.place.path().join("hub"),
            index: solo.place.path().join("keys/index.key"),
            main: Some(solo.place.path().join("keys/main.key")),
            now: time(200 * 86_400),
            ask: &|_| Some("secret".to_owned()),
        },
        &Silent,
    );
    assert_eq!(renewed.expect("a checkpoint").renewed, ["trust/registrar/2.json"]);
    assert_eq!(solo.init(false).expect_err("it is not empty").code().0, "E0823");
}

#[test]
fn publishing_says_what_is_missing() {
    let solo = Solo::new(true);
    for (text, code) in [
        ("[project]\nname = \"x\"\n".to_owned(), "E0951"),
        (
            MANIFEST.replace("dir = \"out\"", "dir = \"out\"\ntrained-on = [\"acme/data\"]")
                + "\n[datasets]\n\"acme/data\" = \"1\"\n",
            "E0952",
        ),
    ] {
        solo.write("Model.toml", &text);
        assert_eq!(solo.publish(10).expect_err("refused").code().0, code);
    }
    let place = tempfile::tempdir().expect("a folder");
    let new = |answers: &dyn Fn(&str) -> Option<String>| {
        let request = key_new::Request { path: place.path().join("k"), protection: Protection::Password, ask: answers };
        key_new::run(&request).expect_err("no password").code().0
    };
    assert_eq!(new(&|_| None), "E0802");
    assert_eq!(new(&|what| Some(what.to_owned())), "E0954");
    assert_eq!(new(&|_| Some(String::new())), "E0954");
}

#[test]
fn a_passwordless_key_publishes_only_in_demo_registries() {
    let solo = Solo::new(false);
    std::fs::remove_file(solo.place.path().join("keys/main.key")).expect("removed");
    std::fs::remove_file(solo.place.path().join("keys/main.key.pub")).expect("removed");
    crate::support::keys::write(&solo.place.path().join("keys"), "main.key", &key());
    assert_eq!(solo.publish(10).expect_err("no password").code().0, "E0953");
}

#[test]
fn large_datasets_are_stated_in_file_lists() {
    let solo = Solo::new(true);
    for index in 0..1_001 {
        solo.write(&format!("out/f32/{index:04}.json"), &(index % 3).to_string());
    }
    let published = solo.publish(10).expect("published").published;
    assert_eq!(published.files, 1_003);
    let file = solo.place.path().join(format!("hub/releases/{}.json", published.statement));
    let statement = modelpm::statement::Statement::parse(&std::fs::read(file).expect("there")).expect("parses");
    let modelpm::statement::Files::Lists(lists) = &statement.files else { panic!("lists") };
    let list = lists.first().expect("one list");
    let blob = solo.place.path().join("hub").join(modelpm::sys::blob_path(&list.pin.sha256));
    let entries = modelpm::statement::parse_list(&std::fs::read(blob).expect("there"), list).expect("a list");
    assert_eq!(entries.len(), 1_003);
}

#[test]
fn files_that_a_signature_names_are_there_whole_and_unchanged() {
    let mut registry = acme();
    registry.release("acme/base", "1.0.0").file("a.txt", b"1").publish();
    let fails = |break_it: &dyn Fn(&Path), code: &str| {
        let place = tempfile::tempdir().expect("a folder");
        registry.copy_to(place.path());
        break_it(place.path());
        let request = CheckpointRequest { now: registry.now(), signers: &[&registry.index], bases: None };
        let error = registry::checkpoint(&Folder::at(place.path()), &request).expect_err(code);
        assert_eq!(error.code().0, code, "{error}");
    };
    let remove = |path: &str| std::fs::remove_file(path).expect("removed");
    fails(&|at| remove(&at.join("packages/acme/base.jsonl").to_string_lossy()), "E0825");
    fails(&|at| remove(&at.join("trust/registrar/2.json").to_string_lossy()), "E0825");
    fails(&|at| std::fs::write(at.join("trust/registrar/3.json"), "{}").expect("planted"), "E0827");
    fails(&|at| std::fs::write(at.join("trust/root/2.json"), "{}").expect("planted"), "E0827");
    fails(&|at| std::fs::write(at.join("checkpoint.json"), "{}").expect("planted"), "E0827");
    let folder = registry.handle();
    folder.write("tree/x", b"1").expect("written");
    assert_eq!(folder.write_once("tree/x", b"2").expect_err("it stands").code().0, "E0824");
    std::fs::remove_file(registry.folder().join("tree/x")).expect("removed");
}
