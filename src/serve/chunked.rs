//! Bytes of a blob chunk by chunk: each is read whole, compared, and only then sent (`--verify chunks`).

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes};
use futures_util::stream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::chunk::{ChunkHash, ChunkList, MAX_INDEX};
use crate::model::{Pin, Sha256};
use crate::serve::keep::Keeper;
use crate::serve::{OpenBlob, Shelf, Wanted};

/// Bytes of all chunks that are held at a time, in units of a KiB.
const BUDGET: usize = 48 << 10;
/// How long a chunk waits for others' bytes to leave.
const PATIENCE: Duration = Duration::from_mins(1);
/// Bytes of all chunk indexes that are kept ready.
const READY: u64 = 16 << 20;
/// Largest blob without an index that is read whole and hashed before it is sent.
pub(super) const SMALL: u64 = 8 << 20;

/// Chunk indexes that were read, and the room for chunks.
pub(super) struct Chunks {
    lists: Mutex<VecDeque<(Sha256, Arc<ChunkList>)>>,
    room: Arc<Semaphore>,
}

/// A chunk that gives its room back.
struct Held {
    bytes: Vec<u8>,
    part: Range<usize>,
    _room: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(self.part.clone()).unwrap_or_default()
    }
}

/// What chunks are read from, and who is told of a wrong one.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) chunks: Arc<Chunks>,
    pub(super) shelf: Arc<dyn Shelf>,
    pub(super) keeper: Arc<Keeper>,
    pub(super) blob: OpenBlob,
}

impl Chunks {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { lists: Mutex::default(), room: Arc::new(Semaphore::new(BUDGET)) })
    }

    /// The list of a blob by its index, compared with its pin; none: it is not here, or is none of this blob's. May block.
    pub(super) fn list(&self, shelf: &dyn Shelf, index: &Pin, blob: &Pin) -> Option<Arc<ChunkList>> {
        let found = {
            let lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
            lists.iter().find(|(digest, _)| *digest == index.sha256).map(|(_, list)| Arc::clone(list))
        };
        if let Some(list) = found {
            return (list.blob() == blob).then_some(list);
        }
        if index.size > MAX_INDEX {
            return None;
        }
        let open = shelf.open(&Wanted::pinned(index)).ok()??;
        let mut bytes = vec![0; usize::try_from(index.size).ok()?];
        open.file.read_exact_at(&mut bytes, open.offset).ok()?;
        if Pin::of(&bytes) != *index {
            return None;
        }
        let list = Arc::new(ChunkList::parse(&bytes, blob).ok()?);
        let mut lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        lists.push_front((index.sha256, Arc::clone(&list)));
        let mut sum = 0_u64;
        lists.retain(|(_, list)| {
            sum = sum.saturating_add(list.len() as u64 * 48);
            sum <= READY
        });
        Some(list)
    }
}

impl Source {
    /// A part of the blob as a body. The first chunk is compared before anything is answered.
    pub(super) async fn body(self, list: Arc<ChunkList>, bytes: Range<u64>) -> io::Result<Body> {
        if bytes.is_empty() {
            return Ok(Body::empty());
        }
        let first = self.chunk(&list, bytes.clone()).await?;
        let rest = bytes.start.saturating_add(first.len() as u64)..bytes.end;
        let state = (self, list, rest, Some(first));
        let pieces = stream::try_unfold(state, |(source, list, rest, ready)| async move {
            if let Some(ready) = ready {
                return Ok::<_, io::Error>(Some((ready, (source, list, rest, None))));
            }
            if rest.is_empty() {
                return Ok(None);
            }
            let piece = source.chunk(&list, rest.clone()).await?;
            let rest = rest.start.saturating_add(piece.len() as u64)..rest.end;
            Ok(Some((piece, (source, list, rest, None))))
        });
        Ok(Body::from_stream(pieces))
    }

    /// The bytes of the first chunk that a range touches, as far as the range asks for them.
    async fn chunk(&self, list: &ChunkList, range: Range<u64>) -> io::Result<Bytes> {
        let chunk = list.at(range.start).and_then(|number| list.get(number));
        let chunk = chunk.ok_or(io::ErrorKind::UnexpectedEof)?;
        let end = chunk.offset.saturating_add(u64::from(chunk.length)).min(range.end);
        let inner = |at: u64| usize::try_from(at.saturating_sub(chunk.offset)).unwrap_or(usize::MAX);
        let (part, hash) = (inner(range.start)..inner(end), chunk.hash);
        self.checked(chunk.offset, chunk.length, part, move |bytes| ChunkHash::of(bytes) == hash).await
    }

    /// A small blob as one piece, compared by its own digest.
    pub(super) async fn whole(&self, bytes: Range<u64>) -> io::Result<Bytes> {
        let pin = self.blob.pin;
        let length = u32::try_from(pin.size).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let number = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
        let part = number(bytes.start)..number(bytes.end);
        self.checked(0, length, part, move |bytes| Pin::of(bytes) == pin).await
    }

    async fn checked(
        &self,
        offset: u64,
        length: u32,
        part: Range<usize>,
        fits: impl FnOnce(&[u8]) -> bool + Send + 'static,
    ) -> io::Result<Bytes> {
        let room = self.chunks.room.clone().acquire_many_owned(length.div_ceil(1024).max(1));
        let room = tokio::time::timeout(PATIENCE, room).await.map_err(|_| io::ErrorKind::TimedOut)?;
        let room = room.map_err(io::Error::other)?;
        let (shelf, keeper, blob) = (Arc::clone(&self.shelf), Arc::clone(&self.keeper), self.blob.clone());
        let read = tokio::task::spawn_blocking(move || {
            let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
            blob.file.read_exact_at(&mut bytes, blob.offset.saturating_add(offset))?;
            if fits(&bytes) {
                return Ok(Bytes::from_owner(Held { bytes, part, _room: room }));
            }
            keeper.found_wrong(&*shelf, &blob);
            Err(io::Error::from(io::ErrorKind::InvalidData))
        });
        read.await.map_err(io::Error::other)?
    }
}
