//! Releases that count for nobody any more: a copy of everything leaves them out and says so, and readers learn why.

use super::{Keeper, reader};
use crate::flows::fixture::{folder, ok, project, registry};

const PINNED: &str = "[models]\n\"acme/minilm\" = \"=1.0.0\"\n";

#[test]
fn a_revoked_release_is_left_out_of_a_copy_of_everything() {
    let mut registry = registry();
    let locked = project(&registry, PINNED);
    ok(&locked, &["lock"]);
    let lock = locked.folder().join("Model.lock").display().to_string();
    // Made before, with the release in it.
    let older = Keeper::of(&registry, &folder(&registry));
    older.sync(&["--all"]);
    registry.revoke_release("acme/minilm", "1.0.0", "its weights were swapped");
    let keeper = Keeper::of(&registry, &folder(&registry));
    let told = ["warning", "acme/minilm 1.0.0: it is revoked: its weights were swapped"];
    ok(&keeper.project, &["mirror", "sync", &keeper.text(), "--all"]).says(&told);
    ok(&older.project, &["mirror", "sync", &older.text(), "--all"]).says(&told);
    let statement = format!("releases/{}.json", registry.statement_sha256("acme/minilm", "1.0.0"));
    assert!(!keeper.folder.join(&statement).exists() && older.folder.join(&statement).exists());
    for keeper in [&keeper, &older] {
        keeper.verify();
        // Whoever asks for it is told that it is revoked, not that a copy lacks it.
        let machine = reader(&registry, &keeper.folder, PINNED);
        let ran = machine.mpm(&["lock"]);
        assert!(ran.code != 0 && !ran.stderr.contains("not in this copy"), "{}", ran.stderr);
        let machine = reader(&registry, &keeper.folder, PINNED);
        machine.write("Model.lock", std::fs::read(&lock).unwrap());
        machine.mpm(&["sync", "--locked"]).expect(4).says(&["E0109", "its weights were swapped"]);
        ok(&reader(&registry, &keeper.folder, "[models]\n\"acme/minilm\" = \"1\"\n"), &["sync"]);
    }
    // What is no longer asked for goes.
    older.sync(&["--all", "--prune"]);
    assert!(older.verify()["extra"].as_array().unwrap().is_empty());
    // A lock that pins it is another matter: whoever has it must choose another release.
    let exact = Keeper::of(&registry, &folder(&registry));
    exact.project.mpm(&["mirror", "sync", &exact.text(), "--lock", &lock]).expect(4).says(&["E0109"]);
}

#[test]
fn releases_of_a_revoked_key_are_left_out_of_a_copy_of_everything() {
    let mut registry = registry();
    let old = registry.publisher("uci").clone();
    registry.handover("uci");
    registry.revoke_key(&old, "it was stolen");
    let keeper = Keeper::of(&registry, &folder(&registry));
    let ran = ok(&keeper.project, &["mirror", "sync", &keeper.text(), "--all"]);
    ran.says(&["uci/digits 1.0.0: without the signature of a key that is revoked too few are left"]);
    keeper.verify();
    ok(&reader(&registry, &keeper.folder, "[models]\n\"acme/minilm\" = \"1\"\n"), &["sync"]);
}
