//! Processes that end between two steps: what they leave is whole, and the next one goes on.
//!
//! A process here is this test program called again for one of the tests below named `helper_…`, which do nothing unless
//! the variable says so. With the feature `faults`, `MPM_FAULT` ends it at a named point; without, it is killed from outside.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use modelpm::fetch::{Fetcher, Health, Landed, Place};
use modelpm::model::{Pin, SafeUrl, Timestamp};
use modelpm::progress::Silent;
use modelpm::store::Store;
use modelpm::sys::{Cancel, Lease, NetworkPolicy, Staging};
use modelpm::verify::verify;

use crate::fetch::ranges::{Site, part};
use crate::fetch::{Server, blob, client, jobs, ranged};

const HELPER: &str = "MPM_TEST_HELPER";
/// A blob that comes in one stream.
const SIZE: usize = 3 << 20;
/// One that comes in segments: its seed, and its size.
const LARGE: (u64, usize) = (44, 12 << 20);

fn whole(seed: u64) -> Vec<u8> {
    blob(if seed == LARGE.0 { LARGE.1 } else { SIZE }, seed)
}

/// Starts this program for one of its helpers.
fn helper(name: &str, arguments: &[&str], fault: Option<&str>) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", &format!("crash::{name}"), "--test-threads=1"]).env(HELPER, arguments.join("\n"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if let Some(fault) = fault {
        command.env("MPM_FAULT", fault);
    }
    command.spawn().unwrap()
}

fn arguments() -> Option<Vec<String>> {
    Some(std::env::var(HELPER).ok()?.lines().map(str::to_owned).collect())
}

/// Fetches one blob into a store: folder, base, seed of the blob.
#[test]
fn helper_fetch() {
    let Some(given) = arguments() else { return };
    let [folder, base, seed] = &given[..] else { panic!("three arguments") };
    fetch(Path::new(folder), &SafeUrl::parse(base).unwrap(), seed.parse().unwrap());
}

/// Brings so many blobs into a store at once.
#[test]
fn helper_insert() {
    let Some(given) = arguments() else { return };
    let [folder, count] = &given[..] else { panic!("two arguments") };
    let store = Store::open(Path::new(folder)).unwrap();
    let staged = |seed: u64| {
        let mut staging = Staging::create(&store.staging(), "a test").unwrap();
        staging.write(&blob(100, seed)).unwrap();
        verify(staging.finish(), &Pin::of(&blob(100, seed))).unwrap()
    };
    store.insert_all((0..count.parse().unwrap()).map(staged).collect()).unwrap();
}

/// Takes a lease and holds it until it is killed.
#[test]
fn helper_lease() {
    let Some(given) = arguments() else { return };
    let _lease = Lease::take(Path::new(&given[0]), Duration::from_secs(10), &|_| ()).unwrap();
    loop {
        std::thread::park();
    }
}

fn fetch(folder: &Path, base: &SafeUrl, seed: u64) {
    let http = client(NetworkPolicy::Online);
    let store = Store::open(folder).unwrap();
    let place = Place::Http(base.clone(), http.scope_of(base).unwrap());
    let known = Health::read(&folder.join("places.json"), Timestamp::from_seconds(1).unwrap());
    let fetcher = Fetcher {
        known: &known,
        http: &http,
        staging: store.staging(),
        jobs: 2,
        already: &|pin| matches!(store.find(pin), Ok(Some(_))),
        patience: Duration::from_mins(1),
        cancel: &Cancel::new(),
        progress: &Silent,
    };
    let pin = Pin::of(&whole(seed));
    let result = fetcher.fetch(&jobs(&[pin]), &[vec![place]], &mut |landed| {
        if let Landed::Blob(job, staged) = landed {
            store.insert(verify(staged, &job.pin).unwrap()).unwrap();
        }
        Ok::<(), ()>(())
    });
    assert!(result.is_ok(), "{result:?}");
}

/// The store opens, holds only whole blobs, and the same fetch ends well.
fn check_and_go_on(folder: &Path, base: &SafeUrl, seed: u64) {
    let store = Store::open(folder).unwrap();
    assert_eq!(store.verify(&Cancel::new(), &Silent).unwrap(), []);
    drop(store);
    fetch(folder, base, seed);
    let store = Store::open(folder).unwrap();
    assert!(store.find(&Pin::of(&whole(seed))).unwrap().is_some());
    assert_eq!(store.verify(&Cancel::new(), &Silent).unwrap(), []);
    let left: Vec<_> = std::fs::read_dir(store.staging()).unwrap().map(|one| one.unwrap().file_name()).collect();
    assert_eq!(left.len(), 0, "{left:?}");
}

#[test]
fn a_download_killed_half_way_is_gone_on_with() {
    let bytes = blob(SIZE, 41);
    let (told, reached) = channel();
    let (told, half) = (Arc::new(std::sync::Mutex::new(told)), SIZE / 2);
    let killed = Arc::new(AtomicBool::new(false));
    let dead = Arc::clone(&killed);
    let server = Server::new(move |asked, stream| {
        if dead.load(Ordering::SeqCst) {
            return ranged(asked, stream, &bytes, "\"v1\"", usize::MAX);
        }
        if asked.number == 1 {
            ranged(asked, stream, &bytes, "\"v1\"", half)?;
            told.lock().unwrap().send(()).unwrap();
        }
        // Holds the connection until the client is gone.
        std::io::Read::read(stream, &mut [0]).map(|_| ())
    });
    let folder = tempfile::tempdir().unwrap();
    let mut child = helper("helper_fetch", &[folder.path().to_str().unwrap(), &server.base().to_string(), "41"], None);
    reached.recv().unwrap();
    let part = folder.path().join(format!("v1/partial/{}.part", Pin::of(&blob(SIZE, 41)).sha256));
    while std::fs::metadata(&part).map_or(0, |file| file.len()) == 0 {
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    killed.store(true, Ordering::SeqCst);
    let there = std::fs::metadata(&part).unwrap().len();
    check_and_go_on(folder.path(), server.base(), 41);
    assert_eq!(server.requests().last().unwrap().0, there, "it went on where the killed process stood");
}

#[test]
fn a_download_in_segments_that_is_killed_near_its_end_asks_for_little_more_than_the_end() {
    let (seed, size) = LARGE;
    let bytes = whole(seed);
    let pin = Pin::of(&bytes);
    let held = size - size / 100;
    let killed = Arc::new(AtomicBool::new(false));
    let dead = Arc::clone(&killed);
    let site = Site::new(move |range, stream| {
        let dead = dead.load(Ordering::SeqCst);
        let cut = if dead { usize::MAX } else { held.saturating_sub(range.from) };
        let sent = part(range, stream, &bytes, "\"v1\"", cut);
        if sent.is_err() {
            // Holds the connection until the client is gone.
            let _ = std::io::Read::read(stream, &mut [0]);
        }
        sent
    });
    let folder = tempfile::tempdir().unwrap();
    let arguments = [folder.path().to_str().unwrap(), &site.name(), &seed.to_string()];
    let mut child = helper("helper_fetch", &arguments, None);
    let path = folder.path().join(format!("v1/partial/{}.part", pin.sha256));
    let length = || std::fs::metadata(&path).map_or(0, |file| usize::try_from(file.len()).unwrap());
    while length() < size - (1 << 20) {
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    killed.store(true, Ordering::SeqCst);
    let (there, before) = (length(), site.asked().len());
    check_and_go_on(folder.path(), &SafeUrl::parse(&site.name()).unwrap(), seed);
    let again: usize = site.asked()[before..].iter().map(|range| range.to.unwrap_or(size) - range.from).sum();
    assert_eq!(again, size - there);
    assert!(again <= 1 << 20, "{again}: a segment at most");
}

#[test]
fn the_lease_of_a_killed_process_is_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lease");
    let mut child = helper("helper_lease", &[path.to_str().unwrap()], None);
    while !Lease::is_held(&path) {
        std::thread::yield_now();
    }
    let error = Lease::take(&path, Duration::ZERO, &|_| ()).unwrap_err();
    assert!(error.to_string().contains(&format!("process {}", child.id())), "{error}");
    child.kill().unwrap();
    child.wait().unwrap();
    let lease = Lease::take(&path, Duration::ZERO, &|_| ());
    assert!(lease.is_ok_and(|lease| lease.is_ours()));
}

#[cfg(feature = "faults")]
#[test]
fn a_process_that_ends_at_any_point_leaves_a_whole_store() {
    use std::os::unix::process::ExitStatusExt as _;

    for point in ["fetch-write", "fetch-write@9", "atomic-rename", "atomic-rename@3", "blob-sync", "blob-rename"] {
        let bytes = blob(SIZE, 42);
        let server = Server::cutting(&[&bytes], vec![]);
        let folder = tempfile::tempdir().unwrap();
        let base = server.base().to_string();
        let given = [folder.path().to_str().unwrap(), base.as_str(), "42"];
        let ended = helper("helper_fetch", &given, Some(&format!("{point}:kill"))).wait().unwrap();
        assert_eq!(ended.signal(), Some(9), "{point} is passed");
        // What a dead process wrote beside a file stays until a collection.
        for leftover in std::fs::read_dir(folder.path().join("v1/partial")).into_iter().flatten() {
            let path = leftover.unwrap().path();
            if path.file_name().unwrap().to_str().unwrap().starts_with(".mpm-") {
                std::fs::remove_file(path).unwrap();
            }
        }
        check_and_go_on(folder.path(), server.base(), 42);
        for error in ["ENOSPC", "EIO"] {
            let folder = tempfile::tempdir().unwrap();
            let given = [folder.path().to_str().unwrap(), base.as_str(), "42"];
            let ended = helper("helper_fetch", &given, Some(&format!("{point}:error:{error}"))).wait().unwrap();
            assert!(!ended.success(), "{point}: an error is told");
            check_and_go_on(folder.path(), server.base(), 42);
        }
    }
}

#[cfg(feature = "faults")]
#[test]
fn bytes_and_names_of_blobs_are_made_durable_one_by_one_or_all_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let given = folder.path().to_str().unwrap();
    let insert = |count: &str, fault: Option<String>| {
        // The folders of the blobs stand already, and none of the blobs.
        let store = Store::open(folder.path()).unwrap();
        for seed in 0..20 {
            store.discard(&Pin::of(&blob(100, seed)).sha256).unwrap();
        }
        drop(store);
        helper("helper_insert", &[given, count], fault.as_deref()).wait().unwrap().success()
    };
    let passages = |point: &str, count: &str| {
        (1..40).take_while(|passage| !insert(count, Some(format!("{point}@{passage}:error:EIO")))).count()
    };
    assert!(insert("20", None));
    assert_eq!((passages("blob-sync", "0"), passages("name-sync", "0")), (0, 0));
    assert_eq!((passages("blob-sync", "1"), passages("name-sync", "1")), (1, 1), "the blob, its folder");
    let folders: std::collections::BTreeSet<String> =
        (0..3).map(|seed| Pin::of(&blob(100, seed)).sha256.hex()[..2].to_owned()).collect();
    assert_eq!((passages("blob-sync", "3"), passages("name-sync", "3")), (3, folders.len()), "each of a few");
    assert_eq!((passages("blob-sync", "20"), passages("name-sync", "20")), (1, 2), "the file system, before and after");
    // A folder that is new needs a name that stays, too.
    let shard = |seed: u64| folder.path().join("v1/blobs/sha256").join(&Pin::of(&blob(100, seed)).sha256.hex()[..2]);
    let made = |fault: &str| {
        assert!(insert("0", None));
        std::fs::remove_dir_all(shard(0)).unwrap();
        insert("1", Some(format!("name-sync@{fault}:error:EIO")))
    };
    assert_eq!([made("1"), made("2"), made("3")], [false, false, true]);
}
