//! What the store lends: chunks that are in blobs which are here already.

use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use crate::chunk::ChunkList;
use crate::fetch::Seeds;

/// Chunks of one blob that lie in other files. Nothing is believed of them: each is compared.
pub(super) struct Lent {
    list: Arc<ChunkList>,
    seeds: Seeds,
}

impl Lent {
    /// None: nothing is lent.
    pub(super) fn new(list: &Arc<ChunkList>, seeds: &Seeds) -> Option<Self> {
        (!seeds.chunks.is_empty()).then(|| Self { list: Arc::clone(list), seeds: seeds.clone() })
    }

    /// Reads the chunk that begins at this offset of the blob, if it is lent and can be read.
    pub(super) fn read(&self, at: u64, bytes: &mut [u8]) -> bool {
        let number = self.list.at(at).and_then(|number| u32::try_from(number).ok());
        let Some((file, offset)) = number.and_then(|number| self.seeds.chunks.get(&number)) else { return false };
        let file = usize::try_from(*file).ok().and_then(|file| self.seeds.files.get(file));
        file.is_some_and(|file| file.read_exact_at(bytes, *offset).is_ok())
    }
}
