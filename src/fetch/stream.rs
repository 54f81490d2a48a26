//! Places as streams of chunks, from some byte on.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::fetch::hub::Unopened;
use crate::fetch::{Found, Place, Problem};
use crate::model::Pin;
use crate::sys::{ByteRange, HttpClient, HttpError, Lines, RangeBody, blob_path, block_on, files};

/// Bytes of a file that are read at a time.
const PIECE: usize = 256 * 1024;
/// Chunks that wait between the socket and the disk: what is held in memory for each download.
const WAITING: usize = 4;
/// Time between two looks at a wish to stop.
const LOOK: Duration = Duration::from_millis(100);

/// A blob being read.
pub(super) struct Opened {
    /// Offset of the first byte that comes.
    pub(super) start: u64,
    /// The version that the place says it is.
    pub(super) etag: Option<String>,
    stream: Stream,
}

enum Stream {
    Http(mpsc::Receiver<Result<Bytes, HttpError>>),
    File(File),
    Reader(Box<dyn io::Read + Send>),
    Bytes(Option<Bytes>),
}

/// Why reading ended before the end.
pub(super) enum Trouble {
    Stopped,
    Problem(Problem),
}

impl From<Problem> for Trouble {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

/// Which bytes are asked for.
pub(super) struct Ask<'a> {
    pub(super) pin: &'a Pin,
    pub(super) from: u64,
    pub(super) etag: Option<&'a str>,
    pub(super) stopped: &'a dyn Fn() -> bool,
}

/// What to call a place in messages.
pub(super) fn name(place: &Place) -> String {
    match place {
        Place::Http(base, _) => base.to_string(),
        Place::Folder(folder) => folder.display().to_string(),
        Place::Objects(reader) => reader.describe(),
        Place::Hub(hub) => hub.name(),
    }
}

/// The right to one of the run's connections, where the place needs one.
pub(super) fn connection(
    place: &Place,
    connections: &Arc<Semaphore>,
    stopped: &dyn Fn() -> bool,
) -> Result<Option<OwnedSemaphorePermit>, Trouble> {
    if let Place::Folder(_) | Place::Objects(_) = place {
        return Ok(None);
    }
    if let Ok(permit) = Arc::clone(connections).try_acquire_owned() {
        return Ok(Some(permit));
    }
    let permit = block_on(watched(stopped, Arc::clone(connections).acquire_owned())).ok_or(Trouble::Stopped)?;
    // They are never closed.
    Ok(permit.ok())
}

/// Opens the blob at a place. A size that the place tells beforehand is compared before the first byte.
pub(super) fn open(place: &Place, http: &HttpClient, ask: &Ask<'_>) -> Result<Opened, Trouble> {
    let opened = match place {
        Place::Http(base, scope) => {
            let url = base
                .below(&blob_path(&ask.pin.sha256))
                .map_err(|error| Problem::Read(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
            let body = block_on(watched(
                ask.stopped,
                http.open_range(&url, ByteRange::from(ask.from), ask.etag, *scope, Lines::Shared),
            ));
            let body = body.ok_or(Trouble::Stopped)?.map_err(|error| match error {
                HttpError::Status { status: 404 | 410, .. } => Problem::Absent,
                error => Problem::Http(error),
            })?;
            streamed(body, ask)?
        }
        Place::Hub(hub) => {
            let scope = hub.scope(http).map_err(Problem::Http)?;
            let body = hub.open(http, &ask.pin.sha256, ask.stopped, |url| {
                block_on(watched(
                    ask.stopped,
                    http.open_range(url, ByteRange::from(ask.from), ask.etag, scope, Lines::Shared),
                ))
            });
            let body = body.map_err(|unopened| match unopened {
                Unopened::Stopped => Trouble::Stopped,
                Unopened::Absent => Trouble::Problem(Problem::Absent),
                Unopened::Http(error) => Trouble::Problem(Problem::Http(error)),
                Unopened::Hub(problem) => Trouble::Problem(Problem::Hub(problem)),
            })?;
            streamed(body, ask)?
        }
        Place::Folder(folder) => {
            let path = folder.join(blob_path(&ask.pin.sha256));
            let mut file = files::open_regular(&path).map_err(Problem::Read)?.ok_or(Problem::Absent)?;
            check_size(Some(file.metadata().map_err(Problem::Read)?.len()), ask.pin)?;
            file.seek(io::SeekFrom::Start(ask.from)).map_err(Problem::Read)?;
            Opened { start: ask.from, etag: None, stream: Stream::File(file) }
        }
        Place::Objects(reader) => {
            if let Some(stream) = reader.stream(ask.pin, ask.from).map_err(Problem::Read)? {
                return Ok(Opened { start: ask.from, etag: None, stream: Stream::Reader(stream) });
            }
            let bytes = reader.blob(ask.pin).map_err(Problem::Read)?.ok_or(Problem::Absent)?;
            check_size(Some(bytes.len() as u64), ask.pin)?;
            Opened { start: 0, etag: None, stream: Stream::Bytes(Some(bytes.into())) }
        }
    };
    Ok(opened)
}

/// The body of an answer, moved by a task of its own.
fn streamed(body: RangeBody, ask: &Ask<'_>) -> Result<Opened, Problem> {
    check_size(body.total(), ask.pin)?;
    let (start, etag) = (body.start(), body.etag().map(str::to_owned));
    let (sender, receiver) = mpsc::channel(WAITING);
    block_on(async { drop(tokio::spawn(pump(body, sender))) });
    Ok(Opened { start, etag, stream: Stream::Http(receiver) })
}

fn check_size(told: Option<u64>, pin: &Pin) -> Result<(), Problem> {
    match told {
        Some(size) if size != pin.size => Err(Problem::Wrong(Found::Size(size))),
        _ => Ok(()),
    }
}

impl Opened {
    /// The next bytes; `None` at the end.
    pub(super) fn next(&mut self, stopped: &dyn Fn() -> bool) -> Result<Option<Bytes>, Trouble> {
        if stopped() {
            return Err(Trouble::Stopped);
        }
        match &mut self.stream {
            Stream::Http(receiver) => {
                // What has come already needs no look at the runtime.
                let next = match receiver.try_recv() {
                    Ok(next) => Some(next),
                    Err(_) => block_on(watched(stopped, receiver.recv())).ok_or(Trouble::Stopped)?,
                };
                Ok(next.transpose().map_err(Problem::Http)?)
            }
            Stream::File(file) => {
                let mut piece = vec![0; PIECE];
                let count = file.read(&mut piece).map_err(Problem::Read)?;
                piece.truncate(count);
                Ok((count > 0).then(|| piece.into()))
            }
            Stream::Reader(reader) => {
                let mut piece = vec![0; PIECE];
                let count = reader.read(&mut piece).map_err(Problem::Read)?;
                piece.truncate(count);
                Ok((count > 0).then(|| piece.into()))
            }
            Stream::Bytes(bytes) => Ok(bytes.take().filter(|bytes| !bytes.is_empty())),
        }
    }
}

/// Moves chunks from the socket to the thread that hashes and writes. Ends when that one goes away.
async fn pump(mut body: RangeBody, sender: mpsc::Sender<Result<Bytes, HttpError>>) {
    loop {
        let next = match body.chunk().await {
            Ok(None) => return,
            Ok(Some(chunk)) => Ok(chunk),
            Err(error) => Err(error),
        };
        let last = next.is_err();
        if sender.send(next).await.is_err() || last {
            return;
        }
    }
}

/// A future's answer, unless somebody wishes to stop first.
async fn watched<F: Future>(stopped: &dyn Fn() -> bool, future: F) -> Option<F::Output> {
    let mut future = std::pin::pin!(future);
    loop {
        match tokio::time::timeout(LOOK, &mut future).await {
            Ok(answer) => return Some(answer),
            Err(_) if stopped() => return None,
            Err(_) => {}
        }
    }
}
