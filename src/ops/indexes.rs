//! Chunk indexes of blobs that are to be fetched: brought first, kept in the store, and never needed. Whatever is wrong with
//! one is a warning, and its blob is fetched without it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::sync::Arc;

use crate::chunk::{ChunkList, CutRule, Indexer, MAX_INDEX};
use crate::diagnose::{Class, Diagnose as _};
use crate::inspect::tensor_borders;
use crate::lock::Lock;
use crate::model::{Fingerprint, HumanSize, PackageId, Pin, RelPath};
use crate::ops::bringing::{Wanted, bring, gives_ranges};
use crate::ops::delta::{Lent, Older};
use crate::ops::registries::Registries;
use crate::ops::{PipelineError, Services, Travel};
use crate::select::Origin;
use crate::store::Store;
use crate::sys::Cancel;

/// Indexes that can't be had, one by one, before nobody is asked for another.
const MOST_FAILURES: u32 = 3;
/// An index is at most one part of its blob in so many: what is larger was made to cost.
const LEAST_SHARE: u64 = 100;
/// Bytes of a file that are read at a time.
const PIECE: usize = 1 << 20;

/// Where a blob's chunk index is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Indexed {
    /// The index.
    pub(super) index: Pin,
    /// The release that names it.
    pub(super) package: PackageId,
    /// The path of the blob there.
    pub(super) path: RelPath,
    /// Who signed that.
    pub(super) signers: String,
}

impl Indexed {
    /// An index that the statement of a locked release names.
    pub(super) fn of(lock: &Lock, origin: &Origin, path: &RelPath, index: Pin) -> Option<Self> {
        let Origin::Release(id) = origin else { return None };
        let signers: Vec<String> = lock.packages.get(id)?.signers.iter().map(Fingerprint::short).collect();
        Some(Self { index, package: id.clone(), path: path.clone(), signers: signers.join(", ") })
    }
}

/// Brings the indexes of what the store lacks, and counts what of it earlier releases lend.
pub(super) fn foresee(
    services: &Services,
    store: &Store,
    registries: &mut Registries<'_>,
    needed: &BTreeMap<Pin, &Wanted>,
    older: &Older,
) -> Result<Travel, PipelineError> {
    let mut helped = BTreeMap::new();
    for (pin, wanted) in needed {
        let Some(indexed) = &wanted.indexed else { continue };
        if indexed.index.size > pin.size / LEAST_SHARE {
            refuse(services, indexed, &format!("it has {}", HumanSize(indexed.index.size)));
        } else if gives_ranges(registries, &wanted.supplier)? {
            helped.insert(*pin, *wanted);
        }
    }
    let mut travel = fetch(services, store, registries, &helped)?;
    for wanted in helped.values() {
        let Some(list) = list_of(services, store, wanted, true)? else { continue };
        if let Some(lent) = older.lend(store, wanted, &list, &services.cancel)? {
            travel.seeded_bytes = travel.seeded_bytes.saturating_add(lent.bytes);
        }
    }
    Ok(travel)
}

/// Brings the indexes that the store lacks: all together, then one by one those that something was wrong with.
fn fetch(
    services: &Services,
    store: &Store,
    registries: &mut Registries<'_>,
    needed: &BTreeMap<Pin, &Wanted>,
) -> Result<Travel, PipelineError> {
    let index = |wanted: &&Wanted| {
        let indexed = wanted.indexed.as_ref()?;
        let what = format!("the chunk index of {}", wanted.what);
        Some(Wanted { pin: indexed.index, what, supplier: wanted.supplier.clone(), pack: None, indexed: None })
    };
    let mut wanted: Vec<Wanted> = needed.values().filter_map(index).collect();
    let lacking = store.missing(&wanted.iter().map(|wanted| wanted.pin).collect())?;
    wanted.retain(|wanted| lacking.contains(&wanted.pin));
    if wanted.is_empty() {
        return Ok(Travel::default());
    }
    let mut travel = Travel::default();
    let mut failures = 0;
    if wanted.len() > 1 {
        match bring(services, store, registries, &wanted) {
            Ok(brought) => return Ok(brought),
            Err(error) if error.class() == Class::Interrupted => return Err(error),
            Err(_) => {}
        }
    }
    for one in wanted {
        match bring(services, store, registries, std::slice::from_ref(&one)) {
            Ok(brought) => travel.add(&brought),
            Err(error) if error.class() == Class::Interrupted => return Err(error),
            Err(error) => {
                let text = format!("{} can't be had, and the file is fetched without it: {error}", one.what);
                services.progress.warn("chunk-index", text);
                failures += 1;
            }
        }
        if failures >= MOST_FAILURES {
            break;
        }
    }
    Ok(travel)
}

/// The index of a wanted blob, if the store has it and it is one.
pub(super) fn list_of(
    services: &Services,
    store: &Store,
    wanted: &Wanted,
    tell: bool,
) -> Result<Option<ChunkList>, PipelineError> {
    let Some(indexed) = &wanted.indexed else { return Ok(None) };
    let Some(bytes) = store.read(&indexed.index, MAX_INDEX)? else { return Ok(None) };
    match ChunkList::parse(&bytes, &wanted.pin) {
        Ok(list) => Ok(Some(list)),
        Err(error) => {
            if tell {
                refuse(services, indexed, &error.to_string());
            }
            Ok(None)
        }
    }
}

fn refuse(services: &Services, indexed: &Indexed, why: &str) {
    let Indexed { package, path, signers, .. } = indexed;
    let text = format!(
        "the chunk index that the publisher of {package} ({signers}) signed for {path} is not used, and the file is fetched \
         without it: {why}"
    );
    services.progress.warn("chunk-index", text);
}

/// Compares a blob that came without its index with the index, and names whoever signed one that lies.
pub(super) fn accuse(services: &Services, store: &Store, wanted: &Wanted) -> Result<(), PipelineError> {
    let (Some(indexed), Some(list)) = (&wanted.indexed, list_of(services, store, wanted, false)?) else {
        return Ok(());
    };
    let Some(file) = store.lend(&wanted.pin.sha256) else { return Ok(()) };
    if agrees(&file, &list, &services.cancel).unwrap_or(true) {
        return Ok(());
    }
    let Indexed { package, path, signers, .. } = indexed;
    let text = format!(
        "the chunk index that the publisher of {package} ({signers}) signed for {path} disagrees with the file, which has \
         the sha256 that they signed as well: the file was fetched without it ({}); tell the publisher",
        HumanSize(wanted.pin.size)
    );
    services.progress.warn("chunk-index", text);
    Ok(())
}

/// Names whoever signed an index that describes other bytes than the blob's.
pub(super) fn name_signers(services: &Services, wanted: Option<&Wanted>) {
    let Some(Indexed { package, path, signers, .. }) = wanted.and_then(|wanted| wanted.indexed.as_ref()) else {
        return;
    };
    let text = format!(
        "the chunk index that the publisher of {package} ({signers}) signed for {path} describes other bytes than the sha256 \
         that they signed"
    );
    services.progress.warn("chunk-index", text);
}

/// Whether the file's bytes are the chunks that a list says.
fn agrees(mut file: &File, list: &ChunkList, cancel: &Cancel) -> io::Result<bool> {
    let mut buffer = Vec::new();
    for chunk in list.iter() {
        if cancel.is_cancelled() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        buffer.resize(usize::try_from(chunk.length).unwrap_or(usize::MAX), 0);
        file.read_exact(&mut buffer)?;
        if crate::chunk::ChunkHash::of(&buffer) != chunk.hash {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Cuts a file that the store holds, as the release that is to come was cut.
pub(super) fn cut(mut file: &File, blob: Pin, rule: CutRule, cancel: &Cancel) -> io::Result<Option<ChunkList>> {
    if file.metadata()?.len() != blob.size {
        return Ok(None);
    }
    let borders = tensor_borders(file, blob.size, cancel)?;
    let mut indexer = Indexer::new(rule, blob.size, &borders);
    let mut piece = vec![0; PIECE];
    loop {
        if cancel.is_cancelled() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let count = file.read(&mut piece)?;
        if count == 0 {
            return Ok(indexer.finish(blob).ok());
        }
        indexer.push(piece.get(..count).unwrap_or_default());
    }
}

/// The list and the seeds of one blob, for whoever fetches it.
pub(super) fn help(
    services: &Services,
    store: &Store,
    wanted: &Wanted,
    older: &Older,
) -> Result<Option<(Arc<ChunkList>, Lent)>, PipelineError> {
    let Some(list) = list_of(services, store, wanted, false)? else { return Ok(None) };
    let lent = older.lend(store, wanted, &list, &services.cancel)?.unwrap_or_default();
    Ok(Some((Arc::new(list), lent)))
}
