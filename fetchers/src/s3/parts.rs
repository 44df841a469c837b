//! Several parts of one object at the same time, in order.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, Stream, StreamExt, TryStreamExt};

use super::held::Held;
use super::mark::Mark;
use super::open::Object;
use crate::error::FetchError;

type Chunks = BoxStream<'static, Result<Bytes, FetchError>>;

/// The bytes of an object whose parts are asked for side by side.
///
/// The first part in order is passed on as it comes; those behind it are held in memory until their
/// turn. So what is held is never more than `part_size` times `connections` less one. Nothing is
/// spawned: dropped, it ends every request, and not polled, it reads nothing.
pub(super) struct Parts {
    object: Arc<Object>,
    pin: Arc<Mark>,
    /// In the order of the object, the first one now.
    under_way: VecDeque<Part>,
    /// The first byte that is not asked for yet.
    next: u64,
    total: u64,
    /// Whether anyone reads: until then one request is enough.
    wanted: bool,
}

struct Part {
    /// `None` once it has ended.
    chunks: Option<Chunks>,
    held: Held,
    /// What it ended with, once what is held has been passed on.
    failed: Option<FetchError>,
}

impl Part {
    fn of(chunks: Chunks) -> Part {
        Part { chunks: Some(chunks), held: Held::default(), failed: None }
    }

    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, FetchError>>> {
        let Some(chunks) = &mut self.chunks else { return Poll::Ready(None) };
        let polled = chunks.poll_next_unpin(cx);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.chunks = None;
        }
        polled
    }

    /// The next of what was read ahead.
    fn waiting(&mut self) -> Option<Result<Bytes, FetchError>> {
        self.held.pop().map(Ok).or_else(|| self.failed.take().map(Err))
    }

    /// Holds whatever there is by now.
    fn read_ahead(&mut self, cx: &mut Context<'_>) {
        while let Poll::Ready(Some(chunk)) = self.poll_chunk(cx) {
            match chunk {
                Ok(chunk) => self.held.push(chunk),
                Err(error) => self.failed = Some(error),
            }
        }
    }
}

impl Parts {
    /// `first` is the part before the byte `next`; what follows is pinned by `pin` and `total`.
    pub(super) fn new(object: Arc<Object>, pin: Mark, first: Chunks, next: u64, total: u64) -> Parts {
        Parts { object, pin: Arc::new(pin), under_way: VecDeque::from([Part::of(first)]), next, total, wanted: false }
    }

    fn ask_for_more(&mut self) {
        while self.under_way.len() < self.object.settings.connections && self.next < self.total {
            let part = Arc::clone(&self.object).part(self.next, self.total, Arc::clone(&self.pin));
            self.under_way.push_back(Part::of(part.into_stream().try_flatten().boxed()));
            self.next = self.next.saturating_add(self.object.settings.part_size);
        }
    }
}

impl Stream for Parts {
    type Item = Result<Bytes, FetchError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let parts = self.get_mut();
        loop {
            if parts.wanted || parts.under_way.is_empty() {
                parts.ask_for_more();
            }
            for behind in parts.under_way.iter_mut().skip(1) {
                behind.read_ahead(cx);
            }
            let Some(now) = parts.under_way.front_mut() else { return Poll::Ready(None) };
            let chunk = match now.waiting() {
                Some(chunk) => Some(chunk),
                None => std::task::ready!(now.poll_chunk(cx)),
            };
            match chunk {
                Some(Ok(chunk)) => {
                    parts.wanted = true;
                    return Poll::Ready(Some(Ok(chunk)));
                }
                Some(Err(error)) => {
                    // The last item; nothing else is worth its connection.
                    parts.under_way.clear();
                    parts.next = parts.total;
                    return Poll::Ready(Some(Err(error)));
                }
                None => parts.under_way.pop_front(),
            };
        }
    }
}
