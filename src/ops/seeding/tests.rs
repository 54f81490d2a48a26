use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::config::Config;
use crate::model::{GitBlobId, HubId, Pin, RelPath, Sha256, Timestamp};
use crate::ops::seeding::{HubUnpinned, HubWanted, pin_from_cache, seed_from_cache};
use crate::ops::{HubSettings, Nobody, Services};
use crate::progress::{Event, Progress};
use crate::store::Store;
use crate::sys::{Cancel, Folders, HttpClient, HttpSettings, files};

const COMMITS: [&str; 2] = ["0123456789abcdef0123456789abcdef01234567", "89abcdef0123456789abcdef0123456789abcdef"];

/// Remembers warnings.
#[derive(Default)]
struct Warned(Mutex<Vec<String>>);

impl Progress for Warned {
    fn on(&self, event: &Event<'_>) {
        if let Event::Notice(notice) = event {
            self.0.lock().expect("whole").push(format!("{} {}", notice.code, notice.text));
        }
    }
}

struct Scene {
    folder: tempfile::TempDir,
    services: Services,
    warned: Arc<Warned>,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let place = |name: &str| folder.path().join(name);
        let folders = Folders {
            store: place("store"),
            trust: place("trust"),
            cache: place("cache"),
            user_config: place("config.toml"),
            site_config: place("site.toml"),
            keys: place("keys"),
            hub_cache: Some(place("hub")),
            credentials: place("credentials.toml"),
        };
        let warned = Arc::new(Warned::default());
        let services = Services {
            now: Timestamp::from_seconds(1_800_000_000).expect("in range"),
            folders,
            config: Config::default(),
            http: HttpClient::new(HttpSettings::default()).expect("a client"),
            hub: HubSettings::at(None).expect("the hub's own"),
            progress: Arc::clone(&warned) as Arc<dyn Progress>,
            ask: Arc::new(Nobody),
            cancel: Cancel::new(),
        };
        Self { folder, services, warned }
    }

    fn store(&self) -> Store {
        Store::open(&self.services.folders.store).expect("opened")
    }

    fn put(&self, path: &str, bytes: &[u8]) -> PathBuf {
        let path = self.folder.path().join("hub").join(path);
        files::write_atomic(&path, bytes).expect("written");
        path
    }

    fn link(&self, commit: &str, path: &str, target: &str) {
        let link = self.folder.path().join("hub/models--org--name/snapshots").join(commit).join(path);
        std::fs::create_dir_all(link.parent().expect("a folder")).expect("made");
        symlink(target, link).expect("linked");
    }

    fn warnings(&self) -> Vec<String> {
        std::mem::take(&mut *self.warned.0.lock().expect("whole"))
    }
}

fn hub() -> HubId {
    HubId::parse("hf:org/name").expect("an id")
}

fn path(text: &str) -> RelPath {
    RelPath::parse(text).expect("a path")
}

fn wanted(name: &str, bytes: &[u8]) -> HubWanted {
    HubWanted { hub: hub(), path: path(name), pin: Pin::of(bytes) }
}

/// `hello` and a line end, as git names it.
const HELLO: &str = "ce013625030ba8dba906f756967f9e9ca394464a";

#[test]
fn what_the_cache_has_is_taken_and_what_is_wrong_is_named_and_not_used() {
    let scene = Scene::new();
    let blobs = "models--org--name/blobs";
    scene.put(&format!("{blobs}/{}", Sha256::of(b"weights")), b"weights");
    scene.put(&format!("{blobs}/{HELLO}"), b"hello\n");
    scene.link(COMMITS[0], "sub/config.json", &format!("../../../blobs/{HELLO}"));
    scene.put(&format!("models--org--name/snapshots/{}/plain.txt", COMMITS[1]), b"plain");
    scene.put(&format!("models--org--name/snapshots/{}/plain.txt", COMMITS[0]), b"older");
    let flipped = scene.put(&format!("{blobs}/{}", Sha256::of(b"flipped")), b"fl1pped");
    let truncated = scene.put(&format!("{blobs}/{}", Sha256::of(b"truncated")), b"trunc");
    // Another version of a file is nothing to warn of.
    scene.put(&format!("{blobs}/{}", Sha256::of(b"version 1")), b"version 1");
    scene.link(COMMITS[0], "moved.bin", &format!("../../blobs/{}", Sha256::of(b"version 1")));
    let all = [
        wanted("model.bin", b"weights"),
        wanted("sub/config.json", b"hello\n"),
        wanted("plain.txt", b"plain"),
        wanted("flipped.bin", b"flipped"),
        wanted("truncated.bin", b"truncated"),
        wanted("moved.bin", b"version 2"),
        wanted("absent.bin", b"absent"),
    ];
    let store = scene.store();
    let seeded = seed_from_cache(&scene.services, &store, &all).expect("looked");
    assert_eq!((seeded.blobs, seeded.bytes, seeded.copied), (3, 7 + 6 + 5, 0));
    for wanted in &all {
        let taken = seeded.pins.contains(&wanted.pin);
        assert_eq!(store.find(&wanted.pin).expect("looked").is_some(), taken, "{}", wanted.path);
    }
    let mut refused = seeded.refused;
    refused.sort();
    let mut expected = vec![flipped, truncated];
    expected.sort();
    assert_eq!(refused, expected);
    let warnings = scene.warnings();
    assert_eq!(warnings.len(), 2);
    assert!(warnings.iter().all(|text| text.starts_with("cache-differs ")), "{warnings:?}");
    // A second look finds the store full of it.
    let again = seed_from_cache(&scene.services, &scene.store(), &all).expect("looked");
    assert_eq!((again.blobs, again.pins), (0, seeded.pins));
}

#[test]
fn what_all_repositories_share_is_found_through_the_names_that_lead_there() {
    let scene = Scene::new();
    let xet = Sha256::of(b"named by another hash").hex();
    let shared = format!("blobs/{}/{xet}", &xet[..2]);
    scene.put(&shared, b"shared");
    let name = Sha256::of(b"shared").hex();
    let blobs = scene.folder.path().join("hub/models--org--name/blobs");
    std::fs::create_dir_all(&blobs).expect("made");
    symlink(format!("../../{shared}"), blobs.join(&name)).expect("linked");
    scene.link(COMMITS[0], "model.bin", &format!("../../blobs/{name}"));
    // A link that leads out of the cache is not followed.
    files::write_atomic(&scene.folder.path().join("secret"), b"secret").expect("written");
    symlink("../../../secret", blobs.join(Sha256::of(b"secret").hex())).expect("linked");
    let all = [wanted("model.bin", b"shared"), wanted("secret.bin", b"secret")];
    let seeded = seed_from_cache(&scene.services, &scene.store(), &all).expect("looked");
    assert_eq!((seeded.blobs, seeded.pins.contains(&all[0].pin)), (1, true));
    assert!(scene.warnings().is_empty());
}

#[test]
fn a_file_without_a_pin_is_known_by_its_git_name() {
    let scene = Scene::new();
    let blob = scene.put(&format!("models--org--name/blobs/{HELLO}"), b"hello\n");
    let git = |text: &str| GitBlobId::parse(text).expect("an id");
    let file = |size| HubUnpinned { hub: hub(), path: path("a.txt"), size, git: git(HELLO) };
    let other = HubUnpinned { git: git(&HELLO.replace('c', "d")), ..file(6) };
    let store = scene.store();
    let (pins, seeded) = pin_from_cache(&scene.services, &store, &[file(6), other]).expect("looked");
    assert_eq!((pins, seeded.blobs), (vec![Some(Pin::of(b"hello\n")), None], 1));
    assert!(store.find(&Pin::of(b"hello\n")).expect("looked").is_some());
    files::remove(&blob).expect("removed");
    scene.put(&format!("models--org--name/blobs/{HELLO}"), b"jello\n");
    let (pins, _) = pin_from_cache(&scene.services, &scene.store(), &[file(6)]).expect("looked");
    assert_eq!((pins, scene.warnings().len()), (vec![None], 1));
}

#[test]
fn without_a_cache_nothing_is_written() {
    let scene = Scene::new();
    let store = scene.store();
    let seeded = seed_from_cache(&scene.services, &store, &[wanted("a", b"a")]).expect("looked");
    assert!(seeded.pins.is_empty());
    assert!(files::list(&store.folder().join("v1/active")).expect("listed").is_empty());
    assert!(!Path::new("hub").exists());
}
