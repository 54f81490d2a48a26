//! The JSON shapes of statements.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::{
    HubCommit, HubRepository, PackageKind, PackageName, Pin, RegistryId, Sha256, VariantName, canonical,
};
use crate::statement::files::{FileWire, ListWire, check_inline, check_list_pins};
use crate::statement::packs::{PackWire, check_packs};
use crate::statement::rules::{at, cut, dependency_set, line, requirement, sorted, version, word};
use crate::statement::{
    Dependency, DependencyKind, FieldError, Files, Licence, Provenance, Statement, StatementError, Upstream, Variant,
};

/// Largest statement, in bytes.
pub const MAX_STATEMENT: u64 = 1 << 20;
/// Most files that stand inline.
pub const MAX_INLINE_FILES: usize = 1_000;
/// Largest file list, in bytes.
pub const MAX_LIST: u64 = 64 << 20;
/// Largest integer: what every reader of JSON and TOML holds exactly, 2^53-1.
pub const MAX_INTEGER: u64 = (1 << 53) - 1;
/// Most variants of one release.
pub const MAX_VARIANTS: usize = 64;

const TYPE: &str = "mpm.release/1";
/// How statements call the only hub that `upstream` can name.
const HUB: &str = "huggingface";
const MAX_DESCRIPTION: usize = 1_024;
const MAX_LICENCE: usize = 1_024;
const MAX_TRAINED_ON: usize = 1_000;

/// Fields that this version reads, and that `critical` may therefore name.
const KNOWN: [&str; 17] = [
    "base-model",
    "critical",
    "default-variant",
    "dependencies",
    "description",
    "file-lists",
    "files",
    "kind",
    "license",
    "name",
    "packs",
    "registry",
    "trained-on",
    "type",
    "upstream",
    "variants",
    "version",
];

/// The fields that this version does not know: read past, never written. A flattened field also makes serde refuse a list
/// in the place of an object.
#[derive(Serialize, Deserialize)]
pub(crate) struct Unknown {}

/// What is compared before anything else is read.
#[derive(Deserialize)]
struct Header {
    r#type: String,
    #[serde(default)]
    critical: Vec<String>,
    #[serde(flatten)]
    _rest: Unknown,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Wire {
    r#type: String,
    registry: String,
    name: String,
    version: String,
    kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    license: Option<LicenceWire>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    default_variant: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    variants: BTreeMap<String, VariantWire>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    files: Option<Vec<FileWire>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    file_lists: Option<Vec<ListWire>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    packs: Vec<PackWire>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    critical: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    dependencies: Vec<DependencyWire>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    base_model: Option<ProvenanceWire>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    trained_on: Vec<ProvenanceWire>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    upstream: Option<UpstreamWire>,
    #[serde(flatten)]
    rest: Unknown,
}

#[derive(Serialize, Deserialize)]
struct UpstreamWire {
    hub: String,
    id: String,
    commit: String,
    #[serde(flatten)]
    rest: Unknown,
}

#[derive(Serialize, Deserialize)]
struct LicenceWire {
    expression: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(flatten)]
    rest: Unknown,
}

#[derive(Serialize, Deserialize)]
struct VariantWire {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    format: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    precision: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    quantization: Option<String>,
    #[serde(flatten)]
    rest: Unknown,
}

/// A dependency as statements and logs write it.
#[derive(Serialize, Deserialize)]
pub(crate) struct DependencyWire {
    kind: String,
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    registry: Option<String>,
    requirement: String,
    #[serde(flatten)]
    rest: Unknown,
}

#[derive(Serialize, Deserialize)]
struct ProvenanceWire {
    registry: String,
    name: String,
    version: String,
    statement: String,
    #[serde(flatten)]
    rest: Unknown,
}

pub(super) fn parse(bytes: &[u8]) -> Result<Statement, StatementError> {
    let header: Header = canonical::parse(bytes, MAX_STATEMENT).map_err(StatementError::Document)?;
    if header.r#type != TYPE {
        return Err(StatementError::Identity {
            field: "type",
            expected: TYPE.to_owned(),
            found: header.r#type.chars().take(200).collect(),
        });
    }
    if let Some(name) = header.critical.iter().find(|name| !KNOWN.contains(&name.as_str())) {
        return Err(StatementError::Critical { name: cut(name) });
    }
    // The header's reader has walked the whole document by the rules.
    let wire: Wire = serde_json::from_slice(bytes).map_err(|error| StatementError::Document(error.into()))?;
    let statement = read(wire)?;
    check_references(&statement)?;
    Ok(statement)
}

fn read(wire: Wire) -> Result<Statement, StatementError> {
    let field = |name: &'static str| move || name.to_owned();
    let variants = read_variants(wire.variants)?;
    let default_variant = match wire.default_variant {
        None => None,
        Some(text) => {
            let name = at(field("default-variant"), VariantName::parse(&text))?;
            if !variants.contains_key(&name) {
                return Err(StatementError::Variant { at: "default-variant".to_owned(), variant: text });
            }
            Some(name)
        }
    };
    let packs = check_packs(&wire.packs)?;
    let files = match (wire.files, wire.file_lists) {
        (Some(files), None) => Files::Inline(check_inline(&files, (&variants, &packs))?),
        (None, Some(lists)) => Files::Lists(check_list_pins(&lists)?),
        _ => return Err(StatementError::FilesOrLists),
    };
    let licence = match wire.license {
        None => None,
        Some(licence) => Some(Licence {
            expression: at(field("license.expression"), line(&licence.expression, MAX_LICENCE))?,
            text: licence.text.map(|text| at(field("license.text"), bare_digest(&text))).transpose()?,
        }),
    };
    let mut dependencies = Vec::new();
    for (i, dependency) in wire.dependencies.iter().enumerate() {
        dependencies.push(at(|| format!("dependencies[{i}]"), dependency.read())?);
    }
    let mut trained_on = Vec::new();
    for (i, entry) in wire.trained_on.iter().enumerate() {
        trained_on.push(at(|| format!("trained-on[{i}]"), entry.read())?);
    }
    Ok(Statement {
        registry: at(field("registry"), RegistryId::parse(&wire.registry))?,
        name: at(field("name"), PackageName::parse(&wire.name))?,
        version: at(field("version"), version(&wire.version))?,
        kind: at(field("kind"), cut(&wire.kind).parse::<PackageKind>())?,
        description: wire.description.map(|text| at(field("description"), line(&text, MAX_DESCRIPTION))).transpose()?,
        licence,
        default_variant,
        variants,
        files,
        packs,
        dependencies,
        base_model: wire.base_model.map(|entry| at(field("base-model"), entry.read())).transpose()?,
        trained_on,
        upstream: wire.upstream.and_then(|upstream| read_upstream(&upstream).transpose()).transpose()?,
    })
}

/// A hub that this version does not know says nothing to it.
fn read_upstream(wire: &UpstreamWire) -> Result<Option<Upstream>, StatementError> {
    if wire.hub != HUB {
        return Ok(None);
    }
    Ok(Some(Upstream {
        repository: at(|| "upstream.id".to_owned(), HubRepository::parse(&wire.id))?,
        commit: at(|| "upstream.commit".to_owned(), HubCommit::parse(&wire.commit))?,
    }))
}

fn read_variants(wire: BTreeMap<String, VariantWire>) -> Result<BTreeMap<VariantName, Variant>, StatementError> {
    if wire.len() > MAX_VARIANTS {
        return Err(StatementError::TooMany { what: "variants", found: wire.len() as u64, limit: MAX_VARIANTS as u64 });
    }
    let mut variants = BTreeMap::new();
    let mut seen = std::collections::BTreeSet::new();
    for (text, variant) in wire {
        let name = at(|| "variants".to_owned(), VariantName::parse(&text))?;
        if !seen.insert(name.normalised()) {
            return Err(StatementError::Reference {
                field: "variants",
                name: text,
                rule: "stands twice: `-`, `_` and `.` count as equal",
            });
        }
        let property = |key: &'static str, value: Option<String>| {
            value.map(|value| at(|| format!("variants.{text}.{key}"), word(&value))).transpose()
        };
        let variant = Variant {
            format: property("format", variant.format)?,
            precision: property("precision", variant.precision)?,
            quantization: property("quantization", variant.quantization)?,
        };
        variants.insert(name, variant);
    }
    Ok(variants)
}

/// What a statement points to: in order, once, and not itself.
fn check_references(statement: &Statement) -> Result<(), StatementError> {
    dependency_set(&statement.dependencies)?;
    let refuse = |field, name: &PackageName, rule| StatementError::Reference { field, name: name.to_string(), rule };
    for dependency in &statement.dependencies {
        if dependency.registry.as_ref() == Some(&statement.registry) {
            return Err(refuse("dependencies", &dependency.name, "names the statement's own registry: leave it out"));
        }
        if dependency.registry.is_none() && dependency.name.normalised() == statement.name.normalised() {
            return Err(refuse("dependencies", &dependency.name, "is the package itself"));
        }
    }
    if statement.trained_on.len() > MAX_TRAINED_ON {
        return Err(StatementError::TooMany {
            what: "entries of trained-on",
            found: statement.trained_on.len() as u64,
            limit: MAX_TRAINED_ON as u64,
        });
    }
    for (first, second) in statement.trained_on.iter().zip(statement.trained_on.iter().skip(1)) {
        if order(first) >= order(second) {
            let rule = "is out of order or stands twice: sort by name, registry, version";
            return Err(refuse("trained-on", &second.name, rule));
        }
    }
    let own = |entry: &&Provenance| {
        entry.registry == statement.registry
            && entry.name.normalised() == statement.name.normalised()
            && entry.version == statement.version
    };
    if let Some(entry) = statement.base_model.iter().find(own) {
        return Err(refuse("base-model", &entry.name, "is the release itself"));
    }
    if let Some(entry) = statement.trained_on.iter().find(own) {
        return Err(refuse("trained-on", &entry.name, "is the release itself"));
    }
    Ok(())
}

fn order(entry: &Provenance) -> (&PackageName, &RegistryId, &crate::model::Version) {
    (&entry.name, &entry.registry, &entry.version)
}

/// A digest as JSON files write it: 64 hex digits without a prefix.
pub(crate) fn bare_digest(text: &str) -> Result<Sha256, FieldError> {
    let digest = Sha256::parse(text)?;
    if text.len() == 64 {
        Ok(digest)
    } else {
        Err(FieldError::Text { found: cut(text), rule: "is not 64 hex digits without a prefix" })
    }
}

impl DependencyWire {
    /// The dependency that this describes.
    pub(crate) fn read(&self) -> Result<Dependency, FieldError> {
        let kind = match self.kind.as_str() {
            "requires" => DependencyKind::Requires,
            "base-model" => DependencyKind::BaseModel,
            other => {
                let found = cut(other);
                return Err(FieldError::Text { found, rule: "is not one of requires, base-model" });
            }
        };
        Ok(Dependency {
            kind,
            name: PackageName::parse(&self.name)?,
            registry: self.registry.as_deref().map(RegistryId::parse).transpose()?,
            requirement: requirement(&self.requirement)?,
        })
    }

    /// The shape of a dependency.
    pub(crate) fn of(dependency: &Dependency) -> Self {
        Self {
            kind: dependency.kind.as_str().to_owned(),
            name: dependency.name.to_string(),
            registry: dependency.registry.as_ref().map(ToString::to_string),
            requirement: dependency.requirement.to_string(),
            rest: Unknown {},
        }
    }
}

impl ProvenanceWire {
    fn read(&self) -> Result<Provenance, FieldError> {
        Ok(Provenance {
            registry: RegistryId::parse(&self.registry)?,
            name: PackageName::parse(&self.name)?,
            version: version(&self.version)?,
            statement: bare_digest(&self.statement)?,
        })
    }

    fn of(entry: &Provenance) -> Self {
        Self {
            registry: entry.registry.to_string(),
            name: entry.name.to_string(),
            version: entry.version.to_string(),
            statement: entry.statement.hex(),
            rest: Unknown {},
        }
    }
}

pub(super) fn render(statement: &Statement) -> Vec<u8> {
    let (files, file_lists) = match &statement.files {
        Files::Inline(entries) => {
            let mut entries: Vec<_> = entries.iter().collect();
            entries.sort_by(|left, right| left.order().cmp(&right.order()));
            (Some(entries.into_iter().map(FileWire::of).collect()), None)
        }
        Files::Lists(lists) => (None, Some(lists.iter().map(ListWire::of).collect())),
    };
    let mut trained_on: Vec<&Provenance> = statement.trained_on.iter().collect();
    trained_on.sort_by(|left, right| order(left).cmp(&order(right)));
    let dependencies = sorted(&statement.dependencies);
    let mut packs: Vec<&Pin> = statement.packs.iter().collect();
    packs.sort();
    canonical::render(&Wire {
        r#type: TYPE.to_owned(),
        registry: statement.registry.to_string(),
        name: statement.name.to_string(),
        version: statement.version.to_string(),
        kind: statement.kind.to_string(),
        description: statement.description.clone(),
        license: statement.licence.as_ref().map(|licence| LicenceWire {
            expression: licence.expression.clone(),
            text: licence.text.map(|digest| digest.hex()),
            rest: Unknown {},
        }),
        default_variant: statement.default_variant.as_ref().map(ToString::to_string),
        variants: statement
            .variants
            .iter()
            .map(|(name, variant)| (name.to_string(), VariantWire::of(variant)))
            .collect(),
        files,
        file_lists,
        packs: packs.iter().map(|pack| PackWire::of(pack)).collect(),
        // Files of packs can be had in no other way, and who does not know packs is told so.
        critical: if packs.is_empty() { Vec::new() } else { vec!["packs".to_owned()] },
        dependencies: dependencies.iter().map(DependencyWire::of).collect(),
        base_model: statement.base_model.as_ref().map(ProvenanceWire::of),
        trained_on: trained_on.into_iter().map(ProvenanceWire::of).collect(),
        upstream: statement.upstream.as_ref().map(|upstream| UpstreamWire {
            hub: HUB.to_owned(),
            id: upstream.repository.to_string(),
            commit: upstream.commit.to_string(),
            rest: Unknown {},
        }),
        rest: Unknown {},
    })
}

impl VariantWire {
    fn of(variant: &Variant) -> Self {
        Self {
            format: variant.format.clone(),
            precision: variant.precision.clone(),
            quantization: variant.quantization.clone(),
            rest: Unknown {},
        }
    }
}
