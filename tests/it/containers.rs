//! Files for a container's layer: the same bytes whoever makes them, where and when.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::flows::fixture::{elsewhere, ok, project, registry, tree};
use crate::support::peers;
use crate::support::project::{Project, Ran};

const REST: &str = "[models]\n\"acme/minilm\" = \"1\"\n\n[datasets]\n\"uci/digits\" = \"1\"\n";

/// The archive of a folder, in order of names and without owners.
fn packed(folder: &Path) -> Option<Vec<u8>> {
    let mut command = Command::new(peers::peer("tar")?);
    command.args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "-cf", "-", "-C"]).arg(folder).arg(".");
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success());
    Some(output.stdout)
}

fn run(project: &Project, umask: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Ran {
    let mut command = Command::new("sh");
    command.args(["-c", "umask $0 && exec \"$@\"", umask, env!("CARGO_BIN_EXE_mpm")]).args(arguments);
    command.current_dir(project.folder()).env_clear().env("HOME", project.home()).stdin(Stdio::null());
    command.envs(variables.iter().copied());
    Ran::of(&command.output().unwrap())
}

#[test]
fn two_machines_make_the_same_layer() {
    let registry = registry();
    let one = project(&registry, REST);
    ok(&one, &["lock"]);
    let other = elsewhere(&one);
    // A store that has everything, one that has nothing; another umask; a folder that is there, one that is not.
    ok(&one, &["sync"]);
    std::fs::create_dir(other.folder().join("layer")).unwrap();
    let arguments = ["sync", "--frozen", "--link", "copy", "--to", "layer", "--only", "acme/minilm"];
    let ran = run(&one, "077", &arguments, &[]).expect(0);
    assert!(!ran.stderr.contains("Nothing to do"), "{}", ran.stderr);
    let free: Vec<&str> = arguments.iter().copied().filter(|argument| *argument != "--frozen").collect();
    run(&other, "000", &free, &[]).expect(0);
    let names = ["config.json", "docs/card.md", "model.safetensors"].map(|name| format!("models/acme/minilm/{name}"));
    let all: Vec<String> = tree(&one.folder().join("layer")).into_keys().collect();
    let needed = ["models/.deps/acme/vocab@1.1.0/vocab.txt".to_owned()];
    assert_eq!(all, [&needed[..], &names[..]].concat(), "no receipt, nothing else");
    let layer = one.folder().join("layer");
    for (path, mode) in [("", 0o755), ("models/acme", 0o755), ("models/acme/minilm/model.safetensors", 0o444)] {
        let found = layer.join(path).metadata().unwrap();
        assert_eq!(
            (found.permissions().mode() & 0o7777, found.mtime(), found.mtime_nsec()),
            (mode, 315_532_800, 0),
            "{path}"
        );
        assert!(found.is_dir() || found.nlink() == 1);
    }
    let Some(archive) = packed(&layer) else { return };
    assert!(archive.len() > 10_000 && archive == packed(&other.folder().join("layer")).unwrap());
    // Once more into the same folder changes nothing, another time everything.
    run(&one, "022", &arguments, &[]).expect(0);
    assert!(archive == packed(&layer).unwrap());
    let dated = ["sync", "--frozen", "--link", "copy", "--to", "dated", "--only", "acme/minilm"];
    run(&one, "022", &dated, &[("SOURCE_DATE_EPOCH", "1700000000")]).expect(0);
    assert_eq!(one.folder().join("dated/models").metadata().unwrap().mtime(), 1_700_000_000);
    assert!(archive != packed(&one.folder().join("dated")).unwrap());
    run(&one, "022", &dated, &[("SOURCE_DATE_EPOCH", "soon")]).expect(2).says(&["SOURCE_DATE_EPOCH"]);
    // The project's own files and what it keeps stay as they were.
    ok(&one, &["sync"]).says(&["Nothing to do"]);
    ok(&one, &["store", "gc"]).says(&["Removed 0 blobs"]);
}

#[test]
fn a_layer_can_hold_what_the_commands_need_in_a_container() {
    let registry = registry();
    let made = project(&registry, REST);
    ok(&made, &["lock"]);
    ok(&made, &["sync", "--to", "app", "--link", "copy", "--receipt"]);
    let app = made.folder().join("app");
    // Copied by the tool that packs: other inodes, the same times.
    let copied = made.home().join("copied");
    assert!(Command::new("cp").args(["-a"]).arg(&app).arg(&copied).status().unwrap().success());
    let there = ["-C", copied.to_str().unwrap()];
    let container = Project::new();
    ok(&container, &[&there[..], &["verify"]].concat());
    ok(&container, &[&there[..], &["run", "--", "true"]].concat());
    let path = ok(&container, &[&there[..], &["path", "acme/minilm"]].concat()).stdout;
    assert_eq!(Path::new(path.trim_end()), copied.join("models/acme/minilm"));
}

#[test]
fn a_layer_is_made_of_what_is_named_and_nothing_is_in_its_way() {
    let registry = registry();
    let project = project(&registry, REST);
    ok(&project, &["lock"]);
    project.mpm(&["sync", "--only", "acme/minilm"]).expect(2).says(&["--to"]);
    project.mpm(&["sync", "--to", "layer", "--only", "acme/minlm"]).expect(1).says(&["acme/minilm"]);
    project.write("layer/models/acme/minilm/config.json", "mine");
    project.mpm(&["sync", "--to", "layer"]).expect(1).says(&["error[E0754]", "models/acme/minilm/config.json"]);
    assert_eq!(project.text("layer/models/acme/minilm/config.json").as_deref(), Some("mine"));
    ok(&project, &["sync", "--to", "told", "--dry-run"]);
    assert!(!project.folder().join("told").exists());
    let done = ok(&project, &["sync", "--to", "done", "--json", "--only", "uci/digits"]).json();
    assert_eq!(done["to"], project.folder().join("done").to_string_lossy().as_ref());
    assert_eq!(done["applied"]["placed"], 4, "{done}");
    assert_eq!(project.text("models/acme/minilm/config.json"), None, "nothing in the project");
    // Somebody's project stays as it is; a layer of the same lock is made again.
    ok(&project, &["sync", "--to", "whole", "--receipt"]);
    ok(&project, &["sync", "--to", "whole", "--receipt"]);
    project.write("theirs/Model.toml", "# theirs\n");
    project.write("theirs/Model.lock", "# theirs\n");
    project.mpm(&["sync", "--to", "theirs", "--receipt"]).expect(1).says(&["E0754", "Model.toml", "Model.lock"]);
    assert_eq!(project.text("theirs/Model.toml").as_deref(), Some("# theirs\n"));
    assert_eq!(project.text("theirs/Model.lock").as_deref(), Some("# theirs\n"));
    assert!(!project.folder().join("theirs/models").exists());
}
