//! Files of an index: git. One commit at a time, replaced as a whole when caches are to be passed.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use crate::index::builtin::below;
use crate::index::{Freshness, Origin, OriginError};
use crate::model::{Pin, SafeUrl};
use crate::progress::Progress;
use crate::sys::git::{Commit, GitError, MAX_FETCH, fetch, open_last};
use crate::sys::{BlobReader, HttpClient, NetworkPolicy, Scope, blob_path};

/// Reads commits of one repository.
pub(super) struct Git {
    url: SafeUrl,
    copy: PathBuf,
    http: HttpClient,
    scope: Scope,
    commit: RwLock<Arc<Commit>>,
}

/// Blobs of one commit below a relative base.
struct CommitBlobs {
    commit: Arc<Commit>,
    base: String,
    place: String,
}

impl Git {
    /// Fetches, or offline opens what the last fetch brought.
    pub(super) fn open(
        url: &SafeUrl,
        copy: &Path,
        http: &HttpClient,
        scope: Scope,
        progress: &dyn Progress,
    ) -> Result<Self, OriginError> {
        let last = if http.policy() == NetworkPolicy::Offline { open_last(url, copy)? } else { None };
        let commit = match last {
            Some(commit) => commit,
            None => fetch(url, copy, http, scope, MAX_FETCH)?,
        };
        if !commit.descends() {
            progress.warn(
                "git-rewritten",
                format!(
                    "commit {} of {url} does not descend from the one seen before: its history was rewritten",
                    commit.id()
                ),
            );
        }
        Ok(Self {
            url: url.clone(),
            copy: copy.to_owned(),
            http: http.clone(),
            scope,
            commit: RwLock::new(Arc::new(commit)),
        })
    }

    fn commit(&self) -> Arc<Commit> {
        Arc::clone(&self.commit.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn refresh(&self, freshness: Freshness) -> Result<(), OriginError> {
        if freshness == Freshness::PastCaches && self.http.policy() == NetworkPolicy::Online {
            let commit = fetch(&self.url, &self.copy, &self.http, self.scope, MAX_FETCH)?;
            *self.commit.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(commit);
        }
        Ok(())
    }
}

fn file(commit: &Commit, path: &str, cap: u64, place: &str) -> Result<Option<Vec<u8>>, OriginError> {
    commit.file(path, cap).map_err(|error| match error {
        GitError::TooLarge { path, cap, .. } => OriginError::TooLarge { path, place: place.to_owned(), cap },
        error => error.into(),
    })
}

impl Origin for Git {
    fn get(&self, path: &str, cap: u64, freshness: Freshness) -> Result<Option<Vec<u8>>, OriginError> {
        self.refresh(freshness)?;
        file(&self.commit(), path, cap, &self.describe())
    }

    fn get_many(&self, paths: &[(String, u64)], freshness: Freshness) -> Result<Vec<Option<Vec<u8>>>, OriginError> {
        self.refresh(freshness)?;
        let commit = self.commit();
        let place = self.describe();
        paths.iter().map(|(path, cap)| file(&commit, path, *cap, &place)).collect()
    }

    fn describe(&self) -> String {
        format!("git+{}", self.url)
    }

    fn blobs(&self, base: &str) -> Option<Arc<dyn BlobReader>> {
        Some(Arc::new(CommitBlobs { commit: self.commit(), base: base.to_owned(), place: self.describe() }))
    }
}

impl BlobReader for CommitBlobs {
    fn blob(&self, pin: &Pin) -> std::io::Result<Option<Vec<u8>>> {
        match self.commit.file(&below(&self.base, &blob_path(&pin.sha256)), pin.size) {
            // Larger than its pin: not the blob.
            Err(GitError::TooLarge { .. }) => Ok(None),
            other => other.map_err(std::io::Error::other),
        }
    }

    fn describe(&self) -> String {
        self.place.clone()
    }
}
