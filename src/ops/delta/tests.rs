//! What a search for chunks finds, and when it is worth it.

use std::fs::File;
use std::time::{Duration, Instant};

use super::{MOST_RANGES, Search};
use crate::chunk::{ChunkHash, ChunkList, MAX_WRITTEN};
use crate::model::Pin;

/// A list of chunks of a hundred bytes, each named by a number.
fn list(numbers: impl Iterator<Item = u64> + Clone) -> ChunkList {
    let size = numbers.clone().count() as u64 * 100;
    let chunks = numbers.map(|number| (100, ChunkHash::of(&number.to_le_bytes())));
    ChunkList::new(Pin { size, ..Pin::of(b"") }, chunks).expect("fits")
}

fn file() -> File {
    tempfile::tempfile().expect("a file")
}

/// Bytes that the old file lends to the new one, or none.
fn lent(new: &ChunkList, old: &ChunkList) -> Option<u64> {
    let mut search = Search::new(new);
    search.take(file(), old);
    search.worthwhile().map(|lent| lent.bytes)
}

#[test]
fn less_than_a_fifth_is_not_worth_it() {
    let new = list(0..100);
    assert_eq!(lent(&new, &list(0..20)), Some(2_000));
    assert_eq!(lent(&new, &list(0..19)), None);
    assert_eq!(lent(&new, &list(200..300)), None);
    assert_eq!(lent(&list(0..0), &list(0..10)), None);
}

#[test]
fn too_many_ranges_are_not_worth_it() {
    // Every other chunk is there.
    let halves = |ranges: u64| lent(&list(0..ranges * 2), &list((0..ranges).map(|number| number * 2)));
    assert_eq!(halves(MOST_RANGES), Some(MOST_RANGES * 100));
    assert_eq!(halves(MOST_RANGES + 1), None);
}

#[test]
fn chunks_are_found_where_they_are_and_in_the_first_file_that_has_them() {
    let new = list([5, 1, 7, 1].into_iter());
    let mut search = Search::new(&new);
    search.take(file(), &list([9].into_iter()));
    search.take(file(), &list([1, 2, 1].into_iter()));
    search.take(file(), &list([1, 7].into_iter()));
    let seeds = search.worthwhile().expect("three of four").seeds;
    assert_eq!(seeds.files.len(), 2, "a file that lends nothing is not held");
    assert_eq!(seeds.chunks, [(1, (0, 0)), (2, (1, 100)), (3, (0, 0))].into());
}

#[test]
fn chunks_of_another_length_are_not_lent() {
    let new = list(0..10);
    let lying = ChunkList::new(Pin { size: 99, ..Pin::of(b"") }, [(99, ChunkHash::of(&3_u64.to_le_bytes()))]);
    assert_eq!(lent(&new, &lying.expect("fits")), None);
}

#[test]
fn files_of_one_chunk_many_times_are_searched_in_bounded_time() {
    let begun = Instant::now();
    let same = || list((0..MAX_WRITTEN).map(|_| 7));
    assert_eq!(lent(&same(), &same()), Some(MAX_WRITTEN as u64 * 100));
    // An old list that gives the same name to chunks of other lengths: nothing fits, and nothing is looked at twice.
    let hash = ChunkHash::of(&7_u64.to_le_bytes());
    let size = MAX_WRITTEN as u64 * 99;
    let lying = ChunkList::new(Pin { size, ..Pin::of(b"") }, (0..MAX_WRITTEN).map(|_| (99, hash))).expect("fits");
    assert_eq!(lent(&same(), &lying), None);
    assert!(begun.elapsed() < Duration::from_mins(1), "{:?}", begun.elapsed());
}
