//! What is served, as the server sees it: registries, packages, statements that were checked, blobs that can be opened.

use std::collections::BTreeSet;
use std::fs::File;
use std::sync::Arc;

use crate::diagnose::Diagnose;
use crate::model::{
    HubCommit, HubId, HubRepository, Namespace, PackageKind, PackageName, Pin, RegistryId, RelPath, Sha256, Timestamp,
    Version,
};
use crate::serve::IndexPath;
use crate::statement::{PackPlace, ReleaseFiles, Statement};
use crate::sys::Extents;

/// Why a shelf can't answer.
pub type Trouble = Box<dyn Diagnose>;

/// What a server serves from. Every call may block: the server makes them on threads that may.
pub trait Shelf: Send + Sync {
    /// The registries that are served; the first is the one at the root of the server.
    fn registries(&self) -> Vec<RegistryId>;

    /// A file of an index as it is stored. Nothing is promised of its bytes: readers of an index check them.
    ///
    /// # Errors
    /// The place can't be read.
    fn index_file(&self, registry: &RegistryId, path: &IndexPath) -> Result<Option<Vec<u8>>, Trouble>;

    /// The same as an open file, where it lies in one: large ones need not be held in memory then.
    ///
    /// # Errors
    /// The place can't be read.
    fn index_open(&self, _registry: &RegistryId, _path: &IndexPath) -> Result<Option<File>, Trouble> {
        Ok(None)
    }

    /// The packages of a registry that are here, checked from its root.
    ///
    /// # Errors
    /// The registry does not count, or can't be read.
    fn packages(&self, registry: &RegistryId) -> Result<Vec<PackageName>, Trouble>;

    /// A package with its releases, checked; none: it is not here.
    ///
    /// # Errors
    /// As above.
    fn package(&self, registry: &RegistryId, name: &PackageName) -> Result<Option<Arc<Package>>, Trouble>;

    /// A release with its statement and files, checked; none: it is not here.
    ///
    /// # Errors
    /// As above; a statement or a file list that does not count.
    fn release(
        &self,
        registry: &RegistryId,
        name: &PackageName,
        version: &Version,
    ) -> Result<Option<Arc<Release>>, Trouble>;

    /// Commits of hub repositories whose files locks pin and that are here.
    fn sources(&self) -> Vec<HubSource> {
        Vec::new()
    }

    /// Whether one of those files has this digest.
    fn is_of_a_source(&self, digest: &Sha256) -> bool {
        self.sources().iter().any(|source| source.names(digest))
    }

    /// The releases whose publishers say that they stand on the hub in this repository. What was not read yet is not known.
    ///
    /// # Errors
    /// The statements can't be read.
    fn upstreams(
        &self,
        _kind: PackageKind,
        _repository: &HubRepository,
    ) -> Result<Vec<(RegistryId, PackageName, Version)>, Trouble> {
        Ok(Vec::new())
    }

    /// The open file that holds a blob; none: it is not here. Its bytes need not have been looked at.
    ///
    /// # Errors
    /// The place can't be read.
    fn open(&self, wanted: &Wanted) -> Result<Option<OpenBlob>, Trouble>;

    /// The namespaces whose statements name a blob, a statement or a yank record: whoever may read one of them may read it.
    ///
    /// # Errors
    /// The statements can't be read.
    fn owners(&self, digest: &Sha256) -> Result<BTreeSet<(RegistryId, Namespace)>, Trouble>;

    /// Whether what a registry holds came with a credential: it goes only to tokens that may read it.
    fn is_guarded(&self, _registry: &RegistryId) -> bool {
        false
    }

    /// The chunk index that a statement names for a blob.
    ///
    /// # Errors
    /// The statements can't be read.
    fn chunks(&self, digest: &Sha256) -> Result<Option<Pin>, Trouble>;

    /// The blobs that are here, one after the other, until the visitor says that it is enough.
    ///
    /// # Errors
    /// The place can't be read.
    fn each(&self, visit: &mut dyn FnMut(Sha256) -> bool) -> Result<(), Trouble>;

    /// Takes out a blob whose bytes are wrong: whether it is gone from its place.
    fn take_out(&self, blob: &OpenBlob) -> bool;
}

/// A package as a registry lists it.
#[derive(Debug, Clone)]
pub struct Package {
    /// Its registry.
    pub registry: RegistryId,
    /// Its name, as published.
    pub name: PackageName,
    /// Its releases, oldest version first.
    pub releases: Vec<Listed>,
}

/// One release in a package's log.
#[derive(Debug, Clone)]
pub struct Listed {
    /// The version.
    pub version: Version,
    /// The statement's bytes.
    pub statement: Pin,
    /// Model or dataset.
    pub kind: PackageKind,
    /// Bytes of all files.
    pub size: u64,
    /// When the index admitted it.
    pub admitted: Timestamp,
    /// Why it was yanked, if it was.
    pub yanked: Option<String>,
    /// Why this server does not hand it out, if it does not: revoked, or refused by policy.
    pub refused: Option<String>,
}

/// A release, checked.
#[derive(Debug, Clone)]
pub struct Release {
    /// What the publisher signed.
    pub statement: Statement,
    /// The digest and size of that.
    pub pin: Pin,
    /// Its files, every list read.
    pub files: ReleaseFiles,
    /// As the log lists it.
    pub listed: Listed,
}

/// A commit of a repository of the Hugging Face hub, as a lock pins it.
#[derive(Debug, Clone)]
pub struct HubSource {
    /// The repository.
    pub id: HubId,
    /// The commit.
    pub commit: HubCommit,
    /// Its files.
    pub files: Vec<(RelPath, Pin)>,
}

impl HubSource {
    /// Whether one of its files has this digest.
    pub fn names(&self, digest: &Sha256) -> bool {
        self.files.iter().any(|(_, pin)| pin.sha256 == *digest)
    }
}

/// A blob that is asked for, as the one who asks knows it.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Its digest.
    pub sha256: Sha256,
    /// Its bytes, where that is known.
    pub size: Option<u64>,
    /// Where it stands in a pack, for a file that is no blob of its own.
    pub pack: Option<PackPlace>,
    /// Its chunk index, where a statement names one.
    pub chunks: Option<Pin>,
    /// The `ETag` in place of the digest, without quotes, for protocols that have one of their own.
    pub etag: Option<String>,
}

impl Wanted {
    /// A blob of which only the name is known.
    pub fn named(sha256: Sha256) -> Self {
        Self { sha256, size: None, pack: None, chunks: None, etag: None }
    }

    /// A pinned blob.
    pub fn pinned(pin: &Pin) -> Self {
        Self { size: Some(pin.size), ..Self::named(pin.sha256) }
    }

    /// A file of a release.
    pub fn file(file: &crate::statement::FileEntry) -> Self {
        Self { pack: file.pack, chunks: file.chunks, ..Self::pinned(&file.pin) }
    }
}

/// A blob in an open file, or in several that it goes on through.
#[derive(Debug, Clone)]
pub struct OpenBlob {
    /// Where its bytes lie.
    pub bytes: Extents,
    /// Its digest and size.
    pub pin: Pin,
}
