//! Records of what projects keep: when they are written, believed and forgotten.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::{DAY, Scene, now, rules, verified};
use crate::model::{Pin, Sha256, Timestamp};
use crate::store::{DryRun, Hold, Rules, Store};
use crate::sys::{Cancel, files};

/// The one record of a store.
fn record(store: &Store) -> PathBuf {
    let [(name, _)] = &files::list(&store.roots_folder()).expect("listed")[..] else { panic!("one record") };
    store.roots_folder().join(name)
}

/// Has the machine's own clock say nothing: records are stamped by it, and tests have another.
fn unstamp(path: &Path) {
    File::open(path).expect("opened").set_modified(SystemTime::UNIX_EPOCH).expect("set");
}

#[test]
fn a_record_that_says_the_same_is_written_again_after_a_day() {
    let scene = Scene::new();
    let (store, project) = (scene.open(), scene.project("project"));
    let digests = |names: &[&str]| names.iter().map(|name| Sha256::of(name.as_bytes())).collect::<BTreeSet<_>>();
    let before = |seconds: u64| Timestamp::from_seconds(now().seconds() - seconds).expect("a time");
    for (names, at, again) in [
        (&["1", "2"][..], now(), false),
        (&["1", "2"], now().plus(DAY - 1), false),
        (&["1", "2"], now().plus(DAY), true),
        (&["1", "2"], before(1), true),
        (&["1", "3"], now(), true),
        (&["1"], now(), true),
        (&["1", "2", "3"], now(), true),
        (&[], now(), true),
    ] {
        store.keep(&project, &BTreeSet::new(), now().plus(1_000 * DAY)).expect("kept");
        store.keep(&project, &digests(&["1", "2"]), now()).expect("kept");
        let inode = || record(&store).metadata().expect("there").ino();
        let first = File::open(record(&store)).expect("opened");
        store.keep(&project, &digests(names), at).expect("kept");
        assert_eq!(inode() != first.metadata().expect("open").ino(), again, "{names:?} at {at}");
        assert_eq!(store.roots(at).expect("read")[0].blobs, names.len() as u64);
    }
}

#[test]
fn a_collection_notes_when_it_saw_a_project() {
    let scene = Scene::new();
    let pin = scene.open().put_bytes(b"blob").expect("stored");
    let (store, project) = (scene.open(), scene.project("project"));
    store.keep(&project, &[pin.sha256].into(), now()).expect("kept");
    unstamp(&record(&store));
    let hold = |days: u64| {
        let root = store.roots(now().plus(days * DAY)).expect("read").remove(0);
        (root.hold, root.seen)
    };
    assert_eq!(hold(40), (Hold::Stands, now().plus(40 * DAY)));
    store.collect(now().plus(40 * DAY), DryRun::No).expect("collected");
    std::fs::remove_dir_all(&project).expect("removed");
    assert_eq!(hold(69), (Hold::Absent, now().plus(40 * DAY)), "seen at day 40");
    assert_eq!(hold(70), (Hold::Gone, now().plus(40 * DAY)));
    // A time of the future would keep for ever.
    assert_eq!(hold(10), (Hold::Absent, now().plus(10 * DAY)));
}

#[test]
fn the_record_of_a_project_that_is_gone_is_remembered_as_long_as_it_says_which_blobs_are_old() {
    let check = |older_than: Option<u64>, max_size: Option<u64>, days: u64, stays: bool| {
        let scene = Scene::new();
        let (store, project) = (scene.open(), scene.project("project"));
        store.keep(&project, &[Sha256::of(b"1")].into(), now()).expect("kept");
        std::fs::remove_file(project.join("Model.lock")).expect("removed");
        let path = record(&store);
        unstamp(&path);
        let older_than = older_than.map(|days| Duration::from_secs(days * DAY));
        let rules = Rules { older_than, max_size, ..rules() };
        store.collect_by(&rules, now().plus(days * DAY), &Cancel::new()).expect("collected");
        assert_eq!(path.exists(), stays, "{rules:?} after {days} days");
    };
    check(None, None, 0, false);
    check(Some(7), None, 6, true);
    check(Some(7), None, 7, false);
    check(None, Some(1 << 40), 29, true);
    check(None, Some(1 << 40), 30, false);
    check(Some(7), Some(1 << 40), 7, false);
}

#[test]
fn a_project_is_gone_when_its_folder_stands_without_a_lock() {
    let scene = Scene::new();
    let (store, project) = (scene.open(), scene.project("project"));
    store.keep(&project, &[Sha256::of(b"1"), Sha256::of(b"2")].into(), now()).expect("kept");
    let root = || store.roots(now()).expect("read").remove(0);
    assert_eq!((root().hold, root().blobs, root().hold.as_str()), (Hold::Stands, 2, "stands"));
    assert_eq!(root().folder, project.to_string_lossy());
    std::fs::remove_file(project.join("Model.lock")).expect("removed");
    assert_eq!((root().hold, root().hold.as_str()), (Hold::Gone, "gone"));
    std::fs::remove_dir(&project).expect("removed");
    assert_eq!((root().hold, root().hold.as_str()), (Hold::Absent, "absent"));
    // A file where the folder was says nothing about the project.
    files::write_atomic(&project, b"").expect("written");
    assert_eq!(root().hold, Hold::Absent);
    store.keep_adopted(Path::new("/somewhere"), &BTreeSet::new(), now()).expect("kept");
    let roots = store.roots(now()).expect("read");
    let adopted = roots.iter().find(|root| root.hold == Hold::Adopted).expect("there");
    assert_eq!((adopted.folder.as_str(), adopted.blobs, adopted.hold.as_str()), ("/somewhere", 0, "adopted"));
    assert!(roots.is_sorted_by_key(|root| root.folder.clone()));
}

#[test]
fn every_blob_of_a_large_record_is_kept_and_no_other() {
    let scene = Scene::new();
    let store = scene.open();
    let blobs = (0..300_u16).map(|number| verified(&store, &number.to_le_bytes())).collect();
    let pins: Vec<Pin> = store.insert_all(blobs).expect("stored").iter().map(|entry| entry.pin).collect();
    drop(store);
    let store = scene.open();
    let (kept, loose) = pins.split_at(250);
    store.keep(&scene.project("project"), &kept.iter().map(|pin| pin.sha256).collect(), now()).expect("kept");
    let collected = store.collect(now(), DryRun::No).expect("collected");
    assert_eq!((collected.kept_blobs, collected.blobs), (250, 50));
    assert_eq!(store.missing(&pins.iter().copied().collect()).expect("looked"), loose.iter().copied().collect());
}

#[test]
fn a_write_that_was_not_ended_is_no_record() {
    let scene = Scene::new();
    let store = scene.open();
    files::write_atomic(&store.roots_folder().join(".mpm-a1b2c3.tmp"), b"half a rec").expect("written");
    assert_eq!(store.roots(now()).expect("read"), []);
}

#[test]
fn a_project_may_have_the_longest_and_strangest_path() {
    let scene = Scene::new();
    let store = scene.open();
    // Which the record spells with six letters each.
    let path = format!("/{}", "\u{1}".repeat(4_094));
    store.keep(Path::new(&path), &[Sha256::of(b"1")].into(), now()).expect("kept");
    store.keep_adopted(Path::new(&path), &BTreeSet::new(), now()).expect("kept");
    let roots = store.roots(now()).expect("records that can be read");
    assert!(roots.len() == 2 && roots.iter().all(|root| root.folder == path));
}
