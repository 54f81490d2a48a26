//! Blobs that are read in place: an object database, a bundle, or bytes in the binary.

use crate::model::{Pin, Sha256};

/// Gives bytes of blobs by digest.
pub trait BlobReader: Send + Sync {
    /// The whole blob if it is there and no larger than the pin says. Callers hash what they get.
    ///
    /// # Errors
    /// The place can't be read.
    fn blob(&self, pin: &Pin) -> std::io::Result<Option<Vec<u8>>>;

    /// The blob from one of its bytes on, where the place can read so; what can't be had so is asked for as a whole.
    ///
    /// # Errors
    /// The place can't be read.
    fn stream(&self, _pin: &Pin, _from: u64) -> std::io::Result<Option<Box<dyn std::io::Read + Send>>> {
        Ok(None)
    }

    /// Whether the blob is there, where the place can tell without reading it.
    fn has(&self, _pin: &Pin) -> Option<bool> {
        None
    }

    /// What to call it in messages.
    fn describe(&self) -> String;
}

/// Where a blob lies below a base: `blobs/sha256/ab/<64 hex>`.
pub fn blob_path(digest: &Sha256) -> String {
    let hex = digest.hex();
    format!("blobs/sha256/{}/{hex}", hex.get(..2).unwrap_or_default())
}
