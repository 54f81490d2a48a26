//! `mpm mirror verify` and `status`: what is corrupt, extra and missing, without a socket.

use super::Keeper;
use crate::flows::fixture::{folder, ok, registry};
use crate::support::registry::TestRegistry;

/// A mirror of the whole registry.
fn mirror() -> (TestRegistry, Keeper) {
    let registry = registry();
    let keeper = Keeper::of(&registry, &folder(&registry));
    keeper.sync(&["--all"]);
    (registry, keeper)
}

#[test]
fn a_flipped_bit_and_files_that_nothing_leads_to_are_found() {
    let (registry, keeper) = mirror();
    let weights = modelpm::model::Sha256::of(&crate::support::blob::safetensors(2, 3_000));
    let blob = keeper.folder.join(modelpm::sys::blob_path(&weights));
    let mut bytes = std::fs::read(&blob).unwrap();
    bytes[5_000] ^= 4;
    std::fs::remove_file(&blob).unwrap();
    std::fs::write(&blob, &bytes).unwrap();
    std::fs::write(keeper.folder.join("notes.txt"), "mine\n").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", keeper.folder.join("tree/link")).unwrap();
    let statement = registry.statement_sha256("uci/digits", "1.0.0");
    let statement = format!("releases/{statement}.json");
    let text = std::fs::read_to_string(keeper.folder.join(&statement)).unwrap();
    std::fs::write(keeper.folder.join(&statement), text.replace("digits", "widgets")).unwrap();

    let ran = keeper.project.mpm(&["--json", "mirror", "verify", &keeper.text()]).expect(4);
    let found = ran.json();
    let corrupt: Vec<&str> =
        found["corrupt"].as_array().unwrap().iter().map(|one| one["path"].as_str().unwrap()).collect();
    assert_eq!(corrupt, [&modelpm::sys::blob_path(&weights), &statement]);
    assert!(found["corrupt"][0]["why"].as_str().unwrap().contains(&modelpm::model::Sha256::of(&bytes).hex()));
    let extra: Vec<&str> = found["extra"].as_array().unwrap().iter().map(|path| path.as_str().unwrap()).collect();
    assert_eq!(extra, ["notes.txt", "tree/link"]);
    assert_eq!((&found["releases"]["whole"], &found["releases"]["absent"]), (&7.into(), &1.into()));
    let told = keeper.project.mpm(&["mirror", "verify", &keeper.text()]).expect(4);
    assert!(told.stdout.contains("corrupt blobs/") && told.stdout.contains("extra   notes.txt"), "{}", told.stdout);
    assert!(told.stderr.contains("2 files are not what must be there"), "{}", told.stderr);
    // A look at sizes sees the statement, not the bit.
    let status = keeper.project.mpm(&["--json", "mirror", "status", &keeper.text()]).expect(4).json();
    assert_eq!(status["corrupt"].as_array().unwrap().len(), 1);
    keeper.sync(&["--all", "--check"]);
    keeper.verify();
}

#[test]
fn status_tells_age_size_and_what_is_whole_or_lacking() {
    let (_registry, keeper) = mirror();
    let found = ok(&keeper.project, &["--json", "mirror", "status", &keeper.text()]).json();
    assert_eq!(found["releases"], serde_json::json!({ "whole": 8, "partial": 0, "absent": 0 }));
    assert_eq!(
        (&found["packages"], &found["packages-absent"], &found["nodes-absent"]),
        (&5.into(), &0.into(), &0.into())
    );
    let age = found["age"].as_u64().unwrap();
    assert!((3_590..3_900).contains(&age), "{age}");
    assert!(found["expires"].as_u64() > found["issued"].as_u64());
    let told = ok(&keeper.project, &["mirror", "status", &keeper.text()]).stderr;
    for part in
        ["signed 60 minutes ago", "It expires in 8", "8 releases whole, 0 in part, 0 not in this copy", "not hashed"]
    {
        assert!(told.contains(part), "{part}: {told}");
    }
    // A blob goes: what needed it is there in part.
    let weights = modelpm::model::Sha256::of(&crate::support::blob::safetensors(2, 3_000));
    std::fs::remove_file(keeper.folder.join(modelpm::sys::blob_path(&weights))).unwrap();
    let found = ok(&keeper.project, &["--json", "mirror", "status", &keeper.text()]).json();
    assert_eq!(found["releases"], serde_json::json!({ "whole": 7, "partial": 1, "absent": 0 }));
    assert_eq!(found["missing"]["files"], 1);
    assert!(found["missing"]["bytes"].as_u64().unwrap() > 12_000);
    assert_eq!(found["missing-first"][0], "acme/minilm 1.1.0 model.safetensors");
    // It is no fault of the copy, which a run mends.
    ok(&keeper.project, &["mirror", "verify", &keeper.text()]);
    assert_eq!(keeper.sync(&["--all"])["fetched"]["files"], 1);
}

#[test]
fn a_look_is_of_the_copy_alone_whatever_this_machine_remembers() {
    let (mut registry, keeper) = mirror();
    // The machine has seen more since.
    registry.release("acme/vocab", "1.2.0").file("vocab.txt", "four\n").publish();
    let seen = crate::flows::fixture::manifest(&registry, &folder(&registry), "[models]\n\"acme/vocab\" = \"1\"\n");
    keeper.project.write("Model.toml", seen);
    ok(&keeper.project, &["sync"]);
    let found = keeper.verify();
    assert_eq!(found["releases"]["whole"], 8);
    // And the look itself is remembered by nobody.
    let other = crate::support::project::Project::new();
    ok(&other, &["mirror", "verify", &keeper.text()]);
    assert!(!other.home().join(".local/state/mpm").exists());
}
