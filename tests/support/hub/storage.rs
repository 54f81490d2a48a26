//! The second host: large files under signed addresses that expire.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use modelpm::model::Sha256;

use super::content::Stored;
use super::{Life, State};
use crate::support::http::{Answer, Request};

/// An address that was signed.
pub(super) struct Signed {
    /// What it leads to: the path part of the address.
    path: String,
    stored: Arc<Stored>,
    requests: AtomicU64,
    bytes: Arc<AtomicU64>,
}

/// Signs an address for a large file, another one each time.
pub(super) fn sign(state: &mut State, host: &str, repository: &str, file: &str, stored: &Arc<Stored>) -> String {
    let path = format!("{repository}/{}/{file}", stored.version());
    let signature = Sha256::of(format!("{} {path}", state.signatures.len()).as_bytes()).hex();
    let (requests, bytes) = match state.life {
        Life::Long => (u64::MAX, u64::MAX),
        Life::Requests(requests) => (requests, u64::MAX),
        Life::Bytes(bytes) => (u64::MAX, bytes),
    };
    let address = format!("{host}/{}?Expires=4102444800&Key-Pair-Id=STANDIN&Signature={signature}", encoded(&path));
    let signed = Signed { path, stored: Arc::clone(stored), requests: requests.into(), bytes: Arc::new(bytes.into()) };
    state.signatures.insert(signature, signed);
    address
}

pub(super) fn answer(state: &mut State, request: &Request) -> Answer {
    // As S3: an address that is signed and a header besides are two claims.
    if request.headers.contains_key("authorization") {
        return refusal(400, "InvalidArgument", "Only one auth mechanism allowed");
    }
    let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
    let signature = query.split('&').find_map(|pair| pair.strip_prefix("Signature=")).unwrap_or_default();
    let Some(signed) = state.signatures.get(signature).filter(|signed| encoded(&signed.path) == path) else {
        return refusal(403, "SignatureDoesNotMatch", "The signature does not match the address");
    };
    let left = |counter: &AtomicU64, take: u64| {
        counter.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(take)).unwrap_or(0)
    };
    if left(&signed.requests, 1) == 0 || left(&signed.bytes, 0) == 0 {
        return refusal(403, "AccessDenied", "Request has expired");
    }
    // Storage has versions of its own, which say nothing of the content's hash.
    let etag = format!("\"{}-1\"", &Sha256::of(signed.stored.version().as_bytes()).hex()[..32]);
    Answer::file(signed.stored.content.clone(), &etag)
        .header("Content-Type", "application/octet-stream")
        .within(Arc::clone(&signed.bytes))
}

fn refusal(status: u16, code: &str, message: &str) -> Answer {
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
    );
    Answer::text(status, text).header("Content-Type", "application/xml")
}

/// A path with what may not stand in an address percent-encoded.
pub(super) fn encoded(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    path.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
