//! Commands that change Model.toml, and edits by hand: what they do to the lock and to the files.

use super::fixture::{folder, lock, locks, ok, paths, placed, project, registry, wants};
use crate::support::project::Project;

fn manifest(project: &Project) -> String {
    project.text("Model.toml").expect("Model.toml")
}

#[test]
fn add_writes_locks_and_places_in_one_go() {
    let registry = registry();
    let project = project(&registry, "");
    ok(&project, &["add", "acme/minilm", "uci/digits"]).says(&["Added acme/minilm = \"2.0.0\" from acme"]);
    let text = manifest(&project);
    assert!(text.contains("[models]\n\"acme/minilm\" = \"2.0.0\"\n"), "{text}");
    assert!(text.contains("[datasets]\n\"uci/digits\" = \"1.0.0\"\n"), "{text}");
    assert_eq!(
        paths(&project),
        [
            "datasets/uci/digits/README.md",
            "datasets/uci/digits/test/a.csv",
            "datasets/uci/digits/train/a.csv",
            "datasets/uci/digits/train/more/b.csv",
            "models/.deps/acme/vocab@1.1.0/vocab.txt",
            "models/acme/minilm/config.json",
            "models/acme/minilm/docs/card.md",
            "models/acme/minilm/model.safetensors",
        ]
    );
    ok(&project, &["sync"]).says(&["Nothing to do"]);
}

#[test]
fn add_takes_a_requirement_a_key_a_group_and_variants() {
    let registry = registry();
    let project = project(&registry, "");
    let old = ["add", "acme/minilm@^1", "--key", "old", "--variant", "int8", "--to-group", "eval", "--no-sync"];
    ok(&project, &old);
    assert!(locks(&project, "acme/minilm@1.1.0") && paths(&project).is_empty());
    let text = manifest(&project);
    assert!(text.contains("[groups.eval.models]") && text.contains("\"int8\""), "{text}");
    ok(&project, &["sync"]);
    assert!(paths(&project).is_empty(), "groups are not installed unasked");
    ok(&project, &["sync", "--group", "eval"]);
    let int8 = placed(&project)["models/old/model.safetensors"].len();
    ok(&project, &["add", "acme/minilm@=1.1.0", "--variant", "f32", "--variant", "int8", "--all-groups"]);
    let both = placed(&project);
    assert_eq!(both["models/acme/minilm/int8/model.safetensors"].len(), int8);
    assert!(both["models/acme/minilm/f32/model.safetensors"].len() > int8);
    assert_eq!(both["models/acme/minilm/f32/config.json"], both["models/acme/minilm/int8/config.json"]);
    assert_eq!(both["models/old/model.safetensors"].len(), int8, "a release that two keys lead to is at both");
    // Without the group its files go.
    ok(&project, &["sync"]);
    assert!(!paths(&project).iter().any(|path| path.starts_with("models/old")));
}

#[test]
fn add_asks_which_variant_and_changes_nothing_where_nobody_answers() {
    let registry = registry();
    let project = project(&registry, "");
    let before = manifest(&project);
    let ran = project.mpm(&["add", "acme/either"]).expect(2).says(&["large", "small", "--variant"]);
    assert!(ran.stdout.is_empty());
    assert_eq!((manifest(&project), project.read("Model.lock"), paths(&project)), (before, None, Vec::new()));
    ok(&project, &["add", "acme/either", "--variant", "small"]);
    assert_eq!(paths(&project), ["models/acme/either/config.json", "models/acme/either/small.safetensors"]);
}

#[test]
fn another_variant_or_version_takes_the_old_files_away() {
    let registry = registry();
    let project = project(&registry, "[models]\n\"acme/either\" = { version = \"1\", variant = \"small\" }\n");
    ok(&project, &["sync"]);
    let before = lock(&project);
    wants(&project, &registry, "[models]\n\"acme/either\" = { version = \"1\", variants = [\"large\"] }\n");
    ok(&project, &["sync"]);
    assert_eq!(paths(&project), ["models/acme/either/config.json", "models/acme/either/large.safetensors"]);
    assert_eq!(lock(&project), before, "which variant is no matter of the lock");
    wants(&project, &registry, "[models]\n\"acme/minilm\" = \"=1.0.0\"\n");
    ok(&project, &["sync"]);
    let first = placed(&project);
    wants(&project, &registry, "[models]\n\"acme/minilm\" = { version = \"=2.0.0\", to = \"weights/lm\" }\n");
    ok(&project, &["sync"]);
    assert_eq!(
        paths(&project),
        [
            "models/.deps/acme/vocab@1.1.0/vocab.txt",
            "weights/lm/config.json",
            "weights/lm/docs/card.md",
            "weights/lm/model.safetensors"
        ]
    );
    assert_ne!(placed(&project)["weights/lm/config.json"], first["models/acme/minilm/config.json"]);
    assert!(!project.folder().join("models/acme").exists(), "empty folders go too");
}

#[test]
fn profiles_choose_variants_on_one_lock() {
    let registry = registry();
    let rest = "[models]\n\"acme/minilm\" = \"1\"\n\n[profiles.cpu]\n\"acme/minilm\" = \"int8\"\n";
    let project = project(&registry, rest);
    ok(&project, &["sync"]);
    let (before, large) = (lock(&project), placed(&project)["models/acme/minilm/model.safetensors"].len());
    ok(&project, &["sync", "--profile", "cpu"]);
    assert!(placed(&project)["models/acme/minilm/model.safetensors"].len() < large);
    assert_eq!(lock(&project), before);
    ok(&project, &["sync", "--profile", "cpu"]).says(&["Nothing to do"]);
    // What was chosen stays chosen when it is mended.
    let file = project.folder().join("models/acme/minilm/model.safetensors");
    std::fs::remove_file(&file).unwrap();
    ok(&project, &["verify", "--repair"]);
    assert!(std::fs::read(&file).unwrap().len() < large, "a repair chooses what was placed");
    project.mpm(&["sync", "--profile", "tpu"]).expect(1).says(&["tpu"]);
}

#[test]
fn include_and_exclude_choose_files_and_must_match_something() {
    let registry = registry();
    let wish = |table: &str| format!("[datasets]\n\"uci/digits\" = {{ version = \"1\", {table} }}\n");
    let project = project(&registry, &wish("include = [\"train/**\", \"README.md\"], exclude = [\"**/more/**\"]"));
    ok(&project, &["sync"]);
    assert_eq!(paths(&project), ["datasets/uci/digits/README.md", "datasets/uci/digits/train/a.csv"]);
    let before = lock(&project);
    wants(&project, &registry, &wish("include = [\"train/*\"]"));
    ok(&project, &["sync"]);
    assert_eq!(paths(&project), ["datasets/uci/digits/train/a.csv"]);
    wants(&project, &registry, &wish("include = [\"trian/**\"]"));
    project.mpm(&["sync"]).expect(1).says(&["trian/**"]);
    wants(&project, &registry, &wish("exclude = [\"**\"]"));
    project.mpm(&["sync"]).expect(1).says(&["uci/digits"]);
    assert_eq!((lock(&project), paths(&project).len()), (before, 1), "what stood stays");
}

#[test]
fn a_kind_belongs_into_its_table() {
    let registry = registry();
    let project = project(&registry, "[models]\n\"uci/digits\" = \"1\"\n");
    project.mpm(&["sync"]).expect(1).says(&["uci/digits", "dataset"]);
    assert!(paths(&project).is_empty());
}

#[test]
fn remove_takes_away_what_the_dependency_brought() {
    let registry = registry();
    let project =
        project(&registry, "[models]\n# keep this\n\"acme/either\" = { version = \"1\", variant = \"small\" }\n");
    ok(&project, &["add", "acme/minilm"]);
    ok(&project, &["remove", "acme/minilm"]);
    assert_eq!(paths(&project), ["models/acme/either/config.json", "models/acme/either/small.safetensors"]);
    assert!(!locks(&project, "acme/vocab@1.1.0") && manifest(&project).contains("# keep this"));
    let before = (manifest(&project), lock(&project));
    project.mpm(&["remove", "acme/eether"]).expect(1).says(&["acme/either"]);
    assert_eq!((manifest(&project), lock(&project)), before);
}

#[test]
fn a_file_in_the_way_is_named_and_nothing_changes() {
    let registry = registry();
    let project = project(&registry, "[models]\n\"acme/minilm\" = \"1\"\n");
    project.write("models/acme/minilm/config.json", "mine\n");
    project.mpm(&["sync"]).expect(1).says(&["models/acme/minilm/config.json"]);
    assert_eq!(paths(&project), ["models/acme/minilm/config.json"]);
    assert_eq!(project.text("models/acme/minilm/config.json").unwrap(), "mine\n");
    assert!(project.read("Model.lock").is_none());
    std::fs::remove_file(project.folder().join("models/acme/minilm/config.json")).unwrap();
    ok(&project, &["sync"]);
    // A file of the user's beside them stays, and so does its folder.
    project.write("models/acme/minilm/notes.txt", "mine\n");
    // One that was placed and then changed is not lost unasked.
    project.write("models/acme/minilm/config.json", "mine too\n");
    let ran = project.mpm(&["sync"]);
    assert_ne!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(project.text("models/acme/minilm/config.json").unwrap(), "mine too\n");
    ok(&project, &["sync", "--force"]);
    assert_ne!(project.text("models/acme/minilm/config.json").unwrap(), "mine too\n");
    ok(&project, &["remove", "acme/minilm"]);
    assert_eq!(paths(&project), ["models/acme/minilm/notes.txt"]);
}

#[test]
fn a_dry_run_tells_and_writes_nothing() {
    let registry = registry();
    let project = project(&registry, "[models]\n\"acme/minilm\" = \"1\"\n");
    let before = manifest(&project);
    for arguments in [&["sync", "--dry-run"][..], &["add", "uci/digits", "-n"], &["update", "-n"]] {
        ok(&project, arguments);
        assert_eq!((manifest(&project), project.read("Model.lock")), (before.clone(), None), "{arguments:?}");
        assert!(paths(&project).is_empty() && !project.folder().join(".mpm").exists(), "{arguments:?}");
    }
    ok(&project, &["sync", "--dry-run"]).says(&["Would fetch 4 blobs", "free"]);
    let told = ok(&project, &["sync", "--dry-run", "--json"]).json();
    assert_eq!((&told["dry-run"], &told["travel"]["blobs"]), (&true.into(), &4.into()), "{told}");
    assert!(told["travel"]["free"].as_u64().unwrap() > 0);
    ok(&project, &["sync"]);
    let (locked, held) = (lock(&project), placed(&project));
    ok(&project, &["remove", "acme/minilm", "--dry-run"]);
    ok(&project, &["sync", "--dry-run", "--link", "copy"]);
    assert_eq!((manifest(&project), lock(&project), placed(&project)), (before, locked, held));
}

#[test]
fn add_makes_a_project_where_there_is_none() {
    let registry = registry();
    let project = Project::new();
    project.mpm(&["add", "acme/minilm"]).expect(1).says(&["Model.toml", "mpm init"]);
    // A name that no registry answers leaves no half-made project.
    project.mpm(&["add", "acme/minilm", "--init", "-C", "fresh"]).expect(1);
    assert!(!project.folder().join("fresh").exists());
    ok(&project, &["init", "fresh"]);
    let text = project.text("fresh/Model.toml").unwrap();
    let index = folder(&registry);
    let root = registry.root_sha256().prefixed();
    project.write("fresh/Model.toml", format!("{text}\n[registries.acme]\nindex = \"{index}\"\nroot = \"{root}\"\n"));
    ok(&project, &["add", "acme/lora", "-C", "fresh"]);
    assert!(project.read("fresh/models/acme/lora/adapter.safetensors").is_some());
    assert!(project.text("fresh/.gitattributes").unwrap().contains("Model.lock"));
}
