//! What is there of a blob, and how it grows: the partial download, who gave its bytes, and how far it is.

use std::cell::Cell;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::chunk::{ChunkHash, ChunkList};
use crate::fetch::download::Download;
use crate::fetch::journal::Journal;
use crate::fetch::segments::{self, Sink};
use crate::fetch::stream::name;
use crate::fetch::{FetchError, Found};
use crate::progress::{Event, Task};
use crate::sys::{Cancel, Grain, Piece, Staging, files};

/// From this size on, a download is kept when it is cut off and gone on with later.
const RESUMABLE: u64 = 1 << 20;
/// First task of this room.
const FIRST_TASK: u64 = 1 << 61;

/// Where the bytes that are there came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// Nothing is there.
    Nowhere,
    /// All from this place, in this run.
    One(usize),
    /// Several places, or an earlier run.
    Mixed,
}

/// The file that grows.
pub(super) struct Growing<'a> {
    download: &'a Download<'a>,
    pub(super) staging: Staging,
    pub(super) source: Source,
    pub(super) journal: Option<PathBuf>,
    pub(super) meter: &'a Meter<'a>,
}

impl<'m> Growing<'m> {
    pub(super) fn begin(download: &'m Download<'m>, meter: &'m Meter<'m>) -> Result<Self, FetchError> {
        let (folder, what, pin) = (&download.fetcher.staging, download.job.what.as_str(), &download.job.pin);
        if pin.size < RESUMABLE {
            let staging = Staging::create(folder, what).map_err(|error| download.local(error))?;
            return Ok(Self { download, staging, source: Source::Nowhere, journal: None, meter });
        }
        let part = folder.join(format!("{}.part", pin.sha256));
        // Cancel has its own type here; a stop by an error of another blob is seen at the next chunk.
        let mut staging = match resume(&part, what, download, download.fetcher.cancel) {
            Ok(staging) => staging,
            Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::PermissionDenied) => {
                // No partial download of ours stands in its place, or another member's of the group that shares the store: it
                // goes, and is neither followed nor written to.
                files::remove(&part).map_err(|error| download.local(error))?;
                resume(&part, what, download, &Cancel::new()).map_err(|error| download.local(error))?
            }
            Err(error) => return Err(download.local(error)),
        };
        let source = if staging.written() == 0 { Source::Nowhere } else { Source::Mixed };
        let journal = Some(folder.join(format!("{}.journal", pin.sha256)));
        meter.kept(staging.written());
        if pin.size >= segments::LEAST {
            staging.hurry(pin.size).map_err(|error| download.local(error))?;
        }
        Ok(Self { download, staging, source, journal, meter })
    }

    /// Bytes that are missing.
    pub(super) fn missing(&self) -> u64 {
        self.download.job.pin.size.saturating_sub(self.staging.written())
    }

    /// Bytes came from a place.
    pub(super) fn comes_from(&mut self, number: usize) {
        self.source = match self.source {
            Source::Nowhere => Source::One(number),
            Source::One(before) if before == number => Source::One(number),
            _ => Source::Mixed,
        };
    }

    /// Keeps the version that a place says it has, for the next process.
    pub(super) fn note_version(&self, number: usize, etag: Option<&str>) -> Result<(), FetchError> {
        let (Some(path), Some(place)) = (&self.journal, self.download.places.get(number)) else { return Ok(()) };
        let journal = Journal::new(&self.download.job.pin, &name(place), etag);
        journal.write(path).map_err(|error| self.download.local(error))
    }

    /// Forgets all bytes.
    pub(super) fn restart(&mut self) -> Result<(), FetchError> {
        self.source = Source::Nowhere;
        let local = |error| self.download.local(error);
        if let Some(journal) = &self.journal {
            files::remove(journal).map_err(local)?;
        }
        self.staging.restart().map_err(local)?;
        let size = self.download.job.pin.size;
        if size >= segments::LEAST { self.staging.hurry(size).map_err(local) } else { Ok(()) }
    }
}

impl Sink for Growing<'_> {
    type Error = FetchError;

    fn write(&mut self, piece: Piece) -> Result<(), FetchError> {
        self.staging.write_piece(piece).map_err(|error| self.download.local(error))?;
        self.meter.reached(self.staging.written());
        Ok(())
    }

    fn kept(&mut self, bytes: u64) {
        self.meter.kept(bytes);
    }

    fn reached(&mut self, bytes: u64) {
        self.meter.reached(bytes);
    }

    fn version(&mut self, place: usize, etag: &str) -> Result<(), FetchError> {
        // With a list, chunks decide and nobody needs to know: a journal has one place.
        if self.download.job.chunks.is_some() { Ok(()) } else { self.note_version(place, Some(etag)) }
    }

    fn lied(&mut self, place: usize, range: Range<u64>) {
        let Some(place) = self.download.places.get(place) else { return };
        let what = &self.download.job.what;
        let found = Found::Range { from: range.start, to: range.end };
        let text = format!("{} gave wrong bytes for {what}: {found}; they were not kept", name(place));
        self.download.fetcher.progress.warn("bad-blob", text);
    }
}

/// Goes on with a partial download: with a list, as far as its chunks are whole and right.
fn resume(path: &Path, what: &str, download: &Download<'_>, cancel: &Cancel) -> io::Result<Staging> {
    let limit = download.job.pin.size;
    match download.list() {
        Some(list) => Staging::resume_by(path, what, limit, &mut ByChunk(Arc::clone(list)), cancel),
        None => Staging::resume(path, what, limit, cancel),
    }
}

/// Pieces that are chunks.
struct ByChunk(Arc<ChunkList>);

impl Grain for ByChunk {
    fn length(&self, offset: u64) -> Option<usize> {
        let chunk = self.0.get(self.0.at(offset)?)?;
        usize::try_from(chunk.length).ok()
    }

    fn admits(&mut self, offset: u64, piece: &[u8]) -> bool {
        let chunk = self.0.at(offset).and_then(|number| self.0.get(number));
        chunk.is_some_and(|chunk| u64::from(chunk.length) == piece.len() as u64 && ChunkHash::of(piece) == chunk.hash)
    }
}

/// Tells how far a download is, and never takes anything back.
pub(super) struct Meter<'a> {
    pub(super) download: &'a Download<'a>,
    pub(super) told: Cell<u64>,
}

impl Meter<'_> {
    pub(super) fn task(&self) -> Task {
        Task(FIRST_TASK.saturating_add(self.download.number as u64))
    }

    /// So many bytes need not be fetched.
    fn kept(&self, bytes: u64) {
        let bytes = bytes.min(self.download.job.pin.size.saturating_sub(self.told.get()));
        if bytes > 0 {
            self.told.set(self.told.get().saturating_add(bytes));
            self.download.fetcher.progress.on(&Event::Kept { task: self.task(), bytes });
        }
    }

    /// So many bytes are here in all.
    pub(super) fn reached(&self, bytes: u64) {
        let more = bytes.saturating_sub(self.told.get());
        if more > 0 {
            self.told.set(bytes);
            self.download.fetcher.progress.on(&Event::Advanced { task: self.task(), bytes: more });
        }
    }
}
