//! The cutter: the golden cuts, pieces of any length, borders, constant bytes, and what an insertion costs.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use proptest::collection::vec;
use proptest::prelude::{prop_assert, prop_assert_eq, proptest};
use serde_json::{Value, json};

use super::{Cutter, GEAR, Indexer, top};
use crate::chunk::{ChunkHash, ChunkList, CutRule};
use crate::diagnose::Diagnose as _;
use crate::model::shaken::put;
use crate::model::{Pin, RelPath, Sha256};

const KIB: u64 = 1 << 10;

/// The bytes of the golden cases: blocks of 32, number `i` the sha256 of `mpm.bytes/1` and `i` as eight bytes, little-endian;
/// of each four runs of 8,192 blocks, the last is zeros.
fn bytes(size: u64) -> Vec<u8> {
    let block = |i: u64| match (i >> 13) & 3 {
        3 => [0; 32],
        _ => *Sha256::of(&[b"mpm.bytes/1".as_slice(), &i.to_le_bytes()].concat()).as_bytes(),
    };
    let mut bytes: Vec<u8> = (0..size.div_ceil(32)).flat_map(block).collect();
    bytes.truncate(usize::try_from(size).expect("fits"));
    bytes
}

fn rule(path: &str, size: u64) -> CutRule {
    CutRule::of(&RelPath::parse(path).expect("a path"), size).expect("not too large")
}

fn cuts(rule: CutRule, bytes: &[u8], borders: &[u64]) -> Vec<usize> {
    let mut cuts = Vec::new();
    Cutter::new(rule, bytes.len() as u64, borders).push(bytes, &mut cuts);
    cuts
}

fn index(path: &str, bytes: &[u8], borders: &[u64]) -> ChunkList {
    let mut indexer = Indexer::new(rule(path, bytes.len() as u64), bytes.len() as u64, borders);
    indexer.push(bytes);
    indexer.finish(Pin::of(bytes)).expect("fits")
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/chunk").join(name)
}

/// Path, size and borders of the golden cases.
fn cases() -> Vec<(&'static str, u64, Vec<u64>)> {
    vec![
        ("a.jsonl", 0, vec![]),
        ("a.jsonl", 1, vec![0, 1]),
        ("a.jsonl", 16 * KIB, vec![]),
        ("a.jsonl", 3 * 1024 * KIB + 123, vec![]),
        ("a.bin", 3 * 1024 * KIB + 123, vec![]),
        // Borders at the begin, near it, near each other, out of order, near the end, and beyond.
        ("a.gguf", 3 * 1024 * KIB, {
            let mut borders = vec![0, 100, 700 * KIB + 7, 700 * KIB + 8, 32 * KIB, 64 * KIB - 1, 1_500 * KIB];
            borders.extend([3 * 1024 * KIB - 1, 3 * 1024 * KIB, 9_000 * KIB]);
            borders
        }),
    ]
}

#[test]
fn the_golden_cuts_are_made_again() {
    let stored: Value = serde_json::from_slice(&std::fs::read(golden("cuts.json")).expect("reads")).expect("parses");
    assert_eq!(stored, made());
    let (path, size, borders) = cases().pop().expect("a case");
    let stored = std::fs::read(golden("cut.chunks")).expect("reads");
    assert_eq!(index(path, &bytes(size), &borders).render(), stored);
    assert_eq!(ChunkList::parse(&stored, &Pin::of(&bytes(size))).expect("parses").render(), stored);
}

fn made() -> Value {
    let case = |(path, size, borders): (&str, u64, Vec<u64>)| {
        let rule = rule(path, size);
        let lengths = cuts(rule, &bytes(size), &borders);
        json!({"path": path, "size": size, "borders": borders, "average": rule.average(), "lengths": lengths})
    };
    Value::Array(cases().into_iter().map(case).collect())
}

/// They are frozen: nothing calls this but a person who adds a case.
#[test]
#[ignore = "writes the golden files"]
fn golden_cuts_are_made() {
    let mut text = serde_json::to_vec(&made()).expect("renders");
    text.push(b'\n');
    put(&golden("cuts.json"), &text);
    let (path, size, borders) = cases().pop().expect("a case");
    put(&golden("cut.chunks"), &index(path, &bytes(size), &borders).render());
}

#[test]
fn constant_bytes_are_cut_at_the_largest() {
    // The hash of 64 equal bytes is the negative of their number: none may count as a cut by any mask in use.
    let loosest = top(15);
    assert!(GEAR.iter().all(|number| number.wrapping_neg() & loosest != 0));
    let distinct: BTreeSet<u64> = GEAR.iter().copied().collect();
    assert_eq!(distinct.len(), 256);
    let zeros = vec![0; 1_300 << 10];
    assert_eq!(cuts(rule("a.bin", 1), &zeros, &[]), [512 << 10, 512 << 10, 276 << 10]);
}

#[test]
fn an_insertion_costs_a_few_chunks() {
    let old = bytes(3 << 20);
    let mut new = old.clone();
    new.splice(400_000..400_000, *b"forty bytes that were not there before!!");
    let had: BTreeSet<ChunkHash> = index("a.bin", &old, &[]).iter().map(|chunk| chunk.hash).collect();
    let list = index("a.bin", &new, &[]);
    let fresh: u64 = list.iter().filter(|chunk| !had.contains(&chunk.hash)).map(|chunk| u64::from(chunk.length)).sum();
    assert!(fresh <= 1 << 20, "{fresh}");
}

#[test]
fn a_tensor_that_moved_keeps_its_chunks() {
    let (tensor, other) = (bytes(700_000), vec![7_u8; 150_000]);
    let first = [tensor.as_slice(), &other].concat();
    let second = [other.as_slice(), &tensor].concat();
    let had: BTreeSet<ChunkHash> = index("a.gguf", &first, &[0, 700_000]).iter().map(|chunk| chunk.hash).collect();
    assert!(index("a.gguf", &second, &[0, 150_000]).iter().all(|chunk| had.contains(&chunk.hash)));
}

#[test]
fn averages_grow_with_the_blob() {
    let average = |path: &str, size: u64| {
        CutRule::of(&RelPath::parse(path).expect("a path"), size).map_or(0, |rule| rule.average() >> 10)
    };
    for (path, gib, expected) in [
        ("x.safetensors", 0, 128),
        ("x.safetensors", 24, 128),
        ("x.safetensors", 25, 256),
        ("x.gguf", 141, 1_024),
        ("x.gguf", 768, 4_096),
        ("x.gguf", 769, 0),
        ("x.PARQUET", 1, 64),
        ("train/x.jsonl", 13, 128),
        ("json", 1, 128),
    ] {
        assert_eq!(average(path, gib << 30), expected, "{path} {gib}");
    }
    assert_eq!(average("x", u64::MAX), 0);
    let largest = rule("x", 768 << 30);
    assert_eq!((largest.smallest(), largest.largest()), (1 << 20, 8 << 20));
}

#[test]
fn a_file_that_grew_or_shrank_makes_no_index() {
    let bytes = bytes(400_000);
    for promised in [399_999, 400_001] {
        let mut indexer = Indexer::new(rule("a.bin", promised), promised, &[]);
        indexer.push(&bytes);
        let pin = Pin { size: promised, ..Pin::of(&bytes) };
        assert_eq!(indexer.finish(pin).expect_err("differs").code().0, "E0233");
    }
}

proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(40))]
    #[test]
    fn pieces_and_borders_change_no_rule(
        pieces in vec(1..90_000_usize, 1..40),
        borders in vec(0..1_600_000_u64, 0..12),
        size in 0..1_500_000_u64,
    ) {
        let bytes = bytes(size);
        let rule = rule("a.jsonl", size);
        let whole = cuts(rule, &bytes, &borders);
        prop_assert_eq!(whole.iter().sum::<usize>(), bytes.len());
        let mut cutter = Cutter::new(rule, size, &borders);
        let (mut rest, mut lengths, mut open, mut turn) = (bytes.as_slice(), Vec::new(), 0, pieces.iter().cycle());
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(*turn.next().expect("cycles")));
            let mut found = Vec::new();
            cutter.push(now, &mut found);
            let mut left = now.len();
            for cut in found {
                lengths.push(open + cut);
                (open, left) = (0, left - cut);
            }
            open += left;
            rest = later;
        }
        prop_assert_eq!(open, 0);
        prop_assert_eq!(&lengths, &whole);
        // A chunk below the smallest ends where a segment does, behind one of the largest or alone.
        let mut before = 0;
        for length in whole {
            prop_assert!(length <= rule.largest() as usize);
            prop_assert!(length >= rule.smallest() as usize || before == rule.largest() as usize || before == 0);
            before = length;
        }
    }
}
