//! What GitHub means by the statuses it refuses with.

use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::api::{AnswerBody, Api};
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
    pub(super) async fn refused(&self, answer: ::http::Response<impl AnswerBody>, missing: &str) -> FetchError {
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

    /// The error that a 422 stands for. Of the explanation the names are shown, and no text.
    pub(super) async fn unprocessable(&self, answer: ::http::Response<impl AnswerBody>) -> FetchError {
        #[derive(Deserialize)]
        struct Explanation {
            #[serde(default)]
            errors: Vec<Fault>,
        }
        #[derive(Deserialize)]
        struct Fault {
            #[serde(default)]
            code: String,
            #[serde(default)]
            field: String,
        }
        let faults = explanation::<Explanation>(answer.into_body()).await.map_or(Vec::new(), |it| it.errors);
        if faults.iter().any(|fault| fault.code == "already_exists") {
            return self.error(Kind::Changed, "there is one of this name already: status 422");
        }
        let name = |text: &str| text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        let named = faults
            .iter()
            .find(|fault| fault.code.len() + fault.field.len() <= 64 && name(&fault.code) && name(&fault.field));
        let why = named.map(|fault| format!(" (`{}`: `{}`)", fault.field, fault.code)).unwrap_or_default();
        self.error(Kind::Other, format!("what is asked for cannot be done{why}: status 422"))
    }
}

/// Whether the explanation is that of a rate limit. What it says is nowhere shown: it is the
/// server's text.
async fn speaks_of_limits(body: impl AnswerBody) -> bool {
    #[derive(Deserialize)]
    struct Explanation {
        message: String,
    }
    let Some(explanation) = explanation::<Explanation>(body).await else { return false };
    let message = explanation.message.to_lowercase();
    message.contains("rate limit") || message.contains("abuse detection")
}

/// The JSON that comes with a refusal, if it is there, small, and in time.
async fn explanation<T: DeserializeOwned>(body: impl AnswerBody) -> Option<T> {
    let read = tokio::time::timeout(MESSAGE_TIME, Limited::new(body, MESSAGE_LIMIT).collect()).await;
    serde_json::from_slice(&read.ok()?.ok()?.to_bytes()).ok()
}
