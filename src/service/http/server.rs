//! The server: its settings, and the whole of its life.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::drain::{Handle, Phase};
use super::serves::{Content, Serves};
use super::{accept, connection};
use crate::service::Listener;

/// What became of a server's connections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// Connections accepted in all.
    pub connections: u64,
    /// Requests received in all.
    pub requests: u64,
    /// Connections that ended in order during the drain.
    pub drained: u64,
    /// Connections cut at the deadline.
    pub aborted: u64,
    /// How long the drain took.
    pub took: Duration,
}

/// An HTTP/1 server, and with the feature `http2` an HTTP/2 server, on listeners that other processes may share.
#[derive(Debug)]
pub struct Server {
    listeners: Vec<Listener>,
    handle: Handle,
    lame_duck: Duration,
    deadline: Option<Duration>,
    header_timeout: Option<Duration>,
}

/// Silent connections are served this long into a drain.
const LAME_DUCK: Duration = Duration::from_secs(2);

/// A drain takes at most this long where nobody says otherwise.
const DEADLINE: Duration = Duration::from_secs(30);

impl Server {
    /// A server on `listeners`. It does not accept before [`serve`](Server::serve).
    pub fn new(listeners: impl IntoIterator<Item = Listener>) -> Server {
        Server {
            listeners: listeners.into_iter().collect(),
            handle: Handle::new(),
            lame_duck: LAME_DUCK,
            deadline: None,
            header_timeout: None,
        }
    }

    /// How long a silent connection is left open after the drain has begun; 2 s by default, and
    /// never more than half of what the drain may take.
    #[must_use]
    pub fn lame_duck(mut self, period: Duration) -> Server {
        self.lame_duck = period;
        self
    }

    /// How long a drain may take; by default what the supervisor says, else 30 s.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Server {
        self.deadline = Some(deadline);
        self
    }

    /// Closes a connection that does not complete a request's headers in this time, which includes
    /// the time it is idle before a request. Off by default. For HTTP/2 it is the time to the first bytes,
    /// and with the feature `http2` HTTP/1 has that time once more before its first request.
    #[must_use]
    pub fn header_timeout(mut self, timeout: Duration) -> Server {
        self.header_timeout = Some(timeout);
        self
    }

    /// Pauses, resumes and drains this server from elsewhere.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    pub(super) fn deadline_or(self, deadline: Option<Duration>) -> Server {
        Server { deadline: self.deadline.or(deadline), ..self }
    }

    /// Accepts and serves until a drain begun through [`handle`](Server::handle) is over.
    ///
    /// `service` is cloned for each connection; a tower service such as an `axum::Router` fits through
    /// `hyper_util::service::TowerToHyperService`. Runs on any tokio runtime with I/O and time.
    ///
    /// # Errors
    ///
    /// A listener could not be registered with the runtime. Errors of single connections and of
    /// accept are logged and end nothing.
    pub async fn serve<S, B>(self, service: S) -> io::Result<Summary>
    where
        S: Serves<B>,
        B: Content,
    {
        let shared = Arc::new(Shared {
            phase: self.handle.subscribe(),
            lame_duck: self.lame_duck,
            deadline: self.deadline.unwrap_or(DEADLINE),
            header_timeout: self.header_timeout,
            open: watch::Sender::new(0),
            connections: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            aborted: AtomicU64::new(0),
        });
        let mut accepting = JoinSet::new();
        for listener in self.listeners {
            let (shared, service) = (Arc::clone(&shared), service.clone());
            accepting.spawn(accept::accept(listener, self.handle.subscribe(), move |stream| {
                shared.connections.fetch_add(1, Ordering::Relaxed);
                let open = Open::count(&shared);
                tokio::spawn(connection::serve(stream, service.clone(), Arc::clone(&shared), open));
            }));
        }

        // Listeners end only at a drain, unless one of them cannot be registered.
        while let Some(ended) = accepting.join_next().await {
            ended.map_err(io::Error::other)??;
        }
        self.handle.draining().await;
        let begun = Instant::now();

        let mut open = shared.open.subscribe();
        let mut phase = shared.phase.clone();
        loop {
            // Each connection keeps the deadline itself; one that blocks its thread cannot, and is not waited for.
            let limit = shared.deadline() + Duration::from_millis(100);
            phase.mark_unchanged();
            tokio::select! {
                _ = timeout_at(limit, open.wait_for(|open| *open == 0)) => break,
                _ = phase.changed() => {}
            }
        }
        let aborted = shared.aborted.load(Ordering::Relaxed) + *shared.open.borrow() as u64;
        Ok(Summary {
            connections: shared.connections.load(Ordering::Relaxed),
            requests: shared.requests.load(Ordering::Relaxed),
            drained: shared.ended.load(Ordering::Relaxed).saturating_sub(shared.aborted.load(Ordering::Relaxed)),
            aborted,
            took: begun.elapsed(),
        })
    }
}

/// What the tasks of one server share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) phase: watch::Receiver<Phase>,
    lame_duck: Duration,
    deadline: Duration,
    pub(super) header_timeout: Option<Duration>,
    open: watch::Sender<usize>,
    connections: AtomicU64,
    pub(super) requests: AtomicU64,
    /// Connections that ended during the drain, in order or not.
    ended: AtomicU64,
    pub(super) aborted: AtomicU64,
}

impl Shared {
    pub(super) fn is_draining(&self) -> bool {
        matches!(*self.phase.borrow(), Phase::Draining { .. })
    }

    /// The lame-duck period: never more than half of the time the drain has, so that idle connections are
    /// closed in order and not at the deadline.
    pub(super) fn lame_duck(&self) -> Duration {
        let within = match *self.phase.borrow() {
            Phase::Draining { within: Some(within), .. } => within,
            _ => self.deadline,
        };
        self.lame_duck.min(within / 2)
    }

    /// When the drain must be over; without a drain, as if it began now.
    pub(super) fn deadline(&self) -> Instant {
        match *self.phase.borrow() {
            Phase::Draining { since, within } => since + within.unwrap_or(self.deadline),
            _ => Instant::now() + self.deadline,
        }
    }
}

/// Counts a connection as open until it is dropped.
#[derive(Debug)]
pub(super) struct Open(Arc<Shared>);

impl Open {
    fn count(shared: &Arc<Shared>) -> Open {
        shared.open.send_modify(|open| *open += 1);
        Open(Arc::clone(shared))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if self.0.is_draining() {
            self.0.ended.fetch_add(1, Ordering::Relaxed);
        }
        self.0.open.send_modify(|open| *open -= 1);
    }
}
