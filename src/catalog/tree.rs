//! Nodes of the two hash trees: packages and namespaces.

use std::collections::BTreeMap;

use crate::catalog::MAX_LOG;
use crate::diagnose::{Class, Code, Diagnose, Hint};
use crate::model::{Namespace, PackageName, Pin, Sha256};

/// Most keys in a leaf.
pub const MAX_LEAF_KEYS: usize = 64;
/// Largest node, in bytes.
pub const MAX_NODE: u64 = 64 * 1024;
/// Digits of a key, and so of the longest prefix.
const KEY_DIGITS: usize = 64;
const DIGITS: &[u8; 16] = b"0123456789abcdef";

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

/// Why bytes are not the node that was asked for, or entries make no tree.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// Larger than a node may be.
    #[error("a tree node of {found} bytes is larger than {MAX_NODE}")]
    TooLarge {
        /// Bytes found.
        found: u64,
    },
    /// More lines than a node of this kind may have, or none where there must be one.
    #[error("the tree node {prefix:?} has {found} lines, expected at most {limit}")]
    Lines {
        /// The prefix.
        prefix: String,
        /// Lines found.
        found: usize,
        /// Lines allowed.
        limit: usize,
    },
    /// The text is not that of a node.
    #[error("the tree node {prefix:?} is not valid at line {line}: {rule}")]
    Shape {
        /// The prefix that was asked for.
        prefix: String,
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        rule: &'static str,
    },
    /// A node of another place in the tree.
    #[error("the tree node for {expected:?} says that it is for {found:?}")]
    Prefix {
        /// The prefix that was asked for.
        expected: String,
        /// The one that it names, cut to 80 characters.
        found: String,
    },
    /// A name whose key does not begin with the node's prefix.
    #[error("the name {name:?} does not belong into the tree node {prefix:?}")]
    Outside {
        /// The prefix.
        prefix: String,
        /// The name.
        name: String,
    },
    /// Lines that are not sorted; what stands twice is not sorted.
    #[error("the tree node {prefix:?} has {second:?} behind {first:?}: lines are sorted and stand once")]
    Order {
        /// The prefix.
        prefix: String,
        /// The line before.
        first: String,
        /// The line that follows.
        second: String,
    },
    /// Two names that count as equal.
    #[error("the names {first:?} and {second:?} count as equal")]
    Equal {
        /// One.
        first: String,
        /// The other.
        second: String,
    },
}

impl Diagnose for TreeError {
    fn code(&self) -> Code {
        Code(match self {
            Self::Shape { .. } => "E0212",
            Self::Prefix { .. } | Self::Outside { .. } => "E0218",
            Self::Order { .. } | Self::Equal { .. } => "E0219",
            Self::TooLarge { .. } | Self::Lines { .. } => "E0220",
        })
    }
    fn class(&self) -> Class {
        Class::Trust
    }
    fn hints(&self) -> Vec<Hint> {
        vec![Hint::Note("nothing of this index was used or changed".to_owned())]
    }
}

/// The tree key of a normalised name.
pub fn key_of(normalised: &str) -> Sha256 {
    Sha256::of(normalised.as_bytes())
}

/// What a leaf holds: a name that gives the key, and one line of text.
trait Entry: Sized + Clone {
    fn name(&self) -> &str;
    fn normalised(&self) -> String;
    fn render(&self) -> String;
    fn parse(line: &str) -> Result<Self, &'static str>;
}

impl Entry for PackageLeaf {
    fn name(&self) -> &str {
        self.name.as_str()
    }
    fn normalised(&self) -> String {
        self.name.normalised()
    }
    fn render(&self) -> String {
        let advisories = self.advisories.map_or_else(|| "-".to_owned(), |pin| format!("{} {}", pin.size, pin.sha256));
        format!("{} {} {} {advisories}\n", self.name, self.log.size, self.log.sha256)
    }
    fn parse(line: &str) -> Result<Self, &'static str> {
        let mut words = line.split(' ');
        let mut word = || words.next().ok_or("a package line has too few words");
        let name = PackageName::parse(word()?).map_err(|_| "not a package name")?;
        let log = pin(word()?, word()?)?;
        let advisories = match word()? {
            "-" => None,
            size => Some(pin(size, word()?)?),
        };
        if words.next().is_some() {
            return Err("a package line has too many words");
        }
        Ok(Self { name, log, advisories })
    }
}

impl Entry for NamespaceLeaf {
    fn name(&self) -> &str {
        self.namespace.as_str()
    }
    fn normalised(&self) -> String {
        self.namespace.normalised()
    }
    fn render(&self) -> String {
        format!("{} {}\n", self.namespace, self.entry)
    }
    fn parse(line: &str) -> Result<Self, &'static str> {
        let (name, entry) = line.split_once(' ').ok_or("a namespace line has too few words")?;
        let namespace = Namespace::parse(name).map_err(|_| "not a namespace")?;
        Ok(Self { namespace, entry: digest(entry)? })
    }
}

fn digest(text: &str) -> Result<Sha256, &'static str> {
    let bare = text.len() == KEY_DIGITS;
    Sha256::parse(text).ok().filter(|_| bare).ok_or("not a sha256 digest of 64 lowercase hex digits")
}

fn pin(size: &str, sha256: &str) -> Result<Pin, &'static str> {
    let rule = "not a size: decimal digits without leading zeros, at most the largest log";
    let number: u64 = size.parse().map_err(|_| rule)?;
    // Another spelling of the number (`+1`, `01`) would be another node for the same facts.
    if number.to_string() != size || number > MAX_LOG {
        return Err(rule);
    }
    Ok(Pin { sha256: digest(sha256)?, size: number })
}

impl Node<PackageLeaf> {
    /// Parses the package tree's node for `prefix` (hex digits, empty at the root).
    ///
    /// # Errors
    /// A wrong prefix, unsorted or duplicate lines, keys outside the prefix, names equal when normalised.
    pub fn parse_packages(bytes: &[u8], prefix: &str) -> Result<Self, TreeError> {
        parse(bytes, prefix)
    }
}

impl Node<NamespaceLeaf> {
    /// Parses the namespace tree's node for `prefix`.
    ///
    /// # Errors
    /// As for packages.
    pub fn parse_namespaces(bytes: &[u8], prefix: &str) -> Result<Self, TreeError> {
        parse(bytes, prefix)
    }
}

fn parse<L: Entry>(bytes: &[u8], prefix: &str) -> Result<Node<L>, TreeError> {
    let shape = |line, rule| TreeError::Shape { prefix: prefix.to_owned(), line, rule };
    if bytes.len() as u64 > MAX_NODE {
        return Err(TreeError::TooLarge { found: bytes.len() as u64 });
    }
    let text = std::str::from_utf8(bytes).map_err(|_| shape(1, "not UTF-8"))?;
    let text = text.strip_suffix('\n').ok_or_else(|| shape(1, "no final newline"))?;
    let mut lines = text.split('\n');
    let mut header = lines.next().unwrap_or_default().split(' ');
    let (Some("mpm.tree/1"), Some(kind), Some(found), None) =
        (header.next(), header.next(), header.next(), header.next())
    else {
        return Err(shape(1, "the first line is not that of a tree node of version 1"));
    };
    if found != written(prefix) {
        let found = found.chars().take(80).collect();
        return Err(TreeError::Prefix { expected: prefix.to_owned(), found });
    }
    let lines: Vec<&str> = lines.collect();
    for (first, second) in lines.iter().zip(lines.iter().skip(1)) {
        if first >= second {
            let cut = |line: &str| line.chars().take(160).collect();
            return Err(TreeError::Order { prefix: prefix.to_owned(), first: cut(first), second: cut(second) });
        }
    }
    match kind {
        "leaf" => parse_leaf(&lines, prefix).map(Node::Leaf),
        "node" => parse_inner(&lines, prefix).map(Node::Inner),
        _ => Err(shape(1, "a tree node is a leaf or a node")),
    }
}

fn parse_leaf<L: Entry>(lines: &[&str], prefix: &str) -> Result<Vec<L>, TreeError> {
    if lines.len() > MAX_LEAF_KEYS {
        return Err(TreeError::Lines { prefix: prefix.to_owned(), found: lines.len(), limit: MAX_LEAF_KEYS });
    }
    let mut entries: Vec<L> = Vec::with_capacity(lines.len());
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    for (line, text) in lines.iter().zip(2..).map(|(text, line)| (line, text)) {
        let entry = L::parse(text).map_err(|rule| TreeError::Shape { prefix: prefix.to_owned(), line, rule })?;
        let normalised = entry.normalised();
        if !key_of(&normalised).hex().starts_with(prefix) {
            return Err(TreeError::Outside { prefix: prefix.to_owned(), name: entry.name().to_owned() });
        }
        if let Some(first) = seen.insert(normalised, entry.name().to_owned()) {
            return Err(TreeError::Equal { first, second: entry.name().to_owned() });
        }
        entries.push(entry);
    }
    Ok(entries)
}

fn parse_inner(lines: &[&str], prefix: &str) -> Result<BTreeMap<u8, Sha256>, TreeError> {
    let shape = |line, rule| TreeError::Shape { prefix: prefix.to_owned(), line, rule };
    if lines.len() > DIGITS.len() {
        return Err(TreeError::Lines { prefix: prefix.to_owned(), found: lines.len(), limit: DIGITS.len() });
    }
    if lines.is_empty() || prefix.len() >= KEY_DIGITS {
        return Err(shape(1, "a node has at least one child, and its prefix is shorter than a key"));
    }
    let mut children = BTreeMap::new();
    for (text, line) in lines.iter().zip(2..) {
        let (word, child) = text.split_once(' ').ok_or_else(|| shape(line, "a node's line has too few words"))?;
        let value = (0_u8..).zip(DIGITS).find(|(_, digit)| word.as_bytes() == [**digit]);
        let (value, _) = value.ok_or_else(|| shape(line, "not one hex digit"))?;
        if children.insert(value, digest(child).map_err(|rule| shape(line, rule))?).is_some() {
            return Err(shape(line, "a digit stands twice"));
        }
    }
    Ok(children)
}

/// A prefix as nodes write it.
fn written(prefix: &str) -> &str {
    if prefix.is_empty() { "-" } else { prefix }
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
    build(entries)
}

/// Builds the namespace tree.
///
/// # Errors
/// Two names that are equal when normalised.
pub fn build_namespaces(entries: &[NamespaceLeaf]) -> Result<BuiltTree, TreeError> {
    build(entries)
}

fn build<L: Entry>(entries: &[L]) -> Result<BuiltTree, TreeError> {
    let mut by_key: BTreeMap<String, &L> = BTreeMap::new();
    for entry in entries {
        if let Some(first) = by_key.insert(key_of(&entry.normalised()).hex(), entry) {
            return Err(TreeError::Equal { first: first.name().to_owned(), second: entry.name().to_owned() });
        }
    }
    let sorted: Vec<(&str, &L)> = by_key.iter().map(|(key, entry)| (key.as_str(), *entry)).collect();
    let mut nodes = BTreeMap::new();
    let root = build_below(&sorted, "", &mut nodes);
    Ok(BuiltTree { root, nodes })
}

/// Builds the node of a prefix from all entries whose keys begin with it, in key order. Keys are distinct, so that at
/// most one is left at full length and the recursion ends.
fn build_below<L: Entry>(entries: &[(&str, &L)], prefix: &str, nodes: &mut BTreeMap<Sha256, Vec<u8>>) -> Sha256 {
    let mut lines: Vec<String> = Vec::new();
    let kind = if entries.len() <= MAX_LEAF_KEYS {
        lines.extend(entries.iter().map(|(_, entry)| entry.render()));
        "leaf"
    } else {
        let same = |left: &(&str, &L), right: &(&str, &L)| digit(left.0, prefix) == digit(right.0, prefix);
        for child in entries.chunk_by(same) {
            let next = child.first().map_or("", |(key, _)| digit(key, prefix));
            let below = build_below(child, &format!("{prefix}{next}"), nodes);
            lines.push(format!("{next} {below}\n"));
        }
        "node"
    };
    lines.sort_unstable();
    let bytes = format!("mpm.tree/1 {kind} {}\n{}", written(prefix), lines.concat()).into_bytes();
    let digest = Sha256::of(&bytes);
    nodes.insert(digest, bytes);
    digest
}

/// The digit of a key behind a prefix.
fn digit<'k>(key: &'k str, prefix: &str) -> &'k str {
    key.get(prefix.len()..=prefix.len()).unwrap_or_default()
}
