//! The journal of a partial download: what the next process needs to ask for the rest.
//!
//! Nothing in it is believed: the bytes that are there are hashed again, and a journal that is lost or damaged only costs
//! the question whether the file changed.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::model::{Pin, Sha256, canonical};
use crate::sys::files;

/// Largest journal that is read.
const CAP: u64 = 4096;
/// What it says it is.
const TYPE: &str = "mpm.journal/1";

/// Where the bytes so far came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Journal {
    #[serde(rename = "type")]
    kind: String,
    /// Size of the whole.
    size: u64,
    /// Digest of the place: its address may hold what is nobody's business.
    place: String,
    /// The version that the place said it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    etag: Option<String>,
}

impl Journal {
    pub(super) fn new(pin: &Pin, place: &str, etag: Option<&str>) -> Self {
        // A weak one says that bytes may differ, and can't be asked for with a range.
        let etag = etag.filter(|etag| !etag.starts_with("W/") && etag.len() <= 256).map(str::to_owned);
        Self { kind: TYPE.to_owned(), size: pin.size, place: Sha256::of(place.as_bytes()).hex(), etag }
    }

    /// Reads a journal; one that is damaged or of another version counts as none.
    pub(super) fn read(path: &Path) -> Option<Self> {
        let bytes = files::read_capped(path, CAP).ok()??;
        canonical::parse(&bytes, CAP).ok().filter(|journal: &Self| journal.kind == TYPE)
    }

    pub(super) fn write(&self, path: &Path) -> std::io::Result<()> {
        files::write_private(path, &canonical::render(self))
    }

    /// The version to name when this place is asked for the rest.
    pub(super) fn etag_for(&self, place: &str) -> Option<&str> {
        (self.place == Sha256::of(place.as_bytes()).hex()).then_some(self.etag.as_deref()).flatten()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::fetch::journal::{CAP, Journal, TYPE};
    use crate::model::shaken::{put, shaken};
    use crate::model::{Pin, canonical};

    fn good() -> Journal {
        Journal::new(&Pin::of(b"blob"), "https://a.example/", Some("\"v1\""))
    }

    #[test]
    fn a_journal_is_read_back_and_one_that_is_too_large_counts_as_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.journal");
        assert_eq!(Journal::read(&path), None);
        good().write(&path).expect("written");
        let read = Journal::read(&path).expect("there");
        assert_eq!((&read, read.etag_for("https://a.example/")), (&good(), Some("\"v1\"")));
        assert_eq!(read.etag_for("https://b.example/"), None, "another place has other versions");
        let large = Journal { etag: Some("x".repeat(usize::try_from(CAP).expect("small"))), ..good() };
        large.write(&path).expect("written");
        assert_eq!(Journal::read(&path), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_journal_or_none(bytes in shaken(&canonical::render(&good()))) {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("x.journal");
            put(&path, &bytes);
            if let Some(journal) = Journal::read(&path) {
                prop_assert_eq!(journal.kind.as_str(), TYPE);
                let _ = journal.etag_for("https://a.example/");
            }
        }
    }
}
