//! How a lock changes: as little as it can, and never behind somebody's back.

use super::fixture::{elsewhere, lock, locks, ok, paths, placed, project, registry, wants};
use crate::support::blob;
use crate::support::registry::TestRegistry;

fn publish(registry: &mut TestRegistry, name: &str, version: &str) {
    registry.release(name, version).file("model.safetensors", blob::safetensors(77, 100)).publish();
}

/// Lines that differ between two locks.
fn differing(before: &str, after: &str) -> Vec<String> {
    let old: std::collections::BTreeSet<&str> = before.lines().collect();
    after.lines().filter(|line| !old.contains(line)).map(str::to_owned).collect()
}

#[test]
fn update_stays_within_the_requirements() {
    let mut registry = registry();
    let project = project(&registry, "[models]\n\"acme/minilm\" = \"~1.0\"\n\"acme/lora\" = \"1\"\n");
    ok(&project, &["sync"]);
    publish(&mut registry, "acme/minilm", "1.0.5");
    publish(&mut registry, "acme/minilm", "1.2.0");
    publish(&mut registry, "acme/lora", "1.3.0");
    let before = lock(&project);
    ok(&project, &["sync"]);
    ok(&project, &["lock"]);
    assert_eq!(lock(&project), before, "nothing newer is taken unasked");
    ok(&project, &["update", "--dry-run"]).says(&["1.0.5", "1.3.0"]);
    assert_eq!(lock(&project), before);
    ok(&project, &["update", "acme/lora"]).says(&["1.3.0"]);
    assert!(locks(&project, "acme/lora@1.3.0") && locks(&project, "acme/minilm@1.0.0"));
    ok(&project, &["update"]);
    assert!(locks(&project, "acme/minilm@1.0.5") && !locks(&project, "acme/minilm@1.0.0"));
    ok(&project, &["update"]).says(&["Nothing newer"]);
    let update = project.mpm(&["update", "acme/lura"]).expect(1);
    update.says(&["acme/lora"]);
    // The lock alone was changed.
    assert!(placed(&project).contains_key("models/acme/lora/adapter.safetensors"));
    ok(&project, &["sync"]);
    assert!(!placed(&project).contains_key("models/acme/lora/adapter.safetensors"));
}

#[test]
fn a_yanked_release_is_not_chosen_and_kept_where_it_is_locked() {
    let mut registry = registry();
    let rest = "[models]\n\"acme/minilm\" = \"1\"\n";
    let keeper = project(&registry, rest);
    ok(&keeper, &["sync"]);
    registry.yank("acme/minilm", "1.1.0", "the tokenizer is of another model");
    let fresh = project(&registry, rest);
    ok(&fresh, &["sync"]);
    assert!(locks(&fresh, "acme/minilm@1.0.0"));
    ok(&fresh, &["info", "acme/minilm"]);
    let told = ok(&fresh, &["info", "acme/minilm"]).stdout;
    assert!(told.contains("the tokenizer is of another model"), "{told}");
    // Who has it keeps it, also where something else changes, and on another machine.
    wants(&keeper, &registry, &format!("{rest}\"acme/lora\" = \"1\"\n"));
    ok(&keeper, &["sync"]);
    assert!(locks(&keeper, "acme/minilm@1.1.0"));
    let other = elsewhere(&keeper);
    ok(&other, &["sync", "--locked"]);
    assert_eq!(placed(&other), placed(&keeper));
    // An exact wish for it says why not.
    wants(&fresh, &registry, "[models]\n\"acme/minilm\" = \"=1.1.0\"\n");
    fresh.mpm(&["sync"]).expect(1).says(&["1.1.0", "yanked"]);
    registry.unyank("acme/minilm", "1.1.0", "it was the right one");
    ok(&fresh, &["sync"]);
    assert!(locks(&fresh, "acme/minilm@1.1.0"));
}

#[test]
fn an_edit_that_admits_the_locked_version_changes_nothing_in_the_lock() {
    let mut registry = registry();
    let project = project(&registry, "[models]\n\"acme/minilm\" = \"=1.0.0\"\n");
    ok(&project, &["sync"]);
    let before = lock(&project);
    publish(&mut registry, "acme/vocab", "1.9.0");
    for edit in ["\"1\"", "\">=1, <3\"", "{ version = \"*\", variant = \"int8\" }"] {
        wants(&project, &registry, &format!("# a comment\n[models]\n\"acme/minilm\" = {edit}\n"));
        ok(&project, &["lock", "--check"]);
        ok(&project, &["sync", "--locked"]);
        ok(&project, &["sync"]);
        assert_eq!(lock(&project), before, "{edit}");
    }
    // One more dependency adds its own lines, and its registry's floor.
    wants(
        &project,
        &registry,
        "[models]\n\"acme/minilm\" = \"1\"\n\"acme/either\" = { version = \"1\", variant = \"small\" }\n",
    );
    ok(&project, &["sync"]);
    let lines = differing(&before, &lock(&project));
    assert!(
        lines.iter().all(|line| line.contains("either")
            || line.contains("sha256:")
            || line.contains("size")
            || line.contains("floor")),
        "{lines:#?}"
    );
    assert!(lock(&project).contains("acme:acme/minilm@1.0.0"));
}

#[test]
fn lock_check_gives_every_reason() {
    let registry = registry();
    let project = project(&registry, "[models]\n\"acme/minilm\" = \"1\"\n\"acme/lora\" = \"1\"\n");
    let ran = project.mpm(&["lock", "--check"]).expect(1);
    ran.says(&["Model.lock"]);
    ok(&project, &["sync"]);
    ok(&project, &["lock", "--check"]);
    let (before, files) = (lock(&project), placed(&project));
    wants(&project, &registry, "[models]\n\"acme/minilm\" = \"2\"\n\"acme/vocab\" = \"1\"\n");
    let ran = project.mpm(&["lock", "--check"]).expect(1);
    ran.says(&["acme/minilm asks for version 2", "1.1.0", "acme/vocab", "acme/lora"]);
    for arguments in [&["sync", "--locked"][..], &["sync", "--frozen"], &["fetch", "--locked"]] {
        project.mpm(arguments).expect(1).says(&["acme/minilm"]);
        assert_eq!((lock(&project), placed(&project)), (before.clone(), files.clone()), "{arguments:?}");
    }
    ok(&project, &["lock"]);
    ok(&project, &["lock", "--check"]);
    assert_eq!(placed(&project), files, "lock places nothing");
}

#[test]
fn conflict_markers_are_healed_by_lock_and_refused_when_locked() {
    let mut registry = registry();
    let both = "[models]\n\"acme/lora\" = \"1\"\n\"acme/minilm\" = \"1\"\n";
    let project = project(&registry, "[models]\n\"acme/minilm\" = \"=1.0.0\"\n");
    ok(&project, &["lock"]);
    let ours = lock(&project);
    publish(&mut registry, "acme/other", "1.0.0");
    wants(&project, &registry, "[models]\n\"acme/minilm\" = \"=1.1.0\"\n");
    ok(&project, &["lock"]);
    let theirs = lock(&project);
    wants(&project, &registry, both);
    let conflict = format!("<<<<<<< ours\n{ours}=======\n{theirs}>>>>>>> theirs\n");
    project.write("Model.lock", &conflict);
    project.mpm(&["sync", "--locked"]).expect(1).says(&["conflict"]);
    project.mpm(&["lock", "--check"]).expect(1).says(&["conflict"]);
    assert_eq!(lock(&project), conflict);
    ok(&project, &["sync"]);
    let healed = lock(&project);
    assert!(!healed.contains("<<<") && locks(&project, "acme/minilm@1.0.0"), "{healed}");
    ok(&project, &["sync", "--locked"]).says(&["Nothing to do"]);
    assert!(paths(&project).iter().any(|path| path.starts_with("models/acme/lora/")));
}
