//! A request as received.

use std::io;
use std::time::{Duration, Instant};

use super::Peer;

/// A request as received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `GET`, `HEAD`, `CONNECT`.
    pub method: String,
    /// The path with its query; behind a proxy the whole URL.
    pub path: String,
    /// Headers in the order received, names in lower case. Bytes outside of UTF-8 are replaced.
    pub headers: Vec<(String, String)>,
}

impl Request {
    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The path without its query, as objects are looked up.
    pub fn path_only(&self) -> &str {
        self.path.split('?').next().unwrap_or_default()
    }
}

/// Reads one request without a body; `None` if the client closes first.
pub(super) fn read(peer: &mut Peer<'_>) -> io::Result<Option<Request>> {
    let until = Some(Instant::now() + Duration::from_secs(30));
    let mut head = Vec::new();
    let mut buffer = [0; 4096];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        match peer.read(&mut buffer, until)? {
            None | Some(0) => return Ok(None),
            Some(read) => head.extend_from_slice(&buffer[..read]),
        }
        if head.len() > 64 * 1024 {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
    let head = String::from_utf8_lossy(&head);
    let mut lines = head.lines();
    let mut first = lines.next().unwrap_or_default().split(' ').map(str::to_owned);
    let (method, path) = (first.next().unwrap_or_default(), first.next().unwrap_or_default());
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
        .collect();
    Ok(Some(Request { method, path, headers }))
}
