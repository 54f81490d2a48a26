//! The architecture and the repository's own rules, checked as text: fast, no build of anything, no network.
//!
//! Each failure names the place and the page that explains the rule. Lists of exceptions carry reasons and only shrink.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, missing_docs, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

#[path = "tidy/docs.rs"]
mod docs;
#[path = "tidy/rooms.rs"]
mod rooms;
#[path = "tidy/threats.rs"]
mod threats;

/// Files above the limit: path, reason. A table is read by looking up, not from top to bottom.
const LONG_FILES: &[(&str, &str)] = &[];
const LIMIT: usize = 600;
const QUESTION: usize = 400;

/// Literals of codes that stand in several places on purpose: code, reason.
const SHARED_CODES: &[(&str, &str)] = &[];

/// A source file of the crate, taken apart.
struct Source {
    /// Relative to the repository.
    path: String,
    /// First part below `src`; none for lib.rs, main.rs and the other binary.
    room: Option<String>,
    /// Lines that ship, comment lines blanked.
    shipped: Vec<String>,
    /// Lines of tests.
    tests: Vec<String>,
    /// Everything.
    text: String,
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// What programs beside the build write into the tree: .gitignore names it.
const GENERATED: &[&str] = &["tests/fuzz/target", "tests/fuzz/artifacts", "tests/fuzz/Cargo.lock"];

/// All files below a folder, relative to the repository, sorted.
fn files(below: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![repository().join(below)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.unwrap().path();
            if GENERATED.contains(&relative(&path).as_str()) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(relative(&path));
            }
        }
    }
    found.sort();
    found
}

fn relative(path: &Path) -> String {
    path.strip_prefix(repository()).unwrap().to_str().expect("paths of the tree are UTF-8").replace('\\', "/")
}

fn with_ending(below: &str, ending: &str) -> Vec<String> {
    files(below).into_iter().filter(|path| path.ends_with(ending)).collect()
}

fn sources() -> Vec<Source> {
    let paths = with_ending("src", ".rs");
    let texts: BTreeMap<&String, String> = paths.iter().map(|path| (path, read(path))).collect();
    let only_tests: BTreeSet<PathBuf> = texts.iter().flat_map(|(path, text)| test_modules(path, text)).collect();
    let source = |(path, text): (&String, String)| {
        let part = path.split('/').nth(1).unwrap_or_default();
        let room = match part {
            "lib.rs" | "main.rs" | "bin" => None,
            _ => Some(part.trim_end_matches(".rs").to_owned()),
        };
        let is_test = only_tests.iter().any(|test| Path::new(path).starts_with(test.with_extension("")))
            || only_tests.contains(Path::new(path));
        let (shipped, tests) = if is_test { (Vec::new(), lines(&text)) } else { split(&text) };
        Source { path: path.clone(), room, shipped, tests, text }
    };
    texts.into_iter().map(source).collect()
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

/// The files that `#[cfg(test)] mod name;` declares, with or without a `#[path]`.
fn test_modules(path: &str, text: &str) -> Vec<PathBuf> {
    let path = Path::new(path);
    let beside = path.parent().unwrap();
    let folder = match path.file_name().and_then(|name| name.to_str()) {
        Some("mod.rs" | "lib.rs") => beside.to_owned(),
        _ => path.with_extension(""),
    };
    let mut found = Vec::new();
    let mut all = text.lines().map(str::trim);
    while let Some(line) = all.next() {
        if line != "#[cfg(test)]" {
            continue;
        }
        let mut next = all.next().unwrap_or_default();
        if let Some(place) = next.strip_prefix("#[path = \"") {
            found.push(beside.join(place.trim_end_matches("\"]")));
            next = "";
        }
        if let Some(name) = next.split("mod ").nth(1).and_then(|rest| rest.strip_suffix(';')) {
            found.extend([folder.join(format!("{name}.rs")), folder.join(name).join("mod.rs")]);
        }
    }
    found
}

/// What ships and what only tests see. Relies on rustfmt: an item ends at a brace as far left as it began.
fn split(text: &str) -> (Vec<String>, Vec<String>) {
    let (mut shipped, mut tests) = (Vec::new(), Vec::new());
    let mut all = text.lines().peekable();
    while let Some(line) = all.next() {
        if line.trim() != "#[cfg(test)]" {
            let comment = line.trim_start().starts_with("//");
            shipped.push(if comment { String::new() } else { line.to_owned() });
            continue;
        }
        shipped.push(String::new());
        let indent = line.len() - line.trim_start().len();
        let end = format!("{}}}", " ".repeat(indent));
        for inner in all.by_ref() {
            tests.push(inner.to_owned());
            shipped.push(String::new());
            let one_line = inner.ends_with(';') && inner.len() - inner.trim_start().len() == indent;
            if inner == end || one_line {
                break;
            }
        }
    }
    (shipped, tests)
}

fn none(problems: &[String], page: &str) {
    assert!(problems.is_empty(), "\n{}\nsee {page}\n", problems.join("\n"));
}

/// The words between double quotes on a line that satisfy `wanted`.
fn literals<'a>(line: &'a str, wanted: impl Fn(&str) -> bool + 'a) -> impl Iterator<Item = &'a str> {
    line.split('"').skip(1).step_by(2).filter(move |word| wanted(word))
}

fn is_code(word: &str) -> bool {
    word.len() == 5 && word.starts_with('E') && word[1..].bytes().all(|byte| byte.is_ascii_digit())
}

#[test]
fn files_stay_small() {
    let mut problems = Vec::new();
    let mut long = String::new();
    for path in with_ending("src", ".rs").into_iter().chain(with_ending("tests", ".rs")) {
        let count = read(&path).lines().count();
        let excepted = LONG_FILES.iter().any(|(name, _)| *name == path);
        match (count > LIMIT, excepted) {
            (true, false) => problems.push(format!("{path} has {count} lines, more than {LIMIT}: split it")),
            (false, true) => problems.push(format!("{path} has {count} lines: delete its exception")),
            _ if count > QUESTION => writeln!(long, "{path}: {count} lines, does it still know one thing?").unwrap(),
            _ => {}
        }
    }
    println!("{long}");
    for (path, reason) in LONG_FILES {
        assert!(repository().join(path).exists() && !reason.is_empty(), "{path} is gone or has no reason");
    }
    none(&problems, "docs/style.md, rule 2");
}

#[test]
fn modules_say_what_they_own() {
    // A file of tests is named for what it tests.
    let silent = |source: &Source| !source.shipped.is_empty() && !source.text.starts_with("//!");
    let problems: Vec<String> =
        sources().iter().filter(|s| silent(s)).map(|s| format!("{} does not open with //!", s.path)).collect();
    none(&problems, "docs/style.md, rule 14");
}

#[test]
fn exceptions_to_lints_are_expected_not_allowed() {
    let mut problems = Vec::new();
    for source in sources() {
        for (number, line) in source.shipped.iter().enumerate() {
            if line.contains("#[allow(") || line.contains("#![allow(") {
                problems.push(format!("{}:{}: allow; write #[expect(lint, reason = …)]", source.path, number + 1));
            }
        }
    }
    none(&problems, "docs/style.md, rule 24");
}

#[test]
fn every_code_means_one_thing() {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for source in sources() {
        for (number, line) in source.shipped.iter().enumerate() {
            for code in literals(line, is_code) {
                places.entry(code.to_owned()).or_default().push(format!("{}:{}", source.path, number + 1));
            }
        }
    }
    let shared = |code: &str| SHARED_CODES.iter().any(|(name, _)| *name == code);
    let several = places.iter().filter(|(code, places)| places.len() > 1 && !shared(code));
    let problems: Vec<String> = several.map(|(code, at)| format!("{code} is used at {}", at.join(", "))).collect();
    none(&problems, "docs/errors.md");
}

#[test]
fn every_code_is_provoked_by_a_test() {
    let mut used = BTreeSet::new();
    let mut provoked = String::new();
    for source in sources() {
        used.extend(source.shipped.iter().flat_map(|line| literals(line, is_code)).map(str::to_owned));
        provoked.push_str(&source.tests.join("\n"));
    }
    for path in with_ending("tests/it", ".rs").into_iter().chain(with_ending("tests/support", ".rs")) {
        provoked.push_str(&read(&path));
    }
    let silent = used.iter().filter(|code| !provoked.contains(code.as_str()));
    let problems: Vec<String> =
        silent.map(|code| format!("{code}: no test of tests/it or of its room names it")).collect();
    println!("{} codes", used.len());
    none(&problems, "docs/contributing.md");
}

#[test]
fn every_fault_point_is_listed_where_tests_find_it() {
    let table = read("src/sys/fault.rs");
    let listed: BTreeSet<&str> =
        table.lines().filter_map(|line| line.strip_prefix("    (\"")?.split('"').next()).collect();
    let mut passed = BTreeSet::new();
    for source in sources() {
        for line in &source.shipped {
            for rest in line.split("fault::point(\"").skip(1) {
                passed.insert(rest.split('"').next().unwrap_or_default().to_owned());
            }
        }
    }
    let mut problems: Vec<String> = passed
        .iter()
        .filter(|name| !listed.contains(name.as_str()))
        .map(|name| format!("{name} is not in POINTS"))
        .collect();
    problems.extend(listed.iter().filter(|name| !passed.contains(**name)).map(|name| format!("nothing passes {name}")));
    none(&problems, "src/sys/fault.rs");
}

#[test]
fn every_integration_test_file_is_declared() {
    let main = read("tests/it/main.rs");
    let mut problems = Vec::new();
    for path in with_ending("tests/it", ".rs") {
        let inside = path.strip_prefix("tests/it/").unwrap();
        let name = inside.trim_end_matches("/mod.rs").trim_end_matches(".rs");
        // A file one folder down is its folder's to declare.
        let (declaring, word) = match name.rsplit_once('/') {
            None => (main.clone(), name),
            Some((folder, word)) => (read(&declarer(folder)), word),
        };
        if name != "main" && !declaring.lines().any(|line| line.ends_with(&format!("mod {word};"))) {
            problems.push(format!("{path} is not declared: it would never run"));
        }
    }
    none(&problems, "docs/contributing.md");
}

fn declarer(folder: &str) -> String {
    let inside = format!("tests/it/{folder}/mod.rs");
    if repository().join(&inside).exists() { inside } else { format!("tests/it/{folder}.rs") }
}

#[test]
fn the_builtin_table_lists_the_demo_registry() {
    let table = read("src/index/builtin_table.rs");
    let prefix = "include_bytes!(\"../../registry-index/";
    let entry = |line: &str| {
        let path = line.trim().strip_prefix("(\"")?.split('"').next()?.to_owned();
        line.contains(&format!("{prefix}{path}\")")).then_some(path)
    };
    let listed: Vec<String> = table.lines().filter_map(entry).collect();
    let inside = |path: String| path.strip_prefix("registry-index/").map(str::to_owned);
    let present: Vec<String> =
        files("registry-index").into_iter().filter_map(inside).filter(|path| !path.starts_with("make/")).collect();
    assert_eq!(table.matches(prefix).count(), listed.len(), "an entry's name and its file differ");
    assert_eq!(listed, present, "run registry-index/make/builtin_table.py");
}

#[test]
fn the_tree_names_no_machine_and_no_package_registry() {
    let hosts = [
        concat!("crates", ".io"),
        concat!("pypi", ".org"),
        concat!("python", "hosted"),
        concat!("npmjs", ".org"),
        concat!("npmjs", ".com"),
        concat!("debian", ".org"),
    ];
    let paths = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/tmp/", "wt")];
    let mut all: Vec<String> = ["README.md", "Cargo.toml", "LICENSE", ".clippy.toml", ".rustfmt.toml", ".gitignore"]
        .map(str::to_owned)
        .into_iter()
        .filter(|path| repository().join(path).exists())
        .collect();
    for folder in ["src", "tests", "docs", "registry-index", ".cargo", ".ci"] {
        all.extend(files(folder));
    }
    let mut problems = Vec::new();
    for path in all {
        let Ok(text) = std::fs::read_to_string(repository().join(&path)) else { continue };
        for (number, line) in text.lines().enumerate() {
            let host = hosts.iter().find(|host| line.contains(**host));
            let place = paths.iter().find(|place| begins_a_path(line, place));
            if let Some(found) = host.or(place) {
                problems.push(format!("{path}:{}: names {found}", number + 1));
            }
        }
    }
    none(&problems, "docs/contributing.md");
}

/// Whether `place` stands on the line as an absolute path, not inside another one such as `trust/root/`.
fn begins_a_path(line: &str, place: &str) -> bool {
    let inside = |before: &str| before.ends_with(|c: char| c.is_alphanumeric() || "._-}*/>~$".contains(c));
    line.match_indices(place).any(|(at, _)| !inside(&line[..at]))
}
