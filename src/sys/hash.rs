//! Hashing what lies on disk: one file in bounded memory, many files on all cores.

use std::fs::File;
use std::io::{self, Read, Seek as _};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::model::{GitBlobId, Pin, Sha256Hasher};
use crate::sys::{Cancel, files};

/// Bytes read at a time.
const PIECE: usize = 256 * 1024;

/// Hashes an open file from its start. `advanced` is told of each piece.
///
/// # Errors
/// It can't be read; `Interrupted` if `cancel` was set meanwhile.
pub fn hash_open(file: &File, cancel: &Cancel, advanced: &dyn Fn(u64)) -> io::Result<Pin> {
    let mut hasher = Sha256Hasher::new();
    let size = read_through(file, cancel, &mut |piece| {
        hasher.update(piece);
        advanced(piece.len() as u64);
    })?;
    Ok(Pin { sha256: hasher.finish(), size })
}

/// The same for a file of which it is known how long it is: one that has grown or shrunk shows another digest or size, or its
/// reader sees it afterwards.
///
/// # Errors
/// It can't be read.
pub fn hash_seen(file: &File, size: u64) -> io::Result<Pin> {
    use std::os::unix::fs::FileExt as _;
    let mut hasher = Sha256Hasher::new();
    // One byte more than it has, so that one read shows the end.
    let room = usize::try_from(size.saturating_add(1)).unwrap_or(PIECE).min(PIECE);
    let (mut buffer, mut total) = (vec![0; room], 0_u64);
    loop {
        let count = match file.read_at(&mut buffer, total) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hasher.update(buffer.get(..count).unwrap_or_default());
        total = total.saturating_add(count as u64);
        if count == 0 || (count < room && total == size) {
            return Ok(Pin { sha256: hasher.finish(), size: total });
        }
    }
}

/// The same, and the id that git gives such bytes: none where they were made to collide under SHA-1, or where the size
/// changed meanwhile.
///
/// # Errors
/// As for [`hash_open`].
pub fn hash_open_with_git(
    file: &File,
    cancel: &Cancel,
    advanced: &dyn Fn(u64),
) -> io::Result<(Pin, Option<GitBlobId>)> {
    let expected = file.metadata()?.len();
    let (mut hasher, mut git) = (Sha256Hasher::new(), gix::hash::hasher(gix::hash::Kind::Sha1));
    git.update(format!("blob {expected}\0").as_bytes());
    let size = read_through(file, cancel, &mut |piece| {
        hasher.update(piece);
        git.update(piece);
        advanced(piece.len() as u64);
    })?;
    let id = git.try_finalize().ok().and_then(|id| <[u8; 20]>::try_from(id.as_bytes()).ok());
    let id = id.filter(|_| size == expected).map(GitBlobId::from_bytes);
    Ok((Pin { sha256: hasher.finish(), size }, id))
}

/// Reads an open file from its start to its end, piece by piece; how many bytes it had.
fn read_through(file: &File, cancel: &Cancel, take: &mut dyn FnMut(&[u8])) -> io::Result<u64> {
    let mut reader = file;
    reader.rewind()?;
    let size = usize::try_from(file.metadata()?.len()).unwrap_or(PIECE);
    let mut buffer = vec![0; size.clamp(1, PIECE)];
    let mut total = 0_u64;
    loop {
        if cancel.is_cancelled() {
            return Err(io::Error::new(io::ErrorKind::Interrupted, "stopped"));
        }
        let count = match reader.read(&mut buffer) {
            Ok(0) => return Ok(total),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        take(buffer.get(..count).unwrap_or_default());
        total = total.saturating_add(count as u64);
    }
}

/// Hashes what a reader gives, to its end.
///
/// # Errors
/// It can't be read; `Interrupted` if `cancel` was set meanwhile.
pub fn hash_stream(reader: &mut dyn Read, cancel: &Cancel, advanced: &dyn Fn(u64)) -> io::Result<Pin> {
    let (mut hasher, mut buffer, mut total) = (Sha256Hasher::new(), vec![0; PIECE], 0_u64);
    loop {
        if cancel.is_cancelled() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let count = reader.read(&mut buffer)?;
        if count == 0 {
            return Ok(Pin { sha256: hasher.finish(), size: total });
        }
        hasher.update(buffer.get(..count).unwrap_or_default());
        total = total.saturating_add(count as u64);
        advanced(count as u64);
    }
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
    fn git_names_bytes_as_git_does() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        files::write_atomic(&path, b"hello\n").expect("written");
        let file = files::open_regular(&path).expect("opened").expect("there");
        let (pin, id) = hash::hash_open_with_git(&file, &Cancel::new(), &|_| ()).expect("read");
        assert_eq!(pin, Pin::of(b"hello\n"));
        assert_eq!(id.expect("named").to_string(), "ce013625030ba8dba906f756967f9e9ca394464a");
    }

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
