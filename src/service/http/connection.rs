//! One connection, from accept to the end of its part of the drain.

use std::ops::ControlFlow;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::time::{Instant, sleep_until};

use super::answer::Answering;
use super::drain::Phase;
use super::server::{Open, Shared};
use super::serves::{Content, Serves};
use super::stream::{Activity, Stream, Watched};

/// How often a busy connection is looked at while draining. It mostly ends by itself: its response
/// says so. Only one whose response began before the drain becomes idle instead.
const LOOK: Duration = Duration::from_millis(100);

/// A byte in the kernel's buffer reaches hyper within this time, or is looked for again.
const READ_SOON: Duration = Duration::from_millis(5);

/// What a connection needs to know to leave at the right moment.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) stream: Arc<Stream>,
    pub(super) activity: Arc<Activity>,
    pub(super) shared: Arc<Shared>,
}

/// Serves `stream` until the client or the drain ends it. It is `open` until then; one that was upgraded,
/// until the program drops it.
pub(super) async fn serve<S, B>(stream: Stream, service: S, shared: Arc<Shared>, open: Open)
where
    S: Serves<B>,
    B: Content,
{
    let seen = Seen { stream: Arc::new(stream), activity: Arc::new(Activity::new()), shared };
    let io = Watched::new(Arc::clone(&seen.stream), Arc::clone(&seen.activity), open);
    let service = Answering::new(service, Arc::clone(&seen.shared), Arc::clone(&seen.activity));
    #[cfg(feature = "http2")]
    let io = match super::http2::recognise(io, &seen).await {
        Some((io, true)) => return super::http2::serve(io, service, seen).await,
        Some((io, false)) => io,
        None => return,
    };

    let mut http = http1::Builder::new();
    if let Some(timeout) = seen.shared.header_timeout {
        http.timer(TokioTimer::new()).header_read_timeout(timeout);
    }
    let connection = pin!(http.serve_connection(TokioIo::new(io), service).with_upgrades());
    let ended = until_left(connection, &seen, |connection| {
        connection.graceful_shutdown();
        ControlFlow::Continue(())
    });
    if let Some(ended) = ended.await {
        note(ended);
    }
}

/// Waits for the end of `connection`. During a drain it is told to `close` when it has been idle for the
/// lame-duck period; then it ends by itself, or is given up (`None`) if `close` breaks, and at the deadline.
pub(super) async fn until_left<F: Future>(
    mut connection: Pin<&mut F>,
    seen: &Seen,
    mut close: impl FnMut(Pin<&mut F>) -> ControlFlow<()>,
) -> Option<F::Output> {
    let Seen { stream, activity, shared } = seen;
    let mut phase = shared.phase.clone();
    loop {
        let Phase::Draining { since, .. } = *phase.borrow_and_update() else {
            tokio::select! {
                ended = connection.as_mut() => return Some(ended),
                _ = phase.changed() => continue,
            }
        };
        let deadline = shared.deadline();
        let now = Instant::now();
        if now >= deadline {
            shared.aborted.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let closes_at = activity.idle_since().map(|idle| idle.max(since) + shared.lame_duck());
        let look_again = match closes_at {
            Some(at) if at > now => at,
            Some(_) if stream.has_unread() => now + READ_SOON,
            Some(_) => match close(connection.as_mut()) {
                ControlFlow::Continue(()) => now + LOOK,
                ControlFlow::Break(()) => return None,
            },
            None => now + LOOK,
        };
        tokio::select! {
            ended = connection.as_mut() => return Some(ended),
            _ = phase.changed() => {}
            () = sleep_until(look_again.min(deadline)) => {}
        }
    }
}

pub(super) fn note(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        // Clients break off all the time; it is not this server's news.
        tracing::debug!(event = "service.connection_error", error = %error);
    }
}
