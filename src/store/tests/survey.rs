//! Going through all blobs: what is counted, what is hashed, and what is passed over.

use std::os::unix::fs::MetadataExt as _;
use std::sync::Mutex;

use super::{Scene, scribble};
use crate::diagnose::{Class, Diagnose as _};
use crate::model::{Pin, Sha256};
use crate::progress::{Event, Progress, Silent};
use crate::store::survey::Hashed;
use crate::sys::{Cancel, files};

/// What was begun, how far it came, how it ended.
#[derive(Default)]
struct Heard(Mutex<(Vec<u64>, u64, Vec<bool>)>);

impl Progress for Heard {
    fn on(&self, event: &Event<'_>) {
        let mut heard = self.0.lock().expect("whole");
        match event {
            Event::Started { bytes, .. } => heard.0.extend(*bytes),
            Event::Advanced { bytes, .. } => {
                assert_ne!(*bytes, 0, "nothing is no advance");
                heard.1 += bytes;
            }
            Event::Finished { ok, .. } => heard.2.push(*ok),
            Event::Notice(notice) => panic!("{notice:?}"),
            Event::Needed { .. } | Event::Kept { .. } => panic!("{event:?}"),
        }
    }
}

#[test]
fn verifying_tells_how_far_it_came_and_how_it_ended() {
    let scene = Scene::new();
    let store = scene.open();
    for bytes in [&b"one"[..], b"four", b""] {
        store.put_bytes(bytes).expect("stored");
    }
    let run = || {
        let heard = Heard::default();
        let bad = store.verify(&Cancel::new(), &heard).expect("hashed").len();
        (bad, heard.0.into_inner().expect("whole"))
    };
    assert_eq!(run(), (0, (vec![7], 7, vec![true])));
    scribble(&store.path_of(&Sha256::of(b"four")), b"FOUR");
    assert_eq!(run(), (1, (vec![7], 7, vec![false])));
}

#[test]
fn a_blob_that_can_not_be_read_is_bad() {
    let scene = Scene::new();
    let store = scene.open();
    let digest = store.put_bytes(b"blob").expect("stored").sha256;
    let path = store.path_of(&digest);
    std::fs::remove_file(&path).expect("removed");
    std::fs::create_dir(&path).expect("made");
    let bad = store.verify(&Cancel::new(), &Silent).expect("hashed");
    assert_eq!(bad.iter().map(|bad| (bad.expected, bad.found)).collect::<Vec<_>>(), [(digest, None)]);
}

#[test]
fn a_blob_that_was_hashed_under_another_name_is_not_hashed_again() {
    let scene = Scene::new();
    let store = scene.open();
    let pin = store.put_bytes(b"blob").expect("stored");
    let path = store.path_of(&pin.sha256);
    // Known by its file alone: what was hashed elsewhere is believed, so that a change since then is not seen here.
    scribble(&path, b"BLOB");
    let file = path.metadata().expect("there");
    let bad = |device: u64, inode: u64, digest: Sha256| {
        let hashed = Hashed::from([((device, inode), digest)]);
        let heard = Heard::default();
        let bad = store.verify_but(&hashed, &Cancel::new(), &heard).expect("hashed").len();
        assert_eq!(heard.0.into_inner().expect("whole").1, 4, "what is known counts as done");
        bad
    };
    assert_eq!(bad(file.dev(), file.ino(), pin.sha256), 0);
    assert_eq!(bad(file.dev(), file.ino(), Sha256::of(b"BLOB")), 1, "it is another blob");
    assert_eq!(bad(file.dev(), file.ino() + 1, pin.sha256), 1, "another file");
    assert_eq!(bad(file.dev() + 1, file.ino(), pin.sha256), 1, "on another disk");
}

#[test]
fn whatever_is_not_named_like_a_blob_is_passed_over() {
    let scene = Scene::new();
    let store = scene.open();
    let pin = store.put_bytes(b"blob").expect("stored");
    let hex = pin.sha256.hex();
    let shards = store.shards();
    let other = if hex.starts_with("ab") { "cd" } else { "ab" };
    for name in [
        format!("{}/{hex}.copy", &hex[..2]),
        format!("{}/{}", &hex[..2], &hex[..63]),
        format!("{}/{}g", &hex[..2], &hex[..63]),
        // In the wrong folder.
        format!("{other}/{hex}"),
        format!("AB/{hex}"),
        "abc".to_owned(),
        "a".to_owned(),
        "g0".to_owned(),
        "README".to_owned(),
    ] {
        files::write_atomic(&shards.join(name), b"other").expect("written");
    }
    assert_eq!(store.size().expect("counted"), (1, 4));
    assert_eq!(store.verify(&Cancel::new(), &Silent).expect("hashed"), []);
    let file = store.path_of(&pin.sha256).metadata().expect("there");
    assert_eq!(store.inodes().expect("read"), [((file.dev(), file.ino()), pin)].into());
}

#[test]
fn a_file_where_blobs_should_lie_is_told() {
    for name in ["00", "af", "9b"] {
        let scene = Scene::new();
        let store = scene.open();
        files::write_atomic(&store.shards().join(name), b"").expect("written");
        let error = store.size().expect_err("planted");
        assert_eq!((error.code().0, error.class()), ("E0704", Class::Trust), "{error}");
        assert!(store.verify(&Cancel::new(), &Silent).is_err() && store.find(&Pin::of(b"absent")).is_ok());
    }
}
