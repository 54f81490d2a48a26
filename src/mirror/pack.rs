//! Making a bundle: a mirror in a folder for the work, written into one file. What lies on this machine is read where it lies.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::bundle::{Bundle, BundleError, Head, Shape, Source, Table, write};
use crate::fetch::Place;
use crate::index::Registry;
use crate::mirror::sync::{Outcome, Rules, Supply, sync};
use crate::mirror::{Destination, MirrorError, Wish};
use crate::model::{Pin, Sha256};
use crate::progress::{Doing, Event, Task};
use crate::sys::{blob_path, files};

/// The task of writing.
const TASK: Task = Task((1 << 60) + 2);
/// How often what turned out damaged on this machine is fetched, and writing begun again.
const AGAIN: usize = 8;

/// What is to be made.
pub struct Packing<'a> {
    /// Where the bundle goes.
    pub to: &'a Path,
    /// As what.
    pub shape: Shape,
    /// What the bundle is to hold.
    pub wish: &'a Wish,
    /// Sources, in words, whose files come along.
    pub sources: BTreeSet<String>,
}

/// What was made, or would be.
#[derive(Debug)]
pub struct Packed {
    /// What the copy in it is.
    pub mirror: Outcome,
    /// Files of the bundle.
    pub files: Vec<PathBuf>,
    /// Its table.
    pub table: Option<Table>,
    /// Digest of the table.
    pub digest: Option<Sha256>,
}

/// Makes a bundle.
///
/// # Errors
/// `E1080` and following; those of reading the registry, of fetching and of the folder for the work.
pub fn pack(
    registry: &Registry,
    root: Sha256,
    packing: &Packing<'_>,
    supply: &Supply,
    rules: &Rules<'_>,
) -> Result<Packed, MirrorError> {
    let name = packing.to.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let work = packing.to.with_file_name(format!(".{name}.making"));
    // Told before anything is fetched.
    if packing.to.symlink_metadata().is_ok() {
        return Err(BundleError::Exists { path: packing.to.to_owned() }.into());
    }
    let folders = folders(supply);
    let damaged: RefCell<BTreeSet<Sha256>> = RefCell::default();
    for _ in 0..AGAIN {
        let bad = damaged.borrow().clone();
        let lies = |pin: &Pin| -> Option<PathBuf> {
            let path = blob_path(&pin.sha256);
            let there = |folder: &PathBuf| {
                let whole = folder.join(&path);
                whole.symlink_metadata().is_ok_and(|found| found.is_file() && found.len() == pin.size).then_some(whole)
            };
            if bad.contains(&pin.sha256) { None } else { folders.iter().find_map(there) }
        };
        let carried = |pin: &Pin| -> Option<&Bundle> {
            let has = |place: &&Bundle| place.table().blob(pin).is_some();
            if bad.contains(&pin.sha256) { None } else { supply.bundles.iter().find(has) }
        };
        let in_place = |pin: &Pin| lies(pin).is_some() || carried(pin).is_some();
        let destination = Destination::at(&work, registry.id(), root)?;
        let rules = Rules { in_place: &in_place, prune: true, ..*rules };
        let made = sync(registry, destination, packing.wish, supply, &rules)?;
        if rules.dry_run {
            return Ok(Packed { mirror: made, files: Vec::new(), table: None, digest: None });
        }
        let mut destination = Destination::existing(&work)?;
        destination.set_base(&made.head.bases);
        let table = lay_out(&destination, &made, root, packing, &rules)?;
        let open = |source: Source<'_>| -> io::Result<Option<Box<dyn Read + Send>>> {
            let open =
                |path: &Path| Ok(files::open_regular(path)?.map(|file| -> Box<dyn Read + Send> { Box::new(file) }));
            match source {
                Source::File(path) => open(&work.join(path)),
                Source::Blob(pin) => match (lies(&pin), carried(&pin)) {
                    (Some(path), _) => open(&path),
                    (None, Some(bundle)) => bundle.blob_from(&pin, 0),
                    (None, None) => open(&work.join(destination.blob(&pin.sha256))),
                },
            }
        };
        let text = packing.to.to_string_lossy().into_owned();
        let (progress, bytes) = (rules.progress, table.data);
        progress.on(&Event::Started { task: TASK, doing: Doing::Hash, what: &text, bytes: Some(bytes) });
        let advanced = |bytes| progress.on(&Event::Advanced { task: TASK, bytes });
        let written = write(&table, (packing.to, packing.shape), &work, &open, (rules.cancel, &advanced));
        progress.on(&Event::Finished { task: TASK, ok: written.is_ok() });
        match written {
            Err(BundleError::Changed { digest, what }) if damaged.borrow_mut().insert(digest) => {
                let text = format!("{what} on this machine is not what was pinned: it is fetched");
                progress.warn("bad-blob", text);
            }
            Err(error) => return Err(error.into()),
            Ok(files) => {
                drop(destination);
                std::fs::remove_dir_all(&work).map_err(MirrorError::at(&work))?;
                let begin = table.begin();
                let digest = Sha256::of(begin.get(89..).unwrap_or_default());
                return Ok(Packed { mirror: made, files, table: Some(table), digest: Some(digest) });
            }
        }
    }
    Err(BundleError::Changed { what: "a blob".to_owned(), digest: Sha256::of(b"") }.into())
}

/// Folders of blobs that need not be copied before they are packed.
fn folders(supply: &Supply) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = Vec::new();
    let places = supply.places.iter().chain(supply.extra.iter().flat_map(|extra| &extra.places));
    for place in places {
        if let Place::Folder(folder) = place
            && !folders.contains(folder)
        {
            folders.push(folder.clone());
        }
    }
    folders
}

fn lay_out(
    destination: &Destination,
    made: &Outcome,
    root: Sha256,
    packing: &Packing<'_>,
    rules: &Rules<'_>,
) -> Result<Table, MirrorError> {
    let mut index: BTreeMap<String, Pin> = BTreeMap::new();
    for path in &made.contents.files {
        let bytes = destination.read(path, 1 << 30)?.unwrap_or_default();
        index.insert(path.clone(), Pin::of(&bytes));
    }
    let head = Head {
        registry: made.head.registry.clone(),
        root,
        checkpoint: made.head.at,
        checkpoint_sha256: made.head.sha256,
        since: rules.held.since(),
        partial: !(made.left_out.is_empty() && packing.wish.choices.is_empty()),
        variants: packing.wish.variants.clone(),
        sources: packing.sources.clone(),
    };
    let contents = &made.contents;
    Ok(Table::lay_out(head, &index, &contents.blobs, &contents.loose).ok_or(BundleError::TooMuch)?)
}
