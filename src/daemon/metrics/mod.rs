//! The metrics and the health of this host, for whoever asks at an address that the operator has opened.
//!
//! It is part of the supervisor's loop: no thread, no timer and no wake-up while nobody asks, and while somebody does, no
//! step that could wait. So the loop answers for itself: who gets `200` from `/healthz` has heard from the thread that looks
//! after the service. The costs are bounded: [`MOST`] connections, each with a deadline, a short request and one answer.

mod connection;
mod health;
mod request;
mod text;

use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::SocketFlags;

use connection::Connection;
use request::{Request, Wanted};

use super::setup;
use crate::agent::Ledger;
use crate::clock::Timestamp;
use crate::config;
use crate::control::{Backend, MetricsShown};
use crate::exposition::CONTENT_TYPE;
use crate::failure::Reported;
use crate::restart::supervise::{Listen, Listener, News, Supervisor};

/// Where metrics are served, if anywhere.
#[derive(Debug)]
pub(super) struct Endpoint {
    listen: Option<Listen>,
    any_host: bool,
    listener: Option<Listener>,
    /// When the address is tried again, or the next connection is taken.
    again: Option<Instant>,
    /// How long it was waited for that.
    waited: Duration,
    connections: Vec<Connection>,
    shown: Shown,
}

/// What `status` says of it.
pub(super) type Shown = Arc<Mutex<Option<MetricsShown>>>;

/// What the answers are made of.
pub(super) struct Facts<'a> {
    pub(super) supervisor: &'a Supervisor,
    pub(super) backend: &'a Backend,
    pub(super) ledger: &'a Ledger,
    /// Whether there is a source of releases: the agent says so of itself only once it has begun.
    pub(super) sourced: bool,
}

impl Endpoint {
    /// Listens, if it is asked for. An address that cannot be had is tried again: the service does not wait for it.
    pub(super) fn open(metrics: Option<&config::Metrics>, shown: Shown) -> Endpoint {
        let listen =
            metrics.map(|metrics| Listen { name: "metrics".to_owned(), address: setup::address(&metrics.address) });
        let any_host = metrics.is_some_and(config::Metrics::answers_to_any_name);
        let mut endpoint = Endpoint {
            listen,
            any_host,
            listener: None,
            again: None,
            waited: Duration::ZERO,
            connections: Vec::new(),
            shown,
        };
        endpoint.listen(Instant::now());
        endpoint
    }

    /// What is waited for.
    pub(super) fn awaits(&self) -> impl Iterator<Item = (BorrowedFd<'_>, PollFlags)> {
        let listener = self.listener.as_ref().filter(|_| self.again.is_none());
        let listener = listener.map(|listener| (listener.as_fd(), PollFlags::IN));
        listener.into_iter().chain(self.connections.iter().map(Connection::awaits))
    }

    /// When there is something to do, at the latest.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.connections.iter().map(Connection::deadline).chain(self.again).min()
    }

    /// Does whatever can be done without waiting. False if there was nothing.
    pub(super) fn turn(&mut self, facts: &Facts<'_>) -> bool {
        let now = Instant::now();
        if self.again.is_some_and(|again| now >= again) {
            self.again = None;
            self.listen(now);
        }
        let came = self.accept(now);
        let busy = came || !self.connections.is_empty();
        let any_host = self.any_host;
        self.connections.retain_mut(|connection| connection.turn(now, any_host, &mut |request| facts.answer(request)));
        busy
    }

    fn listen(&mut self, now: Instant) {
        let (Some(listen), None) = (&self.listen, &self.listener) else { return };
        let bound = Listener::bind(listen).map_err(|failure| Reported::of(&failure)).and_then(|listener| {
            let open = rustix::io::ioctl_fionbio(listener.as_fd(), true);
            open.map(|()| listener).map_err(|e| super::start_failure("metrics.listen", &std::io::Error::from(e)))
        });
        let shown = match bound {
            Ok(listener) => {
                let address = listener.address();
                tracing::info!(event = "metrics.listening", address, "metrics are at /metrics, health is at /healthz");
                self.listener = Some(listener);
                MetricsShown { address, trouble: None }
            }
            Err(why) => {
                if self.waited.is_zero() {
                    let hint = why.hint.as_deref().unwrap_or_default();
                    tracing::warn!(
                        event = "metrics.unavailable",
                        code = why.code,
                        hint,
                        "no metrics for now: {}; the service does without, and the address is tried again",
                        why.message
                    );
                }
                self.waited = (self.waited * 2).clamp(SHORTEST, LONGEST);
                self.again = Some(now + self.waited);
                MetricsShown { address: listen.address.to_string(), trouble: Some(why) }
            }
        };
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = Some(shown);
    }

    /// Takes those who have come, some at a time: the loop has other things to do. Where too many are there, the one that
    /// has been there the longest makes room; it has not asked yet, or does not take its answer.
    fn accept(&mut self, now: Instant) -> bool {
        let Some(listener) = self.listener.as_ref().filter(|_| self.again.is_none()) else { return false };
        for taken in 0..MOST {
            match rustix::net::accept_with(listener.as_fd(), SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
                Ok(stream) => {
                    if self.connections.len() >= MOST {
                        self.connections.remove(0);
                    }
                    self.connections.push(Connection::new(stream, now));
                }
                Err(Errno::INTR | Errno::CONNABORTED) => {}
                Err(Errno::AGAIN) => return taken > 0,
                Err(e) => {
                    // No descriptor is free, say. The listener would be ready again at once, and for ever.
                    tracing::warn!(event = "metrics.busy", error = %e, "a client of the metrics could not be taken");
                    self.again = Some(now + SHORTEST);
                    return taken > 0;
                }
            }
        }
        true
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.listener.iter().for_each(Listener::release);
    }
}

/// Counts what the supervisor tells.
pub(super) fn count(ledger: &Ledger, news: &News) {
    ledger.enter(|counts| match news {
        News::Serving { .. } => counts.starts += 1,
        News::Crashed { .. } => counts.crashes += 1,
        News::CrashLoop { .. } => {
            // The crash that is one too many is no news of its own.
            counts.crashes += 1;
            counts.crash_loops += 1;
        }
        News::ProgramChanged | News::RestartWanted => {}
    });
}

impl Facts<'_> {
    fn answer(&self, request: Request) -> Vec<u8> {
        let (status, kind, body) = match request.wanted {
            Ok(Wanted::Metrics) => {
                let status = (self.backend.status)();
                let serves = self.supervisor.serves().map(|(generation, _)| generation);
                let text = text::text(&status, &self.ledger.read(), self.sourced, serves, Timestamp::now());
                ("200 OK", CONTENT_TYPE, text)
            }
            Ok(Wanted::Health) => {
                let driver = self.backend.shown.read().driver;
                match health::health(self.supervisor.is_stopping(), driver.as_deref(), self.supervisor.serves()) {
                    Ok(well) => ("200 OK", PLAIN, format!("ok: {well}\n")),
                    Err(ill) => ("503 Service Unavailable", PLAIN, format!("{ill}\n")),
                }
            }
            Err(refusal) => {
                let (status, sentence) = refusal.says();
                (status, PLAIN, sentence.to_owned())
            }
        };
        let allow = if request.wanted == Err(request::Refusal::Method) { "Allow: GET, HEAD\r\n" } else { "" };
        let length = body.len();
        let mut answer = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n{allow}Cache-Control: no-store\r\n\
             X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n"
        );
        if !request.head_only {
            answer.push_str(&body);
        }
        answer.into_bytes()
    }
}

const PLAIN: &str = "text/plain; charset=utf-8";

/// So many connections there are at most, and so many are taken at a time.
const MOST: usize = 16;

/// Between two attempts to have the address: doubled each time, up to the longest.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);
