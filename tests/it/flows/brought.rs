//! One registry, several ways to reach it: the same lock, the same bytes; and again without a network.

use std::collections::BTreeMap;

use super::fixture::{elsewhere, folder, lock, ok, paths, placed, project, project_at, registry, tree};
use crate::support::peers;
use crate::support::project::Project;
use crate::support::registry::TestRegistry;

const ALL: &str = r#"[models]
"acme/either" = { version = "1", variants = ["large", "small"] }
"acme/lora" = "1"
"acme/minilm" = "1"

[datasets]
"uci/digits" = { version = "1", exclude = ["test/**"] }

[groups.eval.models]
"newest" = { package = "acme/minilm", version = "2", variant = "int8" }
"#;

/// What `sync` of [`ALL`] places.
const PLACED: &[&str] = &[
    "datasets/uci/digits/README.md",
    "datasets/uci/digits/train/a.csv",
    "datasets/uci/digits/train/more/b.csv",
    "models/.deps/acme/minilm@1.0.0/config.json",
    "models/.deps/acme/minilm@1.0.0/docs/card.md",
    "models/.deps/acme/minilm@1.0.0/model.safetensors",
    "models/.deps/acme/vocab@1.1.0/vocab.txt",
    "models/acme/either/config.json",
    "models/acme/either/large.safetensors",
    "models/acme/either/small.safetensors",
    "models/acme/lora/adapter.safetensors",
    "models/acme/minilm/config.json",
    "models/acme/minilm/docs/card.md",
    "models/acme/minilm/model.safetensors",
];

#[test]
fn a_checkpoint_gives_one_lock_and_the_same_bytes_over_every_kind_of_index() {
    let registry = registry();
    let git = registry.as_git();
    let server = peers::nginx(registry.folder(), git.bare.parent());
    let mut indexes = vec![folder(&registry), format!("git+file://{}", git.bare.display())];
    indexes.extend(server.iter().map(|server| format!("git+{}/git/bare.git", server.url)));
    indexes.extend(server.iter().map(|server| format!("sparse+{}/", server.url)));
    let mut seen: Option<(String, BTreeMap<String, Vec<u8>>)> = None;
    let mut machines = Vec::new();
    for index in indexes {
        let first = project_at(&registry, &index, ALL);
        ok(&first, &["sync"]).says(&["Placed 14 files"]);
        assert_eq!(paths(&first), PLACED, "{index}");
        let (locked, bytes) = seen.get_or_insert_with(|| (lock(&first), placed(&first)));
        assert_eq!((&lock(&first), &placed(&first)), (&*locked, &*bytes), "{index}");

        let second = elsewhere(&first);
        ok(&second, &["sync", "--locked"]);
        assert_eq!((&lock(&second), &placed(&second)), (&*locked, &*bytes), "{index}");
        machines.push(second);
    }
    // With no server and no registry left, what is installed is still as locked.
    drop(server);
    drop(git);
    drop(registry);
    for machine in machines {
        for arguments in [&["sync", "--locked"][..], &["sync", "--offline"], &["sync", "--frozen"], &["sync"]] {
            ok(&machine, arguments).says(&["Nothing to do"]);
        }
        ok(&machine, &["verify"]);
        // What the store holds is placed again without anybody's help.
        std::fs::remove_dir_all(machine.folder().join("models")).unwrap();
        ok(&machine, &["sync", "--frozen"]);
        assert_eq!(paths(&machine), PLACED);
    }
}

#[test]
fn a_machine_without_the_bytes_and_offline_says_so_and_places_nothing() {
    let registry = registry();
    let Some(server) = peers::nginx(registry.folder(), None) else { return };
    let first = project_at(&registry, &format!("sparse+{}/", server.url), "[models]\n\"acme/minilm\" = \"1\"\n");
    for flag in ["--offline", "--frozen"] {
        let expected = if flag == "--offline" { 3 } else { 1 };
        first.mpm(&["sync", flag]).expect(expected);
        assert!(first.read("Model.lock").is_none());
    }
    ok(&first, &["lock"]);
    let second = elsewhere(&first);
    second.mpm(&["sync", "--frozen"]).expect(3);
    assert!(paths(&second).is_empty());
    // `fetch` with the network, `sync` without.
    ok(&second, &["fetch"]);
    assert!(paths(&second).is_empty());
    drop(server);
    ok(&second, &["sync", "--frozen"]);
    assert_eq!(placed(&second).len(), 4);
}

#[test]
fn an_unreachable_server_is_a_matter_of_the_network() {
    let registry = registry();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for index in [format!("sparse+http://127.0.0.1:{port}/"), format!("git+http://127.0.0.1:{port}/x.git")] {
        let project = project_at(&registry, &index, "[models]\n\"acme/minilm\" = \"1\"\n");
        project.mpm(&["sync"]).expect(3);
        assert_eq!((project.read("Model.lock"), paths(&project)), (None, Vec::new()));
    }
}

#[test]
fn a_release_of_thousands_of_files_comes_through_lists() {
    const FILES: usize = 3_000;
    let mut registry = TestRegistry::of_late("acme", 3_600);
    registry.namespace("acme");
    let mut release = registry.release("acme/many", "1.0.0").dataset();
    for number in 0..FILES {
        release = release.file(&format!("part-{:02}/{number:05}.txt", number % 50), format!("row {number}\n"));
    }
    release.in_lists(1_000).publish();
    let first = project(&registry, "[datasets]\n\"acme/many\" = \"1\"\n");
    ok(&first, &["sync"]);
    let found = placed(&first);
    assert_eq!(found.len(), FILES);
    assert_eq!(found["datasets/acme/many/part-07/02957.txt"], b"row 2957\n");
    assert!(lock(&first).len() < 2_000, "a lock does not grow with the files of a release");
    ok(&first, &["sync"]).says(&["Nothing to do"]);
    ok(&first, &["verify"]);
    // One that is gone: not seen by the quick look of a large package, but by the one asked for.
    std::fs::remove_file(first.folder().join("datasets/acme/many/part-07/02957.txt")).unwrap();
    ok(&first, &["sync", "--check"]);
    assert_eq!(placed(&first).len(), FILES);
    // Part of it, chosen by a pattern.
    let text =
        first.text("Model.toml").unwrap().replace("\"1\"\n", "{ version = \"1\", include = [\"part-0[0-4]/*\"] }\n");
    first.write("Model.toml", text);
    let before = lock(&first);
    ok(&first, &["sync"]);
    assert_eq!((placed(&first).len(), lock(&first)), (300, before));
}

#[test]
fn two_projects_share_a_store() {
    let registry = registry();
    let rest = "[models]\n\"acme/minilm\" = \"1\"\n";
    let first = project(&registry, rest);
    ok(&first, &["sync"]);
    let second = Project::new().manifest(&first.text("Model.toml").unwrap()).variable("MPM_STORE", first.store());
    let ran = ok(&second, &["sync", "--json"]).json();
    assert_eq!((&ran["travel"]["blobs"], &ran["travel"]["reused-blobs"]), (&0.into(), &4.into()), "{ran}");
    assert_eq!(placed(&first), placed(&second));
    assert!(tree(&first.store()).len() < 40);
}
