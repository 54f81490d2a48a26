//! Bytes of files on their way to clients: read in pieces that suit the number of clients, into memory that is used again.
//!
//! What the system has in memory is read where the request stands, without a change of threads; what must come from a disk is
//! read on threads that may wait. However many clients there are, the pieces of all of them together stay within [`BUDGET`].

use std::collections::VecDeque;
use std::fs::File;
use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use axum::body::{Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use tokio::task::JoinHandle;

use crate::sys::{Extent, Extents};

/// Bytes of all pieces that are on their way, as long as clients come one by one.
const BUDGET: usize = 24 << 20;
/// The largest piece.
const LARGEST: usize = 256 << 10;
/// The smallest piece.
const SMALLEST: usize = 16 << 10;

/// The memory of pieces.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// Bodies that are being sent.
    active: AtomicUsize,
    spare: Mutex<Vec<Vec<u8>>>,
}

impl Frames {
    pub(super) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Bytes that one body may take at a time: two pieces of each are in memory at most.
    fn size(&self) -> usize {
        let active = self.active.load(Ordering::Relaxed).max(1);
        (BUDGET / 2 / active).clamp(SMALLEST, LARGEST)
    }

    fn take(&self) -> Vec<u8> {
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
        spare.unwrap_or_else(|| vec![0; LARGEST])
    }

    fn give(&self, buffer: Vec<u8>) {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < BUDGET / LARGEST / 2 {
            spare.push(buffer);
        }
    }
}

/// A piece that gives its memory back.
struct Piece {
    buffer: Vec<u8>,
    length: usize,
    frames: Arc<Frames>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        self.buffer.get(..self.length).unwrap_or_default()
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.frames.give(std::mem::take(&mut self.buffer));
    }
}

/// Parts of files as a body.
pub(super) struct FileBody {
    left: VecDeque<Extent>,
    frames: Arc<Frames>,
    /// Whether the file is still what it was, asked before the last piece leaves.
    stands: Option<Box<dyn Fn() -> bool + Send + Sync>>,
    /// A read that waits for a disk.
    reading: Option<JoinHandle<io::Result<Piece>>>,
}

impl FileBody {
    pub(super) fn new(bytes: Extents, frames: Arc<Frames>) -> Self {
        frames.active.fetch_add(1, Ordering::Relaxed);
        let left = bytes.into_pieces().into_iter().filter(|piece| piece.length > 0).collect();
        Self { left, frames, stands: None, reading: None }
    }

    /// The same, cut off before its end where the file changes meanwhile.
    pub(super) fn while_it_stands(self, stands: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        let mut body = self;
        body.stands = Some(Box::new(stands));
        body
    }

    /// The next piece's size in bytes.
    fn next(&self) -> usize {
        let left = self.left.front().map_or(0, |piece| piece.length);
        self.frames.size().min(usize::try_from(left).unwrap_or(usize::MAX))
    }

    /// The next piece, if the system has it in memory.
    fn at_hand(&self) -> Option<Piece> {
        let mut buffer = self.frames.take();
        let (wanted, from) = (self.next(), self.left.front());
        let length = buffer.get_mut(..wanted).and_then(|room| read_now(&from?.file, room, from?.offset));
        match length {
            Some(length) if length > 0 => Some(Piece { buffer, length, frames: Arc::clone(&self.frames) }),
            _ => {
                self.frames.give(buffer);
                None
            }
        }
    }

    fn advance(&mut self, piece: Piece) -> io::Result<Frame<Bytes>> {
        let read = piece.length as u64;
        if let Some(from) = self.left.front_mut() {
            from.offset = from.offset.saturating_add(read);
            from.length = from.length.saturating_sub(read);
            if from.length == 0 {
                self.left.pop_front();
            }
        }
        if self.left.is_empty() && self.stands.as_ref().is_some_and(|stands| !stands()) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(Frame::data(Bytes::from_owner(piece)))
    }
}

impl Drop for FileBody {
    fn drop(&mut self) {
        self.frames.active.fetch_sub(1, Ordering::Relaxed);
    }
}

impl HttpBody for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.reading.is_none() {
            let Some(Extent { file, offset: at, .. }) = self.left.front().cloned() else { return Poll::Ready(None) };
            if let Some(piece) = self.at_hand() {
                return Poll::Ready(Some(self.advance(piece)));
            }
            let (wanted, frames) = (self.next(), Arc::clone(&self.frames));
            self.reading = Some(tokio::task::spawn_blocking(move || {
                let mut buffer = frames.take();
                buffer.resize(buffer.len().max(wanted), 0);
                let room = buffer.get_mut(..wanted).unwrap_or_default();
                let length = read_some(&file, room, at)?;
                Ok(Piece { buffer, length, frames })
            }));
        }
        let Some(reading) = self.reading.as_mut() else { return Poll::Ready(None) };
        let read = ready!(Pin::new(reading).poll(context));
        self.reading = None;
        let piece = read.map_err(io::Error::other).and_then(|read| read);
        Poll::Ready(Some(piece.and_then(|piece| self.advance(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty() && self.reading.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left.iter().fold(0, |sum, piece| sum.saturating_add(piece.length)))
    }
}

/// Reads what is in memory already; none where that can't be told or nothing is.
#[cfg(target_os = "linux")]
fn read_now(file: &File, room: &mut [u8], at: u64) -> Option<usize> {
    use rustix::io::{ReadWriteFlags, preadv2};
    preadv2(file, &mut [io::IoSliceMut::new(room)], at, ReadWriteFlags::NOWAIT).ok()
}

#[cfg(not(target_os = "linux"))]
fn read_now(_: &File, _: &mut [u8], _: u64) -> Option<usize> {
    None
}

/// Reads at least a byte; a file that ends before it should is an error, and the connection ends with it.
fn read_some(file: &File, room: &mut [u8], at: u64) -> io::Result<usize> {
    use std::os::unix::fs::FileExt as _;
    loop {
        match file.read_at(room, at) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(length) => return Ok(length),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
