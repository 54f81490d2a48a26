//! Which files of one release or source are wanted, and where they lie in its folder.

use std::collections::BTreeMap;

use crate::lock::SourceFile;
use crate::manifest::Dependency;
use crate::model::{FileClass, Glob, PathError, PathSet, Pin, RelPath, Sha256, VariantName};
use crate::select::{SelectError, SelectedFile};
use crate::statement::{FileEntry, ReleaseFiles, Statement};

/// Bytes that each variant of a release would install: its own files and the common ones.
pub fn variant_sizes(statement: &Statement, files: &ReleaseFiles) -> BTreeMap<VariantName, u64> {
    let mut common: u64 = 0;
    let mut sizes: BTreeMap<VariantName, u64> = statement.variants.keys().map(|name| (name.clone(), 0)).collect();
    for entry in files.entries() {
        match &entry.variant {
            None => common = common.saturating_add(entry.pin.size),
            Some(variant) => {
                let size = sizes.entry(variant.clone()).or_default();
                *size = size.saturating_add(entry.pin.size);
            }
        }
    }
    for size in sizes.values_mut() {
        *size = size.saturating_add(common);
    }
    sizes
}

/// The variants that are wanted: those asked for, else the release's default.
pub(super) fn variants(
    of: &str,
    statement: &Statement,
    files: &ReleaseFiles,
    asked: &[VariantName],
) -> Result<Vec<VariantName>, SelectError> {
    let all = || variant_sizes(statement, files).into_iter().collect();
    if let Some(found) = asked.iter().find(|variant| !statement.variants.contains_key(*variant)) {
        return Err(SelectError::NoSuchVariant { of: of.to_owned(), found: found.clone(), variants: all() });
    }
    if !asked.is_empty() || statement.variants.is_empty() {
        return Ok(asked.to_vec());
    }
    match &statement.default_variant {
        Some(default) => Ok(vec![default.clone()]),
        None => Err(SelectError::NoDefault { of: of.to_owned(), variants: all() }),
    }
}

/// The wanted files of a release.
pub(super) fn of_release(
    statement: &Statement,
    files: &ReleaseFiles,
    variants: &[VariantName],
    dependency: Option<&Dependency>,
) -> Result<Vec<SelectedFile>, FilesError> {
    let entries = files.entries();
    let packs: BTreeMap<Sha256, Pin> = statement.packs.iter().map(|pack| (pack.sha256, *pack)).collect();
    let file = |entry: &FileEntry, path| SelectedFile {
        path,
        release_path: entry.path.clone(),
        pin: entry.pin,
        class: entry.class,
        pack: entry.pack.and_then(|place| Some((*packs.get(&place.pack)?, place.offset))),
        chunks: entry.chunks,
    };
    globs_match(dependency, &entries.iter().map(|entry| &entry.path))?;
    let within = |entry: &&FileEntry| entry.variant.as_ref().is_none_or(|variant| variants.contains(variant));
    let mut selected = Vec::new();
    if variants.len() > 1 && share_a_path(entries.iter().filter(within)) {
        for variant in variants {
            let folder = RelPath::parse(variant.as_str())?;
            for entry in entries.iter().filter(|entry| entry.variant.as_ref().is_none_or(|of| of == variant)) {
                if is_wanted(dependency, &entry.path) {
                    selected.push(file(entry, folder.join(&entry.path)?));
                }
            }
        }
    } else {
        let wanted = entries.iter().filter(within).filter(|entry| is_wanted(dependency, &entry.path));
        selected.extend(wanted.map(|entry| file(entry, entry.path.clone())));
    }
    finished(selected, dependency, !entries.is_empty())
}

/// The wanted files of a source.
pub(super) fn of_source(
    files: &[SourceFile],
    dependency: Option<&Dependency>,
) -> Result<Vec<SelectedFile>, FilesError> {
    globs_match(dependency, &files.iter().map(|file| &file.path))?;
    let wanted = files.iter().filter(|file| is_wanted(dependency, &file.path));
    // Nobody declares what the files of a source are: data, until their content says more.
    let selected = wanted
        .map(|file| SelectedFile {
            path: file.path.clone(),
            release_path: file.path.clone(),
            pin: file.pin,
            class: FileClass::Data,
            pack: None,
            chunks: None,
        })
        .collect();
    finished(selected, dependency, !files.is_empty())
}

/// What can be wrong with the files of one dependency.
#[derive(Debug, thiserror::Error)]
pub(super) enum FilesError {
    #[error(transparent)]
    Select(#[from] SelectError),
    #[error(transparent)]
    Path(#[from] PathError),
}

fn share_a_path<'e>(mut entries: impl Iterator<Item = &'e FileEntry>) -> bool {
    let mut paths = PathSet::new();
    entries.any(|entry| paths.insert(&entry.path).is_err())
}

fn is_wanted(dependency: Option<&Dependency>, path: &RelPath) -> bool {
    dependency.is_none_or(|dependency| Glob::admit(&dependency.include, &dependency.exclude, path))
}

/// A pattern that matches nothing is a typing error that would go unseen for long. Patterns look at the whole release, so
/// that another variant does not break them.
fn globs_match<'p>(
    dependency: Option<&Dependency>,
    paths: &(impl Iterator<Item = &'p RelPath> + Clone),
) -> Result<(), SelectError> {
    let Some(dependency) = dependency else { return Ok(()) };
    for (field, globs) in [("include", &dependency.include), ("exclude", &dependency.exclude)] {
        if let Some(glob) = globs.iter().find(|glob| !paths.clone().any(|path| glob.matches(path))) {
            return Err(SelectError::GlobMatchesNothing {
                key: dependency.key.clone(),
                field,
                glob: glob.as_str().to_owned(),
                line: dependency.line,
            });
        }
    }
    Ok(())
}

fn finished(
    mut selected: Vec<SelectedFile>,
    dependency: Option<&Dependency>,
    had_files: bool,
) -> Result<Vec<SelectedFile>, FilesError> {
    selected.sort_by(|left, right| left.path.cmp(&right.path));
    match dependency {
        Some(dependency) if selected.is_empty() && had_files => {
            Err(SelectError::Nothing { key: dependency.key.clone(), line: dependency.line }.into())
        }
        _ => Ok(selected),
    }
}
