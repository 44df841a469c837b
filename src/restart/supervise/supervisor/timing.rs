//! What is due by the clock: deadlines, readiness without a message, the watch.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::super::generation::{Generation, Phase};
use super::super::options::Ready;
use super::super::probe::Probe;
use super::{Start, Supervisor};
use crate::restart::HandoffError;

impl Supervisor {
    pub(super) fn enforce_deadlines(&mut self, now: Instant) {
        let mut late_start = None;
        let watchdog = self.options.watchdog;
        for generation in &mut self.generations {
            match generation.phase {
                Phase::Starting { deadline } if now >= deadline => {
                    late_start = Some(now.duration_since(generation.started));
                }
                Phase::Draining { deadline, .. } | Phase::Ending { deadline } if now >= deadline => {
                    tracing::warn!(event = "service.killed", generation = generation.number, "did not end in time");
                    generation.kill();
                }
                Phase::Serving => {
                    let silent = generation.watchdog_seen.map(|seen| now.duration_since(seen));
                    if let (Some(silent), Some(interval)) = (silent, watchdog)
                        && silent > interval
                    {
                        tracing::warn!(
                            event = "service.watchdog",
                            generation = generation.number,
                            "missed its watchdog"
                        );
                        match self.watch.as_mut().filter(|watch| watch.number == generation.number) {
                            Some(watch) => watch.end(Err(HandoffError::Watchdog { silent })),
                            // Hung: it is killed, and started again as after any crash.
                            None => generation.signal(Signal::KILL),
                        }
                        generation.watchdog_seen = None;
                    }
                }
                _ => {}
            }
        }
        let stuck = self.start.as_ref().filter(|start| start.failure.is_some()).is_some_and(|start| {
            self.generations.iter().any(|g| {
                g.number == start.number && matches!(g.phase, Phase::Killed { since } if now >= since + KILLED_PATIENCE)
            })
        });
        if stuck && let Some(start) = self.start.take() {
            let failure = start.failure.unwrap_or(HandoffError::Busy);
            self.start_failed(now, start.reply, failure);
        }
        if let Some(waited) = late_start {
            self.fail_start(now, HandoffError::ReadyDeadline { waited, stderr: String::new() });
        }
        if self.verdict_by.is_some_and(|by| now >= by) {
            // Nobody decided: a service that crashes now and then is better than none.
            self.verdict_by = None;
            self.restart_at = Some(now);
        }
    }

    /// Readiness of programs that do not notify.
    pub(super) fn move_start(&mut self, now: Instant) {
        let Some(start) = self.start.as_mut().filter(|start| start.failure.is_none()) else { return };
        let number = start.number;
        let ready = match &self.options.ready {
            Ready::Notify => false,
            Ready::Alive(long) => now.duration_since(start.begun) >= *long,
            Ready::Exec(command) => {
                let pid = self.generations.iter().find(|g| g.number == number).map(|g| g.pid());
                match (&mut start.probe, pid) {
                    (Some(probe), _) => match probe.answer(now) {
                        Some(answer) => {
                            start.probe = None;
                            start.next_probe = now + PROBE_PAUSE;
                            answer.is_ok()
                        }
                        None => false,
                    },
                    (None, Some(pid)) if now >= start.next_probe => {
                        start.next_probe = now + PROBE_PAUSE;
                        match Probe::start(command, number, pid, self.options.ready_deadline) {
                            Ok(probe) => start.probe = Some(probe),
                            Err(reason) => {
                                tracing::warn!(event = "ready.probe", %reason, "cannot ask whether it is ready")
                            }
                        }
                        false
                    }
                    _ => false,
                }
            }
        };
        if ready {
            self.became_ready(number, now);
        }
    }

    pub(super) fn start_deadline(&self, start: &Start) -> Option<Instant> {
        match &self.options.ready {
            Ready::Alive(long) => Some(start.begun + *long),
            Ready::Exec(_) => Some(start.probe.as_ref().map_or(start.next_probe, Probe::deadline)),
            Ready::Notify => None,
        }
    }

    pub(super) fn move_watch(&mut self, now: Instant) {
        let Some(watch) = &mut self.watch else { return };
        let watched = self.generations.iter().find(|g| g.number == watch.number);
        if let Some(generation) = watched {
            watch.turn(now, generation.pid());
        }
        if watch.has_failed() {
            self.failed_watch = Some(watch.number);
        }
        if watch.has_failed() && self.resumed.is_none() {
            // At once, not when the agent has put the previous binary back on disk.
            self.resumed = self.resume_paused(now);
        }
        let Some(watch) = &mut self.watch else { return };
        if watch.deliver() {
            self.watch_delivered();
        }
    }

    pub(super) fn watch_delivered(&mut self) {
        self.watch = None;
    }

    pub(super) fn watchdog_deadline(&self, generation: &Generation) -> Option<Instant> {
        (generation.phase == Phase::Serving).then_some(())?;
        Some(generation.watchdog_seen? + self.options.watchdog? + Duration::from_millis(1))
    }
}

/// How long after SIGKILL a failed start is given up though the kernel still holds its process.
const KILLED_PATIENCE: Duration = Duration::from_secs(5);

/// Between two readiness commands.
const PROBE_PAUSE: Duration = Duration::from_millis(100);
