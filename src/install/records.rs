//! The files in `.mpm/`: receipt, file tables, and what an interrupted run was about to place.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};

use crate::install::error::InstallError;
use crate::install::receipt::{PlacedFile, PlacedFiles, PlacedPackage, Receipt};
use crate::install::wire::{self, Unreadable};
use crate::model::{Pin, RelPath, Sha256, Sha256Hasher};
use crate::sys::{self, files};

/// `.mpm/` of a project.
#[derive(Debug)]
pub(super) struct Records {
    folder: PathBuf,
}

fn disk(doing: &'static str, path: &Path) -> impl Fn(io::Error) -> InstallError {
    move |source| InstallError::Disk { doing, path: path.to_owned(), source }
}

impl Records {
    pub(super) fn of(project: &Path) -> Self {
        Self { folder: project.join(".mpm") }
    }

    fn receipt_path(&self) -> PathBuf {
        self.folder.join("receipt.json")
    }

    fn pending_path(&self) -> PathBuf {
        self.folder.join("pending.jsonl")
    }

    fn tables(&self) -> PathBuf {
        self.folder.join("files")
    }

    fn table_path(&self, digest: &Sha256) -> PathBuf {
        self.tables().join(format!("{}.jsonl", digest.hex()))
    }

    /// Makes the folder, hidden from git.
    pub(super) fn prepare(&self) -> Result<(), InstallError> {
        if !self.stands()? {
            std::fs::create_dir(&self.folder).map_err(disk("make", &self.folder))?;
        }
        let ignore = self.folder.join(".gitignore");
        if std::fs::symlink_metadata(&ignore).is_err() {
            sys::files::write_atomic(&ignore, b"*\n").map_err(disk("write", &ignore))?;
        }
        Ok(())
    }

    /// Whether the folder is there. What stands in its place, or in that of the tables, must be a folder: through a link, files
    /// of somebody else would be written and removed as if they were records.
    fn stands(&self) -> Result<bool, InstallError> {
        let real = |folder: &Path| match std::fs::symlink_metadata(folder) {
            Ok(found) if found.is_dir() => Ok(true),
            Ok(found) => {
                let what = if found.is_symlink() { "it is a symbolic link, not a folder" } else { "not a folder" };
                let source = io::Error::new(io::ErrorKind::NotADirectory, what);
                Err(InstallError::Disk { doing: "use", path: folder.to_owned(), source })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(source) => Err(InstallError::Disk { doing: "look at", path: folder.to_owned(), source }),
        };
        let there = real(&self.folder)?;
        if there {
            real(&self.tables())?;
        }
        Ok(there)
    }

    pub(super) fn receipt(&self) -> Result<Option<Receipt>, InstallError> {
        let path = self.receipt_path();
        let Some(bytes) = sys::files::read_capped(&path, wire::MAX_RECEIPT).map_err(disk("read", &path))? else {
            return Ok(None);
        };
        match wire::parse_receipt(&bytes) {
            Ok(receipt) => Ok(Some(receipt)),
            Err(Unreadable::Newer(found)) => Err(InstallError::Newer { path, found }),
            Err(Unreadable::Damaged(reason)) => Err(InstallError::Damaged { path, reason }),
        }
    }

    /// Writes the receipt, then drops the tables that it does not name.
    pub(super) fn write_receipt(&self, receipt: &Receipt) -> Result<(), InstallError> {
        let path = self.receipt_path();
        self.stands()?;
        sys::fault::point("receipt-write").map_err(disk("write", &path))?;
        sys::files::write_atomic(&path, &wire::render_receipt(receipt)).map_err(disk("write", &path))?;
        let named: BTreeSet<PathBuf> = receipt
            .packages
            .iter()
            .filter_map(|package| match &package.files {
                PlacedFiles::Table { digest, .. } => Some(self.table_path(digest)),
                PlacedFiles::Inline(_) => None,
            })
            .collect();
        let Ok(entries) = std::fs::read_dir(self.tables()) else { return Ok(()) };
        for entry in entries.flatten().filter(|entry| !named.contains(&entry.path())) {
            // A table that stays behind costs space and nothing else.
            let _ = std::fs::remove_file(entry.path());
        }
        Ok(())
    }

    /// Hands each placed file of a package to `take`, in order; tables are streamed.
    pub(super) fn each_file(
        &self,
        package: &PlacedPackage,
        take: &mut dyn FnMut(PlacedFile) -> Result<(), InstallError>,
    ) -> Result<(), InstallError> {
        let digest = match &package.files {
            PlacedFiles::Inline(files) => return files.iter().cloned().try_for_each(take),
            PlacedFiles::Table { digest, .. } => digest,
        };
        let path = self.table_path(digest);
        let damaged = |reason: &str| InstallError::Damaged { path: path.clone(), reason: reason.to_owned() };
        let Some(file) = sys::files::open_regular(&path).map_err(disk("read", &path))? else {
            return Err(damaged("it is missing"));
        };
        let mut hasher = Sha256Hasher::new();
        let mut lines = Lines::new(file);
        while let Some(line) = lines.next(&path)? {
            hasher.update(line);
            let file = wire::parse_file(line).map_err(|reason| damaged(&reason))?;
            take(file)?;
        }
        if hasher.finish() == *digest { Ok(()) } else { Err(damaged("its digest is not its name")) }
    }

    /// Writes the table of a large package; returns its name.
    pub(super) fn write_table(&self, files: &[PlacedFile]) -> Result<Sha256, InstallError> {
        let folder = self.tables();
        self.stands()?;
        std::fs::create_dir_all(&folder).map_err(disk("make", &folder))?;
        let fail = disk("write", &folder);
        let mut hasher = Sha256Hasher::new();
        let mut out = io::BufWriter::new(files::unfinished(&folder, 0o600).map_err(&fail)?);
        for file in files {
            let line = wire::render_file(file);
            hasher.update(&line);
            out.write_all(&line).map_err(&fail)?;
        }
        let digest = hasher.finish();
        let file = out.into_inner().map_err(|error| fail(error.into_error()))?;
        file.as_file().sync_all().map_err(&fail)?;
        file.persist(self.table_path(&digest)).map_err(|error| fail(error.error))?;
        Ok(digest)
    }

    /// Whether something of an interrupted run is written down.
    pub(super) fn has_pending(&self) -> Result<bool, InstallError> {
        let path = self.pending_path();
        match path.symlink_metadata() {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(disk("look at", &path)(error)),
        }
    }

    /// What an interrupted run was about to place.
    pub(super) fn pending(&self) -> Result<Vec<(RelPath, Pin)>, InstallError> {
        let path = self.pending_path();
        let Some(file) = sys::files::open_regular(&path).map_err(disk("read", &path))? else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        let mut lines = Lines::new(file);
        while let Some(line) = lines.next(&path)? {
            let entry =
                wire::parse_pending(line).map_err(|reason| InstallError::Damaged { path: path.clone(), reason })?;
            found.push(entry);
        }
        Ok(found)
    }

    /// Says what is about to be placed, durably, before anything is.
    pub(super) fn write_pending<'a>(
        &self,
        entries: impl Iterator<Item = (&'a RelPath, &'a Pin)>,
    ) -> Result<(), InstallError> {
        let path = self.pending_path();
        let fail = disk("write", &path);
        let mut out = io::BufWriter::new(files::unfinished(&self.folder, 0o600).map_err(&fail)?);
        for (placed, pin) in entries {
            out.write_all(&wire::render_pending(placed, pin)).map_err(&fail)?;
        }
        let file = out.into_inner().map_err(|error| fail(error.into_error()))?;
        file.as_file().sync_all().map_err(&fail)?;
        file.persist(&path).map_err(|error| fail(error.error))?;
        Ok(())
    }

    pub(super) fn clear_pending(&self) -> Result<(), InstallError> {
        let path = self.pending_path();
        sys::fault::point("pending-clear").map_err(disk("remove", &path))?;
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(disk("remove", &path)(error)),
            _ => Ok(()),
        }
    }
}

/// Lines of a file, each with its LF and no longer than the cap.
struct Lines {
    reader: BufReader<File>,
    line: Vec<u8>,
}

impl Lines {
    fn new(file: File) -> Self {
        Self { reader: BufReader::with_capacity(64 << 10, file), line: Vec::new() }
    }

    fn next(&mut self, path: &Path) -> Result<Option<&[u8]>, InstallError> {
        self.line.clear();
        let mut capped = (&mut self.reader).take(wire::MAX_LINE);
        match capped.read_until(b'\n', &mut self.line) {
            Ok(0) => Ok(None),
            Ok(_) if self.line.ends_with(b"\n") => Ok(Some(&self.line)),
            Ok(_) => Err(InstallError::Damaged {
                path: path.to_owned(),
                reason: "a line is cut off or longer than 8 KiB".to_owned(),
            }),
            Err(error) => Err(disk("read", path)(error)),
        }
    }
}
