//! What GitHub means by the statuses it refuses with.

use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use http_body_util::{BodyExt, Limited};
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde::Deserialize;

use super::api::Api;
use crate::error::{FetchError, Kind, Retry};
use crate::net::refusal;

/// How long to stay away where GitHub limits the rate and does not say: "at least one minute".
const UNTOLD_WAIT: Duration = Duration::from_secs(60);
/// An explanation longer than this is not one.
const MESSAGE_LIMIT: usize = 64 * 1024;
/// An explanation that takes longer is done without.
const MESSAGE_TIME: Duration = Duration::from_secs(10);

impl Api {
    /// The error that an answer stands for. `missing` says what a 404 means here.
    pub(super) async fn refused<B>(&self, answer: ::http::Response<B>, missing: &str) -> FetchError
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (head, body) = answer.into_parts();
        let limits = match head.status.as_u16() {
            403 | 429 => speaks_of_limits(body).await,
            _ => false,
        };
        self.explain(head.status, &head.headers, limits, missing)
    }

    fn explain(&self, status: StatusCode, headers: &HeaderMap, limits: bool, missing: &str) -> FetchError {
        let plain = refusal(&self.source, status, headers);
        let denied = |detail: &str| self.error(Kind::Denied, format!("{detail}: status {}", status.as_u16()));
        let used_up = headers.get("x-ratelimit-remaining").is_some_and(|left| left.as_bytes() == b"0");
        let sso = headers.get("x-github-sso").is_some();
        match status.as_u16() {
            404 | 410 => self.error(Kind::NotFound, format!("{missing}: status {}", status.as_u16())),
            401 if self.token.exists() => denied("the token is refused"),
            401 => denied("a token is asked for"),
            403 | 429 if matches!(plain.retry(), Retry::After(_)) => plain,
            403 if sso => denied("the organisation asks for a token authorised for single sign-on (`x-github-sso`)"),
            403 | 429 if limits || used_up || status.as_u16() == 429 => {
                let detail = format!("the source asks for fewer requests: status {}", status.as_u16());
                self.error(Kind::Throttled, detail).retry_after(Some(UNTOLD_WAIT))
            }
            403 if self.token.exists() => denied("the token may not do this"),
            403 => denied("is refused to us without a token"),
            _ => plain,
        }
    }
}

/// Whether the explanation is that of a rate limit. What it says is nowhere shown: it is the
/// server's text.
async fn speaks_of_limits<B>(body: B) -> bool
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    #[derive(Deserialize)]
    struct Explanation {
        message: String,
    }
    let read = tokio::time::timeout(MESSAGE_TIME, Limited::new(body, MESSAGE_LIMIT).collect()).await;
    let Ok(Ok(bytes)) = read else { return false };
    let Ok(explanation) = serde_json::from_slice::<Explanation>(&bytes.to_bytes()) else { return false };
    let message = explanation.message.to_lowercase();
    message.contains("rate limit") || message.contains("abuse detection")
}
