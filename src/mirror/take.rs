//! Taking a bundle: it is looked through as what a stranger brought, before a byte of it goes anywhere.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use crate::bundle::{Bundle, Damage};
use crate::catalog::Admitted;
use crate::index::{Carrier, Gate, Head, Opening, Registry, World};
use crate::manifest::IndexAddress;
use crate::mirror::look::{Look, Shelf};
use crate::mirror::sync::Amount;
use crate::mirror::{Corrupt, Destination, MirrorError};
use crate::model::{Fingerprint, PackageKind, PackageName, Pin, RegistryId, Sha256, Version};
use crate::progress::{Doing, Event, Progress, Silent, Task};
use crate::statement::{FileEntry, ListPin, MAX_LIST, parse_list};
use crate::sys::{BlobReader as _, Cancel, blob_path, files};
use crate::verify::Mismatch;

/// The task of hashing.
const TASK: Task = Task((1 << 60) + 3);

/// A release that is in a copy: what a person who decides about it asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The package.
    pub name: PackageName,
    /// Its version.
    pub version: Version,
    /// Model or dataset.
    pub kind: PackageKind,
    /// Its statement's bytes.
    pub statement: Pin,
    /// Who signed it.
    pub signers: BTreeSet<Fingerprint>,
    /// The licence, as the publisher states it.
    pub licence: Option<String>,
    /// Formats: what variants say, and how names of files end.
    pub formats: BTreeSet<String>,
    /// Whether a file in it is declared as made to be executed.
    pub code: bool,
    /// Number of files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Whether it is yanked.
    pub yanked: bool,
    /// Whether every blob that is expected is there.
    pub whole: bool,
    /// When its registry admitted it.
    pub admitted: Admitted,
}

/// How a bundle is looked through.
pub struct Inspection<'a> {
    /// The copy that it is to come into: what that has need not be in the bundle.
    pub besides: Option<&'a Destination>,
    /// What a store lends: where a blob lies in it.
    pub lent: &'a dyn Fn(&Pin) -> Option<PathBuf>,
    /// Whether every entry is hashed.
    pub hash: bool,
    /// Stops between pieces.
    pub cancel: &'a Cancel,
    /// Takes events.
    pub progress: &'a dyn Progress,
}

/// What is in a bundle.
#[derive(Debug, Clone)]
pub struct Inspected {
    /// What it shows.
    pub head: Head,
    /// Packages whose logs are in it.
    pub packages: u64,
    /// The releases in it, by name and version.
    pub found: Vec<Found>,
    /// Blobs that releases in it need, and that are neither in it nor where it goes.
    pub missing: Amount,
    /// The first of these by name.
    pub missing_first: Vec<String>,
    /// Signed files that do not count.
    pub corrupt: Vec<Corrupt>,
    /// Entries that no signed file leads to.
    pub extra: Vec<String>,
    /// Entries whose bytes are not as the table says, where that was looked at.
    pub damages: Vec<Damage>,
    /// Lines of advisories by package.
    pub advisories: BTreeMap<PackageName, u64>,
    /// Keys and releases that the registrar revoked.
    pub revoked: usize,
}

impl Inspected {
    /// Refuses what is not as a bundle that was made here would be.
    ///
    /// # Errors
    /// `E1011` to `E1013`.
    pub fn admit(&self, bundle: &Bundle) -> Result<(), MirrorError> {
        let path = bundle.path().to_owned();
        if let Some(corrupt) = self.corrupt.first() {
            return Err(MirrorError::Unsound { path, what: corrupt.path.clone(), why: corrupt.why.clone() });
        }
        if let Some(damage) = self.damages.first() {
            let path = damage.file.clone();
            return Err(MirrorError::Unsound { path, what: damage.path.clone(), why: damage.why.clone() });
        }
        if let Some(first) = self.extra.first() {
            return Err(MirrorError::Stowaway { path, extra: self.extra.len(), first: first.clone() });
        }
        let head = &bundle.table().head;
        if self.missing.files > 0 && !head.partial {
            return Err(MirrorError::Lacking {
                path,
                missing: self.missing.files,
                bytes: self.missing.bytes,
                first: self.missing_first.first().cloned().unwrap_or_default(),
                since: head.since.map(|since| since.checkpoint),
            });
        }
        Ok(())
    }

    /// Whether nothing in it is wrong.
    pub fn is_sound(&self) -> bool {
        self.corrupt.is_empty() && self.extra.is_empty() && self.damages.is_empty()
    }
}

/// Opens the registry in a bundle by this machine's memory and this lock's floor: what is lower than those is refused, and what
/// this machine knows never stands in for it. The root is whom the caller trusts, whatever the bundle says.
///
/// # Errors
/// `E1014`: a bundle of another registry. Those of reading an index.
pub fn open_bundle(
    bundle: &Bundle,
    opening: &Opening,
    world: &World<'_>,
    besides: &[IndexAddress],
) -> Result<Registry, MirrorError> {
    of_root(bundle, &opening.id, opening.root)?;
    Ok(Registry::open_carried(opening, world, Arc::new(Carrier::of(bundle.clone())), besides)?)
}

fn of_root(bundle: &Bundle, registry: &RegistryId, root: Sha256) -> Result<(), MirrorError> {
    let head = &bundle.table().head;
    if (&head.registry, head.root) == (registry, root) {
        return Ok(());
    }
    Err(MirrorError::OtherBundle {
        path: bundle.path().to_owned(),
        registry: registry.clone(),
        root,
        found: head.registry.clone(),
        found_root: head.root,
    })
}

/// Looks through a bundle by its own files alone, as a reader who knows nothing but the root.
///
/// # Errors
/// `E1013`, `E1014`; its head does not count: the error of reading it.
pub fn inspect(
    bundle: &Bundle,
    (registry, root): (&RegistryId, Sha256),
    world: &World<'_>,
    how: &Inspection<'_>,
) -> Result<Inspected, MirrorError> {
    of_root(bundle, registry, root)?;
    let opening = Opening {
        id: registry.clone(),
        root,
        root_at: None,
        address: IndexAddress::Folder(bundle.path().to_string_lossy().into_owned()),
        mirrors: Vec::new(),
        floor: None,
        gate: Gate::Locked,
        air_gap: crate::index::AirGap::default(),
    };
    let nowhere = PathBuf::new();
    let world = World { http: world.http, trust: nowhere.clone(), cache: nowhere, now: world.now, progress: &Silent };
    let registry = Registry::examine_from(&opening, &world, Arc::new(Carrier::of(bundle.clone())))?;
    let head = registry.head();
    let table = bundle.table();
    if (head.at, head.sha256) != (table.head.checkpoint, table.head.checkpoint_sha256) {
        let why = format!("it is {} (sha256:{}), and the table names another", head.at, head.sha256);
        let path = bundle.path().to_owned();
        return Err(MirrorError::Unsound { path, what: "checkpoint.json".to_owned(), why });
    }
    // Where blobs lie there follows from the checkpoint, which counts by now.
    let besides = how.besides.map(|besides| Destination::at(besides.folder(), &opening.id, root)).transpose()?;
    let besides = besides.map(|mut besides| {
        besides.set_base(&head.bases);
        besides
    });
    let shelf = Carried { bundle, besides: besides.as_ref(), lent: how.lent };
    let seen = Look::new(&registry, &shelf, &table.head.variants, how.cancel).walk()?;
    let mut extra: Vec<String> =
        table.files.keys().filter(|path| !seen.known.contains(*path) && *path != "checkpoint.json").cloned().collect();
    let nobody = |(digest, blob): &(&Sha256, &crate::bundle::Blob)| {
        !blob.loose && seen.expected.get(*digest) != Some(&blob.size)
    };
    extra.extend(table.blobs.iter().filter(nobody).map(|(digest, _)| blob_path(digest)));
    let damages = if how.hash { damages(bundle, how)? } else { Vec::new() };
    let revoked = registry.revocations();
    let revoked = revoked.keys.len().saturating_add(revoked.releases.len());
    let mut counted = seen.survey;
    counted.found.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
    Ok(Inspected {
        head,
        packages: counted.packages,
        found: counted.found,
        missing: counted.missing,
        missing_first: counted.missing_first,
        corrupt: counted.corrupt,
        extra,
        damages,
        advisories: counted.advisories,
        revoked,
    })
}

fn damages(bundle: &Bundle, how: &Inspection<'_>) -> Result<Vec<Damage>, MirrorError> {
    let what = bundle.path().to_string_lossy().into_owned();
    let bytes = Some(bundle.table().data);
    how.progress.on(&Event::Started { task: TASK, doing: Doing::Hash, what: &what, bytes });
    let advanced = |bytes| how.progress.on(&Event::Advanced { task: TASK, bytes });
    let found = bundle.damages(how.cancel, &advanced);
    how.progress.on(&Event::Finished { task: TASK, ok: found.is_ok() });
    Ok(found?)
}

/// A bundle as a copy, with the one that it comes into.
struct Carried<'a> {
    bundle: &'a Bundle,
    besides: Option<&'a Destination>,
    lent: &'a dyn Fn(&Pin) -> Option<PathBuf>,
}

impl Shelf for Carried<'_> {
    fn has_file(&self, path: &str) -> bool {
        self.bundle.table().files.contains_key(path)
    }

    fn has_blob(&self, pin: &Pin) -> Result<bool, MirrorError> {
        let besides = || self.besides.map_or(Ok(false), |besides| besides.has(pin));
        Ok(self.bundle.table().blob(pin).is_some() || besides()? || (self.lent)(pin).is_some())
    }

    fn path_of(&self, digest: &Sha256) -> String {
        blob_path(digest)
    }

    fn list(&self, list: &ListPin, what: &str) -> Result<Vec<FileEntry>, MirrorError> {
        if let (None, Some(besides)) = (self.bundle.table().blob(&list.pin), self.besides) {
            return crate::mirror::plan::read_list(besides, list, what);
        }
        let bytes = list_bytes(self.bundle, &list.pin, self.lent, what)?;
        Ok(parse_list(&bytes, list)?)
    }
}

/// The bytes of a file list, out of a bundle or as a store lends it, compared with its pin.
///
/// # Errors
/// They are others, or not there.
pub fn list_bytes(
    bundle: &Bundle,
    pin: &Pin,
    lent: &dyn Fn(&Pin) -> Option<PathBuf>,
    what: &str,
) -> Result<Vec<u8>, MirrorError> {
    let fail = MirrorError::at(bundle.path());
    let bytes = match bundle.table().blob(pin) {
        Some(_) if pin.size <= MAX_LIST => bundle.blob(pin).map_err(fail)?,
        Some(_) => None,
        None => lent(pin).map(|path| files::read_capped(&path, MAX_LIST)).transpose().map_err(fail)?.flatten(),
    };
    let bytes = bytes.unwrap_or_default();
    let found = Pin::of(&bytes);
    if found == *pin {
        return Ok(bytes);
    }
    Err(Mismatch { what: format!("{what} file list"), expected: *pin, found }.into())
}
