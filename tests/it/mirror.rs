//! Mirrors: copies of registries in folders, made, brought up to date, looked at, and used as the registries that they are.

mod copies;
mod crash;
mod looking;
mod parts;
mod revoked;
mod users;
mod wrong;

use std::path::{Path, PathBuf};

use crate::flows::fixture::{manifest, ok};
use crate::support::project::Project;
use crate::support::registry::TestRegistry;

/// A machine that keeps a mirror of a registry, and the mirror's folder.
struct Keeper {
    project: Project,
    folder: PathBuf,
}

impl Keeper {
    /// One whose project takes the registry from an index.
    fn of(registry: &TestRegistry, index: &str) -> Self {
        let project = Project::new().manifest(&manifest(registry, index, ""));
        let folder = project.home().join("mirror");
        Self { project, folder }
    }

    fn text(&self) -> String {
        self.folder.display().to_string()
    }

    /// `mpm mirror sync` into the folder, with more arguments.
    #[track_caller]
    fn sync(&self, more: &[&str]) -> serde_json::Value {
        let text = self.text();
        let arguments: Vec<&str> =
            ["--json", "mirror", "sync", &text].into_iter().chain(more.iter().copied()).collect();
        ok(&self.project, &arguments).json()
    }

    /// `mpm mirror verify`, which must find nothing wrong.
    #[track_caller]
    fn verify(&self) -> serde_json::Value {
        ok(&self.project, &["--json", "mirror", "verify", &self.text()]).json()
    }
}

/// A machine that knows the registry by its mirror alone.
fn reader(registry: &TestRegistry, mirror: &Path, rest: &str) -> Project {
    Project::new().manifest(&manifest(registry, &mirror.display().to_string(), rest))
}

/// Files of a mirror but for its own notes, with their bytes.
fn shown(folder: &Path) -> std::collections::BTreeMap<String, Vec<u8>> {
    let mut all = crate::flows::fixture::tree(folder);
    all.retain(|path, _| !path.starts_with(".mpm-mirror/") && path != "copy.json" && !path.starts_with("checkpoints/"));
    all
}
