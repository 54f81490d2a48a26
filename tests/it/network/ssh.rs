//! An index in a git repository behind a real ssh server.

use super::{comes, does_not_come, machine};
use crate::flows::fixture::{locks, ok, placed, registry};
use crate::support::blob;
use crate::support::project::Project;
use crate::support::ssh::Sshd;

#[test]
fn an_index_comes_over_ssh_and_is_followed() {
    let Some(sshd) = Sshd::start() else { return };
    let mut registry = registry();
    let git = registry.as_git();
    let index = sshd.address(&git.bare);
    let first = machine(&registry, &index).variable("PATH", sshd.path());
    comes(&first);
    assert!(sshd.log().contains("Accepted publickey"), "{}", sshd.log());
    registry.release("acme/minilm", "1.2.0").file("model.safetensors", blob::safetensors(9, 50)).publish();
    git.update(&registry);
    ok(&first, &["update"]);
    assert!(locks(&first, "acme/minilm@1.2.0"));
    ok(&first, &["sync"]);
    assert_eq!(placed(&first)["models/acme/minilm/model.safetensors"], blob::safetensors(9, 50));
}

#[test]
fn ssh_decides_about_hosts_and_keys() {
    let Some(sshd) = Sshd::start() else { return };
    let registry = registry();
    let git = registry.as_git();
    let new = |index: &str| -> Project { machine(&registry, index).variable("PATH", sshd.path()) };
    let index = sshd.address(&git.bare);
    sshd.trust("stranger");
    does_not_come(&new(&index), &["E0162", "127.0.0.1"]);
    sshd.show("stranger");
    does_not_come(&new(&index), &["E0162", "127.0.0.1"]);
    sshd.show("client");
    does_not_come(&new(&sshd.address(&git.bare.with_file_name("none.git"))), &["E0162", "127.0.0.1"]);
    // Nothing but the search path says which program is started.
    let config = "[core]\n\tsshCommand = false\n[ssh]\n\tvariant = simple\n";
    let other = new(&index).variable("GIT_SSH_COMMAND", "false").variable("GIT_SSH", "false");
    std::fs::write(other.home().join(".gitconfig"), config).unwrap();
    comes(&other);
    // Offline, no program is started.
    let connections = || sshd.log().matches("Connection from ").count();
    let before = connections();
    new(&index).mpm(&["sync", "--offline"]).expect(3);
    assert_eq!(connections(), before);
}
