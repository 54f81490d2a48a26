//! `mpm verify`: every placed file and every blob is what it was.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::LinkMode;
use crate::install::{Altered, Link, PlacedFiles, PlacedPackage, Receipt, Scrutiny, Site};
use crate::model::RelPath;
use crate::ops::pipeline::{self, Reach, Released, Wish};
use crate::ops::project::Project;
use crate::ops::{Accepted, LockRule, PipelineError, Services, sync};
use crate::select::Choice;
use crate::store::{BadBlob, Hashed};

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Where to look for Model.toml.
    pub start: PathBuf,
    /// Mend what is bad.
    pub repair: bool,
    /// Only the store.
    pub store_only: bool,
    /// The blobs of the store's layers too.
    pub layers: bool,
    /// How long to wait for somebody else's lease.
    pub wait: Duration,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Files of the project that were hashed.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Blobs of the store that were hashed.
    pub blobs: u64,
    /// Their bytes.
    pub blob_bytes: u64,
    /// Layers whose blobs were not asked to be hashed.
    pub layers_left: u64,
    /// Files that are not as they were placed.
    pub altered: Vec<Altered>,
    /// Blobs that are not what their name says.
    pub bad_blobs: Vec<BadBlob>,
    /// Packages of the project.
    pub packages: u64,
    /// Ids of those that nobody signed.
    pub unsigned: Vec<String>,
    /// Whether everything bad was mended.
    pub repaired: bool,
}

impl Outcome {
    /// Whether anything is bad and was not mended: exit code 4.
    pub fn is_bad(&self) -> bool {
        let all_good = self.altered.is_empty() && self.bad_blobs.is_empty();
        !all_good && !self.repaired
    }
}

/// Does it.
///
/// # Errors
/// What can't be read. Bad files are no error but the outcome; see [`Outcome::is_bad`].
pub fn run(services: &Services, request: &Request) -> Result<Outcome, PipelineError> {
    let store = services.store(request.wait)?;
    let project = if request.store_only { None } else { Some(Project::open(&request.start)?) };
    let (mut outcome, mut choice) = (Outcome::default(), Choice::default());
    (outcome.blobs, outcome.blob_bytes) = store.size()?;
    let mut hashed = Hashed::new();
    if let Some(project) = &project {
        let site = Site { project: &project.folder, store: &store, link: LinkMode::Auto };
        if let Some(receipt) = site.receipt()? {
            choice = receipt.choice.clone();
            outcome.files = receipt.packages.iter().map(|package| package.count).sum();
            outcome.bytes = receipt.packages.iter().map(own_bytes).sum();
            outcome.packages = receipt.dependencies().count() as u64;
            // What somebody signed has a statement.
            let unsigned = receipt.dependencies().filter(|placed| placed.statement.is_none());
            outcome.unsigned = unsigned.map(|placed| placed.id.clone()).collect();
            outcome.altered = site.altered(&receipt, Scrutiny::Hash, &services.cancel, &*services.progress)?;
            hashed = good_files(&project.folder, &receipt, &outcome.altered);
        }
    }
    outcome.bad_blobs = store.verify_but(&hashed, &services.cancel, &*services.progress)?;
    for layer in store.layers() {
        if !request.layers {
            outcome.layers_left += 1;
            continue;
        }
        let (blobs, bytes) = store.size_of_layer(layer)?;
        (outcome.blobs, outcome.blob_bytes) = (outcome.blobs + blobs, outcome.blob_bytes + bytes);
        outcome.bad_blobs.extend(store.verify_layer(layer, &hashed, &services.cancel, &*services.progress)?);
    }
    if services.cancel.is_cancelled() {
        return Err(PipelineError::Cancelled);
    }
    if request.repair && outcome.is_bad() {
        for bad in &outcome.bad_blobs {
            if bad.path.starts_with(store.folder()) {
                store.discard(&bad.expected)?;
            } else {
                store.pass_over(&bad.expected)?;
            }
        }
        if let Some(project) = &project {
            mend(services, request, project, choice)?;
        }
        outcome.repaired = true;
    }
    Ok(outcome)
}

/// Bytes that are read for a package. What a layout shares with one is read there.
fn own_bytes(placed: &PlacedPackage) -> u64 {
    match (&placed.layout, &placed.files) {
        (None, _) => placed.size,
        (Some(_), PlacedFiles::Table { .. }) => 0,
        (Some(_), PlacedFiles::Inline(files)) => {
            files.iter().filter(|file| file.link != Link::Hard).map(|file| file.pin.size).sum()
        }
    }
}

/// Files that were just found to be what they were placed as. Those of packages whose table lies apart are hashed again as
/// blobs: they are small and many.
fn good_files(project: &Path, receipt: &Receipt, altered: &[Altered]) -> Hashed {
    let bad: BTreeSet<&RelPath> = altered.iter().map(|file| &file.path).collect();
    let mut good = Hashed::new();
    for package in &receipt.packages {
        let PlacedFiles::Inline(files) = &package.files else { continue };
        for file in files {
            let Ok(path) = package.folder.join(&file.path) else { continue };
            let found = path.under(project).symlink_metadata();
            if let Some(found) = found.ok().filter(|found| found.is_file() && !bad.contains(&path)) {
                good.insert((found.dev(), found.ino()), file.pin.sha256);
            }
        }
    }
    good
}

/// Brings what is missing again and replaces what was changed, within what was chosen when it was placed.
fn mend(services: &Services, request: &Request, project: &Project, choice: Choice) -> Result<(), PipelineError> {
    let _lease = project.lease(services, request.wait)?;
    let project = Project::open(&project.folder)?;
    let wish = sync::Request {
        start: project.folder.clone(),
        choice,
        lock_rule: LockRule::Locked,
        link: None,
        check: true,
        dry_run: false,
        force: true,
        export: None,
        accepted: Accepted::default(),
        wait: request.wait,
    };
    let wish = Wish { request: &wish, released: Released::default(), reach: Reach::Place, manifest_changed: false };
    pipeline::run(services, &project, &wish)?;
    Ok(())
}
