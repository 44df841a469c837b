//! One call of supervisord's: an HTTP request over its unix socket.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use super::xml::{self, Answer};

/// Calls `method` about `name`. Ends within [`PATIENCE`] of each of supervisord's bytes, and at `until` at the latest.
pub(super) fn call(
    socket: &Path,
    method: &str,
    name: &str,
    switch: Option<bool>,
    until: Instant,
) -> io::Result<Answer> {
    let mut stream = UnixStream::connect(socket)?;
    let body = xml::call(method, name, switch);
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "POST /RPC2 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: text/xml\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let bytes = read(&mut stream, until.min(Instant::now() + PATIENCE))?;
    let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let text = String::from_utf8(bytes).map_err(|_| wrong("its answer is no text"))?;
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(|| wrong("its answer ended early"))?;
    let status = head.split_whitespace().nth(1).unwrap_or_default();
    if status != "200" {
        return Err(wrong(match status {
            "401" => "it wants a user and a password, which this driver does not send",
            _ => "it did not answer with status 200",
        }));
    }
    xml::answer(body).ok_or_else(|| wrong("its answer is no XML-RPC"))
}

/// The whole answer: supervisord closes the connection after it.
fn read(stream: &mut UnixStream, until: Instant) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(bytes),
            Ok(count) => bytes.extend(&buffer[..count]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Err(io::ErrorKind::TimedOut.into()),
            Err(e) => return Err(e),
        }
        if bytes.len() > MOST {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "its answer is too long"));
        }
    }
}

/// No call waits for a process: each is answered at once.
const PATIENCE: Duration = Duration::from_secs(10);

const MOST: usize = 256 * 1024;
