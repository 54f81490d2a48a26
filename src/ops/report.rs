//! What outcomes have in common: changes of a lock, lines about packages, bytes that travel.

use std::collections::{BTreeMap, BTreeSet};

use crate::install::{PlacedPackage, Receipt};
use crate::layout;
use crate::lock::{Lock, LockedPackage, LockedSource, SourceFiles, Target};
use crate::manifest::{LayoutDeclaration, Manifest};
use crate::model::{Fingerprint, PackageId, PackageKind, PackageRef, Pin, RelPath, VariantName, Version};
use crate::select::{Origin, Selected};

/// One difference between two locks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// `registry:namespace/name`, or a source id.
    pub what: String,
    /// Version or revision before; none: added.
    pub from: Option<String>,
    /// Version or revision after; none: removed.
    pub to: Option<String>,
    /// Bytes of all files before.
    pub bytes_before: u64,
    /// Bytes of all files after.
    pub bytes_after: u64,
    /// Signers before.
    pub signers_before: BTreeSet<Fingerprint>,
    /// Signers after.
    pub signers_after: BTreeSet<Fingerprint>,
    /// Which files differ, where the lock itself holds both file tables.
    pub files: Option<FilesChange>,
}

/// Which files differ between two revisions of a source, by path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FilesChange {
    /// Only after.
    pub added: Vec<RelPath>,
    /// Other bytes after.
    pub changed: Vec<RelPath>,
    /// Only before.
    pub removed: Vec<RelPath>,
}

/// One package of a project, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageLine {
    /// `registry:namespace/name@version`, or a source id.
    pub id: String,
    /// The name, or the source id.
    pub name: String,
    /// Version, or revision.
    pub version: String,
    /// Model or dataset.
    pub kind: PackageKind,
    /// The dependency's key, if it is direct.
    pub key: Option<String>,
    /// Variants chosen.
    pub variants: Vec<VariantName>,
    /// Where it lands, relative to the project; none: not selected.
    pub folder: Option<RelPath>,
    /// Bytes selected.
    pub bytes: u64,
    /// Files selected.
    pub files: u64,
    /// Who signed; empty for sources.
    pub signers: BTreeSet<Fingerprint>,
}

/// A layout of a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaidOut {
    /// Which, as Model.toml calls it.
    pub layout: &'static str,
    /// Its folder, relative to the project.
    pub folder: RelPath,
}

/// Bytes that travelled, or would.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Travel {
    /// Blobs brought from places.
    pub blobs: u64,
    /// Their bytes, without those that the store lent.
    pub bytes: u64,
    /// Bytes of those blobs that the store lent out of earlier releases: they did not travel.
    pub seeded_bytes: u64,
    /// Blobs that the user's Hugging Face cache had: they did not travel.
    pub adopted_blobs: u64,
    /// Their bytes.
    pub adopted_bytes: u64,
    /// Blobs that the store had.
    pub reused_blobs: u64,
    /// Their bytes.
    pub reused_bytes: u64,
    /// Bytes free where the store is.
    pub free: u64,
}

impl Travel {
    /// Counts what the store lacks and has after some of it was brought: what came a moment ago was not reused.
    pub(super) fn after(&mut self, lacking: &Self) {
        let brought = (self.blobs + self.adopted_blobs, self.bytes + self.adopted_bytes);
        self.blobs += lacking.blobs;
        self.bytes += lacking.bytes;
        self.seeded_bytes += lacking.seeded_bytes;
        self.reused_blobs += lacking.reused_blobs.saturating_sub(brought.0);
        self.reused_bytes += lacking.reused_bytes.saturating_sub(brought.1);
        self.free = lacking.free;
    }

    /// Counts what the store lends of what it lacks: that much does not travel.
    pub(super) fn lent(&mut self, bytes: u64) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        self.seeded_bytes = self.seeded_bytes.saturating_add(bytes);
    }

    /// Counts what another part of the run brought as well; free space stays.
    pub(super) fn add(&mut self, more: &Self) {
        self.blobs += more.blobs;
        self.bytes = self.bytes.saturating_add(more.bytes);
        self.seeded_bytes = self.seeded_bytes.saturating_add(more.seeded_bytes);
        self.adopted_blobs += more.adopted_blobs;
        self.adopted_bytes = self.adopted_bytes.saturating_add(more.adopted_bytes);
        self.reused_blobs += more.reused_blobs;
        self.reused_bytes = self.reused_bytes.saturating_add(more.reused_bytes);
    }
}

/// What changed between two locks, by name. One version that gave way to one other is an update.
pub(super) fn changes(old: Option<&Lock>, new: &Lock) -> Vec<Change> {
    let empty = Lock::default();
    let old = old.unwrap_or(&empty);
    let mut all = Vec::new();
    let refs: BTreeSet<&PackageRef> = old.packages.keys().chain(new.packages.keys()).map(|id| &id.package).collect();
    for package in refs {
        package_changes(package, old, new, &mut all);
    }
    let sources: BTreeSet<_> = old.sources.keys().chain(new.sources.keys()).collect();
    for id in sources {
        let (before, after) = (old.sources.get(id), new.sources.get(id));
        if before.map(|source| &source.revision) != after.map(|source| &source.revision) {
            all.push(Change {
                what: id.to_string(),
                from: before.map(|source| source.revision.clone()),
                to: after.map(|source| source.revision.clone()),
                bytes_before: before.map_or(0, |source| source.size),
                bytes_after: after.map_or(0, |source| source.size),
                signers_before: BTreeSet::new(),
                signers_after: BTreeSet::new(),
                files: before.zip(after).and_then(|(before, after)| files_change(before, after)),
            });
        }
    }
    all
}

fn files_change(before: &LockedSource, after: &LockedSource) -> Option<FilesChange> {
    let table = |source: &LockedSource| match &source.files {
        SourceFiles::Inline(files) => {
            Some(files.iter().map(|file| (file.path.clone(), file.pin)).collect::<BTreeMap<RelPath, Pin>>())
        }
        SourceFiles::Table(_) => None,
    };
    let (before, after) = (table(before)?, table(after)?);
    let mut change = FilesChange::default();
    for (path, pin) in &after {
        match before.get(path) {
            None => change.added.push(path.clone()),
            Some(old) if old != pin => change.changed.push(path.clone()),
            Some(_) => {}
        }
    }
    change.removed = before.into_keys().filter(|path| !after.contains_key(path)).collect();
    Some(change)
}

fn package_changes(package: &PackageRef, old: &Lock, new: &Lock, all: &mut Vec<Change>) {
    let of = |lock: &Lock, other: &Lock| -> Vec<(Version, LockedPackage)> {
        lock.packages
            .iter()
            .filter(|(id, locked)| id.package == *package && other.packages.get(id) != Some(locked))
            .map(|(id, locked)| (id.version.clone(), locked.clone()))
            .collect()
    };
    let (mut gone, mut came) = (of(old, new), of(new, old));
    // The same version with other pins is a change of that version; beside it, versions pair up only one to one.
    let same: Vec<Version> = gone
        .iter()
        .map(|(version, _)| version.clone())
        .filter(|version| came.iter().any(|(v, _)| v == version))
        .collect();
    let mut push = |before: Option<&(Version, LockedPackage)>, after: Option<&(Version, LockedPackage)>| {
        all.push(Change {
            what: package.to_string(),
            from: before.map(|(version, _)| version.to_string()),
            to: after.map(|(version, _)| version.to_string()),
            bytes_before: before.map_or(0, |(_, locked)| locked.size),
            bytes_after: after.map_or(0, |(_, locked)| locked.size),
            signers_before: before.map(|(_, locked)| locked.signers.clone()).unwrap_or_default(),
            signers_after: after.map(|(_, locked)| locked.signers.clone()).unwrap_or_default(),
            files: None,
        });
    };
    for version in same {
        let find = |list: &[(Version, LockedPackage)]| list.iter().find(|(v, _)| *v == version).cloned();
        push(find(&gone).as_ref(), find(&came).as_ref());
        gone.retain(|(v, _)| *v != version);
        came.retain(|(v, _)| *v != version);
    }
    if let ([before], [after]) = (gone.as_slice(), came.as_slice()) {
        push(Some(before), Some(after));
        return;
    }
    for before in &gone {
        push(Some(before), None);
    }
    for after in &came {
        push(None, Some(after));
    }
}

/// One line a package of the lock, with what is selected of it.
pub(super) fn lines(lock: &Lock, selected: &Selected) -> Vec<PackageLine> {
    let mut all: Vec<PackageLine> = selected
        .packages()
        .iter()
        .map(|package| {
            let (id, name, version, signers) = match &package.origin {
                Origin::Release(id) => (
                    id.to_string(),
                    id.package.name.to_string(),
                    id.version.to_string(),
                    lock.packages.get(id).map(|locked| locked.signers.clone()).unwrap_or_default(),
                ),
                Origin::Source(id) => {
                    let revision = lock.sources.get(id).map(|source| source.revision.clone()).unwrap_or_default();
                    (id.to_string(), id.to_string(), revision, BTreeSet::new())
                }
            };
            PackageLine {
                id,
                name,
                version,
                kind: package.kind,
                key: package.key.as_ref().map(ToString::to_string),
                variants: package.variants.clone(),
                folder: Some(package.folder.clone()),
                bytes: package.files.iter().map(|file| file.pin.size).fold(0, u64::saturating_add),
                files: package.files.len() as u64,
                signers,
            }
        })
        .collect();
    all.sort_by(|left, right| {
        (&left.name, &left.version, &left.folder).cmp(&(&right.name, &right.version, &right.folder))
    });
    all
}

/// One line a package that the receipt names.
pub(super) fn placed_lines(lock: &Lock, receipt: &Receipt) -> Vec<PackageLine> {
    let mut all: Vec<PackageLine> = receipt.dependencies().map(|placed| placed_line(lock, placed)).collect();
    all.sort_by(|left, right| {
        (&left.name, &left.version, &left.folder).cmp(&(&right.name, &right.version, &right.folder))
    });
    all
}

fn placed_line(lock: &Lock, placed: &PlacedPackage) -> PackageLine {
    let release = PackageId::parse(&placed.id).ok();
    let locked = release.as_ref().and_then(|id| lock.packages.get(id));
    let source = lock.sources.iter().find(|(id, _)| id.as_str() == placed.id).map(|(_, source)| source);
    PackageLine {
        id: placed.id.clone(),
        name: release.as_ref().map_or_else(|| placed.id.clone(), |id| id.package.name.to_string()),
        version: release.as_ref().map_or_else(
            || source.map(|source| source.revision.clone()).unwrap_or_default(),
            |id| id.version.to_string(),
        ),
        kind: locked.map(|locked| locked.kind).or(source.map(|source| source.kind)).unwrap_or(PackageKind::Model),
        key: placed.key.clone(),
        variants: placed.variants.iter().filter_map(|name| VariantName::parse(name).ok()).collect(),
        folder: Some(placed.folder.clone()),
        bytes: placed.size,
        files: placed.count,
        signers: locked.map(|locked| locked.signers.clone()).unwrap_or_default(),
    }
}

/// The layouts that a project asks for.
pub(super) fn layouts(manifest: &Manifest) -> Vec<LaidOut> {
    let of = |declaration: &LayoutDeclaration| LaidOut {
        layout: declaration.kind.as_str(),
        folder: layout::root(declaration),
    };
    manifest.install.layouts.iter().map(of).collect()
}

/// Ids of those that nobody signed, one a package.
pub(super) fn unsigned(lines: &[PackageLine]) -> Vec<String> {
    lines.iter().filter(|line| line.signers.is_empty()).map(|line| line.id.clone()).collect()
}

/// Ids of packages that the receipt names and the selection does not.
pub(super) fn removed(receipt: Option<&Receipt>, selected: &Selected) -> Vec<String> {
    let now: BTreeSet<String> = selected
        .packages()
        .iter()
        .map(|package| match &package.origin {
            Origin::Release(id) => id.to_string(),
            Origin::Source(id) => id.to_string(),
        })
        .collect();
    let placed = receipt.into_iter().flat_map(Receipt::dependencies);
    placed.map(|package| package.id.clone()).filter(|id| !now.contains(id)).collect()
}

/// The id of what a key leads to, as text.
pub(super) fn target_id(target: &Target) -> String {
    match target {
        Target::Release(id) => id.to_string(),
        Target::Source(id) => id.to_string(),
    }
}
