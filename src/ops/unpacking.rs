//! Small files out of packs into the store, and how many bytes that takes.

use std::collections::{BTreeMap, BTreeSet};

use crate::fetch::{FetchOutcome, Fetcher, PackFile, PackJob, Place, Unpacked};
use crate::model::{Pin, RegistryId};
use crate::ops::PipelineError;
use crate::ops::bringing::{Batch, Supplier, Wanted};
use crate::pack::{Slice, ranges};
use crate::store::Store;

/// Needed files by the pack that they travel in, in the order of their offsets.
#[derive(Default)]
pub(super) struct Packed<'w>(BTreeMap<(&'w RegistryId, Pin), Vec<(u64, &'w Wanted)>>);

impl<'w> Packed<'w> {
    /// Those of the needed blobs that travel in packs.
    pub(super) fn of(needed: &BTreeMap<Pin, &'w Wanted>) -> Self {
        let mut packs = Self::default();
        for wanted in needed.values() {
            if let (Some((pack, offset)), Supplier::Registry(id)) = (wanted.pack, &wanted.supplier) {
                packs.0.entry((id, pack)).or_default().push((offset, *wanted));
            }
        }
        for files in packs.0.values_mut() {
            files.sort_by_key(|(offset, _)| *offset);
        }
        packs
    }

    /// Whether none of them does.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes that are asked for to have these files: what lies between near ones comes along.
    pub(super) fn bytes(&self) -> u64 {
        let asked = |((_, pack), files): (&(&RegistryId, Pin), &Vec<(u64, &Wanted)>)| -> u64 {
            let slice = |(offset, wanted): &(u64, &Wanted)| Slice { offset: *offset, size: wanted.pin.size };
            let slices: Vec<Slice> = files.iter().map(slice).collect();
            ranges(pack.size, &slices).iter().map(|range| range.end - range.start).sum()
        };
        self.0.iter().map(asked).fold(0, u64::saturating_add)
    }

    /// Brings them. Returns the digests of those whose packs no place has: they may be there as blobs of their own.
    pub(super) fn bring(
        &self,
        store: &Store,
        fetcher: &Fetcher<'_>,
        places_of: &mut dyn FnMut(&RegistryId) -> Result<Vec<Place>, PipelineError>,
    ) -> Result<BTreeSet<Pin>, PipelineError> {
        let mut places: Vec<Vec<Place>> = Vec::new();
        let mut numbers: BTreeMap<&RegistryId, usize> = BTreeMap::new();
        let mut jobs = Vec::with_capacity(self.0.len());
        for ((id, pack), files) in &self.0 {
            if !numbers.contains_key(id) {
                places.push(places_of(id)?);
                numbers.insert(id, places.len() - 1);
            }
            let file = |(offset, wanted): &(u64, &'w Wanted)| PackFile {
                pin: wanted.pin,
                offset: *offset,
                what: &wanted.what,
            };
            let what = match files.as_slice() {
                [(_, first), rest @ ..] if !rest.is_empty() => format!("{} and {} more files", first.what, rest.len()),
                files => files.first().map_or_else(String::new, |(_, first)| first.what.clone()),
            };
            let number = numbers.get(id).copied().unwrap_or_default();
            jobs.push(PackJob { pack: *pack, what, places: number, files: files.iter().map(file).collect() });
        }
        let mut batch = Batch::begin(store);
        let result = fetcher.unpack(&jobs, &places, &mut |unpacked| match unpacked {
            Unpacked::File(file, staged) => batch.take(&file.pin, staged),
            Unpacked::Pause => batch.flush(),
        });
        // What landed before an error stays: the next run does not fetch it again.
        let ended = batch.end();
        match result {
            Ok(absent) => {
                ended?;
                Ok(absent.into_iter().collect())
            }
            Err(FetchOutcome::Fetch(error)) => Err(error.into()),
            Err(FetchOutcome::Done(broken)) => Err(broken.into()),
        }
    }
}
