//! What a machine remembers of a registry, under its first root.
//!
//! A folder `<trust>/<hex of the first root>/` with small files: `root.json`, `registrar.json` and `checkpoint.json` as they
//! were verified; `roots` with the digest of each root; `logs/<ns>/<name>` with the prefix that was read;
//! `signers/<ns>` with the keys that were accepted; `imports/` with a site's import records; `verified/<statement>` with who signed. Written after verification,
//! each atomically, under a lease, and never lowered within an epoch.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::index::IndexError;
use crate::model::{
    CheckpointNumber, Fingerprint, Floor, Namespace, PackageName, Pin, RegistryId, Sha256, Signature, Timestamp,
};
use crate::progress::Progress;
use crate::sys::{Lease, fault, files};
use crate::trust::{
    Checkpoint, ImportRecord, MAX_CHECKPOINT, MAX_IMPORT, MAX_REGISTRAR, MAX_ROOT, MAX_ROOTS, Registrar, Revocations,
    TrustRoot,
};

/// Largest of the small files.
const MAX_NOTE: u64 = 1 << 20;
/// How long another process that writes is waited for.
const WAIT: Duration = Duration::from_secs(30);

/// The memory of one registry, read from disk.
#[derive(Debug, Clone)]
pub struct Memory {
    folder: PathBuf,
    state: Option<State>,
    nothing: Revocations,
}

/// The files that were verified last.
#[derive(Debug, Clone)]
pub(super) struct State {
    pub(super) root: TrustRoot,
    pub(super) root_bytes: Vec<u8>,
    pub(super) roots: BTreeMap<u64, Sha256>,
    pub(super) registrar: Registrar,
    pub(super) registrar_bytes: Vec<u8>,
    pub(super) checkpoint: Checkpoint,
    pub(super) checkpoint_bytes: Vec<u8>,
    /// Those that the checkpoint was read with; none where it comes from the memory.
    pub(super) signatures: Vec<Signature>,
    /// The site's import record of the checkpoint with its signature, where one was asked for.
    pub(super) import: Option<(Vec<u8>, Signature)>,
}

/// The prefix of a log that was read, and under which epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Prefix {
    pub(super) epoch: u64,
    pub(super) pin: Pin,
}

/// What is remembered of a registry's head, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    /// Its id.
    pub registry: RegistryId,
    /// The number of the newest checkpoint that was verified.
    pub checkpoint: CheckpointNumber,
    /// When that was signed.
    pub issued: Timestamp,
    /// When the first of root, registrar file and checkpoint expires; none: never.
    pub expires: Option<Timestamp>,
}

/// What a run learnt.
#[derive(Debug, Clone)]
pub(super) struct Learnt<'a> {
    pub(super) state: &'a State,
    pub(super) logs: &'a BTreeMap<PackageName, Pin>,
    pub(super) signers: &'a BTreeMap<Namespace, BTreeSet<Fingerprint>>,
    pub(super) verified: &'a BTreeMap<Sha256, BTreeSet<Fingerprint>>,
}

/// Names that count as equal share their memory: another spelling is no fresh start.
fn signers_path(namespace: &Namespace) -> String {
    format!("signers/{}", namespace.normalised())
}

fn log_path(package: &PackageName) -> String {
    format!("logs/{}", package.normalised())
}

impl State {
    /// The numbers in it.
    pub(super) fn floor(&self) -> Floor {
        Floor { root_number: self.root.number, registrar: self.registrar.number, checkpoint: self.checkpoint.at }
    }
}

impl Memory {
    /// No memory: for a look at a copy as it stands.
    pub(super) fn none() -> Self {
        Self { folder: PathBuf::new(), state: None, nothing: Revocations::default() }
    }

    /// Reads the memory of the registry with this first root; empty if there is none.
    ///
    /// # Errors
    /// `E0125`: it can't be read or is damaged.
    pub fn load(trust: &Path, root: &Sha256) -> Result<Self, IndexError> {
        let folder = trust.join(root.hex());
        let mut memory = Self { folder, state: None, nothing: Revocations::default() };
        memory.state = memory.load_state()?;
        Ok(memory)
    }

    /// Revocations of the newest registrar file that was verified.
    pub fn revocations(&self) -> &Revocations {
        self.state.as_ref().map_or(&self.nothing, |state| &state.registrar.revocations)
    }

    /// The head that was verified last, if any was.
    pub fn remembered(&self) -> Option<Remembered> {
        let state = self.state.as_ref()?;
        let ends = [state.root.expires, state.registrar.expires, state.checkpoint.expires];
        Some(Remembered {
            registry: state.checkpoint.registry.clone(),
            checkpoint: state.checkpoint.at,
            issued: state.checkpoint.issued,
            expires: ends.into_iter().flatten().min(),
        })
    }

    /// Who was verified to have signed a statement under this root, on this machine. The store is shared between
    /// registries; this record is what says that a stored statement counts for this one.
    ///
    /// # Errors
    /// The record can't be read.
    pub fn verified(&self, statement: &Sha256) -> Result<Option<BTreeSet<Fingerprint>>, IndexError> {
        self.fingerprints(&format!("verified/{statement}"))
    }

    /// The statements that were verified under this root, on this machine.
    ///
    /// # Errors
    /// `E0125`: they can't be listed.
    pub fn statements(&self) -> Result<Vec<Sha256>, IndexError> {
        match files::list(&self.folder.join("verified")) {
            Ok(names) => Ok(names.iter().filter_map(|(name, _)| Sha256::parse(name.to_str()?).ok()).collect()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(self.damaged("verified", &error.to_string())),
        }
    }

    /// A folder of it that others than this user may write: what it remembers may be their word.
    pub(super) fn exposed(&self) -> Option<&Path> {
        self.folder.ancestors().take(2).find(|folder| files::others_may_write(folder))
    }

    /// The files that were verified last.
    pub(super) fn state(&self) -> Option<&State> {
        self.state.as_ref()
    }

    /// Whether what is on disk by now is later than this checkpoint.
    pub(super) fn is_ahead_of(&self, at: CheckpointNumber) -> Result<bool, IndexError> {
        Ok(self.load_state()?.is_some_and(|state| state.checkpoint.at > at))
    }

    /// The signers of a namespace that were accepted.
    pub(super) fn signers(&self, namespace: &Namespace) -> Result<BTreeSet<Fingerprint>, IndexError> {
        Ok(self.fingerprints(&signers_path(namespace))?.unwrap_or_default())
    }

    /// The prefix of a log that was read.
    pub(super) fn prefix(&self, package: &PackageName) -> Result<Option<Prefix>, IndexError> {
        let path = log_path(package);
        let Some(text) = self.text(&path)? else { return Ok(None) };
        let damaged = || self.damaged(&path, "it is not `epoch size sha256`");
        let mut words = text.split_ascii_whitespace();
        let (Some(epoch), Some(size), Some(sha256), None) = (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(damaged());
        };
        Ok(Some(Prefix {
            epoch: epoch.parse().map_err(|_| damaged())?,
            pin: Pin {
                size: size.parse().map_err(|_| damaged())?,
                sha256: Sha256::parse(sha256).map_err(|_| damaged())?,
            },
        }))
    }

    /// Writes what was learnt, under a lease. Another process may have learnt more meanwhile: nothing is lowered.
    pub(super) fn remember(&self, learnt: &Learnt<'_>, progress: &dyn Progress) -> Result<(), IndexError> {
        if self.folder.as_os_str().is_empty() {
            return Ok(());
        }
        files::create_private_dirs(&self.folder).map_err(|error| self.damaged("", &error.to_string()))?;
        let _lease = Lease::take(&self.folder.join("lease"), WAIT, &|holder| {
            let registry = learnt.state.root.registry.as_str();
            let text = format!("waiting for {holder}, which writes what this machine remembers of registry {registry}");
            progress.note("waiting", text);
        })?;
        self.clear_unfinished(learnt);
        let now = Self { state: self.load_state()?, ..self.clone() };
        let newer = now.write_state(learnt.state)?;
        let epoch = learnt.state.root.epoch;
        for (package, pin) in learnt.logs {
            let stored = now.prefix(package)?;
            let lower = |stored: Prefix| stored.epoch > epoch || (stored.epoch == epoch && stored.pin.size >= pin.size);
            if newer && !stored.is_some_and(lower) {
                let text = format!("{epoch} {} {}\n", pin.size, pin.sha256);
                now.write(&log_path(package), text.as_bytes())?;
            }
        }
        for (namespace, signers) in learnt.signers {
            let mut all = now.signers(namespace)?;
            let before = all.len();
            all.extend(signers);
            if all.len() > before {
                now.write_fingerprints(&signers_path(namespace), &all)?;
            }
        }
        for (statement, signers) in learnt.verified {
            if now.verified(statement).ok().flatten().as_ref() != Some(signers) {
                now.write_fingerprints(&format!("verified/{statement}"), signers)?;
            }
        }
        Ok(())
    }

    /// Removes what processes that were killed left where this one is about to write.
    fn clear_unfinished(&self, learnt: &Learnt<'_>) {
        let logs = learnt.logs.keys().map(log_path);
        let mut folders: BTreeSet<PathBuf> =
            logs.filter_map(|log| Some(Path::new(&log).parent()?.to_owned())).collect();
        folders.extend(["", "signers", "verified"].map(PathBuf::from));
        for folder in folders {
            files::clear_unfinished(&self.folder.join(folder));
        }
        Lease::clear_unfinished(&self.folder);
    }

    /// Writes the three files where they are newer; says whether they are at least as new as what is stored. The root
    /// first, the checkpoint last: a crash between leaves files that still fit together.
    fn write_state(&self, learnt: &State) -> Result<bool, IndexError> {
        let key = |state: &State| (state.checkpoint.at, state.registrar.number);
        if let Some(stored) = &self.state {
            if stored.root.number > learnt.root.number || key(stored) > key(learnt) {
                return Ok(false);
            }
            if key(stored) == key(learnt) && stored.root.number == learnt.root.number {
                // Equal numbers with other bytes: what was here first stays, and the next run says so.
                return Ok(stored.checkpoint_bytes == learnt.checkpoint_bytes);
            }
        }
        if let Some((record, signature)) = &learnt.import {
            self.keep_import(&Sha256::of(&learnt.checkpoint_bytes), record, signature.as_str())?;
        }
        self.write_lines("roots", learnt.roots.iter().map(|(number, digest)| format!("{number} {digest}")))?;
        self.write("root.json", &learnt.root_bytes)?;
        self.write("registrar.json", &learnt.registrar_bytes)?;
        self.write("checkpoint.json", &learnt.checkpoint_bytes)?;
        Ok(true)
    }

    fn load_state(&self) -> Result<Option<State>, IndexError> {
        let Some(root_bytes) = self.read("root.json", MAX_ROOT)? else { return Ok(None) };
        // Written in this order: what is missing behind it was never written.
        let Some(registrar_bytes) = self.read("registrar.json", MAX_REGISTRAR)? else { return Ok(None) };
        let Some(checkpoint_bytes) = self.read("checkpoint.json", MAX_CHECKPOINT)? else { return Ok(None) };
        let bad = |path: &'static str| move |error: crate::trust::TrustError| self.damaged(path, &error.to_string());
        Ok(Some(State {
            root: TrustRoot::parse(&root_bytes).map_err(bad("root.json"))?,
            roots: self.load_roots()?,
            registrar: Registrar::parse(&registrar_bytes).map_err(bad("registrar.json"))?,
            checkpoint: Checkpoint::parse(&checkpoint_bytes).map_err(bad("checkpoint.json"))?,
            root_bytes,
            registrar_bytes,
            checkpoint_bytes,
            signatures: Vec::new(),
            import: None,
        }))
    }

    /// The import record of a checkpoint that was kept, with its signature.
    pub(super) fn import(&self, checkpoint: &Sha256) -> Option<(Vec<u8>, Signature)> {
        let path = ImportRecord::path(checkpoint);
        let record = self.read(&path, MAX_IMPORT).ok().flatten()?;
        let signature = self.read(&format!("{path}.minisig"), MAX_NOTE).ok().flatten()?;
        Some((record, Signature::parse(&signature).ok()?))
    }

    /// Keeps one.
    pub(super) fn keep_import(&self, checkpoint: &Sha256, record: &[u8], signature: &str) -> Result<(), IndexError> {
        if self.folder.as_os_str().is_empty() {
            return Ok(());
        }
        let path = ImportRecord::path(checkpoint);
        self.write(&format!("{path}.minisig"), signature.as_bytes())?;
        self.write(&path, record)
    }

    fn load_roots(&self) -> Result<BTreeMap<u64, Sha256>, IndexError> {
        let text = self.text("roots")?.unwrap_or_default();
        let line = |line: &str| {
            let (number, digest) = line.split_once(' ')?;
            Some((number.parse().ok()?, Sha256::parse(digest).ok()?))
        };
        let most = usize::try_from(MAX_ROOTS).unwrap_or(usize::MAX).saturating_mul(64);
        text.lines()
            .take(most)
            .map(|text| line(text).ok_or_else(|| self.damaged("roots", "a line is not `number sha256`")))
            .collect()
    }

    fn fingerprints(&self, path: &str) -> Result<Option<BTreeSet<Fingerprint>>, IndexError> {
        let Some(text) = self.text(path)? else { return Ok(None) };
        let parse = |line| Fingerprint::parse(line).map_err(|error| self.damaged(path, &error.to_string()));
        text.lines().map(parse).collect::<Result<_, _>>().map(Some)
    }

    fn write_fingerprints(&self, path: &str, keys: &BTreeSet<Fingerprint>) -> Result<(), IndexError> {
        self.write_lines(path, keys.iter().map(Fingerprint::to_string))
    }

    fn write_lines(&self, path: &str, lines: impl Iterator<Item = String>) -> Result<(), IndexError> {
        let mut text = String::new();
        for line in lines {
            text.push_str(&line);
            text.push('\n');
        }
        self.write(path, text.as_bytes())
    }

    fn text(&self, path: &str) -> Result<Option<String>, IndexError> {
        let Some(bytes) = self.read(path, MAX_NOTE)? else { return Ok(None) };
        String::from_utf8(bytes).map(Some).map_err(|_| self.damaged(path, "it is not UTF-8"))
    }

    fn read(&self, path: &str, cap: u64) -> Result<Option<Vec<u8>>, IndexError> {
        if self.folder.as_os_str().is_empty() {
            return Ok(None);
        }
        files::read_capped(&self.folder.join(path), cap).map_err(|error| self.damaged(path, &error.to_string()))
    }

    fn write(&self, path: &str, bytes: &[u8]) -> Result<(), IndexError> {
        let place = self.folder.join(path);
        let parent = place.parent().unwrap_or(&self.folder);
        fault::point("trust-state-write")
            .and_then(|()| files::create_private_dirs(parent))
            .and_then(|()| files::write_private(&place, bytes))
            .map_err(|error| self.damaged(path, &error.to_string()))
    }

    fn damaged(&self, path: &str, reason: &str) -> IndexError {
        IndexError::Memory { path: self.folder.join(path), reason: reason.to_owned() }
    }
}
