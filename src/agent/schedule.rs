//! When to ask the source again. Pure: time and chance come in as values.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::failure::Exit;

/// How often to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rhythm {
    /// Between two polls that found nothing wrong.
    pub interval: Duration,
    /// By how many per cent it is varied, each way.
    pub jitter: u8,
}

/// What the last pass says about the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It came to its end: ask again after the interval.
    Settled,
    /// It failed for this cause; the same again makes sense after a backoff.
    Failed(Exit),
    /// It failed, and the source said not to come back before this much time has passed.
    Told(Exit, Duration),
    /// It was interrupted by something more urgent: ask again at once.
    Interrupted,
}

/// The schedule of one source.
#[derive(Debug, Clone)]
pub struct Schedule {
    rhythm: Rhythm,
    /// Failures in a row, by cause: a full disk does not slow down the answer to a lost network.
    failures: BTreeMap<u8, u32>,
}

impl Schedule {
    /// A schedule without a past.
    pub fn new(rhythm: Rhythm) -> Schedule {
        Schedule { rhythm, failures: BTreeMap::new() }
    }

    /// The wait before the first poll: somewhere in the interval, at most [`FIRST_SPREAD`], so that
    /// machines that start together do not ask together. `chance` is uniform in [0, 1).
    pub fn first(&self, chance: f64) -> Duration {
        self.rhythm.interval.min(FIRST_SPREAD).mul_f64(chance.clamp(0.0, 1.0))
    }

    /// The wait before the next poll. `chance` is uniform in [0, 1).
    pub fn next(&mut self, verdict: Verdict, chance: f64) -> Duration {
        let (cause, told) = match verdict {
            Verdict::Settled => {
                self.failures.clear();
                return self.varied(self.rhythm.interval, chance);
            }
            Verdict::Interrupted => return Duration::ZERO,
            Verdict::Failed(cause) => (cause, Duration::ZERO),
            Verdict::Told(cause, wait) => (cause, wait.min(LONGEST_TOLD)),
        };
        let failures = self.failures.entry(cause.number()).or_insert(0);
        *failures = failures.saturating_add(1);
        let doublings = (*failures - 1).min(16);
        let ceiling = self.rhythm.interval.max(LONGEST_BACKOFF);
        let backoff = FIRST_BACKOFF.saturating_mul(1 << doublings).min(ceiling);
        // Half fixed, half by chance: never at once, never all together.
        let backoff = backoff.mul_f64(0.5 + 0.5 * chance.clamp(0.0, 1.0));
        // What the source asks for is a least time; the spread goes on top.
        if told.is_zero() { backoff } else { told + backoff.min(told.mul_f64(0.1).max(FIRST_BACKOFF)) }
    }

    fn varied(&self, wait: Duration, chance: f64) -> Duration {
        let share = f64::from(self.rhythm.jitter.min(100)) / 100.0;
        wait.mul_f64(1.0 + share * (2.0 * chance.clamp(0.0, 1.0) - 1.0))
    }
}

/// The longest wait before the first poll.
pub const FIRST_SPREAD: Duration = Duration::from_secs(30);
const FIRST_BACKOFF: Duration = Duration::from_secs(2);
const LONGEST_BACKOFF: Duration = Duration::from_secs(900);
/// A source that says "next year" is not believed for longer than this.
const LONGEST_TOLD: Duration = Duration::from_secs(24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    fn every_five_minutes() -> Schedule {
        Schedule::new(Rhythm { interval: Duration::from_secs(300), jitter: 10 })
    }

    #[test]
    fn the_interval_is_varied_by_the_jitter_and_no_more() {
        let mut schedule = every_five_minutes();
        assert_eq!(schedule.next(Verdict::Settled, 0.0), Duration::from_secs(270));
        assert_eq!(schedule.next(Verdict::Settled, 0.5), Duration::from_secs(300));
        assert_eq!(schedule.next(Verdict::Settled, 1.0), Duration::from_secs(330));
    }

    #[test]
    fn failures_back_off_by_cause_and_a_good_pass_forgets_them() {
        let mut schedule = every_five_minutes();
        let down = Verdict::Failed(Exit::Unreachable);
        let waits: Vec<_> = (0..12).map(|_| schedule.next(down, 1.0)).collect();
        assert_eq!(waits[..4], [2, 4, 8, 16].map(Duration::from_secs));
        assert_eq!(waits[11], LONGEST_BACKOFF);
        assert_eq!(schedule.next(Verdict::Failed(Exit::Install), 1.0), Duration::from_secs(2));
        schedule.next(Verdict::Settled, 0.5);
        assert_eq!(schedule.next(down, 1.0), Duration::from_secs(2));
    }

    #[test]
    fn what_the_source_asks_for_is_the_least_wait() {
        let mut schedule = every_five_minutes();
        for chance in [0.0, 0.5, 1.0] {
            let wait = schedule.next(Verdict::Told(Exit::Throttled, Duration::from_secs(2400)), chance);
            assert!(wait > Duration::from_secs(2400) && wait <= Duration::from_secs(2640), "{wait:?}");
        }
        let for_ever = schedule.next(Verdict::Told(Exit::Throttled, Duration::MAX), 0.0);
        assert!(for_ever <= Duration::from_secs(27 * 3600), "{for_ever:?}");
    }

    #[test]
    fn first_polls_are_spread_over_at_most_half_a_minute() {
        let schedule = every_five_minutes();
        assert_eq!(schedule.first(0.0), Duration::ZERO);
        assert_eq!(schedule.first(0.5), FIRST_SPREAD / 2);
        let quick = Schedule::new(Rhythm { interval: Duration::from_secs(1), jitter: 0 });
        assert_eq!(quick.first(1.0), Duration::from_secs(1));
    }
}
