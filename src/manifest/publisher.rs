//! `[package]` and `[variants]`: what a project publishes.

use std::collections::BTreeMap;

use crate::manifest::error::{ManifestError, Rule};
use crate::manifest::parse::{finish, known_key, text};
use crate::manifest::{Dependency, PackageDeclaration, VariantDeclaration};
use crate::model::tables::Value;
use crate::model::{DependencyKey, Glob, PackageName, RelPath, VariantName, Version, nearest};

const PACKAGE: &[&str] = &[
    "name",
    "version",
    "kind",
    "description",
    "license",
    "dir",
    "requires",
    "base-model",
    "trained-on",
    "default-variant",
    "code",
];

pub(super) fn publisher(
    package: Option<Value<'_>>,
    variants: Option<Value<'_>>,
    dependencies: &[Dependency],
) -> Result<Option<PackageDeclaration>, ManifestError> {
    let Some(package) = package else {
        return match variants {
            None => Ok(None),
            Some(variants) => {
                let spot = variants.key_spot();
                Err(ManifestError::NoSuch {
                    spot,
                    key: "[variants]".to_owned(),
                    found: "package".to_owned(),
                    expected: "a table of this file: variants are those of a [package]",
                    nearest: Vec::new(),
                })
            }
        };
    };
    let variants = variants.map(declared_variants).transpose()?.unwrap_or_default();
    let known: Vec<&DependencyKey> = dependencies.iter().map(|dependency| &dependency.key).collect();
    let keys = |value: Option<Value<'_>>| -> Result<Vec<DependencyKey>, ManifestError> {
        let items = value.map_or(Ok(Vec::new()), Value::list)?;
        items.iter().map(|item| known_key(item, &known)).collect()
    };
    let mut table = package.table()?;
    let declaration = PackageDeclaration {
        name: table.require("name")?.parse(PackageName::parse)?,
        version: version(&table.require("version")?)?,
        kind: table.require("kind")?.parse(str::parse)?,
        description: table.take("description").map(|value| text(&value)).transpose()?,
        license: table.take("license").map(|value| text(&value)).transpose()?,
        dir: table.require("dir")?.parse(RelPath::parse)?,
        requires: keys(table.take("requires"))?,
        base_model: table.take("base-model").map(|value| known_key(&value, &known)).transpose()?,
        trained_on: keys(table.take("trained-on"))?,
        default_variant: table.take("default-variant").map(|value| default_variant(&value, &variants)).transpose()?,
        code: table.take("code").map_or(Ok(Vec::new()), |value| value.parse_list(Glob::parse))?,
        variants,
    };
    finish(table, PACKAGE)?;
    Ok(Some(declaration))
}

fn version(value: &Value<'_>) -> Result<Version, ManifestError> {
    let version = value.parse(Version::parse)?;
    if version.build.is_empty() {
        Ok(version)
    } else {
        Err(value.refused(Rule::BuildMetadata { found: version.to_string() }).into())
    }
}

fn default_variant(
    value: &Value<'_>,
    variants: &BTreeMap<VariantName, VariantDeclaration>,
) -> Result<VariantName, ManifestError> {
    let name = value.parse(VariantName::parse)?;
    if variants.contains_key(&name) {
        return Ok(name);
    }
    Err(ManifestError::NoSuch {
        spot: value.spot(),
        key: value.path(),
        found: name.as_str().to_owned(),
        expected: "a table of [variants]",
        nearest: nearest(name.as_str(), variants.keys().map(VariantName::as_str))
            .into_iter()
            .map(str::to_owned)
            .collect(),
    })
}

fn declared_variants(value: Value<'_>) -> Result<BTreeMap<VariantName, VariantDeclaration>, ManifestError> {
    let mut variants = BTreeMap::new();
    for (name, value) in value.table()?.into_entries() {
        let name = VariantName::parse(&name).map_err(|error| value.refused(error))?;
        let nothing = value.refused(Rule::NoFiles);
        let mut table = value.table()?;
        let variant = VariantDeclaration {
            dir: table.take("dir").map(|value| value.parse(RelPath::parse)).transpose()?,
            include: table.take("include").map_or(Ok(Vec::new()), |value| value.parse_list(Glob::parse))?,
            format: table.take("format").map(|value| text(&value)).transpose()?,
            precision: table.take("precision").map(|value| text(&value)).transpose()?,
            quantization: table.take("quantization").map(|value| text(&value)).transpose()?,
        };
        finish(table, &["dir", "include", "format", "precision", "quantization"])?;
        if variant.dir.is_none() && variant.include.is_empty() {
            return Err(nothing.into());
        }
        variants.insert(name, variant);
    }
    Ok(variants)
}
