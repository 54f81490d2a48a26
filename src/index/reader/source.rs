//! The files of one registry from one place, with the ways to ask again.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::index::expected::{MAX_SIGNATURE, signature_path};
use crate::index::reader::places::Elsewhere;
use crate::index::{Freshness, IndexError, Origin, OriginError};
use crate::model::{PublicKey, RegistryId, Sha256, Signature};
use crate::trust::TrustError;

/// Longest pause between two questions to a place that is behind.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How long whoever writes to a folder needs from one file of its head to the next.
const INSTANT: Duration = Duration::from_millis(100);

/// A place and whose files are expected there.
pub(super) struct Source {
    pub(super) registry: RegistryId,
    pub(super) origin: Arc<dyn Origin>,
    /// How long a place is asked again whose files do not fit together.
    pub(super) lag: Duration,
    /// Other places, which are asked for what this one lacks: only what is pinned or signed comes from there.
    pub(super) elsewhere: Vec<Elsewhere>,
    /// How far the place is behind, where the stored state stands in for it.
    pub(super) behind: OnceLock<Behind>,
}

/// What [`IndexError::Behind`] says.
#[derive(Debug, Clone)]
pub(super) struct Behind {
    pub(super) what: &'static str,
    pub(super) found: Box<str>,
    pub(super) least: Box<str>,
    pub(super) witness: &'static str,
}

/// A file whose bytes a signed file pins.
pub(super) struct Pinned {
    pub(super) path: String,
    pub(super) sha256: Sha256,
    pub(super) cap: u64,
}

/// Whether asking again could help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Again {
    No,
    Once,
    ForAWhile,
}

impl Source {
    /// What the place is called.
    pub(super) fn place(&self) -> String {
        self.origin.describe()
    }

    pub(super) fn get(&self, path: &str, cap: u64, freshness: Freshness) -> Result<Option<Vec<u8>>, IndexError> {
        self.origin.get(path, cap, freshness).map_err(|source| self.unreachable(source))
    }

    pub(super) fn required(&self, path: &str, cap: u64, freshness: Freshness) -> Result<Vec<u8>, IndexError> {
        self.get(path, cap, freshness)?.ok_or_else(|| self.missing(path))
    }

    pub(super) fn get_many(
        &self,
        paths: &[(String, u64)],
        freshness: Freshness,
    ) -> Result<Vec<Option<Vec<u8>>>, IndexError> {
        self.origin.get_many(paths, freshness).map_err(|source| self.unreachable(source))
    }

    /// The same; where other places can be asked, a failure here is as good as absence.
    pub(super) fn get_many_or_none(
        &self,
        paths: &[(String, u64)],
        freshness: Freshness,
    ) -> Result<Vec<Option<Vec<u8>>>, IndexError> {
        match self.get_many(paths, freshness) {
            Err(_) if !self.elsewhere.is_empty() => Ok(vec![None; paths.len()]),
            other => other,
        }
    }

    /// The signatures of a file by these keys; one that is absent or malformed counts for nothing.
    pub(super) fn signatures<'k>(
        &self,
        path: &str,
        keys: impl IntoIterator<Item = &'k PublicKey>,
        freshness: Freshness,
    ) -> Result<Vec<Signature>, IndexError> {
        signatures_at(&*self.origin, path, keys, freshness).map_err(|source| self.unreachable(source))
    }

    /// Files by their digests, in order. What is wrong or absent is asked for once more, past caches.
    pub(super) fn pinned(&self, wanted: &[Pinned]) -> Result<Vec<Vec<u8>>, IndexError> {
        let ask = |wanted: &[&Pinned], freshness| {
            let paths: Vec<_> = wanted.iter().map(|pinned| (pinned.path.clone(), pinned.cap)).collect();
            self.get_many_or_none(&paths, freshness)
        };
        let mut found = ask(&wanted.iter().collect::<Vec<_>>(), Freshness::Immutable)?;
        let wrong = |pinned: &Pinned, bytes: &Option<Vec<u8>>| {
            bytes.as_deref().is_none_or(|bytes| Sha256::of(bytes) != pinned.sha256)
        };
        let (places, again): (Vec<usize>, Vec<&Pinned>) = wanted
            .iter()
            .enumerate()
            .filter(|(place, pinned)| found.get(*place).is_none_or(|bytes| wrong(pinned, bytes)))
            .unzip();
        if !again.is_empty() && self.origin.may_lag() {
            for (place, bytes) in places.into_iter().zip(ask(&again, Freshness::PastCaches)?) {
                if let Some(slot) = found.get_mut(place) {
                    *slot = bytes;
                }
            }
        }
        self.fill_in(wanted, &mut found);
        wanted.iter().zip(found).map(|(pinned, bytes)| self.expect(pinned, bytes)).collect()
    }

    /// Fills in what other places have of what is wrong or absent here. What can't be had there stays as it is.
    fn fill_in(&self, wanted: &[Pinned], found: &mut [Option<Vec<u8>>]) {
        let right = |pinned: &Pinned, bytes: &Option<Vec<u8>>| {
            bytes.as_deref().is_some_and(|bytes| Sha256::of(bytes) == pinned.sha256)
        };
        if self.elsewhere.is_empty() || wanted.iter().zip(&*found).all(|(pinned, bytes)| right(pinned, bytes)) {
            return;
        }
        for origin in self.other_origins() {
            let (places, open): (Vec<usize>, Vec<&Pinned>) = wanted
                .iter()
                .enumerate()
                .filter(|(place, pinned)| found.get(*place).is_none_or(|bytes| !right(pinned, bytes)))
                .unzip();
            let paths: Vec<_> = open.iter().map(|pinned| (pinned.path.clone(), pinned.cap)).collect();
            let Ok(answers) = origin.get_many(&paths, Freshness::Immutable) else { continue };
            for ((place, pinned), bytes) in places.into_iter().zip(open).zip(answers) {
                if let Some(slot) = found.get_mut(place).filter(|_| right(pinned, &bytes)) {
                    *slot = bytes;
                }
            }
        }
    }

    /// The other places that can be opened.
    pub(super) fn other_origins(&self) -> impl Iterator<Item = &Arc<dyn Origin>> {
        self.elsewhere.iter().filter_map(Elsewhere::origin)
    }

    /// Checks a file by its signatures: those of this place, patiently, then those of each other one.
    pub(super) fn signed<T>(
        &self,
        path: &str,
        keys: &[&PublicKey],
        check: impl Fn(&[Signature]) -> Result<T, IndexError>,
    ) -> Result<T, IndexError> {
        let own = self.patiently(Freshness::Immutable, |freshness| {
            check(&self.signatures(path, keys.iter().copied(), freshness)?)
        });
        let error = match own {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        for origin in self.other_origins() {
            let found = signatures_at(&**origin, path, keys.iter().copied(), Freshness::Immutable);
            if let Some(value) = found.ok().and_then(|found| check(&found).ok()) {
                return Ok(value);
            }
        }
        Err(error)
    }

    fn expect(&self, pinned: &Pinned, bytes: Option<Vec<u8>>) -> Result<Vec<u8>, IndexError> {
        let bytes = bytes.ok_or_else(|| self.missing(&pinned.path))?;
        let found = Sha256::of(&bytes);
        if found == pinned.sha256 {
            return Ok(bytes);
        }
        let (registry, path) = (self.registry.clone(), pinned.path.clone());
        Err(IndexError::WrongBytes { registry, path, expected: pinned.sha256, found })
    }

    /// Tries; where caches may lie between and what came does not fit, tries again past them, for as long as makes sense.
    pub(super) fn patiently<T>(
        &self,
        first: Freshness,
        mut attempt: impl FnMut(Freshness) -> Result<T, IndexError>,
    ) -> Result<T, IndexError> {
        let mut error = match attempt(first) {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        if !self.origin.may_lag() {
            let apart = !matches!(error, IndexError::Behind { .. }) && again(&error) == Again::ForAWhile;
            if !(apart && self.origin.may_be_written()) {
                return Err(error);
            }
            // A root and its checkpoint are two files: whoever writes them is between the two for an instant.
            std::thread::sleep(INSTANT);
            return attempt(Freshness::PastCaches);
        }
        let begin = Instant::now();
        let mut pause = Duration::ZERO;
        loop {
            match again(&error) {
                Again::No => return Err(error),
                Again::Once if !pause.is_zero() => return Err(error),
                Again::ForAWhile if begin.elapsed() + pause > self.lag && !pause.is_zero() => return Err(error),
                Again::Once | Again::ForAWhile => {}
            }
            std::thread::sleep(pause);
            pause = (pause * 2).clamp(Duration::from_millis(200), LONGEST_PAUSE);
            error = match attempt(Freshness::PastCaches) {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
        }
    }

    /// A file that is not there. Where the place is known to be behind, that is why.
    pub(super) fn missing(&self, path: &str) -> IndexError {
        if let Some(Behind { what, found, least, witness }) = self.behind.get().cloned() {
            let (registry, place) = (self.registry.clone(), self.place());
            return IndexError::Behind { registry, place, what, found, least, witness };
        }
        IndexError::Missing { registry: self.registry.clone(), place: self.place(), path: path.to_owned() }
    }

    pub(super) fn refused(&self, path: &str) -> impl Fn(TrustError) -> IndexError + use<> {
        let (registry, path) = (self.registry.clone(), path.to_owned());
        move |source| IndexError::Trust { registry: registry.clone(), path: path.clone(), source: Box::new(source) }
    }

    fn unreachable(&self, source: OriginError) -> IndexError {
        IndexError::Origin { registry: self.registry.clone(), source: Box::new(source) }
    }
}

/// The signatures of a file by these keys at a place.
fn signatures_at<'k>(
    origin: &dyn Origin,
    path: &str,
    keys: impl IntoIterator<Item = &'k PublicKey>,
    freshness: Freshness,
) -> Result<Vec<Signature>, OriginError> {
    let mut names: Vec<String> = keys.into_iter().map(|key| signature_path(path, &key.fingerprint())).collect();
    names.sort();
    names.dedup();
    let paths: Vec<_> = names.into_iter().map(|path| (path, MAX_SIGNATURE)).collect();
    let found = origin.get_many(&paths, freshness)?;
    Ok(found.into_iter().flatten().filter_map(|bytes| Signature::parse(&bytes).ok()).collect())
}

/// A checkpoint and what it names are written one after the other: for a while they may not fit together.
fn again(error: &IndexError) -> Again {
    match error {
        IndexError::Behind { .. } => Again::ForAWhile,
        IndexError::Trust { source, path, .. } if path == "checkpoint.json" => match &**source {
            TrustError::Signatures { .. } | TrustError::CheckpointRoot { .. } | TrustError::Epoch { .. } => {
                Again::ForAWhile
            }
            _ => Again::Once,
        },
        IndexError::Missing { .. }
        | IndexError::Trust { .. }
        | IndexError::WrongBytes { .. }
        | IndexError::Expired { .. }
        | IndexError::Tree { .. }
        | IndexError::Log { .. } => Again::Once,
        _ => Again::No,
    }
}
