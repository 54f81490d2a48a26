//! `mpm sync`: the project holds exactly what its lock says.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::LinkMode;
use crate::install::{Applied, Receipt, Scrutiny, Site};
use crate::lock::{Found, Lock};
use crate::manifest::LayoutDeclaration;
use crate::model::{RelPath, Timestamp};
use crate::ops::pipeline::{self, Reach, Released, Wish};
use crate::ops::project::{self, Project};
use crate::ops::{Accepted, Change, LaidOut, LockRule, PackageLine, PipelineError, Services, Travel, locking, report};
use crate::select::{Choice, needed};
use crate::store::Store;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Where to look for Model.toml: here, then in the folders above.
    pub start: PathBuf,
    /// Groups, profile, keys.
    pub choice: Choice,
    /// Whether Model.lock may change.
    pub lock_rule: LockRule,
    /// How files come from the store; none: as configured.
    pub link: Option<LinkMode>,
    /// Look at every placed file by stat, not only at folders of large packages.
    pub check: bool,
    /// Only tell.
    pub dry_run: bool,
    /// Replace placed files that somebody changed.
    pub force: bool,
    /// Into this folder instead of the project.
    pub export: Option<Export>,
    /// What a person has accepted.
    pub accepted: Accepted,
    /// How long to wait for somebody else's lease.
    pub wait: Duration,
}

impl Request {
    /// What a command asks that locks, and places nothing.
    pub(super) fn to_lock(
        folder: &Path,
        lock_rule: LockRule,
        dry_run: bool,
        accepted: &Accepted,
        wait: Duration,
    ) -> Self {
        Self {
            start: folder.to_path_buf(),
            choice: Choice::default(),
            lock_rule,
            link: None,
            check: false,
            dry_run,
            force: false,
            export: None,
            accepted: accepted.clone(),
            wait,
        }
    }
}

/// A folder that gets the files in the project's stead, to be packed: the same bytes whoever makes it, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    /// The folder, absolute.
    pub to: PathBuf,
    /// The time of every file and folder in it.
    pub time: Timestamp,
    /// What besides files goes there.
    pub records: Records,
}

/// What a folder for packing holds besides files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Records {
    /// Nothing.
    None,
    /// Model.toml, Model.lock and a receipt, so that `mpm verify` and `mpm run` work there.
    Whole,
}

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The project's folder.
    pub project: PathBuf,
    /// The folder that got the files in its stead.
    pub to: Option<PathBuf>,
    /// Nothing had to be done.
    pub up_to_date: bool,
    /// Nothing was done: only told.
    pub dry_run: bool,
    /// What changed in the lock; empty: it stands as it was.
    pub lock_changes: Vec<Change>,
    /// Whether Model.lock was written.
    pub lock_written: bool,
    /// Releases and sources in the lock.
    pub lock_entries: u64,
    /// Bytes that travelled.
    pub travel: Travel,
    /// What was placed and removed.
    pub applied: Applied,
    /// Packages that the project now holds.
    pub packages: Vec<PackageLine>,
    /// Ids of those that nobody signed.
    pub unsigned: Vec<String>,
    /// Layouts that the project now has.
    pub layouts: Vec<LaidOut>,
    /// Packages that were placed or changed by this run, by folder.
    pub changed: Vec<RelPath>,
    /// Packages that are gone, by id.
    pub removed: Vec<String>,
}

/// Does it.
///
/// # Errors
/// Those of the stages that it goes through.
pub fn run(services: &Services, request: &Request) -> Result<Outcome, PipelineError> {
    let project = Project::open(&request.start)?;
    if request.export.is_none()
        && let Some(outcome) = nothing_to_do(services, &project, request)?
    {
        return Ok(outcome);
    }
    let _lease = if request.dry_run { None } else { Some(project.lease(services, request.wait)?) };
    // Somebody may have changed it while we waited.
    let project = Project::open(&project.folder)?;
    let wish = Wish { request, released: Released::default(), reach: Reach::Place, manifest_changed: false };
    pipeline::run(services, &project, &wish)
}

/// Whether a receipt names files of all that the lock selects, layouts included: what it leaves out, nobody looks at.
pub(super) fn names_all(project: &Project, lock: &Lock, choice: &Choice, receipt: &Receipt) -> bool {
    let (releases, sources) = needed(&project.manifest, lock, choice);
    let named: BTreeSet<&str> =
        receipt.dependencies().filter(|placed| placed.is_tangible()).map(|placed| placed.id.as_str()).collect();
    let dependencies = releases.iter().all(|id| named.contains(id.to_string().as_str()))
        && sources.iter().all(|id| named.contains(id.as_str()));
    let has_names = !releases.is_empty() || sources.iter().any(|id| id.hub().is_some());
    let laid_out = |declaration: &LayoutDeclaration| {
        let kind = Some(declaration.kind.as_str());
        receipt.packages.iter().any(|placed| placed.layout.as_deref() == kind && placed.is_tangible())
    };
    dependencies && (!has_names || project.manifest.install.layouts.iter().all(laid_out))
}

/// The answer where the receipt says that nothing has to be done: no socket is opened, and files are looked at by stat.
fn nothing_to_do(services: &Services, project: &Project, request: &Request) -> Result<Option<Outcome>, PipelineError> {
    let Some(lock_text) = &project.lock_text else { return Ok(None) };
    // Whether an index is still fresh, no receipt can tell.
    if project.manifest.policy.require_fresh {
        return Ok(None);
    }
    let store = Store::open(&services.folders.store)?;
    let site = Site { project: &project.folder, store: &store, link: LinkMode::Auto };
    let Some(receipt) = site.receipt()? else { return Ok(None) };
    let settings = pipeline::settings_text(&request.choice, pipeline::link_of(services, request));
    let inputs = project::inputs(&project.manifest_text, lock_text, &settings);
    if receipt.inputs != Some(inputs) {
        return Ok(None);
    }
    let Found::Whole(lock) = Lock::parse(lock_text)? else { return Ok(None) };
    if !locking::doubted(services, &lock)?.is_empty() || !pipeline::stale_sources(services, project, &lock)?.is_empty()
    {
        return Ok(None);
    }
    let scrutiny = if request.check { Scrutiny::Stat } else { Scrutiny::Quick };
    // A receipt may have come with the project, from whoever made it: it counts for files that look as it says. Others are
    // compared with the lock, and looked into.
    let examined = site.examine_looks(&receipt, scrutiny, &services.cancel, &*services.progress)?;
    // What a run left that was killed between its receipt and its last step goes in the long way, under the lease.
    let whole = names_all(project, &lock, &request.choice, &receipt) && !site.was_interrupted()?;
    if !examined.altered.is_empty() || !whole {
        return Ok(None);
    }
    if let (Some(refreshed), false) = (&examined.refreshed, request.dry_run) {
        // A large folder that gained a file of somebody's is looked through once, not at every sync.
        let _lease = project.lease(services, request.wait)?;
        site.write_receipt(refreshed)?;
    }
    let packages = report::placed_lines(&lock, &receipt);
    Ok(Some(Outcome {
        project: project.folder.clone(),
        up_to_date: true,
        dry_run: request.dry_run,
        unsigned: report::unsigned(&packages),
        layouts: report::layouts(&project.manifest),
        packages,
        ..Outcome::default()
    }))
}
