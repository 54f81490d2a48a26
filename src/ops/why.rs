//! `mpm why`: which keys of Model.toml lead to a release or source, and over what.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::lock::{Lock, Target};
use crate::manifest::Manifest;
use crate::model::PackageId;
use crate::ops::project::Project;
use crate::ops::{Name, PipelineError, Services, named};

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Where to look for Model.toml.
    pub start: PathBuf,
    /// What is asked about.
    pub name: Name,
}

/// A release or source, and who asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its id.
    pub id: String,
    /// Lines of Model.toml that ask for it.
    pub keys: Vec<Key>,
    /// Releases that depend on it.
    pub dependents: Vec<Node>,
    /// Seen above already: who asks for it is not repeated.
    pub repeated: bool,
}

/// A line of Model.toml.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The key.
    pub key: String,
    /// Its group, if any.
    pub group: Option<String>,
    /// Its line; none: Model.toml no longer has it.
    pub line: Option<usize>,
}

/// The answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// What the name means, each with who asks for it.
    pub found: Vec<Node>,
}

/// Does it.
///
/// # Errors
/// `E0910` where there is no lock, `E0925` for a name that it does not hold.
pub fn run(_services: &Services, request: &Request) -> Result<Outcome, PipelineError> {
    let project = Project::open(&request.start)?;
    let lock = project.whole_lock()?;
    let named = named::find(&lock, &request.name)?;
    let walk = Walk { manifest: &project.manifest, lock: &lock };
    let mut found = Vec::new();
    for id in &named.releases {
        found.push(walk.release(id, &mut BTreeSet::new()));
    }
    for id in &named.sources {
        let keys = walk.keys(&Target::Source(id.clone()));
        found.push(Node { id: id.to_string(), keys, dependents: Vec::new(), repeated: false });
    }
    Ok(Outcome { found })
}

struct Walk<'a> {
    manifest: &'a Manifest,
    lock: &'a Lock,
}

impl Walk<'_> {
    fn release(&self, id: &PackageId, seen: &mut BTreeSet<PackageId>) -> Node {
        // Who asks is told once; that also ends cycles.
        let repeated = !seen.insert(id.clone());
        let mut node = Node { id: id.to_string(), keys: Vec::new(), dependents: Vec::new(), repeated };
        if repeated {
            return node;
        }
        node.keys = self.keys(&Target::Release(id.clone()));
        let depends = |(_, locked): &(&PackageId, &crate::lock::LockedPackage)| locked.dependencies.contains(id);
        for (other, _) in self.lock.packages.iter().filter(depends) {
            node.dependents.push(self.release(other, seen));
        }
        node
    }

    fn keys(&self, target: &Target) -> Vec<Key> {
        let asks = self.lock.direct.iter().filter(|(_, found)| *found == target);
        let line = |key: &crate::model::DependencyKey, group: &Option<crate::model::GroupName>| {
            let same = |dependency: &&crate::manifest::Dependency| dependency.key == *key && dependency.group == *group;
            self.manifest.dependencies.iter().find(same).map(|dependency| dependency.line)
        };
        asks.map(|((key, group), _)| Key {
            key: key.to_string(),
            group: group.as_ref().map(ToString::to_string),
            line: line(key, group),
        })
        .collect()
    }
}
