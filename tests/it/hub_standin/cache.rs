//! The hub's cache on disk: what the clients write, and the least of it that they read.

use std::path::{Path, PathBuf};

use modelpm::model::Sha256;
use serde_json::json;

use super::clients::{document, done, files};
use crate::support::blob;
use crate::support::http::Port;
use crate::support::hub::{Hub, blob_id};
use crate::support::peers::{self, HubClient};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

#[test]
fn what_hf_download_writes_is_references_snapshots_blobs_and_listings() {
    let hub = Hub::start();
    let weights = blob::random(4, 20_000);
    let draft = hub.model("org/m").file("1_Pooling/config.json", "{}").lfs("w.bin", weights.clone());
    let commit = draft.commit("main");
    let (small, large) = (blob_id(b"{}"), Sha256::of(&weights).hex());
    for client in HubClient::ALL {
        let home = tempfile::tempdir().unwrap();
        let Some(mut command) = client.command("hf", home.path(), &hub.url()) else { return };
        command.args(["download", "org/m"]);
        done(command);
        let repository = home.path().join("hub/models--org--m");
        let text = |path: &str| std::fs::read_to_string(repository.join(path)).unwrap();
        assert_eq!(text("refs/main"), commit, "{client:?}");
        let link = |path: &str| std::fs::read_link(repository.join("snapshots").join(&commit).join(path)).unwrap();
        assert_eq!(link("w.bin"), PathBuf::from(format!("../../blobs/{large}")), "{client:?}");
        assert_eq!(link("1_Pooling/config.json"), PathBuf::from(format!("../../../blobs/{small}")), "{client:?}");
        assert_eq!(std::fs::read_dir(repository.join("blobs")).unwrap().count(), 2, "{client:?}");
        let listing = repository.join(format!("trees/{commit}.json"));
        if client == HubClient::Old {
            assert!(!listing.exists());
            continue;
        }
        let listing: serde_json::Value = serde_json::from_slice(&std::fs::read(listing).unwrap()).unwrap();
        let pointer = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{large}\nsize 20000\n");
        let expected = json!({ "format_version": 1, "files": {
            "1_Pooling/config.json": { "size": 2, "blob_id": small },
            "w.bin": { "size": 20000, "blob_id": blob_id(pointer.as_bytes()), "lfs_sha256": large, "lfs_size": 20000 },
        } });
        assert_eq!(listing, expected, "{client:?}");
    }
}

/// An endpoint where nothing listens any more.
fn nowhere() -> String {
    format!("http://{}", Port::pick().address())
}

/// A cache of the least that the three generations read: hard links, a reference, a listing.
struct Cache {
    home: tempfile::TempDir,
}

impl Cache {
    /// Lays out the files of `from` as this commit; `repository` is the folder's name.
    fn of(from: &Path, repository: &str, paths: &[&str], references: &[&str]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let root = home.path().join("hub").join(repository);
        let mut listed = serde_json::Map::new();
        for path in paths {
            let bytes = std::fs::read(from.join(path)).unwrap();
            let at = root.join("snapshots").join(COMMIT).join(path);
            std::fs::create_dir_all(at.parent().unwrap()).unwrap();
            // The model lies where builds do: on another file system than temporary folders, perhaps.
            if std::fs::hard_link(from.join(path), &at).is_err() {
                std::fs::write(&at, &bytes).unwrap();
            }
            let id = &Sha256::of(&bytes).hex()[..40];
            listed.insert((*path).to_owned(), json!({ "size": bytes.len(), "blob_id": id }));
        }
        let put = |path: String, text: &str| {
            std::fs::create_dir_all(root.join(&path).parent().unwrap()).unwrap();
            std::fs::write(root.join(path), text).unwrap();
        };
        references.iter().for_each(|name| put(format!("refs/{name}"), COMMIT));
        put(format!("trees/{COMMIT}.json"), &json!({ "format_version": 1, "files": listed }).to_string());
        Self { home }
    }

    /// What a script prints that may ask no one.
    fn offline(&self, client: HubClient, script: &str, arguments: &[&str]) -> Option<serde_json::Value> {
        let mut command = client.script(script, self.home.path(), &nowhere())?;
        command.args(arguments).env("HF_HUB_OFFLINE", "1");
        Some(document(command))
    }
}

#[test]
fn a_cache_without_blobs_is_read_offline_by_three_generations() {
    let Some(model) = peers::minilm() else { return };
    let paths = ["config.json", "tokenizer.json", "1_Pooling/config.json"];
    let references = ["main", "v1.0", "refs/pr/1"];
    for (repository, more) in [("models--org--m", &[][..]), ("datasets--org--m", &["--type", "dataset"])] {
        let cache = Cache::of(&model, repository, &paths, &references);
        for client in HubClient::ALL {
            for revision in [None, Some("v1.0"), Some("refs/pr/1"), Some(COMMIT)] {
                for (mode, which) in [("snapshot", &paths[..0]), ("file", &paths)] {
                    let mut arguments = [&[mode, "org/m"], which, more].concat();
                    arguments.extend(revision.iter().flat_map(|revision| ["--revision", *revision]));
                    let Some(read) = cache.offline(client, "hub_read.py", &arguments) else { return };
                    let found = read["files"].as_object().unwrap();
                    assert_eq!(found.len(), paths.len(), "{client:?} {arguments:?}");
                    for path in paths {
                        let is = Sha256::of(&std::fs::read(model.join(path)).unwrap()).hex();
                        assert_eq!(found[path]["sha256"], is, "{client:?} {arguments:?} {path}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_real_model_is_used_by_its_name_offline() {
    let Some(model) = peers::minilm() else { return };
    let paths =
        ["config.json", "tokenizer.json", "tokenizer_config.json", "1_Pooling/config.json", "model.safetensors"];
    let cache = Cache::of(&model, "models--sentence-transformers--all-MiniLM-L6-v2", &paths, &["main"]);
    let id = "sentence-transformers/all-MiniLM-L6-v2";
    let Some(tokens) = cache.offline(HubClient::New, "hub_read.py", &["tokens", id]) else { return };
    assert!(tokens["ids"].as_array().unwrap().len() > 3, "{tokens}");
    let near = ["A man is eating food.", "A man is having a meal.", "How old are you?", "What is your age?"];
    let far = ["A man is eating food.", "The stock market fell.", "What is your age?", "Glaciers carve valleys."];
    let arguments = [&[id], &near[..], &far[..]].concat();
    let told = cache.offline(HubClient::New, "hub_embed.py", &arguments).unwrap();
    let alike: Vec<f64> =
        told["similarities"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect();
    assert!(alike[..2].iter().all(|near| *near > 0.6) && alike[2..].iter().all(|far| *far < 0.3), "{alike:?}");
}

#[test]
fn a_real_model_comes_through_the_stand_in() {
    let Some(model) = peers::minilm() else { return };
    let hub = Hub::start();
    let commit = hub.model("org/minilm").folder(&model).commit("main");
    let home = tempfile::tempdir().unwrap();
    let Some(mut command) = HubClient::New.command("hf", home.path(), &hub.url()) else { return };
    command.args(["download", "org/minilm"]);
    done(command);
    let came = home.path().join("hub/models--org--minilm/snapshots").join(commit);
    assert!(files(&came) == files(&model));
    let mut embed = HubClient::New.script("hub_embed.py", home.path(), &nowhere()).unwrap();
    embed.args(["org/minilm", "one", "one"]).env("HF_HUB_OFFLINE", "1");
    assert_eq!(document(embed)["similarities"], json!([1.0]));
}

#[test]
fn clients_believe_a_listing_in_the_cache_even_where_they_could_ask() {
    let hub = Hub::start();
    let commit = hub.model("org/m").file("one", "1").file("two", "2").commit("main");
    for client in HubClient::ALL {
        let home = tempfile::tempdir().unwrap();
        let trees = home.path().join("hub/models--org--m/trees");
        std::fs::create_dir_all(&trees).unwrap();
        let listing = json!({ "format_version": 1, "files": { "one": { "size": 1, "blob_id": blob_id(b"1") } } });
        std::fs::write(trees.join(format!("{commit}.json")), listing.to_string()).unwrap();
        let Some(mut command) = client.script("hub_read.py", home.path(), &hub.url()) else { return };
        command.args(["snapshot", "org/m"]);
        let count = document(command)["files"].as_object().unwrap().len();
        assert_eq!(count, if client == HubClient::Old { 2 } else { 1 }, "{client:?}");
    }
}
