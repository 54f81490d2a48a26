//! Newer, older and other versions, as a person asks for them: update --precise, upgrade, outdated, why.

use super::fixture::{lock, locks, ok, project, registry, wants};
use crate::support::blob;
use crate::support::hub::Hub;
use crate::support::project::Project;
use crate::support::registry::TestRegistry;

fn publish(registry: &mut TestRegistry, name: &str, version: &str) {
    registry.release(name, version).file("model.safetensors", blob::safetensors(78, 100)).publish();
}

#[test]
fn precise_takes_an_older_or_a_yanked_release_and_says_so() {
    let mut registry = registry();
    let project = project(&registry, "[models]\n\"acme/minilm\" = \"1\"\n");
    ok(&project, &["sync"]);
    registry.yank("acme/minilm", "1.0.0", "the tokenizer is of another model");
    let before = lock(&project);
    let dry = ok(&project, &["update", "--precise", "1.0.0", "acme/minilm", "-n"]);
    dry.says(&["warning: acme:acme/minilm@1.0.0 is yanked", "the tokenizer is of another model", "1.1.0 -> 1.0.0"]);
    assert_eq!(lock(&project), before);
    ok(&project, &["update", "--precise", "1.0.0", "acme/minilm"]).says(&["is yanked", "Model.lock is written"]);
    assert!(locks(&project, "acme/minilm@1.0.0") && !locks(&project, "acme/minilm@1.1.0"));
    // It is locked now: nothing lets it go but an update.
    ok(&project, &["sync"]);
    ok(&project, &["lock", "--check"]);
    assert!(locks(&project, "acme/minilm@1.0.0"));
    ok(&project, &["update"]);
    assert!(locks(&project, "acme/minilm@1.1.0"));
}

#[test]
fn precise_refuses_what_can_not_be() {
    let registry = registry();
    let project = project(&registry, "[models]\n\"acme/minilm\" = \"1\"\nlocal = { path = \"local\" }\n");
    project.write("local/config.json", "{}\n");
    ok(&project, &["lock"]);
    let before = lock(&project);
    let refused = |arguments: &[&str], code, says: &[&str]| {
        project.mpm(arguments).expect(code).says(says);
        assert_eq!(lock(&project), before, "{arguments:?}");
    };
    refused(&["update", "--precise", "9.0.0", "acme/minilm"], 1, &["E0404", "9.0.0", "does not exist"]);
    let says = ["E0404", "2.0.0 is not admitted", "Model.toml line 10 asks for 1"];
    refused(&["update", "--precise", "2.0.0", "acme/minilm"], 1, &says);
    refused(&["update", "--precise", "1.0.0", "acme/minlm"], 1, &["E0925", "did you mean acme/minilm?"]);
    refused(&["update", "--precise", "1.0.0", "local"], 1, &["E0926", "path:local", "a source has no versions"]);
    refused(&["update", "--precise", "1.0.0"], 2, &["<NAME>"]);
    refused(&["update", "--precise", "1.0.0", "acme/minilm", "acme/vocab"], 2, &["exactly one NAME, found 2"]);
    refused(&["update", "--precise", "one", "acme/minilm"], 2, &["one"]);
}

#[test]
fn upgrade_raises_requirements_keeps_comments_and_says_what_stays() {
    let mut registry = registry();
    let rest = "# weights\n[models]\n\"acme/lora\" = \"=1.0.0\"  # tested\n\
                \"acme/minilm\" = { version = \"1.0\", variant = \"int8\" }  # small\n\n\
                [groups.eval.datasets]\n# the test set\n\"uci/digits\" = \"1\"\n";
    let project = project(&registry, rest);
    ok(&project, &["lock"]);
    publish(&mut registry, "acme/lora", "1.3.0");
    let before = project.text("Model.toml").unwrap();
    let dry = ok(&project, &["upgrade", "--dry-run"]);
    dry.says(&[
        "acme/minilm \"1.0\" -> \"2.0\"  (Model.toml line 12)",
        "Left acme/lora",
        "one version exactly",
        "1.3.0",
    ]);
    assert_eq!(project.text("Model.toml").unwrap(), before);
    let json = ok(&project, &["upgrade", "--dry-run", "--json"]).json();
    assert_eq!((&json["schema"], &json["written"]), (&"mpm.upgrade/1".into(), &false.into()));
    assert_eq!(json["raised"][0]["to"], "2.0");
    assert_eq!(json["left"][0]["why"], "exact");
    ok(&project, &["upgrade"]).says(&["Model.toml and Model.lock are written"]);
    assert_eq!(project.text("Model.toml").unwrap(), before.replace("version = \"1.0\"", "version = \"2.0\""));
    assert!(locks(&project, "acme/minilm@2.0.0") && locks(&project, "acme/lora@1.0.0"));
    ok(&project, &["upgrade"]).says(&["Nothing to raise"]);
    // Named, an exact requirement is raised too; comments stay.
    ok(&project, &["upgrade", "acme/lora"]);
    assert!(project.text("Model.toml").unwrap().contains("\"acme/lora\" = \"=1.3.0\"  # tested\n"));
    ok(&project, &["lock", "--check"]);
    project.mpm(&["upgrade", "acme/lura"]).expect(1).says(&["E0912", "did you mean acme/lora?"]);
}

#[test]
fn a_clash_leaves_manifest_and_lock_as_they_were() {
    let mut registry = registry();
    let rest = "[models]\n\"acme/lora\" = \"1\"\n\"acme/minilm\" = { version = \"1.0.0\", unique = true }\n";
    let project = project(&registry, rest);
    ok(&project, &["lock"]);
    let before = (project.text("Model.toml"), project.text("Model.lock"));
    registry.release("acme/minilm", "1.9.0").variant("f32", "a.safetensors", blob::safetensors(5, 50)).publish();
    // The adapter needs 1.0.0 exactly, and one version must serve both.
    project.mpm(&["upgrade"]).expect(1).says(&["E0401", "unique", "acme/lora 1.0.0 depends on acme/minilm =1.0.0"]);
    assert_eq!((project.text("Model.toml"), project.text("Model.lock")), before);
}

#[test]
fn upgrade_and_outdated_know_what_a_repository_of_the_hub_can_do() {
    let hub = Hub::start();
    let first = hub.model("org/branch").file("config.json", "{}\n").commit("main");
    let fixed = hub.model("org/fixed").file("config.json", "{}\n").commit("main");
    let project = Project::new().variable("HF_ENDPOINT", hub.url());
    project.write(
        "Model.toml",
        format!(
            "[models]\na = {{ hf = \"org/branch\" }}\nb = {{ hf = \"org/fixed\", revision = \"{fixed}\" }}\n\
             c = {{ path = \"c\" }}\n"
        ),
    );
    project.write("c/config.json", "{}\n");
    ok(&project, &["lock"]);
    assert_eq!(ok(&project, &["outdated"]).stdout, "");
    let second = hub.model("org/branch").file("config.json", "{\"a\": 1}\n").commit("main");
    hub.model("org/fixed").file("config.json", "{\"a\": 1}\n").commit("main");
    let told = ok(&project, &["outdated"]);
    let moved = format!("hf:org/branch@main  {}  {}  {}  moved", &first[..12], &second[..12], &second[..12]);
    assert!(told.stdout.contains(&moved), "{}", told.stdout);
    assert!(!told.stdout.contains("fixed"), "{}", told.stdout);
    let ran = ok(&project, &["upgrade"]);
    ran.says(&["Left a (Model.toml line 2)", "branch or tag", "Left b (Model.toml line 3)", "pinned by commit"]);
    assert!(lock(&project).contains(&second) && lock(&project).contains(&fixed));
    ok(&project, &["upgrade", "c"]).says(&["a folder has no versions"]);
    ok(&project, &["upgrade", "hf:org/fixed"]).says(&["pinned by commit", "Nothing to raise"]);
}

#[test]
fn outdated_is_a_table_and_a_document() {
    let mut registry = registry();
    let rest = "[models]\n\"acme/lora\" = \"1\"\nmini = { package = \"acme/minilm\", version = \"1.0\" }\n";
    let project = project(&registry, rest);
    project.mpm(&["outdated"]).expect(1).says(&["E0910", "there is no Model.lock"]);
    ok(&project, &["lock"]);
    ok(&project, &["update", "--precise", "1.0.0", "mini"]);
    ok(&project, &["update", "--precise", "1.0.0", "acme/vocab"]);
    registry.yank("acme/lora", "1.0.0", "trained on the test set");
    let told = ok(&project, &["outdated"]);
    assert_eq!(
        told.stdout,
        "package      locked  update to  newest\n\
         acme/lora    1.0.0   none       none    1.0.0 is yanked: trained on the test set\n\
         acme/minilm  1.0.0   1.1.0      2.0.0   Model.toml asks for 1.0\n\
         acme/vocab   1.0.0   1.1.0      1.1.0   needed by others\n"
    );
    told.says(&["3 of 3 packages could be newer", "`mpm update` takes", "`mpm upgrade` raises"]);
    let json = ok(&project, &["outdated", "--json"]).json();
    assert_eq!((&json["schema"], json["packages"].as_array().unwrap().len()), (&"mpm.outdated/1".into(), 3));
    assert_eq!(json["packages"][1]["key"], "mini");
    ok(&project, &["upgrade"]);
    wants(&project, &registry, "[models]\nmini = { package = \"acme/minilm\", version = \"2.0\" }\n");
    ok(&project, &["update"]);
    ok(&project, &["outdated"]).says(&["Up to date: 2 packages"]);
    assert!(ok(&project, &["outdated", "--all"]).stdout.contains("acme/minilm  2.0.0   -          -"));
}

#[test]
fn why_walks_back_to_the_lines_of_the_manifest() {
    let registry = registry();
    let rest = "[models]\n\"acme/lora\" = \"1\"\nmini = { package = \"acme/minilm\", version = \"1\" }\n\n\
                [groups.eval.models]\n\"acme/vocab\" = \"1\"\n";
    let project = project(&registry, rest);
    project.mpm(&["why", "acme/vocab"]).expect(1).says(&["E0910"]);
    ok(&project, &["lock"]);
    assert_eq!(
        ok(&project, &["why", "acme/vocab"]).stdout,
        "acme:acme/vocab@1.1.0\n\
         ├── Model.toml: acme/vocab (line 14, group eval)\n\
         ├── acme:acme/minilm@1.0.0\n\
         │   └── acme:acme/lora@1.0.0\n\
         │       └── Model.toml: acme/lora (line 10)\n\
         └── acme:acme/minilm@1.1.0\n    \
             └── Model.toml: mini (line 11)\n"
    );
    assert!(ok(&project, &["why", "mini"]).stdout.starts_with("acme:acme/minilm@1.1.0\n"));
    let json = ok(&project, &["why", "acme/vocab", "--json"]).json();
    assert_eq!(json["found"][0]["keys"][0]["group"], "eval");
    assert_eq!(json["found"][0]["dependents"][0]["dependents"][0]["keys"][0]["line"], 10);
    project.mpm(&["why", "acme/vocob"]).expect(1).says(&["E0925", "did you mean acme/vocab?", "mpm list"]);
}

#[test]
fn a_command_that_asks_by_itself_is_not_taken_for_a_line_of_the_manifest() {
    let mut registry = registry();
    registry.yank("acme/minilm", "1.0.0", "the tokenizer is of another model");
    let project = project(&registry, "");
    let ran = project.mpm(&["get", "acme/lora", "--to", "out"]).expect(1);
    let ran =
        ran.says(&["E0401", "because the command asks for acme/lora 1.0.0", "1.0.0 is yanked", "mpm info acme/lora"]);
    assert!(!ran.stderr.contains("line 0"), "{}", ran.stderr);
}
