//! The packs of a release: written beside the registry's blobs while their files are read, named once the release is stated.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::PathBuf;

use crate::model::{Pin, Sha256, Sha256Hasher};
use crate::pack::{Member, Pack, lay_out};
use crate::publish::blobs::{Drafts, missing, name, open};
use crate::publish::{Assigned, PublishError};
use crate::registry::Folder;
use crate::statement::{FileEntry, PackPlace};
use crate::sys::{Cancel, hash};

/// A pack that is written and has no name yet; it goes if it gets none.
#[derive(Debug)]
pub(super) struct Draft {
    folder: tempfile::TempDir,
    file: PathBuf,
    pin: Pin,
    places: BTreeMap<Sha256, u64>,
}

/// Writes the packs that these files make, on all cores. What was hashed before is what must be read now.
pub(super) fn draft(
    drafts: &Drafts,
    files: &[Assigned],
    entries: &[FileEntry],
    cancel: &Cancel,
) -> Result<Vec<Draft>, PublishError> {
    let members: Vec<Member<'_>> = entries
        .iter()
        .map(|entry| Member { path: &entry.path, pin: entry.pin, class: entry.class, variant: entry.variant.as_ref() })
        .collect();
    let packs = lay_out(&members);
    if packs.is_empty() {
        return Ok(Vec::new());
    }
    let written = hash::on_all_cores(&packs, &|_, pack: &Pack| write(drafts, pack, files, entries, cancel));
    written.into_iter().collect()
}

/// Tells each entry its place; the packs, sorted.
pub(super) fn draw(drafts: &[Draft], entries: &mut [FileEntry]) -> Vec<Pin> {
    let mut places = BTreeMap::new();
    for draft in drafts {
        let place = |offset: &u64| PackPlace { pack: draft.pin.sha256, offset: *offset };
        places.extend(draft.places.iter().map(|(digest, offset)| (*digest, place(offset))));
    }
    for entry in entries {
        entry.pack = places.get(&entry.pin.sha256).copied();
    }
    let mut packs: Vec<Pin> = drafts.iter().map(|draft| draft.pin).collect();
    packs.sort();
    packs
}

impl Draft {
    /// Gives the pack its name, unless it lies there already.
    pub(super) fn place(self, folder: &Folder) -> Result<bool, PublishError> {
        let Some(target) = missing(folder, &self.pin)? else { return Ok(false) };
        name(&self.file, &target, folder)?;
        self.folder.close().map_err(|source| PublishError::File { path: target, source })?;
        Ok(true)
    }
}

fn write(
    drafts: &Drafts,
    pack: &Pack,
    files: &[Assigned],
    entries: &[FileEntry],
    cancel: &Cancel,
) -> Result<Draft, PublishError> {
    let folder = drafts.draft()?;
    let path = folder.path().join("pack");
    let wrap = |source| PublishError::File { path: path.clone(), source };
    let mut out = File::create_new(&path).map_err(wrap)?;
    let (mut whole, mut size, mut buffer) = (Sha256Hasher::new(), 0_u64, Vec::new());
    let mut places = BTreeMap::new();
    for part in &pack.parts {
        if cancel.is_cancelled() {
            return Err(PublishError::Stopped);
        }
        let (Some(file), Some(entry)) = (files.get(part.member), entries.get(part.member)) else { continue };
        let fail = |source| PublishError::File { path: file.file.clone(), source };
        buffer.clear();
        // One byte more would show that the file grew.
        open(&file.file)?.take(entry.pin.size.saturating_add(1)).read_to_end(&mut buffer).map_err(fail)?;
        if Pin::of(&buffer) != entry.pin {
            return Err(PublishError::FileChanged { path: file.file.clone() });
        }
        whole.update(&buffer);
        out.write_all(&buffer).map_err(wrap)?;
        places.insert(entry.pin.sha256, size);
        size += entry.pin.size;
    }
    out.sync_all().map_err(wrap)?;
    Ok(Draft { folder, file: path, pin: Pin { sha256: whole.finish(), size }, places })
}
