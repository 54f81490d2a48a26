//! Files of an index: builtin. A table in the binary, sorted by path.

use std::sync::Arc;

use crate::index::builtin_table::FILES;
use crate::index::{Freshness, Origin, OriginError};
use crate::model::Pin;
use crate::sys::{BlobReader, blob_path};

/// The table.
type Table = &'static [(&'static str, &'static [u8])];

/// Reads the table.
pub(super) struct Builtin {
    table: Table,
}

/// Blobs of the table below a relative base.
struct TableBlobs {
    table: Table,
    base: String,
}

impl Builtin {
    pub(super) fn new() -> Self {
        Self { table: FILES }
    }
}

impl Origin for Builtin {
    fn get(&self, path: &str, cap: u64, _: Freshness) -> Result<Option<Vec<u8>>, OriginError> {
        match find(self.table, path) {
            Some(bytes) if bytes.len() as u64 > cap => {
                Err(OriginError::TooLarge { path: path.to_owned(), place: self.describe(), cap })
            }
            found => Ok(found.map(<[u8]>::to_vec)),
        }
    }

    fn describe(&self) -> String {
        "the registry that is compiled in".to_owned()
    }

    fn blobs(&self, base: &str) -> Option<Arc<dyn BlobReader>> {
        Some(Arc::new(TableBlobs { table: self.table, base: base.to_owned() }))
    }
}

impl BlobReader for TableBlobs {
    fn blob(&self, pin: &Pin) -> std::io::Result<Option<Vec<u8>>> {
        let found = find(self.table, &below(&self.base, &blob_path(&pin.sha256)));
        Ok(found.filter(|bytes| bytes.len() as u64 <= pin.size).map(<[u8]>::to_vec))
    }

    fn describe(&self) -> String {
        "the registry that is compiled in".to_owned()
    }
}

/// A path below a relative base.
pub(super) fn below(base: &str, path: &str) -> String {
    match base.trim_end_matches('/') {
        "." | "" => path.to_owned(),
        base => format!("{}/{path}", base.strip_prefix("./").unwrap_or(base)),
    }
}

fn find(table: Table, path: &str) -> Option<&'static [u8]> {
    let place = table.binary_search_by(|(name, _)| (*name).cmp(path)).ok()?;
    table.get(place).map(|(_, bytes)| *bytes)
}

#[cfg(test)]
mod tests {
    use super::{Builtin, TableBlobs, below};
    use crate::index::{Freshness, Origin, OriginError};
    use crate::model::{Pin, Sha256};
    use crate::sys::BlobReader;

    const TABLE: super::Table = &[
        ("a/b", b"one"),
        ("blobs/sha256/2d/2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881", b"x"),
        ("z", b""),
    ];

    #[test]
    fn files_are_found_under_their_cap() {
        let builtin = Builtin { table: TABLE };
        let get = |path, cap| builtin.get(path, cap, Freshness::PastCaches);
        assert_eq!(get("a/b", 3).expect("there"), Some(b"one".to_vec()));
        assert_eq!(get("a", 3).expect("absent"), None);
        assert_eq!(get("z", 0).expect("empty"), Some(Vec::new()));
        assert!(matches!(get("a/b", 2), Err(OriginError::TooLarge { cap: 2, .. })));
    }

    #[test]
    fn blobs_are_found_by_digest() {
        let blobs = TableBlobs { table: TABLE, base: ".".to_owned() };
        assert_eq!(blobs.blob(&Pin::of(b"x")).expect("there"), Some(b"x".to_vec()));
        assert_eq!(blobs.blob(&Pin { size: 0, sha256: Sha256::of(b"x") }).expect("larger than its pin"), None);
        assert_eq!(blobs.blob(&Pin::of(b"y")).expect("absent"), None);
        assert_eq!(below("data/", "x"), "data/x");
        assert_eq!(below("./data", "x"), "data/x");
    }
}
