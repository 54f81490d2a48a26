//! What a client asks of whoever stands in for the hub: the addresses of [`Endpoint`](crate::hub::Endpoint), read.

use crate::model::PackageKind;

/// Longest path of an address that is looked at, in bytes.
const LONGEST: usize = 8_192;

/// A request to a hub, by its path alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// Something of a repository.
    Repository(AskedRepository),
    /// Who the token belongs to.
    WhoAmI,
    /// Something below `/api/` that this side of the protocol does not know.
    Unknown,
}

/// Something of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskedRepository {
    /// Models and datasets have addresses of their own.
    pub kind: PackageKind,
    /// The id, as it was written: one to three parts.
    pub id: String,
    /// What of it.
    pub what: What,
    /// Which part of the path, split at `/`, is the revision; none: the address has none.
    pub revision_at: Option<usize>,
}

/// What is asked of a repository. A revision may hold `/`: it comes as one part of the path, escaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// What it is at a revision.
    Info {
        /// None: `main`.
        revision: Option<String>,
    },
    /// The files at a revision, or of one folder there.
    Tree {
        /// The revision.
        revision: String,
        /// The folder; empty: all.
        folder: String,
    },
    /// What some paths are at a revision.
    Paths {
        /// The revision.
        revision: String,
    },
    /// Its branches and tags.
    Refs,
    /// The bytes of a file.
    File {
        /// The revision.
        revision: String,
        /// The path.
        path: String,
    },
}

impl What {
    /// The revision that is meant.
    pub fn revision(&self) -> Option<&str> {
        match self {
            Self::Info { revision } => revision.as_deref(),
            Self::Tree { revision, .. } | Self::Paths { revision } | Self::File { revision, .. } => Some(revision),
            Self::Refs => None,
        }
    }
}

/// Reads the path of a request, escaped as it came, without a slash at its begin. None: no address of a hub.
pub fn parse_asked(path: &str) -> Option<Asked> {
    if path.len() > LONGEST {
        return None;
    }
    let raw: Vec<&str> = path.split('/').collect();
    let parts: Vec<String> = raw.iter().map(|part| unescape(part)).collect::<Option<_>>()?;
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    match parts.as_slice() {
        ["api", "whoami-v2"] => Some(Asked::WhoAmI),
        ["api", "models", rest @ ..] => Some(of_api(PackageKind::Model, rest)),
        ["api", "datasets", rest @ ..] => Some(of_api(PackageKind::Dataset, rest)),
        ["api", ..] => Some(Asked::Unknown),
        ["datasets", rest @ ..] => of_file(PackageKind::Dataset, rest, 1),
        rest => of_file(PackageKind::Model, rest, 0),
    }
}

/// `<id>[/revision/…|/tree/…|/paths-info/…|/refs]`: the id has two parts where both readings fit.
fn of_api(kind: PackageKind, rest: &[&str]) -> Asked {
    let asked = |id: &[&str], what: What, revision_at: Option<usize>| {
        let revision_at = revision_at.and_then(|at| at.checked_add(2));
        Asked::Repository(AskedRepository { kind, id: id.join("/"), what, revision_at })
    };
    for length in [2, 1, 3] {
        let Some((id, after)) = rest.split_at_checked(length) else { continue };
        if id.iter().any(|part| part.is_empty()) {
            continue;
        }
        let at = length.checked_add(1);
        match after {
            ["revision", revision] => {
                return asked(id, What::Info { revision: Some((*revision).to_owned()) }, at);
            }
            ["tree", revision, folder @ ..] => {
                let folder = folder.join("/").trim_matches('/').to_owned();
                return asked(id, What::Tree { revision: (*revision).to_owned(), folder }, at);
            }
            ["paths-info", revision] => return asked(id, What::Paths { revision: (*revision).to_owned() }, at),
            ["refs"] => return asked(id, What::Refs, None),
            _ => {}
        }
    }
    match rest {
        [name, "refs"] if !name.is_empty() => asked(&[name], What::Refs, None),
        [_] | [_, _] | [_, _, _] if rest.iter().all(|part| !part.is_empty()) => {
            asked(rest, What::Info { revision: None }, None)
        }
        _ => Asked::Unknown,
    }
}

/// `<id>/resolve/<revision>/<path>`, after so many parts that are read already.
fn of_file(kind: PackageKind, rest: &[&str], before: usize) -> Option<Asked> {
    for length in [2, 1, 3] {
        let Some((id, after)) = rest.split_at_checked(length) else { continue };
        let ["resolve", revision, path @ ..] = after else { continue };
        if path.is_empty() || id.iter().any(|part| part.is_empty()) {
            continue;
        }
        let what = What::File { revision: (*revision).to_owned(), path: path.join("/") };
        let revision_at = before.checked_add(length)?.checked_add(1);
        return Some(Asked::Repository(AskedRepository { kind, id: id.join("/"), what, revision_at }));
    }
    None
}

/// A part of a path without its escapes; none: what is escaped is no text.
fn unescape(part: &str) -> Option<String> {
    if !part.contains('%') {
        return Some(part.to_owned());
    }
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let (high, low) = (digit(rest.next())?, digit(rest.next())?);
        bytes.push(high << 4 | low);
    }
    String::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))
}

#[cfg(test)]
mod tests {
    use super::{Asked, What, parse_asked};
    use crate::model::PackageKind::{self, Dataset, Model};

    #[track_caller]
    fn check(path: &str, kind: PackageKind, id: &str, what: &What, revision: Option<&str>) {
        let Some(Asked::Repository(asked)) = parse_asked(path) else { panic!("{path} is of no repository") };
        assert_eq!((asked.kind, asked.id.as_str(), &asked.what), (kind, id, what), "{path}");
        assert_eq!(asked.revision_at.and_then(|at| path.split('/').nth(at)), revision, "{path}");
    }

    #[test]
    fn addresses_of_the_hub_are_read() {
        let info = |revision: Option<&str>| What::Info { revision: revision.map(str::to_owned) };
        let tree =
            |revision: &str, folder: &str| What::Tree { revision: revision.to_owned(), folder: folder.to_owned() };
        let file = |revision: &str, path: &str| What::File { revision: revision.to_owned(), path: path.to_owned() };
        check("api/models/a/b", Model, "a/b", &info(None), None);
        check("api/models/gpt2", Model, "gpt2", &info(None), None);
        check("api/models/r/a/b", Model, "r/a/b", &info(None), None);
        check("api/datasets/a/b/revision/main", Dataset, "a/b", &info(Some("main")), Some("main"));
        check(
            "api/datasets/a/b/revision/refs%2Fpr%2F1",
            Dataset,
            "a/b",
            &info(Some("refs/pr/1")),
            Some("refs%2Fpr%2F1"),
        );
        check("api/models/a/b/revision/%5E1.2", Model, "a/b", &info(Some("^1.2")), Some("%5E1.2"));
        check("api/models/gpt2/revision/main", Model, "gpt2", &info(Some("main")), Some("main"));
        check("api/models/r/a/b/tree/1.0.0/x/y", Model, "r/a/b", &tree("1.0.0", "x/y"), Some("1.0.0"));
        check("api/models/a/b/tree/main", Model, "a/b", &tree("main", ""), Some("main"));
        check("api/models/a/b/tree/main/", Model, "a/b", &tree("main", ""), Some("main"));
        check("api/models/a/tree/tree/main", Model, "a/tree", &tree("main", ""), Some("main"));
        check(
            "api/models/a/b/paths-info/main",
            Model,
            "a/b",
            &What::Paths { revision: "main".to_owned() },
            Some("main"),
        );
        check("api/models/a/b/refs", Model, "a/b", &What::Refs, None);
        check("api/models/gpt2/refs", Model, "gpt2", &What::Refs, None);
        check("a/b/resolve/main/x/y.json", Model, "a/b", &file("main", "x/y.json"), Some("main"));
        check("gpt2/resolve/main/x", Model, "gpt2", &file("main", "x"), Some("main"));
        check("datasets/a/b/resolve/main/a%20b", Dataset, "a/b", &file("main", "a b"), Some("main"));
        check("r/a/b/resolve/refs%2Fpr%2F1/x", Model, "r/a/b", &file("refs/pr/1", "x"), Some("refs%2Fpr%2F1"));
        assert_eq!(parse_asked("api/whoami-v2"), Some(Asked::WhoAmI));
        for path in
            ["api/spaces/a/b", "api/models", "api/models//b", "api/models/a/b/commits/main", "api/agent-harnesses"]
        {
            assert_eq!(parse_asked(path), Some(Asked::Unknown), "{path}");
        }
        for path in [
            "",
            "checkpoint.json",
            "packages/resolve/x.jsonl",
            "packages/acme/resolve.jsonl",
            "blobs/sha256/ab/abab",
            "a/b/resolve/main",
            "a//resolve/main/x",
            "a/b/c/d/resolve/main/x",
            "a/b/resolve/main/%ff",
            "a/b/resolve/main/%0",
            "a/b/resolve/main/%00",
        ] {
            assert_eq!(parse_asked(path), None, "{path}");
        }
        assert_eq!(parse_asked(&"a/".repeat(9_000)), None);
    }
}
