//! Several parts of one object at the same time, in order.

mod held;
mod part;
mod plan;

use std::collections::VecDeque;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;

use crate::ahead::{Ahead, Keeper, Pieces};
use crate::error::{FetchError, Kind};
use part::Part;
pub(crate) use plan::Plan;
#[cfg(feature = "http")]
pub(crate) use plan::size;

/// The bytes of one part. An error is the last item; the end without one means that it was complete.
pub(crate) type Chunks = BoxStream<'static, Result<Bytes, FetchError>>;

/// One state of one object, any part of which can be asked for.
pub(crate) trait Ranges: Send + Sync + 'static {
    /// The bytes of `range`, all of them and no others, of this very state of the object. Otherwise it fails: with
    /// [`Kind::Changed`] if the object is in another state by now.
    fn part(self: Arc<Self>, range: Range<u64>) -> BoxFuture<'static, Result<Chunks, FetchError>>;
}

/// The bytes of an object whose parts are asked for side by side.
///
/// The first part in order is passed on as it comes; those behind it are held in memory until their
/// turn. So what is held is never more than `part_size` times `connections` less one. Nothing is
/// spawned: dropped, it ends every request, and not polled, it reads nothing.
///
/// What is there already of the object is not asked for, and whoever keeps what arrives before its turn is told of it.
pub(crate) struct Parts<R> {
    ranges: Arc<R>,
    part_size: u64,
    /// Parts at the same time, the one that is passed on included.
    connections: usize,
    /// Requests at the same time: fewer than `connections` once some have failed.
    allowed: usize,
    /// Whether a part that broke off is asked for again. Each time costs a connection, and the last one is not given up.
    patient: bool,
    /// In the order of the object, the first one now.
    under_way: VecDeque<Part>,
    /// The first byte that is not asked for yet.
    next: u64,
    total: u64,
    /// Whether anyone reads: until then one request is enough.
    wanted: bool,
    /// What is there of the object without a request.
    there: Pieces,
    keeper: Option<Arc<dyn Keeper>>,
}

impl<R: Ranges> Parts<R> {
    /// `first` is the part that `range` says, of an object of `total` bytes.
    #[cfg(feature = "s3")]
    pub(crate) fn new(
        ranges: Arc<R>,
        plan: &Plan,
        first: Chunks,
        range: Range<u64>,
        total: u64,
        ahead: Ahead,
    ) -> Parts<R> {
        let next = range.end;
        Parts::of(ranges, plan, Part::of(first, range), next..total, ahead)
    }

    /// `rest` is all of the object in `range`. It goes on to the end, unless a part behind it begins to come: then it
    /// ends there. Where no part comes, it is the only connection.
    #[cfg(feature = "http")]
    pub(crate) fn beside(ranges: Arc<R>, plan: &Plan, rest: Chunks, range: Range<u64>, ahead: Ahead) -> Parts<R> {
        let (next, total) = (range.start.saturating_add(plan.part_size), range.end);
        let mut first = Part::of(rest, range);
        first.open_ended = true;
        let mut parts = Parts::of(ranges, plan, first, next..total, ahead);
        parts.patient = true;
        parts
    }

    /// `behind` is what is not asked for yet, up to the end of the object.
    fn of(ranges: Arc<R>, plan: &Plan, first: Part, behind: Range<u64>, ahead: Ahead) -> Parts<R> {
        let Range { start: next, end: total } = behind;
        Parts {
            ranges,
            part_size: plan.part_size,
            connections: plan.connections,
            allowed: plan.connections,
            patient: false,
            under_way: VecDeque::from([first]),
            next,
            total,
            wanted: false,
            there: Pieces::new(ahead.kept),
            keeper: ahead.keeper,
        }
    }

    /// Uses the connections that are free. True if there was one, and something to ask for.
    fn ask_for_more(&mut self) -> bool {
        let mut active = self.under_way.iter().filter(|part| part.is_active()).count();
        let mut asked = false;
        for part in &mut self.under_way {
            if active < self.allowed && part.waits() {
                part.ask(Arc::clone(&self.ranges).part(part.missing()));
                (active, asked) = (active + 1, true);
            }
        }
        if let [now] = self.under_way.make_contiguous()
            && now.open_ended
        {
            let at = now.at;
            // It may have overtaken all others.
            while self.next <= at {
                self.next = self.next.saturating_add(self.part_size);
            }
            // What is there makes it superfluous from there on.
            self.next = self.there.next(at).map_or(self.next, |there| self.next.min(there));
        }
        while active < self.allowed && self.under_way.len() < self.connections && self.next < self.total {
            let part = self.following();
            active += usize::from(part.is_active());
            self.under_way.push_back(part);
            asked = true;
        }
        asked
    }

    /// The part that begins at `next`: what is there of it, and a request for what is not. It ends where the next piece
    /// begins that is there.
    fn following(&mut self) -> Part {
        let start = self.next;
        let most = self.part_size.min(self.total - start);
        let there = self.there.take(start, most).unwrap_or_default();
        let behind = self.there.next(start).unwrap_or(self.total);
        self.next = (start + most).min(behind);
        let mut part = Part::there(there, start..self.next);
        if part.waits() {
            part.ask(Arc::clone(&self.ranges).part(part.missing()));
        }
        part
    }

    /// The part of this number ended with `error`.
    fn broke(&mut self, index: usize, error: FetchError) {
        let behind_all = self.under_way.front().is_some_and(|now| now.open_ended) && index > 0;
        let (next, total) = (self.next, self.total);
        let after = self.under_way.get(index + 1).map(|after| after.range.start);
        let index = if error.kind() == Kind::Changed && behind_all { 0 } else { index };
        let Some(part) = self.under_way.get_mut(index) else { return };
        let again = matches!(error.kind(), Kind::Incomplete | Kind::Unreachable | Kind::Throttled);
        if self.patient && again && self.allowed > 1 {
            self.allowed -= 1;
        } else if self.patient && behind_all && !part.has_begun() && error.kind() != Kind::Changed {
            // Parts are not to be had here. The connection that brings everything goes on.
            self.allowed = 1;
        } else {
            part.fail(error);
            return;
        }
        if std::mem::take(&mut part.open_ended) {
            // From now on it is a part as any other, up to the next one.
            part.range.end = after.unwrap_or(if next > part.at { next.min(total) } else { total });
            self.next = self.next.max(part.range.end);
        }
        part.wait();
    }

    /// Where a connection that brings everything has come to the part behind it: ends there if that part comes, and makes
    /// one superfluous that it has overtaken. True if either was so.
    fn meet(&mut self) -> bool {
        let (Some(now), Some(next)) = (self.under_way.front(), self.under_way.get(1)) else { return false };
        let (passed, start) = (now.passed, next.range.start);
        // Where it has failed, its error comes first: what lies behind it may never come.
        if !now.open_ended || now.has_failed() || passed < start || passed == start && !next.is_decided() {
            return false;
        }
        self.under_way.remove(if passed > start { 1 } else { 0 });
        true
    }

    /// How far a connection that brings everything is needed: up to the first part that comes.
    fn until(&self) -> Option<u64> {
        self.under_way.front().filter(|now| now.open_ended)?;
        self.under_way.iter().skip(1).find(|part| part.is_decided()).map(|part| part.range.start)
    }
}

impl<R: Ranges> Stream for Parts<R> {
    type Item = Result<Bytes, FetchError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let parts = self.get_mut();
        loop {
            for index in 1..parts.under_way.len() {
                if let Err(error) = parts.under_way[index].read_ahead(cx, parts.keeper.as_deref()) {
                    parts.broke(index, error);
                }
            }
            // One that broke off before anyone has read of it would otherwise wait for ever.
            let needed = parts.wanted || parts.under_way.front().is_none_or(Part::waits);
            if needed && parts.ask_for_more() || parts.meet() {
                continue;
            }
            let until = parts.until();
            let Some(now) = parts.under_way.front_mut() else { return Poll::Ready(None) };
            match std::task::ready!(now.next(cx)) {
                Some(Ok(mut chunk)) => {
                    parts.wanted = true;
                    if let Some(until) = until {
                        chunk.truncate(usize::try_from(until.saturating_sub(now.passed)).unwrap_or(usize::MAX));
                    }
                    now.passed += chunk.len() as u64;
                    if !chunk.is_empty() {
                        return Poll::Ready(Some(Ok(chunk)));
                    }
                }
                Some(Err(error)) if now.has_failed() => {
                    // The last item; nothing else is worth its connection.
                    parts.under_way.clear();
                    parts.next = parts.total;
                    return Poll::Ready(Some(Err(error)));
                }
                Some(Err(error)) => parts.broke(0, error),
                None => {
                    parts.under_way.pop_front();
                }
            }
        }
    }
}

#[cfg(all(test, feature = "http"))]
mod tests;
