//! What reaches the agent from outside, and how it interrupts a pass.

use std::collections::VecDeque;
use std::io::{self, PipeReader, Read as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use super::Ask;
use crate::clock::Timestamp;
use crate::digest::Sha256;
use crate::failure::{Exit, Reported};
use crate::restart::HandoffError;
use crate::restart::supervise::Waker;
use crate::state::Event;

/// The answer to a request, as it goes over the control socket.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Answer {
    /// The exit code for the command that asked.
    pub exit: Exit,
    /// One stable word.
    pub outcome: String,
    /// One sentence for a person.
    pub message: String,
    /// The version it is about, where there is one.
    pub version: Option<String>,
    /// What went wrong, where something did.
    pub error: Option<Reported>,
}

/// Where an answer goes. Nobody may be waiting for it any more.
pub type Reply = Sender<Answer>;

/// A request to the agent.
#[derive(Debug)]
pub enum Message {
    /// One pass now.
    Apply(Ask, Reply),
    /// The same binary as a new process. `None`: a signal asked, nobody waits.
    Restart(Option<Reply>),
    /// Back to the previous release.
    RollBack(Reply),
    /// Install nothing.
    Hold {
        /// Why.
        reason: Option<String>,
        /// Until when; `None` = until `unhold`.
        until: Option<Timestamp>,
        /// Who asks.
        reply: Reply,
    },
    /// Install again.
    Unhold(Reply),
    /// The service crashes again and again.
    CrashLoop {
        /// The digest of what crashes.
        sha256: Option<Sha256>,
        /// How.
        failure: HandoffError,
    },
    /// Something else lies at the program path than what was verified, and the service has to be started.
    ProgramChanged,
    /// A line of the history that somebody else has to write.
    Note(Box<Event>),
    /// End.
    Stop,
    /// End for now, with everything that waits kept: whoever runs the agent wants it back.
    Rest,
}

impl Message {
    /// Whether it can be carried out only with the machinery of updates.
    pub(super) fn needs_line(&self) -> bool {
        matches!(self, Message::Apply(..) | Message::RollBack(_) | Message::Hold { .. } | Message::Unhold(_))
    }

    /// Whether a pass that polls or downloads is broken off for it. What is on disk is kept.
    fn is_urgent(&self) -> bool {
        !matches!(self, Message::Apply(..) | Message::Unhold(_) | Message::Note(_))
    }
}

/// The other end of an [`Inbox`].
#[derive(Debug, Clone)]
pub struct Post {
    sender: Sender<Message>,
    waker: Waker,
}

impl Post {
    /// Delivers a message. False once the agent has ended.
    pub fn send(&self, message: Message) -> bool {
        let sent = self.sender.send(message).is_ok();
        self.waker.wake();
        sent
    }
}

/// Messages in the order they came.
#[derive(Debug)]
pub struct Inbox {
    receiver: Receiver<Message>,
    bell: PipeReader,
    waiting: VecDeque<Message>,
}

impl Inbox {
    /// An empty one, and where to send to.
    pub fn new() -> io::Result<(Inbox, Post)> {
        let (sender, receiver) = channel();
        let (bell, writer) = io::pipe()?;
        rustix::io::ioctl_fionbio(&bell, true)?;
        let waker = Waker::new(writer)?;
        Ok((Inbox { receiver, bell, waiting: VecDeque::new() }, Post { sender, waker }))
    }

    /// The next message; `None` when `wait` is over. Ends with [`Message::Stop`] when nobody can
    /// send any more.
    ///
    /// Restarts that nobody waits for and that came before this one begins are this one.
    pub(super) fn next(&mut self, wait: Duration) -> Option<Message> {
        let message = self.oldest(wait)?;
        if matches!(message, Message::Restart(None)) {
            self.waiting.extend(self.receiver.try_iter());
            self.waiting.retain(|message| !matches!(message, Message::Restart(None)));
        }
        Some(message)
    }

    fn oldest(&mut self, wait: Duration) -> Option<Message> {
        if let Some(message) = self.waiting.pop_front() {
            return Some(message);
        }
        let deadline = Instant::now() + wait.min(LONGEST_WAIT);
        match self.receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(message) => Some(message),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(Message::Stop),
        }
    }

    /// Whether something waits that is not to be forgotten.
    pub fn is_empty(&mut self) -> bool {
        self.waiting.extend(self.receiver.try_iter());
        self.waiting.retain(|message| !matches!(message, Message::Rest));
        self.waiting.is_empty()
    }

    /// Readable when something may have come.
    pub(super) fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    /// Whether something urgent waits.
    pub(super) fn is_urgent(&mut self) -> bool {
        let mut rung = [0; 64];
        while matches!(self.bell.read(&mut rung), Ok(1..)) {}
        self.waiting.extend(self.receiver.try_iter());
        self.waiting.iter().any(Message::is_urgent)
    }
}

/// Longer waits are cut: adding them to a clock could overflow.
const LONGEST_WAIT: Duration = Duration::from_secs(365 * 24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restarts_that_wait_are_one_and_keep_their_place() {
        let (mut inbox, post) = Inbox::new().unwrap();
        let (reply, _answer) = channel();
        for _ in 0..3 {
            post.send(Message::Restart(None));
        }
        post.send(Message::Unhold(reply.clone()));
        post.send(Message::Restart(None));
        post.send(Message::Restart(Some(reply)));
        assert!(matches!(inbox.next(Duration::ZERO), Some(Message::Restart(None))));
        post.send(Message::Restart(None));
        assert!(matches!(inbox.next(Duration::ZERO), Some(Message::Unhold(_))));
        assert!(matches!(inbox.next(Duration::ZERO), Some(Message::Restart(Some(_)))));
        assert!(matches!(inbox.next(Duration::ZERO), Some(Message::Restart(None))));
        assert!(inbox.next(Duration::ZERO).is_none());
    }

    #[test]
    fn what_is_urgent_interrupts_and_nothing_is_lost() {
        let (mut inbox, post) = Inbox::new().unwrap();
        let (reply, _answer) = channel();
        post.send(Message::Apply(Ask::default(), reply.clone()));
        assert!(!inbox.is_urgent());
        post.send(Message::RollBack(reply));
        assert!(inbox.is_urgent());
        assert!(matches!(inbox.next(Duration::ZERO), Some(Message::Apply(..))));
        assert!(matches!(inbox.next(Duration::ZERO), Some(Message::RollBack(_))));
        assert!(inbox.next(Duration::ZERO).is_none());
        drop(post);
        assert!(matches!(inbox.next(Duration::ZERO), Some(Message::Stop)));
    }
}
