//! Connections of HTTP/2: how they are recognised, and how they leave.

use std::future::poll_fn;
use std::io;
use std::ops::ControlFlow;
use std::pin::{Pin, pin};
use std::sync::atomic::Ordering;
use std::time::Duration;

use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::answer::Answering;
use super::connection::{Seen, note, until_left};
use super::serves::{Content, Serves};
use super::stream::{Stream, Watched};

/// What every client of HTTP/2 sends first, with or without TLS below (RFC 9113, 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How long to listen after the last word to a client that does not close.
const LINGER: Duration = Duration::from_secs(1);

/// Waits for the first bytes; true if they are HTTP/2's. `None` if the connection is over before: the
/// client failed, took longer than the header timeout, or was silent until the drain closed it.
pub(super) async fn recognise(mut io: Watched, seen: &Seen) -> Option<(Watched, bool)> {
    let read = {
        let first = first_bytes(&mut io);
        let first = async {
            match seen.shared.header_timeout {
                Some(limit) => timeout(limit, first).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())),
                None => first.await,
            }
        };
        until_left(pin!(first), seen, |_| ControlFlow::Break(())).await?.ok()?
    };
    let speaks = read == PREFACE;
    io.read_again(read);
    Some((io, speaks))
}

/// Reads the preface, or as much as shows that it is none.
async fn first_bytes(io: &mut Watched) -> io::Result<Vec<u8>> {
    let mut read = Vec::with_capacity(PREFACE.len());
    loop {
        let mut bytes = [0; PREFACE.len()];
        let mut part = ReadBuf::new(&mut bytes[read.len()..]);
        poll_fn(|context| Pin::new(&mut *io).poll_read(context, &mut part)).await?;
        let ended = part.filled().is_empty();
        read.extend(part.filled());
        if ended || read.len() == PREFACE.len() || !PREFACE.starts_with(&read) {
            return Ok(read);
        }
    }
}

/// Serves until the client or the drain ends it.
///
/// A drain begins with GOAWAY for streams that there will never be, and a PING: the client opens no more
/// streams, and what it had opened by then arrives before its answer to the PING and is served. Then
/// comes the GOAWAY with the last stream, and the end when all streams have ended. Nothing has to be
/// guessed from silence, so there is no lame-duck period.
pub(super) async fn serve<S, B>(io: Watched, service: Answering<S>, seen: Seen)
where
    S: Serves<B>,
    B: Content,
{
    let shared = &seen.shared;
    let mut connection = pin!(http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(io), service));
    let mut phase = shared.phase.clone();
    loop {
        phase.mark_unchanged();
        let draining = shared.is_draining();
        let deadline = shared.deadline();
        if draining {
            connection.as_mut().graceful_shutdown();
        }
        tokio::select! {
            ended = connection.as_mut() => {
                note(ended);
                let _ = timeout_at(deadline.min(Instant::now() + LINGER), drained(&seen.stream)).await;
                return;
            }
            _ = phase.changed() => {}
            () = sleep_until(deadline), if draining => {
                shared.aborted.fetch_add(1, Ordering::Relaxed);
                return;
            }
        }
    }
}

/// Reads until the client has closed.
///
/// It may still be sending: a window update, the acknowledgement of a setting. To close before that is read
/// makes the kernel reset the connection, and a client whose write fails may drop the answer that it has not
/// read yet.
async fn drained(stream: &Stream) -> io::Result<()> {
    let mut bytes = [0; 1024];
    while stream.read(&mut bytes).await? > 0 {}
    Ok(())
}
