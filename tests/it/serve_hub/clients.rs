//! The hub's own clients, of three generations, with what is built on them: unchanged code against `mpm serve`.

use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};

use super::{TOKENS, UPSTREAM, commit, registry, serving, tiny};
use crate::serve::Serving;
use crate::support::blob;
use crate::support::peers::{HubClient, minilm};
use crate::support::registry::TestRegistry;

/// Takes the steps of tests/support/python/hub_steps.py in one process, and gives each answer back with what the client warned of.
#[track_caller]
pub(super) fn steps(
    client: HubClient,
    home: &Path,
    endpoint: &str,
    steps: &[Value],
) -> Option<(Vec<Value>, Vec<String>)> {
    let command = client.script("hub_steps.py", home, endpoint)?;
    Some(run(command, steps))
}

#[track_caller]
pub(super) fn run(mut command: std::process::Command, steps: &[Value]) -> (Vec<Value>, Vec<String>) {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(json!(steps).to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let document: Value = serde_json::from_str(text.lines().last().unwrap_or_default()).expect("a document");
    let answers = document["answers"].as_array().unwrap().clone();
    assert_eq!(answers.len(), steps.len());
    let heard = document["heard"].as_array().unwrap().iter().map(|line| line.as_str().unwrap().to_owned()).collect();
    (answers, heard)
}

/// A step, and what is expected of it: a value, or an exception of the client's with words of the server's in its text.
type Step = (Value, Expected);

enum Expected {
    Value(Value),
    Raises(&'static str, &'static str),
}

#[track_caller]
fn check(client: HubClient, answers: &[Value], steps: &[Step]) {
    for (answer, (step, expected)) in answers.iter().zip(steps) {
        match expected {
            Expected::Value(value) => assert_eq!(answer["ok"], *value, "{client:?} {step}: {answer}"),
            Expected::Raises(class, text) => {
                let bases = answer["bases"].as_array().unwrap_or_else(|| panic!("{client:?} {step}: {answer}"));
                assert!(bases.iter().any(|base| base == class), "{client:?} {step}: {answer}");
                assert!(answer["text"].as_str().unwrap().contains(text), "{client:?} {step}: {answer}");
            }
        }
    }
}

fn digest(bytes: impl AsRef<[u8]>) -> Value {
    json!(modelpm::model::Sha256::of(bytes.as_ref()).hex())
}

/// Reads of every kind, under every form of a revision.
fn reads(registry: &TestRegistry) -> Vec<Step> {
    let value = |step: Value, value: Value| (step, Expected::Value(value));
    let snapshot = |revision: &str, commit: &str, files: Value| {
        let step = json!({"do": "snapshot", "id": "acme/tiny", "revision": revision});
        value(step, json!({"commit": commit, "files": files}))
    };
    let file = |revision: &str, path: &str, bytes: &[u8]| {
        value(json!({"do": "file", "id": "acme/tiny", "revision": revision, "path": path}), digest(bytes))
    };
    let newest = json!(tiny("1.2.0", 2, 3_000));
    let names: Vec<&String> = newest.as_object().unwrap().keys().collect();
    let own = |version| commit(registry, "acme/tiny", version);
    vec![
        snapshot("main", UPSTREAM, newest.clone()),
        snapshot("1.0.0", &own("1.0.0"), json!(tiny("1.0.0", 1, 3_000))),
        value(
            json!({"do": "snapshot", "id": "Sentence/Tiny", "revision": UPSTREAM}),
            json!({"commit": UPSTREAM, "files": newest}),
        ),
        file("^1.0", "model.safetensors", &blob::safetensors(2, 3_000)),
        file("<1.2", "model.safetensors", &blob::safetensors(1, 3_000)),
        file("1.2.0-int8", "model.safetensors", &blob::safetensors(12, 900)),
        file(UPSTREAM, "docs/card.md", b"# tiny 1.2.0\n"),
        file("1.3.0", "docs/card.md", b"# tiny 1.3.0\n"),
        value(json!({"do": "names", "id": "acme/tiny", "revision": "^1.0"}), json!(names)),
        value(
            json!({"do": "tree", "id": "acme/tiny", "path": "docs", "revision": "1.0.0", "recursive": true, "expand": true}),
            json!([["RepoFile", "docs/card.md"]]),
        ),
        value(
            json!({"do": "paths", "id": "uci/table", "type": "dataset", "paths": ["data", "no", "data/test.csv"]}),
            json!([["RepoFolder", "data", null], ["RepoFile", "data/test.csv", super::TEST.len()]]),
        ),
        value(
            json!({"do": "refs", "id": "uci/table", "type": "dataset"}),
            json!({"branches": {"main": commit(registry, "uci/table", "1.0.0")}, "tags": {"1.0.0": commit(registry, "uci/table", "1.0.0")}}),
        ),
        value(
            json!({"do": "info", "id": "acme/tiny", "revision": "1.0.0"}),
            json!({"commit": own("1.0.0"), "files": tiny("1.0.0", 1, 3_000)}),
        ),
        value(json!({"do": "read", "path": "acme/tiny@1.0.0/docs/card.md"}), digest("# tiny 1.0.0\n")),
        value(
            json!({"do": "read", "path": "datasets/uci/table/data/train.csv", "from": 5, "count": 7}),
            digest(&super::TRAIN[5..12]),
        ),
        value(
            json!({"do": "glob", "path": "datasets/uci/table/**/*.csv"}),
            json!(["datasets/uci/table/data/test.csv", "datasets/uci/table/data/train.csv"]),
        ),
        value(json!({"do": "tokens", "id": "acme/tiny", "text": "Hello world"}), json!([2, 5, 6, 3])),
        value(json!({"do": "config", "id": "Sentence/Tiny", "revision": "1.2.0"}), json!(48)),
        value(
            json!({"do": "rows", "id": "uci/table"}),
            json!({
                "test": [{"text": "hello world", "label": 1}],
                "train": [{"text": "hello", "label": 1}, {"text": "world", "label": 0}],
            }),
        ),
    ]
}

/// What goes wrong, as the client's own exceptions.
fn failures() -> Vec<Step> {
    let raises = |step: Value, class, text| (step, Expected::Raises(class, text));
    let file =
        |id: &str, revision: &str, path: &str| json!({"do": "file", "id": id, "revision": revision, "path": path});
    let secret = |token: Value| json!({"do": "snapshot", "id": "team/secret", "token": token});
    vec![
        raises(file("acme/tiny", "7.0.0", "config.json"), "RevisionNotFoundError", "versions: 2.0.0 (refused)"),
        raises(file("acme/tiny", "^7", "config.json"), "RevisionNotFoundError", "no revision"),
        raises(file("acme/tiny", "2.0.0", "config.json"), "RevisionNotFoundError", "made with a stolen key"),
        raises(file("acme/tiny", "main", "nothing.bin"), "EntryNotFoundError", "nothing.bin"),
        raises(file("acme/none", "main", "config.json"), "RepositoryNotFoundError", "is no model of this server"),
        raises(file("uci/table", "main", "README.md"), "RepositoryNotFoundError", "it is a dataset"),
        raises(json!({"do": "snapshot", "id": "acme/tiny", "revision": "3"}), "RevisionNotFoundError", "no revision"),
        raises(json!({"do": "info", "id": "acme/none"}), "RepositoryNotFoundError", "no model"),
        raises(secret(Value::Null), "GatedRepoError", "a token that may read team is needed"),
        raises(secret(json!(TOKENS[1].1)), "GatedRepoError", "the token other may not read team"),
        raises(secret(json!("hf_made_up")), "HfHubHTTPError", "Invalid credentials"),
        (
            json!({"do": "file", "id": "team/secret", "path": "config.json", "token": TOKENS[0].1}),
            Expected::Value(digest("{\"secret\": 1}\n")),
        ),
    ]
}

/// Everything with one generation: one server, one process, and the command line once.
fn generation(client: HubClient) {
    let registry = registry();
    let (machine, serving) = serving(&registry);
    let home = machine.home();
    let mut all = reads(&registry);
    all.extend(failures());
    // A wall of 50 GB, brought down: what has no length beforehand comes through it, in the generations that can do without.
    let large =
        json!({"do": "large", "id": "acme/tiny", "revision": "1.0.0-int8", "path": "model.safetensors", "wall": 2_000});
    let expected = match client {
        HubClient::Old => Expected::Raises("ValueError", "too large"),
        HubClient::Middle | HubClient::New => Expected::Value(digest(blob::safetensors(11, 900))),
    };
    all.push((large, expected));
    let questions: Vec<Value> = all.iter().map(|(step, _)| step.clone()).collect();
    let Some((answers, heard)) = steps(client, &home, &serving.url(), &questions) else { return };
    check(client, &answers, &all);
    let warned = heard.iter().filter(|line| line.contains("1.3.0 was yanked by its publisher: the tokenizer")).count();
    // The oldest knows no warnings.
    assert_eq!(warned, usize::from(client != HubClient::Old), "{heard:?}");

    let mut download = client.command("hf", &home, &serving.url()).unwrap();
    download.args(["download", "acme/tiny", "--revision", "^1.0", "--local-dir", "downloaded"]);
    let output = download.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut found = crate::flows::fixture::tree(&home.join("downloaded"));
    found.retain(|path, _| !path.starts_with(".cache/"));
    let found: std::collections::BTreeMap<String, String> =
        found.into_iter().map(|(path, bytes)| (path, modelpm::model::Sha256::of(&bytes).hex())).collect();
    assert_eq!(found, tiny("1.2.0", 2, 3_000));
}

#[test]
fn the_newest_client_reads_everything() {
    generation(HubClient::New);
}

#[test]
fn the_middle_client_reads_everything() {
    generation(HubClient::Middle);
}

#[test]
fn the_oldest_client_reads_everything() {
    generation(HubClient::Old);
}

#[test]
fn a_real_embedder_through_the_server_embeds_as_its_files_do() {
    let Some(model) = minilm() else { return };
    let mut registry = TestRegistry::of_late("acme", 3_600);
    registry.namespace("acme");
    let mut release =
        registry.release("acme/minilm", "1.0.0").upstream("sentence-transformers/all-MiniLM-L6-v2", UPSTREAM);
    for (path, bytes) in crate::flows::fixture::tree(&model) {
        release = release.file(&path, bytes);
    }
    release.publish();
    let (machine, to) = super::mirror(&registry);
    let serving = Serving::start(&machine, &[&to.display().to_string()]);
    let sentences =
        ["A man is eating food.", "Someone is having a meal.", "A man is eating food.", "Stocks fell today."];
    let embed = |endpoint: &str, id: &str, more: &[&str]| {
        let home = machine.home();
        let mut command = HubClient::New.script("hub_embed.py", &home, endpoint)?;
        let output = command.arg(id).args(more).args(sentences).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Some(String::from_utf8(output.stdout).unwrap())
    };
    let Some(served) = embed(&serving.url(), "sentence-transformers/all-MiniLM-L6-v2", &[]) else { return };
    // The same program over the model's own folder, and no hub at all.
    let direct = embed("http://127.0.0.1:9", &model.display().to_string(), &["--folder"]).unwrap();
    assert_eq!(served, direct);
    let document: Value = serde_json::from_str(&served).unwrap();
    let similarity = |pair: usize| document["similarities"][pair].as_f64().unwrap();
    assert!(similarity(0) > 0.6 && similarity(1) < 0.3, "{document}");
}
