//! Runs that are killed, run out of room or meet each other, under readers that go on reading.

use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use super::{Keeper, reader, shown};
use crate::flows::fixture::{folder, ok, tree};
use crate::support::mounts::Mount;
use crate::support::project::Project;
use crate::support::registry::TestRegistry;
use crate::support::server::Server;
use crate::support::{blob, peers};

/// How often a run is killed.
fn kills() -> usize {
    if crate::scale::full() { 50 } else { 8 }
}

/// A registry with some releases of a few MiB.
fn registry() -> TestRegistry {
    let mut registry = TestRegistry::of_late("acme", 3_600);
    registry.namespace("acme");
    grow(&mut registry, 0);
    registry
}

/// One more release, small files and a larger one.
fn grow(registry: &mut TestRegistry, number: u64) {
    let mut release = registry.release("acme/big", &format!("1.{number}.0"));
    for file in 0..4 {
        release = release.file(&format!("part-{file}.safetensors"), blob::safetensors(number * 10 + file, 60_000));
    }
    release.file("config.json", format!("{{\"number\": {number}}}\n")).publish();
}

/// Reads the newest release of a mirror again and again, each time as a machine that knows nothing.
struct Reader {
    over: AtomicBool,
    reads: AtomicU64,
}

impl Reader {
    /// Reads once; what it got must be a release as it was published, and a refusal is one of a copy that shows nothing yet.
    fn read(&self, registry: &TestRegistry, mirror: &Path) {
        let machine = reader(registry, mirror, "[models]\n\"acme/big\" = \"1\"\n");
        let ran = machine.mpm(&["sync"]);
        if ran.code == 3 {
            assert!(
                !mirror.join("checkpoint.json").exists() || ran.stderr.contains("trust/root/1.json"),
                "{}",
                ran.stderr
            );
            return;
        }
        assert_eq!(ran.code, 0, "a mixture:\n{}", ran.stderr);
        let text = machine.text("models/acme/big/config.json").unwrap();
        let number: u64 = text.trim_end().trim_start_matches("{\"number\": ").trim_end_matches('}').parse().unwrap();
        for file in 0..4 {
            let bytes = machine.read(&format!("models/acme/big/part-{file}.safetensors")).unwrap();
            assert!(bytes == blob::safetensors(number * 10 + file, 60_000), "{number}: part {file}");
        }
        self.reads.fetch_add(1, Ordering::SeqCst);
    }
}

/// Ends a run from outside after a while; whether it was still at work.
fn kill_after(keeper: &Keeper, delay: Duration) -> bool {
    let mut command = keeper.project.command(&["mirror", "sync", &keeper.text(), "--all"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("mpm starts");
    let (_sender, clock) = channel::<()>();
    assert_eq!(clock.recv_timeout(delay), Err(RecvTimeoutError::Timeout));
    let _ = child.kill();
    child.wait().expect("ended").code().is_none()
}

#[test]
fn a_run_that_is_killed_at_any_moment_never_shows_a_mixture() {
    let mut registry = registry();
    let server = Server::start(registry.folder());
    let keeper = Keeper::of(&registry, &format!("sparse+{}", server.url()));
    // How long a run takes that brings one release.
    keeper.sync(&["--all"]);
    grow(&mut registry, 1);
    let begin = Instant::now();
    keeper.sync(&["--all"]);
    let long = u64::try_from(begin.elapsed().as_micros()).expect("soon");
    let reader = Reader { over: AtomicBool::new(false), reads: AtomicU64::new(0) };
    let random = blob::random(21, 8 * 40 * kills());
    let (mut killed, mut runs, mut number) = (0, 0, 2);
    // The reader knows the registry's root alone, which does not change.
    let known = registry.root_sha256();
    for word in random.chunks(8) {
        if killed == kills() {
            break;
        }
        if runs % 3 == 0 {
            grow(&mut registry, number);
            number += 1;
        }
        let delay = Duration::from_micros(u64::from_le_bytes(word.try_into().expect("eight bytes")) % long);
        let (shared, mirror, reader) = (&registry, keeper.folder.as_path(), &reader);
        assert_eq!(shared.root_sha256(), known);
        killed += std::thread::scope(|scope| {
            let reading = scope.spawn(move || {
                reader.over.store(false, Ordering::SeqCst);
                reader.read(shared, mirror);
            });
            let ended = usize::from(kill_after(&keeper, delay));
            reading.join().expect("the reader found no mixture");
            ended
        });
        reader.read(shared, mirror);
        runs += 1;
    }
    assert_eq!(killed, kills(), "most runs were faster than their signals");
    let reads = reader.reads.load(Ordering::SeqCst);
    assert!(reads as usize >= runs, "{reads} reads in {runs} runs");
    peers::figure(&format!("mirror sync: {killed} of {runs} runs killed, {reads} reads meanwhile, no mixture"));

    // One clean run, and nothing is left of the others.
    keeper.sync(&["--all"]);
    let whole = keeper.verify();
    assert_eq!((&whole["extra"], &whole["releases"]["partial"]), (&serde_json::json!([]), &0.into()));
    let clean = Keeper::of(&registry, &folder(&registry));
    clean.sync(&["--all"]);
    let (mut found, expected) = (shown(&keeper.folder), shown(&clean.folder));
    found.retain(|path, _| !path.starts_with("tree/") || expected.contains_key(path));
    assert_eq!(found, expected);
    let notes = tree(&keeper.folder.join(".mpm-mirror")).into_keys().filter(|path| !path.contains(".lease"));
    assert_eq!(notes.collect::<Vec<_>>(), ["placed", "registry"]);
}

#[test]
fn a_run_that_is_killed_at_each_step_leaves_the_copy_before_or_the_new_one() {
    if !cfg!(feature = "faults") {
        peers::missing("a build with the feature faults, which ends at named points");
        return;
    }
    let mut registry = registry();
    let before = Keeper::of(&registry, &folder(&registry));
    before.sync(&["--all"]);
    // Another index key, so that root and checkpoint change together.
    registry.rotate_root(0);
    grow(&mut registry, 1);
    let whole = Keeper::of(&registry, &folder(&registry));
    whole.sync(&["--all"]);
    let step = if crate::scale::full() { 1 } else { 3 };
    let (mut killed, mut between) = (0, 0);
    for passage in (1..60).step_by(step) {
        let keeper = Keeper::of(&registry, &folder(&registry));
        TestCopy(&before.folder).to(&keeper.folder);
        let mut command = keeper.project.command(&["mirror", "sync", &keeper.text(), "--all"]);
        let status = command.env("MPM_FAULT", format!("many-rename@{passage}:kill")).output().unwrap().status;
        if status.success() {
            break;
        }
        assert_eq!(status.code(), None, "many-rename@{passage}");
        killed += 1;
        let machine = reader(&registry, &keeper.folder, "[models]\n\"acme/big\" = \"1\"\n");
        let ran = machine.mpm(&["sync"]);
        // A root and the checkpoint that it names are two files: between the two names, and only there, a reader is told that
        // they do not fit. Nothing is placed, and the next run mends it.
        if ran.code == 4 {
            between += 1;
            assert!(ran.stderr.contains("checkpoint.json"), "{passage}: {}", ran.stderr);
        } else {
            assert_eq!(ran.code, 0, "{passage}: {}", ran.stderr);
        }
        keeper.sync(&["--all"]);
        let (mut found, expected) = (shown(&keeper.folder), shown(&whole.folder));
        // Nodes and the signature of the key before stay until a prune.
        let spent = |path: &str| path.starts_with("tree/") || path.starts_with("checkpoint.json.");
        found.retain(|path, _| !spent(path) || expected.contains_key(path));
        assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{passage}");
        assert!(found == expected, "{passage}");
        ok(&machine, &["sync"]);
    }
    assert!(killed >= 5 && between <= 4, "{killed} {between}");
}

/// A copy of a folder.
struct TestCopy<'a>(&'a Path);

impl TestCopy<'_> {
    fn to(&self, to: &Path) {
        for (path, bytes) in tree(self.0) {
            let place = to.join(path);
            std::fs::create_dir_all(place.parent().unwrap()).unwrap();
            std::fs::write(place, bytes).unwrap();
        }
    }
}

#[test]
fn a_head_of_which_only_the_signature_is_new_still_counts() {
    let mut registry = registry();
    let keeper = Keeper::of(&registry, &folder(&registry));
    keeper.sync(&["--all"]);
    let old = std::fs::read(keeper.folder.join("checkpoint.json")).unwrap();
    grow(&mut registry, 1);
    keeper.sync(&["--all"]);
    // As a run leaves it that was killed between the two names.
    std::fs::write(keeper.folder.join("checkpoint.json"), old).unwrap();
    let server = Server::start(&keeper.folder);
    for index in [keeper.text(), format!("sparse+{}", server.url())] {
        let machine = crate::flows::fixture::project_at(&registry, &index, "[models]\n\"acme/big\" = \"1\"\n");
        ok(&machine, &["sync"]);
        assert_eq!(machine.text("models/acme/big/config.json").unwrap(), "{\"number\": 0}\n");
    }
}

#[test]
fn a_mirror_without_room_says_so_shows_what_it_showed_and_goes_on() {
    let mut registry = registry();
    let Some(mount) = Mount::tmpfs("size=20m") else { return };
    let keeper = Keeper::of(&registry, &folder(&registry));
    let keeper = Keeper { folder: mount.path().join("mirror"), ..keeper };
    keeper.sync(&["--all"]);
    let before = shown(&keeper.folder);
    for number in 1..6 {
        grow(&mut registry, number);
    }
    let arguments = ["mirror", "sync", &keeper.text(), "--all"];
    keeper.project.mpm(&arguments).expect(1).says(&["E1004", "are to come"]);
    assert_eq!(shown(&keeper.folder), before, "told before anything was fetched");
    // Too few files: found out on the way.
    mount.change("size=64m,nr_inodes=90");
    let ran = keeper.project.mpm(&arguments).expect(1).says(&["E1004"]);
    assert!(ran.stderr.contains("the same command goes on"), "{}", ran.stderr);
    let machine = reader(&registry, &keeper.folder, "[models]\n\"acme/big\" = \"1\"\n");
    ok(&machine, &["sync"]);
    assert_eq!(machine.text("models/acme/big/config.json").unwrap(), "{\"number\": 0}\n");
    mount.change("size=64m,nr_inodes=100000");
    let made = keeper.sync(&["--all"]);
    assert_eq!(made["releases"], 6);
    assert_eq!(keeper.verify()["extra"], serde_json::json!([]));
}

#[test]
fn two_runs_on_one_folder_come_one_after_the_other() {
    let registry = registry();
    let server = Server::start(registry.folder());
    let keeper = Keeper::of(&registry, &format!("sparse+{}", server.url()));
    let other = Project::new().manifest(&keeper.project.text("Model.toml").unwrap());
    let text = keeper.text();
    let run = |project: &Project, wait: &str| {
        let mut command = project.command(&["mirror", "sync", &text, "--all", "--wait", wait]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("mpm starts")
    };
    let (first, second) = (run(&keeper.project, "60"), run(&other, "60"));
    for child in [first, second] {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    keeper.verify();
    let blobs = server.requests().into_iter().filter(|request| request.path.starts_with("blobs/"));
    assert_eq!(blobs.count(), 5, "each blob came once");

    // A lease that is held: said who holds it, and given up with the code for that.
    let lease = modelpm::sys::Lease::take(&keeper.folder.join(".mpm-mirror/lease"), Duration::ZERO, &|_| ()).unwrap();
    let ran = Project::mpm(&other, &["mirror", "sync", &text, "--all", "--wait", "0"]);
    ran.expect(6).says(&["E0171"]);
    drop(lease);
    ok(&other, &["mirror", "sync", &text, "--all"]);
}
