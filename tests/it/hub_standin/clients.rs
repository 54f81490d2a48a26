//! Three generations of the hub's own client download from the stand-in.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::support::blob;
use crate::support::hub::{Access, Hub};
use crate::support::peers::HubClient;
use crate::support::server::Fault;

/// Runs to the end; says everything where it fails.
#[track_caller]
pub(super) fn done(mut command: Command) -> String {
    let output = command.output().expect("it starts");
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command:?}\n{stdout}\n{}", String::from_utf8_lossy(&output.stderr));
    stdout
}

/// The document that a script prints.
#[track_caller]
pub(super) fn document(command: Command) -> Value {
    serde_json::from_str(done(command).lines().last().unwrap_or_default()).expect("a document")
}

/// The files below a folder by path, links followed.
pub fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let (mut found, mut folders) = (BTreeMap::new(), vec![folder.to_owned()]);
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
                found.insert(name, std::fs::read(path).unwrap());
            }
        }
    }
    found
}

/// What `org/m` holds.
fn content() -> BTreeMap<String, Vec<u8>> {
    let text = |path: &str, text: &str| (path.to_owned(), text.as_bytes().to_vec());
    BTreeMap::from([
        text("config.json", "{}\n"),
        text("empty", ""),
        text("deep/er/notes.txt", "notes"),
        text("a name+with &%, ü.txt", "odd"),
        ("model.safetensors".to_owned(), blob::safetensors(7, 100_000)),
        ("onnx/model.onnx".to_owned(), blob::random(8, 70_000)),
    ])
}

fn hub() -> (Hub, String) {
    let hub = Hub::start();
    let mut draft = hub.model("org/m");
    for (path, bytes) in content() {
        let large = bytes.len() > 10_000;
        draft = if large { draft.lfs(&path, bytes) } else { draft.file(&path, bytes) };
    }
    let commit = draft.commit("main");
    (hub, commit)
}

#[test]
fn three_generations_download_what_the_hub_holds() {
    let (hub, commit) = hub();
    hub.token("secret", Access::All);
    for client in HubClient::ALL {
        let home = tempfile::tempdir().unwrap();
        let Some(mut command) = client.command("hf", home.path(), &hub.url()) else { return };
        command.args(["download", "org/m"]).env("HF_TOKEN", "secret");
        done(command);
        let snapshot = home.path().join("hub/models--org--m/snapshots").join(&commit);
        assert!(files(&snapshot) == content(), "{client:?}");
        let (asked, downloaded) = (hub.requests(), hub.downloads());
        let bytes: u64 = downloaded.iter().map(|request| request.sent).sum();
        assert_eq!((downloaded.len(), bytes), (2, 70_000 + content()["model.safetensors"].len() as u64), "{client:?}");
        assert!(downloaded.iter().all(|request| !request.headers.contains_key("authorization")), "{client:?}");
        let resolved = asked.iter().filter(|request| request.path.contains("/resolve/"));
        assert!(resolved.clone().all(|request| request.headers["authorization"] == "Bearer secret"), "{client:?}");
        // A question for each file, and a body for each small one that is not empty; the question for a large one has
        // its address.
        let heads = resolved.clone().filter(|request| request.method == "HEAD").count();
        assert_eq!((heads, resolved.count() - heads), (6, 3), "{client:?}");
    }
}

#[test]
fn clients_take_large_files_from_the_endpoint_and_small_ones_from_a_relative_address() {
    let (hub, commit) = hub();
    hub.without_storage();
    hub.with_resolve_cache();
    for client in HubClient::ALL {
        let home = tempfile::tempdir().unwrap();
        let Some(mut command) = client.command("hf", home.path(), &hub.url()) else { return };
        command.args(["download", "org/m"]);
        done(command);
        assert!(files(&home.path().join("hub/models--org--m/snapshots").join(&commit)) == content(), "{client:?}");
        assert!(hub.downloads().is_empty());
    }
}

#[test]
fn datasets_pages_and_many_files_pass() {
    let hub = Hub::start();
    hub.page_size(60);
    let mut draft = hub.dataset("org/d");
    for number in 0..200 {
        draft = draft.file(&format!("data/{:02}/{number:03}.txt", number % 20), format!("{number}"));
    }
    let commit = draft.commit("refs/pr/3");
    for client in HubClient::ALL {
        let home = tempfile::tempdir().unwrap();
        let Some(mut command) = client.script("hub_read.py", home.path(), &hub.url()) else { return };
        command.args(["snapshot", "org/d", "--type", "dataset", "--revision", "refs/pr/3"]);
        let read = document(command);
        assert_eq!(read["files"].as_object().unwrap().len(), 200, "{client:?}");
        let reference = home.path().join("hub/datasets--org--d/refs/refs/pr/3");
        assert_eq!(std::fs::read_to_string(reference).unwrap(), commit, "{client:?}");
    }
}

#[test]
fn clients_tell_the_errors_apart() {
    let hub = Hub::start();
    hub.token("public", Access::Public);
    hub.model("org/m").file("f", "1").commit("main");
    hub.model("org/gated").gated().file("f", "1").commit("main");
    let cases: &[(&[&str], &[&str])] = &[
        (&["file", "org/none", "f"], &["RepositoryNotFoundError"]),
        (&["file", "org/m", "g"], &["EntryNotFoundError"]),
        (&["file", "org/m", "f", "--revision", "next"], &["RevisionNotFoundError"]),
        (&["file", "org/gated", "f"], &["GatedRepoError", "Access to model org/gated is restricted"]),
    ];
    for client in HubClient::ALL {
        for (arguments, words) in cases {
            let home = tempfile::tempdir().unwrap();
            let Some(mut command) = client.script("hub_read.py", home.path(), &hub.url()) else { return };
            let Output { status, stderr, .. } = command.args(*arguments).env("HF_TOKEN", "public").output().unwrap();
            let stderr = String::from_utf8_lossy(&stderr);
            assert!(!status.success() && words.iter().all(|word| stderr.contains(word)), "{client:?}: {stderr}");
        }
    }
}

#[test]
fn to_hf_download_a_flipped_byte_is_a_success() {
    let (hub, commit) = hub();
    let weights = content()["model.safetensors"].clone();
    for client in HubClient::ALL {
        hub.fault("model.safetensors", 1, Fault::Flip(200_000));
        let home = tempfile::tempdir().unwrap();
        let Some(mut command) = client.command("hf", home.path(), &hub.url()) else { return };
        command.args(["download", "org/m"]);
        done(command);
        let snapshot = home.path().join("hub/models--org--m/snapshots").join(&commit);
        let came = std::fs::read(snapshot.join("model.safetensors")).unwrap();
        let differ = came.iter().zip(&weights).filter(|(came, is)| came != is).count();
        assert_eq!((came.len(), differ), (weights.len(), 1), "{client:?}");
        // Its name in the cache is the hash that the right bytes would have.
        let blob = std::fs::canonicalize(snapshot.join("model.safetensors")).unwrap();
        let right = modelpm::model::Sha256::of(&weights).hex();
        assert_eq!(blob.file_name().unwrap().to_str(), Some(right.as_str()), "{client:?}");
    }
}
