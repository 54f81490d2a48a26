//! The mark of a process that puts blobs into the store, so that a collection leaves alone what came since.
//!
//! A process makes its mark and then waits for a collection that is running; a collection takes its lease and then reads
//! the marks. Whatever order they come in, one of them sees the other.

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::PoisonError;
use std::time::Duration;

use crate::store::{Store, StoreError};
use crate::sys::{Lease, LeaseError, Life, Standing, files};

/// How long a process waits for a collection.
pub(super) const PATIENCE: Duration = Duration::from_mins(10);
/// A mark from elsewhere that did not beat for so long is a dead one's.
const SILENT: i64 = 3600;
/// How far the clocks of machines that share a store may be apart.
const SLACK: i64 = 3600;

impl Store {
    /// The lease of collections.
    pub(super) fn collection(&self) -> PathBuf {
        self.folder.join("v1/collection.lease")
    }

    /// Marks this process as at work, once.
    pub(super) fn enter(&self) -> Result<(), StoreError> {
        self.enter_and(|_| Ok(()))
    }

    /// The same, and what dead processes left goes first. Only for who has staged nothing yet.
    pub(super) fn enter_clean(&self) -> Result<(), StoreError> {
        self.enter_and(|mark| self.clear_after_the_dead(mark))
    }

    fn enter_and(&self, first: impl FnOnce(&Lease) -> Result<(), StoreError>) -> Result<(), StoreError> {
        let mut presence = self.shared.presence.lock().unwrap_or_else(PoisonError::into_inner);
        if presence.is_none() {
            let active = self.folder.join("v1/active");
            let mark = Lease::mark(&active).map_err(|error| match error {
                // Not being able to write here says more about the store than about the mark.
                LeaseError::Unusable { source, .. } => StoreError::at(&active)(source),
                held @ LeaseError::Held { .. } => held.into(),
            })?;
            first(&mark)?;
            *presence = Some(mark);
            self.wait_for_collection()?;
        }
        Ok(())
    }

    /// Removes marks of dead processes and, where nobody else is at work, what they staged: without it each process that is
    /// killed would leave some until somebody collects. Partial downloads stay for whoever goes on with them.
    fn clear_after_the_dead(&self, own: &Lease) -> Result<(), StoreError> {
        // Staged files are listed before the marks: whoever made one of them had made a mark by then.
        let partial = self.staging();
        let staged = files::list(&partial).map_err(StoreError::at(&partial))?;
        let active = self.folder.join("v1/active");
        let mut alone = true;
        for (name, _) in files::list(&active).map_err(StoreError::at(&active))? {
            let path = active.join(&name);
            if path == own.path() {
                continue;
            }
            match Lease::standing(&path) {
                Ok(Some(Standing { life: Life::Dead, .. })) => {
                    files::remove(&path).map_err(StoreError::at(&path))?;
                }
                Ok(None) => {}
                // A lease in the making is no mark yet.
                _ if is_hidden(&name) => {}
                _ => alone = false,
            }
        }
        for (name, _) in staged.iter().filter(|(name, _)| alone && is_scratch(name)) {
            let path = partial.join(name);
            // The lease of a download may have been taken over meanwhile.
            if is_lease(name) && !matches!(Lease::standing(&path), Ok(Some(Standing { life: Life::Dead, .. }))) {
                continue;
            }
            files::remove(&path).map_err(StoreError::at(&path))?;
        }
        Ok(())
    }

    /// Waits for a collection that is running.
    pub(super) fn wait_for_collection(&self) -> Result<(), StoreError> {
        let collection = self.collection();
        if Lease::is_held(&collection) {
            drop(self.collection_lease()?);
        }
        Ok(())
    }

    /// Since when a process has been at work, in seconds of the file system's clock; `None`: nobody is. Marks of dead
    /// processes are counted, and removed if `sweep` says so.
    pub(super) fn at_work_since(&self, now: i64, sweep: bool, leftovers: &mut u64) -> Result<Option<i64>, StoreError> {
        let folder = self.folder.join("v1/active");
        let mut oldest: Option<i64> = None;
        for (name, _) in files::list(&folder).map_err(StoreError::at(&folder))? {
            let path = folder.join(&name);
            let Ok(metadata) = path.symlink_metadata() else { continue };
            let silent = now.saturating_sub(metadata.mtime()) > SILENT;
            let standing = match Lease::standing(&path) {
                Ok(Some(standing)) => standing,
                Ok(None) => continue,
                Err(_) => Standing { life: Life::Unknown, since: None },
            };
            let dead = standing.life == Life::Dead || (standing.life == Life::Unknown && silent);
            // A lease in the making is no mark yet.
            if dead || is_hidden(&name) {
                if dead {
                    *leftovers = leftovers.saturating_add(1);
                }
                if dead && sweep {
                    files::remove(&path).map_err(StoreError::at(&path))?;
                }
                continue;
            }
            let begun = standing.since.and_then(|since| i64::try_from(since.seconds()).ok());
            let begun = begun.map_or(i64::MIN, |since| since.saturating_sub(SLACK));
            oldest = Some(oldest.map_or(begun, |oldest| oldest.min(begun)));
        }
        Ok(oldest)
    }
}

fn is_scratch(name: &OsString) -> bool {
    name.as_encoded_bytes().starts_with(b"scratch-") || Lease::is_passing(name) || is_lease(name)
}

fn is_lease(name: &OsString) -> bool {
    name.as_encoded_bytes().ends_with(b".lease")
}

fn is_hidden(name: &OsString) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}
