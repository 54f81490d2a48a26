//! A stand-in for the Hugging Face hub: models and datasets with commits, branches and tags, the endpoint's addresses, and a
//! second host that serves large files under signed addresses.
//!
//! The endpoint is 127.0.0.1, the second host `localhost` on another port: clients that tell hosts apart by name and those
//! that look at the port as well both see two.
//!
//! ```ignore
//! let hub = Hub::start();
//! let commit = hub.model("org/name").file("config.json", "{}").lfs("model.safetensors", weights).commit("main");
//! // HF_ENDPOINT=hub.url()
//! ```

mod answers;
mod content;
mod storage;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use modelpm::model::Sha256;

use self::answers::Window;
pub use self::content::blob_id;
use self::content::{Repository, Stored};
use self::storage::Signed;
use super::http::{Content, Fault, Listener, Port, Request};

/// The hub; it ends when it is dropped.
pub struct Hub {
    endpoint: Listener,
    storage: Listener,
    state: Arc<Mutex<State>>,
}

/// Models and datasets have addresses of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `/api/models/`, `/{id}/resolve/`.
    Model,
    /// `/api/datasets/`, `/datasets/{id}/resolve/`.
    Dataset,
}

/// How long a signed address is good for.
#[derive(Debug, Clone, Copy)]
pub enum Life {
    /// To the end of the test.
    Long,
    /// For so many requests.
    Requests(u64),
    /// For so many bytes; the connection ends with the last of them.
    Bytes(u64),
}

/// What a token that is known opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Private and gated repositories too.
    All,
    /// What anyone may see.
    Public,
}

/// What both hosts know.
struct State {
    repositories: BTreeMap<(Kind, String), Repository>,
    moved: BTreeMap<String, String>,
    tokens: BTreeMap<String, Access>,
    windows: BTreeMap<&'static str, Window>,
    page_size: usize,
    life: Life,
    signatures: BTreeMap<String, Signed>,
    /// Where the second host is; none where the endpoint sends large files itself.
    storage: Option<String>,
    endpoint: String,
    /// Small files are at a relative address of their own.
    resolve_cache: bool,
    /// Repositories that are not there are hidden from the anonymous.
    hides: bool,
}

impl Hub {
    /// An empty hub.
    pub fn start() -> Self {
        let (endpoint, storage) = (Port::pick(), Port::pick());
        let state = Arc::new(Mutex::new(State {
            repositories: BTreeMap::new(),
            moved: BTreeMap::new(),
            tokens: BTreeMap::new(),
            windows: BTreeMap::new(),
            page_size: 1000,
            life: Life::Long,
            signatures: BTreeMap::new(),
            storage: Some(format!("http://localhost:{}", storage.address().port())),
            endpoint: format!("http://{}", endpoint.address()),
            resolve_cache: false,
            hides: false,
        }));
        let (asked, downloaded) = (Arc::clone(&state), Arc::clone(&state));
        let endpoint = endpoint.answer(move |request| answers::answer(&mut asked.lock().unwrap(), request));
        let storage = storage.answer(move |request| storage::answer(&mut downloaded.lock().unwrap(), request));
        Self { endpoint, storage, state }
    }

    /// `http://127.0.0.1:<port>`, for `HF_ENDPOINT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.endpoint.address())
    }

    /// `http://localhost:<port>`, where large files come from.
    pub fn storage_url(&self) -> String {
        format!("http://localhost:{}", self.storage.address().port())
    }

    /// A model, made with its first commit.
    pub fn model(&self, id: &str) -> Draft<'_> {
        self.draft(Kind::Model, id)
    }

    /// A dataset.
    pub fn dataset(&self, id: &str) -> Draft<'_> {
        self.draft(Kind::Dataset, id)
    }

    fn draft(&self, kind: Kind, id: &str) -> Draft<'_> {
        Draft { hub: self, key: (kind, id.to_owned()), changes: BTreeMap::new() }
    }

    /// Knows a token; one that it does not know is refused everywhere.
    pub fn token(&self, token: &str, access: Access) {
        self.state().tokens.insert(token.to_owned(), access);
    }

    /// Entries on a page of a listing (1,000 at first).
    pub fn page_size(&self, entries: usize) {
        self.state().page_size = entries;
    }

    /// How long addresses signed from now on are good for.
    pub fn signature_life(&self, life: Life) {
        self.state().life = life;
    }

    /// The endpoint sends large files itself, as mirrors do.
    pub fn without_storage(&self) {
        self.state().storage = None;
    }

    /// Small files answer 307 to a relative address of the endpoint, as the hub does for browsers' sake.
    pub fn with_resolve_cache(&self) {
        self.state().resolve_cache = true;
    }

    /// Repositories that are not there answer 401 to the anonymous, as the hub does, instead of 404.
    pub fn hide_what_is_missing(&self) {
        self.state().hides = true;
    }

    /// Answers so many requests of a sort (`api`, `resolvers`) in a window, and 429 to the rest of it. The wait is told
    /// in `RateLimit` alone; for `Retry-After` there is `Fault::Status(429, Some(1))`.
    pub fn limit(&self, sort: &'static str, requests: u64, window: Duration) {
        self.state().windows.insert(sort, Window::new(requests, window));
    }

    /// Answers without limits again.
    pub fn without_limits(&self) {
        self.state().windows.clear();
    }

    /// A repository was renamed: its old addresses redirect, relative to the endpoint.
    pub fn moved(&self, from: &str, to: &str) {
        self.state().moved.insert(from.to_owned(), to.to_owned());
    }

    /// Misbehaves with the next `times` requests for paths that end so (a file's path in its repository will do). What is
    /// wrong with bytes happens on whichever host sends them; the rest on the endpoint, questions for headers included.
    pub fn fault(&self, path: &str, times: usize, fault: Fault) {
        if fault.is_of_body() {
            self.storage.fault(&format!("*/{path}"), times, fault.clone());
        }
        self.endpoint.fault(&format!("*/{path}"), times, fault);
    }

    /// Misbehaves on the second host alone.
    pub fn storage_fault(&self, path: &str, times: usize, fault: Fault) {
        self.storage.fault(&format!("*/{path}"), times, fault);
    }

    /// Behaves again.
    pub fn mend(&self) {
        self.endpoint.mend();
        self.storage.mend();
    }

    /// What the endpoint was asked so far; forgets it.
    pub fn requests(&self) -> Vec<Request> {
        self.endpoint.requests()
    }

    /// What the second host was asked so far; forgets it.
    pub fn downloads(&self) -> Vec<Request> {
        self.storage.requests()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

/// A repository being changed; nothing of it is seen before its commit.
pub struct Draft<'a> {
    hub: &'a Hub,
    key: (Kind, String),
    changes: BTreeMap<String, Option<Arc<Stored>>>,
}

impl Draft<'_> {
    /// A small file: git holds it, the endpoint sends it.
    pub fn file(mut self, path: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.changes.insert(path.to_owned(), Some(Arc::new(Stored::small(bytes.into()))));
        self
    }

    /// A large file: git holds a pointer, the second host sends it.
    pub fn lfs(mut self, path: &str, bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        let sha256 = Sha256::of(&bytes).hex();
        self.changes.insert(path.to_owned(), Some(Arc::new(Stored::large(Content::bytes(bytes), sha256))));
        self
    }

    /// The same, sent from a file on disk that stays as it is.
    pub fn lfs_from(mut self, path: &str, file: &Path) -> Self {
        let sha256 = content::sha256_of(file);
        self.changes.insert(path.to_owned(), Some(Arc::new(Stored::large(Content::file(file), sha256))));
        self
    }

    /// Every file below a folder; those of more than a million bytes are large.
    pub fn folder(mut self, folder: &Path) -> Self {
        for (path, file) in content::files(folder) {
            self = match std::fs::metadata(&file).unwrap().len() {
                0..=1_000_000 => self.file(&path, std::fs::read(&file).unwrap()),
                _ => self.lfs_from(&path, &file),
            };
        }
        self
    }

    /// Takes a file out.
    pub fn without(mut self, path: &str) -> Self {
        self.changes.insert(path.to_owned(), None);
        self
    }

    /// Commits the changes on top of a branch (`main`, `refs/pr/1`), which moves to the new commit; a new branch begins at
    /// `main`. Gives the commit's id, which depends on its content and its parent alone.
    pub fn commit(self, branch: &str) -> String {
        let id = self.key.1.clone();
        let changes = self.changes.clone();
        self.change(|repository| repository.commit(&id, branch, changes))
    }

    /// Names a commit.
    pub fn tag(&self, name: &str, commit: &str) {
        self.point(&format!("refs/tags/{name}"), commit);
    }

    /// Moves a branch to any commit, as a force push does.
    pub fn rewind(&self, branch: &str, commit: &str) {
        self.point(&content::branch(branch), commit);
    }

    fn point(&self, reference: &str, commit: &str) {
        self.change(|repository| {
            assert!(repository.commits.contains_key(commit), "no commit {commit}");
            repository.references.insert(reference.to_owned(), commit.to_owned());
        });
    }

    /// Forgets a commit, as a rewritten history does.
    pub fn forget(&self, commit: &str) {
        self.change(|repository| drop(repository.commits.remove(commit)));
    }

    /// Only a token with access sees it; to others it is not there.
    pub fn private(self) -> Self {
        self.change(|repository| repository.private = true);
        self
    }

    /// Everyone sees what it holds, only a token with access gets the files.
    pub fn gated(self) -> Self {
        self.change(|repository| repository.gated = true);
        self
    }

    /// Labels such as `license:apache-2.0`, which the hub calls tags.
    pub fn labels(self, labels: &[&str]) -> Self {
        self.change(|repository| repository.labels = labels.iter().map(|&label| label.to_owned()).collect());
        self
    }

    /// Takes the repository away.
    pub fn remove(self) {
        self.hub.state().repositories.remove(&self.key);
    }

    fn change<T>(&self, with: impl FnOnce(&mut Repository) -> T) -> T {
        with(self.hub.state().repositories.entry(self.key.clone()).or_default())
    }
}
