//! The folder of a mirror: whether it may be written, who writes it, and how a file comes to stand in it.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::index::Carried;
use crate::mirror::MirrorError;
use crate::model::{Pin, RegistryId, Sha256};
use crate::progress::Progress;
use crate::sys::files::{self, Kind};
use crate::sys::{Lease, blob_path};
use crate::trust::{MAX_ROOT, TrustRoot};
use crate::verify::Verified;

/// The folder of a mirror's own notes.
const OWN: &str = ".mpm-mirror";
/// The note that says which registry this is a mirror of.
const MARK: &str = ".mpm-mirror/registry";
const FORMAT: &str = "mpm.mirror/1";

/// A folder that is a mirror, or may become one.
#[derive(Debug)]
pub struct Destination {
    folder: PathBuf,
    id: RegistryId,
    root: Sha256,
    /// What blobs lie below: `.` or a path.
    base: String,
    /// Given up when the run ends.
    lease: Option<Lease>,
    /// Folders that were found to be folders.
    stood: Mutex<BTreeSet<PathBuf>>,
}

impl Destination {
    /// Looks at a folder that is to become, or is, a mirror of a registry. Writes nothing.
    ///
    /// # Errors
    /// `E1001`, `E1002`, `E1005` to `E1007`.
    pub fn at(folder: &Path, id: &RegistryId, root: Sha256) -> Result<Self, MirrorError> {
        let found = Self {
            folder: folder.to_owned(),
            id: id.clone(),
            root,
            base: ".".to_owned(),
            lease: None,
            stood: Mutex::default(),
        };
        found.admit()?;
        Ok(found)
    }

    /// Looks at a folder that must be a mirror, of whichever registry.
    ///
    /// # Errors
    /// `E1001`: it is none; `E1005` to `E1007`.
    pub fn existing(folder: &Path) -> Result<Self, MirrorError> {
        let (id, root) = mark_of(folder)?.ok_or_else(|| MirrorError::NoMirror {
            path: folder.to_owned(),
            what: "`mpm mirror sync` did not make it",
        })?;
        Ok(Self { folder: folder.to_owned(), id, root, base: ".".to_owned(), lease: None, stood: Mutex::default() })
    }

    /// The registry that a folder is a copy of, as its first root says; whoever asks decides whether to believe it.
    ///
    /// # Errors
    /// It can't be read.
    pub fn claimed(folder: &Path) -> Result<Option<(RegistryId, Sha256)>, MirrorError> {
        let path = folder.join("trust/root/1.json");
        let bytes = files::read_capped(&path, MAX_ROOT).map_err(MirrorError::at(&path))?;
        Ok(bytes.and_then(|bytes| Some((TrustRoot::parse(&bytes).ok()?.registry, Sha256::of(&bytes)))))
    }

    /// Whether the folder is empty, not there, or a mirror of this registry.
    fn admit(&self) -> Result<(), MirrorError> {
        let fail = MirrorError::at(&self.folder);
        match self.folder.metadata() {
            Ok(found) if found.is_dir() => {}
            Ok(_) => return Err(MirrorError::NoMirror { path: self.folder.clone(), what: "it is a file" }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(fail(error)),
        }
        if let Some((found, found_root)) = mark_of(&self.folder)? {
            if found_root == self.root {
                return Ok(());
            }
            let (path, registry, root) = (self.folder.clone(), self.id.clone(), self.root);
            return Err(MirrorError::OtherRegistry { path, registry, root, found, found_root });
        }
        // What a run that was killed in its first moments left, and what file systems have of their own.
        let ours = |name: &OsString| name == OWN || name == "lost+found";
        if files::list(&self.folder).map_err(fail)?.iter().all(|(name, _)| ours(name)) {
            return Ok(());
        }
        let what = if self.folder.join("trust/root/1.json").exists() {
            "it is a registry that `mpm mirror sync` did not make, and is never written to"
        } else {
            "it holds other files"
        };
        Err(MirrorError::NoMirror { path: self.folder.clone(), what })
    }

    /// Begins to write: takes the lease, and marks the folder as a mirror. `bases` are those of the checkpoint: blobs lie below
    /// the first that is relative, where a reader looks for them.
    pub(super) fn begin(
        &mut self,
        bases: &[String],
        wait: Duration,
        progress: &dyn Progress,
    ) -> Result<(), MirrorError> {
        self.set_base(bases);
        for folder in [&self.folder, &self.folder.join(OWN), &self.partial(), &self.folder.join(OWN).join("placing")] {
            self.make(folder)?;
        }
        let folder = self.folder.clone();
        let lease = Lease::take(&self.folder.join(OWN).join("lease"), wait, &|holder| {
            progress.note("waiting", format!("waiting for {holder}, which writes the mirror in {}", folder.display()));
        })?;
        self.lease = Some(lease);
        // Somebody may have made another mirror of it meanwhile.
        self.admit()?;
        for folder in ["", OWN, ".mpm-mirror/placing", ".mpm-mirror/partial"] {
            files::clear_unfinished(&self.folder.join(folder));
        }
        self.clear_scratch();
        let mark = format!("{FORMAT} {} {}\n", self.id, self.root);
        if self.read(MARK, 4096)?.as_deref() != Some(mark.as_bytes()) {
            self.write(MARK, mark.as_bytes())?;
        }
        Ok(())
    }

    /// Says where blobs lie: below the first base that is relative.
    pub(super) fn set_base(&mut self, bases: &[String]) {
        // The mirror's own notes are no place for what an index names.
        let ours = |base: &str| base.split('/').find(|part| *part != ".") == Some(OWN);
        let relative = bases.iter().find(|base| !base.contains("://") && !ours(base));
        relative.map_or(".", String::as_str).trim_end_matches('/').clone_into(&mut self.base);
    }

    /// The registry's label.
    pub fn id(&self) -> &RegistryId {
        &self.id
    }

    /// Digest of its first root.
    pub fn root(&self) -> Sha256 {
        self.root
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where blobs are staged.
    pub(super) fn partial(&self) -> PathBuf {
        self.folder.join(OWN).join("partial")
    }

    /// Where a blob lies, below the folder.
    pub(super) fn blob(&self, digest: &Sha256) -> String {
        let path = blob_path(digest);
        if self.base == "." || self.base.is_empty() { path } else { format!("{}/{path}", self.base) }
    }

    /// Whether a blob is there, by name and size; whatever else stands in its place is none.
    pub(super) fn has(&self, pin: &Pin) -> Result<bool, MirrorError> {
        let path = self.inside(&self.blob(&pin.sha256))?;
        match path.symlink_metadata() {
            Ok(found) => Ok(found.is_file() && found.len() == pin.size),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(false),
            Err(error) => Err(MirrorError::at(&path)(error)),
        }
    }

    /// A file of at most `cap` bytes, if it is there.
    pub(super) fn read(&self, path: &str, cap: u64) -> Result<Option<Vec<u8>>, MirrorError> {
        let path = self.inside(path)?;
        files::read_capped(&path, cap).map_err(MirrorError::at(&path))
    }

    /// Names in a folder.
    pub(super) fn list(&self, path: &str) -> Result<Vec<(OsString, Kind)>, MirrorError> {
        let path = self.inside_folder(path)?;
        files::list(&path).map_err(MirrorError::at(&path))
    }

    /// Writes one file.
    pub(super) fn write(&self, path: &str, bytes: &[u8]) -> Result<(), MirrorError> {
        self.write_all(&[Carried { path: path.to_owned(), bytes: bytes.to_vec() }]).map(drop)
    }

    /// Writes files in this order, those that stand with the same bytes left alone; which were written.
    pub(super) fn write_all<'c>(&self, carried: &'c [Carried]) -> Result<Vec<&'c str>, MirrorError> {
        let changed = self.changed(carried)?;
        let mut files = Vec::with_capacity(changed.len());
        for file in &changed {
            files.push((self.inside(&file.path)?, file.bytes.as_slice()));
        }
        files::write_many(&self.partial(), &files).map_err(MirrorError::at(&self.folder))?;
        Ok(changed.into_iter().map(|file| file.path.as_str()).collect())
    }

    /// Those of these files that do not stand with these bytes.
    pub(super) fn changed<'c>(&self, carried: &'c [Carried]) -> Result<Vec<&'c Carried>, MirrorError> {
        let mut changed = Vec::new();
        for file in carried {
            let path = self.inside(&file.path)?;
            // Another kind of thing, or a longer file, is not what belongs there.
            let stands = files::read_capped(&path, file.bytes.len() as u64).ok().flatten();
            if stands.as_deref() != Some(file.bytes.as_slice()) {
                changed.push(file);
            }
        }
        Ok(changed)
    }

    /// Takes verified blobs: their bytes first, then their names. What stood in a blob's place and was not it goes.
    pub(super) fn take(&self, blobs: Vec<Verified>) -> Result<(), MirrorError> {
        let mut staged = Vec::with_capacity(blobs.len());
        for blob in blobs {
            let pin = *blob.pin();
            let path = self.inside(&self.blob(&pin.sha256))?;
            let fail = MirrorError::at(&path);
            let blob = blob.into_staged();
            if blob.close_to_writers().map_err(&fail)?.is_none() {
                return Err(fail(io::Error::other("its file was written to after it was hashed")));
            }
            staged.push((path, blob));
        }
        let partial = self.partial();
        let shared = staged.len() >= SHARED_BARRIER;
        let fail = MirrorError::at(&self.folder);
        if !(shared && files::sync_filesystem(&partial).map_err(&fail)?) {
            for (_, blob) in &staged {
                blob.sync().map_err(&fail)?;
            }
        }
        let mut folders = BTreeSet::new();
        for (path, mut blob) in staged {
            let fail = MirrorError::at(&path);
            let folder = path.parent().map(Path::to_owned).unwrap_or_default();
            if folders.insert(folder.clone()) {
                self.make(&folder)?;
            }
            if !blob.rename_to(&path).map_err(&fail)? {
                files::remove(&path).map_err(&fail)?;
                if !blob.rename_to(&path).map_err(&fail)? {
                    return Err(fail(io::ErrorKind::AlreadyExists.into()));
                }
            }
        }
        if !(shared && files::sync_filesystem(&partial).map_err(&fail)?) {
            for folder in folders {
                files::sync_dir(&folder).map_err(&fail)?;
            }
        }
        Ok(())
    }

    /// Removes a file; how many bytes it had.
    pub(super) fn remove(&self, path: &str) -> Result<u64, MirrorError> {
        let path = self.inside(path)?;
        let size = path.symlink_metadata().map_or(0, |found| found.len());
        files::remove(&path).map_err(MirrorError::at(&path))?;
        // Folders that it leaves empty go as well.
        let above = path.ancestors().skip(1).take_while(|folder| *folder != self.folder);
        for folder in above {
            if std::fs::remove_dir(folder).is_err() {
                break;
            }
            self.stood.lock().unwrap_or_else(PoisonError::into_inner).remove(folder);
        }
        Ok(size)
    }

    /// Where a file is, once no folder on the way to it is a link.
    pub(super) fn inside(&self, path: &str) -> Result<PathBuf, MirrorError> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        Ok(self.inside_folder(folder)?.join(name))
    }

    fn inside_folder(&self, path: &str) -> Result<PathBuf, MirrorError> {
        let whole = if path.is_empty() { self.folder.clone() } else { self.folder.join(path) };
        if self.stood.lock().unwrap_or_else(PoisonError::into_inner).contains(&whole) {
            return Ok(whole);
        }
        let mut at = self.folder.clone();
        let mut stands = true;
        for part in path.split('/').filter(|part| !part.is_empty()) {
            if part == ".." || part == "." {
                return Err(MirrorError::Link { path: at.join(part) });
            }
            at.push(part);
            match at.symlink_metadata() {
                Ok(found) if !found.is_dir() => return Err(MirrorError::Link { path: at }),
                Ok(_) => {}
                Err(_) => stands = false,
            }
        }
        if stands {
            self.stood.lock().unwrap_or_else(PoisonError::into_inner).insert(at.clone());
        }
        Ok(at)
    }

    fn make(&self, folder: &Path) -> Result<(), MirrorError> {
        // The folder itself may be reached through a link; below it nothing is.
        if folder != self.folder && folder.symlink_metadata().is_ok_and(|found| !found.is_dir()) {
            return Err(MirrorError::Link { path: folder.to_owned() });
        }
        std::fs::create_dir_all(folder).map_err(MirrorError::at(folder))
    }

    /// Staged files of runs that were killed; partial downloads stay, for this run goes on with them.
    fn clear_scratch(&self) {
        for (name, kind) in files::list(&self.partial()).unwrap_or_default() {
            if kind == Kind::File && name.to_str().is_some_and(|name| name.starts_with("scratch-")) {
                // What stays is in nobody's way.
                let _ = files::remove(&self.partial().join(name));
            }
        }
    }
}

/// From so many blobs on, one barrier for the whole file system is cheaper than one for each.
const SHARED_BARRIER: usize = 8;

/// What the mark of a folder says; none: it has none.
fn mark_of(folder: &Path) -> Result<Option<(RegistryId, Sha256)>, MirrorError> {
    if !folder.is_dir() {
        return Ok(None);
    }
    let own = folder.join(OWN);
    if own.symlink_metadata().is_ok_and(|found| !found.is_dir()) {
        return Err(MirrorError::Link { path: own });
    }
    let path = folder.join(MARK);
    let Some(bytes) = files::read_capped(&path, 4096).map_err(MirrorError::at(&path))? else { return Ok(None) };
    let parse = || {
        let text = std::str::from_utf8(&bytes).ok()?.strip_suffix('\n')?;
        let mut words = text.split(' ');
        let (Some(FORMAT), Some(id), Some(root), None) = (words.next(), words.next(), words.next(), words.next())
        else {
            return None;
        };
        Some((RegistryId::parse(id).ok()?, Sha256::parse(root).ok()?))
    };
    parse().map(Some).ok_or(MirrorError::Note { path })
}

#[cfg(test)]
mod tests {
    use crate::mirror::Destination;
    use crate::model::{RegistryId, Sha256};

    #[test]
    fn blobs_lie_below_the_first_base_that_is_relative_and_never_among_the_notes() {
        let folder = tempfile::tempdir().expect("a folder");
        let id = RegistryId::parse("acme").expect("an id");
        let mut destination = Destination::at(folder.path(), &id, Sha256::of(b"root")).expect("empty");
        let digest = Sha256::of(b"x");
        for (bases, expected) in [
            (&["."][..], "blobs/"),
            (&[], "blobs/"),
            (&["https://cdn.example/", "data/"], "data/blobs/"),
            (&["a/b", "."], "a/b/blobs/"),
            (&[".mpm-mirror", ".mpm-mirror/placing", "./.mpm-mirror"], "blobs/"),
            (&[".mpm-mirror/x", "y"], "y/blobs/"),
        ] {
            let bases: Vec<String> = bases.iter().map(|base| (*base).to_owned()).collect();
            destination.set_base(&bases);
            assert!(destination.blob(&digest).starts_with(expected), "{bases:?}: {}", destination.blob(&digest));
        }
    }
}
