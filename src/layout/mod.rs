//! The same files placed again, as another tool expects them (docs/formats/layouts.md).
//!
//! Pure: a selection in, placements out. A file of a layout is either one of the selection, named by its place there, or
//! small bytes that are made here: `install` looks the former up in what was cleared, so that nothing which policy refused
//! comes in through a layout. Refuses to know the disk and how files are linked.

mod error;
mod huggingface;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::lock::Lock;
use crate::manifest::{LayoutDeclaration, LayoutKind};
use crate::model::{PathSet, Pin, RelPath, Sha256};
use crate::select::{Contents, Selected};

pub use error::LayoutError;

/// A layout: folders that belong to it, below one root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// Which.
    pub kind: LayoutKind,
    /// Its root, relative to the project.
    pub root: RelPath,
    /// Its folders, sorted.
    pub folders: Vec<LaidFolder>,
}

/// One folder of a layout: what other tools take for one model or dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaidFolder {
    /// What it is, in messages: the layout and the name under which the other tool finds it.
    pub id: String,
    /// The folder, relative to the project.
    pub folder: RelPath,
    /// Its files, by path in the project.
    pub files: BTreeMap<RelPath, Content>,
}

/// The bytes of a file of a layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Those of a file of the selection.
    Selected {
        /// The place of its package in the selection.
        package: usize,
        /// The place of the file in the package.
        file: usize,
    },
    /// Made for the layout.
    Made(Vec<u8>),
}

impl Layout {
    /// The files that are made for it: they go into the store like all that is placed.
    pub fn made(&self) -> impl Iterator<Item = &[u8]> {
        self.folders.iter().flat_map(|folder| folder.files.values()).filter_map(|content| match content {
            Content::Made(bytes) => Some(bytes.as_slice()),
            Content::Selected { .. } => None,
        })
    }

    /// Digests of what is made for it.
    pub fn made_digests(&self) -> impl Iterator<Item = Sha256> {
        self.made().map(Sha256::of)
    }
}

impl Content {
    /// What the bytes are; none: the selection does not have the file.
    pub fn pin(&self, selected: &Selected) -> Option<Pin> {
        match self {
            Self::Selected { package, file } => Some(selected.packages().get(*package)?.files.get(*file)?.pin),
            Self::Made(bytes) => Some(Pin::of(bytes)),
        }
    }
}

/// The root of a layout: the folder that Model.toml names, else the usual one.
pub fn root(declaration: &LayoutDeclaration) -> RelPath {
    declaration.to.clone().unwrap_or_else(|| usual_root(declaration.kind))
}

#[expect(clippy::expect_used, reason = "constant words are safe paths")]
fn usual_root(kind: LayoutKind) -> RelPath {
    let path = match kind {
        LayoutKind::HuggingFace => ".mpm/hf",
    };
    RelPath::parse(path).expect("constant words are a safe path")
}

/// Lays a selection out.
///
/// # Errors
/// `E0781` to `E0784`: dependencies that would lie in one place with different bytes, paths that can't live side by side or
/// are too long, a revision that would mean two things.
pub fn lay_out(
    declarations: &[LayoutDeclaration],
    lock: &Lock,
    contents: &Contents,
    selected: &Selected,
) -> Result<Vec<Layout>, LayoutError> {
    let mut layouts = Vec::new();
    for declaration in declarations {
        let root = root(declaration);
        apart(declaration.kind, &root, selected)?;
        let folders = match declaration.kind {
            LayoutKind::HuggingFace => huggingface::folders(&root, lock, contents, selected)?,
        };
        layouts.push(Layout { kind: declaration.kind, root, folders });
    }
    Ok(layouts)
}

/// A layout's root is no package's folder, holds none and lies in none.
fn apart(kind: LayoutKind, root: &RelPath, selected: &Selected) -> Result<(), LayoutError> {
    let mut folders = PathSet::new();
    let clash = |source| LayoutError::Clash { layout: kind.as_str(), path: root.to_string(), source };
    folders.insert(root).map_err(clash)?;
    selected.packages().iter().try_for_each(|package| folders.insert(&package.folder).map_err(clash))
}
