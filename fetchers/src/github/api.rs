//! One repository behind an API: requests through octocrab, answers read strictly.

use std::error::Error;

use bytes::Bytes;
use http_body::Body;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use octocrab::Octocrab;
use reqwest::Method;
use reqwest::header::{ACCEPT, ACCEPT_ENCODING, HeaderMap, HeaderValue, LOCATION};
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;

use super::token::Token;
use super::transport::{octocrab, underneath};
use crate::error::{FetchError, Kind};
use crate::net::{Client, must_be_plain, next_hop, redirects};
use crate::options::grouped;

/// An answer whose body has not been read.
pub(super) type Answer = ::http::Response<BoxBody<Bytes, octocrab::Error>>;

/// A body of an answer, whether octocrab hands it over or reqwest.
pub(super) trait AnswerBody: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> {}

impl<B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>>> AnswerBody for B {}

/// The largest JSON that is read, in bytes: a hundred releases of a hundred assets fit.
const JSON_LIMIT: usize = 16 * 1024 * 1024;
/// Redirects followed for one request: those of a repository that was renamed.
const REDIRECTS: usize = 5;

/// One repository behind an API.
#[derive(Clone)]
pub(super) struct Api {
    /// The source as configured, which names it in errors.
    pub(super) source: Url,
    /// Where the API begins, `https://api.github.com` or `https://ghes.example.com/api/v3`.
    pub(super) base: Url,
    pub(super) owner: String,
    pub(super) repository: String,
    pub(super) token: Token,
    pub(super) client: Client,
}

impl Api {
    /// The URL of something of the repository's, made of plain path parts.
    pub(super) fn url(&self, parts: &[&str]) -> Url {
        let mut url = self.base.clone();
        // Fails only for URLs without a host, and http has one.
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["repos", &self.owner, &self.repository]).extend(parts);
        }
        url
    }

    /// The URL of one page of a list. The number is counted by us: a `Link` could lead anywhere,
    /// and for ever.
    pub(super) fn page(&self, parts: &[&str], size: usize, page: usize) -> Url {
        let mut url = self.url(parts);
        let number = |number: usize| number.to_string();
        url.query_pairs_mut().append_pair("per_page", &number(size)).append_pair("page", &number(page));
        url
    }

    /// The token as headers, read anew.
    pub(super) fn secrets(&self) -> Result<HeaderMap, FetchError> {
        // A file that is being renewed may be missing for a moment, which is no reason to give up.
        self.token.headers().map_err(|why| self.error(Kind::Denied, why.message))
    }

    /// What reaches `url` and the rest of its origin.
    fn octocrab(&self, url: &Url) -> Result<Octocrab, FetchError> {
        self.client.to(url).map(octocrab).map_err(|why| self.error(Kind::Other, why.message))
    }

    /// Gets `url`, if `conditions` hold, whatever the status. Redirects within the API's own
    /// origin are followed; the token goes nowhere else.
    pub(super) async fn get(&self, url: &Url, conditions: HeaderMap) -> Result<Answer, FetchError> {
        let octocrab = self.octocrab(url)?;
        let mut headers = self.headers()?;
        headers.extend(conditions);
        let mut at = url.clone();
        for _ in 0..=REDIRECTS {
            let sent = octocrab._get_with_headers(at.as_str(), Some(headers.clone())).await;
            let answer = sent.map_err(|error| self.failed(error))?;
            if !redirects(answer.status()) {
                return Ok(answer);
            }
            let location = answer.headers().get(LOCATION).map(|value| value.as_bytes());
            let mut next = next_hop(&at, location).map_err(|why| self.error(Kind::Other, why.to_string()))?;
            if next.origin() != self.base.origin() {
                return Err(self.error(Kind::Other, "the API redirects to another origin, which is refused"));
            }
            // Which page is asked for must not get lost on the way.
            if next.query().is_none() {
                next.set_query(at.query());
            }
            at = next;
        }
        Err(self.error(Kind::Other, format!("the API redirects more than {REDIRECTS} times")))
    }

    /// Sends `body`, if there is one, whatever the status. No redirect is followed.
    pub(super) async fn send(
        &self,
        method: Method,
        url: &Url,
        body: Option<&(impl Serialize + Sync)>,
    ) -> Result<Answer, FetchError> {
        let octocrab = self.octocrab(url)?;
        let mut request = ::http::Request::builder().method(method).uri(url.as_str());
        if let Some(headers) = request.headers_mut() {
            headers.extend(self.headers()?);
        }
        let request = octocrab.build_request(request, body).map_err(|error| self.failed(error))?;
        octocrab.execute(request).await.map_err(|error| self.failed(error))
    }

    /// The headers of a request for JSON.
    pub(super) fn headers(&self) -> Result<HeaderMap, FetchError> {
        let mut headers = self.secrets()?;
        headers.insert(ACCEPT, HeaderValue::from_static("application/vnd.github+json"));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        Ok(headers)
    }

    /// The JSON of an answer, at most 16 MiB.
    pub(super) async fn json<T: DeserializeOwned>(
        &self,
        answer: ::http::Response<impl AnswerBody>,
    ) -> Result<T, FetchError> {
        must_be_plain(&self.source, answer.headers())?;
        let read = Limited::new(answer.into_body(), JSON_LIMIT).collect().await;
        let bytes = read.map_err(|error| self.unread(error))?;
        // The error of serde's would quote the answer.
        serde_json::from_slice(&bytes.to_bytes()).map_err(|error| {
            let at = format!("line {}, column {}", error.line(), error.column());
            self.error(Kind::Other, format!("the API's answer is not what GitHub describes, at {at}"))
        })
    }

    /// What an error in the middle of a body means.
    fn unread(&self, error: Box<dyn Error + Send + Sync>) -> FetchError {
        if error.is::<LengthLimitError>() {
            let limit = grouped(JSON_LIMIT as u64);
            return self.error(Kind::Other, format!("the API's answer is larger than {limit} bytes"));
        }
        let error = match error.downcast::<octocrab::Error>() {
            Ok(error) => return self.failed(*error),
            Err(error) => error,
        };
        match error.downcast::<reqwest::Error>() {
            Ok(error) => self.client.failed(&self.source, *error),
            Err(error) => self.error(Kind::Incomplete, "the body broke off").because(error),
        }
    }

    /// What an error of octocrab's means.
    pub(super) fn failed(&self, error: octocrab::Error) -> FetchError {
        match underneath(error) {
            Ok(error) => self.client.failed(&self.source, error),
            Err(error) => self.error(Kind::Other, "the request cannot be made").because(error),
        }
    }

    /// An error about the source.
    pub(super) fn error(&self, kind: Kind, detail: impl Into<String>) -> FetchError {
        FetchError::new(kind, &self.source, detail)
    }
}
