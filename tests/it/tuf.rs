//! The scenarios of the conformance suite for clients of The Update Framework, re-told for this client: a module for each
//! of its files, a test for each of its functions, under their names (docs/tuf.md says what does not apply, and why).
//!
//! Its root is our root, timestamp and snapshot are the checkpoint with its tree, targets are the registrar file, delegated
//! targets a namespace's entry with the logs and statements below it. Everything goes over HTTP.

mod basic;
mod delegation_graphs;
mod expiration;
mod file_download;
mod key_rotations;
mod keys;
mod quoting_issues;
mod rollback;
mod static_repositories;

use std::collections::{BTreeMap, BTreeSet};

use modelpm::diagnose::Diagnose as _;
use modelpm::index::{IndexError, Registry, VerifiedStatement};
use modelpm::keys::SecretKey;
use modelpm::progress::Silent;
use modelpm::trust::{Checkpoint, Registrar, TrustRoot};

use crate::index::fixture::{Index, Machine, Way, name, version};

/// A client, the repository that it knows, and what the repository was when it was last honest.
struct Client {
    machine: Machine,
    index: Index,
}

/// Numbers of the files that are trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Trusted {
    root: u64,
    registrar: u64,
    checkpoint: u64,
}

fn trusted(root: u64, registrar: u64, checkpoint: u64) -> Option<Trusted> {
    Some(Trusted { root, registrar, checkpoint })
}

impl Client {
    fn new() -> Self {
        Self { machine: Machine::new(), index: Index::new() }
    }

    fn open(&self) -> Result<Registry, IndexError> {
        self.machine.open(&self.index, Way::Sparse)
    }

    /// The top-level files, and what was learnt is kept. The code of an error, or nothing.
    fn refresh(&self) -> &'static str {
        let done = self.open().and_then(|registry| registry.remember(&BTreeMap::new(), &Silent));
        code(done)
    }

    /// A release's statement, down from the top; what was learnt is kept.
    fn take(&self, package: &str, number: &str) -> Result<VerifiedStatement, IndexError> {
        let registry = self.open()?;
        let found = take_from(&registry, package, number)?;
        registry.remember(&BTreeMap::new(), &Silent)?;
        Ok(found)
    }

    /// Takes the release that every repository here begins with.
    fn take_minilm(&self) -> &'static str {
        code(self.take("acme/minilm", "1.1.0"))
    }

    /// What is trusted now.
    fn trusted(&self) -> Option<Trusted> {
        let root = TrustRoot::parse(&self.stored("root.json")?).unwrap();
        let registrar = Registrar::parse(&self.stored("registrar.json")?).unwrap();
        let checkpoint = Checkpoint::parse(&self.stored("checkpoint.json")?).unwrap();
        trusted(root.number, registrar.number, checkpoint.at.number)
    }

    fn stored(&self, file: &str) -> Option<Vec<u8>> {
        std::fs::read(self.machine.trust().join(self.index.root_digest.hex()).join(file)).ok()
    }

    /// Paths that were asked for since the last call, signatures under the name of their file.
    fn asked(&self) -> Vec<String> {
        let mut paths: Vec<String> =
            self.machine.server.requests().into_iter().map(|request| plain(&request.path)).collect();
        // Several are asked for at once.
        paths.sort();
        paths.dedup();
        paths
    }

    /// Refused with this code, and all that was trusted stays as it was.
    #[track_caller]
    fn refuses(&self, expected: &str) {
        let before = self.trusted();
        let (refreshed, taken) = (self.open().err(), self.take_minilm());
        let found = refreshed.map_or(taken, |error| error.code().0);
        assert_eq!(found, expected);
        assert_eq!(self.trusted(), before, "what was trusted changed");
    }

    /// What the repository serves becomes honest again, one step on: the client that refused goes on.
    #[track_caller]
    fn recovers(&mut self, files: BTreeMap<String, Vec<u8>>) {
        self.index.files = files;
        assert_eq!((self.refresh(), self.take_minilm()), ("", ""), "a refusal must not last");
    }

    /// Takes away the signatures of a file.
    fn unsign(&mut self, path: &str) {
        let start = format!("{path}.");
        self.index.files.retain(|file, _| !(file.starts_with(&start) && file.ends_with(".minisig")));
    }

    /// Signs a file anew, with these keys alone.
    fn sign(&mut self, path: &str, keys: &[&SecretKey]) {
        self.unsign(path);
        for key in keys {
            self.index.countersign(path, key);
        }
    }

    /// Replaces the text of a file, which must be there, and signs it with the key that did.
    fn edit(&mut self, path: &str, key: &SecretKey, from: &str, to: &str) {
        let text = String::from_utf8(self.index.files[path].clone()).unwrap();
        assert!(text.contains(from), "{from:?} is not in {text}");
        self.index.put(path, text.replacen(from, to, 1).into_bytes());
        self.sign(path, &[key]);
    }
}

/// A release's statement from an opened registry.
fn take_from(registry: &Registry, package: &str, number: &str) -> Result<VerifiedStatement, IndexError> {
    let listings = registry.listings(&BTreeSet::from([name(package)]))?;
    let listing = listings[&name(package)].as_ref().expect("it is listed");
    registry.statement(&name(package), &listing.releases[&version(number)])
}

fn code<T>(result: Result<T, IndexError>) -> &'static str {
    result.err().map_or("", |error| error.code().0)
}

/// `checkpoint.json` for `checkpoint.json.0123456789abcdef.minisig`.
fn plain(path: &str) -> String {
    match path.strip_suffix(".minisig").and_then(|rest| rest.rsplit_once('.')) {
        Some((file, _)) => file.to_owned(),
        None => path.to_owned(),
    }
}
