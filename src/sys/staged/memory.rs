//! Small bytes that were hashed in memory, on their way to a name.

use std::io;
use std::path::Path;
use std::sync::Mutex;

use crate::model::Pin;
use crate::sys::staged::{MODE, Place};
use crate::sys::{Staged, fault};

/// Bytes with their digest.
#[derive(Debug, Clone, Copy)]
pub struct Hashed<'b> {
    bytes: &'b [u8],
    pin: Pin,
}

impl<'b> Hashed<'b> {
    /// Hashes them.
    pub fn of(bytes: &'b [u8]) -> Self {
        Self { bytes, pin: Pin::of(bytes) }
    }

    /// Digest and size.
    pub fn pin(&self) -> Pin {
        self.pin
    }

    /// Writes them to a scratch file in `folder`, which must exist: with one write, and with the mode that it keeps.
    ///
    /// # Errors
    /// The folder can't be written.
    pub fn stage(&self, folder: &Path, what: &str) -> io::Result<Staged> {
        use std::io::Write as _;
        use std::os::unix::fs::PermissionsExt as _;
        fault::point("fetch-write")?;
        let mut builder = tempfile::Builder::new();
        builder.prefix("scratch-").permissions(std::fs::Permissions::from_mode(MODE));
        let (mut file, path) = builder.tempfile_in(folder)?.keep().map_err(|error| error.error)?;
        let place = Place::passing(path);
        file.write_all(self.bytes)?;
        let what = what.to_owned();
        Ok(Staged { pin: self.pin, what, place, file, mode: MODE, shared: None, back: Mutex::default(), _lease: None })
    }
}
