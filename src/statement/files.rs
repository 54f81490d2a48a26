//! File entries, inline or in lists.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::{FileClass, PathSet, Pin, RelPath, VariantName, canonical};
use crate::statement::packs::{PackPlace, PlaceWire, check_places};
use crate::statement::rules::{at, cut, integer};
use crate::statement::wire::{Unknown, bare_digest};
use crate::statement::{FieldError, MAX_INLINE_FILES, MAX_INTEGER, MAX_LIST, Statement, StatementError, Variant};

/// Most file lists of one release.
pub const MAX_LISTS: usize = 64;
/// Most files of one release.
pub const MAX_FILES: u64 = 2_000_000;
/// Most bytes of all file lists of one release: they are held in memory to check the set.
const MAX_LIST_BYTES: u64 = 512 << 20;
/// Longest line of a file list, in bytes.
const MAX_LINE: u64 = 16 * 1024;
/// Most paths that are compared when common files meet many variants.
const MAX_COMPARED: u64 = 16_000_000;

/// Largest chunk index, in bytes: a header of 56 and 36 for each of 1,048,576 chunks.
pub const MAX_CHUNK_INDEX: u64 = 56 + (36 << 20);

/// One file of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry {
    /// Where it goes, relative to the package's folder.
    pub path: RelPath,
    /// Its bytes.
    pub pin: Pin,
    /// What it is.
    pub class: FileClass,
    /// The variant that it belongs to; none: common to all.
    pub variant: Option<VariantName>,
    /// Its place in a pack; none: it is a blob of its own.
    pub pack: Option<PackPlace>,
    /// Its chunk index (docs/formats/chunk-index.md): it makes transfers short and decides nothing.
    pub chunks: Option<Pin>,
}

/// A file list: a blob of sorted JSON lines that holds file entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListPin {
    /// The list's own bytes.
    pub pin: Pin,
    /// Number of entries.
    pub count: u64,
    /// Sum of the sizes of the files that it lists, in bytes.
    pub bytes: u64,
}

/// The files of a statement as it carries them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Files {
    /// Up to 1,000 entries, in path order (then variant).
    Inline(Vec<FileEntry>),
    /// File lists, disjoint and in path order.
    Lists(Vec<ListPin>),
}

impl Files {
    /// Bytes of all files together. A parsed statement's sum is at most 2^53-1.
    pub fn total_size(&self) -> u64 {
        match self {
            Self::Inline(entries) => entries.iter().fold(0, |sum, entry| sum.saturating_add(entry.pin.size)),
            Self::Lists(lists) => lists.iter().fold(0, |sum, list| sum.saturating_add(list.bytes)),
        }
    }
}

impl FileEntry {
    /// The order of entries in files: path, then variant; common before all variants.
    pub(super) fn order(&self) -> (&RelPath, Option<&VariantName>) {
        (&self.path, self.variant.as_ref())
    }
}

/// All file entries of one release, every list read: the set rules hold across lists too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseFiles {
    entries: Vec<FileEntry>,
}

impl ReleaseFiles {
    /// Puts the files of a statement together with its lists, in the statement's order. Inline files need no lists.
    ///
    /// # Errors
    /// `E0205` to `E0208`: a list that is missing, out of order or not as the statement says, paths that clash, a variant
    /// that the statement does not declare.
    pub fn assemble(statement: &Statement, lists: Vec<Vec<FileEntry>>) -> Result<Self, StatementError> {
        let pins: &[ListPin] = match &statement.files {
            Files::Inline(_) => &[],
            Files::Lists(pins) => pins,
        };
        if lists.len() != pins.len() {
            return Err(StatementError::Lists { expected: pins.len(), found: lists.len() });
        }
        for (pin, list) in pins.iter().zip(&lists) {
            pin.check(list)?;
        }
        let entries = match &statement.files {
            Files::Inline(entries) => entries.clone(),
            Files::Lists(_) => lists.into_iter().flatten().collect(),
        };
        check_order(&entries)?;
        check_set(&entries, &statement.variants)?;
        check_places(&entries, &statement.packs)?;
        Ok(Self { entries })
    }

    /// The entries in path order.
    pub fn entries(&self) -> &[FileEntry] {
        &self.entries
    }
}

impl ListPin {
    /// The pin that a statement carries of a list of these entries, which must be sorted.
    pub fn of(entries: &[FileEntry]) -> Self {
        let bytes = entries.iter().fold(0_u64, |sum, entry| sum.saturating_add(entry.pin.size));
        Self { pin: Pin::of(&render_list(entries)), count: entries.len() as u64, bytes }
    }

    fn check(&self, entries: &[FileEntry]) -> Result<(), StatementError> {
        let bytes = sum(entries)?;
        self.compare("count", self.count, entries.len() as u64)?;
        self.compare("bytes", self.bytes, bytes)
    }

    fn compare(&self, what: &'static str, expected: u64, found: u64) -> Result<(), StatementError> {
        if expected == found {
            Ok(())
        } else {
            Err(StatementError::List { list: self.pin.sha256.hex(), what, expected, found })
        }
    }
}

/// Parses a file list and checks it against its pin's size, count and sum, and its order. That its digest is the pinned
/// one was checked when its bytes were fetched; rules of the whole set are for [`ReleaseFiles::assemble`].
///
/// # Errors
/// `E0206` and what a single entry can break.
pub fn parse_list(bytes: &[u8], list: &ListPin) -> Result<Vec<FileEntry>, StatementError> {
    list.compare("size", list.pin.size, bytes.len() as u64)?;
    limit("bytes of a file list", bytes.len() as u64, MAX_LIST)?;
    let mut entries = Vec::new();
    let mut number = 0_u64;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        number = number.saturating_add(1);
        // Stop where the promise ends, so that a list can't make its reader hold more than the statement says.
        list.compare("count", list.count, list.count.max(number))?;
        if line.last() != Some(&b'\n') {
            return Err(StatementError::ListCut { line: number });
        }
        entries.push(parse_line(line, number)?);
    }
    list.check(&entries)?;
    check_order(&entries)?;
    Ok(entries)
}

fn parse_line(line: &[u8], number: u64) -> Result<FileEntry, StatementError> {
    let wire: FileWire =
        canonical::parse(line, MAX_LINE).map_err(|source| StatementError::ListLine { line: number, source })?;
    at(|| format!("line {number}"), wire.read())
}

/// The fixed form of a file list. Entries must be sorted by path, then variant.
pub fn render_list(entries: &[FileEntry]) -> Vec<u8> {
    entries.iter().flat_map(|entry| canonical::render_line(&FileWire::of(entry))).collect()
}

/// A file entry as statements and lists write it.
#[derive(Serialize, Deserialize)]
pub(super) struct FileWire {
    path: String,
    sha256: String,
    size: u64,
    class: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    variant: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pack: Option<PlaceWire>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    chunks: Option<ChunksWire>,
    #[serde(flatten)]
    rest: Unknown,
}

/// A chunk index's pin as file entries write it.
#[derive(Serialize, Deserialize)]
struct ChunksWire {
    sha256: String,
    size: u64,
    #[serde(flatten)]
    rest: Unknown,
}

impl ChunksWire {
    fn read(&self) -> Result<Pin, FieldError> {
        if self.size > MAX_CHUNK_INDEX {
            return Err(FieldError::Integer { found: self.size, least: 0, most: MAX_CHUNK_INDEX });
        }
        Ok(Pin { sha256: bare_digest(&self.sha256)?, size: self.size })
    }

    fn of(pin: &Pin) -> Self {
        Self { sha256: pin.sha256.hex(), size: pin.size, rest: Unknown {} }
    }
}

/// A file list's pin as statements write it.
#[derive(Serialize, Deserialize)]
pub(super) struct ListWire {
    sha256: String,
    size: u64,
    count: u64,
    bytes: u64,
    #[serde(flatten)]
    rest: Unknown,
}

impl FileWire {
    fn read(&self) -> Result<FileEntry, FieldError> {
        Ok(FileEntry {
            path: RelPath::parse(&self.path)?,
            pin: Pin { sha256: bare_digest(&self.sha256)?, size: integer(self.size)? },
            class: cut(&self.class).parse()?,
            variant: self.variant.as_deref().map(VariantName::parse).transpose()?,
            pack: self.pack.as_ref().map(PlaceWire::read).transpose()?,
            chunks: self.chunks.as_ref().map(ChunksWire::read).transpose()?,
        })
    }

    pub(super) fn of(entry: &FileEntry) -> Self {
        Self {
            path: entry.path.to_string(),
            sha256: entry.pin.sha256.hex(),
            size: entry.pin.size,
            class: entry.class.to_string(),
            variant: entry.variant.as_ref().map(ToString::to_string),
            pack: entry.pack.as_ref().map(PlaceWire::of),
            chunks: entry.chunks.as_ref().map(ChunksWire::of),
            rest: Unknown {},
        }
    }
}

impl ListWire {
    fn read(&self) -> Result<ListPin, FieldError> {
        if self.size > MAX_LIST {
            return Err(FieldError::Integer { found: self.size, least: 0, most: MAX_LIST });
        }
        if self.count == 0 || self.count > MAX_FILES {
            return Err(FieldError::Integer { found: self.count, least: 1, most: MAX_FILES });
        }
        let pin = Pin { sha256: bare_digest(&self.sha256)?, size: self.size };
        Ok(ListPin { pin, count: self.count, bytes: integer(self.bytes)? })
    }

    pub(super) fn of(list: &ListPin) -> Self {
        Self {
            sha256: list.pin.sha256.hex(),
            size: list.pin.size,
            count: list.count,
            bytes: list.bytes,
            rest: Unknown {},
        }
    }
}

/// Reads inline files and checks the rules of the whole set.
pub(super) fn check_inline(
    files: &[FileWire],
    (variants, packs): (&BTreeMap<VariantName, Variant>, &[Pin]),
) -> Result<Vec<FileEntry>, StatementError> {
    limit("inline files", files.len() as u64, MAX_INLINE_FILES as u64)?;
    let mut entries = Vec::with_capacity(files.len());
    for (i, file) in files.iter().enumerate() {
        entries.push(at(|| format!("files[{i}]"), file.read())?);
    }
    sum(&entries)?;
    check_order(&entries)?;
    check_set(&entries, variants)?;
    check_places(&entries, packs)?;
    Ok(entries)
}

/// Reads the pins of file lists and checks what can be checked without the lists.
pub(super) fn check_list_pins(lists: &[ListWire]) -> Result<Vec<ListPin>, StatementError> {
    limit("file lists", lists.len() as u64, MAX_LISTS as u64)?;
    let mut pins = Vec::with_capacity(lists.len());
    for (i, list) in lists.iter().enumerate() {
        pins.push(at(|| format!("file-lists[{i}]"), list.read())?);
    }
    let count = pins.iter().fold(0_u64, |sum, list| sum.saturating_add(list.count));
    limit("files", count, MAX_FILES)?;
    let own = pins.iter().fold(0_u64, |sum, list| sum.saturating_add(list.pin.size));
    limit("bytes of file lists", own, MAX_LIST_BYTES)?;
    limit("bytes of all files", pins.iter().fold(0, |sum, list| sum.saturating_add(list.bytes)), MAX_INTEGER)?;
    Ok(pins)
}

fn limit(what: &'static str, found: u64, limit: u64) -> Result<(), StatementError> {
    if found <= limit { Ok(()) } else { Err(StatementError::TooMany { what, found, limit }) }
}

/// Sum of the sizes; each is at most 2^53-1, so that saturation is far above the limit.
fn sum(entries: &[FileEntry]) -> Result<u64, StatementError> {
    let sum = entries.iter().fold(0_u64, |sum, entry| sum.saturating_add(entry.pin.size));
    limit("bytes of all files", sum, MAX_INTEGER)?;
    Ok(sum)
}

fn check_order(entries: &[FileEntry]) -> Result<(), StatementError> {
    for (first, second) in entries.iter().zip(entries.iter().skip(1)) {
        if first.order() >= second.order() {
            return Err(StatementError::FileOrder { first: first.path.to_string(), second: second.path.to_string() });
        }
    }
    Ok(())
}

/// Common files together with the files of any one variant must be able to live in one folder.
fn check_set(entries: &[FileEntry], variants: &BTreeMap<VariantName, Variant>) -> Result<(), StatementError> {
    let mut common = PathSet::new();
    let mut common_files = 0_u64;
    let mut by_variant: BTreeMap<&VariantName, Vec<&RelPath>> = BTreeMap::new();
    for entry in entries {
        match &entry.variant {
            None => {
                common_files = common_files.saturating_add(1);
                common.insert(&entry.path).map_err(|source| StatementError::Clash { variant: None, source })?;
            }
            Some(variant) if variants.contains_key(variant) => {
                by_variant.entry(variant).or_default().push(&entry.path);
            }
            Some(variant) => {
                return Err(StatementError::Variant { at: entry.path.to_string(), variant: variant.to_string() });
            }
        }
    }
    limit("common files times variants", common_files.saturating_mul(by_variant.len() as u64), MAX_COMPARED)?;
    for (variant, paths) in by_variant {
        let mut set = common.clone();
        for path in paths {
            let clash = |source| StatementError::Clash { variant: Some(variant.to_string()), source };
            set.insert(path).map_err(clash)?;
        }
    }
    Ok(())
}
