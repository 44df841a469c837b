//! The body of an answer, piece by piece, and how it ends before its time.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use s3s::{Body, StdError};
use tokio::time::{Instant, Sleep};

use super::effect::{BodyFaults, End};
use super::peer::Fate;

/// Small enough that a body is not handed to hyper, and so done, long before it is read.
const PIECE: usize = 64 * 1024;
/// Between the last bytes and a reset, so that the reset does not overtake them.
const BEFORE_RESET: Duration = Duration::from_millis(50);

/// How many of something there are just now.
#[derive(Debug, Clone, Default)]
pub(super) struct Counter(Arc<AtomicUsize>);

impl Counter {
    pub(super) fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    /// One more, until that is dropped.
    pub(super) fn one(&self) -> One {
        self.0.fetch_add(1, Ordering::SeqCst);
        One(self.clone())
    }
}

#[derive(Debug)]
pub(super) struct One(Counter);

impl Drop for One {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::SeqCst);
    }
}

pub(super) struct Reply {
    body: Body,
    /// Bytes of `body` that are not sent yet.
    rest: Bytes,
    sent: u64,
    faults: BodyFaults,
    fate: Fate,
    started: Option<Instant>,
    pause: Option<Pin<Box<Sleep>>>,
    _open: Option<One>,
}

impl Reply {
    pub(super) fn new(body: Body, faults: BodyFaults, fate: Fate, open: Option<One>) -> Reply {
        Reply { body, rest: Bytes::new(), sent: 0, faults, fate, started: None, pause: None, _open: open }
    }

    /// Pending until the pause is over.
    fn paused(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(context));
            self.pause = None;
        }
        Poll::Ready(())
    }

    /// Nothing more comes, and `end` is what happens to the connection.
    fn end(&mut self, context: &mut Context<'_>, end: End) -> Poll<Infallible> {
        match end {
            End::Stall => {}
            End::Close => self.fate.close(),
            End::Reset => {
                let pause = self.pause.get_or_insert_with(|| Box::pin(tokio::time::sleep(BEFORE_RESET)));
                if pause.as_mut().poll(context).is_ready() {
                    self.fate.reset();
                    self.faults.end = Some((self.sent, End::Stall));
                }
            }
        }
        // hyper flushes what it has when a body has nothing to give, and finds the connection ended.
        Poll::Pending
    }

    /// How many bytes may come next, and when: at a rate, not before they are due.
    fn piece(&mut self) -> usize {
        let mut most = PIECE;
        if let Some(rate) = self.faults.rate {
            most = (rate / 20).clamp(1, PIECE as u64) as usize;
        }
        if let Some((after, _)) = self.faults.end {
            most = most.min(usize::try_from(after - self.sent).unwrap_or(usize::MAX));
        }
        most.min(self.rest.len())
    }

    fn take(&mut self, size: usize) -> Bytes {
        let piece = self.rest.split_to(size);
        let from = self.sent;
        self.sent += size as u64;
        if let Some(rate) = self.faults.rate {
            let started = *self.started.get_or_insert_with(Instant::now);
            let due = started + Duration::from_secs_f64(self.sent as f64 / rate as f64);
            self.pause = Some(Box::pin(tokio::time::sleep_until(due)));
        }
        match self.faults.flip {
            Some(bit) if (from..self.sent).contains(&(bit / 8)) => {
                let mut piece = piece.to_vec();
                piece[(bit / 8 - from) as usize] ^= 1 << (bit % 8);
                piece.into()
            }
            _ => piece,
        }
    }
}

impl HttpBody for Reply {
    type Data = Bytes;
    type Error = StdError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, StdError>>> {
        let reply = &mut *self;
        if let Some((after, end)) = reply.faults.end
            && reply.sent >= after
        {
            match ready!(reply.end(context, end)) {}
        }
        ready!(reply.paused(context));
        if reply.rest.is_empty() {
            match ready!(Pin::new(&mut reply.body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(bytes) => reply.rest = bytes,
                    Err(other) => return Poll::Ready(Some(Ok(other))),
                },
                other => return Poll::Ready(other),
            }
        }
        let size = reply.piece();
        Poll::Ready(Some(Ok(Frame::data(reply.take(size)))))
    }

    fn is_end_stream(&self) -> bool {
        let cut = self.faults.end.is_some_and(|(after, _)| after == 0 && self.sent == 0);
        self.rest.is_empty() && self.body.is_end_stream() && !cut
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = self.body.size_hint();
        if !self.rest.is_empty() {
            hint.set_lower(hint.lower() + self.rest.len() as u64);
        }
        hint
    }
}
