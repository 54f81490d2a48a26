//! Chunk indexes of large files, made in the pass that hashes them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Mutex, PoisonError};

use crate::chunk::{ChunkList, CutRule, INDEXED_FROM, Indexer, MAX_WRITTEN};
use crate::inspect::tensor_borders;
use crate::model::{Pin, Sha256Hasher};
use crate::publish::blobs::place_bytes;
use crate::publish::{Assigned, PublishError};
use crate::registry::Folder;
use crate::sys::Cancel;

/// Bytes that are read, cut and hashed at a time.
const PIECE: usize = 1 << 20;
/// Pieces of one file that are held at once.
const PIECES: usize = 4;

/// The indexes of a release on their way into the base. Their bytes wait in an unnamed file of the registry's folder: a
/// release of a hundred terabytes has some gigabytes of them.
pub(super) struct Indexes {
    kept: Mutex<Kept>,
}

struct Kept {
    file: File,
    end: u64,
    /// By blob; of a file that stands at several paths, the first path's.
    of: BTreeMap<Pin, Waiting>,
}

/// An index in the file of those that wait.
#[derive(Clone, Copy)]
struct Waiting {
    /// Which of the release's files it was cut for.
    number: usize,
    /// Its own bytes.
    pin: Pin,
    at: u64,
}

impl Indexes {
    pub(super) fn new(folder: &Folder) -> Result<Self, PublishError> {
        let file = tempfile::tempfile_in(folder.path()).map_err(|source| failed(folder.path(), source))?;
        Ok(Self { kept: Mutex::new(Kept { file, end: 0, of: BTreeMap::new() }) })
    }

    /// Hashes an open file and keeps its index, if it gets one; `number` is its place in the release.
    pub(super) fn read(
        &self,
        number: usize,
        assigned: &Assigned,
        file: &File,
        cancel: &Cancel,
        advanced: &dyn Fn(u64),
    ) -> Result<Option<Pin>, PublishError> {
        let path = assigned.file.as_path();
        let size = file.metadata().map_err(|source| failed(path, source))?.len();
        let Some(rule) = CutRule::of(&assigned.path, size).filter(|_| size >= INDEXED_FROM) else { return Ok(None) };
        let borders = tensor_borders(file, size, cancel)
            .map_err(|source| if cancel.is_cancelled() { PublishError::Stopped } else { failed(path, source) })?;
        let mut indexer = Indexer::new(rule, size, &borders);
        let pin = hash_and_cut(file, path, &mut indexer, cancel, advanced)?;
        let list = indexer.finish(pin);
        if pin.size != size {
            return Err(PublishError::FileChanged { path: path.to_owned() });
        }
        // A list that breaks a bound is only not written: the file is as good without.
        if let Some(list) = list.ok().filter(|list| list.len() <= MAX_WRITTEN) {
            self.keep(number, &list).map_err(|source| failed(path, source))?;
        }
        Ok(Some(pin))
    }

    fn keep(&self, number: usize, list: &ChunkList) -> io::Result<()> {
        let bytes = list.render();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.of.get(list.blob()).is_some_and(|other| other.number < number) {
            return Ok(());
        }
        kept.file.write_all(&bytes)?;
        let waiting = Waiting { number, pin: Pin::of(&bytes), at: kept.end };
        kept.end += bytes.len() as u64;
        kept.of.insert(*list.blob(), waiting);
        Ok(())
    }

    /// The index of a blob.
    pub(super) fn of(&self, blob: &Pin) -> Option<Pin> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.of.get(blob).map(|waiting| waiting.pin)
    }

    /// Brings them into the base.
    pub(super) fn place(&self, folder: &Folder, cancel: &Cancel) -> Result<(), PublishError> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        for waiting in kept.of.values() {
            if cancel.is_cancelled() {
                return Err(PublishError::Stopped);
            }
            let mut bytes = vec![0; usize::try_from(waiting.pin.size).unwrap_or(usize::MAX)];
            kept.file.read_exact_at(&mut bytes, waiting.at).map_err(|source| failed(folder.path(), source))?;
            if place_bytes(folder, &bytes)? != waiting.pin {
                return Err(PublishError::FileChanged { path: folder.path().to_owned() });
            }
        }
        Ok(())
    }
}

fn failed(path: &Path, source: io::Error) -> PublishError {
    PublishError::File { path: path.to_owned(), source }
}

/// Reads a file once: this thread cuts, another hashes the whole.
fn hash_and_cut(
    file: &File,
    path: &Path,
    indexer: &mut Indexer,
    cancel: &Cancel,
    advanced: &dyn Fn(u64),
) -> Result<Pin, PublishError> {
    let (full, filled) = sync_channel::<Vec<u8>>(PIECES);
    let (empty, emptied) = channel::<Vec<u8>>();
    for _ in 0..PIECES {
        // The other end is held by this function.
        let _ = empty.send(vec![0; PIECE]);
    }
    std::thread::scope(|scope| {
        let hashing = scope.spawn(move || digest(&filled, &empty));
        let read = feed(file, &full, &emptied, cancel, &mut |piece| {
            indexer.push(piece);
            advanced(piece.len() as u64);
        });
        drop(full);
        let pin = hashing.join();
        match read {
            Ok(true) => pin.map_err(|_| failed(path, io::Error::other("a thread that hashed it is gone"))),
            Ok(false) => Err(PublishError::Stopped),
            Err(source) => Err(failed(path, source)),
        }
    })
}

fn digest(filled: &Receiver<Vec<u8>>, empty: &Sender<Vec<u8>>) -> Pin {
    let (mut hasher, mut size) = (Sha256Hasher::new(), 0);
    for piece in filled {
        hasher.update(&piece);
        size += piece.len() as u64;
        // Nobody waits for pieces once the file has ended.
        let _ = empty.send(piece);
    }
    Pin { sha256: hasher.finish(), size }
}

/// Reads to the end; false: somebody wished to stop.
fn feed(
    mut file: &File,
    full: &SyncSender<Vec<u8>>,
    emptied: &Receiver<Vec<u8>>,
    cancel: &Cancel,
    take: &mut dyn FnMut(&[u8]),
) -> io::Result<bool> {
    let gone = || io::Error::other("a thread that hashed it is gone");
    loop {
        if cancel.is_cancelled() {
            return Ok(false);
        }
        let mut piece = emptied.recv().map_err(|_| gone())?;
        piece.resize(PIECE, 0);
        let count = match file.read(&mut piece) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            Err(error) => return Err(error),
            Ok(0) => return Ok(true),
            Ok(count) => count,
        };
        piece.truncate(count);
        take(&piece);
        full.send(piece).map_err(|_| gone())?;
    }
}
