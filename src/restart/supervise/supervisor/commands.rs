//! What the agent asks for, and what follows a start that failed or a service that crashed.

use std::time::{Duration, Instant};

use super::super::crash::Verdict;
use super::super::generation::{Generation, Phase};
use super::{AGENT_PATIENCE, News, Reply, Start, Supervisor, answer};
use crate::failure::{Exit, Reported};
use crate::restart::{Handoff, HandoffError, Launch};

impl Supervisor {
    pub(super) fn hand_off(&mut self, to: Launch, reply: Reply) {
        if self.stop.is_some() {
            return answer(Some(reply), Err(HandoffError::Stopping));
        }
        if self.start.as_ref().is_some_and(|start| start.reply.is_some() || self.serving().is_some()) {
            return answer(Some(reply), Err(HandoffError::Busy));
        }
        // A service that is being started again and again must not keep its own repair out.
        self.abandon_start();
        // A watch whose end nobody has taken is over for whoever begins the next handoff.
        self.watch = None;
        self.resumed = None;
        self.restart_at = None;
        self.verdict_by = None;
        self.returned_to = None;
        self.systemd.reloading("handing off");
        self.launch(to, Some(reply), true);
    }

    pub(super) fn roll_back(&mut self, to: Launch, reply: Reply) {
        if self.stop.is_some() {
            return answer(Some(reply), Err(HandoffError::Stopping));
        }
        let begun = Instant::now();
        self.returned_to = to.sha256;
        self.return_listeners();
        self.watch = None;
        self.restart_at = None;
        self.verdict_by = None;
        self.abandon_start();
        if let Some(number) = self.resumed.take().filter(|number| self.serving().is_some_and(|g| g.number == *number)) {
            return answer(Some(reply), Ok(Handoff { generation: number, took: Duration::ZERO }));
        }
        let Some(number) = self.resume_paused(begun) else {
            // The failed one serves on, if it still can, until the previous binary is ready.
            return self.launch(to, Some(reply), false);
        };
        answer(Some(reply), Ok(Handoff { generation: number, took: begun.elapsed() }));
    }

    /// Lets the paused generation accept again, and drains the one that failed, if it still runs.
    pub(super) fn resume_paused(&mut self, now: Instant) -> Option<u64> {
        let at = self.generations.iter().position(|g| g.phase == Phase::Paused)?;
        let generation = &mut self.generations[at];
        if !generation.resume() {
            // It has closed its control descriptor, or is about to end: it will not accept again.
            generation.drain(self.options.drain_deadline, now);
            return None;
        }
        for failed in
            self.generations.iter_mut().enumerate().filter(|(other, g)| *other != at && g.phase == Phase::Serving)
        {
            // What it has accepted it may still answer.
            failed.1.drain(self.options.drain_deadline, now);
        }
        let generation = &self.generations[at];
        let number = generation.number;
        self.current = Some(generation.launch.clone());
        self.crashes.clear();
        self.restart_at = None;
        self.systemd.ready("the previous generation serves again");
        tracing::info!(event = "handoff.resumed", generation = number, "the previous generation accepts again");
        Some(number)
    }

    pub(super) fn confirm(&mut self) {
        let now = Instant::now();
        self.settle_listeners();
        self.watch = None;
        let serves = self.current.as_ref().and_then(|current| current.sha256);
        if serves != self.confirmed || serves.is_none() {
            // The same binary as a new process has nothing to prove again.
            self.confirmed = serves;
            self.probation_until = now + self.options.crash.probation;
        }
        self.crashes.clear();
        self.systemd.ready("serving");
        for generation in &mut self.generations {
            if generation.phase == Phase::Paused {
                generation.drain(self.options.drain_deadline, now);
            }
        }
        self.limit_draining();
    }

    /// What was current is at its path again. Should it have ended meanwhile, it is started.
    pub(super) fn serve_again(&mut self) {
        if self.serving().is_none() && self.start.is_none() && self.stop.is_none() {
            self.restart_at = Some(Instant::now());
        }
    }

    /// Starts `launch` beside whatever runs.
    pub(super) fn launch(&mut self, launch: Launch, reply: Option<Reply>, watched: bool) {
        let now = Instant::now();
        let number = self.next_number;
        self.next_number += 1;
        tracing::info!(event = "handoff.start", generation = number, program = %launch.program.display(), "starting");
        match Generation::start(number, launch, &self.options, &self.listeners, self.notify.address()) {
            Ok(generation) => {
                self.generations.push(generation);
                self.start =
                    Some(Start { number, begun: now, reply, probe: None, next_probe: now, failure: None, watched });
            }
            Err(failure) => self.start_failed(now, reply, failure),
        }
    }

    /// A start ended without a ready process, which is gone by now.
    pub(super) fn start_failed(&mut self, now: Instant, reply: Option<Reply>, failure: HandoffError) {
        let report = Reported::of(&failure);
        let hint = report.hint.as_deref().unwrap_or_default();
        tracing::warn!(event = "handoff.failed", code = report.code, hint, "{}", report.message);
        let asked = reply.is_some();
        if asked {
            self.return_listeners();
        }
        if !matches!(failure, HandoffError::ExitedBeforeReady { .. }) {
            // It has no code of its own that would say so.
            self.last_code = i32::from(Exit::Handoff.number());
        }
        if self.serving().is_some() {
            self.systemd.ready("the handoff failed; the previous generation serves");
            answer(reply, Err(failure));
            return;
        }
        if asked {
            // Whoever asked decides what is next; should that take long, what was current is tried again.
            self.restart_at = self.current.is_some().then_some(now + AGENT_PATIENCE);
            answer(reply, Err(failure));
            return;
        }
        self.count_crash(now, Duration::ZERO, failure);
    }

    /// The serving process is gone, or a restart of it failed.
    pub(super) fn count_crash(&mut self, now: Instant, served: Duration, failure: HandoffError) {
        if self.stop.is_some() {
            return;
        }
        if !failure.blames_release() {
            // No room for a process, or a file that is not the one that was verified: trying again is all there is.
            if matches!(failure, HandoffError::Changed { .. }) {
                self.news.push(News::ProgramChanged);
            }
            self.restart_at = Some(now + MACHINE_PAUSE);
            return;
        }
        let probation = now < self.probation_until;
        match self.crashes.record(now, served, probation) {
            Verdict::Restart(wait) => self.restart_at = Some(now + wait),
            Verdict::Loop { count } => {
                self.verdict_by = Some(now + AGENT_PATIENCE);
                let failure = match failure {
                    HandoffError::DiedInWatch { status, stderr, .. } => {
                        HandoffError::CrashLoop { count, within: self.options.crash.window, status, stderr }
                    }
                    other => other,
                };
                let sha256 = self.current.as_ref().and_then(|current| current.sha256);
                self.news.push(News::CrashLoop { sha256, failure });
            }
        }
    }

    /// Gives up a start in favour of something more urgent.
    pub(super) fn abandon_start(&mut self) {
        let Some(start) = self.start.take() else { return };
        if let Some(mut probe) = start.probe {
            probe.kill();
        }
        if let Some(generation) = self.generations.iter_mut().find(|g| g.number == start.number) {
            generation.end(Instant::now());
        }
        answer(start.reply, Err(HandoffError::Busy));
    }

    pub(super) fn limit_draining(&mut self) {
        let draining = self.generations.iter().filter(|g| matches!(g.phase, Phase::Draining { .. })).count();
        let excess = draining.saturating_sub(MOST_DRAINING);
        // Oldest first: that is the order in which they were started.
        for generation in self.generations.iter_mut().filter(|g| matches!(g.phase, Phase::Draining { .. })).take(excess)
        {
            tracing::warn!(event = "service.killed", generation = generation.number, "too many generations drain");
            generation.kill();
        }
    }

    pub(super) fn restart_if_due(&mut self, now: Instant) {
        if self.stop.is_some() || self.start.is_some() || self.restart_at.is_none_or(|at| now < at) {
            return;
        }
        self.restart_at = None;
        if self.serving().is_none()
            && let Some(launch) = self.current.clone()
        {
            self.launch(launch, None, false);
        }
    }
}

/// HANDOFF 1.1.9: at most this many generations drain at once.
const MOST_DRAINING: usize = 4;

/// Between two attempts at a start that this machine, not the release, made fail.
const MACHINE_PAUSE: Duration = Duration::from_secs(1);
