//! The page over HTTP: read-only, for whoever reaches the address, and nobody else's pages.
//!
//! There is no password for reading. So it listens on loopback unless somebody insists, and answers only requests for a name it
//! has: a page elsewhere whose name is made to point here (DNS rebinding) reads nothing. Who changes something shows a token
//! that only the operator was told; no cookie goes along by itself. Proved in
//! `src/rollout/serve/tests.rs` and `tests/fleet_page`.

mod feed;
mod order;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};

pub use self::feed::{Feed, Snapshot, Source};
pub use self::order::Order;
use super::{metrics, page};
use crate::service::http::{Server, run_until_drained};
use crate::service::{Inherited, Listener};

/// What a page serves, and under which names.
#[derive(Debug)]
pub struct Site {
    /// Where its view comes from.
    pub feed: Feed,
    /// The values of `Host` that it answers to, in lower case: `127.0.0.1:8088`, `fleet.example.com`.
    pub hosts: Vec<String>,
    /// What somebody has to show who changes something; `None`: it can only be read.
    pub token: Option<String>,
}

/// How long a connection of a browser that says nothing is left open after SIGTERM.
const LAME_DUCK: Duration = Duration::from_millis(100);

/// How long the last answers may take after SIGTERM.
const DRAIN: Duration = Duration::from_secs(3);

/// How long a connection may take to send the head of a request, or be idle.
const IDLE: Duration = Duration::from_secs(60);

/// Serves until SIGTERM or SIGINT. `inherited` is what a supervisor gave, `ready` is called when it serves.
///
/// Fails if there can be no runtime, or a listener cannot be served.
pub fn serve(inherited: Inherited, listeners: Vec<Listener>, site: Site) -> io::Result<()> {
    let site = Arc::new(site);
    let service = service_fn(move |request: Request<Incoming>| {
        let site = Arc::clone(&site);
        async move { Ok::<_, Infallible>(site.answer(request).await) }
    });
    let server = Server::new(listeners).lame_duck(LAME_DUCK).deadline(DRAIN).header_timeout(IDLE);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run_until_drained(inherited, server, service)).map(drop)
}

impl Site {
    /// The answer to one request.
    pub async fn answer<B: Body>(&self, request: Request<B>) -> Response<Full<Bytes>>
    where
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let asked = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
        let known = asked.is_some_and(|asked| self.hosts.iter().any(|host| host.eq_ignore_ascii_case(asked)));
        if !known {
            return plain(StatusCode::MISDIRECTED_REQUEST, "this page is not called that; `--host NAME` adds a name\n");
        }
        if let (&Method::POST, Some(token)) = (request.method(), &self.token) {
            return order::answer(self, token, request).await;
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut reply = plain(StatusCode::METHOD_NOT_ALLOWED, "this page can only be read\n");
            reply.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return reply;
        }
        let known = request.headers().get(header::IF_NONE_MATCH).and_then(|tag| tag.to_str().ok());
        match request.uri().path() {
            "/page.css" => reply(StatusCode::OK, "text/css; charset=utf-8", page::STYLE),
            "/page.js" => reply(StatusCode::OK, "text/javascript; charset=utf-8", page::SCRIPT),
            "/icon.svg" => reply(StatusCode::OK, "image/svg+xml", page::ICON),
            "/" => {
                let snapshot = self.feed.now().await;
                reply(status(&snapshot), HTML, page::page(snapshot.shown(), self.token.is_some()))
            }
            "/part" => {
                let snapshot = self.feed.now().await;
                // Also where there is nothing to see: the script shows what it says.
                tagged(&snapshot, known, || reply(StatusCode::OK, HTML, page::part(snapshot.shown())))
            }
            "/view.json" => {
                let snapshot = self.feed.now().await;
                tagged(&snapshot, known, || reply(status(&snapshot), "application/json", snapshot.json()))
            }
            "/metrics" => measured(&self.feed.now().await),
            _ => plain(StatusCode::NOT_FOUND, "there is nothing here\n"),
        }
    }
}

const HTML: &str = "text/html; charset=utf-8";

fn status(snapshot: &Snapshot) -> StatusCode {
    if snapshot.view.is_some() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

/// Figures that nobody has seen just now are none: a scraper is told so. While the bucket says nothing at all, neither yes nor
/// no, they are those that were seen last, and their age grows.
fn measured(snapshot: &Snapshot) -> Response<Full<Bytes>> {
    match (&snapshot.view, &snapshot.trouble) {
        (Some(view), None) => reply(StatusCode::OK, metrics::CONTENT_TYPE, metrics::text(view, snapshot.age())),
        (_, Some(trouble)) => {
            plain(StatusCode::SERVICE_UNAVAILABLE, format!("{} [{}]\n", trouble.message, trouble.code))
        }
        (None, None) => plain(StatusCode::SERVICE_UNAVAILABLE, "nobody has looked yet\n"),
    }
}

/// The answer, or 304 if it is what the asker has.
fn tagged(
    snapshot: &Snapshot,
    known: Option<&str>,
    make: impl FnOnce() -> Response<Full<Bytes>>,
) -> Response<Full<Bytes>> {
    let mut reply = if known == Some(&snapshot.tag) { plain(StatusCode::NOT_MODIFIED, "") } else { make() };
    if let Ok(tag) = HeaderValue::from_str(&snapshot.tag) {
        reply.headers_mut().insert(header::ETAG, tag);
    }
    reply
}

fn plain(status: StatusCode, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    reply(status, "text/plain; charset=utf-8", text)
}

/// What every answer carries, so that no other page can use it and the browser takes nothing from elsewhere.
const ALWAYS: [(HeaderName, &str); 7] = [
    (header::CONTENT_SECURITY_POLICY, page::POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];

fn reply(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut reply = Response::new(Full::new(body.into()));
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    for (name, value) in ALWAYS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    reply
}
