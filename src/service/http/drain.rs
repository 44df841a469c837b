//! The phases of a server, and the handle that moves it from one to the next.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// What a server is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// It accepts and serves.
    Accepting,
    /// It serves the connections it has and leaves new ones in the queue.
    Paused,
    /// It is on its way out; there is no way back.
    Draining {
        /// When that began.
        since: Instant,
        /// How long it may take; `None` for the server's own deadline.
        within: Option<Duration>,
    },
}

/// Moves a [`Server`](super::Server) from phase to phase. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle {
    phase: watch::Sender<Phase>,
}

impl Handle {
    pub(super) fn new() -> Handle {
        Handle { phase: watch::Sender::new(Phase::Accepting) }
    }

    /// What the server is doing now.
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Stops accepting. Connections stay and are served as before. Nothing during a drain.
    pub fn pause(&self) {
        self.between(Phase::Accepting, Phase::Paused);
    }

    /// Accepts again after [`pause`](Handle::pause). Nothing during a drain.
    pub fn resume(&self) {
        self.between(Phase::Paused, Phase::Accepting);
    }

    /// Begins the drain with the server's own deadline. A second call changes nothing.
    pub fn drain(&self) {
        self.leave(None);
    }

    /// Begins the drain, to be over `within` from now. During one it can only bring the end nearer.
    pub fn drain_within(&self, within: Duration) {
        self.leave(Some(within));
    }

    /// Waits until the drain has begun.
    pub async fn draining(&self) {
        // The sender is part of `self`, so the channel is open.
        let _ = self.phase.subscribe().wait_for(|phase| matches!(phase, Phase::Draining { .. })).await;
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    fn between(&self, from: Phase, to: Phase) {
        self.phase.send_if_modified(|phase| {
            let moves = *phase == from;
            if moves {
                *phase = to;
            }
            moves
        });
    }

    fn leave(&self, wanted: Option<Duration>) {
        let now = Instant::now();
        self.phase.send_if_modified(|phase| match phase {
            Phase::Draining { since, within } => match (wanted, *within) {
                (Some(wanted), old) if old.is_none_or(|old| now + wanted < *since + old) => {
                    *within = Some(now.duration_since(*since) + wanted);
                    true
                }
                _ => false,
            },
            _ => {
                *phase = Phase::Draining { since: now, within: wanted };
                true
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn a_drain_cannot_be_undone_and_only_be_brought_nearer() {
        let handle = Handle::new();
        handle.resume();
        assert_eq!(handle.phase(), Phase::Accepting);
        handle.pause();
        assert_eq!(handle.phase(), Phase::Paused);
        handle.drain_within(Duration::from_secs(10));
        let begun = handle.phase();
        handle.pause();
        handle.resume();
        handle.drain();
        handle.drain_within(Duration::from_secs(20));
        assert_eq!(handle.phase(), begun);
        handle.drain_within(Duration::from_secs(1));
        let Phase::Draining { within: Some(within), .. } = handle.phase() else { panic!("{:?}", handle.phase()) };
        assert!(within < Duration::from_secs(5));
    }
}
