//! Edits of Model.toml that keep comments and order. A text goes in only if it parses and comes out only if it parses.

use toml_edit::{Array, DocumentMut, InlineTable, Item, Table, TableLike, Value};

use crate::manifest::{LayoutKind, Manifest, ManifestError};
use crate::model::tables::Source;
use crate::model::{
    DependencyKey, Glob, GroupName, HubRepository, HubRevision, Namespace, PackageKind, PackageName, RegistryId,
    Requirement, Sha256, VariantName,
};

/// A dependency to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDependency {
    /// Its key.
    pub key: DependencyKey,
    /// Which table.
    pub kind: PackageKind,
    /// Which group, if any.
    pub group: Option<GroupName>,
    /// Where it comes from.
    pub source: NewSource,
    /// Only these paths; empty: what an old entry says stays.
    pub include: Vec<Glob>,
    /// Not these paths; empty: what an old entry says stays.
    pub exclude: Vec<Glob>,
}

/// Where a dependency to write comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NewSource {
    /// A registry.
    Registry {
        /// The package, if the key is another.
        package: Option<PackageName>,
        /// Which versions.
        requirement: Requirement,
        /// The registry, if it must be named.
        registry: Option<RegistryId>,
        /// Variants asked for; empty: what an old entry says stays.
        variants: Vec<VariantName>,
    },
    /// A repository of the hub.
    Hub {
        /// The repository.
        repository: HubRepository,
        /// The revision.
        revision: HubRevision,
    },
}

/// A registry to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRegistry {
    /// Its id.
    pub id: RegistryId,
    /// The address as written in the file.
    pub index: String,
    /// Digest of its first root.
    pub root: Sha256,
    /// Names that only it may answer.
    pub namespaces: Vec<Namespace>,
}

/// The text of a fresh Model.toml.
pub fn new_manifest(name: &str) -> String {
    let mut document = DocumentMut::new();
    let mut project = Table::new();
    project.insert("name", toml_edit::value(name));
    document.insert("project", Item::Table(project));
    document.to_string()
}

/// Adds or replaces a dependency, comments kept. What the old entry says beside version, package, registry and variants
/// stays. A new key goes to its sorted place if the table is sorted.
///
/// # Errors
/// A text that does not parse, before the edit or after it.
pub fn add_dependency(text: &str, dependency: &NewDependency) -> Result<String, ManifestError> {
    let mut document = document(text)?;
    let name = match dependency.kind {
        PackageKind::Model => "models",
        PackageKind::Dataset => "datasets",
    };
    let key = dependency.key.as_str();
    let path: Vec<&str> = match &dependency.group {
        Some(group) => vec!["groups", group.as_str(), name],
        None => vec![name],
    };
    if let Some(table) = table_at(document.as_table_mut(), &path) {
        match table.get_mut(key) {
            Some(item) => replace(item, dependency),
            None => insert(table, key, fresh(dependency)),
        }
    }
    checked(&document)
}

/// Adds or replaces a registry, comments kept.
///
/// # Errors
/// A text that does not parse, before the edit or after it.
pub fn add_registry(text: &str, registry: &NewRegistry) -> Result<String, ManifestError> {
    let mut document = document(text)?;
    if let Some(table) = table_at(document.as_table_mut(), &["registries", registry.id.as_str()]) {
        set(table, "index", registry.index.as_str().into());
        set(table, "root", registry.root.prefixed().into());
        if !registry.namespaces.is_empty() {
            let names: Array = registry.namespaces.iter().map(Namespace::as_str).collect();
            set(table, "namespaces", Value::Array(names));
        }
    }
    checked(&document)
}

/// Writes another requirement at a key, in every table that has it, comments kept.
///
/// # Errors
/// A text that does not parse, before the edit or after it.
pub fn set_requirement(text: &str, key: &DependencyKey, requirement: &Requirement) -> Result<String, ManifestError> {
    let before = Manifest::parse(text)?;
    let mut document = document(text)?;
    for dependency in before.dependencies.iter().filter(|dependency| dependency.key == *key) {
        let name = if dependency.kind == PackageKind::Model { "models" } else { "datasets" };
        let path: Vec<&str> = match &dependency.group {
            Some(group) => vec!["groups", group.as_str(), name],
            None => vec![name],
        };
        let Some(table) = table_at(document.as_table_mut(), &path) else { continue };
        match table.get_mut(key.as_str()) {
            Some(item) if item.is_table_like() => {
                if let Some(table) = item.as_table_like_mut() {
                    set(table, "version", requirement.as_str().into());
                }
            }
            Some(_) => set(table, key.as_str(), requirement.as_str().into()),
            None => {}
        }
    }
    checked(&document)
}

/// Turns a layout on, comments kept, if the file says nothing about layouts: an empty list is somebody's wish too.
///
/// # Errors
/// A text that does not parse, before the edit or after it.
pub fn add_layout(text: &str, kind: LayoutKind) -> Result<String, ManifestError> {
    let mut document = document(text)?;
    if let Some(table) = table_at(document.as_table_mut(), &["install"])
        && !table.contains_key("layouts")
    {
        table.insert("layouts", Item::Value(Value::Array(Array::from_iter([kind.as_str()]))));
    }
    checked(&document)
}

/// Removes a dependency: from one group, or without one from every table that has it, profiles included. `None` if no
/// table has it.
///
/// # Errors
/// A text that does not parse, before the edit or after it (another part of the file may name the key).
pub fn remove_dependency(
    text: &str,
    key: &DependencyKey,
    group: Option<&GroupName>,
) -> Result<Option<String>, ManifestError> {
    let before = Manifest::parse(text)?;
    let mut document = document(text)?;
    let goes = |of: Option<&GroupName>| group.is_none() || group == of;
    let mut found = false;
    for dependency in before.dependencies.iter().filter(|dependency| dependency.key == *key) {
        if !goes(dependency.group.as_ref()) {
            continue;
        }
        let name = if dependency.kind == PackageKind::Model { "models" } else { "datasets" };
        let path: Vec<&str> = match &dependency.group {
            Some(group) => vec!["groups", group.as_str(), name],
            None => vec![name],
        };
        if let Some(table) = table_at(document.as_table_mut(), &path) {
            found |= table.remove(key.as_str()).is_some();
        }
    }
    if !found {
        return Ok(None);
    }
    let stays = before.dependencies.iter().any(|other| other.key == *key && !goes(other.group.as_ref()));
    if !stays {
        for profile in before.profiles.keys() {
            if let Some(table) = table_at(document.as_table_mut(), &["profiles", profile]) {
                table.remove(key.as_str());
            }
        }
    }
    checked(&document).map(Some)
}

fn document(text: &str) -> Result<DocumentMut, ManifestError> {
    Manifest::parse(text)?;
    text.parse().map_err(|error: toml_edit::TomlError| {
        let at = error.span().map_or(0, |span| span.start);
        ManifestError::Toml(Source::new("Model.toml", text).syntax(at, error.message()))
    })
}

fn checked(document: &DocumentMut) -> Result<String, ManifestError> {
    let text = document.to_string();
    Manifest::parse(&text)?;
    Ok(text)
}

/// The table at a path, made where it is missing. `None` where something else stands, which the parser has refused before.
fn table_at<'d>(parent: &'d mut dyn TableLike, path: &[&str]) -> Option<&'d mut dyn TableLike> {
    let Some((name, below)) = path.split_first() else { return Some(parent) };
    if !parent.contains_key(name) {
        let mut table = Table::new();
        // Only the last table of a path gets a header line.
        table.set_implicit(!below.is_empty());
        parent.insert(name, Item::Table(table));
    }
    table_at(parent.get_mut(name)?.as_table_like_mut()?, below)
}

fn fresh(dependency: &NewDependency) -> Value {
    let globs = !dependency.include.is_empty() || !dependency.exclude.is_empty();
    match &dependency.source {
        NewSource::Registry { package: None, registry: None, variants, requirement }
            if variants.is_empty() && !globs =>
        {
            requirement.as_str().into()
        }
        _ => {
            let mut table = InlineTable::new();
            fill(&mut table, dependency);
            Value::InlineTable(table)
        }
    }
}

/// Writes what the dependency says; what it does not say stays, but for what only another kind of source has.
fn fill(table: &mut dyn TableLike, dependency: &NewDependency) {
    table.remove("path");
    match &dependency.source {
        NewSource::Registry { package, requirement, registry, variants } => {
            remove(table, &["hf", "revision"]);
            set(table, "version", requirement.as_str().into());
            if let Some(package) = package {
                set(table, "package", package.as_str().into());
            }
            if let Some(registry) = registry {
                set(table, "registry", registry.as_str().into());
            }
            match variants.as_slice() {
                [] => {}
                [one] => {
                    table.remove("variants");
                    set(table, "variant", one.as_str().into());
                }
                several => {
                    table.remove("variant");
                    let names: Array = several.iter().map(VariantName::as_str).collect();
                    set(table, "variants", Value::Array(names));
                }
            }
        }
        NewSource::Hub { repository, revision } => {
            remove(table, &["version", "package", "registry", "variant", "variants", "unique"]);
            set(table, "hf", repository.as_str().into());
            set(table, "revision", revision.as_str().into());
        }
    }
    for (key, globs) in [("include", &dependency.include), ("exclude", &dependency.exclude)] {
        if !globs.is_empty() {
            set(table, key, Value::Array(globs.iter().map(Glob::as_str).collect()));
        }
    }
}

fn remove(table: &mut dyn TableLike, keys: &[&str]) {
    for key in keys {
        table.remove(key);
    }
}

fn replace(item: &mut Item, dependency: &NewDependency) {
    if let Some(table) = item.as_table_like_mut() {
        fill(table, dependency);
        // Spaces of the old last value would stand before the new comma; a table with comments inside keeps its form.
        if let Some(inline) = item.as_inline_table_mut() {
            let decor = inline.decor().clone();
            inline.decor_mut().clear();
            if !inline.to_string().contains(['\n', '#']) {
                inline.fmt();
            }
            *inline.decor_mut() = decor;
        }
    } else if let Some(value) = item.as_value_mut() {
        let decor = value.decor().clone();
        *value = fresh(dependency);
        *value.decor_mut() = decor;
    }
}

/// Sets a value; the comments around the old one stay.
fn set(table: &mut dyn TableLike, key: &str, mut value: Value) {
    if let Some(old) = table.get_mut(key).and_then(Item::as_value_mut) {
        *value.decor_mut() = old.decor().clone();
        *old = value;
    } else {
        table.insert(key, Item::Value(value));
    }
}

fn insert(table: &mut dyn TableLike, key: &str, value: Value) {
    let names: Vec<String> = table.iter().map(|(name, _)| name.to_owned()).collect();
    let sorted = names.is_sorted();
    table.insert(key, Item::Value(value));
    if sorted {
        table.sort_values();
    }
}
