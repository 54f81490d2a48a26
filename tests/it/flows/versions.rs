//! Versions side by side, what only others need, and folders as sources.

use super::fixture::{elsewhere, lock, locks, ok, paths, placed, project, registry, wants};

#[test]
fn an_exact_and_a_newest_version_live_side_by_side() {
    let registry = registry();
    let rest =
        "[models]\n\"acme/minilm\" = \"*\"\n\"minilm-old\" = { package = \"acme/minilm\", version = \"=1.0.0\" }\n";
    let project = project(&registry, rest);
    ok(&project, &["sync"]);
    assert!(locks(&project, "acme/minilm@1.0.0") && locks(&project, "acme/minilm@2.0.0"));
    let files = placed(&project);
    assert_eq!(files["models/acme/minilm/docs/card.md"], b"# minilm 2.0.0\n");
    assert_eq!(files["models/minilm-old/docs/card.md"], b"# minilm 1.0.0\n");
    // One that wants a single version for all does not get it.
    let unique = rest.replace("\"*\"", "{ version = \"2\", unique = true }");
    wants(&project, &registry, &unique);
    project.mpm(&["lock"]).expect(1).says(&["acme/minilm"]);
}

#[test]
fn a_newer_model_stands_beside_the_one_that_an_adapter_needs() {
    let registry = registry();
    let project = project(&registry, "[models]\n\"acme/lora\" = \"1\"\n\"acme/minilm\" = \"1\"\n");
    ok(&project, &["sync"]);
    let files = placed(&project);
    assert_eq!(files["models/acme/minilm/docs/card.md"], b"# minilm 1.1.0\n");
    assert_eq!(files["models/.deps/acme/minilm@1.0.0/docs/card.md"], b"# minilm 1.0.0\n");
    // Where the key means the same release, it lies there alone.
    wants(&project, &registry, "[models]\n\"acme/lora\" = \"1\"\n\"acme/minilm\" = \"=1.0.0\"\n");
    ok(&project, &["sync"]);
    let found = paths(&project);
    assert!(!found.iter().any(|path| path.starts_with("models/.deps/acme/minilm")), "{found:?}");
    assert_eq!(placed(&project)["models/acme/minilm/docs/card.md"], b"# minilm 1.0.0\n");
}

#[test]
fn a_folder_is_a_source_that_is_locked_by_its_content() {
    let registry = registry();
    let project = project(&registry, "[models]\n\"acme/minilm\" = \"1\"\n\"ours\" = { path = \"work/ours\" }\n");
    project.write("work/ours/config.json", "{\"a\": 1}\n");
    project.write("work/ours/sub/notes.txt", "notes\n");
    ok(&project, &["sync"]);
    assert_eq!(project.text("models/ours/config.json").unwrap(), "{\"a\": 1}\n");
    assert_eq!(project.text("models/ours/sub/notes.txt").unwrap(), "notes\n");
    let before = lock(&project);
    assert!(before.contains("[[source]]\nid = \"path:work/ours\"\n"), "{before}");
    ok(&project, &["sync"]).says(&["Nothing to do"]);
    ok(&project, &["lock", "--check"]);

    project.write("work/ours/config.json", "{\"a\": 2}\n");
    project.mpm(&["lock", "--check"]).expect(1).says(&["path:work/ours"]);
    project.mpm(&["sync", "--locked"]).expect(1).says(&["path:work/ours"]);
    assert_eq!(project.text("models/ours/config.json").unwrap(), "{\"a\": 1}\n");
    ok(&project, &["sync"]);
    assert_eq!(project.text("models/ours/config.json").unwrap(), "{\"a\": 2}\n");
    let differing = lock(&project);
    assert_ne!(before, differing);
    let changed = differing.lines().zip(before.lines()).filter(|(new, old)| new != old).count();
    assert!(changed <= 2, "only the source's own lines change:\n{differing}");

    // What a checkout elsewhere lacks is an error that names the folder.
    let other = elsewhere(&project);
    other.mpm(&["sync", "--locked"]).expect(1).says(&["work/ours"]);
}

#[test]
fn a_folder_of_many_files_has_its_table_beside_the_lock() {
    let registry = registry();
    let project = project(&registry, "[datasets]\n\"rows\" = { path = \"rows\" }\n");
    for number in 0..250 {
        project.write(&format!("rows/{number:03}.txt"), format!("{number}\n"));
    }
    ok(&project, &["sync"]);
    assert_eq!(placed(&project).keys().filter(|path| path.starts_with("datasets/rows/")).count(), 250);
    let tables: Vec<_> = std::fs::read_dir(project.folder().join("Model.lock.d")).unwrap().collect();
    assert_eq!(tables.len(), 1);
    let table = tables[0].as_ref().unwrap().path();
    assert!(lock(&project).contains(table.file_stem().unwrap().to_str().unwrap()));
    ok(&project, &["sync", "--frozen"]).says(&["Nothing to do"]);
    let mut bytes = std::fs::read(&table).unwrap();
    let place = bytes.iter().position(|byte| *byte == b'7').unwrap();
    bytes[place] = b'8';
    std::fs::write(&table, bytes).unwrap();
    std::fs::remove_file(project.folder().join("datasets/rows/007.txt")).unwrap();
    project.mpm(&["sync", "--locked"]).expect(4);
    assert!(project.read("datasets/rows/007.txt").is_none());
    // A table that is no longer needed does not stay.
    for number in 100..250 {
        std::fs::remove_file(project.folder().join(format!("rows/{number:03}.txt"))).unwrap();
    }
    ok(&project, &["sync"]);
    assert_eq!(placed(&project).keys().filter(|path| path.starts_with("datasets/rows/")).count(), 100);
    assert!(!project.folder().join("Model.lock.d").exists());
}
