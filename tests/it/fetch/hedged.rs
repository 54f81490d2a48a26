//! A request that is late is sent a second time, and the first answer counts.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::ranges::{SIZE, Site, job, part, run};
use super::{Scene, blob, patient};

#[test]
fn a_segment_that_hangs_is_asked_for_on_another_connection() {
    let bytes = blob(SIZE, 90);
    let content = bytes.clone();
    let (hung, over) = (AtomicBool::new(false), Arc::new(AtomicBool::new(false)));
    let end = Arc::clone(&over);
    let site = Site::new(move |range, stream| {
        if range.to.is_some_and(|to| to > 3 << 20) && !hung.swap(true, Ordering::SeqCst) {
            part(range, stream, &content, "\"v1\"", 1000).ok();
            stream.flush()?;
            while !end.load(Ordering::SeqCst) {
                std::thread::park_timeout(Duration::from_millis(20));
            }
        }
        part(range, stream, &content, "\"v1\"", usize::MAX)
    });
    let mut scene = Scene::new();
    // The server is borne with for longer than the test lasts: nothing but the second request ends the wait.
    scene.http = patient();
    run(&scene, job(&bytes, None), &[&site]).unwrap();
    over.store(true, Ordering::SeqCst);
    let mut from: Vec<usize> = site.asked().iter().map(|range| range.from).collect();
    let all = from.len();
    from.sort_unstable();
    from.dedup();
    assert_eq!(all - from.len(), 1, "one segment was asked for twice: {:?}", site.asked());
    assert_eq!(scene.warnings(), "");
}
