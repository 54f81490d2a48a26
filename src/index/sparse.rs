//! Files of an index: sparse. Static files behind a web server, with copies kept below a folder.
//!
//! What never changes is kept as it is; what changes is kept behind a line with its `ETag`, in one file, so that the two
//! can't come apart. Nothing here is trusted: readers check every byte, and ask past caches where a copy is wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::index::{Ahead, Freshness, Origin, OriginError};
use crate::model::{SafeUrl, Timestamp};
use crate::sys::{BlobReader, HttpClient, HttpError, NetworkPolicy, Scope, Small, begin, block_on, files, run_bounded};

/// Requests at a time.
const PARALLEL: usize = 16;
/// Seconds after which a copy that is not whole was left by a process that is gone.
const LEFT: i64 = 86_400;
/// Longest `ETag` that is kept.
const MAX_ETAG: usize = 1024;

/// Most files that are asked for ahead and that nobody has asked for yet.
const MOST_AHEAD: usize = 512;

/// Reads below an address.
pub(super) struct Sparse {
    place: Arc<Place>,
    /// What was asked for ahead, by path.
    ahead: Mutex<BTreeMap<String, Early>>,
    /// Of those, at a time.
    lines: Arc<Semaphore>,
}

/// A question that was put before somebody needed the answer.
struct Early {
    freshness: Freshness,
    cap: u64,
    answer: JoinHandle<Result<Option<Vec<u8>>, OriginError>>,
}

/// An address, and the copies of what is there.
struct Place {
    url: SafeUrl,
    copies: PathBuf,
    http: HttpClient,
    scope: Scope,
    now: Timestamp,
    /// Folders of copies that were looked through for what killed processes left.
    swept: Mutex<BTreeSet<PathBuf>>,
}

/// A file that changes, as it was last seen.
struct Copy {
    etag: Option<String>,
    body: Vec<u8>,
}

impl Sparse {
    pub(super) fn new(url: &SafeUrl, copies: &Path, http: &HttpClient, scope: Scope, now: Timestamp) -> Self {
        let (url, copies, http) = (url.clone(), copies.to_owned(), http.clone());
        let place = Place { url, copies, http, scope, now, swept: Mutex::default() };
        Self { place: Arc::new(place), ahead: Mutex::default(), lines: Arc::new(Semaphore::new(PARALLEL)) }
    }

    async fn fetch(&self, path: &str, cap: u64, freshness: Freshness) -> Result<Option<Vec<u8>>, OriginError> {
        let early = self.ahead.lock().unwrap_or_else(PoisonError::into_inner).remove(path);
        let fits = |early: &Early| {
            early.cap <= cap && (early.freshness == freshness || early.freshness == Freshness::Revalidate)
        };
        if let Some(early) = early.filter(|early| freshness != Freshness::PastCaches && fits(early)) {
            match early.answer.await {
                // More of it than was asked for ahead is wanted.
                Ok(Err(OriginError::TooLarge { .. })) if early.cap < cap => {}
                Ok(answer) => return answer,
                Err(_) => {}
            }
        }
        self.place.fetch(path, cap, freshness).await
    }
}

impl Drop for Sparse {
    fn drop(&mut self) {
        for early in self.ahead.lock().unwrap_or_else(PoisonError::into_inner).values() {
            early.answer.abort();
        }
    }
}

impl Place {
    async fn fetch(&self, path: &str, cap: u64, freshness: Freshness) -> Result<Option<Vec<u8>>, OriginError> {
        let changes = changes(path);
        // A copy that can't be read is as good as none.
        let copy = if freshness == Freshness::PastCaches { None } else { self.kept(path, cap, changes) };
        let offline = self.http.policy() == NetworkPolicy::Offline;
        match copy {
            Some(copy) if offline || freshness == Freshness::Immutable => Ok(Some(copy.body)),
            copy => self.ask(path, cap, freshness, copy).await,
        }
    }

    async fn ask(
        &self,
        path: &str,
        cap: u64,
        freshness: Freshness,
        copy: Option<Copy>,
    ) -> Result<Option<Vec<u8>>, OriginError> {
        let url = self.url.below(path).map_err(|_| OriginError::NotAFile { path: path.into() })?;
        let etag = copy.as_ref().and_then(|copy| copy.etag.as_deref());
        let small = Small { cap, etag, past_caches: freshness == Freshness::PastCaches };
        let answer = self.http.small(&url, small, self.scope).await.map_err(|error| match error {
            HttpError::TooLarge { cap, .. } => {
                OriginError::TooLarge { path: path.to_owned(), place: self.describe(), cap }
            }
            error => OriginError::Http(error),
        })?;
        match answer.status {
            200 => {
                self.keep(path, answer.etag.as_deref(), &answer.body);
                Ok(Some(answer.body))
            }
            304 => Ok(copy.map(|copy| copy.body)),
            _ => Ok(None),
        }
    }

    fn kept(&self, path: &str, cap: u64, changes: bool) -> Option<Copy> {
        let bytes = files::read_capped(&self.copies.join(path), cap + MAX_ETAG as u64 + 1).ok()??;
        let copy = if changes {
            let end = bytes.iter().position(|byte| *byte == b'\n')?;
            let etag = std::str::from_utf8(bytes.get(..end)?).ok()?.to_owned();
            Copy { etag: (!etag.is_empty()).then_some(etag), body: bytes.get(end + 1..)?.to_vec() }
        } else {
            Copy { etag: None, body: bytes }
        };
        (copy.body.len() as u64 <= cap).then_some(copy)
    }

    /// Keeps a copy where that can be done: what can't be kept is asked for again.
    fn keep(&self, path: &str, etag: Option<&str>, body: &[u8]) {
        let place = self.copies.join(path);
        let mut bytes = Vec::new();
        if changes(path) {
            let good = |etag: &&str| etag.len() <= MAX_ETAG && etag.bytes().all(|byte| (0x20..0x7f).contains(&byte));
            bytes.extend_from_slice(etag.filter(good).unwrap_or_default().as_bytes());
            bytes.push(b'\n');
        }
        bytes.extend_from_slice(body);
        let Some(folder) = place.parent() else { return };
        self.sweep(folder);
        let _ = std::fs::create_dir_all(folder).and_then(|()| files::write_copy(&place, &bytes));
    }

    fn describe(&self) -> String {
        format!("sparse+{}", self.url)
    }

    /// Removes what processes that were killed while they kept a copy left in a folder, once a run. No lease guards copies, so
    /// what another process may be writing stays.
    fn sweep(&self, folder: &Path) {
        if self.swept.lock().unwrap_or_else(PoisonError::into_inner).insert(folder.to_owned()) {
            let now = i64::try_from(self.now.seconds()).unwrap_or(i64::MAX);
            files::clear_unfinished_before(folder, now.saturating_sub(LEFT));
        }
    }
}

/// Whether a file of an index may change under its name.
fn changes(path: &str) -> bool {
    path.starts_with("checkpoint.json") || path.starts_with("packages/") || path.starts_with("advisories/")
}

impl Origin for Sparse {
    fn get(&self, path: &str, cap: u64, freshness: Freshness) -> Result<Option<Vec<u8>>, OriginError> {
        block_on(self.fetch(path, cap, freshness))
    }

    fn get_many(&self, paths: &[(String, u64)], freshness: Freshness) -> Result<Vec<Option<Vec<u8>>>, OriginError> {
        let jobs = paths.iter().map(|(path, cap)| self.fetch(path, *cap, freshness)).collect();
        block_on(run_bounded(PARALLEL, jobs)).into_iter().collect()
    }

    fn expect(&self, files: &[Ahead]) {
        if self.place.http.policy() == NetworkPolicy::Offline {
            return;
        }
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        for Ahead { path, cap, freshness } in files {
            let kept = *freshness == Freshness::Immutable && self.place.copies.join(path).exists();
            if kept || ahead.contains_key(path) || ahead.len() >= MOST_AHEAD {
                continue;
            }
            let (place, lines) = (Arc::clone(&self.place), Arc::clone(&self.lines));
            let (asked, cap, freshness) = (path.clone(), *cap, *freshness);
            let answer = begin(async move {
                // It is never closed.
                let _line = lines.acquire_owned().await;
                place.fetch(&asked, cap, freshness).await
            });
            ahead.insert(path.clone(), Early { freshness, cap, answer });
        }
    }

    fn describe(&self) -> String {
        self.place.describe()
    }

    fn may_lag(&self) -> bool {
        self.place.http.policy() == NetworkPolicy::Online
    }

    fn blobs(&self, _: &str) -> Option<Arc<dyn BlobReader>> {
        None
    }
}
