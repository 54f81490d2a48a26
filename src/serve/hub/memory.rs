//! What need not be read for every request: what releases say of themselves, and the files of those that are being downloaded.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::hub::Shown as _;
use crate::model::{FileClass, HubCommit, HubId, HubRepository, Sha256, VariantName};
use crate::serve::Shelf;
use crate::statement::{FileEntry, Statement};

/// Most releases that are remembered.
const RELEASES: usize = 65_536;
/// Most files that are kept ready, but for those of the commit that was asked for last.
const FILES: usize = 200_000;

/// What a release says of itself.
#[derive(Debug)]
pub(super) struct Brief {
    /// Where the same files stand on the hub.
    pub(super) upstream: Option<(HubRepository, HubCommit)>,
    /// The variant that is meant where none is named.
    pub(super) default: Option<VariantName>,
    pub(super) variants: Vec<VariantName>,
    pub(super) licence: Option<String>,
    pub(super) description: Option<String>,
}

impl Brief {
    fn of(statement: &Statement) -> Self {
        let upstream = statement.upstream.as_ref();
        Self {
            upstream: upstream.map(|upstream| (upstream.repository.clone(), upstream.commit.clone())),
            default: statement.default_variant.clone(),
            variants: statement.variants.keys().cloned().collect(),
            licence: statement.licence.as_ref().map(|licence| licence.expression.clone()),
            description: statement.description.clone(),
        }
    }
}

/// A commit of the hub that a lock pins.
#[derive(Debug)]
pub(super) struct Pinned {
    pub(super) id: HubId,
    pub(super) commit: HubCommit,
    pub(super) files: Arc<Vec<FileEntry>>,
}

/// The files of a release and a variant of it.
type Key = (Sha256, Option<VariantName>);

/// The memory.
#[derive(Debug, Default)]
pub(in crate::serve) struct Memory {
    sources: OnceLock<Vec<Pinned>>,
    briefs: Mutex<BTreeMap<Sha256, Arc<Brief>>>,
    files: Mutex<VecDeque<(Key, Arc<Vec<FileEntry>>)>>,
}

impl Memory {
    /// The commits that locks pin: they are the same as long as the server runs.
    pub(super) fn sources(&self, shelf: &dyn Shelf) -> &[Pinned] {
        self.sources.get_or_init(|| shelf.sources().into_iter().map(pinned).collect())
    }

    /// What a release says of itself, if that is known.
    pub(super) fn brief(&self, statement: &Sha256) -> Option<Arc<Brief>> {
        self.briefs.lock().unwrap_or_else(PoisonError::into_inner).get(statement).cloned()
    }

    /// Learns it.
    pub(super) fn learn(&self, digest: Sha256, statement: &Statement) -> Arc<Brief> {
        let brief = Arc::new(Brief::of(statement));
        let mut briefs = self.briefs.lock().unwrap_or_else(PoisonError::into_inner);
        if briefs.len() >= RELEASES {
            briefs.clear();
        }
        briefs.insert(digest, Arc::clone(&brief));
        brief
    }

    /// The files of a release, if they are ready.
    pub(super) fn files(&self, statement: &Sha256, variant: Option<&VariantName>) -> Option<Arc<Vec<FileEntry>>> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let at = files.iter().position(|((digest, name), _)| digest == statement && name.as_ref() == variant)?;
        let found = files.remove(at)?;
        let kept = Arc::clone(&found.1);
        files.push_front(found);
        Some(kept)
    }

    /// Keeps them ready, in place of those that nobody asked for longest.
    pub(super) fn keep(&self, key: Key, entries: &Arc<Vec<FileEntry>>) {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.push_front((key, Arc::clone(entries)));
        let count =
            |files: &VecDeque<(Key, Arc<Vec<FileEntry>>)>| files.iter().map(|(_, all)| all.len()).sum::<usize>();
        while files.len() > 1 && (count(&files) > FILES || files.len() > RELEASES / 64) {
            files.pop_back();
        }
    }
}

fn pinned(source: crate::serve::HubSource) -> Pinned {
    let entry = |(path, pin)| FileEntry { path, pin, class: FileClass::Data, variant: None, pack: None, chunks: None };
    let mut files: Vec<FileEntry> = source.files.into_iter().map(entry).collect();
    files.sort_by(|left, right| left.path().cmp(right.path()));
    Pinned { id: source.id, commit: source.commit, files: Arc::new(files) }
}
