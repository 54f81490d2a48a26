//! A static file server on 127.0.0.1 that can be told to misbehave, and remembers what it was asked.
//!
//! Threads and `std::net` alone: what a client under test does wrong must not be hidden by a server that is clever.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use modelpm::model::Sha256;

/// What the server does wrong with a path.
#[derive(Debug, Clone)]
pub enum Fault {
    /// Announces the whole body, sends so many bytes of it, closes.
    Cut(usize),
    /// Sends so many bytes of the body, then nothing, with the connection open.
    Stall(usize),
    /// Flips the lowest bit of this byte of the body.
    Flip(usize),
    /// Sends a body that never ends, without a length.
    Endless,
    /// Sends the body a byte at a time with this pause between.
    Drip(Duration),
    /// Redirects, with this status.
    Redirect(u16, String),
    /// Answers with a status and `Retry-After`, if given.
    Status(u16, Option<u64>),
    /// Answers 200 with this body instead of the file's.
    Body(Vec<u8>),
    /// Adds a header.
    Header(&'static str, String),
    /// Ignores `Range`.
    NoRange,
    /// Answers a range request with 206 and this `Content-Range`.
    WrongRange(String),
}

/// One request as it came.
#[derive(Debug, Clone)]
pub struct Request {
    /// Path and query.
    pub path: String,
    /// Headers, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The status that it was answered with.
    pub status: u16,
}

#[derive(Default)]
struct State {
    /// Faults by path, with how many more requests they are for.
    faults: BTreeMap<String, (Fault, usize)>,
    requests: Vec<Request>,
}

/// The server; it ends when it is dropped.
pub struct Server {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    over: Arc<AtomicBool>,
}

impl Server {
    /// Serves the files below a folder.
    pub fn start(folder: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let (state, over) = (Arc::new(Mutex::new(State::default())), Arc::new(AtomicBool::new(false)));
        let (shared, ended, folder) = (Arc::clone(&state), Arc::clone(&over), folder.to_owned());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                let (shared, ended, folder) = (Arc::clone(&shared), Arc::clone(&ended), folder.clone());
                std::thread::spawn(move || {
                    let _ = talk(&stream, &folder, &shared, &ended);
                });
            }
        });
        Self { address, state, over }
    }

    /// `http://127.0.0.1:<port>/`.
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// `127.0.0.1:<port>`.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// Misbehaves with the next `times` requests for a path (without the leading slash).
    pub fn fault(&self, path: &str, times: usize, fault: Fault) {
        self.state.lock().unwrap().faults.insert(path.to_owned(), (fault, times));
    }

    /// Behaves again.
    pub fn mend(&self) {
        self.state.lock().unwrap().faults.clear();
    }

    /// What was asked so far; forgets it.
    pub fn requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.state.lock().unwrap().requests)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        // Wakes the listener.
        let _ = TcpStream::connect(self.address);
    }
}

fn talk(stream: &TcpStream, folder: &Path, state: &Mutex<State>, over: &AtomicBool) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut first = String::new();
        if reader.read_line(&mut first)? == 0 {
            return Ok(());
        }
        let path = first.split(' ').nth(1).unwrap_or("/").trim_start_matches('/').to_owned();
        let mut headers = BTreeMap::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            match line.trim_end().split_once(':') {
                Some((name, value)) => drop(headers.insert(name.to_ascii_lowercase(), value.trim().to_owned())),
                None => break,
            }
        }
        let fault = take_fault(state, &path);
        let answer = Answer::to(folder, &path, &headers, fault.as_ref());
        state.lock().unwrap().requests.push(Request { path, headers, status: answer.status });
        if !answer.send(stream, fault.as_ref(), over)? {
            return Ok(());
        }
    }
}

fn take_fault(state: &Mutex<State>, path: &str) -> Option<Fault> {
    let mut state = state.lock().unwrap();
    let (fault, times) = state.faults.get_mut(path)?;
    if *times == 0 {
        return None;
    }
    *times -= 1;
    Some(fault.clone())
}

struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Answer {
    fn to(folder: &Path, path: &str, headers: &BTreeMap<String, String>, fault: Option<&Fault>) -> Self {
        let plain = |status, headers| Self { status, headers, body: Vec::new() };
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        match fault {
            Some(Fault::Redirect(status, to)) => return plain(*status, vec![header("Location", to)]),
            Some(Fault::Status(status, after)) => {
                let after = after.map(|seconds| header("Retry-After", &seconds.to_string()));
                return plain(*status, after.into_iter().collect());
            }
            _ => {}
        }
        let Some(mut body) = read(folder, path) else { return plain(404, Vec::new()) };
        let etag = format!("\"{}\"", Sha256::of(&body).short());
        if headers.get("if-none-match") == Some(&etag) {
            return plain(304, vec![header("ETag", &etag)]);
        }
        match fault {
            Some(Fault::Flip(place)) => body[*place] ^= 1,
            Some(Fault::Body(other)) => body.clone_from(other),
            _ => {}
        }
        let mut answer = Self { status: 200, headers: vec![header("ETag", &etag)], body };
        if let Some(Fault::Header(name, value)) = fault {
            answer.headers.push(header(name, value));
        }
        let from = headers.get("range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
        let same = headers.get("if-range").is_none_or(|version| *version == etag);
        if let Some(from) = from.filter(|_| same && !matches!(fault, Some(Fault::NoRange))) {
            answer.cut(from, fault);
        }
        answer
    }

    fn cut(&mut self, from: usize, fault: Option<&Fault>) {
        let total = self.body.len();
        if from >= total {
            (self.status, self.body) = (416, Vec::new());
            return;
        }
        self.status = 206;
        self.body.drain(..from);
        let range = match fault {
            Some(Fault::WrongRange(range)) => range.clone(),
            _ => format!("bytes {from}-{}/{total}", total - 1),
        };
        self.headers.push(("Content-Range".to_owned(), range));
    }

    /// Sends; says whether the connection goes on.
    fn send(&self, mut stream: &TcpStream, fault: Option<&Fault>, over: &AtomicBool) -> std::io::Result<bool> {
        let endless = matches!(fault, Some(Fault::Endless));
        let mut head = format!("HTTP/1.1 {} x\r\n", self.status);
        if endless {
            head.push_str("Connection: close\r\n");
        } else {
            write!(head, "Content-Length: {}\r\n", self.body.len()).unwrap();
        }
        for (name, value) in &self.headers {
            write!(head, "{name}: {value}\r\n").unwrap();
        }
        stream.write_all(head.as_bytes())?;
        stream.write_all(b"\r\n")?;
        match fault {
            Some(Fault::Cut(bytes)) => {
                stream.write_all(&self.body[..(*bytes).min(self.body.len())])?;
                return Ok(false);
            }
            Some(Fault::Stall(bytes)) => {
                stream.write_all(&self.body[..(*bytes).min(self.body.len())])?;
                // Until the client gives up and closes.
                let _ = stream.read(&mut [0]);
                return Ok(false);
            }
            Some(Fault::Drip(pause)) => {
                for byte in &self.body {
                    stream.write_all(&[*byte])?;
                    std::thread::sleep(*pause);
                }
            }
            _ if endless => {
                while !over.load(Ordering::SeqCst) {
                    stream.write_all(&[b'x'; 4096])?;
                }
            }
            _ => stream.write_all(&self.body)?,
        }
        Ok(true)
    }
}

fn read(folder: &Path, path: &str) -> Option<Vec<u8>> {
    let path = PathBuf::from(path.split('?').next()?);
    let plain = path.components().all(|part| matches!(part, std::path::Component::Normal(_)));
    let mut bytes = Vec::new();
    std::fs::File::open(folder.join(path)).ok().filter(|_| plain)?.read_to_end(&mut bytes).ok()?;
    Some(bytes)
}
