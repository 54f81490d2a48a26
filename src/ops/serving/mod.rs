//! What `mpm serve` hands to the server: shelves over a registry that lies somewhere, and over the store.
//!
//! A registry is an [`Origin`] for its index and a [`Blobs`] for its blobs: a mirror's folder is one of each, and so is whatever
//! else holds a registry.

mod bringer;
mod bundle;
mod folder;
mod known;
mod pulled;
mod pulling;
mod registry;
mod store;

pub(super) use bundle::{BundleBlobs, BundleIndex};
pub(super) use folder::FolderBlobs;
pub(super) use pulling::{Listed, Pulling};
pub(super) use registry::RegistryShelf;
pub(super) use store::StoreShelf;

use crate::model::Sha256;
use crate::sys::Extents;

/// A place of blobs that can be opened by digest. Nothing is promised of their bytes.
pub(super) trait Blobs: Send + Sync {
    /// Opens a blob; none: it is not here.
    fn open(&self, digest: &Sha256) -> std::io::Result<Option<Extents>>;

    /// The digests of what is here, one after the other, until the visitor says that it is enough.
    fn each(&self, visit: &mut dyn FnMut(Sha256) -> bool) -> std::io::Result<()>;

    /// Takes a blob out whose bytes, opened here, are wrong: whether it is gone from here.
    fn take_out(&self, digest: &Sha256, wrong: &Extents) -> bool;
}
