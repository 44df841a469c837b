//! The watch over a generation that has just taken over.

use std::sync::mpsc::Sender;
use std::time::Instant;

use super::options::Health;
use super::probe::Probe;
use crate::restart::HandoffError;

/// A watch that runs, or that has ended and waits for somebody to ask.
#[derive(Debug)]
pub(super) struct Watch {
    /// The generation that is watched.
    pub(super) number: u64,
    until: Instant,
    health: Option<HealthCheck>,
    result: Option<Result<(), HandoffError>>,
    reply: Option<Sender<Result<(), HandoffError>>>,
}

/// The health checks of a watch, one after the other.
#[derive(Debug)]
pub(in crate::restart) struct HealthCheck {
    plan: Health,
    next: Instant,
    running: Option<Probe>,
    failures: u32,
    passed_once: bool,
}

impl Watch {
    pub(super) fn start(number: u64, until: Instant, health: Option<&Health>, now: Instant) -> Watch {
        let health = health.map(|plan| HealthCheck::new(plan, now));
        Watch { number, until, health, result: None, reply: None }
    }

    pub(super) fn is_over(&self) -> bool {
        self.result.is_some()
    }

    pub(super) fn has_failed(&self) -> bool {
        matches!(self.result, Some(Err(_)))
    }

    /// Tells how it ends, now or later.
    pub(super) fn answer_to(&mut self, reply: Sender<Result<(), HandoffError>>) -> bool {
        self.reply = Some(reply);
        self.deliver()
    }

    /// Ends it. The first failure counts, and a failure counts as long as nobody has been told of a good end.
    pub(super) fn end(&mut self, result: Result<(), HandoffError>) {
        if self.result.is_none() || (result.is_err() && !self.has_failed()) {
            self.result = Some(result);
            if let Some(health) = self.health.take() {
                health.end();
            }
        }
    }

    /// Hands the result to whoever asked. True once it has been handed over.
    pub(super) fn deliver(&mut self) -> bool {
        if self.result.is_none() || self.reply.is_none() {
            return false;
        }
        if let (Some(result), Some(reply)) = (self.result.take(), self.reply.take()) {
            // The agent has gone: the supervisor is stopping.
            let _ = reply.send(result);
        }
        true
    }

    /// Moves on: health checks and the end of the time. `pid` is the watched process.
    pub(super) fn turn(&mut self, now: Instant, pid: u32) {
        if self.is_over() {
            return;
        }
        if let Some(health) = &mut self.health
            && let Some(failure) = health.turn(now, self.number, pid)
        {
            self.end(Err(failure));
            return;
        }
        let waits_for_health = self.health.as_ref().is_some_and(|health| !health.passed_once);
        if now >= self.until && !waits_for_health {
            self.end(Ok(()));
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        if self.is_over() {
            return None;
        }
        let health = self.health.as_ref().map(|health| match &health.running {
            Some(probe) => probe.deadline(),
            None => health.next,
        });
        match health {
            // With a health check the watch ends only after one has passed: it has its own times.
            Some(at) if self.health.as_ref().is_some_and(|h| !h.passed_once) => Some(at),
            Some(at) => Some(at.min(self.until)),
            None => Some(self.until),
        }
    }

    pub(super) fn probe(&self) -> Option<&Probe> {
        self.health.as_ref().and_then(|health| health.running.as_ref())
    }
}

impl HealthCheck {
    pub(in crate::restart) fn new(plan: &Health, now: Instant) -> HealthCheck {
        HealthCheck { plan: plan.clone(), next: now, running: None, failures: 0, passed_once: false }
    }

    /// Whether one has passed: a watch that was never told that all is well does not end well.
    pub(in crate::restart) fn has_passed(&self) -> bool {
        self.passed_once
    }

    /// Ends a check that runs.
    pub(in crate::restart) fn end(self) {
        if let Some(mut probe) = self.running {
            probe.kill();
        }
    }

    /// Starts and reads checks; the failure that ends the watch, once there is one.
    pub(in crate::restart) fn turn(&mut self, now: Instant, number: u64, pid: u32) -> Option<HandoffError> {
        let answer = match &mut self.running {
            Some(probe) => probe.answer(now)?,
            None if now < self.next => return None,
            None => match Probe::start(&self.plan.command, number, pid, self.plan.timeout) {
                Ok(probe) => {
                    self.running = Some(probe);
                    return None;
                }
                Err(reason) => Err(reason),
            },
        };
        self.running = None;
        self.next = now + self.plan.interval;
        match answer {
            Ok(()) => {
                self.failures = 0;
                self.passed_once = true;
                None
            }
            Err(reason) => {
                self.failures += 1;
                tracing::warn!(event = "watch.health_failed", generation = number, failures = self.failures, %reason, "health check failed");
                (self.failures >= self.plan.failures.max(1))
                    .then_some(HandoffError::Unhealthy { failures: self.failures, reason })
            }
        }
    }
}
