//! Short answers: plain words with a status, the same in every role that has none of its own.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, Response, StatusCode, header};

use crate::serve::Trouble;
use crate::serve::site::Site;

/// `GET /health`.
pub(super) async fn health(State(site): State<Arc<Site>>) -> Response<Body> {
    let corrupt = site.keeper.wrong();
    let word = if corrupt == 0 { "ok" } else { "degraded" };
    let text = serde_json::json!({ "schema": "mpm.health/1", "status": word, "corrupt": corrupt }).to_string();
    let mut answer = plain(StatusCode::OK, &text);
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

/// `GET /metrics`.
pub(super) async fn metrics(State(site): State<Arc<Site>>) -> Response<Body> {
    let mut answer = plain(StatusCode::OK, site.meter.render(site.keeper.wrong()).trim_end());
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}

/// A line of text.
pub(super) fn plain(status: StatusCode, text: &str) -> Response<Body> {
    let mut answer = Response::new(Body::from(format!("{text}\n")));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// The shelf can't answer: the operator's matter, so a client gets the code and no paths.
pub(super) fn trouble(error: &Trouble) -> Response<Body> {
    plain(
        StatusCode::INTERNAL_SERVER_ERROR,
        &format!("{}: the server can't read what it serves; its log says more", error.code()),
    )
}
