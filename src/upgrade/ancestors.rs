//! The processes that have handed over and still drain: at most four.
//!
//! Each process knows those before it: its parent told it. The one that begins to drain makes room for
//! itself, so there is never a fifth, and nobody has to be told.

use std::os::fd::OwnedFd;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags};
use rustix::process::Signal;

use super::channel;

/// A process of the chain that was before this one.
#[derive(Debug)]
pub(super) struct Ancestor {
    pub(super) pid: u32,
    /// Nobody else can ever be meant by it, unlike by the number.
    pub(super) pidfd: OwnedFd,
}

impl Ancestor {
    fn has_ended(&self) -> bool {
        channel::wait(&mut [PollFd::new(&self.pidfd, PollFlags::IN)], Some(Instant::now())).unwrap_or(true)
    }
}

/// The ancestors that may still run, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Ancestors(Vec<Ancestor>);

impl Ancestors {
    pub(super) fn push(&mut self, ancestor: Ancestor) {
        self.0.push(ancestor);
    }

    /// Those that run.
    pub(super) fn living(&mut self) -> &[Ancestor] {
        self.0.retain(|ancestor| !ancestor.has_ended());
        &self.0
    }

    /// Kills the oldest until one more may drain.
    pub(super) fn make_room(&mut self) {
        self.living();
        while self.0.len() >= MOST {
            let oldest = self.0.remove(0);
            tracing::warn!(event = "upgrade.drain_cut", pid = oldest.pid, most = MOST);
            // Ended a moment ago: just as well.
            let _ = rustix::process::pidfd_send_signal(&oldest.pidfd, Signal::KILL);
        }
    }
}

/// HANDOFF 1.1: "at most 4, the oldest is killed first".
const MOST: usize = 4;
