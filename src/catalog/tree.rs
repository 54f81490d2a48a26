//! Nodes of the two hash trees: packages and namespaces.

use std::collections::BTreeMap;

use crate::diagnose::{Class, Code, Diagnose};
use crate::model::{Namespace, PackageName, Pin, Sha256};

/// Most keys in a leaf.
pub const MAX_LEAF_KEYS: usize = 64;
/// Largest node, in bytes.
pub const MAX_NODE: u64 = 64 * 1024;

/// A package's line in a leaf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageLeaf {
    /// The name as published.
    pub name: PackageName,
    /// The pinned prefix of its log.
    pub log: Pin,
    /// Its advisory list, if any.
    pub advisories: Option<Pin>,
}

/// A namespace's line in a leaf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamespaceLeaf {
    /// The namespace.
    pub namespace: Namespace,
    /// Digest of its entry.
    pub entry: Sha256,
}

/// A verified node: a leaf of `L`, or digits with the digests of their nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node<L> {
    /// At most 64 keys begin with the prefix.
    Leaf(Vec<L>),
    /// Hex digit (0 to 15) to child.
    Inner(BTreeMap<u8, Sha256>),
}

/// Why bytes are not the node that was asked for.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// Placeholder variant; the room's owner replaces it.
    #[error("placeholder")]
    Placeholder,
}

impl Diagnose for TreeError {
    fn code(&self) -> Code {
        Code("E0212")
    }
    fn class(&self) -> Class {
        Class::Trust
    }
}

/// The tree key of a normalised name.
pub fn key_of(normalised: &str) -> Sha256 {
    Sha256::of(normalised.as_bytes())
}

impl Node<PackageLeaf> {
    /// Parses the package tree's node for `prefix` (hex digits, empty at the root).
    ///
    /// # Errors
    /// A wrong prefix, unsorted or duplicate lines, keys outside the prefix, names equal when normalised.
    pub fn parse_packages(bytes: &[u8], prefix: &str) -> Result<Self, TreeError> {
        todo!()
    }
}

impl Node<NamespaceLeaf> {
    /// Parses the namespace tree's node for `prefix`.
    ///
    /// # Errors
    /// As for packages.
    pub fn parse_namespaces(bytes: &[u8], prefix: &str) -> Result<Self, TreeError> {
        todo!()
    }
}

/// A whole tree made from its entries: its shape is a function of the set of names alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuiltTree {
    /// Digest of the root node.
    pub root: Sha256,
    /// Every node by its digest.
    pub nodes: BTreeMap<Sha256, Vec<u8>>,
}

/// Builds the package tree.
///
/// # Errors
/// Two names that are equal when normalised.
pub fn build_packages(entries: &[PackageLeaf]) -> Result<BuiltTree, TreeError> {
    todo!()
}

/// Builds the namespace tree.
///
/// # Errors
/// Two names that are equal when normalised.
pub fn build_namespaces(entries: &[NamespaceLeaf]) -> Result<BuiltTree, TreeError> {
    todo!()
}
