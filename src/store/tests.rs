use std::collections::BTreeSet;
use std::fs::{File, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::time::Duration;

use proptest::prelude::*;

use crate::diagnose::{Class, Diagnose as _};
use crate::model::shaken::{put, shaken};
use crate::model::{Pin, Sha256, Timestamp};
use crate::progress::Silent;
use crate::store::{DryRun, Rules, Store, seal};
use crate::sys::{Bringing, Cancel, Copying, Digests, Existing, Staging, files};
use crate::verify::{Verified, verify};

mod collections;
mod layers;
mod looks;
mod presence;
mod roots;
mod survey;

const DAY: u64 = 86_400;

struct Scene {
    folder: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder") }
    }

    /// A store as another process opens it: it remembers nothing.
    fn open(&self) -> Store {
        Store::open(&self.folder.path().join("store")).expect("opened")
    }

    fn project(&self, name: &str) -> PathBuf {
        let project = self.folder.path().join(name);
        files::write_atomic(&project.join("Model.lock"), b"").expect("written");
        project
    }
}

fn now() -> Timestamp {
    Timestamp::from_seconds(1_795_392_000).expect("in range")
}

fn verified(store: &Store, bytes: &[u8]) -> Verified {
    let mut staging = Staging::create(&store.staging(), "a test").expect("made");
    staging.write(bytes).expect("written");
    verify(staging.finish(), &Pin::of(bytes)).expect("the same bytes")
}

/// Writes to a blob although it is read-only.
fn scribble(path: &std::path::Path, bytes: &[u8]) {
    std::fs::set_permissions(path, Permissions::from_mode(0o644)).expect("changed");
    let file = File::options().write(true).open(path).expect("opened");
    std::os::unix::fs::FileExt::write_all_at(&file, bytes, 0).expect("written");
}

#[test]
fn a_blob_is_stored_once_read_only_and_found_by_every_process() {
    let scene = Scene::new();
    let store = scene.open();
    let entry = store.insert(verified(&store, b"hello")).expect("stored");
    assert!(entry.path.ends_with(format!("v1/blobs/sha256/2c/{}", Sha256::of(b"hello"))));
    assert_eq!(entry.path.metadata().expect("there").permissions().mode() & 0o777, 0o444);
    assert_eq!(store.insert(verified(&store, b"hello")).expect("stored again"), entry);
    let other = scene.open();
    assert_eq!(other.find(&entry.pin).expect("looked"), Some(entry.clone()));
    assert_eq!(other.read(&entry.pin, 5).expect("read").as_deref(), Some(&b"hello"[..]));
    let error = other.read(&entry.pin, 4).expect_err("larger than the reader allows");
    assert_eq!((error.code().0, error.class()), ("E0705", Class::Trust));
    assert_eq!(other.size().expect("counted"), (1, 5));
    assert!(files::list(&store.staging()).expect("listed").is_empty(), "nothing staged is left");
    assert!(scene.folder.path().join("store/CACHEDIR.TAG").exists());
}

#[test]
fn many_blobs_share_their_barriers_and_empty_ones_exist() {
    let scene = Scene::new();
    let store = scene.open();
    let blobs: Vec<_> = (0..40_u32).map(|number| verified(&store, number.to_string().as_bytes())).collect();
    let entries = store.insert_all(blobs).expect("stored");
    assert_eq!(entries.len(), 40);
    assert_eq!(store.put_bytes(b"").expect("stored").size, 0);
    let mut pins: BTreeSet<Pin> = entries.iter().map(|entry| entry.pin).collect();
    pins.insert(Pin::of(b""));
    assert!(scene.open().missing(&pins).expect("looked").is_empty());
    pins.insert(Pin::of(b"absent"));
    assert_eq!(scene.open().missing(&pins).expect("looked"), [Pin::of(b"absent")].into());
}

#[test]
fn the_seal_holds_until_size_time_or_inode_change() {
    let scene = Scene::new();
    let store = scene.open();
    let entry = store.insert(verified(&store, b"hello")).expect("stored");
    let digest = entry.pin.sha256;
    let file = || entry.path.metadata().expect("there");
    assert!(seal::holds(&digest, &file()));
    let modified = file().modified().expect("a time");
    let copy = entry.path.with_extension("copy");
    std::fs::copy(&entry.path, &copy).expect("copied");
    std::fs::set_permissions(&copy, Permissions::from_mode(0o644)).expect("changed");
    File::options().write(true).open(&copy).expect("opened").set_modified(modified).expect("set");
    assert!(!seal::holds(&digest, &copy.metadata().expect("there")), "another inode with the same time");
    scribble(&entry.path, b"jello");
    assert!(!seal::holds(&digest, &file()), "written to");
    let handle = File::open(&entry.path).expect("opened");
    handle.set_modified(seal::coarse(&digest, &file())).expect("set");
    assert!(seal::holds(&digest, &file()), "whole seconds do as well");
}

#[test]
fn a_changed_blob_is_set_aside_and_a_moved_one_is_sealed_again() {
    let scene = Scene::new();
    let store = scene.open();
    let entry = store.insert(verified(&store, b"hello")).expect("stored");
    let copy = entry.path.with_extension("copy");
    std::fs::copy(&entry.path, &copy).expect("copied");
    std::fs::rename(&copy, &entry.path).expect("replaced by the same bytes");
    assert!(scene.open().find(&entry.pin).expect("looked").is_some());
    assert!(seal::holds(&entry.pin.sha256, &entry.path.metadata().expect("there")));
    let wrong_size = Pin { size: 4, ..entry.pin };
    assert_eq!(scene.open().find(&wrong_size).expect("looked"), None);
    assert!(entry.path.exists(), "a pin that lies does not cost a good blob");
    scribble(&entry.path, b"jello");
    assert_eq!(scene.open().find(&entry.pin).expect("looked"), None);
    assert!(!entry.path.exists());
    store.insert(verified(&store, b"hello")).expect("stored again");
    scribble(&entry.path, b"jello");
    assert_eq!(scene.open().read(&entry.pin, 5).expect("looked"), None, "small blobs are hashed each time");
    let again = scene.open();
    scribble(&again.insert(verified(&again, b"hello")).expect("stored").path, b"jello");
    again.insert(verified(&again, b"hello")).expect("a damaged blob is replaced");
    assert_eq!(again.read(&entry.pin, 5).expect("read").as_deref(), Some(&b"hello"[..]));
}

#[test]
fn symlinks_in_the_store_are_refused() {
    let check = |plant: &dyn Fn(&Store, &PathBuf)| {
        let scene = Scene::new();
        let outside = scene.folder.path().join("outside");
        files::write_atomic(&outside.join(Sha256::of(b"hello").hex()), b"hello").expect("written");
        plant(&scene.open(), &outside);
        let error = Store::open(&scene.folder.path().join("store"))
            .and_then(|store| store.find(&Pin::of(b"hello")))
            .expect_err("refused");
        assert_eq!((error.code().0, error.class()), ("E0704", Class::Trust));
    };
    let name = Sha256::of(b"hello").hex();
    check(&|store, outside| symlink(outside, store.shards().join("2c")).expect("linked"));
    check(&|store, outside| {
        let shard = store.shards().join("2c");
        std::fs::create_dir(&shard).expect("made");
        symlink(outside.join(&name), shard.join(&name)).expect("linked");
    });
    check(&|store, outside| {
        let partial = store.staging();
        std::fs::remove_dir(&partial).expect("removed");
        symlink(outside, partial).expect("linked");
    });
    check(&|store, _| {
        let shard = store.shards().join("2c");
        std::fs::create_dir_all(shard.join(&name)).expect("made");
    });
}

#[test]
fn a_store_of_a_later_version_is_refused_and_one_beside_is_left_alone() {
    let scene = Scene::new();
    let store = scene.open();
    std::fs::create_dir(store.folder().join("v2")).expect("made");
    scene.open();
    files::write_atomic(&store.folder().join("v1/format"), b"mpm.store/2\n").expect("written");
    let error = Store::open(store.folder()).expect_err("refused");
    assert_eq!((error.code().0, error.class()), ("E0702", Class::Yours));
}

#[test]
fn a_collection_keeps_what_roots_name_and_what_came_meanwhile() {
    let scene = Scene::new();
    let store = scene.open();
    let (kept, loose) = (store.put_bytes(b"kept").expect("stored"), store.put_bytes(b"loose").expect("stored"));
    let project = scene.project("project");
    store.keep(&project, &[kept.sha256].into(), now()).expect("kept");
    let other = scene.open();
    let during = other.collect(now(), DryRun::No).expect("collected");
    assert_eq!((during.blobs, during.kept_blobs), (0, 2), "a process is at work");
    drop(store);
    let told = other.collect(now(), DryRun::Yes).expect("told");
    assert_eq!((told.blobs, told.bytes, told.kept_blobs, told.kept_bytes), (1, 5, 1, 4));
    assert!(other.find(&loose).expect("looked").is_some(), "told only");
    assert_eq!(other.collect(now(), DryRun::No).expect("collected"), told);
    assert_eq!(other.missing(&[kept, loose].into()).expect("looked"), [loose].into());
}

/// Rules that spare nothing, to be changed.
fn rules() -> Rules {
    Rules { older_than: None, max_size: None, keep: BTreeSet::new(), dry_run: DryRun::No }
}

#[test]
fn blobs_that_nobody_needs_go_by_age() {
    let scene = Scene::new();
    let (old, young) =
        (scene.open().put_bytes(b"old").expect("stored"), scene.open().put_bytes(b"young").expect("stored"));
    let store = scene.open();
    // Blobs change now by the clock of the file system; who asks 50 days later finds them 50 days old, unless a project that
    // is gone needed one later.
    let (clock, later) = (store.file_system_time(now()) + 50 * 86_400, now().plus(50 * DAY));
    let project = scene.project("project");
    store.keep(&project, &[young.sha256].into(), now().plus(45 * DAY)).expect("kept");
    std::fs::remove_file(project.join("Model.lock")).expect("removed");
    let collect = |days: u64, dry_run| {
        let rules = Rules { older_than: Some(Duration::from_secs(days * DAY)), dry_run, ..rules() };
        scene.open().collect_at(&rules, later, clock, &Cancel::new()).expect("collected")
    };
    let record = [(51, 0), (50, 1), (6, 1), (5, 2), (0, 2)];
    for (days, blobs) in record {
        let told = collect(days, DryRun::Yes);
        assert_eq!((told.blobs, told.spared_blobs), (blobs, 2 - blobs), "{days} days");
    }
    assert_eq!(collect(30, DryRun::No).blobs, 1);
    assert_eq!(scene.open().missing(&[old, young].into()).expect("looked"), [old].into());
    // The record that says how young it is outlives the collection.
    assert_eq!(collect(30, DryRun::No).blobs, 0);
    assert_eq!(collect(0, DryRun::No).blobs, 1);
    assert!(files::list(&scene.open().roots_folder()).expect("listed").is_empty());
}

#[test]
fn the_longest_unused_go_first_until_the_store_is_small_enough() {
    let scene = Scene::new();
    let pins: Vec<Pin> = (0..6_u8).map(|n| scene.open().put_bytes(&[n; 100]).expect("stored")).collect();
    let store = scene.open();
    let (clock, later) = (store.file_system_time(now()) + 90 * 86_400, now().plus(90 * DAY));
    // The first is needed; of the rest, the second was needed last by a project that is gone, the sixth first.
    let standing = scene.project("standing");
    store.keep(&standing, &[pins[0].sha256].into(), now()).expect("kept");
    for (number, pin) in pins.iter().enumerate().skip(1) {
        let project = scene.project(&format!("gone-{number}"));
        store.keep(&project, &[pin.sha256].into(), now().plus((80 - number as u64) * DAY)).expect("kept");
        std::fs::remove_file(project.join("Model.lock")).expect("removed");
    }
    let collect = |rules: &Rules| scene.open().collect_at(rules, later, clock, &Cancel::new()).expect("collected");
    let told = collect(&Rules { max_size: Some(600), dry_run: DryRun::Yes, ..rules() });
    assert_eq!((told.blobs, told.left_bytes()), (0, 600), "small enough already");
    let told = collect(&Rules { max_size: Some(0), dry_run: DryRun::Yes, ..rules() });
    assert_eq!((told.blobs, told.left_bytes()), (5, 100), "what is needed stays");
    let both = Rules { max_size: Some(0), older_than: Some(Duration::from_secs(13 * DAY)), ..rules() };
    let told = collect(&Rules { dry_run: DryRun::Yes, ..both });
    assert_eq!((told.blobs, told.left_bytes()), (3, 300), "each rule spares some");
    let kept = Rules { max_size: Some(350), keep: [pins[5].sha256].into(), ..rules() };
    let collected = collect(&kept);
    assert_eq!((collected.blobs, collected.left_bytes()), (3, 300));
    assert_eq!(
        scene.open().missing(&pins.iter().copied().collect()).expect("looked"),
        [pins[2], pins[3], pins[4]].into()
    );
}

#[test]
fn a_collection_can_be_stopped_and_what_is_claimed_stays() {
    let scene = Scene::new();
    let pin = scene.open().put_bytes(b"blob").expect("stored");
    let cancel = Cancel::new();
    cancel.cancel();
    let error = scene.open().collect_by(&rules(), now(), &cancel).expect_err("stopped");
    assert_eq!((error.code().0, error.class()), ("E0707", Class::Interrupted));
    let using = scene.open();
    using.claim(&[pin, Pin::of(b"absent")].into()).expect("claimed");
    assert_eq!(scene.open().collect(now(), DryRun::No).expect("collected").kept_blobs, 1);
    drop(using);
    assert_eq!(scene.open().collect(now(), DryRun::No).expect("collected").blobs, 1);
}

#[test]
fn projects_keep_their_blobs_while_they_stand_and_thirty_days_after_they_were_seen() {
    let check = |change: &dyn Fn(&PathBuf), days: u64, kept: u64| {
        let scene = Scene::new();
        let pin = scene.open().put_bytes(b"blob").expect("stored");
        let project = scene.project("project");
        let digests: BTreeSet<Sha256> = [pin.sha256, Sha256::of(b"1"), Sha256::of(b"2")].into();
        scene.open().keep(&project, &digests, now()).expect("kept");
        let roots = scene.open().roots_folder();
        let [(name, _)] = &files::list(&roots).expect("listed")[..] else { panic!("one root") };
        // Records are stamped by the clock of the machine; here it is that of the test.
        let record = File::open(roots.join(name)).expect("opened");
        record.set_modified(std::time::SystemTime::UNIX_EPOCH).expect("set");
        change(&project);
        let found = scene.open().collect(now().plus(days * DAY), DryRun::No).expect("collected");
        assert_eq!(found.kept_blobs, kept, "after {days} days");
    };
    check(&|_| (), 1000, 1);
    check(&|project| std::fs::remove_file(project.join("Model.lock")).expect("removed"), 0, 0);
    check(&|project| std::fs::remove_dir_all(project).expect("removed"), 29, 1);
    check(&|project| std::fs::remove_dir_all(project).expect("removed"), 31, 0);
}

#[test]
fn a_damaged_record_stops_a_collection() {
    let scene = Scene::new();
    let store = scene.open();
    store.put_bytes(b"blob").expect("stored");
    let project = scene.project("project");
    store.keep(&project, &[Sha256::of(b"blob")].into(), now()).expect("kept");
    let roots = store.roots_folder();
    let [(name, _)] = &files::list(&roots).expect("listed")[..] else { panic!("one root") };
    let whole = std::fs::read(roots.join(name)).expect("read");
    for damage in [&whole[..whole.len() - 1], b"", b"{}\n", b"no line"] {
        files::write_atomic(&roots.join(name), damage).expect("written");
        let error = store.collect(now(), DryRun::No).expect_err("refused");
        assert_eq!(error.code().0, "E0706");
    }
    store.keep(&project, &[Sha256::of(b"blob")].into(), now()).expect("written anew");
    assert_eq!(store.collect(now(), DryRun::No).expect("collected").blobs, 0);
}

#[test]
fn verifying_names_every_bad_blob() {
    let scene = Scene::new();
    let store = scene.open();
    let pins: Vec<Pin> = (0..20_u32).map(|n| store.put_bytes(n.to_string().as_bytes()).expect("stored")).collect();
    assert!(store.verify(&Cancel::new(), &Silent).expect("verified").is_empty());
    let bad = store.path_of(&pins[3].sha256);
    let modified = bad.metadata().expect("there").modified().expect("a time");
    scribble(&bad, b"x");
    File::open(&bad).expect("opened").set_modified(modified).expect("a change that no time shows");
    let found = store.verify(&Cancel::new(), &Silent).expect("verified");
    assert_eq!(found.len(), 1);
    assert_eq!((&found[0].path, found[0].expected, found[0].found), (&bad, pins[3].sha256, Some(Sha256::of(b"x"))));
    store.discard(&pins[3].sha256).expect("discarded");
    assert!(store.find(&pins[3]).expect("looked").is_none());
    let cancel = Cancel::new();
    cancel.cancel();
    let error = store.verify(&cancel, &Silent).expect_err("stopped");
    assert_eq!((error.code().0, error.class()), ("E0707", Class::Interrupted));
}

#[test]
fn inodes_and_links_survive_being_found() {
    let scene = Scene::new();
    let store = scene.open();
    let entry = store.insert(verified(&store, b"hello")).expect("stored");
    let inode = entry.path.metadata().expect("there").ino();
    let (_, file) = scene.open().find_open(&entry.pin).expect("looked").expect("there");
    assert_eq!(file.metadata().expect("open").ino(), inode);
}

/// The record of a project that keeps two blobs.
fn record() -> Vec<u8> {
    let scene = Scene::new();
    let store = scene.open();
    store.keep(&scene.project("project"), &[Sha256::of(b"1"), Sha256::of(b"2")].into(), now()).expect("kept");
    let [(name, _)] = &files::list(&store.roots_folder()).expect("listed")[..] else { panic!("one root") };
    std::fs::read(store.roots_folder().join(name)).expect("read")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn any_bytes_are_a_record_or_stop_a_collection(bytes in shaken(&record())) {
        let scene = Scene::new();
        let store = scene.open();
        let kept = store.put_bytes(b"1").expect("stored");
        put(&store.roots_folder().join(Sha256::of(b"a project").hex()), &bytes);
        drop(store);
        match scene.open().collect(now(), DryRun::No) {
            Ok(collected) => prop_assert_eq!(collected.blobs + collected.kept_blobs, 1),
            Err(error) => {
                prop_assert_eq!(error.code().0, "E0706");
                prop_assert!(scene.open().find(&kept).expect("looked").is_some(), "nothing goes while that is unknown");
            }
        }
    }
}

#[test]
fn a_file_with_another_name_that_was_written_to_is_not_taken() {
    let scene = Scene::new();
    let store = scene.open();
    let staging = store.begin().expect("begun");
    let (one, two) = (scene.folder.path().join("one"), scene.folder.path().join("two"));
    files::write_atomic(&one, b"one").expect("written");
    files::write_atomic(&two, b"two").expect("written");
    let link = |name: &str| {
        let existing = Existing::open(scene.folder.path(), std::path::Path::new(name)).expect("opened").expect("there");
        let known = existing.hash(Digests::Sha256, &Cancel::new(), &|_| ()).expect("hashed");
        let pin = known.pin();
        let bringing = Bringing::into(staging.clone());
        let (staged, _) = bringing.bring(known, name, Copying::Allowed, &Cancel::new()).expect("brought");
        verify(staged, &pin).expect("the same bytes")
    };
    let blobs = vec![link("one"), link("two")];
    scribble(&two, b"TWO");
    let inserted = store.insert_steady(blobs).expect("stored");
    assert_eq!((inserted.entries.len(), inserted.changed.len()), (1, 1));
    assert_eq!(inserted.changed[0], (Pin::of(b"two"), "two".to_owned()));
    assert!(scene.open().find(&Pin::of(b"one")).expect("looked").is_some());
    assert!(scene.open().find(&Pin::of(b"two")).expect("looked").is_none());
    files::write_atomic(&two, b"2").expect("written");
    let blob = link("two");
    scribble(&two, b"3");
    let error = store.insert(blob).expect_err("changed");
    assert_eq!((error.code().0, error.class()), ("E0708", Class::Yours), "{error}");
    assert_eq!(one.metadata().expect("there").permissions().mode() & 0o777, 0o444);
}

#[test]
fn what_was_adopted_is_kept_for_thirty_days() {
    let scene = Scene::new();
    let store = scene.open();
    let pin = store.put_bytes(b"adopted").expect("stored");
    drop(store);
    let folder = scene.folder.path().join("cache");
    std::fs::create_dir(&folder).expect("made");
    scene.open().keep_adopted(&folder, &[pin.sha256].into(), now()).expect("kept");
    // The same folder may be a project too, and have a record of its own.
    scene.open().keep(&folder, &BTreeSet::new(), now()).expect("kept");
    let later = |days: u64| Timestamp::from_seconds(now().seconds() + days * DAY).expect("in range");
    assert_eq!(scene.open().collect(later(29), DryRun::No).expect("collected").kept_blobs, 1);
    assert_eq!(scene.open().collect(later(30), DryRun::No).expect("collected").blobs, 1);
    assert!(files::list(&scene.open().roots_folder()).expect("listed").is_empty());
}
