//! Bundles: a part of a registry in one file, in volumes of a size that a medium takes, or in a folder.
//!
//! Owns the container (docs/formats/bundle.md): its table, where each entry lies, how it is written and read. Refuses to know
//! what the entries mean: `index` reads files of a registry out of it, `fetch` blobs, and `mirror` makes and takes bundles. Vouches
//! for nothing: a bundle comes on a medium that anybody may have had, and whoever reads it checks what comes out.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

mod error;
mod parse;
mod place;
mod read;
mod table;
mod write;

use std::path::Path;

pub use error::BundleError;
pub use parse::TableError;
pub use read::{Bundle, Damage};
pub use table::{Blob, FileEntry, Head, Since, Table};
pub use write::{Shape, Source, Sources, write};

/// How the name of a bundle ends: an address of an index that ends so is one.
pub const SUFFIX: &str = ".mpmb";

/// Whether a path names a bundle, by its name alone.
pub fn is_named(path: &Path) -> bool {
    path.extension().is_some_and(|found| found == "mpmb")
}

/// Whether what lies at a path is meant as a bundle: by its name, because it is a file, or a folder with a bundle's table.
pub fn is_meant(path: &Path) -> bool {
    is_named(path) || path.is_file() || path.join(read::FOLDER_TABLE).is_file()
}
