//! What fetchers over HTTP share: one client, redirects that keep secrets at home, and answers
//! read strictly.

mod answer;
mod connections;
mod download;
#[cfg(debug_assertions)]
pub(crate) mod fuzz;
mod ranges;
mod redirect;
mod secret;
mod settings;
mod validators;

use std::sync::Arc;

use reqwest::header::{HeaderMap, LOCATION};
use reqwest::{Method, Response, StatusCode};
use url::Url;

pub(crate) use answer::{content_length, content_range, must_be_plain, refusal};
use connections::Connections;
pub(crate) use download::{Download, Opened, Seen};
pub(crate) use redirect::next_hop;
pub(crate) use secret::{contents, sensitive, warn_if_open};
pub(crate) use settings::{Settings, positive};
pub(crate) use validators::Validators;

use crate::error::{FetchError, Kind};
use crate::options::ConfigError;

/// An HTTP/1.1 client.
#[derive(Clone)]
pub(crate) struct Client {
    settings: Arc<Settings>,
    connections: Arc<Connections>,
    /// The same with connections that are used again.
    kept_alive: Arc<Connections>,
}

/// One request, before any redirect.
pub(crate) struct Request<'a> {
    pub(crate) method: Method,
    pub(crate) url: &'a Url,
    /// Headers for whichever host answers in the end.
    pub(crate) headers: HeaderMap,
    /// Headers for the origin of `url` alone.
    pub(crate) secrets: HeaderMap,
}

/// Redirects followed for one request.
const REDIRECTS: usize = 10;

impl Client {
    /// Builds a client for a source at `url`. Nothing is connected yet.
    pub(crate) fn build(settings: Settings, url: &Url) -> Result<Client, ConfigError> {
        let client = Client {
            // A fetcher keeps no memory: a connection ends with its body, also when that is dropped.
            connections: Arc::new(Connections::new(0)),
            kept_alive: Arc::new(Connections::new(settings.plan.connections)),
            settings: Arc::new(settings),
        };
        client.to(url).map(|_| client)
    }

    /// The same client for the parts of one download, whose connections serve one part after the other: no more of them
    /// are kept than there may be at once.
    fn kept_alive(&self) -> Client {
        Client { connections: Arc::clone(&self.kept_alive), ..self.clone() }
    }

    /// The client underneath that can reach `url`. It follows no redirect.
    pub(crate) fn to(&self, url: &Url) -> Result<reqwest::Client, ConfigError> {
        self.connections.to(url, &self.settings)
    }

    /// Sends `request` and follows up to ten redirects.
    ///
    /// Once a redirect leads to another origin (scheme, host or port) the secrets are gone for the
    /// rest of the way. From https to http is refused. Errors name `request.url`, whoever answered.
    pub(crate) async fn send(&self, request: Request<'_>) -> Result<Response, FetchError> {
        let Request { method, url, headers, mut secrets } = request;
        let mut at = url.clone();
        for _ in 0..=REDIRECTS {
            let mut all = headers.clone();
            all.extend(secrets.clone());
            let http = self.to(&at).map_err(|why| FetchError::new(Kind::Other, url, why.message))?;
            let sent = http.request(method.clone(), at.clone()).headers(all).send().await;
            let answer = sent.map_err(|error| self.failed(url, error))?;
            if !redirects(answer.status()) {
                return Ok(answer);
            }
            let location = answer.headers().get(LOCATION).map(|value| value.as_bytes());
            let next = next_hop(&at, location).map_err(|why| FetchError::new(Kind::Other, url, why.to_string()))?;
            if next.origin() != at.origin() {
                secrets.clear();
            }
            at = next;
        }
        Err(FetchError::new(Kind::Other, url, format!("redirects more than {REDIRECTS} times")))
    }

    /// What an error of reqwest's means; its URL, which may hold a token, is taken out of it.
    pub(crate) fn failed(&self, url: &Url, error: reqwest::Error) -> FetchError {
        let error = error.without_url();
        let (kind, detail) = if error.is_connect() {
            let late = if error.is_timeout() { " in time" } else { "" };
            (Kind::Unreachable, format!("no connection could be made{late}"))
        } else if error.is_timeout() {
            (
                Kind::Unreachable,
                format!("nothing was received for {}", humantime::format_duration(self.settings.read_timeout)),
            )
        } else if error.is_body() || error.is_decode() {
            (Kind::Incomplete, "the body broke off".to_owned())
        } else if error.is_builder() {
            // Not `Misconfigured`: a redirect can cause it, and no source may stop the polls for good.
            (Kind::Other, "the request cannot be made".to_owned())
        } else {
            (Kind::Unreachable, "the request was not answered".to_owned())
        };
        FetchError::new(kind, url, detail).because(error)
    }
}

pub(crate) fn redirects(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}
