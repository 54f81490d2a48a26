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
