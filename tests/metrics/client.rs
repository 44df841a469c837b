//! Whoever asks: a request on a connection of its own, and the whole of what comes back.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;

use crate::format::Scrape;
use crate::site::{PATIENCE, Supervised};

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    fn read(text: &str) -> io::Result<Answer> {
        let wrong = || io::Error::new(io::ErrorKind::InvalidData, format!("no answer: {text:?}"));
        let (head, body) = text.split_once("\r\n\r\n").ok_or_else(wrong)?;
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")).ok_or_else(wrong)?;
        let headers = lines.map(|line| line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned())));
        Ok(Answer {
            status: status.get(..3).and_then(|code| code.parse().ok()).ok_or_else(wrong)?,
            headers: headers.collect::<Option<_>>().ok_or_else(wrong)?,
            body: body.to_owned(),
        })
    }
}

/// Where metrics are.
#[track_caller]
pub fn endpoint(fetchd: &mut Supervised<'_>) -> SocketAddr {
    let served = |status: &fetchd::control::Status| status.metrics.as_ref().is_some_and(|at| at.trouble.is_none());
    fetchd.wait("metrics are served", served).metrics.unwrap().address.parse().unwrap()
}

/// Sends `request` as it is and reads to the end.
pub fn send(at: SocketAddr, request: &[u8]) -> io::Result<Answer> {
    let stream = TcpStream::connect_timeout(&at, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    talk(stream, request)
}

/// The same at a unix socket.
pub fn send_unix(at: &std::path::Path, request: &[u8]) -> io::Result<Answer> {
    let stream = UnixStream::connect(at)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    talk(stream, request)
}

fn talk(mut stream: impl Read + Write, request: &[u8]) -> io::Result<Answer> {
    stream.write_all(request)?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Answer::read(&text)
}

pub fn get(at: SocketAddr, path: &str) -> io::Result<Answer> {
    send(at, format!("GET {path} HTTP/1.1\r\nHost: {at}\r\nUser-Agent: test\r\n\r\n").as_bytes())
}

/// The metrics, which have to be right in every respect.
#[track_caller]
pub fn scrape(at: SocketAddr) -> Scrape {
    let answer = get(at, "/metrics").unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert_eq!(answer.header("content-length"), Some(answer.body.len().to_string().as_str()));
    Scrape::read(&answer.body)
}

/// Scrapes until `what` holds of it.
#[track_caller]
pub fn scrape_until(at: SocketAddr, name: &str, what: impl Fn(&Scrape) -> bool) -> Scrape {
    let mut last = scrape(at);
    crate::site::wait_until(name, || {
        last = scrape(at);
        what(&last)
    });
    last
}

/// The status and the line of `/healthz`.
#[track_caller]
pub fn health(at: SocketAddr) -> (u16, String) {
    let answer = get(at, "/healthz").unwrap();
    assert!(answer.body.ends_with('\n') && answer.body.lines().count() == 1, "{answer:?}");
    (answer.status, answer.body.trim_end().to_owned())
}
