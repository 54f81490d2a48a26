//! The ways between a machine and a registry that a site lays down: proxies, authorities of its own, ssh.

mod certificates;
mod http2;
mod proxy;
mod ssh;

use crate::flows::fixture::{ok, paths, placed, project_at};
use crate::support::project::Project;
use crate::support::registry::TestRegistry;

const REST: &str = "[models]\n\"acme/minilm\" = \"1\"\n";

/// A machine that takes its packages from an index.
fn machine(registry: &TestRegistry, index: &str) -> Project {
    project_at(registry, index, REST)
}

/// Syncs, and has what [`REST`] asks for.
#[track_caller]
fn comes(machine: &Project) {
    ok(machine, &["sync"]).says(&["Placed 4 files"]);
    let weights = crate::support::blob::safetensors(2, 3_000);
    assert_eq!(placed(machine)["models/acme/minilm/model.safetensors"], weights);
}

/// Does not sync: a matter of the network, with these words, and nothing placed or locked.
#[track_caller]
fn does_not_come(machine: &Project, says: &[&str]) {
    machine.mpm(&["sync"]).expect(3).says(says);
    assert!(paths(machine).is_empty() && machine.read("Model.lock").is_none());
}
