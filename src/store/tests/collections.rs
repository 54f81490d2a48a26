//! What a collection takes and clears, and just when.

use std::fs::{File, FileTimes};
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::{DAY, Scene, now, rules};
use crate::model::{Pin, Sha256};
use crate::store::{Collected, DryRun, Rules, Store};
use crate::sys::{Cancel, files};

/// The file system's clock, in seconds.
const CLOCK: i64 = 2_000_000_000;

/// A file that was written so many seconds before the clock's time.
fn aged(path: &Path, age: i64) {
    files::write_atomic(path, b"left").expect("written");
    let seconds = u64::try_from(CLOCK - age).expect("after 1970");
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    File::open(path).expect("opened").set_times(FileTimes::new().set_modified(time)).expect("set");
}

fn collect(store: &Store, dry_run: DryRun) -> Collected {
    store.collect_at(&Rules { dry_run, ..rules() }, now(), CLOCK, &Cancel::new()).expect("collected")
}

#[test]
fn partial_downloads_wait_a_week_scratch_files_a_day_and_damaged_blobs_for_nobody() {
    for (name, age, goes) in [
        ("damaged-ab", 0, true),
        ("scratch-ab", 86_400, false),
        ("scratch-ab", 86_401, true),
        ("ab.part", 86_401, false),
        ("ab.part", 7 * 86_400, false),
        ("ab.part", 7 * 86_400 + 1, true),
    ] {
        let scene = Scene::new();
        let store = scene.open();
        let path = store.staging().join(name);
        aged(&path, age);
        let told = collect(&store, DryRun::Yes);
        assert_eq!((told.leftovers, path.exists()), (u64::from(goes), true), "{name} of {age} s is told of");
        let done = collect(&store, DryRun::No);
        assert_eq!((done.leftovers, path.exists()), (u64::from(goes), !goes), "{name} of {age} s");
    }
}

#[test]
fn folders_among_the_partial_downloads_are_not_ours() {
    let scene = Scene::new();
    let store = scene.open();
    let folder = store.staging().join("damaged-by-hand");
    std::fs::create_dir(&folder).expect("made");
    assert_eq!(collect(&store, DryRun::No).leftovers, 0);
    assert!(folder.exists());
}

#[test]
fn what_was_seen_in_a_blob_goes_with_the_blob() {
    let scene = Scene::new();
    let kept = scene.open().put_bytes(b"kept").expect("stored");
    let store = scene.open();
    store.keep(&scene.project("project"), &[kept.sha256].into(), now()).expect("kept");
    let fact = |pin: &Pin| {
        let hex = pin.sha256.hex();
        let name = format!("facts/{}/{hex}.json", &hex[..2]);
        store.write_beside(&name, b"{}").expect("written");
        store.folder().join("v1").join(name)
    };
    let (of_kept, of_gone) = (fact(&kept), fact(&Pin::of(b"gone")));
    // What has no name of ours stays.
    let others = [of_gone.with_extension("txt"), store.folder().join("v1/facts/README")];
    for other in &others {
        files::write_atomic(other, b"").expect("written");
    }
    assert_eq!(collect(&store, DryRun::Yes).leftovers, 0, "told only");
    assert!(of_gone.exists());
    assert_eq!(collect(&store, DryRun::No).leftovers, 1);
    assert!(of_kept.exists() && !of_gone.exists() && others.iter().all(|other| other.exists()));
}

#[test]
fn what_was_seen_in_a_blob_of_a_layer_stays() {
    let (below, scene) = (Scene::new(), Scene::new());
    let pin = below.open().put_bytes(b"below").expect("stored");
    let store = scene.open().over(&[below.open().folder().to_owned()]).expect("opened");
    let hex = pin.sha256.hex();
    store.write_beside(&format!("facts/{}/{hex}.json", &hex[..2]), b"{}").expect("written");
    assert_eq!(collect(&store, DryRun::No).leftovers, 0);
    assert_eq!(collect(&scene.open(), DryRun::No).leftovers, 1, "without the layer nobody has the blob");
}

#[test]
fn writes_that_were_not_ended_go_after_an_hour() {
    let scene = Scene::new();
    let store = scene.open();
    for folder in ["", "v1", "v1/roots", "v1/passed", "v1/facts/ab"] {
        for (age, goes) in [(3_600, false), (3_601, true)] {
            let path = store.folder().join(folder).join(".mpm-a1b2c3.tmp");
            aged(&path, age);
            let collected = collect(&store, DryRun::No);
            assert_eq!((collected.leftovers, path.exists()), (u64::from(goes), !goes), "{folder:?} after {age} s");
        }
    }
}

#[test]
fn marks_against_blobs_of_layers_go_after_thirty_days_if_the_store_has_no_blob() {
    for (age, stored, goes) in [(30 * 86_400 - 1, false, false), (30 * 86_400, false, true), (30 * 86_400, true, false)]
    {
        let scene = Scene::new();
        let digest = Sha256::of(b"blob");
        if stored {
            scene.open().put_bytes(b"blob").expect("stored");
            scene.open().keep(&scene.project("project"), &[digest].into(), now()).expect("kept");
        }
        let store = scene.open();
        store.pass_over(&digest).expect("marked");
        let mark = store.folder().join("v1/passed").join(digest.hex());
        aged(&mark, age);
        collect(&store, DryRun::Yes);
        assert!(mark.exists(), "told only");
        collect(&store, DryRun::No);
        assert_eq!(mark.exists(), !goes, "after {age} s, blob in the store: {stored}");
    }
}

#[test]
fn of_blobs_of_one_hour_only_as_many_go_as_must() {
    let scene = Scene::new();
    let mut bytes: Vec<[u8; 100]> = (0..4_u8).map(|n| [n; 100]).collect();
    bytes.sort_by_key(|bytes| Sha256::of(bytes).hex());
    let pins: Vec<Pin> = bytes.iter().map(|bytes| scene.open().put_bytes(bytes).expect("stored")).collect();
    let store = scene.open();
    let (clock, later) = (store.file_system_time(now()) + 90 * 86_400, now().plus(90 * DAY));
    // The last one was not needed for longest, whatever order they are come by in.
    for (number, pin) in pins.iter().enumerate() {
        let project = scene.project(&format!("gone-{number}"));
        let seen = if number == 3 { now() } else { now().plus(50 * DAY + number as u64) };
        store.keep(&project, &[pin.sha256].into(), seen).expect("kept");
        std::fs::remove_file(project.join("Model.lock")).expect("removed");
    }
    let left = |size: u64| {
        let rules = Rules { max_size: Some(size), dry_run: DryRun::Yes, ..rules() };
        scene.open().collect_at(&rules, later, clock, &Cancel::new()).expect("told").spared_blobs
    };
    for (size, blobs) in [(400, 4), (399, 3), (300, 3), (299, 2), (200, 2), (150, 1), (100, 1), (99, 0), (0, 0)] {
        assert_eq!(left(size), blobs, "no larger than {size} bytes");
    }
    let rules = Rules { max_size: Some(150), ..rules() };
    assert_eq!(scene.open().collect_at(&rules, later, clock, &Cancel::new()).expect("collected").blobs, 3);
    let [.., third, _] = &pins[..] else { panic!("four") };
    assert!(scene.open().find(third).expect("looked").is_some(), "the oldest and the first two of the hour went");
}
