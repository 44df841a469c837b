//! The parts of one state of an object, by `Range` and `If-Range`.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use reqwest::header::{ACCEPT_RANGES, CONTENT_RANGE, HeaderMap, HeaderValue, IF_RANGE, RANGE};
use reqwest::{Response, StatusCode};
use url::Url;

use super::download::{ask, number_header, reading};
use super::{Client, Validators, content_length, content_range, must_be_plain, refusal};
use crate::error::{FetchError, Kind};
use crate::parts::{Chunks, Ranges};

/// An object in the state that an answer has shown, and all that a request for a part of it needs.
pub(super) struct Pinned {
    client: Client,
    url: Url,
    /// Where the redirects from `url` have led: a part need not go the same way again.
    at: Mutex<Url>,
    headers: HeaderMap,
    secrets: HeaderMap,
    validators: Validators,
    if_range: HeaderValue,
    total: u64,
}

impl Pinned {
    /// The object of `total` bytes that `answer` is about; `None` if the server does not say that it serves ranges, or
    /// nothing holds them together.
    pub(super) fn of(
        client: &Client,
        url: &Url,
        (headers, secrets): (&HeaderMap, &HeaderMap),
        answer: &Response,
        total: u64,
    ) -> Option<Pinned> {
        let shown = answer.headers();
        let bytes = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"bytes");
        if !shown.contains_key(CONTENT_RANGE) && !shown.get(ACCEPT_RANGES).is_some_and(bytes) {
            return None;
        }
        let validators = Validators::of(shown);
        Some(Pinned {
            client: client.clone(),
            url: url.clone(),
            at: Mutex::new(answer.url().clone()),
            headers: headers.clone(),
            secrets: secrets.clone(),
            if_range: validators.if_range()?,
            validators,
            total,
        })
    }

    async fn part_now(&self, range: Range<u64>) -> Result<Chunks, FetchError> {
        // The connection of the part before is free again once its task has seen the end.
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
        let at = self.at.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut answer = self.ask(&at, &range).await?;
        if at != self.url && matches!(answer.status().as_u16(), 401 | 403 | 404 | 410) {
            // Addresses that a redirect leads to may be good for minutes only.
            answer = self.ask(&self.url, &range).await?;
            *self.at.lock().unwrap_or_else(PoisonError::into_inner) = answer.url().clone();
        }
        self.check(&answer, &range)?;
        Ok(reading(self.client.clone(), self.url.clone(), answer, Some(range.end - range.start)))
    }

    async fn ask(&self, at: &Url, range: &Range<u64>) -> Result<Response, FetchError> {
        let mut headers = self.headers.clone();
        headers.insert(RANGE, number_header(&format!("bytes={}-{}", range.start, range.end - 1)));
        headers.insert(IF_RANGE, self.if_range.clone());
        let home = at.origin() == self.url.origin();
        let secrets = if home { self.secrets.clone() } else { HeaderMap::new() };
        ask(&self.client.kept_alive(), at, headers, secrets).await.map_err(|error| error.about(&self.url))
    }

    /// Whether `answer` is that part of that state.
    fn check(&self, answer: &Response, range: &Range<u64>) -> Result<(), FetchError> {
        let headers = answer.headers();
        let changed = || FetchError::new(Kind::Changed, &self.url, "was replaced while it was read");
        let other = |what: &str| FetchError::new(Kind::Other, &self.url, what);
        match answer.status() {
            StatusCode::PARTIAL_CONTENT => {}
            // What `If-Range` is answered with where the object is another, and any `Range` where there are none.
            StatusCode::OK => {
                let same = !Validators::of(headers).moved_from(&self.validators)
                    && content_length(headers).is_none_or(|length| length == self.total);
                return Err(if same { other("sends the whole, though a part was asked for") } else { changed() });
            }
            StatusCode::PRECONDITION_FAILED | StatusCode::RANGE_NOT_SATISFIABLE => return Err(changed()),
            status => return Err(refusal(&self.url, status, headers)),
        }
        must_be_plain(&self.url, headers)?;
        let sent = content_range(headers).ok_or_else(|| other("sends a part and does not say which"))?;
        if Validators::of(headers).moved_from(&self.validators) || sent.total.is_some_and(|total| total != self.total) {
            return Err(changed());
        }
        let length = range.end - range.start;
        let exact = sent.first == range.start && sent.last == range.end - 1;
        if !exact || content_length(headers).is_some_and(|announced| announced != length) {
            return Err(other("sends another part than the one asked for"));
        }
        Ok(())
    }
}

impl Ranges for Pinned {
    fn part(self: Arc<Self>, range: Range<u64>) -> BoxFuture<'static, Result<Chunks, FetchError>> {
        async move { self.part_now(range).await }.boxed()
    }
}
