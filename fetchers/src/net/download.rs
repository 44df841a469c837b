//! The bytes of one object, whole or the rest of them, and never those of two objects mixed.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use reqwest::header::{ACCEPT_ENCODING, HeaderMap, HeaderValue, IF_RANGE, RANGE};
use reqwest::{Method, Response, StatusCode};
use url::Url;

use super::ranges::Pinned;
use super::{Client, Request, Validators, content_length, content_range, must_be_plain};
use crate::ahead::Ahead;
use crate::error::{FetchError, Kind};
use crate::fetcher::{Body, Revision, Start};
use crate::options::grouped;
use crate::parts::{Chunks, Parts};

/// One object to read.
pub(crate) struct Download<'a> {
    pub(crate) client: &'a Client,
    pub(crate) url: &'a Url,
    /// Headers for whichever host answers in the end.
    pub(crate) headers: HeaderMap,
    /// Headers for the origin of `url` alone.
    pub(crate) secrets: HeaderMap,
    /// What a poll showed of the very object; nothing for a sibling that was never polled.
    pub(crate) polled: Option<Seen>,
}

/// What a poll showed of an object.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) validators: Validators,
    pub(crate) size: Option<u64>,
    /// Whether `size` is the length of a body that does not announce its own.
    pub(crate) exact: bool,
}

/// What came of a download.
pub(crate) enum Opened {
    /// Bytes.
    Body(Body),
    /// An answer of another status, which the caller has to explain.
    Refused(Response),
}

impl Download<'_> {
    /// Asks for the object from `start` on. What comes is the rest of what the caller has, or the
    /// whole from byte 0, for which it is asked once more if need be.
    pub(crate) async fn open(&self, start: &Start, ahead: Ahead) -> Result<Opened, FetchError> {
        if let Some(if_range) = resumable(start) {
            let mut headers = self.headers.clone();
            headers.insert(RANGE, number_header(&format!("bytes={}-", start.byte)));
            headers.insert(IF_RANGE, if_range);
            let answer = self.ask(headers).await?;
            match answer.status() {
                StatusCode::OK => return self.whole(answer, ahead).map(Opened::Body),
                StatusCode::PARTIAL_CONTENT => {
                    if let Some(rest) = self.rest(start, answer.headers())? {
                        return Ok(Opened::Body(self.body(rest, answer, ahead)));
                    }
                }
                StatusCode::RANGE_NOT_SATISFIABLE => {}
                _ => return Ok(Opened::Refused(answer)),
            }
            // What came is not the rest of what the caller has: from the beginning, once.
        }
        let answer = self.ask(self.headers.clone()).await?;
        match answer.status() {
            StatusCode::OK => self.whole(answer, ahead).map(Opened::Body),
            StatusCode::PARTIAL_CONTENT => {
                Err(FetchError::new(Kind::Incomplete, self.url, "sends a part, though the whole was asked for"))
            }
            _ => Ok(Opened::Refused(answer)),
        }
    }

    async fn ask(&self, headers: HeaderMap) -> Result<Response, FetchError> {
        ask(self.client, self.url, headers, self.secrets.clone()).await
    }

    /// The body of a 200.
    fn whole(&self, answer: Response, mut ahead: Ahead) -> Result<Body, FetchError> {
        let part = self.first(answer.headers())?;
        // Nothing says that what the caller has is of this very object.
        ahead.kept.clear();
        Ok(self.body(part, answer, ahead))
    }

    /// The bytes of `part`, which `answer` brings alone, or the beginning of which it brings if there is more than one
    /// connection is good for, or if some of what lies behind is there already.
    fn body(&self, part: Part, answer: Response, ahead: Ahead) -> Body {
        let Part { start, total, length, validator } = part;
        let settings = &self.client.settings;
        let enough = length.is_some_and(|length| length >= settings.parallel_from) || !ahead.kept.is_empty();
        let large = total.filter(|_| enough);
        let several = large.filter(|_| settings.plan.connections > 1);
        let secret = (&self.headers, &self.secrets);
        let pinned = several.and_then(|total| Pinned::of(self.client, self.url, secret, &answer, total));
        let rest = reading(self.client.clone(), self.url.clone(), answer, length);
        let stream = match (pinned, total) {
            (Some(pinned), Some(total)) => {
                Parts::beside(Arc::new(pinned), &settings.plan, rest, start..total, ahead).boxed()
            }
            _ => rest,
        };
        Body { start, total, validator, stream }
    }

    /// What a 200 holds: everything.
    pub(super) fn first(&self, headers: &HeaderMap) -> Result<Part, FetchError> {
        let announced = content_length(headers);
        let seen = self.must_be_polled(announced, headers)?;
        let total = announced.or_else(|| self.polled.as_ref().filter(|polled| polled.exact)?.size);
        Ok(Part { start: 0, total, length: total, validator: seen.resumable().then(|| seen.revision()) })
    }

    /// What a 206 holds, if it is the rest of what the caller has.
    pub(super) fn rest(&self, start: &Start, headers: &HeaderMap) -> Result<Option<Part>, FetchError> {
        let Some(range) = content_range(headers) else { return Ok(None) };
        let length = range.last - range.first + 1;
        let to_the_end = range.total.is_none_or(|total| range.last + 1 == total);
        let sound = content_length(headers).is_none_or(|announced| announced == length);
        let kept = start.validator.as_ref().map(Validators::parse).unwrap_or_default();
        if range.first != start.byte || !to_the_end || !sound || Validators::of(headers).moved_from(&kept) {
            return Ok(None);
        }
        self.must_be_polled(range.total, headers)?;
        Ok(Some(Part {
            start: range.first,
            total: range.total,
            length: Some(length),
            validator: start.validator.clone(),
        }))
    }

    /// Refuses what is encoded, and what is no longer the object that was polled.
    fn must_be_polled(&self, total: Option<u64>, headers: &HeaderMap) -> Result<Validators, FetchError> {
        must_be_plain(self.url, headers)?;
        let seen = Validators::of(headers);
        let Some(polled) = &self.polled else { return Ok(seen) };
        let resized = matches!((polled.size, total), (Some(polled), Some(total)) if polled != total);
        if resized || seen.moved_from(&polled.validators) {
            return Err(FetchError::new(Kind::Changed, self.url, "was replaced since the poll"));
        }
        Ok(seen)
    }
}

/// What `If-Range` to send, if the body can begin at `start` at all.
pub(super) fn resumable(start: &Start) -> Option<HeaderValue> {
    if start.byte == 0 { None } else { Validators::parse(start.validator.as_ref()?).if_range() }
}

/// A `GET` of the bytes as they are.
pub(super) async fn ask(
    client: &Client,
    url: &Url,
    mut headers: HeaderMap,
    secrets: HeaderMap,
) -> Result<Response, FetchError> {
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    client.send(Request { method: Method::GET, url, headers, secrets }).await
}

pub(super) fn number_header(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("bytes=0-"))
}

/// The part of an asset that an answer carries.
pub(super) struct Part {
    pub(super) start: u64,
    pub(super) total: Option<u64>,
    pub(super) length: Option<u64>,
    pub(super) validator: Option<Revision>,
}

/// The bytes of `answer`: `length` in all, if that is known, or an error.
pub(super) fn reading(client: Client, url: Url, answer: Response, length: Option<u64>) -> Chunks {
    let reading = Reading { client, url, answer, length, received: 0 };
    let stream = stream::unfold(Some(reading), |reading| async move {
        match reading?.next().await {
            Ok(Some((chunk, rest))) => Some((Ok(chunk), Some(rest))),
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
        }
    });
    stream.boxed()
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
