//! Chunk indexes: the golden ones, each bad one by its code, and any bytes at all.

use std::path::{Path, PathBuf};

use proptest::prelude::{prop_assert_eq, proptest};

use crate::chunk::{Chunk, ChunkHash, ChunkHasher, ChunkList, MAX_CHUNK, MAX_CHUNKS, MAX_INDEX};
use crate::diagnose::{Class, Diagnose as _};
use crate::model::Pin;
use crate::model::shaken::{put, shaken};

/// The blob of the golden files: its byte number `i` is `(i * i >> 7) & 255`.
fn blob() -> Vec<u8> {
    (0..100_000_u64).map(|i| u8::try_from(((i * i) >> 7) & 255).expect("a byte")).collect()
}

fn list(lengths: &[u32]) -> ChunkList {
    let blob = blob();
    let mut rest = blob.as_slice();
    let chunks: Vec<(u32, ChunkHash)> = lengths
        .iter()
        .map(|length| {
            let (chunk, after) = rest.split_at(*length as usize);
            rest = after;
            (*length, ChunkHash::of(chunk))
        })
        .collect();
    ChunkList::new(Pin::of(&blob), chunks).expect("fits")
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/chunk").join(name)
}

fn good() -> Vec<u8> {
    std::fs::read(golden("blob.chunks")).expect("reads")
}

fn code(bytes: &[u8]) -> &'static str {
    let found = ChunkList::parse(bytes, &Pin::of(&blob()));
    found.map_or_else(
        |error| {
            assert_eq!(error.class(), Class::Trust);
            assert!(!error.hints().is_empty());
            error.code().0
        },
        |_| "",
    )
}

/// `good` with other bytes from `at` on.
fn with(good: &[u8], at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut changed = good.to_vec();
    changed[at..at + bytes.len()].copy_from_slice(bytes);
    changed
}

/// The bad golden files, made of the good one.
fn bad() -> Vec<(&'static str, Vec<u8>)> {
    let good = good();
    let mut longer = good.clone();
    longer.push(b'\n');
    let mut fewer = with(&good, 12, &3_u32.to_le_bytes());
    fewer.truncate(56 + 3 * 36);
    vec![
        ("E0231.another-magic", with(&good, 0, b"mpm.chunks/2")),
        ("E0231.byte-behind", longer),
        ("E0231.count-of-one-more", with(&good, 12, &5_u32.to_le_bytes())),
        ("E0231.cut", good[..good.len() - 1].to_vec()),
        ("E0231.empty", Vec::new()),
        ("E0231.header-cut", good[..55].to_vec()),
        ("E0232.another-digest", with(&good, 24, &[0])),
        ("E0232.another-size", with(&good, 16, &99_999_u64.to_le_bytes())),
        ("E0233.chunk-of-nothing", with(&good, 56, &0_u32.to_le_bytes())),
        ("E0233.chunk-too-large", with(&good, 56, &(MAX_CHUNK + 1).to_le_bytes())),
        ("E0233.last-chunk-missing", fewer),
        ("E0233.sum-is-more", with(&good, 56, &65_537_u32.to_le_bytes())),
        ("E0233.too-many", with(&good, 12, &(MAX_CHUNKS + 1).to_le_bytes())),
    ]
}

#[test]
fn the_golden_index_is_written_again_as_it_is() {
    let list = list(&[65_536, 1, 30_000, 4_463]);
    assert_eq!(list.render(), good());
    assert_eq!(ChunkList::parse(&good(), &Pin::of(&blob())).expect("parses"), list);
    assert_eq!(list.len(), 4);
    assert_eq!(
        list.get(2),
        Some(Chunk { offset: 65_537, length: 30_000, hash: ChunkHash::of(&blob()[65_537..95_537]) })
    );
    assert_eq!(list.get(4), None);
    assert_eq!(list.iter().map(|chunk| u64::from(chunk.length)).sum::<u64>(), 100_000);
    let at = |offset| list.at(offset);
    assert_eq!([at(0), at(65_535), at(65_536), at(65_537), at(99_999)], [0, 0, 1, 2, 3].map(Some));
    assert_eq!(at(100_000), None);
}

#[test]
fn bad_indexes_give_their_code() {
    let mut names: Vec<String> = Vec::new();
    for entry in std::fs::read_dir(golden("bad")).expect("a folder") {
        names.push(entry.expect("an entry").file_name().into_string().expect("text"));
    }
    names.sort();
    let made = bad();
    assert_eq!(names, made.iter().map(|(name, _)| format!("{name}.chunks")).collect::<Vec<_>>());
    for (name, bytes) in made {
        let stored = std::fs::read(golden("bad").join(format!("{name}.chunks"))).expect("reads");
        assert_eq!(stored, bytes, "{name}");
        assert_eq!(code(&stored), &name[..5], "{name}");
    }
}

/// Writes the golden files; they are frozen, so nothing calls this but a person who adds a case.
#[test]
#[ignore = "writes the golden files"]
fn golden_files_are_made() {
    put(&golden("blob.chunks"), &list(&[65_536, 1, 30_000, 4_463]).render());
    for (name, bytes) in bad() {
        put(&golden("bad").join(format!("{name}.chunks")), &bytes);
    }
}

#[test]
fn statements_admit_what_an_index_can_be() {
    assert_eq!(MAX_INDEX, crate::statement::MAX_CHUNK_INDEX);
}

#[test]
fn an_empty_blob_has_no_chunk() {
    let empty = ChunkList::new(Pin::of(b""), []).expect("fits");
    assert!(empty.is_empty() && empty.get(0).is_none() && empty.at(0).is_none());
    assert_eq!(ChunkList::parse(&empty.render(), &Pin::of(b"")).expect("parses"), empty);
}

#[test]
fn a_list_has_bounds() {
    let hash = ChunkHash::of(b"");
    let of = |size: u64, count: usize, length: u32| {
        let pin = Pin { size, ..Pin::of(b"") };
        ChunkList::new(pin, (0..count).map(|_| (length, hash))).map_or_else(|error| error.code().0, |_| "")
    };
    let most = u64::from(MAX_CHUNKS) * u64::from(MAX_CHUNK);
    assert_eq!(of(most, MAX_CHUNKS as usize, MAX_CHUNK), "");
    assert_eq!(of(most + 1, MAX_CHUNKS as usize, MAX_CHUNK), "E0233");
    assert_eq!(of(u64::from(MAX_CHUNKS) + 1, MAX_CHUNKS as usize + 1, 1), "E0233");
    assert_eq!(of(u64::from(MAX_CHUNK) + 1, 1, MAX_CHUNK + 1), "E0233");
    assert_eq!(of(u64::MAX, 1, u32::MAX), "E0233");
    assert_eq!(of(0, 1, 0), "E0233");
}

#[test]
fn a_hash_is_blake3() {
    // The first vector of the algorithm's own test suite, and the parts of a chunk against the whole.
    assert_eq!(ChunkHash::of(b"").to_string(), "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262");
    let (mut hasher, blob) = (ChunkHasher::new(), blob());
    for _ in 0..2 {
        hasher.update(&blob[..70_000]);
        hasher.update(&blob[70_000..]);
        assert_eq!(hasher.take(), ChunkHash::of(&blob));
    }
}

proptest! {
    #[test]
    fn any_bytes_are_an_index_or_an_error(bytes in shaken(&good())) {
        if let Ok(list) = ChunkList::parse(&bytes, &Pin::of(&blob())) {
            prop_assert_eq!(list.render(), bytes);
        }
    }
}
