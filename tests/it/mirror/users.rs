//! Machines whose configuration names a mirror of an index: projects and locks do not know of it, and it is believed no more than
//! any place.

use super::Keeper;
use crate::flows::fixture::{elsewhere, folder, lock, ok, placed, project, project_at, registry};
use crate::support::project::Project;
use crate::support::registry::TestRegistry;
use crate::support::server::{Fault, Server};

const REST: &str = "[models]\n\"acme/minilm\" = \"1\"\n";

/// Configuration that names mirrors of the registry's index.
fn config(registry: &TestRegistry, mirrors: &[&str]) -> String {
    let places: Vec<String> = mirrors.iter().map(|place| format!("{place:?}")).collect();
    format!("[index-mirrors]\n\"{}\" = [{}]\n", registry.root_sha256().prefixed(), places.join(", "))
}

/// A machine that takes the registry from a server, and asks mirrors first.
fn machine(registry: &TestRegistry, origin: &Server, mirrors: &[&str]) -> Project {
    project_at(registry, &format!("sparse+{}", origin.url()), REST)
        .config(&config(registry, mirrors))
        .variable("MPM_TEST_LAG", "0")
}

#[test]
fn a_mirror_that_configuration_names_stands_in_for_an_index_that_is_gone() {
    let registry = registry();
    let keeper = Keeper::of(&registry, &folder(&registry));
    keeper.sync(&["--all"]);
    let expected = project(&registry, REST);
    ok(&expected, &["sync"]);
    let mirror = Server::start(&keeper.folder);
    for place in [keeper.text(), format!("sparse+{}", mirror.url())] {
        let origin = Server::start(registry.folder());
        let machine = machine(&registry, &origin, &[&place]);
        // New trust and all: nothing of it is asked of the origin.
        ok(&machine, &["sync"]);
        assert_eq!(origin.requests().len(), 0);
        assert_eq!(placed(&machine), placed(&expected));
        assert_eq!(lock(&machine), lock(&expected), "a lock does not know of mirrors");
        drop(origin);
        let stranger = elsewhere(&machine).config(&config(&registry, &[&place]));
        ok(&stranger, &["sync", "--locked"]);
        ok(&stranger, &["add", "acme/lora"]);
        let told = ok(&stranger, &["config", "show"]);
        assert!(told.stdout.contains("index-mirrors."), "{}", told.stdout);
    }
}

#[test]
fn what_a_mirror_of_a_part_lacks_comes_from_the_registry() {
    let registry = registry();
    let keeper = Keeper::of(&registry, &folder(&registry));
    keeper.sync(&["acme/vocab"]);
    let origin = Server::start(registry.folder());
    let machine = machine(&registry, &origin, &[&keeper.text()]);
    ok(&machine, &["sync"]);
    assert_eq!(placed(&machine)["models/acme/minilm/model.safetensors"], crate::support::blob::safetensors(2, 3_000));
    let asked: Vec<String> = origin.requests().into_iter().map(|request| request.path).collect();
    let vocab = registry.statement_sha256("acme/vocab", "1.1.0").hex();
    assert!(asked.iter().any(|path| path == "packages/acme/minilm.jsonl"), "{asked:?}");
    assert!(asked.iter().all(|path| !path.contains(&vocab) && !path.starts_with("checkpoint")), "{asked:?}");
    // Without the registry it is not in this copy, and no matter of trust.
    drop(origin);
    let cut = elsewhere(&machine).config(&config(&registry, &[&keeper.text()])).variable("MPM_TEST_LAG", "0");
    cut.mpm(&["sync", "--locked"]).expect(3).says(&["E0111", "acme/minilm", "not in this copy"]);
}

#[test]
fn a_mirror_that_is_gone_behind_or_wrong_is_told_and_passed_over() {
    let mut registry = registry();
    let keeper = Keeper::of(&registry, &folder(&registry));
    keeper.sync(&["--all"]);
    registry.release("acme/minilm", "1.2.0").file("config.json", "{}\n").publish();
    let origin = Server::start(registry.folder());
    let mirror = Server::start(&keeper.folder);
    let place = format!("sparse+{}", mirror.url());
    let gone = "sparse+http://127.0.0.1:9/".to_owned();
    let none = keeper.project.home().join("none").display().to_string();
    let newest = |machine: &Project| assert!(crate::flows::fixture::locks(machine, "acme/minilm@1.2.0"));

    for first in [&gone, &none] {
        let machine = machine(&registry, &origin, &[first]);
        ok(&machine, &["sync"]).says(&["warning", "the next place is asked"]);
        newest(&machine);
    }
    // Behind what this machine has seen.
    let seen = machine(&registry, &origin, &[]);
    ok(&seen, &["lock"]);
    let seen = seen.config(&config(&registry, &[&place]));
    ok(&seen, &["update"]).says(&["is behind", "the next place is asked"]);
    newest(&seen);
    // Who has seen nothing takes the mirror's word for what is newest, as of any place that lags.
    let fresh = machine(&registry, &origin, &[&place]);
    ok(&fresh, &["sync"]);
    assert!(crate::flows::fixture::locks(&fresh, "acme/minilm@1.1.0"));
    // Other bytes in its head, in what it pins, in a blob.
    let statement = registry.statement_sha256("acme/minilm", "1.1.0");
    let weights = modelpm::sys::blob_path(&modelpm::model::Sha256::of(&crate::support::blob::safetensors(2, 3_000)));
    for path in ["checkpoint.json".to_owned(), format!("releases/{statement}.json"), weights] {
        let machine = machine(&registry, &origin, &[&place]);
        mirror.fault(&path, usize::MAX, Fault::Flip(40));
        ok(&machine, &["sync"]);
        mirror.mend();
    }
    // All places are gone: a matter of the network.
    drop((origin, mirror));
    let alone = Project::new().manifest(&seen.text("Model.toml").unwrap()).config(&config(&registry, &[&gone]));
    alone.mpm(&["sync"]).expect(3).says(&["registry acme"]);
}

#[test]
fn a_mirror_that_shows_a_second_history_ends_the_run() {
    let mut registry = registry();
    let fork = tempfile::tempdir().unwrap();
    registry.copy_to(fork.path());
    registry.release("acme/vocab", "1.2.0").file("vocab.txt", "four\n").publish();
    let request = modelpm::registry::CheckpointRequest {
        now: modelpm::model::Timestamp::from_seconds(registry.now().seconds() + 60).unwrap(),
        signers: &[&registry.index],
        bases: None,
    };
    modelpm::registry::checkpoint(&modelpm::registry::Folder::at(fork.path()), &request).unwrap();
    let origin = Server::start(registry.folder());
    let machine = machine(&registry, &origin, &[]);
    ok(&machine, &["lock"]);
    let machine = machine.config(&config(&registry, &[&fork.path().display().to_string()]));
    machine.mpm(&["update"]).expect(4).says(&["E0115"]);
}
