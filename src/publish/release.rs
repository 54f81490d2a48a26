//! The statement of a release, and its way into a registry.

use std::path::Path;

use crate::keys::SecretKey;
use crate::manifest::PackageDeclaration;
use crate::model::{Pin, RegistryId, Sha256};
use crate::progress::Progress;
use crate::publish::blobs::{Drafts, hash_all, place, place_bytes};
use crate::publish::indexing::Indexes;
use crate::publish::packs::{draft, draw};
use crate::publish::{PublishError, assign, gather};
use crate::registry::{Folder, State, Submitted, check_name, may_publish, submit};
use crate::statement::{
    Dependency, FileEntry, Files, Licence, ListPin, MAX_INLINE_FILES, MAX_LIST, MAX_STATEMENT, Provenance, Statement,
    Variant, render_list,
};
use crate::sys::Cancel;

/// What a release depends on and came from, resolved by the caller.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// Packages that are installed along.
    pub dependencies: Vec<Dependency>,
    /// The release that this one was made from.
    pub base_model: Option<Provenance>,
    /// The releases that it was trained on.
    pub trained_on: Vec<Provenance>,
}

/// What is published.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// The folder of Model.toml.
    pub project: &'a Path,
    /// `[package]`.
    pub package: &'a PackageDeclaration,
    /// What it depends on and came from.
    pub facts: &'a Facts,
}

/// What publishing did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Digest of the release statement.
    pub statement: Sha256,
    /// Whether it was there already.
    pub submitted: Submitted,
    /// Files of the release.
    pub files: u64,
    /// Bytes of all files together.
    pub bytes: u64,
    /// Blobs that were not in the registry's base yet.
    pub new_blobs: u64,
}

/// Publishes a folder into a registry's folder: blobs, then statement and signature. Hold the folder's lease; the release
/// counts once a checkpoint admitted it.
///
/// # Errors
/// `E0851` to `E0861`; the registry's own, a version that stands among them.
pub fn publish(
    folder: &Folder,
    source: &Source<'_>,
    signer: &SecretKey,
    cancel: &Cancel,
    progress: &dyn Progress,
) -> Result<Published, PublishError> {
    let state = State::read(folder)?;
    // Before hours of hashing.
    may_publish(&state, signer.public(), &source.package.name.namespace())?;
    check_name(&state, &source.package.name)?;
    let files = assign(&gather(&source.package.dir.under(source.project))?, source.package)?;
    let indexes = Indexes::new(folder)?;
    let pins = hash_all(&files, &indexes, cancel, progress)?;
    let mut entries: Vec<FileEntry> = files
        .iter()
        .zip(&pins)
        .map(|(file, pin)| FileEntry {
            path: file.path.clone(),
            pin: *pin,
            class: file.class,
            variant: file.variant.clone(),
            pack: None,
            chunks: indexes.of(pin),
        })
        .collect();
    let room = Drafts::new(folder)?;
    let drafts = draft(&room, &files, &entries, cancel)?;
    let packs = draw(&drafts, &mut entries);
    let (bytes, lists) = state_release(&state.registrar.registry, source, &entries, packs);
    let statement = Statement::parse(&bytes)?;
    crate::registry::check_version(folder, &state, &statement, &Sha256::of(&bytes))?;
    let mut new_blobs = 0;
    for (file, entry) in files.iter().zip(&entries).filter(|(_, entry)| entry.pack.is_none()) {
        new_blobs += u64::from(place(folder, &room, &file.file, &entry.pin, cancel)?);
    }
    for pack in drafts {
        new_blobs += u64::from(pack.place(folder)?);
    }
    indexes.place(folder, cancel)?;
    for list in &lists {
        place_bytes(folder, list)?;
    }
    let submitted = submit(folder, &state, &bytes, &[signer])?;
    Ok(Published {
        statement: Sha256::of(&bytes),
        submitted,
        files: entries.len() as u64,
        bytes: statement.total_size(),
        new_blobs,
    })
}

/// The statement's bytes, and the file lists that it needs.
fn state_release(
    registry: &RegistryId,
    source: &Source<'_>,
    entries: &[FileEntry],
    packs: Vec<Pin>,
) -> (Vec<u8>, Vec<Vec<u8>>) {
    let package = source.package;
    let mut dependencies = source.facts.dependencies.clone();
    dependencies.sort_by(|a, b| (a.kind, &a.name, &a.registry).cmp(&(b.kind, &b.name, &b.registry)));
    let mut trained_on = source.facts.trained_on.clone();
    trained_on.sort_by(|a, b| (&a.registry, &a.name, &a.version).cmp(&(&b.registry, &b.name, &b.version)));
    let mut statement = Statement {
        registry: registry.clone(),
        name: package.name.clone(),
        version: package.version.clone(),
        kind: package.kind,
        description: package.description.clone(),
        licence: package.license.clone().map(|expression| Licence { expression, text: licence_text(entries) }),
        default_variant: package.default_variant.clone(),
        variants: package
            .variants
            .iter()
            .map(|(name, variant)| {
                let properties = Variant {
                    format: variant.format.clone(),
                    precision: variant.precision.clone(),
                    quantization: variant.quantization.clone(),
                };
                (name.clone(), properties)
            })
            .collect(),
        files: Files::Inline(Vec::new()),
        dependencies,
        base_model: source.facts.base_model.clone(),
        trained_on,
        packs,
        upstream: None,
    };
    if entries.len() <= MAX_INLINE_FILES {
        statement.files = Files::Inline(entries.to_vec());
        let bytes = statement.render();
        // Long paths can fill a statement before there are a thousand.
        if bytes.len() as u64 <= MAX_STATEMENT {
            return (bytes, Vec::new());
        }
    }
    let (pins, lists): (Vec<ListPin>, Vec<Vec<u8>>) = lists(entries).into_iter().unzip();
    statement.files = Files::Lists(pins);
    (statement.render(), lists)
}

/// Cuts entries into file lists that stay below the limit.
fn lists(entries: &[FileEntry]) -> Vec<(ListPin, Vec<u8>)> {
    let mut cut = Vec::new();
    let (mut start, mut size) = (0, 0_u64);
    for (index, entry) in entries.iter().enumerate() {
        let line = render_list(std::slice::from_ref(entry)).len() as u64;
        if size + line > MAX_LIST {
            cut.push(entries.get(start..index).unwrap_or_default());
            (start, size) = (index, 0);
        }
        size += line;
    }
    cut.push(entries.get(start..).unwrap_or_default());
    cut.into_iter()
        .map(|chunk| {
            let bytes = render_list(chunk);
            let sum = chunk.iter().fold(0_u64, |sum, entry| sum.saturating_add(entry.pin.size));
            let pin = Pin::of(&bytes);
            (ListPin { pin, count: chunk.len() as u64, bytes: sum }, bytes)
        })
        .collect()
}

/// The licence's text, where the release carries exactly one at its top.
fn licence_text(entries: &[FileEntry]) -> Option<Sha256> {
    let is_text = |entry: &&FileEntry| {
        let name = entry.path.as_str().to_ascii_lowercase();
        entry.variant.is_none()
            && matches!(name.split('.').next(), Some("license" | "licence" | "copying"))
            && !name.contains('/')
    };
    let mut texts = entries.iter().filter(is_text);
    match (texts.next(), texts.next()) {
        (Some(one), None) => Some(one.pin.sha256),
        _ => None,
    }
}
