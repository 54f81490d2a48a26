//! The cache of the Hugging Face hub's clients: snapshots of the same files under the names that code asks for.
//!
//! `models--org--name/` or `datasets--org--name/` with `refs/<revision>`, `snapshots/<commit>/<path>` and
//! `trees/<commit>.json`. There are no blobs: a snapshot may hold the files themselves.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::layout::{Content, LaidFolder, LayoutError};
use crate::lock::Lock;
use crate::manifest::LayoutKind;
use crate::model::{PackageKind, PathSet, Pin, RelPath, Version, hub_cache_folder};
use crate::select::{Contents, Origin, Selected, SelectedPackage};

/// The revision that code means when it names none.
const MAIN: &str = "main";
/// Hex digits of a commit.
const COMMIT: usize = 40;
/// The version of `trees/<commit>.json`.
const TREE_VERSION: u32 = 1;

/// A repository as the hub's clients know it.
type Repository = (PackageKind, String);

/// Who `refs/main` belongs to, and who is first where two lay the same: the smallest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// A source that asked the hub for `main`.
    Main,
    /// Another source of the hub.
    Source,
    /// A release that the project asked for; one that has the name itself, then the highest version first.
    Direct(Name, Reverse<Version>),
    /// A release that only others need.
    Needed(Name, Reverse<Version>),
}

/// Whose name it is under which a release lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Name {
    /// Its own, which its registry gave to its publisher.
    Own,
    /// That of a repository of the hub, as its publisher says.
    Upstream,
}

/// One package under the name that code asks for.
#[derive(Debug)]
struct Named<'a> {
    /// The place in the selection.
    at: usize,
    package: &'a SelectedPackage,
    rank: Rank,
    commit: String,
    /// What leads there besides `main`.
    revision: Option<String>,
}

impl Named<'_> {
    fn who(&self) -> String {
        who(self.package)
    }

    fn is_source(&self) -> bool {
        matches!(self.rank, Rank::Main | Rank::Source)
    }
}

fn who(package: &SelectedPackage) -> String {
    package.key.as_ref().map_or_else(|| package.origin.to_string(), ToString::to_string)
}

/// The folders of all repositories that the selection holds. Folders of the project's own (`path`) have no name that code
/// could ask for, and are left out.
pub(super) fn folders(
    root: &RelPath,
    lock: &Lock,
    contents: &Contents,
    selected: &Selected,
) -> Result<Vec<LaidFolder>, LayoutError> {
    let mut repositories: BTreeMap<Repository, Vec<Named<'_>>> = BTreeMap::new();
    for (at, package) in selected.packages().iter().enumerate() {
        if let Some((repository, named)) = name(at, package, lock, contents) {
            repositories.entry(repository).or_default().push(named);
        }
    }
    let mut distinct = PathSet::new();
    let mut folders = Vec::new();
    for (repository, mut named) in repositories {
        named.sort_by_cached_key(|named| (named.rank.clone(), named.who()));
        let laid = folder(root, selected, &repository, &named)?;
        distinct.insert(&laid.folder).map_err(|source| clash(&laid.folder, source))?;
        folders.push(laid);
    }
    folders.sort_by(|left, right| left.folder.cmp(&right.folder));
    Ok(folders)
}

/// The repository, commit and revisions of a package; none for what has no name on a hub.
fn name<'a>(
    at: usize,
    package: &'a SelectedPackage,
    lock: &Lock,
    contents: &Contents,
) -> Option<(Repository, Named<'a>)> {
    match &package.origin {
        Origin::Source(id) => {
            let (hub, commit) = (id.hub()?, lock.sources.get(id)?.commit()?);
            let asked = hub.revision.as_str();
            let named = Named {
                at,
                package,
                rank: if asked == MAIN { Rank::Main } else { Rank::Source },
                commit: commit.to_string(),
                revision: hub.revision.commit().is_none().then(|| asked.to_owned()),
            };
            Some(((hub.kind, hub.repository.to_string()), named))
        }
        Origin::Release(id) => {
            let version = Reverse(id.version.clone());
            let upstream = contents.releases.get(id).and_then(|(statement, _)| statement.upstream.as_ref());
            let (whose, repository, commit) = if let Some(upstream) = upstream {
                (Name::Upstream, upstream.repository.to_string(), upstream.commit.to_string())
            } else {
                let digest = lock.packages.get(id)?.statement.sha256;
                (Name::Own, id.package.name.to_string(), shortened(&digest.hex()))
            };
            let named = Named {
                at,
                package,
                rank: if package.key.is_some() { Rank::Direct(whose, version) } else { Rank::Needed(whose, version) },
                commit,
                revision: Some(id.version.to_string()),
            };
            Some(((package.kind, repository), named))
        }
    }
}

fn shortened(hex: &str) -> String {
    hex.chars().take(COMMIT).collect()
}

/// One repository's folder; who is named stands in order of rank.
fn folder(
    root: &RelPath,
    selected: &Selected,
    (kind, repository): &Repository,
    named: &[Named<'_>],
) -> Result<LaidFolder, LayoutError> {
    let shown = match kind {
        PackageKind::Model => repository.clone(),
        PackageKind::Dataset => format!("datasets/{repository}"),
    };
    let of = named.first().map(Named::who).unwrap_or_default();
    let folder = below(root, &hub_cache_folder(*kind, repository), &of)?;
    let mut files = BTreeMap::new();
    for (revision, commit) in refs(&shown, named)? {
        let path = below(&folder, &format!("refs/{revision}"), &of)?;
        // Clients read the whole file: no line end.
        files.insert(path, Content::Made(commit.into_bytes()));
    }
    let commits: BTreeSet<&str> = named.iter().map(|named| named.commit.as_str()).collect();
    for commit in commits {
        let snapshot = snapshot(&shown, commit, named)?;
        let tree = tree(selected, &snapshot);
        files.insert(below(&folder, &format!("trees/{commit}.json"), &of)?, Content::Made(tree));
        for (path, (content, who)) in snapshot {
            files.insert(below(&folder, &format!("snapshots/{commit}/{path}"), &who)?, content);
        }
    }
    let mut distinct = PathSet::new();
    for path in files.keys() {
        distinct.insert(path).map_err(|source| clash(&folder, source))?;
    }
    Ok(LaidFolder { id: format!("{}:{shown}", LayoutKind::HuggingFace.as_str()), folder, files })
}

/// Which revision leads to which commit. `main` leads somewhere always: most code names no revision.
fn refs(repository: &str, named: &[Named<'_>]) -> Result<BTreeMap<String, String>, LayoutError> {
    let mut refs: BTreeMap<String, &Named<'_>> = BTreeMap::new();
    if let Some(first) = named.first() {
        refs.insert(MAIN.to_owned(), first);
    }
    for named in named {
        let Some(revision) = &named.revision else { continue };
        let holder = *refs.entry(revision.clone()).or_insert(named);
        // What the hub says a tag is goes before a release that happens to be called the same.
        if holder.commit != named.commit && !holder.is_source() {
            return Err(LayoutError::Ambiguous {
                repository: repository.to_owned(),
                revision: revision.clone(),
                first: holder.who(),
                second: named.who(),
            });
        }
    }
    Ok(refs.into_iter().map(|(revision, named)| (revision, named.commit.clone())).collect())
}

/// The files of one commit: of all that is locked there, each path once.
fn snapshot(
    repository: &str,
    commit: &str,
    named: &[Named<'_>],
) -> Result<BTreeMap<RelPath, (Content, String)>, LayoutError> {
    let mut files: BTreeMap<RelPath, (Content, Pin, &Named<'_>)> = BTreeMap::new();
    for named in named.iter().filter(|named| named.commit == commit) {
        for (at, file) in named.package.files.iter().enumerate() {
            let content = Content::Selected { package: named.at, file: at };
            let (_, pin, first) = files.entry(file.path.clone()).or_insert((content, file.pin, named));
            if *pin != file.pin {
                return Err(LayoutError::Differs {
                    repository: repository.to_owned(),
                    commit: commit.to_owned(),
                    path: file.path.to_string(),
                    first: first.who(),
                    second: named.who(),
                });
            }
        }
    }
    Ok(files.into_iter().map(|(path, (content, _, named))| (path, (content, named.who()))).collect())
}

#[derive(Serialize)]
struct Tree<'a> {
    format_version: u32,
    files: BTreeMap<&'a str, TreeFile>,
}

#[derive(Serialize)]
struct TreeFile {
    size: u64,
    blob_id: String,
    lfs_sha256: String,
    lfs_size: u64,
}

/// What a client of the hub takes for the list of all files of a commit. It holds exactly those that are there: of a list
/// with more, clients say offline that the snapshot is incomplete.
fn tree(selected: &Selected, snapshot: &BTreeMap<RelPath, (Content, String)>) -> Vec<u8> {
    let files = snapshot.iter().filter_map(|(path, (content, _))| {
        let pin = content.pin(selected)?;
        let sha256 = pin.sha256.hex();
        let file = TreeFile { size: pin.size, blob_id: shortened(&sha256), lfs_sha256: sha256, lfs_size: pin.size };
        Some((path.as_str(), file))
    });
    // Strings and integers serialize without failing.
    serde_json::to_vec(&Tree { format_version: TREE_VERSION, files: files.collect() }).unwrap_or_default()
}

fn below(folder: &RelPath, path: &str, of: &str) -> Result<RelPath, LayoutError> {
    RelPath::parse(path).and_then(|path| folder.join(&path)).map_err(|source| place(path, of, source))
}

fn place(path: &str, of: &str, source: crate::model::PathError) -> LayoutError {
    LayoutError::Place {
        layout: LayoutKind::HuggingFace.as_str(),
        of: of.to_owned(),
        path: path.chars().take(200).collect(),
        source,
    }
}

fn clash(folder: &RelPath, source: crate::model::PathError) -> LayoutError {
    LayoutError::Clash { layout: LayoutKind::HuggingFace.as_str(), path: folder.to_string(), source }
}
