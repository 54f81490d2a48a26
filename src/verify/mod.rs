//! Evidence: the one constructor of [`Verified`].
//!
//! Compares what was hashed while it was written with what was pinned. Refuses to know where bytes came from, and opens
//! nothing: what it vouches for is the open file that it was given.

use crate::diagnose::{Class, Code, Diagnose, Hint};
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
    fn hints(&self) -> Vec<Hint> {
        vec![
            Hint::Note("the bytes were dropped; nothing was stored or placed".to_owned()),
            Hint::Note(
                "whoever pinned the digest signed other bytes: ask them, or try again from another place".to_owned(),
            ),
        ]
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
        let what = staged.what().to_owned();
        // Wrong bytes are never kept, not even as a partial download.
        staged.discard();
        Err(Mismatch { what, expected: *pin, found })
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

#[cfg(test)]
mod tests {
    use crate::diagnose::{Class, Diagnose as _};
    use crate::model::Pin;
    use crate::sys::{Cancel, Staging};
    use crate::verify::verify;

    #[test]
    fn only_the_pinned_bytes_are_vouched_for_and_others_are_dropped() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("blob.part");
        let mut staging = Staging::resume(&path, "a file", 10, &Cancel::new()).expect("begun");
        staging.write(b"abc").expect("written");
        let shorter = Pin { size: 2, ..Pin::of(b"abc") };
        let error = verify(staging.finish(), &shorter).expect_err("another size");
        assert_eq!((error.code().0, error.class(), error.found), ("E0711", Class::Trust, Pin::of(b"abc")));
        assert!(!path.exists());
        let mut staging = Staging::create(folder.path(), "a file").expect("made");
        staging.write(b"abc").expect("written");
        assert_eq!(verify(staging.finish(), &Pin::of(b"abc")).expect("the same").pin(), &Pin::of(b"abc"));
    }
}
