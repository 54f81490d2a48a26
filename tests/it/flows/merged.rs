//! Two people change Model.toml on two branches, and git merges: with the real git.

use std::process::Command;

use super::fixture::{elsewhere, folder, lock, locks, manifest, ok, paths, placed, registry};
use crate::support::blob;
use crate::support::project::Project;
use crate::support::registry::{TestRegistry, git};

/// Model.toml with its parts far enough apart for git to merge them.
fn text(registry: &TestRegistry, models: &str, datasets: &str, profile: &str) -> String {
    let space = "\n# --\n# --\n# --\n# --\n\n";
    manifest(
        registry,
        &folder(registry),
        &format!("[models]\n{models}{space}[datasets]\n{datasets}{space}[profiles.small]\n{profile}"),
    )
}

/// The lock without its floors, which rise with the index.
fn without_floors(lock: &str) -> String {
    lock.lines().filter(|line| !line.starts_with("floor")).map(|line| format!("{line}\n")).collect()
}

fn floors(lock: &str) -> Vec<&str> {
    lock.lines().filter(|line| line.starts_with("floor")).collect()
}

/// Merges; returns whether git found a conflict.
fn merge(project: &Project, branch: &str) -> bool {
    let status = Command::new("git")
        .current_dir(project.folder())
        .args(["-c", "user.name=test", "-c", "user.email=test@example.invalid", "merge", "-q", "--no-edit", branch])
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .expect("git is installed")
        .status;
    !status.success()
}

#[test]
fn a_merged_lock_is_healed_to_what_a_fresh_lock_with_both_sides_versions_would_be() {
    let mut registry = registry();
    let both = "\"acme/lora\" = \"1\"\n\"acme/minilm\" = \"1\"\n";
    let project = Project::new();
    let commit = |message: &str| {
        git(&project.folder(), &["add", "Model.toml", "Model.lock", ".gitattributes"]);
        git(&project.folder(), &["commit", "-q", "-m", message]);
    };
    ok(&project, &["init"]);
    let profile = "\"acme/minilm\" = \"int8\"\n";
    project.write("Model.toml", text(&registry, "\"acme/minilm\" = \"1\"\n", "", profile));
    git(&project.folder(), &["init", "-q", "-b", "main"]);
    ok(&project, &["lock"]);
    commit("base");

    // One adds an adapter; it brings the version of the model that it needs.
    git(&project.folder(), &["checkout", "-q", "-b", "adapter"]);
    project.write("Model.toml", text(&registry, both, "", profile));
    ok(&project, &["lock"]);
    commit("adapter");
    let theirs = lock(&project);

    // The other adds a dataset, later: a newer adapter, vocabulary and dataset came meanwhile.
    for version in ["1.0.0", "1.0.1", "1.1.0"] {
        registry.release("acme/corpus", version).dataset().file("README.md", format!("# {version}\n")).publish();
    }
    git(&project.folder(), &["checkout", "-q", "main"]);
    project.write("Model.toml", text(&registry, "\"acme/minilm\" = \"1\"\n", "\"acme/corpus\" = \"1\"\n", profile));
    ok(&project, &["lock"]);
    ok(&project, &["update", "--precise", "1.0.1", "acme/corpus"]);
    commit("dataset");
    let ours = lock(&project);
    registry.release("acme/lora", "1.9.0").file("adapter.safetensors", blob::safetensors(90, 60)).publish();
    registry.release("acme/vocab", "1.9.0").file("vocab.txt", "nine\n").publish();
    registry.release("acme/corpus", "1.9.0").dataset().file("README.md", "# 1.9\n").publish();

    assert!(merge(&project, "adapter"), "git merged the locks by itself");
    let merged = text(&registry, both, "\"acme/corpus\" = \"1\"\n", profile);
    assert_eq!(project.text("Model.toml").unwrap(), merged, "git merged the manifest");
    let conflict = lock(&project);
    assert!(conflict.contains("<<<<<<< ") && conflict.contains(">>>>>>> "), "{conflict}");
    for arguments in [&["lock", "--check"][..], &["lock", "--locked"], &["sync", "--locked"]] {
        project.mpm(arguments).expect(1).says(&["E0910", "merge-conflict markers", "mpm lock"]);
        assert_eq!(lock(&project), conflict, "{arguments:?}");
    }
    for command in ["list", "tree", "outdated"] {
        project.mpm(&[command]).expect(1).says(&["E0910", "merge-conflict markers"]);
    }

    ok(&project, &["lock"]);
    let healed = lock(&project);
    assert!(locks(&project, "acme/lora@1.0.0") && locks(&project, "acme/corpus@1.0.1"), "{healed}");

    // The same as a fresh lock of the merged manifest in which both sides' versions are asked for.
    let fresh = Project::new().manifest(&merged);
    ok(&fresh, &["lock"]);
    for (version, name) in [("1.0.0", "acme/lora"), ("1.0.1", "acme/corpus"), ("1.1.0", "acme/vocab")] {
        ok(&fresh, &["update", "--precise", version, name]);
    }
    assert_eq!(without_floors(&healed), without_floors(&lock(&fresh)));
    // Floors take the higher of both sides, and nothing beyond: no entry is new.
    assert_eq!(floors(&healed), floors(&ours).max(floors(&theirs)));

    // Healed for good, for everybody, in every profile.
    ok(&project, &["lock", "--check"]);
    ok(&project, &["lock"]);
    assert_eq!(lock(&project), healed);
    commit("merged");
    let other = elsewhere(&project);
    ok(&other, &["sync", "--locked", "--profile", "small"]);
    let small = placed(&other)["models/acme/minilm/model.safetensors"].len();
    ok(&other, &["sync", "--locked"]);
    assert!(placed(&other)["models/acme/minilm/model.safetensors"].len() > small);
    assert!(paths(&other).iter().any(|path| path.starts_with("datasets/acme/corpus/")));
    let told = ok(&project, &["diff", "HEAD^1..HEAD"]).stdout;
    assert!(told.contains("+ acme:acme/lora 1.0.0") && !told.contains("acme/corpus"), "{told}");
}

#[test]
fn where_the_sides_differ_ours_stays_if_the_merged_manifest_admits_it() {
    let registry = registry();
    let project = Project::new();
    ok(&project, &["init"]);
    let at = |requirement: &str| text(&registry, &format!("\"acme/minilm\" = \"{requirement}\"\n"), "", "");
    project.write("Model.toml", at("1"));
    git(&project.folder(), &["init", "-q", "-b", "main"]);
    let save = |requirement: &str, precise: &str| {
        project.write("Model.toml", at(requirement));
        ok(&project, &["lock"]);
        ok(&project, &["update", "--precise", precise, "acme/minilm"]);
        git(&project.folder(), &["add", "Model.toml", "Model.lock"]);
        git(&project.folder(), &["commit", "-q", "--allow-empty", "-m", precise]);
    };
    save("1", "1.1.0");
    git(&project.folder(), &["checkout", "-q", "-b", "two"]);
    save("2", "2.0.0");
    git(&project.folder(), &["checkout", "-q", "main"]);
    save("1", "1.0.0");
    assert!(merge(&project, "two"));
    // Theirs changed the requirement, ours the lock alone: what the merged line admits decides.
    assert!(project.text("Model.toml").unwrap().contains("\"acme/minilm\" = \"2\""));
    ok(&project, &["sync"]);
    assert!(locks(&project, "acme/minilm@2.0.0") && !locks(&project, "acme/minilm@1.0.0"));
    // Both sides' versions are admitted: ours.
    project.write("Model.toml", at("*"));
    git(&project.folder(), &["add", "-A"]);
    git(&project.folder(), &["commit", "-q", "-m", "merged"]);
    git(&project.folder(), &["checkout", "-q", "-b", "three"]);
    save("*", "1.1.0");
    git(&project.folder(), &["checkout", "-q", "main"]);
    save("*", "1.0.0");
    assert!(merge(&project, "three"));
    ok(&project, &["lock"]);
    assert!(locks(&project, "acme/minilm@1.0.0") && !locks(&project, "acme/minilm@1.1.0"));
}
