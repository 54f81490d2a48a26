//! Hashing what lies on disk: one file in bounded memory, many files on all cores.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::model::{GitBlob, Pin, Sha256Hasher};
use crate::sys::{Cancel, files};

/// Bytes read at a time.
const PIECE: usize = 256 * 1024;

/// Hashes an open file from its start. `advanced` is told of each piece.
///
/// # Errors
/// It can't be read; `Interrupted` if `cancel` was set meanwhile.
pub fn hash_open(file: &File, cancel: &Cancel, advanced: &dyn Fn(u64)) -> io::Result<Pin> {
    let mut reader = file;
    reader.rewind()?;
    let size = usize::try_from(file.metadata()?.len()).unwrap_or(PIECE);
    let mut buffer = vec![0; size.clamp(1, PIECE)];
    let (mut hasher, mut total) = (Sha256Hasher::new(), 0_u64);
    loop {
        if cancel.is_cancelled() {
            return Err(io::Error::new(io::ErrorKind::Interrupted, "stopped"));
        }
        let count = match reader.read(&mut buffer) {
            Ok(0) => return Ok(Pin { sha256: hasher.finish(), size: total }),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hasher.update(buffer.get(..count).unwrap_or_default());
        total = total.saturating_add(count as u64);
        advanced(count as u64);
    }
}

/// Git's id of an open file's bytes, read from its start: they must be `size` many, or there is no id.
///
/// # Errors
/// It can't be read, or git's hash refuses it (a collision that somebody made on purpose).
pub fn git_blob(file: &File, size: u64, cancel: &Cancel) -> io::Result<Option<GitBlob>> {
    let mut reader = file;
    reader.rewind()?;
    let mut hasher = gix::hash::hasher(gix::hash::Kind::Sha1);
    hasher.update(format!("blob {size}\0").as_bytes());
    let (mut buffer, mut total) = (vec![0; PIECE], 0_u64);
    loop {
        if cancel.is_cancelled() {
            return Err(io::Error::new(io::ErrorKind::Interrupted, "stopped"));
        }
        let count = match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        total = total.saturating_add(count as u64);
        if total > size {
            return Ok(None);
        }
        hasher.update(buffer.get(..count).unwrap_or_default());
    }
    let id = hasher.try_finalize().map_err(|error| io::Error::other(error.to_string()))?;
    let bytes: Option<[u8; 20]> = id.as_bytes().try_into().ok();
    Ok(bytes.filter(|_| total == size).map(GitBlob::from_bytes))
}

/// Hashes the regular file at `path`, not following a symlink; `None` if it is not there.
///
/// # Errors
/// It is no regular file or can't be read; `Interrupted` if `cancel` was set meanwhile.
pub fn hash_path(path: &Path, cancel: &Cancel, advanced: &dyn Fn(u64)) -> io::Result<Option<Pin>> {
    files::open_regular(path)?.map(|file| hash_open(&file, cancel, advanced)).transpose()
}

/// Hashes many files on all cores, as [`hash_path`] does; results in the order of the paths. `advanced` is told the place
/// of a path in the list and each piece's bytes.
pub fn hash_paths(
    paths: &[PathBuf],
    cancel: &Cancel,
    advanced: &(dyn Fn(usize, u64) + Sync),
) -> Vec<io::Result<Option<Pin>>> {
    on_all_cores(paths, &|place, path: &PathBuf| hash_path(path, cancel, &|bytes| advanced(place, bytes)))
}

/// Applies `work` to all items on all cores; results in the order of the items.
pub fn on_all_cores<T: Sync, R: Send>(items: &[T], work: &(dyn Fn(usize, &T) -> R + Sync)) -> Vec<R> {
    let workers = thread::available_parallelism().map_or(1, NonZero::get).min(items.len());
    if workers <= 1 {
        return items.iter().enumerate().map(|(place, item)| work(place, item)).collect();
    }
    let next = AtomicUsize::new(0);
    let mut results: Vec<(usize, R)> = thread::scope(|scope| {
        let run = || {
            let mut mine = Vec::new();
            loop {
                let place = next.fetch_add(1, Ordering::Relaxed);
                let Some(item) = items.get(place) else { return mine };
                mine.push((place, work(place, item)));
            }
        };
        let others: Vec<_> = (1..workers).map(|_| scope.spawn(run)).collect();
        let mut all = run();
        for other in others {
            match other.join() {
                Ok(more) => all.extend(more),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        all
    });
    results.sort_by_key(|(place, _)| *place);
    results.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use crate::model::Pin;
    use crate::sys::{Cancel, files, hash};

    #[test]
    fn many_files_are_hashed_in_their_order() {
        let folder = tempfile::tempdir().expect("a folder");
        let bytes = |place: usize| vec![7_u8; place * 100_000];
        let mut paths = Vec::new();
        for place in 0..9 {
            paths.push(folder.path().join(place.to_string()));
            files::write_atomic(&paths[place], &bytes(place)).expect("written");
        }
        paths.push(folder.path().join("absent"));
        let found = hash::hash_paths(&paths, &Cancel::new(), &|_, _| ());
        for (place, pin) in found.iter().enumerate().take(9) {
            assert_eq!(pin.as_ref().expect("readable"), &Some(Pin::of(&bytes(place))));
        }
        assert!(matches!(found.last(), Some(Ok(None))));
        let cancel = Cancel::new();
        cancel.cancel();
        assert!(hash::hash_path(&paths[1], &cancel, &|_| ()).is_err());
    }
}
