//! `mpm tree`: what leads to what.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::lock::{Lock, Target};
use crate::model::PackageId;
use crate::ops::project::Project;
use crate::ops::{PipelineError, Services};

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Where to look for Model.toml.
    pub start: PathBuf,
}

/// One line's node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The id, as in the lock.
    pub id: String,
    /// The key, for direct dependencies.
    pub key: Option<String>,
    /// The group, if any.
    pub group: Option<String>,
    /// Bytes of all files.
    pub bytes: u64,
    /// Seen above already: its children are not repeated.
    pub repeated: bool,
    /// What it leads to.
    pub children: Vec<Node>,
}

/// The answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The project's name.
    pub project: String,
    /// Direct dependencies.
    pub roots: Vec<Node>,
}

/// Does it.
///
/// # Errors
/// `E0901`, and `E0910` where there is no lock.
pub fn run(_services: &Services, request: &Request) -> Result<Outcome, PipelineError> {
    let project = Project::open(&request.start)?;
    let lock = project.whole_lock()?;
    let name = project.manifest.project.clone().unwrap_or_else(|| {
        project.folder.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
    });
    let mut seen = BTreeSet::new();
    let roots = lock.direct.iter().map(|((key, group), target)| {
        let mut node = match target {
            Target::Release(id) => release(&lock, id, &mut seen),
            Target::Source(id) => Node {
                id: id.to_string(),
                key: None,
                group: None,
                bytes: lock.sources.get(id).map_or(0, |source| source.size),
                repeated: false,
                children: Vec::new(),
            },
        };
        node.key = Some(key.to_string());
        node.group = group.as_ref().map(ToString::to_string);
        node
    });
    Ok(Outcome { project: name, roots: roots.collect() })
}

fn release(lock: &Lock, id: &PackageId, seen: &mut BTreeSet<PackageId>) -> Node {
    let locked = lock.packages.get(id);
    let children = locked.map(|locked| &locked.dependencies);
    // A release that leads further is shown whole once; that also ends cycles.
    let repeated = !seen.insert(id.clone()) && children.is_some_and(|children| !children.is_empty());
    let below = children.into_iter().flatten().filter(|_| !repeated).map(|child| release(lock, child, seen)).collect();
    Node {
        id: id.to_string(),
        key: None,
        group: None,
        bytes: locked.map_or(0, |locked| locked.size),
        repeated,
        children: below,
    }
}
