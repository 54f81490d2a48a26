//! What the servers of tests share: a listener with a thread for each connection, answers that are files or texts, faults,
//! and a memory of what was asked.
//!
//! Threads and `std::net` alone: what a client under test does wrong must not be hidden by a server that is clever.

mod answer;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub use self::answer::{Answer, Content};

/// What a server does wrong with a path.
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
    /// Redirects, with this status; headers that describe the file stay.
    Redirect(u16, String),
    /// Answers with a status and `Retry-After`, if given.
    Status(u16, Option<u64>),
    /// Answers 200 with this body instead of the file's.
    Body(Vec<u8>),
    /// Answers 200 with this page and no header of its own, as the gate of a hotel's network does.
    Page(String),
    /// Adds a header, in place of one of this name.
    Header(&'static str, String),
    /// Leaves a header out; `Content-Length` too.
    Without(&'static str),
    /// Announces so many bytes, sends the body as it is, closes.
    Length(u64),
    /// Announces so many bytes and sends them: this piece, again and again.
    Repeat(&'static [u8], u64),
    /// Ignores `Range`.
    NoRange,
    /// Answers a range request with 206 and this `Content-Range`.
    WrongRange(String),
}

impl Fault {
    /// Whether it is about the bytes of a body: a question for headers alone does not use it up.
    pub fn is_of_body(&self) -> bool {
        use Fault::{Body, Cut, Drip, Endless, Flip, Length, NoRange, Repeat, Stall, WrongRange};
        let whole = matches!(self, Cut(_) | Stall(_) | Flip(_) | Endless | Drip(_) | Body(_) | Length(_) | Repeat(..));
        whole || matches!(self, NoRange | WrongRange(_))
    }
}

/// One request as it came.
#[derive(Debug, Clone)]
pub struct Request {
    /// GET, HEAD, POST.
    pub method: String,
    /// Path and query, without the leading slash.
    pub path: String,
    /// Headers, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// What was posted.
    pub body: Vec<u8>,
    /// The status that it was answered with.
    pub status: u16,
    /// Bytes of the body that were sent.
    pub sent: u64,
}

/// One answer under way.
struct Talk<'a> {
    sent: Arc<AtomicU64>,
    over: &'a AtomicBool,
}

impl Talk<'_> {
    /// Counted first: whoever has read the bytes finds them counted.
    fn write(&self, mut stream: &TcpStream, bytes: &[u8]) -> std::io::Result<()> {
        self.sent.fetch_add(bytes.len() as u64, Ordering::SeqCst);
        stream.write_all(bytes)
    }
}

#[derive(Default)]
struct Memory {
    /// Faults by path, with how many more requests they are for.
    faults: BTreeMap<String, (Fault, usize)>,
    requests: Vec<(Request, Arc<AtomicU64>)>,
}

/// A listener on 127.0.0.1 that answers until it is dropped.
pub struct Listener {
    address: SocketAddr,
    memory: Arc<Mutex<Memory>>,
    over: Arc<AtomicBool>,
}

/// A port that is the server's, but not answering yet: what it answers may depend on its address.
pub struct Port(TcpListener);

impl Port {
    /// One that the system picks.
    pub fn pick() -> Self {
        Self(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port"))
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.0.local_addr().expect("an address")
    }

    /// Answers from now on.
    pub fn answer(self, with: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Listener {
        let (memory, over) = (Arc::new(Mutex::new(Memory::default())), Arc::new(AtomicBool::new(false)));
        let (address, with) = (self.address(), Arc::new(with));
        let (shared, ended) = (Arc::clone(&memory), Arc::clone(&over));
        std::thread::spawn(move || {
            for stream in self.0.incoming().flatten() {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                let (shared, ended, with) = (Arc::clone(&shared), Arc::clone(&ended), Arc::clone(&with));
                std::thread::spawn(move || {
                    let _ = talk(&stream, &*with, &shared, &ended);
                });
            }
        });
        Listener { address, memory, over }
    }
}

impl Listener {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Misbehaves with the next `times` requests for a path (without the leading slash); `*/x` is every path that ends so,
    /// the query left out; of two that fit, the longer counts.
    pub fn fault(&self, path: &str, times: usize, fault: Fault) {
        self.memory.lock().unwrap().faults.insert(path.to_owned(), (fault, times));
    }

    /// Behaves again.
    pub fn mend(&self) {
        self.memory.lock().unwrap().faults.clear();
    }

    /// What was asked so far; forgets it.
    pub fn requests(&self) -> Vec<Request> {
        let requests = std::mem::take(&mut self.memory.lock().unwrap().requests);
        let counted =
            |(request, sent): (Request, Arc<AtomicU64>)| Request { sent: sent.load(Ordering::SeqCst), ..request };
        requests.into_iter().map(counted).collect()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        // Wakes the listener.
        let _ = TcpStream::connect(self.address);
    }
}

fn talk(
    stream: &TcpStream,
    with: &dyn Fn(&Request) -> Answer,
    memory: &Mutex<Memory>,
    over: &AtomicBool,
) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    while let Some(mut request) = read(&mut reader)? {
        let answer = with(&request);
        let bodiless = request.method == "HEAD" || (300..400).contains(&answer.status);
        let fault = take_fault(memory, &request.path, bodiless);
        let answer = answer.settled(&request, fault.as_ref());
        request.status = answer.status;
        let talk = Talk { sent: Arc::default(), over };
        let method = request.method.clone();
        memory.lock().unwrap().requests.push((request, Arc::clone(&talk.sent)));
        if !answer.send(stream, &method, fault.as_ref(), &talk)? {
            break;
        }
    }
    Ok(())
}

fn read(reader: &mut impl BufRead) -> std::io::Result<Option<Request>> {
    let mut first = String::new();
    if reader.read_line(&mut first)? == 0 {
        return Ok(None);
    }
    let mut words = first.split(' ');
    let method = words.next().unwrap_or_default().to_owned();
    let path = words.next().unwrap_or("/");
    let path = path.strip_prefix('/').unwrap_or(path).to_owned();
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        match line.trim_end().split_once(':') {
            Some((name, value)) => drop(headers.insert(name.to_ascii_lowercase(), value.trim().to_owned())),
            None => break,
        }
    }
    let length = headers.get("content-length").and_then(|length: &String| length.parse().ok()).unwrap_or(0);
    let mut body = Vec::new();
    reader.take(length).read_to_end(&mut body)?;
    Ok(Some(Request { method, path, headers, body, status: 0, sent: 0 }))
}

fn take_fault(memory: &Mutex<Memory>, path: &str, bodiless: bool) -> Option<Fault> {
    let faults = &mut memory.lock().unwrap().faults;
    let bare = path.split('?').next().unwrap_or_default();
    let ends = |key: &str| key.strip_prefix('*').is_some_and(|end| format!("/{bare}").ends_with(end));
    let key = faults.keys().filter(|key| *key == path || ends(key)).max_by_key(|key| key.len())?.clone();
    let (fault, times) = faults.get_mut(&key)?;
    if *times == 0 || bodiless && fault.is_of_body() {
        return None;
    }
    *times -= 1;
    Some(fault.clone())
}
