//! `mpm serve` as a process, and what asks it: sockets, curl, and `mpm` itself.

mod bundle;
mod integrity;
mod limits;
mod pull;
mod registry;
mod rights;
mod store;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::flows::fixture::{folder, manifest, ok};
use crate::support::project::Project;
use crate::support::registry::TestRegistry;

/// A server that runs.
pub(crate) struct Serving {
    child: Child,
    /// `127.0.0.1:PORT`.
    pub(crate) address: String,
    /// What it says, as it says it.
    said: std::sync::Arc<std::sync::Mutex<String>>,
}

/// What a server answered.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Serving {
    /// `mpm serve` with these arguments, on a port that is free.
    #[track_caller]
    pub(crate) fn start(machine: &Project, arguments: &[&str]) -> Self {
        let all: Vec<&str> =
            ["serve", "--listen", "127.0.0.1:0"].into_iter().chain(arguments.iter().copied()).collect();
        Self::run(machine.command(&all))
    }

    #[track_caller]
    pub(crate) fn run(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let said = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
        let (mut stderr, sink) = (child.stderr.take().unwrap(), std::sync::Arc::clone(&said));
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = stderr.read(&mut buffer) {
                sink.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..count]));
            }
        });
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        // Nobody reads on, and nobody's lines are lost for that.
        std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
        let address = line.trim_end().rsplit("://").next().unwrap().to_owned();
        if !line.contains("://127.0.0.1:") {
            std::thread::sleep(Duration::from_millis(100));
            panic!("no server: {line} {}", said.lock().unwrap());
        }
        Self { child, address, said }
    }

    /// What it has said on standard error.
    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// Waits until it has said something.
    #[track_caller]
    pub(crate) fn says(&self, text: &str) {
        let begun = Instant::now();
        while !self.said().contains(text) {
            assert!(begun.elapsed() < Duration::from_secs(30), "it never said {text:?}: {}", self.said());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn sparse(&self) -> String {
        format!("sparse+http://{}/", self.address)
    }

    /// `GET` with further header lines.
    pub(crate) fn get(&self, path: &str, headers: &[&str]) -> Answer {
        self.ask("GET", path, headers)
    }

    pub(crate) fn ask(&self, method: &str, path: &str, headers: &[&str]) -> Answer {
        let mut text = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", self.address);
        for header in headers {
            text.push_str(header);
            text.push_str("\r\n");
        }
        text.push_str("\r\n");
        self.raw(text.as_bytes())
    }

    /// Bytes to the server, and all that comes back.
    pub(crate) fn raw(&self, request: &[u8]) -> Answer {
        let mut stream = self.connect();
        let _ = stream.write_all(request);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        Answer::parse(&answer)
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream
    }

    /// A figure of `/metrics`.
    pub(crate) fn figure(&self, name: &str) -> u64 {
        let text = String::from_utf8(self.get("/metrics", &[]).body).unwrap();
        let line = text.lines().find(|line| line.starts_with(&format!("mpm_serve_{name} ")));
        line.unwrap_or_else(|| panic!("no {name}: {text}")).rsplit(' ').next().unwrap().parse().unwrap()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Bytes of memory that it has held at most.
    pub(crate) fn peak(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_ascii_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
    }

    /// Asks it to stop, and waits; its exit code.
    pub(crate) fn stop(&mut self) -> Option<i32> {
        use std::os::unix::process::ExitStatusExt as _;
        let pid = rustix::process::Pid::from_raw(self.child.id().cast_signed()).unwrap();
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let status = self.child.wait().unwrap();
        status.code().or_else(|| status.signal().map(|signal| 128 + signal))
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The first line that a server writes, which is ended then.
pub(crate) fn first_line(mut command: Command) -> String {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    line
}

impl Answer {
    fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let (head, body) = end.map_or((&[][..], &[][..]), |end| (&bytes[..end], &bytes[end + 4..]));
        let head = String::from_utf8_lossy(head).into_owned();
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).unwrap_or(0);
        let header = |line: &str| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_ascii_lowercase(), value.trim().to_owned()))
        };
        Self { status, headers: lines.filter_map(header).collect(), body: body.to_vec() }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// A machine that keeps a mirror of a registry.
pub(crate) fn mirror(registry: &TestRegistry) -> (Project, PathBuf) {
    let machine = Project::new().manifest(&manifest(registry, &folder(registry), ""));
    let to = machine.home().join("mirror");
    ok(&machine, &["mirror", "sync", &to.display().to_string(), "--all"]);
    (machine, to)
}

/// Where a blob lies on a server.
pub(crate) fn blob_path(bytes: &[u8]) -> String {
    let digest = modelpm::model::Sha256::of(bytes).hex();
    format!("/blobs/sha256/{}/{digest}", &digest[..2])
}

/// The file of a blob below a mirror's folder.
pub(crate) fn blob_file(folder: &Path, bytes: &[u8]) -> PathBuf {
    folder.join(&blob_path(bytes)[1..])
}
