//! Answers of the servers of tests: files in parts, texts, and what faults make of them.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Fault, Request, Talk};

/// Bytes that are sent in parts without being copied first.
#[derive(Debug, Clone)]
pub enum Content {
    /// In memory.
    Memory(Arc<Vec<u8>>),
    /// In a file that does not change.
    File(Arc<PathBuf>, u64),
}

impl Content {
    /// From bytes.
    pub fn bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self::Memory(Arc::new(bytes.into()))
    }

    /// From a file, read when it is sent.
    pub fn file(path: &Path) -> Self {
        Self::File(Arc::new(path.to_owned()), std::fs::metadata(path).expect("a file").len())
    }

    /// Its length.
    pub fn size(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::File(_, size) => *size,
        }
    }

    /// A part of it.
    pub fn part(&self, at: u64, length: usize) -> Vec<u8> {
        match self {
            Self::Memory(bytes) => bytes[at as usize..at as usize + length].to_vec(),
            Self::File(path, _) => {
                let mut part = vec![0; length];
                std::fs::File::open(path.as_path()).unwrap().read_exact_at(&mut part, at).unwrap();
                part
            }
        }
    }
}

/// What a server says.
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Headers but for the body's length.
    pub headers: Vec<(&'static str, String)>,
    content: Content,
    /// Where it is a file: ranges and questions by version work on it.
    etag: Option<String>,
    part: Range<u64>,
    /// Bytes that may still be sent, shared with other answers; then the connection ends.
    allowance: Option<Arc<AtomicU64>>,
}

impl Answer {
    /// A status and a short text.
    pub fn text(status: u16, text: impl Into<Vec<u8>>) -> Self {
        let content = Content::bytes(text);
        let part = 0..content.size();
        Self { status, headers: Vec::new(), content, etag: None, part, allowance: None }
    }

    /// A file of this version (the ETag, with its quotes).
    pub fn file(content: Content, etag: &str) -> Self {
        let part = 0..content.size();
        let headers = vec![("ETag", etag.to_owned()), ("Accept-Ranges", "bytes".to_owned())];
        Self { status: 200, headers, content, etag: Some(etag.to_owned()), part, allowance: None }
    }

    /// Adds a header.
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Ends the connection once this counter is at nought.
    pub fn within(mut self, allowance: Arc<AtomicU64>) -> Self {
        self.allowance = Some(allowance);
        self
    }

    fn without(&mut self, name: &str) {
        self.headers.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
    }

    /// What the fault makes of it, then what the request asked of a file.
    pub(super) fn settled(mut self, request: &Request, fault: Option<&Fault>) -> Self {
        match fault {
            Some(Fault::Status(status, after)) => {
                let after = after.map(|seconds| ("Retry-After", seconds.to_string()));
                return Self { headers: after.into_iter().collect(), ..Self::text(*status, "") };
            }
            Some(Fault::Redirect(status, to)) => {
                self.headers.retain(|(name, _)| name.starts_with("X-"));
                return Self { headers: self.headers, ..Self::text(*status, "") }.header("Location", to);
            }
            Some(Fault::Page(page)) => return Self::text(200, page.as_str()).header("Content-Type", "text/html"),
            Some(Fault::Body(other)) => {
                (self.content, self.part) = (Content::bytes(other.clone()), 0..other.len() as u64);
            }
            Some(Fault::Header(name, value)) => {
                self.without(name);
                self.headers.push((name, value.clone()));
            }
            Some(Fault::Without(name)) => self.without(name),
            _ => {}
        }
        let Some(etag) = self.etag.clone() else { return self };
        if request.headers.get("if-none-match") == Some(&etag) {
            return Self { headers: self.headers, ..Self::text(304, "") };
        }
        let same = request.headers.get("if-range").is_none_or(|version| *version == etag);
        match request.headers.get("range").and_then(|range| part(range, self.content.size())) {
            Some(part) if same && !matches!(fault, Some(Fault::NoRange)) => self.cut(part, fault),
            _ => self,
        }
    }

    fn cut(mut self, part: Range<u64>, fault: Option<&Fault>) -> Self {
        let total = self.content.size();
        if part.is_empty() {
            return Self { headers: self.headers, ..Self::text(416, "") }
                .header("Content-Range", format!("bytes */{total}"));
        }
        let range = match fault {
            Some(Fault::WrongRange(range)) => range.clone(),
            _ => format!("bytes {}-{}/{total}", part.start, part.end - 1),
        };
        (self.status, self.part) = (206, part);
        self.header("Content-Range", range)
    }

    /// Sends; says whether the connection goes on.
    pub(super) fn send(
        &self,
        mut stream: &TcpStream,
        method: &str,
        fault: Option<&Fault>,
        talk: &Talk,
    ) -> std::io::Result<bool> {
        let endless = matches!(fault, Some(Fault::Endless));
        let length = self.part.end - self.part.start;
        let announced = match fault {
            Some(Fault::Length(other) | Fault::Repeat(_, other)) => *other,
            _ => length,
        };
        let mut head = format!("HTTP/1.1 {} x\r\n", self.status);
        let silent = matches!(fault, Some(Fault::Without(name)) if name.eq_ignore_ascii_case("content-length"));
        if endless {
            head.push_str("Connection: close\r\n");
        } else if !silent {
            write!(head, "Content-Length: {announced}\r\n").unwrap();
        }
        for (name, value) in &self.headers {
            write!(head, "{name}: {value}\r\n").unwrap();
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes())?;
        if method == "HEAD" {
            return Ok(true);
        }
        match fault {
            Some(Fault::Cut(bytes)) => {
                self.pieces(stream, length.min(*bytes as u64), fault, talk)?;
                return Ok(false);
            }
            Some(Fault::Stall(bytes)) => {
                self.pieces(stream, length.min(*bytes as u64), fault, talk)?;
                // Until the client gives up and closes.
                let _ = stream.read(&mut [0]);
                return Ok(false);
            }
            Some(Fault::Length(_)) => {
                self.pieces(stream, length, fault, talk)?;
                return Ok(false);
            }
            Some(Fault::Repeat(piece, total)) => {
                let block = piece.repeat(64 * 1024 / piece.len());
                let mut left = *total;
                while left > 0 && !talk.over.load(Ordering::SeqCst) {
                    let now = block.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    talk.write(stream, &block[..now])?;
                    left -= now as u64;
                }
                return Ok(left == 0);
            }
            Some(Fault::Drip(pause)) => {
                for at in self.part.clone() {
                    talk.write(stream, &self.content.part(at, 1))?;
                    std::thread::sleep(*pause);
                }
            }
            _ if endless => {
                while !talk.over.load(Ordering::SeqCst) {
                    talk.write(stream, &[b'x'; 4096])?;
                }
            }
            _ => return Ok(self.pieces(stream, length, fault, talk)? && !silent),
        }
        Ok(true)
    }

    /// The first bytes of the part, piece by piece; says whether the allowance let all of them pass.
    fn pieces(&self, stream: &TcpStream, length: u64, fault: Option<&Fault>, talk: &Talk) -> std::io::Result<bool> {
        let (mut at, end) = (self.part.start, self.part.start + length);
        while at < end {
            let mut wanted = (end - at).min(128 * 1024);
            if let Some(left) = &self.allowance {
                let take = |left: u64| Some(left.saturating_sub(wanted));
                let before = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).unwrap();
                wanted = wanted.min(before);
                if wanted == 0 {
                    return Ok(false);
                }
            }
            let mut piece = self.content.part(at, wanted as usize);
            if let Some(Fault::Flip(place)) = fault
                && let Some(byte) = (*place as u64).checked_sub(at).and_then(|place| piece.get_mut(place as usize))
            {
                *byte ^= 1;
            }
            talk.write(stream, &piece)?;
            at += wanted;
        }
        Ok(true)
    }
}

/// The part that a `Range` names; an empty one lies outside of the file, none is to be ignored.
fn part(range: &str, size: u64) -> Option<Range<u64>> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let outside = Some(size..size);
    match (first, last) {
        ("", last) => match last.parse::<u64>().ok()? {
            0 => outside,
            count => Some(size.saturating_sub(count)..size),
        },
        (first, "") => first.parse().ok().map(|first: u64| first.min(size)..size),
        (first, last) => {
            let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
            if first >= size { outside } else { (first <= last).then(|| first..last.min(size - 1) + 1) }
        }
    }
}
