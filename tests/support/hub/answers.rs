//! The endpoint: what the hub says of repositories, and where their files are.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use modelpm::model::Sha256;
use serde_json::{Value, json};

use super::content::{Files, Repository, Stored};
use super::storage::{encoded, sign};
use super::{Access, Kind, State};
use crate::support::http::{Answer, Request};

/// So many requests in so long.
pub(super) struct Window {
    requests: u64,
    length: Duration,
    left: u64,
    begin: Instant,
}

impl Window {
    pub(super) fn new(requests: u64, length: Duration) -> Self {
        Self { requests, length, left: requests, begin: Instant::now() }
    }

    /// Whether one more may pass, and the headers that say how many.
    fn take(&mut self, sort: &str) -> (bool, String, String) {
        if self.begin.elapsed() >= self.length {
            (self.begin, self.left) = (Instant::now(), self.requests);
        }
        let passes = self.left > 0;
        self.left = self.left.saturating_sub(1);
        let wait = self.length.saturating_sub(self.begin.elapsed()).as_secs_f64().ceil();
        let policy = self.length.as_secs_f64().ceil();
        let limit = format!("\"{sort}\";r={};t={wait}", self.left);
        (passes, limit, format!("\"fixed window\";\"{sort}\";q={};w={policy}", self.requests))
    }
}

pub(super) fn answer(state: &mut State, request: &Request) -> Answer {
    let path = request.path.split('?').next().unwrap_or_default();
    let sort = if path.starts_with("api/") { "api" } else { "resolvers" };
    let Some((passes, limit, policy)) = state.windows.get_mut(sort).map(|window| window.take(sort)) else {
        return routed(state, request);
    };
    let answer = if passes { routed(state, request) } else { wrong(429, None, "You have reached the rate limit") };
    answer.header("RateLimit", limit).header("RateLimit-Policy", policy)
}

fn routed(state: &mut State, request: &Request) -> Answer {
    let token = request.headers.get("authorization").map(|value| value.strip_prefix("Bearer ").unwrap_or_default());
    let access = match token.map(|token| state.tokens.get(token)) {
        None => None,
        Some(Some(access)) => Some(*access),
        Some(None) => return wrong(401, None, "Invalid credentials in Authorization header"),
    };
    // Segments are told apart before they are decoded: a revision's slashes are encoded.
    let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
    let segments: Vec<String> = path.split('/').map(decoded).collect();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let query = pairs(query);
    let asked = Asked { request, query: &query, access };
    match *segments.as_slice() {
        ["api", "models", ref rest @ ..] => api(state, &asked, Kind::Model, rest),
        ["api", "datasets", ref rest @ ..] => api(state, &asked, Kind::Dataset, rest),
        ["api", "resolve-cache", kind, ref rest @ ..] => {
            let kind = if kind == "datasets" { Kind::Dataset } else { Kind::Model };
            files(state, &asked, kind, rest, Way::Cached)
        }
        ["api", ..] => wrong(404, None, "Sorry, we can't find the page you are looking for."),
        ["datasets", ref rest @ ..] => files(state, &asked, Kind::Dataset, rest, Way::Resolve),
        ref rest => files(state, &asked, Kind::Model, rest, Way::Resolve),
    }
}

/// A request that may be answered.
struct Asked<'a> {
    request: &'a Request,
    query: &'a [(String, String)],
    access: Option<Access>,
}

impl Asked<'_> {
    fn flag(&self, name: &str) -> bool {
        self.value(name).is_some_and(|value| ["true", "True", "1"].contains(&value))
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }
}

fn api(state: &mut State, asked: &Asked<'_>, kind: Kind, segments: &[&str]) -> Answer {
    let words = ["revision", "tree", "paths-info", "refs"];
    let (id, rest) = match take_id(state, asked, kind, segments, &words) {
        Ok(found) => found,
        Err(answer) => return answer,
    };
    let repository = &state.repositories[&(kind, id.clone())];
    let revision = rest.get(1).copied().unwrap_or("main");
    if rest == ["refs"] {
        return document(&references(repository, asked.flag("include_prs")));
    }
    let Some((commit, files)) = repository.find(revision) else {
        return wrong(404, Some("RevisionNotFound"), &format!("Invalid rev id: {revision}"));
    };
    match *rest {
        [] | ["revision", _] => document(&about(&id, repository, commit, files, asked.flag("blobs"))),
        ["tree", _, ref below @ ..] => {
            let below = below.join("/");
            let mut entries = listed(files, &below, asked.flag("recursive"));
            if entries.is_empty() && !below.is_empty() {
                return wrong(404, Some("EntryNotFound"), &format!("{below} does not exist on \"{revision}\""))
                    .header("X-Repo-Commit", commit);
            }
            if asked.flag("expand") {
                entries.iter_mut().for_each(|entry| entry["lastCommit"] = last_commit(commit));
            }
            page(state, asked, &entries)
        }
        ["paths-info", _] if asked.request.method == "POST" => {
            let wanted = pairs(&String::from_utf8_lossy(&asked.request.body));
            let all = listed(files, "", true);
            let is_wanted =
                |entry: &&Value| wanted.iter().any(|(name, value)| name == "paths" && entry["path"] == **value);
            document(&all.iter().filter(is_wanted).cloned().collect())
        }
        _ => wrong(404, None, "Sorry, we can't find the page you are looking for."),
    }
}

/// The repository that the first segments name, if who asks may see it.
fn take_id<'a>(
    state: &State,
    asked: &Asked<'_>,
    kind: Kind,
    segments: &'a [&'a str],
    words: &[&str],
) -> Result<(String, &'a [&'a str]), Answer> {
    let short = segments.len() == 1 || segments.get(1).is_some_and(|word| words.contains(word));
    let (id, rest) = segments.split_at(if short { 1 } else { 2.min(segments.len()) });
    let id = id.join("/");
    if let Some(to) = state.moved.get(&id) {
        let there = asked.request.path.replacen(&id, to, 1);
        return Err(Answer::text(307, format!("Temporary Redirect. Redirecting to /{there}"))
            .header("Location", format!("/{there}")));
    }
    let repository = state.repositories.get(&(kind, id.clone()));
    if repository.is_some_and(|repository| !repository.private || asked.access == Some(Access::All)) {
        return Ok((id, rest));
    }
    match asked.access {
        None if state.hides => Err(wrong(401, None, "Invalid username or password.")),
        _ => Err(wrong(404, Some("RepoNotFound"), "Repository not found")),
    }
}

fn about(id: &str, repository: &Repository, commit: &str, files: &Files, blobs: bool) -> Value {
    let sibling = |(path, stored): (&String, &Arc<Stored>)| {
        let mut sibling = json!({ "rfilename": path });
        if blobs {
            sibling["size"] = stored.content.size().into();
            sibling["blobId"] = stored.blob_id.as_str().into();
            if let Some(large) = &stored.large {
                let (size, pointer) = (stored.content.size(), large.pointer_size);
                sibling["lfs"] = json!({ "sha256": large.sha256, "size": size, "pointerSize": pointer });
            }
        }
        sibling
    };
    let licence = repository.labels.iter().find_map(|label| label.strip_prefix("license:"));
    json!({
        "_id": &Sha256::of(id.as_bytes()).hex()[..24],
        "id": id,
        "modelId": id,
        "author": id.split_once('/').map(|(author, _)| author),
        "sha": commit,
        "lastModified": "2024-01-01T00:00:00.000Z",
        "createdAt": "2024-01-01T00:00:00.000Z",
        "private": repository.private,
        "gated": if repository.gated { json!("auto") } else { json!(false) },
        "disabled": false,
        "downloads": 0,
        "likes": 0,
        "tags": repository.labels,
        "cardData": { "license": licence },
        "siblings": files.iter().map(sibling).collect::<Vec<_>>(),
    })
}

fn references(repository: &Repository, pull_requests: bool) -> Value {
    let below = |folder: &str| {
        let named = |(name, commit): (&String, &String)| {
            let short = name.strip_prefix(folder)?;
            Some(json!({ "name": short, "ref": name, "targetCommit": commit }))
        };
        repository.references.iter().filter_map(named).collect::<Vec<_>>()
    };
    let mut all = json!({ "branches": below("refs/heads/"), "tags": below("refs/tags/"), "converts": [] });
    if pull_requests {
        all["pullRequests"] = below("refs/pr/").into();
    }
    all
}

/// Files and folders below a path, sorted; all the way down where it is recursive.
fn listed(files: &Files, below: &str, recursive: bool) -> Vec<Value> {
    let prefix = if below.is_empty() { String::new() } else { format!("{below}/") };
    let mut entries = BTreeMap::new();
    for (path, stored) in files {
        let Some(inside) = path.strip_prefix(&prefix) else { continue };
        let slashes = inside.match_indices('/').map(|(at, _)| &path[..prefix.len() + at]);
        for folder in slashes.take(if recursive { usize::MAX } else { 1 }) {
            let id = &Sha256::of(folder.as_bytes()).hex()[..40];
            entries.insert(folder.to_owned(), json!({ "type": "directory", "oid": id, "size": 0, "path": folder }));
        }
        if recursive || !inside.contains('/') {
            let size = stored.content.size();
            let mut entry = json!({ "type": "file", "oid": stored.blob_id, "size": size, "path": path });
            if let Some(large) = &stored.large {
                entry["lfs"] = json!({ "oid": large.sha256, "size": size, "pointerSize": large.pointer_size });
            }
            entries.insert(path.clone(), entry);
        }
    }
    entries.into_values().collect()
}

fn last_commit(commit: &str) -> Value {
    json!({ "id": commit, "title": "Upload", "date": "2024-01-01T00:00:00.000Z" })
}

/// One page of a listing. The cursor holds what must be encoded in a query, so that a client that decodes it is found out.
fn page(state: &State, asked: &Asked<'_>, entries: &[Value]) -> Answer {
    let start = asked.value("cursor").map_or(Some(0), |cursor| cursor.strip_suffix("+==")?.parse().ok());
    let Some(start) = start.filter(|start| *start <= entries.len()) else {
        return wrong(400, None, "Invalid cursor");
    };
    let size = asked.value("limit").and_then(|limit| limit.parse().ok()).unwrap_or(usize::MAX).min(state.page_size);
    let end = start.saturating_add(size).min(entries.len());
    let answer = document(&entries[start..end].iter().cloned().collect());
    if end == entries.len() {
        return answer;
    }
    let (path, query) = asked.request.path.split_once('?').unwrap_or((&asked.request.path, ""));
    let mut words: Vec<String> =
        query.split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("cursor=")).map(str::to_owned).collect();
    words.push(format!("cursor={end}%2B%3D%3D"));
    answer.header("Link", format!("<{}/{path}?{}>; rel=\"next\"", state.endpoint, words.join("&")))
}

/// The two addresses of a file.
#[derive(PartialEq, Clone, Copy)]
enum Way {
    /// `{id}/resolve/{revision}/{path}`.
    Resolve,
    /// `{id}/{commit}/{path}`, where the first sends small files' readers.
    Cached,
}

fn files(state: &mut State, asked: &Asked<'_>, kind: Kind, segments: &[&str], way: Way) -> Answer {
    let (id, rest) = match take_id(state, asked, kind, segments, &["resolve"]) {
        Ok(found) => found,
        Err(answer) => return answer,
    };
    let (revision, path) = match (way, rest) {
        // Old clients do not encode these two sorts of revisions.
        (Way::Resolve, ["resolve", "refs", sort @ ("pr" | "convert"), name, path @ ..]) => {
            (format!("refs/{sort}/{name}"), path.join("/"))
        }
        (Way::Resolve, ["resolve", revision, path @ ..]) | (Way::Cached, [revision, path @ ..]) => {
            ((*revision).to_owned(), path.join("/"))
        }
        _ => return Answer::text(404, "<!doctype html><title>404</title>").header("Content-Type", "text/html"),
    };
    let repository = &state.repositories[&(kind, id.clone())];
    if repository.gated && asked.access != Some(Access::All) {
        let (status, why) = match asked.access {
            None => (401, "You must have access to it and be authenticated to access it. Please log in."),
            Some(_) => (403, "You are not in the authorized list. Visit its page to ask for access."),
        };
        return wrong(status, Some("GatedRepo"), &format!("Access to model {id} is restricted. {why}"));
    }
    let Some((commit, all)) = repository.find(&revision) else {
        return wrong(404, Some("RevisionNotFound"), &format!("Invalid rev id: {revision}"));
    };
    let commit = commit.to_owned();
    let Some(stored) = all.get(&path).map(Arc::clone) else {
        return wrong(404, Some("EntryNotFound"), "Entry not found").header("X-Repo-Commit", commit);
    };
    let storage = state.storage.clone();
    let name = if kind == Kind::Dataset { "datasets" } else { "models" };
    let etag = format!("\"{}\"", stored.version());
    let to = match (&stored.large, storage) {
        (Some(_), Some(host)) => (302, sign(state, &host, &format!("repos/{name}/{id}"), &path, &stored)),
        (None, _) if state.resolve_cache && way == Way::Resolve => {
            (307, format!("/api/resolve-cache/{name}/{id}/{commit}/{}?etag={}", encoded(&path), encoded(&etag)))
        }
        _ => return Answer::file(stored.content.clone(), &etag).header("X-Repo-Commit", commit),
    };
    Answer::text(to.0, format!("Found. Redirecting to {}", to.1))
        .header("Content-Type", "text/plain; charset=utf-8")
        .header("Accept-Ranges", "bytes")
        .header("X-Repo-Commit", commit)
        .header("X-Linked-Size", stored.content.size().to_string())
        .header("X-Linked-Etag", etag)
        .header("Location", to.1)
}

fn document(value: &Value) -> Answer {
    Answer::text(200, value.to_string()).header("Content-Type", "application/json; charset=utf-8")
}

fn wrong(status: u16, code: Option<&str>, message: &str) -> Answer {
    let answer = Answer::text(status, json!({ "error": message }).to_string())
        .header("Content-Type", "application/json; charset=utf-8")
        .header("X-Error-Message", message);
    match code {
        Some(code) => answer.header("X-Error-Code", code),
        None => answer,
    }
}

/// The pairs of a query or a form.
fn pairs(query: &str) -> Vec<(String, String)> {
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(&name.replace('+', " ")), decoded(&value.replace('+', " ")))
    };
    query.split('&').filter(|pair| !pair.is_empty()).map(pair).collect()
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let hex = after.get(..2).filter(|_| *first == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_default()
}
