//! The role of a Hugging Face endpoint, for clients that know nothing of `mpm` (docs/guide/serve-hub.md): packages under their own
//! names and those of their upstreams, and commits of the hub that locks pin.
//!
//! Which files a repository has at a revision is said here; their bytes leave as all blobs do.

mod answer;
mod find;
mod memory;
mod package;

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};

use crate::hub::{
    Asked, AskedRepository, Denial, Detail, PAGE, TreeQuery, What, find as file_at, parse_asked, render_info,
    render_paths, render_refs, render_tree,
};
use crate::model::RegistryId;
use crate::serve::Wanted;
use crate::serve::hub::answer::{denied, json, origin, warn};
use crate::serve::hub::find::{Repository, Snapshot};
pub(super) use crate::serve::hub::memory::Memory;
use crate::serve::registry::{kept, read_only};
use crate::serve::site::{Caller, Site};

/// Largest body of a question about paths, in bytes.
const MAX_QUESTION: usize = 4 << 20;
/// Most paths of one question.
const MAX_PATHS: usize = 20_000;

/// A request that is for this role.
pub(super) struct HubRequest {
    /// The registry that the address names; none: all of them.
    registry: Option<RegistryId>,
    asked: Asked,
}

/// Reads an address, without a slash at its begin: `registries/<id>/` may stand before a hub's own. None: it is no hub's.
pub(super) fn read(site: &Site, path: &str) -> Option<HubRequest> {
    if let Some(rest) = path.strip_prefix("registries/") {
        let (id, rest) = rest.split_once('/')?;
        let registry = site.shelf.registries().into_iter().find(|registry| registry.as_str() == id)?;
        return Some(HubRequest { registry: Some(registry), asked: parse_asked(rest)? });
    }
    Some(HubRequest { registry: None, asked: parse_asked(path)? })
}

/// Answers it.
pub(super) async fn answer(site: &Arc<Site>, asked: HubRequest, request: Request) -> Response<Body> {
    // A body is for one reader at a time, what stands before it for all.
    let (request, body) = request.into_parts();
    let Ok(caller) = site.caller(&request.headers) else { return denied(&Denial::Token) };
    let reads = matches!(request.method, Method::GET | Method::HEAD);
    let asked = match asked {
        HubRequest { asked: Asked::Unknown, .. } => {
            return denied(&Denial::Bad("this server has no such part of the hub's interface".to_owned()));
        }
        HubRequest { asked: Asked::WhoAmI, .. } => return who(&caller),
        HubRequest { asked: Asked::Repository(asked), registry } => (registry, asked),
    };
    let asks_paths = matches!(asked.1.what, What::Paths { .. });
    let asks = asks_paths && request.method == Method::POST;
    if !reads && !asks {
        return read_only();
    }
    match of_repository(site, caller, asked, (request, body)).await {
        Ok(answer) | Err(Refused::Broken(answer)) => answer,
        Err(Refused::Denied(denial)) => denied(&denial),
    }
}

/// Why there is no answer.
enum Refused {
    Denied(Denial),
    Broken(Response<Body>),
}

impl From<Denial> for Refused {
    fn from(denial: Denial) -> Self {
        Self::Denied(denial)
    }
}

async fn of_repository(
    site: &Arc<Site>,
    caller: Caller,
    (registry, asked): (Option<RegistryId>, AskedRepository),
    (request, body): (Parts, Body),
) -> Result<Response<Body>, Refused> {
    if asked.what == What::Refs {
        #[expect(
            clippy::redundant_closure_for_method_calls,
            reason = "the method has a lifetime of its own, which its name would fix"
        )]
        let (branches, tags) = look(site, caller, registry, &asked, |repository| repository.refs()).await?;
        return Ok(json(render_refs(&branches, &tags)));
    }
    let revision = asked.what.revision().unwrap_or(crate::hub::MAIN).to_owned();
    let asker = caller.clone();
    let found = look(site, caller, registry, &asked, move |repository| repository.at(&revision)).await?;
    let mut answer = match &asked.what {
        What::Info { .. } => {
            let detail = if flag(&request, "blobs") { Detail::Blobs } else { Detail::Names };
            json(render_info(&found.words(), &found.files, detail))
        }
        What::Tree { folder, .. } => tree(site, &asked, folder, &found, &request)?,
        What::Paths { .. } => {
            let (paths, expand) = question(&request, body).await?;
            json(render_paths(&found.words(), &found.files, &paths, expand))
        }
        What::File { path, .. } => return file(site, &asker, &asked, path, &found, &request).await,
        What::Refs => json(Vec::new()),
    };
    warn(answer.headers_mut(), &found.warnings);
    Ok(answer)
}

/// Looks a repository up on a thread that may wait, and something of it.
async fn look<T: Send + 'static>(
    site: &Arc<Site>,
    caller: Caller,
    registry: Option<RegistryId>,
    asked: &AskedRepository,
    wanted: impl FnOnce(&Repository<'_>) -> find::Answer<T> + Send + 'static,
) -> Result<T, Refused> {
    let (here, kind, id) = (Arc::clone(site), asked.kind, asked.id.clone());
    let found = site
        .ask_far(move |shelf| match Repository::find(&here, shelf, &caller, registry.as_ref(), kind, &id)? {
            Ok(repository) => wanted(&repository),
            Err(denial) => Ok(Err(denial)),
        })
        .await;
    match found {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(denial)) => Err(Refused::Denied(denial)),
        Err(error) => Err(Refused::Broken(answer::explained(site.broken(&error)))),
    }
}

fn tree(
    site: &Site,
    asked: &AskedRepository,
    folder: &str,
    found: &Snapshot,
    request: &Parts,
) -> Result<Response<Body>, Denial> {
    let number = |name: &str| {
        let text = value(request, name);
        text.map(|text| text.parse::<usize>().map_err(|_| Denial::Bad(format!("{name} is no number")))).transpose()
    };
    let query = TreeQuery {
        folder,
        recursive: flag(request, "recursive"),
        expand: flag(request, "expand"),
        limit: number("limit")?.unwrap_or(PAGE),
        cursor: number("cursor")?,
    };
    let page = render_tree(&found.words(), &found.files, &query).map_err(|no| match no {
        crate::hub::NoPage::Folder => {
            Denial::NoFile(format!("{} has no folder {folder:?} at {}", asked.id, found.commit))
        }
        crate::hub::NoPage::Cursor => Denial::Bad("the cursor is none of this listing".to_owned()),
    });
    let page = match page {
        Ok(page) => page,
        Err(denial @ Denial::NoFile(_)) => return Ok(answer::absent(&denial, &found.commit)),
        Err(denial) => return Err(denial),
    };
    let mut answer = json(page.body);
    if let Some(next) = page.next {
        // The next page is of the commit, whatever the revision leads to by then.
        let path: Vec<&str> = request.uri.path().split('/').collect();
        let slash = path.len().saturating_sub(request.uri.path().trim_start_matches('/').split('/').count());
        let at = asked.revision_at.and_then(|at| at.checked_add(slash)).and_then(|at| at.checked_add(prefix(request)));
        let path: Vec<&str> = path
            .iter()
            .enumerate()
            .map(|(number, part)| if Some(number) == at { found.commit.as_str() } else { part })
            .collect();
        let link = format!(
            "<{}{}?recursive={}&expand={}&limit={}&cursor={next}>; rel=\"next\"",
            origin(site, &request.headers),
            path.join("/"),
            query.recursive,
            query.expand,
            query.limit,
        );
        if let Ok(link) = HeaderValue::from_str(&link) {
            answer.headers_mut().insert(header::LINK, link);
        }
    }
    Ok(answer)
}

/// Parts of the path that stand before the hub's own.
fn prefix(request: &Parts) -> usize {
    if request.uri.path().trim_start_matches('/').starts_with("registries/") { 2 } else { 0 }
}

async fn file(
    site: &Arc<Site>,
    caller: &Caller,
    asked: &AskedRepository,
    path: &str,
    found: &Snapshot,
    request: &Parts,
) -> Result<Response<Body>, Refused> {
    let Some(entry) = file_at(&found.files, path) else {
        let text = format!("{} has no file {path:?} at {}{}", asked.id, found.commit, found.elsewhere());
        return Ok(answer::absent(&Denial::NoFile(text), &found.commit));
    };
    let is_commit = asked.what.revision() == Some(found.commit.as_str());
    let mut extra = HeaderMap::new();
    let fixed = [
        (header::CONTENT_TYPE, "application/octet-stream"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, if is_commit { kept(caller) } else { "no-cache" }),
    ];
    extra.extend(fixed.map(|(name, value)| (name, HeaderValue::from_static(value))));
    answer::commit(&mut extra, &found.commit);
    warn(&mut extra, &found.warnings);
    let mut answer = site.blob_response(Wanted::file(entry), &request.method, &request.headers, extra).await;
    if answer.status() == StatusCode::NOT_FOUND {
        let text = format!("{path:?} of {} at {} is not in this copy", asked.id, found.commit);
        return Err(Denial::Lacking(text).into());
    }
    if answer.status().is_client_error() || answer.status().is_server_error() {
        return Ok(answer::explained(answer));
    }
    let agent = request.headers.get(header::USER_AGENT).map(HeaderValue::as_bytes).unwrap_or_default();
    if request.method == Method::HEAD && entry.pin.size > site.options.hub_largest && learns_from_get(agent) {
        // What a client does not know it does not refuse: it learns the length with the first bytes.
        answer.headers_mut().remove(header::CONTENT_LENGTH);
        *answer.body_mut() = answer::of_unknown_length();
    }
    Ok(answer)
}

/// Whether a client takes a file whose length it does not know beforehand, and refuses one that it knows to be large: the hub's own
/// library from 1.0 on. Older ones ask for the length.
fn learns_from_get(agent: &[u8]) -> bool {
    let agent = String::from_utf8_lossy(agent);
    let version = agent.split_once("hf_hub/").map(|(_, version)| version);
    let major = version.and_then(|version| version.split('.').next()?.parse::<u64>().ok());
    major.is_some_and(|major| major >= 1)
}

fn value(request: &Parts, name: &str) -> Option<String> {
    let query = request.uri.query().unwrap_or_default();
    url::form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

fn flag(request: &Parts, name: &str) -> bool {
    value(request, name).is_some_and(|value| is_yes(&value))
}

fn is_yes(value: &str) -> bool {
    matches!(value, "true" | "True" | "1" | "")
}

/// The paths that a question names, and whether more is to be said of each.
async fn question(request: &Parts, body: Body) -> Result<(Vec<String>, bool), Denial> {
    let bad = |text: &str| Denial::Bad(text.to_owned());
    let is_json =
        request.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    let body = to_bytes(body, MAX_QUESTION).await.map_err(|_| bad("the question is too large"))?;
    let (paths, expand) = if is_json {
        let read: serde_json::Value = serde_json::from_slice(&body).map_err(|_| bad("the question is no JSON"))?;
        let one = |path: &serde_json::Value| path.as_str().map(str::to_owned);
        let paths = match read.get("paths") {
            Some(serde_json::Value::Array(paths)) => paths.iter().filter_map(one).collect(),
            Some(path) => one(path).into_iter().collect(),
            None => Vec::new(),
        };
        (paths, read.get("expand").and_then(serde_json::Value::as_bool).unwrap_or(false))
    } else {
        let (mut paths, mut expand) = (Vec::new(), false);
        for (key, value) in url::form_urlencoded::parse(&body) {
            match key.as_ref() {
                "paths" => paths.push(value.into_owned()),
                "expand" => expand = is_yes(&value),
                _ => {}
            }
        }
        (paths, expand)
    };
    if paths.len() > MAX_PATHS { Err(bad("too many paths in one question")) } else { Ok((paths, expand)) }
}

/// Who a token belongs to: its name is all that there is to say.
fn who(caller: &Caller) -> Response<Body> {
    let Some(name) = caller.name() else {
        return denied(&Denial::Anonymous("no token of this server came with the question".to_owned()));
    };
    let token = serde_json::json!({ "displayName": name, "role": "read" });
    let words = serde_json::json!({
        "type": "user",
        "id": name,
        "name": name,
        "fullname": name,
        "orgs": [],
        "auth": { "type": "access_token", "accessToken": token },
    });
    json(words.to_string().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::learns_from_get;

    #[test]
    fn clients_that_learn_lengths_late_are_known() {
        for (agent, learns) in [
            ("unknown/None; hf_hub/2.4.0; python/3.11.7; httpx2/2.16.2", true),
            ("transformers/5.23.0; hf_hub/1.33.0; python/3.11.7", true),
            ("unknown/None; hf_hub/0.36.0; python/3.11.7", false),
            ("llama-cpp", false),
            ("hf_hub/", false),
            ("", false),
        ] {
            assert_eq!(learns_from_get(agent.as_bytes()), learns, "{agent}");
        }
    }
}
