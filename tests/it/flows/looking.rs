//! Commands that only look, and those that hand over: list, tree, info, path, run, diff, verify.

use super::fixture::{ok, paths, placed, project, registry, wants};
use crate::support::registry::git;

const REST: &str =
    "[models]\n\"acme/lora\" = \"1\"\n\"acme/minilm\" = \"1\"\n\n[groups.eval.datasets]\n\"uci/digits\" = \"1\"\n";

#[test]
fn what_is_locked_and_placed_is_listed() {
    let registry = registry();
    let project = project(&registry, REST);
    project.mpm(&["list"]).expect(1);
    project.mpm(&["path", "acme/lora"]).expect(1);
    project.mpm(&["run", "--", "true"]).expect(1);
    ok(&project, &["sync"]);
    let list = ok(&project, &["list"]).stdout;
    for word in ["acme/lora 1.0.0", "acme/minilm 1.0.0", "acme/minilm 1.1.0 (f32)", "acme/vocab 1.1.0", "signed by"] {
        assert!(list.contains(word), "{word}: {list}");
    }
    assert!(!list.contains("uci/digits"), "{list}");
    assert!(ok(&project, &["list", "--all-groups"]).stdout.contains("uci/digits"));
    let tree = ok(&project, &["tree"]).stdout;
    let (lora, base) = (tree.find("acme/lora").unwrap(), tree.find("1.0.0").unwrap());
    assert!(lora < base && tree.contains("acme/vocab"), "{tree}");
    let info = ok(&project, &["info", "acme/minilm@^1"]).stdout;
    for word in ["acme/minilm 1.1.0", "variant", "f32 (default)", "int8", "2.0.0", "requires", "acme/vocab"] {
        assert!(info.contains(word), "{word}: {info}");
    }
    let folder = project.folder().canonicalize().unwrap().join("models/acme/minilm");
    let path = ok(&project, &["path", "acme/minilm"]).stdout;
    assert_eq!(std::path::Path::new(path.trim_end()).canonicalize().unwrap(), folder);
    project.mpm(&["path", "acme/minilmm"]).expect(1).says(&["acme/minilm"]);
}

#[test]
fn run_hands_over_with_the_places_in_the_environment() {
    let registry = registry();
    let project = project(&registry, REST);
    ok(&project, &["sync"]);
    let script = "cat \"$MPM_PATH_ACME__MINILM/docs/card.md\"; test -d \"$MPM_PROJECT\"; exit 7";
    let ran = project.mpm(&["run", "--", "sh", "-c", script]).expect(7);
    assert_eq!(ran.stdout, "# minilm 1.1.0\n");
    project.mpm(&["run", "--", "no-such-command-of-anybody"]).expect(1).says(&["no-such-command-of-anybody"]);
    wants(&project, &registry, &REST.replace("\"acme/minilm\" = \"1\"", "\"acme/minilm\" = \"2\""));
    project.mpm(&["run", "--", "true"]).expect(1);
}

#[test]
fn diff_tells_what_a_change_of_the_lock_means() {
    let registry = registry();
    let project = project(&registry, "[models]\n\"acme/minilm\" = \"=1.0.0\"\n");
    git(&project.folder(), &["init", "-q"]);
    ok(&project, &["lock"]);
    git(&project.folder(), &["add", "Model.toml", "Model.lock"]);
    git(&project.folder(), &["commit", "-q", "-m", "first"]);
    ok(&project, &["diff"]).says(&["same packages"]);
    wants(&project, &registry, "[models]\n\"acme/minilm\" = \"2\"\n\"acme/lora\" = \"1\"\n");
    ok(&project, &["lock"]);
    let told = ok(&project, &["diff", "HEAD"]).stdout;
    for word in ["acme/lora", "acme/minilm", "2.0.0", "signed by"] {
        assert!(told.contains(word), "{word}: {told}");
    }
    git(&project.folder(), &["commit", "-q", "-a", "-m", "second"]);
    for arguments in
        [&["diff", "HEAD~1..HEAD"][..], &["diff", "HEAD~1", "HEAD"], &["diff", "HEAD~1.."], &["diff", "HEAD~1"]]
    {
        assert_eq!(ok(&project, arguments).stdout, told, "{arguments:?}");
    }
    // What lies on disk plays no part between two revisions.
    project.write("Model.lock", "broken");
    assert_eq!(ok(&project, &["diff", "HEAD~1..HEAD"]).stdout, told);
    ok(&project, &["diff", "HEAD", "HEAD"]).says(&["the same packages at HEAD and at HEAD"]);
    let json = ok(&project, &["diff", "HEAD..HEAD~1", "--json"]).json();
    assert_eq!((&json["revision"], &json["to"]), (&"HEAD".into(), &"HEAD~1".into()));
    project.mpm(&["diff", "HEAD..nowhere"]).expect(1).says(&["E0920", "nowhere"]);
    project.mpm(&["diff", "a..b", "c"]).expect(2).says(&["a third"]);
    project.mpm(&["diff", "no-such-revision"]).expect(1).says(&["no-such-revision"]);
}

#[test]
fn verify_names_each_bad_file_and_mends_them() {
    let registry = registry();
    let project = project(&registry, REST);
    ok(&project, &["sync", "--all-groups", "--link", "copy"]);
    ok(&project, &["verify"]);
    let (good, model) = (placed(&project), "models/acme/minilm/model.safetensors");
    let mut bytes = project.read(model).unwrap();
    bytes[100] ^= 1;
    project.write(model, &bytes);
    std::fs::remove_file(project.folder().join("datasets/uci/digits/README.md")).unwrap();
    project.mpm(&["verify"]).expect(4).says(&[]);
    let ran = project.mpm(&["verify"]);
    let told = format!("{}{}", ran.stdout, ran.stderr);
    assert!(told.contains(model) && told.contains("datasets/uci/digits/README.md"), "{told}");
    let document = project.mpm(&["verify", "--json"]).expect(4).json();
    assert_eq!(document["altered"].as_array().map(Vec::len), Some(2), "{document}");
    ok(&project, &["verify", "--repair"]);
    assert_eq!(placed(&project), good, "groups that were placed are mended, not removed");
    ok(&project, &["verify"]);
}

#[test]
fn verify_finds_and_mends_a_bad_blob_of_the_store() {
    use std::os::unix::fs::PermissionsExt as _;
    let registry = registry();
    let project = project(&registry, REST);
    ok(&project, &["sync", "--link", "copy"]);
    let digest = modelpm::model::Sha256::of(&project.read("models/acme/minilm/model.safetensors").unwrap());
    let blob = project.store().join("v1").join(modelpm::sys::blob_path(&digest));
    std::fs::set_permissions(&blob, std::fs::Permissions::from_mode(0o644)).unwrap();
    let mut bytes = std::fs::read(&blob).unwrap();
    bytes[9] ^= 1;
    std::fs::write(&blob, bytes).unwrap();
    let ran = project.mpm(&["verify", "--store"]).expect(4);
    assert!(format!("{}{}", ran.stdout, ran.stderr).contains(&digest.hex()[..12]), "{}{}", ran.stdout, ran.stderr);
    ok(&project, &["verify", "--repair"]);
    ok(&project, &["verify"]);
    assert_eq!(modelpm::model::Sha256::of(&std::fs::read(&blob).unwrap()), digest);
}

#[test]
fn every_command_answers_in_json() {
    let registry = registry();
    let project = project(&registry, "");
    let schemas: &[(&[&str], &str)] = &[
        (&["add", "acme/minilm@1"], "mpm.add/1"),
        (&["add", "uci/digits", "--to-group", "eval"], "mpm.add/1"),
        (&["lock"], "mpm.lock/1"),
        (&["lock", "--check"], "mpm.lock/1"),
        (&["update"], "mpm.update/1"),
        (&["sync"], "mpm.sync/1"),
        (&["sync", "--locked"], "mpm.sync/1"),
        (&["fetch", "--all-groups"], "mpm.fetch/1"),
        (&["list"], "mpm.list/1"),
        (&["tree"], "mpm.tree/1"),
        (&["info", "acme/minilm"], "mpm.info/1"),
        (&["path", "acme/minilm"], "mpm.path/1"),
        (&["verify"], "mpm.verify/1"),
        (&["store", "size"], "mpm.store-size/1"),
        (&["store", "gc", "--dry-run"], "mpm.store-gc/1"),
        (&["remove", "acme/minilm"], "mpm.remove/1"),
    ];
    for (arguments, schema) in schemas {
        let arguments: Vec<&str> = arguments.iter().copied().chain(["--json"]).collect();
        let ran = ok(&project, &arguments);
        assert_eq!(ran.json()["schema"], *schema, "{arguments:?}");
        for line in ran.stderr.lines() {
            serde_json::from_str::<serde_json::Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        }
    }
}

#[test]
fn collection_keeps_what_a_lock_needs_and_takes_the_rest() {
    let registry = registry();
    let project = project(&registry, "[models]\n\"acme/minilm\" = \"1\"\n\"acme/lora\" = \"1\"\n");
    ok(&project, &["sync", "--link", "copy"]);
    ok(&project, &["remove", "acme/lora"]);
    ok(&project, &["store", "gc"]);
    ok(&project, &["verify"]);
    std::fs::remove_dir_all(project.folder().join("models")).unwrap();
    std::fs::remove_dir_all(registry.folder()).unwrap();
    ok(&project, &["sync", "--frozen"]);
    assert_eq!(paths(&project).len(), 4);
}
