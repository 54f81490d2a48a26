//! What goes where, and what is asked for.

use std::collections::BTreeSet;

use proptest::prelude::*;

use crate::model::{FileClass, Pin, RelPath, Sha256, VariantName};
use crate::pack::{GAP, LEAST, Member, Pack, RANGES, SMALL, Slice, lay_out, ranges};

struct File {
    path: RelPath,
    pin: Pin,
    variant: Option<VariantName>,
}

fn file(path: &str, content: &str, size: u64) -> File {
    File {
        path: RelPath::parse(path).expect("a path"),
        pin: Pin { sha256: Sha256::of(content.as_bytes()), size },
        variant: None,
    }
}

fn of(variant: &str, file: File) -> File {
    File { variant: Some(VariantName::parse(variant).expect("a name")), ..file }
}

fn laid(files: &[File]) -> Vec<Pack> {
    let mut members: Vec<Member<'_>> = Vec::new();
    for File { path, pin, variant } in files {
        members.push(Member { path, pin: *pin, class: FileClass::Data, variant: variant.as_ref() });
    }
    lay_out(&members)
}

fn many(count: usize, size: u64) -> Vec<File> {
    (0..count).map(|i| file(&format!("f/{i:05}.csv"), &i.to_string(), size)).collect()
}

#[test]
fn few_files_and_large_ones_and_empty_ones_stay_outside() {
    assert!(laid(&many(LEAST - 1, 100)).is_empty());
    assert!(laid(&many(LEAST, SMALL + 1)).is_empty());
    assert!(laid(&many(LEAST, 0)).is_empty());
    let mut files = many(LEAST, SMALL);
    files.push(file("large.bin", "large", SMALL + 1));
    let packs = laid(&files);
    assert!(packs.iter().flat_map(|pack| &pack.parts).all(|part| part.member < LEAST));
    assert_eq!(packs.iter().map(|pack| pack.parts.len()).sum::<usize>(), LEAST);
}

#[test]
fn a_content_stands_once_and_extensions_stand_together() {
    let mut files: Vec<File> =
        (0..100).map(|i| file(&format!("{i:03}.{}", ["a", "b"][i % 2]), &(i / 2).to_string(), 10)).collect();
    files.extend((0..30).map(|i| file(&format!("more/{i}.c"), &format!("c{i}"), 10)));
    let packs = laid(&files);
    let parts: Vec<_> = packs.iter().flat_map(|pack| &pack.parts).collect();
    assert_eq!((packs.len(), parts.len(), packs[0].size), (1, 80, 800));
    let extensions: Vec<&str> =
        parts.iter().map(|part| files[part.member].path.as_str().rsplit_once('.').expect("one").1).collect();
    assert!(extensions.is_sorted());
    assert!(parts.iter().zip(0..).all(|(part, place)| part.offset == 10 * place));
}

#[test]
fn variants_share_no_pack_and_what_they_share_is_common() {
    let mut files = Vec::new();
    for variant in ["a", "b"] {
        files.extend((0..LEAST).map(|i| of(variant, file(&format!("own/{i}"), &format!("{variant}{i}"), 10))));
        files.extend((0..LEAST).map(|i| of(variant, file(&format!("shared/{i}"), &format!("s{i}"), 10))));
    }
    let packs = laid(&files);
    assert_eq!(packs.len(), 3);
    for pack in packs {
        let kinds: BTreeSet<_> = pack
            .parts
            .iter()
            .map(|part| &files[part.member])
            .map(|file| {
                (
                    file.path.as_str().starts_with("own"),
                    file.variant.as_ref().filter(|_| file.path.as_str().starts_with("own")),
                )
            })
            .collect();
        assert_eq!(kinds.len(), 1);
    }
}

#[test]
fn packs_have_their_sizes_and_a_changed_file_changes_few_of_them() {
    let mut files = many(20_000, 10_240);
    let before = laid(&files);
    assert!((3..=25).contains(&before.len()), "{}", before.len());
    let (last, others) = before.split_last().expect("some");
    assert!(others.iter().all(|pack| (8 << 20..=64 << 20).contains(&pack.size)) && last.size <= 64 << 20);
    files[10_000].pin.sha256 = Sha256::of(b"changed");
    files.insert(3, file("f/00002a.csv", "new", 500));
    let contents = |packs: &[Pack], files: &[File]| -> BTreeSet<Vec<Sha256>> {
        packs.iter().map(|pack| pack.parts.iter().map(|part| files[part.member].pin.sha256).collect()).collect()
    };
    let after = contents(&laid(&files), &files);
    let before = contents(&before, &many(20_000, 10_240));
    assert!(after.difference(&before).count() <= 4, "{} of {}", after.difference(&before).count(), after.len());
}

#[test]
fn a_million_files_stay_within_a_thousand_packs() {
    let packs = laid(&many(50_000, SMALL));
    assert!(packs.len() <= 1_000 && packs.iter().all(|pack| pack.size <= 1 << 30), "{}", packs.len());
    assert_eq!(packs.iter().map(|pack| pack.parts.len()).sum::<usize>(), 50_000);
}

#[test]
fn most_of_a_pack_is_all_of_it_and_near_files_are_one_request() {
    let slice = |offset, size| Slice { offset, size };
    for (pack, slices, expected) in [
        (100, vec![], vec![]),
        (100, vec![slice(10, 0)], vec![]),
        (100, vec![slice(0, 75), slice(99, 1)], vec![(0, 100)]),
        (1 << 20, vec![slice(5, 400_000), slice(600_000, 400_000)], vec![(5, 1_000_000)]),
        (1 << 20, vec![slice(20, 75)], vec![(20, 95)]),
        (1 << 20, vec![slice(20, 75), slice(95 + GAP, 1)], vec![(20, 96 + GAP)]),
        (1 << 20, vec![slice(20, 75), slice(96 + GAP, 1)], vec![(20, 95), (96 + GAP, 97 + GAP)]),
    ] {
        let found: Vec<(u64, u64)> = ranges(pack, &slices).into_iter().map(|range| (range.start, range.end)).collect();
        assert_eq!(found, expected, "{slices:?}");
    }
}

proptest! {
    #[test]
    fn every_wanted_byte_is_asked_for_once(
        parts in prop::collection::vec((0_u64..300_000, 1_u64..2_000, any::<bool>()), 1..300),
    ) {
        let (mut at, mut slices) = (0, Vec::new());
        for (gap, size, wanted) in parts {
            at += gap;
            if wanted {
                slices.push(Slice { offset: at, size });
            }
            at += size;
        }
        let found = ranges(at, &slices);
        prop_assert!(found.len() <= RANGES && found.iter().all(|range| range.start < range.end && range.end <= at));
        prop_assert!(found.windows(2).all(|pair| pair[0].end < pair[1].start));
        for slice in slices {
            prop_assert!(found.iter().any(|range| range.start <= slice.offset && slice.end() <= range.end));
        }
    }
}
