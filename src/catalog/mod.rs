//! What an index says exists: tree nodes, package logs, and the snapshot that the resolver reads.
//!
//! Pure: bytes in, values out (docs/formats/index.md). Refuses to know keys, places and time.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

mod log;
mod snapshot;
#[cfg(test)]
mod tests;
mod tree;

pub use log::{Admitted, LogError, MAX_EVENTS, MAX_LOG, MAX_LOG_LINE, PackageLog, ReleaseEvent, YankAction, YankEvent};
pub use snapshot::{ListedRelease, Listing, Snapshot};
pub use tree::{
    BuiltTree, MAX_LEAF_KEYS, MAX_NODE, NamespaceLeaf, Node, PackageLeaf, TreeError, build_namespaces, build_packages,
    key_of,
};
