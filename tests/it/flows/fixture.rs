//! A registry like a small team's, and machines that use it.

use std::collections::BTreeMap;
use std::path::Path;

use crate::support::blob;
use crate::support::project::{Project, Ran};
use crate::support::registry::TestRegistry;

/// A registry that began an hour ago: models with variants and dependencies, an adapter, a dataset.
pub(crate) fn registry() -> TestRegistry {
    let mut registry = TestRegistry::of_late("acme", 3_600);
    registry.namespace("acme");
    registry.namespace("uci");
    registry.release("acme/vocab", "1.0.0").file("vocab.txt", "one\ntwo\n").publish();
    registry.release("acme/vocab", "1.1.0").file("vocab.txt", "one\ntwo\nthree\n").publish();
    for (seed, version) in [(1, "1.0.0"), (2, "1.1.0"), (3, "2.0.0")] {
        registry
            .release("acme/minilm", version)
            .file("config.json", format!("{{\"seed\": {seed}}}\n"))
            .file("docs/card.md", format!("# minilm {version}\n"))
            .variant("f32", "model.safetensors", blob::safetensors(seed, 3_000))
            .variant("int8", "model.safetensors", blob::safetensors(seed + 10, 900))
            .default_variant("f32")
            .depends("acme/vocab", "^1")
            .publish();
    }
    registry
        .release("acme/lora", "1.0.0")
        .file("adapter.safetensors", blob::safetensors(30, 200))
        .base_model("acme/minilm", "=1.0.0")
        .publish();
    registry
        .release("acme/either", "1.0.0")
        .file("config.json", "{}\n")
        .variant("large", "large.safetensors", blob::safetensors(40, 500))
        .variant("small", "small.safetensors", blob::safetensors(41, 50))
        .publish();
    registry
        .release("uci/digits", "1.0.0")
        .dataset()
        .file("README.md", "# digits\n")
        .file("test/a.csv", "x,y\n3,4\n")
        .file("train/a.csv", "x,y\n1,2\n")
        .file("train/more/b.csv", "x,y\n5,6\n")
        .publish();
    registry
}

/// Model.toml of a project that takes `acme` and `uci` from an index.
pub(crate) fn manifest(registry: &TestRegistry, index: &str, rest: &str) -> String {
    format!(
        "[project]\nname = \"service\"\n\n[registries.acme]\nindex = \"{index}\"\nroot = \"{}\"\nnamespaces = [\"acme\", \"uci\"]\n\n{rest}",
        registry.root_sha256().prefixed()
    )
}

/// Address of a registry's folder.
pub(crate) fn folder(registry: &TestRegistry) -> String {
    registry.folder().display().to_string()
}

/// A machine with a project that takes its packages from the registry's folder.
pub(crate) fn project(registry: &TestRegistry, rest: &str) -> Project {
    project_at(registry, &folder(registry), rest)
}

/// A machine with a project that takes its packages from an index.
pub(crate) fn project_at(registry: &TestRegistry, index: &str, rest: &str) -> Project {
    Project::new().manifest(&manifest(registry, index, rest))
}

/// Another machine, which knows Model.toml and Model.lock alone.
pub(crate) fn elsewhere(project: &Project) -> Project {
    let other = Project::new();
    for file in ["Model.toml", "Model.lock"] {
        if let Some(bytes) = project.read(file) {
            other.write(file, bytes);
        }
    }
    other
}

/// Every file of a folder with its bytes, by relative path; what links point to counts.
pub(crate) fn tree(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(at) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&at) else { continue };
        for entry in entries {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).expect("below").to_string_lossy().into_owned();
                found.insert(name, std::fs::read(&path).expect("a file"));
            }
        }
    }
    found
}

/// Files of a project but for Model.toml, Model.lock and what mpm keeps for itself.
pub(crate) fn placed(project: &Project) -> BTreeMap<String, Vec<u8>> {
    let mut all = tree(&project.folder());
    all.retain(|path, _| !path.starts_with(".mpm/") && !path.starts_with("Model.") && !path.starts_with('.'));
    all
}

/// Their paths.
pub(crate) fn paths(project: &Project) -> Vec<String> {
    placed(project).into_keys().collect()
}

/// Replaces what Model.toml says behind its registries.
pub(crate) fn wants(project: &Project, registry: &TestRegistry, rest: &str) {
    project.write("Model.toml", manifest(registry, &folder(registry), rest));
}

/// Runs a command that must succeed.
#[track_caller]
pub(crate) fn ok(project: &Project, arguments: &[&str]) -> Ran {
    project.mpm(arguments).expect(0)
}

/// The lock's text.
#[track_caller]
pub(crate) fn lock(project: &Project) -> String {
    project.text("Model.lock").expect("a lock")
}

/// Whether the lock holds a release, `name@version`.
pub(crate) fn locks(project: &Project, release: &str) -> bool {
    let (name, version) = release.split_once('@').expect("name@version");
    lock(project).contains(&format!("name = \"{name}\"\nversion = \"{version}\"\n"))
}
