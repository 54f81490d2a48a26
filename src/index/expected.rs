//! What a run will need of a registry before it can know where that is verified: asked for ahead, so that a server far away
//! costs a few round trips and not one for each file. It says nothing about what is believed.

use std::collections::BTreeSet;

use crate::index::reader::log_path;
use crate::index::{Freshness, Opening};
use crate::model::{Fingerprint, PackageName, Pin, PublicKey};
use crate::statement::MAX_STATEMENT;
use crate::trust::{MAX_CHECKPOINT, MAX_REGISTRAR, MAX_ROOT};

/// Most packages that are asked for ahead: more come in parallel anyway, once they are looked up.
const MOST: usize = 64;
/// Largest signature file, in bytes.
pub(super) const MAX_SIGNATURE: u64 = 8 * 1024;
/// How much of a log is read ahead, in bytes.
const MAX_AHEAD: u64 = 256 << 10;

/// A file that will be asked for: its path, the most bytes that are taken, and how fresh it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ahead {
    /// The path in the index.
    pub path: String,
    /// Bytes.
    pub cap: u64,
    /// Whether a copy will do.
    pub freshness: Freshness,
}

impl Ahead {
    pub(super) fn fixed(path: String, cap: u64) -> Self {
        Self { path, cap, freshness: Freshness::Immutable }
    }
}

/// What a run expects to need: packages by name, and of those in a lock the statements with their signers.
#[derive(Debug, Clone, Default)]
pub struct Expected {
    /// Names that will be looked up.
    pub packages: BTreeSet<PackageName>,
    /// Statements that a lock pins, and who signed them.
    pub statements: Vec<(Pin, BTreeSet<Fingerprint>)>,
}

impl Expected {
    /// Files that can be asked for before anything of the registry is known: roots after `root`, which is 0 where none is
    /// known, the head, logs and statements.
    pub(super) fn at_once(&self, opening: &Opening, root: u64) -> Vec<Ahead> {
        let checkpoint =
            Ahead { path: "checkpoint.json".to_owned(), cap: MAX_CHECKPOINT, freshness: Freshness::Revalidate };
        let mut all = vec![checkpoint];
        let first = root.saturating_add(1);
        for number in first..=first.max(2) {
            all.push(Ahead::fixed(format!("trust/root/{number}.json"), MAX_ROOT));
        }
        if let Some(floor) = opening.floor {
            all.push(Ahead::fixed(registrar_path(floor.registrar), MAX_REGISTRAR));
        }
        let logs = self.packages.iter().take(MOST).map(|name| Ahead::fixed(log_path(name), MAX_AHEAD));
        all.extend(logs);
        for (pin, signers) in self.statements.iter().take(MOST) {
            let path = format!("releases/{}.json", pin.sha256);
            let signature = |key: &Fingerprint| Ahead::fixed(signature_path(&path, key), MAX_SIGNATURE);
            all.extend(signers.iter().map(signature));
            all.push(Ahead::fixed(path, pin.size.min(MAX_STATEMENT)));
        }
        all
    }
}

/// Where the registrar file of a number lies.
pub(super) fn registrar_path(number: u64) -> String {
    format!("trust/registrar/{number}.json")
}

/// Where the signature of a file by a key lies.
pub(super) fn signature_path(path: &str, key: &Fingerprint) -> String {
    format!("{path}.{}.minisig", key.short())
}

/// The signatures of a file by these keys.
pub(super) fn signatures_of<'k>(
    path: &str,
    keys: impl IntoIterator<Item = &'k PublicKey>,
    freshness: Freshness,
) -> Vec<Ahead> {
    let ahead = |key: &PublicKey| {
        let path = signature_path(path, &key.fingerprint());
        Ahead { path, cap: MAX_SIGNATURE, freshness }
    };
    keys.into_iter().map(ahead).collect()
}
