//! What each file is, and which variant it belongs to.

use std::path::PathBuf;

use crate::manifest::{PackageDeclaration, VariantDeclaration};
use crate::model::{FileClass, PackageKind, PathSet, RelPath, VariantName};
use crate::publish::{Gathered, PublishError};

/// Names that Python, a shell or a loader would run.
const CODE: &[&str] = &[
    "bat", "cmd", "dll", "dylib", "exe", "ipynb", "jar", "js", "lua", "pl", "ps1", "py", "pyc", "pyd", "pyx", "r",
    "rb", "sh", "so", "wasm",
];
const WEIGHTS: &[&str] = &[
    "bin",
    "ckpt",
    "gguf",
    "h5",
    "joblib",
    "keras",
    "msgpack",
    "npy",
    "npz",
    "onnx",
    "onnx_data",
    "pb",
    "pickle",
    "pkl",
    "pt",
    "pth",
    "safetensors",
    "tflite",
];
const CONFIG: &[&str] = &["cfg", "ini", "jinja", "json", "model", "toml", "vocab", "yaml", "yml"];
const DOC: &[&str] = &["htm", "html", "md", "pdf", "rst", "txt"];
const DOC_NAMES: &[&str] = &["authors", "citation.cff", "copying", "licence", "license", "notice", "readme"];

/// A file with its place in the release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assigned {
    /// Its path in the release.
    pub path: RelPath,
    /// Where it is.
    pub file: PathBuf,
    /// What it is.
    pub class: FileClass,
    /// The variant that it belongs to; none: common to all.
    pub variant: Option<VariantName>,
}

/// Gives each file its variant, its path without the variant's folder, and its class; sorted by path, then variant.
///
/// # Errors
/// `E0855` to `E0859`.
pub fn assign(files: &[Gathered], package: &PackageDeclaration) -> Result<Vec<Assigned>, PublishError> {
    if let Some(default) = &package.default_variant
        && !package.variants.contains_key(default)
    {
        let known = package.variants.keys().map(VariantName::as_str).collect::<Vec<_>>().join(", ");
        return Err(PublishError::UnknownDefault { variant: default.clone(), known });
    }
    let mut assigned = Vec::with_capacity(files.len());
    for file in files {
        let mut homes = package.variants.iter().filter_map(|(name, variant)| Some((name, home(variant, &file.path)?)));
        let (variant, path) = match (homes.next(), homes.next()) {
            (None, _) => (None, file.path.clone()),
            (Some((name, path)), None) => (Some(name.clone()), path),
            (Some((first, _)), Some((second, _))) => {
                let (first, second) = (first.clone(), second.clone());
                return Err(PublishError::TwoVariants { file: file.path.clone(), first, second });
            }
        };
        let class = class(&file.path, package)?;
        assigned.push(Assigned { path, file: file.file.clone(), class, variant });
    }
    assigned.sort_by(|a, b| (&a.path, &a.variant).cmp(&(&b.path, &b.variant)));
    check_paths(&assigned, package)?;
    Ok(assigned)
}

/// The path that a variant's file has in the release, if the file is the variant's.
fn home(variant: &VariantDeclaration, path: &RelPath) -> Option<RelPath> {
    let inside = variant.dir.as_ref().and_then(|dir| path.strip_prefix(dir));
    inside.or_else(|| variant.include.iter().any(|glob| glob.matches(path)).then(|| path.clone()))
}

fn class(path: &RelPath, package: &PackageDeclaration) -> Result<FileClass, PublishError> {
    if package.code.iter().any(|glob| glob.matches(path)) {
        return Ok(FileClass::Code);
    }
    let name = path.file_name().to_ascii_lowercase();
    let (stem, extension) = name.rsplit_once('.').unwrap_or((&name, ""));
    let is = |known: &[&str]| known.binary_search(&extension).is_ok();
    // Versioned native libraries end in digits: libx.so.1.
    if is(CODE) || name.contains(".so.") {
        return Err(PublishError::Code { file: path.clone() });
    }
    let data = package.kind == PackageKind::Dataset;
    Ok(match () {
        () if DOC_NAMES.contains(&name.as_str()) || (DOC_NAMES.contains(&stem) && is(DOC)) => FileClass::Doc,
        () if is(WEIGHTS) && !data => FileClass::Weights,
        // In a dataset, text and JSON are rows as often as not; cards are told by their names.
        () if data && !matches!(extension, "md" | "toml" | "yaml" | "yml") => FileClass::Data,
        () if is(CONFIG) => FileClass::Config,
        () if is(DOC) => FileClass::Doc,
        () => FileClass::Data,
    })
}

/// Each variant with the common files must be able to live in one folder.
fn check_paths(files: &[Assigned], package: &PackageDeclaration) -> Result<(), PublishError> {
    let common: Vec<&RelPath> = files.iter().filter(|file| file.variant.is_none()).map(|file| &file.path).collect();
    let check = |what: &str, paths: &mut dyn Iterator<Item = &RelPath>| -> Result<(), PublishError> {
        let mut set = PathSet::new();
        for path in paths {
            set.insert(path).map_err(|source| PublishError::Clash { what: what.to_owned(), source })?;
        }
        Ok(())
    };
    check("every variant", &mut common.iter().copied())?;
    for variant in package.variants.keys() {
        let own: Vec<&RelPath> =
            files.iter().filter(|file| file.variant.as_ref() == Some(variant)).map(|file| &file.path).collect();
        if own.is_empty() {
            return Err(PublishError::EmptyVariant { variant: variant.clone() });
        }
        check(&format!("variant {variant}"), &mut common.iter().copied().chain(own))?;
    }
    Ok(())
}
