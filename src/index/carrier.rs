//! Files of an index: out of a bundle, where it lies. Nothing is unpacked.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::bundle::{Bundle, BundleError};
use crate::index::{Freshness, Origin, OriginError};
use crate::sys::BlobReader;

/// Reads an open bundle.
pub struct Carrier {
    bundle: Bundle,
}

impl Carrier {
    /// Opens the bundle at a path; of a volume, those beside it as well.
    pub(super) fn open(path: &Path) -> Result<Self, BundleError> {
        Ok(Self::of(Bundle::open(&[PathBuf::from(path)])?))
    }

    /// Reads a bundle that is open already.
    pub fn of(bundle: Bundle) -> Self {
        Self { bundle }
    }
}

impl Origin for Carrier {
    fn get(&self, path: &str, cap: u64, _: Freshness) -> Result<Option<Vec<u8>>, OriginError> {
        self.bundle.file(path, cap).map_err(|source| match source.kind() {
            std::io::ErrorKind::FileTooLarge => {
                OriginError::TooLarge { path: path.to_owned(), place: self.describe(), cap }
            }
            _ => OriginError::Folder { path: self.bundle.path().join(path), source },
        })
    }

    fn describe(&self) -> String {
        self.bundle.path().display().to_string()
    }

    fn own_blobs(&self) -> Option<Arc<dyn BlobReader>> {
        Some(Arc::new(self.bundle.clone()))
    }

    fn blobs(&self, _: &str) -> Option<Arc<dyn BlobReader>> {
        Some(Arc::new(self.bundle.clone()))
    }
}
