//! What must be done so that the project holds what was selected, and what is in the way.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::install::check::inside;
use crate::install::disk::{self, Ground, Grounds, Standing};
use crate::install::error::InstallError;
use crate::install::receipt::{Link, PlacedFile, Receipt, Stat};
use crate::install::records::Records;
use crate::install::{OnChanged, Plan, Wanted};
use crate::model::{Pin, RelPath};
use crate::sys::Cancel;

/// What an earlier run says that it placed, or was about to place, at a path.
struct Claim {
    pin: Pin,
    /// How it looked; none: an interrupted run, which did not come to note it.
    seen: Option<(Stat, Link)>,
}

type Claims = BTreeMap<RelPath, Vec<Claim>>;

/// A file on disk whose bytes decide.
struct Doubt {
    path: RelPath,
    stat: Stat,
    /// It is a symbolic link that an earlier run made.
    through: bool,
    claims: Vec<Claim>,
    /// The bytes that belong there; none: nothing belongs there any longer.
    wanted: Option<Pin>,
}

/// What stands against the plan.
#[derive(Default)]
struct Obstacles {
    in_the_way: BTreeSet<RelPath>,
    changed: BTreeSet<RelPath>,
    symlinked: BTreeSet<RelPath>,
}

/// Compares what is wanted with the receipt, with what an interrupted run left, and with the disk.
pub(super) fn plan(
    project: &Path,
    wanted: &[Wanted],
    receipt: Option<&Receipt>,
    on_changed: OnChanged,
    cancel: &Cancel,
) -> Result<Plan, InstallError> {
    let records = Records::of(project);
    let mut claims = claims_of(project, &records, receipt)?;
    let interrupted = records.pending()?;
    for (path, pin) in &interrupted {
        claims.entry(path.clone()).or_default().push(Claim { pin: *pin, seen: None });
    }
    let laid = laid(project, &records, wanted, receipt)?;
    let plan = Plan { laid, interrupted, ..Plan::default() };
    compare((project, wanted), claims, plan, on_changed, cancel)
}

/// The same for a folder in which nothing is ours.
pub(super) fn plan_without_records(project: &Path, wanted: &[Wanted], cancel: &Cancel) -> Result<Plan, InstallError> {
    compare((project, wanted), Claims::new(), Plan::default(), OnChanged::Refuse, cancel)
}

fn compare(
    (project, wanted): (&Path, &[Wanted]),
    mut claims: Claims,
    mut plan: Plan,
    on_changed: OnChanged,
    cancel: &Cancel,
) -> Result<Plan, InstallError> {
    let mut planning = Planning {
        project,
        grounds: Grounds::new(project),
        folders_of_claims: claims.keys().flat_map(ancestors).collect(),
        gone: BTreeSet::new(),
        plan: &mut plan,
        obstacles: Obstacles::default(),
        doubts: Vec::new(),
    };
    for package in wanted {
        for (path, pin) in &package.files {
            planning.want(path, *pin, &mut claims)?;
        }
    }
    let leftover: Claims = claims;
    for (path, claims) in leftover {
        planning.release(path, claims)?;
    }
    planning.settle(on_changed, cancel)?;
    let obstacles = planning.finish();
    if !obstacles.symlinked.is_empty() {
        return Err(InstallError::Symlinked { paths: obstacles.symlinked.into_iter().collect() });
    }
    if !obstacles.in_the_way.is_empty() {
        return Err(InstallError::InTheWay { paths: obstacles.in_the_way.into_iter().collect() });
    }
    if !obstacles.changed.is_empty() {
        return Err(InstallError::Changed { paths: obstacles.changed.into_iter().collect() });
    }
    plan.place.sort();
    plan.remove.sort();
    plan.left.sort();
    Ok(plan)
}

/// The files of layouts, wanted and placed.
fn laid(
    project: &Path,
    records: &Records,
    wanted: &[Wanted],
    receipt: Option<&Receipt>,
) -> Result<BTreeSet<RelPath>, InstallError> {
    let layouts = wanted.iter().filter(|package| package.layout.is_some());
    let mut laid: BTreeSet<RelPath> = layouts.flat_map(|layout| &layout.files).map(|(path, _)| path.clone()).collect();
    let placed = receipt.into_iter().flat_map(|receipt| &receipt.packages);
    for package in placed.filter(|package| package.layout.is_some()) {
        records.each_file(package, &mut |file| {
            laid.insert(inside(project, package, &file)?);
            Ok(())
        })?;
    }
    Ok(laid)
}

fn claims_of(project: &Path, records: &Records, receipt: Option<&Receipt>) -> Result<Claims, InstallError> {
    let mut claims = Claims::new();
    for package in receipt.into_iter().flat_map(|receipt| &receipt.packages) {
        records.each_file(package, &mut |file: PlacedFile| {
            let path = inside(project, package, &file)?;
            claims.entry(path).or_default().push(Claim { pin: file.pin, seen: Some((file.stat, file.link)) });
            Ok(())
        })?;
    }
    Ok(claims)
}

/// The folders above a path, nearest first.
pub(super) fn ancestors(path: &RelPath) -> impl Iterator<Item = RelPath> + use<> {
    std::iter::successors(path.parent(), RelPath::parent)
}

struct Planning<'a> {
    project: &'a Path,
    grounds: Grounds<'a>,
    /// Folders that hold claimed files: one that stands where a file is wanted may be ours, and be gone by then.
    folders_of_claims: BTreeSet<RelPath>,
    /// Claimed files that stand where a folder is wanted: they must turn out to be ours.
    gone: BTreeSet<RelPath>,
    plan: &'a mut Plan,
    obstacles: Obstacles,
    doubts: Vec<Doubt>,
}

impl Planning<'_> {
    /// `pin` belongs at `path`.
    fn want(&mut self, path: &RelPath, pin: Pin, claims: &mut Claims) -> Result<(), InstallError> {
        match self.grounds.below(path)? {
            Ground::Folder => {}
            Ground::Symlink(link) => {
                self.obstacles.symlinked.insert(link);
                return Ok(());
            }
            Ground::Other(file) if claims.contains_key(&file) => {
                self.gone.insert(file);
                self.place(path, pin);
                return Ok(());
            }
            Ground::Other(file) => {
                self.obstacles.in_the_way.insert(file);
                return Ok(());
            }
            Ground::Nothing => {
                claims.remove(path);
                self.place(path, pin);
                return Ok(());
            }
        }
        let claims = claims.remove(path).unwrap_or_default();
        let (stat, link) = match disk::standing(&path.under(self.project))? {
            Standing::Nothing => {
                self.place(path, pin);
                return Ok(());
            }
            Standing::Other if self.folders_of_claims.contains(path) => {
                self.place(path, pin);
                return Ok(());
            }
            Standing::Other => {
                self.obstacles.in_the_way.insert(path.clone());
                return Ok(());
            }
            Standing::File(stat) => (stat, false),
            Standing::Link(stat) => (stat, true),
        };
        let known = claims.iter().find_map(|claim| seen_as(claim, stat, link).map(|link| (claim.pin, link)));
        match known {
            // The link is ours and as it was made, but what it led to is gone: a purge took it, or a layer is not there.
            Some((held, Link::Symlink)) if held == pin && !leads(&path.under(self.project), pin) => {
                self.replace(path, pin);
            }
            Some((held, link)) if held == pin => self.keep(path, PlacedFile { path: path.clone(), pin, stat, link }),
            Some(_) => self.replace(path, pin),
            // A link that nobody of us made is never followed, and bytes of another length need no hashing.
            None if claims.is_empty() && (link || stat.size != pin.size) => {
                self.obstacles.in_the_way.insert(path.clone());
            }
            None => self.doubts.push(Doubt { path: path.clone(), stat, through: link, claims, wanted: Some(pin) }),
        }
        Ok(())
    }

    /// Nothing belongs at `path` any longer.
    fn release(&mut self, path: RelPath, claims: Vec<Claim>) -> Result<(), InstallError> {
        if self.grounds.below(&path)? != Ground::Folder {
            return Ok(());
        }
        let (stat, link) = match disk::standing(&path.under(self.project))? {
            Standing::Nothing | Standing::Other => return Ok(()),
            Standing::File(stat) => (stat, false),
            Standing::Link(stat) => (stat, true),
        };
        if claims.iter().any(|claim| seen_as(claim, stat, link).is_some()) {
            self.plan.remove.push(path);
        } else {
            self.doubts.push(Doubt { path, stat, through: link, claims, wanted: None });
        }
        Ok(())
    }

    /// Hashes what is in doubt, on all cores, and decides.
    fn settle(&mut self, on_changed: OnChanged, cancel: &Cancel) -> Result<(), InstallError> {
        let project = self.project;
        let doubts = std::mem::take(&mut self.doubts);
        let found = disk::on_all_cores(&doubts, cancel, &|doubt: &Doubt| {
            let path = doubt.path.under(project);
            if !doubt.through {
                return disk::hash(&path, cancel, &|_| {}).map(Some);
            }
            match disk::hash_through(&path, cancel, &|_| {}) {
                Err(InstallError::Interrupted) => Err(InstallError::Interrupted),
                // A link that leads nowhere: its blob was collected, or the link was changed.
                other => Ok(other.ok()),
            }
        })?;
        for (doubt, found) in doubts.into_iter().zip(found) {
            self.decide(doubt, found, on_changed);
        }
        Ok(())
    }

    fn decide(&mut self, doubt: Doubt, found: Option<Pin>, on_changed: OnChanged) {
        let Doubt { path, stat, through, claims, wanted } = doubt;
        // A link that leads nowhere is ours if we made a link there: there is nothing in it to lose.
        let was_link = claims.iter().any(|claim| matches!(claim.seen, Some((_, Link::Symlink)) | None));
        let ours = match found {
            Some(found) => (!through || was_link) && claims.iter().any(|claim| claim.pin == found),
            None => was_link,
        };
        match (wanted, found) {
            (Some(pin), Some(found)) if found == pin && (!through || was_link) => {
                let link = match (through, claims.first()) {
                    (true, _) => Link::Symlink,
                    (false, Some(Claim { seen: Some((_, link)), .. })) if *link != Link::Symlink => *link,
                    (false, Some(_)) => Link::Copy,
                    (false, None) => Link::Adopted,
                };
                self.plan.adopted += u64::from(claims.is_empty());
                self.keep(&path, PlacedFile { path: path.clone(), pin, stat, link });
            }
            (Some(pin), _) if ours => self.replace(&path, pin),
            (Some(pin), _) if !claims.is_empty() && on_changed == OnChanged::Replace => self.replace(&path, pin),
            (Some(_), _) if claims.is_empty() => {
                self.obstacles.in_the_way.insert(path);
            }
            (Some(_), _) => {
                self.obstacles.changed.insert(path);
            }
            (None, _) if ours => self.plan.remove.push(path),
            (None, _) => self.plan.left.push(path),
        }
    }

    /// A file that stands where a folder is wanted must be one that goes.
    fn finish(mut self) -> Obstacles {
        for path in &self.gone {
            if !self.plan.remove.contains(path) {
                self.obstacles.in_the_way.insert(path.clone());
            }
        }
        self.obstacles
    }

    fn place(&mut self, path: &RelPath, pin: Pin) {
        self.plan.place.push((path.clone(), pin));
    }

    fn replace(&mut self, path: &RelPath, pin: Pin) {
        self.plan.replace.insert(path.clone());
        self.place(path, pin);
    }

    fn keep(&mut self, path: &RelPath, file: PlacedFile) {
        self.plan.keep += 1;
        self.plan.kept.insert(path.clone(), file);
    }
}

/// Whether a symbolic link leads to a file of the right size.
fn leads(link: &Path, pin: Pin) -> bool {
    std::fs::metadata(link).is_ok_and(|target| target.is_file() && target.len() == pin.size)
}

/// The way in which a claim was placed, if what stands there looks as it did then.
fn seen_as(claim: &Claim, stat: Stat, link: bool) -> Option<Link> {
    let (seen, how) = claim.seen?;
    (seen.agrees(&stat) && link == (how == Link::Symlink)).then_some(how)
}
