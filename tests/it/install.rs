//! Files in the project, through the real binary; each rule of placing is tested beside the room.

use std::os::unix::fs::{PermissionsExt as _, symlink};

use modelpm::model::Sha256;

use crate::support::project::Project;

/// A project with one model that comes from a folder: nothing to fetch, nobody to trust.
fn project() -> Project {
    Project::new()
        .manifest("[project]\nname = \"x\"\n\n[models]\n\"mine\" = { path = \"source\" }\n")
        .file("source/config.json", "{\"a\": 1}\n")
        .file("source/sub/notes.txt", "notes\n")
}

#[test]
fn sync_places_once_and_then_has_nothing_to_do() {
    let project = project();
    project.mpm(&["sync"]).expect(0).says(&["Placed 2 files"]);
    assert_eq!(project.text("models/mine/config.json").as_deref(), Some("{\"a\": 1}\n"));
    assert_eq!(project.text("models/mine/sub/notes.txt").as_deref(), Some("notes\n"));
    let mode = project.folder().join("models/mine/config.json").metadata().expect("placed").permissions().mode();
    assert_eq!(mode & 0o777, 0o444);
    assert!(project.text(".mpm/receipt.json").expect("receipt").contains("\"mpm.receipt/1\""));
    project.mpm(&["sync", "--frozen"]).expect(0).says(&["Nothing to do: 1 package as locked"]);
    project.mpm(&["verify"]).expect(0);
    let document = project.mpm(&["sync", "--json"]).expect(0).json();
    assert_eq!((&document["schema"], &document["up-to-date"]), (&"mpm.sync/1".into(), &true.into()));
}

#[test]
fn what_a_run_that_died_after_its_receipt_left_goes_with_the_next_one() {
    let project = project();
    project.mpm(&["sync"]).expect(0);
    let line = |path: &str| {
        let bytes = project.read(path).expect("placed");
        format!("{{\"path\":\"{path}\",\"sha256\":\"{}\",\"size\":{}}}\n", Sha256::of(&bytes).hex(), bytes.len())
    };
    // The receipt stands, and what was pending was not forgotten any more.
    let pending = line("models/mine/config.json") + &line("models/mine/sub/notes.txt");
    project.write(".mpm/pending.jsonl", &pending);
    project.mpm(&["sync", "--dry-run"]).expect(0);
    assert_eq!(project.text(".mpm/pending.jsonl"), Some(pending), "told only");
    project.mpm(&["sync"]).expect(0);
    assert_eq!(project.text(".mpm/pending.jsonl"), None);
    project.mpm(&["sync"]).expect(0).says(&["Nothing to do"]);
}

#[test]
fn a_dry_run_places_nothing() {
    let project = project();
    project.mpm(&["sync", "--dry-run"]).expect(0);
    assert_eq!(project.text("models/mine/config.json"), None);
    assert_eq!(project.text("Model.lock"), None);
}

#[test]
fn files_in_the_way_are_named_and_stay() {
    let project = project().file("models/mine/config.json", "mine").file("models/mine/sub/notes.txt", "mine too");
    project.mpm(&["sync"]).expect(1).says(&[
        "error[E0754]",
        "models/mine/config.json",
        "models/mine/sub/notes.txt",
        "nothing in the project was changed",
    ]);
    assert_eq!(project.text("models/mine/config.json").as_deref(), Some("mine"));
}

#[test]
fn a_changed_file_is_kept_until_somebody_says_otherwise() {
    let project = project();
    project.mpm(&["sync"]).expect(0);
    project.write("models/mine/config.json", "edited");
    project.mpm(&["sync"]).expect(1).says(&["error[E0755]", "models/mine/config.json", "mpm verify --repair"]);
    let found = project.mpm(&["verify"]).expect(4);
    assert!(found.stdout.contains("models/mine/config.json: changed: expected sha256 "), "{}", found.stdout);
    assert_eq!(project.text("models/mine/config.json").as_deref(), Some("edited"));
    project.mpm(&["sync", "--force"]).expect(0);
    assert_eq!(project.text("models/mine/config.json").as_deref(), Some("{\"a\": 1}\n"));
    project.write("models/mine/config.json", "edited again");
    project.mpm(&["verify", "--repair"]).expect(0);
    project.mpm(&["verify"]).expect(0);
}

#[test]
fn nothing_is_placed_through_a_symbolic_link() {
    let project = project();
    let elsewhere = project.home().join("elsewhere");
    std::fs::create_dir(&elsewhere).expect("folder");
    symlink(&elsewhere, project.folder().join("models")).expect("symlink");
    project.mpm(&["sync"]).expect(1).says(&["error[E0756]", "models"]);
    assert_eq!(std::fs::read_dir(&elsewhere).expect("folder").count(), 0);
}

#[test]
fn remove_takes_away_what_add_brought() {
    let project = project();
    project.mpm(&["sync"]).expect(0);
    project.mpm(&["remove", "mine"]).expect(0);
    assert!(!project.folder().join("models").exists());
}

#[test]
fn a_command_finds_what_was_placed() {
    let project = project();
    project.mpm(&["run", "--", "true"]).expect(1);
    project.mpm(&["sync"]).expect(0);
    let folder = project.folder().join("models/mine");
    let path = project.mpm(&["path", "mine"]).expect(0).stdout;
    assert_eq!(path.trim_end(), folder.to_string_lossy());
    let ran = project.mpm(&["run", "--", "sh", "-c", "echo $MPM_PATH_MINE; exit 7"]).expect(7);
    assert_eq!(ran.stdout.trim_end(), folder.to_string_lossy());
    project.mpm(&["run", "--", "no-such-command-here"]).expect(1).says(&["E0996"]);
}
