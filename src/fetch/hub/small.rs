//! Files for which a hub lists no sha256: brought whole, so that whoever asked can compare git's id and pin them.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use crate::fetch::hub::listing::address;
use crate::fetch::hub::{Hub, HubFetchError};
use crate::model::{GitBlobId, HubCommit, HubId, RelPath};
use crate::progress::{Doing, Event, Task};
use crate::sys::{ByteRange, HttpError, Lines, RangeBody, Staged, Staging, block_on};

/// Tries for one file.
const TRIES: u32 = 4;
/// First task of this part.
const FIRST_TASK: u64 = 1 << 60;

/// A file that lies in git itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmallFile {
    /// Its path.
    pub path: RelPath,
    /// Bytes.
    pub size: u64,
    /// Git's id.
    pub git: GitBlobId,
}

impl Hub<'_> {
    /// Brings all of them, some at a time, and hands each to `done` from this thread; nothing was compared yet but that no
    /// more bytes came than the listing says. The first error ends the rest.
    ///
    /// # Errors
    /// Those of the hub and of `done`.
    pub fn small_files<E>(
        &self,
        (id, commit): (&HubId, &HubCommit),
        files: &[SmallFile],
        (staging, jobs): (&Path, usize),
        done: &mut dyn FnMut(&SmallFile, Staged) -> Result<(), E>,
    ) -> Result<(), SmallOutcome<E>> {
        let workers = jobs.clamp(1, 64).min(files.len().max(1));
        let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        let (sender, receiver) = sync_channel::<(usize, Result<Staged, HubFetchError>)>(workers);
        let mut failed = None;
        std::thread::scope(|scope| {
            for _ in 0..workers {
                let sender = sender.clone();
                let (next, stop) = (&next, &stop);
                scope.spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        let at = next.fetch_add(1, Ordering::Relaxed);
                        let Some(file) = files.get(at) else { return };
                        let task = Task(FIRST_TASK.saturating_add(at as u64));
                        if sender.send((at, self.small_file((id, commit), file, staging, task))).is_err() {
                            return;
                        }
                    }
                });
            }
            drop(sender);
            for (at, brought) in receiver {
                let Some(file) = files.get(at) else { continue };
                let error = match brought {
                    Ok(_) if failed.is_some() => continue,
                    Ok(staged) => match done(file, staged) {
                        Ok(()) => continue,
                        Err(error) => SmallOutcome::Done(error),
                    },
                    Err(error) => SmallOutcome::Hub(error),
                };
                stop.store(true, Ordering::Relaxed);
                failed.get_or_insert(error);
            }
        });
        failed.map_or(Ok(()), Err)
    }

    fn small_file(
        &self,
        (id, commit): (&HubId, &HubCommit),
        file: &SmallFile,
        staging: &Path,
        task: Task,
    ) -> Result<Staged, HubFetchError> {
        let what = format!("{} {}", id.name(), file.path);
        self.progress.on(&Event::Started { task, doing: Doing::Fetch, what: &what, bytes: Some(file.size) });
        let result = self.tried(id, commit, file, (staging, &what));
        if result.is_ok() {
            self.progress.on(&Event::Advanced { task, bytes: file.size });
        }
        self.progress.on(&Event::Finished { task, ok: result.is_ok() });
        result
    }

    fn tried(
        &self,
        id: &HubId,
        commit: &HubCommit,
        file: &SmallFile,
        (staging, what): (&Path, &str),
    ) -> Result<Staged, HubFetchError> {
        let url = address(id, self.endpoint.file(id, commit, &file.path))?;
        let local = |source| HubFetchError::Local { folder: staging.to_owned(), source };
        let (mut tries, mut waits) = (0, 0);
        loop {
            self.pass_gate()?;
            let mut growing = Staging::create(staging, what).map_err(local)?;
            let opened = block_on(self.http.open_range(&url, ByteRange::from(0), None, self.scope, Lines::Shared));
            let error = match opened {
                Ok(body) => match self.take(body, file.size, &mut growing) {
                    Ok(()) => return Ok(growing.finish()),
                    Err(Taking::Http(error)) => error,
                    Err(Taking::Local(error)) => return Err(local(error)),
                    Err(Taking::Stopped) => return Err(HubFetchError::Stopped),
                },
                Err(HttpError::Status { status: 429, said, .. }) => {
                    waits += 1;
                    self.close_gate(id, &said, waits)?;
                    continue;
                }
                Err(HttpError::Status { url, status, said }) if !matches!(status, 408 | 425 | 500..=599) => {
                    return Err(self.refused(id, &url, status, &said)?);
                }
                Err(error) => error,
            };
            tries += 1;
            if tries >= TRIES || !error.is_transient() {
                return Err(error.into());
            }
            self.pause(tries)?;
        }
    }

    /// Takes the body, at most one byte more than there should be.
    fn take(&self, mut body: RangeBody, size: u64, to: &mut Staging) -> Result<(), Taking> {
        while let Some(chunk) = block_on(body.chunk()).map_err(Taking::Http)? {
            if self.cancel.is_cancelled() {
                return Err(Taking::Stopped);
            }
            let room = size.saturating_add(1).saturating_sub(to.written());
            let room = usize::try_from(room).unwrap_or(usize::MAX).min(chunk.len());
            to.write(chunk.get(..room).unwrap_or_default()).map_err(Taking::Local)?;
            if to.written() > size {
                return Ok(());
            }
        }
        Ok(())
    }

    fn pause(&self, tries: u32) -> Result<(), HubFetchError> {
        let patience = &self.http.settings().patience;
        let mut left = patience.pause.saturating_mul(1 << tries.min(10)).min(patience.longest_pause);
        while !left.is_zero() {
            if self.cancel.is_cancelled() {
                return Err(HubFetchError::Stopped);
            }
            let step = left.min(Duration::from_millis(50));
            std::thread::sleep(step);
            left = left.saturating_sub(step);
        }
        Ok(())
    }
}

/// Bringing failed, or what was done with a file did.
#[derive(Debug)]
pub enum SmallOutcome<E> {
    /// Bringing failed.
    Hub(HubFetchError),
    /// The caller's own error.
    Done(E),
}

enum Taking {
    Http(HttpError),
    Local(std::io::Error),
    Stopped,
}
