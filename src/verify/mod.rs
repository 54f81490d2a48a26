//! Evidence: the one constructor of [`Verified`].
//!
//! Compares what was hashed while it was written with what was pinned. Refuses to know where bytes came from, and opens
//! nothing: what it vouches for is the open file that it was given.

use std::os::unix::fs::FileExt as _;

use crate::diagnose::{Class, Code, Diagnose, Hint};
use crate::model::{GitBlobId, Pin};
use crate::sys::{Cancel, Staged, hash};

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

/// Bytes that are not those of a git id.
#[derive(Debug, thiserror::Error)]
#[error("{what}: expected git blob {expected} of {size} bytes, found {found}")]
pub struct GitMismatch {
    /// What the bytes were to be.
    pub what: String,
    /// The id.
    pub expected: GitBlobId,
    /// The size that goes with it.
    pub size: u64,
    /// What is there, in words.
    pub found: String,
}

impl Diagnose for GitMismatch {
    fn code(&self) -> Code {
        Code("E0712")
    }
    fn class(&self) -> Class {
        Class::Trust
    }
    fn hints(&self) -> Vec<Hint> {
        vec![
            Hint::Note("the bytes were dropped; nothing was stored, locked or placed".to_owned()),
            Hint::Note(
                "a server or a proxy in between changes what it passes on, or answers with a page of its own"
                    .to_owned(),
            ),
        ]
    }
}

/// Bytes of which only git's id and the size are promised: they become a pin of their own.
///
/// # Errors
/// Another size or id, or bytes that can't be read again; the staged bytes are dropped.
pub fn verify_git(staged: Staged, expected: GitBlobId, size: u64, cancel: &Cancel) -> Result<Verified, GitMismatch> {
    let pin = staged.pin();
    let found = match hash::hash_open_with_git(staged.file(), cancel, &|_| ()) {
        Ok((again, Some(found))) if found == expected && again == pin && pin.size == size => {
            return Ok(Verified { staged, pin });
        }
        Ok(_) if pin.size > size => format!("more than {size} bytes"),
        Ok(_) if pin.size < size => format!("{} bytes", pin.size),
        Ok((_, Some(found))) => format!("git blob {found}"),
        Ok((_, None)) => "bytes that were made to collide".to_owned(),
        Err(error) => error.to_string(),
    };
    let page = starts_as_page(&staged);
    let what = staged.what().to_owned();
    staged.discard();
    let found = if page { format!("{found}, which begin as a web page does") } else { found };
    Err(GitMismatch { what, expected, size, found })
}

/// Whether the bytes are those of a page for people: a login, an error.
fn starts_as_page(staged: &Staged) -> bool {
    let mut start = [0_u8; 64];
    let count = staged.file().read_at(&mut start, 0).unwrap_or(0);
    start.get(..count).unwrap_or_default().trim_ascii_start().first() == Some(&b'<')
}

impl Verified {
    /// The pin that holds.
    pub fn pin(&self) -> &Pin {
        &self.pin
    }

    /// Gives up the bytes, for the store and for mirrors alone.
    pub(crate) fn into_staged(self) -> Staged {
        self.staged
    }
}

#[cfg(test)]
mod tests {
    use crate::diagnose::{Class, Diagnose as _};
    use crate::model::{GitBlobId, Pin};
    use crate::sys::{Cancel, Staging};
    use crate::verify::{verify, verify_git};

    #[test]
    fn only_the_pinned_bytes_are_vouched_for_and_others_are_dropped() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("blob.part");
        let mut staging = Staging::resume(&path, "a file", 10, &Cancel::new()).expect("begun");
        staging.write(b"abc").expect("written");
        let shorter = Pin { size: 2, ..Pin::of(b"abc") };
        let error = verify(staging.finish(), &shorter).expect_err("another size");
        assert_eq!((error.code().0, error.class(), error.found), ("E0711", Class::Trust, Pin::of(b"abc")));
        assert!(!error.hints().is_empty());
        assert!(!path.exists());
        let mut staging = Staging::create(folder.path(), "a file").expect("made");
        staging.write(b"abc").expect("written");
        assert_eq!(verify(staging.finish(), &Pin::of(b"abc")).expect("the same").pin(), &Pin::of(b"abc"));
    }

    #[test]
    fn a_git_id_vouches_for_its_bytes_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let staged = |bytes: &[u8]| {
            let mut staging = Staging::create(folder.path(), "a file").expect("made");
            staging.write(bytes).expect("written");
            staging.finish()
        };
        // `printf hello | git hash-object --stdin`
        let hello = GitBlobId::parse("b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0").expect("an id");
        let verified = verify_git(staged(b"hello"), hello, 5, &Cancel::new()).expect("the same");
        assert_eq!(verified.pin(), &Pin::of(b"hello"));
        for (bytes, size, told) in [
            (&b"hellO"[..], 5, "git blob "),
            (b"hello!", 5, "more than 5 bytes"),
            (b"hell", 5, "4 bytes"),
            (b"hello", 4, "more than 4 bytes"),
            (b"hello", 6, "5 bytes"),
            (b"<html></html>", 5, "more than 5 bytes"),
        ] {
            let error = verify_git(staged(bytes), hello, size, &Cancel::new()).expect_err("other bytes");
            assert_eq!((error.code().0, error.class()), ("E0712", Class::Trust), "{error}");
            assert!(error.found.starts_with(told) && !error.hints().is_empty(), "{error}");
            assert_eq!(error.found.contains("page"), bytes.starts_with(b"<"), "{error}");
        }
    }
}
