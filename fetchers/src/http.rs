//! `http:` and `https:`: one object behind a URL, and its siblings in the same directory.
//!
//! A poll is one conditional request: `GET` where the path names a small document (`.fetchd`,
//! `.json`), `HEAD` otherwise. The revision holds the validators of the answer.

mod secrets;
mod settings;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use reqwest::header::{ACCEPT_ENCODING, HeaderMap, HeaderValue};
use reqwest::{Method, Response, StatusCode};
use url::Url;

use crate::ahead::Ahead;
use crate::error::{FetchError, Kind};
use crate::fetcher::{Asset, AssetName, Body, Fetcher, Polled, Release, Revision, Start};
use crate::net::{Client, Download, Opened, Request, Seen, Validators, content_length, must_be_plain, refusal};
use crate::options::{ConfigError, Options, grouped};
use crate::redact::redact;
use crate::{DOCUMENT_LIMIT, is_document};
use secrets::Secrets;

/// Opens an `http:` or `https:` source. The URL's query belongs to the server; options come from
/// `options` alone.
pub fn make(url: &Url, options: &Options) -> Result<Box<dyn Fetcher>, ConfigError> {
    settings::read(url, options).map(|fetcher| Box::new(fetcher) as Box<dyn Fetcher>)
}

struct HttpFetcher {
    /// Without user information, which is among the secrets.
    url: Url,
    name: AssetName,
    method: Method,
    /// For one poll, its redirects and its document.
    timeout: Duration,
    secrets: Secrets,
    client: Client,
}

impl fmt::Debug for HttpFetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpFetcher")
            .field("url", &redact(&self.url))
            .field("method", &self.method)
            .field("timeout", &self.timeout)
            .field("secrets", &self.secrets)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Fetcher for HttpFetcher {
    async fn poll(&self, since: Option<&Revision>) -> Result<Polled, FetchError> {
        match tokio::time::timeout(self.timeout, self.poll_now(since)).await {
            Ok(polled) => polled,
            Err(_) => {
                let limit = humantime::format_duration(self.timeout);
                Err(self.error(Kind::Unreachable, format!("the poll took longer than {limit}")))
            }
        }
    }

    async fn open(&self, release: &Release, asset: &AssetName, start: &Start) -> Result<Body, FetchError> {
        self.open_ahead(release, asset, start, Ahead::default()).await
    }

    async fn open_ahead(
        &self,
        release: &Release,
        asset: &AssetName,
        start: &Start,
        ahead: Ahead,
    ) -> Result<Body, FetchError> {
        let url = self.locate(asset)?;
        let polled = (*asset == self.name).then(|| Seen {
            validators: Validators::parse(&release.revision),
            size: release.assets.iter().find(|asset| asset.name == self.name).and_then(|asset| asset.size),
            // Some servers answer a HEAD with a length that no body has.
            exact: false,
        });
        let (headers, secrets) = (HeaderMap::new(), self.secrets(&url)?);
        match (Download { client: &self.client, url: &url, headers, secrets, polled }).open(start, ahead).await? {
            Opened::Body(body) => Ok(body),
            Opened::Refused(answer) => Err(refusal(&url, answer.status(), answer.headers())),
        }
    }
}

impl HttpFetcher {
    async fn poll_now(&self, since: Option<&Revision>) -> Result<Polled, FetchError> {
        let known = since.map(Validators::parse).unwrap_or_default();
        let conditions = known.conditions();
        let conditional = !conditions.is_empty();
        let mut answer = self.ask(self.method.clone(), conditions.clone()).await?;
        let mut reads = self.method == Method::GET;
        if !reads && matches!(answer.status().as_u16(), 405 | 501) {
            answer = self.ask(Method::GET, conditions).await?;
            reads = false;
        }
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NOT_MODIFIED if conditional => return Ok(Polled::Unchanged),
            StatusCode::NOT_MODIFIED => {
                return Err(self.error(Kind::Other, "answers `not modified` to a request without a condition"));
            }
            status => return Err(refusal(&self.url, status, answer.headers())),
        }
        must_be_plain(&self.url, answer.headers())?;
        let size = content_length(answer.headers());
        let mut seen = Validators::of(answer.headers());
        let document = if reads { self.document(answer).await? } else { None };
        if let Some(document) = &document {
            seen.add_digest(document);
        }
        if seen.same(&known) {
            return Ok(Polled::Unchanged);
        }
        let size = document.as_ref().map(|document| document.len() as u64).or(size);
        Ok(Polled::Offers(Release {
            revision: seen.revision(),
            label: None,
            assets: vec![Asset { name: self.name.clone(), size, digest: None, handle: None }],
            document,
        }))
    }

    /// The body, if it is small; a larger one is an error only where the path promises a document.
    async fn document(&self, mut answer: Response) -> Result<Option<Bytes>, FetchError> {
        let mut bytes = BytesMut::new();
        let mut large = content_length(answer.headers()).is_some_and(|length| length > DOCUMENT_LIMIT);
        while !large {
            match answer.chunk().await.map_err(|error| self.client.failed(&self.url, error))? {
                None => return Ok(Some(bytes.freeze())),
                Some(chunk) => bytes.extend_from_slice(&chunk),
            }
            large = bytes.len() as u64 > DOCUMENT_LIMIT;
        }
        if is_document(self.url.path()) {
            let limit = grouped(DOCUMENT_LIMIT);
            return Err(
                self.error(Kind::TooLarge, format!("is larger than {limit} bytes, the most a document may have"))
            );
        }
        Ok(None)
    }

    async fn ask(&self, method: Method, mut headers: HeaderMap) -> Result<Response, FetchError> {
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        self.client.send(Request { method, url: &self.url, headers, secrets: self.secrets(&self.url)? }).await
    }

    fn secrets(&self, url: &Url) -> Result<HeaderMap, FetchError> {
        // A file that is being renewed may be missing for a moment, which is no reason to give up.
        self.secrets.headers().map_err(|why| FetchError::new(Kind::Denied, url, why.message))
    }

    /// The URL of `asset`: the source itself, or a sibling in its directory, without its query.
    fn locate(&self, asset: &AssetName) -> Result<Url, FetchError> {
        let mut url = self.url.clone();
        if *asset != self.name {
            url.set_query(None);
            let mut path = url.path_segments_mut().map_err(|()| self.error(Kind::Misconfigured, "has no directory"))?;
            path.pop().extend(asset.as_str().split('/'));
        }
        Ok(url)
    }

    fn error(&self, kind: Kind, detail: impl Into<String>) -> FetchError {
        FetchError::new(kind, &self.url, detail)
    }
}
