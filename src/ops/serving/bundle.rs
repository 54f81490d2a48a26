//! A bundle where it lies: its index, and its blobs.

use std::io;

use crate::bundle::Bundle;
use crate::index::{Carrier, Freshness, Origin, OriginError};
use crate::model::{Pin, Sha256};
use crate::ops::serving::Blobs;
use crate::sys::{BlobReader, Extents};

/// The index in a bundle. A file whose bytes are not those of the bundle's table is handed to nobody: the table proves nothing, but
/// shows what rotted on the medium.
pub(in crate::ops) struct BundleIndex {
    carrier: Carrier,
    bundle: Bundle,
}

impl BundleIndex {
    pub(in crate::ops) fn of(bundle: &Bundle) -> Self {
        Self { carrier: Carrier::of(bundle.clone()), bundle: bundle.clone() }
    }
}

impl Origin for BundleIndex {
    fn get(&self, path: &str, cap: u64, freshness: Freshness) -> Result<Option<Vec<u8>>, OriginError> {
        let Some(bytes) = self.carrier.get(path, cap, freshness)? else { return Ok(None) };
        if self.bundle.table().files.get(path).is_none_or(|entry| entry.pin != Pin::of(&bytes)) {
            let source = io::Error::new(io::ErrorKind::InvalidData, "its bytes are not those of the bundle's table");
            return Err(OriginError::Folder { path: self.bundle.path().join(path), source });
        }
        Ok(Some(bytes))
    }

    fn describe(&self) -> String {
        self.carrier.describe()
    }

    fn own_blobs(&self) -> Option<std::sync::Arc<dyn BlobReader>> {
        self.carrier.own_blobs()
    }

    fn blobs(&self, base: &str) -> Option<std::sync::Arc<dyn BlobReader>> {
        self.carrier.blobs(base)
    }
}

/// The blobs in a bundle.
pub(in crate::ops) struct BundleBlobs(Bundle);

impl BundleBlobs {
    pub(in crate::ops) fn of(bundle: &Bundle) -> Self {
        Self(bundle.clone())
    }
}

impl Blobs for BundleBlobs {
    fn open(&self, digest: &Sha256) -> io::Result<Option<Extents>> {
        self.0.extents(digest)
    }

    fn each(&self, visit: &mut dyn FnMut(Sha256) -> bool) -> io::Result<()> {
        for digest in self.0.table().blobs.keys() {
            if !visit(*digest) {
                break;
            }
        }
        Ok(())
    }

    fn take_out(&self, _: &Sha256, _: &Extents) -> bool {
        // Nothing is written into a bundle: the server remembers what is wrong in it.
        false
    }
}
