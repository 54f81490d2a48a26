//! An index made by hand, file by file, so that each can be made wrong; and the four ways to read it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};

use modelpm::catalog::{
    Admitted, NamespaceLeaf, PackageLeaf, PackageLog, ReleaseEvent, YankAction, YankEvent, build_namespaces,
    build_packages,
};
use modelpm::index::{Freshness, Gate, IndexError, Opening, Origin, OriginError, Registry, World};
use modelpm::keys::{SecretKey, signature_path};
use modelpm::manifest::IndexAddress;
use modelpm::model::{
    CheckpointNumber, FileClass, Floor, Namespace, PackageKind, PackageName, Pin, RegistryId, RelPath, SafeUrl, Sha256,
    Timestamp, Version,
};
use modelpm::progress::{Event, Progress};
use modelpm::statement::{FileEntry, Files, Statement};
use modelpm::sys::{BlobReader, HttpClient, HttpSettings, NetworkPolicy, Patience};
use modelpm::trust::{
    Checkpoint, Freshness as Life, NamespaceEntry, Registrar, RetiredKey, Revocations, Role, RoleKeys, Severity,
    TrustRoot, YankRecord,
};

use crate::support::server::Server;

pub const NOW: u64 = 1_800_000_000;
pub const DAY: u64 = 86_400;

pub fn at(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(seconds).unwrap()
}

pub fn name(text: &str) -> PackageName {
    PackageName::parse(text).unwrap()
}

pub fn namespace(text: &str) -> Namespace {
    Namespace::parse(text).unwrap()
}

pub fn version(text: &str) -> Version {
    Version::parse(text).unwrap()
}

/// An index and its keys.
pub struct Index {
    pub files: BTreeMap<String, Vec<u8>>,
    pub root_key: SecretKey,
    pub registrar_key: SecretKey,
    pub index_key: SecretKey,
    pub publisher: SecretKey,
    pub root: TrustRoot,
    pub root_digest: Sha256,
    pub revocations: Revocations,
    pub registrar_number: u64,
    pub entries: BTreeMap<Namespace, (Sha256, NamespaceEntry)>,
    pub logs: BTreeMap<PackageName, Vec<u8>>,
    pub number: u64,
    pub issued: u64,
    pub bases: Vec<String>,
}

impl Index {
    /// A registry `acme` with `acme/minilm` 1.0.0 and 1.1.0.
    pub fn new() -> Self {
        let mut index = Self::empty();
        index.grant("acme", |_| {});
        index.release("acme/minilm", "1.0.0");
        index.release("acme/minilm", "1.1.0");
        index.registrar();
        index.checkpoint();
        index
    }

    fn empty() -> Self {
        let [root_key, registrar_key, index_key, publisher] = [(); 4].map(|()| SecretKey::generate().unwrap());
        let role = |key: &SecretKey| RoleKeys { keys: vec![key.public().clone()], threshold: 1 };
        let root = TrustRoot {
            registry: RegistryId::parse("acme").unwrap(),
            epoch: 1,
            number: 1,
            roles: [
                (Role::Root, role(&root_key)),
                (Role::Registrar, role(&registrar_key)),
                (Role::Index, role(&index_key)),
            ]
            .into(),
            checkpoint_max_days: 90,
            freshness: Life::Normal,
            expires: Some(at(NOW + 1_000 * DAY)),
            demo: false,
        };
        let mut index = Self {
            files: BTreeMap::new(),
            root_digest: Sha256::of(&root.render()),
            root,
            root_key,
            registrar_key,
            index_key,
            publisher,
            revocations: Revocations::default(),
            registrar_number: 0,
            entries: BTreeMap::new(),
            logs: BTreeMap::new(),
            number: 0,
            issued: NOW - DAY,
            bases: vec![".".to_owned()],
        };
        let bytes = index.root.render();
        index.put_signed("trust/root/1.json", bytes, |index| vec![&index.root_key]);
        index
    }

    /// Writes a file.
    pub fn put(&mut self, path: &str, bytes: Vec<u8>) {
        self.files.insert(path.to_owned(), bytes);
    }

    /// Writes a file with signatures.
    pub fn put_signed(&mut self, path: &str, bytes: Vec<u8>, keys: impl Fn(&Self) -> Vec<&SecretKey>) {
        let signatures: Vec<_> = keys(self)
            .into_iter()
            .map(|key| (signature_path(path, key.public()), key.sign(&bytes, "test").unwrap().into_bytes()))
            .collect();
        self.files.extend(signatures);
        self.put(path, bytes);
    }

    /// Adds a signature of a file that is there.
    pub fn countersign(&mut self, path: &str, key: &SecretKey) {
        let text = key.sign(&self.files[path], "test").unwrap();
        self.put(&signature_path(path, key.public()), text.into_bytes());
    }

    /// The next root, changed as wanted.
    pub fn next_root(&mut self, change: impl FnOnce(&mut TrustRoot)) {
        self.root.number += 1;
        change(&mut self.root);
        let (path, bytes) = (format!("trust/root/{}.json", self.root.number), self.root.render());
        self.put_signed(&path, bytes, |index| vec![&index.root_key]);
    }

    /// The next entry of a namespace, changed as wanted; not signed by anybody. Its digest.
    pub fn grant(&mut self, space: &str, change: impl FnOnce(&mut NamespaceEntry)) -> Sha256 {
        let space = namespace(space);
        let before = self.entries.get(&space);
        let mut entry = NamespaceEntry {
            registry: self.root.registry.clone(),
            namespace: space.clone(),
            number: before.map_or(1, |(_, entry)| entry.number + 1),
            previous: before.map(|(digest, _)| *digest),
            keys: before.map_or_else(|| vec![self.publisher.public().clone()], |(_, entry)| entry.keys.clone()),
            threshold: 1,
            retired: before.map_or_else(Vec::<RetiredKey>::new, |(_, entry)| entry.retired.clone()),
        };
        change(&mut entry);
        let bytes = entry.render();
        let digest = Sha256::of(&bytes);
        self.put(&format!("trust/namespaces/{digest}.json"), bytes);
        self.entries.insert(space, (digest, entry));
        digest
    }

    /// A release signed by the publisher.
    pub fn release(&mut self, package: &str, number: &str) -> Pin {
        let statement = self.statement(package, number);
        let bytes = statement.render();
        let pin = Pin::of(&bytes);
        self.put_signed(&format!("releases/{}.json", pin.sha256), bytes, |index| vec![&index.publisher]);
        self.log_release(package, &statement, pin);
        pin
    }

    /// What a release says.
    pub fn statement(&self, package: &str, number: &str) -> Statement {
        Statement {
            registry: self.root.registry.clone(),
            name: name(package),
            version: version(number),
            kind: PackageKind::Model,
            description: None,
            licence: None,
            default_variant: None,
            variants: BTreeMap::new(),
            files: Files::Inline(vec![FileEntry {
                path: RelPath::parse("weights.bin").unwrap(),
                pin: Pin::of(number.as_bytes()),
                class: FileClass::Weights,
                variant: None,
                pack: None,
                chunks: None,
            }]),
            dependencies: Vec::new(),
            base_model: None,
            trained_on: Vec::new(),
            packs: Vec::new(),
            upstream: None,
        }
    }

    /// Appends what the log says of a release.
    pub fn log_release(&mut self, package: &str, statement: &Statement, pin: Pin) {
        let checkpoint = CheckpointNumber { epoch: self.root.epoch, number: self.number + 1 };
        let admitted = Admitted { checkpoint, time: at(self.issued) };
        let line = PackageLog::render_release(&ReleaseEvent::of(statement, pin, admitted));
        self.logs.entry(name(package)).or_default().extend(line);
    }

    /// A yank or unyank signed by these keys, appended to the log.
    pub fn yank(
        &mut self,
        package: &str,
        number: &str,
        statement: Pin,
        action: YankAction,
        counter: u64,
        key: &SecretKey,
    ) {
        let record = YankRecord {
            registry: self.root.registry.clone(),
            package: name(package),
            version: version(number),
            statement: statement.sha256,
            action,
            reason: "wrong labels".to_owned(),
            severity: Severity::Broken,
            counter,
        };
        let bytes = record.render();
        let digest = Sha256::of(&bytes);
        let path = format!("yanks/{digest}.json");
        self.put(&path, bytes);
        self.countersign(&path, key);
        let line = PackageLog::render_yank(&YankEvent { action, version: version(number), record: digest });
        self.logs.entry(name(package)).or_default().extend(line);
    }

    /// The next registrar file over the entries as they are.
    pub fn registrar(&mut self) {
        let leaves: Vec<_> = self
            .entries
            .iter()
            .map(|(space, (digest, _))| NamespaceLeaf { namespace: space.clone(), entry: *digest })
            .collect();
        let tree = build_namespaces(&leaves).unwrap();
        for (digest, bytes) in tree.nodes {
            self.put(&format!("tree/{digest}"), bytes);
        }
        self.registrar_number += 1;
        let bytes = Registrar {
            registry: self.root.registry.clone(),
            number: self.registrar_number,
            issued: at(self.issued),
            expires: (self.root.freshness == Life::Normal).then(|| at(self.issued + 365 * DAY)),
            namespaces: tree.root,
            revocations: self.revocations.clone(),
        }
        .render();
        let path = format!("trust/registrar/{}.json", self.registrar_number);
        self.put_signed(&path, bytes, |index| vec![&index.registrar_key]);
    }

    /// The next checkpoint over the logs as they are.
    pub fn checkpoint(&mut self) {
        self.number += 1;
        self.checkpoint_again();
    }

    /// The checkpoint under the same number.
    pub fn checkpoint_again(&mut self) {
        let leaves: Vec<_> = self
            .logs
            .iter()
            .map(|(name, log)| PackageLeaf { name: name.clone(), log: Pin::of(log), advisories: None })
            .collect();
        let tree = build_packages(&leaves).unwrap();
        for (digest, bytes) in tree.nodes {
            self.put(&format!("tree/{digest}"), bytes);
        }
        for (name, log) in self.logs.clone() {
            self.put(&format!("packages/{name}.jsonl"), log);
        }
        let bytes = Checkpoint {
            registry: self.root.registry.clone(),
            at: CheckpointNumber { epoch: self.root.epoch, number: self.number },
            issued: at(self.issued),
            expires: (self.root.freshness == Life::Normal).then(|| at(self.issued + 90 * DAY)),
            root: self.root.number,
            registrar: self.registrar_number,
            packages: tree.root,
            bases: self.bases.clone(),
        }
        .render();
        self.put_signed("checkpoint.json", bytes, |index| vec![&index.index_key]);
    }

    /// Writes all files below a folder, and nothing else.
    pub fn write(&self, folder: &Path) {
        if folder.exists() {
            std::fs::remove_dir_all(folder).unwrap();
        }
        for (path, bytes) in &self.files {
            let place = folder.join(path);
            std::fs::create_dir_all(place.parent().unwrap()).unwrap();
            std::fs::write(place, bytes).unwrap();
        }
    }

    /// The path of the one file that begins with `start` and ends with `end`.
    pub fn path(&self, start: &str, end: &str) -> String {
        self.files.keys().find(|path| path.starts_with(start) && path.ends_with(end)).unwrap().clone()
    }
}

/// The ways to read an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Memory,
    Folder,
    Git,
    Sparse,
}

pub const WAYS: [Way; 4] = [Way::Memory, Way::Folder, Way::Git, Way::Sparse];

/// Files in memory, as those of the binary are.
pub struct FilesInMemory {
    pub files: BTreeMap<String, Vec<u8>>,
}

impl Origin for FilesInMemory {
    fn get(&self, path: &str, cap: u64, _: Freshness) -> Result<Option<Vec<u8>>, OriginError> {
        match self.files.get(path) {
            Some(bytes) if bytes.len() as u64 > cap => {
                Err(OriginError::TooLarge { path: path.to_owned(), place: self.describe(), cap })
            }
            found => Ok(found.cloned()),
        }
    }

    fn describe(&self) -> String {
        "memory".to_owned()
    }

    fn blobs(&self, _: &str) -> Option<Arc<dyn BlobReader>> {
        None
    }
}

/// A machine: its folders, its clock, what it was told.
pub struct Machine {
    pub folder: tempfile::TempDir,
    pub server: Server,
    pub gate: Gate,
    pub now: u64,
    pub floor: Option<Floor>,
    pub root_at: Option<(u64, Sha256)>,
    pub network: NetworkPolicy,
    pub heard: Heard,
}

/// Notices by code.
#[derive(Default)]
pub struct Heard(Mutex<Vec<&'static str>>);

impl Heard {
    /// The codes since the last call.
    pub fn take(&self) -> BTreeSet<&'static str> {
        std::mem::take(&mut *self.0.lock().unwrap()).into_iter().collect()
    }
}

impl Progress for Heard {
    fn on(&self, event: &Event<'_>) {
        if let Event::Notice(notice) = event {
            self.0.lock().unwrap().push(notice.code);
        }
    }
}

impl Machine {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            server: Server::start(&folder.path().join("index")),
            folder,
            gate: Gate::NewTrust,
            now: NOW,
            floor: None,
            root_at: None,
            network: NetworkPolicy::Online,
            heard: Heard::default(),
        }
    }

    pub fn http(&self) -> HttpClient {
        let patience = Patience {
            connect: std::time::Duration::from_secs(5),
            stall: std::time::Duration::from_millis(400),
            pause: std::time::Duration::from_millis(1),
            lag: std::time::Duration::ZERO,
            ..Patience::default()
        };
        HttpClient::new(HttpSettings { policy: self.network, patience, ..HttpSettings::default() }).unwrap()
    }

    pub fn trust(&self) -> std::path::PathBuf {
        self.folder.path().join("trust")
    }

    /// Publishes the index in one way and opens it.
    pub fn open(&self, index: &Index, way: Way) -> Result<Registry, IndexError> {
        index.write(&self.folder.path().join("index"));
        self.reopen(index, way)
    }

    /// Opens what was published before.
    pub fn reopen(&self, index: &Index, way: Way) -> Result<Registry, IndexError> {
        let place = self.folder.path().join("index");
        let address = match way {
            Way::Memory | Way::Folder => IndexAddress::Folder(place.to_str().unwrap().to_owned()),
            Way::Sparse => IndexAddress::Sparse(SafeUrl::parse(&self.server.url()).unwrap()),
            Way::Git => {
                let repository = self.folder.path().join("repository");
                super::repository::commit(&repository, &index.files);
                IndexAddress::Git(SafeUrl::parse(&format!("file://{}", repository.display())).unwrap())
            }
        };
        let opening = Opening {
            id: RegistryId::parse("acme").unwrap(),
            root: index.root_digest,
            root_at: self.root_at,
            mirrors: Vec::new(),
            address,
            floor: self.floor,
            gate: self.gate,
            air_gap: modelpm::index::AirGap::default(),
        };
        let http = self.http();
        let world = World {
            http: &http,
            trust: self.trust(),
            cache: self.folder.path().join("cache"),
            now: at(self.now),
            progress: &self.heard,
        };
        match way {
            Way::Memory => {
                Registry::open_from(&opening, &world, Arc::new(FilesInMemory { files: index.files.clone() }))
            }
            _ => Registry::open(&opening, &world),
        }
    }
}
