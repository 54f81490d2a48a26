//! Unchanged code: the hub's own clients read what `mpm` placed, and `mpm` takes what they had downloaded.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::{count, machine, weights};
use crate::hub_standin::files as hub_files;
use crate::support::hub::Hub;
use crate::support::peers::{HubClient, minilm};
use crate::support::project::{Project, Ran};
use crate::support::server::Fault;

pub const ID: &str = "sentence-transformers/all-MiniLM-L6-v2";

/// The real embedder behind a stand-in.
fn embedder(hub: &Hub, model: &Path) -> String {
    hub.model(ID).folder(model).commit("main")
}

/// Blocks that the files below some folders take on disk, each inode once.
fn blocks(folders: &[&Path]) -> u64 {
    let mut inodes = BTreeMap::new();
    let mut waiting: Vec<PathBuf> = folders.iter().map(|folder| (*folder).to_owned()).collect();
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            let found = path.symlink_metadata().unwrap();
            if found.is_dir() {
                waiting.push(path);
            } else if found.is_file() {
                inodes.insert((found.dev(), found.ino()), found.blocks());
            }
        }
    }
    inodes.values().sum()
}

/// Runs to a good end, and says nothing of it.
#[track_caller]
fn quietly(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Runs a script of tests/support/python in `mpm run`, as a user's own program.
fn in_run(project: &Project, client: HubClient, script: &str, arguments: &[&str]) -> Option<Ran> {
    let command = client.script(script, &project.home(), "http://127.0.0.1:9")?;
    let mut words = vec!["run".to_owned(), "--".to_owned(), command.get_program().to_str().unwrap().to_owned()];
    words.extend(command.get_args().map(|word| word.to_str().unwrap().to_owned()));
    words.extend(arguments.iter().map(|word| (*word).to_owned()));
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    Some(project.mpm(&words))
}

#[track_caller]
fn document(ran: Ran) -> Value {
    let ran = ran.expect(0);
    serde_json::from_str(ran.stdout.lines().last().unwrap_or_default()).expect("a document")
}

#[test]
fn unchanged_code_of_three_generations_finds_the_real_embedder_offline() {
    let Some(model) = minilm() else { return };
    let hub = Hub::start();
    let commit = embedder(&hub, &model);
    let project = machine(&hub);
    project.mpm(&["add", &format!("hf:{ID}"), "--as", "minilm"]).expect(0).says(&["layouts = [\"huggingface\"]"]);
    // The hub is gone, and whoever asks it anyway is noticed.
    drop(hub);
    let digest = |path: &str| modelpm::model::Sha256::of(&std::fs::read(model.join(path)).unwrap()).hex();
    for client in HubClient::ALL {
        let read = |arguments: &[&str]| in_run(&project, client, "hub_read.py", arguments).map(document);
        let Some(one) = read(&["file", ID, "config.json", "1_Pooling/config.json"]) else { return };
        assert_eq!(one["files"]["config.json"]["sha256"], digest("config.json"), "{client:?}");
        assert_eq!(one["files"]["1_Pooling/config.json"]["sha256"], digest("1_Pooling/config.json"), "{client:?}");
        for revision in [&[][..], &["--revision", "main"], &["--revision", &commit]] {
            let all = read(&[&["snapshot", ID][..], revision].concat()).unwrap();
            let files = all["files"].as_object().unwrap();
            assert_eq!(files.len(), 13, "{client:?} {revision:?}");
            assert_eq!(files["model.safetensors"]["sha256"], digest("model.safetensors"), "{client:?}");
        }
    }
    let tokens = in_run(&project, HubClient::New, "hub_read.py", &["tokens", ID]).map(document).unwrap();
    assert_eq!(tokens["ids"].as_array().unwrap().len(), 6, "{tokens}");
    let pairs = [
        ["A man is eating food.", "Someone is having a meal."],
        ["A man is eating food.", "The stock market fell sharply today."],
    ];
    let sentences: Vec<&str> = [ID].into_iter().chain(pairs.iter().flatten().copied()).collect();
    let near = in_run(&project, HubClient::New, "hub_embed.py", &sentences).map(document).unwrap();
    let similarity = |pair: usize| near["similarities"][pair].as_f64().unwrap();
    assert!(similarity(0) > 0.6 && similarity(1) < 0.3, "{near}");

    // One copy on disk: the store's, the project's and the layout's files are the same inodes.
    let (store, folder) = (project.store(), project.folder());
    let once = blocks(&[&store.join("v1/blobs")]);
    let all = blocks(&[&store.join("v1/blobs"), &folder.join("models"), &folder.join(".mpm/hf")]);
    assert!(all - once < 200, "a reference and a listing are all that is new: {once} and {all} blocks");

    // Removed with the package.
    project.mpm(&["remove", "minilm"]).expect(0);
    assert!(!folder.join(".mpm/hf/models--sentence-transformers--all-MiniLM-L6-v2").exists());
    project.mpm(&["sync"]).expect(0);
}

#[test]
fn a_cache_that_hf_download_made_is_taken_and_nothing_travels() {
    let Some(model) = minilm() else { return };
    let hub = Hub::start();
    embedder(&hub, &model);
    for client in HubClient::ALL {
        let project = machine(&hub);
        let home = project.home().join(".cache/huggingface");
        std::fs::create_dir_all(&home).unwrap();
        let Some(mut download) = client.command("hf", &home, &hub.url()) else { return };
        quietly(download.args(["download", ID]));
        hub.requests();
        hub.downloads();
        let cache = home.join("hub");
        let before = blocks(&[&cache]);
        let ran = project.mpm(&["add", &format!("hf:{ID}"), "--json"]).expect(0);
        let travel = &ran.json()["sync"]["travel"];
        assert_eq!((&travel["blobs"], &travel["bytes"]), (&0.into(), &0.into()), "{client:?} {travel}");
        let bytes: u64 = hub_files(&model).values().map(|file| file.len() as u64).sum();
        assert_eq!((&travel["adopted-blobs"], &travel["adopted-bytes"]), (&13.into(), &bytes.into()), "{travel}");
        assert_eq!(travel["reused-blobs"], 0, "{travel}");
        let requests = hub.requests();
        assert_eq!((count(&requests, "/resolve/"), hub.downloads().len()), (0, 0), "{client:?} {requests:#?}");
        let after = blocks(&[&cache, &project.store().join("v1/blobs"), &project.folder()]);
        assert!(after - before < 400, "{client:?}: {before} and {after} blocks");
        project.mpm(&["verify"]).expect(0);
        // Who made the cache can still read it.
        let mut again = client.command("hf", &home, "http://127.0.0.1:9").unwrap();
        quietly(again.env("HF_HUB_OFFLINE", "1").args(["download", ID]));

        // The same by hand, on another machine's store.
        let other = Project::new().variable("HF_HOME", &home);
        let adopted = other.mpm(&["store", "adopt", "--json"]).expect(0).json();
        let taken: u64 =
            adopted["adopted"].as_object().unwrap().values().map(|way| way["files"].as_u64().unwrap()).sum();
        assert_eq!(taken, 13, "{adopted}");
    }
}

#[test]
fn a_truncated_blob_in_the_cache_is_not_taken_and_is_named() {
    let hub = Hub::start();
    let bytes = weights(400_000, 3);
    hub.model("org/m").file("config.json", "{}\n").lfs("w.safetensors", bytes.clone()).commit("main");
    let project = machine(&hub);
    let digest = modelpm::model::Sha256::of(&bytes).hex();
    let blob = project.home().join(".cache/huggingface/hub/models--org--m/blobs").join(&digest);
    std::fs::create_dir_all(blob.parent().unwrap()).unwrap();
    std::fs::write(&blob, &bytes[..300_000]).unwrap();
    let ran = project.mpm(&["add", "hf:org/m"]).expect(0).says(&[&digest]);
    assert!(ran.stderr.contains("warning"), "{}", ran.stderr);
    assert_eq!(project.read("models/org/m/w.safetensors").unwrap(), bytes);
    assert_eq!(std::fs::metadata(&blob).unwrap().len(), 300_000, "the cache is not ours to mend");
    let other = Project::new().variable("HF_HOME", project.home().join(".cache/huggingface"));
    let ran = other.mpm(&["store", "adopt"]).expect(4);
    assert!(ran.stdout.contains(&digest), "{}{}", ran.stdout, ran.stderr);
}

#[test]
fn where_hf_download_reports_success_mpm_refuses() {
    let hub = Hub::start();
    hub.model("org/m").file("config.json", "{}\n").lfs("w.safetensors", weights(400_000, 3)).commit("main");
    let project = machine(&hub);
    hub.fault("w.safetensors", 100, Fault::Flip(200_000));
    project.mpm(&["add", "hf:org/m"]).expect(4).says(&["w.safetensors", "expected sha256"]);
    assert!(!project.folder().join("models").exists() && !project.folder().join(".mpm/hf").exists());
    for client in HubClient::ALL {
        let home = tempfile::tempdir().unwrap();
        let Some(mut download) = client.command("hf", home.path(), &hub.url()) else { return };
        // For the record.
        quietly(download.args(["download", "org/m"]));
    }
}

#[test]
fn datasets_and_revisions_are_found_by_unchanged_code() {
    let hub = Hub::start();
    let old = hub.dataset("org/rows").file("rows.csv", "a\n1\n").commit("main");
    hub.dataset("org/rows").tag("v1", &old);
    hub.dataset("org/rows").file("rows.csv", "a\n2\n").commit("main");
    let project = machine(&hub);
    project.mpm(&["add", "hf:datasets/org/rows"]).expect(0);
    project.mpm(&["add", "hf:datasets/org/rows@v1", "--as", "old"]).expect(0);
    drop(hub);
    for client in HubClient::ALL {
        for (revision, text) in
            [(&[][..], "a\n2\n"), (&["--revision", "v1"], "a\n1\n"), (&["--revision", &old], "a\n1\n")]
        {
            let arguments = [&["file", "org/rows", "rows.csv", "--type", "dataset"][..], revision].concat();
            let Some(ran) = in_run(&project, client, "hub_read.py", &arguments) else { return };
            let path = document(ran)["files"]["rows.csv"]["path"].as_str().unwrap().to_owned();
            assert_eq!(std::fs::read_to_string(path).unwrap(), text, "{client:?} {revision:?}");
        }
    }
}
