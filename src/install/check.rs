//! Whether placed files are still as they were placed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::install::disk::{self, Ground, Grounds, Standing};
use crate::install::error::InstallError;
use crate::install::receipt::{Link, PlacedFile, PlacedFiles, PlacedFolder, PlacedPackage, Receipt, Stat};
use crate::install::records::Records;
use crate::install::{Altered, Examined, Scrutiny};
use crate::model::{Pin, RelPath};
use crate::progress::{Doing, Event, Progress, Task};
use crate::sys::Cancel;

/// The task under which this room reports; no other work runs beside it.
pub(super) const TASK: Task = Task(u64::MAX);

/// Whether a receipt whose files look otherwise, and have the right bytes, is made anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Renewal {
    Make,
    Leave,
    /// No bytes count, only looks: what looks otherwise is not as it was placed here.
    Looks,
}

/// A file that a look did not settle: its bytes decide.
struct Doubt {
    package: usize,
    file: usize,
    path: RelPath,
    stat: Stat,
}

/// Looks at every placed file as closely as `scrutiny` says.
pub(super) fn examine(
    project: &Path,
    receipt: &Receipt,
    (scrutiny, renewal): (Scrutiny, Renewal),
    cancel: &Cancel,
    progress: &dyn Progress,
) -> Result<Examined, InstallError> {
    let records = Records::of(project);
    let mut grounds = Grounds::new(project);
    let mut altered = Vec::new();
    let mut doubts = Vec::new();
    let mut looked: Vec<Option<Vec<PlacedFile>>> = Vec::new();
    // Something looks as the receipt says: who wrote it has seen this very disk.
    let mut ours = false;
    for (at, package) in receipt.packages.iter().enumerate() {
        if cancel.is_cancelled() {
            return Err(InstallError::Interrupted);
        }
        if scrutiny == Scrutiny::Quick && folders_stand(project, package) {
            ours |= package.is_tangible();
            looked.push(None);
            continue;
        }
        let mut files = Vec::new();
        records.each_file(package, &mut |file| {
            files.push(file);
            Ok(())
        })?;
        for (index, file) in files.iter().enumerate() {
            let path = inside(project, package, file)?;
            match look(project, &mut grounds, &path, file)? {
                Look::Fine(_) if scrutiny != Scrutiny::Hash => ours = true,
                Look::Fine(stat) | Look::Unsure(stat) => {
                    doubts.push(Doubt { package: at, file: index, path, stat });
                }
                Look::Bad(how) => {
                    altered.push(Altered { path, id: package.id.clone(), expected: file.pin, found: None, how });
                }
            }
        }
        looked.push(Some(files));
    }
    if renewal == Renewal::Looks {
        altered.extend(doubts.drain(..).map(|doubt| {
            let file = looked.get(doubt.package).and_then(Option::as_ref).and_then(|files| files.get(doubt.file));
            let id = receipt.packages.get(doubt.package).map_or_else(String::new, |package| package.id.clone());
            let expected = file.map_or_else(|| Pin::of(&[]), |file| file.pin);
            Altered { path: doubt.path, id, expected, found: None, how: "looks otherwise" }
        }));
    }
    let mut touched = settle(project, receipt, &mut looked, &doubts, &mut altered, (cancel, progress))?;
    altered.sort_by(|left, right| left.path.cmp(&right.path));
    // A large package that was looked at file by file, all in order, had a folder that changed: note the folder anew.
    for (at, package) in receipt.packages.iter().enumerate() {
        let table = matches!(package.files, PlacedFiles::Table { .. });
        if table && looked.get(at).is_some_and(Option::is_some) && !folders_stand(project, package) {
            touched.insert(at);
        }
    }
    if touched.is_empty() || !altered.is_empty() || renewal == Renewal::Leave {
        return Ok(Examined { altered, refreshed: None, ours });
    }
    let mut refreshed = receipt.clone();
    for (at, package) in refreshed.packages.iter_mut().enumerate().filter(|(at, _)| touched.contains(at)) {
        if let Some(Some(files)) = looked.get_mut(at) {
            package.files = pack(project, &package.folder, std::mem::take(files), &records)?;
        }
    }
    let refreshed = Some(refreshed);
    Ok(Examined { altered, refreshed, ours })
}

/// Hashes what is in doubt; returns the packages whose files have the right bytes but looked otherwise, which is noted.
fn settle(
    project: &Path,
    receipt: &Receipt,
    looked: &mut [Option<Vec<PlacedFile>>],
    doubts: &[Doubt],
    altered: &mut Vec<Altered>,
    (cancel, progress): (&Cancel, &dyn Progress),
) -> Result<BTreeSet<usize>, InstallError> {
    let file_of = |looked: &[Option<Vec<PlacedFile>>], doubt: &Doubt| {
        looked.get(doubt.package).and_then(Option::as_ref).and_then(|files| files.get(doubt.file)).cloned()
    };
    let pairs: Vec<(&Doubt, Option<PlacedFile>)> = doubts.iter().map(|doubt| (doubt, file_of(looked, doubt))).collect();
    let found = hash_all(project, &pairs, cancel, progress)?;
    let mut touched = BTreeSet::new();
    for ((doubt, file), found) in pairs.into_iter().zip(found) {
        let Some(file) = file else { continue };
        if found != file.pin {
            let id = receipt.packages.get(doubt.package).map_or_else(String::new, |package| package.id.clone());
            let path = doubt.path.clone();
            altered.push(Altered { path, id, expected: file.pin, found: Some(found), how: "changed" });
        } else if !file.stat.agrees(&doubt.stat)
            && let Some(Some(files)) = looked.get_mut(doubt.package)
            && let Some(file) = files.get_mut(doubt.file)
        {
            file.stat = doubt.stat;
            touched.insert(doubt.package);
        }
    }
    Ok(touched)
}

fn hash_all(
    project: &Path,
    pairs: &[(&Doubt, Option<PlacedFile>)],
    cancel: &Cancel,
    progress: &dyn Progress,
) -> Result<Vec<Pin>, InstallError> {
    if pairs.is_empty() {
        return Ok(Vec::new());
    }
    let (distinct, numbers) = apart(project, pairs);
    let bytes = distinct.iter().filter_map(|(_, file)| file.as_ref()).map(|file| file.pin.size).sum();
    progress.on(&Event::Started { task: TASK, doing: Doing::Hash, what: "placed files", bytes: Some(bytes) });
    let found = disk::on_all_cores(&distinct, cancel, &|(doubt, file)| {
        let path = doubt.path.under(project);
        let size = file.as_ref().map_or(0, |file| file.pin.size);
        let told = std::cell::Cell::new(0_u64);
        let advanced = |bytes: u64| {
            // A file that grew must not advance beyond what was announced.
            let bytes = bytes.min(size.saturating_sub(told.get()));
            told.set(told.get() + bytes);
            progress.on(&Event::Advanced { task: TASK, bytes });
        };
        match file {
            Some(file) if file.link == Link::Symlink => disk::hash_through(&path, cancel, &advanced),
            _ => disk::hash(&path, cancel, &advanced),
        }
    });
    progress.on(&Event::Finished { task: TASK, ok: found.is_ok() });
    let found = found?;
    Ok(numbers.into_iter().filter_map(|number| found.get(number).copied()).collect())
}

/// Each file on disk once, and for each pair its number among them: what a layout shares with a package is read once.
fn apart<'p>(
    project: &Path,
    pairs: &'p [(&'p Doubt, Option<PlacedFile>)],
) -> (Vec<&'p (&'p Doubt, Option<PlacedFile>)>, Vec<usize>) {
    let mut known: BTreeMap<(u64, u64), usize> = BTreeMap::new();
    let (mut distinct, mut numbers) = (Vec::new(), Vec::with_capacity(pairs.len()));
    for pair in pairs {
        let (doubt, file) = pair;
        let behind = file.as_ref().filter(|file| file.link == Link::Symlink);
        let behind = behind.and_then(|_| std::fs::metadata(doubt.path.under(project)).ok());
        let stat = behind.map_or(doubt.stat, |found| disk::stat(&found));
        numbers.push(*known.entry((stat.device, stat.inode)).or_insert_with(|| {
            distinct.push(pair);
            distinct.len() - 1
        }));
    }
    (distinct, numbers)
}

/// The files as the receipt holds them: inline, or in a table with their folders.
pub(super) fn pack(
    project: &Path,
    folder: &RelPath,
    files: Vec<PlacedFile>,
    records: &Records,
) -> Result<PlacedFiles, InstallError> {
    if files.len() <= crate::install::MAX_INLINE_FILES {
        return Ok(PlacedFiles::Inline(files));
    }
    let digest = records.write_table(&files)?;
    let mut paths = BTreeSet::from([folder.clone()]);
    for file in &files {
        let mut below = file.path.parent();
        while let Some(part) = below {
            let full = folder.join(&part).map_err(|error| too_long(project, &error))?;
            if !paths.insert(full) {
                break;
            }
            below = part.parent();
        }
    }
    let folders = paths.into_iter().map(|path| look_at_folder(project, path)).collect::<Result<_, _>>()?;
    Ok(PlacedFiles::Table { digest, folders })
}

fn look_at_folder(project: &Path, path: RelPath) -> Result<PlacedFolder, InstallError> {
    let full = path.under(project);
    let found = std::fs::symlink_metadata(&full).map_err(|source| InstallError::Disk {
        doing: "look at",
        path: full,
        source,
    })?;
    let stat = disk::stat(&found);
    Ok(PlacedFolder { path, mtime: stat.mtime, inode: stat.inode })
}

/// Whether a large package's folders have lost and gained nothing. A small one is looked at file by file.
fn folders_stand(project: &Path, package: &PlacedPackage) -> bool {
    let PlacedFiles::Table { folders, .. } = &package.files else { return false };
    folders.iter().all(|folder| {
        std::fs::symlink_metadata(folder.path.under(project)).is_ok_and(|found| {
            let stat = disk::stat(&found);
            found.is_dir() && stat.mtime == folder.mtime && stat.inode == folder.inode
        })
    })
}

/// What a look at one file says.
pub(super) enum Look {
    /// As it was placed, by stat.
    Fine(Stat),
    /// Something else by stat: the bytes decide.
    Unsure(Stat),
    /// Not what was placed, whatever the bytes.
    Bad(&'static str),
}

/// Looks at one placed file.
pub(super) fn look(
    project: &Path,
    grounds: &mut Grounds<'_>,
    path: &RelPath,
    file: &PlacedFile,
) -> Result<Look, InstallError> {
    match grounds.below(path)? {
        Ground::Folder => {}
        Ground::Nothing => return Ok(Look::Bad("missing")),
        Ground::Symlink(_) => return Ok(Look::Bad("behind a symbolic link")),
        Ground::Other(_) => return Ok(Look::Bad("not a file")),
    }
    let full = path.under(project);
    let by_stat = |stat: Stat| if file.stat.agrees(&stat) { Look::Fine(stat) } else { Look::Unsure(stat) };
    Ok(match (disk::standing(&full)?, file.link) {
        (Standing::Nothing, _) => Look::Bad("missing"),
        (Standing::File(stat), link) if link != Link::Symlink => by_stat(stat),
        (Standing::Link(stat), Link::Symlink) => match std::fs::metadata(&full) {
            Ok(target) if target.is_file() && target.len() == file.pin.size => by_stat(stat),
            Ok(target) if target.is_file() => Look::Unsure(stat),
            Ok(_) => Look::Bad("not a file"),
            Err(_) => Look::Bad("missing"),
        },
        // A copy stands where a link was: its bytes decide.
        (Standing::File(stat), _) => Look::Unsure(stat),
        (Standing::Link(_) | Standing::Other, _) => Look::Bad("not a file"),
    })
}

/// The path of a placed file, relative to the project.
pub(super) fn inside(project: &Path, package: &PlacedPackage, file: &PlacedFile) -> Result<RelPath, InstallError> {
    package.folder.join(&file.path).map_err(|error| too_long(project, &error))
}

fn too_long(project: &Path, error: &crate::model::PathError) -> InstallError {
    InstallError::Damaged { path: project.join(".mpm/receipt.json"), reason: error.to_string() }
}
