//! Step 6 of the client's rules: statements and yank records, and the namespace entries that say who may sign them.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::catalog::{Node, ReleaseEvent, YankAction, YankEvent};
use crate::index::reader::Registry;
use crate::index::reader::lookup::Looked;
use crate::index::reader::source::Pinned;
use crate::index::{IndexError, VerifiedStatement};
use crate::model::{Namespace, PackageName, Pin, PublicKey, Sha256, Version};
use crate::statement::{MAX_STATEMENT, Statement};
use crate::trust::{MAX_NAMESPACE, MAX_YANK, NamespaceEntry, RetiredKey, Role, TrustError, YankRecord, Yanked};

/// A namespace's entry, pinned by the registrar file.
pub(super) struct KnownEntry {
    pub(super) digest: Sha256,
    pub(super) bytes: Vec<u8>,
    pub(super) entry: NamespaceEntry,
}

impl Registry {
    /// The statement of a release that the verified log has under exactly this pin.
    pub(super) fn checked_statement(
        &self,
        name: &PackageName,
        version: &Version,
        pin: Pin,
    ) -> Result<VerifiedStatement, IndexError> {
        let looked = self.package(name)?;
        let (looked, event, end) = self.listed(name, looked.as_deref(), version, pin)?;
        let path = format!("releases/{}.json", pin.sha256);
        // A path of digits alone tells a person nothing.
        let told = format!("the release statement of {} {version} ({path})", looked.leaf.name);
        // Known before it is read, so that a copy which leaves it out need not have it.
        if let Some(reason) = self.revocations().releases.get(&pin.sha256) {
            let error = TrustError::RevokedRelease { statement: pin.sha256, reason: reason.clone() };
            return Err(self.source.refused(&told)(error));
        }
        let cap = pin.size.min(MAX_STATEMENT);
        let wanted = [Pinned { path: path.clone(), sha256: pin.sha256, cap }];
        let bytes = match self.source.pinned(&wanted) {
            Err(IndexError::Missing { .. }) => None,
            other => other?.pop(),
        };
        let bytes = bytes.ok_or_else(|| self.source.missing(&told))?;
        let known = self.entry(&looked.leaf.name.namespace())?;
        let prefixes = self.counting_prefixes(looked, &known.entry)?;
        let retired_counts = |key: &RetiredKey| {
            key.prefixes.iter().any(|prefix| {
                prefix.package == looked.leaf.name
                    && end <= prefix.size
                    && prefixes.contains(&(prefix.size, prefix.sha256))
            })
        };
        let keys: Vec<&PublicKey> = keys_of(&known.entry).collect();
        let signed = self.source.signed(&path, &keys, |signatures| {
            let check = known.entry.check(&bytes, signatures, self.revocations(), &retired_counts);
            check.map_err(self.source.refused(&told))
        })?;
        let statement = self.identified(looked, event, &bytes)?;
        // An index that replays an old yank or unyank is caught with every release that it is about.
        self.standing(name, version)?;
        let signers = signed.signers().clone();
        self.seen().verified.insert(pin.sha256, signers.clone());
        Ok(VerifiedStatement { statement, bytes, signers })
    }

    /// Why a release counts for nobody any more, if what refused it is that its registrar revoked it, or a key of its namespace:
    /// nothing is wrong with the place then.
    pub fn revoked(&self, name: &PackageName, refused: &IndexError) -> Option<String> {
        let IndexError::Trust { source, .. } = refused else { return None };
        match &**source {
            TrustError::RevokedRelease { reason, .. } => Some(format!("it is revoked: {reason}")),
            TrustError::Signatures { .. } => {
                let known = self.entry(&name.namespace()).ok()?;
                let revoked = keys_of(&known.entry).any(|key| self.revocations().has(key));
                revoked.then(|| "without the signature of a key that is revoked too few are left".to_owned())
            }
            _ => None,
        }
    }

    /// The event of a release in a log, which must be there under this pin, and where its line ends.
    pub(super) fn listed<'l>(
        &self,
        name: &PackageName,
        looked: Option<&'l Looked>,
        version: &Version,
        pin: Pin,
    ) -> Result<(&'l Looked, &'l ReleaseEvent, u64), IndexError> {
        let not_listed = || IndexError::NotListed {
            registry: self.id().clone(),
            package: name.clone(),
            version: Box::new(version.clone()),
        };
        let looked = looked.ok_or_else(not_listed)?;
        let found = looked.log.releases.iter().find(|(event, _)| event.version == *version);
        let (event, end) = found.ok_or_else(not_listed)?;
        if event.statement == pin {
            return Ok((looked, event, *end));
        }
        Err(IndexError::Pin {
            registry: self.id().clone(),
            package: name.clone(),
            version: Box::new(version.clone()),
            locked: Box::new(pin),
            listed: Box::new(event.statement),
        })
    }

    /// The statement says that it is this registry's, this package's, this version's; the event says no more than it.
    fn identified(&self, looked: &Looked, event: &ReleaseEvent, bytes: &[u8]) -> Result<Statement, IndexError> {
        let (package, version) = (&looked.leaf.name, &event.version);
        let statement = Statement::parse(bytes).map_err(|source| IndexError::Statement {
            registry: self.id().clone(),
            package: package.clone(),
            version: Box::new(version.clone()),
            source: Box::new(source),
        })?;
        for (field, expected, found) in [
            ("registry", self.id().to_string(), statement.registry.to_string()),
            ("name", package.to_string(), statement.name.to_string()),
            ("version", version.to_string(), statement.version.to_string()),
        ] {
            if expected != found {
                let (package, version) = (package.clone(), Box::new(version.clone()));
                return Err(IndexError::Identity { package, version, field, expected, found });
            }
        }
        event.check(&statement, Pin::of(bytes)).map_err(|source| IndexError::Log {
            registry: self.id().clone(),
            package: package.clone(),
            source: Box::new(source),
        })?;
        Ok(statement)
    }

    /// The prefixes of this package's log that retired keys name and that the log really begins with.
    fn counting_prefixes(
        &self,
        looked: &Looked,
        entry: &NamespaceEntry,
    ) -> Result<BTreeSet<(u64, Sha256)>, IndexError> {
        let named: BTreeSet<(u64, Sha256)> = entry
            .retired
            .iter()
            .flat_map(|key| &key.prefixes)
            .filter(|prefix| prefix.package == looked.leaf.name && prefix.size <= looked.leaf.log.size)
            .map(|prefix| (prefix.size, prefix.sha256))
            .collect();
        if named.is_empty() {
            return Ok(named);
        }
        let log = self.logs(&[&looked.leaf])?.pop().unwrap_or_default();
        let holds = |(size, sha256): &(u64, Sha256)| {
            usize::try_from(*size).ok().and_then(|size| log.get(..size)).map(Sha256::of) == Some(*sha256)
        };
        Ok(named.into_iter().filter(holds).collect())
    }

    /// The yank record in force for a version; every record about it is checked, and their counters rise.
    pub(super) fn standing(&self, name: &PackageName, version: &Version) -> Result<Option<YankRecord>, IndexError> {
        let Some(looked) = self.package(name)? else { return Ok(None) };
        let events: Vec<&YankEvent> = looked.log.yanks.iter().filter(|event| event.version == *version).collect();
        if events.is_empty() {
            return Ok(None);
        }
        let path = |event: &YankEvent| format!("yanks/{}.json", event.record);
        let pins: Vec<Pinned> =
            events.iter().map(|event| Pinned { path: path(event), sha256: event.record, cap: MAX_YANK }).collect();
        let known = self.entry(&looked.leaf.name.namespace())?;
        let mut before = 0;
        let mut last = None;
        for (event, bytes) in events.into_iter().zip(self.source.pinned(&pins)?) {
            let record = self.checked_yank(&looked, &known.entry, event, &path(event), &bytes)?;
            if record.counter <= before {
                return Err(IndexError::YankCounter {
                    package: name.clone(),
                    version: Box::new(version.clone()),
                    record: event.record,
                    found: record.counter,
                    before,
                });
            }
            before = record.counter;
            last = Some(record);
        }
        Ok(last.filter(|record| record.action == YankAction::Yank))
    }

    fn checked_yank(
        &self,
        looked: &Looked,
        entry: &NamespaceEntry,
        event: &YankEvent,
        path: &str,
        bytes: &[u8],
    ) -> Result<YankRecord, IndexError> {
        let refused = self.source.refused(path);
        let release = looked.log.releases.iter().find(|(release, _)| release.version == event.version);
        let (release, end) = release.ok_or_else(|| self.source.missing(path))?;
        let prefixes = self.counting_prefixes(looked, entry)?;
        // A publisher who retired later could yank what was its own.
        let retired_counts = |key: &RetiredKey| {
            key.prefixes.iter().any(|prefix| {
                prefix.package == looked.leaf.name
                    && *end <= prefix.size
                    && prefixes.contains(&(prefix.size, prefix.sha256))
            })
        };
        let registrars = &self.state.root.keys(Role::Registrar).keys;
        let keys: Vec<&PublicKey> = keys_of(entry).chain(registrars).collect();
        self.source.signed(path, &keys, |signatures| {
            let by_publishers = entry.check(bytes, signatures, self.revocations(), &retired_counts);
            if by_publishers.is_ok() || self.state.root.check(Role::Registrar, bytes, signatures).is_ok() {
                return Ok(());
            }
            by_publishers.map(drop).map_err(&refused)
        })?;
        let record = YankRecord::parse(bytes).map_err(&refused)?;
        record
            .check_about(&Yanked {
                registry: self.id(),
                package: &looked.leaf.name,
                version: &event.version,
                statement: &release.statement.sha256,
                action: event.action,
            })
            .map_err(refused)?;
        Ok(record)
    }

    /// The entry of a namespace, looked up in the registrar's tree.
    pub(super) fn entry(&self, namespace: &Namespace) -> Result<Arc<KnownEntry>, IndexError> {
        if let Some(known) = self.seen().entries.get(namespace) {
            return Ok(Arc::clone(known));
        }
        let name = namespace.normalised();
        let names = BTreeSet::from([name.clone()]);
        let leaves = self.descend(self.state.registrar.namespaces, &names, Node::parse_namespaces)?;
        let leaf = leaves
            .get(&name)
            .into_iter()
            .flatten()
            .find(|leaf| leaf.namespace.normalised() == name)
            .ok_or_else(|| IndexError::NoNamespace { registry: self.id().clone(), namespace: namespace.clone() })?;
        let known = Arc::new(self.entry_at(&leaf.namespace, leaf.entry)?);
        self.seen().entries.insert(namespace.clone(), Arc::clone(&known));
        Ok(known)
    }

    /// An entry by its digest.
    pub(super) fn entry_at(&self, namespace: &Namespace, digest: Sha256) -> Result<KnownEntry, IndexError> {
        let path = entry_path(&digest);
        let wanted = [Pinned { path: path.clone(), sha256: digest, cap: MAX_NAMESPACE }];
        let bytes = self.source.pinned(&wanted)?.pop().ok_or_else(|| self.source.missing(&path))?;
        let entry = NamespaceEntry::parse(&bytes, self.id(), namespace).map_err(self.source.refused(&path))?;
        Ok(KnownEntry { digest, bytes, entry })
    }
}

/// Where an entry lies.
pub(super) fn entry_path(digest: &Sha256) -> String {
    format!("trust/namespaces/{digest}.json")
}

/// All keys whose signatures may count.
pub(super) fn keys_of(entry: &NamespaceEntry) -> impl Iterator<Item = &PublicKey> {
    entry.keys.iter().chain(entry.retired.iter().map(|retired| &retired.key))
}
