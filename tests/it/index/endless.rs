//! A git server that never stops talking, at each step of the protocol: it is left, and nothing of what it said stays.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use modelpm::diagnose::{Class, Diagnose as _};
use modelpm::model::SafeUrl;
use modelpm::sys::git::fetch;
use modelpm::sys::{HttpClient, HttpSettings, Patience};

use super::fixture::Machine;

/// What a fetch may bring here.
const MOST: u64 = 1 << 20;
/// What a server may get rid of before it notices that nobody listens: buffers of sockets and pipes.
const SLACK: u64 = 16 << 20;
const COMMIT: &str = "1111111111111111111111111111111111111111";

/// Where the server begins to talk without end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Endless {
    Capabilities,
    References,
    Acknowledgments,
    Progress,
    Pack,
    Silence,
}

struct Server {
    url: SafeUrl,
    sent: Arc<AtomicU64>,
}

impl Server {
    fn start(endless: Endless) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = SafeUrl::parse(&format!("http://{}/index.git", listener.local_addr().unwrap())).unwrap();
        let sent = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&sent);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let counted = Arc::clone(&counted);
                // It ends when nobody listens any more.
                std::thread::spawn(move || drop(answer(&stream, endless, &counted)));
            }
        });
        Self { url, sent }
    }
}

fn line(text: &[u8]) -> Vec<u8> {
    let mut packet = format!("{:04x}", text.len() + 4).into_bytes();
    packet.extend_from_slice(text);
    packet
}

fn for_ever(mut stream: &TcpStream, piece: &[u8], sent: &AtomicU64) -> std::io::Result<()> {
    loop {
        stream.write_all(piece)?;
        sent.fetch_add(piece.len() as u64, Ordering::SeqCst);
    }
}

fn answer(mut stream: &TcpStream, endless: Endless, sent: &AtomicU64) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let (mut first, mut length) = (String::new(), 0);
    reader.read_line(&mut first)?;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        let Some((name, value)) = header.trim_end().split_once(':') else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let kind = if first.starts_with("GET") { "advertisement" } else { "result" };
    write!(
        stream,
        "HTTP/1.1 200 x\r\nContent-Type: application/x-git-upload-pack-{kind}\r\nConnection: close\r\n\r\n"
    )?;
    let asks = |text: &str| body.windows(text.len()).any(|part| part == text.as_bytes());
    if first.starts_with("GET") {
        stream.write_all(&[&line(b"# service=git-upload-pack\n")[..], b"0000", &line(b"version 2\n")].concat())?;
        if endless == Endless::Capabilities {
            return for_ever(stream, &line(format!("more={}\n", "x".repeat(1_000)).as_bytes()), sent);
        }
        for capability in ["ls-refs\n", "fetch\n", "object-format=sha1\n"] {
            stream.write_all(&line(capability.as_bytes()))?;
        }
        stream.write_all(b"0000")
    } else if asks("command=ls-refs") {
        stream.write_all(&line(format!("{COMMIT} HEAD\n").as_bytes()))?;
        if endless == Endless::References {
            return for_ever(stream, &line(format!("{COMMIT} refs/heads/main\n").as_bytes()), sent);
        }
        stream.write_all(b"0000")
    } else {
        if endless == Endless::Acknowledgments {
            stream.write_all(&line(b"acknowledgments\n"))?;
            return for_ever(stream, &line(format!("ACK {COMMIT}\n").as_bytes()), sent);
        }
        stream.write_all(&line(b"packfile\n"))?;
        if endless == Endless::Progress {
            return for_ever(stream, &line(b"\x02counting objects\n"), sent);
        }
        if endless == Endless::Silence {
            // Until the client has enough of it.
            return stream.read(&mut [0]).map(drop);
        }
        stream.write_all(&line(b"\x01PACK\0\0\0\x02\0\x01\x86\xa0"))?;
        // A blob of one byte, as often as the header promises: 100,000 times, more than may come.
        let blob = b"\x31\x78\x01\x01\x01\x00\xfe\xffx\x00\x79\x00\x79";
        for_ever(stream, &line(&[&b"\x01"[..], &blob.repeat(4_000)].concat()), sent)
    }
}

fn bytes_below(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| if entry.path().is_dir() { bytes_below(&entry.path()) } else { entry.metadata().unwrap().len() })
        .sum()
}

#[test]
fn a_git_remote_without_end_is_left() {
    for endless in
        [Endless::Capabilities, Endless::References, Endless::Acknowledgments, Endless::Progress, Endless::Pack]
    {
        let (machine, server) = (Machine::new(), Server::start(endless));
        let http = machine.http();
        let copy = machine.folder.path().join("copy");
        let scope = http.scope_of(&server.url).unwrap();
        let error = fetch(&server.url, &copy, &http, scope, MOST).err().expect("it never ends");
        assert_eq!((error.code().0, error.class()), ("E0166", Class::Network), "{endless:?}: {error}");
        assert!(error.to_string().contains("1048576 bytes") && !error.hints().is_empty(), "{error}");
        let sent = server.sent.load(Ordering::SeqCst);
        assert!(sent < MOST + SLACK, "{endless:?}: {sent} bytes were sent");
        assert!(bytes_below(&copy) < MOST / 2, "{endless:?}: what came was kept");
    }
}

#[test]
fn a_git_remote_that_falls_silent_is_left() {
    let (machine, server) = (Machine::new(), Server::start(Endless::Silence));
    let (connect, stall) = (Duration::from_millis(300), Duration::from_millis(300));
    let patience = Patience { connect, stall, ..Patience::default() };
    let http = HttpClient::new(HttpSettings { patience, ..HttpSettings::default() }).unwrap();
    let scope = http.scope_of(&server.url).unwrap();
    let begun = Instant::now();
    let error = fetch(&server.url, &machine.folder.path().join("copy"), &http, scope, MOST).err().expect("silence");
    assert_eq!((error.code().0, error.class()), ("E0162", Class::Network), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}
