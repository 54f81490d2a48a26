//! The store as many processes, small disks and planted files meet it.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use modelpm::diagnose::{Class, Diagnose as _};
use modelpm::model::{Pin, Timestamp};
use modelpm::progress::Silent;
use modelpm::store::{DryRun, Store};
use modelpm::sys::{Cancel, Staging};
use modelpm::verify::{Verified, verify};

use crate::fetch::blob;
use crate::support::peers;

fn now() -> Timestamp {
    Timestamp::from_seconds(1_795_392_000).unwrap()
}

fn staged(store: &Store, bytes: &[u8]) -> std::io::Result<Verified> {
    let mut staging = Staging::create(&store.staging(), "a test")?;
    staging.write(bytes)?;
    Ok(verify(staging.finish(), &Pin::of(bytes)).unwrap())
}

/// A project with a lock.
fn project(folder: &Path, number: usize) -> std::path::PathBuf {
    let project = folder.join(format!("project-{number}"));
    std::fs::create_dir_all(&project).unwrap();
    std::fs::write(project.join("Model.lock"), "").unwrap();
    project
}

#[test]
fn twenty_installs_and_collections_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("store");
    let shared: Vec<Vec<u8>> = (0..30).map(|seed| blob(2000, seed)).collect();
    // What an earlier project left behind is found again by the installs, or collected before they look.
    let old = Store::open(&home).unwrap();
    old.insert_all(shared.iter().take(15).map(|bytes| staged(&old, bytes).unwrap()).collect()).unwrap();
    drop(old);
    std::thread::scope(|scope| {
        for number in 0..20 {
            let (home, shared, folder) = (&home, &shared, folder.path());
            scope.spawn(move || {
                let store = Store::open(home).unwrap();
                let own = blob(3000, 1000 + number as u64);
                let wanted: BTreeSet<Pin> = shared.iter().chain([&own]).map(|bytes| Pin::of(bytes)).collect();
                store.keep(&project(folder, number), &wanted.iter().map(|pin| pin.sha256).collect(), now()).unwrap();
                for bytes in shared.iter().chain([&own]) {
                    if store.find(&Pin::of(bytes)).unwrap().is_none() {
                        store.insert(staged(&store, bytes).unwrap()).unwrap();
                    }
                }
                for pin in &wanted {
                    assert!(store.find(pin).unwrap().is_some(), "found or inserted, and then gone");
                }
            });
        }
        for _ in 0..3 {
            scope.spawn(|| {
                let store = Store::open(&home).unwrap();
                for _ in 0..5 {
                    store.collect(now(), DryRun::No).unwrap();
                }
            });
        }
    });
    let store = Store::open(&home).unwrap();
    assert_eq!(store.size().unwrap().0, 50);
    assert_eq!(store.verify(&Cancel::new(), &Silent).unwrap(), []);
    let collected = store.collect(now(), DryRun::No).unwrap();
    assert_eq!((collected.blobs, collected.kept_blobs), (0, 50));
}

#[test]
fn a_full_disk_is_a_clear_error_and_leaves_a_whole_store() {
    let folder = tempfile::tempdir().unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"])
        .arg(folder.path())
        .output()
        .is_ok_and(|output| output.status.success());
    if !mounted {
        peers::skip("the right to mount a small file system");
        return;
    }
    let _mount = Mount(folder.path());
    let store = Store::open(&folder.path().join("store")).unwrap();
    let kept = store.put_bytes(&blob(1 << 20, 1)).unwrap();
    let error = store.put_bytes(&blob(2 << 20, 2)).unwrap_err();
    assert_eq!((error.code().0, error.class()), ("E0703", Class::Yours), "{error}");
    assert!(store.find(&kept).unwrap().is_some());
    assert_eq!(store.verify(&Cancel::new(), &Silent).unwrap(), []);
    assert_eq!(std::fs::read_dir(store.staging()).unwrap().count(), 0, "nothing half written is left");
}

/// Unmounts at the end of a test, however it ends.
struct Mount<'a>(&'a Path);

impl Drop for Mount<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[test]
fn a_store_that_cannot_be_written_is_a_clear_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = Store::open(&file.join("store")).unwrap_err();
    assert_eq!((error.code().0, error.class()), ("E0701", Class::Yours));
    assert!(error.to_string().contains("file"), "{error}");
}
