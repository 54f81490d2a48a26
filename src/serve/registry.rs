//! The role of a registry: the files of a sparse index, and blobs, as `mpm` reads them.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};

use crate::model::{RegistryId, Sha256};
use tokio::sync::OwnedSemaphorePermit;

use crate::serve::answer::plain;
use crate::serve::blob::busy;
use crate::serve::body::FileBody;
use crate::serve::hub;
use crate::serve::range::names;
use crate::serve::site::{Caller, Site};
use crate::serve::{IndexPath, PathKind, Wanted, path};
use crate::sys::Extents;

/// Who may keep what never changes, and for how long: what a token opened is for nobody's shared cache.
pub(super) fn kept(caller: &Caller) -> &'static str {
    match caller {
        Caller::Anonymous => FOR_EVER,
        Caller::Token(_) => "private, max-age=31536000, immutable",
    }
}

/// How long what never changes may be kept: a year, which is for ever in HTTP.
const FOR_EVER: &str = "public, max-age=31536000, immutable";
/// From this size on, a log is sent as it is read.
const LARGE: u64 = 1 << 20;
/// What may change is asked for each time.
const ASK: &str = "no-cache";

/// Whatever no other route has.
pub(super) async fn any(State(site): State<Arc<Site>>, request: Request) -> Response<Body> {
    if let Some(asked) = hub::read(&site, request.uri().path().trim_start_matches('/')) {
        return hub::answer(&site, asked, request).await;
    }
    let method = request.method().clone();
    if method != Method::GET && method != Method::HEAD {
        return read_only();
    }
    let Ok(caller) = site.caller(request.headers()) else { return denied() };
    let whole = request.uri().path().trim_start_matches('/').to_owned();
    let Some((registry, rest)) = registry_of(&site, &whole) else {
        return not_found("there is no such registry here");
    };
    let asked = path::blob(&rest);
    // Files of the hub are blobs of no registry.
    let of_hub = asked.is_some() && site.may_read_sources(&caller);
    if !of_hub && !site.may_enter(&caller, &registry) {
        return refused(&caller);
    }
    if let Some(digest) = asked {
        return blob(&site, &caller, digest, &method, request.headers()).await;
    }
    match IndexPath::parse(&rest) {
        Some(path) => index_file(&site, &caller, &registry, path, &method, request.headers()).await,
        None => not_found("there is nothing of that name here"),
    }
}

/// The registry that a path is about, and the rest of the path: `registries/<id>/…`, else the first.
fn registry_of(site: &Site, path: &str) -> Option<(RegistryId, String)> {
    let all = site.shelf.registries();
    if let Some(rest) = path.strip_prefix("registries/") {
        let (id, rest) = rest.split_once('/')?;
        return all.into_iter().find(|registry| registry.as_str() == id).map(|registry| (registry, rest.to_owned()));
    }
    all.into_iter().next().map(|registry| (registry, path.to_owned()))
}

async fn blob(
    site: &Arc<Site>,
    caller: &Caller,
    digest: Sha256,
    method: &Method,
    headers: &HeaderMap,
) -> Response<Body> {
    match site.may_read_digest(caller, digest).await {
        Ok(true) => {}
        Ok(false) => return refused(caller),
        Err(error) => return site.broken(&error),
    }
    let mut extra = HeaderMap::new();
    extra.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    extra.insert(header::CACHE_CONTROL, HeaderValue::from_static(kept(caller)));
    site.blob_response(Wanted::named(digest), method, headers, extra).await
}

async fn index_file(
    site: &Arc<Site>,
    caller: &Caller,
    registry: &RegistryId,
    path: IndexPath,
    method: &Method,
    headers: &HeaderMap,
) -> Response<Body> {
    let (id, lasting, kind) = (registry.clone(), path.is_immutable(), path.kind().clone());
    if let PathKind::Package(name) = &kind
        && !site.may_read(caller, registry, &name.namespace())
    {
        return refused(caller);
    }
    let (opened, turn) = (path.clone(), site.far.acquire().await.ok());
    // A log may be large: from a folder it is sent as it is read.
    if let PathKind::Package(_) = &kind {
        let asked = id.clone();
        match site.ask(move |shelf| shelf.index_open(&asked, &opened)).await {
            Ok(Some(file)) => match large(site, file, method, headers, caller) {
                Ok(Some(answer)) => return answer,
                Ok(None) => {}
                Err(_) => return not_found("it is not in this copy"),
            },
            Ok(None) => {}
            Err(error) => return site.broken(&error),
        }
    }
    let bytes = match site.ask(move |shelf| shelf.index_file(&id, &path)).await {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return not_found("it is not in this copy"),
        Err(error) => return site.broken(&error),
    };
    let room = u32::try_from(bytes.len() >> 20).unwrap_or(u32::MAX);
    let Some(room) = site.room(room).await else { return busy("too many large files are on their way") };
    drop(turn);
    if let PathKind::Signed(digest) = kind {
        // Whom it belongs to may be known only since it was read.
        match site.may_read_digest(caller, digest).await {
            Ok(true) => {}
            Ok(false) => return refused(caller),
            Err(error) => return site.broken(&error),
        }
    }
    let tag = format!("\"{}\"", Sha256::of(&bytes));
    let mut answer = Response::new(Body::empty());
    let own = answer.headers_mut();
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        own.insert(header::ETAG, tag);
    }
    own.insert(header::CACHE_CONTROL, HeaderValue::from_static(if lasting { kept(caller) } else { ASK }));
    own.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    if headers.get(header::IF_NONE_MATCH).is_some_and(|list| names(list.as_bytes(), &tag)) {
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
        return answer;
    }
    own.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes.len()));
    if *method == Method::GET {
        *answer.body_mut() = Body::from(Bytes::from_owner(Held { bytes, _room: room }));
    }
    answer
}

/// Bytes of a file of an index, with the room that they take.
struct Held {
    bytes: Vec<u8>,
    _room: Option<OwnedSemaphorePermit>,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// A large file of an index, as it is read; none: it is small enough to be held. Its `ETag` tells how it stands.
fn large(
    site: &Arc<Site>,
    file: std::fs::File,
    method: &Method,
    headers: &HeaderMap,
    caller: &Caller,
) -> std::io::Result<Option<Response<Body>>> {
    use std::os::unix::fs::MetadataExt as _;
    let found = file.metadata()?;
    if found.len() <= LARGE {
        return Ok(None);
    }
    let tag = format!("\"{}-{}-{}.{}\"", found.ino(), found.len(), found.mtime(), found.mtime_nsec());
    let mut answer = Response::new(Body::empty());
    let own = answer.headers_mut();
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        own.insert(header::ETAG, tag);
    }
    let control = match caller {
        Caller::Anonymous => ASK,
        Caller::Token(_) => "private, no-cache",
    };
    own.insert(header::CACHE_CONTROL, HeaderValue::from_static(control));
    own.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    if headers.get(header::IF_NONE_MATCH).is_some_and(|list| names(list.as_bytes(), &tag)) {
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
        return Ok(Some(answer));
    }
    own.insert(header::CONTENT_LENGTH, HeaderValue::from(found.len()));
    if *method == Method::GET {
        let whole = Extents::one(Arc::new(file), 0, found.len());
        *answer.body_mut() = Body::new(FileBody::new(whole, Arc::clone(&site.frames)));
    }
    Ok(Some(answer))
}

/// Nobody writes here.
pub(super) fn read_only() -> Response<Body> {
    let mut answer = plain(StatusCode::METHOD_NOT_ALLOWED, "this server is read-only");
    answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    answer
}

/// There is none.
pub(super) fn not_found(text: &str) -> Response<Body> {
    plain(StatusCode::NOT_FOUND, text)
}

/// This token does not do, or one is needed.
fn refused(caller: &Caller) -> Response<Body> {
    match caller {
        Caller::Anonymous => denied(),
        Caller::Token(token) => {
            plain(StatusCode::FORBIDDEN, &format!("the token {} may not read this namespace", token.name))
        }
    }
}

/// A token is needed, or another one.
pub(super) fn denied() -> Response<Body> {
    let mut answer = plain(StatusCode::UNAUTHORIZED, "a token that may read this is needed");
    answer.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"mpm\""));
    answer
}
