//! Bytes of a blob chunk by chunk: each is read whole, compared, and only then sent (`--verify chunks`).

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
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
/// Bytes of small chunks that are read and compared at once.
const TOGETHER: u32 = 512 << 10;
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
        open.bytes.read_exact_at(&mut bytes, 0).ok()?;
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

    /// The bytes of the first chunks that a range touches, as far as the range asks for them: several small ones are read at once.
    async fn chunk(&self, list: &ChunkList, range: Range<u64>) -> io::Result<Bytes> {
        let first = list.at(range.start).ok_or(io::ErrorKind::UnexpectedEof)?;
        let begin = list.get(first).ok_or(io::ErrorKind::UnexpectedEof)?.offset;
        let (mut hashes, mut length) = (Vec::new(), 0_u32);
        for number in first..list.len() {
            let Some(chunk) = list.get(number) else { break };
            let more = length.saturating_add(chunk.length);
            let enough = chunk.offset >= range.end || more > TOGETHER;
            if enough && !hashes.is_empty() {
                break;
            }
            length = more;
            hashes.push((chunk.length, chunk.hash));
        }
        let inner = |at: u64| usize::try_from(at.saturating_sub(begin)).unwrap_or(usize::MAX);
        let end = begin.saturating_add(u64::from(length)).min(range.end);
        let part = inner(range.start)..inner(end);
        self.checked(begin, length, part, move |bytes| {
            let (mut rest, mut good) = (bytes, 0_usize);
            for (length, hash) in hashes {
                let Some((chunk, behind)) = rest.split_at_checked(usize::try_from(length).unwrap_or(usize::MAX)) else {
                    break;
                };
                if ChunkHash::of(chunk) != hash {
                    break;
                }
                (rest, good) = (behind, good.saturating_add(chunk.len()));
            }
            good
        })
        .await
    }

    /// A small blob as one piece, compared by its own digest.
    pub(super) async fn whole(&self, bytes: Range<u64>) -> io::Result<Bytes> {
        let pin = self.blob.pin;
        let length = u32::try_from(pin.size).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let number = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
        let part = number(bytes.start)..number(bytes.end);
        self.checked(0, length, part, move |bytes| if Pin::of(bytes) == pin { bytes.len() } else { 0 }).await
    }

    /// Reads so many bytes and gives out a part of them, as far as they fit: `good` says how many from their begin do.
    async fn checked(
        &self,
        offset: u64,
        length: u32,
        part: Range<usize>,
        good: impl FnOnce(&[u8]) -> usize + Send + 'static,
    ) -> io::Result<Bytes> {
        let room = self.chunks.room.clone().acquire_many_owned(length.div_ceil(1024).max(1));
        let room = tokio::time::timeout(PATIENCE, room).await.map_err(|_| io::ErrorKind::TimedOut)?;
        let room = room.map_err(io::Error::other)?;
        let (shelf, keeper, blob) = (Arc::clone(&self.shelf), Arc::clone(&self.keeper), self.blob.clone());
        let read = tokio::task::spawn_blocking(move || {
            let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
            blob.bytes.read_exact_at(&mut bytes, offset)?;
            let good = good(&bytes);
            if good < bytes.len() {
                keeper.found_wrong(&*shelf, &blob);
            }
            let part = part.start..part.end.min(good);
            // What fits before it may leave; where nothing does, the connection ends.
            if part.is_empty() && good < bytes.len() {
                return Err(io::Error::from(io::ErrorKind::InvalidData));
            }
            Ok(Bytes::from_owner(Held { bytes, part, _room: room }))
        });
        read.await.map_err(io::Error::other)?
    }
}
