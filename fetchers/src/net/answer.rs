//! Statuses and headers, and what they mean for a caller.

use std::time::SystemTime;

use reqwest::StatusCode;
use reqwest::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, HeaderMap};
use url::Url;

use crate::error::{FetchError, Kind};
use crate::headers::{ContentRange, number, wait};
use crate::options::plain;

/// The error that an answer other than the one expected stands for.
pub(crate) fn refusal(url: &Url, status: StatusCode, headers: &HeaderMap) -> FetchError {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let wait = wait(text, SystemTime::now());
    let kind = kind_of(status, wait.is_some());
    let detail = match kind {
        Kind::NotFound => "does not exist (yet)",
        Kind::Denied => "is refused to us",
        Kind::Throttled => "the source asks for fewer requests",
        Kind::Unreachable => "the source is not working",
        _ => "answers what was not asked for",
    };
    let wait = wait.filter(|_| kind == Kind::Throttled);
    FetchError::new(kind, url, format!("{detail}: status {}", status.as_u16())).retry_after(wait)
}

fn kind_of(status: StatusCode, waits: bool) -> Kind {
    match status.as_u16() {
        429 => Kind::Throttled,
        // GitHub and others answer an exhausted quota with 403.
        403 | 503 if waits => Kind::Throttled,
        404 | 410 => Kind::NotFound,
        401 | 403 | 407 => Kind::Denied,
        408 | 500..=599 => Kind::Unreachable,
        _ => Kind::Other,
    }
}

/// Refuses a body that is not the plain bytes, which alone can be counted and hashed.
pub(crate) fn must_be_plain(url: &Url, headers: &HeaderMap) -> Result<(), FetchError> {
    for value in headers.get_all(CONTENT_ENCODING) {
        let coding = String::from_utf8_lossy(value.as_bytes());
        if !coding.trim().eq_ignore_ascii_case("identity") {
            let detail = format!("the body is encoded as `{}`, though plain bytes were asked for", plain(&coding));
            return Err(FetchError::new(Kind::Other, url, detail));
        }
    }
    Ok(())
}

/// `Content-Length`, also of the answer to a `HEAD`.
pub(crate) fn content_length(headers: &HeaderMap) -> Option<u64> {
    number(headers.get(CONTENT_LENGTH)?.to_str().ok()?.trim())
}

/// `Content-Range`, if it makes sense in itself.
pub(crate) fn content_range(headers: &HeaderMap) -> Option<ContentRange> {
    ContentRange::parse(headers.get(CONTENT_RANGE)?.to_str().ok()?)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::error::Retry;
    use crate::headers::LONGEST_WAIT;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    fn refused(status: u16, pairs: &[(&'static str, &str)]) -> FetchError {
        let url = Url::parse("https://example.com/app").unwrap();
        refusal(&url, StatusCode::from_u16(status).unwrap(), &headers(pairs))
    }

    #[test]
    fn statuses_are_named_for_what_a_caller_can_do() {
        let table = [
            (404, Kind::NotFound),
            (410, Kind::NotFound),
            (401, Kind::Denied),
            (403, Kind::Denied),
            (407, Kind::Denied),
            (408, Kind::Unreachable),
            (429, Kind::Throttled),
            (500, Kind::Unreachable),
            (503, Kind::Unreachable),
            (504, Kind::Unreachable),
            (400, Kind::Other),
            (418, Kind::Other),
            (204, Kind::Other),
            (300, Kind::Other),
        ];
        for (status, kind) in table {
            assert_eq!(refused(status, &[]).kind(), kind, "status {status}");
        }
    }

    #[test]
    fn retry_after_is_read_in_both_forms() {
        assert_eq!(refused(503, &[("retry-after", "120")]).retry(), Retry::After(Duration::from_secs(120)));
        let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(3600));
        match refused(429, &[("retry-after", &date)]).retry() {
            Retry::After(wait) => assert!((3590..=3600).contains(&wait.as_secs()), "{wait:?}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn retry_after_is_at_most_a_day() {
        for value in ["9999999", "99999999999999999999999999", "Fri, 31 Dec 9999 23:59:59 GMT"] {
            assert_eq!(refused(429, &[("retry-after", value)]).retry(), Retry::After(LONGEST_WAIT), "{value}");
        }
    }

    #[test]
    fn a_date_that_has_passed_is_no_wait() {
        let past = [("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT")];
        assert_eq!(refused(429, &past).retry(), Retry::After(Duration::ZERO));
    }

    #[test]
    fn r63_an_exhausted_quota_is_throttled_until_it_starts_anew() {
        let reset = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() + 2400;
        let error = refused(403, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", &reset.to_string())]);
        assert_eq!(error.kind(), Kind::Throttled);
        match error.retry() {
            Retry::After(wait) => assert!((2390..=2400).contains(&wait.as_secs()), "{wait:?}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn r64_a_throttle_without_a_time_leaves_the_backoff_to_the_caller() {
        let error = refused(429, &[]);
        assert_eq!((error.kind(), error.retry()), (Kind::Throttled, Retry::Soon));
        assert_eq!(refused(429, &[("retry-after", "tomorrow")]).retry(), Retry::Soon);
    }

    #[test]
    fn only_plain_bodies_are_taken() {
        let url = Url::parse("https://example.com/app").unwrap();
        assert!(must_be_plain(&url, &headers(&[("content-encoding", "identity")])).is_ok());
        let error = must_be_plain(&url, &headers(&[("content-encoding", "gzip")])).unwrap_err();
        assert!(error.to_string().contains("`gzip`"), "{error}");
    }
}
