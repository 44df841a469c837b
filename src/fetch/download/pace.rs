//! Whether bytes arrive fast enough.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::fetch::failure::FetchFailure;

/// How many points of a window are remembered.
const POINTS: u32 = 30;

/// The bytes of the last window.
#[derive(Debug)]
pub(super) struct Pace {
    window: Duration,
    min_rate: u64,
    points: VecDeque<(Instant, u64)>,
}

impl Pace {
    /// Watches from `now` on.
    pub(super) fn new(window: Duration, min_rate: u64, now: Instant) -> Pace {
        Pace { window, min_rate, points: VecDeque::from([(now, 0)]) }
    }

    /// Takes note that `bytes` have arrived in all.
    ///
    /// Fails once a whole window has brought fewer than it should. A time without any byte is
    /// judged here as soon as the next one comes, and by the stall deadline before.
    pub(super) fn arrived(&mut self, bytes: u64, now: Instant) -> Result<(), FetchFailure> {
        // The newest point at least a window old is the base; older ones are dropped.
        while self.points.get(1).is_some_and(|(at, _)| now - *at >= self.window) {
            self.points.pop_front();
        }
        if let Some((at, before)) = self.points.front() {
            let span = now - *at;
            let least = (self.min_rate as f64 * span.as_secs_f64()) as u64;
            if span >= self.window && bytes - before < least {
                return Err(FetchFailure::TooSlow { bytes: bytes - before, least, window: span });
            }
        }
        if self.points.back().is_none_or(|(at, _)| now - *at >= self.window / POINTS) {
            self.points.push_back((now, bytes));
        }
        Ok(())
    }
}
