//! Large blobs in segments, from servers whose every answer is written by hand.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use modelpm::chunk::{ChunkHash, ChunkList};
use modelpm::diagnose::{Class, Diagnose as _};
use modelpm::fetch::{FetchError, Job, Place, Seeds};
use modelpm::model::{Pin, SafeUrl};
use modelpm::sys::{HttpClient, HttpSettings};

use super::{Scene, blob, plain};

/// Large enough for segments.
pub(crate) const SIZE: usize = 9 << 20;

/// What was asked: which bytes, of which version, as the how-manieth request.
#[derive(Debug, Clone)]
pub(crate) struct Asking {
    /// The digest in the path.
    pub(crate) name: String,
    pub(crate) from: usize,
    pub(crate) to: Option<usize>,
    pub(crate) if_range: Option<String>,
    pub(crate) number: usize,
}

type Answer = dyn Fn(&Asking, &mut TcpStream) -> std::io::Result<()> + Send + Sync;

/// A server that keeps its connections and remembers what it was asked and what it sent.
pub(crate) struct Site {
    base: SafeUrl,
    asked: Arc<Mutex<Vec<Asking>>>,
    pub(crate) sent: Arc<AtomicUsize>,
}

impl Site {
    pub(crate) fn new(answer: impl Fn(&Asking, &mut TcpStream) -> std::io::Result<()> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = SafeUrl::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (answer, seen): (Arc<Answer>, _) = (Arc::new(answer), Arc::clone(&asked));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (answer, seen) = (Arc::clone(&answer), Arc::clone(&seen));
                std::thread::spawn(move || serve(&mut stream.unwrap(), &answer, &seen));
            }
        });
        Self { base, asked, sent: Arc::default() }
    }

    /// One that honours ranges, with these bytes.
    pub(crate) fn honest(bytes: &[u8]) -> Self {
        let bytes = bytes.to_vec();
        Self::new(move |range, stream| part(range, stream, &bytes, "\"v1\"", usize::MAX))
    }

    pub(crate) fn place(&self, http: &HttpClient) -> Place {
        Place::Http(self.base.clone(), http.scope_of(&self.base).unwrap())
    }

    pub(crate) fn asked(&self) -> Vec<Asking> {
        self.asked.lock().unwrap().clone()
    }

    pub(crate) fn name(&self) -> String {
        self.base.to_string()
    }

    /// Bytes that were asked for more than once, by ranges.
    fn bytes_asked(&self) -> usize {
        self.asked().iter().map(|range| range.to.unwrap_or(range.from) - range.from).sum()
    }
}

fn serve(stream: &mut TcpStream, answer: &Arc<Answer>, seen: &Mutex<Vec<Asking>>) {
    while let Some((name, from, to, if_range)) = read_request(stream) {
        let range = {
            let mut seen = seen.lock().unwrap();
            let range = Asking { name, from, to, if_range, number: seen.len() + 1 };
            seen.push(range.clone());
            range
        };
        // A client that hangs up is none of the server's failures.
        if answer(&range, stream).is_err() {
            return;
        }
    }
}

fn read_request(stream: &mut TcpStream) -> Option<(String, usize, Option<usize>, Option<String>)> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.extend(byte);
    }
    let head = String::from_utf8(head).unwrap();
    let headers: BTreeMap<String, String> = head
        .lines()
        .filter_map(|line| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned())))
        .collect();
    let range = headers.get("range").map(|range| range.strip_prefix("bytes=").unwrap().split_once('-').unwrap());
    let from = range.map_or(0, |(from, _)| from.parse().unwrap());
    let to = range.and_then(|(_, last)| last.parse::<usize>().ok()).map(|last| last + 1);
    let name = head.split(' ').nth(1)?.rsplit('/').next()?.to_owned();
    Some((name, from, to, headers.get("if-range").cloned()))
}

/// An end of the connection.
fn hang_up() -> std::io::Result<()> {
    Err(std::io::ErrorKind::ConnectionAborted.into())
}

/// The part that was asked for, cut off after so many bytes.
pub(crate) fn part(
    range: &Asking,
    stream: &mut TcpStream,
    bytes: &[u8],
    etag: &str,
    cut: usize,
) -> std::io::Result<()> {
    if range.if_range.as_deref().is_some_and(|wanted| wanted != etag) || (range.from == 0 && range.to.is_none()) {
        return whole(stream, bytes, etag);
    }
    let to = range.to.unwrap_or(bytes.len()).min(bytes.len());
    let body = &bytes[range.from..to];
    head(stream, range.from..to, bytes.len(), body.len(), etag)?;
    stream.write_all(&body[..cut.min(body.len())])?;
    if cut < body.len() { hang_up() } else { Ok(()) }
}

fn head(stream: &mut TcpStream, range: Range<usize>, size: usize, length: usize, etag: &str) -> std::io::Result<()> {
    let (from, last) = (range.start, range.end - 1);
    write!(
        stream,
        "HTTP/1.1 206 Partial Content\r\nETag: {etag}\r\nContent-Length: {length}\r\nContent-Range: bytes {from}-{last}/{size}\r\n\r\n"
    )
}

fn whole(stream: &mut TcpStream, bytes: &[u8], etag: &str) -> std::io::Result<()> {
    write!(stream, "HTTP/1.1 200 OK\r\nETag: {etag}\r\nContent-Length: {}\r\n\r\n", bytes.len())?;
    stream.write_all(bytes)
}

/// Chunks of a quarter of a MiB.
pub(crate) fn listed(bytes: &[u8]) -> Arc<ChunkList> {
    let chunks = bytes.chunks(256 << 10).map(|chunk| (u32::try_from(chunk.len()).unwrap(), ChunkHash::of(chunk)));
    Arc::new(ChunkList::new(Pin::of(bytes), chunks).unwrap())
}

pub(crate) fn job(bytes: &[u8], list: Option<Arc<ChunkList>>) -> Job {
    Job { pin: Pin::of(bytes), what: "a large file".to_owned(), places: 0, chunks: list, seeds: Seeds::default() }
}

fn fetch(scene: &Scene, bytes: &[u8], sites: &[&Site]) -> Result<(), FetchError> {
    run(scene, job(bytes, None), sites)
}

pub(super) fn run(scene: &Scene, job: Job, sites: &[&Site]) -> Result<(), FetchError> {
    let places = sites.iter().map(|site| site.place(&scene.http)).collect();
    let pin = job.pin;
    scene.fetch_jobs(&[job], places).map(|landed| assert_eq!(landed, [pin].into()))
}

fn code(error: &FetchError) -> (&'static str, u8) {
    (error.code().0, error.class().exit_code())
}

#[test]
fn a_large_blob_comes_in_segments_each_asked_for_once() {
    let bytes = blob(SIZE + 5, 50);
    let site = Site::honest(&bytes);
    let scene = Scene::new();
    fetch(&scene, &bytes, &[&site]).unwrap();
    let mut asked = site.asked();
    asked.sort_by_key(|range| range.from);
    let mut at = 0;
    for range in asked {
        assert_eq!(range.from, at);
        at = range.to.unwrap();
    }
    assert_eq!(at, bytes.len());
    assert_eq!(scene.warnings(), "");
}

#[test]
fn a_server_without_ranges_is_asked_for_one_stream() {
    let bytes = blob(SIZE, 51);
    let content = bytes.clone();
    let site = Site::new(move |_, stream| whole(stream, &content, "\"v1\""));
    fetch(&Scene::new(), &bytes, &[&site]).unwrap();
    assert!(site.asked().len() <= 3, "{:?}", site.asked());
}

#[test]
fn a_server_that_stops_to_do_ranges_is_asked_for_one_stream() {
    let bytes = blob(SIZE, 52);
    let content = bytes.clone();
    let site = Site::new(move |range, stream| match range.number {
        1..=3 => part(range, stream, &content, "\"v1\"", usize::MAX),
        _ => whole(stream, &content, "\"v1\""),
    });
    let scene = Scene::new();
    fetch(&scene, &bytes, &[&site]).unwrap();
    assert_eq!(scene.warnings(), "");
}

#[test]
fn another_range_than_was_asked_for_is_no_answer() {
    let bytes = blob(SIZE, 53);
    let content = bytes.clone();
    let liar = Site::new(move |range, stream| {
        let shifted = Asking { from: range.from + 1, to: range.to.map(|to| to + 1), ..range.clone() };
        part(&shifted, stream, &content, "\"v1\"", usize::MAX)
    });
    let good = Site::honest(&bytes);
    fetch(&Scene::new(), &bytes, &[&liar, &good]).unwrap();
    assert!(liar.asked().len() <= 2, "{:?}", liar.asked());
    let error = fetch(&Scene::new(), &bytes, &[&liar]).unwrap_err();
    assert_eq!(code(&error), ("E0722", 3), "{error}");
}

#[test]
fn a_file_that_changes_half_way_is_begun_anew() {
    let (old, new) = (blob(SIZE, 54), blob(SIZE, 55));
    for honest in [true, false] {
        let (before, after) = (old.clone(), new.clone());
        let site = Site::new(move |range, stream| match range.number {
            1..=2 => part(range, stream, &before, "\"old\"", usize::MAX),
            _ if honest => part(range, stream, &after, "\"new\"", usize::MAX),
            _ => part(&Asking { if_range: None, ..range.clone() }, stream, &after, "\"new\"", usize::MAX),
        });
        let scene = Scene::new();
        fetch(&scene, &new, &[&site]).unwrap();
        assert_eq!(scene.warnings(), "", "nobody is blamed for bytes of two versions");
        let count = site.asked().len();
        assert!(count < 30, "{count}");
    }
}

#[test]
fn a_length_that_lies_is_known_before_the_first_byte() {
    let bytes = blob(SIZE, 56);
    let content = bytes.clone();
    let liar = Site::new(move |range, stream| {
        let to = range.to.unwrap_or(content.len());
        head(stream, range.from..to, content.len() + 1, to - range.from, "\"v1\"")?;
        stream.write_all(&content[range.from..to])
    });
    let error = fetch(&Scene::new(), &bytes, &[&liar]).unwrap_err();
    assert_eq!(code(&error), ("E0724", 4), "{error}");
    assert!(error.to_string().contains(&format!("found {} bytes", SIZE + 1)), "{error}");
    assert!(liar.asked().len() <= 2);
}

#[test]
fn more_bytes_than_a_range_has_are_not_read() {
    let bytes = blob(SIZE, 57);
    let content = bytes.clone();
    let sent = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    let endless = Site::new(move |range, stream| {
        let (from, last, size) = (range.from, range.to.unwrap_or(content.len()) - 1, content.len());
        write!(
            stream,
            "HTTP/1.1 206 Partial Content\r\nConnection: close\r\nContent-Range: bytes {from}-{last}/{size}\r\n\r\n"
        )?;
        stream.write_all(&content[from..=last])?;
        loop {
            stream.write_all(&[b'x'; 4096])?;
            count.fetch_add(4096, Ordering::Relaxed);
        }
    });
    fetch(&Scene::new(), &bytes, &[&endless]).unwrap();
    assert!(endless.asked().len() <= 12, "{:?}", endless.asked());
    assert!(sent.load(Ordering::Relaxed) < 256 << 20, "what the sockets hold, and no more");
}

#[test]
fn resets_cost_only_what_did_not_come() {
    let bytes = blob(SIZE, 58);
    let content = bytes.clone();
    let site = Site::new(move |range, stream| part(range, stream, &content, "\"v1\"", 600_000));
    let scene = Scene::new();
    fetch(&scene, &bytes, &[&site]).unwrap();
    let asked = site.asked();
    assert!(asked.iter().any(|range| range.from % (1 << 20) == 600_000), "they go on where they stood: {asked:?}");
    assert!(asked.len() < 40, "{}", asked.len());
}

#[test]
fn a_place_that_stops_near_the_end_is_left_for_the_next() {
    let bytes = blob(SIZE, 59);
    let content = bytes.clone();
    let stop = SIZE - SIZE / 100;
    let stopping = Site::new(move |range, stream| match stop.checked_sub(range.from) {
        Some(left) => part(range, stream, &content, "\"v1\"", left),
        None => hang_up(),
    });
    let good = Site::honest(&bytes);
    let scene = Scene::new();
    fetch(&scene, &bytes, &[&stopping, &good]).unwrap();
    let from = good.asked().iter().map(|range| range.from).min().unwrap();
    assert!(from + (2 << 20) >= stop, "{from}: all but the last segments are kept");
    let scene = Scene::new();
    let error = fetch(&scene, &bytes, &[&stopping]).unwrap_err();
    assert_eq!(code(&error), ("E0722", 3), "{error}");
    fetch(&scene, &bytes, &[&good]).unwrap();
    let resumed = good.bytes_asked();
    assert!(resumed < 2 * (3 << 20), "{resumed}");
}

#[test]
fn storms_of_503_are_waited_out_and_bounded() {
    let bytes = blob(SIZE, 60);
    let content = bytes.clone();
    let stormy = Site::new(move |range, stream| match range.number {
        3..=6 => plain(stream, "503 Service Unavailable\r\nRetry-After: 3600", b"").and_then(|()| hang_up()),
        _ => part(range, stream, &content, "\"v1\"", usize::MAX),
    });
    fetch(&Scene::new(), &bytes, &[&stormy]).unwrap();
    let down = Site::new(|_, stream| plain(stream, "503 Service Unavailable", b"").and_then(|()| hang_up()));
    let error = fetch(&Scene::new(), &bytes, &[&down]).unwrap_err();
    assert_eq!(code(&error), ("E0722", 3), "{error}");
    assert!(down.asked().len() <= 10, "{}", down.asked().len());
}

#[test]
fn wrong_bytes_without_a_list_are_a_trust_error() {
    let bytes = blob(SIZE, 61);
    let mut flipped = bytes.clone();
    flipped.iter_mut().step_by(100).for_each(|byte| *byte ^= 1);
    for wrong in [flipped, blob(SIZE, 62)] {
        let bad = Site::honest(&wrong);
        let scene = Scene::new();
        let error = fetch(&scene, &bytes, &[&bad]).unwrap_err();
        assert_eq!(code(&error), ("E0724", 4), "{error}");
        assert!(scene.warnings().contains(&bad.name()));
        let kept: u64 =
            std::fs::read_dir(scene.staging()).unwrap().map(|one| one.unwrap().metadata().unwrap().len()).sum();
        assert_eq!(kept, 0, "{:?}", scene.leftovers());
        // The next base has the right ones.
        let good = Site::honest(&bytes);
        let scene = Scene::new();
        fetch(&scene, &bytes, &[&bad, &good]).unwrap();
        assert!(scene.warnings().contains(&bad.name()) && !scene.warnings().contains(&good.name()));
    }
}

#[test]
fn a_drip_is_given_up_for_the_next_place() {
    let bytes = blob(SIZE, 63);
    let content = bytes.clone();
    let drip = Site::new(move |range, stream| {
        let to = range.to.unwrap_or(content.len());
        head(stream, range.from..to, content.len(), to - range.from, "\"v1\"")?;
        for byte in &content[range.from..to] {
            stream.write_all(&[*byte])?;
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        Ok(())
    });
    let good = Site::honest(&bytes);
    let mut scene = Scene::new();
    scene.http = super::impatient();
    fetch(&scene, &bytes, &[&drip, &good]).unwrap();
    scene.folder = tempfile::tempdir().unwrap();
    let error = fetch(&scene, &bytes, &[&drip]).unwrap_err();
    assert_eq!((code(&error), error.class()), (("E0722", 3), Class::Network), "{error}");
}

#[test]
fn a_wish_to_stop_keeps_the_beginning() {
    let bytes = blob(SIZE, 64);
    let site = Site::honest(&bytes);
    let mut scene = Scene::new();
    *scene.recorder.stop_after.lock().unwrap() = Some((3 << 20, scene.cancel.clone()));
    let error = fetch(&scene, &bytes, &[&site]).unwrap_err();
    assert_eq!(error.class(), Class::Interrupted);
    *scene.recorder.stop_after.lock().unwrap() = None;
    scene.cancel = modelpm::sys::Cancel::new();
    let before = site.bytes_asked();
    fetch(&scene, &bytes, &[&site]).unwrap();
    assert!(site.bytes_asked() - before <= SIZE - (1 << 20), "{}", site.bytes_asked() - before);
}

#[test]
fn a_place_that_failed_in_an_earlier_run_is_asked_after_the_others() {
    let (first, second) = (blob(5000, 65), blob(5000, 66));
    let (one, two) = (first.clone(), second.clone());
    let down = Site::new(|_, stream| plain(stream, "500 Broken", b"").and_then(|()| hang_up()));
    let up = Site::new(move |range, stream| whole(stream, if range.number == 1 { &one } else { &two }, "\"v\""));
    let scene = Scene::new();
    fetch(&scene, &first, &[&down, &up]).unwrap();
    let asked = down.asked().len();
    assert!(asked > 0, "the configured order is the order");
    fetch(&scene, &second, &[&down, &up]).unwrap();
    assert_eq!(down.asked().len(), asked);
    // Nothing but the order is decided by it, and it may be damaged or gone.
    std::fs::write(scene.folder.path().join("places.json"), b"{\"type\":").unwrap();
    scene.fetch_jobs(&[job(&second, None)], vec![down.place(&scene.http), up.place(&scene.http)]).unwrap();
    assert!(down.asked().len() > asked);
}

#[test]
fn connections_are_bounded_over_all_blobs_of_a_run() {
    let blobs: Vec<Vec<u8>> = (0..3).map(|seed| blob(SIZE, 80 + seed)).collect();
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (count, peak) = (Arc::clone(&now), Arc::clone(&most));
    let contents: BTreeMap<String, Vec<u8>> =
        blobs.iter().map(|bytes| (Pin::of(bytes).sha256.hex(), bytes.clone())).collect();
    let site = Site::new(move |range, stream| {
        peak.fetch_max(count.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        // Long enough that those who may come at the same time do.
        std::thread::sleep(std::time::Duration::from_millis(5));
        let answer = part(range, stream, &contents[&range.name], "\"v1\"", usize::MAX);
        count.fetch_sub(1, Ordering::SeqCst);
        answer
    });
    let scene = Scene::new();
    let jobs: Vec<Job> = blobs.iter().map(|bytes| job(bytes, None)).collect();
    let landed = scene.fetch_jobs(&jobs, vec![site.place(&scene.http)]).unwrap();
    assert_eq!(landed.len(), 3);
    let most = most.load(Ordering::SeqCst);
    assert!((2..=4).contains(&most), "{most} requests at a time, where 4 are allowed");
}

#[test]
fn a_rate_is_kept_over_all_connections() {
    let bytes = blob(SIZE, 67);
    let site = Site::honest(&bytes);
    let mut scene = Scene::new();
    let settings = HttpSettings { limit_rate: Some(20 << 20), ..scene.http.settings().clone() };
    scene.http = HttpClient::new(settings).unwrap();
    let begun = std::time::Instant::now();
    fetch(&scene, &bytes, &[&site]).unwrap();
    // Nine MiB at twenty a second; what may come at once after a silence is let go.
    assert!(begun.elapsed() >= std::time::Duration::from_millis(200), "{:?}", begun.elapsed());
}
