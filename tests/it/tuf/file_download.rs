//! test_file_download: artifacts, with the real binary: what comes, what is refused, what is asked for once.

use modelpm::model::{Pin, Sha256};

use super::Client;
use crate::index::fixture::version;
use crate::support::blob;
use crate::support::project::Project;
use crate::support::registry::TestRegistry;
use crate::support::server::{Fault, Server};

/// A registry that began an hour ago, behind a server, and a project that wants something of it.
fn site(wants: &str) -> (TestRegistry, Server, Project) {
    let mut registry = TestRegistry::of_late("acme", 3_600);
    registry.namespace("acme");
    let server = Server::start(registry.folder());
    let project = project(&registry, &server, wants);
    (registry, server, project)
}

fn project(registry: &TestRegistry, server: &Server, wants: &str) -> Project {
    Project::new().manifest(&format!(
        "[project]\nname = \"demo\"\n\n[registries.acme]\nindex = \"sparse+{}\"\nroot = \"{}\"\nnamespaces = [\"acme\"]\n\n[models]\n{wants}\n",
        server.url(),
        registry.root_sha256().prefixed()
    ))
}

fn path_of(bytes: &[u8]) -> String {
    modelpm::sys::blob_path(&Sha256::of(bytes))
}

const TINY: &str = "\"acme/tiny\" = \"*\"";
const WEIGHTS: &str = "models/acme/tiny/model.safetensors";

#[test]
fn client_downloads_expected_file() {
    let (mut registry, server, project) = site(TINY);
    let bytes = blob::safetensors(1, 1_000);
    registry.release("acme/tiny", "1.0.0").file("model.safetensors", &bytes).publish();
    project.mpm(&["lock"]).expect(0);
    assert!(!server.requests().iter().any(|request| request.path == path_of(&bytes)), "a lock downloads nothing");
    assert_eq!(project.read(WEIGHTS), None);
    project.mpm(&["sync"]).expect(0);
    assert_eq!(project.read(WEIGHTS), Some(bytes));
}

#[test]
fn client_downloads_expected_file_in_sub_dir() {
    let (mut registry, _server, project) = site(TINY);
    let bytes = blob::safetensors(2, 1_000);
    registry.release("acme/tiny", "1.0.0").file("path/to/a/model.safetensors", &bytes).publish();
    project.mpm(&["sync"]).expect(0);
    assert_eq!(project.read("models/acme/tiny/path/to/a/model.safetensors"), Some(bytes));
}

#[test]
fn repository_substitutes_target_file() {
    let (mut registry, server, project) = site(TINY);
    let (first, second) = (blob::safetensors(3, 1_000), blob::safetensors(4, 1_000));
    registry.release("acme/tiny", "1.0.0").file("model.safetensors", &first).publish();
    registry.release("acme/other", "1.0.0").file("model.safetensors", &second).publish();
    project.mpm(&["sync"]).expect(0);
    let malicious = blob::safetensors(5, 1_000);
    for bytes in [&first, &second] {
        server.fault(&path_of(bytes), 99, Fault::Body(malicious.clone()));
    }
    // What is stored is not asked for again; what is not, is refused.
    project.mpm(&["sync"]).expect(0);
    assert_eq!(project.read(WEIGHTS), Some(first.clone()));
    project.mpm(&["add", "acme/other"]).expect(4).says(&["acme/other", "nothing was placed"]);
    std::fs::remove_dir_all(project.folder().join("models")).unwrap();
    std::fs::remove_dir_all(project.store()).unwrap();
    project.mpm(&["sync"]).expect(4);
    assert!(!project.folder().join("models").exists());
    let kept = crate::flows::fixture::tree(&project.store());
    assert!(kept.values().all(|bytes| *bytes != malicious), "nor is it stored");
}

#[test]
fn multiple_changes_to_target() {
    let (mut registry, server, project) = site(TINY);
    registry.release("acme/tiny", "1.0.0").file("model.safetensors", blob::safetensors(100, 100)).publish();
    project.mpm(&["sync"]).expect(0);
    for round in 1..=11_u64 {
        let (changed, added) = (blob::safetensors(100 + round, 100), blob::safetensors(200 + round, 100));
        registry.release("acme/tiny", &format!("1.{round}.0")).file("model.safetensors", &changed).publish();
        let name = format!("acme/new{round}");
        registry.release(&name, "1.0.0").file("model.safetensors", &added).publish();
        // The client sees each fifth.
        if round % 5 != 1 {
            continue;
        }
        project.mpm(&["update"]).expect(0);
        project.mpm(&["sync"]).expect(0);
        project.mpm(&["add", &name]).expect(0);
        assert_eq!(project.read(WEIGHTS).as_ref(), Some(&changed), "{round}");
        assert_eq!(project.read(&format!("models/{name}/model.safetensors")), Some(added));
        // The artifact changes and the files that speak of it do not.
        server.fault(&path_of(&changed), 99, Fault::Body(blob::safetensors(300 + round, 100)));
        registry.checkpoint_now();
        project.mpm(&["update"]).expect(0);
        project.mpm(&["sync"]).expect(0);
        assert_eq!(project.read(WEIGHTS), Some(changed), "{round}");
    }
}

#[test]
fn download_with_unknown_hash_algorithm() {
    // A statement that pins its files by something else than sha256, signed and listed as any other.
    let mut client = Client::new();
    let statement =
        modelpm::statement::Statement { version: version("1.1.0"), ..client.index.statement("acme/minilm", "1.1.0") };
    let text = String::from_utf8(statement.render()).unwrap();
    assert!(text.contains("\"sha256\""));
    for other in ["sha512", "unknown-hash"] {
        let bytes = text.replace("\"sha256\"", &format!("\"{other}\"")).into_bytes();
        let pin = Pin::of(&bytes);
        client.index.put_signed(&format!("releases/{}.json", pin.sha256), bytes, |index| vec![&index.publisher]);
        client.index.logs.clear();
        client.index.log_release("acme/minilm", &statement, pin);
        client.index.checkpoint();
        let fresh = Client { index: client.index, machine: crate::index::fixture::Machine::new() };
        assert_eq!(fresh.take_minilm(), "E0201", "{other}");
        client = fresh;
    }
}

#[test]
fn artifact_cache() {
    let (mut registry, server, first) = site(TINY);
    let bytes = blob::safetensors(6, 1_000);
    registry.release("acme/tiny", "1.0.0").file("model.safetensors", &bytes).publish();
    first.mpm(&["sync"]).expect(0);
    // Another project of the same user.
    let second = project(&registry, &server, TINY).variable("MPM_STORE", first.store());
    second.mpm(&["sync"]).expect(0);
    assert_eq!(second.read(WEIGHTS).as_ref(), Some(&bytes));
    let asked = server.requests().into_iter().filter(|request| request.path == path_of(&bytes)).count();
    assert_eq!(asked, 1, "one download for both");
}
