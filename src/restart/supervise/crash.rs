//! When a service that crashes is started again, and when that is enough. Pure.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::carried::CarriedCrashes;
use crate::clock::Steady;

/// What to do about a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Start the same binary again after this long.
    Restart(Duration),
    /// It crashes again and again: the release is bad.
    Loop { count: u32 },
}

/// When crashes are too many, and how long to wait between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CrashRule {
    /// This many crashes …
    pub limit: u32,
    /// … in this time …
    pub window: Duration,
    /// … this soon after the confirm are a crash loop.
    pub probation: Duration,
    /// The wait before the first restart; it doubles with each crash in a row.
    pub first_wait: Duration,
    /// The longest wait before a restart.
    pub longest_wait: Duration,
}

impl Default for CrashRule {
    /// Three in 60 s within 10 min; 100 ms to 30 s (HANDOFF 1.4 step 7).
    fn default() -> CrashRule {
        CrashRule {
            limit: 3,
            window: Duration::from_secs(60),
            probation: Duration::from_secs(600),
            first_wait: Duration::from_millis(100),
            longest_wait: Duration::from_secs(30),
        }
    }
}

/// The crashes of the current binary.
#[derive(Debug)]
pub(super) struct Crashes {
    rule: CrashRule,
    recent: VecDeque<Instant>,
    in_a_row: u32,
}

impl Crashes {
    pub(super) fn new(rule: CrashRule) -> Crashes {
        Crashes { rule, recent: VecDeque::new(), in_a_row: 0 }
    }

    /// What another program goes on from.
    pub(super) fn carry(&self) -> CarriedCrashes {
        CarriedCrashes { recent: self.recent.iter().copied().map(Steady::of).collect(), in_a_row: self.in_a_row }
    }

    /// Goes on from there.
    pub(super) fn resume(rule: CrashRule, carried: &CarriedCrashes) -> Crashes {
        let recent = carried.recent.iter().map(|at| at.instant()).collect();
        Crashes { rule, recent, in_a_row: carried.in_a_row }
    }

    /// Forgets everything: another binary serves, or this one has proved itself.
    pub(super) fn clear(&mut self) {
        *self = Crashes::new(self.rule);
    }

    /// Records a crash of a process that had served for `served`. `probation`: the binary was
    /// confirmed, or first started, not longer than [`CrashRule::probation`] ago.
    pub(super) fn record(&mut self, now: Instant, served: Duration, probation: bool) -> Verdict {
        while self.recent.front().is_some_and(|&at| now.duration_since(at) > self.rule.window) {
            self.recent.pop_front();
        }
        self.recent.push_back(now);
        self.in_a_row = if served > self.rule.window { 1 } else { self.in_a_row.saturating_add(1) };
        let count = u32::try_from(self.recent.len()).unwrap_or(u32::MAX);
        // Starts that never become ready may be too far apart for the window.
        let never_ready = served.is_zero() && self.in_a_row >= self.rule.limit;
        if probation && (count >= self.rule.limit || never_ready) {
            return Verdict::Loop { count: count.max(self.in_a_row) };
        }
        let doublings = self.in_a_row.saturating_sub(1).min(16);
        Verdict::Restart(self.rule.first_wait.saturating_mul(1 << doublings).min(self.rule.longest_wait))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_crashes_in_a_minute_are_a_loop_only_on_probation() {
        let start = Instant::now();
        let mut crashes = Crashes::new(CrashRule::default());
        assert!(matches!(crashes.record(start, Duration::ZERO, true), Verdict::Restart(_)));
        assert!(matches!(crashes.record(start, Duration::ZERO, true), Verdict::Restart(_)));
        assert_eq!(crashes.record(start, Duration::ZERO, true), Verdict::Loop { count: 3 });
        let mut proved = Crashes::new(CrashRule::default());
        for _ in 0..50 {
            assert!(matches!(proved.record(start, Duration::ZERO, false), Verdict::Restart(_)));
        }
    }

    #[test]
    fn starts_that_never_become_ready_are_a_loop_however_far_apart() {
        let start = Instant::now();
        let mut crashes = Crashes::new(CrashRule::default());
        let verdicts: Vec<_> =
            (0..3).map(|n| crashes.record(start + Duration::from_secs(90 * n), Duration::ZERO, true)).collect();
        assert_eq!(verdicts[2], Verdict::Loop { count: 3 });
    }

    #[test]
    fn crashes_far_apart_are_not_a_loop() {
        let start = Instant::now();
        let mut crashes = Crashes::new(CrashRule::default());
        for minute in 0..10 {
            let at = start + Duration::from_secs(61 * minute);
            assert_eq!(crashes.record(at, Duration::from_secs(61), true), Verdict::Restart(Duration::from_millis(100)));
        }
    }

    #[test]
    fn the_wait_doubles_to_thirty_seconds() {
        let start = Instant::now();
        let mut crashes = Crashes::new(CrashRule::default());
        let waits: Vec<_> = (0..12).map(|_| crashes.record(start, Duration::ZERO, false)).collect();
        assert_eq!(waits[0], Verdict::Restart(Duration::from_millis(100)));
        assert_eq!(waits[1], Verdict::Restart(Duration::from_millis(200)));
        assert_eq!(waits[11], Verdict::Restart(Duration::from_secs(30)));
    }
}
