//! Paths of an index: the shapes of docs/formats/index.md, and nothing else.

use crate::model::{PackageName, Sha256};

/// A path that an index may have: no other file of a folder is ever opened for a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexPath {
    text: String,
    kind: PathKind,
}

/// What lies at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathKind {
    /// Roots, registrar files, namespace entries, nodes of trees: they name everything that the registry has.
    Trust,
    /// The head.
    Head,
    /// A log or an advisory list of a package.
    Package(PackageName),
    /// A release statement or a yank record, by its digest.
    Signed(Sha256),
}

/// Longest path that is looked at.
const LONGEST: usize = 512;

impl IndexPath {
    /// Reads a path, without a slash at its begin.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > LONGEST {
            return None;
        }
        let parts: Vec<&str> = text.split('/').collect();
        let json = |name: &str| name.strip_suffix(".json").map(str::to_owned);
        let digest = |name: &str| json(name).and_then(|name| hex(&name));
        let number = |name: &str| json(name).is_some_and(|name| is_number(&name));
        let kind = match parts.as_slice() {
            [name] if unsigned(name) == "checkpoint.json" => PathKind::Head,
            ["checkpoints", name] if digest(unsigned(name)).is_some() => PathKind::Head,
            ["trust", "root" | "registrar", name] if number(unsigned(name)) => PathKind::Trust,
            ["trust", "namespaces", name] if digest(unsigned(name)).is_some() => PathKind::Trust,
            ["tree", name] if hex(name).is_some() => PathKind::Trust,
            ["releases" | "yanks", name] => PathKind::Signed(digest(unsigned(name))?),
            ["packages" | "advisories", namespace, name] => {
                let name = name.strip_suffix(".jsonl")?;
                PathKind::Package(PackageName::parse(&format!("{namespace}/{name}")).ok()?)
            }
            _ => return None,
        };
        Some(Self { text: text.to_owned(), kind })
    }

    /// The path.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What lies there.
    pub fn kind(&self) -> &PathKind {
        &self.kind
    }

    /// Whether the bytes under this name never change.
    pub fn is_immutable(&self) -> bool {
        let lasting =
            matches!(self.kind, PathKind::Trust | PathKind::Signed(_)) || self.text.starts_with("checkpoints/");
        lasting && !self.text.ends_with(".minisig")
    }
}

/// The digest in a blob's path `blobs/sha256/ab/<64 hex>`.
pub(super) fn blob(text: &str) -> Option<Sha256> {
    let rest = text.strip_prefix("blobs/sha256/")?;
    let (shard, name) = rest.split_once('/')?;
    let digest = hex(name)?;
    name.starts_with(shard).then_some(digest).filter(|_| shard.len() == 2)
}

/// A name without the `.<key>.minisig` of a signature.
fn unsigned(name: &str) -> &str {
    let Some(rest) = name.strip_suffix(".minisig") else { return name };
    match rest.rsplit_once('.') {
        Some((before, key)) if !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric()) => before,
        _ => name,
    }
}

fn hex(text: &str) -> Option<Sha256> {
    Sha256::parse(text).ok().filter(|digest| digest.hex() == text)
}

fn is_number(text: &str) -> bool {
    (1..=9).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0')
}

#[cfg(test)]
mod tests {
    use super::{IndexPath, blob};

    #[test]
    fn only_paths_of_an_index_are_read() {
        let digest = "ab".repeat(32);
        for good in [
            "checkpoint.json".to_owned(),
            "checkpoint.json.0123456789abcdef.minisig".to_owned(),
            "trust/root/1.json".to_owned(),
            "trust/root/12.json.0123456789abcdef.minisig".to_owned(),
            format!("tree/{digest}"),
            format!("releases/{digest}.json"),
            format!("yanks/{digest}.json.0123.minisig"),
            format!("trust/namespaces/{digest}.json"),
            "packages/acme/minilm.jsonl".to_owned(),
        ] {
            assert!(IndexPath::parse(&good).is_some(), "{good}");
        }
        for bad in [
            "",
            "copy.json",
            ".mpm-mirror/registry",
            "packages/../checkpoint.json",
            "packages/acme/../../etc/passwd.jsonl",
            "trust/root/01.json",
            "trust/root/x.json",
            "tree/abc",
            "checkpoint.json/x",
            "packages/acme/minilm.jsonl/",
            "/checkpoint.json",
            "checkpoint.json.a/b.minisig",
            "packages/ACME/minilm.jsonl",
        ] {
            assert!(IndexPath::parse(bad).is_none(), "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_path_leaves_its_folder(text in "(packages|advisories|trust|tree|releases|checkpoints?)?[a-z0-9./%_-]{0,90}") {
            if let Some(path) = IndexPath::parse(&text) {
                let parts: Vec<&str> = path.as_str().split('/').collect();
                proptest::prop_assert!(parts.iter().all(|part| !part.is_empty() && *part != "." && *part != ".."));
                proptest::prop_assert!(!text.starts_with(".mpm"));
            }
        }
    }

    #[test]
    fn blobs_have_one_spelling() {
        let digest = "ab".repeat(32);
        assert!(blob(&format!("blobs/sha256/ab/{digest}")).is_some());
        for bad in [
            format!("blobs/sha256/ac/{digest}"),
            format!("blobs/sha256/ab/{}", digest.to_uppercase()),
            format!("blobs/sha256//{digest}"),
            "blobs/sha256/ab/../x".to_owned(),
        ] {
            assert!(blob(&bad).is_none(), "{bad}");
        }
    }
}
