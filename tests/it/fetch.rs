//! Fetching against places that lie, break off, stall and come back.

mod chunks;
mod crowd;
mod cuts;
mod far;
mod hedged;
pub(crate) mod ranges;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use modelpm::diagnose::{Class, Diagnose as _};
use modelpm::fetch::{FetchError, FetchOutcome, Fetcher, Health, Job, Landed, Place, Seeds};
use modelpm::model::{Pin, SafeUrl, Timestamp};
use modelpm::progress::{Event, Progress, Task};
use modelpm::sys::{BlobReader, Cancel, HttpClient, HttpSettings, NetworkPolicy, Patience, blob_path};
use modelpm::verify::verify;

/// What a client asked for.
pub(crate) struct Asked {
    pub(crate) pin: String,
    pub(crate) from: u64,
    pub(crate) if_range: Option<String>,
    pub(crate) number: usize,
}

/// A server whose answers are written by hand.
pub(crate) struct Server {
    base: SafeUrl,
    asked: Arc<Mutex<Vec<(u64, Option<String>)>>>,
}

impl Server {
    pub(crate) fn new(answer: impl Fn(&Asked, &mut TcpStream) -> std::io::Result<()> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = SafeUrl::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (answer, seen) = (Arc::new(answer), Arc::clone(&asked));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (answer, seen) = (Arc::clone(&answer), Arc::clone(&seen));
                std::thread::spawn(move || {
                    let mut stream = stream.unwrap();
                    let Some((pin, from, if_range)) = read_request(&mut stream) else { return };
                    let number = {
                        let mut seen = seen.lock().unwrap();
                        seen.push((from, if_range.clone()));
                        seen.len()
                    };
                    // A client that hangs up is none of the server's failures.
                    let _ = answer(&Asked { pin, from, if_range, number }, &mut stream);
                });
            }
        });
        Self { base, asked }
    }

    /// A server that has these blobs, honours ranges, and cuts its first answers off after so many bytes.
    pub(crate) fn cutting(blobs: &[&[u8]], cuts: Vec<usize>) -> Self {
        let blobs: BTreeMap<String, Vec<u8>> =
            blobs.iter().map(|bytes| (Pin::of(bytes).sha256.hex(), bytes.to_vec())).collect();
        Self::new(move |asked, stream| {
            let Some(bytes) = blobs.get(&asked.pin) else { return plain(stream, "404 Not Found", b"") };
            let cut = cuts.get(asked.number - 1).copied().unwrap_or(usize::MAX);
            ranged(asked, stream, bytes, "\"v1\"", cut)
        })
    }

    pub(crate) fn base(&self) -> &SafeUrl {
        &self.base
    }

    pub(crate) fn requests(&self) -> Vec<(u64, Option<String>)> {
        self.asked.lock().unwrap().clone()
    }

    fn place(&self, http: &HttpClient) -> Place {
        Place::Http(self.base.clone(), http.scope_of(&self.base).unwrap())
    }
}

fn read_request(stream: &mut TcpStream) -> Option<(String, u64, Option<String>)> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.extend(byte);
    }
    let head = String::from_utf8(head).unwrap();
    let header = |name: &str| {
        head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then(|| value.to_owned())
        })
    };
    let path = head.split(' ').nth(1)?;
    let from = header("range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
    Some((path.rsplit('/').next()?.to_owned(), from.unwrap_or(0), header("if-range")))
}

fn plain(stream: &mut TcpStream, status: &str, body: &[u8]) -> std::io::Result<()> {
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len())?;
    stream.write_all(body)
}

/// An honest answer, cut off after so many bytes of the body.
pub(crate) fn ranged(
    asked: &Asked,
    stream: &mut TcpStream,
    bytes: &[u8],
    etag: &str,
    cut: usize,
) -> std::io::Result<()> {
    let same = asked.if_range.as_deref().is_none_or(|wanted| wanted == etag);
    let from = if same { usize::try_from(asked.from).unwrap() } else { 0 };
    let Some(rest) = bytes.get(from..).filter(|rest| from == 0 || !rest.is_empty()) else {
        return plain(stream, "416 Range Not Satisfiable", b"");
    };
    let status = if from > 0 { "206 Partial Content" } else { "200 OK" };
    write!(stream, "HTTP/1.1 {status}\r\nETag: {etag}\r\nContent-Length: {}\r\nConnection: close\r\n", rest.len())?;
    if from > 0 {
        write!(stream, "Content-Range: bytes {from}-{}/{}\r\n", bytes.len() - 1, bytes.len())?;
    }
    stream.write_all(b"\r\n")?;
    stream.write_all(&rest[..cut.min(rest.len())])
}

/// Records events and checks what they promise.
#[derive(Default)]
struct Recorder {
    tasks: Mutex<BTreeMap<Task, (u64, u64, u32)>>,
    notices: Mutex<Vec<(&'static str, String)>>,
    stop_after: Mutex<Option<(u64, Cancel)>>,
}

impl Progress for Recorder {
    fn on(&self, event: &Event<'_>) {
        let mut tasks = self.tasks.lock().unwrap();
        match event {
            Event::Started { task, bytes, .. } => {
                let known = tasks.entry(*task).or_default();
                assert_eq!(known.2 % 2, 0, "started twice");
                *known = (bytes.expect("known"), 0, known.2 + 1);
            }
            Event::Advanced { task, bytes } | Event::Kept { task, bytes } => {
                let known = tasks.get_mut(task).expect("started");
                known.1 += bytes;
                assert!(known.1 <= known.0, "more than promised");
                if let Some((limit, cancel)) = &*self.stop_after.lock().unwrap()
                    && known.1 >= *limit
                {
                    cancel.cancel();
                }
            }
            Event::Finished { task, ok } => {
                let known = tasks.get_mut(task).expect("started");
                assert!(!ok || known.1 == known.0, "all bytes were told");
                known.2 += 1;
            }
            Event::Notice(notice) => self.notices.lock().unwrap().push((notice.code, notice.text.clone())),
            _ => {}
        }
    }
}

struct Scene {
    folder: tempfile::TempDir,
    http: HttpClient,
    cancel: Cancel,
    recorder: Recorder,
}

impl Scene {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            http: client(NetworkPolicy::Online),
            cancel: Cancel::new(),
            recorder: Recorder::default(),
        }
    }

    fn staging(&self) -> PathBuf {
        self.folder.path().join("partial")
    }

    fn leftovers(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.staging()) else { return Vec::new() };
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// Fetches blobs from places and returns what landed.
    fn fetch(&self, pins: &[Pin], places: Vec<Place>) -> Result<BTreeSet<Pin>, FetchError> {
        self.fetch_jobs(&jobs(pins), places)
    }

    fn fetch_jobs(&self, jobs: &[Job], places: Vec<Place>) -> Result<BTreeSet<Pin>, FetchError> {
        let known = Health::read(&self.folder.path().join("places.json"), Timestamp::from_seconds(1_000_000).unwrap());
        let fetcher = Fetcher {
            known: &known,
            http: &self.http,
            staging: self.staging(),
            jobs: 4,
            already: &|_| false,
            patience: Duration::from_mins(1),
            cancel: &self.cancel,
            progress: &self.recorder,
        };
        let mut landed = BTreeSet::new();
        let result = fetcher.fetch(jobs, &[places], &mut |what| {
            if let Landed::Blob(job, staged) = what {
                landed.insert(*verify(staged, &job.pin).expect("only right bytes land").pin());
            }
            Ok::<(), ()>(())
        });
        for (told, so_far, turns) in self.recorder.tasks.lock().unwrap().values() {
            assert!(turns % 2 == 0 && so_far <= told, "every start has an end");
        }
        match result {
            Ok(()) => Ok(landed),
            Err(FetchOutcome::Fetch(error)) => Err(error),
            Err(FetchOutcome::Done(())) => unreachable!("it never fails"),
        }
    }

    fn fetch_one(&self, pin: Pin, places: Vec<Place>) -> Result<(), FetchError> {
        self.fetch(&[pin], places).map(|landed| assert_eq!(landed, [pin].into()))
    }

    fn warnings(&self) -> String {
        let notices = self.recorder.notices.lock().unwrap();
        notices.iter().map(|(code, text)| format!("{code}: {text}\n")).collect()
    }
}

pub(crate) fn client(policy: NetworkPolicy) -> HttpClient {
    let patience = Patience {
        connect: Duration::from_secs(5),
        stall: Duration::from_millis(400),
        pause: Duration::from_millis(1),
        longest_pause: Duration::from_millis(5),
        ..Patience::default()
    };
    HttpClient::new(HttpSettings { policy, patience, ..HttpSettings::default() }).unwrap()
}

/// A client that waits for a quarter of an hour.
fn patient() -> HttpClient {
    let patience = Patience { stall: Duration::from_mins(15), window: Duration::from_mins(15), ..Patience::default() };
    HttpClient::new(HttpSettings { patience, ..HttpSettings::default() }).unwrap()
}

/// A client that calls anything below a thousand bytes in half a second a drip.
fn impatient() -> HttpClient {
    let patience = Patience {
        connect: Duration::from_secs(5),
        window: Duration::from_millis(500),
        least: 1000,
        pause: Duration::from_millis(1),
        longest_pause: Duration::from_millis(5),
        ..Patience::default()
    };
    HttpClient::new(HttpSettings { patience, ..HttpSettings::default() }).unwrap()
}

pub(crate) fn jobs(pins: &[Pin]) -> Vec<Job> {
    let job = |pin: &Pin| Job {
        pin: *pin,
        what: format!("a file of {} bytes", pin.size),
        places: 0,
        chunks: None,
        seeds: Seeds::default(),
    };
    pins.iter().map(job).collect()
}

/// Bytes that no compression and no repetition hides.
pub(crate) fn blob(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1);
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            u8::try_from(state >> 56).unwrap()
        })
        .collect()
}

const LARGE: usize = 3 << 20;

#[test]
fn several_blobs_land_from_every_kind_of_place() {
    struct Memory(BTreeMap<Pin, Vec<u8>>);
    impl BlobReader for Memory {
        fn blob(&self, pin: &Pin) -> std::io::Result<Option<Vec<u8>>> {
            Ok(self.0.get(pin).cloned())
        }
        fn describe(&self) -> String {
            "memory".to_owned()
        }
    }
    let blobs: Vec<Vec<u8>> =
        [0, 1, 1000, 70_000, LARGE].iter().zip(0..).map(|(size, seed)| blob(*size, seed)).collect();
    let pins: Vec<Pin> = blobs.iter().map(|bytes| Pin::of(bytes)).collect();
    let slices: Vec<&[u8]> = blobs.iter().map(Vec::as_slice).collect();
    let folder = tempfile::tempdir().unwrap();
    for (pin, bytes) in pins.iter().zip(&blobs) {
        put(folder.path(), pin, bytes);
    }
    let memory = Memory(pins.iter().copied().zip(blobs.iter().cloned()).collect());
    let server = Server::cutting(&slices, vec![]);
    let scene = Scene::new();
    for place in [server.place(&scene.http), Place::Folder(folder.path().to_owned()), Place::Objects(Arc::new(memory))]
    {
        assert_eq!(scene.fetch(&pins, vec![place]).unwrap(), pins.iter().copied().collect());
    }
    assert!(scene.leftovers().iter().all(|name| name.ends_with(".part")), "{:?}", scene.leftovers());
}

fn put(base: &Path, pin: &Pin, bytes: &[u8]) -> PathBuf {
    let path = base.join(blob_path(&pin.sha256));
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn a_download_that_is_cut_anywhere_goes_on_where_it_stood() {
    for size in [1000, LARGE] {
        let bytes = blob(size, 7);
        for cut in [0, 1, size / 2, size - 1] {
            let server = Server::cutting(&[&bytes], vec![cut, 0]);
            let scene = Scene::new();
            scene.fetch_one(Pin::of(&bytes), vec![server.place(&scene.http)]).unwrap();
            let asked: Vec<u64> = server.requests().iter().map(|(from, _)| *from).collect();
            assert_eq!(asked, [0, cut as u64, cut as u64], "cut at {cut} of {size}");
        }
    }
}

#[test]
fn the_next_process_goes_on_and_names_the_version_it_began_with() {
    let bytes = blob(LARGE, 8);
    let pin = Pin::of(&bytes);
    let half = LARGE / 2;
    let server = Server::cutting(&[&bytes], vec![half, 0, 0, 0, 0]);
    let scene = Scene::new();
    let error = scene.fetch_one(pin, vec![server.place(&scene.http)]).unwrap_err();
    assert_eq!(error.class(), Class::Network);
    assert!(scene.staging().join(format!("{}.part", pin.sha256)).exists());
    scene.fetch_one(pin, vec![server.place(&scene.http)]).unwrap();
    let last = server.requests().pop().unwrap();
    assert_eq!(last, (half as u64, Some("\"v1\"".to_owned())));
}

#[test]
fn a_changed_version_begins_anew_whether_the_server_says_so_or_not() {
    let (old, new) = (blob(LARGE, 9), blob(LARGE, 10));
    let pin = Pin::of(&new);
    for honest in [true, false] {
        let (before, after) = (old.clone(), new.clone());
        let server = Server::new(move |asked, stream| match asked.number {
            1 => ranged(asked, stream, &before, "\"old\"", LARGE / 3),
            2..=5 => plain(stream, "503 Service Unavailable", b""),
            _ if honest => ranged(asked, stream, &after, "\"new\"", usize::MAX),
            _ => ranged(&Asked { if_range: None, pin: String::new(), ..*asked }, stream, &after, "\"new\"", usize::MAX),
        });
        let scene = Scene::new();
        scene.fetch_one(pin, vec![server.place(&scene.http)]).unwrap_err();
        scene.fetch_one(pin, vec![server.place(&scene.http)]).unwrap();
        assert_eq!(scene.warnings(), "", "nobody is blamed for bytes of two versions");
        assert_eq!(server.requests()[5].1.as_deref(), Some("\"old\""));
    }
}

#[test]
fn wrong_bytes_are_a_trust_error_and_are_not_kept() {
    let check = |size: usize, found: &str, answer: fn(&[u8], &mut TcpStream) -> std::io::Result<()>| {
        let bytes = blob(size, 11);
        let pin = Pin::of(&bytes);
        let server = Server::new(move |_, stream| answer(&bytes, stream));
        let scene = Scene::new();
        let error = scene.fetch_one(pin, vec![server.place(&scene.http)]).unwrap_err();
        assert_eq!((error.code().0, error.class().exit_code()), ("E0724", 4), "{error}");
        let text = error.to_string();
        for part in [found, &pin.sha256.hex(), &server.base.to_string()] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(scene.warnings().starts_with("bad-blob: "), "{}", scene.warnings());
        let kept: u64 =
            std::fs::read_dir(scene.staging()).unwrap().map(|one| one.unwrap().metadata().unwrap().len()).sum();
        assert_eq!(kept, 0, "{:?}", scene.leftovers());
    };
    for size in [5000, LARGE] {
        check(size, "found sha256", |bytes, stream| {
            let mut flipped = bytes.to_vec();
            flipped[bytes.len() / 2] ^= 1;
            plain(stream, "200 OK", &flipped)
        });
        check(size, "found 22 bytes", |_, stream| plain(stream, "200 OK", b"<html>not found</html>"));
        check(size, "bytes", |bytes, stream| plain(stream, "200 OK", &[bytes, b"x"].concat()));
    }
    check(5000, "found more than 5000 bytes", |bytes, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
        stream.write_all(bytes)?;
        stream.write_all(b"x")
    });
}

#[test]
fn an_endless_body_is_not_read_to_its_end() {
    let bytes = blob(5000, 12);
    let sent = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    let server = Server::new(move |_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
        loop {
            stream.write_all(&[b'x'; 4096])?;
            count.fetch_add(4096, Ordering::Relaxed);
        }
    });
    let scene = Scene::new();
    let error = scene.fetch_one(Pin::of(&bytes), vec![server.place(&scene.http)]).unwrap_err();
    assert_eq!(error.class(), Class::Trust);
    assert!(sent.load(Ordering::Relaxed) < 64 << 20, "what the socket holds, and no more");
}

#[test]
fn a_corrupt_mirror_is_named_and_the_next_place_is_asked() {
    for size in [5000, LARGE] {
        let bytes = blob(size, 13);
        let mut wrong = bytes.clone();
        wrong[17] ^= 0x40;
        let bad = Server::new(move |_, stream| plain(stream, "200 OK", &wrong));
        let good = Server::cutting(&[&bytes], vec![]);
        let scene = Scene::new();
        scene.fetch_one(Pin::of(&bytes), vec![bad.place(&scene.http), good.place(&scene.http)]).unwrap();
        let warnings = scene.warnings();
        assert!(warnings.contains(&bad.base.to_string()) && !warnings.contains(&good.base.to_string()), "{warnings}");
        assert_eq!(good.requests(), [(0, None)], "nothing of the wrong bytes was gone on with");
    }
}

#[test]
fn a_place_that_gives_another_range_costs_nothing_that_is_there() {
    let bytes = blob(LARGE, 14);
    let pin = Pin::of(&bytes);
    let whole = bytes.clone();
    let liar = move |asked: &Asked, stream: &mut TcpStream| match asked.from {
        0 if asked.number == 1 => ranged(asked, stream, &whole, "\"a\"", LARGE / 2),
        0 => ranged(asked, stream, &whole, "\"a\"", usize::MAX),
        _ => {
            let head = "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 5-9/10\r\nContent-Length: 5\r\n\r\n";
            stream.write_all(head.as_bytes())?;
            stream.write_all(b"56789")
        }
    };
    let (first, alone) = (Server::new(liar.clone()), Server::new(liar));
    let second = Server::cutting(&[&bytes], vec![]);
    let scene = Scene::new();
    scene.fetch_one(pin, vec![first.place(&scene.http), second.place(&scene.http)]).unwrap();
    assert_eq!(second.requests(), [((LARGE / 2) as u64, None)]);
    let scene = Scene::new();
    scene.fetch_one(pin, vec![alone.place(&scene.http)]).unwrap();
    assert_eq!(alone.requests().last().unwrap().0, 0, "where nobody else has it, it is asked for whole");
}

#[test]
fn silence_and_busy_servers_are_borne_with_for_a_while() {
    let bytes = blob(5000, 15);
    let pin = Pin::of(&bytes);
    let held = Arc::new(AtomicBool::new(true));
    let hold = Arc::clone(&held);
    let silent = Server::new(move |_, _| {
        while hold.load(Ordering::Relaxed) {
            std::thread::park_timeout(Duration::from_millis(20));
        }
        Ok(())
    });
    let good = Server::cutting(&[&bytes], vec![]);
    let scene = Scene::new();
    scene.fetch_one(pin, vec![silent.place(&scene.http), good.place(&scene.http)]).unwrap();
    held.store(false, Ordering::Relaxed);
    let answer = bytes.clone();
    let busy = Server::new(move |asked, stream| match asked.number {
        1 => plain(stream, "503 Service Unavailable\r\nRetry-After: 3600", b""),
        2 => plain(stream, "429 Too Many Requests", b""),
        _ => plain(stream, "200 OK", &answer),
    });
    scene.fetch_one(pin, vec![busy.place(&scene.http)]).unwrap();
    assert_eq!(busy.requests().len(), 3);
}

#[test]
fn places_that_cannot_be_reached_and_offline_are_network_errors() {
    let bytes = blob(5000, 16);
    let pin = Pin::of(&bytes);
    let mut scene = Scene::new();
    let nobody = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        SafeUrl::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap()
    };
    let scope = scene.http.scope_of(&nobody).unwrap();
    let absent = Place::Folder(scene.folder.path().join("nowhere"));
    let error = scene.fetch_one(pin, vec![absent.clone(), Place::Http(nobody.clone(), scope)]).unwrap_err();
    assert_eq!((error.code().0, error.class().exit_code()), ("E0722", 3), "{error}");
    assert!(error.to_string().contains("nowhere") && error.to_string().contains("127.0.0.1"), "{error}");
    let error = scene.fetch_one(pin, vec![]).unwrap_err();
    assert_eq!((error.code().0, error.class().exit_code()), ("E0725", 3));
    let server = Server::cutting(&[&bytes], vec![]);
    let place = server.place(&scene.http);
    scene.http = client(NetworkPolicy::Offline);
    let error = scene.fetch_one(pin, vec![absent, place]).unwrap_err();
    assert_eq!((error.code().0, error.class().exit_code()), ("E0723", 3));
    assert!(error.to_string().contains("offline"), "{error}");
    assert!(server.requests().is_empty());
}

#[test]
fn folders_with_symlinks_or_other_bytes_are_not_believed() {
    let bytes = blob(5000, 17);
    let pin = Pin::of(&bytes);
    let scene = Scene::new();
    let (linked, wrong) = (scene.folder.path().join("linked"), scene.folder.path().join("wrong"));
    let target = put(&linked, &pin, &bytes);
    std::fs::rename(&target, linked.join("elsewhere")).unwrap();
    std::os::unix::fs::symlink(linked.join("elsewhere"), &target).unwrap();
    let error = scene.fetch_one(pin, vec![Place::Folder(linked)]).unwrap_err();
    assert!(error.to_string().contains("symlink"), "{error}");
    put(&wrong, &pin, &blob(5000, 18));
    let error = scene.fetch_one(pin, vec![Place::Folder(wrong)]).unwrap_err();
    assert_eq!(error.class(), Class::Trust);
}

#[test]
fn what_does_not_fit_is_refused_before_the_first_byte() {
    let server = Server::cutting(&[], vec![]);
    let scene = Scene::new();
    let huge = Pin { size: u64::MAX / 4, ..Pin::of(b"huge") };
    let error = scene.fetch(&[huge, huge], vec![server.place(&scene.http)]).unwrap_err();
    assert_eq!((error.code().0, error.class().exit_code()), ("E0721", 1));
    assert!(error.to_string().starts_with("7.99 EiB are to be fetched"), "{error}");
    assert!(server.requests().is_empty());
}

#[test]
fn a_wish_to_stop_keeps_what_came() {
    let bytes = blob(LARGE, 19);
    let pin = Pin::of(&bytes);
    let server = Server::cutting(&[&bytes], vec![]);
    let mut scene = Scene::new();
    *scene.recorder.stop_after.lock().unwrap() = Some((1000, scene.cancel.clone()));
    let error = scene.fetch_one(pin, vec![server.place(&scene.http)]).unwrap_err();
    assert_eq!((error.code().0, error.class()), ("E0728", Class::Interrupted));
    *scene.recorder.stop_after.lock().unwrap() = None;
    scene.cancel = Cancel::new();
    scene.fetch_one(pin, vec![server.place(&scene.http)]).unwrap();
    assert!(server.requests()[1].0 >= 1000, "{:?}", server.requests());
}

#[test]
fn a_planted_partial_download_is_neither_followed_nor_written_to() {
    let bytes = blob(LARGE, 20);
    let pin = Pin::of(&bytes);
    let server = Server::cutting(&[&bytes], vec![]);
    let scene = Scene::new();
    let victim = scene.folder.path().join("victim");
    std::fs::write(&victim, b"mine").unwrap();
    std::fs::create_dir_all(scene.staging()).unwrap();
    let part = scene.staging().join(format!("{}.part", pin.sha256));
    for hard in [false, true] {
        let _ = std::fs::remove_file(&part);
        if hard {
            std::fs::hard_link(&victim, &part).unwrap();
        } else {
            std::os::unix::fs::symlink(&victim, &part).unwrap();
        }
        scene.fetch_one(pin, vec![server.place(&scene.http)]).unwrap();
        assert_eq!(std::fs::read(&victim).unwrap(), b"mine");
    }
}
