//! Wiring: help, exit codes, quiet, JSON, pipes that break. What commands do is tested where it is decided.

use std::process::Stdio;

use crate::support::project::{Project, Ran};

const COMMANDS: &[&str] = &[
    "init",
    "add",
    "remove",
    "lock",
    "mirror",
    "bundle",
    "update",
    "upgrade",
    "why",
    "outdated",
    "search",
    "serve",
    "sync",
    "fetch",
    "list",
    "tree",
    "info",
    "path",
    "run",
    "verify",
    "diff",
    "key",
    "publish",
    "index",
    "store",
    "doctor",
    "config",
    "login",
    "logout",
    "completions",
];

#[test]
fn help_and_version_are_results() {
    let project = Project::new();
    let help = project.mpm(&["--help"]).expect(0);
    for command in COMMANDS {
        assert!(help.stdout.contains(&format!("\n  {command} ")), "{command} is not in:\n{}", help.stdout);
        let own = project.mpm(&[command, "--help"]).expect(0);
        assert!(own.stdout.contains("Usage: mpm"), "{}", own.stdout);
    }
    let version = project.mpm(&["--version"]).expect(0);
    assert_eq!(version.stdout, format!("mpm {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn what_is_not_built_is_not_offered() {
    let project = Project::new();
    let help = project.mpm(&["--help"]).expect(0);
    for command in ["audit", "sbom"] {
        assert!(!help.stdout.contains(&format!("\n  {command} ")), "{command}");
        project.mpm(&[command]).expect(2);
    }
}

#[test]
fn a_wrong_command_line_is_code_2_with_a_suggestion() {
    let project = Project::new();
    project.mpm(&["sync", "--lockd"]).expect(2).says(&["--locked"]);
    project.mpm(&["lst"]).expect(2).says(&["list"]);
    project.mpm(&[]).expect(2);
    let error = project.mpm(&["--json", "sync", "--lockd"]).expect(2).json_error();
    assert_eq!(error["schema"], "mpm.error/1");
    assert_eq!((&error["error"]["code"], &error["error"]["class"]), (&"E0991".into(), &"usage".into()));
}

#[test]
fn an_error_has_a_code_a_hint_and_survives_quiet() {
    let project = Project::new();
    for arguments in [&["sync"][..], &["-q", "sync"], &["sync", "-q", "--no-progress"]] {
        let ran = project.mpm(arguments).expect(1).says(&["error[E0901]: no Model.toml in ", "hint: run `mpm init`"]);
        assert_eq!(ran.stdout, "");
    }
}

#[test]
fn an_error_is_a_document_under_json() {
    let project = Project::new();
    for ran in [project.mpm(&["sync", "--json"]), Project::new().variable("MPM_JSON", "1").mpm(&["sync"])] {
        let ran = ran.expect(1);
        let error = &ran.json_error()["error"];
        assert_eq!((&error["code"], &error["class"]), (&"E0901".into(), &"yours".into()));
        assert_eq!(error["hints"][0]["run"], "mpm init");
        assert_eq!(ran.stdout, "");
    }
}

#[test]
fn init_makes_a_project_once() {
    let project = Project::new();
    project.mpm(&["init"]).expect(0).says(&["Made "]);
    assert!(project.text("Model.toml").expect("made").contains("[project]"));
    project.mpm(&["init"]).expect(1).says(&["E0904"]);
    let ran = project.mpm(&["init", "below", "--json"]).expect(0);
    assert_eq!(ran.json()["schema"], "mpm.init/1");
    assert_eq!(ran.stderr, "");
    assert!(project.text("below/Model.toml").is_some());
}

#[test]
fn quiet_says_nothing_when_all_is_well() {
    let ran = Project::new().mpm(&["-q", "init"]).expect(0);
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("", ""));
}

#[test]
fn colour_is_asked_for_or_absent() {
    let project = Project::new();
    let escape = '\u{1b}';
    assert!(!project.mpm(&["sync"]).stderr.contains(escape));
    assert!(project.mpm(&["sync", "--color", "always"]).stderr.contains(escape));
    let forced = Project::new().variable("CLICOLOR_FORCE", "1");
    assert!(forced.mpm(&["sync"]).stderr.contains(escape));
    assert!(!forced.mpm(&["sync", "--color", "never"]).stderr.contains(escape));
    assert!(!Project::new().variable("NO_COLOR", "1").mpm(&["sync"]).stderr.contains(escape));
}

#[test]
fn a_broken_pipe_is_silent() {
    let project = Project::new();
    for arguments in [&["--help"][..], &["completions", "bash"], &["store", "dir"], &["help", "sync"]] {
        let mut child =
            project.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
        drop(child.stdout.take());
        let ran = Ran::of(&child.wait_with_output().expect("ends"));
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{arguments:?}");
    }
}

#[test]
fn the_environment_moves_the_store() {
    let project = Project::new();
    let default = project.mpm(&["store", "dir"]).expect(0);
    assert_eq!(default.stdout.trim_end(), project.store().to_string_lossy());
    let ran = Project::new().variable("MPM_STORE", "/elsewhere/store").mpm(&["store", "dir"]).expect(0);
    assert_eq!(ran.stdout, "/elsewhere/store\n");
    Project::new().variable("MPM_STORE", "relative").mpm(&["store", "dir"]).expect(1).says(&["absolute"]);
    Project::new().variable("MPM_JOBS", "many").mpm(&["store", "dir"]).expect(2).says(&["MPM_JOBS", "\"many\""]);
}

#[test]
fn completions_name_the_commands() {
    let project = Project::new();
    project.mpm(&["completions"]).expect(2);
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = project.mpm(&["completions", shell]).expect(0).stdout;
        assert!(script.contains("completions") && script.contains("sync"), "{shell}");
    }
}

#[test]
fn every_variable_is_documented() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/guide/environment.md");
    let text = std::fs::read_to_string(path).expect("docs/guide/environment.md");
    for variable in modelpm::cli::VARIABLES {
        assert!(text.contains(&format!("| `{}` |", variable.name)), "{} has no row", variable.name);
    }
}

#[test]
fn every_command_is_documented() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/guide/commands.md");
    let text = std::fs::read_to_string(path).expect("docs/guide/commands.md");
    for command in COMMANDS {
        assert!(text.contains(&format!("`mpm {command}")), "{command} is not described");
    }
}
