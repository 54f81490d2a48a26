//! What stands wrong on the machine itself: its disk, its folders, its files in the place of others.

use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use modelpm::model::Sha256;

use super::{bears_the_marks, blob_path, fails, site, weights};
use crate::support::blob;
use crate::support::project::{Project, Ran};

#[test]
fn a_disk_that_fails_while_a_blob_comes() {
    let Some(site) = site() else { return };
    let server = site.served("[models]\n\"acme/tiny\" = \"1\"");
    // What is small and signed is stored by other means, and before.
    site.works(&["lock"]);
    for (fault, says) in [
        ("fetch-write:error:ENOSPC", ["E0726", "no space is left for acme/tiny", "mpm store gc"]),
        ("fetch-write:error:EIO", ["E0727", "v1/partial", "nothing was placed"]),
    ] {
        let mut command = site.project.command(&["sync"]);
        let ran = Ran::of(&command.env("MPM_FAULT", fault).output().unwrap()).expect(1).says(&says);
        bears_the_marks(&ran);
        assert!(!site.installed());
    }
    site.works(&["sync"]);
    assert_eq!(site.project.read("models/acme/tiny/model.safetensors").unwrap(), weights());
    drop(server);
}

#[test]
fn a_disk_that_is_full_in_the_middle_keeps_what_it_has() {
    let Some(mut site) = site() else { return };
    let large = blob::safetensors(6, 3_000_000);
    site.registry.release("acme/large", "1.0.0").file("model.safetensors", &large).publish();
    let server = site.served("[models]\n\"acme/large\" = \"1\"");
    site.works(&["lock"]);
    let part = site.project.store().join(format!("v1/partial/{}.part", Sha256::of(&large)));
    let mut command = site.project.command(&["sync"]);
    let ran = Ran::of(&command.env("MPM_FAULT", "fetch-write@5:error:ENOSPC").output().unwrap());
    let ran = ran.expect(1).says(&["E0726", "no space is left for acme/large", "mpm store gc"]);
    bears_the_marks(&ran);
    assert!(!site.installed());
    let kept = part.metadata().unwrap().len();
    assert!(kept >= 4 << 20 && kept < large.len() as u64, "{kept}");
    let _ = server.requests();
    site.works(&["sync"]);
    assert_eq!(site.project.read("models/acme/large/model.safetensors").unwrap(), large);
    let first =
        |range: &String| range.strip_prefix("bytes=").unwrap().split('-').next().unwrap().parse::<u64>().unwrap();
    let blob = blob_path(&large);
    let asked = server.requests().into_iter().filter(|request| request.path == blob);
    let from = asked.map(|request| first(&request.headers["range"])).min();
    assert_eq!(from, Some(kept), "what was there is not asked for again");
}

#[test]
fn a_quota_that_is_used_up() {
    for (point, code) in [
        ("fetch-write", "E07"),
        ("blob-sync", "E07"),
        ("atomic-rename", "E0"),
        ("lock-write", "E0"),
        ("place-file", "E07"),
        ("receipt-write", "E07"),
        ("trust-state-write", "E0125"),
    ] {
        let Some(site) = site() else { return };
        let _server = site.served("[models]\n\"acme/tiny\" = \"1\"");
        let mut command = site.project.command(&["sync"]);
        let ran = Ran::of(&command.env("MPM_FAULT", format!("{point}:error:EDQUOT")).output().unwrap());
        assert!(
            ran.code == 1 || ran.code == 4 && point == "trust-state-write",
            "{point}: {}\n{}",
            ran.code,
            ran.stderr
        );
        assert!(ran.stderr.contains(&format!("error[{code}")), "{point}\n{}", ran.stderr);
        assert!(
            ran.stderr.to_lowercase().contains("quota") || ran.stderr.contains("no space is left"),
            "{point}\n{}",
            ran.stderr
        );
        // Nothing half placed, and the next run, with room, completes.
        let placed = site.project.read("models/acme/tiny/model.safetensors");
        assert!(placed.is_none() || placed == Some(weights()), "{point}");
        site.works(&["sync"]);
        site.works(&["verify"]);
        assert_eq!(site.project.read("models/acme/tiny/model.safetensors"), Some(weights()), "{point}");
    }
}

#[test]
fn a_file_of_the_project_that_is_no_regular_file() {
    let Some(site) = site() else { return };
    let site = site.wants("[models]\n\"acme/tiny\" = \"1\"");
    let folder = site.project.folder();
    std::fs::create_dir(folder.join("Model.lock")).unwrap();
    for arguments in [&["sync"][..], &["list"], &["lock"]] {
        site.fails(arguments, 1, &["E0902", "Model.lock", "a regular file was expected"]);
    }
    std::fs::remove_dir(folder.join("Model.lock")).unwrap();
    std::fs::rename(folder.join("Model.toml"), folder.join("other.toml")).unwrap();
    symlink("other.toml", folder.join("Model.toml")).unwrap();
    site.fails(&["sync"], 1, &["E0902", "Model.toml", "is a symlink"]);
}

#[test]
fn a_state_folder_that_leads_elsewhere() {
    let Some(site) = site() else { return };
    let site = site.wants("[models]\n\"acme/tiny\" = \"1\"");
    let outside = tempfile::tempdir().unwrap();
    symlink(outside.path(), site.project.folder().join(".mpm")).unwrap();
    for arguments in [&["sync"][..], &["add", "acme/app"], &["lock"]] {
        site.fails(arguments, 1, &["E0903", ".mpm", "symbolic link", "nothing was changed"]);
    }
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0, "nothing was written through it");
}

#[test]
fn a_folder_and_a_path_that_are_too_deep_together() {
    let Some(mut site) = site() else { return };
    let deep = |count: usize| vec!["d"; count].join("/");
    site.registry
        .release("acme/deep", "1.0.0")
        .file(&format!("{}/model.safetensors", deep(20)), blob::safetensors(7, 10))
        .publish();
    let site = site.wants(&format!("[models]\n\"acme/deep\" = {{ version = \"1\", to = \"{}\" }}", deep(20)));
    site.fails(&["sync"], 1, &["E0559", "deeper than 32 folders", "to = \"…\"", "nothing was placed"]);
    let site = site.wants("[models]\n\"acme/deep\" = { version = \"1\", to = \"d\" }");
    site.works(&["sync"]);
}

#[test]
fn a_working_folder_that_is_gone() {
    let project = Project::new();
    let gone = project.folder().join("gone");
    std::fs::create_dir(&gone).unwrap();
    let run = |arguments: &[&str]| {
        let mpm = project.command(arguments);
        let mut shell = Command::new("sh");
        shell.args(["-c", "rmdir \"$PWD\" && exec \"$@\"", "sh"]).arg(mpm.get_program()).args(mpm.get_args());
        shell.current_dir(&gone).env_clear().stdin(Stdio::null());
        shell.envs(mpm.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let ran = Ran::of(&shell.output().unwrap());
        std::fs::create_dir(&gone).unwrap();
        ran
    };
    for arguments in [&["list"][..], &["-C", "sub", "sync"]] {
        bears_the_marks(&run(arguments).expect(1).says(&["E0994", "-C with an absolute folder"]));
    }
    let there = project.folder().display().to_string();
    run(&["-C", &there, "init"]).expect(0);
    fails(&project, &["init"], 1, &["E0904"]);
}
