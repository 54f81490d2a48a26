//! Files into a folder that is no project: the same plan and the same placing, no records.

use std::io;
use std::path::Path;

use crate::install::apply::{place_without_records, summary_of};
use crate::install::error::InstallError;
use crate::install::plan::{plan, plan_without_records};
use crate::install::{Applied, OnChanged, Plan, Receipt, Site, Wanted};
use crate::layout::Layout;
use crate::model::RelPath;
use crate::policy::Cleared;
use crate::progress::Progress;
use crate::select::Selected;
use crate::sys::Cancel;

impl Site<'_> {
    /// What must be done so that this folder holds the files of everything cleared, directly below it.
    ///
    /// # Errors
    /// `E0754` files in the way, `E0756` a symlink where a folder must be, `E0751` the folder can't be read.
    pub fn plan_export(&self, cleared: &Cleared<'_>, cancel: &Cancel) -> Result<Plan, InstallError> {
        plan_without_records(self.project, &self.wanted_below(cleared.selected())?, cancel)
    }

    /// Whether something stands in the way of a selection, before its bytes travel.
    ///
    /// # Errors
    /// As for [`Site::plan_export`].
    pub fn foresee_export(&self, selected: &Selected, cancel: &Cancel) -> Result<(), InstallError> {
        plan_without_records(self.project, &self.wanted_below(selected)?, cancel).map(drop)
    }

    /// What is wanted in this folder. Records of `mpm` are none of it: the folder may be a project, and they would say which
    /// of its files may be replaced and removed.
    fn wanted_below(&self, selected: &Selected) -> Result<Vec<Wanted>, InstallError> {
        let wanted = wanted(selected);
        let records = |path: &RelPath| path.components().next().is_some_and(|first| first.eq_ignore_ascii_case(".mpm"));
        match wanted.iter().flat_map(|package| &package.files).find(|(path, _)| records(path)) {
            None => Ok(wanted),
            Some((path, _)) => {
                let source =
                    io::Error::other("what stands in `.mpm` counts as mpm's own records; leave it out with --exclude");
                Err(InstallError::Disk { doing: "place", path: path.under(self.project), source })
            }
        }
    }

    /// The same for a project, layouts included.
    ///
    /// # Errors
    /// As for [`Site::plan`].
    pub fn foresee(
        &self,
        (selected, layouts): (&Selected, &[Layout]),
        receipt: Option<&Receipt>,
        on_changed: OnChanged,
        cancel: &Cancel,
    ) -> Result<(), InstallError> {
        plan(self.project, &super::wanted(selected, layouts), receipt, on_changed, cancel).map(drop)
    }

    /// Does it. Nothing is remembered: what stands there is its owner's.
    ///
    /// # Errors
    /// `E0751` the folder can't be written, `E0757` a blob is missing, `E0758` the asked way of linking is impossible, `E0759`
    /// stopped.
    pub fn export(&self, plan: &Plan, cancel: &Cancel, progress: &dyn Progress) -> Result<Applied, InstallError> {
        make(self.project)?;
        let placed = place_without_records(self, plan, cancel, progress)?;
        Ok(summary_of(&placed, plan))
    }
}

fn make(folder: &Path) -> Result<(), InstallError> {
    std::fs::create_dir_all(folder).map_err(|source| InstallError::Disk {
        doing: "make",
        path: folder.to_owned(),
        source,
    })
}

/// The files by their own paths: whichever folder they would have in a project does not count here.
fn wanted(selected: &Selected) -> Vec<Wanted> {
    let packages = selected.packages().iter().map(|package| Wanted {
        key: None,
        id: package.origin.to_string(),
        release: None,
        layout: None,
        folder: package.folder.clone(),
        variants: Vec::new(),
        files: package.files.iter().map(|file| (file.path.clone(), file.pin)).collect(),
    });
    packages.collect()
}
