//! Files in the project, and the receipt: written last, read first (docs/formats/receipt.md).
//!
//! Takes only [`Cleared`]. Never touches what it did not place. Refuses to know networks and trust.

use std::path::{Path, PathBuf};

use crate::config::LinkMode;
use crate::diagnose::{Class, Code, Diagnose};
use crate::model::{Pin, RelPath, Sha256};
use crate::policy::Cleared;
use crate::progress::Progress;
use crate::store::Store;
use crate::sys::Cancel;

/// What `mpm` placed in a project.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Receipt {
    /// What the receipt answers: digest over manifest bytes, lock bytes and choice. A no-op compares this first.
    pub inputs: Option<Sha256>,
    /// Placed packages; the owner of this room defines the rest.
    pub packages: Vec<PlacedPackage>,
}

/// A package as it was placed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedPackage {
    /// The key, for direct dependencies.
    pub key: Option<String>,
    /// `registry:ns/name@version` or a source id.
    pub id: String,
    /// The folder, relative to the project.
    pub folder: RelPath,
    /// Statement digest, for releases.
    pub statement: Option<Sha256>,
    /// Variants chosen.
    pub variants: Vec<String>,
    /// Bytes placed.
    pub size: u64,
    /// Number of files placed.
    pub count: u64,
}

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
    /// In words: `missing`, `changed`, `not a file`.
    pub how: &'static str,
}

/// What must be done to a project.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Files to place: (project path, pin).
    pub place: Vec<(RelPath, Pin)>,
    /// Placed files that no longer belong.
    pub remove: Vec<RelPath>,
    /// Files that are as they should be.
    pub keep: u64,
}

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// Files placed.
    pub placed: u64,
    /// Bytes placed (by link or copy).
    pub bytes: u64,
    /// Files removed.
    pub removed: u64,
    /// How: `reflink`, `hard link`, `symlink`, `copy`.
    pub link: Option<&'static str>,
}

/// Why nothing, or not everything, was placed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// Placeholder variant; the room's owner replaces it.
    #[error("placeholder")]
    Placeholder,
}

impl Diagnose for InstallError {
    fn code(&self) -> Code {
        Code("E0751")
    }
    fn class(&self) -> Class {
        Class::Yours
    }
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

impl Site<'_> {
    /// The receipt, if there is one that this version understands.
    ///
    /// # Errors
    /// It can't be read or is damaged.
    pub fn receipt(&self) -> Result<Option<Receipt>, InstallError> {
        todo!()
    }

    /// Placed files that are not as they were placed.
    ///
    /// # Errors
    /// The project can't be read.
    pub fn altered(
        &self,
        receipt: &Receipt,
        scrutiny: Scrutiny,
        cancel: &Cancel,
        progress: &dyn Progress,
    ) -> Result<Vec<Altered>, InstallError> {
        todo!()
    }

    /// What must be done so that the project holds exactly the cleared selection, besides what is not ours.
    ///
    /// # Errors
    /// A file of the user's in the way (all of them named), a symlink where a folder must be.
    pub fn plan(&self, cleared: &Cleared<'_>, receipt: Option<&Receipt>) -> Result<Plan, InstallError> {
        todo!()
    }

    /// Does it, and writes the receipt last.
    ///
    /// # Errors
    /// The project can't be written; what was placed before stays recorded, so that the next run goes on.
    pub fn apply(
        &self,
        plan: &Plan,
        cleared: &Cleared<'_>,
        inputs: Sha256,
        cancel: &Cancel,
        progress: &dyn Progress,
    ) -> Result<Applied, InstallError> {
        todo!()
    }
}
