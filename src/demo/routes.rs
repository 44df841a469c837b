//! What the demo service answers.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::{Request, Response, StatusCode};

use super::trailer::{Fault, Trailer};
use crate::service::Inherited;

/// What the answers are made of.
#[derive(Debug)]
pub(super) struct About {
    pub(super) trailer: Trailer,
    pub(super) generation: Option<u64>,
    pub(super) digest: Option<String>,
    /// What was inherited, as lines of text.
    pub(super) inherited: Vec<String>,
}

/// The most a query can ask for, so that the service stays small whatever it is asked.
const LONGEST: Duration = Duration::from_secs(60);
const LARGEST: usize = 64 << 20;

/// Answers one request.
pub(super) async fn answer(about: Arc<About>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let number = |name: &str| query(request.uri().query(), name);
    let mut status = StatusCode::OK;
    let body = match request.uri().path() {
        "/" => Bytes::from(about.json()),
        "/slow" => {
            let time = Duration::from_millis(number("ms").unwrap_or(2000));
            tokio::time::sleep(time.min(LONGEST)).await;
            Bytes::from(about.json())
        }
        "/env" => Bytes::from(about.environment()),
        "/fds" => Bytes::from(open_descriptors().to_string()),
        "/bytes" => {
            let count = number("n").and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
            Bytes::from(vec![b'x'; count.min(LARGEST)])
        }
        "/exit" => {
            let code = number("code").and_then(|code| i32::try_from(code).ok()).unwrap_or(0);
            std::process::exit(code);
        }
        "/crash" if about.trailer.fault == Some(Fault::CrashLater) => std::process::exit(super::service::CRASH),
        _ => {
            status = StatusCode::NOT_FOUND;
            Bytes::from_static(b"there is nothing here\n")
        }
    };
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    if request.uri().path() != "/bytes" {
        response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/json"));
    }
    Ok(response)
}

impl About {
    fn json(&self) -> String {
        let generation = self.generation.map_or("null".to_owned(), |generation| generation.to_string());
        let digest = self.digest.as_deref().map_or("null".to_owned(), quoted);
        format!(
            "{{\"version\":{},\"pid\":{},\"generation\":{generation},\"digest\":{digest}}}\n",
            quoted(&self.trailer.version),
            std::process::id()
        )
    }

    /// What was inherited, which of the protocol's variables are still set (none should be), and
    /// what a second attempt to take it all says.
    fn environment(&self) -> String {
        let inherited: Vec<_> = self.inherited.iter().map(|line| quoted(line)).collect();
        let left: Vec<_> = std::env::vars_os()
            .map(|(name, _)| name.to_string_lossy().into_owned())
            .filter(|name| ["FETCHD_", "LISTEN_", "NOTIFY_", "WATCHDOG_"].iter().any(|start| name.starts_with(start)))
            .map(|name| quoted(&name))
            .collect();
        // Answered before anything is touched, so it may be asked with threads running.
        let again = Inherited::take().err().map(|error| quoted(&error.to_string())).unwrap_or_default();
        format!("{{\"inherited\":[{}],\"left\":[{}],\"again\":{again}}}\n", inherited.join(","), left.join(","))
    }
}

fn open_descriptors() -> usize {
    // The directory being read is one of them.
    std::fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count().saturating_sub(1))
}

fn query(query: Option<&str>, name: &str) -> Option<u64> {
    let pairs = query?.split('&').filter_map(|pair| pair.split_once('='));
    pairs.filter(|(key, _)| *key == name).find_map(|(_, value)| value.parse().ok())
}

/// `text` as a JSON string.
fn quoted(text: &str) -> String {
    let mut json = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => json.extend(['\\', c]),
            c if c.is_control() => {
                // A writer into a String cannot fail.
                let _ = write!(json, "\\u{:04x}", u32::from(c));
            }
            c => json.push(c),
        }
    }
    json.push('"');
    json
}
