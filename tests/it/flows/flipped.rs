//! One flipped byte anywhere: nothing is placed, and it is a matter of trust, never of the network.

use std::path::{Path, PathBuf};

use super::fixture::{elsewhere, ok, paths, placed, project, project_at, registry};
use crate::support::peers;
use crate::support::project::Project;
use crate::support::registry::TestRegistry;
use crate::support::server::Server;

const REST: &str = "[models]\n\"acme/minilm\" = \"1\"\n";

/// What is flipped, and whether a client that has the lock must see it: it needs no log and no package node.
const CASES: &[(&str, bool)] = &[
    ("blob", true),
    ("statement", true),
    ("statement signature", true),
    ("log", false),
    ("node", false),
    ("checkpoint", true),
    ("checkpoint signature", true),
    ("registrar", true),
    ("registrar signature", true),
    ("namespace", true),
    ("root", true),
];

/// Files of a copy of the registry that a case is about.
fn victims(registry: &TestRegistry, copy: &Path, case: &str) -> Vec<PathBuf> {
    let release = format!("releases/{}.json", registry.statement_sha256("acme/minilm", "1.1.0"));
    let (folder, wanted): (&str, Box<dyn Fn(&str) -> bool>) = match case {
        "blob" => ("blobs", Box::new(|_| true)),
        "statement" => ("releases", Box::new(move |path| path == release)),
        "statement signature" => {
            ("releases", Box::new(move |path| path.starts_with(&release) && path.ends_with(".minisig")))
        }
        "log" => ("packages/acme", Box::new(|path| path.ends_with("/minilm.jsonl"))),
        "node" => ("tree", Box::new(|_| true)),
        "checkpoint" => ("", Box::new(|path| path == "checkpoint.json")),
        "checkpoint signature" => {
            ("", Box::new(|path| path.starts_with("checkpoint.json") && path.ends_with(".minisig")))
        }
        "registrar" => ("trust/registrar", Box::new(|path| path.ends_with(".json"))),
        "registrar signature" => ("trust/registrar", Box::new(|path| path.ends_with(".minisig"))),
        "namespace" => ("trust/namespaces", Box::new(|_| true)),
        "root" => ("trust/root", Box::new(|path| path.ends_with("/1.json"))),
        _ => panic!("{case}"),
    };
    let files = super::fixture::tree(&copy.join(folder)).into_keys();
    let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
    files.map(|path| format!("{prefix}{path}")).filter(|path| wanted(path)).map(|path| copy.join(path)).collect()
}

/// Flips the lowest bit of one byte; in a signature file, of the signature itself.
fn flip(path: &Path) {
    let mut bytes = std::fs::read(path).expect("a file");
    let line = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(0);
    let place = if path.to_string_lossy().ends_with(".minisig") { line + 30 } else { bytes.len() / 2 };
    bytes[place] ^= 1;
    std::fs::write(path, bytes).expect("written");
}

/// Copies of the registry below one folder, one a case, each with its byte flipped.
fn broken(registry: &TestRegistry, below: &Path) {
    for (case, _) in CASES {
        let copy = below.join(case.replace(' ', "-"));
        registry.copy_to(&copy);
        let found = victims(registry, &copy, case);
        assert!(!found.is_empty(), "{case}");
        found.iter().for_each(|path| flip(path));
    }
}

/// A machine without memory and lock, and one that has the lock, on one broken index.
fn check(registry: &TestRegistry, good: &Project, index: &str, case: &str, seen_when_locked: bool) {
    let fresh = project_at(registry, index, REST).variable("MPM_TEST_LAG", "1");
    let ran = fresh.mpm(&["sync"]);
    assert_eq!(ran.code, 4, "{case} over {index}\n{}", ran.stderr);
    assert!(
        paths(&fresh).is_empty() && fresh.read("Model.lock").is_none(),
        "{case} over {index}: something was placed"
    );

    let locked = elsewhere(good).variable("MPM_TEST_LAG", "1");
    locked.write("Model.toml", super::fixture::manifest(registry, index, REST));
    let ran = locked.mpm(&["sync", "--locked"]);
    if ran.code == 0 && !seen_when_locked {
        assert_eq!(placed(&locked), placed(good), "{case} over {index}");
    } else {
        assert_eq!(ran.code, 4, "{case} over {index}, locked\n{}", ran.stderr);
        assert!(paths(&locked).is_empty(), "{case} over {index}: something was placed");
    }
    assert_eq!(locked.read("Model.lock"), good.read("Model.lock"));
}

#[test]
fn a_flipped_byte_in_a_folder_is_refused_and_nothing_is_placed() {
    let registry = registry();
    let good = project(&registry, REST);
    ok(&good, &["sync"]);
    let place = tempfile::tempdir().unwrap();
    broken(&registry, place.path());
    for (case, seen) in CASES {
        let index = place.path().join(case.replace(' ', "-"));
        check(&registry, &good, &index.display().to_string(), case, *seen);
    }
}

#[test]
fn a_flipped_byte_on_a_server_is_refused_and_nothing_is_placed() {
    let registry = registry();
    let good = project(&registry, REST);
    ok(&good, &["sync"]);
    let place = tempfile::tempdir().unwrap();
    broken(&registry, place.path());
    let server = Server::start(place.path());
    let url = server.url();
    let (registry, good, base) = (&registry, &good, url.trim_end_matches('/'));
    // A client waits half a minute for a checkpoint and its signature to fit again, unless it was built for tests.
    let fast = cfg!(feature = "faults");
    if !fast {
        peers::missing("a build with the feature faults, which has less patience with checkpoints");
    }
    std::thread::scope(|scope| {
        for (case, seen) in CASES.iter().filter(|(case, _)| fast || !case.starts_with("checkpoint")) {
            scope.spawn(move || {
                check(registry, good, &format!("sparse+{base}/{}/", case.replace(' ', "-")), case, *seen);
            });
        }
    });
}
