//! Many processes at once, some of them dead, some not to be seen from here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use modelpm::model::Sha256;
use modelpm::sys::Lease;

use crate::flows::fixture::{elsewhere, ok, placed, tree};
use crate::kills::{machine, registry};
use crate::support::blob;
use crate::support::peers;
use crate::support::project::{Project, Ran};
use crate::support::registry::TestRegistry;
use crate::support::server::Server;

/// How often each blob was asked for, by path.
fn asked(server: &Server) -> BTreeMap<String, usize> {
    let mut asked = BTreeMap::new();
    for request in server.requests().into_iter().filter(|request| request.path.contains("blobs/sha256")) {
        *asked.entry(request.path).or_default() += 1;
    }
    asked
}

/// Whatever of the store is neither a blob nor kept on purpose.
fn left(store: &Path) -> Vec<String> {
    let keeps = |path: &str| ["blobs/", "roots/", "facts/", "format"].iter().any(|name| path.starts_with(name));
    tree(&store.join("v1")).into_keys().filter(|path| !keeps(path)).collect()
}

fn crowd(registry: &TestRegistry, projects: usize) -> (usize, usize, Duration) {
    let server = Server::start(registry.folder());
    let first = machine(registry, &format!("sparse+{}", server.url()));
    ok(&first, &["lock"]);
    let store = first.store();
    let mut others: Vec<Project> = (1..projects).map(|_| elsewhere(&first).variable("MPM_STORE", &store)).collect();
    others.iter_mut().for_each(|other| {
        other.write("Model.toml", first.text("Model.toml").unwrap());
    });
    asked(&server);
    let begun = Instant::now();
    let ran: Vec<(String, Ran)> = std::thread::scope(|scope| {
        let first = &first;
        let others = &others;
        let run = |number: usize| {
            scope.spawn(move || {
                if number % 5 == 4 {
                    return ("gc".to_owned(), first.mpm(&["store", "gc"]));
                }
                let project = if number.is_multiple_of(projects) { first } else { &others[number % projects - 1] };
                (
                    format!("sync {number}"),
                    project.command(&["sync", "--link", "copy"]).output().map(|out| Ran::of(&out)).unwrap(),
                )
            })
        };
        let handles: Vec<_> = (0..20).map(run).collect();
        handles.into_iter().map(|handle| handle.join().unwrap()).collect()
    });
    let long = begun.elapsed();
    for (what, ran) in &ran {
        assert_eq!(ran.code, 0, "{what}: {}", ran.stderr);
    }
    let asked = asked(&server);
    assert!(!asked.is_empty() && asked.values().all(|times| *times == 1), "fetched more than once: {asked:?}");
    ok(&first, &["sync"]);
    let whole = placed(&first);
    assert!(!whole.is_empty());
    for other in &others {
        // One for which a collection ran has nothing yet.
        let has = placed(other);
        assert!(has.is_empty() || has == whole);
    }
    ok(&first, &["verify"]);
    let gc = ok(&first, &["store", "gc", "--json"]).json();
    assert_eq!(gc["blobs"].as_u64(), Some(0), "{gc}");
    assert_eq!(left(&store), Vec::<String>::new());
    (ran.len(), asked.len(), long)
}

#[test]
fn twenty_processes_on_one_store_and_one_project_fetch_each_blob_once() {
    let registry = registry();
    for projects in [1, 16] {
        let (processes, blobs, long) = crowd(&registry, projects);
        peers::figure(&format!(
            "crowd: {processes} processes, 4 of them gc, on one store and {projects} projects: {blobs} blobs, each fetched once, \
             {} ms",
            long.as_millis()
        ));
    }
}

#[test]
fn who_waits_says_for_whom_and_gives_up_with_code_6() {
    let registry = registry();
    let index = registry.folder().display().to_string();
    let project = machine(&registry, &index);
    ok(&project, &["lock"]);
    let us = format!("process {} on host", std::process::id());
    let held = |path: &Path, arguments: &[&str], texts: &[&str]| {
        let lease = Lease::take(path, Duration::ZERO, &|_| ()).unwrap();
        let begun = Instant::now();
        project.mpm(arguments).expect(6).says(&["waiting", "error[E0171]", &us, "run the command again"]).says(texts);
        assert!(begun.elapsed() >= Duration::from_secs(1), "it waited");
        drop(lease);
    };
    let own = project.folder().join(".mpm/lease");
    for command in [&["sync", "--wait", "1"][..], &["lock", "--wait", "1"], &["remove", "acme/big", "--wait", "1"]] {
        held(&own, command, &["which works in this project"]);
    }
    let collection = project.store().join("v1/collection.lease");
    held(&collection, &["sync", "--wait", "1"], &["which collects in the store"]);
    held(&collection, &["store", "gc", "--wait", "1"], &["which collects in the store"]);
    // The first part of acme/big 1.1.0.
    let fetching = Sha256::of(&blob::safetensors(60, 200_000)).hex();
    held(
        &project.store().join(format!("v1/partial/{fetching}.lease")),
        &["sync", "--wait", "1"],
        &["is being fetched by"],
    );
    ok(&project, &["sync"]);
}

#[test]
fn short_waits_say_for_whom_as_well() {
    let registry = registry();
    let project = machine(&registry, &registry.folder().display().to_string());
    ok(&project, &["lock"]);
    let trust = project.home().join(".local/state/mpm/trust");
    let root = std::fs::read_dir(&trust).unwrap().next().unwrap().unwrap().path();
    std::thread::scope(|scope| {
        let lease = Lease::take(&root.join("lease"), Duration::ZERO, &|_| ()).unwrap();
        let waits = scope.spawn(|| project.mpm(&["update"]));
        std::thread::sleep(Duration::from_secs(1));
        assert!(!waits.is_finished(), "it waits");
        drop(lease);
        waits.join().unwrap().expect(0).says(&["waiting for process", "which writes what this machine remembers of"]);
    });
}

#[test]
fn what_a_killed_process_left_of_a_copy_goes_a_day_later() {
    let registry = registry();
    let server = Server::start(registry.folder());
    let project = machine(&registry, &format!("sparse+{}", server.url()));
    ok(&project, &["lock"]);
    let cache = project.home().join(".cache/mpm");
    let named = |name: &str| -> Vec<PathBuf> {
        let found = tree(&cache).into_keys().filter(|path| path.ends_with(name)).map(|path| cache.join(path));
        found.collect()
    };
    let folder = named("checkpoint.json")[0].parent().unwrap().to_owned();
    let (old, young) = (folder.join(".mpm-Left01.tmp"), folder.join(".mpm-Left02.tmp"));
    for path in [&old, &young] {
        std::fs::write(path, b"half of a copy").unwrap();
    }
    let before = SystemTime::now() - Duration::from_secs(2 * 86_400);
    std::fs::File::options().write(true).open(&old).unwrap().set_modified(before).unwrap();
    std::fs::remove_file(folder.join("checkpoint.json")).unwrap();
    ok(&project, &["update"]);
    assert!(!old.exists(), "nobody writes it any more");
    assert!(young.exists(), "somebody may be writing it");
}

/// A process that holds a lease until it is ended, perhaps in namespaces of its own.
struct Holder(Child);

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What runs a program in mount and process namespaces of its own.
const APART: &[&str] = &["unshare", "-m", "-p", "-f", "--mount-proc", "--kill-child"];
/// The same where `/proc` stays the one outside.
const STALE: &[&str] = &["unshare", "-m", "-p", "-f", "--kill-child"];
/// A heart that beats five times a second and counts as dead after a second and a half.
const FAST: &str = "200,1500";

fn hold(path: &Path, around: &[&str]) -> Holder {
    let program = std::env::current_exe().unwrap();
    let arguments = ["--exact", "crash::helper_lease", "--test-threads=1"];
    let mut command = match around {
        [] => Command::new(&program),
        [first, rest @ ..] => {
            let mut command = Command::new(first);
            command.args(rest).arg(&program);
            command
        }
    };
    command.args(arguments).env("MPM_TEST_HELPER", path).env("MPM_TEST_HEARTBEAT", FAST);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let child = command.spawn().unwrap();
    let begun = Instant::now();
    while !path.exists() && begun.elapsed() < Duration::from_secs(20) {
        std::thread::yield_now();
    }
    assert!(path.exists(), "the lease is taken");
    Holder(child)
}

fn may_unshare() -> bool {
    let may = Command::new("unshare").args(&APART[1..]).arg("true").status().is_ok_and(|status| status.success());
    if !may {
        peers::skip("the right to make mount and process namespaces");
    }
    may && {
        if !cfg!(feature = "faults") {
            peers::missing("a build with the feature faults, whose leases beat faster");
        }
        cfg!(feature = "faults")
    }
}

/// The number that a lease's file says.
fn number(path: &Path) -> serde_json::Value {
    let text = std::fs::read_to_string(path).unwrap();
    serde_json::from_str(text.lines().next().unwrap()).unwrap()
}

/// `mpm` in namespaces of its own.
fn apart(project: &Project, arguments: &[&str]) -> Ran {
    let mut command = Command::new(APART[0]);
    command.args(&APART[1..]).arg(env!("CARGO_BIN_EXE_mpm")).args(arguments).current_dir(project.folder()).env_clear();
    command.env("HOME", project.home()).env("MPM_LINK", "copy").env("MPM_TEST_HEARTBEAT", FAST).stdin(Stdio::null());
    Ran::of(&command.output().unwrap())
}

#[test]
fn a_holder_that_can_not_be_seen_is_believed_while_its_heart_beats_and_no_longer() {
    if !may_unshare() {
        return;
    }
    let registry = registry();
    let project = machine(&registry, &registry.folder().display().to_string()).variable("MPM_TEST_HEARTBEAT", FAST);
    ok(&project, &["lock"]);
    let lease = project.folder().join(".mpm/lease");
    let holder = hold(&lease, APART);
    // Both are process 1 of their own namespace: neither takes the other for itself, or for dead.
    assert_eq!(number(&lease)["process"], 1);
    apart(&project, &["sync", "--wait", "4"]).expect(6).says(&["process 1 on host"]);
    project.mpm(&["sync", "--wait", "4"]).expect(6).says(&["process 1 on host"]);
    assert!(placed(&project).is_empty());
    drop(holder);
    assert!(lease.exists(), "nobody gave it up");
    let begun = Instant::now();
    let ran = apart(&project, &["sync", "--wait", "30"]).expect(0);
    assert!(begun.elapsed() >= Duration::from_millis(1500), "it watched the heart stand still: {}", ran.stderr);
    ok(&project, &["verify"]);
    assert!(!lease.exists());
}

#[test]
fn a_dead_holder_that_can_be_seen_is_replaced_at_once() {
    let registry = registry();
    let project = machine(&registry, &registry.folder().display().to_string());
    ok(&project, &["lock"]);
    let lease = project.folder().join(".mpm/lease");
    drop(hold(&lease, &[]));
    assert!(lease.exists(), "nobody gave it up");
    let begun = Instant::now();
    ok(&project, &["sync"]);
    assert!(begun.elapsed() < Duration::from_secs(50), "not by its heart");
    ok(&project, &["verify"]);
}

#[test]
fn a_proc_of_another_namespace_says_nothing_about_a_process() {
    if !may_unshare() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (seen, unseen) = (folder.path().join("seen"), folder.path().join("unseen"));
    let _holders = (hold(&seen, APART), hold(&unseen, STALE));
    assert!(number(&seen)["started"].is_u64());
    assert_eq!((&number(&unseen)["process"], &number(&unseen)["started"]), (&1.into(), &serde_json::Value::Null));
}
