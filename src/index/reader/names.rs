//! Names of an index: its leaves, walked as far as is reasonable.
//!
//! A key is a hash of its name, so a walk that stops early has seen an even sample, and knows how large a part it is.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::{MAX_NODE, Node};
use crate::index::reader::Registry;
use crate::index::reader::source::Pinned;
use crate::index::{Freshness, IndexError};
use crate::manifest::IndexAddress;
use crate::model::{PackageName, Sha256};

/// Nodes that are asked for at once.
const BATCH: usize = 64;
/// The whole of the names.
const WHOLE: u64 = 1 << 40;

/// How far to walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// At most so many nodes.
    Nodes(usize),
    /// Every node.
    All,
}

/// Names that were seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// The names, as published.
    pub names: BTreeSet<PackageName>,
    /// How many in a thousand of all names these are; 1000: all.
    pub permille: u64,
}

impl Registry {
    /// Whether its nodes are on this machine, so that a walk over all of them is cheap.
    pub fn is_near(&self) -> bool {
        // A git index was fetched whole.
        !matches!(self.address, IndexAddress::Sparse(_))
    }

    /// Names in the index, as far as `extent` allows.
    ///
    /// # Errors
    /// A node that can't be had, or that is not what was pinned.
    pub fn names(&self, extent: Extent) -> Result<Names, IndexError> {
        let mut found = Names::default();
        let mut left = match extent {
            Extent::Nodes(most) => most,
            Extent::All => usize::MAX,
        };
        let mut covered = 0_u64;
        let mut level = BTreeMap::from([(String::new(), self.state.checkpoint.packages)]);
        while !level.is_empty() && left > 0 {
            let take = level.len().min(left).min(BATCH);
            let rest = level.keys().nth(take).cloned().map(|key| level.split_off(&key)).unwrap_or_default();
            let now = std::mem::replace(&mut level, rest);
            left -= now.len();
            let pins: Vec<Pinned> = now.values().map(node).collect();
            let bytes = self.source.pinned(&pins)?;
            for ((prefix, digest), bytes) in now.into_iter().zip(bytes) {
                covered += self.walk_node((&prefix, &digest), &bytes, &mut found.names, &mut level)?;
            }
        }
        found.permille = if level.is_empty() { 1000 } else { (covered * 1000 / WHOLE).min(999) };
        Ok(found)
    }

    /// Names in nodes that are on this machine already; what is not here is left out, without a word. Opens no socket
    /// where the client is offline.
    pub fn names_at_hand(&self, most: usize) -> BTreeSet<PackageName> {
        let mut names = BTreeSet::new();
        let mut level = BTreeMap::from([(String::new(), self.state.checkpoint.packages)]);
        for _ in 0..most {
            let Some((prefix, digest)) = level.pop_first() else { break };
            let got = self.source.get(&node(&digest).path, MAX_NODE, Freshness::Immutable);
            let Ok(Some(bytes)) = got else { continue };
            if Sha256::of(&bytes) == digest {
                // A node that is wrong says nothing; the commands that rely on it will say so.
                let _ = self.walk_node((&prefix, &digest), &bytes, &mut names, &mut level);
            }
        }
        names
    }

    /// Takes one node: the names of a leaf, or its children for later. Returns how much of the whole it settles.
    fn walk_node(
        &self,
        (prefix, digest): (&str, &Sha256),
        bytes: &[u8],
        names: &mut BTreeSet<PackageName>,
        level: &mut BTreeMap<String, Sha256>,
    ) -> Result<u64, IndexError> {
        let refused = |source| IndexError::Tree {
            registry: self.id().clone(),
            path: node(digest).path,
            source: Box::new(source),
        };
        let share =
            |digits: usize| u32::try_from(digits * 4).ok().and_then(|bits| WHOLE.checked_shr(bits)).unwrap_or(0);
        match Node::parse_packages(bytes, prefix).map_err(refused)? {
            Node::Leaf(lines) => {
                names.extend(lines.into_iter().map(|leaf| leaf.name));
                Ok(share(prefix.len()))
            }
            Node::Inner(children) => {
                let absent = 16_u64.saturating_sub(children.len() as u64);
                for (digit, child) in children {
                    level.insert(format!("{prefix}{digit:x}"), child);
                }
                Ok(absent * share(prefix.len() + 1))
            }
        }
    }
}

fn node(digest: &Sha256) -> Pinned {
    Pinned { path: format!("tree/{digest}"), sha256: *digest, cap: MAX_NODE }
}
