//! Pages of docs/guide/ whose commands are run as they stand.

use std::path::Path;
use std::process::{Command, Stdio};

/// The blocks of a page that are marked `sh`, with what stands between them as comments, so that an error names its place.
fn script(page: &str) -> String {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/guide").join(page)).unwrap();
    let mut script = String::from("set -eu\n");
    let mut inside = false;
    for line in text.lines() {
        match line {
            "```sh" => inside = true,
            "```" if inside => inside = false,
            line if inside => {
                script.push_str(line);
                script.push('\n');
            }
            _ => {}
        }
    }
    script
}

fn runs(page: &str, at_least: usize) {
    let script = script(page);
    assert!(script.lines().filter(|line| line.contains("mpm ")).count() >= at_least, "{page} has lost its commands");
    let home = tempfile::tempdir().unwrap();
    for folder in ["work", "bin", "shared", "scratch"] {
        std::fs::create_dir(home.path().join(folder)).unwrap();
    }
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_mpm"), home.path().join("bin/mpm")).unwrap();
    let programs = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths([home.path().join("bin")].into_iter().chain(std::env::split_paths(&programs)));
    let mut command = Command::new("sh");
    command.args(["-xc", &script]).current_dir(home.path().join("work")).env_clear().stdin(Stdio::null());
    command.env("HOME", home.path()).env("PATH", path.unwrap()).env("USER", "somebody");
    command.env("SHARED", home.path().join("shared/models")).env("SCRATCH", home.path().join("scratch"));
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{page}\n{said}");
}

#[test]
fn the_page_about_containers_does_what_it_says() {
    runs("containers.md", 7);
}

#[test]
fn the_page_about_continuous_integration_does_what_it_says() {
    runs("ci.md", 8);
}

#[test]
fn the_page_about_the_air_gap_does_what_it_says() {
    runs("air-gap.md", 13);
}

#[test]
fn the_page_about_mirrors_does_what_it_says() {
    runs("mirrors.md", 13);
}

#[test]
fn the_page_about_serving_does_what_it_says() {
    if crate::support::peers::peer("curl").is_some() {
        runs("serve.md", 6);
        runs("serve-hub.md", 4);
    }
}

#[test]
fn the_page_about_clusters_does_what_it_says() {
    runs("clusters.md", 14);
}
