//! Layers of the store: read first, never written, and nothing when they fail.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::flows::fixture::{elsewhere, manifest, ok, placed, tree};
use crate::support::blob;
use crate::support::project::Project;
use crate::support::registry::TestRegistry;
use crate::support::server::Server;

const REST: &str = "[models]\n\"acme/big\" = \"1\"\n";

/// A registry with one model, a server of it, and a machine that has it in its store.
fn scene() -> (TestRegistry, Server, Project) {
    let mut registry = TestRegistry::of_late("acme", 3_600);
    registry.namespace("acme");
    let release = registry.release("acme/big", "1.0.0").file("notes.txt", "notes\n");
    release.file("model.safetensors", blob::safetensors(1, 9_000)).publish();
    let server = Server::start(registry.folder());
    let index = format!("sparse+{}", server.url());
    let shared = Project::new().manifest(&manifest(&registry, &index, REST).replace(", \"uci\"", ""));
    ok(&shared, &["sync"]);
    (registry, server, shared)
}

/// Another machine with the first one's store as a layer.
fn over(layer: &Project) -> Project {
    elsewhere(layer).variable("MPM_STORE_LAYERS", layer.store())
}

/// Every file and folder with what would change if it was touched.
fn stand(folder: &Path) -> BTreeMap<PathBuf, (u32, u64, i64, i64, i64, i64)> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(at) = folders.pop() {
        for entry in std::fs::read_dir(&at).unwrap() {
            let path = entry.unwrap().path();
            let meta = path.symlink_metadata().unwrap();
            if meta.is_dir() {
                folders.push(path.clone());
            }
            let times = (meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec());
            found.insert(path, (meta.mode(), meta.size(), times.0, times.1, times.2, times.3));
        }
    }
    found
}

fn fetched(server: &Server) -> Vec<String> {
    let asked = server.requests();
    asked.into_iter().map(|request| request.path).filter(|path| path.contains("blobs/sha256")).collect()
}

fn blob_of(store: &Path, bytes: &[u8]) -> PathBuf {
    let hex = modelpm::model::Sha256::of(bytes).hex();
    store.join("v1/blobs/sha256").join(&hex[..2]).join(hex)
}

fn scribble(path: &Path, bytes: &[u8]) {
    std::fs::set_permissions(path, Permissions::from_mode(0o644)).unwrap();
    let file = std::fs::File::options().write(true).open(path).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, bytes, 0).unwrap();
    file.set_permissions(Permissions::from_mode(0o444)).unwrap();
}

#[test]
fn what_a_layer_has_is_placed_from_it_and_the_layer_stays_as_it_is() {
    let (_registry, server, shared) = scene();
    fetched(&server);
    for (link, nlink) in [("copy", 1), ("symlink", 1), ("auto", 0)] {
        let before = stand(&shared.store());
        let machine = over(&shared).variable("MPM_LINK", link);
        ok(&machine, &["sync"]);
        assert_eq!(fetched(&server), Vec::<String>::new(), "{link}: nothing travels");
        assert!(placed(&machine) == placed(&shared), "{link}");
        let blobs = tree(&machine.store().join("v1/blobs"));
        assert!(blobs.len() <= 1, "{link}: nothing but what describes the release: {:?}", blobs.keys());
        ok(&machine, &["verify"]).says(&["The blobs of 1 layer were not hashed"]);
        ok(&machine, &["verify", "--layers"]);
        ok(&machine, &["store", "gc"]);
        // A hard link is the one thing that shows: the count of links and the change time of the blob.
        if nlink == 1 {
            assert_eq!(stand(&shared.store()), before, "{link}");
        }
        let sizes = ok(&machine, &["store", "size", "--json"]).json();
        assert_eq!(sizes["layers"][0]["folder"], shared.store().to_string_lossy().as_ref());
        assert!(sizes["layers"][0]["blobs"].as_u64() >= Some(3), "{sizes}");
    }
}

#[test]
fn layers_come_from_the_configuration_and_a_store_is_no_layer_of_itself() {
    let (_registry, server, shared) = scene();
    fetched(&server);
    let text = format!("[store]\nlayers = [\"{}\"]\n", shared.store().display());
    let machine = elsewhere(&shared).config(&text);
    ok(&machine, &["sync"]);
    assert_eq!(fetched(&server), Vec::<String>::new());
    let itself = elsewhere(&shared).config(&text).variable("MPM_STORE", shared.store());
    assert_eq!(ok(&itself, &["store", "size", "--json"]).json()["layers"], serde_json::json!([]));
    let relative = elsewhere(&shared).variable("MPM_STORE_LAYERS", "shared/models");
    relative.mpm(&["sync"]).expect(2).says(&["MPM_STORE_LAYERS"]);
}

#[test]
fn a_layer_that_is_missing_or_damaged_is_a_warning_and_its_blobs_are_fetched() {
    let (_registry, server, shared) = scene();
    let weights = blob::safetensors(1, 9_000);
    let whole = placed(&shared);
    fetched(&server);
    let check = |machine: Project, texts: &[&str], blobs: usize| {
        let ran = ok(&machine, &["sync"]).says(&["warning"]).says(texts);
        assert_eq!(fetched(&server).len(), blobs, "{}", ran.stderr);
        assert!(placed(&machine) == whole);
        ok(&machine, &["verify"]);
    };
    let missing = elsewhere(&shared).variable("MPM_STORE_LAYERS", shared.home().join("nowhere"));
    check(missing, &["nowhere is left out"], 2);
    let bare = elsewhere(&shared).variable("MPM_STORE_LAYERS", shared.home());
    check(bare, &["it is no store"], 2);
    let path = blob_of(&shared.store(), &weights);
    scribble(&path, b"other");
    let before = stand(&shared.store());
    check(over(&shared), &["is passed over", "other bytes"], 1);
    std::fs::File::options().write(true).open(&path).unwrap().set_len(7).unwrap();
    check(over(&shared), &["is passed over", "another size"], 1);
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    check(over(&shared), &["is passed over", "not a regular file"], 1);
    assert_eq!(stand(&shared.store()).len(), before.len(), "nothing is set aside in a layer");
}

#[test]
fn a_blob_of_a_layer_that_verify_finds_bad_is_passed_over_from_then_on() {
    let (_registry, server, shared) = scene();
    let machine = over(&shared).variable("MPM_LINK", "symlink");
    ok(&machine, &["sync"]);
    let path = blob_of(&shared.store(), &blob::safetensors(1, 9_000));
    let times = path.metadata().unwrap().modified().unwrap();
    scribble(&path, b"rotten");
    std::fs::File::open(&path).unwrap().set_modified(times).unwrap();
    fetched(&server);
    machine.mpm(&["verify", "--store", "--layers"]).expect(4);
    machine.mpm(&["verify", "--layers", "--repair"]).expect(0).says(&["Mended"]);
    assert_eq!(fetched(&server).len(), 1);
    assert!(machine.store().join("v1/passed").read_dir().unwrap().count() == 1);
    ok(&machine, &["verify"]);
    ok(&machine, &["store", "gc"]);
    assert!(machine.store().join("v1/passed").read_dir().unwrap().count() == 1, "its blob is in the store");
}

#[test]
fn what_a_purge_took_is_fetched_again_without_a_word() {
    let (_registry, server, shared) = scene();
    let whole = placed(&shared);
    // From a layer, to which a project's files are symbolic links.
    let machine = over(&shared).variable("MPM_LINK", "symlink");
    ok(&machine, &["sync"]);
    fetched(&server);
    let path = blob_of(&shared.store(), &blob::safetensors(1, 9_000));
    std::fs::remove_file(&path).unwrap();
    let ran = ok(&machine, &["sync"]);
    assert!(!ran.stderr.contains("warning"), "{}", ran.stderr);
    assert_eq!(fetched(&server).len(), 1);
    assert!(placed(&machine) == whole);
    // From the store: files by age, folders that became empty, even the store's own marks.
    for name in ["v1/blobs", "v1/roots", "v1/active", "v1/partial"] {
        std::fs::remove_dir_all(machine.store().join(name)).unwrap();
    }
    std::fs::remove_file(machine.store().join("v1/format")).unwrap();
    let ran = ok(&machine, &["sync"]);
    assert!(!ran.stderr.contains("warning"), "{}", ran.stderr);
    assert!(placed(&machine) == whole);
    ok(&machine, &["verify"]);
    ok(&machine, &["sync"]).says(&["Nothing to do"]);
}
