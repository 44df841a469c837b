//! What the services say, and how they end.

use std::time::{Duration, Instant};

use super::super::generation::{Generation, Phase};
use super::super::notify::{Said, descends};
use super::super::options::Ready;
use super::super::watch::Watch;
use super::{AGENT_PATIENCE, News, Stop, Supervisor, answer};
use crate::checkpoint::Checkpoint;
use crate::restart::{Handoff, HandoffError};
use crate::spawn::Exited;

impl Supervisor {
    pub(super) fn hear(&mut self) {
        // Bounded: a service that floods us must not keep us from its deadlines.
        for _ in 0..256 {
            let message = match self.notify.receive() {
                Ok(Some(message)) => message,
                Ok(None) => return,
                Err(e) => {
                    tracing::warn!(event = "notify.unreadable", error = %e, "cannot read the notify socket");
                    return;
                }
            };
            let from = self.generations.iter().position(|g| descends(message.pid, g.pid()));
            match from {
                Some(at) => message.said.into_iter().for_each(|said| self.heard(at, said)),
                None => self.strangers.said(message.pid),
            }
        }
    }

    pub(super) fn heard(&mut self, at: usize, said: Said) {
        let now = Instant::now();
        let Some(generation) = self.generations.get_mut(at) else { return };
        let number = generation.number;
        match said {
            Said::Ready => {
                if self.options.ready == Ready::Notify {
                    self.became_ready(number, now);
                }
            }
            Said::Status(text) => generation.status = Some(text),
            Said::Stopping => {
                tracing::debug!(event = "service.stopping", generation = number, "the service says it stops")
            }
            Said::Extend(by) => {
                generation.extend(by, &self.options, now);
                if self.stop.is_some() {
                    self.systemd.extend(by);
                }
            }
            Said::Watchdog => generation.watchdog_seen = Some(now),
            Said::Reject(reason) => {
                if self.start.as_ref().is_some_and(|start| start.number == number) {
                    self.fail_start(now, HandoffError::Rejected { reason });
                }
            }
            Said::Restart => self.news.push(News::RestartWanted),
            Said::Healthy => {
                if let Some(watch) = self.watch.as_mut().filter(|watch| watch.number == number) {
                    watch.end(Ok(()));
                }
            }
        }
    }

    /// The new process may serve: the old one is told to pause or to drain, in this order.
    pub(super) fn became_ready(&mut self, number: u64, now: Instant) {
        if self.generations.iter().any(|g| g.number == number && g.has_ended()) {
            // Its last words came with its end, which is all that counts.
            return;
        }
        let Some(start) = self.start.take_if(|start| start.number == number && start.failure.is_none()) else { return };
        if start.watched {
            Checkpoint::Ready.reached();
        }
        let Some(new) = self.generations.iter_mut().find(|g| g.number == number) else { return };
        new.phase = Phase::Serving;
        new.ready_at = Some(now);
        let (launch, took) = (new.launch.clone(), now.duration_since(start.begun));
        for old in self.generations.iter_mut().filter(|g| g.number != number && g.phase == Phase::Serving) {
            if !(start.watched && old.pause()) {
                old.drain(self.options.drain_deadline, now);
            }
        }
        self.limit_draining();
        if self.current.as_ref().is_none_or(|current| current.sha256 != launch.sha256) {
            self.crashes.clear();
        }
        self.current = Some(launch);
        self.restart_at = None;
        tracing::info!(
            event = "handoff.ready",
            generation = number,
            took_ms = took.as_millis(),
            "a new generation serves"
        );
        if start.watched {
            self.watch = Some(Watch::start(number, now + self.options.watch, self.options.health.as_ref(), now));
        } else {
            self.settle_listeners();
            self.systemd.ready("serving");
        }
        self.news.push(News::Serving { generation: number, took });
        answer(start.reply, Ok(Handoff { generation: number, took }));
        if self.watch.is_some() {
            Checkpoint::Watching.reached();
        }
    }

    /// Ends a start that cannot succeed any more. Its outcome is told when its process is gone.
    pub(super) fn fail_start(&mut self, now: Instant, failure: HandoffError) {
        let Some(start) = self.start.as_mut().filter(|start| start.failure.is_none()) else { return };
        start.failure = Some(failure);
        if let Some(mut probe) = start.probe.take() {
            probe.kill();
        }
        let number = start.number;
        if let Some(generation) = self.generations.iter_mut().find(|g| g.number == number) {
            generation.end(now);
        }
    }

    pub(super) fn reap(&mut self, now: Instant) {
        let mut at = 0;
        while at < self.generations.len() {
            match self.generations[at].try_wait() {
                Some(ended) => {
                    let generation = self.generations.remove(at);
                    self.gone(&generation, ended, now);
                }
                None => at += 1,
            }
        }
    }

    pub(super) fn gone(&mut self, generation: &Generation, ended: Exited, now: Instant) {
        let (number, status) = (generation.number, format!("ended with {ended}"));
        let code = match ended {
            Exited::Code(code) => code,
            Exited::Signal(signal) => 128 + signal,
        };
        let asked = matches!(generation.phase, Phase::Draining { .. } | Phase::Ending { .. } | Phase::Killed { .. });
        tracing::info!(event = "service.ended", generation = number, %status, asked, "a generation ended");
        if let Some(stop) = &mut self.stop {
            if number >= stop.of {
                *stop = Stop { code, of: number };
            }
            return;
        }
        if self.start.as_ref().is_some_and(|start| start.number == number) {
            let Some(start) = self.start.take() else { return };
            if let Some(mut probe) = start.probe {
                probe.kill();
            }
            let failure = match start.failure {
                // It got the whole time and did not use it: what it wrote last may say why.
                Some(HandoffError::ReadyDeadline { waited, .. }) => {
                    HandoffError::ReadyDeadline { waited, stderr: generation.stderr() }
                }
                Some(failure) => failure,
                None => {
                    self.last_code = code;
                    HandoffError::ExitedBeforeReady { status, stderr: generation.stderr() }
                }
            };
            self.start_failed(now, start.reply, failure);
            return;
        }
        if asked {
            return;
        }
        self.last_code = code;
        let served = generation.ready_at.map_or(Duration::ZERO, |at| now.duration_since(at));
        let failure = HandoffError::DiedInWatch { status: status.clone(), after: served, stderr: generation.stderr() };
        if let Some(watch) = self.watch.as_mut().filter(|watch| watch.number == number) {
            watch.end(Err(failure));
            self.resumed = self.resume_paused(now);
            if self.resumed.is_none() {
                // The agent rolls back; should it not, something must serve all the same.
                self.restart_at = Some(now + AGENT_PATIENCE);
            }
            return;
        }
        if generation.phase == Phase::Serving && self.start.is_none() {
            self.count_crash(now, served, failure);
            if let Some(at) = self.restart_at {
                let again_in = at.saturating_duration_since(now);
                self.news.push(News::Crashed { generation: number, status, again_in });
            }
        }
    }
}
