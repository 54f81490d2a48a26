//! Twelve and more puzzles that have no answer, each with its whole explanation as a user reads it.
//!
//! Read them as one who has only the terminal: what failed, because of which line, what ruled the rest out, what to try.

use crate::support::peers;
use crate::support::project::Project;
use crate::support::registry::{BASE_TIME, TestRegistry};

const DAY: u64 = 86_400;

/// A registry and what a project asks of it.
struct Puzzle {
    registry: TestRegistry,
    rest: String,
    commands: Vec<Vec<&'static str>>,
    now: u64,
}

fn puzzle(lines: &[&str]) -> Puzzle {
    let mut registry = TestRegistry::new("acme");
    registry.namespace("acme");
    let mut puzzle = Puzzle { registry, rest: String::new(), commands: vec![vec!["lock"]], now: BASE_TIME + 3_600 };
    puzzle.publish(lines);
    puzzle
}

impl Puzzle {
    /// Releases, a line each: `name version [-> other requirement, …]`, with `!reason` behind it for a yanked one.
    fn publish(&mut self, lines: &[&str]) {
        for line in lines {
            let (line, yanked) = line.split_once(" !").map_or((*line, None), |(line, reason)| (line, Some(reason)));
            let (head, dependencies) = line.split_once(" -> ").unwrap_or((line, ""));
            let (name, version) = head.split_once(' ').unwrap();
            let mut release = self.registry.release(&format!("acme/{name}"), version).file("config.json", "{}\n");
            for dependency in dependencies.split(", ").filter(|part| !part.is_empty()) {
                let (to, requirement) = dependency.split_once(' ').unwrap();
                release = match to.split_once(':') {
                    Some((registry, to)) => release.depends_on_foreign(registry, to, requirement),
                    None => release.depends(&format!("acme/{to}"), requirement),
                };
            }
            release.publish();
            if let Some(reason) = yanked {
                self.registry.yank(&format!("acme/{name}"), version, reason);
            }
        }
    }

    /// The same so many days after the registry began.
    fn later(mut self, days: u64, lines: &[&str]) -> Self {
        self.registry.checkpoint(days * DAY);
        self.publish(lines);
        self.now = BASE_TIME + days * DAY + 3_600;
        self
    }

    fn asks(mut self, rest: &str) -> Self {
        self.rest = rest.to_owned();
        self
    }

    fn runs(mut self, commands: &[&[&'static str]]) -> Self {
        self.commands = commands.iter().map(|command| command.to_vec()).collect();
        self
    }

    fn project(&self) -> Project {
        let text = format!(
            "[registries.acme]\nindex = \"{}\"\nroot = \"{}\"\n\n{}",
            self.registry.folder().display(),
            self.registry.root_sha256().prefixed(),
            self.rest
        );
        let project = Project::new().variable("MPM_TEST_NOW", self.now.to_string());
        project.manifest(&text)
    }

    /// What the last command says; those before it must succeed.
    fn told(&self) -> String {
        let project = self.project();
        let (last, before) = self.commands.split_last().unwrap();
        for command in before {
            project.mpm(command).expect(0);
        }
        let before = (project.text("Model.toml"), project.text("Model.lock"));
        let ran = project.mpm(last);
        assert_ne!(ran.code, 0, "{last:?} succeeded");
        assert_eq!((project.text("Model.toml"), project.text("Model.lock")), before, "files changed\n{}", ran.stderr);
        let kept = |line: &&str| !line.starts_with("note: registry acme is new");
        ran.stderr.lines().filter(kept).map(|line| format!("{line}\n")).collect()
    }
}

#[test]
fn each_puzzle_is_explained() {
    if !cfg!(feature = "faults") {
        return peers::missing("a build with the feature faults, whose clock can be set");
    }
    let mut wrong = String::new();
    for (name, puzzle, expected) in all() {
        let told = puzzle.told();
        if told != expected {
            wrong.push_str(&format!("== {name}\n-- expected\n{expected}-- told\n{told}"));
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

fn all() -> Vec<(&'static str, Puzzle, &'static str)> {
    vec![
        (
            "nothing is that new",
            puzzle(&["tiny 1.0.0", "tiny 1.1.0"]).asks("[models]\n\"acme/tiny\" = \"^9\"\n"),
            r#"error[E0401]: no version of acme/tiny satisfies ^9, which Model.toml line 6 asks for
  there are 1.1.0 and 1.0.0

hint: Model.toml line 6 could ask for "1.1.0"
hint: run `mpm add acme/tiny@1.1.0`
hint: Model.lock is unchanged
"#,
        ),
        (
            "the only one is yanked",
            puzzle(&["tiny 1.0.0", "tiny 2.0.0 !wrong tokenizer"]).asks("[models]\n\"acme/tiny\" = \"2\"\n"),
            r#"error[E0401]: no version of acme/tiny satisfies 2, which Model.toml line 6 asks for
  there is 1.0.0
  2.0.0 is yanked

hint: Model.toml line 6 could ask for "1.0.0"
hint: run `mpm add acme/tiny@1.0.0`
hint: `mpm info acme/tiny` says why 2.0.0 was yanked
hint: Model.lock is unchanged
"#,
        ),
        (
            "there are only pre-releases",
            puzzle(&["tiny 2.0.0-rc.1", "tiny 2.0.0-rc.2"])
                .asks("[groups.eval.models]\nt = { package = \"acme/tiny\", version = \"2\" }\n"),
            r#"error[E0401]: no version of acme/tiny satisfies 2, which Model.toml line 6 (group eval) asks for
  none can be picked
  2.0.0-rc.2 and 2.0.0-rc.1 are each a pre-release that the requirement does not name

hint: run `mpm add acme/tiny@2.0.0-rc.2 --as t --to-group eval`
hint: Model.lock is unchanged
"#,
        ),
        (
            "too young",
            puzzle(&["tiny 1.0.0"])
                .later(10, &["tiny 2.0.0", "tiny 2.1.0"])
                .asks("[models]\n\"acme/tiny\" = \"2\"\n\n[policy]\nminimum-age = \"7d\"\n"),
            r#"error[E0401]: no version of acme/tiny satisfies 2, which Model.toml line 6 asks for
  there is 1.0.0
  2.1.0 and 2.0.0 are younger than 7d (minimum-age, Model.toml line 9); 2.1.0 is old enough on 2027-02-01T08:00:00Z

hint: Model.toml line 6 could ask for "1.0.0"
hint: run `mpm add acme/tiny@1.0.0`
hint: Model.lock is unchanged
"#,
        ),
        (
            "some yanked, some too young, one a pre-release",
            puzzle(&["tiny 1.0.0", "tiny 2.0.0 !broken", "tiny 2.1.0-rc.1"])
                .later(10, &["tiny 2.1.0", "tiny 2.2.0"])
                .asks("[models]\n\"acme/tiny\" = \"2\"\n\n[policy]\nminimum-age = \"30d\"\n"),
            r#"error[E0401]: no version of acme/tiny satisfies 2, which Model.toml line 6 asks for
  none can be picked
  2.0.0 is yanked
  2.1.0-rc.1 is a pre-release that the requirement does not name
  2.2.0 and 2.1.0 are younger than 30d (minimum-age, Model.toml line 9); 2.2.0 is old enough on 2027-02-24T08:00:00Z

hint: run `mpm info acme/tiny`
hint: Model.lock is unchanged
"#,
        ),
        (
            "one version for two who disagree",
            puzzle(&["mlp 1.0.0", "mlp 1.1.0", "lora 1.0.0 -> mlp =1.0.0"])
                .asks("[models]\n\"acme/lora\" = \"1\"\n\"acme/mlp\" = { version = \"^1.1\", unique = true }\n"),
            r#"error[E0401]: the requirements can't be met together
  because Model.toml line 6 asks for acme/lora 1
  and because Model.toml line 7 asks for acme/mlp ^1.1
  and because acme/lora 1.0.0 depends on acme/mlp =1.0.0
  and because one version of acme/mlp must serve all of these (unique, Model.toml line 7) and none of 1.1.0 and 1.0.0 does,
  the requirements of Model.toml can't be met

hint: without unique = true in Model.toml line 7, several versions of acme/mlp stand side by side
hint: run `mpm info acme/mlp`
hint: Model.lock is unchanged
"#,
        ),
        (
            "a dead end two steps away",
            puzzle(&["vocab 1.0.0", "mid 1.0.0 -> vocab ^7", "mid 1.1.0 -> vocab ^7", "top 1.0.0 -> mid 1"])
                .asks("[models]\n\"acme/top\" = \"1\"\n"),
            r#"error[E0401]: no version of acme/vocab satisfies ^7
  because Model.toml line 6 asks for acme/top 1
  and because acme/top 1.0.0 depends on acme/mid 1
  and because every version of acme/mid that may be picked depends on acme/vocab ^7
  and because no version of acme/vocab satisfies ^7 (there is 1.0.0),
  the requirements of Model.toml can't be met

hint: Model.toml line 6 could ask for another version of acme/top, or its publisher mend what it needs
hint: run `mpm info acme/top`
hint: Model.lock is unchanged
"#,
        ),
        (
            "a dead end that a yank made",
            puzzle(&["vocab 1.0.0", "vocab 2.0.0 !empty", "top 1.0.0 -> vocab 2"])
                .asks("[models]\n\"acme/top\" = \"1\"\n"),
            r#"error[E0401]: no version of acme/vocab satisfies 2
  because Model.toml line 6 asks for acme/top 1
  and because acme/top 1.0.0 depends on acme/vocab 2
  and because no version of acme/vocab satisfies 2 (there is 1.0.0); 2.0.0 is yanked,
  the requirements of Model.toml can't be met

hint: Model.toml line 6 could ask for another version of acme/top, or its publisher mend what it needs
hint: run `mpm info acme/top`
hint: `mpm info acme/vocab` says why 2.0.0 was yanked
hint: Model.lock is unchanged
"#,
        ),
        (
            "a dependency that is gone",
            puzzle(&["top 1.0.0 -> nowhere 1"]).asks("[models]\n\"acme/top\" = \"1\"\n"),
            r#"error[E0401]: registry acme has no package acme/nowhere
  because Model.toml line 6 asks for acme/top 1
  and because acme/top 1.0.0 depends on acme/nowhere 1
  and because registry acme has no package acme/nowhere,
  the requirements of Model.toml can't be met

hint: Model.toml line 6 could ask for another version of acme/top, or its publisher mend what it needs
hint: run `mpm info acme/top`
hint: Model.lock is unchanged
"#,
        ),
        (
            "a typo",
            puzzle(&["tiny 1.0.0"]).asks("[models]\n\"acme/tinny\" = \"1\"\n"),
            r#"error[E0923]: registry acme has no package acme/tinny
  Model.toml line 6 asks for it

hint: did you mean acme/tiny?
hint: nothing was changed
"#,
        ),
        (
            "a registry that nobody named",
            puzzle(&["top 1.0.0 -> other:o/base ^2"]).asks("[models]\n\"acme/top\" = \"1\"\n"),
            r#"error[E0403]: acme:acme/top@1.0.0 depends on o/base of registry other, which Model.toml does not name
  Model.toml line 6 asks for acme/top

hint: add to Model.toml:
    [registries.other]
    index = "…"        # ask its owner, not the package
    root = "sha256:…"
    namespaces = ["o"]
hint: Model.lock is unchanged
"#,
        ),
        (
            "precisely what no line admits",
            puzzle(&["tiny 1.0.0", "tiny 2.0.0"])
                .asks("[models]\nt = { package = \"acme/tiny\", version = \"1\" }\n")
                .runs(&[&["lock"], &["update", "--precise", "2.0.0", "t"]]),
            r#"error[E0404]: acme:acme/tiny@2.0.0 is not admitted by any requirement
  Model.toml line 6 asks for 1

hint: run `mpm add acme/tiny@=2.0.0 --as t`
hint: Model.lock is unchanged
"#,
        ),
        (
            "precisely what is yanked, and no line admits",
            puzzle(&["tiny 0.9.0 !wrong scale", "tiny 1.0.0"])
                .asks("[models]\n\"acme/tiny\" = \"1\"\n")
                .runs(&[&["lock"], &["update", "--precise", "0.9.0", "acme/tiny"]]),
            r#"error[E0404]: acme:acme/tiny@0.9.0 is not admitted by any requirement
  Model.toml line 6 asks for 1

hint: it is yanked: let Model.toml line 6 ask for "=0.9.0" by hand, then run the same command again
hint: run `mpm info acme/tiny`
hint: Model.lock is unchanged
"#,
        ),
        (
            "precisely what does not exist",
            puzzle(&["tiny 1.0.0", "tiny 1.1.0"])
                .asks("[models]\n\"acme/tiny\" = \"1\"\n")
                .runs(&[&["lock"], &["update", "--precise", "1.2.0", "acme/tiny"]]),
            r#"error[E0404]: acme:acme/tiny@1.2.0 does not exist
  there are 1.1.0 and 1.0.0

hint: run `mpm info acme/tiny`
hint: Model.lock is unchanged
"#,
        ),
        (
            "precisely what is too young",
            puzzle(&["tiny 1.0.0"])
                .later(10, &["tiny 1.1.0"])
                .asks("[models]\n\"acme/tiny\" = \"1\"\n\n[policy]\nminimum-age = \"7d\"\n")
                .runs(&[&["lock"], &["update", "--precise", "1.1.0", "acme/tiny"]]),
            r#"error[E0404]: acme:acme/tiny@1.1.0 is younger than 7d
  the minimum age is 7d (minimum-age, Model.toml line 9); it is old enough on 2027-02-01T08:00:00Z

hint: run `mpm info acme/tiny`
hint: Model.lock is unchanged
"#,
        ),
        (
            "offline",
            puzzle(&["tiny 1.0.0"]).asks("[models]\n\"acme/tiny\" = \"2\"\n").runs(&[&["lock", "--offline"]]),
            r#"error[E0401]: no version of acme/tiny satisfies 2, which Model.toml line 6 asks for
  there is 1.0.0

hint: this run is offline: releases that came since this machine last read the index are not seen
hint: Model.toml line 6 could ask for "1.0.0"
hint: run `mpm add acme/tiny@1.0.0`
hint: Model.lock is unchanged
"#,
        ),
    ]
}
