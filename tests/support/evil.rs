//! A registry whose server is the enemy: it has kept what the registry was at several moments, serves any of them or a mixture,
//! and, where it stole the index key, what nobody else has seen.

use std::collections::BTreeMap;
use std::path::Path;

use modelpm::catalog::{PackageLeaf, PackageLog, build_packages};
use modelpm::keys::SecretKey;
use modelpm::model::{PackageName, Pin};
use modelpm::trust::Checkpoint;

use super::registry::TestRegistry;
use super::server::{Fault, Server};

/// The registry, what it was, and what is served.
pub struct Evil {
    /// The honest one.
    pub registry: TestRegistry,
    /// What misbehaves besides.
    pub server: Server,
    moments: Vec<BTreeMap<String, Vec<u8>>>,
    served: tempfile::TempDir,
}

impl Evil {
    /// Nothing is served before [`Evil::serve`].
    pub fn new(registry: TestRegistry) -> Self {
        let served = tempfile::tempdir().expect("a temporary folder");
        let server = Server::start(served.path());
        Self { registry, server, moments: Vec::new(), served }
    }

    /// Keeps what the registry is now; returns the moment's number.
    pub fn keep(&mut self) -> usize {
        self.moments.push(files(self.registry.folder()));
        self.moments.len() - 1
    }

    /// A file at a moment.
    pub fn at(&self, moment: usize, path: &str) -> Option<&Vec<u8>> {
        self.moments[moment].get(path)
    }

    /// Serves a moment, whole and without faults.
    pub fn serve(&self, moment: usize) {
        self.server.mend();
        for path in files(self.served.path()).keys() {
            std::fs::remove_file(self.served.path().join(path)).expect("removed");
        }
        self.moments[moment].iter().for_each(|(path, bytes)| self.put(path, bytes));
    }

    /// Takes some files as they were at another moment: those that were not there then, are not there.
    pub fn mix(&self, moment: usize, which: impl Fn(&str) -> bool) {
        for path in self.paths(&which) {
            std::fs::remove_file(self.served.path().join(path)).expect("removed");
        }
        let taken = self.moments[moment].iter().filter(|(path, _)| which(path));
        taken.for_each(|(path, bytes)| self.put(path, bytes));
    }

    /// Puts bytes where a file is served.
    pub fn put(&self, path: &str, bytes: &[u8]) {
        let place = self.served.path().join(path);
        std::fs::create_dir_all(place.parent().expect("a folder")).expect("a folder");
        std::fs::write(place, bytes).expect("written");
    }

    /// A file as it is served now.
    pub fn read(&self, path: &str) -> Vec<u8> {
        std::fs::read(self.served.path().join(path)).expect("it is served")
    }

    /// Files that are served now.
    pub fn paths(&self, which: impl Fn(&str) -> bool) -> Vec<String> {
        files(self.served.path()).into_keys().filter(|path| which(path)).collect()
    }

    /// Misbehaves with every file of a kind, for ever.
    pub fn with_all(&self, which: impl Fn(&str) -> bool, fault: &Fault) {
        let paths = self.paths(which);
        assert!(!paths.is_empty(), "no file is of that kind");
        paths.iter().for_each(|path| self.server.fault(path, usize::MAX, fault.clone()));
    }

    /// Signs what is served at a path.
    pub fn sign(&self, path: &str, key: &SecretKey) {
        let signature = key.sign(&self.read(path), "test").expect("a signature");
        self.put(&modelpm::keys::signature_path(path, key.public()), signature.as_bytes());
    }

    /// With the index key: the checkpoint that is served, changed.
    pub fn forge(&self, change: impl FnOnce(&mut Checkpoint)) {
        let mut checkpoint = Checkpoint::parse(&self.read("checkpoint.json")).expect("a checkpoint");
        change(&mut checkpoint);
        self.put("checkpoint.json", &checkpoint.render());
        self.sign("checkpoint.json", &self.registry.index);
    }

    /// With the index key: other logs, in a tree and under a checkpoint of their own; `numbers` is added to its number.
    pub fn forge_logs(&self, numbers: u64, change: impl FnOnce(&mut BTreeMap<PackageName, Vec<u8>>)) {
        let path = |name: &PackageName| format!("packages/{name}.jsonl");
        let listed = self.paths(|path| path.starts_with("packages/"));
        let name = |path: &str| path.strip_prefix("packages/")?.strip_suffix(".jsonl")?.parse::<PackageName>().ok();
        let mut logs: BTreeMap<PackageName, Vec<u8>> =
            listed.iter().map(|path| (name(path).expect("a log"), self.read(path))).collect();
        change(&mut logs);
        let leaves: Vec<PackageLeaf> = logs
            .iter()
            .map(|(name, log)| PackageLeaf { name: name.clone(), log: Pin::of(log), advisories: None })
            .collect();
        let tree = build_packages(&leaves).expect("a tree");
        tree.nodes.iter().for_each(|(digest, node)| self.put(&format!("tree/{digest}"), node));
        logs.iter().for_each(|(name, log)| self.put(&path(name), log));
        self.forge(|checkpoint| {
            checkpoint.packages = tree.root;
            checkpoint.at.number += numbers;
        });
    }
}

/// The lines of a log.
pub fn lines(log: &[u8]) -> Vec<Vec<u8>> {
    PackageLog::parse(log).expect("a log");
    log.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(at) = folders.pop() {
        for entry in std::fs::read_dir(&at).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).expect("below").to_str().expect("text").to_owned();
                found.insert(name, std::fs::read(&path).expect("a file"));
            }
        }
    }
    found
}
