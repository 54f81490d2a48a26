//! The one way by which a blob's bytes leave the server.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};

use crate::serve::answer::{plain, trouble};
use crate::serve::body::FileBody;
use crate::serve::range::{Part, names, part};
use crate::serve::registry::not_found;
use crate::serve::site::Site;
use crate::serve::{OpenBlob, Wanted};

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
        let asked = wanted.clone();
        let open = match self.ask(move |shelf| shelf.open(&asked)).await {
            Ok(Some(open)) => open,
            Ok(None) => return not_found("the blob is not in this copy"),
            Err(error) => return trouble(&error),
        };
        if let Some(value) = headers.get(header::IF_MATCH)
            && !names(value.as_bytes(), &tag)
        {
            return plain(StatusCode::PRECONDITION_FAILED, "it has another ETag");
        }
        let mut answer = Response::new(Body::empty());
        *answer.headers_mut() = extra;
        let own = answer.headers_mut();
        if let Ok(value) = HeaderValue::from_str(&tag) {
            own.insert(header::ETAG, value);
        }
        own.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        if headers.get(header::IF_NONE_MATCH).is_some_and(|list| names(list.as_bytes(), &tag)) {
            *answer.status_mut() = StatusCode::NOT_MODIFIED;
            return answer;
        }
        let size = open.pin.size;
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
                return answer;
            }
        };
        answer.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(bytes.end.saturating_sub(bytes.start)));
        if *method == Method::GET {
            let OpenBlob { file, offset, .. } = open;
            let at = offset.saturating_add(bytes.start)..offset.saturating_add(bytes.end);
            *answer.body_mut() = Body::new(FileBody::new(file, at, Arc::clone(&self.frames)));
        }
        answer
    }
}
