//! Files in the project, and the receipt: written last, read first (docs/formats/receipt.md).
//!
//! Takes only [`Cleared`]. Owns `.mpm/`. Never touches what it did not place. Refuses to know networks and trust.

mod apply;
mod check;
mod disk;
mod error;
mod export;
mod place;
mod plan;
mod receipt;
mod records;
mod wire;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::config::LinkMode;
use crate::install::check::Renewal;
use crate::install::records::Records;
use crate::layout::{Content, Layout};
use crate::model::{PackageId, Pin, RelPath, Sha256};
use crate::policy::Cleared;
use crate::progress::Progress;
use crate::select::{Choice, Origin, Selected};
use crate::store::Store;
use crate::sys::Cancel;

pub use error::InstallError;
pub use export::Layer;
pub use receipt::{Link, MAX_INLINE_FILES, PlacedFile, PlacedFiles, PlacedFolder, PlacedPackage, Receipt, Stat};

/// How closely placed files are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scrutiny {
    /// Each file by stat up to 2,000 files a package, the folders beyond that.
    Quick,
    /// Each file by stat.
    Stat,
    /// Each file by hash.
    Hash,
}

/// What becomes of placed files that somebody changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnChanged {
    /// They stay, and nothing is done.
    Refuse,
    /// They are replaced, and the changes are lost.
    Replace,
}

/// A placed file that is not as it was placed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Altered {
    /// Relative to the project.
    pub path: RelPath,
    /// The package.
    pub id: String,
    /// Expected bytes.
    pub expected: Pin,
    /// What was found: bytes, or nothing.
    pub found: Option<Pin>,
    /// In words: `missing`, `changed`, `not a file`, `behind a symbolic link`.
    pub how: &'static str,
}

/// What looking at placed files showed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Examined {
    /// Files that are not as they were placed, sorted.
    pub altered: Vec<Altered>,
    /// Where nothing is altered, but files looked otherwise and had to be read: the receipt with the new looks, to be
    /// written with [`Site::write_receipt`] under the project's lease, so that the next look is quick again.
    pub refreshed: Option<Receipt>,
    /// Something looks just as the receipt says: who wrote it has seen this very disk. Otherwise it may have come with the files.
    pub ours: bool,
}

/// What must be done to a project.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Files to place: (project path, pin).
    pub place: Vec<(RelPath, Pin)>,
    /// Placed files that no longer belong.
    pub remove: Vec<RelPath>,
    /// Placed files that no longer belong, but were changed: they are left.
    pub left: Vec<RelPath>,
    /// Files that are as they should be.
    pub keep: u64,
    /// Of those: files that `mpm` did not place, with the right bytes. They are taken over.
    pub adopted: u64,
    /// Digests of release statements, which the receipt records; filled by the caller, who knows the lock.
    pub statements: BTreeMap<PackageId, Sha256>,
    /// What was chosen, which the receipt records; filled by the caller as well.
    pub choice: Choice,
    /// Digest over what decides which files are placed, which the receipt records; filled by the caller as well.
    pub meaning: Option<Sha256>,
    /// Those of `place` that replace a file of ours.
    replace: BTreeSet<RelPath>,
    /// Those of `place` and `remove` that belong to layouts.
    laid: BTreeSet<RelPath>,
    /// How the files of `keep` look, by project path.
    kept: BTreeMap<RelPath, PlacedFile>,
    /// What an interrupted run was about to place.
    interrupted: Vec<(RelPath, Pin)>,
}

impl Plan {
    /// Whether the project's files are as they should be.
    pub fn is_empty(&self) -> bool {
        self.place.is_empty() && self.remove.is_empty()
    }

    /// Bytes to be placed.
    pub fn bytes(&self) -> u64 {
        self.place.iter().map(|(_, pin)| pin.size).sum()
    }
}

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// Files placed, those of layouts not counted.
    pub placed: u64,
    /// Bytes placed (by link or copy), those of layouts not counted.
    pub bytes: u64,
    /// Files removed, those of layouts not counted.
    pub removed: u64,
    /// Files placed for layouts.
    pub laid: u64,
    /// Files of layouts removed.
    pub unlaid: u64,
    /// Files taken over that stood there with the right bytes.
    pub adopted: u64,
    /// How: `reflink`, `hard link`, `symlink`, `copy`.
    pub link: Option<&'static str>,
}

/// A project's folder as this room sees it.
#[derive(Debug, Clone)]
pub struct Site<'a> {
    /// The project's folder, absolute.
    pub project: &'a Path,
    /// Where blobs are.
    pub store: &'a Store,
    /// How files come from there.
    pub link: LinkMode,
}

/// One folder that is wanted, its paths relative to the project.
#[derive(Debug, Clone)]
struct Wanted {
    key: Option<String>,
    id: String,
    release: Option<PackageId>,
    /// The layout that it belongs to; none: it is a package.
    layout: Option<&'static str>,
    folder: RelPath,
    variants: Vec<String>,
    files: Vec<(RelPath, Pin)>,
}

/// What is placed: a cleared selection, and layouts of it.
#[derive(Debug, Clone, Copy)]
pub struct Placing<'a> {
    /// The selection.
    pub cleared: &'a Cleared<'a>,
    /// Layouts that were made of the same selection: their files are looked up in it.
    pub layouts: &'a [Layout],
}

impl Site<'_> {
    /// The receipt, if there is one.
    ///
    /// # Errors
    /// `E0751` it can't be read, `E0752` it is damaged, `E0753` a newer version wrote it.
    pub fn receipt(&self) -> Result<Option<Receipt>, InstallError> {
        Records::of(self.project).receipt()
    }

    /// Whether a run began to place files and did not come to say that it was done.
    ///
    /// # Errors
    /// `E0751`: the project can't be read.
    pub fn was_interrupted(&self) -> Result<bool, InstallError> {
        Records::of(self.project).has_pending()
    }

    /// Writes a receipt that [`Site::examine`] refreshed.
    ///
    /// # Errors
    /// `E0751`: it can't be written.
    pub fn write_receipt(&self, receipt: &Receipt) -> Result<(), InstallError> {
        Records::of(self.project).write_receipt(receipt)
    }

    /// Placed files that are not as they were placed. Writes nothing.
    ///
    /// # Errors
    /// `E0751` the project can't be read, `E0752` a file table is damaged, `E0759` stopped.
    pub fn altered(
        &self,
        receipt: &Receipt,
        scrutiny: Scrutiny,
        cancel: &Cancel,
        progress: &dyn Progress,
    ) -> Result<Vec<Altered>, InstallError> {
        check::examine(self.project, receipt, (scrutiny, Renewal::Leave), cancel, progress)
            .map(|examined| examined.altered)
    }

    /// The same, with the receipt as it should be now where files only look otherwise. It may write a file table, which
    /// counts for nothing until a receipt names it.
    ///
    /// # Errors
    /// As for [`Site::altered`].
    pub fn examine(
        &self,
        receipt: &Receipt,
        scrutiny: Scrutiny,
        cancel: &Cancel,
        progress: &dyn Progress,
    ) -> Result<Examined, InstallError> {
        check::examine(self.project, receipt, (scrutiny, Renewal::Make), cancel, progress)
    }

    /// The same without reading a byte: a file that looks otherwise counts as altered. Who wrote the receipt knew how the files of
    /// this very disk look, so that it is one of ours, and no other that came with the files.
    ///
    /// # Errors
    /// As for [`Site::altered`].
    pub fn examine_looks(
        &self,
        receipt: &Receipt,
        scrutiny: Scrutiny,
        cancel: &Cancel,
        progress: &dyn Progress,
    ) -> Result<Examined, InstallError> {
        check::examine(self.project, receipt, (scrutiny, Renewal::Looks), cancel, progress)
    }

    /// What must be done so that the project holds exactly the cleared selection, besides what is not ours.
    ///
    /// # Errors
    /// `E0754` files of the user's in the way, `E0755` placed files that were changed, `E0756` a symlink where a folder must
    /// be: each names all of them. `E0751`, `E0752`: the project can't be read.
    pub fn plan(&self, placing: Placing<'_>, receipt: Option<&Receipt>) -> Result<Plan, InstallError> {
        self.plan_with(placing, receipt, OnChanged::Refuse)
    }

    /// The same, with the choice to replace placed files that were changed.
    ///
    /// # Errors
    /// As for [`Site::plan`].
    pub fn plan_with(
        &self,
        placing: Placing<'_>,
        receipt: Option<&Receipt>,
        on_changed: OnChanged,
    ) -> Result<Plan, InstallError> {
        let mut plan = plan::plan(self.project, &placing.wanted(), receipt, on_changed, &Cancel::new())?;
        if on_changed == OnChanged::Replace {
            self.relink(&mut plan)?;
        }
        Ok(plan)
    }

    /// Symbolic links that lead elsewhere than to where the store has the blob now are made anew: what they lead to, a layer
    /// may have that is passed over.
    fn relink(&self, plan: &mut Plan) -> Result<(), InstallError> {
        let links = plan.kept.values().filter(|file| file.link == Link::Symlink);
        let mut wrong = Vec::new();
        for file in links {
            let Some(blob) = self.store.find(&file.pin)? else { continue };
            if std::fs::read_link(file.path.under(self.project)).is_ok_and(|target| target != blob.path) {
                wrong.push((file.path.clone(), file.pin));
            }
        }
        for (path, pin) in wrong {
            plan.kept.remove(&path);
            plan.keep = plan.keep.saturating_sub(1);
            plan.replace.insert(path.clone());
            plan.place.push((path, pin));
        }
        plan.place.sort();
        Ok(())
    }

    /// Does it, and writes the receipt last.
    ///
    /// # Errors
    /// `E0751` the project can't be written, `E0757` a blob is missing, `E0758` the asked way of linking is impossible, `E0759`
    /// stopped: what was placed before stays recorded, so that the next run goes on.
    pub fn apply(
        &self,
        plan: &Plan,
        placing: Placing<'_>,
        inputs: Sha256,
        cancel: &Cancel,
        progress: &dyn Progress,
    ) -> Result<Applied, InstallError> {
        apply::apply(self, plan, &placing.wanted(), inputs, cancel, progress)
    }
}

impl Placing<'_> {
    fn wanted(self) -> Vec<Wanted> {
        wanted(self.cleared.selected(), self.layouts)
    }
}

fn wanted(selected: &Selected, layouts: &[Layout]) -> Vec<Wanted> {
    let mut wanted = packages(selected);
    for layout in layouts {
        for laid in &layout.folders {
            // A file that the selection does not have is not placed.
            let file = |(path, content): (&RelPath, &Content)| Some((path.clone(), content.pin(selected)?));
            wanted.push(Wanted {
                key: None,
                id: laid.id.clone(),
                release: None,
                layout: Some(layout.kind.as_str()),
                folder: laid.folder.clone(),
                variants: Vec::new(),
                files: laid.files.iter().filter_map(file).collect(),
            });
        }
    }
    wanted.sort_by(|left, right| left.folder.cmp(&right.folder));
    wanted
}

#[expect(
    clippy::expect_used,
    reason = "only `select` makes it, and refuses a folder and a path that do not fit together"
)]
fn packages(selected: &Selected) -> Vec<Wanted> {
    selected
        .packages()
        .iter()
        .map(|package| {
            let files = package.files.iter().map(|file| {
                let path = package.folder.join(&file.path).expect("`select` joined them before");
                (path, file.pin)
            });
            let (id, release) = match &package.origin {
                Origin::Release(id) => (id.to_string(), Some(id.clone())),
                Origin::Source(id) => (id.to_string(), None),
            };
            Wanted {
                key: package.key.as_ref().map(ToString::to_string),
                id,
                release,
                layout: None,
                folder: package.folder.clone(),
                variants: package.variants.iter().map(ToString::to_string).collect(),
                files: files.collect(),
            }
        })
        .collect()
}
