//! Blobs that are read in place: an object database, or bytes in the binary.

use crate::model::{Pin, Sha256};

/// Gives bytes of blobs by digest.
pub trait BlobReader: Send + Sync {
    /// The whole blob if it is there and no larger than the pin says. Callers hash what they get.
    ///
    /// # Errors
    /// The place can't be read.
    fn blob(&self, pin: &Pin) -> std::io::Result<Option<Vec<u8>>>;

    /// What to call it in messages.
    fn describe(&self) -> String;
}

/// Where a blob lies below a base: `blobs/sha256/ab/<64 hex>`.
pub fn blob_path(digest: &Sha256) -> String {
    let hex = digest.hex();
    format!("blobs/sha256/{}/{hex}", hex.get(..2).unwrap_or_default())
}
