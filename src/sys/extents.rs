//! Bytes that lie in an open file, or go on from one file to the next.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

/// A piece of an open file.
#[derive(Debug, Clone)]
pub struct Extent {
    /// The file.
    pub file: Arc<File>,
    /// Where the piece begins in it.
    pub offset: u64,
    /// Its bytes.
    pub length: u64,
}

/// Pieces of open files that are one thing together, in order. Nothing is promised of the files.
#[derive(Debug, Clone)]
pub struct Extents(Vec<Extent>);

impl Extents {
    /// A piece of one file.
    pub fn one(file: Arc<File>, offset: u64, length: u64) -> Self {
        Self(vec![Extent { file, offset, length }])
    }

    /// Pieces of several.
    pub fn several(pieces: Vec<Extent>) -> Self {
        Self(pieces)
    }

    /// Bytes of all pieces.
    pub fn length(&self) -> u64 {
        self.0.iter().fold(0, |sum, piece| sum.saturating_add(piece.length))
    }

    /// The pieces.
    pub fn pieces(&self) -> &[Extent] {
        &self.0
    }

    /// The pieces, for whoever goes through them.
    pub fn into_pieces(self) -> Vec<Extent> {
        self.0
    }

    /// Some of the bytes; of those beyond the end, none.
    #[must_use]
    pub fn part(&self, bytes: Range<u64>) -> Self {
        let (mut pieces, mut begin) = (Vec::new(), 0_u64);
        for Extent { file, offset, length } in &self.0 {
            let end = begin.saturating_add(*length);
            let (first, last) = (bytes.start.max(begin), bytes.end.min(end));
            if first < last {
                pieces.push(Extent {
                    file: Arc::clone(file),
                    offset: offset.saturating_add(first.saturating_sub(begin)),
                    length: last.saturating_sub(first),
                });
            }
            begin = end;
        }
        Self(pieces)
    }

    /// Fills a buffer with the bytes from one of them on.
    ///
    /// # Errors
    /// A file can't be read, or the bytes end before the buffer does.
    pub fn read_exact_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        let mut room = buffer;
        let end = at.saturating_add(room.len() as u64);
        for piece in self.part(at..end).0 {
            let length = usize::try_from(piece.length).unwrap_or(usize::MAX);
            let (own, rest) = room.split_at_mut_checked(length).ok_or(io::ErrorKind::UnexpectedEof)?;
            piece.file.read_exact_at(own, piece.offset)?;
            room = rest;
        }
        if room.is_empty() { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }
}
