//! The tables of docs/trust.md and docs/tuf.md, counted: each row names a test that runs, or says why there is none.

use std::collections::BTreeSet;
use std::io::Write as _;

use crate::{none, read, sources, with_ending};

/// Cases of the catalogue that concern what is built.
const CASES: std::ops::RangeInclusive<u32> = 1..=46;
/// Test functions of tuf-conformance.
const SCENARIOS: usize = 53;

/// Tests by their last name, and whether each runs: `#[test]` before it, and nothing that leaves it out of `tests/run`, which
/// builds with the feature `faults`.
struct Tests {
    run: BTreeSet<String>,
    left_out: BTreeSet<String>,
}

impl Tests {
    fn read() -> Self {
        let mut found = Self { run: BTreeSet::new(), left_out: BTreeSet::new() };
        for path in with_ending("tests", ".rs") {
            found.take(&read(&path));
        }
        for source in sources() {
            found.take(&source.tests.join("\n"));
        }
        found
    }

    fn take(&mut self, text: &str) {
        let mut attributes: Vec<&str> = Vec::new();
        for line in text.lines().map(str::trim) {
            if line.starts_with("#[") {
                attributes.push(line);
            } else if let Some(rest) = line.strip_prefix("fn ").or_else(|| line.strip_prefix("async fn ")) {
                let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                if attributes.contains(&"#[test]") {
                    let left_out = attributes.iter().any(|line| {
                        line.starts_with("#[ignore") || line.starts_with("#[cfg(") && !line.contains("\"faults\"")
                    });
                    if left_out {
                        self.left_out.insert(name)
                    } else {
                        self.run.insert(name)
                    };
                }
                attributes.clear();
            } else if !line.starts_with("//") {
                attributes.clear();
            }
        }
    }
}

/// Rows of the tables whose header ends with a column `test`, as cells.
fn rows(page: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut counted = false;
    for line in read(page).lines() {
        let cells: Vec<String> = line.split('|').map(|cell| cell.trim().to_owned()).collect();
        match cells.as_slice() {
            [first, .., last] if first.is_empty() && last.is_empty() => {}
            _ => {
                counted = false;
                continue;
            }
        }
        let cells = cells[1..cells.len() - 1].to_vec();
        let last = cells.last().map(String::as_str).unwrap_or_default();
        if last == "test" {
            counted = true;
        } else if counted && !last.starts_with("---") {
            found.push(cells);
        }
    }
    found
}

/// How many rows have a test, are open, or do not apply; what is wrong goes to `problems`.
fn count(page: &str, problems: &mut Vec<String>) -> [usize; 3] {
    let tests = Tests::read();
    let mut counts = [0; 3];
    for row in rows(page) {
        let (case, last) = (&row[0], row.last().expect("cells"));
        let named: Vec<&str> =
            last.split('`').skip(1).step_by(2).filter_map(|word| word.strip_prefix("test:")).collect();
        let words: String = last.split('`').step_by(2).collect();
        let open = ["open: ", "does not apply, because "].map(|word| last.strip_prefix(word));
        match open {
            [Some(reason), None] if named.is_empty() && reason.len() > 10 => counts[1] += 1,
            [None, Some(reason)] if named.is_empty() && reason.len() > 10 => counts[2] += 1,
            [None, None] if !named.is_empty() && !words.contains("open") => counts[0] += 1,
            _ => problems
                .push(format!("{page}, {case}: a row names tests, or says \"open: …\" or why it does not apply")),
        }
        for name in named {
            let last = name.rsplit("::").next().unwrap_or(name);
            if tests.left_out.contains(last) {
                problems.push(format!("{page}, {case}: the test {name} is left out where it stands"));
            } else if !tests.run.contains(last) {
                problems.push(format!("{page}, {case}: the test {name} does not exist"));
            }
        }
    }
    counts
}

/// Past the print macros, which a test that passes keeps to itself.
fn say(text: &str) {
    let _ = std::io::stderr().write_all(format!("{text}\n").as_bytes());
}

#[test]
fn every_threat_has_a_test_that_runs_or_a_reason() {
    let mut problems = Vec::new();
    let [tested, open, foreign] = count("docs/trust.md", &mut problems);
    let met: BTreeSet<u32> = rows("docs/trust.md")
        .iter()
        .filter_map(|row| row[0].split(|c: char| !c.is_ascii_digit()).next()?.parse().ok())
        .collect();
    problems
        .extend(CASES.filter(|case| !met.contains(case)).map(|case| format!("docs/trust.md: case {case} has no row")));
    say(&format!("docs/trust.md: {tested} rows have tests, {open} are open, {foreign} do not apply"));
    none(&problems, "docs/trust.md#threats");
}

#[test]
fn every_scenario_of_tuf_conformance_has_its_row() {
    let mut problems = Vec::new();
    let [tested, open, foreign] = count("docs/tuf.md", &mut problems);
    let names: BTreeSet<String> = rows("docs/tuf.md").into_iter().map(|row| row[0].clone()).collect();
    if names.len() != SCENARIOS || tested + open + foreign != SCENARIOS {
        problems.push(format!("docs/tuf.md has {} scenarios, not {SCENARIOS}", names.len()));
    }
    say(&format!("docs/tuf.md: {tested} scenarios have tests, {open} are open, {foreign} do not apply"));
    none(&problems, "docs/tuf.md");
}
