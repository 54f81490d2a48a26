use std::os::unix::fs::{FileExt as _, MetadataExt as _, symlink};
use std::path::{Path, PathBuf};

use crate::model::Pin;
use crate::sys::existing::{Bringing, Copying, Digests, Existing, Known, NotBrought, Way};
use crate::sys::{Cancel, files};

struct Scene {
    folder: tempfile::TempDir,
    bringing: Bringing,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["from", "store"] {
            std::fs::create_dir(folder.path().join(name)).expect("made");
        }
        let bringing = Bringing::into(folder.path().join("store"));
        Self { folder, bringing }
    }

    fn from(&self) -> PathBuf {
        self.folder.path().join("from")
    }

    fn put(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.from().join(name);
        files::write_atomic(&path, bytes).expect("written");
        path
    }

    fn open(&self, name: &str) -> std::io::Result<Option<Existing>> {
        Existing::open(&self.from(), Path::new(name))
    }

    /// Hashed where it is, as on a file system without clones.
    fn known(&self, name: &str) -> Known {
        let existing = self.open(name).expect("opened").expect("there");
        existing.hash(Digests::Sha256, &Cancel::new(), &|_| ()).expect("hashed")
    }
}

fn write(path: &Path, bytes: &[u8]) {
    let file = std::fs::File::options().write(true).open(path).expect("opened");
    file.write_all_at(bytes, 0).expect("written");
}

#[test]
fn a_link_is_made_of_the_inode_that_was_hashed() {
    let scene = Scene::new();
    let path = scene.put("file", b"hello");
    let (staged, way) =
        scene.bringing.bring(scene.known("file"), "a file", Copying::Below(0), &Cancel::new()).expect("brought");
    assert_eq!((way, staged.pin()), (Way::Hard, Pin::of(b"hello")));
    assert_eq!(staged.file().metadata().expect("open").ino(), path.metadata().expect("there").ino());
    assert!(staged.close_to_writers().expect("asked").is_some());
    assert_eq!(path.metadata().expect("there").mode() & 0o222, 0);
    drop(staged);
    assert!(files::list(&scene.folder.path().join("store")).expect("listed").is_empty(), "what is dropped goes");
    assert_eq!(std::fs::read(&path).expect("read"), b"hello", "and the file stays");
}

#[test]
fn a_file_that_was_replaced_or_written_to_after_it_was_hashed_is_not_brought() {
    let scene = Scene::new();
    let path = scene.put("file", b"hello");
    let known = scene.known("file");
    write(&path, b"jello");
    let error = scene.bringing.bring(known, "a file", Copying::Allowed, &Cancel::new()).expect_err("changed");
    assert!(matches!(error, NotBrought::Changed), "{error}");

    let known = scene.known("file");
    scene.put("file", b"other bytes");
    let brought = scene.bringing.bring(known, "a file", Copying::Allowed, &Cancel::new());
    if let Ok((staged, _)) = brought {
        // The inode that was hashed has a name no more; its bytes do all the same.
        assert_eq!(staged.pin(), Pin::of(b"jello"));
    }

    let known = scene.known("file");
    let (staged, _) = scene.bringing.bring(known, "a file", Copying::Allowed, &Cancel::new()).expect("brought");
    write(&scene.from().join("file"), b"OTHER");
    assert!(staged.close_to_writers().expect("asked").is_none(), "written to between the link and the store");
}

#[test]
fn links_lead_no_further_than_the_folder_and_a_pipe_does_not_block() {
    let scene = Scene::new();
    let secret = scene.folder.path().join("secret");
    files::write_atomic(&secret, b"secret").expect("written");
    scene.put("blobs/one", b"1");
    let from = scene.from();
    symlink("blobs/one", from.join("inside")).expect("linked");
    symlink("../secret", from.join("outside")).expect("linked");
    symlink(&secret, from.join("absolute")).expect("linked");
    symlink("nothing", from.join("dangling")).expect("linked");
    symlink("..", from.join("up")).expect("linked");
    let pipe = std::process::Command::new("mkfifo").arg(from.join("pipe")).status().expect("mkfifo");
    assert!(pipe.success());
    assert_eq!(scene.open("inside").expect("opened").expect("there").size(), 1);
    for name in ["outside", "absolute", "pipe", "blobs", "up/secret"] {
        assert!(scene.open(name).is_err(), "{name}");
    }
    for name in ["dangling", "absent", "absent/below", "blobs/one/below"] {
        assert!(scene.open(name).expect("told").is_none(), "{name}");
    }
}

#[test]
fn what_cannot_be_linked_is_copied_within_the_rule_and_holes_stay() {
    let scene = Scene::new();
    // A sticky file is no blob to share.
    let path = scene.from().join("file");
    let file = std::fs::File::create(&path).expect("made");
    file.set_len(8 << 20).expect("grown");
    file.write_all_at(b"end", (8 << 20) - 3).expect("written");
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o1600)).expect("changed");
    let pin = scene.known("file").pin();
    let bring = |copying| scene.bringing.bring(scene.known("file"), "a file", copying, &Cancel::new());
    assert!(matches!(bring(Copying::Below(8 << 20)), Err(NotBrought::MustCopy)));
    let (staged, way) = bring(Copying::Below((8 << 20) + 1)).expect("brought");
    assert_eq!((way, staged.pin()), (Way::Copy, pin));
    assert!(staged.file().metadata().expect("open").blocks() * 512 <= 2 << 20, "holes are not filled");
    let (staged, _) = bring(Copying::Allowed).expect("brought");
    staged.close_to_writers().expect("closed");
    assert_eq!(staged.file().metadata().expect("open").mode() & 0o7777, 0o400, "what is private stays so");
    let cancel = Cancel::new();
    cancel.cancel();
    let stopped = scene.bringing.bring(scene.known("file"), "a file", Copying::Allowed, &cancel);
    assert!(matches!(stopped, Err(NotBrought::Disk(error)) if error.kind() == std::io::ErrorKind::Interrupted));
}
