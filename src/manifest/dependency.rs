//! `[models]`, `[datasets]` and the same in `[groups]`.

use std::collections::BTreeMap;

use crate::manifest::error::{ManifestError, Rule};
use crate::manifest::parse::{finish, misplaced, not_built, place, variants};
use crate::manifest::registry::folder;
use crate::manifest::{Dependency, DependencySource};
use crate::model::tables::{Spot, Table, Value};
use crate::model::{
    DependencyKey, Glob, GroupName, HubId, HubRepository, HubRevision, PackageKind, PackageName, RegistryId,
    Requirement,
};

/// Most dependencies.
const MAX_DEPENDENCIES: usize = 10_000;
const KEYS: &[&str] = &[
    "version", "variant", "variants", "include", "exclude", "registry", "package", "to", "path", "hf", "revision",
    "unique",
];

pub(super) fn dependencies(top: &mut Table<'_>) -> Result<Vec<Dependency>, ManifestError> {
    let mut found = Found::default();
    found.tables(top, None)?;
    if let Some(groups) = top.take("groups") {
        for (name, value) in groups.table()?.into_entries() {
            let group = GroupName::parse(&name).map_err(|error| value.refused(error))?;
            let mut table = value.table()?;
            found.tables(&mut table, Some(&group))?;
            finish(table, &["models", "datasets"])?;
        }
    }
    found.dependencies.sort_by_key(|dependency| dependency.line);
    Ok(found.dependencies)
}

#[derive(Default)]
struct Found {
    dependencies: Vec<Dependency>,
    by_key: BTreeMap<DependencyKey, Vec<usize>>,
}

impl Found {
    fn tables(&mut self, parent: &mut Table<'_>, group: Option<&GroupName>) -> Result<(), ManifestError> {
        for (name, kind) in [("models", PackageKind::Model), ("datasets", PackageKind::Dataset)] {
            let Some(value) = parent.take(name) else { continue };
            for (key, value) in value.table()?.into_entries() {
                let spot = value.key_spot();
                let dependency = dependency(&key, value, kind, group)?;
                self.push(dependency, &spot)?;
            }
        }
        Ok(())
    }

    fn push(&mut self, dependency: Dependency, spot: &Spot) -> Result<(), ManifestError> {
        let at = self.dependencies.len();
        if at >= MAX_DEPENDENCIES {
            return Err(ManifestError::TooMany { found: at + 1, limit: MAX_DEPENDENCIES });
        }
        let same = self.by_key.entry(dependency.key.clone()).or_default();
        for first in same.iter().filter_map(|at| self.dependencies.get(*at)) {
            if let Some(rule) = broken_rule(first, &dependency) {
                return Err(ManifestError::Twice {
                    spot: spot.clone(),
                    key: dependency.key.to_string(),
                    first: format!("line {}", first.line),
                    rule,
                });
            }
        }
        same.push(at);
        self.dependencies.push(dependency);
        Ok(())
    }
}

/// A key leads to one folder, so it may be repeated in another group only if it means the same there.
fn broken_rule(first: &Dependency, second: &Dependency) -> Option<&'static str> {
    if first.group == second.group {
        return Some("a key stands once in a group");
    }
    let same = first.kind == second.kind
        && first.source == second.source
        && first.variants == second.variants
        && first.include == second.include
        && first.exclude == second.exclude
        && first.to == second.to;
    (!same).then_some("a key that stands in several groups must say the same in each")
}

fn dependency(
    key: &str,
    value: Value<'_>,
    kind: PackageKind,
    group: Option<&GroupName>,
) -> Result<Dependency, ManifestError> {
    let line = value.line();
    let parsed = DependencyKey::parse(key).map_err(|error| value.refused(error))?;
    let mut dependency = Dependency {
        key: parsed,
        kind,
        group: group.cloned(),
        source: DependencySource::Path(String::new()),
        variants: Vec::new(),
        include: Vec::new(),
        exclude: Vec::new(),
        to: None,
        line,
    };
    if value.is_string() {
        let package = PackageName::parse(key).map_err(|source| value.refused(Rule::KeyIsNoPackage { source }))?;
        let requirement = value.parse(Requirement::parse)?;
        dependency.source = DependencySource::Registry { package, requirement, registry: None, unique: false };
        return Ok(dependency);
    }
    let whole = value.clone();
    let mut table = value.table().map_err(|_| whole.wrong("a version requirement or a table"))?;
    misplaced(&table)?;
    not_built(&table, &["oci", "editable"])?;
    dependency.source = match (table.take("path"), table.take("hf")) {
        (Some(path), None) => path_source(&path, &table)?,
        (None, Some(hub)) => hub_source(&hub, kind, &mut table)?,
        (Some(_), Some(hub)) => {
            return Err(ManifestError::Conflict { spot: hub.key_spot(), key: "hf".to_owned(), beside: "path" });
        }
        (None, None) => registry_source(key, &whole, &mut table)?,
    };
    if let (Some(value), true) = (table.get("variant"), table.has("variants")) {
        let spot = value.key_spot();
        return Err(ManifestError::Conflict { spot, key: "variant".to_owned(), beside: "variants" });
    }
    if let Some(value) = table.take("variant") {
        dependency.variants = vec![value.parse(crate::model::VariantName::parse)?];
    }
    if let Some(value) = table.take("variants") {
        dependency.variants = variants(value)?;
    }
    if let Some(value) = table.take("include") {
        dependency.include = value.parse_list(Glob::parse)?;
    }
    if let Some(value) = table.take("exclude") {
        dependency.exclude = value.parse_list(Glob::parse)?;
    }
    dependency.to = table.take("to").map(|value| place(&value)).transpose()?;
    finish(table, KEYS)?;
    Ok(dependency)
}

fn path_source(path: &Value<'_>, table: &Table<'_>) -> Result<DependencySource, ManifestError> {
    alone(table, "path", &["version", "registry", "package", "unique", "variant", "variants", "revision"])?;
    let text = path.string()?;
    folder(text).map_err(|rule| path.refused(rule))?;
    Ok(DependencySource::Path(text.to_owned()))
}

fn hub_source(hub: &Value<'_>, kind: PackageKind, table: &mut Table<'_>) -> Result<DependencySource, ManifestError> {
    alone(table, "hf", &["version", "registry", "package", "unique", "variant", "variants"])?;
    let repository = hub.parse(HubRepository::parse)?;
    let revision = table.take("revision").map(|value| value.parse(HubRevision::parse)).transpose()?;
    let revision = revision.unwrap_or_else(HubRevision::main);
    Ok(DependencySource::Hub(HubId { kind, repository, revision }))
}

/// Refuses keys that mean nothing for a source of this kind.
fn alone(table: &Table<'_>, beside: &'static str, others: &[&str]) -> Result<(), ManifestError> {
    match others.iter().find_map(|key| table.get(key).map(|value| (key, value))) {
        None => Ok(()),
        Some((key, value)) => Err(ManifestError::Conflict { spot: value.key_spot(), key: (*key).to_owned(), beside }),
    }
}

fn registry_source(key: &str, whole: &Value<'_>, table: &mut Table<'_>) -> Result<DependencySource, ManifestError> {
    let package = match table.take("package") {
        Some(value) => value.parse(PackageName::parse)?,
        None => PackageName::parse(key).map_err(|source| whole.refused(Rule::KeyIsNoPackage { source }))?,
    };
    Ok(DependencySource::Registry {
        package,
        requirement: table.require("version")?.parse(Requirement::parse)?,
        registry: table.take("registry").map(|value| value.parse(RegistryId::parse)).transpose()?,
        unique: table.take("unique").map_or(Ok(false), |value| value.boolean())?,
    })
}
