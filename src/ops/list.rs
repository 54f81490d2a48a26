//! `mpm list`: what the lock holds and where it lies.

use std::path::PathBuf;

use crate::config::LinkMode;
use crate::install::Site;
use crate::lock::{Lock, Target};
use crate::model::{DependencyKey, PackageKind};
use crate::ops::project::Project;
use crate::ops::{PackageLine, PipelineError, Services, report};
use crate::select::{Choice, names_exist, needed};
use crate::store::Store;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Where to look for Model.toml.
    pub start: PathBuf,
    /// Groups, profile, keys.
    pub choice: Choice,
}

/// The answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// By name.
    pub packages: Vec<PackageLine>,
    /// Ids of those that nobody signed.
    pub unsigned: Vec<String>,
    /// Whether the project is placed as the lock says, as far as the receipt tells.
    pub placed: bool,
}

/// Does it.
///
/// # Errors
/// `E0901`, `E0910` where there is no lock, and a damaged receipt.
pub fn run(services: &Services, request: &Request) -> Result<Outcome, PipelineError> {
    let project = Project::open(&request.start)?;
    let lock = project.whole_lock()?;
    names_exist(&project.manifest, &request.choice)?;
    let store = Store::open(&services.folders.store)?;
    let site = Site { project: &project.folder, store: &store, link: LinkMode::Auto };
    let receipt = site.receipt()?.unwrap_or_default();
    let placed = report::placed_lines(&lock, &receipt);
    let (releases, sources) = needed(&project.manifest, &lock, &request.choice);
    let mut packages = Vec::new();
    let mut all_placed = true;
    let ids = releases.iter().map(|id| Target::Release(id.clone()));
    for target in ids.chain(sources.iter().map(|id| Target::Source(id.clone()))) {
        let id = report::target_id(&target);
        let before = packages.len();
        packages.extend(placed.iter().filter(|line| line.id == id).cloned());
        if packages.len() == before {
            all_placed = false;
            packages.push(locked_line(&lock, &target));
        }
    }
    packages.sort_by(|left, right| (&left.name, &left.version).cmp(&(&right.name, &right.version)));
    Ok(Outcome { unsigned: report::unsigned(&packages), packages, placed: all_placed })
}

fn locked_line(lock: &Lock, target: &Target) -> PackageLine {
    let key: Option<&DependencyKey> = lock.direct.iter().find(|(_, to)| *to == target).map(|((key, _), _)| key);
    let key = key.map(ToString::to_string);
    match target {
        Target::Release(id) => {
            let locked = lock.packages.get(id);
            PackageLine {
                id: id.to_string(),
                name: id.package.name.to_string(),
                version: id.version.to_string(),
                kind: locked.map_or(PackageKind::Model, |locked| locked.kind),
                key,
                variants: Vec::new(),
                folder: None,
                bytes: locked.map_or(0, |locked| locked.size),
                files: 0,
                signers: locked.map(|locked| locked.signers.clone()).unwrap_or_default(),
            }
        }
        Target::Source(id) => {
            let locked = lock.sources.get(id);
            PackageLine {
                id: id.to_string(),
                name: id.to_string(),
                version: locked.map(|locked| locked.revision.clone()).unwrap_or_default(),
                kind: locked.map_or(PackageKind::Model, |locked| locked.kind),
                key,
                variants: Vec::new(),
                folder: None,
                bytes: locked.map_or(0, |locked| locked.size),
                files: 0,
                signers: std::collections::BTreeSet::new(),
            }
        }
    }
}
