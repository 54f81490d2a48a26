//! Servers far away: an answer that takes long to begin is made worth it.

use std::time::Duration;

use super::ranges::{SIZE, Site, job, listed, part, run};
use super::{Scene, blob};

/// Much longer than a segment takes to come.
const AWAY: Duration = Duration::from_millis(300);

fn far(bytes: &[u8]) -> Site {
    let bytes = bytes.to_vec();
    Site::new(move |range, stream| {
        std::thread::sleep(AWAY);
        part(range, stream, &bytes, "\"v1\"", usize::MAX)
    })
}

#[test]
fn one_request_brings_several_segments_each_once() {
    let bytes = blob(SIZE, 95);
    for list in [None, Some(listed(&bytes))] {
        let site = far(&bytes);
        run(&Scene::new(), job(&bytes, list), &[&site]).unwrap();
        let mut ranges: Vec<_> = site.asked().iter().map(|range| (range.from, range.to.unwrap())).collect();
        ranges.sort_unstable();
        assert!(ranges.len() < SIZE >> 20, "{ranges:?}");
        let follows = ranges.windows(2).all(|pair| pair[0].1 == pair[1].0);
        assert!(follows && ranges[0].0 == 0 && ranges.last().unwrap().1 == SIZE, "{ranges:?}");
    }
}

#[test]
fn a_run_that_is_cut_off_costs_what_did_not_come() {
    let bytes = blob(SIZE, 96);
    let content = bytes.clone();
    let site = Site::new(move |range, stream| {
        std::thread::sleep(AWAY);
        // The third request, which is the first of several segments, ends in the midst of its second.
        let cut = if range.number == 3 { (1 << 20) + 1000 } else { usize::MAX };
        part(range, stream, &content, "\"v1\"", cut)
    });
    run(&Scene::new(), job(&bytes, None), &[&site]).unwrap();
    let asked = site.asked();
    let third = &asked[2];
    assert!(third.to.unwrap() - third.from > 1 << 20, "{asked:?}");
    let again = third.from + (1 << 20) + 1000;
    assert!(asked[3..].iter().any(|range| range.from == again), "{asked:?}");
    assert!(asked[3..].iter().all(|range| range.from >= again), "{asked:?}");
}

#[test]
fn a_wrong_chunk_in_a_run_is_asked_for_alone() {
    let bytes = blob(SIZE, 97);
    let content = bytes.clone();
    let site = Site::new(move |range, stream| {
        std::thread::sleep(AWAY);
        let mut copy = content.clone();
        if range.number == 3 {
            copy[range.from + (1 << 20) + 77] ^= 1;
        }
        part(range, stream, &copy, "\"v1\"", usize::MAX)
    });
    let scene = Scene::new();
    run(&scene, job(&bytes, Some(listed(&bytes))), &[&site]).unwrap();
    let asked: usize = site.asked().iter().map(|range| range.to.unwrap() - range.from).sum();
    assert_eq!(asked, SIZE + (256 << 10), "{:?}", site.asked());
    assert!(scene.warnings().contains(&site.name()), "{}", scene.warnings());
}
