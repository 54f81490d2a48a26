//! Packs: blobs that small files travel in, and a file's place in one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::{Pin, Sha256};
use crate::statement::rules::at;
use crate::statement::wire::{Unknown, bare_digest};
use crate::statement::{FieldError, FileEntry, StatementError};

/// Most packs of one release.
pub const MAX_PACKS: usize = 1_000;
/// Largest pack, in bytes.
pub const MAX_PACK: u64 = 1 << 30;
/// Largest file in a pack, in bytes: a client holds one in memory.
pub const MAX_PACKED: u64 = 4 << 20;

/// Where a file's bytes stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PackPlace {
    /// The pack, one of the statement's `packs`.
    pub pack: Sha256,
    /// Offset of the first byte in it.
    pub offset: u64,
}

/// A pack's pin as statements write it.
#[derive(Serialize, Deserialize)]
pub(super) struct PackWire {
    sha256: String,
    size: u64,
    #[serde(flatten)]
    rest: Unknown,
}

/// A file's place in a pack as file entries write it.
#[derive(Serialize, Deserialize)]
pub(super) struct PlaceWire {
    sha256: String,
    offset: u64,
    #[serde(flatten)]
    rest: Unknown,
}

impl PackWire {
    fn read(&self) -> Result<Pin, FieldError> {
        if self.size == 0 || self.size > MAX_PACK {
            return Err(FieldError::Integer { found: self.size, least: 1, most: MAX_PACK });
        }
        Ok(Pin { sha256: bare_digest(&self.sha256)?, size: self.size })
    }

    pub(super) fn of(pin: &Pin) -> Self {
        Self { sha256: pin.sha256.hex(), size: pin.size, rest: Unknown {} }
    }
}

impl PlaceWire {
    pub(super) fn read(&self) -> Result<PackPlace, FieldError> {
        if self.offset >= MAX_PACK {
            return Err(FieldError::Integer { found: self.offset, least: 0, most: MAX_PACK.saturating_sub(1) });
        }
        Ok(PackPlace { pack: bare_digest(&self.sha256)?, offset: self.offset })
    }

    pub(super) fn of(place: &PackPlace) -> Self {
        Self { sha256: place.pack.hex(), offset: place.offset, rest: Unknown {} }
    }
}

/// Reads the pins of packs: sorted by digest, each once.
pub(super) fn check_packs(packs: &[PackWire]) -> Result<Vec<Pin>, StatementError> {
    if packs.len() > MAX_PACKS {
        return Err(StatementError::TooMany { what: "packs", found: packs.len() as u64, limit: MAX_PACKS as u64 });
    }
    let mut pins: Vec<Pin> = Vec::with_capacity(packs.len());
    for (i, pack) in packs.iter().enumerate() {
        let pin = at(|| format!("packs[{i}]"), pack.read())?;
        if pins.last().is_some_and(|before| before.sha256 >= pin.sha256) {
            let rule = "is out of order or stands twice: sort by digest";
            return Err(StatementError::Reference { field: "packs", name: pin.sha256.hex(), rule });
        }
        pins.push(pin);
    }
    Ok(pins)
}

/// The places of all files together: each inside a pack of the statement, one for each content, none over another.
pub(super) fn check_places(entries: &[FileEntry], packs: &[Pin]) -> Result<(), StatementError> {
    let sizes: BTreeMap<Sha256, u64> = packs.iter().map(|pack| (pack.sha256, pack.size)).collect();
    let refuse = |entry: &FileEntry, rule| StatementError::Place { path: entry.path.to_string(), rule };
    let mut placed: Vec<(PackPlace, &FileEntry)> = Vec::new();
    for entry in entries {
        let Some(place) = entry.pack else { continue };
        if entry.pin.size == 0 {
            return Err(refuse(entry, "is empty, which needs no place in a pack"));
        }
        if entry.pin.size > MAX_PACKED {
            return Err(refuse(entry, "is larger than the 4 MiB that a file in a pack may have"));
        }
        let Some(size) = sizes.get(&place.pack) else {
            return Err(refuse(entry, "names a pack that the statement does not have"));
        };
        if place.offset.checked_add(entry.pin.size).is_none_or(|end| end > *size) {
            return Err(refuse(entry, "ends behind the end of its pack"));
        }
        placed.push((place, entry));
    }
    if placed.is_empty() {
        return Ok(());
    }
    placed.sort_unstable_by_key(|(place, entry)| (*place, entry.pin));
    for ((first, before), (second, entry)) in placed.iter().zip(placed.iter().skip(1)) {
        let same = first == second && before.pin == entry.pin;
        let end = first.offset.saturating_add(before.pin.size);
        if first.pack == second.pack && !same && second.offset < end {
            return Err(refuse(entry, "lies over another file of its pack"));
        }
    }
    drop(placed);
    let mut contents: Vec<&FileEntry> = entries.iter().collect();
    contents.sort_by_key(|entry| entry.pin.sha256);
    for (first, second) in contents.iter().zip(contents.iter().skip(1)) {
        let packed = first.pack.is_some() || second.pack.is_some();
        let differ = first.pack != second.pack || first.pin.size != second.pin.size;
        if packed && first.pin.sha256 == second.pin.sha256 && differ {
            return Err(refuse(second, "has the same bytes as another file and not the same place in a pack"));
        }
    }
    Ok(())
}
