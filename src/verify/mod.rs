//! Evidence: the one constructor of [`Verified`].

use crate::diagnose::{Class, Code, Diagnose};
use crate::model::Pin;
use crate::sys::Staged;

/// Staged bytes whose digest and size are those of a pin.
#[derive(Debug)]
pub struct Verified {
    staged: Staged,
    pin: Pin,
}

/// Bytes that are not what was pinned.
#[derive(Debug, thiserror::Error)]
#[error("{what}: expected sha256 {} of {} bytes, found {} of {} bytes", expected.sha256, expected.size, found.sha256, found.size)]
pub struct Mismatch {
    /// What the bytes were to be: a path, a package, a place.
    pub what: String,
    /// The pin.
    pub expected: Pin,
    /// What is there.
    pub found: Pin,
}

impl Diagnose for Mismatch {
    fn code(&self) -> Code {
        Code("E0711")
    }
    fn class(&self) -> Class {
        Class::Trust
    }
}

/// Compares what was staged with what was pinned.
///
/// # Errors
/// Another size or digest; the staged bytes are dropped.
pub fn verify(staged: Staged, pin: &Pin) -> Result<Verified, Mismatch> {
    let found = staged.pin();
    if found == *pin {
        Ok(Verified { staged, pin: *pin })
    } else {
        Err(Mismatch { what: staged.what().to_owned(), expected: *pin, found })
    }
}

impl Verified {
    /// The pin that holds.
    pub fn pin(&self) -> &Pin {
        &self.pin
    }

    /// Gives up the bytes, for the store alone.
    pub(crate) fn into_staged(self) -> Staged {
        self.staged
    }
}
