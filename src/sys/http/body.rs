//! Bodies as streams, watched: silence and drips end them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::model::SafeUrl;
use crate::sys::http::limit::Limit;
use crate::sys::http::{HttpError, Patience};

/// Bytes of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteRange {
    /// Offset of the first.
    pub from: u64,
    /// Offset after the last; none: up to the end. More than `from`.
    pub to: Option<u64>,
}

impl ByteRange {
    /// From some byte on to the end.
    pub fn from(from: u64) -> Self {
        Self { from, to: None }
    }

    /// The value of `Range`; none where the whole is meant.
    pub(super) fn header(self) -> Option<String> {
        match self.to {
            Some(to) => Some(format!("bytes={}-{}", self.from, to.saturating_sub(1))),
            None if self.from > 0 => Some(format!("bytes={}-", self.from)),
            None => None,
        }
    }

    /// Whether a server that was asked for these bytes may answer with those from `first` to `last`.
    fn admits(self, first: u64, last: u64) -> bool {
        first == self.from && self.to.is_none_or(|to| last < to)
    }
}

/// The body of an answer, from some byte on.
#[derive(Debug)]
pub struct RangeBody {
    url: Box<SafeUrl>,
    response: reqwest::Response,
    start: u64,
    total: Option<u64>,
    etag: Option<String>,
    watch: Watch,
    limit: Option<Arc<Limit>>,
}

impl RangeBody {
    /// Takes a successful answer to a request for these bytes.
    pub(super) fn new(
        url: Box<SafeUrl>,
        response: reqwest::Response,
        range: ByteRange,
        patience: &Patience,
        limit: Option<Arc<Limit>>,
    ) -> Result<Self, HttpError> {
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        if let Some(encoding) = header(reqwest::header::CONTENT_ENCODING)
            && !encoding.eq_ignore_ascii_case("identity")
        {
            return Err(HttpError::Encoded { url, encoding: encoding.chars().take(40).collect() });
        }
        let length = header(reqwest::header::CONTENT_LENGTH).and_then(|text| text.parse::<u64>().ok());
        let (start, total) = if response.status() == reqwest::StatusCode::PARTIAL_CONTENT {
            let found = header(reqwest::header::CONTENT_RANGE).unwrap_or_default();
            match parse_content_range(&found) {
                Some((start, last, total)) if range.admits(start, last) => (start, total),
                _ => {
                    return Err(HttpError::Range {
                        url,
                        expected: range.from,
                        found: found.chars().take(60).collect(),
                    });
                }
            }
        } else {
            (0, length)
        };
        let etag = header(reqwest::header::ETAG);
        Ok(Self { url, response, start, total, etag, watch: Watch::new(patience), limit })
    }

    /// The status: 200 for the whole, 206 for the part that was asked for.
    pub fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    /// Offset of the first byte that comes: what was asked for, or 0 where the server sends the whole.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// Length of the whole file, if the server says.
    pub fn total(&self) -> Option<u64> {
        self.total
    }

    /// `ETag`, if given.
    pub fn etag(&self) -> Option<&str> {
        self.etag.as_deref()
    }

    /// The next bytes; `None` at the end. Time that the caller takes between two calls does not count.
    ///
    /// # Errors
    /// The connection broke, or was silent or too slow for too long.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, HttpError> {
        let before = tokio::time::Instant::now();
        let next = tokio::time::timeout(self.watch.stall, self.response.chunk()).await;
        let waited = before.elapsed();
        if let (Some(limit), Ok(Ok(Some(chunk)))) = (&self.limit, &next) {
            limit.pay(chunk.len() as u64).await;
        }
        match next {
            Err(_) => Err(HttpError::Stalled { url: self.url.clone(), seconds: self.watch.stall }),
            Ok(Err(source)) => Err(HttpError::unreachable(self.url.clone(), source)),
            Ok(Ok(None)) => Ok(None),
            Ok(Ok(Some(chunk))) => match self.watch.take(waited, chunk.len() as u64) {
                None => Ok(Some(chunk)),
                Some((bytes, seconds)) => {
                    Err(HttpError::TooSlow { url: self.url.clone(), bytes, least: self.watch.least, seconds })
                }
            },
        }
    }

    /// All that is left, if it is at most `cap` bytes.
    pub(super) async fn read_whole(mut self, cap: u64) -> Result<Vec<u8>, HttpError> {
        let too_large = |url: &SafeUrl| HttpError::TooLarge { url: Box::new(url.clone()), cap };
        if self.total.is_some_and(|total| total > cap) {
            return Err(too_large(&self.url));
        }
        let mut body = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            if body.len() as u64 + chunk.len() as u64 > cap {
                return Err(too_large(&self.url));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

/// Counts bytes over the time that was spent waiting for them.
#[derive(Debug)]
struct Watch {
    stall: Duration,
    window: Duration,
    least: u64,
    waited: Duration,
    bytes: u64,
}

impl Watch {
    fn new(patience: &Patience) -> Self {
        Self { stall: patience.stall, window: patience.window, least: patience.least, waited: Duration::ZERO, bytes: 0 }
    }

    /// What the window that ends now brought, if that is too little.
    fn take(&mut self, waited: Duration, bytes: u64) -> Option<(u64, Duration)> {
        self.waited += waited;
        self.bytes += bytes;
        if self.waited < self.window {
            return None;
        }
        let slow = (self.bytes < self.least).then_some((self.bytes, self.waited));
        (self.waited, self.bytes) = (Duration::ZERO, 0);
        slow
    }
}

/// First and last byte and total length of `Content-Range: bytes 7-9/10` (RFC 9110, section 14.4); the total may be `*`.
pub fn parse_content_range(text: &str) -> Option<(u64, u64, Option<u64>)> {
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last) = (first.parse::<u64>().ok()?, last.parse::<u64>().ok()?);
    let total = if total == "*" { None } else { Some(total.parse::<u64>().ok()?) };
    (first <= last && total.is_none_or(|total| last < total)).then_some((first, last, total))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{ByteRange, Watch, parse_content_range};

    #[test]
    fn an_answer_may_end_before_a_span_does_and_not_after() {
        let range = ByteRange { from: 7, to: Some(10) };
        assert_eq!(range.header().as_deref(), Some("bytes=7-9"));
        assert!(range.admits(7, 9) && range.admits(7, 8));
        assert!(!range.admits(7, 10) && !range.admits(6, 9) && !range.admits(8, 9));
        assert_eq!((ByteRange::from(0).header(), ByteRange::from(3).header().as_deref()), (None, Some("bytes=3-")));
        assert!(ByteRange::from(3).admits(3, u64::MAX));
    }

    #[test]
    fn content_ranges_are_read_strictly() {
        for (text, expected) in [
            ("bytes 7-9/10", Some((7, 9, Some(10)))),
            ("bytes 7-9/*", Some((7, 9, None))),
            ("bytes 9-7/10", None),
            ("bytes 7-10/10", None),
            ("bytes */10", None),
            ("7-9/10", None),
            ("bytes -9/10", None),
            ("", None),
        ] {
            assert_eq!(parse_content_range(text), expected, "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_range_or_none(text in "(bytes |[0-9]{1,25}|[-/*]|\\PC){0,6}") {
            if let Some((first, last, total)) = parse_content_range(&text) {
                proptest::prop_assert!(first <= last && total.is_none_or(|total| last < total), "{text}");
            }
        }
    }

    #[test]
    fn drips_are_told_from_streams() {
        let second = Duration::from_secs(1);
        let mut watch = Watch { stall: second, window: 2 * second, least: 10, waited: Duration::ZERO, bytes: 0 };
        assert_eq!(watch.take(second, 4), None);
        assert_eq!(watch.take(second, 6), None, "ten bytes in two seconds will do");
        assert_eq!(watch.take(second, 4), None);
        assert_eq!(watch.take(second, 5), Some((9, 2 * second)));
    }
}
