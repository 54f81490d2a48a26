//! Answers as the hub's clients read them: bodies, and the headers that make exceptions and warnings of theirs.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};

use crate::hub::{Denial, header_text};
use crate::model::HubCommit;
use crate::serve::site::Site;

const REPO_COMMIT: HeaderName = HeaderName::from_static("x-repo-commit");
const ERROR_CODE: HeaderName = HeaderName::from_static("x-error-code");
const ERROR_MESSAGE: HeaderName = HeaderName::from_static("x-error-message");
const WARNING: HeaderName = HeaderName::from_static("x-hf-warning");

/// An answer of JSON.
pub(super) fn json(body: Vec<u8>) -> Response<Body> {
    let length = HeaderValue::from(body.len());
    let mut answer = Response::new(Body::from(body));
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::CONTENT_LENGTH, length);
    answer
}

/// No bytes, and no word of how many: what stands in for a body whose length is not told.
pub(super) fn of_unknown_length() -> Body {
    Body::from_stream(futures_util::stream::empty::<std::io::Result<axum::body::Bytes>>())
}

/// A refusal.
pub(super) fn denied(denial: &Denial) -> Response<Body> {
    let message = denial.message();
    let mut answer = json(serde_json::json!({ "error": message }).to_string().into_bytes());
    *answer.status_mut() = StatusCode::from_u16(denial.status()).unwrap_or(StatusCode::NOT_FOUND);
    if matches!(denial, Denial::Anonymous(_) | Denial::Token) {
        answer.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"mpm\""));
    }
    if let Some(code) = denial.code() {
        answer.headers_mut().insert(ERROR_CODE, HeaderValue::from_static(code));
    }
    say(&mut answer, &message);
    answer
}

/// A refusal of a file at a commit that is known: clients note that it is absent there.
pub(super) fn absent(denial: &Denial, at: &HubCommit) -> Response<Body> {
    let mut answer = denied(denial);
    commit(answer.headers_mut(), at);
    answer
}

/// An answer that went wrong in another role, with the words for it where these clients look.
pub(super) fn explained(mut answer: Response<Body>) -> Response<Body> {
    let text = match answer.status() {
        StatusCode::RANGE_NOT_SATISFIABLE => "the file has no such bytes",
        StatusCode::PRECONDITION_FAILED => "it has another ETag",
        StatusCode::SERVICE_UNAVAILABLE => "the server can't give these bytes now; try again shortly",
        _ => "the server can't give this: its bytes are wrong or can't be read; its log says more to its operator",
    };
    say(&mut answer, text);
    answer
}

/// The commit that an answer is of.
pub(super) fn commit(headers: &mut HeaderMap, commit: &HubCommit) {
    if let Ok(value) = HeaderValue::from_str(commit.as_str()) {
        headers.insert(REPO_COMMIT, value);
    }
}

/// What clients print for their users: `topic; text`, once a topic.
pub(super) fn warn(headers: &mut HeaderMap, warnings: &[String]) {
    for warning in warnings {
        if let Ok(value) = HeaderValue::from_str(&header_text(warning)) {
            headers.append(WARNING, value);
        }
    }
}

fn say(answer: &mut Response<Body>, text: &str) {
    if let Ok(value) = HeaderValue::from_str(&header_text(text)) {
        answer.headers_mut().insert(ERROR_MESSAGE, value);
    }
}

/// The address of this server as the client wrote it: clients follow no relative address to a next page.
pub(super) fn origin(site: &Site, headers: &HeaderMap) -> String {
    let word = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let plain = |host: &&str| {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':' | b'[' | b']' | b'_');
        !host.is_empty() && host.len() <= 255 && host.bytes().all(good)
    };
    let host = word(header::HOST).filter(plain).unwrap_or("localhost");
    let before = HeaderName::from_static("x-forwarded-proto");
    let scheme = if site.tls.is_some() || word(before) == Some("https") { "https" } else { "http" };
    format!("{scheme}://{host}")
}
