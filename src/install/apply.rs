//! Does what a plan says, and writes the receipt last.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use crate::install::check::{TASK, pack};
use crate::install::disk;
use crate::install::error::InstallError;
use crate::install::place::{self, Place, Placer, Supply};
use crate::install::plan::ancestors;
use crate::install::receipt::{Link, PlacedFile, PlacedPackage, Receipt};
use crate::install::records::Records;
use crate::install::{Applied, Plan, Site, Wanted};
use crate::model::{Pin, RelPath, Sha256};
use crate::progress::{Doing, Event, Progress};
use crate::sys::{self, Cancel};

/// Places, removes, and writes the receipt.
pub(super) fn apply(
    site: &Site<'_>,
    plan: &Plan,
    wanted: &[Wanted],
    inputs: Sha256,
    cancel: &Cancel,
    progress: &dyn Progress,
) -> Result<Applied, InstallError> {
    let records = Records::of(site.project);
    records.prepare()?;
    tell(plan, progress);
    let work = !(plan.place.is_empty() && plan.interrupted.is_empty());
    if work {
        // What an interrupted run left and this one does not come to undo stays on the list.
        let earlier = plan.interrupted.iter().map(|(path, pin)| (path, pin));
        records.write_pending(plan.place.iter().map(|(path, pin)| (path, pin)).chain(earlier))?;
        clear_staged(site.project, plan);
    }
    let conflicts = conflicting(plan);
    let mut removed = remove(site.project, plan.remove.iter().filter(|path| conflicts.contains(path)))?;
    make_folders(site.project, plan)?;
    let placer = Placer::new(site.link, progress);
    let placed = place_all(site, (plan, wanted), &placer, cancel, progress)?;
    removed.extend(remove(site.project, plan.remove.iter().filter(|path| !conflicts.contains(path)))?);
    if placer.wrote.load(Ordering::Relaxed) {
        barrier(site.project);
    }
    let applied = summary(plan, &placed, &removed);
    let receipt = receipt(site.project, &records, plan, wanted, (inputs, placed))?;
    records.write_receipt(&receipt)?;
    if work {
        records.clear_pending()?;
    }
    Ok(applied)
}

/// Places what a plan says and writes nothing down.
pub(super) fn place_without_records(
    site: &Site<'_>,
    plan: &Plan,
    cancel: &Cancel,
    progress: &dyn Progress,
) -> Result<BTreeMap<RelPath, PlacedFile>, InstallError> {
    place_with(site, (plan, &[]), &Placer::new(site.link, progress).without_record(), cancel, progress)
}

/// The same for a layer: files of their own bytes get one time.
pub(super) fn place_layer(
    site: &Site<'_>,
    (plan, wanted): (&Plan, &[Wanted]),
    time: SystemTime,
    cancel: &Cancel,
    progress: &dyn Progress,
) -> Result<BTreeMap<RelPath, PlacedFile>, InstallError> {
    place_with(site, (plan, wanted), &Placer::new(site.link, progress).at(time), cancel, progress)
}

fn place_with(
    site: &Site<'_>,
    (plan, wanted): (&Plan, &[Wanted]),
    placer: &Placer<'_>,
    cancel: &Cancel,
    progress: &dyn Progress,
) -> Result<BTreeMap<RelPath, PlacedFile>, InstallError> {
    make_folders(site.project, plan)?;
    let placed = place_all(site, (plan, wanted), placer, cancel, progress)?;
    if placer.wrote.load(Ordering::Relaxed) {
        barrier(site.project);
    }
    Ok(placed)
}

/// Writes down what a layer holds, as for a project.
pub(super) fn record_layer(
    site: &Site<'_>,
    plan: &Plan,
    wanted: &[Wanted],
    made: (Sha256, BTreeMap<RelPath, PlacedFile>),
) -> Result<(), InstallError> {
    let records = Records::of(site.project);
    records.prepare()?;
    let receipt = receipt(site.project, &records, plan, wanted, made)?;
    records.write_receipt(&receipt)
}

/// What placing came to.
pub(super) fn summary_of(placed: &BTreeMap<RelPath, PlacedFile>, plan: &Plan) -> Applied {
    summary(plan, placed, &[])
}

fn tell(plan: &Plan, progress: &dyn Progress) {
    if plan.adopted > 0 {
        progress.note(
            "adopted-files",
            format!("{} files that stood there already have the right bytes; they are mpm's from now on", plan.adopted),
        );
    }
    for path in plan.left.iter().take(10) {
        progress.warn("left-file", format!("{path} no longer belongs here, but was changed: it stays, and is yours"));
    }
    if plan.left.len() > 10 {
        progress.warn("left-file", format!("and {} more changed files stay", plan.left.len() - 10));
    }
}

/// Removes staged files of a run that died.
fn clear_staged(project: &Path, plan: &Plan) {
    for (path, _) in &plan.interrupted {
        // One that stays behind is found again by the next run that places this file.
        let _ = std::fs::remove_file(place::staged(&path.under(project), path));
    }
}

/// Files to be removed that stand where a folder is wanted, or in a folder where a file is wanted: they go first.
fn conflicting(plan: &Plan) -> BTreeSet<&RelPath> {
    let placed: BTreeSet<&RelPath> = plan.place.iter().map(|(path, _)| path).collect();
    let above: BTreeSet<RelPath> = plan.place.iter().flat_map(|(path, _)| ancestors(path)).collect();
    plan.remove
        .iter()
        .filter(|path| above.contains(path) || ancestors(path).any(|folder| placed.contains(&folder)))
        .collect()
}

/// Removes files, then the folders that became empty; returns what was there to remove.
fn remove<'a>(project: &Path, paths: impl Iterator<Item = &'a RelPath>) -> Result<Vec<&'a RelPath>, InstallError> {
    let mut removed = Vec::new();
    let mut folders = BTreeSet::new();
    for path in paths {
        let full = path.under(project);
        let gone = sys::fault::point("place-remove").and_then(|()| std::fs::remove_file(&full));
        match gone {
            Ok(()) => removed.push(path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(InstallError::Disk { doing: "remove", path: full, source }),
        }
        folders.extend(ancestors(path));
    }
    // Deeper folders sort behind those that hold them. A folder that is not empty stays.
    for folder in folders.into_iter().rev() {
        let _ = std::fs::remove_dir(folder.under(project));
    }
    Ok(removed)
}

fn make_folders(project: &Path, plan: &Plan) -> Result<(), InstallError> {
    let folders: BTreeSet<RelPath> = plan.place.iter().flat_map(|(path, _)| ancestors(path)).collect();
    for folder in folders {
        let full = folder.under(project);
        // Each is made by itself, and must be a real folder: a link that came meanwhile is not followed.
        if let Err(source) = std::fs::create_dir(&full) {
            match std::fs::symlink_metadata(&full) {
                Ok(found) if found.is_dir() => {}
                Ok(found) if found.is_symlink() => return Err(InstallError::Symlinked { paths: vec![folder] }),
                Ok(_) => return Err(InstallError::InTheWay { paths: vec![folder] }),
                Err(_) => return Err(InstallError::Disk { doing: "make", path: full, source }),
            }
        }
    }
    Ok(())
}

fn place_all(
    site: &Site<'_>,
    (plan, wanted): (&Plan, &[Wanted]),
    placer: &Placer<'_>,
    cancel: &Cancel,
    progress: &dyn Progress,
) -> Result<BTreeMap<RelPath, PlacedFile>, InstallError> {
    if plan.place.is_empty() {
        return Ok(BTreeMap::new());
    }
    let bytes = plan.place.iter().map(|(_, pin)| pin.size).sum();
    progress.on(&Event::Started { task: TASK, doing: Doing::Install, what: "files", bytes: Some(bytes) });
    let homes = homes(plan, wanted);
    let place = |(path, pin): &&(RelPath, Pin)| {
        let missing = || InstallError::NotInStore { path: path.clone(), pin: *pin };
        let (blob, seen) = site.store.find_seen(pin)?.ok_or_else(missing)?;
        let at = if plan.replace.contains(path) { Place::Taken } else { Place::Free };
        let from = match (plan.laid.contains(path), homes.get(pin)) {
            (false, _) => Supply::Store,
            (true, Some(home)) => Supply::Home(home),
            (true, None) => Supply::Made,
        };
        let (stat, link) = placer.place(site.project, (path, pin), (&blob.path, &seen, from), at)?;
        progress.on(&Event::Advanced { task: TASK, bytes: pin.size });
        Ok((path.clone(), PlacedFile { path: path.clone(), pin: *pin, stat, link }))
    };
    // Layouts come last: their files are linked to those that then stand.
    let (laid, own): (Vec<_>, Vec<_>) = plan.place.iter().partition(|(path, _)| plan.laid.contains(path));
    let placed = disk::on_all_cores(&own, cancel, &place).and_then(|mut placed| {
        placed.extend(disk::on_all_cores(&laid, cancel, &place)?);
        Ok(placed)
    });
    progress.on(&Event::Finished { task: TASK, ok: placed.is_ok() });
    Ok(placed?.into_iter().collect())
}

/// Where packages have the bytes that layouts place again.
fn homes<'w>(plan: &Plan, wanted: &'w [Wanted]) -> BTreeMap<Pin, &'w RelPath> {
    if plan.laid.is_empty() {
        return BTreeMap::new();
    }
    let packages = wanted.iter().filter(|package| package.layout.is_none());
    packages.flat_map(|package| &package.files).map(|(path, pin)| (*pin, path)).collect()
}

/// One barrier for all bytes that were written, before the receipt vouches for them.
fn barrier(project: &Path) {
    #[cfg(target_os = "linux")]
    if let Ok(folder) = std::fs::File::open(project) {
        // Without it a crash of the machine may lose files; their sizes would then betray it.
        let _ = rustix::fs::syncfs(&folder);
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = project;
        rustix::fs::sync();
    }
}

fn summary(plan: &Plan, placed: &BTreeMap<RelPath, PlacedFile>, removed: &[&RelPath]) -> Applied {
    let own: Vec<&PlacedFile> = placed.values().filter(|file| !plan.laid.contains(&file.path)).collect();
    // The way that most bytes came speaks for all.
    let by = [Link::Reflink, Link::Hard, Link::Symlink, Link::Copy];
    let bytes_by = |link| own.iter().filter(|file| file.link == link).map(|file| file.pin.size + 1).sum::<u64>();
    let link = by.into_iter().max_by_key(|link| bytes_by(*link)).filter(|_| !own.is_empty());
    let unlaid = removed.iter().filter(|path| plan.laid.contains(**path)).count();
    Applied {
        placed: own.len() as u64,
        bytes: own.iter().map(|file| file.pin.size).sum(),
        removed: (removed.len() - unlaid) as u64,
        laid: (placed.len() - own.len()) as u64,
        unlaid: unlaid as u64,
        adopted: plan.adopted,
        link: link.map(Link::as_str),
    }
}

fn receipt(
    project: &Path,
    records: &Records,
    plan: &Plan,
    wanted: &[Wanted],
    (inputs, mut placed): (Sha256, BTreeMap<RelPath, PlacedFile>),
) -> Result<Receipt, InstallError> {
    let mut packages = Vec::new();
    for package in wanted {
        let mut files = Vec::with_capacity(package.files.len());
        for (path, _) in &package.files {
            let file = placed.remove(path).or_else(|| plan.kept.get(path).cloned());
            if let (Some(mut file), Some(below)) = (file, path.strip_prefix(&package.folder)) {
                file.path = below;
                files.push(file);
            }
        }
        packages.push(PlacedPackage {
            key: package.key.clone(),
            id: package.id.clone(),
            layout: package.layout.map(str::to_owned),
            folder: package.folder.clone(),
            statement: package.release.as_ref().and_then(|id| plan.statements.get(id).copied()),
            variants: package.variants.clone(),
            size: files.iter().map(|file| file.pin.size).sum(),
            count: files.len() as u64,
            files: pack(project, &package.folder, files, records)?,
        });
    }
    Ok(Receipt { inputs: Some(inputs), choice: plan.choice.clone(), meaning: plan.meaning, packages })
}
