//! What a client refuses although every byte is signed: going back, other keys, what was revoked, another root.

use super::fixture::{elsewhere, folder, lock, locks, ok, paths, placed, project, registry, wants};
use crate::support::blob;
use crate::support::registry::TestRegistry;

const REST: &str = "[models]\n\"acme/minilm\" = \"1\"\n";

fn publish(registry: &mut TestRegistry, name: &str, version: &str) {
    registry.release(name, version).file("model.safetensors", blob::safetensors(78, 100)).publish();
}

#[test]
fn an_index_that_went_back_is_refused_by_memory_and_by_the_lock() {
    let mut registry = registry();
    let place = tempfile::tempdir().unwrap();
    let old = place.path().join("old");
    registry.copy_to(&old);
    publish(&mut registry, "acme/minilm", "1.2.0");
    let machine = project(&registry, REST);
    ok(&machine, &["sync"]);
    let fresh = elsewhere(&machine);
    let back = |text: String| text.replace(&folder(&registry), &old.display().to_string());
    for project in [&machine, &fresh] {
        project.write("Model.toml", back(project.text("Model.toml").unwrap()));
    }
    let (before, files) = (lock(&machine), placed(&machine));
    machine.mpm(&["update"]).expect(4);
    machine.mpm(&["add", "acme/lora"]).expect(4);
    assert_eq!((lock(&machine), placed(&machine)), (before.clone(), files));
    // What is installed stays in use: nothing has to be read.
    ok(&machine, &["sync", "--locked"]);
    fresh.mpm(&["sync", "--locked"]).expect(4);
    fresh.mpm(&["sync"]).expect(4);
    assert_eq!((lock(&fresh), paths(&fresh)), (before, Vec::new()));
}

#[test]
fn the_floor_rises_with_an_entry_of_its_registry_alone() {
    let mut registry = registry();
    let machine = project(&registry, "[models]\n\"acme/minilm\" = \"=1.0.0\"\n");
    ok(&machine, &["sync"]);
    let floor = |text: &str| text.lines().find(|line| line.starts_with("floor.checkpoint")).unwrap().to_owned();
    let first = floor(&lock(&machine));
    publish(&mut registry, "acme/other", "1.0.0");
    ok(&machine, &["update"]);
    assert_eq!(floor(&lock(&machine)), first);
    ok(&machine, &["add", "acme/lora"]);
    let second = floor(&lock(&machine));
    assert_ne!(second, first);
    ok(&machine, &["remove", "acme/lora"]);
    assert!(floor(&lock(&machine)) >= second, "a floor never falls");
}

#[test]
fn other_signers_are_a_question_and_a_handover_is_none() {
    let mut registry = registry();
    let machine = project(&registry, REST);
    ok(&machine, &["sync"]);
    let old = registry.publisher("acme").public().fingerprint();
    registry.retire("acme");
    publish(&mut registry, "acme/minilm", "1.2.0");
    let new = registry.publisher("acme").public().fingerprint();
    let before = lock(&machine);
    for machine in [&machine, &elsewhere(&machine)] {
        let refused = machine.mpm(&["update"]).expect(4);
        refused.says(&["acme/minilm", &old.short(), &new.short(), "--accept-key"]);
        assert_eq!(lock(machine), before);
        machine.mpm(&["update", "--yes"]).expect(4);
    }
    // Who stays with what is locked is asked nothing.
    ok(&elsewhere(&machine), &["sync", "--locked"]);
    ok(&machine, &["update", "--accept-key", &new.hex()]);
    assert!(locks(&machine, "acme/minilm@1.2.0"));
    ok(&machine, &["sync"]);
    registry.handover("acme");
    publish(&mut registry, "acme/minilm", "1.3.0");
    ok(&machine, &["update"]);
    assert!(locks(&machine, "acme/minilm@1.3.0"));
}

#[test]
fn what_was_revoked_is_refused_also_where_it_is_locked() {
    let mut registry = registry();
    let machine = project(&registry, REST);
    ok(&machine, &["sync"]);
    registry.revoke_release("acme/minilm", "1.1.0", "made from stolen data");
    let fresh = elsewhere(&machine);
    for arguments in [&["sync", "--locked"][..], &["sync"]] {
        fresh.mpm(arguments).expect(4).says(&["acme/minilm", "made from stolen data"]);
        assert!(paths(&fresh).is_empty());
    }
    // The machine that has it learns it with the next look at the index, and from then on needs nobody to know it.
    machine.mpm(&["add", "acme/lora"]).expect(4);
    machine.mpm(&["sync", "--locked", "--offline"]).expect(4).says(&["made from stolen data"]);
}

#[test]
fn what_a_revoked_key_signed_is_refused() {
    let mut registry = registry();
    let machine = project(&registry, REST);
    ok(&machine, &["sync"]);
    let stolen = registry.publisher("acme").clone();
    registry.revoke_key(&stolen, "the laptop was stolen");
    let fresh = elsewhere(&machine);
    fresh.mpm(&["sync", "--locked"]).expect(4);
    assert!(paths(&fresh).is_empty());
}

#[test]
fn another_root_is_another_registry_and_a_person_says_so() {
    let (first, second) = (registry(), registry());
    let machine = project(&first, REST);
    ok(&machine, &["sync"]);
    let before = lock(&machine);
    wants(&machine, &second, REST);
    machine.mpm(&["sync", "--locked"]).expect(1);
    let (old, new) = (first.root_sha256(), second.root_sha256());
    machine.mpm(&["sync"]).expect(4).says(&[&old.hex()[..12], &new.hex()[..12], "--accept-root"]);
    assert_eq!(lock(&machine), before);
    ok(&machine, &["lock", "--accept-root", &new.prefixed()]);
    assert!(lock(&machine).contains(&new.prefixed()) && !lock(&machine).contains(&old.prefixed()));
    ok(&machine, &["sync"]);
    // The right id at the wrong root.
    let text = machine.text("Model.toml").unwrap().replace(&folder(&second), &folder(&first));
    machine.write("Model.toml", text);
    machine.mpm(&["update"]).expect(4);
}

#[test]
fn an_expired_index_gives_no_new_trust() {
    let mut registry = TestRegistry::of_late("acme", 200 * 86_400);
    registry.namespace("acme");
    publish(&mut registry, "acme/minilm", "1.0.0");
    let machine = project(&registry, "");
    machine.mpm(&["add", "acme/minilm"]).expect(4).says(&["expired"]);
    assert!(paths(&machine).is_empty() && machine.read("Model.lock").is_none());
    // A checkpoint of today is enough.
    registry.checkpoint(200 * 86_400);
    ok(&machine, &["add", "acme/minilm"]);
}

#[test]
fn a_pin_that_was_changed_by_hand_is_refused() {
    let registry = registry();
    let machine = project(&registry, REST);
    ok(&machine, &["lock"]);
    let text = lock(&machine);
    let other = registry.statement_sha256("acme/minilm", "2.0.0").prefixed();
    let good = registry.statement_sha256("acme/minilm", "1.1.0").prefixed();
    let fresh = elsewhere(&machine);
    fresh.write("Model.lock", text.replace(&good, &other));
    for arguments in [&["sync", "--locked"][..], &["sync"]] {
        fresh.mpm(arguments).expect(4).says(&["acme/minilm"]);
        assert!(paths(&fresh).is_empty());
    }
}
