//! What the faults that one request meets come to.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use hyper::header::{CONTENT_RANGE, DATE, ETAG, HeaderMap, HeaderName, HeaderValue, LAST_MODIFIED};
use hyper::{Response, StatusCode};

use super::fault::Fault;
use super::quirks::{Quirks, Writes};
use super::refusal::Refusal;

/// The faults that one request meets, sorted by when they act.
#[derive(Debug, Default)]
pub(super) struct Effect {
    pub(super) delay: Duration,
    pub(super) lost_request: bool,
    pub(super) refusal: Option<Refusal>,
    pub(super) quirks: Quirks,
    pub(super) replacement: Option<Bytes>,
    pub(super) lost_reply: bool,
    pub(super) late_refusal: Option<Refusal>,
    pub(super) body: BodyFaults,
    head: Vec<Fault>,
}

/// What becomes of the body of an answer.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct BodyFaults {
    /// After so many bytes the body ends thus.
    pub(super) end: Option<(u64, End)>,
    pub(super) flip: Option<u64>,
    /// Bytes per second.
    pub(super) rate: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Close,
    Reset,
    Stall,
}

impl Effect {
    pub(super) fn of(faults: impl IntoIterator<Item = Fault>) -> Effect {
        let mut effect = Effect::default();
        for fault in faults {
            effect.add(fault);
        }
        effect
    }

    fn add(&mut self, fault: Fault) {
        match fault {
            Fault::LostRequest => self.lost_request = true,
            Fault::LostReply => self.lost_reply = true,
            Fault::Refuse(refusal) => self.refusal = Some(refusal),
            Fault::RefuseAfter(refusal) => self.late_refusal = Some(refusal),
            Fault::Delay(time) => self.delay += time,
            Fault::ReplaceAfter(bytes) => self.replacement = Some(bytes),
            Fault::Truncate(after) => self.body.end = Some((after, End::Close)),
            Fault::Reset(after) => self.body.end = Some((after, End::Reset)),
            Fault::Stall(after) => self.body.end = Some((after, End::Stall)),
            Fault::FlipBit(bit) => self.body.flip = Some(bit),
            Fault::Rate(rate) => self.body.rate = Some(rate.max(1)),
            Fault::RangeIgnored => self.quirks.range_ignored = true,
            Fault::ChecksumOnRange => self.quirks.checksum_on_range = true,
            Fault::ReadConditionsIgnored => self.quirks.read_conditions_ignored = true,
            Fault::ConditionsIgnored => self.quirks.writes = Writes::Ignored,
            Fault::ConditionsNotAtomic => self.quirks.writes = Writes::NotAtomic,
            Fault::EtagsUnquoted => self.quirks.writes = Writes::Unquoted,
            Fault::Date(_)
            | Fault::WrongRangeStart
            | Fault::WrongRangeTotal
            | Fault::NoChecksums
            | Fault::NotModifiedWithoutEtag
            | Fault::NoValidators => self.head.push(fault),
        }
    }

    /// Changes the head of an answer.
    pub(super) fn distort<B>(&self, response: &mut Response<B>) {
        let status = response.status();
        let headers = response.headers_mut();
        for fault in &self.head {
            match fault {
                Fault::Date(offset) => set(headers, DATE, &httpdate::fmt_http_date(shifted(*offset))),
                Fault::WrongRangeStart => change_range(headers, 1, 0),
                Fault::WrongRangeTotal => change_range(headers, 0, 1),
                Fault::NotModifiedWithoutEtag if status == StatusCode::NOT_MODIFIED => {
                    headers.remove(ETAG);
                }
                Fault::NoChecksums => without(headers, |name| name.starts_with("x-amz-checksum-")),
                Fault::NoValidators => {
                    without(headers, |name| [ETAG.as_str(), LAST_MODIFIED.as_str(), "x-amz-version-id"].contains(&name))
                }
                _ => {}
            }
        }
    }
}

fn shifted(seconds: i64) -> SystemTime {
    let offset = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 { SystemTime::now() - offset } else { SystemTime::now() + offset }
}

fn change_range(headers: &mut HeaderMap, start: u64, total: u64) {
    let text = headers.get(CONTENT_RANGE).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let parsed = text.as_deref().and_then(|text| {
        let (range, size) = text.strip_prefix("bytes ")?.split_once('/')?;
        let (first, last) = range.split_once('-')?;
        Some((first.parse::<u64>().ok()?, last.to_owned(), size.parse::<u64>().ok()?))
    });
    if let Some((first, last, size)) = parsed {
        set(headers, CONTENT_RANGE, &format!("bytes {}-{last}/{}", first + start, size + total));
    }
}

fn without(headers: &mut HeaderMap, unwanted: impl Fn(&str) -> bool) {
    let names: Vec<HeaderName> = headers.keys().filter(|name| unwanted(name.as_str())).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
