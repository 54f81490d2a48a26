//! `mpm info`: what a registry says about a package.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::catalog::{ListedRelease, Listing};
use crate::index::{Gate, Registry};
use crate::manifest::{IndexAddress, Manifest, RegistryDeclaration};
use crate::model::{
    Fingerprint, Namespace, PackageKind, PackageName, RegistryId, Requirement, Timestamp, VariantName, Version,
};
use crate::ops::project::{self, Project};
use crate::ops::registries::Registries;
use crate::ops::{PipelineError, Services};
use crate::statement::{Files, Statement};
use crate::sys::NetworkPolicy;
use crate::trust::Severity;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Where to look for Model.toml; there may be none.
    pub start: PathBuf,
    /// The package.
    pub name: PackageName,
    /// Which version; none: the newest that is not yanked.
    pub requirement: Option<Requirement>,
    /// The registry, if it must be named.
    pub registry: Option<RegistryId>,
}

/// One version in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionLine {
    /// The version.
    pub version: Version,
    /// When the index admitted it.
    pub admitted: Timestamp,
    /// Bytes of all files.
    pub bytes: u64,
    /// Why it is yanked, if it is: severity and reason.
    pub yanked: Option<(String, String)>,
}

/// One variant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VariantLine {
    /// Its name.
    pub name: String,
    /// Whether it is the default.
    pub default: bool,
    /// Its properties, in words.
    pub properties: Vec<String>,
    /// Bytes with the common files; none where file lists were not read.
    pub bytes: Option<u64>,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The registry that answered.
    pub registry: RegistryId,
    /// The chosen version's statement.
    pub statement: Statement,
    /// Who signed it.
    pub signers: BTreeSet<Fingerprint>,
    /// Its variants.
    pub variants: Vec<VariantLine>,
    /// All versions, newest first.
    pub versions: Vec<VersionLine>,
    /// Model or dataset.
    pub kind: PackageKind,
}

/// Does it.
///
/// # Errors
/// `E0922`, `E0923`, `E0924`, and those of reading an index.
pub fn run(services: &Services, request: &Request) -> Result<Outcome, PipelineError> {
    let (folder, mut manifest) = match project::find(&request.start) {
        Ok(folder) => (folder.clone(), Project::open(&folder)?.manifest),
        Err(_) => (request.start.clone(), Manifest::default()),
    };
    let demo = bind_demo(&mut manifest, &request.name);
    let id = match demo {
        Some(id) => id,
        None => manifest.registry_for(&request.name, request.registry.as_ref())?.clone(),
    };
    let mut registries = Registries::new(services, &folder, &manifest, None, Gate::Locked);
    let registry = registries.open(&id)?;
    let listing = listing(services, registry, &request.name)?;
    let (version, release) = choose(&listing, request.requirement.as_ref())?;
    let verified = registry.statement(&request.name, release)?;
    debug_assert_eq!(verified.statement.version, *version, "the reader checks identities");
    let mut versions = Vec::new();
    for (version, release) in listing.releases.iter().rev() {
        let yanked = registry.yank(&request.name, release)?;
        versions.push(VersionLine {
            version: version.clone(),
            admitted: release.event.admitted.time,
            bytes: release.event.size,
            yanked: yanked
                .map(|record| (severity(record.severity).to_owned(), record.reason.escape_debug().to_string())),
        });
    }
    Ok(Outcome {
        registry: id,
        variants: variants(&verified.statement),
        kind: verified.statement.kind,
        statement: verified.statement,
        signers: verified.signers,
        versions,
    })
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Notice => "notice",
        Severity::Broken => "broken",
        Severity::Malicious => "malicious",
    }
}

/// The demo registry answers `demo/` where the project has no other for it, without being written down.
pub(super) fn bind_demo(manifest: &mut Manifest, name: &PackageName) -> Option<RegistryId> {
    let claims = |registry: &RegistryDeclaration| registry.namespaces.iter().any(|n| n.as_str() == "demo");
    if name.namespace().as_str() != "demo" || manifest.registries.values().any(claims) {
        return None;
    }
    let id = RegistryId::parse("mpm-demo").ok()?;
    let declaration = RegistryDeclaration {
        index: IndexAddress::Builtin,
        root: crate::index::builtin_root(),
        root_at: None,
        namespaces: vec![Namespace::parse("demo").ok()?],
        default: false,
        line: 0,
    };
    manifest.registries.insert(id.clone(), declaration);
    Some(id)
}

/// The listing of a package that must exist.
pub(super) fn listing(services: &Services, registry: &Registry, name: &PackageName) -> Result<Listing, PipelineError> {
    let mut found = registry.listings(&BTreeSet::from([name.clone()]))?;
    found.remove(name).flatten().ok_or_else(|| PipelineError::UnknownPackage {
        name: name.clone(),
        registry: registry.id().clone(),
        asked_by: Vec::new(),
        near: registry.names_near(name).iter().map(ToString::to_string).collect(),
        offline: services.http.policy() == NetworkPolicy::Offline,
    })
}

fn choose<'l>(
    listing: &'l Listing,
    requirement: Option<&Requirement>,
) -> Result<(&'l Version, &'l ListedRelease), PipelineError> {
    let any = Requirement::any();
    let wanted = requirement.unwrap_or(&any);
    let fitting: Vec<_> = listing.releases.iter().rev().filter(|(version, _)| wanted.matches(version)).collect();
    let chosen = fitting.iter().find(|(_, release)| release.yanked.is_none()).or_else(|| fitting.first());
    // A package that has only pre-releases still has something to tell.
    let newest = listing.releases.iter().next_back().filter(|_| requirement.is_none());
    chosen.copied().or(newest).ok_or_else(|| PipelineError::NoRelease {
        name: listing.package.name.clone(),
        requirement: wanted.to_string(),
        versions: listing.releases.keys().rev().map(ToString::to_string).collect(),
    })
}

/// Variants with what they weigh together with the common files.
pub(super) fn variants(statement: &Statement) -> Vec<VariantLine> {
    let mut weights: BTreeMap<Option<VariantName>, u64> = BTreeMap::new();
    let inline = if let Files::Inline(entries) = &statement.files { Some(entries) } else { None };
    for entry in inline.into_iter().flatten() {
        let weight = weights.entry(entry.variant.clone()).or_default();
        *weight = weight.saturating_add(entry.pin.size);
    }
    let common = weights.get(&None).copied().unwrap_or(0);
    let line = |(name, variant): (&VariantName, &crate::statement::Variant)| VariantLine {
        name: name.to_string(),
        default: statement.default_variant.as_ref() == Some(name),
        properties: [&variant.format, &variant.precision, &variant.quantization]
            .into_iter()
            .flatten()
            .cloned()
            .collect(),
        bytes: inline.map(|_| weights.get(&Some(name.clone())).copied().unwrap_or(0).saturating_add(common)),
    };
    statement.variants.iter().map(line).collect()
}
