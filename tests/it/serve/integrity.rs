//! Bytes on the disk that are not what they were: what each way of checking does about them.

use std::path::Path;
use std::time::{Duration, Instant};

use modelpm::chunk::{ChunkHash, ChunkList};
use modelpm::model::{Pin, Sha256};

use super::{Serving, blob_file, blob_path, mirror};
use crate::flows::fixture::registry;
use crate::support::registry::TestRegistry;
use crate::support::{blob, peers};

/// A registry with a blob of 12 MiB in chunks of 256 KiB.
fn chunked() -> (TestRegistry, Vec<u8>) {
    let mut registry = registry();
    let bytes = blob::safetensors(77, 3 << 20);
    let chunks = bytes.chunks(256 << 10).map(|chunk| (u32::try_from(chunk.len()).unwrap(), ChunkHash::of(chunk)));
    let index = ChunkList::new(Pin::of(&bytes), chunks).unwrap().render();
    registry.put_blob(&index);
    registry
        .release("acme/large", "1.0.0")
        .file("model.safetensors", &bytes)
        .chunks("model.safetensors", &index)
        .publish();
    (registry, bytes)
}

/// Flips a bit of a file; its times go back to what they were, as far as a program can do that.
fn flip(file: &Path, at: usize) {
    let before = file.metadata().unwrap();
    let mut bytes = std::fs::read(file).unwrap();
    bytes[at] ^= 1;
    use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let open = std::fs::OpenOptions::new().write(true).open(file).unwrap();
    open.write_all_at(&bytes[at..=at], at as u64).unwrap();
    open.set_modified(before.modified().unwrap()).unwrap();
    std::fs::set_permissions(file, before.permissions()).unwrap();
}

#[test]
fn a_flipped_bit_is_seen_by_the_files_change_time_before_a_byte_leaves() {
    let registry = registry();
    let (machine, to) = mirror(&registry);
    let bytes = blob::safetensors(2, 3_000);
    let (path, file) = (blob_path(&bytes), blob_file(&to, &bytes));
    let serving = Serving::start(&machine, &[&to.display().to_string(), "--scrub", "0"]);
    assert_eq!(serving.get(&path, &[]).body, bytes);
    flip(&file, 5_000);
    let answer = serving.get(&path, &["range: bytes=0-9"]);
    assert_eq!(answer.status, 500, "{}", answer.text());
    assert!(answer.text().contains("E1096"), "{}", answer.text());
    serving.says("E1096");
    assert!(!file.exists() && to.join(".mpm-mirror/corrupt").join(Sha256::of(&bytes).hex()).is_file(), "taken out");
    let health: serde_json::Value = serde_json::from_slice(&serving.get("/health", &[]).body).unwrap();
    assert_eq!((&health["status"], &health["corrupt"]), (&"degraded".into(), &1.into()));
    assert_eq!(serving.figure("corrupt_total"), 1);
    // Brought again, it is served again.
    crate::flows::fixture::ok(&machine, &["mirror", "sync", &to.display().to_string(), "--all"]);
    assert_eq!(serving.get(&path, &[]).body, bytes);
    let health: serde_json::Value = serde_json::from_slice(&serving.get("/health", &[]).body).unwrap();
    assert_eq!(health["status"], "ok");
}

/// What a disk does that forgets: other bytes, and nothing about the file says so. Here the record is made to agree with the file.
fn rot(machine: &crate::support::project::Project, file: &Path, pin: &Pin, at: usize) {
    use std::os::unix::fs::MetadataExt as _;
    flip(file, at);
    let found = file.metadata().unwrap();
    let stand = format!(
        "mpm.verified/1 {} 0 {} {} {}.{} {}.{} {}",
        pin.sha256,
        pin.size,
        found.len(),
        found.mtime(),
        found.mtime_nsec(),
        found.ctime(),
        found.ctime_nsec(),
        found.ino()
    );
    let half = |digest: Sha256| digest.hex()[..32].to_owned();
    let state = machine.home().join(".local/state/mpm/serve");
    let own = std::fs::read_dir(&state).unwrap().next().unwrap().unwrap().path().join("verified");
    let mut text = std::fs::read_to_string(&own).unwrap();
    text.push_str(&format!("{} {} 0\n", half(pin.sha256), half(Sha256::of(stand.as_bytes()))));
    std::fs::write(&own, text).unwrap();
}

#[test]
fn what_no_record_shows_the_scrub_finds_within_its_period() {
    let (registry, bytes) = chunked();
    let (machine, to) = mirror(&registry);
    let (path, file, text) = (blob_path(&bytes), blob_file(&to, &bytes), to.display().to_string());
    let mut first = Serving::start(&machine, &[&text, "--scrub", "0"]);
    assert_eq!(first.get(&path, &["range: bytes=0-9"]).status, 206);
    first.stop();
    rot(&machine, &file, &Pin::of(&bytes), 5 << 20);
    // The record says that it is good: this is what the default mode can miss.
    let serving = Serving::start(&machine, &[&text, "--scrub", "3"]);
    let begun = Instant::now();
    assert_eq!(serving.get(&path, &["range: bytes=0-9"]).status, 206);
    while serving.figure("corrupt_total") == 0 {
        assert!(begun.elapsed() < Duration::from_secs(20), "the scrub does not find it");
        std::thread::sleep(Duration::from_millis(50));
    }
    let found = begun.elapsed();
    peers::figure(&format!("a scrub of 3 s finds a flipped bit after {:.1} s", found.as_secs_f64()));
    serving.says("E1096");
    assert_eq!(serving.get(&path, &["range: bytes=0-9"]).status, 404);
    assert!(!file.exists());
}

#[test]
fn with_chunks_no_byte_leaves_whose_chunk_does_not_fit() {
    let (registry, bytes) = chunked();
    let (machine, to) = mirror(&registry);
    let (path, file, text) = (blob_path(&bytes), blob_file(&to, &bytes), to.display().to_string());
    let mut first = Serving::start(&machine, &[&text, "--verify", "chunks", "--scrub", "0"]);
    assert_eq!(first.get(&path, &[]).body, bytes);
    let part = first.get(&path, &[&format!("range: bytes={}-{}", (256 << 10) - 3, (512 << 10) + 3)]);
    assert_eq!((part.status, &part.body[..]), (206, &bytes[(256 << 10) - 3..(512 << 10) + 4]));
    let last = first.get(&path, &["range: bytes=-1"]);
    assert_eq!(last.body, bytes[bytes.len() - 1..]);
    first.stop();
    let at = (5 << 20) + 100;
    rot(&machine, &file, &Pin::of(&bytes), at);
    let chunk = at / (256 << 10);
    let begins = chunk * (256 << 10);
    let serving = Serving::start(&machine, &[&text, "--verify", "chunks", "--scrub", "0"]);
    // A range that begins in the bad chunk is an error before the first byte.
    let mut answers = Vec::new();
    for part in [format!("{at}-{at}"), format!("{begins}-{}", begins + 9)] {
        answers.push(serving.get(&path, &[&format!("range: bytes={part}")]).status);
    }
    assert_eq!(answers[0], 500);
    assert!(matches!(answers[1], 404 | 500), "{answers:?}");
    serving.says("E1096");
    drop(serving);

    // One that comes to it later is cut before it: all that was sent is right.
    std::fs::rename(to.join(".mpm-mirror/corrupt").join(Sha256::of(&bytes).hex()), &file).unwrap();
    let serving = Serving::start(&machine, &[&text, "--verify", "chunks", "--scrub", "0"]);
    let answer = serving.get(&path, &[]);
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body.len(), begins, "whole chunks up to the bad one");
    assert_eq!(answer.body, bytes[..begins]);
}

#[test]
fn small_blobs_without_an_index_are_hashed_whole_each_time() {
    let registry = registry();
    let (machine, to) = mirror(&registry);
    let bytes = blob::safetensors(2, 3_000);
    let (path, file, text) = (blob_path(&bytes), blob_file(&to, &bytes), to.display().to_string());
    let mut first = Serving::start(&machine, &[&text, "--scrub", "0"]);
    assert_eq!(first.get(&path, &[]).body, bytes);
    first.stop();
    rot(&machine, &file, &Pin::of(&bytes), 7_000);
    let serving = Serving::start(&machine, &[&text, "--verify", "chunks", "--scrub", "0"]);
    assert_eq!(serving.get(&path, &["range: bytes=0-0"]).status, 500);
    assert_eq!(serving.get(&blob_path(b"# digits\n"), &["range: bytes=2-3"]).body, b"di");
}

#[test]
fn a_record_is_believed_after_a_restart_and_broken_notes_cost_a_hash() {
    let (registry, bytes) = chunked();
    let (machine, to) = mirror(&registry);
    let text = to.display().to_string();
    let path = blob_path(&bytes);
    let hashed = |serving: &Serving| {
        assert_eq!(serving.get(&path, &["range: bytes=0-9"]).status, 206);
        serving.figure("hashed_bytes_total")
    };
    let mut serving = Serving::start(&machine, &[&text, "--scrub", "0"]);
    assert_eq!(hashed(&serving), bytes.len() as u64);
    assert_eq!(hashed(&serving), bytes.len() as u64, "once is enough");
    serving.stop();
    let mut serving = Serving::start(&machine, &[&text, "--scrub", "0"]);
    assert_eq!(hashed(&serving), 0, "the record holds over a restart");
    serving.stop();
    let state = machine.home().join(".local/state/mpm/serve");
    let own = std::fs::read_dir(&state).unwrap().next().unwrap().unwrap().path().join("verified");
    for broken in ["", "nonsense\n", "mpm.verified/1\nx y z\nab"] {
        std::fs::write(&own, broken).unwrap();
        let mut serving = Serving::start(&machine, &[&text, "--scrub", "0"]);
        assert_eq!(hashed(&serving), bytes.len() as u64);
        serving.stop();
    }
}

#[test]
fn many_who_ask_for_a_blob_wait_for_one_hash() {
    let (registry, bytes) = chunked();
    let (machine, to) = mirror(&registry);
    let serving = Serving::start(&machine, &[&to.display().to_string(), "--scrub", "0"]);
    let path = blob_path(&bytes);
    std::thread::scope(|scope| {
        let many: Vec<_> = (0..12).map(|_| scope.spawn(|| serving.get(&path, &[]))).collect();
        for one in many {
            assert!(one.join().unwrap().body == bytes);
        }
    });
    assert_eq!(serving.figure("hashed_bytes_total"), bytes.len() as u64);
}

#[test]
fn a_blob_that_is_written_to_while_it_is_sent_is_cut_off() {
    let (registry, bytes) = chunked();
    let (machine, to) = mirror(&registry);
    let serving = Serving::start(&machine, &[&to.display().to_string(), "--scrub", "0", "--max-rate", "6M"]);
    let (path, file) = (blob_path(&bytes), blob_file(&to, &bytes));
    assert_eq!(serving.get(&path, &["range: bytes=0-0"]).status, 206);
    let answer = std::thread::scope(|scope| {
        let asked = scope.spawn(|| serving.get(&path, &[]));
        std::thread::sleep(Duration::from_millis(500));
        flip(&file, bytes.len() - 10);
        asked.join().unwrap()
    });
    assert_eq!(answer.status, 200);
    assert!(answer.body.len() < bytes.len(), "its last piece must not leave");
    assert_eq!(serving.get(&path, &["range: bytes=0-0"]).status, 500);
}
