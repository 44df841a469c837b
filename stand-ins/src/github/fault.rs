//! How the stand-in misbehaves, and at which requests.

use std::time::{Duration, SystemTime};

use super::Side;
use super::answer::{Answer, Half};
use super::shapes;

/// Which requests a fault is for.
#[derive(Debug, Clone)]
pub struct On {
    side: Side,
    method: Option<String>,
    path: String,
    skip: usize,
    times: Option<usize>,
}

impl On {
    /// Requests to the API whose path, without the prefix and the query, is like `pattern`; `*`
    /// stands for any text.
    pub fn api(pattern: &str) -> On {
        On { side: Side::Api, method: None, path: pattern.to_owned(), skip: 0, times: None }
    }

    /// Requests to the origin of the bytes.
    pub fn storage() -> On {
        On { side: Side::Storage, ..On::api("*") }
    }

    /// Requests to the API that change something.
    pub fn writes() -> On {
        On::api("*").method("POST PATCH DELETE")
    }

    /// Only requests with this method, or with one of several.
    pub fn method(self, method: &str) -> On {
        On { method: Some(method.to_owned()), ..self }
    }

    /// Not the first `count` of them.
    pub fn after(self, count: usize) -> On {
        On { skip: count, ..self }
    }

    /// Only `count` of them, then no more.
    pub fn times(self, count: usize) -> On {
        On { times: Some(count), ..self }
    }

    /// Only one of them.
    pub fn once(self) -> On {
        self.times(1)
    }
}

/// How a request goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// This status, in GitHub's words.
    Status(u16),
    /// 403: the hour's requests are used up until that much later.
    PrimaryLimit(Duration),
    /// 429, and when to come back if it says so.
    TooMany(Option<Duration>),
    /// 403: too many requests in too short a time, and when to come back if it says so.
    SecondaryLimit(Option<Duration>),
    /// This status and this `Location`, which need not be text.
    Redirect(u16, Vec<u8>),
    /// 302 to the very same URL.
    Loop,
    /// This status and these bytes, said to be JSON, instead of what was asked for.
    Answer(u16, Vec<u8>),
    /// This header on what is answered.
    Header(&'static str, &'static str),
    /// No validator on any answer, and none is heeded.
    NoValidators,
    /// `Range` is not heeded: the whole with 200.
    RangeIgnored,
    /// The `Content-Range` of a 206 begins a byte later than its body does.
    WrongRange,
    /// The strong ETag of other bytes.
    OtherEtag,
    /// The body ends in order after its half.
    Short,
    /// The connection is reset after half of the body.
    Reset,
    /// Nothing comes any more after half of the body.
    Stall,
    /// The connection ends before the request is carried out.
    Dropped,
    /// The request is carried out, and the connection ends instead of an answer.
    LostReply,
    /// The connection ends while the request's body is read: an upload leaves a stub.
    UploadBroken,
}

impl Fault {
    /// The answer in place of the usual one, where this fault has one.
    pub(super) fn answer(&self, url: &str) -> Option<Answer> {
        let seconds = |answer: Answer, wait: &Option<Duration>| match wait {
            Some(wait) => answer.with("retry-after", wait.as_secs().to_string()),
            None => answer,
        };
        let limited = |status, message: &str| Answer::json(status, &shapes::error(status, message));
        match self {
            Fault::Status(status) => Some(Answer::error(*status)),
            Fault::PrimaryLimit(wait) => {
                let reset = (SystemTime::now() + *wait).duration_since(SystemTime::UNIX_EPOCH);
                let answer = limited(403, "API rate limit exceeded for 127.0.0.1.")
                    .with("x-ratelimit-limit", "60")
                    .with("x-ratelimit-remaining", "0")
                    .with("x-ratelimit-used", "60")
                    .with("x-ratelimit-resource", "core")
                    .with("x-ratelimit-reset", reset.map_or(0, |time| time.as_secs()).to_string());
                Some(answer)
            }
            Fault::TooMany(wait) => Some(seconds(limited(429, "API rate limit exceeded"), wait)),
            Fault::SecondaryLimit(wait) => {
                let message = "You have exceeded a secondary rate limit. Please wait a few minutes.";
                Some(seconds(limited(403, message), wait))
            }
            Fault::Redirect(status, location) => Some(Answer::empty(*status).with("location", location)),
            Fault::Loop => Some(Answer::empty(302).with("location", url)),
            Fault::Answer(status, bytes) => {
                Some(Answer::new(*status, "application/json; charset=utf-8", bytes.clone()))
            }
            _ => None,
        }
    }

    /// Headers of a request that are not heeded.
    pub(super) fn unheeded(&self) -> &'static [&'static str] {
        match self {
            Fault::NoValidators => &["if-none-match", "if-modified-since", "if-range"],
            Fault::RangeIgnored => &["range"],
            _ => &[],
        }
    }

    /// Changes the usual answer.
    pub(super) fn alter(&self, answer: &mut Answer) {
        match self {
            Fault::Header(name, value) => answer.set(name, value),
            Fault::NoValidators => ["etag", "last-modified"].iter().for_each(|name| answer.remove(name)),
            Fault::WrongRange => {
                for (_, value) in answer.headers.iter_mut().filter(|(name, _)| name == "content-range") {
                    *value = later(&String::from_utf8_lossy(value)).into_bytes();
                }
            }
            Fault::OtherEtag => answer.set("etag", "\"0xother\""),
            Fault::Short => answer.half = Half::Ends,
            Fault::Reset => answer.half = Half::Resets,
            Fault::Stall => answer.half = Half::Stalls,
            _ => {}
        }
    }
}

/// `bytes 10-19/20` as `bytes 11-19/20`.
fn later(range: &str) -> String {
    let parts = range.strip_prefix("bytes ").and_then(|rest| rest.split_once('-'));
    match parts.and_then(|(first, rest)| Some((first.parse::<u64>().ok()?, rest))) {
        Some((first, rest)) => format!("bytes {}-{rest}", first + 1),
        None => range.to_owned(),
    }
}

/// A fault and the requests it is for.
#[derive(Debug)]
pub(super) struct Rule {
    on: On,
    pub(super) fault: Fault,
}

impl Rule {
    pub(super) fn new(on: On, fault: Fault) -> Rule {
        Rule { on, fault }
    }

    pub(super) fn applies(&mut self, side: Side, method: &str, path: &str) -> bool {
        let on = &mut self.on;
        let asked = on.method.as_ref().is_none_or(|methods| methods.split(' ').any(|one| one == method));
        if on.side != side || !asked || on.times == Some(0) || !like(&on.path, path) {
            return false;
        }
        if on.skip > 0 {
            on.skip -= 1;
            return false;
        }
        on.times = on.times.map(|left| left - 1);
        true
    }

    pub(super) fn is_used_up(&self) -> bool {
        self.on.times == Some(0)
    }
}

/// Whether `text` is like `pattern`.
fn like(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => text.strip_prefix(start).is_some_and(|text| {
            rest.is_empty() || text.char_indices().any(|(at, _)| like(rest, &text[at..])) || like(rest, "")
        }),
    }
}

/// Answers of an API that is not GitHub's, or not in its right mind; for [`Fault::Answer`].
pub mod hostile {
    /// A release whose fields have other types than documented.
    pub fn wrong_types() -> Vec<u8> {
        br#"{"id":"one","tag_name":7,"draft":"no","prerelease":[],"assets":{"app":null}}"#.to_vec()
    }

    /// Arrays in arrays, far deeper than any parser should follow.
    pub fn deep() -> Vec<u8> {
        b"[".repeat(200_000)
    }

    /// 20 MB of a release that never comes to its assets.
    pub fn huge() -> Vec<u8> {
        let mut text = br#"{"id":1,"body":""#.to_vec();
        text.resize(20_000_000, b'x');
        text
    }

    /// The beginning of a release.
    pub fn clipped() -> Vec<u8> {
        br#"{"id":1,"tag_name":"v1.0.0","draft":fa"#.to_vec()
    }
}
