//! The one way by which a blob's bytes leave the server.

use std::ops::Range;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};

use crate::diagnose::Diagnose as _;
use crate::model::{Pin, Sha256};
use crate::serve::answer::{plain, trouble};
use crate::serve::body::FileBody;
use crate::serve::chunked::{SMALL, Source};
use crate::serve::keep::Look;
use crate::serve::range::{Part, names, part};
use crate::serve::registry::not_found;
use crate::serve::site::Site;
use crate::serve::{OpenBlob, ServeError, Trouble, Verify, Wanted};

/// What there is of a blob.
enum Have {
    /// It is here, and what is known of it.
    Here(OpenBlob, Look),
    /// It is not here, and can be brought.
    Promised(Pin),
}

impl Site {
    /// Answers a `GET` or `HEAD` for a blob: ranges, conditions, integrity. Whether the caller may read it was decided before.
    /// `extra` headers come along with every answer that has the blob's; an `ETag` among `wanted` stands in the digest's place.
    pub(super) async fn blob_response(
        self: &Arc<Self>,
        wanted: Wanted,
        method: &Method,
        headers: &HeaderMap,
        extra: HeaderMap,
    ) -> Response<Body> {
        let tag = format!("\"{}\"", wanted.etag.clone().unwrap_or_else(|| wanted.sha256.hex()));
        let have = match self.have(&wanted).await {
            Ok(Some(have)) => have,
            Ok(None) => return not_found("the blob is not in this copy"),
            Err(error) => return self.broken(&error),
        };
        let size = match &have {
            Have::Here(_, Look::Wrong) => return corrupt(&wanted.sha256),
            Have::Here(open, _) => open.pin.size,
            Have::Promised(pin) => pin.size,
        };
        let mut answer = match head(&tag, size, method, headers, extra) {
            Ok(answer) => answer,
            Err(answer) => return answer,
        };
        let bytes = answer.extensions_mut().remove::<Range<u64>>().unwrap_or(0..size);
        if *method != Method::GET || answer.status() == StatusCode::NOT_MODIFIED {
            return answer;
        }
        let body = match have {
            Have::Here(open, look) => self.body(&wanted, open, look, bytes).await,
            Have::Promised(pin) => self.pulled(&wanted, pin, bytes).await,
        };
        match body {
            Ok(body) => {
                *answer.body_mut() = body;
                answer
            }
            Err(answer) => answer,
        }
    }

    /// What there is of it.
    async fn have(self: &Arc<Self>, wanted: &Wanted) -> Result<Option<Have>, Trouble> {
        let (asked, keeper) = (wanted.clone(), Arc::clone(&self.keeper));
        let found = self
            .ask(move |shelf| {
                let Some(open) = shelf.open(&asked)? else { return Ok(None) };
                let look = keeper.look(&open).map_err(|source| unreadable(&asked.sha256, source))?;
                Ok(Some((open, look)))
            })
            .await?;
        if let Some((open, look)) = found {
            return Ok(Some(Have::Here(open, look)));
        }
        let Some(fill) = self.fill.clone() else { return Ok(None) };
        // A file in a pack comes with its pack.
        let digest = wanted.pack.map_or(wanted.sha256, |place| place.pack);
        let promised = self.ask(move |_| fill.promised(&digest)).await?;
        Ok(match (promised, wanted.pack, wanted.size) {
            (Some(_), Some(_), Some(size)) => Some(Have::Promised(Pin { sha256: wanted.sha256, size })),
            (Some(pin), None, size) if size.is_none_or(|size| size == pin.size) => Some(Have::Promised(pin)),
            _ => None,
        })
    }

    /// The bytes of a blob that is here.
    pub(super) async fn body(
        self: &Arc<Self>,
        wanted: &Wanted,
        open: OpenBlob,
        look: Look,
        bytes: Range<u64>,
    ) -> Result<Body, Response<Body>> {
        let digest = wanted.sha256;
        if self.options.verify == Verify::Chunks
            && let Some(body) = self.chunked(wanted, &open, bytes.clone()).await?
        {
            return Ok(body);
        }
        if look != Look::Good {
            match self.verified(&open).await {
                Some(Look::Good) => {}
                Some(Look::Wrong) => return Err(corrupt(&digest)),
                Some(Look::Unknown) | None => return Err(busy("the blob can't be verified: it does not stand still")),
            }
        }
        let part = open.bytes.part(bytes);
        let keeper = Arc::clone(&self.keeper);
        // Whoever writes to the file while it is sent is noticed before its last piece leaves.
        let stands = move || keeper.look(&open).is_ok_and(|look| look == Look::Good);
        Ok(Body::new(FileBody::new(part, Arc::clone(&self.frames)).while_it_stands(stands)))
    }

    /// The bytes chunk by chunk; none: there is no chunk index of it here.
    async fn chunked(
        self: &Arc<Self>,
        wanted: &Wanted,
        open: &OpenBlob,
        bytes: Range<u64>,
    ) -> Result<Option<Body>, Response<Body>> {
        let source = Source {
            chunks: Arc::clone(&self.chunks),
            shelf: Arc::clone(&self.shelf),
            keeper: Arc::clone(&self.keeper),
            blob: open.clone(),
        };
        let error = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::InvalidData => corrupt(&wanted.sha256),
            std::io::ErrorKind::TimedOut => busy("too many slow clients hold what they were sent"),
            _ => self.broken(&unreadable(&wanted.sha256, error)),
        };
        if open.pin.size <= SMALL {
            let bytes = if bytes.is_empty() { source.whole(0..0).await } else { source.whole(bytes).await };
            return bytes.map(|bytes| Some(Body::from(bytes))).map_err(error);
        }
        let (chunks, pin, named) = (Arc::clone(&self.chunks), open.pin, wanted.chunks);
        let list = self
            .ask_far(move |shelf| {
                let index = match named {
                    Some(index) => Some(index),
                    None => shelf.chunks(&pin.sha256)?,
                };
                Ok(index.and_then(|index| chunks.list(shelf, &index, &pin)))
            })
            .await;
        match list {
            Ok(Some(list)) => source.body(list, bytes).await.map(Some).map_err(error),
            Ok(None) => Ok(None),
            Err(error) => Err(self.broken(&error)),
        }
    }

    /// Hashes a blob, once however many ask.
    async fn verified(self: &Arc<Self>, open: &OpenBlob) -> Option<Look> {
        let (keeper, shelf, hashers, open) =
            (Arc::clone(&self.keeper), Arc::clone(&self.shelf), Arc::clone(&self.hashers), open.clone());
        let digest = open.pin.sha256;
        let work = move || async move {
            let _turn = hashers.acquire_owned().await.ok()?;
            tokio::task::spawn_blocking(move || keeper.verify(&*shelf, &open).ok()).await.ok().flatten()
        };
        self.hashing.once(digest, work).await.flatten()
    }

    /// The shelf can't answer: the operator is told, and the client gets the code.
    pub(super) fn broken(&self, error: &Trouble) -> Response<Body> {
        self.options.progress.warn("serve", format!("{}: {error}", error.code()));
        trouble(error)
    }
}

/// An answer without its bytes, and which bytes it is to have, as an extension; or the answer that there is nothing to send.
fn head(
    tag: &str,
    size: u64,
    method: &Method,
    headers: &HeaderMap,
    extra: HeaderMap,
) -> Result<Response<Body>, Response<Body>> {
    if headers.get(header::IF_MATCH).is_some_and(|list| !names(list.as_bytes(), tag)) {
        return Err(plain(StatusCode::PRECONDITION_FAILED, "it has another ETag"));
    }
    let mut answer = Response::new(Body::empty());
    *answer.headers_mut() = extra;
    let own = answer.headers_mut();
    if let Ok(value) = HeaderValue::from_str(tag) {
        own.insert(header::ETAG, value);
    }
    own.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if headers.get(header::IF_NONE_MATCH).is_some_and(|list| names(list.as_bytes(), tag)) {
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
        return Ok(answer);
    }
    let same = headers.get(header::IF_RANGE).is_none_or(|value| value.as_bytes() == tag.as_bytes());
    let range = headers.get(header::RANGE).filter(|_| same && *method == Method::GET);
    let bytes = match part(range.map(HeaderValue::as_bytes), size) {
        Part::Whole => 0..size,
        Part::Some(bytes) => {
            *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
            let text = format!("bytes {}-{}/{size}", bytes.start, bytes.end.saturating_sub(1));
            if let Ok(value) = HeaderValue::from_str(&text) {
                answer.headers_mut().insert(header::CONTENT_RANGE, value);
            }
            bytes
        }
        Part::Outside => {
            let mut answer = plain(StatusCode::RANGE_NOT_SATISFIABLE, &format!("it has {size} bytes"));
            if let Ok(value) = HeaderValue::from_str(&format!("bytes */{size}")) {
                answer.headers_mut().insert(header::CONTENT_RANGE, value);
            }
            return Err(answer);
        }
    };
    answer.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(bytes.end.saturating_sub(bytes.start)));
    answer.extensions_mut().insert(bytes);
    Ok(answer)
}

/// Its bytes are wrong.
pub(super) fn corrupt(digest: &Sha256) -> Response<Body> {
    let error = ServeError::Corrupt { sha256: *digest };
    plain(StatusCode::INTERNAL_SERVER_ERROR, &format!("{}: {error}; its operator was told", error.code()))
}

/// Not now.
pub(super) fn busy(text: &str) -> Response<Body> {
    let mut answer = plain(StatusCode::SERVICE_UNAVAILABLE, text);
    answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
    answer
}

pub(super) fn unreadable(digest: &Sha256, source: std::io::Error) -> Trouble {
    Box::new(ServeError::Blob { sha256: *digest, source })
}
