//! The access log: a line of JSON a request, without secrets (docs/guide/serve.md).
//!
//! What is written: who (the token's name, never the token), what path (never the query), how it was answered. Lines go through a
//! queue to a thread of their own: a disk that is slow costs lines, which are counted, and never a client's time.

use std::fs::File;
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::task::{Context, Poll};
use std::time::Instant;

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};

use crate::serve::ServeError;
use crate::serve::meter::Meter;
use crate::sys::Clock;

/// Lines that wait for the disk at most.
const WAITING: usize = 4096;
/// Most characters of what a client says.
const LONGEST: usize = 300;

/// Where lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogPlace {
    /// To this file, at its end.
    File(PathBuf),
    /// To standard output.
    Output,
}

/// The log.
pub(super) struct Log {
    sender: Option<SyncSender<String>>,
    clock: Arc<dyn Clock>,
    meter: Arc<Meter>,
}

/// What is known of a request before it is answered.
pub(super) struct Asked {
    pub(super) address: IpAddr,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) range: Option<String>,
    pub(super) agent: Option<String>,
    /// The token's name.
    pub(super) token: Option<String>,
    pub(super) begun: Instant,
}

impl Log {
    /// Begins to write; none: nothing is written.
    ///
    /// # Errors
    /// `E1097`: the file can't be written.
    pub(super) fn open(
        place: Option<&LogPlace>,
        clock: Arc<dyn Clock>,
        meter: Arc<Meter>,
    ) -> Result<Arc<Self>, ServeError> {
        let mut out: Box<dyn Write + Send> = match place {
            None => return Ok(Arc::new(Self { sender: None, clock, meter })),
            Some(LogPlace::Output) => Box::new(io::stdout()),
            Some(LogPlace::File(path)) => {
                let file = std::fs::OpenOptions::new().append(true).create(true).mode(0o640).open(path);
                let file: File = file.map_err(|source| ServeError::Log { path: path.clone(), source })?;
                Box::new(file)
            }
        };
        let (sender, receiver) = sync_channel::<String>(WAITING);
        let lost = Arc::clone(&meter);
        let spawned = std::thread::Builder::new().name("mpm-log".to_owned()).spawn(move || {
            for line in receiver {
                if out.write_all(line.as_bytes()).and_then(|()| out.flush()).is_err() {
                    lost.line_lost();
                }
            }
        });
        let path = PathBuf::from("-");
        spawned.map_err(|source| ServeError::Log { path, source })?;
        Ok(Arc::new(Self { sender: Some(sender), clock, meter }))
    }

    fn write(&self, asked: &Asked, status: u16, bytes: u64, whole: bool) {
        let Some(sender) = &self.sender else { return };
        let cut = |text: &str| text.chars().take(LONGEST).collect::<String>();
        let mut line = serde_json::json!({
            "time": self.clock.now().seconds(),
            "address": asked.address.to_string(),
            "method": cut(&asked.method),
            "path": cut(&asked.path),
            "status": status,
            "bytes": bytes,
            "milliseconds": u64::try_from(asked.begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        });
        if let Some(map) = line.as_object_mut() {
            let mut add = |name: &str, text: &Option<String>| {
                if let Some(text) = text {
                    map.insert(name.to_owned(), cut(text).into());
                }
            };
            add("token", &asked.token);
            add("range", &asked.range);
            add("agent", &asked.agent);
            if !whole {
                map.insert("cut".to_owned(), true.into());
            }
        }
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = sender.try_send(format!("{line}\n")) {
            self.meter.line_lost();
        }
    }
}

/// A body that is counted, and whose end is logged: whole or not.
pub(super) struct Counted {
    body: Body,
    log: Arc<Log>,
    asked: Asked,
    status: u16,
    bytes: u64,
    /// Bytes that were promised.
    promised: u64,
}

impl Counted {
    /// `promised` bytes are what the answer's length says, if it has a body.
    pub(super) fn new(body: Body, promised: Option<u64>, log: Arc<Log>, asked: Asked, status: u16) -> Self {
        log.meter.answered(status);
        let promised = if body.is_end_stream() { 0 } else { promised.unwrap_or(0) };
        Self { body, log, asked, status, bytes: 0, promised }
    }
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
        {
            let bytes = data.len() as u64;
            self.bytes = self.bytes.saturating_add(bytes);
            self.log.meter.sent(bytes);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.log.write(&self.asked, self.status, self.bytes, self.bytes >= self.promised);
    }
}
