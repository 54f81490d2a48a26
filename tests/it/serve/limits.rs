//! Clients that take too much, too little, or too long.

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use super::{Serving, blob_path, mirror};
use crate::flows::fixture::registry;
use crate::support::blob;
use crate::support::registry::TestRegistry;

/// A registry with a blob that fills every buffer between a server and a client that does not read.
fn large() -> (TestRegistry, Vec<u8>) {
    let mut registry = registry();
    let bytes = blob::safetensors(88, 6 << 20);
    registry.release("acme/large", "1.0.0").file("model.safetensors", &bytes).publish();
    (registry, bytes)
}

#[test]
fn who_asks_a_byte_a_second_is_given_up() {
    let registry = registry();
    let (machine, to) = mirror(&registry);
    let serving = Serving::start(&machine, &[&to.display().to_string(), "--patience", "2"]);
    let mut slow = serving.connect();
    let begun = Instant::now();
    for byte in b"GET /checkpoint.json HTTP/1.1\r\nhost: somebody\r\n\r\n" {
        if slow.write_all(&[*byte]).is_err() {
            break;
        }
        std::thread::sleep(Duration::from_millis(300));
        if begun.elapsed() > Duration::from_secs(4) {
            break;
        }
    }
    let mut answer = Vec::new();
    let _ = slow.read_to_end(&mut answer);
    assert!(!String::from_utf8_lossy(&answer).contains("200 OK"), "{}", String::from_utf8_lossy(&answer));
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert_eq!(serving.get("/checkpoint.json", &[]).status, 200);
}

#[test]
fn who_takes_nothing_of_what_it_asked_for_is_given_up() {
    let (registry, bytes) = large();
    let (machine, to) = mirror(&registry);
    let serving = Serving::start(&machine, &[&to.display().to_string(), "--patience", "1"]);
    let path = blob_path(&bytes);
    assert_eq!(serving.get(&path, &["range: bytes=0-0"]).status, 206);
    let mut lazy: Vec<_> = (0..5).map(|_| serving.connect()).collect();
    for stream in &mut lazy {
        stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n").as_bytes()).unwrap();
    }
    let begun = Instant::now();
    while serving.figure("slow_total") < 5 {
        assert!(begun.elapsed() < Duration::from_secs(30), "they are waited for: {}", serving.figure("slow_total"));
        std::thread::sleep(Duration::from_millis(100));
    }
    // Meanwhile others are served; and who takes its time, but takes, is served too.
    assert_eq!(serving.get(&path, &[]).body.len(), bytes.len());
}

#[test]
fn five_hundred_connections_leave_the_server_up_and_small() {
    let (registry, bytes) = large();
    let (machine, to) = mirror(&registry);
    let path = blob_path(&bytes);
    let serving = Serving::start(
        &machine,
        &[&to.display().to_string(), "--max-connections", "600", "--max-connections-each", "400", "--patience", "60"],
    );
    assert_eq!(serving.get(&path, &["range: bytes=0-0"]).status, 206);
    // Each asks for all of it, and takes nothing.
    let mut streams: Vec<_> = (0..500).map(|_| serving.connect()).collect();
    for stream in &mut streams {
        let _ = stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n").as_bytes());
    }
    std::thread::sleep(Duration::from_millis(500));
    // Those beyond the limit are told so, as many as the server has time for, and none of them is served.
    let (mut told, mut served) = (0, 0);
    for stream in streams.iter_mut().rev().take(90) {
        let mut head = [0; 64];
        let count = stream.read(&mut head).unwrap_or(0);
        let head = String::from_utf8_lossy(&head[..count]);
        told += usize::from(head.contains("503"));
        served += usize::from(head.contains("200"));
    }
    assert!(told >= 20 && served <= 10, "{told} told, {served} served");
    drop(streams);
    let begun = Instant::now();
    loop {
        let answer = serving.get(&path, &["range: bytes=0-9"]);
        if answer.status == 206 {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "it does not come back");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(serving.figure("turned_away_total") >= 90);
    let peak = serving.peak();
    crate::support::peers::figure(&format!("500 clients that take nothing: {} MiB at most", peak >> 20));
    assert!(peak < 128 << 20, "{peak}");
}

#[test]
fn an_address_that_asks_too_often_is_told_to_wait() {
    let registry = registry();
    let (machine, to) = mirror(&registry);
    let serving = Serving::start(&machine, &[&to.display().to_string(), "--max-requests", "1"]);
    let answers: Vec<_> = (0..15).map(|_| serving.get("/checkpoint.json", &[])).collect();
    assert_eq!(answers[0].status, 200);
    let last = answers.last().unwrap();
    assert_eq!((last.status, last.header("retry-after")), (429, "1"), "{}", last.text());
}

#[test]
fn a_connection_gets_no_more_than_its_rate() {
    let registry = registry();
    let (machine, to) = mirror(&registry);
    let bytes = blob::safetensors(2, 3_000);
    let serving = Serving::start(&machine, &[&to.display().to_string(), "--max-rate", "4K"]);
    let begun = Instant::now();
    assert_eq!(serving.get(&blob_path(&bytes), &[]).body, bytes);
    assert!(begun.elapsed() > Duration::from_secs(2), "{:?} for {} bytes", begun.elapsed(), bytes.len());
}

#[test]
fn a_stop_lets_a_client_end_what_it_is_at() {
    let (registry, bytes) = large();
    let (machine, to) = mirror(&registry);
    let mut serving = Serving::start(&machine, &[&to.display().to_string(), "--max-rate", "16M"]);
    let path = blob_path(&bytes);
    assert_eq!(serving.get(&path, &["range: bytes=0-0"]).status, 206);
    let mut stream = serving.connect();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n").as_bytes()).unwrap();
    let mut head = [0; 16];
    stream.read_exact(&mut head).unwrap();
    let reader = std::thread::spawn(move || {
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        rest.len()
    });
    assert_eq!(serving.stop(), Some(0));
    assert!(reader.join().unwrap() > bytes.len(), "head and all bytes");
}
