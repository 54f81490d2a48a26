//! `mpm` killed at any moment: what stands is whole, the next run goes on, and nothing is left that grows.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use modelpm::sys::fault::POINTS;

use crate::flows::fixture::{lock, manifest, ok, placed, tree};
use crate::support::project::{Project, Ran};
use crate::support::registry::TestRegistry;
use crate::support::server::Server;
use crate::support::{blob, peers};

const REST: &str = "[models]\n\"acme/big\" = \"1\"\n\n[datasets]\n\"acme/small\" = \"1\"\n";

/// Kills of each round; `tests/run --full` has eight times as many.
fn kills() -> usize {
    if crate::scale::full() { 200 } else { 25 }
}

/// What was about to be placed has a name that nobody would use, and goes with the next run.
const STAGED: &str = "/.mpm-staged-";

/// A model of a few MiB and a dataset of some tens of files.
pub(crate) fn registry() -> TestRegistry {
    let mut registry = TestRegistry::of_late("acme", 3_600);
    registry.namespace("acme");
    for version in ["1.0.0", "1.1.0"] {
        let seed = version.len() as u64 + u64::from(version == "1.1.0");
        let mut release = registry.release("acme/big", version);
        for number in 0..4 {
            let name = format!("part-{number}.safetensors");
            release = release.file(&name, blob::safetensors(seed * 10 + number, 200_000));
        }
        release.publish();
    }
    let mut release = registry.release("acme/small", "1.0.0").dataset();
    for number in 0..40 {
        release = release.file(&format!("rows/{number:02}.txt"), format!("row {number}\n"));
    }
    release.publish();
    registry
}

pub(crate) fn machine(registry: &TestRegistry, index: &str) -> Project {
    Project::new().manifest(&manifest(registry, index, REST).replace(", \"uci\"", "")).variable("MPM_LINK", "copy")
}

/// Ends a run from outside after a while; `None` where it was done before.
fn kill_after(project: &Project, delay: Duration) -> Option<Ran> {
    let mut command = project.command(&["sync"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("mpm starts");
    // A wait that nothing can cut short: the sender lives as long as the receiver.
    let (_sender, clock) = channel::<()>();
    assert_eq!(clock.recv_timeout(delay), Err(RecvTimeoutError::Timeout));
    let _ = child.kill();
    let status = child.wait().expect("ended");
    status.code().map(|code| Ran { code, stdout: String::new(), stderr: String::new() })
}

/// What stands in the project is what should stand there at the end, or not there yet.
pub(crate) fn nothing_half_placed(project: &Project, whole: &BTreeMap<String, Vec<u8>>, when: &str) {
    for (path, bytes) in placed(project).into_iter().filter(|(path, _)| !path.contains(STAGED)) {
        let Some(expected) = whole.get(&path) else { panic!("{when}: {path} is left over") };
        assert!(bytes == *expected, "{when}: {path} has {} bytes of {}", bytes.len(), expected.len());
    }
    if let Some(text) = project.text("Model.lock") {
        assert!(text.ends_with("\n") && text.contains("acme/small"), "{when}: half a lock\n{text}");
    }
}

/// Files of the store that are neither blobs nor the marks of who uses them.
fn leftovers(project: &Project) -> Vec<String> {
    let of = |folder: &'static str| {
        let files = tree(&project.store().join("v1").join(folder));
        files.into_keys().map(move |path| format!("{folder}/{path}"))
    };
    of("partial").chain(of("active")).collect()
}

/// A run that is left alone: all is there, all is right, nothing remains.
pub(crate) fn ends_well(project: &Project, clean: &Project, when: &str) {
    let ran = project.mpm(&["sync"]);
    assert_eq!(ran.code, 0, "{when}\n{}", ran.stderr);
    assert!(placed(project) == placed(clean), "{when}: other files than on a machine that was left alone");
    assert_eq!(lock(project), lock(clean), "{when}");
    ok(project, &["verify"]);
    let names = |project: &Project| -> Vec<String> { tree(&project.store().join("v1/blobs")).into_keys().collect() };
    assert_eq!(names(project), names(clean), "{when}: the store");
    // A run with nothing to do takes no lease, and so leaves a dead one's where it is.
    ok(project, &["lock"]);
    let own = |project: &Project| -> Vec<String> { tree(&project.folder().join(".mpm")).into_keys().collect() };
    assert_eq!(own(project), own(clean), "{when}: .mpm");
    // What dead processes left goes with the next one that brings something; its mark and lease may stay until then.
    let left = leftovers(project);
    let passing = |path: &String| path.starts_with("active/") || path.contains(".lease");
    assert!(left.len() <= 3 && left.iter().all(passing), "{when}: {left:?}");
}

fn killed_again_and_again(registry: &TestRegistry, index: &str, seed: u64) {
    let clean = machine(registry, index);
    let begin = Instant::now();
    ok(&clean, &["sync"]);
    let mut long = u64::try_from(begin.elapsed().as_micros()).expect("soon");
    let whole = placed(&clean);
    let mut random = blob::random(seed, 8 * 10 * kills());
    let (mut killed, mut runs, mut most) = (0, 0, 0);
    let mut project = machine(registry, index);
    while killed < kills() && random.len() >= 8 {
        let word = u64::from_le_bytes(random.split_off(random.len() - 8).try_into().expect("eight bytes"));
        let delay = Duration::from_micros(word % long);
        runs += 1;
        match kill_after(&project, delay) {
            None => killed += 1,
            // Done before the signal: from the beginning, so that the next one has something to break.
            Some(ran) => {
                assert_eq!(ran.code, 0, "after {delay:?}");
                // The first run was slower than the machine is now.
                long = (long - long / 8).max(2_000);
                ends_well(&project, &clean, "done in time");
                project = machine(registry, index);
            }
        }
        nothing_half_placed(&project, &whole, &format!("killed after {delay:?}"));
        most = most.max(leftovers(&project).len());
    }
    peers::figure(&format!("kills at random: {killed} of {runs} runs of sync, at most {most} files left over"));
    assert_eq!(killed, kills(), "most runs were faster than their signals");
    // Each blob in flight has a part, a journal and a lease; more of them would be growth.
    let blobs = tree(&clean.store().join("v1/blobs")).len();
    assert!(most <= 3 * blobs + 3, "{most} files are left over after kills, of {blobs} blobs");
    ends_well(&project, &clean, "at the end");
}

#[test]
fn a_sync_from_a_folder_survives_being_killed_at_any_moment() {
    let registry = registry();
    killed_again_and_again(&registry, &registry.folder().display().to_string(), 11);
}

#[test]
fn a_sync_from_a_server_survives_being_killed_at_any_moment() {
    let registry = registry();
    let server = Server::start(registry.folder());
    killed_again_and_again(&registry, &format!("sparse+{}", server.url()), 12);
}

/// What is done when a process ends at a point. A point that is new is expected in a `sync`; one that is passed elsewhere is
/// named here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Course {
    Sync,
    /// A sync that takes away what no longer belongs.
    Remove,
    Collect,
    /// Making a bundle: it/bundle/taking.rs.
    Bundle,
    /// Making a mirror: it/mirror/crash.rs.
    Mirror,
    Publish,
}

fn course(point: &str) -> Course {
    match point {
        "gc-remove" => Course::Collect,
        "bundle-rename" => Course::Bundle,
        "many-rename" => Course::Mirror,
        "place-remove" => Course::Remove,
        "publish-rename" => Course::Publish,
        _ => Course::Sync,
    }
}

/// Passages of a point at which a process ends.
fn passages() -> std::ops::RangeInclusive<u32> {
    if crate::scale::full() { 1..=12 } else { 1..=3 }
}

fn names() -> impl Iterator<Item = &'static str> {
    POINTS.iter().map(|(name, _)| *name)
}

fn faults() -> bool {
    if !cfg!(feature = "faults") {
        peers::missing("a build with the feature faults, which ends at named points");
    }
    cfg!(feature = "faults")
}

#[test]
fn a_sync_survives_being_killed_at_each_named_point() {
    if !faults() {
        return;
    }
    let registry = registry();
    let server = Server::start(registry.folder());
    let (mut runs, mut killed) = (0, 0);
    for index in [registry.folder().display().to_string(), format!("sparse+{}", server.url())] {
        let clean = machine(&registry, &index);
        ok(&clean, &["sync"]);
        let whole = placed(&clean);
        // Only what travels differs between the two.
        let points = names().filter(|point| !index.starts_with("sparse") || point.starts_with("fetch"));
        for point in points.filter(|point| course(point) == Course::Sync) {
            for passage in passages() {
                let project = machine(&registry, &index);
                let when = format!("{point}@{passage} over {index}");
                let fault = format!("{point}@{passage}:kill");
                let ran = Ran::of(&project.command(&["sync"]).env("MPM_FAULT", fault).output().unwrap());
                assert!(ran.code == 137 || passage > 1 && ran.code == 0, "{when}: {} {}", ran.code, ran.stderr);
                nothing_half_placed(&project, &whole, &when);
                ends_well(&project, &clean, &when);
                (runs, killed) = (runs + 1, killed + u32::from(ran.code == 137));
            }
        }
    }
    peers::figure(&format!("kills at named points: {runs} runs of sync, {killed} killed, each healed by one run"));
}

#[test]
fn a_disk_that_fails_at_a_named_point_leaves_the_project_as_it_was() {
    if !faults() {
        return;
    }
    let registry = registry();
    let index = registry.folder().display().to_string();
    let clean = machine(&registry, &index);
    ok(&clean, &["sync"]);
    let whole = placed(&clean);
    let mut runs = 0;
    for (number, point) in names().enumerate().filter(|(_, point)| course(point) == Course::Sync) {
        let all = ["EIO", "ENOSPC", "EDQUOT", "EROFS"];
        let some = [all[number % 4], all[(number + 1) % 4]];
        for error in if crate::scale::full() { &all[..] } else { &some[..] } {
            let project = machine(&registry, &index);
            let when = format!("{point} {error}");
            let fault = format!("{point}:error:{error}");
            let ran = Ran::of(&project.command(&["sync"]).env("MPM_FAULT", fault).output().unwrap());
            assert!(matches!(ran.code, 0 | 1), "{when}: {} {}", ran.code, ran.stderr);
            nothing_half_placed(&project, &whole, &when);
            ends_well(&project, &clean, &when);
            runs += 1;
        }
    }
    peers::figure(&format!("errors of the disk at named points: {runs} runs of sync, each healed by one run"));
}

#[test]
fn an_update_that_is_killed_leaves_the_old_or_the_new_files() {
    if !faults() {
        return;
    }
    let registry = registry();
    let index = registry.folder().display().to_string();
    let old_text = manifest(&registry, &index, &REST.replace("\"1\"\n\n", "\"=1.0.0\"\n\n")).replace(", \"uci\"", "");
    let new = machine(&registry, &index);
    ok(&new, &["sync"]);
    let whole = placed(&new);
    let others = names().filter(|point| course(point) == Course::Collect);
    let replacing = ["place-file", "place-file@3", "receipt-write", "lock-write", "blob-rename@2", "atomic-rename@4"];
    for point in others.chain(replacing) {
        let project = machine(&registry, &index);
        let text = project.text("Model.toml").unwrap();
        project.write("Model.toml", &old_text);
        ok(&project, &["sync"]);
        let old = placed(&project);
        project.write("Model.toml", &text);
        ok(&project, &["update", "--dry-run"]);
        let locked = lock(&project);
        ok(&project, &["update"]);
        assert_ne!(lock(&project), locked);
        let _ = project.command(&["sync"]).env("MPM_FAULT", format!("{point}:kill")).output().unwrap();
        for (path, bytes) in placed(&project).into_iter().filter(|(path, _)| !path.contains(STAGED)) {
            assert!(Some(&bytes) == whole.get(&path) || Some(&bytes) == old.get(&path), "{point}: {path}");
        }
        ok(&project, &["sync"]);
        assert!(placed(&project) == whole, "{point}");
        // The same lock as who came later, but for blobs of the old version, which a collection takes.
        ok(&project, &["verify"]);
        let gc =
            |fault: &str| Ran::of(&project.command(&["store", "gc"]).env("MPM_FAULT", fault).output().unwrap()).code;
        assert_eq!(gc("lease-link:kill"), 137, "{point}");
        assert_eq!(gc("gc-remove:kill"), 137, "{point}");
        assert!(matches!(gc("gc-remove@2:kill"), 0 | 137), "{point}");
        ok(&project, &["store", "gc"]);
        ok(&project, &["verify"]);
        assert!(placed(&project) == whole, "{point}");
        let names = ["CACHEDIR.TAG", "v1/format"].map(str::to_owned);
        let beside = tree(&project.store()).into_keys();
        let beside: Vec<String> = beside.filter(|path| path.matches('/').count() < 2).collect();
        assert_eq!(beside, names, "{point}: nothing is left beside the store's folders");
    }
}

#[test]
fn a_publisher_that_is_killed_leaves_nothing_that_grows_and_publishes_then() {
    if !faults() {
        return;
    }
    let author = Project::new();
    ok(&author, &["key", "new", "main.key", "--no-password"]);
    ok(&author, &["index", "init", "index", "--id", "mine", "--namespace", "me", "--demo"]);
    // A blob with a chunk index, and enough small files for a pack.
    author.write("pub/out/model.safetensors", blob::safetensors(9, 2_500_000));
    for number in 0..300 {
        author.write(&format!("pub/out/rows/{number:03}.txt"), format!("row {number}\n").repeat(40));
    }
    let package = "[package]\nname = \"me/rows\"\nversion = \"1.0.0\"\nkind = \"model\"\ndir = \"out\"\n";
    author.write("pub/Model.toml", package);
    let keys = ["--key", "../main.key", "--index-key", "../index.key"];
    let publish = [&["-C", "pub", "publish", "--registry", "../index"][..], &keys].concat();
    let before = tree(&author.folder().join("index/packages"));
    let points = names().filter(|point| matches!(course(point), Course::Publish)).chain(["atomic-rename"]);
    for (point, passage) in points.flat_map(|point| [(point, 1), (point, 2)]) {
        let fault = format!("{point}@{passage}:kill");
        let ran = Ran::of(&author.command(&publish).env("MPM_FAULT", &fault).output().unwrap());
        assert_eq!(ran.code, 137, "{fault} {}", ran.stderr);
        assert!(tree(&author.folder().join("index/packages")) == before, "{fault}: no release counts");
        let blobs: u64 = tree(&author.folder().join("index")).values().map(|bytes| bytes.len() as u64).sum();
        assert!(blobs < 25_000_000, "{fault}: {blobs} bytes lie there");
    }
    ok(&author, &publish);
    let left = tree(&author.folder().join("index")).into_keys();
    let left: Vec<String> = left.filter(|path| path.contains(".mpm-") && !path.ends_with(".tmp")).collect();
    assert!(left.iter().all(|path| path == ".mpm-lease"), "{left:?}");
    ok(&author, &["index", "checkpoint", "index", "--key", "index.key"]);
}

#[test]
fn taking_away_what_no_longer_belongs_survives_being_killed() {
    if !faults() {
        return;
    }
    let registry = registry();
    let index = registry.folder().display().to_string();
    let clean = machine(&registry, &index);
    ok(&clean, &["sync"]);
    let whole = placed(&clean);
    let points = names().filter(|point| course(point) == Course::Remove);
    for (point, passage) in points.flat_map(|point| [(point, 1), (point, 17)]) {
        let project = machine(&registry, &index);
        ok(&project, &["sync"]);
        let fault = format!("{point}@{passage}:kill");
        let removing = project.command(&["remove", "acme/small"]).env("MPM_FAULT", &fault).output().unwrap();
        assert_eq!(Ran::of(&removing).code, 137, "{fault}");
        assert!(placed(&project).iter().all(|(path, bytes)| whole.get(path) == Some(bytes)), "{fault}");
        ok(&project, &["sync"]);
        assert!(placed(&project).keys().all(|path| path.starts_with("models/acme/big/")), "{fault}");
        assert!(!project.folder().join(".mpm/pending.jsonl").exists(), "{fault}");
        ok(&project, &["verify"]);
    }
}
