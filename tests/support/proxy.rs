//! A web proxy on 127.0.0.1 as sites have them: forwards plain requests, opens tunnels, and remembers what for.
//!
//! It knows another way to each place that it serves: an address at which nothing listens leads to a real server. So what
//! arrives has come through the proxy, and nothing that went around it can arrive.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// The proxy; it ends when it is dropped.
pub struct Proxy {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
    over: Arc<AtomicBool>,
}

/// Where requests for `host:port` go.
type Ways = BTreeMap<String, String>;

impl Proxy {
    /// A proxy that knows these ways, both sides as `host:port`.
    pub fn start(ways: &[(&str, &str)]) -> Self {
        let ways: Arc<Ways> = Arc::new(ways.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned())).collect());
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let (seen, over) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (shared, ended) = (Arc::clone(&seen), Arc::clone(&over));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                let (ways, seen) = (Arc::clone(&ways), Arc::clone(&shared));
                // It ends with its client.
                std::thread::spawn(move || drop(serve(&stream, &ways, &seen)));
            }
        });
        Self { address, seen, over }
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The first lines and proxy credentials of what it was asked so far; forgets it.
    pub fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        // Wakes the listener.
        let _ = TcpStream::connect(self.address);
    }
}

/// An address of this machine at which nothing listens.
pub fn nowhere() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").to_string()
}

/// First line and headers; empty at the end.
fn head(reader: &mut impl BufRead) -> std::io::Result<Vec<String>> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let line = line.trim_end();
        if line.is_empty() {
            return Ok(lines);
        }
        lines.push(line.to_owned());
    }
}

fn length(head: &[String]) -> u64 {
    let named = |line: &String| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok()).flatten()
    };
    head.iter().find_map(named).unwrap_or(0)
}

fn serve(mut client: &TcpStream, ways: &Ways, seen: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(client);
    loop {
        let asked = head(&mut reader)?;
        let Some(first) = asked.first() else { return Ok(()) };
        let credentials = asked.iter().find(|line| line.to_ascii_lowercase().starts_with("proxy-authorization:"));
        seen.lock()
            .unwrap()
            .push(std::iter::once(first).chain(credentials).map(String::as_str).collect::<Vec<_>>().join(" "));
        let words: Vec<&str> = first.split(' ').collect();
        let [method, target, _] = words[..] else { return Ok(()) };
        let plain = target.strip_prefix("http://");
        let host = plain.map_or(target, |rest| rest.split('/').next().unwrap_or(rest));
        let Some(server) = ways.get(host).and_then(|way| TcpStream::connect(way).ok()) else {
            client.write_all(b"HTTP/1.1 502 x\r\nContent-Length: 0\r\n\r\n")?;
            continue;
        };
        if method == "CONNECT" {
            client.write_all(b"HTTP/1.1 200 x\r\n\r\n")?;
            return tunnel(client, &server);
        }
        let Some(path) = plain.and_then(|rest| rest.strip_prefix(host)) else { return Ok(()) };
        forward(&mut reader, client, &server, &format!("{method} {path} HTTP/1.1"), &asked)?;
    }
}

/// One request and its answer. The connection to the server is for this one alone.
fn forward(
    reader: &mut impl BufRead,
    mut client: &TcpStream,
    mut server: &TcpStream,
    first: &str,
    asked: &[String],
) -> std::io::Result<()> {
    let mut text = format!("{first}\r\nConnection: close\r\n");
    let for_us =
        |line: &&String| !["proxy-", "connection:"].iter().any(|name| line.to_ascii_lowercase().starts_with(name));
    for line in asked.iter().skip(1).filter(for_us) {
        text.push_str(line);
        text.push_str("\r\n");
    }
    server.write_all(text.as_bytes())?;
    server.write_all(b"\r\n")?;
    std::io::copy(&mut reader.take(length(asked)), &mut server)?;
    let mut answer = BufReader::new(server);
    let told = head(&mut answer)?;
    let whole = told.iter().any(|line| line.to_ascii_lowercase().starts_with("content-length:"));
    let mut text = told.join("\r\n");
    text.push_str(if whole { "\r\n\r\n" } else { "\r\nConnection: close\r\n\r\n" });
    client.write_all(text.as_bytes())?;
    if whole {
        std::io::copy(&mut answer.take(length(&told)), &mut client)?;
        return Ok(());
    }
    // As long as it lasts; 304 has no body.
    if !told.first().is_some_and(|first| first.contains(" 304 ")) {
        std::io::copy(&mut answer, &mut client)?;
    }
    client.shutdown(Shutdown::Both)
}

fn tunnel(client: &TcpStream, server: &TcpStream) -> std::io::Result<()> {
    let pour = |mut from: &TcpStream, mut to: &TcpStream| {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    };
    std::thread::scope(|scope| {
        scope.spawn(move || pour(client, server));
        pour(server, client);
        let _ = client.shutdown(Shutdown::Both);
    });
    Ok(())
}
