//! A project on disk: Model.toml, Model.lock and the lease that guards both.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::lock::{Found, Lock, LockedSource, SourceFile, SourceFiles};
use crate::manifest::Manifest;
use crate::model::{Pin, Sha256};
use crate::ops::{PipelineError, ProjectError, Services};
use crate::select::Choice;
use crate::sys::{Lease, files};

/// Largest Model.toml or Model.lock that is read, in bytes.
const MAX_TEXT: u64 = 64 << 20;
/// Largest table of `Model.lock.d/`, in bytes.
const MAX_TABLE: u64 = 512 << 20;

/// An opened project.
pub(super) struct Project {
    /// Its folder, absolute.
    pub(super) folder: PathBuf,
    /// Model.toml as it stands.
    pub(super) manifest_text: String,
    /// Model.toml, parsed.
    pub(super) manifest: Manifest,
    /// Model.lock as it stands.
    pub(super) lock_text: Option<String>,
}

/// Removes file tables that the lock, which was just written, does not name.
pub(super) fn forget_tables(folder: &Path, lock: &Lock) {
    let tables = folder.join("Model.lock.d");
    let named: BTreeSet<Sha256> = lock
        .sources
        .values()
        .filter_map(|source| match &source.files {
            SourceFiles::Table(pin) => Some(pin.sha256),
            SourceFiles::Inline(_) => None,
        })
        .collect();
    for (name, _) in files::list(&tables).unwrap_or_default() {
        let digest = name.to_str().and_then(|name| Sha256::parse(name.strip_suffix(".json")?).ok());
        if digest.is_some_and(|digest| !named.contains(&digest)) {
            // One that stays is no part of the lock.
            let _ = files::remove(&tables.join(name));
        }
    }
    let _ = std::fs::remove_dir(&tables);
}

/// The folder with Model.toml: `start` or the nearest above.
pub(super) fn find(start: &Path) -> Result<PathBuf, ProjectError> {
    start
        .ancestors()
        .find(|folder| folder.join("Model.toml").is_file())
        .map(Path::to_path_buf)
        .ok_or_else(|| ProjectError::NoManifest { start: start.to_path_buf() })
}

impl Project {
    /// Opens the project at `start` or above.
    pub(super) fn open(start: &Path) -> Result<Self, PipelineError> {
        let folder = find(start)?;
        let path = folder.join("Model.toml");
        let manifest_text = read_text(&path)?.ok_or(ProjectError::NoManifest { start: start.to_path_buf() })?;
        let manifest = Manifest::parse(&manifest_text)?;
        let lock_text = read_text(&folder.join("Model.lock"))?;
        Ok(Self { folder, manifest_text, manifest, lock_text })
    }

    /// Takes the project's lease, so that no other process changes it meanwhile.
    pub(super) fn lease(&self, services: &Services, wait: Duration) -> Result<Lease, PipelineError> {
        let state = self.folder.join(".mpm");
        for folder in [&state, &state.join("files"), &self.folder.join("Model.lock.d")] {
            refuse_link(folder)?;
        }
        create_state_folder(&state)?;
        let progress = &*services.progress;
        let lease = Lease::take(&state.join("lease"), wait, &|holder| {
            progress.note("waiting", format!("waiting for {holder}, which works in this project"));
        })?;
        for folder in [&self.folder, &state, &state.join("files"), &self.folder.join("Model.lock.d")] {
            files::clear_unfinished(folder);
        }
        Lease::clear_unfinished(&state);
        Ok(lease)
    }

    /// The lock as it was found; `None`: there is none.
    pub(super) fn lock(&self) -> Result<Option<Found>, PipelineError> {
        Ok(self.lock_text.as_deref().map(Lock::parse).transpose()?)
    }

    /// The lock where one is needed and conflicts can't be healed.
    pub(super) fn whole_lock(&self) -> Result<Lock, PipelineError> {
        match self.lock()? {
            Some(Found::Whole(lock)) => Ok(lock),
            Some(Found::Conflict { .. }) => {
                Err(PipelineError::Stale { reasons: vec!["Model.lock holds merge-conflict markers".to_owned()] })
            }
            None => Err(PipelineError::Stale { reasons: vec!["there is no Model.lock".to_owned()] }),
        }
    }

    /// The table of a source that lies in `Model.lock.d/`.
    pub(super) fn source_table(&self, pin: &Pin) -> Result<Vec<SourceFile>, PipelineError> {
        source_table(&self.folder, pin)
    }
}

pub(super) fn source_table(folder: &Path, pin: &Pin) -> Result<Vec<SourceFile>, PipelineError> {
    let path = folder.join("Model.lock.d").join(format!("{}.json", pin.sha256));
    let bytes = files::read_capped(&path, MAX_TABLE)
        .and_then(|found| found.ok_or_else(|| std::io::ErrorKind::NotFound.into()))
        .map_err(|source| ProjectError::Read { path, source })?;
    Ok(LockedSource::parse_table(&bytes, pin)?)
}

/// The files of a locked source, as far as they can be told: none where the table is lost.
pub(super) fn locked_files(folder: &Path, locked: &LockedSource) -> Vec<SourceFile> {
    match &locked.files {
        SourceFiles::Inline(files) => files.clone(),
        SourceFiles::Table(pin) => source_table(folder, pin).unwrap_or_default(),
    }
}

/// Writes a file of the project.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), ProjectError> {
    files::write_atomic(path, bytes).map_err(|source| ProjectError::Write { path: path.to_path_buf(), source })
}

/// Refuses a symbolic link where a folder of our own must be: files are written there, and what nobody names is removed.
pub(super) fn refuse_link(folder: &Path) -> Result<(), ProjectError> {
    if folder.symlink_metadata().is_ok_and(|meta| meta.is_symlink()) {
        let source = std::io::Error::other("it is a symbolic link, and files are never placed through one");
        return Err(ProjectError::Write { path: folder.to_path_buf(), source });
    }
    Ok(())
}

/// Makes `.mpm/` with a `.gitignore` that keeps it out of commits.
pub(super) fn create_state_folder(state: &Path) -> Result<(), ProjectError> {
    let fail = |source| ProjectError::Write { path: state.to_path_buf(), source };
    refuse_link(state)?;
    std::fs::create_dir_all(state).map_err(fail)?;
    let ignore = state.join(".gitignore");
    // Who holds the lease tidies unfinished files away, this one of another process among them: then it is written again.
    for last in [false, true] {
        match if ignore.exists() { Ok(()) } else { write(&ignore, b"*\n") } {
            Err(ProjectError::Write { source, .. }) if source.kind() == std::io::ErrorKind::NotFound && !last => {}
            done => return done,
        }
    }
    Ok(())
}

pub(super) fn read_text(path: &Path) -> Result<Option<String>, ProjectError> {
    let found =
        files::read_capped(path, MAX_TEXT).map_err(|source| ProjectError::Read { path: path.to_path_buf(), source })?;
    found
        .map(|bytes| String::from_utf8(bytes).map_err(|_| ProjectError::NotText { path: path.to_path_buf() }))
        .transpose()
}

/// What a receipt answers: the digest over manifest, lock and choice.
pub(super) fn inputs(manifest: &str, lock: &str, rest: &str) -> Sha256 {
    let mut bytes = Vec::with_capacity(manifest.len() + lock.len() + rest.len() + 48);
    for part in [manifest, lock, rest] {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part.as_bytes());
    }
    Sha256::of(&bytes)
}

/// What of manifest, lock and choice decides which files are placed, as a digest: comments, lines, floors and what the
/// project publishes change none of it. Another version of this tool may see more in the same files, and then says so.
pub(super) fn meaning(manifest: &Manifest, lock: &Lock, choice: &Choice) -> Sha256 {
    let mut dependencies = manifest.dependencies.clone();
    for dependency in &mut dependencies {
        dependency.line = 0;
    }
    let mut policy = manifest.policy.clone();
    // It decides what is picked, not what is placed.
    policy.minimum_age = None;
    for allowance in policy.unsafe_releases.values_mut() {
        allowance.line = 0;
    }
    let declared = format!("{dependencies:?} {:?} {:?} {policy:?}", manifest.profiles, manifest.install);
    inputs(&declared, &format!("{:?} {:?} {:?}", lock.direct, lock.packages, lock.sources), &format!("{choice:?}"))
}
