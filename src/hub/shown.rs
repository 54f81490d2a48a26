//! The answers of a hub about one commit: what it is, its tree, some paths of it, its branches and tags.
//!
//! Every file is shown as a large one, by its sha256: clients take that for the name of its bytes, and nobody needs git's own ids.
//! Files stand in order of their paths, so that a folder is a run of them.

#[cfg(test)]
mod tests;

use std::ops::Range;

use serde::Serialize;

use crate::model::{HubCommit, PackageKind, Pin, RelPath, Sha256, Timestamp};

/// Entries of a page of a listing: as many as the hub sends.
pub const PAGE: usize = 1_000;
/// Most files that an answer about a commit lists; who wants more reads the tree.
const MAX_SIBLINGS: usize = 50_000;
/// Bytes of the text that stands in git for a large file, but for the digits of its size.
const POINTER: u64 = 125;
/// Hex digits of one of git's ids.
const OID: usize = 40;

/// A file of a commit.
pub trait Shown {
    /// Its path.
    fn path(&self) -> &RelPath;
    /// Its bytes.
    fn pin(&self) -> &Pin;
}

impl Shown for crate::statement::FileEntry {
    fn path(&self) -> &RelPath {
        &self.path
    }

    fn pin(&self) -> &Pin {
        &self.pin
    }
}

/// A commit, as answers tell of it.
#[derive(Debug, Clone, Copy)]
pub struct CommitWords<'a> {
    /// Model or dataset.
    pub kind: PackageKind,
    /// The repository's id, as it was asked for.
    pub id: &'a str,
    /// The commit.
    pub commit: &'a HubCommit,
    /// When it came to be.
    pub time: Timestamp,
    /// The licence, if the publisher named one.
    pub licence: Option<&'a str>,
    /// One line for people.
    pub description: Option<&'a str>,
}

#[derive(Serialize)]
struct Info<'a> {
    _id: String,
    id: &'a str,
    #[serde(rename = "modelId", skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    author: &'a str,
    sha: &'a str,
    #[serde(rename = "lastModified")]
    last_modified: String,
    #[serde(rename = "createdAt")]
    created_at: String,
    private: bool,
    gated: bool,
    disabled: bool,
    downloads: u64,
    likes: u64,
    tags: Vec<String>,
    #[serde(rename = "cardData", skip_serializing_if = "Option::is_none")]
    card: Option<Card<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    siblings: Vec<Sibling<'a>>,
}

#[derive(Serialize)]
struct Card<'a> {
    license: &'a str,
}

#[derive(Serialize)]
struct Sibling<'a> {
    rfilename: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(rename = "blobId", skip_serializing_if = "Option::is_none")]
    blob: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lfs: Option<SiblingLarge>,
}

#[derive(Serialize)]
struct SiblingLarge {
    sha256: String,
    size: u64,
    #[serde(rename = "pointerSize")]
    pointer: u64,
}

#[derive(Serialize)]
struct Entry<'a> {
    r#type: &'static str,
    oid: String,
    size: u64,
    path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    lfs: Option<Large>,
    #[serde(rename = "lastCommit", skip_serializing_if = "Option::is_none")]
    last: Option<LastCommit>,
}

#[derive(Serialize)]
struct Large {
    oid: String,
    size: u64,
    #[serde(rename = "pointerSize")]
    pointer: u64,
}

#[derive(Serialize)]
struct LastCommit {
    id: String,
    title: String,
    date: String,
}

/// A branch or tag with the commit that it leads to.
pub type Named = (String, HubCommit);

#[derive(Serialize)]
struct Refs {
    branches: Vec<Ref>,
    tags: Vec<Ref>,
    converts: [(); 0],
}

#[derive(Serialize)]
struct Ref {
    name: String,
    #[serde(rename = "ref")]
    full: String,
    #[serde(rename = "targetCommit")]
    target: String,
}

/// Whether the answer about a commit gives sizes and digests of its files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// Names alone.
    Names,
    /// Sizes and digests too.
    Blobs,
}

/// What a repository is at a commit.
pub fn render_info<F: Shown>(words: &CommitWords<'_>, files: &[F], detail: Detail) -> Vec<u8> {
    let shown = if files.len() > MAX_SIBLINGS { &[] } else { files };
    let time = milliseconds(words.time);
    json(&Info {
        _id: words.commit.as_str().chars().take(24).collect(),
        id: words.id,
        model: (words.kind == PackageKind::Model).then_some(words.id),
        author: words.id.split_once('/').map_or("", |(author, _)| author),
        sha: words.commit.as_str(),
        last_modified: time.clone(),
        created_at: time,
        private: false,
        gated: false,
        disabled: false,
        downloads: 0,
        likes: 0,
        tags: words.licence.map(|licence| format!("license:{}", licence.to_ascii_lowercase())).into_iter().collect(),
        card: words.licence.map(|license| Card { license }),
        description: words.description,
        siblings: shown.iter().map(|file| sibling(file, detail)).collect(),
    })
}

fn sibling<F: Shown>(file: &F, detail: Detail) -> Sibling<'_> {
    let pin = (detail == Detail::Blobs).then(|| *file.pin());
    Sibling {
        rfilename: file.path().as_str(),
        size: pin.map(|pin| pin.size),
        blob: pin.map(|pin| shortened(&pin.sha256)),
        lfs: pin.map(|pin| SiblingLarge { sha256: pin.sha256.hex(), size: pin.size, pointer: pointer_size(pin.size) }),
    }
}

/// Which part of a tree is listed.
#[derive(Debug, Clone, Copy)]
pub struct TreeQuery<'a> {
    /// The folder; empty: the whole.
    pub folder: &'a str,
    /// What is in its folders too.
    pub recursive: bool,
    /// The commit of each entry too.
    pub expand: bool,
    /// Most entries.
    pub limit: usize,
    /// Where an earlier page ended.
    pub cursor: Option<usize>,
}

/// A page of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreePage {
    /// The answer's body.
    pub body: Vec<u8>,
    /// Where the next page begins; none: this is the last.
    pub next: Option<usize>,
}

/// Why there is no page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoPage {
    /// There is no such folder.
    Folder,
    /// The cursor is none that a page gave.
    Cursor,
}

/// A page of a tree: each folder stands before the first file in it. A page ends before a file whose folders don't fit, so it is
/// the number of a file where the next one begins.
///
/// # Errors
/// There is no such folder, or the cursor lies outside it.
pub fn render_tree<F: Shown>(words: &CommitWords<'_>, files: &[F], query: &TreeQuery<'_>) -> Result<TreePage, NoPage> {
    let range = below(files, query.folder);
    if range.is_empty() && !query.folder.is_empty() {
        return Err(NoPage::Folder);
    }
    let start = query.cursor.unwrap_or(range.start);
    if !(range.contains(&start) || start == range.end) {
        return Err(NoPage::Cursor);
    }
    let skip = if query.folder.is_empty() { 0 } else { query.folder.len().saturating_add(1) };
    let limit = query.limit.clamp(1, PAGE);
    let last = query.expand.then_some(words);
    let mut entries = Vec::new();
    let mut at = start;
    while at < range.end {
        let Some(file) = files.get(at) else { break };
        let path = file.path().as_str();
        let before = at.checked_sub(1).filter(|before| range.contains(before)).and_then(|before| files.get(before));
        let mut new = new_folders(path, before.map_or("", |before| before.path().as_str()), skip);
        let (mut next, mut shows_file) = (at.saturating_add(1), true);
        if !query.recursive
            && let Some(first) = first_folder(path, skip)
        {
            new = vec![first];
            next = below(files, first).end.max(next);
            shows_file = false;
        }
        let count = new.len().saturating_add(usize::from(shows_file));
        if !entries.is_empty() && entries.len().saturating_add(count) > limit {
            return Ok(TreePage { body: json(&entries), next: Some(at) });
        }
        entries.extend(new.into_iter().map(|folder| folder_entry(folder, words.commit, last)));
        if shows_file {
            entries.push(file_entry(file, last));
        }
        at = next;
    }
    Ok(TreePage { body: json(&entries), next: None })
}

/// What some paths are: those that are there, each once.
pub fn render_paths<F: Shown>(words: &CommitWords<'_>, files: &[F], paths: &[String], expand: bool) -> Vec<u8> {
    let last = expand.then_some(words);
    let mut seen = std::collections::BTreeSet::new();
    let mut entries = Vec::new();
    for path in paths {
        let path = path.trim_matches('/');
        if path.is_empty() || !seen.insert(path) {
            continue;
        }
        if let Some(file) = find(files, path) {
            entries.push(file_entry(file, last));
        } else if !below(files, path).is_empty() {
            entries.push(folder_entry(path, words.commit, last));
        }
    }
    json(&entries)
}

/// Branches and tags.
pub fn render_refs(branches: &[Named], tags: &[Named]) -> Vec<u8> {
    let shape = |kind: &str, named: &Named| Ref {
        name: named.0.clone(),
        full: format!("refs/{kind}/{}", named.0),
        target: named.1.to_string(),
    };
    json(&Refs {
        branches: branches.iter().map(|named| shape("heads", named)).collect(),
        tags: tags.iter().map(|named| shape("tags", named)).collect(),
        converts: [],
    })
}

/// The file at a path.
pub fn find<'f, F: Shown>(files: &'f [F], path: &str) -> Option<&'f F> {
    let at = files.partition_point(|file| file.path().as_str() < path);
    files.get(at).filter(|file| file.path().as_str() == path)
}

/// The files below a folder: a run, as they stand in order of paths.
fn below<F: Shown>(files: &[F], folder: &str) -> Range<usize> {
    if folder.is_empty() {
        return 0..files.len();
    }
    // What begins with `folder/` stands between it and what begins with `folder0`, the next letter.
    let (first, last) = (format!("{folder}/"), format!("{folder}0"));
    let start = files.partition_point(|file| file.path().as_str() < first.as_str());
    let end = files.partition_point(|file| file.path().as_str() < last.as_str());
    start..end.max(start)
}

/// The folders of a path that the path before it does not lie in, outermost first; `skip` bytes of both are the folder that is
/// listed.
fn new_folders<'p>(path: &'p str, before: &str, skip: usize) -> Vec<&'p str> {
    let ends = path.char_indices().filter(|(at, letter)| *letter == '/' && *at >= skip).map(|(at, _)| at);
    let is_new = |end: &usize| {
        let folder = path.get(..end.saturating_add(1));
        folder.is_some_and(|folder| !before.starts_with(folder))
    };
    ends.filter(is_new).filter_map(|end| path.get(..end)).collect()
}

/// The folder of a path that stands in the folder that is listed; none: the path itself stands there.
fn first_folder(path: &str, skip: usize) -> Option<&str> {
    let length = path.get(skip..)?.find('/')?;
    path.get(..skip.checked_add(length)?)
}

fn file_entry<'f, F: Shown>(file: &'f F, last: Option<&CommitWords<'_>>) -> Entry<'f> {
    let pin = file.pin();
    Entry {
        r#type: "file",
        oid: shortened(&pin.sha256),
        size: pin.size,
        path: file.path().as_str(),
        lfs: Some(Large { oid: pin.sha256.hex(), size: pin.size, pointer: pointer_size(pin.size) }),
        last: last.map(last_commit),
    }
}

fn folder_entry<'p>(path: &'p str, commit: &HubCommit, last: Option<&CommitWords<'_>>) -> Entry<'p> {
    let oid = shortened(&Sha256::of(format!("{commit} {path}").as_bytes()));
    Entry { r#type: "directory", oid, size: 0, path, lfs: None, last: last.map(last_commit) }
}

fn last_commit(words: &CommitWords<'_>) -> LastCommit {
    LastCommit {
        id: words.commit.to_string(),
        title: words.description.unwrap_or(words.id).to_owned(),
        date: milliseconds(words.time),
    }
}

fn shortened(digest: &Sha256) -> String {
    digest.hex().chars().take(OID).collect()
}

fn pointer_size(size: u64) -> u64 {
    let digits = u64::from(size.checked_ilog10().unwrap_or(0)).saturating_add(1);
    POINTER.saturating_add(digits)
}

/// The hub writes thousandths of seconds, and clients read nothing else.
fn milliseconds(time: Timestamp) -> String {
    time.to_string().replace('Z', ".000Z")
}

fn json<T: Serialize>(value: &T) -> Vec<u8> {
    // Strings, numbers and lists serialize without failing.
    serde_json::to_vec(value).unwrap_or_default()
}
