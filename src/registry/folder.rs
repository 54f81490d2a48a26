//! A registry's folder: reads and writes by path, through no symlink.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::keys::{SecretKey, signature_path};
use crate::model::{PublicKey, Sha256, Signature};
use crate::progress::Progress;
use crate::registry::RegistryError;
use crate::sys::{Lease, files};
use crate::trust::TrustError;

/// Largest signature file that is read, in bytes.
const MAX_SIGNATURE: u64 = 8 * 1024;

/// A folder that holds a registry, or will.
#[derive(Debug, Clone)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// The folder at a path; it need not exist yet.
    pub fn at(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A file of at most `cap` bytes, if it is there.
    ///
    /// # Errors
    /// `E0821`: it is larger, no regular file, behind a symlink, or can't be read.
    pub fn read(&self, file: &str, cap: u64) -> Result<Option<Vec<u8>>, RegistryError> {
        let path = self.inside(file)?;
        files::read_capped(&path, cap).map_err(|source| RegistryError::File { path, source })
    }

    /// A file that a hash pins.
    ///
    /// # Errors
    /// `E0825`, `E0826`: it is missing, or has other bytes. `E0821`.
    pub fn read_pinned(&self, file: &str, cap: u64, expected: &Sha256) -> Result<Vec<u8>, RegistryError> {
        let missing = || RegistryError::Missing { file: file.to_owned() };
        let bytes = self.read(file, cap)?.ok_or_else(missing)?;
        let found = Sha256::of(&bytes);
        if found == *expected {
            Ok(bytes)
        } else {
            Err(RegistryError::Changed { file: file.to_owned(), expected: *expected, found })
        }
    }

    /// Writes a file that may change.
    ///
    /// # Errors
    /// `E0821`.
    pub fn write(&self, file: &str, bytes: &[u8]) -> Result<(), RegistryError> {
        let path = self.inside(file)?;
        files::write_atomic(&path, bytes).map_err(|source| RegistryError::File { path, source })
    }

    /// Writes a file that never changes; nothing if it stands already. Says whether it was written.
    ///
    /// # Errors
    /// `E0824`: it stands with other bytes. `E0821`.
    pub fn write_once(&self, file: &str, bytes: &[u8]) -> Result<bool, RegistryError> {
        match self.read(file, bytes.len() as u64)? {
            None => self.write(file, bytes).map(|()| true),
            Some(standing) if standing == bytes => Ok(false),
            Some(standing) => Err(RegistryError::Immutable {
                file: file.to_owned(),
                expected: Sha256::of(bytes),
                found: Sha256::of(&standing),
            }),
        }
    }

    /// Names of the regular files in a folder, sorted.
    ///
    /// # Errors
    /// `E0821`.
    pub fn names(&self, folder: &str) -> Result<Vec<String>, RegistryError> {
        let path = self.inside(folder)?;
        let listed = files::list(&path).map_err(|source| RegistryError::File { path, source })?;
        Ok(listed
            .into_iter()
            .filter(|(_, kind)| *kind == files::Kind::File)
            .filter_map(|(name, _)| name.into_string().ok())
            .collect())
    }

    /// The well-formed signatures of a file by some keys: their names follow from the keys, others are not looked at.
    ///
    /// # Errors
    /// `E0821`.
    pub fn signatures<'k>(
        &self,
        file: &str,
        keys: impl IntoIterator<Item = &'k PublicKey>,
    ) -> Result<Vec<Signature>, RegistryError> {
        let mut found = Vec::new();
        for key in keys {
            let bytes = match self.read(&signature_path(file, key), MAX_SIGNATURE) {
                Err(RegistryError::File { source, .. }) if source.kind() == io::ErrorKind::FileTooLarge => None,
                other => other?,
            };
            // A malformed signature counts as none: the threshold decides.
            found.extend(bytes.and_then(|bytes| Signature::parse(&bytes).ok()));
        }
        Ok(found)
    }

    /// Signs bytes that are, or are about to be, a file. A signature that stands and holds is left alone: minisign's are
    /// not the same twice.
    ///
    /// # Errors
    /// `E0806`, `E0821`.
    pub fn sign(&self, file: &str, bytes: &[u8], keys: &[&SecretKey]) -> Result<(), RegistryError> {
        for key in keys {
            let public = std::slice::from_ref(key.public());
            let standing = self.signatures(file, public)?;
            if crate::trust::count_signers(public, 1, bytes, &standing).is_none() {
                let text = key.sign(bytes, &format!("file:{file}"))?;
                self.write(&signature_path(file, key.public()), text.as_bytes())?;
            }
        }
        Ok(())
    }

    /// Writes a signed file: signatures first, then the file, once `check` accepts both.
    ///
    /// # Errors
    /// `E0827`: `check` refuses. `E0806`, `E0821`.
    pub(crate) fn write_signed(
        &self,
        file: &str,
        bytes: &[u8],
        keys: &[&SecretKey],
        check: impl FnOnce(&[Signature]) -> Result<(), TrustError>,
    ) -> Result<(), RegistryError> {
        let mut texts = Vec::new();
        let mut signatures = Vec::new();
        for key in keys {
            let text = key.sign(bytes, &format!("file:{file}"))?;
            signatures.extend(Signature::parse(text.as_bytes()));
            texts.push((signature_path(file, key.public()), text));
        }
        check(&signatures).map_err(|source| RegistryError::Trust { file: file.to_owned(), source })?;
        for (path, text) in texts {
            self.write(&path, text.as_bytes())?;
        }
        self.write(file, bytes)
    }

    /// Takes the lease on writing this index, for as long as the value lives. `progress` is told who is waited for.
    ///
    /// # Errors
    /// `E0171`, `E0172`.
    pub fn lock(&self, progress: &dyn Progress) -> Result<Lease, RegistryError> {
        let waiting = |holder: &str| {
            progress.note("waiting", format!("waiting for {holder}, which writes to {}", self.path.display()));
        };
        Lease::take(&self.path.join(".mpm-lease"), Duration::from_mins(1), &waiting).map_err(RegistryError::Busy)
    }

    /// The path of a file, once no folder on the way to it is a symlink. What is planted in a branch can point anywhere;
    /// the last component is looked at where it is opened.
    pub(crate) fn inside(&self, file: &str) -> Result<PathBuf, RegistryError> {
        let mut path = self.path.clone();
        let mut parts = file.split('/').peekable();
        while let Some(part) = parts.next() {
            path.push(part);
            if parts.peek().is_some() && path.symlink_metadata().is_ok_and(|found| !found.is_dir()) {
                let source = io::Error::new(io::ErrorKind::NotADirectory, "a folder was expected, and no symlink");
                return Err(RegistryError::File { path, source });
            }
        }
        Ok(path)
    }
}
