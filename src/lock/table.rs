//! File tables of sources: the fixed bytes whose digest stands in the lock, and `Model.lock.d/`.

use serde::{Deserialize, Serialize};

use crate::lock::{LockError, LockedSource, SourceFile, SourceFiles};
use crate::model::{PathSet, Pin, RelPath, Sha256, canonical};

/// Largest file table, in bytes.
const MAX_TABLE: u64 = 256 << 20;
/// Most files of a source.
const MAX_FILES: usize = 1_000_000;
const TYPE: &str = "mpm.sources/1";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireTable {
    files: Vec<WireFile>,
    r#type: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireFile {
    path: String,
    sha256: String,
    size: u64,
}

impl LockedSource {
    /// The digest of the file table, wherever the table stands.
    pub fn table_digest(&self) -> Sha256 {
        match &self.files {
            SourceFiles::Table(pin) => pin.sha256,
            SourceFiles::Inline(files) => Sha256::of(&Self::table_bytes(files)),
        }
    }

    /// The file table's fixed bytes (for `Model.lock.d/`), and its digest, which is the revision of a `path` source. Files
    /// are written sorted by path, however they come.
    pub fn table_bytes(files: &[SourceFile]) -> Vec<u8> {
        let mut files: Vec<&SourceFile> = files.iter().collect();
        files.sort();
        let files = files
            .into_iter()
            .map(|file| WireFile {
                path: file.path.as_str().to_owned(),
                sha256: file.pin.sha256.hex(),
                size: file.pin.size,
            })
            .collect();
        canonical::render(&WireTable { files, r#type: TYPE.to_owned() })
    }

    /// Parses a file table of `Model.lock.d/` against its pin.
    ///
    /// # Errors
    /// `E0509` for other bytes, `E0510` for a table that breaks a rule.
    pub fn parse_table(bytes: &[u8], pin: &Pin) -> Result<Vec<SourceFile>, LockError> {
        let of = format!("Model.lock.d/{}.json", pin.sha256.hex());
        let found = Pin::of(bytes);
        if found != *pin {
            let text = |pin: &Pin| format!("sha256:{} of {} bytes", pin.sha256.hex(), pin.size);
            return Err(LockError::Table { of, expected: text(pin), found: text(&found) });
        }
        let rule = |rule: String| LockError::TableRule { of: of.clone(), rule };
        let table: WireTable = canonical::parse(bytes, MAX_TABLE)
            .map_err(|source| LockError::TableSyntax { sha256: pin.sha256, source })?;
        if table.r#type != TYPE {
            return Err(rule(format!("type is {:?}, expected {TYPE:?}", table.r#type)));
        }
        let mut files = Vec::new();
        for file in table.files {
            let path = RelPath::parse(&file.path).map_err(|error| rule(error.to_string()))?;
            let sha256 = Sha256::parse(&file.sha256).map_err(|error| rule(error.to_string()))?;
            files.push(SourceFile { path, pin: Pin { sha256, size: file.size } });
        }
        check_files(&of, &files)?;
        Ok(files)
    }
}

/// Checks the rules of a set of files and gives the sum of their sizes.
pub(super) fn check_files(of: &str, files: &[SourceFile]) -> Result<u64, LockError> {
    let rule = |rule: String| LockError::TableRule { of: of.to_owned(), rule };
    if files.len() > MAX_FILES {
        return Err(LockError::TooMany { what: "files of one source", found: files.len(), limit: MAX_FILES });
    }
    let mut paths = PathSet::new();
    let mut sum: u64 = 0;
    let mut last: Option<&RelPath> = None;
    for file in files {
        if last.is_some_and(|last| *last >= file.path) {
            return Err(rule(format!("{:?} is not in the order of paths", file.path.as_str())));
        }
        paths.insert(&file.path).map_err(|error| rule(error.to_string()))?;
        sum = sum.checked_add(file.pin.size).ok_or_else(|| rule("the sizes are too large".to_owned()))?;
        last = Some(&file.path);
    }
    Ok(sum)
}
