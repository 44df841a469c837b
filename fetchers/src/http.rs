//! `http:` and `https:`: one object behind a URL, and its siblings in the same directory.
//!
//! A poll is one conditional request: `GET` where the path names a small document (`.fetchd`,
//! `.json`), `HEAD` otherwise. The revision holds the validators of the answer.

mod secrets;
mod settings;
mod validators;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use reqwest::header::{ACCEPT_ENCODING, HeaderMap, HeaderValue, IF_RANGE, RANGE};
use reqwest::{Method, Response, StatusCode};
use url::Url;

use crate::error::{FetchError, Kind};
use crate::fetcher::{Asset, AssetName, Body, Fetcher, Polled, Release, Revision, Start};
use crate::net::{Client, Request, content_length, content_range, must_be_plain, refusal};
use crate::options::{ConfigError, Options, grouped};
use crate::redact::redact;
use crate::{DOCUMENT_LIMIT, is_document};
use secrets::Secrets;
use validators::Validators;

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
        let url = self.locate(asset)?;
        let polled = (*asset == self.name).then_some(release);
        if let Some(if_range) = resumable(start) {
            let mut headers = HeaderMap::new();
            headers.insert(RANGE, number_header(&format!("bytes={}-", start.byte)));
            headers.insert(IF_RANGE, if_range);
            let answer = self.ask(Method::GET, &url, headers).await?;
            match answer.status() {
                StatusCode::OK => return self.whole(&url, polled, answer),
                StatusCode::PARTIAL_CONTENT => {
                    if let Some(rest) = self.rest(&url, polled, start, &answer)? {
                        return Ok(rest.body(self.client.clone(), url, answer));
                    }
                }
                StatusCode::RANGE_NOT_SATISFIABLE => {}
                status => return Err(refusal(&url, status, answer.headers())),
            }
            // What came is not the rest of what the caller has: from the beginning, once.
        }
        let answer = self.ask(Method::GET, &url, HeaderMap::new()).await?;
        match answer.status() {
            StatusCode::OK => self.whole(&url, polled, answer),
            StatusCode::PARTIAL_CONTENT => {
                Err(FetchError::new(Kind::Incomplete, &url, "sends a part, though the whole was asked for"))
            }
            status => Err(refusal(&url, status, answer.headers())),
        }
    }
}

impl HttpFetcher {
    async fn poll_now(&self, since: Option<&Revision>) -> Result<Polled, FetchError> {
        let known = since.map(Validators::parse).unwrap_or_default();
        let conditions = known.conditions();
        let conditional = !conditions.is_empty();
        let mut answer = self.ask(self.method.clone(), &self.url, conditions.clone()).await?;
        let mut reads = self.method == Method::GET;
        if !reads && matches!(answer.status().as_u16(), 405 | 501) {
            answer = self.ask(Method::GET, &self.url, conditions).await?;
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
            return Err(self.error(Kind::Other, format!("is larger than {limit} bytes, the most a document may have")));
        }
        Ok(None)
    }

    async fn ask(&self, method: Method, url: &Url, mut headers: HeaderMap) -> Result<Response, FetchError> {
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        // A file that is being renewed may be missing for a moment, which is no reason to give up.
        let secrets = self.secrets.headers().map_err(|why| FetchError::new(Kind::Denied, url, why.message))?;
        self.client.send(Request { method, url, headers, secrets }).await
    }

    /// The body of a 200.
    fn whole(&self, url: &Url, polled: Option<&Release>, answer: Response) -> Result<Body, FetchError> {
        let total = content_length(answer.headers());
        let seen = self.must_be_offered(url, polled, total, answer.headers())?;
        let part = Part { start: 0, total, length: total, validator: seen.resumable().then(|| seen.revision()) };
        Ok(part.body(self.client.clone(), url.clone(), answer))
    }

    /// What a 206 holds, if it is the rest of what the caller has.
    fn rest(
        &self,
        url: &Url,
        polled: Option<&Release>,
        start: &Start,
        answer: &Response,
    ) -> Result<Option<Part>, FetchError> {
        let headers = answer.headers();
        let Some(range) = content_range(headers) else { return Ok(None) };
        let length = range.last - range.first + 1;
        let to_the_end = range.total.is_none_or(|total| range.last + 1 == total);
        let sound = content_length(headers).is_none_or(|announced| announced == length);
        let kept = start.validator.as_ref().map(Validators::parse).unwrap_or_default();
        if range.first != start.byte || !to_the_end || !sound || Validators::of(headers).moved_from(&kept) {
            return Ok(None);
        }
        self.must_be_offered(url, polled, range.total, headers)?;
        Ok(Some(Part {
            start: range.first,
            total: range.total,
            length: Some(length),
            validator: start.validator.clone(),
        }))
    }

    /// Refuses what is encoded, and what is no longer the object that was polled.
    fn must_be_offered(
        &self,
        url: &Url,
        polled: Option<&Release>,
        total: Option<u64>,
        headers: &HeaderMap,
    ) -> Result<Validators, FetchError> {
        must_be_plain(url, headers)?;
        let seen = Validators::of(headers);
        let Some(release) = polled else { return Ok(seen) };
        let offered = release.assets.iter().find(|asset| asset.name == self.name).and_then(|asset| asset.size);
        let resized = matches!((offered, total), (Some(offered), Some(total)) if offered != total);
        if resized || seen.moved_from(&Validators::parse(&release.revision)) {
            return Err(FetchError::new(Kind::Changed, url, "was replaced since the poll"));
        }
        Ok(seen)
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

/// What `If-Range` to send, if the body can begin at `start` at all.
fn resumable(start: &Start) -> Option<HeaderValue> {
    if start.byte == 0 { None } else { Validators::parse(start.validator.as_ref()?).if_range() }
}

fn number_header(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("bytes=0-"))
}

/// The part of an asset that an answer carries.
struct Part {
    start: u64,
    total: Option<u64>,
    length: Option<u64>,
    validator: Option<Revision>,
}

impl Part {
    fn body(self, client: Client, url: Url, answer: Response) -> Body {
        let Part { start, total, length, validator } = self;
        let reading = Reading { client, url, answer, length, received: 0 };
        let stream = stream::unfold(Some(reading), |reading| async move {
            match reading?.next().await {
                Ok(Some((chunk, rest))) => Some((Ok(chunk), Some(rest))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        });
        Body { start, total, validator, stream: stream.boxed() }
    }
}

struct Reading {
    client: Client,
    url: Url,
    answer: Response,
    length: Option<u64>,
    received: u64,
}

impl Reading {
    async fn next(mut self) -> Result<Option<(Bytes, Reading)>, FetchError> {
        let length = self.length.map_or("an unknown number of".to_owned(), grouped);
        let progress = |received: u64| format!("ended early: got {} of {length} bytes", grouped(received));
        match self.answer.chunk().await {
            Ok(Some(chunk)) => {
                self.received += chunk.len() as u64;
                if self.length.is_some_and(|length| self.received > length) {
                    return Err(FetchError::new(Kind::Incomplete, &self.url, "sends more bytes than it announced"));
                }
                Ok(Some((chunk, self)))
            }
            Ok(None) if self.length.is_some_and(|length| self.received < length) => {
                Err(FetchError::new(Kind::Incomplete, &self.url, progress(self.received)))
            }
            Ok(None) => Ok(None),
            Err(error) if error.is_timeout() => Err(self.client.failed(&self.url, error)),
            Err(error) => {
                Err(FetchError::new(Kind::Incomplete, &self.url, progress(self.received)).because(error.without_url()))
            }
        }
    }
}
