//! Reading a table: one form for each meaning, everything else refused.

use std::collections::{BTreeMap, BTreeSet};
use std::str::Lines;

use crate::bundle::table::{
    Blob, FORMAT, FileEntry, Head, MAX_ENTRIES, MAX_FILE, MAX_TABLE, MAX_WHOLE, MAX_WORDS, Since, Table, aligned,
    is_index_path,
};
use crate::model::{CheckpointNumber, Pin, RegistryId, Sha256, VariantName};

/// Longest words of a source, in bytes.
const MAX_SOURCE: usize = 500;

/// Why a table is refused, and in which line (from 1, the first line of the bundle is 0).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of its table: {rule}")]
pub struct TableError {
    /// The line.
    pub line: u64,
    /// What is wrong.
    pub rule: &'static str,
}

/// What the first line says: size and digest of the table.
pub(super) fn first_line(bytes: &[u8]) -> Result<(u64, Sha256), TableError> {
    let refused = |rule| TableError { line: 0, rule };
    let text = std::str::from_utf8(bytes).map_err(|_| refused("it does not begin as a bundle"))?;
    let mut words = text.strip_suffix('\n').unwrap_or_default().split(' ');
    let (Some(format), Some(size), Some(digest), None) = (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(refused("it does not begin as a bundle"));
    };
    if format != FORMAT {
        let other = format.starts_with("mpm.bundle/");
        return Err(refused(if other {
            "it is of another version of the format"
        } else {
            "it does not begin as a bundle"
        }));
    }
    let plain = size.len() == 10 && size.bytes().all(|byte| byte.is_ascii_digit());
    let size = size.parse::<u64>().ok().filter(|size| plain && (1..=MAX_TABLE).contains(size));
    let digest = bare(digest);
    size.zip(digest).ok_or(refused("size and digest of the table are not what a bundle writes there"))
}

/// The table whose first line was read.
pub(super) fn table(bytes: &[u8]) -> Result<Table, TableError> {
    let text = std::str::from_utf8(bytes).map_err(|_| TableError { line: 1, rule: "it is no UTF-8 text" })?;
    if !text.ends_with('\n') {
        return Err(TableError { line: 1, rule: "the last line does not end" });
    }
    let mut reader = Reader { lines: text.lines(), line: 0, next: None };
    reader.step();
    let table = reader.table()?;
    // What the rules above let through in another form than a bundle writes is refused here, all at once.
    if table.render() == text {
        Ok(table)
    } else {
        Err(TableError { line: 1, rule: "it is not in the form that is written" })
    }
}

struct Reader<'t> {
    lines: Lines<'t>,
    line: u64,
    next: Option<&'t str>,
}

impl<'t> Reader<'t> {
    fn step(&mut self) {
        self.next = self.lines.next();
        self.line = self.line.saturating_add(1);
    }

    fn refused(&self, rule: &'static str) -> TableError {
        TableError { line: self.line, rule }
    }

    /// What follows a word, if the line begins with it.
    fn take(&mut self, word: &str) -> Option<&'t str> {
        let rest = self.next?.strip_prefix(word)?.strip_prefix(' ')?;
        self.step();
        Some(rest)
    }

    fn table(&mut self) -> Result<Table, TableError> {
        let head = self.head()?;
        let (files, mut at) = self.files()?;
        let mut blobs = BTreeMap::new();
        for (word, loose) in [("blob", false), ("loose", true)] {
            at = self.blobs(word, loose, at, &mut blobs)?;
        }
        if files.len().saturating_add(blobs.len()) > MAX_ENTRIES {
            return Err(self.refused("there are too many entries"));
        }
        let end = self.take("end").and_then(number).filter(|end| *end == at);
        let data =
            end.ok_or_else(|| self.refused("the end is not where the last entry ends, or another line stands there"))?;
        if self.next.is_some() {
            return Err(self.refused("something follows the end"));
        }
        Ok(Table { head, files, blobs, data })
    }

    fn head(&mut self) -> Result<Head, TableError> {
        let registry = self.take("registry").and_then(|rest| {
            let (id, root) = rest.split_once(' ')?;
            Some((RegistryId::parse(id).ok()?, bare(root)?))
        });
        let (registry, root) = registry.ok_or_else(|| self.refused("`registry ID ROOT` is expected"))?;
        let checkpoint = self.take("checkpoint").and_then(|rest| {
            let (at, digest) = rest.split_once(' ')?;
            Some((checkpoint_number(at)?, bare(digest)?))
        });
        let (at, checkpoint_sha256) =
            checkpoint.ok_or_else(|| self.refused("`checkpoint EPOCH.NUMBER SHA256` is expected"))?;
        let since = match self.take("since") {
            None => None,
            Some(rest) => {
                let parse = || {
                    let (at, bundle) = rest.split_once(' ')?;
                    let bundle = if bundle == "-" { None } else { Some(bare(bundle)?) };
                    Some(Since { checkpoint: checkpoint_number(at)?, bundle })
                };
                Some(parse().ok_or_else(|| self.refused("`since EPOCH.NUMBER SHA256` is expected"))?)
            }
        };
        let partial = self.next == Some("partial");
        if partial {
            self.step();
        }
        let mut variants = BTreeSet::new();
        while let Some(rest) = self.take("variant") {
            let variant = VariantName::parse(rest).map_err(|_| self.refused("it names no variant"))?;
            if !variants.insert(variant) || variants.len() > MAX_WORDS {
                return Err(self.refused("a variant stands there twice, or there are too many"));
            }
        }
        let mut sources = BTreeSet::new();
        while let Some(rest) = self.take("source") {
            let plain =
                !rest.is_empty() && rest.len() <= MAX_SOURCE && rest.bytes().all(|byte| byte.is_ascii_graphic());
            if !plain || !sources.insert(rest.to_owned()) || sources.len() > MAX_WORDS {
                return Err(self.refused("a source is no plain word, stands there twice, or there are too many"));
            }
        }
        Ok(Head { registry, root, checkpoint: at, checkpoint_sha256, since, partial, variants, sources })
    }

    fn files(&mut self) -> Result<(BTreeMap<String, FileEntry>, u64), TableError> {
        let mut files: BTreeMap<String, FileEntry> = BTreeMap::new();
        let mut at = 0_u64;
        while let Some(rest) = self.take("file") {
            let mut words = rest.splitn(4, ' ');
            let (Some(offset), Some(size), Some(digest), Some(path)) = (
                words.next().and_then(number),
                words.next().and_then(number),
                words.next().and_then(bare),
                words.next(),
            ) else {
                return Err(self.refused("`file OFFSET SIZE SHA256 PATH` is expected"));
            };
            if !is_index_path(path) {
                return Err(self.refused("its path is not one of an index"));
            }
            if files.last_key_value().is_some_and(|(last, _)| last.as_str() >= path) {
                return Err(self.refused("paths are not sorted, or one stands there twice"));
            }
            if offset != at || size > MAX_FILE {
                return Err(self.refused("a file does not begin where the one before ends, or is too large"));
            }
            at = at.checked_add(size).filter(|at| *at <= MAX_WHOLE).ok_or_else(|| self.refused("it is too large"))?;
            files.insert(path.to_owned(), FileEntry { offset, pin: Pin { sha256: digest, size } });
            if files.len() > MAX_ENTRIES {
                return Err(self.refused("there are too many entries"));
            }
        }
        Ok((files, at))
    }

    fn blobs(
        &mut self,
        word: &str,
        loose: bool,
        mut at: u64,
        blobs: &mut BTreeMap<Sha256, Blob>,
    ) -> Result<u64, TableError> {
        let mut last: Option<Sha256> = None;
        while let Some(rest) = self.take(word) {
            let mut words = rest.splitn(3, ' ');
            let (Some(offset), Some(size), Some(digest)) =
                (words.next().and_then(number), words.next().and_then(number), words.next().and_then(bare))
            else {
                return Err(self.refused("`blob OFFSET SIZE SHA256` is expected"));
            };
            if last.replace(digest).is_some_and(|last| last >= digest) {
                return Err(self.refused("blobs are not sorted, or one stands there twice"));
            }
            if Some(offset) != aligned(at) {
                return Err(self.refused("a blob does not begin at the next multiple of 4096"));
            }
            at = offset
                .checked_add(size)
                .filter(|at| *at <= MAX_WHOLE)
                .ok_or_else(|| self.refused("it is too large"))?;
            if blobs.insert(digest, Blob { offset, size, loose }).is_some() || blobs.len() > MAX_ENTRIES {
                return Err(self.refused("a blob stands there twice, or there are too many"));
            }
        }
        Ok(at)
    }
}

/// 64 hex digits and nothing else.
fn bare(text: &str) -> Option<Sha256> {
    if text.len() == 64 { Sha256::parse(text).ok() } else { None }
}

/// A number in its one form.
pub(super) fn number(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

/// `EPOCH.NUMBER`.
pub(super) fn checkpoint_number(text: &str) -> Option<CheckpointNumber> {
    let (epoch, number_text) = text.split_once('.')?;
    Some(CheckpointNumber { epoch: number(epoch)?, number: number(number_text)? })
}
