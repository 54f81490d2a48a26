//! The table of a bundle: whose registry it is of, what it holds, and where each entry lies. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::bundle::parse::{self, TableError};
use crate::model::{CheckpointNumber, Pin, RegistryId, Sha256, VariantName};

/// First word of a bundle.
pub(super) const FORMAT: &str = "mpm.bundle/1";
/// Bytes of the first line: format, size of the table in ten digits, its digest.
pub(super) const FIRST_LINE: u64 = 89;
/// Largest table, in bytes.
pub(super) const MAX_TABLE: u64 = 256 << 20;
/// Most entries.
pub(super) const MAX_ENTRIES: usize = 2_000_000;
/// Largest file of an index in a bundle, in bytes.
pub(super) const MAX_FILE: u64 = 1 << 30;
/// Largest bundle, in bytes: what is exact in every reader's numbers.
pub(super) const MAX_WHOLE: u64 = 1 << 53;
/// Most variants and most sources that are named.
pub(super) const MAX_WORDS: usize = 100_000;
/// Blobs begin at multiples of this, so that a file system can share their blocks.
pub(super) const GRAIN: u64 = 4096;

/// What a bundle says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The registry's label.
    pub registry: RegistryId,
    /// Digest of its first root.
    pub root: Sha256,
    /// Number of the checkpoint in it.
    pub checkpoint: CheckpointNumber,
    /// Digest of the checkpoint's bytes.
    pub checkpoint_sha256: Sha256,
    /// What it goes on from, if it holds only what is new.
    pub since: Option<Since>,
    /// Whether its maker knows that the place it was made from lacked something.
    pub partial: bool,
    /// Only these variants of releases that have such are in it; empty: all.
    pub variants: BTreeSet<VariantName>,
    /// Sources, in words of its maker, whose files are in it because a lock pins them.
    pub sources: BTreeSet<String>,
}

/// What a bundle goes on from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Since {
    /// The checkpoint that the site is thought to have.
    pub checkpoint: CheckpointNumber,
    /// The bundle that the site is thought to have, by the digest of its table.
    pub bundle: Option<Sha256>,
}

/// A file of the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileEntry {
    /// Where it begins, behind the begin of the data.
    pub offset: u64,
    /// Its bytes.
    pub pin: Pin,
}

/// A blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blob {
    /// Where it begins, behind the begin of the data.
    pub offset: u64,
    /// Bytes.
    pub size: u64,
    /// Whether no release names it: a lock does.
    pub loose: bool,
}

/// The table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// What the bundle says of itself.
    pub head: Head,
    /// Files of the index by path.
    pub files: BTreeMap<String, FileEntry>,
    /// Blobs by digest.
    pub blobs: BTreeMap<Sha256, Blob>,
    /// Bytes of the data.
    pub data: u64,
}

impl Table {
    /// Lays out files and blobs; none where they are too many or too large. Those of `loose` that are not among `blobs` are named
    /// by a lock alone.
    pub fn lay_out(
        head: Head,
        files: &BTreeMap<String, Pin>,
        blobs: &BTreeSet<Pin>,
        loose: &BTreeSet<Pin>,
    ) -> Option<Self> {
        let mut at = 0_u64;
        let mut laid = BTreeMap::new();
        for (path, pin) in files {
            if pin.size > MAX_FILE || !is_index_path(path) {
                return None;
            }
            laid.insert(path.clone(), FileEntry { offset: at, pin: *pin });
            at = at.checked_add(pin.size)?;
        }
        let mut laid_blobs = BTreeMap::new();
        let rest = loose.difference(blobs).map(|pin| (*pin, true));
        for (pin, loose) in blobs.iter().map(|pin| (*pin, false)).chain(rest) {
            let offset = aligned(at)?;
            let blob = Blob { offset, size: pin.size, loose };
            if laid_blobs.insert(pin.sha256, blob).is_some() {
                return None;
            }
            at = offset.checked_add(pin.size)?;
        }
        let table = Self { head, files: laid, blobs: laid_blobs, data: at };
        let many = table.files.len().saturating_add(table.blobs.len()) > MAX_ENTRIES;
        (at <= MAX_WHOLE && !many).then_some(table)
    }

    /// Reads the text of a table, without the first line.
    ///
    /// # Errors
    /// A rule that is broken, or another form than the one that is written.
    pub fn parse(bytes: &[u8]) -> Result<Self, TableError> {
        parse::table(bytes)
    }

    /// Its text, without the first line.
    pub fn render(&self) -> String {
        let mut text = String::new();
        let mut line = |line: String| {
            text.push_str(&line);
            text.push('\n');
        };
        let head = &self.head;
        line(format!("registry {} {}", head.registry, head.root));
        line(format!("checkpoint {} {}", head.checkpoint, head.checkpoint_sha256));
        if let Some(since) = &head.since {
            let bundle = since.bundle.map_or_else(|| "-".to_owned(), |bundle| bundle.hex());
            line(format!("since {} {bundle}", since.checkpoint));
        }
        if head.partial {
            line("partial".to_owned());
        }
        for variant in &head.variants {
            line(format!("variant {variant}"));
        }
        for source in &head.sources {
            line(format!("source {source}"));
        }
        for (path, FileEntry { offset, pin }) in &self.files {
            line(format!("file {offset} {} {} {path}", pin.size, pin.sha256));
        }
        for wanted in [false, true] {
            let word = if wanted { "loose" } else { "blob" };
            for (digest, Blob { offset, size, loose }) in &self.blobs {
                if *loose == wanted {
                    line(format!("{word} {offset} {size} {digest}"));
                }
            }
        }
        line(format!("end {}", self.data));
        text
    }

    /// The first line and the table, as a bundle begins.
    pub fn begin(&self) -> Vec<u8> {
        let text = self.render();
        let digest = Sha256::of(text.as_bytes());
        let mut bytes = format!("{FORMAT} {:010} {digest}\n", text.len()).into_bytes();
        bytes.extend_from_slice(text.as_bytes());
        bytes
    }

    /// A blob, if it is in the bundle with this size.
    pub fn blob(&self, pin: &Pin) -> Option<&Blob> {
        self.blobs.get(&pin.sha256).filter(|blob| blob.size == pin.size)
    }
}

/// The next multiple of the grain.
pub(super) fn aligned(at: u64) -> Option<u64> {
    at.checked_next_multiple_of(GRAIN)
}

/// Whether a path is one of an index: a site's own records, and whatever else a folder may hold, is not carried.
pub(super) fn is_index_path(path: &str) -> bool {
    if crate::model::RelPath::parse(path).is_err() || path.contains(' ') {
        return false;
    }
    match path.split_once('/') {
        Some((folder, _)) => {
            matches!(folder, "trust" | "tree" | "packages" | "advisories" | "releases" | "yanks" | "checkpoints")
        }
        None => path == "checkpoint.json" || (path.starts_with("checkpoint.json.") && path.ends_with(".minisig")),
    }
}
