//! Bundles are taken in: into a mirror and into the store, one after the other, with a report for whoever decides.

use super::{Maker, Site, releases};
use crate::flows::fixture::{elsewhere, folder, manifest, ok, placed, project, registry, tree};
use crate::support::project::Project;

const REST: &str = "[models]\n\"acme/minilm\" = \"1\"\n\n[datasets]\n\"uci/digits\" = \"1\"\n";

#[test]
fn a_mirror_takes_one_bundle_after_another_and_the_report_says_what_is_new() {
    let mut registry = registry();
    let maker = Maker::of(&registry, &folder(&registry));
    let (first, _) = maker.make("first.mpmb", &["--all"]);
    let site = Site::of(&registry);
    // A look first: nothing is written.
    let dry = site.import(&first, &["--dry-run"]).expect(0).json();
    assert_eq!(dry["new"].as_array().unwrap().len(), 8, "{dry}");
    assert!(!site.folder.exists());
    let told = site.import(&first, &[]).expect(0).json();
    assert_eq!(told["new"], dry["new"]);
    let minilm = told["releases"].as_array().unwrap().iter().find(|release| release["version"] == "2.0.0").unwrap();
    assert_eq!(minilm["name"], "acme/minilm");
    assert_eq!(minilm["signers"][0], registry.publisher("acme").public().fingerprint().hex());
    assert_eq!(minilm["formats"], serde_json::json!(["json", "md", "safetensors"]));
    assert_eq!((&minilm["whole"], &minilm["code"], &minilm["yanked"]), (&true.into(), &false.into(), &false.into()));
    assert!(told["age"].as_u64().unwrap() < 7_200);
    // The mirror is one as `mpm mirror sync` makes it.
    let looked = ok(&site.project, &["--json", "mirror", "verify", &site.text()]).json();
    assert_eq!(looked["releases"], serde_json::json!({ "whole": 8, "partial": 0, "absent": 0 }));
    assert_eq!(looked["extra"], serde_json::json!([]));
    let machine = Project::new().manifest(&manifest(&registry, &site.text(), REST));
    ok(&machine, &["--offline", "sync"]);
    // The same again changes nothing.
    let before = tree(&site.folder);
    let again = site.import(&first, &[]).expect(0).json();
    assert_eq!((&again["new"], &again["came"]["files"]), (&serde_json::json!([]), &0.into()));
    assert_eq!(tree(&site.folder), before);
    // What is new since; a package that the second bundle does not ask for stays, and so does what it needs.
    registry.yank("acme/minilm", "1.0.0", "the tokenizer is of another model");
    registry.release("acme/vocab", "1.2.0").file("vocab.txt", "four\n").licence("MIT").publish();
    let (second, _) = maker.make("second.mpmb", &["--all", "--since", &first.display().to_string()]);
    let lone = Site::of(&registry);
    lone.import(&second, &[]).expect(0);
    let told = site.import(&second, &[]).expect(0).json();
    assert_eq!(releases(&told), ["acme/vocab 1.2.0"]);
    assert_eq!(told["releases"][0]["licence"], "MIT");
    assert_eq!(told["came"]["files"], 1);
    let looked = ok(&site.project, &["--json", "mirror", "verify", &site.text()]).json();
    assert_eq!(looked["releases"], serde_json::json!({ "whole": 9, "partial": 0, "absent": 0 }));
    // An older one is refused, by the mirror and by the machine's memory.
    let before = tree(&site.folder);
    site.import(&first, &[]).expect(4).says(&["E0114"]);
    let other = Site { folder: site.folder.clone(), ..Site::of(&registry) };
    other.import(&first, &[]).expect(4).says(&["E1003", "checkpoint"]);
    other.import(&first, &["--dry-run"]).expect(4).says(&["E1003"]);
    assert_eq!(tree(&site.folder), before);
}

#[test]
fn a_package_that_a_bundle_says_nothing_of_stays_as_it_was() {
    let mut registry = registry();
    let maker = Maker::of(&registry, &folder(&registry));
    let (first, _) = maker.make("first.mpmb", &["uci/digits"]);
    let site = Site::of(&registry);
    site.import(&first, &[]).expect(0);
    registry.release("acme/vocab", "1.2.0").file("vocab.txt", "four\n").publish();
    let (second, _) = maker.make("second.mpmb", &["acme/vocab", "--newest", "1"]);
    let told = site.import(&second, &[]).expect(0).json();
    assert_eq!(told["left-out"], serde_json::json!([]));
    let rest = "[models]\n\"acme/vocab\" = \"1\"\n\n[datasets]\n\"uci/digits\" = \"1\"\n";
    let both = Project::new().manifest(&manifest(&registry, &site.text(), rest));
    ok(&both, &["--offline", "sync"]);
    // A log that has grown since, and that the bundle lacks, is told.
    registry.release("uci/digits", "1.1.0").dataset().file("README.md", "# more\n").publish();
    registry.release("acme/vocab", "1.3.0").file("vocab.txt", "five\n").publish();
    let (third, _) = maker.make("third.mpmb", &["acme/vocab", "--newest", "1"]);
    let told = site.import(&third, &[]).expect(0).json();
    assert!(told["left-out"][0].as_str().unwrap().contains("uci/digits"), "{told}");
    let one = Project::new().manifest(&manifest(&registry, &site.text(), "[models]\n\"acme/vocab\" = \"1\"\n"));
    ok(&one, &["--offline", "lock", "--available"]);
}

#[test]
fn a_bundle_that_goes_on_from_what_the_site_lacks_is_refused() {
    let mut registry = registry();
    let maker = Maker::of(&registry, &folder(&registry));
    let (first, told) = maker.make("first.mpmb", &["acme/minilm@=1.0.0"]);
    // The new release holds a file of the old one.
    registry.release("acme/minilm", "3.0.0").file("docs/card.md", "# minilm 1.0.0\n").file("new.txt", "x\n").publish();
    let since = first.display().to_string();
    let (second, _) = maker.make("second.mpmb", &["acme/minilm@3", "--since", &since]);
    let site = Site::of(&registry);
    let at = told["checkpoint"].as_str().unwrap();
    site.import(&second, &[]).expect(1).says(&["E1012", "docs/card.md", at, "import the one before it first"]);
    assert!(!site.folder.exists());
    site.import(&first, &[]).expect(0);
    site.import(&second, &[]).expect(0);
    ok(&site.project, &["mirror", "verify", &site.text()]);
}

#[test]
fn blobs_that_a_mirror_has_are_found_where_the_checkpoint_says_they_lie() {
    let mut registry = registry();
    let bases = Some(vec!["https://cdn.example/acme/".to_owned(), "data".to_owned()]);
    let request = modelpm::registry::CheckpointRequest { now: registry.now(), signers: &[&registry.index], bases };
    modelpm::registry::checkpoint(&registry.handle(), &request).unwrap();
    std::fs::create_dir_all(registry.folder().join("data")).unwrap();
    std::fs::rename(registry.folder().join("blobs"), registry.folder().join("data/blobs")).unwrap();
    let maker = Maker::of(&registry, &folder(&registry));
    let (first, _) = maker.make("first.mpmb", &["acme/minilm@=1.0.0"]);
    registry.release("acme/minilm", "3.0.0").file("docs/card.md", "# minilm 1.0.0\n").file("new.txt", "x\n").publish();
    for blob in ["# minilm 1.0.0\n", "x\n"] {
        let path = modelpm::sys::blob_path(&modelpm::model::Sha256::of(blob.as_bytes()));
        let to = registry.folder().join("data").join(&path);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::write(to, blob).unwrap();
    }
    let (second, _) = maker.make("second.mpmb", &["acme/minilm@3", "--since", &first.display().to_string()]);
    let site = Site::of(&registry);
    site.import(&first, &[]).expect(0);
    assert!(site.folder.join("data/blobs").is_dir() && !site.folder.join("blobs").exists());
    site.import(&second, &[]).expect(0);
    let looked = ok(&site.project, &["--json", "mirror", "verify", &site.text()]).json();
    assert_eq!((&looked["releases"]["partial"], &looked["extra"]), (&0.into(), &serde_json::json!([])));
    // The bundle itself gives its blobs whatever the checkpoint says of bases.
    let rest = "[models]\n\"acme/minilm\" = \"=1.0.0\"\n";
    ok(&Project::new().manifest(&manifest(&registry, &first.display().to_string(), rest)), &["--offline", "sync"]);
}

#[test]
fn the_store_takes_a_bundle_and_a_lock_installs_with_no_index_at_all() {
    let registry = registry();
    let origin = project(&registry, REST);
    ok(&origin, &["sync"]);
    let maker = Maker::of(&registry, &folder(&registry));
    let lock = origin.folder().join("Model.lock").display().to_string();
    let (bundle, _) = maker.make("site.mpmb", &["--lock", &lock]);
    let inside = elsewhere(&origin);
    let nowhere = "index = \"sparse+https://models.acme.invalid/\"";
    let text = inside.text("Model.toml").unwrap();
    let line = text.lines().find(|line| line.starts_with("index = ")).unwrap().to_owned();
    inside.write("Model.toml", text.replace(&line, nowhere));
    // The project names the root: nothing need be typed.
    let file = bundle.display().to_string();
    let told = ok(&inside, &["--json", "bundle", "import", &file, "--into", "store"]).json();
    assert_eq!(told["new"].as_array().unwrap().len(), 3);
    ok(&inside, &["--offline", "sync", "--locked"]);
    assert_eq!(placed(&inside), placed(&origin));
    let again = ok(&inside, &["--json", "bundle", "import", &file, "--into", "store"]).json();
    assert_eq!((&again["new"], &again["came"]["files"]), (&serde_json::json!([]), &0.into()));
}

#[test]
fn the_store_lends_what_a_bundle_leaves_out() {
    let mut registry = registry();
    let maker = Maker::of(&registry, &folder(&registry));
    let (first, _) = maker.make("first.mpmb", &["acme/minilm@=1.0.0"]);
    registry.release("acme/minilm", "3.0.0").file("docs/card.md", "# minilm 1.0.0\n").file("new.txt", "x\n").publish();
    let (second, _) = maker.make("second.mpmb", &["acme/minilm@3", "--since", &first.display().to_string()]);
    let rest = "[models]\n\"acme/minilm\" = \"3\"\n";
    let machine = Project::new().manifest(&manifest(&registry, &second.display().to_string(), rest));
    let import =
        |bundle: &std::path::Path| machine.mpm(&["bundle", "import", &bundle.display().to_string(), "--into", "store"]);
    import(&second).expect(1).says(&["E1012", "docs/card.md"]);
    import(&first).expect(0);
    import(&second).expect(0);
    ok(&machine, &["--offline", "sync"]);
    assert_eq!(machine.text("models/acme/minilm/docs/card.md").unwrap(), "# minilm 1.0.0\n");
}

#[test]
fn a_bundle_below_the_floor_of_the_projects_lock_is_refused() {
    let mut registry = registry();
    let maker = Maker::of(&registry, &folder(&registry));
    let (old, _) = maker.make("old.mpmb", &["--all"]);
    registry.release("acme/vocab", "1.2.0").file("vocab.txt", "four\n").publish();
    let origin = project(&registry, REST);
    ok(&origin, &["lock"]);
    // Another machine, which remembers nothing: the lock does.
    let inside = elsewhere(&origin);
    let file = old.display().to_string();
    for into in ["store", "mirror"] {
        let ran = inside.mpm(&["bundle", "import", &file, "--into", into]);
        ran.expect(4).says(&["E0114", "Model.lock"]);
    }
    assert!(!inside.folder().join("mirror").exists());
}

#[test]
fn small_files_in_packs_come_into_the_store_as_files() {
    let author = Project::new();
    ok(&author, &["key", "new", "main.key", "--no-password"]);
    ok(&author, &["index", "init", "index", "--id", "mine", "--namespace", "me", "--demo"]);
    for number in 0..300 {
        author.write(&format!("pub/out/rows/{number:03}.txt"), format!("row {number}\n").repeat(40));
    }
    let package = "[package]\nname = \"me/rows\"\nversion = \"1.0.0\"\nkind = \"dataset\"\ndir = \"out\"\n";
    author.write("pub/Model.toml", package);
    let keys = ["--key", "../main.key", "--index-key", "../index.key"];
    ok(&author, &[&["-C", "pub", "publish", "--registry", "../index"][..], &keys].concat());
    let index = author.folder().join("index").display().to_string();
    let root = modelpm::model::Sha256::of(&author.read("index/trust/root/1.json").unwrap()).prefixed();
    let arguments = ["bundle", "create", "-o", "rows.mpmb", "--all", "--from", &index, "--root", &root];
    ok(&author, &arguments);
    let bundle = author.folder().join("rows.mpmb").display().to_string();
    let text = format!(
        "[project]\nname = \"p\"\n[registries.mine]\nindex = \"{bundle}\"\nroot = \"{root}\"\n[datasets]\n\"me/rows\" = \"1\"\n"
    );
    let direct = Project::new().manifest(&text);
    ok(&direct, &["--offline", "sync"]);
    assert_eq!(placed(&direct).len(), 300);
    let machine = Project::new().manifest(&text);
    ok(&machine, &["bundle", "import", &bundle, "--into", "store"]);
    ok(&machine, &["--offline", "sync"]);
    assert_eq!(placed(&machine), placed(&direct));
}

#[test]
fn an_import_that_is_killed_shows_nothing_and_the_same_command_goes_on() {
    let mut registry = registry();
    let maker = Maker::of(&registry, &folder(&registry));
    let (first, _) = maker.make("first.mpmb", &["--all"]);
    registry.release("acme/vocab", "1.2.0").file("vocab.txt", "four\n").publish();
    let (second, _) = maker.make("second.mpmb", &["--all"]);
    let site = Site::of(&registry);
    site.import(&first, &[]).expect(0);
    let head = std::fs::read(site.folder.join("checkpoint.json")).unwrap();
    for point in ["blob-sync", "fetch-write", "many-rename", "many-rename@3", "atomic-rename", "name-sync"] {
        let (file, to) = (second.display().to_string(), site.text());
        let arguments = ["bundle", "import", &file, "--into", &to, "--root", &site.root];
        let mut command = site.project.command(&arguments);
        let _ = command.env("MPM_FAULT", format!("{point}:kill")).output().unwrap();
        if std::fs::read(site.folder.join("checkpoint.json")).unwrap() != head {
            break;
        }
        // A reader sees what was there before, whole.
        let machine = Project::new().manifest(&manifest(&registry, &site.text(), REST));
        ok(&machine, &["--offline", "sync"]);
    }
    site.import(&second, &[]).expect(0);
    let looked = ok(&site.project, &["--json", "mirror", "verify", &site.text()]).json();
    assert_eq!(looked["releases"]["whole"], 9);
}

#[test]
fn a_bundle_is_there_whole_or_not_at_all_whenever_its_maker_ends() {
    let registry = registry();
    let maker = Maker::of(&registry, &folder(&registry));
    let (whole, _) = maker.make("whole.mpmb", &["--all"]);
    for (shape, point) in [
        (&["--all"][..], "many-rename:kill"),
        (&["--all"], "bundle-rename:kill"),
        (&["--all", "--folder"], "bundle-rename:kill"),
        (&["--all", "--volume-size", "64K"], "bundle-rename:error:ENOSPC"),
    ] {
        let arguments = [&["bundle", "create", "-o", "x.mpmb"][..], shape].concat();
        let output = maker.project.command(&arguments).env("MPM_FAULT", point).output().unwrap();
        assert!(!output.status.success());
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(point.ends_with("kill") || said.contains("E1087"), "{said}");
        let names: Vec<String> = std::fs::read_dir(maker.project.folder())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.starts_with('x'))
            .collect();
        assert!(names.is_empty(), "{names:?}");
    }
    ok(&maker.project, &["bundle", "create", "-o", "x.mpmb", "--all"]);
    assert_eq!(maker.project.read("x.mpmb").unwrap(), std::fs::read(whole).unwrap());
    assert!(!maker.project.folder().join(".x.mpmb.making").exists());
}
