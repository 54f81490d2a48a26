//! Model.toml, config.toml and Model.lock: the pages that define them, and inputs that stay as they are for ever.

use std::path::{Path, PathBuf};

use modelpm::config;
use modelpm::diagnose::Diagnose;
use modelpm::lock::{Found, Lock, check};
use modelpm::manifest::Manifest;

fn read(path: impl AsRef<Path>) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

/// The code that a file in a `bad` folder is named for.
fn code(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().chars().take(5).collect()
}

/// The blocks of a page marked `toml`, each with the code it must be refused with, if it names one.
fn blocks(page: &str) -> Vec<(Option<String>, String)> {
    let text = read(page);
    let mut blocks = Vec::new();
    for block in text.split("\n```toml").skip(1) {
        let (info, rest) = block.split_once('\n').unwrap();
        let (body, _) = rest.split_once("```").unwrap();
        blocks.push((Some(info.trim().to_owned()).filter(|code| !code.is_empty()), body.to_owned()));
    }
    assert!(!blocks.is_empty(), "{page}");
    blocks
}

fn is_written_again(name: &str, text: &str) {
    match Lock::parse(text) {
        Ok(Found::Whole(lock)) => assert_eq!(lock.render(), text, "{name}"),
        other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn the_examples_of_the_manifest_page_parse() {
    for (code, text) in blocks("docs/formats/manifest.md") {
        match (Manifest::parse(&text), code) {
            (Ok(_), None) => {}
            (Err(error), Some(code)) => assert_eq!(error.code().0, code, "{error}"),
            (result, code) => panic!("{code:?}: {result:?}\n{text}"),
        }
    }
}

#[test]
fn the_examples_of_the_configuration_page_parse() {
    for (code, text) in blocks("docs/formats/config.md") {
        assert_eq!(code, None);
        let parsed = config::parse(&text, "config.toml").unwrap();
        assert_eq!((parsed.trusted.len(), parsed.mirrors.len(), parsed.tokens.len()), (1, 1, 1));
    }
}

#[test]
fn the_examples_of_the_lock_page_are_written_again() {
    for (code, text) in blocks("docs/formats/lock.md") {
        match code {
            None => is_written_again("docs/formats/lock.md", &text),
            Some(code) => assert_eq!(Lock::parse(&text).unwrap_err().code().0, code),
        }
    }
}

#[test]
fn every_released_form_of_the_lock_is_read_and_written_again() {
    for path in files("tests/golden/lock/good") {
        is_written_again(&path.display().to_string(), &read(&path));
    }
    is_written_again("Model.lock.example", &read("Model.lock.example"));
}

#[test]
fn every_broken_lock_keeps_its_code() {
    for path in files("tests/golden/lock/bad") {
        let error = Lock::parse(&read(&path)).expect_err(&path.display().to_string());
        assert_eq!(error.code().0, code(&path), "{}: {error}", path.display());
        let expected = if code(&path) == "E0509" { 4 } else { 1 };
        assert_eq!(error.class().exit_code(), expected);
        assert!(!error.hints().is_empty());
    }
}

#[test]
fn every_released_form_of_the_manifest_parses() {
    for path in files("tests/golden/manifest/good") {
        Manifest::parse(&read(&path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}

#[test]
fn every_broken_manifest_keeps_its_code_and_says_where() {
    for path in files("tests/golden/manifest/bad") {
        let error = Manifest::parse(&read(&path)).expect_err(&path.display().to_string());
        assert_eq!((error.code().0, error.class().exit_code()), (code(&path).as_str(), 1), "{error}");
        let text = format!("{error} {:?}", error.hints());
        assert!(text.contains("line ") && text.contains("column "), "{text}");
        assert!(!text.contains("secret"), "{text}");
    }
}

#[test]
fn the_lock_of_the_page_answers_its_manifest_and_names_what_does_not() {
    let manifest = "[registries.acme]\nindex = \"../index\"\nroot = \
        \"sha256:9f2c51d0a3f7c6c1f6f3cb3a5d0f3a3c4a7d7e9b1c2d3e4f5061728394a5b6c7\"\n[models]\n\"acme/minilm\" = \
        \"^1.2\"\nours = { path = \"../ours\" }\n[groups.eval.models]\n\"acme/minilm\" = \
        \"^1.2\"\n[policy.unsafe]\n\"acme/minilm@1.2.3\" = { formats = [\"pickle\"], reason = \"published before \
        safetensors; reviewed in ML-311\" }\n";
    let Found::Whole(lock) = Lock::parse(&read("tests/golden/lock/good/v1.lock")).unwrap() else { panic!() };
    assert_eq!(check(&Manifest::parse(manifest).unwrap(), &lock), Vec::new());
    // Each edit admits the locked version and changes nothing.
    for requirement in ["1", "=1.2.3", ">=1.0, <3", "*"] {
        let edited = Manifest::parse(&manifest.replace("^1.2", requirement)).unwrap();
        assert_eq!(check(&edited, &lock), Vec::new(), "{requirement}");
    }
    let edited = Manifest::parse(&manifest.replace("^1.2", "^1.3")).unwrap();
    let reasons: Vec<String> = check(&edited, &lock).iter().map(ToString::to_string).collect();
    assert_eq!(
        reasons,
        [
            "Model.toml line 5: acme/minilm asks for version ^1.3, Model.lock has acme:acme/minilm@1.2.3",
            "Model.toml line 8: acme/minilm asks for version ^1.3, Model.lock has acme:acme/minilm@1.2.3",
        ]
    );
}
