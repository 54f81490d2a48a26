//! Files into a folder that is no project: the same plan and the same placing, no records.
//!
//! A layer is such a folder that is to be the same whoever makes it and when: one time for what was copied, one mode for folders.

use std::collections::BTreeSet;
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::install::apply::{place_layer, place_without_records, record_layer, summary_of};
use crate::install::error::InstallError;
use crate::install::place::set_time;
use crate::install::plan::{ancestors, plan, plan_without_records};
use crate::install::{Applied, OnChanged, Placing, Plan, Receipt, Site, Wanted};
use crate::layout::Layout;
use crate::model::{RelPath, Sha256, Timestamp};
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

/// A folder to be packed.
#[derive(Debug, Clone, Copy)]
pub struct Layer<'a> {
    /// What goes there.
    pub placing: Placing<'a>,
    /// The time of every file and folder.
    pub time: Timestamp,
    /// What a receipt in it answers; none: there is none.
    pub inputs: Option<Sha256>,
}

impl Site<'_> {
    /// What must be done so that this folder holds a selection and its layouts, each at its place in a project.
    ///
    /// # Errors
    /// As for [`Site::plan_export`].
    pub fn plan_layer(&self, placing: Placing<'_>, cancel: &Cancel) -> Result<Plan, InstallError> {
        let wanted = placing.wanted();
        let laid = wanted.iter().filter(|package| package.layout.is_some());
        let laid = laid.flat_map(|layout| &layout.files).map(|(path, _)| path.clone()).collect();
        Ok(Plan { laid, ..plan_without_records(self.project, &wanted, cancel)? })
    }

    /// Whether something stands in the way, before bytes travel.
    ///
    /// # Errors
    /// As for [`Site::plan_export`].
    pub fn foresee_layer(
        &self,
        (selected, layouts): (&Selected, &[Layout]),
        cancel: &Cancel,
    ) -> Result<(), InstallError> {
        plan_without_records(self.project, &super::wanted(selected, layouts), cancel).map(drop)
    }

    /// Does it.
    ///
    /// # Errors
    /// As for [`Site::export`].
    pub fn make_layer(
        &self,
        plan: &Plan,
        layer: Layer<'_>,
        cancel: &Cancel,
        progress: &dyn Progress,
    ) -> Result<Applied, InstallError> {
        make(self.project)?;
        let wanted = layer.placing.wanted();
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(layer.time.seconds());
        let placed = place_layer(self, (plan, &wanted), time, cancel, progress)?;
        let applied = summary_of(&placed, plan);
        if let Some(inputs) = layer.inputs {
            record_layer(self, plan, &wanted, (inputs, placed))?;
        }
        settle(self.project, &wanted, time)?;
        Ok(applied)
    }
}

/// Gives the folders one time and mode, the deepest first; the folder itself only where nothing else is in it.
fn settle(layer: &Path, wanted: &[Wanted], time: SystemTime) -> Result<(), InstallError> {
    let paths = || wanted.iter().flat_map(|package| &package.files).map(|(path, _)| path);
    let folders: BTreeSet<RelPath> = paths().flat_map(ancestors).collect();
    for folder in folders.iter().rev() {
        settle_folder(&folder.under(layer), time)?;
    }
    let tops: BTreeSet<&str> = paths().filter_map(|path| path.as_str().split('/').next()).collect();
    let alone = std::fs::read_dir(layer)
        .map_err(|source| unusable(layer, source))?
        .all(|entry| entry.is_ok_and(|entry| entry.file_name().to_str().is_some_and(|name| tops.contains(name))));
    if alone { settle_folder(layer, time) } else { Ok(()) }
}

fn settle_folder(folder: &Path, time: SystemTime) -> Result<(), InstallError> {
    std::fs::set_permissions(folder, Permissions::from_mode(0o755))
        .and_then(|()| set_time(folder, time))
        .map_err(|source| unusable(folder, source))
}

fn unusable(folder: &Path, source: io::Error) -> InstallError {
    InstallError::Disk { doing: "settle", path: folder.to_owned(), source }
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
