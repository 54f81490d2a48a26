//! Configured mirrors while the index is gone: what is locked still comes, and is believed no more than from anywhere else.

use super::fixture::{elsewhere, lock, ok, paths, placed, project_at, registry};
use crate::support::project::Project;
use crate::support::registry::TestRegistry;
use crate::support::server::{Fault, Server};
use crate::support::{blob, peers};

const REST: &str = "[models]\n\"acme/minilm\" = \"1\"\n";

/// The weights of `acme/minilm` 1.1.0, which [`REST`] gets.
fn weights() -> Vec<u8> {
    blob::safetensors(2, 3_000)
}

/// A machine that has locked and fetched nothing yet, its index, and a mirror that its configuration names.
struct Site {
    registry: TestRegistry,
    index: Option<Server>,
    machine: Project,
}

impl Site {
    fn new(mirror: impl Fn(&TestRegistry) -> String) -> Self {
        let registry = registry();
        let index = Server::start(registry.folder());
        let config = format!("[mirrors]\n\"{}\" = [\"{}\"]\n", registry.root_sha256().prefixed(), mirror(&registry));
        let machine = project_at(&registry, &format!("sparse+{}", index.url()), REST)
            .config(&config)
            .variable("MPM_TEST_LAG", "0");
        ok(&machine, &["lock"]);
        Self { registry, index: Some(index), machine }
    }

    /// The index answers nobody any more.
    fn kill_the_index(&mut self) {
        drop(self.index.take());
    }
}

#[test]
fn a_locked_project_installs_from_a_mirror_while_its_index_is_dead() {
    let mirrored = registry_copy();
    let mirror = Server::start(mirrored.path());
    let folder = mirrored.path().display().to_string();
    for (place, served) in [(mirror.url(), true), (folder, false)] {
        let mut site = Site::new(|registry| {
            registry.copy_to(mirrored.path());
            place.clone()
        });
        let before = lock(&site.machine);
        site.kill_the_index();
        let ran = ok(&site.machine, &["sync", "--locked"]);
        ran.says(&["warning", "only mirrors are asked for blobs", "Placed 4 files"]);
        assert_eq!(placed(&site.machine)["models/acme/minilm/model.safetensors"], weights());
        assert_eq!(lock(&site.machine), before);
        assert_eq!(!mirror.requests().is_empty(), served);
        // Whoever has never verified a statement of it needs the index: a mirror of blobs vouches for nothing.
        let stranger = elsewhere(&site.machine);
        stranger.mpm(&["sync", "--locked"]).expect(3).says(&["registry acme"]);
        assert!(paths(&stranger).is_empty());
        drop(site.registry);
    }
}

#[test]
fn wrong_bytes_of_a_mirror_are_refused_while_the_index_is_dead() {
    let mirrored = registry_copy();
    let mirror = Server::start(mirrored.path());
    let mut site = Site::new(|registry| {
        registry.copy_to(mirrored.path());
        mirror.url()
    });
    site.kill_the_index();
    let path = modelpm::sys::blob_path(&modelpm::model::Sha256::of(&weights()));
    let mut other = weights();
    other[1_000] ^= 1;
    for fault in [Fault::Flip(1_000), Fault::Body(other), Fault::Body(b"<html>".to_vec())] {
        mirror.fault(&path, 9, fault);
        let says = ["only mirrors are asked for blobs", "E0724", "wrong bytes", &mirror.host(), "nothing was placed"];
        site.machine.mpm(&["sync", "--locked"]).expect(4).says(&says);
        assert!(paths(&site.machine).is_empty());
    }
    mirror.mend();
    ok(&site.machine, &["sync", "--locked"]);
    assert_eq!(placed(&site.machine)["models/acme/minilm/model.safetensors"], weights());
}

#[test]
fn an_index_that_lies_is_not_excused_by_a_mirror() {
    if !cfg!(feature = "faults") {
        return peers::missing("a build with the feature faults, which has less patience with checkpoints");
    }
    let mirrored = registry_copy();
    let site = Site::new(|registry| {
        registry.copy_to(mirrored.path());
        mirrored.path().display().to_string()
    });
    let lie = "{\"type\": \"mpm.checkpoint/1\"}\n";
    std::fs::write(site.registry.folder().join("checkpoint.json"), lie).expect("written");
    site.machine.mpm(&["sync", "--locked"]).expect(4);
    assert!(paths(&site.machine).is_empty());
}

fn registry_copy() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}
