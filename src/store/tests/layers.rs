//! Layers: what is taken from them, what is passed over, and what is said of it.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{Scene, now, scribble};
use crate::model::{Pin, Sha256};
use crate::progress::{Event, Progress, Silent};
use crate::store::survey::Hashed;
use crate::store::{DryRun, Store};
use crate::sys::{Cancel, files};

/// Keeps what is said.
#[derive(Default)]
struct Said(Mutex<Vec<String>>);

impl Said {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().expect("whole"))
    }
}

impl Progress for Said {
    fn on(&self, event: &Event<'_>) {
        if let Event::Notice(notice) = event {
            self.0.lock().expect("whole").push(format!("{}: {}", notice.code, notice.text));
        }
    }
}

/// A store over one layer that holds "below", and what it says.
struct Two {
    below: Scene,
    above: Scene,
    said: Arc<Said>,
    pin: Pin,
}

impl Two {
    fn new() -> Self {
        let (below, above) = (Scene::new(), Scene::new());
        let pin = below.open().put_bytes(b"below").expect("stored");
        Self { below, above, said: Arc::default(), pin }
    }

    fn layer(&self) -> PathBuf {
        self.below.open().folder().to_owned()
    }

    fn open(&self) -> Store {
        let store = self.above.open().telling(self.said.clone(), Duration::ZERO);
        store.over(&[self.below.folder.path().join("store")]).expect("opened")
    }

    /// The file in the layer.
    fn file(&self) -> PathBuf {
        self.below.open().path_of(&self.pin.sha256)
    }
}

#[test]
fn what_a_layer_has_is_found_there_and_what_it_seems_to_have_is_told() {
    let two = Two::new();
    let store = two.open();
    assert_eq!(store.layers().collect::<Vec<_>>(), [two.layer()]);
    assert!(store.find(&two.pin).expect("looked").is_some_and(|entry| entry.path == two.file()));
    assert!(store.seems_to_have(&two.pin) && store.hold(&two.pin).expect("held"));
    assert_eq!(store.read(&two.pin, 5).expect("read").as_deref(), Some(&b"below"[..]));
    let shorter = Pin { size: 4, ..two.pin };
    assert!(!store.seems_to_have(&shorter), "another size");
    assert!(!store.seems_to_have(&Pin::of(b"absent")));
    std::fs::remove_file(two.file()).expect("removed");
    std::fs::create_dir(two.file()).expect("made");
    let folder = Pin { size: two.file().metadata().expect("there").len(), ..two.pin };
    assert!(!store.seems_to_have(&folder), "no file");
}

#[test]
fn what_the_store_itself_seems_to_have_is_told() {
    let scene = Scene::new();
    let store = scene.open();
    let pin = store.put_bytes(b"blob").expect("stored");
    assert!(store.seems_to_have(&pin));
    assert!(!store.seems_to_have(&Pin { size: 3, ..pin }), "another size");
    assert!(!store.seems_to_have(&Pin::of(b"absent")));
    let path = store.path_of(&pin.sha256);
    std::fs::remove_file(&path).expect("removed");
    std::fs::create_dir(&path).expect("made");
    assert!(!store.seems_to_have(&Pin { size: path.metadata().expect("there").len(), ..pin }), "no file");
}

#[test]
fn only_stores_of_this_version_are_layers() {
    let two = Two::new();
    let format = two.layer().join("v1/format");
    let check = |expected: &str| {
        let store = two.open();
        let said = two.said.take();
        assert_eq!(store.layers().count(), usize::from(expected.is_empty()));
        assert!(
            said.len() == store.layers().count() ^ 1 && said.iter().all(|text| text.contains(expected)),
            "{said:?}"
        );
        assert_eq!(store.find(&two.pin).expect("looked").is_some(), expected.is_empty());
    };
    check("");
    files::write_atomic(&format, b"mpm.store/2\n").expect("written");
    check("is left out: it is a store of another version");
    std::fs::remove_file(&format).expect("removed");
    check("is left out: it is no store");
    let own = two.above.open().telling(two.said.clone(), Duration::ZERO);
    let itself = own.clone().over(&[own.folder().to_owned()]).expect("opened");
    assert_eq!((itself.layers().count(), two.said.take()), (0, Vec::new()), "a store is no layer of itself");
}

#[test]
fn a_blob_of_a_layer_that_is_not_what_its_name_says_is_passed_over_and_told_once() {
    let check = |change: &dyn Fn(&Two), expected: &str| {
        let two = Two::new();
        let store = two.open();
        change(&two);
        for _ in 0..2 {
            assert_eq!(store.find(&two.pin).expect("looked"), None, "{expected}");
        }
        let said = two.said.take();
        assert_eq!(said.len(), usize::from(!expected.is_empty()), "{said:?}");
        assert!(said.iter().all(|text| text.contains("is passed over") && text.contains(expected)), "{said:?}");
    };
    check(&|two| std::fs::remove_file(two.file()).expect("removed"), "");
    check(&|two| std::fs::remove_dir_all(two.file().parent().expect("a folder")).expect("removed"), "");
    check(&|two| scribble(&two.file(), b"other"), "other bytes than its name says");
    check(&|two| scribble(&two.file(), b"longer than it was"), "another size");
    check(
        &|two| {
            let aside = two.file().with_extension("aside");
            std::fs::rename(two.file(), &aside).expect("moved");
            symlink(&aside, two.file()).expect("linked");
        },
        "a symlink",
    );
    check(
        &|two| {
            let shard = two.file().parent().expect("a folder").to_owned();
            let aside = shard.with_extension("aside");
            std::fs::rename(&shard, &aside).expect("moved");
            symlink(&aside, &shard).expect("linked");
        },
        "its folder is none, or a symlink",
    );
}

#[test]
fn a_blob_of_a_layer_is_hashed_again_when_its_file_changed() {
    let two = Two::new();
    let store = two.open();
    // A copy made with other tools has no seal: its hash is what counts, once for each state of the file.
    let copy = two.file().with_extension("copy");
    std::fs::copy(two.file(), &copy).expect("copied");
    std::fs::rename(&copy, two.file()).expect("replaced");
    assert!(store.find(&two.pin).expect("looked").is_some());
    assert!(store.find(&two.pin).expect("looked").is_some());
    scribble(&two.file(), b"rotten");
    std::fs::File::options().write(true).open(two.file()).expect("opened").set_len(5).expect("cut");
    assert_eq!(store.find(&two.pin).expect("looked"), None);
    std::fs::set_permissions(two.file(), Permissions::from_mode(0o644)).expect("changed");
    assert!(two.file().exists(), "nothing is set aside in a layer");
}

#[test]
fn what_is_passed_over_is_asked_of_no_layer_by_any_process_until_the_mark_goes() {
    let two = Two::new();
    let store = two.open();
    store.pass_over(&two.pin.sha256).expect("marked");
    assert_eq!(store.find(&two.pin).expect("looked"), None);
    assert_eq!(two.open().find(&two.pin).expect("looked"), None, "another process");
    assert_eq!(two.open().read(&two.pin, 5).expect("read"), None);
    std::fs::remove_file(two.above.open().folder().join("v1/passed").join(two.pin.sha256.hex())).expect("removed");
    assert!(two.open().find(&two.pin).expect("looked").is_some());
    let other = two.below.open().put_bytes(b"other").expect("stored");
    store.pass_over(&Sha256::of(b"unrelated")).expect("marked");
    assert!(store.find(&other).expect("looked").is_some(), "one mark is about one blob");
}

#[test]
fn a_layer_is_counted_and_hashed_apart_from_the_store() {
    let two = Two::new();
    let store = two.open();
    let own = store.put_bytes(b"own blob").expect("stored");
    assert_eq!(store.size().expect("counted"), (1, 8));
    assert_eq!(store.size_of_layer(&two.layer()).expect("counted"), (1, 5));
    let verify = |hashed: &Hashed| store.verify_layer(&two.layer(), hashed, &Cancel::new(), &Silent).expect("hashed");
    assert_eq!(verify(&Hashed::new()), []);
    scribble(&two.file(), b"belOW");
    let bad = verify(&Hashed::new());
    assert_eq!(bad.len(), 1);
    assert_eq!((&bad[0].path, bad[0].found), (&two.file(), Some(Sha256::of(b"belOW"))));
    assert_eq!(store.verify(&Cancel::new(), &Silent).expect("hashed"), []);
    assert_eq!(store.collect(now(), DryRun::Yes).expect("told").kept_blobs, 1);
    assert!(store.find(&own).expect("looked").is_some());
}

#[test]
fn root_hashes_what_another_user_takes_by_its_seal() {
    let two = Two::new();
    let times = two.file().metadata().expect("there").modified().expect("a time");
    scribble(&two.file(), b"belOW");
    std::fs::File::open(two.file()).expect("opened").set_modified(times).expect("a change that no time shows");
    let found = two.open().find(&two.pin).expect("looked").is_some();
    assert_eq!(found, !rustix::process::geteuid().is_root());
}
