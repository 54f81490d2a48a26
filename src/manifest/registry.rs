//! `[registries]`: where indexes are, and which registry answers a name.

use std::collections::BTreeMap;

use crate::diagnose::{Class, Code, Diagnose, Hint};
use crate::manifest::error::{ManifestError, Rule};
use crate::manifest::parse::{finish, misplaced};
use crate::manifest::{IndexAddress, Manifest, RegistryDeclaration};
use crate::model::tables::{TomlError, Value};
use crate::model::{Namespace, PackageName, RegistryId, SafeUrl, Sha256};

/// Longest folder, in bytes.
const MAX_FOLDER: usize = 4096;
/// Ids that would be read as a source in Model.lock.
const RESERVED: &[&str] = &["path", "hf", "oci"];

pub(super) fn registries(value: Option<Value<'_>>) -> Result<BTreeMap<RegistryId, RegistryDeclaration>, ManifestError> {
    let mut registries: BTreeMap<RegistryId, RegistryDeclaration> = BTreeMap::new();
    let Some(value) = value else { return Ok(registries) };
    for (id, value) in value.table()?.into_entries() {
        if RESERVED.contains(&id.as_str()) {
            return Err(value.refused(Rule::RegistryId { found: id }).into());
        }
        let id = RegistryId::parse(&id).map_err(|error| value.refused(error))?;
        let spot = value.key_spot();
        let found = declaration(value)?;
        for (first, other) in &registries {
            if let Some(what) = shared(other, &found) {
                return Err(ManifestError::TwoRegistries { spot, first: first.clone(), second: id, what });
            }
        }
        registries.insert(id, found);
    }
    Ok(registries)
}

/// What two registries have in common that only one may have.
fn shared(first: &RegistryDeclaration, second: &RegistryDeclaration) -> Option<String> {
    if first.root == second.root {
        return Some(format!("the root {}", first.root.prefixed()));
    }
    if first.default && second.default {
        return Some("default = true".to_owned());
    }
    let claimed = first.namespaces.iter().find(|namespace| claims(second, namespace))?;
    Some(format!("the namespace {claimed}"))
}

fn claims(registry: &RegistryDeclaration, namespace: &Namespace) -> bool {
    registry.namespaces.iter().any(|claimed| claimed.normalised() == namespace.normalised())
}

fn declaration(value: Value<'_>) -> Result<RegistryDeclaration, ManifestError> {
    let line = value.line();
    let mut table = value.table()?;
    misplaced(&table)?;
    let declaration = RegistryDeclaration {
        index: table.require("index")?.parse(index)?,
        root: table.require("root")?.parse(Sha256::parse)?,
        root_at: table.take("root-at").map(|value| root_at(&value)).transpose()?,
        namespaces: match table.take("namespaces") {
            Some(value) => value.parse_list(Namespace::parse)?,
            None => Vec::new(),
        },
        default: table.take("default").map_or(Ok(false), |value| value.boolean())?,
        line,
    };
    finish(table, &["index", "root", "root-at", "namespaces", "default"])?;
    Ok(declaration)
}

fn root_at(value: &Value<'_>) -> Result<(u64, Sha256), TomlError> {
    value.parse(|text| {
        let parsed = text.split_once(':').and_then(|(number, digest)| {
            let number: u64 = number.parse().ok().filter(|number| *number > 0)?;
            Some((number, Sha256::parse(digest).ok()?))
        });
        parsed.ok_or_else(|| Rule::RootAt { found: text.chars().take(100).collect() })
    })
}

#[derive(Debug, thiserror::Error)]
enum IndexError {
    #[error(transparent)]
    Url(#[from] crate::model::UrlError),
    #[error(transparent)]
    Rule(#[from] Rule),
}

/// A text that is no address of an index.
#[derive(Debug, thiserror::Error)]
#[error("{found:?} is no address of an index")]
pub struct AddressError {
    /// What was found, without what may be a credential.
    pub found: String,
    #[source]
    source: IndexError,
}

impl Diagnose for AddressError {
    fn code(&self) -> Code {
        Code("E0314")
    }
    fn class(&self) -> Class {
        Class::Usage
    }
    fn hints(&self) -> Vec<Hint> {
        vec![Hint::Note("an index is `sparse+https://…`, `git+https://…`, `git+ssh://…` or a folder".to_owned())]
    }
}

impl IndexAddress {
    /// An address as Model.toml writes it.
    ///
    /// # Errors
    /// `E0314`: it is none.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        index(text).map_err(|source| {
            let found = text.rsplit('@').next().unwrap_or_default().chars().take(100).collect();
            AddressError { found, source }
        })
    }
}

fn index(text: &str) -> Result<IndexAddress, IndexError> {
    if text == "builtin" {
        return Ok(IndexAddress::Builtin);
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        folder(text)?;
        return Ok(IndexAddress::Folder(text.to_owned()));
    };
    match scheme {
        "sparse+https" | "sparse+http" => Ok(IndexAddress::Sparse(address(text, "sparse+")?)),
        "git+https" | "git+http" | "git+ssh" | "git+file" => Ok(IndexAddress::Git(address(text, "git+")?)),
        // Shown without what may be a credential.
        _ => Err(Rule::Index { found: format!("{scheme}://{}", rest.rsplit('@').next().unwrap_or_default()) }.into()),
    }
}

fn address(text: &str, prefix: &str) -> Result<SafeUrl, crate::model::UrlError> {
    SafeUrl::parse(text.strip_prefix(prefix).unwrap_or(text))
}

/// Checks a folder that may lie outside the project.
pub(super) fn folder(text: &str) -> Result<(), Rule> {
    let rule = if text.is_empty() {
        "it is empty"
    } else if text.len() > MAX_FOLDER {
        "it is longer than 4096 bytes"
    } else if text.chars().any(char::is_control) {
        "it holds control characters"
    } else if text.contains("://") {
        "it is an address"
    } else {
        return Ok(());
    };
    Err(Rule::Folder { found: text.chars().take(100).collect(), rule })
}

pub(super) fn registry_for<'m>(
    manifest: &'m Manifest,
    name: &PackageName,
    named: Option<&RegistryId>,
) -> Result<&'m RegistryId, ManifestError> {
    let registries = &manifest.registries;
    let all = || registries.keys().cloned().collect::<Vec<_>>();
    if let Some(named) = named {
        return registries.get_key_value(named).map(|(id, _)| id).ok_or_else(|| ManifestError::UnknownRegistry {
            name: name.clone(),
            named: named.clone(),
            registries: all(),
        });
    }
    let claiming = registries.iter().find(|(_, registry)| claims(registry, &name.namespace()));
    let chosen = claiming.or_else(|| registries.iter().find(|(_, registry)| registry.default));
    if let Some((id, _)) = chosen {
        return Ok(id);
    }
    let mut ids = registries.keys();
    match (ids.next(), ids.next()) {
        (Some(only), None) => Ok(only),
        _ => Err(ManifestError::NoRegistry { name: name.clone(), registries: all() }),
    }
}
