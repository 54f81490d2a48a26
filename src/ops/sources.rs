//! Folders that are sources: hashed when locked, copied into the store when placed.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::lock::{LockedSource, MAX_INLINE_FILES, SourceFile, SourceFiles, SourceId};
use crate::manifest::{Dependency, DependencySource, Manifest};
use crate::model::{PackageKind, PathSet, Pin, RelPath, Sha256Hasher};
use crate::ops::PipelineError;
use crate::sys::Cancel;

/// Most files of a folder that is a source.
const MAX_FILES: usize = 1_000_000;
/// Bytes read at a time.
const BUFFER: usize = 1 << 20;

/// A folder as it is now.
pub(super) struct Hashed {
    /// What the lock will hold.
    pub(super) locked: LockedSource,
    /// The table's bytes for `Model.lock.d/`, where it does not fit into the lock.
    pub(super) table: Option<Vec<u8>>,
}

/// The `path` dependencies of a manifest: id, folder, kind.
pub(super) fn of(manifest: &Manifest, project: &Path) -> Vec<(SourceId, PathBuf, PackageKind)> {
    let folder = |dependency: &Dependency| match &dependency.source {
        DependencySource::Path(path) => Some((SourceId::path(path), project.join(path), dependency.kind)),
        DependencySource::Registry { .. } | DependencySource::Hub(_) => None,
    };
    manifest.dependencies.iter().filter_map(folder).collect()
}

/// The id of a dependency that is a source.
pub(super) fn id_of(dependency: &Dependency) -> Option<SourceId> {
    match &dependency.source {
        DependencySource::Path(path) => Some(SourceId::path(path)),
        DependencySource::Hub(id) => Some(SourceId::of_hub(id.clone())),
        DependencySource::Registry { .. } => None,
    }
}

/// The ids of all sources of a manifest.
pub(super) fn ids(manifest: &Manifest) -> BTreeSet<SourceId> {
    manifest.dependencies.iter().filter_map(id_of).collect()
}

/// The ids of those that are repositories of the hub.
pub(super) fn hub_ids(manifest: &Manifest) -> BTreeSet<SourceId> {
    ids(manifest).into_iter().filter(|id| id.hub().is_some()).collect()
}

/// A source as the lock will hold it; files sorted by path.
pub(super) fn locked(kind: PackageKind, revision: Option<String>, files: Vec<SourceFile>) -> Hashed {
    let bytes = LockedSource::table_bytes(&files);
    let pin = Pin::of(&bytes);
    let inline = files.len() <= MAX_INLINE_FILES;
    let locked = LockedSource {
        kind,
        // Of a folder nothing else tells the revision.
        revision: revision.unwrap_or_else(|| pin.sha256.prefixed()),
        size: files.iter().map(|file| file.pin.size).fold(0, u64::saturating_add),
        files: if inline { SourceFiles::Inline(files) } else { SourceFiles::Table(pin) },
    };
    Hashed { locked, table: (!inline).then_some(bytes) }
}

/// Hashes every file of a folder, in path order.
pub(super) fn hash(folder: &Path, kind: PackageKind, cancel: &Cancel) -> Result<Hashed, PipelineError> {
    let mut paths = Vec::new();
    walk(folder, &mut paths)?;
    paths.sort();
    let mut set = PathSet::new();
    let mut files = Vec::with_capacity(paths.len());
    for path in paths {
        if cancel.is_cancelled() {
            return Err(PipelineError::Cancelled);
        }
        let text = path.strip_prefix(folder).unwrap_or(&path).to_string_lossy().into_owned();
        let refuse = |problem: crate::model::PathError| broken(folder, problem.to_string());
        let relative = RelPath::parse(&text).map_err(refuse)?;
        set.insert(&relative).map_err(refuse)?;
        let pin = pin_of(&path).map_err(|error| broken(&path, error.to_string()))?;
        files.push(SourceFile { path: relative, pin });
    }
    if files.is_empty() {
        return Err(broken(folder, "it holds no files".to_owned()));
    }
    files.sort();
    Ok(locked(kind, None, files))
}

fn walk(folder: &Path, paths: &mut Vec<PathBuf>) -> Result<(), PipelineError> {
    let fail = |error: std::io::Error| broken(folder, error.to_string());
    for entry in std::fs::read_dir(folder).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let kind = entry.file_type().map_err(fail)?;
        let name = entry.file_name();
        if kind.is_dir() {
            // Version control and our own state are not content.
            if name != ".git" && name != ".mpm" {
                walk(&entry.path(), paths)?;
            }
        } else if kind.is_file() {
            paths.push(entry.path());
        } else {
            return Err(broken(&entry.path(), "neither a file nor a folder; links are not followed".to_owned()));
        }
        if paths.len() > MAX_FILES {
            return Err(broken(folder, format!("it holds more than {MAX_FILES} files")));
        }
    }
    Ok(())
}

fn pin_of(path: &Path) -> std::io::Result<Pin> {
    let mut file = std::fs::File::open(path)?;
    let mut hasher = Sha256Hasher::new();
    let mut buffer = vec![0_u8; BUFFER];
    let mut size = 0_u64;
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok(Pin { sha256: hasher.finish(), size });
        }
        hasher.update(buffer.get(..count).unwrap_or_default());
        size += count as u64;
    }
}

fn broken(path: &Path, problem: String) -> PipelineError {
    PipelineError::SourceFolder { path: path.to_path_buf(), problem }
}

#[cfg(test)]
mod tests {
    use crate::diagnose::{Class, Diagnose as _};
    use crate::model::PackageKind;
    use crate::ops::sources::hash;
    use crate::sys::{Cancel, files};

    #[test]
    fn stopping_ends_the_hashing_of_a_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        files::write_atomic(&folder.path().join("a.txt"), b"x").expect("written");
        let cancel = Cancel::new();
        assert!(hash(folder.path(), PackageKind::Model, &cancel).is_ok());
        cancel.cancel();
        let error = hash(folder.path(), PackageKind::Model, &cancel).map(drop).expect_err("stopped");
        assert_eq!((error.code().0, error.class()), ("E0918", Class::Interrupted));
    }
}
