//! Reading a bundle where it lies: nothing is unpacked.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::bundle::parse::{TableError, first_line, table};
use crate::bundle::place::Parts;
use crate::bundle::table::{Blob, FIRST_LINE, FileEntry, GRAIN, MAX_TABLE, aligned};
use crate::bundle::{BundleError, Table};
use crate::model::{Pin, Sha256};
use crate::sys::files::{self, Kind};
use crate::sys::{BlobReader, Cancel, Extents, blob_path, hash};

/// The table of a bundle that is a folder.
pub(super) const FOLDER_TABLE: &str = "BUNDLE";
/// Largest blob that is read whole into memory.
const MAX_IN_MEMORY: u64 = 1 << 30;
/// Bytes read at a time.
const PIECE: usize = 1 << 20;

/// An open bundle, its table read and its length compared. What the entries hold nobody vouches for.
#[derive(Debug, Clone)]
pub struct Bundle(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    table: Table,
    /// Bytes of the table.
    size: u64,
    digest: Sha256,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Parts {
        parts: Parts,
        /// Where the data begins.
        data: u64,
    },
    Folder(PathBuf),
}

/// An entry whose bytes are not what the table says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Its path in a registry.
    pub path: String,
    /// What is wrong.
    pub why: String,
    /// The file that it lies in.
    pub file: PathBuf,
}

impl Bundle {
    /// Opens a file, the volumes of one, or a folder. The table is checked, and that the length is what it says; entries are not
    /// hashed.
    ///
    /// # Errors
    /// `E1080` to `E1084`, `E1088`.
    pub fn open(paths: &[PathBuf]) -> Result<Self, BundleError> {
        let path = paths.first().cloned().unwrap_or_default();
        if paths.len() == 1 && path.symlink_metadata().is_ok_and(|found| found.is_dir()) {
            return Self::open_folder(path);
        }
        let (parts, told) = Parts::open(paths)?;
        let fail = BundleError::at(&path);
        let read = |length: u64, at: u64| -> io::Result<Vec<u8>> {
            let mut bytes = Vec::new();
            let mut reader = PartsReader { parts: &parts, at, end: at.saturating_add(length) };
            reader.read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        let first = read(FIRST_LINE, 0).map_err(&fail)?;
        let (size, digest) = begin(&path, &first)?;
        if told.is_some_and(|told| told != digest) {
            return Err(BundleError::Volumes { why: "their heads name another table than they carry".to_owned() });
        }
        let bytes = read(size, FIRST_LINE).map_err(&fail)?;
        let table = check(&path, &bytes, size, digest)?;
        let data = aligned(FIRST_LINE.saturating_add(size)).unwrap_or(u64::MAX);
        let expected = whole_length(size, &table);
        if parts.length() != expected {
            return Err(BundleError::Length { path, expected, found: parts.length() });
        }
        Ok(Self(Arc::new(Inner { path, table, size, digest, place: Place::Parts { parts, data } })))
    }

    fn open_folder(path: PathBuf) -> Result<Self, BundleError> {
        let name = path.join(FOLDER_TABLE);
        let read = files::read_capped(&name, FIRST_LINE.saturating_add(MAX_TABLE)).map_err(BundleError::at(&name))?;
        let why = || format!("it has no file {FOLDER_TABLE}");
        let bytes = read.ok_or_else(|| BundleError::NoBundle { path: path.clone(), why: why() })?;
        let length = usize::try_from(FIRST_LINE).unwrap_or(0).min(bytes.len());
        let (first, rest) = bytes.split_at_checked(length).unwrap_or_default();
        let (size, digest) = begin(&name, first)?;
        let table = check(&name, rest, size, digest)?;
        let bundle = Self(Arc::new(Inner { table, size, digest, place: Place::Folder(path.clone()), path }));
        bundle.check_folder()?;
        Ok(bundle)
    }

    /// A folder holds the files of its table and nothing else.
    fn check_folder(&self) -> Result<(), BundleError> {
        let (table, root) = (&self.0.table, &self.0.path);
        let mut expected: BTreeSet<String> = table.files.keys().cloned().collect();
        expected.extend(table.blobs.keys().map(blob_path));
        let mut folders = vec![String::new()];
        while let Some(folder) = folders.pop() {
            let at = root.join(&folder);
            for (name, kind) in files::list(&at).map_err(BundleError::at(&at))? {
                let wrong = |why| BundleError::Folder { path: at.join(&name), why };
                let name = name.to_str().ok_or_else(|| wrong("its name is no text"))?;
                let path = if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
                match kind {
                    Kind::Folder if path.matches('/').count() < 8 => folders.push(path),
                    Kind::Folder => return Err(wrong("it lies too deep")),
                    Kind::File if path == FOLDER_TABLE || expected.remove(&path) => {}
                    Kind::File => return Err(wrong("the table does not name it")),
                    _ => return Err(wrong("it is a link or no regular file")),
                }
            }
        }
        match expected.first() {
            None => Ok(()),
            Some(path) => Err(BundleError::Folder { path: root.join(path), why: "it is not there" }),
        }
    }

    /// The first file that it was opened by.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Its table.
    pub fn table(&self) -> &Table {
        &self.0.table
    }

    /// Digest of its table: what this bundle is.
    pub fn digest(&self) -> Sha256 {
        self.0.digest
    }

    /// Bytes of the whole bundle, as one file.
    pub fn length(&self) -> u64 {
        whole_length(self.0.size, &self.0.table)
    }

    /// Where the data begins in the file.
    pub fn data_begin(&self) -> u64 {
        aligned(FIRST_LINE.saturating_add(self.0.size)).unwrap_or(u64::MAX)
    }

    /// A file of the index, if it is in the bundle and has at most `cap` bytes.
    ///
    /// # Errors
    /// It can't be read, or is larger (`FileTooLarge`).
    pub fn file(&self, path: &str, cap: u64) -> io::Result<Option<Vec<u8>>> {
        let Some(FileEntry { offset, pin }) = self.0.table.files.get(path) else { return Ok(None) };
        if pin.size > cap {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let mut bytes = Vec::new();
        self.reader(path, *offset, pin.size, 0)?.read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    /// The bytes of a blob from one of them on, if it is in the bundle with this size.
    ///
    /// # Errors
    /// It can't be read.
    pub fn blob_from(&self, pin: &Pin, from: u64) -> io::Result<Option<Box<dyn Read + Send>>> {
        let Some(Blob { offset, size, .. }) = self.0.table.blob(pin) else { return Ok(None) };
        Ok(Some(Box::new(self.reader(&blob_path(&pin.sha256), *offset, *size, from)?)))
    }

    /// Where the bytes of a blob lie, if it is in the bundle: in one file, or in the volumes that it goes on through.
    ///
    /// # Errors
    /// It can't be opened, or has another length than the table says.
    pub fn extents(&self, digest: &Sha256) -> io::Result<Option<Extents>> {
        let Some(Blob { offset, size, .. }) = self.0.table.blobs.get(digest) else { return Ok(None) };
        match &self.0.place {
            Place::Parts { parts, data } => Ok(Some(parts.extents(data.saturating_add(*offset), *size))),
            Place::Folder(root) => {
                let Some(file) = files::open_below(root, Path::new(&blob_path(digest)))? else { return Ok(None) };
                if file.metadata()?.len() != *size {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "it has another length than in the table"));
                }
                Ok(Some(Extents::one(Arc::new(file), 0, *size)))
            }
        }
    }

    fn reader(&self, path: &str, offset: u64, size: u64, from: u64) -> io::Result<Reader> {
        match &self.0.place {
            Place::Parts { data, .. } => {
                let begin = data.saturating_add(offset);
                let at = begin.saturating_add(from.min(size));
                Ok(Reader::Parts { inner: Arc::clone(&self.0), at, end: begin.saturating_add(size) })
            }
            Place::Folder(root) => {
                let mut file =
                    files::open_regular(&root.join(path))?.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
                let found = file.metadata()?.len();
                if found != size {
                    let text = format!("it has {found} bytes, and {size} in the table");
                    return Err(io::Error::new(io::ErrorKind::InvalidData, text));
                }
                io::Seek::seek(&mut file, io::SeekFrom::Start(from.min(size)))?;
                Ok(Reader::File(file.take(size.saturating_sub(from))))
            }
        }
    }

    /// Hashes every entry on all cores, and looks between them; what is not as the table says. `advanced` is told of bytes.
    ///
    /// # Errors
    /// `E1089`: the user wished to stop.
    pub fn damages(&self, cancel: &Cancel, advanced: &(dyn Fn(u64) + Sync)) -> Result<Vec<Damage>, BundleError> {
        let table = &self.0.table;
        let mut entries: Vec<(String, u64, Pin)> =
            table.files.iter().map(|(path, entry)| (path.clone(), entry.offset, entry.pin)).collect();
        let blob = |(digest, blob): (&Sha256, &Blob)| {
            (blob_path(digest), blob.offset, Pin { sha256: *digest, size: blob.size })
        };
        entries.extend(table.blobs.iter().map(blob));
        let stopped = AtomicBool::new(false);
        let mut damages: Vec<Damage> = hash::on_all_cores(&entries, &|_, (path, offset, pin)| {
            if cancel.is_cancelled() {
                stopped.store(true, Ordering::Relaxed);
                return None;
            }
            let why = match self.hash(path, (*offset, pin.size), cancel, advanced) {
                Ok(found) if found == *pin => return None,
                Ok(found) => format!("its bytes are sha256 {} ({} bytes)", found.sha256, found.size),
                Err(error) => error.to_string(),
            };
            Some(Damage { path: path.clone(), why, file: self.file_of(path, *offset) })
        })
        .into_iter()
        .flatten()
        .collect();
        if stopped.load(Ordering::Relaxed) || cancel.is_cancelled() {
            return Err(BundleError::Stopped);
        }
        damages.extend(self.between().map_err(BundleError::at(&self.0.path))?);
        Ok(damages)
    }

    fn hash(
        &self,
        path: &str,
        (offset, size): (u64, u64),
        cancel: &Cancel,
        advanced: &(dyn Fn(u64) + Sync),
    ) -> io::Result<Pin> {
        hash::hash_stream(&mut self.reader(path, offset, size, 0)?, cancel, &|bytes| advanced(bytes))
    }

    fn file_of(&self, path: &str, offset: u64) -> PathBuf {
        match &self.0.place {
            Place::Parts { parts, data } => {
                parts.path_of(data.saturating_add(offset)).unwrap_or(&self.0.path).to_owned()
            }
            Place::Folder(root) => root.join(path),
        }
    }

    /// What stands between the table and the entries, and between those, is zeros.
    fn between(&self) -> io::Result<Vec<Damage>> {
        let Place::Parts { parts, data } = &self.0.place else { return Ok(Vec::new()) };
        let table = &self.0.table;
        let files_end =
            table.files.values().map(|entry| entry.offset.saturating_add(entry.pin.size)).max().unwrap_or(0);
        let mut ends: Vec<u64> = vec![data.saturating_add(files_end)];
        ends.extend(table.blobs.values().map(|blob| data.saturating_add(blob.offset).saturating_add(blob.size)));
        ends.push(FIRST_LINE.saturating_add(self.0.size));
        let whole = parts.length();
        let mut damages = Vec::new();
        for end in ends {
            let next = aligned(end).unwrap_or(u64::MAX).min(whole);
            let mut gap = Vec::with_capacity(usize::try_from(GRAIN).unwrap_or(0));
            PartsReader { parts, at: end, end: next }.read_to_end(&mut gap)?;
            // The last entry has nothing behind it, and files nothing between them.
            if gap.iter().any(|byte| *byte != 0) {
                damages.push(Damage {
                    path: format!("bytes {end} to {next}"),
                    why: "something stands between two entries".to_owned(),
                    file: parts.path_of(end).unwrap_or(&self.0.path).to_owned(),
                });
            }
        }
        Ok(damages)
    }
}

/// Bytes of one file of this table.
pub(super) fn whole_length(table_size: u64, table: &Table) -> u64 {
    aligned(FIRST_LINE.saturating_add(table_size)).unwrap_or(u64::MAX).saturating_add(table.data)
}

fn begin(path: &Path, first: &[u8]) -> Result<(u64, Sha256), BundleError> {
    first_line(first).map_err(|error| BundleError::NoBundle { path: path.to_owned(), why: error.rule.to_owned() })
}

fn check(path: &Path, bytes: &[u8], size: u64, digest: Sha256) -> Result<Table, BundleError> {
    let refused = |source| BundleError::Table { path: path.to_owned(), source };
    if bytes.len() as u64 != size {
        return Err(refused(TableError { line: 0, rule: "it ends within its table, or something follows that" }));
    }
    if Sha256::of(bytes) != digest {
        return Err(refused(TableError { line: 0, rule: "the table is not the one that the first line names" }));
    }
    table(bytes).map_err(refused)
}

/// Bytes of an entry.
enum Reader {
    Parts { inner: Arc<Inner>, at: u64, end: u64 },
    File(io::Take<File>),
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.read(buffer),
            Self::Parts { inner, at, end } => {
                let Place::Parts { parts, .. } = &inner.place else { return Ok(0) };
                let count = read_part(parts, buffer, *at, *end)?;
                *at = at.saturating_add(count as u64);
                Ok(count)
            }
        }
    }
}

struct PartsReader<'a> {
    parts: &'a Parts,
    at: u64,
    end: u64,
}

impl Read for PartsReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = read_part(self.parts, buffer, self.at, self.end)?;
        self.at = self.at.saturating_add(count as u64);
        Ok(count)
    }
}

fn read_part(parts: &Parts, buffer: &mut [u8], at: u64, end: u64) -> io::Result<usize> {
    let left = usize::try_from(end.saturating_sub(at)).unwrap_or(usize::MAX);
    let length = buffer.len().min(left).min(PIECE);
    parts.read_at(buffer.get_mut(..length).unwrap_or_default(), at)
}

impl BlobReader for Bundle {
    fn blob(&self, pin: &Pin) -> io::Result<Option<Vec<u8>>> {
        if pin.size > MAX_IN_MEMORY {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let Some(mut reader) = self.blob_from(pin, 0)? else { return Ok(None) };
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    fn stream(&self, pin: &Pin, from: u64) -> io::Result<Option<Box<dyn Read + Send>>> {
        self.blob_from(pin, from)
    }

    fn has(&self, pin: &Pin) -> Option<bool> {
        Some(self.0.table.blob(pin).is_some())
    }

    fn describe(&self) -> String {
        self.0.path.display().to_string()
    }
}
