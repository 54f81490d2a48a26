//! `[policy] minimum-age`: what is too young is left alone, what is locked stays, and time alone changes no lock.

use modelpm::catalog::{PackageLeaf, build_packages};
use modelpm::model::{PackageName, Pin};
use modelpm::trust::Checkpoint;

use super::fixture::{lock, locks, manifest, ok};
use crate::support::peers;
use crate::support::project::Project;
use crate::support::registry::{BASE_TIME, TestRegistry};

const DAY: u64 = 86_400;
const RULE: &str = "[models]\n\"acme/tiny\" = \"1\"\n\n[policy]\nminimum-age = \"7d\"\n";

/// Version 1.0.0 on the first day, 1.1.0 on the tenth.
fn registry() -> Option<TestRegistry> {
    if !cfg!(feature = "faults") {
        peers::missing("a build with the feature faults, whose clock can be set");
        return None;
    }
    let mut registry = TestRegistry::new("acme");
    registry.namespace("acme");
    registry.release("acme/tiny", "1.0.0").file("config.json", "{}\n").publish();
    registry.checkpoint(10 * DAY);
    registry.release("acme/tiny", "1.1.0").file("config.json", "{\"a\": 1}\n").publish();
    Some(registry)
}

fn project(registry: &TestRegistry, rest: &str, day: u64) -> Project {
    let index = registry.folder().display().to_string();
    let project = Project::new().variable("MPM_TEST_NOW", (BASE_TIME + day * DAY + 60).to_string());
    project.manifest(&manifest(registry, &index, rest))
}

/// The same project on another day.
fn on(registry: &TestRegistry, project: &Project, day: u64) -> Project {
    let other = self::project(registry, "", day);
    for file in ["Model.toml", "Model.lock"] {
        other.write(file, project.read(file).unwrap());
    }
    other
}

#[test]
fn what_is_too_young_is_not_picked_until_it_is_old_enough() {
    let Some(registry) = registry() else { return };
    let young = project(&registry, RULE, 12);
    ok(&young, &["sync"]);
    assert!(locks(&young, "acme/tiny@1.0.0"));
    ok(&young, &["update"]).says(&["Nothing newer"]);
    let told = ok(&young, &["outdated"]);
    assert!(told.stdout.contains("1.1.0 is too young until 2027-02-01"), "{}", told.stdout);
    ok(&young, &["upgrade"]).says(&["Nothing to raise"]);
    // Time passes: the lock stands, and an update takes what has come of age.
    let later = on(&registry, &young, 20);
    let before = lock(&later);
    ok(&later, &["lock", "--check"]);
    ok(&later, &["sync", "--locked"]);
    ok(&later, &["sync"]);
    assert_eq!(lock(&later), before);
    ok(&later, &["update"]).says(&["1.0.0 -> 1.1.0"]);
}

#[test]
fn what_is_locked_stays_when_the_rule_comes_or_grows() {
    let Some(registry) = registry() else { return };
    let project = project(&registry, "[models]\n\"acme/tiny\" = \"1\"\n", 12);
    ok(&project, &["sync"]);
    assert!(locks(&project, "acme/tiny@1.1.0"));
    let before = lock(&project);
    project.write("Model.toml", manifest(&registry, &registry.folder().display().to_string(), RULE));
    ok(&project, &["lock", "--check"]);
    ok(&project, &["sync", "--locked"]).says(&["Nothing to do"]);
    ok(&project, &["run", "--", "true"]);
    ok(&project, &["update"]);
    assert_eq!(lock(&project), before, "what is locked is kept, also by update");
}

#[test]
fn add_and_get_leave_young_releases_alone_too() {
    let Some(registry) = registry() else { return };
    let project = project(&registry, "[policy]\nminimum-age = \"1w\"\n", 12);
    ok(&project, &["add", "acme/tiny"]);
    assert!(project.text("Model.toml").unwrap().contains("\"acme/tiny\" = \"1.0.0\""));
    project.mpm(&["add", "acme/tiny@=1.1.0"]).expect(1).says(&[
        "E0401",
        "1.1.0 is younger than 7d",
        "Model.toml line 10",
    ]);
    assert!(ok(&project, &["get", "acme/tiny", "--to", "out"]).stderr.contains("1.0.0"));
}

#[test]
fn the_longer_rule_of_project_and_machine_counts() {
    let Some(registry) = registry() else { return };
    for (config, rest, version) in [
        ("minimum-age = \"7d\"\n", "[models]\n\"acme/tiny\" = \"1\"\n", "1.0.0"),
        ("minimum-age = \"30d\"\n", &RULE.replace("7d", "1h"), "none"),
        ("minimum-age = \"1h\"\n", RULE, "1.0.0"),
        ("minimum-age = \"1h\"\n", &RULE.replace("7d", "1d"), "1.1.0"),
    ] {
        let project = project(&registry, rest, 12).config(config);
        if version == "none" {
            project
                .mpm(&["lock"])
                .expect(1)
                .says(&["1.1.0 and 1.0.0 are younger than 30d", "config.toml of this machine"]);
        } else {
            ok(&project, &["lock"]);
            assert!(locks(&project, &format!("acme/tiny@{version}")), "{config}{rest}");
        }
    }
    Project::new()
        .config("minimum-age = \"soon\"\n")
        .manifest("")
        .mpm(&["lock"])
        .expect(1)
        .says(&["E0354", "config.toml"]);
    Project::new().manifest("[policy]\nminimum-age = 7\n").mpm(&["lock"]).expect(1).says(&["E0303", "minimum-age"]);
    Project::new()
        .manifest("[policy]\nminimum-age = \"7\"\n")
        .mpm(&["lock"])
        .expect(1)
        .says(&["E0304", "such as \"7d\""]);
}

#[test]
fn an_index_that_does_not_say_when_is_refused() {
    let Some(registry) = registry() else { return };
    // The index key itself leaves the time out.
    let name = PackageName::parse("acme/tiny").unwrap();
    let path = registry.folder().join("packages/acme/tiny.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    let cut: String = text
        .lines()
        .map(|line| {
            let at = line.find("\"time\":").unwrap();
            let end = at + line[at..].find(',').unwrap() + 1;
            format!("{}{}\n", &line[..at], &line[end..])
        })
        .collect();
    std::fs::write(&path, &cut).unwrap();
    let tree = build_packages(&[PackageLeaf { name, log: Pin::of(cut.as_bytes()), advisories: None }]).unwrap();
    for (digest, bytes) in &tree.nodes {
        std::fs::write(registry.folder().join(format!("tree/{digest}")), bytes).unwrap();
    }
    let head = registry.folder().join("checkpoint.json");
    let mut checkpoint = Checkpoint::parse(&std::fs::read(&head).unwrap()).unwrap();
    checkpoint.packages = tree.root;
    checkpoint.at.number += 1;
    std::fs::write(&head, checkpoint.render()).unwrap();
    registry.sign_file_with("checkpoint.json", &registry.index);
    project(&registry, RULE, 30).mpm(&["lock"]).expect(4).says(&["E0211", "time"]);
}
