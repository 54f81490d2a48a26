//! The benchmark runs: two of its rows at a size that takes a moment. What it measures is nobody's pass or failure.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::peers;

/// `tests/perf/run` with these words, or `None` where Python is missing.
fn benchmark(words: &[&str]) -> Option<String> {
    let mut command = Command::new(peers::peer("python3")?);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/perf/run")).args(words).stdin(Stdio::null());
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{words:?}: {stdout}{stderr}");
    Some(stdout)
}

#[test]
fn two_rows_of_the_benchmark_run() {
    for name in ["nginx", "curl", "git"] {
        if peers::peer(name).is_none() {
            return;
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().to_str().unwrap();
    let small = ["P7", "P5", "--scale", "0.005", "--pairs", "1"];
    let words = [&small[..], &["--no-install", "--mpm", env!("CARGO_BIN_EXE_mpm"), "--dir", place]].concat();
    let Some(said) = benchmark(&words) else { return };
    for expected in ["scale 0.005", "P5       warm sync, 100 files of 10 KiB", "P7       start-up", "target ≤ 4 ms"] {
        assert!(said.contains(expected), "{expected} is not in:\n{said}");
    }
    assert!(!said.contains("failed") && !said.contains("not measured"), "{said}");
    let left = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(left.collect::<Vec<_>>(), ["kept.json"], "what was laid is removed at the end");
}

#[test]
fn every_row_of_the_benchmark_is_on_its_page() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/performance.md")).unwrap();
    let Some(said) = benchmark(&["--list"]) else { return };
    let rows: Vec<&str> = said.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(rows.len() > 12, "{said}");
    for row in rows {
        assert!(page.contains(&format!("\n| {row} | ")), "{row} is not explained");
    }
}
