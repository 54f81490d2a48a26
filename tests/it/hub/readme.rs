//! The README's page about the hub, as its reader types it, against the stand-in with a real model.

use std::path::Path;
use std::process::{Command, Stdio};

use super::clients::ID;
use crate::support::hub::Hub;
use crate::support::peers::{self, HubClient, minilm};
use crate::support::project::{Project, Ran};

/// The commands in order; each succeeds and says this.
const PAGE: &[(&str, &str)] = &[
    ("mpm init", "Model.toml"),
    (
        "mpm add hf:sentence-transformers/all-MiniLM-L6-v2 --exclude 'onnx/**' --exclude 'openvino/**'",
        "1 of 1 package is signed by nobody",
    ),
    ("echo 'from transformers import AutoTokenizer' > words.py", ""),
    (
        r#"echo 'print(AutoTokenizer.from_pretrained("sentence-transformers/all-MiniLM-L6-v2").tokenize("a pinned model"))' >> words.py"#,
        "",
    ),
    ("mpm run -- python words.py", "['a', 'pinned', 'model']"),
    ("git add Model.toml Model.lock words.py", ""),
    ("mpm sync --locked", "Nothing to do: 1 package as locked"),
    ("mpm verify", "Everything is as it was placed"),
    ("mpm update --dry-run", "Nothing newer"),
    ("mpm get hf:sentence-transformers/all-MiniLM-L6-v2 --include tokenizer.json --to here", "To pin it in a project"),
];

/// Stands between the outputs of two commands.
const NEXT: &str = "--- the next command ---";

/// The commands that the README shows.
fn shown() -> Vec<String> {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let page = readme.split("\n## ").find(|section| section.starts_with("A model from the hub")).unwrap();
    let blocks = page.split("```console").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.flat_map(str::lines).filter_map(|line| line.strip_prefix("$ ")).map(str::to_owned).collect()
}

#[test]
fn the_readme_page_about_the_hub_works() {
    assert_eq!(shown(), PAGE.iter().map(|(command, _)| *command).collect::<Vec<_>>(), "README.md shows another page");
    let (Some(model), Some(git)) = (minilm(), peers::peer("git")) else { return };
    let project = Project::new();
    let Some(python) = HubClient::New.command("python", &project.home(), "") else { return };
    let hub = Hub::start();
    hub.model(ID).folder(&model).file("onnx/notes.txt", "x\n").file("openvino/notes.txt", "x\n").commit("main");
    let programs = [Path::new(env!("CARGO_BIN_EXE_mpm")), Path::new(python.get_program()), &git];
    let folders: Vec<String> =
        programs.iter().map(|program| program.parent().unwrap().to_string_lossy().into_owned()).collect();
    let lines: Vec<String> = PAGE.iter().map(|(command, _)| format!("{command}\necho '{NEXT}'\n")).collect();
    let mut command = Command::new("sh");
    command.arg("-ec").arg(format!("exec 2>&1\ngit init --quiet\n{}", lines.concat()));
    command.current_dir(project.folder()).env_clear().stdin(Stdio::null());
    command.env("HOME", project.home()).env("HF_ENDPOINT", hub.url());
    command.env("PATH", format!("{}:/usr/bin:/bin", folders.join(":")));
    let ran = Ran::of(&command.output().unwrap()).expect(0);
    let parts: Vec<&str> = ran.stdout.split(NEXT).collect();
    assert_eq!(parts.len(), PAGE.len() + 1, "{}", ran.stdout);
    for ((command, expected), text) in PAGE.iter().zip(parts) {
        assert!(text.contains(expected), "`{command}` does not say {expected:?}:\n{text}");
    }
}
