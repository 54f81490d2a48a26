//! A git remote that brings more than files: hooks, submodules, filters, links. Nothing of it runs, and what is no file is no file.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::{NOW, tiny};
use crate::support::project::Project;
use crate::support::registry::{TestRegistry, git};
use crate::support::{peers, registry::GitCopy};

fn registry() -> Option<TestRegistry> {
    if !cfg!(feature = "faults") {
        peers::missing("a build with the feature faults, whose clock can be set");
        return None;
    }
    peers::peer("git")?;
    let mut registry = TestRegistry::new("acme");
    registry.namespace("acme");
    registry.release("acme/tiny", "1.0.0").file("model.safetensors", tiny(0)).publish();
    Some(registry)
}

fn project(registry: &TestRegistry, copy: &GitCopy) -> Project {
    Project::new()
        .manifest(&format!(
            "[project]\nname = \"demo\"\n\n[registries.acme]\nindex = \"git+file://{}\"\nroot = \"{}\"\nnamespaces = [\"acme\"]\n\n[models]\n\"acme/tiny\" = \"1\"\n",
            copy.bare.display(),
            registry.root_sha256().prefixed()
        ))
        .variable("MPM_TEST_NOW", NOW.to_string())
        .variable("MPM_TEST_LAG", "0")
}

fn script(path: &Path, marker: &Path) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, format!("#!/bin/sh\necho ran >>'{}'\ncat\n", marker.display())).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn no_hook_filter_or_submodule_of_a_git_index_runs() {
    let Some(registry) = registry() else { return };
    let copy = registry.as_git();
    let place = tempfile::tempdir().unwrap();
    let marker = place.path().join("ran");
    // Another repository as a submodule, a filter for every file, and hooks on both sides.
    let other = place.path().join("other");
    std::fs::create_dir(&other).unwrap();
    git(&other, &["init", "-q", "-b", "main"]);
    git(&other, &["commit", "-q", "--allow-empty", "-m", "x"]);
    git(&copy.work, &["submodule", "--quiet", "add", other.to_str().unwrap(), "extra"]);
    std::fs::write(copy.work.join(".gitattributes"), "* filter=evil diff=evil merge=evil\n").unwrap();
    copy.commit();
    git(&copy.work, &["push", "-q", "--force", "../bare.git", "main"]);
    let filter = place.path().join("filter");
    script(&filter, &marker);
    for hook in
        ["post-checkout", "post-merge", "reference-transaction", "pre-receive", "update", "post-update", "pre-auto-gc"]
    {
        script(&copy.bare.join("hooks").join(hook), &marker);
        script(&place.path().join("hooks").join(hook), &marker);
    }
    git(&copy.bare, &["config", "uploadpack.packObjectsHook", filter.to_str().unwrap()]);
    let project = project(&registry, &copy);
    let config = format!(
        "[core]\n\thooksPath = {0}/hooks\n\tfsmonitor = {1}\n\tsshCommand = {1}\n[filter \"evil\"]\n\tsmudge = {1}\n\tclean = {1}\n\tprocess = {1}\n\trequired = true\n[uploadpack]\n\tpackObjectsHook = {1}\n[submodule]\n\trecurse = true\n[protocol \"ext\"]\n\tallow = always\n",
        place.path().display(),
        filter.display()
    );
    std::fs::write(project.home().join(".gitconfig"), config).unwrap();
    for arguments in [&["sync"][..], &["update"], &["verify"]] {
        project.mpm(arguments).expect(0);
    }
    assert_eq!(project.read("models/acme/tiny/model.safetensors"), Some(tiny(0)));
    assert!(!marker.exists(), "something of the repository ran: {:?}", std::fs::read_to_string(&marker));
    let kept = crate::flows::fixture::tree(&project.home().join(".cache"));
    assert!(!kept.keys().any(|path| path.contains("modules/")), "a submodule was fetched: {:?}", kept.keys());
}

#[test]
fn links_and_submodules_in_the_place_of_files_are_refused() {
    let Some(registry) = registry() else { return };
    for what in ["a link for the checkpoint", "a submodule for the trust folder", "a folder for the checkpoint"] {
        let copy = registry.as_git();
        let outside = copy.work.parent().unwrap().join("outside");
        std::fs::create_dir(&outside).unwrap();
        match what {
            "a link for the checkpoint" => {
                std::fs::rename(copy.work.join("checkpoint.json"), outside.join("checkpoint.json")).unwrap();
                std::os::unix::fs::symlink(outside.join("checkpoint.json"), copy.work.join("checkpoint.json")).unwrap();
            }
            "a submodule for the trust folder" => {
                std::fs::remove_dir_all(&outside).unwrap();
                std::fs::rename(copy.work.join("trust"), &outside).unwrap();
                git(&outside, &["init", "-q", "-b", "main"]);
                git(&outside, &["add", "-A"]);
                git(&outside, &["commit", "-q", "-m", "x"]);
                git(&copy.work, &["rm", "-rq", "--cached", "trust"]);
                git(&copy.work, &["submodule", "--quiet", "add", outside.to_str().unwrap(), "trust"]);
            }
            _ => {
                std::fs::remove_file(copy.work.join("checkpoint.json")).unwrap();
                std::fs::create_dir(copy.work.join("checkpoint.json")).unwrap();
                std::fs::write(copy.work.join("checkpoint.json/a"), "x").unwrap();
            }
        }
        copy.commit();
        git(&copy.work, &["push", "-q", "--force", "../bare.git", "main"]);
        let project = project(&registry, &copy);
        let ran = project.mpm(&["sync"]);
        assert!(matches!(ran.code, 3 | 4), "{what}: {}\n{}", ran.code, ran.stderr);
        assert!(ran.stderr.contains("registry acme"), "{what}\n{}", ran.stderr);
        assert!(!project.folder().join("models").exists() && project.read("Model.lock").is_none(), "{what}");
    }
}
