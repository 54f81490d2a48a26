//! Registries in folders, made by the library that makes real ones, with keys at hand to sign lies with.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use modelpm::catalog::YankAction;
use modelpm::keys::SecretKey;
use modelpm::model::{
    FileClass, HubCommit, HubRepository, Namespace, PackageKind, PackageName, Pin, RegistryId, RelPath, Requirement,
    Sha256, Timestamp, VariantName, Version,
};
use modelpm::registry::{
    self, CheckpointOutcome, CheckpointRequest, EntryChange, Folder, Issue, NewRegistry, Roots, State, Submitted,
};
use modelpm::statement::{Dependency, DependencyKind, FileEntry, Files, Licence, Provenance, Statement, Upstream};
use modelpm::trust::{Freshness, Role, RoleKeys, Severity, TrustRoot, YankRecord};

use super::keys::key;

/// The time at which a test's registry begins.
pub const BASE_TIME: u64 = 1_800_000_000;

const DAY: u64 = 86_400;

/// A registry in a temporary folder.
pub struct TestRegistry {
    place: tempfile::TempDir,
    id: RegistryId,
    begin: u64,
    now: Timestamp,
    /// Root and registrar.
    pub main: SecretKey,
    /// Signs checkpoints.
    pub index: SecretKey,
    /// Can replace the main key.
    pub recovery: SecretKey,
    /// The publisher of each namespace.
    pub publishers: BTreeMap<Namespace, SecretKey>,
    root: Sha256,
    counter: u64,
}

/// A release about to be published.
pub struct ReleaseBuilder<'r> {
    registry: &'r mut TestRegistry,
    statement: Statement,
    files: Vec<FileEntry>,
    signers: Option<Vec<SecretKey>>,
}

fn parse<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().expect("a name of a test")
}

fn version(text: &str) -> Version {
    Version::parse(text).expect("a version of a test")
}

/// A point in time so many seconds after [`BASE_TIME`].
pub fn time(after: u64) -> Timestamp {
    Timestamp::from_seconds(BASE_TIME + after).expect("a time of a test")
}

impl TestRegistry {
    /// A registry with an id, freshness normal, no namespace yet, and its first checkpoint made at [`BASE_TIME`].
    pub fn new(id: &str) -> Self {
        Self::with(id, Freshness::Normal, false)
    }

    /// The same, whose files never expire and whose root says `demo`.
    pub fn demo(id: &str) -> Self {
        Self::with(id, Freshness::None, true)
    }

    /// The same with freshness and demo chosen.
    pub fn with(id: &str, freshness: Freshness, demo: bool) -> Self {
        Self::beginning(id, freshness, demo, BASE_TIME)
    }

    /// One that began so many seconds before this machine's clock, for the real binary, which reads that clock.
    pub fn of_late(id: &str, seconds: u64) -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock").as_secs();
        Self::beginning(id, Freshness::Normal, false, now - seconds)
    }

    fn beginning(id: &str, freshness: Freshness, demo: bool, begin: u64) -> Self {
        let now = Timestamp::from_seconds(begin).expect("a time of a test");
        let place = tempfile::tempdir().expect("a temporary folder");
        let (main, index, recovery) = (key(), key(), key());
        let new = NewRegistry {
            id: parse(id),
            namespaces: Vec::new(),
            main: &main,
            index: &index,
            recovery: recovery.public().clone(),
            freshness,
            demo,
            now,
        };
        let root = registry::create(&Folder::at(place.path()), &new).expect("a new registry");
        let publishers = BTreeMap::new();
        Self { id: parse(id), place, begin, now, main, index, recovery, publishers, root, counter: 0 }
    }

    /// Its id.
    pub fn id(&self) -> &RegistryId {
        &self.id
    }

    /// Digest of its first root.
    pub fn root_sha256(&self) -> Sha256 {
        self.root
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        self.place.path()
    }

    /// The folder as the library takes it.
    pub fn handle(&self) -> Folder {
        Folder::at(self.place.path())
    }

    /// The time of the last checkpoint.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// What its signed files say.
    pub fn state(&self) -> State {
        State::read(&self.handle()).expect("the state of the registry")
    }

    /// Gives a namespace a publisher key of its own, and makes a checkpoint.
    pub fn namespace(&mut self, namespace: &str) -> &mut Self {
        let publisher = key();
        self.change(namespace, vec![&publisher], 1, &[], &[]);
        self.publishers.insert(parse(namespace), publisher);
        self
    }

    /// The publisher key of a namespace.
    pub fn publisher(&self, namespace: &str) -> &SecretKey {
        self.publishers.get(&parse::<Namespace>(namespace)).expect("a namespace of this registry")
    }

    /// Another key publishes in a namespace from now on, and the old one signs that it is so.
    pub fn handover(&mut self, namespace: &str) -> &mut Self {
        let (old, new) = (self.publisher(namespace).clone(), key());
        self.change(namespace, vec![&new], 1, &[&old], &[&old]);
        self.publishers.insert(parse(namespace), new);
        self
    }

    /// Another key publishes in a namespace from now on, by the registrar's word alone. The old one still counts for what
    /// it has published.
    pub fn retire(&mut self, namespace: &str) -> &mut Self {
        let (old, new) = (self.publisher(namespace).clone(), key());
        self.change(namespace, vec![&new], 1, &[&old], &[]);
        self.publishers.insert(parse(namespace), new);
        self
    }

    /// Writes a namespace's next entry and a checkpoint: keys, threshold, keys that retire, keys that sign the handover.
    pub fn change(
        &mut self,
        namespace: &str,
        keys: Vec<&SecretKey>,
        threshold: u64,
        retire: &[&SecretKey],
        handover: &[&SecretKey],
    ) {
        let change = EntryChange {
            namespace: parse(namespace),
            keys: keys.iter().map(|key| key.public().clone()).collect(),
            threshold,
            retire: retire.iter().map(|key| key.public().clone()).collect(),
            disown: Vec::new(),
        };
        let main = [&self.main];
        registry::change_namespace(&self.handle(), &change, handover, self.issue(&main)).expect("an entry");
        self.checkpoint_now();
    }

    /// Revokes a key, and makes a checkpoint.
    pub fn revoke_key(&mut self, revoked: &SecretKey, reason: &str) -> &mut Self {
        let main = [&self.main];
        registry::revoke_key(&self.handle(), revoked.public().fingerprint(), reason, self.issue(&main))
            .expect("a registrar file");
        self.checkpoint_now();
        self
    }

    /// Revokes a release, and makes a checkpoint.
    pub fn revoke_release(&mut self, name: &str, version: &str, reason: &str) -> &mut Self {
        let statement = self.statement_sha256(name, version);
        let main = [&self.main];
        registry::revoke_release(&self.handle(), statement, reason, self.issue(&main)).expect("a registrar file");
        self.checkpoint_now();
        self
    }

    /// The next root with a new index key, signed by the main key, and a checkpoint under it. `epochs` is added to the
    /// epoch.
    pub fn rotate_root(&mut self, epochs: u64) -> &mut Self {
        let index = key();
        let newest = self.newest_root();
        let mut next = TrustRoot { number: newest.number + 1, epoch: newest.epoch + epochs, ..newest };
        next.roles.insert(Role::Index, RoleKeys { keys: vec![index.public().clone()], threshold: 1 });
        registry::write_root(&self.handle(), &next, &[&self.main]).expect("a root");
        self.index = index;
        self.checkpoint_now();
        self
    }

    /// The newest root.
    pub fn newest_root(&self) -> TrustRoot {
        Roots::read(&self.handle()).expect("roots").newest().clone()
    }

    /// A release about to be published; a model, unless it says otherwise.
    pub fn release(&mut self, name: &str, at: &str) -> ReleaseBuilder<'_> {
        let statement = Statement {
            registry: self.id.clone(),
            name: parse(name),
            version: version(at),
            kind: PackageKind::Model,
            description: None,
            licence: None,
            default_variant: None,
            variants: BTreeMap::new(),
            files: Files::Inline(Vec::new()),
            dependencies: Vec::new(),
            base_model: None,
            trained_on: Vec::new(),
            packs: Vec::new(),
            upstream: None,
        };
        ReleaseBuilder { registry: self, statement, files: Vec::new(), signers: None }
    }

    /// Yanks a release with a reason, and makes a checkpoint.
    pub fn yank(&mut self, name: &str, at: &str, reason: &str) -> &mut Self {
        self.record(name, at, YankAction::Yank, reason)
    }

    /// Takes a yank back, and makes a checkpoint.
    pub fn unyank(&mut self, name: &str, at: &str, reason: &str) -> &mut Self {
        self.record(name, at, YankAction::Unyank, reason)
    }

    fn record(&mut self, name: &str, at: &str, action: YankAction, reason: &str) -> &mut Self {
        self.counter += 1;
        let package: PackageName = parse(name);
        let record = YankRecord {
            registry: self.id.clone(),
            statement: self.statement_sha256(name, at),
            version: version(at),
            action,
            reason: reason.to_owned(),
            severity: Severity::Broken,
            counter: self.counter,
            package: package.clone(),
        };
        let publisher = self.publisher(package.namespace().as_str()).clone();
        registry::write_yank(&self.handle(), &record, &[&publisher]).expect("a yank record");
        self.checkpoint_now();
        self
    }

    /// Digest of the statement of an admitted release.
    pub fn statement_sha256(&self, name: &str, at: &str) -> Sha256 {
        let (_, log) = self.state().log(&self.handle(), &parse(name)).expect("a log");
        let wanted = version(at);
        log.releases
            .iter()
            .find_map(|(event, _)| (event.version == wanted).then_some(event.statement.sha256))
            .expect("an admitted release")
    }

    /// Makes a checkpoint so many seconds after the registry began; the ones after it come no earlier.
    pub fn checkpoint(&mut self, after: u64) -> CheckpointOutcome {
        self.now = Timestamp::from_seconds(self.begin + after).expect("a time of a test");
        self.checkpoint_now()
    }

    /// Makes a checkpoint at the time of the last one.
    pub fn checkpoint_now(&self) -> CheckpointOutcome {
        let request = CheckpointRequest { now: self.now, signers: &[&self.index], bases: None };
        registry::checkpoint(&self.handle(), &request).expect("a checkpoint")
    }

    /// Signs whatever stands at a path below the folder, however false, beside it.
    pub fn sign_file_with(&self, path: &str, signer: &SecretKey) {
        let bytes = std::fs::read(self.folder().join(path)).expect("a file to sign");
        let text = signer.sign(&bytes, &format!("file:{path}")).expect("a signature");
        std::fs::write(self.folder().join(modelpm::keys::signature_path(path, signer.public())), text)
            .expect("a signature file");
    }

    /// Copies the registry as it is now: to serve, to break, to roll back to.
    pub fn copy_to(&self, to: &Path) {
        copy(self.folder(), to);
    }

    /// A copy as a git repository: `work` has a work tree on branch `main` and one commit, `bare.git` is a bare clone.
    pub fn as_git(&self) -> GitCopy {
        let place = tempfile::tempdir().expect("a temporary folder");
        let copied = GitCopy { work: place.path().join("work"), bare: place.path().join("bare.git"), place };
        copy(self.folder(), &copied.work);
        git(&copied.work, &["init", "-q", "-b", "main"]);
        copied.commit();
        git(copied.place.path(), &["clone", "-q", "--bare", "work", "bare.git"]);
        copied
    }

    fn issue<'a>(&self, main: &'a [&'a SecretKey]) -> Issue<'a> {
        Issue { now: self.now, life: 365 * DAY, signers: main }
    }
}

/// A registry in a git repository.
pub struct GitCopy {
    place: tempfile::TempDir,
    /// A work tree.
    pub work: PathBuf,
    /// A bare clone.
    pub bare: PathBuf,
}

impl GitCopy {
    /// Takes the registry's files as they are now, commits them and pushes them to the bare clone.
    pub fn update(&self, registry: &TestRegistry) {
        for entry in std::fs::read_dir(&self.work).expect("a work tree") {
            let path = entry.expect("an entry").path();
            if path.file_name().is_some_and(|name| name == ".git") {
                continue;
            }
            if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) }.expect("removed");
        }
        copy(registry.folder(), &self.work);
        self.commit();
        git(&self.work, &["push", "-q", "--force", "../bare.git", "main"]);
    }

    /// Commits all that stands in the work tree.
    pub fn commit(&self) {
        git(&self.work, &["add", "-A"]);
        git(&self.work, &["commit", "-q", "--allow-empty", "-m", "A checkpoint"]);
    }
}

/// Runs git hermetically.
pub fn git(folder: &Path, arguments: &[&str]) {
    let output = Command::new("git")
        .current_dir(folder)
        .args(["-c", "user.name=test", "-c", "user.email=test@example.invalid", "-c", "protocol.file.allow=always"])
        .args(arguments)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .expect("git is installed");
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder to copy") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a kind").is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), &target).expect("a copy");
        }
    }
}

impl ReleaseBuilder<'_> {
    /// A file that is common to all variants; its class follows from its name.
    #[must_use]
    pub fn file(self, path: &str, bytes: impl AsRef<[u8]>) -> Self {
        self.entry(path, bytes.as_ref(), None)
    }

    /// A file of a variant; the variant is declared with its first file.
    #[must_use]
    pub fn variant(mut self, variant: &str, path: &str, bytes: impl AsRef<[u8]>) -> Self {
        let name: VariantName = parse(variant);
        self.statement.variants.entry(name.clone()).or_default();
        self.entry(path, bytes.as_ref(), Some(name))
    }

    /// The variant that is installed when nobody names one.
    #[must_use]
    pub fn default_variant(mut self, variant: &str) -> Self {
        self.statement.default_variant = Some(parse(variant));
        self
    }

    /// The statement names this chunk index for a file; the caller puts it, or another, or none, into the base.
    #[must_use]
    pub fn chunks(mut self, path: &str, index: &[u8]) -> Self {
        for entry in self.files.iter_mut().filter(|entry| entry.path.as_str() == path) {
            entry.chunks = Some(Pin::of(index));
        }
        self
    }

    /// A package that is installed along.
    #[must_use]
    pub fn depends(self, name: &str, requirement: &str) -> Self {
        self.dependency(DependencyKind::Requires, None, name, requirement)
    }

    /// The package that an adapter was made for.
    #[must_use]
    pub fn base_model(self, name: &str, requirement: &str) -> Self {
        self.dependency(DependencyKind::BaseModel, None, name, requirement)
    }

    /// A package of another registry that is installed along.
    #[must_use]
    pub fn depends_on_foreign(self, registry: &str, name: &str, requirement: &str) -> Self {
        self.dependency(DependencyKind::Requires, Some(parse(registry)), name, requirement)
    }

    fn dependency(mut self, kind: DependencyKind, registry: Option<RegistryId>, name: &str, requirement: &str) -> Self {
        let requirement = Requirement::parse(requirement).expect("a requirement of a test");
        self.statement.dependencies.push(Dependency { kind, name: parse(name), registry, requirement });
        self.statement.dependencies.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
        self
    }

    /// A release that this one was trained on, admitted in the same registry.
    #[must_use]
    pub fn trained_on(mut self, name: &str, at: &str) -> Self {
        let statement = self.registry.statement_sha256(name, at);
        let registry = self.registry.id.clone();
        self.statement.trained_on.push(Provenance { registry, name: parse(name), version: version(at), statement });
        self
    }

    /// The same files stand on the hub.
    #[must_use]
    pub fn upstream(mut self, repository: &str, commit: &str) -> Self {
        let repository = HubRepository::parse(repository).expect("a repository of a test");
        let commit = HubCommit::parse(commit).expect("a commit of a test");
        self.statement.upstream = Some(Upstream { repository, commit });
        self
    }

    /// It is a dataset.
    #[must_use]
    pub fn dataset(mut self) -> Self {
        self.statement.kind = PackageKind::Dataset;
        self
    }

    /// A licence expression.
    #[must_use]
    pub fn licence(mut self, expression: &str) -> Self {
        self.statement.licence = Some(Licence { expression: expression.to_owned(), text: None });
        self
    }

    /// Other keys sign than the namespace's own.
    #[must_use]
    pub fn signed_by(mut self, signers: &[&SecretKey]) -> Self {
        self.signers = Some(signers.iter().map(|key| (*key).clone()).collect());
        self
    }

    /// Changes the statement before it is signed, also into something false.
    #[must_use]
    pub fn edit(mut self, change: impl FnOnce(&mut Statement)) -> Self {
        change(&mut self.statement);
        self
    }

    /// Puts the files into file lists instead of the statement, so many in each.
    #[must_use]
    pub fn in_lists(mut self, each: usize) -> Self {
        self.sort();
        let mut lists = Vec::new();
        for chunk in self.files.chunks(each) {
            let bytes = modelpm::statement::render_list(chunk);
            let list = modelpm::statement::ListPin {
                pin: Pin::of(&bytes),
                count: chunk.len() as u64,
                bytes: chunk.iter().map(|entry| entry.pin.size).sum(),
            };
            self.registry.put_blob(&bytes);
            lists.push(list);
        }
        self.statement.files = Files::Lists(lists);
        self
    }

    /// Writes blobs, statement and signature, and makes a checkpoint. Returns the statement's digest.
    pub fn publish(self) -> Sha256 {
        let folder = self.registry.handle();
        let (name, wanted) = (self.statement.name.clone(), self.statement.version.clone());
        let (index, now) = (self.registry.index.clone(), self.registry.now);
        let digest = self.submit();
        let request = CheckpointRequest { now, signers: &[&index], bases: None };
        let outcome = registry::checkpoint(&folder, &request).expect("a checkpoint");
        assert!(outcome.releases.contains(&(name, wanted)), "not admitted: {:?}", outcome.refused);
        digest
    }

    /// Writes blobs, statement and signature, and leaves them for the next checkpoint, whether or not it will like them.
    pub fn submit(mut self) -> Sha256 {
        self.sort();
        if self.statement.files == Files::Inline(Vec::new()) {
            self.statement.files = Files::Inline(std::mem::take(&mut self.files));
        }
        let namespace = self.statement.name.namespace();
        let signers = match &self.signers {
            Some(signers) => signers.clone(),
            None => vec![self.registry.publisher(namespace.as_str()).clone()],
        };
        let bytes = self.statement.render();
        let digest = Sha256::of(&bytes);
        let file = format!("releases/{digest}.json");
        std::fs::create_dir_all(self.registry.folder().join("releases")).expect("a folder");
        std::fs::write(self.registry.folder().join(&file), &bytes).expect("a statement");
        for signer in &signers {
            self.registry.sign_file_with(&file, signer);
        }
        digest
    }

    /// Hands it in through the library, which refuses what it does not like.
    pub fn offer(mut self) -> Result<Submitted, registry::RegistryError> {
        self.sort();
        self.statement.files = Files::Inline(std::mem::take(&mut self.files));
        let publisher = self.registry.publisher(self.statement.name.namespace().as_str());
        let state = self.registry.state();
        registry::submit(&self.registry.handle(), &state, &self.statement.render(), &[publisher])
    }

    fn entry(mut self, path: &str, bytes: &[u8], variant: Option<VariantName>) -> Self {
        let class = match path.rsplit('.').next() {
            Some("safetensors" | "gguf" | "onnx" | "bin" | "pt" | "pkl") => FileClass::Weights,
            Some("json" | "toml" | "yaml") => FileClass::Config,
            Some("md" | "txt") => FileClass::Doc,
            Some("py" | "sh") => FileClass::Code,
            _ => FileClass::Data,
        };
        let path = RelPath::parse(path).expect("a path of a test");
        self.registry.put_blob(bytes);
        self.files.push(FileEntry { path, pin: Pin::of(bytes), class, variant, pack: None, chunks: None });
        self
    }

    fn sort(&mut self) {
        self.files.sort_by(|a, b| (&a.path, &a.variant).cmp(&(&b.path, &b.variant)));
    }
}

impl TestRegistry {
    /// Puts a blob into the registry's own base, and returns its path.
    pub fn put_blob(&self, bytes: &[u8]) -> PathBuf {
        let path = self.blob(&Sha256::of(bytes));
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(&path, bytes).expect("a blob");
        path
    }

    /// Where a blob lies.
    pub fn blob(&self, digest: &Sha256) -> PathBuf {
        self.folder().join(modelpm::sys::blob_path(digest))
    }
}
