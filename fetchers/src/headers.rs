//! Header values that fetchers over HTTP read alike, whichever client has received them.

use std::time::{Duration, SystemTime};

/// The longest wait a source may ask for: it cannot put updates off for ever.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// How long the source asks us to stay away: `Retry-After` as seconds or as a date, or a quota
/// that is used up and when it starts anew. At most 24 hours. `header` looks one up by its name.
pub(crate) fn wait<'a>(header: impl Fn(&str) -> Option<&'a str>, now: SystemTime) -> Option<Duration> {
    let text = |name: &str| header(name).map(str::trim);
    let until = |time: SystemTime| time.duration_since(now).unwrap_or(Duration::ZERO);
    let asked = match text("retry-after") {
        Some(value) => value
            .parse()
            .map(Duration::from_secs)
            .ok()
            .or_else(|| httpdate::parse_http_date(value).ok().map(until))
            // More digits than fit are still a number, and a long one.
            .or_else(|| {
                value.bytes().all(|b| b.is_ascii_digit()).then_some(LONGEST_WAIT).filter(|_| !value.is_empty())
            }),
        None => None,
    };
    let quota = || {
        let reset: u64 =
            text("x-ratelimit-reset").filter(|_| text("x-ratelimit-remaining") == Some("0"))?.parse().ok()?;
        Some(SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(reset)).map_or(LONGEST_WAIT, until))
    };
    asked.or_else(quota).map(|wait| wait.min(LONGEST_WAIT))
}

/// A `Content-Range` of one range of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ContentRange {
    /// The first byte.
    pub(crate) first: u64,
    /// The last byte, not the one after it.
    pub(crate) last: u64,
    /// The size of the whole, unless it is `*`.
    pub(crate) total: Option<u64>,
}

impl ContentRange {
    /// Reads the header's value, if it makes sense in itself.
    pub(crate) fn parse(text: &str) -> Option<ContentRange> {
        let (unit, rest) = text.trim().split_once(' ')?;
        let (range, total) = rest.trim().split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let (first, last) = (number(first)?, number(last)?);
        let total = if total == "*" { None } else { Some(number(total)?) };
        // No object ends there, and its length would not fit.
        let counts = last < u64::MAX && total.is_none_or(|total| last < total);
        let sound = unit.eq_ignore_ascii_case("bytes") && first <= last && counts;
        sound.then_some(ContentRange { first, last, total })
    }
}

/// Digits only: `u64::from_str` would take a sign.
pub(crate) fn number(text: &str) -> Option<u64> {
    if text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ranges_are_read_strictly() {
        let parsed = ContentRange::parse("bytes 10-19/20");
        assert_eq!(parsed, Some(ContentRange { first: 10, last: 19, total: Some(20) }));
        assert_eq!(ContentRange::parse("bytes 10-19/*").unwrap().total, None);
        for bad in [
            "",
            "bytes",
            "bytes */20",
            "bytes 19-10/20",
            "bytes 10-20/20",
            "items 1-2/3",
            "bytes +1-2/3",
            "bytes 1-2",
            // Its length is one more than fits.
            "bytes 0-18446744073709551615/*",
        ] {
            assert_eq!(ContentRange::parse(bad), None, "{bad}");
        }
    }
}
