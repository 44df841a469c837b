//! What an object answers to a request, and how a script changes it.

use std::io;
use std::net::Shutdown;
use std::ops::Range;
use std::time::{Duration, SystemTime};

use super::{Object, Peer, Request, Step};

/// An answer that is not sent yet.
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// How an answer ends.
enum End {
    Whole,
    Closed,
    Reset,
}

/// Answers `request` for `object` by `script`.
pub(super) fn run(
    peer: &mut Peer<'_>,
    request: &Request,
    object: Option<&Object>,
    script: Vec<Step>,
) -> io::Result<()> {
    let mut answer = usual(request, object);
    let mut sent = None;
    let mut end = End::Whole;
    for step in script {
        match step {
            Step::Status(status) => answer.become_status(status),
            Step::Header(name, value) => answer.set(&name, &value),
            Step::WithoutHeader(name) => answer.remove(&name),
            Step::Redirect(to) => {
                answer.become_status(302);
                answer.set("Location", &to);
            }
            Step::Instead(bytes) => {
                answer.set("Content-Length", &bytes.len().to_string());
                answer.body = bytes;
            }
            Step::FlipBit(bit) => {
                if let Some(byte) = answer.body.get_mut(bit / 8) {
                    *byte ^= 1 << (bit % 8);
                }
            }
            Step::Swap(bytes) => {
                let serve = object.map(|object| object.serve).unwrap_or_default();
                peer.shared.state().put(request.path_only(), bytes, serve);
            }
            Step::Send(count) => answer.send(peer, request, &mut sent, count)?,
            Step::Trickle(count, pause) => {
                for _ in 0..count {
                    answer.send(peer, request, &mut sent, 1)?;
                    peer.stall(pause)?;
                }
            }
            Step::Stall(time) => peer.stall(time)?,
            Step::Raw(bytes) => {
                peer.write(&bytes)?;
                end = End::Closed;
                break;
            }
            Step::Close => {
                end = End::Closed;
                break;
            }
            Step::Reset => {
                end = End::Reset;
                break;
            }
        }
    }
    match end {
        End::Whole => answer.send(peer, request, &mut sent, usize::MAX)?,
        End::Closed => {}
        End::Reset => {
            // Closing with a linger time of zero sends a reset.
            rustix::net::sockopt::set_socket_linger(&peer.stream, Some(Duration::ZERO))?;
            return Ok(());
        }
    }
    peer.stream.shutdown(Shutdown::Write)?;
    // Until the client has closed too: closing over unread bytes would be a reset.
    let _ = peer.stall(Duration::from_secs(30));
    Ok(())
}

impl Answer {
    fn of_status(status: u16) -> Answer {
        let headers = vec![
            ("Date".to_owned(), httpdate::fmt_http_date(SystemTime::now())),
            ("Connection".to_owned(), "close".to_owned()),
        ];
        let mut answer = Answer { status, headers, body: Vec::new() };
        if status != 304 {
            answer.set("Content-Length", "0");
        }
        answer
    }

    /// From 300 on nothing of the object may be left in the answer.
    fn become_status(&mut self, status: u16) {
        if status < 300 {
            self.status = status;
        } else {
            *self = Answer::of_status(status);
        }
    }

    fn set(&mut self, name: &str, value: &str) {
        self.remove(name);
        self.headers.push((name.to_owned(), value.to_owned()));
    }

    fn remove(&mut self, name: &str) {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
    }

    /// Sends the head once, then up to `count` more bytes of the body.
    fn send(&self, peer: &mut Peer<'_>, request: &Request, sent: &mut Option<usize>, count: usize) -> io::Result<()> {
        let from = match *sent {
            Some(from) => from,
            None => {
                let mut head = format!("HTTP/1.1 {} X\r\n", self.status);
                for (name, value) in &self.headers {
                    head.push_str(&format!("{name}: {value}\r\n"));
                }
                peer.write(format!("{head}\r\n").as_bytes())?;
                0
            }
        };
        let to = from.saturating_add(count).min(self.body.len());
        *sent = Some(to);
        if request.method == "HEAD" { Ok(()) } else { peer.write(&self.body[from..to]) }
    }
}

/// What a well-behaved server answers.
fn usual(request: &Request, object: Option<&Object>) -> Answer {
    let Some(object) = object else { return Answer::of_status(404) };
    if !matches!(request.method.as_str(), "GET" | "HEAD") {
        return Answer::of_status(405);
    }
    let range = wanted(request, object);
    let (status, bytes) = match &range {
        _ if unchanged(request, object) => (304, 0..0),
        Some(range) if range.is_empty() => (416, 0..0),
        Some(range) => (206, range.clone()),
        None => (200, 0..object.bytes.len()),
    };
    let mut answer = Answer::of_status(status);
    if object.serve.etag {
        answer.set("ETag", &object.etag);
    }
    if object.serve.last_modified {
        answer.set("Last-Modified", &httpdate::fmt_http_date(object.modified));
    }
    let total = object.bytes.len();
    match status {
        206 => answer.set("Content-Range", &format!("bytes {}-{}/{total}", bytes.start, bytes.end - 1)),
        416 => answer.set("Content-Range", &format!("bytes */{total}")),
        _ => {}
    }
    answer.body = object.bytes[bytes].to_vec();
    if status != 304 {
        answer.set("Content-Length", &answer.body.len().to_string());
    }
    if !object.serve.length {
        answer.remove("Content-Length");
    }
    answer
}

fn unchanged(request: &Request, object: &Object) -> bool {
    match request.header("if-none-match").filter(|_| object.serve.etag) {
        Some(known) => known.split(',').any(|etag| etag.trim() == object.etag || etag.trim() == "*"),
        None => {
            let known = request.header("if-modified-since").filter(|_| object.serve.last_modified);
            known == Some(&httpdate::fmt_http_date(object.modified))
        }
    }
}

/// The range to answer with, empty if it begins past the end; `None` for the whole object.
fn wanted(request: &Request, object: &Object) -> Option<Range<usize>> {
    let total = object.bytes.len();
    let (first, last) =
        request.header("range").filter(|_| object.serve.ranges)?.strip_prefix("bytes=")?.split_once('-')?;
    let first: usize = first.parse().ok()?;
    let end = last.parse::<usize>().map_or(total, |last| last.saturating_add(1).min(total));
    let holds = match request.header("if-range") {
        None => true,
        Some(validator) => {
            (object.serve.etag && validator == object.etag)
                || (object.serve.last_modified && validator == httpdate::fmt_http_date(object.modified))
        }
    };
    holds.then_some(first..end.max(first))
}
