//! One connection, from accept to the end of its part of the drain.

use std::error::Error;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::time::{Instant, sleep_until};

use super::answer::Answering;
use super::drain::Phase;
use super::server::{Open, Shared};
use super::stream::{Activity, Stream, Watched};

/// How often a busy connection is looked at while draining. It mostly ends by itself: its response
/// says so. Only one whose response began before the drain becomes idle instead.
const LOOK: Duration = Duration::from_millis(100);

/// A byte in the kernel's buffer reaches hyper within this time, or is looked for again.
const READ_SOON: Duration = Duration::from_millis(5);

/// Serves `stream` until the client or the drain ends it.
pub(super) async fn serve<S, B>(stream: Stream, service: S, shared: Arc<Shared>, _open: Open)
where
    S: Service<Request<Incoming>, Response = Response<B>>,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    B: Body + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let stream = Arc::new(stream);
    let activity = Arc::new(Activity::new());
    let io = TokioIo::new(Watched::new(Arc::clone(&stream), Arc::clone(&activity)));
    let service = Answering::new(service, Arc::clone(&shared), Arc::clone(&activity));
    let mut http = http1::Builder::new();
    if let Some(timeout) = shared.header_timeout {
        http.timer(TokioTimer::new()).header_read_timeout(timeout);
    }
    let mut connection = pin!(http.serve_connection(io, service).with_upgrades());

    let mut phase = shared.phase.clone();
    loop {
        let Phase::Draining { since, .. } = *phase.borrow_and_update() else {
            tokio::select! {
                ended = connection.as_mut() => return note(ended),
                _ = phase.changed() => continue,
            }
        };
        let deadline = shared.deadline();
        let now = Instant::now();
        if now >= deadline {
            shared.aborted.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let closes_at = activity.idle_since().map(|idle| idle.max(since) + shared.lame_duck());
        let look_again = match closes_at {
            Some(at) if at > now => at,
            Some(_) if stream.has_unread() => now + READ_SOON,
            Some(_) => {
                connection.as_mut().graceful_shutdown();
                now + LOOK
            }
            None => now + LOOK,
        };
        tokio::select! {
            ended = connection.as_mut() => return note(ended),
            _ = phase.changed() => {}
            () = sleep_until(look_again.min(deadline)) => {}
        }
    }
}

fn note(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        // Clients break off all the time; it is not this server's news.
        tracing::debug!(event = "service.connection_error", error = %error);
    }
}
