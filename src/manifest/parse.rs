//! The grammar of Model.toml.

use crate::manifest::{Manifest, ManifestError};

pub(super) fn parse(text: &str) -> Result<Manifest, ManifestError> {
    todo!()
}
