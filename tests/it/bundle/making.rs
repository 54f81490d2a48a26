//! Bundles are made: the same bytes each time, only what is new, in volumes and folders; and are read where they lie.

use modelpm::bundle::Bundle;

use super::{Maker, Site, releases};
use crate::flows::fixture::{elsewhere, folder, manifest, ok, placed, project, registry, tree};
use crate::hub::weights;
use crate::support::hub::Hub;
use crate::support::project::Project;
use crate::support::server::Server;

const REST: &str = "[models]\n\"acme/minilm\" = \"1\"\n\n[datasets]\n\"uci/digits\" = \"1\"\n";

#[test]
fn two_runs_on_two_machines_make_the_same_bytes_whatever_way_they_come() {
    let registry = registry();
    let server = Server::start(registry.folder());
    let first = Maker::of(&registry, &folder(&registry));
    let second = Maker::of(&registry, &format!("sparse+{}", server.url()));
    let (one, told) = first.make("site.mpmb", &["--all"]);
    let (two, _) = second.make("other.mpmb", &["--all"]);
    assert_eq!(std::fs::read(&one).unwrap(), std::fs::read(&two).unwrap());
    // Out of a mirror, and out of the bundle itself.
    let mirror = first.at("mirror").display().to_string();
    ok(&first.project, &["mirror", "sync", &mirror, "--all"]);
    let (three, _) = first.make("three.mpmb", &["--all", "--from", &mirror]);
    let (four, _) = first.make("four.mpmb", &["--all", "--from", &one.display().to_string()]);
    assert_eq!(std::fs::read(&one).unwrap(), std::fs::read(three).unwrap());
    assert_eq!(std::fs::read(&one).unwrap(), std::fs::read(four).unwrap());
    // And back into a mirror, as from any copy.
    let (second, root) = (first.at("second").display().to_string(), registry.root_sha256().prefixed());
    let back = Project::new();
    let from = one.display().to_string();
    ok(&back, &["mirror", "sync", &second, "--all", "--from", &from, "--root", &root]);
    let looked = ok(&back, &["--json", "mirror", "verify", &second]).json();
    assert_eq!(looked["releases"]["whole"], 8);
    assert_eq!(told["releases"], 8);
    // Nothing is left of the work.
    let names: Vec<_> =
        std::fs::read_dir(first.project.home()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!names.iter().any(|name| name.to_string_lossy().contains("making")), "{names:?}");
    // What stands there is not replaced.
    let text = one.display().to_string();
    first.project.mpm(&["bundle", "create", "-o", &text, "--all"]).expect(1).says(&["E1085", "rm -r"]);
    first.project.mpm(&["bundle", "create", "-o", "x.mpmb"]).expect(2).says(&["E0911", "--lock FILE"]);
}

#[test]
fn since_holds_one_new_release_and_metadata() {
    let mut registry = registry();
    let maker = Maker::of(&registry, &folder(&registry));
    let (old, before) = maker.make("old.mpmb", &["--all"]);
    registry.release("acme/vocab", "1.2.0").file("vocab.txt", "a new one\n".repeat(1000)).publish();
    let (new, told) = maker.make("new.mpmb", &["--all", "--since", &old.display().to_string()]);
    let at = before["checkpoint"].as_str().unwrap().to_owned();
    let (by_number, _) = maker.make("number.mpmb", &["--all", "--since", &at]);
    for path in [&new, &by_number] {
        let bundle = Bundle::open(std::slice::from_ref(path)).unwrap();
        let table = bundle.table();
        assert_eq!(table.blobs.len(), 1, "the file of the new release");
        assert_eq!(table.blobs.values().next().unwrap().size, 10_000);
        let statements = table.files.keys().filter(|path| path.starts_with("releases/") && path.ends_with(".json"));
        assert_eq!(statements.count(), 1);
        // Metadata is whole: logs of all packages, nodes, entries of namespaces, roots, the registrar's file.
        let logs = table.files.keys().filter(|path| path.starts_with("packages/"));
        assert_eq!(logs.count(), 5);
        for begin in ["trust/root/1.json", "trust/registrar/", "trust/namespaces/", "tree/", "checkpoint.json"] {
            assert!(table.files.keys().any(|path| path.starts_with(begin)), "{begin}");
        }
        let listed = ok(&maker.project, &["--json", "bundle", "list", &path.display().to_string()]).json();
        assert_eq!(releases(&listed), ["acme/vocab 1.2.0"]);
        assert_eq!((&listed["since"], &listed["missing"]["files"]), (&at.clone().into(), &0.into()));
    }
    assert_eq!(told["fetched"]["files"], 0, "it lies in the registry's folder");
    let metadata = |path: &std::path::Path| std::fs::metadata(path).unwrap().len() - 10_000;
    assert!(metadata(&new) < 64 << 10, "{}", metadata(&new));
}

#[test]
fn a_bundle_is_a_registry_as_it_stands() {
    let registry = registry();
    let origin = project(&registry, REST);
    ok(&origin, &["sync"]);
    let maker = Maker::of(&registry, &folder(&registry));
    let lock = origin.folder().join("Model.lock").display().to_string();
    let (bundle, _) = maker.make("site.mpmb", &["--lock", &lock]);
    let text = bundle.display().to_string();
    let cut = elsewhere(&origin);
    let line = |text: &str| text.lines().find(|line| line.starts_with("index = ")).unwrap().to_owned();
    let manifest_text = origin.text("Model.toml").unwrap();
    cut.write("Model.toml", manifest_text.replace(&line(&manifest_text), &format!("index = \"{text}\"")));
    ok(&cut, &["--offline", "sync", "--locked"]);
    assert_eq!(placed(&cut), placed(&origin));
    // A machine that has only Model.toml resolves out of it.
    let fresh = Project::new().manifest(&manifest(&registry, &text, REST));
    ok(&fresh, &["--offline", "lock", "--available"]);
    ok(&fresh, &["--offline", "sync"]);
    assert_eq!(placed(&fresh), placed(&origin));
    // As a mirror of an index that this machine's configuration names.
    let root = registry.root_sha256().prefixed();
    let nowhere = "sparse+https://models.acme.invalid/";
    let configured = Project::new()
        .manifest(&manifest(&registry, nowhere, "[models]\n\"acme/minilm\" = \"=1.1.0\"\n"))
        .config(&format!("[index-mirrors]\n\"{root}\" = [\"{text}\"]\n"));
    ok(&configured, &["--offline", "sync"]);
    // What is not in it is not in this copy.
    let other = Project::new().manifest(&manifest(&registry, &text, ""));
    other.mpm(&["add", "acme/lora"]).expect(3).says(&["E0111", "not in this copy"]);
    other.mpm(&["add", "acme/nothing"]).expect(1).says(&["E0923"]);
    // One that is not there, and one that is none.
    let gone = Project::new().manifest(&manifest(&registry, "/nonexistent/site.mpmb", ""));
    gone.mpm(&["add", "acme/lora"]).expect(1).says(&["E1088"]);
}

#[test]
fn volumes_are_one_bundle_and_a_folder_is_one_too() {
    let registry = registry();
    let maker = Maker::of(&registry, &folder(&registry));
    let (whole, _) = maker.make("whole.mpmb", &["--all"]);
    let (_, told) = maker.make("site.mpmb", &["--all", "--volume-size", "64K"]);
    let volumes: Vec<&str> = told["files"].as_array().unwrap().iter().map(|file| file.as_str().unwrap()).collect();
    assert!(volumes.len() > 2, "{volumes:?}");
    assert!(volumes[0].ends_with("site.001.mpmb"));
    for volume in &volumes {
        assert!(std::fs::metadata(volume).unwrap().len() <= 64 << 10);
    }
    // One names the others; all together in any order.
    let told_of = |ran: crate::support::project::Ran| {
        let mut told = ran.json();
        told.as_object_mut().unwrap().remove("age");
        told
    };
    let listed = told_of(ok(&maker.project, &["--json", "bundle", "verify", volumes[1]]));
    let mut all = vec!["--json", "bundle", "verify"];
    all.extend(volumes.iter().rev());
    assert_eq!(told_of(ok(&maker.project, &all)), listed);
    let plain = told_of(ok(&maker.project, &["--json", "bundle", "verify", &whole.display().to_string()]));
    assert_eq!(plain, listed);
    // It is a registry by any of them.
    let machine = Project::new().manifest(&manifest(&registry, volumes[0], REST));
    ok(&machine, &["--offline", "sync"]);
    // Their slices, one after the other, are the file.
    let mut bytes = Vec::new();
    for volume in &volumes {
        bytes.extend_from_slice(&std::fs::read(volume).unwrap()[4096..]);
    }
    assert_eq!(bytes, std::fs::read(&whole).unwrap());
    // Without one, with one of another bundle, with one twice.
    let run = |files: &[&str]| maker.project.mpm(&[&["bundle", "verify"][..], files].concat());
    run(&volumes[..2]).expect(1).says(&["E1083", "number 3"]);
    run(&[volumes[0], volumes[0]]).expect(1).says(&["E1083", "volume 1"]);
    run(&[volumes[0], &whole.display().to_string()]).expect(1).says(&["E1083", "is no volume"]);
    run(&[&whole.display().to_string(), volumes[0]]).expect(1).says(&["E1083", "whole bundle"]);
    // A folder: the head of the file as BUNDLE, and the entries as files.
    let (tree_of, _) = maker.make("folder", &["--all", "--folder"]);
    let read = told_of(ok(&maker.project, &["--json", "bundle", "verify", &tree_of.display().to_string()]));
    assert_eq!(read, listed);
    let head = std::fs::read(tree_of.join("BUNDLE")).unwrap();
    assert_eq!(head[..], std::fs::read(&whole).unwrap()[..head.len()]);
    let again = Project::new().manifest(&manifest(&registry, &tree_of.display().to_string(), REST));
    ok(&again, &["--offline", "sync"]);
    let site = Site::of(&registry);
    site.import(&tree_of, &[]).expect(0);
    assert!(!tree(&site.folder).is_empty());
    maker.project.mpm(&["bundle", "create", "-o", "y.mpmb", "--all", "--volume-size", "1K"]).expect(2);
}

#[test]
fn groups_and_profiles_narrow_what_a_lock_brings() {
    let registry = registry();
    let rest = "[models]\n\"acme/minilm\" = \"1\"\n\n[groups.eval.datasets]\n\"uci/digits\" = \"1\"\n\n\
                [groups.other.models]\n\"acme/lora\" = \"1\"\n\n[profiles.small]\n\"acme/minilm\" = \"int8\"\n";
    let origin = project(&registry, rest);
    ok(&origin, &["lock"]);
    let maker = Maker::of(&registry, &folder(&registry));
    let lock = origin.folder().join("Model.lock").display().to_string();
    let made = |name: &str, more: &[&str]| {
        let (path, _) = maker.make(name, &[&["--lock", &lock][..], more].concat());
        ok(&maker.project, &["--json", "bundle", "list", &path.display().to_string()]).json()
    };
    assert_eq!(made("all.mpmb", &[])["releases"].as_array().unwrap().len(), 5);
    let eval = made("eval.mpmb", &["--group", "eval"]);
    assert_eq!(releases(&eval), ["acme/minilm 1.1.0", "acme/vocab 1.1.0", "uci/digits 1.0.0"]);
    let small = made("small.mpmb", &["--group", "eval", "--profile", "small"]);
    assert_eq!(small["releases"][0]["whole"], false, "{small}");
    let arguments = ["bundle", "create", "-o", "z.mpmb", "--lock", &lock, "--group", "none"];
    maker.project.mpm(&arguments).expect(1).says(&["E0551"]);
    // What the profile leaves out is not missed where it goes.
    let site = Site::of(&registry);
    site.import(&maker.at("small.mpmb"), &[]).expect(0);
    let inside = rest.replace("[groups.other.models]\n\"acme/lora\" = \"1\"\n\n", "");
    let machine = Project::new().manifest(&manifest(&registry, &site.text(), &inside));
    ok(&machine, &["--offline", "sync", "--profile", "small", "--group", "eval"]);
}

#[test]
fn files_of_hub_sources_come_along_by_digest() {
    let registry = registry();
    let hub = Hub::start();
    let bytes = weights(300_000, 7);
    hub.model("org/tiny").file("config.json", "{}\n").lfs("model.safetensors", bytes.clone()).commit("main");
    let rest = "[models]\n\"acme/vocab\" = \"1\"\ntiny = { hf = \"org/tiny\", revision = \"main\" }\n";
    let origin = project(&registry, rest).variable("HF_ENDPOINT", hub.url());
    ok(&origin, &["sync"]);
    let maker = Maker::of(&registry, &folder(&registry));
    let maker = Maker { project: maker.project.variable("HF_ENDPOINT", hub.url()) };
    let to = maker.at("site.mpmb").display().to_string();
    let lock = origin.folder().join("Model.lock").display().to_string();
    let told = ok(&maker.project, &["--json", "bundle", "create", "-o", &to, "--lock", &lock]).json();
    assert_eq!(told["sources"][0], "hf:org/tiny@main", "{told}");
    drop(hub);
    let listed = ok(&maker.project, &["--json", "bundle", "verify", &to]).json();
    assert_eq!(listed["source-files"]["files"], 2, "{listed}");
    let site = Site::of(&registry);
    site.import(&maker.at("site.mpmb"), &[]).expect(0);
    let place = site.folder.join(modelpm::sys::blob_path(&modelpm::model::Sha256::of(&bytes)));
    assert_eq!(std::fs::read(place).unwrap(), bytes);
    // Into the store, the lock installs with nothing else.
    let inside = elsewhere(&origin);
    let root = registry.root_sha256().prefixed();
    ok(&inside, &["bundle", "import", &to, "--into", "store", "--root", &root]);
    ok(&inside, &["--offline", "sync", "--locked"]);
    assert_eq!(placed(&inside), placed(&origin));
}
