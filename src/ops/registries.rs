//! The registries of a run: each opened once, when it is first needed.

use std::collections::BTreeMap;
use std::path::Path;

use crate::config::RegistryRule;
use crate::diagnose::{Class, Diagnose as _};
use crate::index::{AirGap, Base, Gate, Opening, Registry, World};
use crate::lock::Lock;
use crate::manifest::{IndexAddress, Manifest, RegistryDeclaration};
use crate::model::{Floor, RegistryId, Sha256};
use crate::ops::{PipelineError, Services};

/// Registries by id.
pub(super) struct Registries<'a> {
    services: &'a Services,
    project: &'a Path,
    declared: BTreeMap<RegistryId, RegistryDeclaration>,
    locked: BTreeMap<RegistryId, (Sha256, Floor)>,
    gate: Gate,
    /// Whether mirrors that configuration names are passed over.
    at_the_source: bool,
    /// Whether places behind mirrors are asked for blobs.
    further: bool,
    opened: BTreeMap<RegistryId, Registry>,
}

impl<'a> Registries<'a> {
    /// The registries that a manifest declares, with the floors of a lock.
    pub(super) fn new(
        services: &'a Services,
        project: &'a Path,
        manifest: &Manifest,
        lock: Option<&Lock>,
        gate: Gate,
    ) -> Self {
        let locked = lock.map(|lock| {
            lock.registries.iter().map(|(id, registry)| (id.clone(), (registry.root, registry.floor))).collect()
        });
        Self {
            services,
            project,
            declared: manifest.registries.clone(),
            locked: locked.unwrap_or_default(),
            gate,
            at_the_source: false,
            further: false,
            opened: BTreeMap::new(),
        }
    }

    /// The same, read where Model.toml says, whatever mirrors of indexes configuration names: for who makes one.
    pub(super) fn at_the_source(self) -> Self {
        Self { at_the_source: true, ..self }
    }

    /// The ids that are configured.
    pub(super) fn ids(&self) -> impl Iterator<Item = &RegistryId> {
        self.declared.keys()
    }

    /// What Model.toml says of a registry.
    pub(super) fn declaration(&self, id: &RegistryId) -> Result<&RegistryDeclaration, PipelineError> {
        self.declared.get(id).ok_or_else(|| PipelineError::NotConfigured { registry: id.clone() })
    }

    /// What reading an index works with.
    pub(super) fn world(&self) -> World<'a> {
        World {
            http: &self.services.http,
            trust: self.services.folders.trust.clone(),
            cache: self.services.folders.cache.clone(),
            now: self.services.now,
            progress: &*self.services.progress,
        }
    }

    /// The opened registry.
    pub(super) fn open(&mut self, id: &RegistryId) -> Result<&Registry, PipelineError> {
        if !self.opened.contains_key(id) {
            let declaration = self.declaration(id)?.clone();
            self.admit(id, &declaration)?;
            let registry = Registry::open(&self.opening(id, &declaration), &self.world())?;
            self.opened.insert(id.clone(), registry);
        }
        self.opened.get(id).ok_or_else(|| PipelineError::NotConfigured { registry: id.clone() })
    }

    /// Takes a registry that was opened in another way.
    pub(super) fn put(&mut self, id: &RegistryId, declaration: RegistryDeclaration, registry: Registry) {
        self.declared.insert(id.clone(), declaration);
        self.opened.insert(id.clone(), registry);
    }

    /// Registries that were opened so far.
    pub(super) fn opened(&self) -> impl Iterator<Item = (&RegistryId, &Registry)> {
        self.opened.iter()
    }

    /// Has the places behind mirrors asked for blobs from now on; whether that is news.
    pub(super) fn reach_further(&mut self) -> bool {
        let news = !self.further && self.opened.values().any(Registry::has_further_places);
        self.further = true;
        news
    }

    /// Where the blobs of a registry can be had: configured mirrors first.
    pub(super) fn bases(&mut self, id: &RegistryId) -> Result<Vec<Base>, PipelineError> {
        let root = self.declaration(id)?.root;
        let mut bases = Vec::new();
        for mirror in self.services.config.mirrors.get(&root).into_iter().flatten() {
            bases.push(self::mirror(self.services, mirror));
        }
        // A dead index must not stop a site that has mirrors: what the lock pins can come from there.
        match self.open_bases(id) {
            Ok(own) => bases.extend(own),
            Err(error) if error.class() == Class::Network && !bases.is_empty() => {
                self.services.progress.warn("index-unreachable", format!("{error}; only mirrors are asked for blobs"));
            }
            Err(error) => return Err(error),
        }
        Ok(bases)
    }

    fn open_bases(&mut self, id: &RegistryId) -> Result<Vec<Base>, PipelineError> {
        let further = self.further;
        let registry = self.open(id)?;
        let mut bases = registry.bases()?;
        if further {
            bases.extend(registry.further_bases());
        }
        Ok(bases)
    }

    fn opening(&self, id: &RegistryId, declaration: &RegistryDeclaration) -> Opening {
        let address = match &declaration.index {
            IndexAddress::Folder(folder) => {
                IndexAddress::Folder(self.project.join(folder).to_string_lossy().into_owned())
            }
            other => other.clone(),
        };
        let configured = self.services.config.index_mirrors.get(&declaration.root);
        let mirrors = match declaration.index {
            IndexAddress::Builtin => Vec::new(),
            _ if self.at_the_source => Vec::new(),
            // Configuration admits nothing else.
            _ => configured.into_iter().flatten().filter_map(|text| IndexAddress::parse(text).ok()).collect(),
        };
        // A floor belongs to a root: under another one it says nothing.
        let floor = self.locked.get(id).filter(|(root, _)| *root == declaration.root).map(|(_, floor)| *floor);
        Opening {
            id: id.clone(),
            root: declaration.root,
            root_at: declaration.root_at,
            address,
            mirrors,
            floor,
            gate: self.gate,
            air_gap: air_gap(self.services),
        }
    }

    /// Whether this machine's configuration admits a registry; a first meeting is told.
    fn admit(&self, id: &RegistryId, declaration: &RegistryDeclaration) -> Result<(), PipelineError> {
        let root = declaration.root;
        let config = &self.services.config;
        let builtin = declaration.index == IndexAddress::Builtin;
        if config.registry_rule == Some(RegistryRule::Listed) && !config.trusted.contains_key(&root) && !builtin {
            return Err(PipelineError::NotListed { registry: id.clone(), root });
        }
        if !builtin && !config.trusted.contains_key(&root) && !self.services.folders.trust.join(root.hex()).exists() {
            self.services.progress.note(
                "first-trust",
                format!("registry {id} is new to this machine: trusting root sha256:{root}, which Model.toml names"),
            );
        }
        Ok(())
    }
}

/// What the site says about checkpoints that are carried in.
pub(super) fn air_gap(services: &Services) -> AirGap {
    let config = &services.config;
    AirGap {
        max_staleness: config.max_staleness.map(crate::model::Age::seconds),
        import_key: config.import_key.clone(),
    }
}

/// A mirror that the machine's configuration names, as a base.
pub(super) fn mirror(services: &Services, mirror: &str) -> Base {
    match crate::model::SafeUrl::parse(mirror) {
        Ok(url) if matches!(url.inner().scheme(), "http" | "https") => {
            let scope = services.http.scope_of(&url).unwrap_or_default();
            Base::Http(url, scope)
        }
        _ => Base::Folder(mirror.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};
    use std::sync::Arc;

    use crate::config::Config;
    use crate::diagnose::{Class, Diagnose as _};
    use crate::index::Gate;
    use crate::manifest::Manifest;
    use crate::model::{RegistryId, Timestamp};
    use crate::ops::Services;
    use crate::ops::registries::Registries;
    use crate::ops::services::{HubSettings, Nobody};
    use crate::progress::Silent;
    use crate::sys::{Cancel, Folders, HttpClient, HttpSettings};

    #[test]
    fn a_registry_that_the_manifest_lacks_is_not_opened() {
        let nowhere = || PathBuf::from("/nonexistent");
        let folders = Folders {
            store: nowhere(),
            trust: nowhere(),
            cache: nowhere(),
            user_config: nowhere(),
            site_config: nowhere(),
            credentials: nowhere(),
            keys: nowhere(),
            hub_cache: None,
        };
        let services = Services {
            now: Timestamp::from_seconds(1_800_000_000).expect("in range"),
            folders,
            config: Config::default(),
            http: HttpClient::new(HttpSettings::default()).expect("a client"),
            hub: HubSettings::at(None).expect("the hub's own"),
            progress: Arc::new(Silent),
            ask: Arc::new(Nobody),
            cancel: Cancel::new(),
        };
        let manifest = Manifest::default();
        let mut registries = Registries::new(&services, Path::new("/"), &manifest, None, Gate::Locked);
        let id = RegistryId::parse("acme").expect("an id");
        for error in
            [registries.open(&id).map(drop).expect_err("none"), registries.bases(&id).map(drop).expect_err("none")]
        {
            assert_eq!((error.code().0, error.class()), ("E0922", Class::Yours));
            assert!(!error.hints().is_empty());
        }
    }
}
