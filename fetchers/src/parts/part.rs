//! One part of an object, from its request to its last byte.

use std::ops::Range;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{StreamExt, TryFutureExt};

use super::Chunks;
use super::held::Held;
use crate::ahead::Keeper;
use crate::error::FetchError;

/// A part that is asked for.
pub(super) struct Part {
    pub(super) range: Range<u64>,
    /// Whether its stream goes on behind `range`'s next neighbour.
    pub(super) open_ended: bool,
    /// Up to here it was received.
    pub(super) at: u64,
    /// Up to here it was passed on.
    pub(super) passed: u64,
    state: State,
    held: Held,
}

enum State {
    /// On a connection.
    Active(Chunks),
    /// Broke off, and waits for a connection.
    Waiting,
    /// Everything is here.
    Complete,
    /// Broke off for good; with the error until that is passed on.
    Failed(Option<FetchError>),
}

impl Part {
    /// One that `chunks` bring.
    pub(super) fn of(chunks: Chunks, range: Range<u64>) -> Part {
        let (at, passed) = (range.start, range.start);
        Part { range, open_ended: false, at, passed, state: State::Active(chunks), held: Held::default() }
    }

    /// One whose first bytes are there. It waits for a connection, unless they are all.
    pub(super) fn there(bytes: Bytes, range: Range<u64>) -> Part {
        let (at, passed) = (range.start + bytes.len() as u64, range.start);
        let mut held = Held::default();
        held.push(bytes);
        let mut part = Part { range, open_ended: false, at, passed, state: State::Waiting, held };
        part.wait();
        part
    }

    /// The rest of it is asked for.
    pub(super) fn ask(&mut self, answer: BoxFuture<'static, Result<Chunks, FetchError>>) {
        self.state = State::Active(answer.try_flatten_stream().boxed());
    }

    /// What has not been received.
    pub(super) fn missing(&self) -> Range<u64> {
        self.at..self.range.end
    }

    pub(super) fn is_active(&self) -> bool {
        matches!(self.state, State::Active(_))
    }

    pub(super) fn waits(&self) -> bool {
        matches!(self.state, State::Waiting)
    }

    pub(super) fn has_failed(&self) -> bool {
        matches!(self.state, State::Failed(_))
    }

    /// Whether a byte of it has come.
    pub(super) fn has_begun(&self) -> bool {
        self.at > self.range.start
    }

    /// Whether it is known that it comes, or that it does not.
    pub(super) fn is_decided(&self) -> bool {
        self.has_begun() || self.has_failed()
    }

    /// It will be asked for again.
    pub(super) fn wait(&mut self) {
        self.state = if self.at < self.range.end { State::Waiting } else { State::Complete };
    }

    /// It ends with `error`, once what is held has been passed on.
    pub(super) fn fail(&mut self, error: FetchError) {
        self.state = State::Failed(Some(error));
    }

    /// Holds whatever there is by now, and has it kept.
    pub(super) fn read_ahead(&mut self, cx: &mut Context<'_>, keeper: Option<&dyn Keeper>) -> Result<(), FetchError> {
        while self.is_active() {
            let at = self.at;
            match self.receive(cx) {
                Poll::Ready(Some(chunk)) => {
                    let chunk = chunk?;
                    if let Some(keeper) = keeper {
                        keeper.keep(self.range.start, at, &chunk);
                    }
                    self.held.push(chunk);
                }
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        Ok(())
    }

    /// The next chunk in order: of what is held, or as it comes. One that waits for a connection is pending: another part
    /// has it, and wakes the task.
    pub(super) fn next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, FetchError>>> {
        match self.held.pop() {
            Some(chunk) => Poll::Ready(Some(Ok(chunk))),
            None => self.receive(cx),
        }
    }

    fn receive(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, FetchError>>> {
        let polled = match &mut self.state {
            State::Active(chunks) => std::task::ready!(chunks.poll_next_unpin(cx)),
            State::Waiting => return Poll::Pending,
            State::Complete => None,
            State::Failed(error) => error.take().map(Err),
        };
        match &polled {
            Some(Ok(chunk)) => self.at += chunk.len() as u64,
            None if self.is_active() => self.state = State::Complete,
            Some(Err(_)) | None => {}
        }
        Poll::Ready(polled)
    }
}
