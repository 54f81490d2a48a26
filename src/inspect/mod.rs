//! Facts beside blobs: looks at what the store holds, and keeps what was seen.

use crate::diagnose::{Class, Code, Diagnose};
use crate::policy::Facts;
use crate::select::Selected;
use crate::store::Store;
use crate::sys::Cancel;

/// Why content can't be looked at.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// Placeholder variant; the room's owner replaces it.
    #[error("placeholder")]
    Placeholder,
}

impl Diagnose for InspectError {
    fn code(&self) -> Code {
        Code("E0651")
    }
    fn class(&self) -> Class {
        Class::Yours
    }
}

/// Facts of every selected file, from what is kept beside the blobs where that is current.
///
/// # Errors
/// A blob that can't be read.
pub fn inspect(store: &Store, selected: &Selected, cancel: &Cancel) -> Result<Facts, InspectError> {
    todo!()
}
