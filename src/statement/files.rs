//! File entries, inline or in lists.

use crate::model::{FileClass, Pin, RelPath, VariantName};
use crate::statement::StatementError;

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
    /// Bytes of all files together.
    pub fn total_size(&self) -> u64 {
        todo!()
    }
}

/// All file entries of one release, every list read: the set rules hold across lists too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseFiles {
    entries: Vec<FileEntry>,
}

impl ReleaseFiles {
    /// Puts the files of a statement together with its lists, in the statement's order.
    ///
    /// # Errors
    /// A list that is missing, out of order, or clashes with another.
    pub fn assemble(files: &Files, lists: Vec<Vec<FileEntry>>) -> Result<Self, StatementError> {
        todo!()
    }

    /// The entries in path order.
    pub fn entries(&self) -> &[FileEntry] {
        &self.entries
    }
}

/// Parses a file list and checks it against its pin's count and sum, order and path rules.
///
/// # Errors
/// `E0206` and what a single entry can break.
pub fn parse_list(bytes: &[u8], list: &ListPin) -> Result<Vec<FileEntry>, StatementError> {
    todo!()
}

/// The fixed form of a file list. Entries must be sorted by path, then variant.
pub fn render_list(entries: &[FileEntry]) -> Vec<u8> {
    todo!()
}
