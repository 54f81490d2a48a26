//! The documentation: codes and variables described, links that lead somewhere, commands that a test runs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::{is_code, literals, none, read, repository, sources, with_ending};

/// Pages whose links are followed.
fn pages() -> Vec<String> {
    let mut pages = with_ending("docs", ".md");
    pages.extend(with_ending("registry-index/make", ".md"));
    pages.push("README.md".to_owned());
    pages
}

#[test]
fn every_code_is_documented_under_its_room() {
    let page = read("docs/errors.md");
    let mut documented: BTreeMap<String, String> = BTreeMap::new();
    let mut problems = Vec::new();
    let (mut heading, mut ranges) = ("", Vec::new());
    for line in page.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            (heading, ranges) = (title, codes_in(title));
        }
        let Some(title) = line.strip_prefix("### ") else { continue };
        let code = title.split(':').next().unwrap_or_default();
        if !is_code(code) {
            problems.push(format!("heading without a code: {line}"));
        } else if ranges.len() >= 2 && !(ranges[0].as_str()..=ranges[1].as_str()).contains(&code) {
            problems.push(format!("{code} stands under \"{heading}\""));
        }
        if documented.insert(code.to_owned(), heading.to_owned()).is_some() {
            problems.push(format!("{code} is documented twice"));
        }
    }
    let mut used: BTreeMap<String, String> = BTreeMap::new();
    for source in sources() {
        for line in &source.shipped {
            used.extend(literals(line, is_code).map(|code| (code.to_owned(), source.path.clone())));
        }
    }
    problems.extend(
        used.iter()
            .filter(|(code, _)| !documented.contains_key(*code))
            .map(|(code, path)| format!("{code} of {path} is not documented")),
    );
    problems
        .extend(documented.keys().filter(|code| !used.contains_key(*code)).map(|code| format!("nothing has {code}")));
    none(&problems, "docs/errors.md");
}

fn codes_in(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| is_code(word)).map(str::to_owned).collect()
}

#[test]
fn every_environment_variable_is_documented() {
    let is_variable = |word: &str| {
        word.starts_with("MPM_")
            && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
    };
    let mut variables = BTreeSet::new();
    for source in sources() {
        variables.extend(source.shipped.iter().flat_map(|line| literals(line, is_variable)).map(str::to_owned));
    }
    let all: String = pages().iter().map(|page| read(page)).collect();
    let problems: Vec<String> = variables
        .into_iter()
        .filter(|name| !all.contains(&format!("`{name}`")) && !all.contains(&format!("`{name}<")))
        .map(|name| format!("`{name}` is on no page"))
        .collect();
    none(&problems, "docs/guide/configuration.md");
}

#[test]
fn links_lead_somewhere() {
    let mut problems = Vec::new();
    for page in pages() {
        let text = without_blocks(&read(&page));
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
            let base = Path::new(&page).parent().unwrap_or(Path::new(""));
            let file = if path.is_empty() { Path::new(&page).to_owned() } else { base.join(path) };
            if !repository().join(&file).exists() {
                problems.push(format!("{page}: {target} leads nowhere"));
            } else if !anchor.is_empty() && !anchors(&file.to_string_lossy()).contains(anchor) {
                problems.push(format!("{page}: {target}: no such heading"));
            }
        }
    }
    none(&problems, "docs/contributing.md");
}

fn without_blocks(text: &str) -> String {
    let outside: Vec<&str> = text.split("```").step_by(2).collect();
    outside.concat()
}

/// Headings as a forge turns them into anchors.
fn anchors(page: &str) -> BTreeSet<String> {
    let slug = |title: &str| {
        let kept =
            title.to_lowercase().chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).collect::<String>();
        kept.trim().replace(' ', "-")
    };
    let text = without_blocks(&read(page));
    text.lines().filter(|line| line.starts_with('#')).map(|line| slug(line.trim_start_matches('#'))).collect()
}

#[test]
fn every_command_of_the_readme_is_run_by_a_test() {
    let mut tests: String = with_ending("tests/it", ".rs").iter().map(|path| read(path)).collect();
    for path in ["tests/run", ".ci/run"] {
        tests.push_str(&read(path));
    }
    let readme = read("README.md");
    let blocks = readme.split("```console").skip(1).filter_map(|rest| rest.split("```").next());
    let commands = blocks.flat_map(str::lines).filter_map(|line| line.strip_prefix("$ "));
    let problems: Vec<String> = commands
        .map(str::trim)
        .filter(|command| !tests.contains(command))
        .map(|command| format!("no test holds `{command}`"))
        .collect();
    none(&problems, "docs/contributing.md");
}

#[test]
fn every_dependency_is_a_decision() {
    let decision = read("docs/decisions/0002-dependencies.md");
    let manifest = read("Cargo.toml");
    let mut table = "";
    let mut problems = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            table = line;
        } else if let Some((name, _)) = line.split_once(" = ").filter(|_| table.ends_with("dependencies]"))
            && !decision.contains(&format!("`{name}`"))
        {
            problems.push(format!("`{name}` is a dependency that no line explains"));
        }
    }
    none(&problems, "docs/decisions/0002-dependencies.md");
}
