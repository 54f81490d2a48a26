//! `mpm bundle import`: a bundle into a mirror's folder or the store. The medium is hostile; opens no socket.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::bundle::Bundle;
use crate::config::RegistryRule;
use crate::diagnose::{Class, Code, Diagnose, Hint};
use crate::fetch::Place;
use crate::index::{AirGap, Carried, Gate, Memory, Opening, Registry};
use crate::keys::{AskPassword, SecretKey, signature_path};
use crate::manifest::{IndexAddress, Manifest, RegistryDeclaration};
use crate::mirror::{self, Destination, Extra, Found, Held, Inspected, Inspection, MirrorError, Supply, Wish};
use crate::model::{Floor, PackageName, Pin, RegistryId, Sha256, VariantName};
use crate::ops::authoring::{Protection, open_key};
use crate::ops::bringing::{Supplier, Wanted, bring, missing};
use crate::ops::bundle_look::world;
use crate::ops::mirroring::{self, Copying};
use crate::ops::project::Project;
use crate::ops::registries::{Registries, air_gap};
use crate::ops::{AuthoringError, PipelineError, Services, Travel, pipeline};
use crate::statement::{FileEntry, Files, ReleaseFiles, Statement, parse_list};
use crate::store::Store;
use crate::sys::BlobReader as _;
use crate::trust::ImportRecord;

/// What is asked.
pub struct Request<'a> {
    /// Where to look for a Model.toml that names the registry; there need not be one.
    pub start: PathBuf,
    /// The file, the volumes, or the folder, absolute.
    pub files: Vec<PathBuf>,
    /// Where it goes.
    pub into: Into,
    /// Digest of the registry's first root, where nothing on this machine names it.
    pub root: Option<Sha256>,
    /// The site's import key: a record of the checkpoint is signed with it.
    pub sign: Option<PathBuf>,
    /// Asks for its password.
    pub ask: &'a AskPassword<'a>,
    /// Only tell.
    pub dry_run: bool,
    /// Every question is answered with yes.
    pub yes: bool,
    /// How long to wait for another run.
    pub wait: Duration,
}

/// Where a bundle goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Into {
    /// The folder of a mirror, absolute.
    Mirror(PathBuf),
    /// This machine's store.
    Store,
}

/// What was done.
#[derive(Debug)]
pub struct Outcome {
    /// The bundle.
    pub bundle: Bundle,
    /// What is in it.
    pub inspected: Inspected,
    /// Which of its releases were not there before, by their statements.
    pub new: BTreeSet<Sha256>,
    /// What the mirror did, where it went into one.
    pub mirror: Option<mirror::Outcome>,
    /// What came into the store, where it went there.
    pub travel: Option<Travel>,
    /// Path of the import record, if one was signed.
    pub record: Option<String>,
    /// Nothing was done: only told.
    pub dry_run: bool,
}

/// Why an import ended early.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// Reading, fetching, writing.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// The key.
    #[error(transparent)]
    Authoring(#[from] AuthoringError),
    /// A key that is not the site's.
    #[error("{} is not the import key that the site's configuration names", path.display())]
    OtherKey {
        /// The key's file.
        path: PathBuf,
    },
}

impl From<MirrorError> for ImportError {
    fn from(error: MirrorError) -> Self {
        Self::Pipeline(error.into())
    }
}

impl Diagnose for ImportError {
    fn code(&self) -> Code {
        match self {
            Self::Pipeline(error) => error.code(),
            Self::Authoring(error) => error.code(),
            Self::OtherKey { .. } => Code("E1015"),
        }
    }

    fn class(&self) -> Class {
        match self {
            Self::Pipeline(error) => error.class(),
            Self::Authoring(error) => error.class(),
            Self::OtherKey { .. } => Class::Yours,
        }
    }

    fn hints(&self) -> Vec<Hint> {
        match self {
            Self::Pipeline(error) => error.hints(),
            Self::Authoring(error) => error.hints(),
            Self::OtherKey { .. } => {
                vec![Hint::Note("nothing was imported".to_owned()), Hint::Run("mpm config show".to_owned())]
            }
        }
    }
}

/// Does it.
///
/// # Errors
/// `E1080` to `E1084`: the bundle; `E1011` to `E1015`; `E0114`, `E1003`: older than what is here; `E0116`: expired.
pub fn run(services: &Services, request: &Request<'_>) -> Result<Outcome, ImportError> {
    let bundle = Bundle::open(&request.files).map_err(MirrorError::from)?;
    let trusted = trusted(services, request, &bundle)?;
    let (id, root) = (trusted.id.clone(), trusted.root);
    let destination = match &request.into {
        Into::Mirror(folder) => Some(Destination::at(folder, &id, root)?),
        Into::Store => None,
    };
    let key = sign_with(services, request)?;
    let store = match &request.into {
        Into::Store => Some(services.store(request.wait).map_err(PipelineError::from)?),
        Into::Mirror(_) => None,
    };
    let lent = |pin: &Pin| store.as_ref()?.find(pin).ok().flatten().map(|entry| entry.path);
    let world = world(services);
    let how = Inspection {
        besides: destination.as_ref(),
        lent: &lent,
        hash: false,
        cancel: &services.cancel,
        progress: &*services.progress,
    };
    let inspected = mirror::inspect(&bundle, (&id, root), &world, &how)?;
    inspected.admit(&bundle)?;
    let besides: Vec<IndexAddress> = match &request.into {
        Into::Mirror(folder) if folder.join("checkpoint.json").exists() => {
            vec![IndexAddress::Folder(folder.to_string_lossy().into_owned())]
        }
        _ => Vec::new(),
    };
    let registry = mirror::open_bundle(&bundle, &opening(services, &trusted, &bundle), &world, &besides)?;
    let new = new(services, request, root, &inspected)?;
    let along = key.as_ref().map(|key| record(services, &registry, root, key)).transpose()?;
    let mut outcome = Outcome {
        bundle: bundle.clone(),
        inspected,
        new,
        mirror: None,
        travel: None,
        record: along.as_ref().map(|[_, record]| record.path.clone()),
        dry_run: request.dry_run,
    };
    if let Some(destination) = destination {
        let along = along.map(Vec::from).unwrap_or_default();
        let made = into_mirror(services, request, &registry, destination, (&bundle, &outcome.inspected), &along)?;
        outcome.mirror = Some(made);
        if !request.dry_run {
            registry.remember(&BTreeMap::new(), &*services.progress).map_err(PipelineError::from)?;
        }
    } else if let (Some(store), false) = (&store, request.dry_run) {
        let into = IntoStore { services, request, store, trusted: &trusted, bundle: &bundle };
        outcome.travel = Some(into.run(registry, &outcome.inspected, along)?);
    }
    Ok(outcome)
}

/// Whom this machine trusts in the matter: never the bundle.
struct Trusted {
    id: RegistryId,
    root: Sha256,
    root_at: Option<(u64, Sha256)>,
    /// What the lock of the project around has seen.
    floor: Option<Floor>,
}

fn trusted(services: &Services, request: &Request<'_>, bundle: &Bundle) -> Result<Trusted, ImportError> {
    let head = &bundle.table().head;
    let id = head.registry.clone();
    let declared = mirroring::around(&request.start, &[])?.registries.get(&id).cloned();
    let marked = match &request.into {
        Into::Mirror(folder) => Destination::existing(folder).ok().map(|found| found.root()),
        Into::Store => None,
    };
    let known = request.root.or(marked).or(declared.as_ref().map(|declared| declared.root));
    let root = root(services, bundle, known)?;
    let root_at = declared.filter(|declared| declared.root == root).and_then(|declared| declared.root_at);
    let project = Project::open(&request.start).ok();
    let locked = project.and_then(|project| Some(project.whole_lock().ok()?.registries.get(&id)?.clone()));
    let floor = locked.filter(|locked| locked.root == root).map(|locked| locked.floor);
    Ok(Trusted { id, root, root_at, floor })
}

/// The root that counts for a bundle: the one that is known, or one that the configuration lists under its name.
///
/// # Errors
/// Nobody but the bundle says which it is; the site's rule does not allow it.
pub(super) fn root(services: &Services, bundle: &Bundle, known: Option<Sha256>) -> Result<Sha256, PipelineError> {
    let (id, said) = (&bundle.table().head.registry, bundle.table().head.root);
    let config = &services.config;
    // That this machine has met a root says nothing about which registry is meant here.
    let listed = config.trusted.get(&said).is_some_and(|known| known == id.as_str());
    let root = known.or(listed.then_some(said)).ok_or_else(|| PipelineError::Unanswered {
        question: format!(
            "which root has registry {id}? Compare it with what its owners say: the bundle says sha256:{said}"
        ),
        flag: "--root SHA256",
    })?;
    if config.registry_rule == Some(RegistryRule::Listed) && !config.trusted.contains_key(&root) {
        return Err(PipelineError::NotListed { registry: id.clone(), root });
    }
    Ok(root)
}

/// New trust is given here: what has expired is refused, but for what the site's configuration says. A record is not asked for:
/// this is where it is made.
fn opening(services: &Services, trusted: &Trusted, bundle: &Bundle) -> Opening {
    Opening {
        id: trusted.id.clone(),
        root: trusted.root,
        root_at: trusted.root_at,
        address: IndexAddress::Folder(bundle.path().to_string_lossy().into_owned()),
        mirrors: Vec::new(),
        floor: trusted.floor,
        gate: Gate::NewTrust,
        air_gap: AirGap { import_key: None, ..air_gap(services) },
    }
}

/// The key that signs the record, where the site wants one.
fn sign_with(services: &Services, request: &Request<'_>) -> Result<Option<SecretKey>, ImportError> {
    let asked = &services.config.import_key;
    let Some(path) = &request.sign else {
        if asked.is_some() && !request.dry_run {
            return Err(PipelineError::Unanswered {
                question: "this site accepts only checkpoints that an import record names: who signs it?".to_owned(),
                flag: "--sign KEY, the file of the site's import key",
            }
            .into());
        }
        return Ok(None);
    };
    let key = open_key(path, Protection::None, request.ask)?;
    if asked.as_ref().is_some_and(|asked| asked.fingerprint() != key.public().fingerprint()) {
        return Err(ImportError::OtherKey { path: path.clone() });
    }
    Ok(Some(key))
}

/// The import record and its signature, the signature first.
fn record(
    services: &Services,
    registry: &Registry,
    root: Sha256,
    key: &SecretKey,
) -> Result<[Carried; 2], ImportError> {
    let head = registry.head();
    let record = ImportRecord {
        registry: head.registry.clone(),
        root,
        at: head.at,
        checkpoint: head.sha256,
        time: services.now,
    };
    let bytes = record.render();
    let path = ImportRecord::path(&head.sha256);
    let signature = key.sign(&bytes, "import record").map_err(AuthoringError::from)?;
    let beside = signature_path(&path, key.public());
    Ok([Carried { path: beside, bytes: signature.into_bytes() }, Carried { path, bytes }])
}

/// Which releases are not where the bundle goes.
fn new(
    services: &Services,
    request: &Request<'_>,
    root: Sha256,
    inspected: &Inspected,
) -> Result<BTreeSet<Sha256>, ImportError> {
    let memory = Memory::load(&services.folders.trust, &root).map_err(PipelineError::from)?;
    let mut new = BTreeSet::new();
    for found in &inspected.found {
        let digest = found.statement.sha256;
        let there = match &request.into {
            Into::Mirror(folder) => folder.join(format!("releases/{digest}.json")).exists(),
            Into::Store => memory.verified(&digest).map_err(PipelineError::from)?.is_some(),
        };
        if !there {
            new.insert(digest);
        }
    }
    Ok(new)
}

fn into_mirror(
    services: &Services,
    request: &Request<'_>,
    registry: &Registry,
    destination: Destination,
    (bundle, inspected): (&Bundle, &Inspected),
    along: &[Carried],
) -> Result<mirror::Outcome, ImportError> {
    let place = || vec![Place::Objects(Arc::new(bundle.clone()))];
    let loose = bundle.table().blobs.iter().filter(|(_, blob)| blob.loose);
    let extra = loose.map(|(digest, blob)| Extra {
        pin: Pin { sha256: *digest, size: blob.size },
        what: format!("file {} of a source", digest.short()),
        places: place(),
    });
    let supply = Supply { places: place(), extra: extra.collect(), bundles: Vec::new() };
    let mut wish =
        Wish { variants: bundle.table().head.variants.clone(), tree: true, available: true, ..Wish::default() };
    wish.known = packages(bundle);
    for found in &inspected.found {
        wish.locked.entry(found.name.clone()).or_default().insert(found.version.clone(), found.statement);
    }
    let copying = Copying {
        services,
        check: false,
        prune: false,
        dry_run: request.dry_run,
        yes: request.yes,
        wait: request.wait,
        held: &Held::Nothing,
        along,
    };
    Ok(copying.run(|rules| mirror::sync(registry, destination, &wish, &supply, rules))?)
}

/// Packages whose logs a bundle holds.
fn packages(bundle: &Bundle) -> BTreeSet<PackageName> {
    let name = |path: &String| PackageName::parse(path.strip_prefix("packages/")?.strip_suffix(".jsonl")?).ok();
    bundle.table().files.keys().filter_map(name).collect()
}

/// A way into the store.
struct IntoStore<'a> {
    services: &'a Services,
    request: &'a Request<'a>,
    store: &'a Store,
    trusted: &'a Trusted,
    bundle: &'a Bundle,
}

impl IntoStore<'_> {
    /// Blobs first, then statements, then what this machine remembers: what a run that was stopped left is not believed.
    fn run(
        &self,
        registry: Registry,
        inspected: &Inspected,
        along: Option<[Carried; 2]>,
    ) -> Result<Travel, ImportError> {
        let (services, store, id) = (self.services, self.store, &self.trusted.id);
        let table = self.bundle.table();
        let mut wanted: Vec<Wanted> = Vec::new();
        let mut small: Vec<Vec<u8>> = Vec::new();
        for found in &inspected.found {
            let verified = registry
                .locked_statement(&found.name, &found.version, &found.statement)
                .map_err(PipelineError::from)?;
            let (files, texts) = self.lists(found, &verified.statement)?;
            wanted.extend(wanted_of(id, found, &verified.statement, &files, &table.head.variants));
            small.extend(texts);
            small.push(verified.bytes);
        }
        for (digest, blob) in table.blobs.iter().filter(|(_, blob)| blob.loose) {
            let pin = Pin { sha256: *digest, size: blob.size };
            wanted.push(plain(id, pin, format!("file {} of a source", digest.short())));
        }
        // What neither has was told, or refused, before.
        wanted.retain(|one| self.bundle.has(&one.pack.map_or(one.pin, |(pack, _)| pack)) == Some(true));
        let (_, travel) = missing(store, &wanted)?;
        pipeline::ask_about(services, self.request.yes, &travel)?;
        let declaration = RegistryDeclaration {
            index: IndexAddress::Folder(self.bundle.path().to_string_lossy().into_owned()),
            root: self.trusted.root,
            root_at: None,
            namespaces: Vec::new(),
            default: false,
            line: 0,
        };
        let nothing = Manifest::default();
        let registries = Registries::new(services, &self.request.start, &nothing, None, Gate::Locked);
        let mut registries = registries.at_the_source();
        registries.put(id, declaration, registry);
        let travel = bring(services, store, &mut registries, &wanted)?;
        for bytes in small {
            store.put_bytes(&bytes).map_err(PipelineError::from)?;
        }
        let registry = registries.open(id)?;
        if let Some([signature, record]) = along {
            let text = String::from_utf8(signature.bytes).unwrap_or_default();
            registry.keep_import(&record.bytes, &text).map_err(PipelineError::from)?;
        }
        registry.remember(&BTreeMap::new(), &*services.progress).map_err(PipelineError::from)?;
        Ok(travel)
    }

    /// The files of a release, and the bytes of its lists.
    fn lists(&self, found: &Found, statement: &Statement) -> Result<(Vec<FileEntry>, Vec<Vec<u8>>), ImportError> {
        let pins = match &statement.files {
            Files::Inline(files) => return Ok((files.clone(), Vec::new())),
            Files::Lists(pins) => pins,
        };
        let lent = |pin: &Pin| self.store.find(pin).ok().flatten().map(|entry| entry.path);
        let (mut parsed, mut texts) = (Vec::new(), Vec::new());
        for list in pins {
            let what = format!("{} {}", found.name, found.version);
            let bytes = mirror::list_bytes(self.bundle, &list.pin, &lent, &what)?;
            parsed.push(parse_list(&bytes, list).map_err(MirrorError::from)?);
            texts.push(bytes);
        }
        let files = ReleaseFiles::assemble(statement, parsed).map_err(MirrorError::from)?;
        Ok((files.entries().to_vec(), texts))
    }
}

/// A blob of its own.
fn plain(id: &RegistryId, pin: Pin, what: String) -> Wanted {
    Wanted { pin, what, supplier: Supplier::Registry(id.clone()), pack: None, indexed: None }
}

/// The blobs of a release: its files, and their chunk indexes.
fn wanted_of(
    id: &RegistryId,
    found: &Found,
    statement: &Statement,
    files: &[FileEntry],
    variants: &BTreeSet<VariantName>,
) -> Vec<Wanted> {
    let mut wanted = Vec::new();
    for file in files {
        let fits = |variant: &VariantName| variants.is_empty() || variants.contains(variant);
        if !file.variant.as_ref().is_none_or(fits) {
            continue;
        }
        let what = format!("{} {} {}", found.name, found.version, file.path);
        let pack = file.pack.and_then(|place| {
            let pack = statement.packs.iter().find(|pack| pack.sha256 == place.pack)?;
            Some((*pack, place.offset))
        });
        wanted.extend(file.chunks.map(|index| plain(id, index, format!("{what} (chunk index)"))));
        wanted.push(Wanted { pack, ..plain(id, file.pin, what) });
    }
    wanted
}
