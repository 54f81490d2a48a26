//! Daily flows as people type and read them; the texts are kept in tests/golden/transcripts.

use std::process::Command;

use crate::flows::fixture::{self, manifest};
use crate::hub::{machine, weights};
use crate::support::hub::Hub;
use crate::support::peers;
use crate::support::project::Project;
use crate::support::transcript::Transcript;
use crate::wrong::in_mounts;

#[test]
fn first_use() {
    let project = Project::new();
    let mut session = Transcript::new(&project);
    session.types("sync");
    session.types("init");
    session.types("add demo/digits-mlp");
    session.types("list");
    session.types("sync");
    session.types("path demo/digits-mlp");
    session.types("run -- true");
    session.types("verify");
    session.matches("first-use");
}

#[test]
fn typing_errors() {
    let project = Project::new().manifest("[project]\nname = \"service\"\n");
    let mut session = Transcript::new(&project);
    session.types("ad demo/digits-mlp");
    session.types("add demo/digist-mlp");
    session.types("add digits-mlp");
    session.types("add demo/digits-mlp@^9");
    session.types("add demo/digits-mlp --variant int9");
    session.types("add acme/minilm");
    project.write("Model.toml", "[project]\nname = \"service\"\n\n[modles]\n\"demo/digits\" = \"1\"\n");
    session.note("Model.toml now has [modles]");
    session.types("sync");
    session.matches("typing-errors");
}

#[test]
fn the_network_is_gone() {
    let registry = fixture::registry();
    let project = fixture::project_at(&registry, "sparse+http://127.0.0.1:9/", "[models]\n\"acme/minilm\" = \"1\"\n");
    let mut session = Transcript::new(&project);
    session.types("sync");
    project
        .write("Model.toml", manifest(&registry, &fixture::folder(&registry), "[models]\n\"acme/minilm\" = \"1\"\n"));
    session.note("once from a copy of the index in a folder");
    session.types("sync");
    project
        .write("Model.toml", manifest(&registry, "sparse+http://127.0.0.1:9/", "[models]\n\"acme/minilm\" = \"1\"\n"));
    std::fs::remove_dir_all(project.folder().join("models")).unwrap();
    session.note("the same lock, the index away again, the placed files gone");
    session.types("sync --locked");
    session.types("update");
    session.types("add acme/lora --offline");
    session.matches("network-gone");
}

#[test]
fn a_stale_lock() {
    let registry = fixture::registry();
    let project = fixture::project(&registry, "[models]\n\"acme/minilm\" = \"~1.0\"\n");
    let mut session = Transcript::new(&project).called(fixture::folder(&registry), "/srv/acme");
    session.types("sync");
    fixture::wants(&project, &registry, "[models]\n\"acme/minilm\" = \"2\"\n\"acme/lora\" = \"1\"\n");
    session.note("Model.toml now asks for acme/minilm 2 and acme/lora 1");
    session.types("sync --locked");
    session.types("lock --check");
    session.types("run -- true");
    session.types("sync");
    session.types("sync --locked");
    session.matches("stale-lock");
}

#[test]
fn a_merge_conflict() {
    let Some(git) = peers::peer("git") else { return };
    let registry = fixture::registry();
    let rest = |more: &str| format!("[models]\n\"acme/vocab\" = \"1\"\n{more}");
    let project = fixture::project(&registry, &rest(""));
    let git = |arguments: &[&str]| {
        let mut command = Command::new(&git);
        command.current_dir(project.folder()).env_clear().env("HOME", project.home()).env("GIT_CONFIG_NOSYSTEM", "1");
        command.args(["-c", "user.name=me", "-c", "user.email=me@site.example", "-c", "init.defaultBranch=main"]);
        command.args(arguments).output().unwrap().status.success()
    };
    assert!(git(&["init", "--quiet"]));
    fixture::ok(&project, &["lock"]);
    assert!(git(&["add", "."]) && git(&["commit", "--quiet", "-m", "begin"]));
    assert!(git(&["checkout", "--quiet", "-b", "other"]));
    fixture::wants(&project, &registry, &rest("\"acme/lora\" = \"1\"\n"));
    fixture::ok(&project, &["lock"]);
    assert!(git(&["commit", "--quiet", "-am", "lora"]) && git(&["checkout", "--quiet", "main"]));
    fixture::wants(&project, &registry, &rest("\"acme/minilm\" = \"2\"\n"));
    fixture::ok(&project, &["lock"]);
    assert!(git(&["commit", "--quiet", "-am", "minilm"]));
    assert!(!git(&["merge", "other"]), "both sides changed the same place");
    fixture::wants(&project, &registry, &rest("\"acme/lora\" = \"1\"\n\"acme/minilm\" = \"2\"\n"));
    let mut session = Transcript::new(&project).called(fixture::folder(&registry), "/srv/acme");
    session.note("git merged with conflict markers; those in Model.toml are resolved by hand");
    session.types("sync --locked");
    session.types("lock --check");
    session.types("lock");
    session.types("lock --check");
    session.types("diff");
    session.types("sync");
    session.matches("merge-conflict");
}

#[test]
fn the_disk_is_full() {
    let registry = fixture::registry();
    let project = fixture::project(&registry, "[models]\n\"acme/minilm\" = \"1\"\n");
    let store = project.store();
    std::fs::create_dir_all(&store).unwrap();
    let small = format!("mount -t tmpfs -o size=1m tmpfs '{}'", store.display());
    let Some(ran) = in_mounts(&project, &small, &["sync"]) else { return };
    let mut session = Transcript::new(&project).called(fixture::folder(&registry), "/srv/acme");
    session.reads("sync", &ran);
    session.note("somebody made room");
    session.types("sync");
    session.types("store size");
    session.matches("disk-full");
}

#[test]
fn upgrading() {
    let mut registry = fixture::registry();
    let project = fixture::project(&registry, "[models]\n\"acme/minilm\" = \"~1.0\"\n\"acme/vocab\" = \"1\"\n");
    fixture::ok(&project, &["sync"]);
    registry.release("acme/minilm", "1.0.5").file("config.json", "{\"seed\": 5}\n").publish();
    registry.yank("acme/minilm", "1.0.0", "the tokenizer is of another model");
    let mut session = Transcript::new(&project).called(fixture::folder(&registry), "/srv/acme");
    session.note("1.0.5 was published, 1.0.0 was yanked");
    session.types("sync");
    session.types("update --dry-run");
    session.types("update");
    session.types("sync");
    session.types("info acme/minilm");
    session.types("update");
    session.matches("upgrading");
}

#[test]
fn a_model_from_the_hub() {
    let hub = Hub::start();
    let draft = hub.model("Qwen/Qwen3-0.6B").file("config.json", "{\"model_type\": \"qwen3\"}\n");
    draft.lfs("model.safetensors", weights(3_000_000, 1)).commit("main");
    hub.model("meta/gated").file("config.json", "{}\n").gated().commit("main");
    hub.model("org/old")
        .file("config.json", "{}\n")
        .file("modeling.py", "import os\n")
        .lfs("pytorch_model.bin", b"\x80\x02x.".to_vec())
        .commit("main");
    let project = machine(&hub);
    let mut session = Transcript::new(&project);
    session.types("add hf:Qwen/Qwen3-0.6b");
    session.types("add hf:meta/gated");
    session.types("add hf:org/old");
    session.types("add hf:Qwen/Qwen3-0.6B --as qwen");
    hub.model("Qwen/Qwen3-0.6B").file("config.json", "{\"model_type\": \"qwen4\"}\n").commit("main");
    session.note("the branch moves");
    session.types("sync");
    session.types("update --dry-run");
    session.types("update qwen");
    session.types("sync");
    session.types("get hf:Qwen/Qwen3-0.6B --include config.json --to there");
    session.types("remove qwen");
    session.matches("hub");
}
