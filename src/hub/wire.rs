//! Shapes of the hub's answers. Fields that nobody reads here may come and go.

use serde::Deserialize;

use crate::hub::{HubError, HubFile, HubIdentity, strange};
use crate::model::{GitBlobId, HubCommit, HubId, Pin, RelPath, Sha256};

#[derive(Deserialize)]
struct Info {
    sha: Option<String>,
}

#[derive(Deserialize)]
struct Entry {
    r#type: String,
    path: String,
    #[serde(default)]
    size: u64,
    oid: Option<String>,
    lfs: Option<Large>,
}

#[derive(Deserialize)]
struct Large {
    // The hub says `oid`; older answers and some stand-ins say `sha256`.
    #[serde(alias = "sha256")]
    oid: String,
    size: u64,
}

/// The commit that an answer about a revision names.
///
/// # Errors
/// `E0674`: it is no such answer.
pub fn parse_commit(id: &HubId, body: &[u8]) -> Result<HubCommit, HubError> {
    let info: Info = read(id, body)?;
    let sha = info.sha.ok_or_else(|| strange(id, "it names no commit"))?;
    HubCommit::parse(&sha).map_err(|error| strange(id, &error.to_string()))
}

/// The files of one page of a listing.
///
/// # Errors
/// `E0674`: it is no listing; `E0675`: a path that can't be placed.
pub fn parse_tree(id: &HubId, body: &[u8]) -> Result<Vec<HubFile>, HubError> {
    let entries: Vec<Entry> = read(id, body)?;
    let mut files = Vec::with_capacity(entries.len());
    for entry in entries.into_iter().filter(|entry| entry.r#type == "file") {
        let path = RelPath::parse(&entry.path).map_err(|source| HubError::Path { id: id.clone(), source })?;
        let wrong = |problem: &str| strange(id, &format!("{:?} {problem}", path.as_str()));
        let identity = match (entry.lfs, entry.oid) {
            (Some(large), _) => {
                let sha256 = Sha256::parse(&large.oid).map_err(|_| wrong("has no sha256"))?;
                HubIdentity::Large(Pin { sha256, size: large.size })
            }
            (None, Some(oid)) => {
                let git = GitBlobId::parse(&oid).map_err(|_| wrong("has no git id"))?;
                HubIdentity::Small { size: entry.size, git }
            }
            (None, None) => return Err(wrong("has neither a sha256 nor a git id")),
        };
        files.push(HubFile { path, identity });
    }
    Ok(files)
}

/// The query of the next page, from a `Link` header (RFC 8288). Only its query is taken: where the next page lies is not
/// for an answer to say.
pub fn next_query(link: &str) -> Option<String> {
    link.split(',').find_map(|link| {
        let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
        let is_next = parameters.split(';').any(|parameter| {
            let parameter = parameter.trim().to_ascii_lowercase();
            parameter == "rel=next" || parameter == "rel=\"next\""
        });
        let query = target.split_once('?')?.1.split('#').next()?;
        (is_next && !query.is_empty()).then(|| query.to_owned())
    })
}

fn read<'b, T: Deserialize<'b>>(id: &HubId, body: &'b [u8]) -> Result<T, HubError> {
    serde_json::from_slice(body).map_err(|error| {
        let start = body.trim_ascii_start();
        if start.first() == Some(&b'<') {
            strange(id, "it is a web page")
        } else {
            strange(id, &format!("it is not the JSON that was expected: {error}"))
        }
    })
}
