//! Each key stolen in turn: what the thief can do, what not, and that its owners recover, with machines that met the registry
//! before. The rows of docs/trust.md, "What each stolen key can do".

use std::path::Path;

use modelpm::catalog::PackageLog;
use modelpm::keys::SecretKey;
use modelpm::model::{Namespace, PackageName};
use modelpm::registry::{self, EntryChange, Issue};
use modelpm::statement::Statement;
use modelpm::trust::{NamespaceEntry, Role, RoleKeys};

use crate::flows::fixture::{elsewhere, lock, locks, ok, paths, placed};
use crate::support::blob;
use crate::support::evil::{Evil, lines};
use crate::support::keys::key;
use crate::support::peers;
use crate::support::project::{Project, Ran};
use crate::support::registry::{BASE_TIME, TestRegistry};

const DAY: u64 = 86_400;
const REST: &str = "[models]\n\"acme/tiny\" = \"1\"\n";

/// The registry as its owners keep it, what a thief serves of it, and a machine that met it before.
struct Drill {
    evil: Evil,
    machine: Project,
    now: u64,
}

fn acme() -> Namespace {
    "acme".parse().unwrap()
}

fn tiny() -> PackageName {
    "acme/tiny".parse().unwrap()
}

fn role(keys: &[&SecretKey], threshold: u64) -> RoleKeys {
    RoleKeys { keys: keys.iter().map(|key| key.public().clone()).collect(), threshold }
}

impl Drill {
    /// None where the binary's clock can't be set.
    fn new() -> Option<Self> {
        if !cfg!(feature = "faults") {
            peers::missing("a build with the feature faults, whose clock can be set");
            return None;
        }
        let mut registry = TestRegistry::new("acme");
        registry.namespace("acme").namespace("other");
        publish(&mut registry, "acme/tiny", "1.0.0");
        publish(&mut registry, "other/tool", "1.0.0");
        let mut evil = Evil::new(registry);
        let moment = evil.keep();
        evil.serve(moment);
        let now = BASE_TIME + 3_600;
        let machine = Project::new();
        let mut drill = Self { evil, machine, now };
        drill.machine = drill.project();
        ok(&drill.machine, &["sync"]);
        Some(drill)
    }

    fn project(&self) -> Project {
        let registry = &self.evil.registry;
        Project::new()
            .manifest(&format!(
                "[project]\nname = \"demo\"\n\n[registries.acme]\nindex = \"sparse+{}\"\nroot = \"{}\"\nnamespaces = [\"acme\", \"other\", \"third\"]\n\n{REST}",
                self.evil.server.url(),
                registry.root_sha256().prefixed()
            ))
            .variable("MPM_TEST_NOW", self.now.to_string())
            .variable("MPM_TEST_LAG", "0")
            .variable("MPM_TEST_STALL", "200")
    }

    /// Serves what the owners have now.
    fn serve(&mut self) {
        let moment = self.evil.keep();
        self.evil.serve(moment);
    }

    /// What is locked is never changed by a thief: the machine, and one that has the lock alone, keep it.
    #[track_caller]
    fn keeps_what_is_locked(&self, before: &str) {
        assert_eq!(lock(&self.machine), before);
        ok(&self.machine, &["sync", "--locked"]);
        let other = self.elsewhere();
        let ran = other.mpm(&["sync", "--locked"]);
        assert!(ran.code != 0 || placed(&other) == placed(&self.machine), "{}", ran.stderr);
        assert!(ran.code == 0 || paths(&other).is_empty(), "{}", ran.stderr);
        assert_eq!(lock(&other), before);
    }

    fn elsewhere(&self) -> Project {
        elsewhere(&self.machine)
            .variable("MPM_TEST_NOW", self.now.to_string())
            .variable("MPM_TEST_LAG", "0")
            .variable("MPM_TEST_STALL", "200")
    }

    /// Later, by the machines' clock.
    fn wait(&mut self, days: u64) {
        self.now += days * DAY;
        self.machine = std::mem::take(&mut self.machine).variable("MPM_TEST_NOW", self.now.to_string());
    }

    #[track_caller]
    fn refused(&self, arguments: &[&str], says: &[&str]) -> Ran {
        let before = lock(&self.machine);
        let ran = self.machine.mpm(arguments).expect(4).says(says);
        assert_eq!(lock(&self.machine), before, "{}", ran.stderr);
        ran
    }
}

fn publish(registry: &mut TestRegistry, name: &str, version: &str) {
    let bytes = blob::safetensors(version.bytes().map(u64::from).sum(), 500);
    registry.release(name, version).file("model.safetensors", bytes).publish();
}

/// With a registrar's keys: another entry of a namespace, and the files that lead to it, by the library that makes real ones.
fn grant(registry: &TestRegistry, namespace: &str, keys: &[&SecretKey], registrars: &[&SecretKey]) {
    let change = EntryChange {
        namespace: namespace.parse().unwrap(),
        keys: keys.iter().map(|key| key.public().clone()).collect(),
        threshold: 1,
        retire: Vec::new(),
        disown: Vec::new(),
    };
    let issue = Issue { now: registry.now(), life: 365 * DAY, signers: registrars };
    registry::change_namespace(&registry.handle(), &change, &[], issue).unwrap();
    registry.checkpoint_now();
}

#[test]
fn a_stolen_index_key_hides_and_steers_among_genuine_releases() {
    let Some(mut drill) = Drill::new() else { return };
    let honest = lock(&drill.machine);
    publish(&mut drill.evil.registry, "acme/tiny", "1.1.0");
    drill.serve();
    // It can hide what nobody has met: the new release is not listed.
    drill.evil.forge_logs(1, |logs| {
        let log = logs.get_mut(&tiny()).unwrap();
        *log = lines(log)[..1].concat();
    });
    let stranger = drill.project();
    ok(&stranger, &["sync"]);
    assert!(locks(&stranger, "acme/tiny@1.0.0"), "steered, to a genuine release");
    ok(&drill.machine, &["update"]);
    drill.keeps_what_is_locked(&honest);
    // It can't authorise content: a release of its own is refused, whichever key it signs with.
    let thief = drill.evil.registry.index.clone();
    let genuine = format!("releases/{}.json", drill.evil.registry.statement_sha256("acme/tiny", "1.1.0"));
    let mut statement = Statement::parse(&drill.evil.read(&genuine)).unwrap();
    statement.version = "1.5.0".parse().unwrap();
    let bytes = statement.render();
    let pin = modelpm::model::Pin::of(&bytes);
    let path = format!("releases/{}.json", pin.sha256);
    drill.evil.put(&path, &bytes);
    drill.evil.sign(&path, &thief);
    let admitted = modelpm::catalog::Admitted {
        checkpoint: modelpm::model::CheckpointNumber { epoch: 1, number: 9 },
        time: drill.evil.registry.now(),
    };
    let event = PackageLog::render_release(&modelpm::catalog::ReleaseEvent::of(&statement, pin, admitted));
    drill.evil.forge_logs(1, |logs| logs.get_mut(&tiny()).unwrap().extend(event));
    drill.refused(&["update"], &["acme/tiny 1.5.0", "0 of the 1 publisher"]);
    // Recovery: a new root with a new index key and epoch. The thief's key is worth nothing then.
    drill.evil.registry.rotate_root(1);
    drill.serve();
    ok(&drill.machine, &["update"]).says(&["began epoch 2"]);
    assert!(locks(&drill.machine, "acme/tiny@1.1.0"));
    drill.evil.sign("checkpoint.json", &thief);
    let own = modelpm::keys::signature_path("checkpoint.json", drill.evil.registry.index.public());
    drill.evil.put(&own, &drill.evil.read(&modelpm::keys::signature_path("checkpoint.json", thief.public())));
    drill.refused(&["update"], &["0 of the 1 index"]);
}

#[test]
fn a_stolen_index_key_freezes_until_the_checkpoint_or_the_registrar_file_expires() {
    let Some(mut drill) = Drill::new() else { return };
    // Frozen: what is served stays as it is, and the owners' new release is not seen.
    publish(&mut drill.evil.registry, "acme/tiny", "1.1.0");
    drill.wait(80);
    ok(&drill.machine, &["update"]);
    assert!(!locks(&drill.machine, "acme/tiny@1.1.0"));
    drill.wait(20);
    drill.refused(&["update"], &["the checkpoint of registry acme expired 10 days ago"]);
    // With the key it goes on making new checkpoints over the old tree, as long as the registrar file lives.
    let (issued, later) = (BASE_TIME + 100 * DAY, BASE_TIME + 380 * DAY);
    let forge = |drill: &Drill, issued: u64| {
        let at = modelpm::model::Timestamp::from_seconds(issued).unwrap();
        drill.evil.forge(|checkpoint| {
            checkpoint.at.number += 1;
            (checkpoint.issued, checkpoint.expires) = (at, Some(at.plus(90 * DAY)));
        });
    };
    forge(&drill, issued);
    ok(&drill.machine, &["update"]);
    assert!(!locks(&drill.machine, "acme/tiny@1.1.0"));
    // Not longer than the root lets a checkpoint live, whoever signs it.
    drill.evil.forge(|checkpoint| {
        checkpoint.at.number += 1;
        checkpoint.expires = Some(checkpoint.issued.plus(91 * DAY));
    });
    drill.refused(&["update"], &["its root allows"]);
    drill.wait(280);
    forge(&drill, later);
    drill.refused(&["update"], &["the registrar file of registry acme expired"]);
    ok(&drill.machine, &["sync", "--locked"]);
    // Recovery, as above.
    drill.evil.registry.rotate_root(1);
    drill.evil.registry.checkpoint(379 * DAY);
    let main = drill.evil.registry.main.clone();
    registry::renew(&drill.evil.registry.handle(), &main, drill.evil.registry.now()).unwrap();
    drill.evil.registry.checkpoint_now();
    drill.serve();
    ok(&drill.machine, &["update"]);
    assert!(locks(&drill.machine, "acme/tiny@1.1.0"));
}

#[test]
fn a_retired_key_and_the_index_key_together_add_nothing_to_what_was_admitted() {
    let Some(mut drill) = Drill::new() else { return };
    let honest = lock(&drill.machine);
    let stolen = drill.evil.registry.publisher("acme").clone();
    drill.evil.registry.handover("acme");
    publish(&mut drill.evil.registry, "acme/tiny", "1.1.0");
    drill.serve();
    ok(&drill.machine, &["update"]);
    let now = lock(&drill.machine);
    assert_ne!(now, honest);
    // A statement of the retired key, put into the log: at its end, or before the line that the prefix ends with.
    let registry = &drill.evil.registry;
    let genuine = format!("releases/{}.json", registry.statement_sha256("acme/tiny", "1.0.0"));
    let mut statement = Statement::parse(&drill.evil.read(&genuine)).unwrap();
    statement.version = "1.0.5".parse().unwrap();
    let bytes = statement.render();
    let pin = modelpm::model::Pin::of(&bytes);
    let path = format!("releases/{}.json", pin.sha256);
    let admitted = modelpm::catalog::Admitted {
        checkpoint: modelpm::model::CheckpointNumber { epoch: 1, number: 2 },
        time: registry.now(),
    };
    let event = PackageLog::render_release(&modelpm::catalog::ReleaseEvent::of(&statement, pin, admitted));
    for first in [false, true] {
        drill.serve();
        drill.evil.put(&path, &bytes);
        drill.evil.sign(&path, &stolen);
        drill.evil.forge_logs(1, |logs| {
            let log = logs.get_mut(&tiny()).unwrap();
            *log = if first { [&event[..], &log[..]].concat() } else { [&log[..], &event[..]].concat() };
        });
        let stranger = drill.project();
        stranger.write("Model.toml", stranger.text("Model.toml").unwrap().replace("\"1\"", "\"=1.0.5\""));
        stranger.mpm(&["sync"]).expect(4).says(&["acme/tiny 1.0.5", "0 of the 1 publisher"]);
        assert!(paths(&stranger).is_empty());
        if first {
            drill.refused(&["update"], &["was rewritten"]);
        }
        drill.keeps_what_is_locked(&now);
    }
    // Recovery is that of the index key.
    drill.evil.registry.rotate_root(1);
    drill.serve();
    ok(&drill.machine, &["update"]);
    ok(&drill.project(), &["sync"]);
}

#[test]
fn a_stolen_publisher_key_publishes_in_its_namespace_and_is_retired() {
    let Some(mut drill) = Drill::new() else { return };
    let honest = lock(&drill.machine);
    let stolen = drill.evil.registry.publisher("acme").clone();
    // It can publish in that namespace.
    let harmful = blob::safetensors(666, 500);
    drill
        .evil
        .registry
        .release("acme/tiny", "1.9.0")
        .file("model.safetensors", &harmful)
        .signed_by(&[&stolen])
        .publish();
    drill.serve();
    drill.keeps_what_is_locked(&honest);
    let victim = drill.project();
    ok(&victim, &["sync"]);
    assert!(locks(&victim, "acme/tiny@1.9.0"));
    // It can't publish for others, nor change what stands; and what it did stands in a log for everybody.
    for (name, version) in [("other/tool", "2.0.0"), ("acme/tiny", "1.0.0")] {
        drill.evil.registry.release(name, version).file("a.txt", "x").signed_by(&[&stolen]).submit();
    }
    let outcome = drill.evil.registry.checkpoint_now();
    assert_eq!((outcome.releases.len(), outcome.refused.len()), (0, 2), "{outcome:?}");
    let log = std::fs::read_to_string(drill.evil.registry.folder().join("packages/acme/tiny.jsonl")).unwrap();
    assert!(log.contains("1.9.0"), "not unnoticed");
    // Recovery: the registrar retires it from a prefix on (here: from before its release), and revokes the release.
    let next = key();
    let old = drill.evil.at(0, "packages/acme/tiny.jsonl").unwrap().clone();
    drill.evil.registry.revoke_release("acme/tiny", "1.9.0", "the key was stolen");
    let registry = &mut drill.evil.registry;
    registry.change("acme", vec![&next], 1, &[&stolen], &[]);
    registry.publishers.insert(acme(), next.clone());
    let entry = registry.state().entry(&acme()).unwrap().clone();
    let prefix = &entry.retired[0].prefixes[0];
    assert!(prefix.size >= old.len() as u64, "what was admitted before still counts");
    registry.release("acme/tiny", "2.0.0").file("a.txt", "x").signed_by(&[&stolen]).submit();
    assert_eq!(registry.checkpoint_now().refused.len(), 3, "nothing new counts");
    publish(registry, "acme/tiny", "1.2.0");
    registry.yank("acme/tiny", "1.9.0", "not by us");
    drill.serve();
    let fresh = drill.project();
    ok(&fresh, &["sync"]);
    assert!(locks(&fresh, "acme/tiny@1.2.0"));
    let victim = elsewhere(&victim).variable("MPM_TEST_NOW", drill.now.to_string()).variable("MPM_TEST_LAG", "0");
    victim.mpm(&["sync", "--locked"]).expect(4).says(&["the key was stolen"]);
    // The old release of the same key is installed as before.
    let keeper = drill.elsewhere();
    ok(&keeper, &["sync", "--locked"]);
    assert_eq!(placed(&keeper), placed(&drill.machine));
}

#[test]
fn a_stolen_registrar_threshold_gives_itself_namespaces_and_is_asked_about() {
    let Some(mut drill) = Drill::new() else { return };
    let honest = lock(&drill.machine);
    let (registrar, thief) = (drill.evil.registry.main.clone(), key());
    // It gives the namespace to itself, and one that nobody had.
    grant(&drill.evil.registry, "acme", &[&thief], &[&registrar]);
    grant(&drill.evil.registry, "third", &[&thief], &[&registrar]);
    for (name, version) in [("acme/tiny", "1.9.0"), ("third/thing", "1.0.0")] {
        let harmful = blob::safetensors(666, 500);
        drill.evil.registry.release(name, version).file("model.safetensors", harmful).signed_by(&[&thief]).publish();
    }
    drill.serve();
    // For new resolutions: a stranger takes it.
    let stranger = drill.project();
    ok(&stranger, &["sync"]);
    assert!(locks(&stranger, "acme/tiny@1.9.0"));
    // Whoever met the namespace is asked, and where nobody answers nothing changes.
    let fingerprint = thief.public().fingerprint();
    drill.refused(&["update"], &["acme/tiny", &fingerprint.short(), "--accept-key"]);
    let other = drill.elsewhere();
    other.mpm(&["update"]).expect(4).says(&["--accept-key"]);
    // What is locked does not change: it installs where it is stored, and is refused where nobody counts for it any more.
    drill.keeps_what_is_locked(&honest);
    // Recovery: the root replaces the registrar's key; its new registrar gives the namespace back.
    let next = key();
    let mut root = drill.evil.registry.newest_root();
    root.number += 1;
    root.roles.insert(Role::Registrar, role(&[&next], 1));
    registry::write_root(&drill.evil.registry.handle(), &root, &[&drill.evil.registry.recovery]).unwrap();
    let owner = drill.evil.registry.publisher("acme").clone();
    grant(&drill.evil.registry, "acme", &[&owner], &[&next]);
    drill.serve();
    // The thief's release stays in the log and counts for nothing; yanked, it is in nobody's way.
    let fresh = drill.project();
    fresh.mpm(&["sync"]).expect(4).says(&["acme/tiny 1.9.0"]);
    drill.evil.registry.yank("acme/tiny", "1.9.0", "not by us");
    drill.serve();
    ok(&drill.machine, &["update"]);
    ok(&fresh, &["sync"]);
    assert!(locks(&fresh, "acme/tiny@1.0.0"));
    // And its key makes no registrar file any more.
    let refused = registry::reissue(
        &drill.evil.registry.handle(),
        Issue { now: drill.evil.registry.now(), life: DAY, signers: &[&registrar] },
    );
    assert_eq!(modelpm::diagnose::Diagnose::code(&refused.unwrap_err()).0, "E0827");
}

#[test]
fn fewer_than_the_root_threshold_can_do_nothing() {
    let Some(mut drill) = Drill::new() else { return };
    // The owners move to two of three.
    let [one, two, three] = [key(), key(), key()];
    let mut root = drill.evil.registry.newest_root();
    root.number += 1;
    root.roles.insert(Role::Root, role(&[&one, &two, &three], 2));
    let old = drill.evil.registry.main.clone();
    registry::write_root(&drill.evil.registry.handle(), &root, &[&old, &one, &two]).unwrap();
    drill.evil.registry.checkpoint_now();
    drill.serve();
    ok(&drill.machine, &["update"]);
    // One of them is stolen.
    let thief = key();
    for change in [
        |root: &mut modelpm::trust::TrustRoot, thief: &SecretKey| {
            root.roles.insert(Role::Root, role(&[thief], 1));
        },
        |root: &mut modelpm::trust::TrustRoot, thief: &SecretKey| {
            root.roles.insert(Role::Index, role(&[thief], 1));
        },
        |root: &mut modelpm::trust::TrustRoot, _: &SecretKey| root.epoch += 1,
    ] {
        let mut next = root.clone();
        next.number += 1;
        change(&mut next, &thief);
        let refused = registry::write_root(&drill.evil.registry.handle(), &next, &[&one, &thief]);
        assert_eq!(modelpm::diagnose::Diagnose::code(&refused.unwrap_err()).0, "E0827");
        // Written and signed by hand.
        drill.serve();
        drill.evil.put("trust/root/3.json", &next.render());
        for signer in [&one, &thief] {
            drill.evil.sign("trust/root/3.json", signer);
        }
        drill.refused(&["update"], &["1 of the 2 root"]);
    }
    // Recovery: the other two rotate it out.
    let fresh = key();
    let mut next = root.clone();
    next.number += 1;
    next.roles.insert(Role::Root, role(&[&fresh, &two, &three], 2));
    registry::write_root(&drill.evil.registry.handle(), &next, &[&two, &three, &fresh]).unwrap();
    drill.evil.registry.checkpoint_now();
    drill.serve();
    ok(&drill.machine, &["update"]);
}

#[test]
fn a_stolen_root_threshold_is_answered_by_a_new_root_out_of_band() {
    let Some(mut drill) = Drill::new() else { return };
    let honest = lock(&drill.machine);
    // Everything new: the thief names all keys, gives itself a namespace and publishes.
    let (stolen, thief) = (drill.evil.registry.main.clone(), key());
    let mut root = drill.evil.registry.newest_root();
    root.number += 1;
    for role_of in [Role::Root, Role::Registrar, Role::Index] {
        root.roles.insert(role_of, role(&[&thief], 1));
    }
    registry::write_root(&drill.evil.registry.handle(), &root, &[&stolen, &thief]).unwrap();
    let index = std::mem::replace(&mut drill.evil.registry.index, thief.clone());
    grant(&drill.evil.registry, "acme", &[&thief], &[&thief]);
    drill.evil.registry.release("acme/tiny", "1.9.0").file("model.safetensors", b"x").signed_by(&[&thief]).publish();
    drill.serve();
    let stranger = drill.project();
    ok(&stranger, &["lock"]);
    assert!(locks(&stranger, "acme/tiny@1.9.0"));
    // Who met the namespace is asked all the same, and existing locks stay.
    drill.refused(&["update"], &["acme/tiny", "--accept-key"]);
    drill.keeps_what_is_locked(&honest);
    drop(index);
    // Out of band: another registry, whose fingerprint people write into Model.toml and accept by hand.
    let mut anew = TestRegistry::new("acme");
    anew.namespace("acme").namespace("other");
    publish(&mut anew, "acme/tiny", "1.0.0");
    let text = drill.machine.text("Model.toml").unwrap();
    let (old, new) = (drill.evil.registry.root_sha256().prefixed(), anew.root_sha256().prefixed());
    let index = format!("sparse+{}", drill.evil.server.url());
    let at = |folder: &Path| text.replace(&old, &new).replace(&index, folder.to_str().unwrap());
    drill.machine.write("Model.toml", at(anew.folder()));
    drill.machine.mpm(&["lock"]).expect(4).says(&["--accept-root"]);
    ok(&drill.machine, &["lock", "--accept-root", &new]);
    assert!(locks(&drill.machine, "acme/tiny@1.0.0") && lock(&drill.machine).contains(&new));
}

#[test]
fn an_entry_that_the_registrar_slips_in_hands_nothing_over() {
    let Some(mut drill) = Drill::new() else { return };
    let honest = lock(&drill.machine);
    // The thief adds its key beside the owner's, then lets that key sign the handover to itself alone.
    let (registrar, owner, thief) =
        (drill.evil.registry.main.clone(), drill.evil.registry.publisher("acme").clone(), key());
    grant(&drill.evil.registry, "acme", &[&owner, &thief], &[&registrar]);
    let change = EntryChange {
        namespace: acme(),
        keys: vec![thief.public().clone()],
        threshold: 1,
        retire: vec![owner.public().clone()],
        disown: Vec::new(),
    };
    let signers = [&registrar];
    let issue = Issue { now: drill.evil.registry.now(), life: 365 * DAY, signers: &signers };
    registry::change_namespace(&drill.evil.registry.handle(), &change, &[&thief], issue).unwrap();
    drill.evil.registry.checkpoint_now();
    let entry: NamespaceEntry = drill.evil.registry.state().entry(&acme()).unwrap().clone();
    assert_eq!(entry.number, 3);
    drill.evil.registry.release("acme/tiny", "1.9.0").file("model.safetensors", b"x").signed_by(&[&thief]).publish();
    drill.serve();
    drill.refused(&["update"], &["--accept-key"]);
    drill.keeps_what_is_locked(&honest);
}
