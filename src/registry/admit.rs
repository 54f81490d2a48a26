//! What waits in `releases/` and `yanks/`, and whether it may enter a log.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::{Admitted, MAX_LOG, PackageLeaf, PackageLog, ReleaseEvent, YankAction, YankEvent};
use crate::model::{PackageName, Pin, PublicKey, RegistryId, Sha256, Version};
use crate::registry::release::{looks_like, named_by_hash, release_path};
use crate::registry::state::log_path;
use crate::registry::yank::yank_path;
use crate::registry::{Folder, RegistryError, State};
use crate::statement::{MAX_STATEMENT, Statement, StatementError};
use crate::trust::{MAX_YANK, Role, TrustError, YankRecord};

/// A statement that no log names yet: digest, size, content.
type Waiting = (Sha256, u64, Statement);

/// Why a file that waits does not enter a log. It stays where it is.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// It can't be read.
    #[error(transparent)]
    Unreadable(RegistryError),
    /// Its name is not the digest of its bytes.
    #[error("its bytes have sha256 {found}, not the one in its name")]
    Name {
        /// The digest.
        found: Sha256,
    },
    /// It is no statement.
    #[error(transparent)]
    Statement(StatementError),
    /// It is no yank record, or too few keys signed it.
    #[error(transparent)]
    Trust(TrustError),
    /// It speaks of another registry.
    #[error("it speaks of registry {found}, not {expected}")]
    OtherRegistry {
        /// This registry.
        expected: RegistryId,
        /// The one it speaks of.
        found: RegistryId,
    },
    /// Nobody may publish there.
    #[error(transparent)]
    Namespace(RegistryError),
    /// The version stands.
    #[error("{version} stands already with statement {standing}")]
    VersionStands {
        /// The version.
        version: Version,
        /// The statement that stands.
        standing: Sha256,
    },
    /// Two statements for one version wait; neither is better.
    #[error("statement {other} waits for the same version {version}: remove one of them")]
    Twice {
        /// The version.
        version: Version,
        /// The other one.
        other: Sha256,
    },
    /// The names are equal when normalised.
    #[error("{offered} and {standing} are one name: `-`, `_` and `.` count as equal")]
    NameClash {
        /// The name that was offered.
        offered: PackageName,
        /// The one that stands.
        standing: PackageName,
    },
    /// A new name that the eye takes for one that stands.
    #[error(transparent)]
    LooksLike(RegistryError),
    /// The release that a yank speaks of does not exist.
    #[error("{package} {version} with statement {statement} is in no log")]
    NoSuchRelease {
        /// The package.
        package: PackageName,
        /// Its version.
        version: Version,
        /// The statement that was meant.
        statement: Sha256,
    },
    /// A yank record that is not newer than the one in force.
    #[error("its counter {found} is not above {standing}, that of the record in force")]
    Counter {
        /// The counter in force.
        standing: u64,
        /// The counter that was found.
        found: u64,
    },
    /// The log would grow too large.
    #[error("the log would grow beyond {MAX_LOG} bytes")]
    LogFull,
}

/// The logs that change, and what did not make it.
#[derive(Debug, Default)]
pub(super) struct Admission {
    /// Logs that changed: their bytes, by package.
    pub logs: BTreeMap<PackageName, Vec<u8>>,
    /// Releases admitted.
    pub releases: Vec<(PackageName, Version)>,
    /// Yanks and unyanks applied.
    pub yanks: Vec<(PackageName, Version, YankAction)>,
    /// Files that stay outside.
    pub refused: Vec<(String, Refusal)>,
}

/// Admits what verifies.
pub(super) fn admit(folder: &Folder, state: &State, admitted: Admitted) -> Result<Admission, RegistryError> {
    let mut desk = Desk { folder, state, open: BTreeMap::new(), admission: Admission::default() };
    let (releases, records) = desk.known()?;
    desk.releases(&releases, admitted)?;
    desk.yanks(&records)?;
    let Desk { open, mut admission, .. } = desk;
    admission.logs =
        open.into_iter().filter(|(_, (_, _, changed))| *changed).map(|(name, (bytes, ..))| (name, bytes)).collect();
    Ok(admission)
}

struct Desk<'a> {
    folder: &'a Folder,
    state: &'a State,
    /// Logs that were read: bytes, content, whether they changed.
    open: BTreeMap<PackageName, (Vec<u8>, PackageLog, bool)>,
    admission: Admission,
}

impl Desk<'_> {
    /// Digests of all statements and yank records that stand in logs.
    fn known(&self) -> Result<(BTreeSet<Sha256>, BTreeSet<Sha256>), RegistryError> {
        let (mut releases, mut records) = (BTreeSet::new(), BTreeSet::new());
        for name in self.state.packages.keys() {
            let (_, log) = self.state.log(self.folder, name)?;
            releases.extend(log.releases.iter().map(|(event, _)| event.statement.sha256));
            records.extend(log.yanks.iter().map(|event| event.record));
        }
        Ok((releases, records))
    }

    fn releases(&mut self, known: &BTreeSet<Sha256>, admitted: Admitted) -> Result<(), RegistryError> {
        let mut waiting: BTreeMap<(PackageName, Version), Vec<Waiting>> = BTreeMap::new();
        for (digest, file) in named_by_hash(self.folder, "releases")? {
            if known.contains(&digest) {
                continue;
            }
            match self.statement(&digest, &file) {
                Ok((size, statement)) => waiting
                    .entry((statement.name.clone(), statement.version.clone()))
                    .or_default()
                    .push((digest, size, statement)),
                Err(refusal) => self.admission.refused.push((file, refusal)),
            }
        }
        let mut names: BTreeMap<String, PackageName> =
            self.state.packages.keys().map(|name| (name.skeleton(), name.clone())).collect();
        for ((name, version), offers) in waiting {
            if let [(first, ..), .., (last, ..)] = offers.as_slice() {
                for (digest, ..) in &offers {
                    let other = if digest == first { *last } else { *first };
                    let refusal = Refusal::Twice { version: version.clone(), other };
                    self.admission.refused.push((release_path(digest), refusal));
                }
                continue;
            }
            for (digest, size, statement) in offers {
                let pin = Pin { sha256: digest, size };
                let event = ReleaseEvent::of(&statement, pin, admitted);
                // What stands goes on, whatever it looks like.
                let standing = if self.state.packages.contains_key(&name) {
                    name.clone()
                } else {
                    names.entry(name.skeleton()).or_insert_with(|| name.clone()).clone()
                };
                match self.append_release(&name, standing, &event)? {
                    None => self.admission.releases.push((name.clone(), version.clone())),
                    Some(refusal) => self.admission.refused.push((release_path(&digest), refusal)),
                }
            }
        }
        Ok(())
    }

    /// A waiting statement that a threshold of its namespace's publishers signed for this registry.
    fn statement(&self, digest: &Sha256, file: &str) -> Result<(u64, Statement), Refusal> {
        let bytes = self.bytes(digest, file, MAX_STATEMENT)?;
        let statement = Statement::parse(&bytes).map_err(Refusal::Statement)?;
        self.same_registry(&statement.registry)?;
        let entry = self.state.entry(&statement.name.namespace()).map_err(Refusal::Namespace)?;
        let signatures = self.folder.signatures(file, &entry.keys).map_err(Refusal::Unreadable)?;
        // A retired key admits nothing new.
        entry.check(&bytes, &signatures, &self.state.registrar.revocations, &|_| false).map_err(Refusal::Trust)?;
        Ok((bytes.len() as u64, statement))
    }

    fn append_release(
        &mut self,
        name: &PackageName,
        standing: PackageName,
        event: &ReleaseEvent,
    ) -> Result<Option<Refusal>, RegistryError> {
        if standing.normalised() != name.normalised() {
            return Ok(Some(Refusal::LooksLike(looks_like(name.as_str(), standing.as_str()))));
        }
        if standing != *name {
            return Ok(Some(Refusal::NameClash { offered: name.clone(), standing }));
        }
        let (bytes, log, changed) = self.open(name)?;
        if let Some((stands, _)) = log.releases.iter().find(|(stands, _)| stands.version == event.version) {
            let (version, standing) = (event.version.clone(), stands.statement.sha256);
            return Ok(Some(Refusal::VersionStands { version, standing }));
        }
        let line = PackageLog::render_release(event);
        if bytes.len() as u64 + line.len() as u64 > MAX_LOG {
            return Ok(Some(Refusal::LogFull));
        }
        bytes.extend(line);
        log.releases.push((event.clone(), bytes.len() as u64));
        *changed = true;
        Ok(None)
    }

    fn yanks(&mut self, known: &BTreeSet<Sha256>) -> Result<(), RegistryError> {
        let mut waiting = Vec::new();
        for (digest, file) in named_by_hash(self.folder, "yanks")? {
            if known.contains(&digest) {
                continue;
            }
            match self.record(&digest, &file) {
                Ok(record) => waiting.push((record.counter, digest, record)),
                Err(refusal) => self.admission.refused.push((file, refusal)),
            }
        }
        waiting.sort_by_key(|(counter, digest, _)| (*counter, *digest));
        for (_, digest, record) in waiting {
            match self.append_yank(&digest, &record)? {
                None => self.admission.yanks.push((record.package, record.version, record.action)),
                Some(refusal) => self.admission.refused.push((yank_path(&digest), refusal)),
            }
        }
        Ok(())
    }

    /// A waiting record that a threshold of publishers, or of registrars, signed for this registry.
    fn record(&self, digest: &Sha256, file: &str) -> Result<YankRecord, Refusal> {
        let bytes = self.bytes(digest, file, MAX_YANK)?;
        let record = YankRecord::parse(&bytes).map_err(Refusal::Trust)?;
        self.same_registry(&record.registry)?;
        let entry = self.state.entry(&record.package.namespace()).map_err(Refusal::Namespace)?;
        let root = self.state.roots.newest();
        let keys: Vec<&PublicKey> = entry.keys.iter().chain(&root.keys(Role::Registrar).keys).collect();
        let signatures = self.folder.signatures(file, keys).map_err(Refusal::Unreadable)?;
        if root.check(Role::Registrar, &bytes, &signatures).is_err() {
            entry.check(&bytes, &signatures, &self.state.registrar.revocations, &|_| false).map_err(Refusal::Trust)?;
        }
        Ok(record)
    }

    fn append_yank(&mut self, digest: &Sha256, record: &YankRecord) -> Result<Option<Refusal>, RegistryError> {
        let folder = self.folder;
        let (bytes, log, changed) = self.open(&record.package)?;
        let stands =
            |event: &ReleaseEvent| event.version == record.version && event.statement.sha256 == record.statement;
        if !log.releases.iter().any(|(event, _)| stands(event)) {
            return Ok(Some(Refusal::NoSuchRelease {
                package: record.package.clone(),
                version: record.version.clone(),
                statement: record.statement,
            }));
        }
        if let Some(last) = log.yanks.iter().rfind(|event| event.version == record.version) {
            let file = yank_path(&last.record);
            let before = folder.read_pinned(&file, MAX_YANK, &last.record)?;
            let before = YankRecord::parse(&before).map_err(|source| RegistryError::Trust { file, source })?;
            if record.counter <= before.counter {
                return Ok(Some(Refusal::Counter { standing: before.counter, found: record.counter }));
            }
        }
        let event = YankEvent { action: record.action, version: record.version.clone(), record: *digest };
        let line = PackageLog::render_yank(&event);
        if bytes.len() as u64 + line.len() as u64 > MAX_LOG {
            return Ok(Some(Refusal::LogFull));
        }
        bytes.extend(line);
        log.yanks.push(event);
        *changed = true;
        Ok(None)
    }

    fn bytes(&self, digest: &Sha256, file: &str, cap: u64) -> Result<Vec<u8>, Refusal> {
        let bytes = self.folder.read(file, cap).map_err(Refusal::Unreadable)?.unwrap_or_default();
        let found = Sha256::of(&bytes);
        if found == *digest { Ok(bytes) } else { Err(Refusal::Name { found }) }
    }

    fn same_registry(&self, found: &RegistryId) -> Result<(), Refusal> {
        let expected = &self.state.registrar.registry;
        if found == expected {
            Ok(())
        } else {
            Err(Refusal::OtherRegistry { expected: expected.clone(), found: found.clone() })
        }
    }

    fn open(&mut self, name: &PackageName) -> Result<&mut (Vec<u8>, PackageLog, bool), RegistryError> {
        if !self.open.contains_key(name) {
            let (bytes, log) = self.state.log(self.folder, name)?;
            self.open.insert(name.clone(), (bytes, log, false));
        }
        // It was put there two lines above.
        Ok(self.open.entry(name.clone()).or_default())
    }
}

/// The tree's lines once the logs have changed.
pub(super) fn leaves(state: &State, admission: &Admission) -> Vec<PackageLeaf> {
    let mut leaves = state.packages.clone();
    for (name, bytes) in &admission.logs {
        let advisories = leaves.get(name).and_then(|leaf| leaf.advisories);
        leaves.insert(name.clone(), PackageLeaf { name: name.clone(), log: Pin::of(bytes), advisories });
    }
    leaves.into_values().collect()
}

pub(super) fn write_logs(folder: &Folder, admission: &Admission) -> Result<(), RegistryError> {
    admission.logs.iter().try_for_each(|(name, bytes)| folder.write(&log_path(name), bytes))
}
