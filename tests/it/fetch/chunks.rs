//! Blobs by their chunk index: what is wrong is found at once, asked for again alone, and whoever sent it is named.

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::Arc;

use modelpm::chunk::{ChunkHash, ChunkList};
use modelpm::diagnose::Diagnose as _;
use modelpm::fetch::Seeds;
use modelpm::model::Pin;

use super::ranges::{SIZE, Site, job, listed, part, run};
use super::{Scene, blob};

const CHUNK: usize = 256 << 10;

/// A site that flips a byte of each of these chunks, the first so many times that they are asked for.
fn flipping(bytes: &[u8], chunks: impl Fn(usize) -> bool + Send + Sync + 'static, times: usize) -> Site {
    let bytes = bytes.to_vec();
    let flipped: std::sync::Mutex<BTreeMap<usize, usize>> = std::sync::Mutex::default();
    Site::new(move |range, stream| {
        let mut copy = bytes.clone();
        let to = range.to.unwrap_or(copy.len());
        for chunk in range.from / CHUNK..to.div_ceil(CHUNK) {
            let mut flipped = flipped.lock().unwrap();
            let count = flipped.entry(chunk).or_default();
            if chunks(chunk) && *count < times {
                *count += 1;
                copy[chunk * CHUNK + 77] ^= 1;
            }
        }
        part(range, stream, &copy, "\"v1\"", usize::MAX)
    })
}

/// How many bytes were asked for.
fn asked(site: &Site) -> usize {
    site.asked().iter().map(|range| range.to.unwrap() - range.from).sum()
}

#[test]
fn a_flipped_byte_costs_one_chunk() {
    let bytes = blob(SIZE, 70);
    let site = flipping(&bytes, |chunk| chunk == 13, 1);
    let scene = Scene::new();
    run(&scene, job(&bytes, Some(listed(&bytes))), &[&site]).unwrap();
    assert_eq!(asked(&site), SIZE + CHUNK, "{:?}", site.asked());
    let again = site.asked().into_iter().filter(|range| range.from == 13 * CHUNK).collect::<Vec<_>>();
    assert!(again.iter().any(|range| range.to == Some(14 * CHUNK)), "{again:?}");
    let warnings = scene.warnings();
    let range = format!("from byte {} to {}", 13 * CHUNK, 14 * CHUNK);
    for part in ["bad-blob: ", &site.name(), "a large file", &range] {
        assert!(warnings.contains(part), "{part} in {warnings}");
    }
}

#[test]
fn a_base_that_lies_is_named_and_another_gives_what_it_did_not() {
    let bytes = blob(SIZE, 71);
    let liar = flipping(&bytes, |chunk| chunk % 10 == 0, usize::MAX);
    let good = Site::honest(&bytes);
    let scene = Scene::new();
    run(&scene, job(&bytes, Some(listed(&bytes))), &[&liar, &good]).unwrap();
    assert!(
        scene.warnings().contains(&liar.name()) && !scene.warnings().contains(&good.name()),
        "{}",
        scene.warnings()
    );
    assert!(asked(&liar) + asked(&good) <= SIZE + 6 * (1 << 20), "{} and {}", asked(&liar), asked(&good));
    // One whose bytes are all wrong is asked little.
    let wrong = Site::honest(&blob(SIZE, 72));
    let scene = Scene::new();
    run(&scene, job(&bytes, Some(listed(&bytes))), &[&wrong, &good]).unwrap();
    assert!(wrong.asked().len() <= 8, "{}", wrong.asked().len());
}

#[test]
fn a_liar_alone_is_a_trust_error_after_bounded_requests() {
    let bytes = blob(SIZE, 73);
    let liar = flipping(&bytes, |chunk| chunk == 5, usize::MAX);
    let scene = Scene::new();
    let error = run(&scene, job(&bytes, Some(listed(&bytes))), &[&liar]).unwrap_err();
    assert_eq!((error.code().0, error.class().exit_code()), ("E0724", 4), "{error}");
    assert!(error.to_string().contains("found others from byte"), "{error}");
    assert!(liar.asked().len() <= 30, "{}", liar.asked().len());
}

/// A site of which every hundredth byte is wrong, each time.
fn hundredth(bytes: &[u8]) -> Site {
    let wrong: Vec<u8> = bytes.iter().enumerate().map(|(at, byte)| byte ^ u8::from(at % 100 == 99)).collect();
    Site::honest(&wrong)
}

#[test]
fn a_base_of_which_every_hundredth_byte_is_wrong_is_left_for_another() {
    let bytes = blob(SIZE, 83);
    for list in [None, Some(listed(&bytes))] {
        let (liar, honest) = (hundredth(&bytes), Site::honest(&bytes));
        let scene = Scene::new();
        run(&scene, job(&bytes, list.clone()), &[&liar, &honest]).unwrap();
        assert!(scene.warnings().contains(&liar.name()), "{}", scene.warnings());
        assert!(asked(&liar) <= 2 * SIZE, "{:?}", liar.asked());
        // Alone it is a trust error, after bounded requests, and nothing of it is kept.
        let (alone, scene) = (hundredth(&bytes), Scene::new());
        let error = run(&scene, job(&bytes, list), &[&alone]).unwrap_err();
        assert_eq!(error.class().exit_code(), 4, "{error}");
        assert!(alone.asked().len() <= 40, "{}", alone.asked().len());
    }
}

#[test]
fn of_a_base_that_lies_and_one_that_is_slow_comes_what_is_right() {
    let bytes = blob(SIZE, 84);
    let liar = flipping(&bytes, |chunk| chunk % 10 == 3, usize::MAX);
    let content = bytes.clone();
    let slow = Site::new(move |range, stream| {
        std::thread::sleep(std::time::Duration::from_millis(200));
        part(range, stream, &content, "\"v1\"", usize::MAX)
    });
    let scene = Scene::new();
    run(&scene, job(&bytes, Some(listed(&bytes))), &[&liar, &slow]).unwrap();
    assert!(scene.warnings().contains(&liar.name()), "{}", scene.warnings());
    assert!(!scene.warnings().contains(&slow.name()), "{}", scene.warnings());
    // Each wrong chunk came from the slow one.
    assert!(asked(&slow) >= 4 * CHUNK, "{:?}", slow.asked());
}

#[test]
fn some_flips_on_the_way_are_made_up_for() {
    let bytes = blob(SIZE, 74);
    let site = flipping(&bytes, |chunk| chunk == 3 || chunk == 30, 1);
    run(&Scene::new(), job(&bytes, Some(listed(&bytes))), &[&site]).unwrap();
    assert_eq!(asked(&site), SIZE + 2 * CHUNK);
}

#[test]
fn an_index_that_describes_another_blob_is_the_publishers() {
    let (bytes, other) = (blob(SIZE, 75), blob(SIZE, 76));
    let chunks = other.chunks(CHUNK).map(|chunk| (u32::try_from(chunk.len()).unwrap(), ChunkHash::of(chunk)));
    let list = Arc::new(ChunkList::new(Pin::of(&bytes), chunks).unwrap());
    // Bases have what the index says: the blob itself is nowhere.
    let misleading = Site::honest(&other);
    let scene = Scene::new();
    let error = run(&scene, job(&bytes, Some(Arc::clone(&list))), &[&misleading]).unwrap_err();
    assert_eq!((error.code().0, error.class().exit_code()), ("E0729", 4), "{error}");
    assert!(error.to_string().contains("chunk index of a large file is wrong"), "{error}");
    let kept: u64 = std::fs::read_dir(scene.staging()).unwrap().map(|one| one.unwrap().metadata().unwrap().len()).sum();
    assert_eq!(kept, 0);
    // Bases have the blob: no chunk is as the index says, and nobody gets further.
    let honest = Site::honest(&bytes);
    let error = run(&Scene::new(), job(&bytes, Some(list)), &[&honest]).unwrap_err();
    assert_eq!(error.class().exit_code(), 4, "{error}");
    assert!(honest.asked().len() <= 20, "{}", honest.asked().len());
}

#[test]
fn what_the_store_lends_is_not_asked_for_and_is_not_believed() {
    let bytes = blob(SIZE, 77);
    let list = listed(&bytes);
    let site = Site::honest(&bytes);
    let scene = Scene::new();
    let mut old = bytes.clone();
    old[20 * CHUNK + 1] ^= 1;
    let path = scene.folder.path().join("old");
    std::fs::write(&path, &old[CHUNK..]).unwrap();
    let mut job = job(&bytes, Some(Arc::clone(&list)));
    let lent = (1..u32::try_from(list.len()).unwrap()).map(|chunk| (chunk, (0, u64::from(chunk - 1) * CHUNK as u64)));
    job.seeds = Seeds { files: vec![Arc::new(File::open(path).unwrap())], chunks: lent.collect() };
    run(&scene, job, &[&site]).unwrap();
    let mut ranges: Vec<_> = site.asked().iter().map(|range| (range.from, range.to.unwrap())).collect();
    ranges.sort_unstable();
    assert_eq!(ranges, [(0, CHUNK), (20 * CHUNK, 21 * CHUNK)]);
    assert_eq!(scene.warnings(), "");
}

#[test]
fn a_partial_download_is_gone_on_with_from_the_last_good_chunk() {
    let bytes = blob(SIZE, 78);
    let list = listed(&bytes);
    let scene = Scene::new();
    let site = Site::honest(&bytes);
    std::fs::create_dir_all(scene.staging()).unwrap();
    let part = scene.staging().join(format!("{}.part", Pin::of(&bytes).sha256));
    let mut there = bytes[..20 * CHUNK + 9].to_vec();
    for (damaged, from) in [(None, 20), (Some(7), 7)] {
        if let Some(chunk) = damaged {
            there[chunk * CHUNK] ^= 1;
        }
        std::fs::write(&part, &there).unwrap();
        let before = asked(&site);
        run(&scene, job(&bytes, Some(Arc::clone(&list))), &[&site]).unwrap();
        assert_eq!(asked(&site) - before, SIZE - from * CHUNK);
    }
}

#[test]
fn a_slow_base_does_not_hold_up_a_fast_one() {
    let bytes = blob(SIZE, 79);
    let content = bytes.clone();
    let slow = Site::new(move |range, stream| {
        std::thread::sleep(std::time::Duration::from_millis(350));
        let crawling = part(range, stream, &content, "\"v1\"", 1000);
        std::thread::sleep(std::time::Duration::from_secs(20));
        crawling
    });
    let fast = Site::honest(&bytes);
    let scene = Scene::new();
    run(&scene, job(&bytes, Some(listed(&bytes))), &[&slow, &fast]).unwrap();
    assert!(asked(&fast) >= SIZE, "what the slow one did not give came from the fast one");
    assert!(slow.asked().len() <= 6, "{}", slow.asked().len());
    assert_eq!(scene.warnings(), "");
}
