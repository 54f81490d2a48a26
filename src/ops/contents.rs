//! What locked releases hold: their statements, from the store where this machine has verified them under the same root,
//! else from the index; and their file lists.

use std::collections::{BTreeMap, BTreeSet};

use crate::index::{Memory, VerifiedStatement};
use crate::lock::{Lock, LockedPackage, LockedSource, SourceFiles, SourceId};
use crate::model::{Fingerprint, PackageId, Pin, Sha256};
use crate::ops::bringing::{Supplier, Wanted, bring};
use crate::ops::project::Project;
use crate::ops::registries::Registries;
use crate::ops::{PipelineError, Services, Travel};
use crate::select::Contents;
use crate::statement::{Files, ListPin, MAX_LIST, MAX_STATEMENT, ReleaseFiles, Statement, parse_list};
use crate::store::Store;

/// Where contents come from.
pub(super) struct Gathering<'a, 'r> {
    /// The world.
    pub(super) services: &'a Services,
    /// The project.
    pub(super) project: &'a Project,
    /// The store.
    pub(super) store: &'a Store,
    /// The registries of this run.
    pub(super) registries: &'a mut Registries<'r>,
    /// The lock.
    pub(super) lock: &'a Lock,
    /// File tables of sources that this run has just made.
    pub(super) tables: &'a BTreeMap<Sha256, Vec<u8>>,
    /// Entries that stored revocations speak against, with the reason.
    pub(super) doubted: BTreeMap<PackageId, String>,
}

/// Contents, and the small blobs that describe them: they are kept as long as the lock is.
pub(super) struct Gathered {
    /// What `select` takes.
    pub(super) contents: Contents,
    /// Digests of statements and file lists.
    pub(super) describing: BTreeSet<Sha256>,
    /// Bytes that travelled for file lists.
    pub(super) travel: Travel,
}

impl Gathering<'_, '_> {
    /// Gathers the given entries; `fresh` holds statements that this run has verified already.
    pub(super) fn gather(
        mut self,
        releases: &BTreeSet<PackageId>,
        sources: &BTreeSet<SourceId>,
        mut fresh: BTreeMap<PackageId, VerifiedStatement>,
    ) -> Result<Gathered, PipelineError> {
        let mut statements = BTreeMap::new();
        let mut describing = BTreeSet::new();
        for id in releases {
            let Some(locked) = self.lock.packages.get(id) else { continue };
            let statement = self.statement(id, locked, fresh.remove(id))?;
            describing.insert(locked.statement.sha256);
            if let Files::Lists(lists) = &statement.files {
                describing.extend(lists.iter().map(|list| list.pin.sha256));
            }
            statements.insert(id.clone(), statement);
        }
        let travel = self.bring_lists(&statements)?;
        let mut contents = Contents::default();
        for (id, statement) in statements {
            let files = self.files(&statement)?;
            contents.releases.insert(id, (statement, files));
        }
        for id in sources {
            let Some(source) = self.lock.sources.get(id) else { continue };
            let files = match &source.files {
                SourceFiles::Inline(files) => files.clone(),
                SourceFiles::Table(pin) => match self.tables.get(&pin.sha256) {
                    Some(table) => LockedSource::parse_table(table, pin)?,
                    None => self.project.source_table(pin)?,
                },
            };
            contents.sources.insert(id.clone(), files);
        }
        Ok(Gathered { contents, describing, travel })
    }

    fn statement(
        &mut self,
        id: &PackageId,
        locked: &LockedPackage,
        fresh: Option<VerifiedStatement>,
    ) -> Result<Statement, PipelineError> {
        let statement = self.trusted_statement(id, locked, fresh)?;
        agrees(id, locked, &statement)?;
        Ok(statement)
    }

    fn trusted_statement(
        &mut self,
        id: &PackageId,
        locked: &LockedPackage,
        fresh: Option<VerifiedStatement>,
    ) -> Result<Statement, PipelineError> {
        if let Some(verified) = fresh {
            self.store.put_bytes(&verified.bytes)?;
            return Ok(verified.statement);
        }
        if !self.doubted.contains_key(id)
            && let Some(statement) = self.remembered(id, locked)?
        {
            return Ok(statement);
        }
        let registry = self.registries.open(&id.package.registry)?;
        let verified = registry.locked_statement(&id.package.name, &id.version, &locked.statement)?;
        self.check_signers(id, locked, &verified.signers)?;
        self.store.put_bytes(&verified.bytes)?;
        Ok(verified.statement)
    }

    /// The statement from the store, if this machine verified it under the lock's root: the store is shared between
    /// registries, so that the record, not the blob, says that it counts.
    fn remembered(&self, id: &PackageId, locked: &LockedPackage) -> Result<Option<Statement>, PipelineError> {
        let Some(registry) = self.lock.registries.get(&id.package.registry) else { return Ok(None) };
        let memory = Memory::load(&self.services.folders.trust, &registry.root)?;
        let Some(signers) = memory.verified(&locked.statement.sha256)? else { return Ok(None) };
        if !locked.signers.is_subset(&signers) {
            return Ok(None);
        }
        let Some(bytes) = self.store.read(&locked.statement, MAX_STATEMENT)? else { return Ok(None) };
        let statement = Statement::parse(&bytes)?;
        let same = statement.registry == id.package.registry
            && statement.name == id.package.name
            && statement.version == id.version;
        if same {
            Ok(Some(statement))
        } else {
            Err(PipelineError::PinDisagrees {
                package: id.to_string(),
                what: "the identity",
                locked: id.to_string(),
                found: format!("{}:{}@{}", statement.registry, statement.name, statement.version),
            })
        }
    }

    /// A locked statement may since have been signed by others, if the registry handed the namespace over to them. What
    /// this machine remembers says nothing about who the lock's signers were.
    fn check_signers(
        &mut self,
        id: &PackageId,
        locked: &LockedPackage,
        found: &BTreeSet<Fingerprint>,
    ) -> Result<(), PipelineError> {
        if locked.signers.is_subset(found) {
            return Ok(());
        }
        let registry = self.registries.open(&id.package.registry)?;
        if registry.hands_over(&id.package.name.namespace(), &locked.signers, found)? {
            self.services.progress.warn(
                "signers-changed",
                format!("{id} is now signed by {}, not by the keys that Model.lock names", short(found)),
            );
            return Ok(());
        }
        Err(PipelineError::PinDisagrees {
            package: id.to_string(),
            what: "the signers",
            locked: short(&locked.signers),
            found: short(found),
        })
    }

    fn bring_lists(&mut self, statements: &BTreeMap<PackageId, Statement>) -> Result<Travel, PipelineError> {
        let mut wanted: Vec<Wanted> = Vec::new();
        for (id, statement) in statements {
            if let Files::Lists(lists) = &statement.files {
                wanted.extend(lists.iter().map(|list| Wanted {
                    pin: list.pin,
                    what: format!("{id} file list"),
                    supplier: Supplier::Registry(id.package.registry.clone()),
                    pack: None,
                    indexed: None,
                }));
            }
        }
        if wanted.is_empty() {
            Ok(Travel::default())
        } else {
            bring(self.services, self.store, self.registries, &wanted)
        }
    }

    fn files(&self, statement: &Statement) -> Result<ReleaseFiles, PipelineError> {
        let mut lists = Vec::new();
        if let Files::Lists(pins) = &statement.files {
            for list in pins {
                lists.push(parse_list(&self.list_bytes(list)?, list)?);
            }
        }
        Ok(ReleaseFiles::assemble(statement, lists)?)
    }

    fn list_bytes(&self, list: &ListPin) -> Result<Vec<u8>, PipelineError> {
        let bytes = self.store.read(&list.pin, MAX_LIST)?;
        bytes.ok_or_else(|| {
            let found = Pin::of(&[]);
            crate::verify::Mismatch { what: "file list in the store".to_owned(), expected: list.pin, found }.into()
        })
    }
}

/// What the lock repeats of a statement must be what was signed: a lock that says otherwise was edited.
fn agrees(id: &PackageId, locked: &LockedPackage, statement: &Statement) -> Result<(), PipelineError> {
    let disagree = |what: &'static str, locked: String, found: String| {
        Err(PipelineError::PinDisagrees { package: id.to_string(), what, locked, found })
    };
    if locked.kind != statement.kind {
        return disagree("the kind", locked.kind.to_string(), statement.kind.to_string());
    }
    if locked.size != statement.total_size() {
        return disagree("the size", locked.size.to_string(), statement.total_size().to_string());
    }
    for dependency in &statement.dependencies {
        let registry = dependency.registry.as_ref().unwrap_or(&statement.registry);
        let serves = |other: &PackageId| {
            other.package.registry == *registry
                && other.package.name == dependency.name
                && dependency.requirement.matches(&other.version)
        };
        if !locked.dependencies.iter().any(serves) {
            let edges: Vec<String> = locked.dependencies.iter().map(ToString::to_string).collect();
            let needs = format!("{registry}:{} {}", dependency.name, dependency.requirement);
            return disagree("the dependencies", format!("[{}]", edges.join(", ")), needs);
        }
    }
    Ok(())
}

fn short(keys: &BTreeSet<Fingerprint>) -> String {
    keys.iter().map(Fingerprint::short).collect::<Vec<_>>().join(", ")
}
