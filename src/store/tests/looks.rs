//! What is found, what is held, and how files stand afterwards.

use std::collections::BTreeSet;
use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, SystemTime};

use super::{Scene, scribble, verified};
use crate::diagnose::{Class, Diagnose as _};
use crate::model::Pin;
use crate::progress::Silent;
use crate::store::{Store, StoreError, seal};
use crate::sys::{Cancel, files, hash};

/// Waits until what is done again shows in the file's change time.
fn moves_change_time(path: &Path, again: &dyn Fn()) -> bool {
    let changed = || path.metadata().map(|file| (file.ctime(), file.ctime_nsec())).expect("there");
    let before = changed();
    // File systems stamp with a clock that ticks a few hundred times a second.
    (0..20_000).any(|_| {
        again();
        changed() > before
    })
}

#[test]
fn a_blob_that_is_taken_once_more_counts_as_new_and_stays_as_private_as_it_is() {
    let scene = Scene::new();
    let store = scene.open();
    let entry = store.insert(verified(&store, b"hello")).expect("stored");
    assert!(moves_change_time(&entry.path, &|| drop(store.insert(verified(&store, b"hello")).expect("again"))));
    assert!(moves_change_time(&entry.path, &|| {
        store.put_bytes(b"hello").expect("again");
    }));
    assert!(moves_change_time(&entry.path, &|| assert!(store.hold(&entry.pin).expect("held"))));
    assert!(moves_change_time(&entry.path, &|| store.claim(&[entry.pin].into()).expect("claimed")));
    for (mode, after) in [(0o400, 0o400), (0o644, 0o444), (0o777, 0o555)] {
        std::fs::set_permissions(&entry.path, Permissions::from_mode(mode)).expect("changed");
        store.hold(&entry.pin).expect("held");
        assert_eq!(entry.path.metadata().expect("there").mode() & 0o777, after, "{mode:o}");
    }
    assert!(!store.hold(&Pin::of(b"absent")).expect("looked"));
}

#[test]
fn a_pin_that_lies_about_the_size_is_missing_even_to_who_has_hashed_the_blob() {
    let scene = Scene::new();
    let store = scene.open();
    let entry = store.insert(verified(&store, b"hello")).expect("stored");
    assert_eq!(store.find(&entry.pin).expect("looked"), Some(entry.clone()));
    for size in [4, 6] {
        assert_eq!(store.find(&Pin { size, ..entry.pin }).expect("looked"), None, "{size} bytes");
    }
    assert!(entry.path.exists());
}

#[test]
fn what_stands_in_the_way_is_named() {
    let check = |plant: &dyn Fn(&Path, &Path), code: &str, words: &str| {
        let scene = Scene::new();
        let entry = scene.open().insert(verified(&scene.open(), b"hello")).expect("stored");
        let shard = entry.path.parent().expect("a folder");
        let store = scene.open();
        plant(&entry.path, shard);
        let error = store.find(&entry.pin).expect_err("not missing");
        assert!(error.code().0 == code && error.to_string().contains(words), "{error}");
    };
    let aside = |path: &Path| {
        let aside = path.with_extension("aside");
        std::fs::rename(path, &aside).expect("moved");
        aside
    };
    check(&|blob, _| symlink(aside(blob), blob).expect("linked"), "E0704", "is a symlink, expected a blob");
    check(
        &|blob, _| {
            aside(blob);
            std::fs::create_dir(blob).expect("made");
        },
        "E0704",
        "is no regular file, expected a blob",
    );
    check(&|_, shard| symlink(aside(shard), shard).expect("linked"), "E0704", "is a symlink, expected a folder");
    check(
        &|_, shard| {
            aside(shard);
            files::write_atomic(shard, b"").expect("written");
        },
        "E0704",
        "is no folder, expected a folder",
    );
    // A folder above that can't be walked through is no reason to take the blob for missing.
    check(
        &|_, shard| {
            let shards = shard.parent().expect("a folder");
            aside(shards);
            files::write_atomic(shards, b"").expect("written");
        },
        "E0701",
        "can't use",
    );
}

#[test]
fn a_bad_blob_that_can_not_be_set_aside_is_an_error_and_one_that_is_gone_is_none() {
    let scene = Scene::new();
    let store = scene.open();
    let entry = store.insert(verified(&store, b"hello")).expect("stored");
    let digest = entry.pin.sha256;
    files::write_atomic(&store.staging().join(format!("damaged-{digest}/in the way")), b"").expect("written");
    scribble(&entry.path, b"jello");
    let error = store.find(&entry.pin).expect_err("in the way");
    assert_eq!((error.code().0, error.class()), ("E0701", Class::Yours), "{error}");
    store.set_aside(&Pin::of(b"absent").sha256).expect("somebody else did");
}

#[test]
fn a_store_that_can_not_be_reached_is_not_taken_for_one_that_is_not_there() {
    let scene = Scene::new();
    let folder = scene.folder.path();
    assert!(Store::open_existing(&folder.join("absent")).expect("none").is_none());
    files::write_atomic(&folder.join("file"), b"").expect("written");
    assert!(Store::open_existing(&folder.join("file/store")).expect("none").is_none());
    assert!(!folder.join("absent").exists(), "nothing is written");
    symlink("circle", folder.join("circle")).expect("linked");
    let error = Store::open_existing(&folder.join("circle")).expect_err("can't be told");
    assert_eq!((error.code().0, error.class()), ("E0701", Class::Yours));
    // What can't be used is no reason to speak of layers: those are for stores on disks that can't be written.
    assert!(!error.hints().iter().any(|hint| format!("{hint:?}").contains("MPM_STORE_LAYERS")), "{:?}", error.hints());
    assert!(Store::open(&folder.join("circle")).is_err());
    assert!(Store::open_existing(scene.open().folder()).expect("opened").is_some());
}

#[test]
fn a_new_store_can_be_opened_by_many_at_once() {
    // More often than once, so that they meet while folders are made.
    for _ in 0..40 {
        let scene = Scene::new();
        let together = Barrier::new(8);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    together.wait();
                    scene.open()
                });
            }
        });
        let store = scene.open();
        assert_eq!(store.shards().metadata().expect("there").mode() & 0o7777, 0o755);
        assert_eq!(store.put_bytes(b"blob").expect("stored").size, 4);
    }
}

#[test]
fn nothing_is_removed_through_a_folder_that_leads_out_of_the_store() {
    let scene = Scene::new();
    let store = scene.open();
    let digest = Pin::of(b"hello").sha256;
    store.discard(&digest).expect("nothing there");
    let outside = scene.folder.path().join("outside");
    let file = outside.join(digest.hex());
    files::write_atomic(&file, b"hello").expect("written");
    symlink(&outside, store.path_of(&digest).parent().expect("a folder")).expect("linked");
    let error = store.discard(&digest).expect_err("refused");
    assert_eq!((error.code().0, error.class(), file.exists()), ("E0704", Class::Trust, true), "{error}");
}

#[test]
fn a_store_waits_as_long_as_it_was_told() {
    let scene = Scene::new();
    let patience = Duration::from_secs(7);
    assert_eq!(scene.open().telling(Arc::new(Silent), patience).patience(), patience);
    assert_eq!(scene.open().telling(Arc::new(Silent), patience).folder(), scene.open().folder());
}

#[test]
fn a_seal_is_in_the_fraction_of_a_second_where_the_file_system_keeps_one() {
    let scene = Scene::new();
    let entry = scene.open().insert(verified(&scene.open(), b"hello")).expect("stored");
    let file = entry.path.metadata().expect("there");
    assert_ne!(file.mtime_nsec(), 0, "whole seconds are for file systems that keep no more");
    assert_eq!(file.mtime_nsec() % 100, 0, "no finer than common file systems keep");
    let (fine, coarse) = (seal::fine(&entry.pin.sha256, &file), seal::coarse(&entry.pin.sha256, &file));
    let seals: BTreeSet<SystemTime> = (0..=255_u8).map(|n| seal::fine(&Pin::of(&[n]).sha256, &file)).collect();
    assert!(seals.len() > 250, "each name has a time of its own");
    let now = file.modified().expect("a time");
    let back = |time: SystemTime| now.duration_since(time).expect("not after the time that the file has");
    assert!(back(fine) <= Duration::from_secs(2) && back(coarse) < Duration::from_hours(19));
}

#[test]
fn a_file_that_is_touched_while_it_is_hashed_vouches_for_nothing() {
    let (below, above) = (Scene::new(), Scene::new());
    // Large enough that the hash takes longer than a processor is lent; a hole takes no room.
    let hole = tempfile::tempfile().expect("made");
    hole.set_len(96 << 20).expect("as long");
    let pin = hash::hash_open(&hole, &Cancel::new(), &|_| ()).expect("hashed");
    let put = |scene: &Scene| {
        let path = scene.open().path_of(&pin.sha256);
        std::fs::create_dir(path.parent().expect("a folder")).expect("made");
        File::create_new(&path).and_then(|file| file.set_len(pin.size)).expect("made");
        path
    };
    let (in_layer, in_store) = (put(&below), put(&above));
    let touched = |path: &Path, look: &dyn Fn() -> bool| {
        let file = File::open(path).expect("opened");
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for seconds in (1..).map_while(|seconds| (!done.load(Ordering::Relaxed)).then_some(seconds)) {
                    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).expect("set");
                }
            });
            let found = look();
            done.store(true, Ordering::Relaxed);
            found
        })
    };
    let store = above.open();
    assert!(!touched(&in_store, &|| store.find(&pin).expect("looked").is_some()));
    assert!(!in_store.exists(), "set aside after some tries");
    let over = above.open().over(&[below.open().folder().to_owned()]).expect("opened");
    assert!(!touched(&in_layer, &|| over.find(&pin).expect("looked").is_some()));
    assert!(over.find(&pin).expect("looked").is_some_and(|entry| entry.path == in_layer), "when nobody touches it");
}

#[test]
fn what_the_disk_says_decides_what_is_told() {
    for (kind, code, class, hint) in [
        (io::ErrorKind::StorageFull, "E0703", Class::Yours, "mpm store gc --dry-run"),
        (io::ErrorKind::QuotaExceeded, "E0703", Class::Yours, "mpm store gc --dry-run"),
        (io::ErrorKind::Interrupted, "E0707", Class::Interrupted, "unchanged"),
        (io::ErrorKind::ReadOnlyFilesystem, "E0701", Class::Yours, "MPM_STORE_LAYERS"),
        (io::ErrorKind::PermissionDenied, "E0701", Class::Yours, "unchanged"),
    ] {
        let error = StoreError::at(Path::new("store"))(kind.into());
        assert_eq!((error.code().0, error.class()), (code, class), "{kind}");
        let hints = format!("{:?}", error.hints());
        assert!(hints.contains(hint), "{kind}: {hints}");
        let layers = kind == io::ErrorKind::ReadOnlyFilesystem;
        assert_eq!(hints.contains("MPM_STORE_LAYERS"), layers, "{kind}: layers are for what can't be written");
    }
}
