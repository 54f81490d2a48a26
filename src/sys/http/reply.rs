//! Answers of interfaces, with what explains them: whatever the status, it is told.

use std::time::Duration;

use reqwest::header::HeaderMap;

use crate::model::SafeUrl;
use crate::sys::http::{ByteRange, HttpClient, HttpError, Lines, Scope, pause};
use crate::sys::runtime::block_on;

/// Longest text that explains a refusal, in characters.
const MAX_SAID: usize = 300;

/// An answer, whatever its status.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Where it came from in the end.
    pub url: SafeUrl,
    /// The status.
    pub status: u16,
    /// The body of a 200, at most as long as was asked for; else empty.
    pub body: Vec<u8>,
    /// `Link`.
    pub link: Option<String>,
    /// What explains another status.
    pub said: Said,
}

/// What a server says beside a status that is no success.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    /// `X-Error-Code`, cut.
    pub code: Option<String>,
    /// `X-Error-Message`, cut.
    pub message: Option<String>,
    /// How long it wants to be left alone: `Retry-After`, else the `t` of `RateLimit` where nothing is left.
    pub wait: Option<Duration>,
}

impl Said {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let cut = |name: &str| text(name).map(|text| text.chars().take(MAX_SAID).collect::<String>());
        let seconds = text("retry-after").and_then(|text| text.trim().parse().ok());
        let seconds = seconds.or_else(|| text("ratelimit").and_then(rate_limit));
        Self { code: cut("x-error-code"), message: cut("x-error-message"), wait: seconds.map(Duration::from_secs) }
    }
}

/// Seconds until requests count anew, if a `RateLimit` header says that none is left: `"api";r=0;t=55`.
fn rate_limit(text: &str) -> Option<u64> {
    let mut left = None;
    let mut seconds = None;
    for parameter in text.split(';') {
        match parameter.trim().split_once('=') {
            Some(("r", number)) => left = number.trim().parse::<u64>().ok(),
            Some(("t", number)) => seconds = number.trim().parse::<u64>().ok(),
            _ => {}
        }
    }
    seconds.filter(|_| left == Some(0))
}

impl HttpClient {
    /// Asks an interface: every status but those that may pass is an answer, 429 too. What may pass is tried again.
    ///
    /// # Errors
    /// `E0151` to `E0159`; `E0154` for 408, 425 and 5xx that do not pass.
    pub fn ask(&self, url: &SafeUrl, cap: u64, scope: Scope) -> Result<Reply, HttpError> {
        block_on(async {
            let mut tried = 0;
            loop {
                tried += 1;
                let error = match self.ask_once(url, cap, scope).await {
                    Ok(reply) => return Ok(reply),
                    Err(error) => error,
                };
                let again =
                    error.is_transient() && !matches!(error, HttpError::Stalled { .. } | HttpError::TooSlow { .. });
                if !again || tried >= self.settings.patience.tries {
                    return Err(error);
                }
                tokio::time::sleep(pause(&self.settings.patience, tried, error.retry_after(), url)).await;
            }
        })
    }

    /// Whether a credential goes with requests for this address.
    ///
    /// # Errors
    /// `E0159`: the netrc file can't be used.
    pub fn has_credential(&self, url: &SafeUrl) -> Result<bool, HttpError> {
        Ok(self.credentials()?.for_url(url.inner())?.is_some())
    }

    async fn ask_once(&self, url: &SafeUrl, cap: u64, scope: Scope) -> Result<Reply, HttpError> {
        let (at, response) = self.request(url, &HeaderMap::new(), scope, Lines::Shared).await?;
        let status = response.status().as_u16();
        if matches!(status, 408 | 425 | 500..=599) {
            return Err(super::refused_status(at, &response));
        }
        let said = Said::of(response.headers());
        let link = response.headers().get("link").and_then(|value| value.to_str().ok()).map(str::to_owned);
        let reply = Reply { url: (*at).clone(), status, body: Vec::new(), link, said };
        if status != 200 {
            return Ok(reply);
        }
        let body = self.body(at, response, ByteRange::from(0))?.read_whole(cap).await?;
        Ok(Reply { body, ..reply })
    }
}

#[cfg(test)]
mod tests {
    use super::rate_limit;

    #[test]
    fn a_rate_limit_that_is_used_up_says_how_long() {
        for (text, expected) in [
            ("\"api\";r=0;t=55", Some(55)),
            ("\"resolvers\"; r=0; t=3", Some(3)),
            ("\"api\";r=12;t=55", None),
            ("\"api\";t=55", None),
            ("\"api\";r=0", None),
            ("r=0;t=x", None),
            ("", None),
        ] {
            assert_eq!(rate_limit(text), expected, "{text}");
        }
    }
}
