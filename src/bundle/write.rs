//! Writing a bundle: its table first, then each entry, hashed on the way. The same entries are the same bytes.

use std::fs::File;
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};

use tempfile::{NamedTempFile, TempPath};

use crate::bundle::place::{MAX_VOLUMES, VOLUME_HEAD, VolumeHead, volume_path};
use crate::bundle::read::{FOLDER_TABLE, whole_length};
use crate::bundle::table::{Blob, FIRST_LINE, FileEntry, aligned};
use crate::bundle::{BundleError, Table};
use crate::model::{Pin, Sha256, Sha256Hasher};
use crate::sys::{Cancel, blob_path, fault, files};

/// Bytes copied at a time.
const PIECE: usize = 1 << 20;
/// Bytes of a disk that stay free.
const MARGIN: u64 = 16 << 20;

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// One file.
    File,
    /// Files of at most so many bytes.
    Volumes(u64),
    /// A folder with a file for each entry.
    Folder,
}

/// An entry that is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source<'a> {
    /// A file of the index, by path.
    File(&'a str),
    /// A blob.
    Blob(Pin),
}

/// Opens entries; `None`: it is not there any more.
pub type Sources<'a> = dyn Fn(Source<'_>) -> io::Result<Option<Box<dyn Read + Send>>> + 'a;

/// Writes a bundle; returns its files. Bytes are staged in a folder on the same file system, and get their names when all are
/// durable.
///
/// # Errors
/// `E1085`: something stands there. `E1087`: no room. `E1083`: too many volumes. `E1088`: an entry changed, or the disk failed.
pub fn write(
    table: &Table,
    (to, shape): (&Path, Shape),
    staging: &Path,
    open: &Sources<'_>,
    (cancel, advanced): (&Cancel, &dyn Fn(u64)),
) -> Result<Vec<PathBuf>, BundleError> {
    let begin = table.begin();
    let whole = whole_length((begin.len() as u64).saturating_sub(FIRST_LINE), table);
    let names = names(to, shape, whole)?;
    for name in &names {
        if name.symlink_metadata().is_ok() {
            return Err(BundleError::Exists { path: name.clone() });
        }
    }
    room(staging, whole)?;
    let work = Work { table, begin: &begin, open, cancel, advanced };
    match shape {
        Shape::Folder => work.folder(to, staging)?,
        Shape::File | Shape::Volumes(_) => work.parts(&names, shape, staging, whole)?,
    }
    Ok(names)
}

/// Whether it fits.
fn room(staging: &Path, needed: u64) -> Result<(), BundleError> {
    let free = files::free_space(staging).map_err(BundleError::at(staging))?;
    if needed.saturating_add(MARGIN) <= free {
        return Ok(());
    }
    Err(BundleError::Full { path: staging.to_owned(), needed: Some((needed, free)), source: None })
}

/// The files that it will be in.
fn names(to: &Path, shape: Shape, whole: u64) -> Result<Vec<PathBuf>, BundleError> {
    let Shape::Volumes(size) = shape else { return Ok(vec![to.to_owned()]) };
    let slice = size.saturating_sub(VOLUME_HEAD).max(1);
    let count = whole.div_ceil(slice);
    if count > MAX_VOLUMES {
        let why = format!("it would be {count} volumes, and {MAX_VOLUMES} is the most: make them larger");
        return Err(BundleError::Volumes { why });
    }
    Ok((1..=count).map(|number| volume_path(to, number)).collect())
}

struct Work<'a> {
    table: &'a Table,
    begin: &'a [u8],
    open: &'a Sources<'a>,
    cancel: &'a Cancel,
    advanced: &'a dyn Fn(u64),
}

impl Work<'_> {
    fn parts(&self, names: &[PathBuf], shape: Shape, staging: &Path, whole: u64) -> Result<(), BundleError> {
        let slice = match shape {
            Shape::Volumes(size) => size.saturating_sub(VOLUME_HEAD).max(1),
            _ => u64::MAX,
        };
        let head = VolumeHead {
            number: 0,
            count: names.len() as u64,
            bundle: Sha256::of(self.begin.get(usize::try_from(FIRST_LINE).unwrap_or(0)..).unwrap_or_default()),
            begin: 0,
            length: 0,
            whole,
        };
        let mut output = Output {
            head: matches!(shape, Shape::Volumes(_)).then_some(head),
            slice,
            staging,
            at: 0,
            done: Vec::new(),
            open: None,
        };
        let fail = BundleError::at(staging);
        output.put(self.begin).map_err(&fail)?;
        let data = aligned(self.begin.len() as u64).unwrap_or(u64::MAX);
        output.fill(data).map_err(&fail)?;
        for (path, FileEntry { pin, .. }) in &self.table.files {
            self.entry(Source::File(path), *pin, &mut |piece| output.put(piece), staging)?;
        }
        for loose in [false, true] {
            for (digest, blob) in &self.table.blobs {
                let Blob { offset, size, loose: is_loose } = *blob;
                if is_loose != loose {
                    continue;
                }
                output.fill(data.saturating_add(offset)).map_err(&fail)?;
                let pin = Pin { sha256: *digest, size };
                self.entry(Source::Blob(pin), pin, &mut |piece| output.put(piece), staging)?;
            }
        }
        output.finish(names).map_err(fail)
    }

    fn folder(&self, to: &Path, staging: &Path) -> Result<(), BundleError> {
        let making = staging.join("bundle");
        let fail = BundleError::at(&making);
        if making.symlink_metadata().is_ok() {
            std::fs::remove_dir_all(&making).map_err(&fail)?;
        }
        let one = |path: &str, source: Source<'_>, pin: Pin| -> Result<(), BundleError> {
            let whole = making.join(path);
            let fail = BundleError::at(&whole);
            if let Some(parent) = whole.parent() {
                std::fs::create_dir_all(parent).map_err(&fail)?;
            }
            let mut file = File::create_new(&whole).map_err(&fail)?;
            self.entry(source, pin, &mut |piece| file.write_all(piece), staging)?;
            file.sync_all().map_err(fail)
        };
        for (path, FileEntry { pin, .. }) in &self.table.files {
            one(path, Source::File(path), *pin)?;
        }
        for (digest, blob) in &self.table.blobs {
            let pin = Pin { sha256: *digest, size: blob.size };
            one(&blob_path(digest), Source::Blob(pin), pin)?;
        }
        files::write_atomic(&making.join(FOLDER_TABLE), self.begin).map_err(&fail)?;
        fault::point("bundle-rename").map_err(&fail)?;
        if !files::rename_new(&making, to).map_err(&fail)? {
            return Err(BundleError::Exists { path: to.to_owned() });
        }
        files::sync_dir(to.parent().unwrap_or(Path::new("."))).map_err(fail)
    }

    /// Copies an entry, which must have the bytes that the table says.
    fn entry(
        &self,
        source: Source<'_>,
        pin: Pin,
        put: &mut dyn FnMut(&[u8]) -> io::Result<()>,
        staging: &Path,
    ) -> Result<(), BundleError> {
        let what = match source {
            Source::File(path) => path.to_owned(),
            Source::Blob(pin) => blob_path(&pin.sha256),
        };
        let changed = || BundleError::Changed { what: what.clone(), digest: pin.sha256 };
        let mut reader = (self.open)(source).map_err(|_| changed())?.ok_or_else(changed)?;
        let (mut hasher, mut buffer, mut total) = (Sha256Hasher::new(), vec![0; PIECE], 0_u64);
        loop {
            if self.cancel.is_cancelled() {
                return Err(BundleError::Stopped);
            }
            let count = reader.read(&mut buffer).map_err(|_| changed())?;
            let piece = buffer.get(..count).unwrap_or_default();
            total = total.saturating_add(count as u64);
            if total > pin.size {
                return Err(changed());
            }
            if count == 0 {
                break;
            }
            hasher.update(piece);
            put(piece).map_err(BundleError::at(staging))?;
            (self.advanced)(count as u64);
        }
        if (Pin { sha256: hasher.finish(), size: total }) == pin { Ok(()) } else { Err(changed()) }
    }
}

/// The file or volumes that are written.
struct Output<'a> {
    /// The head of each volume, where there are such.
    head: Option<VolumeHead>,
    /// Bytes of the bundle in each file.
    slice: u64,
    staging: &'a Path,
    /// Bytes of the bundle that were written.
    at: u64,
    /// Those that are whole and durable: they are many, and need not be open.
    done: Vec<TempPath>,
    open: Option<NamedTempFile>,
}

impl Output<'_> {
    fn put(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let within = self.at.checked_rem(self.slice).unwrap_or(0);
            if within == 0 {
                self.next()?;
            }
            let left = usize::try_from(self.slice.saturating_sub(within)).unwrap_or(usize::MAX);
            let (now, rest) = bytes.split_at_checked(left.min(bytes.len())).unwrap_or((bytes, &[]));
            if let Some(file) = &mut self.open {
                file.write_all(now)?;
            }
            self.at = self.at.saturating_add(now.len() as u64);
            bytes = rest;
        }
        Ok(())
    }

    /// Zeros up to a place.
    fn fill(&mut self, to: u64) -> io::Result<()> {
        let zeros = vec![0; usize::try_from(to.saturating_sub(self.at)).unwrap_or(0)];
        self.put(&zeros)
    }

    fn next(&mut self) -> io::Result<()> {
        self.close()?;
        let mut file = files::unfinished(self.staging, 0o666)?;
        if let Some(head) = self.head {
            let length = self.slice.min(head.whole.saturating_sub(self.at));
            let number = (self.done.len() as u64).saturating_add(1);
            file.write_all(&VolumeHead { number, begin: self.at, length, ..head }.render())?;
        }
        self.open = Some(file);
        Ok(())
    }

    fn close(&mut self) -> io::Result<()> {
        if let Some(file) = self.open.take() {
            file.as_file().sync_all()?;
            self.done.push(file.into_temp_path());
        }
        Ok(())
    }

    /// All bytes first, then the names.
    fn finish(mut self, names: &[PathBuf]) -> io::Result<()> {
        self.close()?;
        fault::point("bundle-rename")?;
        let mut named = Vec::new();
        for (file, name) in self.done.into_iter().zip(names) {
            if let Err(error) = file.persist_noclobber(name) {
                for name in named {
                    // What stays is named by the error that follows, next time.
                    let _ = files::remove(name);
                }
                return Err(error.error);
            }
            named.push(name);
        }
        files::sync_dir(names.first().and_then(|name| name.parent()).unwrap_or(Path::new(".")))
    }
}
