//! Integrity: which blobs were hashed and how their files stood then, and which were found wrong (docs/formats/serve.md).
//!
//! A blob is served while its file stands as it stood when its bytes were hashed. What does not show in a file's size, times and
//! inode, such as a disk that forgets, only the scrub sees: it hashes everything again, once in a while.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write as _};
use std::num::NonZeroU64;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::diagnose::Diagnose as _;
use crate::model::{Sha256, Sha256Hasher};
use crate::progress::Progress;
use crate::serve::meter::Meter;
use crate::serve::{OpenBlob, ServeError, Shelf, Wanted};
use crate::sys::{Clock, files};

/// The first line of the notes.
const FORMAT: &str = "mpm.verified/1";
/// Largest notes that are read, in bytes: more than two million blobs.
const MAX_NOTES: u64 = 256 << 20;
/// Bytes that are hashed at a time.
const PIECE: usize = 1 << 20;
/// How often a file that changes while it is hashed is hashed anew.
const TRIES: u32 = 3;
/// How often a scrub that waits looks whether it is to stop.
const LOOK: Duration = Duration::from_millis(50);

/// How a file stood: a digest of size, times, inode and place.
type Stand = u128;

/// What is known of blobs.
pub(super) struct Keeper {
    notes: Mutex<HashMap<u128, Stand>>,
    wrong: Mutex<HashMap<Sha256, Stand>>,
    path: PathBuf,
    log: Mutex<Option<File>>,
    clock: Arc<dyn Clock>,
    progress: Arc<dyn Progress>,
    meter: Arc<Meter>,
}

/// What a look at a blob shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// It was verified, and stands as it stood then.
    Good,
    /// It must be hashed first.
    Unknown,
    /// Its bytes are wrong.
    Wrong,
}

impl Keeper {
    /// Reads the notes below the server's own folder.
    pub(super) fn open(
        state: &Path,
        clock: Arc<dyn Clock>,
        progress: Arc<dyn Progress>,
        meter: Arc<Meter>,
    ) -> Result<Self, ServeError> {
        let fail = |source| ServeError::State { path: state.to_owned(), source };
        files::create_private_dirs(state).map_err(fail)?;
        if files::others_may_write(state) {
            return Err(ServeError::Exposed { path: state.to_owned() });
        }
        let path = state.join("verified");
        let (notes, lines) = match files::read_capped(&path, MAX_NOTES).map_err(fail)? {
            Some(bytes) => parse(&bytes),
            None => (HashMap::new(), usize::MAX),
        };
        let keeper = Self {
            notes: Mutex::new(notes),
            wrong: Mutex::default(),
            path,
            log: Mutex::default(),
            clock,
            progress,
            meter,
        };
        keeper.begin(lines).map_err(fail)?;
        Ok(keeper)
    }

    /// Opens the notes for appending, written anew where most of their lines count no more.
    fn begin(&self, lines: usize) -> io::Result<()> {
        let notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        if lines / 2 > notes.len() {
            let mut text = format!("{FORMAT}\n");
            let mut all: Vec<_> = notes.iter().collect();
            all.sort_unstable();
            for (key, stand) in all {
                text.push_str(&line(*key, *stand, 0));
            }
            files::write_private(&self.path, text.as_bytes())?;
        }
        let log = std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path)?;
        *self.log.lock().unwrap_or_else(PoisonError::into_inner) = Some(log);
        Ok(())
    }

    /// What is known of an open blob.
    pub(super) fn look(&self, blob: &OpenBlob) -> io::Result<Look> {
        let stand = stand(blob)?;
        if self.wrong.lock().unwrap_or_else(PoisonError::into_inner).get(&blob.pin.sha256) == Some(&stand) {
            return Ok(Look::Wrong);
        }
        let known = self.notes.lock().unwrap_or_else(PoisonError::into_inner).get(&key(&blob.pin.sha256)).copied();
        Ok(if known == Some(stand) { Look::Good } else { Look::Unknown })
    }

    /// Hashes a blob, and notes what comes of it.
    pub(super) fn verify(&self, shelf: &dyn Shelf, blob: &OpenBlob) -> io::Result<Look> {
        self.hash(shelf, blob, &mut |_| true).map(|look| look.unwrap_or(Look::Unknown))
    }

    /// A chunk of a blob was wrong: whatever its record says.
    pub(super) fn found_wrong(&self, shelf: &dyn Shelf, blob: &OpenBlob) {
        if let Ok(stand) = stand(blob) {
            self.condemn(shelf, blob, stand);
        }
    }

    /// Blobs that were found wrong and still stand so.
    pub(super) fn wrong(&self) -> usize {
        self.wrong.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Hashes a blob; none: `go_on` had enough, or it does not stand still.
    fn hash(&self, shelf: &dyn Shelf, blob: &OpenBlob, go_on: &mut dyn FnMut(u64) -> bool) -> io::Result<Option<Look>> {
        let mut buffer = vec![0; PIECE];
        for _ in 0..TRIES {
            let before = stand(blob)?;
            let Some(found) = digest(blob, &mut buffer, go_on)? else { return Ok(None) };
            if before != stand(blob)? {
                // Touched while it was read: what was hashed may not be what is there.
                continue;
            }
            self.meter.hashed(blob.pin.size);
            if found == blob.pin.sha256 {
                self.note(&blob.pin.sha256, before);
                return Ok(Some(Look::Good));
            }
            self.condemn(shelf, blob, before);
            return Ok(Some(Look::Wrong));
        }
        Ok(None)
    }

    fn note(&self, digest: &Sha256, stand: Stand) {
        let key = key(digest);
        self.wrong.lock().unwrap_or_else(PoisonError::into_inner).remove(digest);
        if self.notes.lock().unwrap_or_else(PoisonError::into_inner).insert(key, stand) == Some(stand) {
            return;
        }
        let line = line(key, stand, self.clock.now().seconds());
        if let Some(log) = self.log.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            // A note that is lost costs a hash after the next start.
            let _ = log.write_all(line.as_bytes());
        }
    }

    fn condemn(&self, shelf: &dyn Shelf, blob: &OpenBlob, stand: Stand) {
        let digest = blob.pin.sha256;
        let known = self.wrong.lock().unwrap_or_else(PoisonError::into_inner).insert(digest, stand) == Some(stand);
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).remove(&key(&digest));
        if known {
            return;
        }
        let gone = shelf.take_out(blob);
        self.meter.corrupt();
        let what = if gone { "it was taken out" } else { "it could not be moved from its place" };
        let error = ServeError::Corrupt { sha256: digest };
        let text = format!(
            "{}: {error}; {what}. Bring it again: `mpm mirror sync`, `mpm sync` for the store, or another copy of the bundle",
            error.code()
        );
        self.progress.warn("corrupt-blob", text);
    }

    /// Hashes everything that is on the shelf, over and over, each time within a period, until it is to stop.
    pub(super) fn scrub(&self, shelf: &dyn Shelf, period: Duration, stop: &AtomicBool) {
        let waits_until = |when: Instant| {
            while !stop.load(Ordering::Relaxed) {
                let left = when.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return true;
                }
                std::thread::sleep(left.min(LOOK));
            }
            false
        };
        while !stop.load(Ordering::Relaxed) {
            let begun = Instant::now();
            let total = self.total(shelf, stop);
            let mut done = 0_u64;
            let walked = shelf.each(&mut |digest| {
                if let Ok(Some(blob)) = shelf.open(&Wanted::named(digest)) {
                    // Off the disk, not out of memory.
                    for piece in blob.bytes.pieces() {
                        let _ = rustix::fs::fadvise(
                            &*piece.file,
                            piece.offset,
                            NonZeroU64::new(piece.length),
                            rustix::fs::Advice::DontNeed,
                        );
                    }
                    let _ = self.hash(shelf, &blob, &mut |bytes| {
                        done = done.saturating_add(bytes);
                        waits_until(begun + share(period, done, total))
                    });
                }
                !stop.load(Ordering::Relaxed)
            });
            if let Err(error) = walked {
                self.progress
                    .warn("scrub", format!("{}: the scrub could not go through the blobs: {error}", error.code()));
            }
            if !waits_until(begun + period) {
                return;
            }
            self.meter.scrubbed(self.clock.now().seconds());
        }
    }

    /// Bytes of all blobs.
    #[expect(clippy::unused_self, reason = "beside its only user")]
    fn total(&self, shelf: &dyn Shelf, stop: &AtomicBool) -> u64 {
        let mut total = 0_u64;
        let _ = shelf.each(&mut |digest| {
            if let Ok(Some(blob)) = shelf.open(&Wanted::named(digest)) {
                total = total.saturating_add(blob.pin.size);
            }
            !stop.load(Ordering::Relaxed)
        });
        total
    }
}

/// The part of a period that belongs to so many of all bytes; a tenth of it is left for what came meanwhile.
fn share(period: Duration, done: u64, total: u64) -> Duration {
    let nanoseconds = period.as_nanos().saturating_mul(9) / 10;
    let part = nanoseconds.saturating_mul(u128::from(done.min(total))) / u128::from(total.max(1));
    Duration::from_nanos(u64::try_from(part).unwrap_or(u64::MAX))
}

/// The digest of a blob's bytes; none: `go_on`, which is told of each piece, had enough.
fn digest(blob: &OpenBlob, buffer: &mut [u8], go_on: &mut dyn FnMut(u64) -> bool) -> io::Result<Option<Sha256>> {
    let mut hasher = Sha256Hasher::new();
    let (mut at, mut left) = (0_u64, blob.pin.size);
    while left > 0 {
        let room = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let piece = buffer.get_mut(..room).unwrap_or_default();
        blob.bytes.read_exact_at(piece, at)?;
        hasher.update(piece);
        at = at.saturating_add(room as u64);
        left = left.saturating_sub(room as u64);
        if !go_on(room as u64) {
            return Ok(None);
        }
    }
    Ok(Some(hasher.finish()))
}

fn stand(blob: &OpenBlob) -> io::Result<Stand> {
    let mut text = format!("{FORMAT} {}", blob.pin.sha256);
    for piece in blob.bytes.pieces() {
        let file = piece.file.metadata()?;
        let _ = write!(
            text,
            " {} {} {} {}.{} {}.{} {}",
            piece.offset,
            piece.length,
            file.len(),
            file.mtime(),
            file.mtime_nsec(),
            file.ctime(),
            file.ctime_nsec(),
            file.ino()
        );
    }
    Ok(key(&Sha256::of(text.as_bytes())))
}

/// The first half of a digest: enough to tell a machine's blobs apart.
fn key(digest: &Sha256) -> u128 {
    digest.as_bytes().iter().take(16).fold(0, |key, byte| key << 8 | u128::from(*byte))
}

fn line(key: u128, stand: Stand, at: u64) -> String {
    format!("{key:032x} {stand:032x} {at}\n")
}

/// Notes, and how many lines they took. A line that is not one, such as the last of a process that was killed, counts for nothing.
fn parse(bytes: &[u8]) -> (HashMap<u128, Stand>, usize) {
    let mut notes = HashMap::new();
    let mut lines = 0;
    let text = String::from_utf8_lossy(bytes);
    let mut all = text.lines();
    if all.next() != Some(FORMAT) {
        return (notes, usize::MAX);
    }
    for text in all {
        lines += 1;
        let mut words = text.split(' ');
        let number = |word: Option<&str>| {
            let word = word.filter(|word| word.len() == 32)?;
            u128::from_str_radix(word, 16).ok()
        };
        if let (Some(key), Some(stand), Some(_)) = (number(words.next()), number(words.next()), words.next()) {
            notes.insert(key, stand);
        }
    }
    (notes, lines)
}
