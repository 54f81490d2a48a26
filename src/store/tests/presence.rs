//! Marks of processes at work: whose count, since when, and what goes with a dead process.

use std::fs::{File, FileTimes};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::{DAY, Scene, now, rules, verified};
use crate::diagnose::{Class, Diagnose as _};
use crate::model::Pin;
use crate::progress::Silent;
use crate::store::{Collected, DryRun, Rules, Store};
use crate::sys::{Cancel, Lease, files};

/// Whose lease or mark it is.
#[derive(Debug, Clone, Copy)]
enum Of {
    /// A process of this machine that has ended.
    Dead,
    /// A process that can't be seen from here, at work since then.
    Elsewhere(i64),
    /// Nobody says whose.
    Nobody,
}

/// Writes a lease or mark.
fn write(path: &Path, of: Of) {
    let folder = path.parent().expect("a folder");
    let own = Lease::mark(folder).expect("marked");
    let line = std::fs::read_to_string(own.path()).expect("read");
    drop(own);
    let mut holder: serde_json::Value = serde_json::from_str(line.lines().next().expect("a line")).expect("JSON");
    match of {
        Of::Dead => {
            let mut child = std::process::Command::new("true").spawn().expect("started");
            child.wait().expect("ended");
            holder["process"] = child.id().into();
        }
        Of::Elsewhere(since) => {
            holder["host"] = "elsewhere".into();
            holder["since"] = since.into();
        }
        Of::Nobody => holder = "nobody".into(),
    }
    files::write_atomic(path, format!("{holder}\n").as_bytes()).expect("written");
}

/// Sets when a mark beat last, in seconds of the file system's clock.
fn beat(path: &Path, seconds: i64) {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).expect("after 1970"));
    File::open(path).expect("opened").set_times(FileTimes::new().set_modified(time)).expect("set");
}

fn active(store: &Store, name: &str) -> PathBuf {
    store.folder().join("v1/active").join(name)
}

fn marks(store: &Store) -> usize {
    files::list(&store.folder().join("v1/active")).expect("listed").len()
}

#[test]
fn whoever_brings_blobs_is_marked_until_it_ends() {
    let scene = Scene::new();
    let (other, store) = (scene.open(), scene.open());
    let blob = verified(&store, b"blob");
    assert_eq!(marks(&other), 0, "looking and staging are no claim");
    store.insert(blob).expect("stored");
    assert_eq!(marks(&other), 1);
    store.put_bytes(b"another").expect("stored");
    assert_eq!(marks(&other), 1, "one mark a process");
    assert_eq!(other.collect(now(), DryRun::No).expect("collected").kept_blobs, 2);
    drop(store);
    assert_eq!(marks(&other), 0);
    assert_eq!(other.collect(now(), DryRun::No).expect("collected").blobs, 2);
}

#[test]
fn what_the_dead_staged_goes_when_nobody_else_is_at_work() {
    let staged = ["scratch-1", "ab.part", "ab.lease", "cd.lease", ".lease-1"];
    let check = |mark: Option<(&str, Of)>, left: &[&str], marks_left: usize| {
        let scene = Scene::new();
        let store = scene.open();
        for name in staged {
            let path = store.staging().join(name);
            files::write_atomic(&path, b"left").expect("written");
        }
        write(&store.staging().join("ab.lease"), Of::Dead);
        write(&store.staging().join("cd.lease"), Of::Elsewhere(0));
        if let Some((name, of)) = mark {
            write(&active(&store, name), of);
        }
        let partial = store.begin().expect("begun");
        let mut found: Vec<String> = files::list(&partial)
            .expect("listed")
            .iter()
            .map(|(name, _)| name.to_string_lossy().into_owned())
            .collect();
        found.sort();
        assert_eq!(found, left, "{mark:?}");
        assert_eq!(marks(&store), 1 + marks_left, "{mark:?}");
    };
    let alone = ["ab.part", "cd.lease"];
    let all = [".lease-1", "ab.lease", "ab.part", "cd.lease", "scratch-1"];
    check(None, &alone, 0);
    check(Some(("a", Of::Dead)), &alone, 0);
    check(Some((".a", Of::Nobody)), &alone, 1);
    check(Some(("a", Of::Elsewhere(0))), &all, 1);
    check(Some(("a", Of::Nobody)), &all, 1);
}

/// A blob that nobody needs, beside marks that beat at `clock` less their ages.
fn collected(store: &Store, clock: i64, dry_run: DryRun) -> Collected {
    store.collect_at(&Rules { dry_run, ..rules() }, now(), clock, &Cancel::new()).expect("collected")
}

#[test]
fn marks_of_the_dead_and_of_who_is_silent_for_an_hour_keep_nothing() {
    let clock = 2_000_000_000;
    for (name, of, silent, at_work) in [
        ("a", Of::Dead, 0, false),
        ("a", Of::Elsewhere(0), 3_600, true),
        ("a", Of::Elsewhere(0), 3_601, false),
        ("a", Of::Nobody, 3_600, true),
        ("a", Of::Nobody, 3_601, false),
        (".a", Of::Nobody, 3_601, false),
    ] {
        let scene = Scene::new();
        scene.open().put_bytes(b"blob").expect("stored");
        let store = scene.open();
        write(&active(&store, name), of);
        beat(&active(&store, name), clock - silent);
        for dry_run in [DryRun::Yes, DryRun::No] {
            let found = collected(&store, clock, dry_run);
            let expected = (u64::from(at_work), u64::from(!at_work), u64::from(!at_work));
            assert_eq!((found.kept_blobs, found.blobs, found.leftovers), expected, "{of:?} {silent} {dry_run:?}");
            assert_eq!(marks(&store), usize::from(at_work || dry_run == DryRun::Yes), "{of:?} {silent} {dry_run:?}");
        }
    }
}

#[test]
fn a_lease_in_the_making_is_no_mark() {
    let scene = Scene::new();
    scene.open().put_bytes(b"blob").expect("stored");
    let store = scene.open();
    write(&active(&store, ".a"), Of::Nobody);
    let found = collected(&store, store.file_system_time(now()), DryRun::No);
    assert_eq!((found.blobs, found.leftovers, marks(&store)), (1, 0, 1), "it keeps nothing, and is left alone");
}

#[test]
fn what_came_since_the_first_began_stays_give_or_take_an_hour() {
    let scene = Scene::new();
    let entry = scene.open().insert(verified(&scene.open(), b"blob")).expect("stored");
    let changed = std::os::unix::fs::MetadataExt::ctime(&entry.path.metadata().expect("there"));
    let store = scene.open();
    // Clocks of machines that share a store may be an hour apart.
    for (began, kept) in
        [(&[3_600][..], 1), (&[3_601], 0), (&[3_600, 90_000], 1), (&[90_000, 3_600], 1), (&[90_000, 3_601], 0)]
    {
        for (number, since) in began.iter().enumerate() {
            let mark = active(&store, &number.to_string());
            write(&mark, Of::Elsewhere(changed + since));
            beat(&mark, changed + 90_000);
        }
        let told = collected(&store, changed + 90_000, DryRun::Yes);
        assert_eq!(told.kept_blobs, kept, "{began:?}");
        for number in 0..began.len() {
            std::fs::remove_file(active(&store, &number.to_string())).expect("removed");
        }
    }
}

#[test]
fn whoever_begins_waits_for_a_collection_that_runs() {
    let scene = Scene::new();
    scene.open().put_bytes(b"there").expect("stored");
    let impatient = || scene.open().telling(std::sync::Arc::new(Silent), Duration::ZERO);
    let project = scene.project("project");
    let collection = scene.open().collection_lease().expect("taken");
    let busy = |error: crate::store::StoreError| assert_eq!(error.class(), Class::Busy, "{error}");
    busy(impatient().begin().expect_err("begins"));
    busy(impatient().put_bytes(b"blob").expect_err("puts"));
    busy(impatient().put_bytes(b"there").expect_err("puts what is there"));
    busy(impatient().keep(&project, &[Pin::of(b"blob").sha256].into(), now()).expect_err("keeps"));
    busy(impatient().claim(&[Pin::of(b"blob")].into()).expect_err("claims"));
    busy(impatient().collect(now().plus(DAY), DryRun::No).expect_err("collects"));
    impatient().collect(now(), DryRun::Yes).expect("looking needs no lease");
    drop(collection);
    impatient().put_bytes(b"blob").expect("stored");
}
