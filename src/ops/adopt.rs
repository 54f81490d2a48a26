//! `mpm store adopt`: files that are on this machine already into the store, without a second copy where that can be.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::diagnose::{Class, Code, Diagnose, Hint};
use crate::model::{HumanSize, Pin, Sha256};
use crate::ops::adopting::{Fate, LARGE, Left, Refused, Taking, changed, refused};
use crate::ops::hub_cache::{self, Candidate, Found};
use crate::ops::services::WAIT;
use crate::ops::{Question, Services};
use crate::progress::{Doing, Event, Progress, Task};
use crate::store::{DryRun, Store, StoreError};
use crate::sys::{Copying, Existing, NotBrought, Way, files, hash, may_link};

/// The task of hashing.
const TASK: Task = Task(1 << 61);

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The folder; none: the Hugging Face cache of this user.
    pub folder: Option<PathBuf>,
    /// What may be copied that can't be linked, whatever its size.
    pub copy: bool,
    /// Only tell.
    pub dry_run: DryRun,
}

/// Files and their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What was done, or would be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The folder that was looked into.
    pub folder: PathBuf,
    /// Whether it is a Hugging Face cache.
    pub is_cache: bool,
    /// Only told.
    pub dry_run: DryRun,
    /// What was taken, by the way on which it came.
    pub adopted: BTreeMap<Way, Amount>,
    /// What the store had already.
    pub already: Amount,
    /// Files whose names promise other bytes.
    pub refused: Vec<Refused>,
    /// Files that were left where they are.
    pub left: Vec<Left>,
    /// Links that lead out of the folder, which were not followed.
    pub leading_out: u64,
}

impl Outcome {
    /// How it ended beside what was taken: a broken promise is a matter of trust, a file that was left is the user's.
    pub fn is_bad(&self) -> Option<Class> {
        match (self.refused.is_empty(), self.left.is_empty()) {
            (true, true) => None,
            (true, false) => Some(Class::Yours),
            (false, _) => Some(Class::Trust),
        }
    }
}

/// Why nothing, or not all, was adopted.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// The folder can't be listed.
    #[error("there is nothing to adopt in {}", folder.display())]
    NoFolder {
        /// The folder.
        folder: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No folder was named, and none can be guessed.
    #[error("no folder was named, and where the Hugging Face cache of this user is can't be told")]
    NoCache,
    /// Copies that nobody agreed to.
    #[error("{question}")]
    Unanswered {
        /// The question.
        question: String,
    },
    /// Copies that do not fit.
    #[error("{} have to be copied, and {} are free", HumanSize(*needed), HumanSize(*free))]
    NoSpace {
        /// Bytes of the copies.
        needed: u64,
        /// Bytes free.
        free: u64,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Diagnose for AdoptError {
    fn code(&self) -> Code {
        Code(match self {
            Self::NoFolder { .. } => "E0961",
            Self::NoCache => "E0962",
            Self::Unanswered { .. } => "E0963",
            Self::NoSpace { .. } => "E0964",
            Self::Store(error) => return error.code(),
        })
    }

    fn class(&self) -> Class {
        match self {
            Self::NoFolder { .. } | Self::NoSpace { .. } => Class::Yours,
            Self::NoCache | Self::Unanswered { .. } => Class::Usage,
            Self::Store(error) => error.class(),
        }
    }

    fn hints(&self) -> Vec<Hint> {
        let note = |text: &str| Hint::Note(text.to_owned());
        let unchanged = || note("nothing was adopted, and no file was changed");
        match self {
            Self::NoFolder { .. } | Self::NoCache => vec![
                note("name a folder: `mpm store adopt DIR`; or set HF_HUB_CACHE or HF_HOME as for the hub's clients"),
                unchanged(),
            ],
            Self::Unanswered { .. } => vec![
                note("pass --copy to copy them, or move the store to that file system with MPM_STORE"),
                unchanged(),
            ],
            Self::NoSpace { .. } => vec![
                note("a store on the same file system links them instead: set MPM_STORE"),
                Hint::Run("mpm store gc --dry-run".to_owned()),
                unchanged(),
            ],
            Self::Store(error) => error.hints(),
        }
    }
}

/// Does it.
///
/// # Errors
/// `E0961` to `E0964`, and what the store says. Files that are refused or left are no error but the outcome.
pub fn run(services: &Services, request: &Request) -> Result<Outcome, AdoptError> {
    let folder = request.folder.clone().or_else(|| services.folders.hub_cache.clone()).ok_or(AdoptError::NoCache)?;
    let place = &services.folders.store;
    let mut found =
        hub_cache::look(&folder, place).map_err(|source| AdoptError::NoFolder { folder: folder.clone(), source })?;
    // The large ones first: the rest fills the other cores.
    found.candidates.sort_by_key(|candidate| std::cmp::Reverse(candidate.metadata.len()));
    let fates = match request.dry_run {
        DryRun::Yes => tell(services, &found)?,
        DryRun::No => take(services, request, &found)?,
    };
    let mut outcome = Outcome {
        folder: found.named,
        is_cache: found.is_cache,
        dry_run: request.dry_run,
        adopted: BTreeMap::new(),
        already: Amount::default(),
        refused: Vec::new(),
        left: Vec::new(),
        leading_out: found.leading_out,
    };
    for (path, error) in found.unreadable {
        outcome.left.push(Left { path: found.folder.join(path), reason: error.to_string() });
    }
    for fate in fates {
        match fate {
            Fate::Taken(pin, way) => outcome.adopted.entry(way).or_default().add(&pin),
            Fate::There(pin) => outcome.already.add(&pin),
            Fate::Refused(refused) => outcome.refused.push(refused),
            Fate::Left(left) => outcome.left.push(left),
        }
    }
    outcome.refused.sort_by(|one, other| one.path.cmp(&other.path));
    outcome.left.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(outcome)
}

impl Amount {
    fn add(&mut self, pin: &Pin) {
        self.files = self.files.saturating_add(1);
        self.bytes = self.bytes.saturating_add(pin.size);
    }
}

/// Takes what was found, and records that it is kept.
fn take(services: &Services, request: &Request, found: &Found) -> Result<Vec<Fate>, AdoptError> {
    let store = services.store(WAIT)?;
    let taking = Taking::begin(services, &store, Copying::Below(LARGE))?;
    let copying =
        if may_copy(services, request, found, &store, &taking)? { Copying::Allowed } else { Copying::Below(LARGE) };
    let taking = taking.copying(copying);
    let fates = each(services, found, &|candidate, advanced| taking.take(&found.folder, candidate, advanced));
    // What was taken before a stop stays: the next run does not hash it again.
    let lost = taking.end()?;
    let mut fates = fates?;
    for (fate, candidate) in fates.iter_mut().zip(&found.candidates) {
        if matches!(fate, Fate::Taken(pin, _) if lost.contains(pin)) {
            *fate = Fate::Left(changed(found.folder.join(&candidate.below)));
        }
    }
    let kept: BTreeSet<Sha256> = fates.iter().filter_map(Fate::pin).map(|pin| pin.sha256).collect();
    if !kept.is_empty() {
        store.keep_adopted(&found.named, &kept, services.now)?;
    }
    Ok(fates)
}

impl Fate {
    fn pin(&self) -> Option<Pin> {
        match self {
            Self::Taken(pin, _) | Self::There(pin) => Some(*pin),
            Self::Refused(_) | Self::Left(_) => None,
        }
    }
}

/// Whether what can't be linked may be copied, whatever its size: nothing large is copied that nobody was told of.
fn may_copy(
    services: &Services,
    request: &Request,
    found: &Found,
    store: &Store,
    taking: &Taking<'_>,
) -> Result<bool, AdoptError> {
    let device = device_of(store.folder())?;
    let (mut copies, mut cloning) = (Amount::default(), BTreeMap::new());
    for candidate in found.candidates.iter().filter(|candidate| !may_link(&candidate.metadata, device)) {
        let clones = cloning.entry(candidate.metadata.dev()).or_insert_with(|| {
            let existing = Existing::open(&found.folder, &candidate.below);
            existing.is_ok_and(|existing| existing.is_some_and(|existing| taking.bringing().clones(&existing)))
        });
        if !*clones {
            copies.files += 1;
            copies.bytes = copies.bytes.saturating_add(candidate.metadata.len());
        }
    }
    if copies.bytes < LARGE {
        return Ok(request.copy);
    }
    let free = files::free_space(store.folder()).unwrap_or(u64::MAX);
    let question = format!(
        "{} in {} can't be linked into the store and would be copied, {} of {} free: copy them?",
        if copies.files == 1 { "1 file".to_owned() } else { format!("{} files", copies.files) },
        found.named.display(),
        HumanSize(copies.bytes),
        HumanSize(free)
    );
    let agreed = request.copy
        || match services.ask.ask(&Question::Confirm { text: question.clone() }) {
            Some(answer) => answer == 0,
            None => return Err(AdoptError::Unanswered { question }),
        };
    if agreed && copies.bytes > free {
        return Err(AdoptError::NoSpace { needed: copies.bytes, free });
    }
    if agreed {
        let told = format!("{} can't be linked into the store and are copied", HumanSize(copies.bytes));
        services.progress.warn("large-copy", told);
    }
    Ok(agreed)
}

fn device_of(folder: &Path) -> Result<u64, AdoptError> {
    let unusable = |source| StoreError::Unusable { path: folder.to_owned(), source };
    Ok(folder.metadata().map_err(unusable)?.dev())
}

/// Hashes what was found and tells what would become of it; writes nothing.
fn tell(services: &Services, found: &Found) -> Result<Vec<Fate>, AdoptError> {
    let place = &services.folders.store;
    let store = Store::open_existing(place)?;
    let inodes = store.as_ref().map(Store::inodes).transpose()?.unwrap_or_default();
    // The store lies where its nearest folder lies.
    let device = place.ancestors().find_map(|folder| folder.metadata().ok()).map_or(0, |folder| folder.dev());
    let fates = each(services, found, &|candidate, advanced| {
        if services.cancel.is_cancelled() {
            return Err(StoreError::Stopped);
        }
        if let Some(pin) = inodes.get(&candidate.inode()).filter(|pin| candidate.contradicts(pin).is_none()) {
            return Ok(Fate::There(*pin));
        }
        let path = found.folder.join(&candidate.below);
        let left = |reason: String| Ok(Fate::Left(Left { path: path.clone(), reason }));
        let existing = match Existing::open(&found.folder, &candidate.below) {
            Ok(Some(existing)) => existing,
            Ok(None) => return left("it is gone".to_owned()),
            Err(error) => return left(error.to_string()),
        };
        let known = match existing.hash(candidate.digests(), &services.cancel, advanced) {
            Ok(known) => known,
            Err(NotBrought::Disk(error)) if error.kind() == io::ErrorKind::Interrupted => {
                return Err(StoreError::Stopped);
            }
            Err(error) => return left(error.to_string()),
        };
        if let Some(broken) = candidate.promises.iter().find(|promise| !promise.is_kept(&known)) {
            return Ok(Fate::Refused(refused(path, *broken, &known)));
        }
        let pin = known.pin();
        if store.as_ref().is_some_and(|store| store.seems_to_have(&pin)) {
            return Ok(Fate::There(pin));
        }
        let way = if may_link(&candidate.metadata, device) { Way::Hard } else { Way::Copy };
        Ok(Fate::Taken(pin, way))
    })?;
    Ok(once_each(fates))
}

/// The same bytes under several names are taken once.
fn once_each(fates: Vec<Fate>) -> Vec<Fate> {
    let mut seen = BTreeSet::new();
    let once = |fate| match fate {
        Fate::Taken(pin, _) if !seen.insert(pin.sha256) => Fate::There(pin),
        other => other,
    };
    fates.into_iter().map(once).collect()
}

/// Works on one candidate; the function is told of the bytes that were read.
type Work<'w> = dyn Fn(&Candidate, &dyn Fn(u64)) -> Result<Fate, StoreError> + Sync + 'w;

/// Works on each candidate on all cores, with progress in bytes.
fn each(services: &Services, found: &Found, work: &Work<'_>) -> Result<Vec<Fate>, StoreError> {
    let progress: &dyn Progress = &*services.progress;
    let total: u64 = found.candidates.iter().map(|candidate| candidate.metadata.len()).sum();
    let what = found.named.display().to_string();
    progress.on(&Event::Started { task: TASK, doing: Doing::Hash, what: &what, bytes: Some(total) });
    let fates = hash::on_all_cores(&found.candidates, &|_, candidate: &Candidate| {
        // A file may have grown; what was promised is not exceeded, and what needs no reading is done at once.
        let left = AtomicU64::new(candidate.metadata.len());
        let advanced = |bytes: u64| {
            let before =
                left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| Some(left.saturating_sub(bytes)));
            let bytes = bytes.min(before.unwrap_or(0));
            if bytes > 0 {
                progress.on(&Event::Advanced { task: TASK, bytes });
            }
        };
        let fate = work(candidate, &advanced);
        advanced(u64::MAX);
        fate
    });
    let fates: Result<Vec<Fate>, StoreError> = fates.into_iter().collect();
    progress.on(&Event::Finished { task: TASK, ok: fates.is_ok() });
    fates
}
