//! Facts beside blobs: looks at what the store holds, and keeps what was seen.
//!
//! Owns `store/v1/facts/`: one small file a blob, with the rules' version; a file that is damaged or of another version is
//! made anew, and a store that can't be written only costs time. Refuses to know verdicts: `policy` makes those.

mod kept;
mod sets;

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use crate::diagnose::{Class, Code, Diagnose, Hint};
use crate::formats::{self, ReadAt, Source};
use crate::inspect::sets::Set;
use crate::model::{Pin, Sha256};
use crate::policy::Facts;
use crate::scan::{Fact, agree, content};
use crate::select::Selected;
use crate::store::{Store, StoreError};
use crate::sys::{Cancel, files, hash};

/// Why content can't be looked at.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// The store's file can't be read.
    #[error("blob sha256:{digest} can't be read")]
    Read {
        /// Which blob.
        digest: Sha256,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The blob is not in the store.
    #[error("blob sha256:{digest} is not in the store")]
    Missing {
        /// Which blob.
        digest: Sha256,
    },
    /// Somebody wished to stop.
    #[error("stopped before all content was looked at")]
    Cancelled,
    /// The store can't be asked.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Diagnose for InspectError {
    fn code(&self) -> Code {
        match self {
            Self::Read { .. } => Code("E0651"),
            Self::Missing { .. } => Code("E0652"),
            Self::Cancelled => Code("E0653"),
            Self::Store(error) => error.code(),
        }
    }

    fn class(&self) -> Class {
        match self {
            Self::Read { .. } | Self::Missing { .. } => Class::Yours,
            Self::Cancelled => Class::Interrupted,
            Self::Store(error) => error.class(),
        }
    }

    fn hints(&self) -> Vec<Hint> {
        match self {
            Self::Read { .. } | Self::Missing { .. } => vec![
                Hint::Note("nothing was placed in the project".to_owned()),
                Hint::Run("mpm verify --repair".to_owned()),
            ],
            Self::Cancelled => vec![Hint::Note("nothing was placed in the project".to_owned())],
            Self::Store(error) => error.hints(),
        }
    }
}

/// An open blob.
struct Blob<'a> {
    file: &'a File,
    cancel: &'a Cancel,
}

impl ReadAt for Blob<'_> {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        if self.cancel.is_cancelled() {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        loop {
            match self.file.read_at(buffer, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }
}

/// Where the tensors of an open safetensors or GGUF file of `size` bytes begin, rising; nothing for another file.
///
/// # Errors
/// It can't be read, or somebody wished to stop.
pub fn tensor_borders(file: &File, size: u64, cancel: &Cancel) -> io::Result<Vec<u64>> {
    formats::tensor_borders(Source::new(&Blob { file, cancel }, size))
}

/// Facts of every selected file, from what is kept beside the blobs where that is current. Blobs are looked at on all
/// cores, each once however many names it has.
///
/// # Errors
/// `E0651` to `E0653`: a blob that can't be read or is not there, or a wish to stop.
pub fn inspect(store: &Store, selected: &Selected, cancel: &Cancel) -> Result<Facts, InspectError> {
    let mut contents: BTreeMap<Sha256, Fact> = BTreeMap::new();
    for package in selected.packages() {
        let small = package.files.iter().map(|file| file.pin).filter(|pin| pin.size < kept::KEPT_FROM);
        let Some(set) = Set::of(small.collect()) else { continue };
        let facts = if let Some(facts) = set.read(store) {
            facts
        } else {
            let facts = look_at(store, set.pins(), cancel)?;
            set.write(store, &facts);
            facts
        };
        contents.extend(set.pins().iter().map(|pin| pin.sha256).zip(facts));
    }
    let rest: Vec<Pin> = selected.pins().into_iter().filter(|pin| !contents.contains_key(&pin.sha256)).collect();
    let facts = look_at(store, &rest, cancel)?;
    contents.extend(rest.iter().map(|pin| pin.sha256).zip(facts));
    let mut facts = Facts::new();
    for file in selected.packages().iter().flat_map(|package| &package.files) {
        let content = contents.get(&file.pin.sha256).ok_or(InspectError::Missing { digest: file.pin.sha256 })?;
        // The release's own name counts: where a project puts the file changes nothing about what it is.
        let fact = agree(&file.release_path, content);
        facts.insert((file.pin.sha256, file.path.clone()), fact);
    }
    Ok(facts)
}

fn look_at(store: &Store, pins: &[Pin], cancel: &Cancel) -> Result<Vec<Fact>, InspectError> {
    hash::on_all_cores(pins, &|_, pin: &Pin| seen(store, pin, cancel)).into_iter().collect()
}

fn seen(store: &Store, pin: &Pin, cancel: &Cancel) -> Result<Fact, InspectError> {
    let digest = pin.sha256;
    if cancel.is_cancelled() {
        return Err(InspectError::Cancelled);
    }
    if let Some(fact) = kept::read(store, pin) {
        return Ok(fact);
    }
    let Some((_, file)) = store.find_open(pin)? else { return Err(InspectError::Missing { digest }) };
    let fact = look_into(&file, pin, cancel)?;
    kept::write(store, pin, &fact);
    Ok(fact)
}

/// Blobs up to this size are read once, and looked at in memory.
const READ_WHOLE: u64 = 256 << 10;

fn look_into(file: &File, pin: &Pin, cancel: &Cancel) -> Result<Fact, InspectError> {
    let seen = if pin.size <= READ_WHOLE {
        let read = files::read_whole(file, pin.size).and_then(|bytes| {
            let whole = bytes.len() as u64 == pin.size;
            if whole { content(pin.size, &bytes.as_slice()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
        });
        if cancel.is_cancelled() { Err(io::ErrorKind::ConnectionAborted.into()) } else { read }
    } else {
        content(pin.size, &Blob { file, cancel })
    };
    seen.map_err(|source| match source.kind() {
        io::ErrorKind::ConnectionAborted if cancel.is_cancelled() => InspectError::Cancelled,
        _ => InspectError::Read { digest: pin.sha256, source },
    })
}

#[cfg(test)]
mod tests {
    use crate::diagnose::{Class, Diagnose as _};
    use crate::inspect::look_into;
    use crate::model::Pin;
    use crate::sys::Cancel;

    #[test]
    fn a_file_that_became_shorter_can_not_be_read() {
        let file = tempfile::tempfile().expect("a temporary file");
        let error = look_into(&file, &Pin::of(b"four"), &Cancel::new()).expect_err("the file is empty");
        assert_eq!((error.code().0, error.class()), ("E0651", Class::Yours));
    }
}
