//! Parts of a registry: by locks, names, patterns, variants and numbers of versions; and what such a copy lacks.

use super::{Keeper, reader};
use crate::flows::fixture::{elsewhere, folder, ok, placed, project, project_at, registry, tree};
use crate::hub::weights;
use crate::support::hub::Hub;
use crate::support::server::Server;

const REST: &str = "[models]\n\"acme/minilm\" = \"1\"\n\n[datasets]\n\"uci/digits\" = \"1\"\n";

/// Releases that lie in a mirror, `name version`.
fn releases(folder: &std::path::Path) -> Vec<String> {
    let mut found: Vec<String> = tree(&folder.join("releases"))
        .into_iter()
        .filter(|(path, _)| path.ends_with(".json"))
        .map(|(_, bytes)| {
            let statement = modelpm::statement::Statement::parse(&bytes).unwrap();
            format!("{} {}", statement.name, statement.version)
        })
        .collect();
    found.sort();
    found
}

#[test]
fn what_a_lock_pins_installs_from_the_copy_with_the_origin_cut_off() {
    let registry = registry();
    let server = Server::start(registry.folder());
    let origin = project_at(&registry, &format!("sparse+{}", server.url()), REST);
    ok(&origin, &["sync"]);
    let keeper = Keeper::of(&registry, &format!("sparse+{}", server.url()));
    let lock = origin.folder().join("Model.lock").display().to_string();
    let made = keeper.sync(&["--lock", &lock]);
    assert_eq!(made["releases"], 3);
    assert_eq!(releases(&keeper.folder), ["acme/minilm 1.1.0", "acme/vocab 1.1.0", "uci/digits 1.0.0"]);
    let looked = keeper.verify();
    assert_eq!(looked["releases"], serde_json::json!({ "whole": 3, "partial": 0, "absent": 3 }));
    let whole = placed(&origin);
    drop(server);

    // Another machine with the same lock; only Model.toml's address of the index is another.
    let cut = elsewhere(&origin);
    let text = origin.text("Model.toml").unwrap();
    let line = text.lines().find(|line| line.starts_with("index = ")).unwrap();
    cut.write("Model.toml", text.replace(line, &format!("index = \"{}\"", keeper.text())));
    ok(&cut, &["sync", "--locked"]);
    assert_eq!(placed(&cut), whole);
    assert_eq!(cut.text("Model.lock"), origin.text("Model.lock"));

    // What was not asked for is not in this copy: a matter of the copy (3), never of trust (4), and no such thing as absence.
    for (asked, what) in [("acme/minilm@=2.0.0", "acme/minilm 2.0.0"), ("acme/lora", "acme/lora")] {
        let ran = reader(&registry, &keeper.folder, "").mpm(&["add", asked]).expect(3).says(&[
            "E0111",
            what,
            "not in this copy",
        ]);
        assert!(!ran.stderr.contains("no package"), "{}", ran.stderr);
    }
    // What the leaf that is there does not name does not exist.
    let near = reader(&registry, &keeper.folder, "");
    near.mpm(&["add", "acme/nothing"]).expect(1).says(&["E0923"]);
}

#[test]
fn variants_narrow_what_comes_and_the_rest_is_not_in_this_copy() {
    let registry = registry();
    let keeper = Keeper::of(&registry, &folder(&registry));
    keeper.sync(&["acme/minilm@1.1", "--variant", "int8"]);
    let looked = keeper.verify();
    assert_eq!(looked["releases"]["partial"], 1, "{looked}");
    assert_eq!(looked["missing"]["files"], 1);
    assert_eq!(looked["missing-first"][0], "acme/minilm 1.1.0 model.safetensors");
    let small =
        reader(&registry, &keeper.folder, "[models]\n\"acme/minilm\" = { version = \"1\", variant = \"int8\" }\n");
    ok(&small, &["sync"]);
    let large = reader(&registry, &keeper.folder, "[models]\n\"acme/minilm\" = \"1\"\n");
    large.mpm(&["sync"]).expect(3).says(&["E0722", "not in this copy"]);
}

#[test]
fn names_patterns_and_numbers_of_versions_join_and_what_is_needed_comes_along() {
    let registry = registry();
    for (asked, expected) in [
        (&["acme/lora"][..], &["acme/lora 1.0.0", "acme/minilm 1.0.0", "acme/vocab 1.1.0"][..]),
        (&["acme/minilm@2"], &["acme/minilm 2.0.0", "acme/vocab 1.1.0"]),
        (&["acme/minilm", "--newest", "1"], &["acme/minilm 2.0.0", "acme/vocab 1.1.0"]),
        (&["uci/*", "acme/v*"], &["acme/vocab 1.0.0", "acme/vocab 1.1.0", "uci/digits 1.0.0"]),
        (
            &["--all", "--newest", "1"],
            &[
                "acme/either 1.0.0",
                "acme/lora 1.0.0",
                "acme/minilm 1.0.0",
                "acme/minilm 2.0.0",
                "acme/vocab 1.1.0",
                "uci/digits 1.0.0",
            ],
        ),
    ] {
        let keeper = Keeper::of(&registry, &folder(&registry));
        keeper.sync(asked);
        assert_eq!(releases(&keeper.folder), expected, "{asked:?}");
        assert_eq!(keeper.verify()["releases"]["partial"], 0, "{asked:?}");
    }
}

#[test]
fn another_part_joins_what_is_there_and_a_prune_leaves_the_last_alone() {
    let mut registry = registry();
    let keeper = Keeper::of(&registry, &folder(&registry));
    keeper.sync(&["uci/digits"]);
    // A new checkpoint, of which the first part knows nothing.
    registry.release("acme/vocab", "1.2.0").file("vocab.txt", "four\n").publish();
    keeper.sync(&["acme/vocab", "--newest", "1"]);
    let both =
        reader(&registry, &keeper.folder, "[models]\n\"acme/vocab\" = \"1\"\n\n[datasets]\n\"uci/digits\" = \"1\"\n");
    ok(&both, &["sync"]);
    std::fs::write(keeper.folder.join("index.html"), "<p>mirror</p>\n").unwrap();
    let stray = keeper.folder.join("blobs/sha256/aa");
    std::fs::create_dir_all(&stray).unwrap();
    std::fs::write(stray.join("a".repeat(64)), "of somebody else").unwrap();

    let before = tree(&keeper.folder);
    let told = keeper.sync(&["acme/vocab", "--newest", "1", "--prune", "--dry-run"]);
    assert_eq!(tree(&keeper.folder), before, "only told");
    let pruned = keeper.sync(&["acme/vocab", "--newest", "1", "--prune"]);
    assert_eq!(told["pruned"], pruned["pruned"]);
    assert_eq!(releases(&keeper.folder), ["acme/vocab 1.2.0"]);
    assert!(!keeper.folder.join("packages/uci").exists());
    // What the run did not place stays, and nodes stay for readers of the checkpoint before.
    assert!(keeper.folder.join("index.html").exists() && stray.join("a".repeat(64)).exists());
    let gone: Vec<&String> = before.keys().filter(|path| !keeper.folder.join(path).exists()).collect();
    assert!(gone.iter().all(|path| !path.starts_with("tree/") && !path.starts_with("trust/root")), "{gone:?}");
    ok(&reader(&registry, &keeper.folder, "[models]\n\"acme/vocab\" = \"1\"\n"), &["sync"]);
    let cut = reader(&registry, &keeper.folder, "[datasets]\n\"uci/digits\" = \"1\"\n");
    cut.mpm(&["sync"]).expect(3).says(&["not in this copy"]);
    assert_eq!(keeper.sync(&["acme/vocab", "--newest", "1", "--prune"])["pruned"]["files"], 0);
}

#[test]
fn files_in_lists_come_with_their_lists() {
    let mut registry = registry();
    let mut release = registry.release("uci/rows", "1.0.0").dataset();
    for number in 0..40 {
        release = release.file(&format!("rows/{number:02}.txt"), format!("row {number}\n"));
    }
    release.in_lists(15).publish();
    let keeper = Keeper::of(&registry, &folder(&registry));
    let told = keeper.sync(&["uci/rows", "-n"]);
    // Before the lists are read, they say how much they name.
    let made = keeper.sync(&["uci/rows"]);
    assert!(told["fetched"]["bytes"].as_u64() >= made["fetched"]["bytes"].as_u64(), "{told} {made}");
    assert_eq!((made["there"]["files"].as_u64(), made["fetched"]["files"].as_u64()), (Some(0), Some(43)));
    assert_eq!(keeper.verify()["releases"]["whole"], 1);
    ok(&reader(&registry, &keeper.folder, "[datasets]\n\"uci/rows\" = \"1\"\n"), &["sync"]);
}

#[test]
fn sources_of_the_hub_that_a_lock_pins_come_by_digest() {
    let registry = registry();
    let hub = Hub::start();
    hub.model("org/tiny").file("config.json", "{}\n").lfs("model.safetensors", weights(300_000, 7)).commit("main");
    let rest = "[models]\n\"acme/vocab\" = \"1\"\ntiny = { hf = \"org/tiny\", revision = \"main\" }\n";
    let origin = project(&registry, rest).variable("HF_ENDPOINT", hub.url());
    ok(&origin, &["lock"]);
    let keeper = Keeper::of(&registry, &folder(&registry));
    let keeper = Keeper { project: keeper.project.variable("HF_ENDPOINT", hub.url()), ..keeper };
    let lock = origin.folder().join("Model.lock").display().to_string();
    let made = keeper.sync(&["--lock", &lock]);
    assert_eq!(made["sources"][0], "hf:org/tiny@main");
    assert_eq!(keeper.verify()["extra"], serde_json::json!([]));
    drop(hub);
    let cut = elsewhere(&origin)
        .config(&format!("[hub]\nendpoint = \"http://127.0.0.1:9\"\nmirrors = [\"{}\"]\n", keeper.text()));
    ok(&cut, &["sync", "--locked"]);
    assert_eq!(cut.read("models/tiny/model.safetensors").unwrap(), weights(300_000, 7));
}

#[test]
fn a_copy_of_a_part_is_copied_as_far_as_it_goes() {
    let registry = registry();
    let first = Keeper::of(&registry, &folder(&registry));
    first.sync(&["acme/minilm@1.1", "--variant", "int8"]);
    let second = Keeper::of(&registry, &first.text());
    second.project.mpm(&["mirror", "sync", &second.text(), "--all"]).expect(3).says(&["E0111", "not in this copy"]);
    let made = second.sync(&["--all", "--available"]);
    assert!(made["left-out"].as_array().unwrap().iter().any(|what| what == "acme/minilm 1.0.0"), "{made}");
    second.verify();
    let rest = "[models]\n\"acme/minilm\" = { version = \"1\", variant = \"int8\" }\n";
    ok(&reader(&registry, &second.folder, rest), &["sync"]);
}

#[test]
fn chunk_indexes_come_with_what_they_are_of() {
    let mut registry = registry();
    let weights = crate::support::blob::safetensors(77, 200_000);
    // What it says decides nothing for who copies it: it is a blob like any other.
    let index = b"the index of some chunks".to_vec();
    registry.put_blob(&index);
    registry
        .release("acme/large", "1.0.0")
        .file("model.safetensors", &weights)
        .chunks("model.safetensors", &index)
        .publish();
    let keeper = Keeper::of(&registry, &folder(&registry));
    assert_eq!(keeper.sync(&["acme/large"])["fetched"]["files"], 2);
    let place = keeper.folder.join(modelpm::sys::blob_path(&modelpm::model::Sha256::of(&index)));
    assert_eq!(std::fs::read(&place).unwrap(), index);
    assert_eq!(keeper.verify()["releases"]["whole"], 1);
    std::fs::remove_file(&place).unwrap();
    let status = ok(&keeper.project, &["--json", "mirror", "status", &keeper.text()]).json();
    assert_eq!(status["missing-first"][0], "acme/large 1.0.0 model.safetensors (chunk index)");
}

#[test]
fn a_lock_chooses_among_what_a_copy_has_where_that_is_asked_for() {
    let registry = registry();
    let keeper = Keeper::of(&registry, &folder(&registry));
    keeper.sync(&["acme/minilm@=1.0.0"]);
    let machine = reader(&registry, &keeper.folder, "[models]\n\"acme/minilm\" = \"1\"\n");
    machine.mpm(&["lock"]).expect(3).says(&["E0111", "acme/minilm 1.1.0", "not in this copy"]);
    ok(&machine, &["lock", "--available"]).says(&["2 of 3 releases of acme/minilm are not in this copy of acme"]);
    assert!(crate::flows::fixture::locks(&machine, "acme/minilm@1.0.0"));
    ok(&machine, &["sync", "--locked"]);
    // A package of which nothing is there is not said to be absent.
    let other = reader(&registry, &keeper.folder, "[models]\n\"acme/lora\" = \"1\"\n");
    let ran = other.mpm(&["lock", "--available"]);
    ran.expect(1).says(&["0 of 0 releases of acme/lora are not in this copy"]);
}

#[test]
fn packs_come_whole_and_the_files_in_them_install() {
    let author = crate::support::project::Project::new();
    ok(&author, &["key", "new", "main.key", "--no-password"]);
    ok(&author, &["index", "init", "index", "--id", "mine", "--namespace", "me", "--demo"]);
    for number in 0..300 {
        author.write(&format!("pub/out/rows/{number:03}.txt"), format!("row {number}\n").repeat(40));
    }
    let package = "[package]\nname = \"me/rows\"\nversion = \"1.0.0\"\nkind = \"dataset\"\ndir = \"out\"\n";
    author.write("pub/Model.toml", package);
    let keys = ["--key", "../main.key", "--index-key", "../index.key"];
    ok(&author, &[&["-C", "pub", "publish", "--registry", "../index"][..], &keys].concat());
    let index = author.folder().join("index");
    let root = modelpm::model::Sha256::of(&std::fs::read(index.join("trust/root/1.json")).unwrap()).prefixed();
    let manifest = |index: &str| {
        format!(
            "[project]\nname = \"p\"\n[registries.mine]\nindex = \"{index}\"\nroot = \"{root}\"\n[datasets]\n\"me/rows\" = \"1\"\n"
        )
    };
    let keeper = crate::support::project::Project::new().manifest(&manifest(&index.display().to_string()));
    let to = keeper.home().join("mirror").display().to_string();
    let made = ok(&keeper, &["--json", "mirror", "sync", &to, "--all"]).json();
    assert!(made["fetched"]["files"].as_u64().unwrap() < 10, "300 files in packs: {made}");
    let looked = ok(&keeper, &["--json", "mirror", "verify", &to]).json();
    assert_eq!((&looked["releases"]["whole"], &looked["extra"]), (&1.into(), &serde_json::json!([])));
    let machine = crate::support::project::Project::new().manifest(&manifest(&to));
    ok(&machine, &["sync"]);
    assert_eq!(placed(&machine).len(), 300);
    assert_eq!(machine.text("datasets/me/rows/rows/007.txt").unwrap(), "row 7\n".repeat(40));
}
