//! What must hold of an answer's head whatever the bytes are.

use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, LOCATION};
use url::Url;

use super::download::{Download, Seen, resumable};
use super::{Client, Settings, Validators, content_length, content_range, must_be_plain, next_hop, refusal};
use crate::error::Retry;
use crate::fetcher::{Revision, Start};
use crate::headers::{LONGEST_WAIT, wait};
use crate::options::{Known, Options};

static CLIENT: LazyLock<Client> = LazyLock::new(|| {
    let options = Options::new();
    let options = Known::check(&options, &[]).expect("there are no options");
    Client::build(Settings::read(options).expect("the defaults are valid"), &URL).expect("a client can be made")
});
static URL: LazyLock<Url> = LazyLock::new(|| Url::parse("https://dl.example.com/app/web-1.2.0").expect("it is one"));

/// The head of an answer to a download that goes on where another broke off.
///
/// First line: what was asked, `byte size` and the revision the bytes before it came with. Second: the
/// status. Then headers.
pub fn http(data: &[u8]) -> bool {
    let mut lines = data.split(|byte| *byte == b'\n');
    let mut text = || lines.next().and_then(|line| std::str::from_utf8(line).ok());
    let (Some(asked), Some(status)) = (text(), text()) else { return false };
    let mut asked = asked.splitn(3, ' ');
    let mut number = || asked.next().and_then(|text| text.parse::<u64>().ok());
    let (byte, size) = (number().unwrap_or(0), number());
    let start = Start { byte, validator: asked.next().map(|text| Revision(text.to_owned())) };
    let Some(status) = status.trim().parse().ok().and_then(|status| StatusCode::from_u16(status).ok()) else {
        return false;
    };
    let headers = head(lines);
    values(&headers);
    refused(status, &headers);
    redirected(&headers);
    let polled = Seen { validators: kept(&start), size, exact: false };
    let download = Download {
        client: &CLIENT,
        url: &URL,
        headers: HeaderMap::new(),
        secrets: HeaderMap::new(),
        polled: Some(polled),
    };
    let part = match status {
        StatusCode::PARTIAL_CONTENT => download.rest(&start, &headers),
        StatusCode::OK => download.first(&headers).map(Some),
        _ => Ok(None),
    };
    let Ok(Some(part)) = part else { return false };
    assert!(must_be_plain(&URL, &headers).is_ok(), "an encoded body is taken");
    assert!(!Validators::of(&headers).moved_from(&kept(&start)), "another object is taken for the one that was polled");
    assert!(size.is_none() || part.total.is_none() || part.total == size, "an object of another size is taken");
    if status == StatusCode::OK {
        assert_eq!(part.start, 0, "a whole body does not begin at its beginning");
    } else {
        let length = part.length.expect("a range has one");
        assert!(part.start == start.byte && length > 0, "another range than the one that was asked for is taken");
        let end = part.start.checked_add(length).expect("a range ends");
        assert!(part.total.is_none_or(|total| end == total), "a range that ends early is taken");
        assert_eq!(part.validator, start.validator);
    }
    // The validator that is kept can be asked with again.
    if let Some(kept) = &part.validator
        && status == StatusCode::OK
    {
        assert!(resumable(&Start { byte: 1, validator: Some(kept.clone()) }).is_some(), "{kept:?} cannot be resumed");
    }
    true
}

fn head<'a>(lines: impl Iterator<Item = &'a [u8]>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines.take(64) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let name = HeaderName::from_bytes(&line[..colon]);
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(line[colon + 1..].trim_ascii())) {
            headers.append(name, value);
        }
    }
    headers
}

fn kept(start: &Start) -> Validators {
    start.validator.as_ref().map(Validators::parse).unwrap_or_default()
}

/// What single headers are read as.
fn values(headers: &HeaderMap) {
    if let Some(range) = content_range(headers) {
        assert!(range.first <= range.last && range.total.is_none_or(|total| range.last < total), "{range:?}");
    }
    let _ = content_length(headers);
    let validators = Validators::of(headers);
    assert_eq!(Validators::parse(&validators.revision()), validators, "a revision is read in two ways");
    assert!(!validators.moved_from(&validators), "an object is not itself");
    for value in validators.conditions().values() {
        assert!(value.to_str().is_ok(), "{value:?}");
    }
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_000_000);
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    assert!(wait(text, now).is_none_or(|wait| wait <= LONGEST_WAIT), "a source may put updates off for ever");
}

fn refused(status: StatusCode, headers: &HeaderMap) {
    let error = refusal(&URL, status, headers);
    assert!(!error.to_string().chars().any(char::is_control), "{error}");
    if let Retry::After(wait) = error.retry() {
        assert!(wait <= LONGEST_WAIT, "a source may put updates off for ever");
    }
    if let Err(error) = must_be_plain(&URL, headers) {
        assert!(!error.to_string().chars().any(char::is_control), "{error}");
    }
}

fn redirected(headers: &HeaderMap) {
    let location = headers.get(LOCATION).map(HeaderValue::as_bytes);
    if let Ok(next) = next_hop(&URL, location) {
        assert_eq!(next.scheme(), "https", "a secure source leads to an open one");
        assert!(next.username().is_empty() && next.password().is_none(), "{next}");
        assert!(next.has_host());
    }
}
