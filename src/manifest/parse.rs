//! The grammar of Model.toml.

use std::collections::BTreeMap;

use crate::manifest::dependency::dependencies;
use crate::manifest::error::{ManifestError, Rule};
use crate::manifest::publisher::publisher;
use crate::manifest::registry::registries;
use crate::manifest::{
    InstallFolders, LayoutDeclaration, LayoutKind, Manifest, PolicyDeclaration, UnsafeAllowance, UnsafeSubject,
    Unsigned,
};
use crate::model::tables::{Source, Table, TomlError, Value};
use crate::model::{Age, DependencyKey, HubId, PackageName, RelPath, Sha256, VariantName, Version, nearest};

/// Largest Model.toml, in bytes.
const MAX_FILE: usize = 4 << 20;
/// Longest text for people, in characters.
const MAX_TEXT: usize = 1000;

const TOP: &[&str] =
    &["project", "registries", "models", "datasets", "groups", "profiles", "install", "policy", "package", "variants"];
/// Settings of a machine, wherever somebody may try them.
const MACHINE: &[&str] = &[
    "token",
    "tokens",
    "password",
    "username",
    "credentials",
    "credential",
    "credential-helper",
    "auth",
    "netrc",
    "proxy",
    "network",
    "insecure",
    "ca-file",
    "allow-http",
    "allow-private",
    "store",
    "mirror",
    "mirrors",
    "trusted",
    "link",
    "jobs",
];

pub(super) fn parse(text: &str) -> Result<Manifest, ManifestError> {
    let source = Source::new("Model.toml", text);
    let mut top = source.parse(MAX_FILE)?;
    misplaced(&top)?;
    not_built(&top, &["workspace"])?;
    let project = project(top.take("project"))?;
    let registries = registries(top.take("registries"))?;
    let dependencies = dependencies(&mut top)?;
    let manifest = Manifest {
        project,
        registries,
        profiles: profiles(top.take("profiles"), &dependencies)?,
        install: install(top.take("install"))?,
        policy: policy(top.take("policy"))?,
        package: publisher(top.take("package"), top.take("variants"), &dependencies)?,
        dependencies,
    };
    finish(top, TOP)?;
    Ok(manifest)
}

/// Refuses keys whose meaning is settled and not built.
pub(super) fn not_built(table: &Table<'_>, keys: &[&str]) -> Result<(), ManifestError> {
    match keys.iter().find_map(|key| table.get(key).map(|value| (key, value))) {
        None => Ok(()),
        Some((key, value)) => Err(ManifestError::NotBuilt { spot: value.key_spot(), key: (*key).to_owned() }),
    }
}

/// Refuses settings of the machine, and says where they belong. A table is asked first of all: no later complaint may show
/// a line with a token on it.
pub(super) fn misplaced(table: &Table<'_>) -> Result<(), ManifestError> {
    match MACHINE.iter().find_map(|key| table.get(key).map(|value| (key, value))) {
        None => Ok(()),
        Some((key, value)) => Err(ManifestError::Misplaced {
            spot: value.key_spot(),
            key: (*key).to_owned(),
            belongs: "the user's or the site's config.toml (docs/formats/config.md)",
        }),
    }
}

/// Ends a table: a key that is left is unknown.
pub(super) fn finish(table: Table<'_>, known: &[&str]) -> Result<(), ManifestError> {
    misplaced(&table)?;
    Ok(table.finish(known)?)
}

/// A text for people.
pub(super) fn text(value: &Value<'_>) -> Result<String, TomlError> {
    value.parse(|text| {
        let good = !text.trim().is_empty() && text.chars().count() <= MAX_TEXT && !text.chars().any(char::is_control);
        if good { Ok(text.to_owned()) } else { Err(Rule::Text) }
    })
}

/// A folder or path in the project that is nobody else's.
pub(super) fn place(value: &Value<'_>) -> Result<RelPath, TomlError> {
    let path = value.parse(RelPath::parse)?;
    let first = path.components().next().unwrap_or_default().to_ascii_lowercase();
    if [".git", ".gitattributes", ".mpm", "model.toml", "model.lock", "model.lock.d"].contains(&first.as_str()) {
        return Err(value.refused(Rule::Reserved { found: path.as_str().to_owned() }));
    }
    Ok(path)
}

/// One variant or a list of them; not none.
pub(super) fn variants(value: Value<'_>) -> Result<Vec<VariantName>, TomlError> {
    if value.is_string() {
        return Ok(vec![value.parse(VariantName::parse)?]);
    }
    let empty = value.refused(Rule::Empty);
    let mut chosen: Vec<VariantName> = Vec::new();
    for name in value.parse_list(VariantName::parse)? {
        if !chosen.contains(&name) {
            chosen.push(name);
        }
    }
    if chosen.is_empty() { Err(empty) } else { Ok(chosen) }
}

/// Finds the key of a dependency that a value names.
pub(super) fn known_key(value: &Value<'_>, known: &[&DependencyKey]) -> Result<DependencyKey, ManifestError> {
    let key = value.parse(DependencyKey::parse)?;
    if known.contains(&&key) {
        return Ok(key);
    }
    Err(ManifestError::NoSuch {
        spot: value.spot(),
        key: value.path(),
        found: key.as_str().to_owned(),
        expected: "a key of [models], [datasets] or a group",
        nearest: nearest(key.as_str(), known.iter().map(|key| key.as_str())).into_iter().map(str::to_owned).collect(),
    })
}

fn project(value: Option<Value<'_>>) -> Result<Option<String>, ManifestError> {
    let Some(value) = value else { return Ok(None) };
    let mut table = value.table()?;
    let name = table.take("name").map(|name| text(&name)).transpose()?;
    finish(table, &["name"])?;
    Ok(name)
}

fn profiles(
    value: Option<Value<'_>>,
    dependencies: &[crate::manifest::Dependency],
) -> Result<BTreeMap<String, BTreeMap<DependencyKey, Vec<VariantName>>>, ManifestError> {
    let mut profiles = BTreeMap::new();
    let Some(value) = value else { return Ok(profiles) };
    let known: Vec<&DependencyKey> = dependencies.iter().map(|dependency| &dependency.key).collect();
    for (name, value) in value.table()?.into_entries() {
        // A profile's name has the alphabet of a group's: it stands on command lines and in the environment.
        crate::model::GroupName::parse(&name).map_err(|error| value.refused(error))?;
        let mut choices = BTreeMap::new();
        for (key, value) in value.table()?.into_entries() {
            let parsed = DependencyKey::parse(&key).map_err(|error| value.refused(error))?;
            if !known.contains(&&parsed) {
                return Err(ManifestError::NoSuch {
                    spot: value.key_spot(),
                    key: format!("the profile {name}"),
                    found: key.clone(),
                    expected: "a key of [models], [datasets] or a group",
                    nearest: nearest(&key, known.iter().map(|key| key.as_str()))
                        .into_iter()
                        .map(str::to_owned)
                        .collect(),
                });
            }
            choices.insert(parsed, variants(value)?);
        }
        profiles.insert(name, choices);
    }
    Ok(profiles)
}

fn install(value: Option<Value<'_>>) -> Result<InstallFolders, ManifestError> {
    let mut folders = InstallFolders::default();
    let Some(value) = value else { return Ok(folders) };
    let mut table = value.table()?;
    if let Some(models) = table.take("models") {
        folders.models = place(&models)?;
    }
    if let Some(datasets) = table.take("datasets") {
        folders.datasets = place(&datasets)?;
    }
    if let Some(value) = table.take("layouts") {
        folders.layouts = layouts(value)?;
    }
    finish(table, &["models", "datasets", "layouts"])?;
    Ok(folders)
}

fn layouts(value: Value<'_>) -> Result<Vec<LayoutDeclaration>, ManifestError> {
    let mut layouts: Vec<LayoutDeclaration> = Vec::new();
    for value in value.list()? {
        let twice = value.refused(Rule::LayoutTwice);
        let declaration = if value.is_string() {
            LayoutDeclaration { kind: layout_kind(&value)?, to: None }
        } else {
            let mut table = value.table()?;
            let kind = layout_kind(&table.require("layout")?)?;
            let to = table.take("to").map(|value| place(&value)).transpose()?;
            finish(table, &["layout", "to"])?;
            LayoutDeclaration { kind, to }
        };
        if layouts.iter().any(|other| other.kind == declaration.kind) {
            return Err(twice.into());
        }
        layouts.push(declaration);
    }
    Ok(layouts)
}

fn layout_kind(value: &Value<'_>) -> Result<LayoutKind, ManifestError> {
    let found = value.string()?;
    if found == "ollama" {
        return Err(ManifestError::NotBuilt { spot: value.spot(), key: found.to_owned() });
    }
    let known = LayoutKind::ALL.iter().find(|kind| kind.as_str() == found);
    Ok(*known.ok_or_else(|| value.refused(Rule::Layout { found: found.chars().take(40).collect() }))?)
}

fn policy(value: Option<Value<'_>>) -> Result<PolicyDeclaration, ManifestError> {
    let mut policy = PolicyDeclaration::default();
    let Some(value) = value else { return Ok(policy) };
    let mut table = value.table()?;
    not_built(&table, &["licenses", "bans", "sources", "advisories", "formats", "openness"])?;
    if let Some(value) = table.take("require-fresh") {
        policy.require_fresh = value.boolean()?;
    }
    if let Some(value) = table.take("minimum-age") {
        policy.minimum_age = Some((value.parse(Age::parse)?, value.line()));
    }
    if let Some(value) = table.take("unsigned") {
        policy.unsigned = value.parse(|text| match text {
            "allow" => Ok(Unsigned::Allow),
            "deny" => Ok(Unsigned::Deny),
            _ => Err(Rule::Unsigned { found: text.chars().take(40).collect() }),
        })?;
    }
    if let Some(value) = table.take("unsafe") {
        for (release, value) in value.table()?.into_entries() {
            let subject = unsafe_subject(&release);
            let subject = subject.ok_or_else(|| value.refused(Rule::Release { found: release.clone() }))?;
            policy.unsafe_releases.insert(subject, allowance(value)?);
        }
    }
    finish(table, &["require-fresh", "minimum-age", "unsigned", "unsafe"])?;
    Ok(policy)
}

/// `namespace/name@version` or `hf:[datasets/]ID@COMMIT`.
fn unsafe_subject(text: &str) -> Option<UnsafeSubject> {
    if HubId::is_meant(text) {
        let hub = HubId::parse(text).ok()?;
        let commit = hub.revision.commit()?;
        return Some(UnsafeSubject::Hub { kind: hub.kind, repository: hub.repository, commit });
    }
    let (name, version) = text.split_once('@')?;
    Some(UnsafeSubject::Release(PackageName::parse(name).ok()?, Version::parse(version).ok()?))
}

fn allowance(value: Value<'_>) -> Result<UnsafeAllowance, ManifestError> {
    let line = value.line();
    let mut table = value.table()?;
    let formats = table.require("formats")?;
    let empty = formats.refused(Rule::Empty);
    let mut formats = formats.list()?.iter().map(text).collect::<Result<Vec<_>, _>>()?;
    formats.sort();
    formats.dedup();
    if formats.is_empty() {
        return Err(empty.into());
    }
    let sha256 = table.take("sha256").map(|value| value.parse(Sha256::parse)).transpose()?;
    let reason = text(&table.require("reason")?)?;
    finish(table, &["formats", "sha256", "reason"])?;
    Ok(UnsafeAllowance { formats, sha256, reason, line })
}
