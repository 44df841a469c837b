//! The head of a request, as far as two paths that can only be read need it. Pure.
//!
//! A parser of its own, for there is little to parse: no body is read, no header counts but one, and nothing goes on after
//! the answer. A program with the supervisor inside has no HTTP in its tree for it.

use std::net::{Ipv4Addr, Ipv6Addr};

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// `/metrics`.
    Metrics,
    /// `/healthz`.
    Health,
}

/// A request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Request {
    /// For what, or why there is none of it.
    pub(super) wanted: Result<Wanted, Refusal>,
    /// Whether only the head of the answer is asked for.
    pub(super) head_only: bool,
}

/// Why a request is not answered with what it asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It is no request.
    Malformed,
    /// Its head is too long.
    TooLong,
    /// It is in a version that is not spoken here.
    Version,
    /// It would change something.
    Method,
    /// It is for a name that this machine is not known by.
    Host,
    /// There is nothing at its path.
    NotFound,
}

impl Refusal {
    /// The status line's end, and one sentence.
    pub(super) fn says(self) -> (&'static str, &'static str) {
        match self {
            Refusal::Malformed => ("400 Bad Request", "this is no HTTP request\n"),
            Refusal::TooLong => ("431 Request Header Fields Too Large", "the head of the request is too long\n"),
            Refusal::Version => ("505 HTTP Version Not Supported", "HTTP/1.1 and HTTP/1.0 are spoken here\n"),
            Refusal::Method => ("405 Method Not Allowed", "this can only be read\n"),
            Refusal::Host => (
                "421 Misdirected Request",
                "only requests for an address or for `localhost` are answered: another name may have been made to point here\n",
            ),
            Refusal::NotFound => ("404 Not Found", "there are /metrics and /healthz\n"),
        }
    }
}

/// The request that `bytes` begin with; `None`: more of it has to come. `any_host`: whatever it calls this machine is fine.
pub(super) fn read(bytes: &[u8], any_host: bool) -> Option<Request> {
    let refused = |refusal| Some(Request { wanted: Err(refusal), head_only: false });
    match bytes.first() {
        None => return None,
        // A TLS client, for one, sends no line's end that could be waited for.
        Some(first) if !first.is_ascii_uppercase() => return refused(Refusal::Malformed),
        Some(_) => {}
    }
    let ends = |end: &[u8]| bytes.windows(end.len()).position(|part| part == end);
    let end = match [ends(b"\r\n\r\n"), ends(b"\n\n")].into_iter().flatten().min() {
        Some(end) if end <= LONGEST => end,
        None if bytes.len() <= LONGEST => return None,
        _ => return refused(Refusal::TooLong),
    };
    let Ok(head) = std::str::from_utf8(&bytes[..end]) else { return refused(Refusal::Malformed) };
    let mut lines = head.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
    let words: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
    let [method, target, version] = words[..] else { return refused(Refusal::Malformed) };
    let wanted = wanted(method, target, version, lines, any_host);
    Some(Request { wanted, head_only: method == "HEAD" })
}

fn wanted<'a>(
    method: &str,
    target: &str,
    version: &str,
    headers: impl Iterator<Item = &'a str>,
    any_host: bool,
) -> Result<Wanted, Refusal> {
    match version {
        "HTTP/1.1" | "HTTP/1.0" => {}
        other if other.starts_with("HTTP/") => return Err(Refusal::Version),
        _ => return Err(Refusal::Malformed),
    }
    let mut host = None;
    for line in headers {
        let (name, value) = line.split_once(':').ok_or(Refusal::Malformed)?;
        let token = |c: u8| c.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&c);
        if name.is_empty() || !name.bytes().all(token) || value.contains(|c: char| c.is_control() && c != '\t') {
            return Err(Refusal::Malformed);
        }
        if name.eq_ignore_ascii_case("host") && host.replace(value.trim()).is_some() {
            return Err(Refusal::Malformed);
        }
    }
    let host = match host {
        None if version == "HTTP/1.1" => return Err(Refusal::Malformed),
        host => host.unwrap_or_default(),
    };
    if !any_host && !is_here(host) {
        return Err(Refusal::Host);
    }
    if !matches!(method, "GET" | "HEAD") {
        return Err(Refusal::Method);
    }
    // The absolute form is for proxies, and to be understood by everybody.
    let path = match target.strip_prefix("http://") {
        Some(rest) => rest.find('/').map_or("/", |at| &rest[at..]),
        None if target.starts_with('/') => target,
        None => return Err(Refusal::Malformed),
    };
    match path.split('?').next() {
        Some("/metrics") => Ok(Wanted::Metrics),
        Some("/healthz") => Ok(Wanted::Health),
        _ => Err(Refusal::NotFound),
    }
}

/// Whether `host` is an address or `localhost`: a page elsewhere cannot make a browser send that to this machine, for it
/// needs a name of its own that it lets point here.
fn is_here(host: &str) -> bool {
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => return address.parse::<Ipv6Addr>().is_ok(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.is_empty() || name.eq_ignore_ascii_case("localhost") || name.parse::<Ipv4Addr>().is_ok()
}

/// The longest head of a request, in bytes. Prometheus sends 300.
pub(super) const LONGEST: usize = 8192;

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Option<Result<Wanted, Refusal>> {
        read(text.as_bytes(), false).map(|request| request.wanted)
    }

    #[test]
    fn what_scrapers_probes_and_people_send_is_understood() {
        for (text, wanted) in [
            ("GET /metrics HTTP/1.1\r\nHost: localhost:9464\r\nAccept: */*\r\n\r\n", Wanted::Metrics),
            ("GET /metrics?name=x HTTP/1.1\r\nhost: 127.0.0.1:9464\r\n\r\nand more", Wanted::Metrics),
            ("HEAD /healthz HTTP/1.1\r\nHOST: [::1]:9464\r\n\r\n", Wanted::Health),
            ("GET /healthz HTTP/1.0\r\n\r\n", Wanted::Health),
            ("GET /healthz HTTP/1.0\n\n", Wanted::Health),
            ("GET http://localhost/metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", Wanted::Metrics),
            ("GET /metrics HTTP/1.1\r\nHost:\r\n\r\n", Wanted::Metrics),
        ] {
            assert_eq!(of(text), Some(Ok(wanted)), "{text}");
            for cut in 1..text.find("\n\n").or(text.find("\r\n\r\n")).unwrap() {
                assert_eq!(of(&text[..cut]), None, "{cut} of {text}");
            }
        }
        assert!(read(b"HEAD /metrics HTTP/1.0\r\n\r\n", false).unwrap().head_only);
    }

    #[test]
    fn everything_else_is_refused_by_its_reason() {
        let long = format!("GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: {}", "x".repeat(LONGEST));
        let longer = format!("{long}\r\n\r\n");
        for (text, refusal) in [
            ("\u{16}\u{3}\u{1}", Refusal::Malformed),
            ("get /metrics HTTP/1.1\r\n\r\n", Refusal::Malformed),
            ("GET /metrics\r\n\r\n", Refusal::Malformed),
            ("GET  /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", Refusal::Malformed),
            ("GET /metrics HTTP/1.1\r\n\r\n", Refusal::Malformed),
            ("GET /metrics HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", Refusal::Malformed),
            ("GET /metrics HTTP/1.1\r\nHost: localhost\r\n folded\r\n\r\n", Refusal::Malformed),
            ("GET /metrics HTTP/1.1\r\nHost : localhost\r\n\r\n", Refusal::Malformed),
            ("GET metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", Refusal::Malformed),
            ("GET /metrics SPDY/3\r\n\r\n", Refusal::Malformed),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Refusal::Version),
            ("POST /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", Refusal::Method),
            ("OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", Refusal::Method),
            ("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", Refusal::NotFound),
            ("GET /metrics/ HTTP/1.1\r\nHost: localhost\r\n\r\n", Refusal::NotFound),
            ("GET /metrics HTTP/1.1\r\nHost: evil.example:9464\r\n\r\n", Refusal::Host),
            ("GET /metrics HTTP/1.1\r\nHost: 127.0.0.1.evil.example\r\n\r\n", Refusal::Host),
            ("GET /metrics HTTP/1.1\r\nHost: [evil]\r\n\r\n", Refusal::Host),
            (&long, Refusal::TooLong),
            (&longer, Refusal::TooLong),
        ] {
            assert_eq!(of(text), Some(Err(refusal)), "{text}");
        }
        assert_eq!(read(b"GET /metrics HTTP/1.1\r\nHost: \xff\r\n\r\n", true).unwrap().wanted, Err(Refusal::Malformed));
        assert_eq!(
            read(b"GET /metrics HTTP/1.1\r\nHost: web-1.example\r\n\r\n", true).unwrap().wanted,
            Ok(Wanted::Metrics)
        );
        assert_eq!(read(b"", false), None);
    }
}
