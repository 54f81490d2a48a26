//! Reading Model.lock.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::lock::conflict;
use crate::lock::error::{LockError, Rule};
use crate::lock::table::check_files;
use crate::lock::{
    Found, Lock, LockedPackage, LockedRegistry, LockedSource, LockedUnsafe, SourceFile, SourceFiles, SourceId, Target,
    VERSION,
};
use crate::model::tables::{At, Source, Table, Value};
use crate::model::{
    CheckpointNumber, DependencyKey, Fingerprint, Floor, GroupName, HubCommit, PackageId, PackageName, PackageRef, Pin,
    RegistryId, RelPath, Sha256, Version,
};

/// Largest Model.lock, in bytes.
const MAX_FILE: usize = 64 << 20;
/// Most entries of one kind.
const MAX_ENTRIES: usize = 100_000;
/// Longest text for people, in characters.
const MAX_TEXT: usize = 1000;

/// How much a text must hold on its own.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// A whole lock.
    Whole,
    /// One side of a merge: what a merge mixed up need not agree.
    Side,
}

pub(super) fn parse(text: &str) -> Result<Found, LockError> {
    if let Some((ours, theirs)) = conflict::split(text)? {
        let merged = conflict::merge(read(&ours, Reading::Side)?, read(&theirs, Reading::Side)?)?;
        edges(&merged)?;
        return Ok(Found::Conflict { merged });
    }
    let lock = read(text, Reading::Whole)?;
    edges(&lock)?;
    Ok(Found::Whole(lock))
}

fn read(text: &str, reading: Reading) -> Result<Lock, LockError> {
    let source = Source::new("Model.lock", text);
    let mut top = source.parse(MAX_FILE)?;
    let version = top.require("version")?;
    match version.number()? {
        0 => return Err(version.refused(Rule::Version).into()),
        found if found > u64::from(VERSION) => return Err(LockError::TooNew { found }),
        _ => {}
    }
    let mut lock = Lock::default();
    for entry in entries(&mut top, "registry", "registries")? {
        registry(entry, &mut lock)?;
    }
    for entry in entries(&mut top, "direct", "direct dependencies")? {
        direct(entry, &mut lock)?;
    }
    for entry in entries(&mut top, "package", "packages")? {
        package(entry, &mut lock)?;
    }
    for entry in entries(&mut top, "source", "sources")? {
        locked_source(entry, &mut lock, reading)?;
    }
    for entry in entries(&mut top, "unsafe", "unsafe releases")? {
        unsafe_release(entry, &mut lock)?;
    }
    top.finish(&["version", "registry", "direct", "package", "source", "unsafe"])?;
    Ok(lock)
}

fn entries<'t>(top: &mut Table<'t>, key: &str, what: &'static str) -> Result<Vec<Value<'t>>, LockError> {
    let entries = top.take(key).map_or(Ok(Vec::new()), Value::list)?;
    if entries.len() > MAX_ENTRIES {
        return Err(LockError::TooMany { what, found: entries.len(), limit: MAX_ENTRIES });
    }
    Ok(entries)
}

fn registry(entry: Value<'_>, lock: &mut Lock) -> Result<(), LockError> {
    let at = entry.at();
    let mut table = entry.table()?;
    let id = table.require("id")?.parse(RegistryId::parse)?;
    let root = table.require("root")?.parse(Sha256::parse)?;
    let mut floor = table.require("floor")?.table()?;
    let found = Floor {
        root_number: floor.require("root-number")?.number()?,
        registrar: floor.require("registrar")?.number()?,
        checkpoint: checkpoint(floor.require("checkpoint")?)?,
    };
    floor.finish(&["root-number", "registrar", "checkpoint"])?;
    table.finish(&["id", "root", "floor"])?;
    put(&mut lock.registries, id, LockedRegistry { root, floor: found }, at, "[[registry]]", ToString::to_string)
}

fn checkpoint(value: Value<'_>) -> Result<CheckpointNumber, LockError> {
    let refused = value.refused(Rule::Checkpoint);
    match value.list()?.as_slice() {
        [epoch, number] => Ok(CheckpointNumber { epoch: epoch.number()?, number: number.number()? }),
        _ => Err(refused.into()),
    }
}

fn direct(entry: Value<'_>, lock: &mut Lock) -> Result<(), LockError> {
    let at = entry.at();
    let mut table = entry.table()?;
    let key = table.require("key")?.parse(DependencyKey::parse)?;
    let group = table.take("group").map(|value| value.parse(GroupName::parse)).transpose()?;
    let target = target(&table.require("resolved")?)?;
    table.finish(&["key", "group", "resolved"])?;
    put(&mut lock.direct, (key, group), target, at, "[[direct]]", |(key, _)| key.to_string())
}

/// A release's id or a source's.
fn target(value: &Value<'_>) -> Result<Target, LockError> {
    Ok(if SourceId::is_meant(value.string()?) {
        Target::Source(value.parse(SourceId::parse)?)
    } else {
        Target::Release(value.parse(PackageId::parse)?)
    })
}

fn package(entry: Value<'_>, lock: &mut Lock) -> Result<(), LockError> {
    let at = entry.at();
    let mut table = entry.table()?;
    let name = table.require("name")?.parse(PackageName::parse)?;
    let version = table.require("version")?.parse(Version::parse)?;
    let registry = table.require("registry")?.parse(RegistryId::parse)?;
    let id = PackageId { package: PackageRef { registry, name }, version };
    let package = LockedPackage {
        kind: table.require("kind")?.parse(str::parse)?,
        statement: Pin {
            sha256: table.require("statement")?.parse(Sha256::parse)?,
            size: table.require("statement-size")?.number()?,
        },
        signers: {
            let signers = table.require("signers")?;
            if signers.is_empty_list() {
                return Err(signers.refused(Rule::Empty).into());
            }
            signers.parse_list(Fingerprint::parse)?.into_iter().collect()
        },
        size: table.require("size")?.number()?,
        dependencies: match table.take("dependencies") {
            Some(value) => value.parse_list(PackageId::parse)?.into_iter().collect(),
            None => std::collections::BTreeSet::new(),
        },
    };
    table.finish(&[
        "name",
        "version",
        "registry",
        "kind",
        "statement",
        "statement-size",
        "signers",
        "size",
        "dependencies",
    ])?;
    put(&mut lock.packages, id, package, at, "[[package]]", ToString::to_string)
}

fn locked_source(entry: Value<'_>, lock: &mut Lock, reading: Reading) -> Result<(), LockError> {
    let at = entry.at();
    let whole = entry.clone();
    let mut table = entry.table()?;
    let id = table.require("id")?.parse(SourceId::parse)?;
    let kind = table.require("kind")?.parse(str::parse)?;
    let revision = table.require("revision")?;
    let text = revision.string()?.to_owned();
    let size = table.require("size")?.number()?;
    let sha256 = table.take("table").map(|sha256| sha256.parse(Sha256::parse)).transpose()?;
    let files = match (table.take("files"), sha256, table.take("table-size")) {
        (Some(files), _, None) => SourceFiles::Inline(inline_files(files)?),
        (None, Some(sha256), Some(size)) => SourceFiles::Table(Pin { sha256, size: size.number()? }),
        _ => return Err(whole.refused(Rule::Files).into()),
    };
    // Of a folder the revision is the file table's digest; of a commit the digest stands beside it.
    let digest = match (id.hub(), sha256, &files) {
        (None, Some(_), SourceFiles::Inline(_)) | (Some(_), None, _) => return Err(whole.refused(Rule::Files).into()),
        (None, ..) => revision
            .parse(|text| text.strip_prefix("sha256:").and_then(|hex| Sha256::parse(hex).ok()).ok_or(Rule::Revision))?,
        (Some(_), Some(sha256), _) => {
            revision.parse(|text| HubCommit::parse(text).map_err(|_| Rule::Commit))?;
            sha256
        }
    };
    if id.hub().is_some_and(|hub| hub.kind != kind) {
        return Err(whole.refused(Rule::HubKind).into());
    }
    table.finish(&["id", "kind", "revision", "size", "files", "table", "table-size"])?;
    let source = LockedSource { kind, revision: text, size, files };
    let agrees = agrees(&id, &source, digest);
    match (agrees, reading) {
        (Err(error), Reading::Whole) => return Err(error),
        // A merge can mix the files of both sides; the folder is hashed again anyway, and the hub asked again.
        (Err(_), Reading::Side) => return Ok(()),
        (Ok(()), _) => {}
    }
    put(&mut lock.sources, id, source, at, "[[source]]", ToString::to_string)
}

fn inline_files(value: Value<'_>) -> Result<Vec<SourceFile>, LockError> {
    let whole = value.clone();
    let items = value.list()?;
    if items.len() > super::MAX_INLINE_FILES {
        return Err(whole.refused(Rule::Inline { found: items.len() }).into());
    }
    let mut files = Vec::new();
    for item in items {
        let mut table = item.table()?;
        let path = table.require("path")?.parse(RelPath::parse)?;
        let sha256 = table.require("sha256")?.parse(Sha256::parse)?;
        let size = table.require("size")?.number()?;
        table.finish(&["path", "sha256", "size"])?;
        files.push(SourceFile { path, pin: Pin { sha256, size } });
    }
    Ok(files)
}

/// Whether a source's digest and size are those of its file table.
fn agrees(id: &SourceId, source: &LockedSource, digest: Sha256) -> Result<(), LockError> {
    let disagrees = |expected: String, found: String| LockError::Table { of: id.to_string(), expected, found };
    match &source.files {
        SourceFiles::Table(pin) if pin.sha256 != digest => Err(disagrees(digest.prefixed(), pin.sha256.prefixed())),
        SourceFiles::Table(_) => Ok(()),
        SourceFiles::Inline(files) => {
            let sum = check_files(id.as_str(), files)?;
            let found = Sha256::of(&LockedSource::table_bytes(files));
            if found != digest {
                return Err(disagrees(digest.prefixed(), found.prefixed()));
            }
            if sum != source.size {
                return Err(disagrees(format!("{} bytes", source.size), format!("{sum} bytes")));
            }
            Ok(())
        }
    }
}

fn unsafe_release(entry: Value<'_>, lock: &mut Lock) -> Result<(), LockError> {
    let at = entry.at();
    let mut table = entry.table()?;
    let id = target(&table.require("package")?)?;
    let formats = table.require("formats")?;
    let empty = formats.refused(Rule::Empty);
    let formats: std::collections::BTreeSet<String> = formats.parse_list(text)?.into_iter().collect();
    if formats.is_empty() {
        return Err(empty.into());
    }
    let reason = table.require("reason")?.parse(text)?;
    table.finish(&["package", "formats", "reason"])?;
    put(&mut lock.unsafe_releases, id, LockedUnsafe { formats, reason }, at, "[[unsafe]]", ToString::to_string)
}

fn text(text: &str) -> Result<String, Rule> {
    let good = !text.trim().is_empty() && text.chars().count() <= MAX_TEXT && !text.chars().any(char::is_control);
    if good { Ok(text.to_owned()) } else { Err(Rule::Text) }
}

/// Puts an entry where none is yet.
fn put<K: Ord, V>(
    entries: &mut BTreeMap<K, V>,
    key: K,
    value: V,
    at: At<'_>,
    table: &str,
    told: impl FnOnce(&K) -> String,
) -> Result<(), LockError> {
    match entries.entry(key) {
        Entry::Vacant(free) => {
            free.insert(value);
            Ok(())
        }
        Entry::Occupied(taken) => {
            Err(LockError::Twice { spot: at.spot(), what: format!("{table} {}", told(taken.key())) })
        }
    }
}

/// Every edge leads to an entry.
fn edges(lock: &Lock) -> Result<(), LockError> {
    match super::check::dangling(lock).into_iter().next() {
        None => Ok(()),
        Some((from, to)) => Err(LockError::Dangling { from, to }),
    }
}
