//! Bundles: made, looked at, used as the registries that they are, and taken in as what a stranger brought.

mod format;
mod gap;
pub(crate) mod hostile;
mod making;
mod taking;

use std::path::{Path, PathBuf};

use crate::flows::fixture::{manifest, ok};
use crate::support::project::{Project, Ran};
use crate::support::registry::TestRegistry;

/// A machine outside, with a project that knows a registry, and bundles that it makes.
struct Maker {
    project: Project,
}

impl Maker {
    fn of(registry: &TestRegistry, index: &str) -> Self {
        Self { project: Project::new().manifest(&manifest(registry, index, "")) }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.project.home().join(name)
    }

    /// Makes a bundle of this name, with more arguments; its path and what was said.
    #[track_caller]
    fn make(&self, name: &str, more: &[&str]) -> (PathBuf, serde_json::Value) {
        let to = self.at(name);
        let text = to.display().to_string();
        let arguments: Vec<&str> =
            ["--json", "bundle", "create", "-o", &text].into_iter().chain(more.iter().copied()).collect();
        let told = ok(&self.project, &arguments).json();
        (to, told)
    }
}

/// A machine inside, which knows the registry by its root alone.
struct Site {
    project: Project,
    folder: PathBuf,
    root: String,
}

impl Site {
    fn of(registry: &TestRegistry) -> Self {
        let project = Project::new();
        let folder = project.home().join("site");
        Self { project, folder, root: registry.root_sha256().prefixed() }
    }

    fn text(&self) -> String {
        self.folder.display().to_string()
    }

    /// Imports into the site's mirror.
    fn import(&self, bundle: &Path, more: &[&str]) -> Ran {
        let (file, to) = (bundle.display().to_string(), self.text());
        let arguments = [&["--json", "bundle", "import", &file, "--into", &to, "--root", &self.root], more].concat();
        self.project.mpm(&arguments)
    }
}

/// Names and versions of releases that were told.
fn releases(told: &serde_json::Value) -> Vec<String> {
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let one = |release: &serde_json::Value| format!("{} {}", text(&release["name"]), text(&release["version"]));
    told["releases"].as_array().unwrap().iter().map(one).collect()
}
