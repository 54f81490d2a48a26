//! `mpm store gc` as people call it.

use std::process::Command;

use crate::flows::fixture::{elsewhere, ok, project, registry};
use crate::support::project::{Project, Ran};

fn blobs(project: &Project) -> u64 {
    ok(project, &["store", "size", "--json"]).json()["blobs"].as_u64().expect("a number")
}

#[test]
fn rules_spare_what_is_young_or_fits() {
    let registry = registry();
    let project = project(&registry, "[models]\n\"acme/minilm\" = \"1\"\n");
    ok(&project, &["sync"]);
    let all = blobs(&project);
    let gc = |arguments: &[&str]| ok(&project, &[&["store", "gc", "--json"], arguments].concat()).json();
    let told = gc(&["--dry-run"]);
    assert_eq!((told["blobs"].as_u64(), told["kept-blobs"].as_u64()), (Some(0), Some(all)));
    assert_eq!(told["roots"][0]["hold"], "stands");
    assert_eq!(told["roots"][0]["folder"], project.folder().to_string_lossy().as_ref());
    std::fs::remove_file(project.folder().join("Model.lock")).unwrap();
    let told = gc(&["--dry-run"]);
    assert_eq!((told["blobs"].as_u64(), told["roots"][0]["hold"].as_str()), (Some(all), Some("gone")));
    let told = gc(&["--older-than", "1d"]);
    assert_eq!((told["blobs"].as_u64(), told["spared-blobs"].as_u64()), (Some(0), Some(all)), "young");
    let told = gc(&["--max-size", "1G"]);
    assert_eq!((told["blobs"].as_u64(), told["spared-blobs"].as_u64()), (Some(0), Some(all)), "small");
    let ran = ok(&project, &["store", "gc", "--older-than", "0", "--max-size", "0"]);
    ran.says(&[&format!("Removed {all} blobs"), "Kept 0 blobs"]);
    assert_eq!(blobs(&project), 0);
}

#[test]
fn a_lock_that_is_named_keeps_what_it_can_lead_to() {
    let registry = registry();
    let project = project(&registry, "[models]\n\"acme/minilm\" = \"1\"\n\n[datasets]\n\"uci/digits\" = \"1\"\n");
    ok(&project, &["sync"]);
    let all = blobs(&project);
    let lock = project.home().join("kept.lock");
    std::fs::rename(project.folder().join("Model.lock"), &lock).unwrap();
    let keep = ["store", "gc", "--keep-lock", lock.to_str().unwrap()];
    ok(&project, &keep).says(&["Removed 0 blobs"]);
    assert_eq!(blobs(&project), all);
    // Another machine has none of it: what the lock leads to can't be told there, and nothing fails.
    let other = elsewhere(&project);
    ok(&other, &keep).says(&["warning", "acme:acme/minilm@1.1.0", "not kept"]);
    other.mpm(&["store", "gc", "--keep-lock", "absent.lock"]).expect(1).says(&["E0902", "absent.lock"]);
    ok(&project, &["store", "gc"]).says(&[&format!("Removed {all} blobs")]);
}

#[test]
fn lengths_and_sizes_that_say_nothing_are_refused() {
    let project = Project::new();
    project.mpm(&["store", "gc", "--older-than", "30"]).expect(2).says(&["36h or 30d"]);
    project.mpm(&["store", "gc", "--max-size", "lots"]).expect(2).says(&["500GiB"]);
}

#[test]
fn more_projects_than_a_process_may_open_files_are_no_obstacle() {
    let home = Project::new();
    ok(&home, &["store", "size"]);
    let manifest = "[project]\nname = \"x\"\n\n[models]\n\"mine\" = { path = \"source\" }\n";
    let projects: Vec<Project> = (0..70)
        .map(|number| {
            let project = Project::new().variable("MPM_STORE", home.store());
            let project = project.manifest(manifest).file("source/notes.txt", format!("notes {number}\n"));
            ok(&project, &["sync"]);
            project
        })
        .collect();
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -n 40 && exec \"$0\" store gc", env!("CARGO_BIN_EXE_mpm")]);
    limited.env_clear().env("HOME", home.home()).current_dir(home.folder());
    Ran::of(&limited.output().unwrap()).expect(0).says(&["Removed 0 blobs", "Kept 70 blobs"]);
    drop(projects);
}
