//! `mpm update`: newer versions within the requirements, in the lock alone.

use std::path::PathBuf;
use std::time::Duration;

use crate::lock::{Found, Lock, SourceId};
use crate::model::{PackageId, Version};
use crate::ops::named::{self, Named};
use crate::ops::pipeline::{self, Reach, Released, Wish};
use crate::ops::project::Project;
use crate::ops::{Accepted, Change, LockRule, Name, PipelineError, Services, Travel, sync};

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Where to look for Model.toml.
    pub start: PathBuf,
    /// What may change.
    pub what: What,
    /// Only tell.
    pub dry_run: bool,
    /// What a person has accepted.
    pub accepted: Accepted,
    /// How long to wait for somebody else's lease.
    pub wait: Duration,
}

/// What may change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// Everything.
    All,
    /// Only these.
    Named(Vec<Name>),
    /// One package, to exactly this version, yanked or not.
    Precise(Name, Version),
}

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The project's folder.
    pub project: PathBuf,
    /// What changed.
    pub changes: Vec<Change>,
    /// Whether Model.lock was written.
    pub written: bool,
    /// With `dry_run`, what a `sync` would bring then.
    pub travel: Option<Travel>,
}

/// Does it.
///
/// # Errors
/// `E0925` for a name that the lock does not hold, `E0926` for a version of what has none, `E0404` for a version that does
/// not exist or that no requirement admits, and those of resolving and verifying.
pub fn run(services: &Services, request: &Request) -> Result<Outcome, PipelineError> {
    let project = Project::open(&request.start)?;
    let _lease = if request.dry_run { None } else { Some(project.lease(services, request.wait)?) };
    let project = Project::open(&project.folder)?;
    let lock = match project.lock()? {
        Some(Found::Whole(lock) | Found::Conflict { merged: lock }) => lock,
        None => Lock::default(),
    };
    let released = released(&lock, &request.what)?;
    let wish =
        sync::Request::to_lock(&project.folder, LockRule::Free, request.dry_run, &request.accepted, request.wait);
    let reach = if request.dry_run { Reach::Tell } else { Reach::Lock };
    let wish = Wish { request: &wish, released, reach, manifest_changed: false };
    let done = pipeline::run(services, &project, &wish)?;
    Ok(Outcome {
        project: done.project,
        changes: done.lock_changes,
        written: done.lock_written,
        travel: request.dry_run.then_some(done.travel),
    })
}

fn released(lock: &Lock, what: &What) -> Result<Released, PipelineError> {
    let mut released = Released::default();
    match what {
        What::All => {
            released.packages = lock.packages.keys().map(|id| id.package.clone()).collect();
            released.sources = lock.sources.keys().filter(|id| id.hub().is_some()).cloned().collect();
        }
        What::Named(names) => {
            for name in names {
                released.add(named::find(lock, name)?);
            }
        }
        What::Precise(name, version) => {
            let found = named::find(lock, name)?;
            released.precise.insert(precisely(&found, version)?);
            released.add(found);
        }
    }
    Ok(released)
}

impl Released {
    /// Lets go of what a name leads to.
    pub(super) fn add(&mut self, named: Named) {
        self.packages.extend(named.releases.into_iter().map(|id| id.package));
        self.sources.extend(named.sources);
    }
}

/// The one release that a name and a version mean.
fn precisely(found: &Named, version: &Version) -> Result<PackageId, PipelineError> {
    let refused =
        |name: String, why, instead| PipelineError::NotPrecise { name, version: version.clone(), why, instead };
    if let Some(source) = found.sources.first() {
        let why = "a source has no versions";
        let instead = match source.hub() {
            Some(_) => {
                "write the revision that you want beside hf = \"…\" in Model.toml, then run `mpm lock`".to_owned()
            }
            None => "the lock follows what the folder holds".to_owned(),
        };
        return Err(refused(source.to_string(), why, instead));
    }
    let mut packages: Vec<_> = found.releases.iter().map(|id| &id.package).collect();
    packages.dedup();
    match packages.as_slice() {
        [one] => Ok(PackageId { package: (*one).clone(), version: version.clone() }),
        several => {
            let names: Vec<String> = several.iter().map(ToString::to_string).collect();
            let instead = "name it by the key that one of them has in Model.toml".to_owned();
            Err(refused(names.join(" and "), "the name means several packages", instead))
        }
    }
}

/// Whether a source may move: a commit never does.
pub(super) fn moves(id: &SourceId) -> bool {
    id.hub().is_some_and(|hub| hub.revision.commit().is_none())
}
