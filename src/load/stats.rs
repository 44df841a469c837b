//! What the clients saw.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{Answer, Histogram};

/// How a request was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Failure {
    /// No connection: nobody listens.
    Refused,
    /// The connection was reset, or was gone when the request was written.
    Reset,
    /// The connection ended before the answer did.
    Eof,
    /// No answer in time.
    Timeout,
    /// An answer that is not 200, or no HTTP.
    Status,
}

/// Lost requests by class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Failures {
    /// See [`Failure::Refused`].
    pub refused: u64,
    /// See [`Failure::Reset`].
    pub reset: u64,
    /// See [`Failure::Eof`].
    pub eof: u64,
    /// See [`Failure::Timeout`].
    pub timeout: u64,
    /// See [`Failure::Status`].
    pub status: u64,
}

impl Failures {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.refused + self.reset + self.eof + self.timeout + self.status
    }

    fn count(&mut self, failure: Failure) {
        *match failure {
            Failure::Refused => &mut self.refused,
            Failure::Reset => &mut self.reset,
            Failure::Eof => &mut self.eof,
            Failure::Timeout => &mut self.timeout,
            Failure::Status => &mut self.status,
        } += 1;
    }
}

/// Requests and failures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Totals {
    /// Requests that ended, one way or the other.
    pub requests: u64,
    /// Those that were lost.
    pub failed: Failures,
    /// Connections that clients opened.
    pub connections: u64,
}

/// The time between two marks.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Window {
    /// The mark's label; the first window is `start`.
    pub label: String,
    /// When it began, from the start of the load.
    pub began: Duration,
    /// How long it is, up to now if it is the last.
    pub length: Duration,
    /// Requests that ended in it.
    pub totals: Totals,
    /// Latencies of those that were answered.
    pub latency: Histogram,
}

/// A process that answered.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct VersionSeen {
    /// Its version.
    pub version: String,
    /// Its process number.
    pub pid: u32,
    /// Its first answer, from the start of the load.
    pub first: Duration,
    /// Its last answer up to now.
    pub last: Duration,
    /// Its answers.
    pub answers: u64,
}

/// All numbers of a load.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Report {
    /// From the start of the load.
    pub elapsed: Duration,
    /// Over all windows.
    pub totals: Totals,
    /// One for each mark, and the first.
    pub windows: Vec<Window>,
    /// Each process that answered, in the order of its first answer.
    pub versions: Vec<VersionSeen>,
}

impl Report {
    /// The last window called `label`.
    pub fn window(&self, label: &str) -> Option<&Window> {
        self.windows.iter().rev().find(|window| window.label == label)
    }

    /// True if `version` answered.
    pub fn saw(&self, version: &str) -> bool {
        self.versions.iter().any(|seen| seen.version == version)
    }
}

/// More processes than a demo starts; later ones are counted in the totals alone.
const MOST_VERSIONS: usize = 256;

/// More marks than a demo makes; later ones go on with the last window.
const MOST_WINDOWS: usize = 1024;

/// The numbers as they grow.
#[derive(Debug)]
pub(super) struct Stats {
    started: Instant,
    seen: Mutex<Seen>,
    changed: Condvar,
}

/// The part of the numbers that changes.
#[derive(Debug)]
pub(super) struct Seen {
    started: Instant,
    windows: Vec<Window>,
    versions: Vec<VersionSeen>,
    /// For each version the latest moment at which an answered request was sent.
    sent: Vec<(String, Instant)>,
}

impl Seen {
    /// True if `version` answered a request that was sent after `moment`.
    pub(super) fn answered_since(&self, version: &str, moment: Instant) -> bool {
        self.sent.iter().any(|(name, sent)| name == version && *sent >= moment)
    }

    fn current(&mut self) -> &mut Window {
        let last = self.windows.len() - 1;
        // There is a first window from the beginning and none is removed.
        &mut self.windows[last]
    }

    fn close_window(&mut self) {
        let now = self.started.elapsed();
        let window = self.current();
        window.length = now.saturating_sub(window.began);
    }
}

impl Stats {
    pub(super) fn new() -> Stats {
        let started = Instant::now();
        let windows = vec![window("start", Duration::ZERO)];
        let seen = Seen { started, windows, versions: Vec::new(), sent: Vec::new() };
        Stats { started, seen: Mutex::new(seen), changed: Condvar::new() }
    }

    pub(super) fn connected(&self) {
        self.seen().current().totals.connections += 1;
    }

    /// Counts a request that ended; `timed` if its latency means something.
    pub(super) fn ended(&self, result: &Result<Answer, Failure>, timed: bool) {
        let mut seen = self.seen();
        let now = self.started.elapsed();
        let current = seen.current();
        current.totals.requests += 1;
        match result {
            Err(failure) => current.totals.failed.count(*failure),
            Ok(answer) => {
                if timed {
                    current.latency.record(answer.took);
                }
                seen.answered(answer, now);
            }
        }
        drop(seen);
        self.changed.notify_all();
    }

    pub(super) fn mark(&self, label: &str) {
        let mut seen = self.seen();
        if seen.windows.len() < MOST_WINDOWS {
            seen.close_window();
            let next = window(label, self.started.elapsed());
            seen.windows.push(next);
        }
    }

    /// Waits until `done` or the deadline (`None`).
    pub(super) fn wait(&self, deadline: Instant, done: impl Fn(&Seen) -> bool) -> Option<()> {
        let mut seen = self.seen();
        while !done(&seen) {
            let left = deadline.checked_duration_since(Instant::now())?;
            seen = self.changed.wait_timeout(seen, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        Some(())
    }

    pub(super) fn report(&self) -> Report {
        let mut seen = self.seen();
        seen.close_window();
        let mut totals = Totals::default();
        for window in &seen.windows {
            totals.requests += window.totals.requests;
            totals.connections += window.totals.connections;
            let failed = &window.totals.failed;
            totals.failed.refused += failed.refused;
            totals.failed.reset += failed.reset;
            totals.failed.eof += failed.eof;
            totals.failed.timeout += failed.timeout;
            totals.failed.status += failed.status;
        }
        Report {
            elapsed: self.started.elapsed(),
            totals,
            windows: seen.windows.clone(),
            versions: seen.versions.clone(),
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn answered(&mut self, answer: &Answer, now: Duration) {
        let sent = self.started + now.saturating_sub(answer.took);
        match self.sent.iter().position(|(version, _)| *version == answer.version) {
            Some(index) => self.sent[index].1 = self.sent[index].1.max(sent),
            None if self.sent.len() < MOST_VERSIONS => self.sent.push((answer.version.clone(), sent)),
            None => {}
        }
        let same = |seen: &VersionSeen| seen.pid == answer.pid && seen.version == answer.version;
        match self.versions.iter().position(same) {
            Some(index) => {
                self.versions[index].last = now;
                self.versions[index].answers += 1;
            }
            None if self.versions.len() < MOST_VERSIONS => self.versions.push(VersionSeen {
                version: answer.version.clone(),
                pid: answer.pid,
                first: now,
                last: now,
                answers: 1,
            }),
            None => {}
        }
    }
}

fn window(label: &str, began: Duration) -> Window {
    Window {
        label: label.to_owned(),
        began,
        length: Duration::ZERO,
        totals: Totals::default(),
        latency: Histogram::default(),
    }
}
