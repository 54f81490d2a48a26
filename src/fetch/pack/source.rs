//! A pack at a place, as a stream of chunks of a range.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::fetch::{Found, Place, Problem};
use crate::model::Pin;
use crate::sys::{ByteRange, HttpClient, HttpError, Lines, RangeBody, blob_path, block_on, files};

/// Bytes of a file that are read at a time.
const PIECE: u64 = 256 * 1024;
/// Chunks that wait between the socket and the thread that cuts: what is held in memory for each pack.
const WAITING: usize = 3;
/// Time between two looks at a wish to stop.
const LOOK: Duration = Duration::from_millis(100);

/// A range of a pack being read. It may begin before what was asked for, and end behind it.
pub(super) struct Opened {
    /// Offset of the next byte.
    pub(super) at: u64,
    /// Whether it goes on to the end of the pack.
    pub(super) all: bool,
    stream: Stream,
}

enum Stream {
    Http(mpsc::Receiver<Result<Bytes, HttpError>>),
    /// Up to this offset.
    File(File, u64),
    /// The same.
    Reader(Box<dyn io::Read + Send>, u64),
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

/// Opens a range of a pack. A size that the place tells is compared before the first byte.
pub(super) fn open(
    place: &Place,
    http: &HttpClient,
    (pack, range): (&Pin, &Range<u64>),
    stopped: &dyn Fn() -> bool,
) -> Result<Opened, Trouble> {
    match place {
        Place::Http(base, scope) => {
            let url = base
                .below(&blob_path(&pack.sha256))
                .map_err(|error| Problem::Read(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
            // All of it is asked for without a range: that any server understands.
            let to = (*range != (0..pack.size)).then_some(range.end);
            let asked = ByteRange { from: range.start, to };
            let body = block_on(watched(stopped, http.open_range(&url, asked, None, *scope, Lines::Each)));
            let body = body.ok_or(Trouble::Stopped)?.map_err(|error| match error {
                HttpError::Status { status: 404 | 410, .. } => Problem::Absent,
                error => Problem::Http(error),
            })?;
            check_size(body.total(), pack)?;
            let (at, all) = (body.start(), body.status() != 206);
            let (sender, receiver) = mpsc::channel(WAITING);
            block_on(async { drop(tokio::spawn(pump(body, sender))) });
            Ok(Opened { at, all, stream: Stream::Http(receiver) })
        }
        Place::Folder(folder) => {
            let path = folder.join(blob_path(&pack.sha256));
            let file = files::open_regular(&path).map_err(Problem::Read)?.ok_or(Problem::Absent)?;
            check_size(Some(file.metadata().map_err(Problem::Read)?.len()), pack)?;
            Ok(Opened { at: range.start, all: false, stream: Stream::File(file, range.end) })
        }
        Place::Objects(reader) => {
            if let Some(stream) = reader.stream(pack, range.start).map_err(Problem::Read)? {
                let stream = Stream::Reader(stream, range.end);
                return Ok(Opened { at: range.start, all: false, stream });
            }
            let bytes = reader.blob(pack).map_err(Problem::Read)?.ok_or(Problem::Absent)?;
            check_size(Some(bytes.len() as u64), pack)?;
            Ok(Opened { at: 0, all: true, stream: Stream::Bytes(Some(bytes.into())) })
        }
        // A hub has no packs.
        Place::Hub(_) => Err(Problem::Absent.into()),
    }
}

fn check_size(told: Option<u64>, pack: &Pin) -> Result<(), Problem> {
    match told {
        Some(size) if size != pack.size => Err(Problem::Wrong(Found::Size(size))),
        _ => Ok(()),
    }
}

impl Opened {
    /// The next bytes; `None` at the end.
    pub(super) fn next(&mut self, stopped: &dyn Fn() -> bool) -> Result<Option<Bytes>, Trouble> {
        if stopped() {
            return Err(Trouble::Stopped);
        }
        let chunk = match &mut self.stream {
            Stream::Http(receiver) => {
                // What has come already needs no look at the runtime.
                let next = match receiver.try_recv() {
                    Ok(next) => Some(next),
                    Err(_) => block_on(watched(stopped, receiver.recv())).ok_or(Trouble::Stopped)?,
                };
                next.transpose().map_err(Problem::Http)?
            }
            Stream::Reader(reader, end) => {
                let length = usize::try_from(end.saturating_sub(self.at).min(PIECE)).unwrap_or(0);
                let mut piece = vec![0; length];
                let count = if length == 0 { 0 } else { reader.read(&mut piece).map_err(Problem::Read)? };
                piece.truncate(count);
                (count > 0).then(|| piece.into())
            }
            Stream::File(file, end) => {
                let length = usize::try_from(end.saturating_sub(self.at).min(PIECE)).unwrap_or(0);
                let mut piece = vec![0; length];
                let count = if length == 0 { 0 } else { file.read_at(&mut piece, self.at).map_err(Problem::Read)? };
                piece.truncate(count);
                (count > 0).then(|| piece.into())
            }
            Stream::Bytes(bytes) => bytes.take().filter(|bytes| !bytes.is_empty()),
        };
        self.at = self.at.saturating_add(chunk.as_ref().map_or(0, |chunk| chunk.len() as u64));
        Ok(chunk)
    }
}

/// Moves chunks from the socket to the thread that cuts. Ends when that one goes away.
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
