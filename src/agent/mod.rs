//! The agent: one thread that follows a source and carries out what is asked of it, one thing at
//! a time.
//!
//! It owns everything that changes the machine (state, program path) and drives the service only
//! through a [`RestartDriver`]. A panic in a pass ends that pass and nothing else.

mod attending;
mod bring;
mod counts;
#[cfg(feature = "deltas")]
mod delta;
#[cfg(feature = "fleet")]
pub mod fleet;
mod follow;
mod hooks;
mod inbox;
mod line;
mod observe;
mod outcome;
mod recovery;
mod reopen;
mod schedule;
mod status;
mod waiting;
mod wanted;
mod way_back;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use attending::Attending;
pub use bring::{Brought, NoDelta};
pub use counts::{ByWord, Counts, Entered, Ledger, RESULT_WORDS};
pub use hooks::{Hook, Hooking, Hooks};
pub use inbox::{Answer, Inbox, Message, Post, Reply};
pub use line::{Ask, Line, Unfinished};
pub use observe::{Observed, Observer, UpdateEvent};
#[cfg(feature = "cli")]
pub(crate) use outcome::named;
pub use outcome::{Outcome, PassFailure};
pub use reopen::Reopen;
pub use schedule::{FIRST_SPREAD, Rhythm, Schedule, Verdict};
pub use status::{AgentStatus, KeysShown, LastPass, Shown};
pub use waiting::Installing;
pub use wanted::{Running, Wanted};

use crate::clock::Timestamp;
use crate::failure::{Exit, Failure as _, Reported, chain};
use crate::install::Installed;
use crate::restart::{HandoffError, Launch, RestartDriver};
use crate::state::{Event, Hold};
use crate::trust::Refused;

/// What the agent needs to begin.
#[derive(Debug)]
pub struct Agent {
    /// The machinery of updates; `None`: nothing is fetched, or the state is damaged.
    pub line: Option<Line>,
    /// How to make the line once what is in its way is gone; `None`: there is one, or there will never be.
    pub reopen: Option<Reopen>,
    /// Who runs the service.
    pub driver: Box<dyn RestartDriver>,
    /// How often the source is asked.
    pub schedule: Schedule,
    /// A worker stays if the next poll is nearer than this.
    pub worker_stays: Duration,
    /// What is shown.
    pub shown: Shown,
    /// What reaches it.
    pub inbox: Inbox,
    /// The program as configured, for a service without updates.
    pub program: PathBuf,
    /// What was started before the agent; `None`: nothing could be, and the first release will be.
    pub started: Option<Installed>,
    /// Who else hears of what happens.
    pub observer: Option<Observer>,
    /// Where it is counted.
    pub ledger: Ledger,
}

impl Agent {
    /// Runs until it is told to stop or to rest. What it returns can be run again, and goes on.
    pub fn run(mut self) -> Agent {
        self.learn();
        self.show();
        let mut next = Instant::now() + self.first_wait();
        self.is_idle_until(next);
        loop {
            let waits_for_ever = self.line.is_none() && self.reopen.is_none();
            let wait = if waits_for_ever { Duration::MAX } else { next.saturating_duration_since(Instant::now()) };
            let message = self.inbox.next(wait);
            if message.as_ref().is_none_or(Message::needs_line) && self.line.is_none() {
                next = self.reopen();
            }
            match message {
                Some(Message::Stop | Message::Rest) => break,
                Some(Message::Apply(ask, reply)) => {
                    let (answer, verdict) = self.pass(ask);
                    next = Instant::now() + self.rest(verdict);
                    // Whoever has the answer sees in the status what it is about, or may have gone.
                    self.show();
                    let _ = reply.send(answer);
                }
                Some(message) => {
                    let done = catch_unwind(AssertUnwindSafe(|| self.carry_out(message)));
                    if let Err(panic) = done {
                        tracing::error!(event = "internal.panic", "fetchd itself failed: {}", words(&*panic));
                    }
                }
                None if self.line.is_some() && next <= Instant::now() => {
                    let (_, verdict) = self.pass(Ask::default());
                    next = Instant::now() + self.rest(verdict);
                }
                None => {}
            }
            self.show();
            self.is_idle_until(next);
            if let Some(line) = &self.line {
                // Now, when nobody waits for it, and not when a restart is asked for.
                line.install.look_ahead();
            }
        }
        if let Some(line) = &mut self.line {
            line.worker.dismiss();
        }
        self
    }

    fn is_idle_until(&self, next: Instant) {
        self.shown.write(|shown| {
            shown.doing = "idle".to_owned();
            let wait = next.saturating_duration_since(Instant::now());
            shown.next_poll = shown.source.is_some().then(|| Timestamp::now().plus(wait));
        });
    }

    fn learn(&mut self) {
        if let Some(line) = &mut self.line {
            line.ledger = self.ledger.clone();
        }
        let (Some(line), Some(started)) = (&mut self.line, &self.started) else { return };
        if line.running.is_some() {
            // It goes on, and what lies at the program path by now need not be what runs.
            return;
        }
        if let Err(failure) = line.learn_what_runs(started) {
            tracing::error!(event = "state.unwritable", error = chain(&failure), "cannot record what runs");
        }
    }

    fn first_wait(&self) -> Duration {
        #[cfg(feature = "fleet")]
        if self.line.as_ref().is_some_and(|line| line.wanted.fleet.is_some()) {
            // It says itself when it asks first.
            return Duration::ZERO;
        }
        if let Some(next) = self.shown.read().next_poll {
            // It goes on.
            return next.since(Timestamp::now());
        }
        // A service that does not run yet waits for nobody.
        if self.started.is_none() && self.reopen.is_none() { Duration::ZERO } else { self.schedule.first(chance()) }
    }

    /// How long to wait after a pass; a worker that would wait too long is let go.
    fn rest(&mut self, verdict: Verdict) -> Duration {
        let wait = self.schedule.next(verdict, chance());
        #[cfg(feature = "fleet")]
        let wait = match self.line.as_ref().and_then(|line| line.fleet.as_ref()).map(|fleet| fleet.due()) {
            // The machine knows when; only where this host itself is in the way it has to wait longer.
            Some(due) if verdict == Verdict::Settled => due,
            Some(due) if verdict != Verdict::Interrupted => due.max(wait),
            _ => wait,
        };
        if wait >= self.worker_stays
            && let Some(line) = &mut self.line
        {
            line.worker.dismiss();
        }
        wait
    }

    /// One pass, with everybody told how it ended.
    fn pass(&mut self, ask: Ask) -> (Answer, Verdict) {
        let Some(line) = &mut self.line else {
            return (refused(self.updates_off()), Verdict::Settled);
        };
        self.shown.write(|shown| shown.doing = "polling".to_owned());
        self.observer.iter().for_each(|observer| observer.tell(&UpdateEvent::Polling));
        let mut attend = Attending { inbox: &mut self.inbox, shown: &self.shown, logged: 0 };
        let driver = &mut *self.driver;
        // The state is written whole or not at all, so nothing half done is left for the next pass.
        let result = catch_unwind(AssertUnwindSafe(|| line.pass(ask, driver, &mut attend)))
            .unwrap_or_else(|panic| Err(PassFailure::Panicked(words(&*panic))));
        let last = |outcome: &str, message: String, error| LastPass {
            at: Timestamp::now(),
            outcome: outcome.to_owned(),
            message,
            error,
        };
        let (answer, verdict, last) = match &result {
            Ok(outcome) => {
                let error = outcome.held_back().cloned();
                let answer = Answer {
                    exit: outcome.exit(),
                    outcome: outcome.word().to_owned(),
                    message: outcome.sentence(),
                    version: outcome.version().map(ToString::to_string),
                    error: error.clone(),
                };
                (answer, Verdict::Settled, last(outcome.word(), outcome.sentence(), error))
            }
            Err(failure) => {
                let report = Reported::of(failure);
                (refused(report.clone()), failure.verdict(), last("failed", report.message.clone(), Some(report)))
            }
        };
        self.ledger.enter(|counts| counts.passed(&result, last.at));
        self.record(&result, &last);
        if let (Some(observer), Some(event)) = (&self.observer, UpdateEvent::of(&result)) {
            observer.tell(&event);
        }
        if verdict != Verdict::Interrupted {
            self.shown.write(|shown| {
                if let Ok(Outcome::Updated { brought, .. }) = &result {
                    shown.brought.clone_from(brought);
                }
                shown.last = Some(last);
            });
        }
        (answer, verdict)
    }

    /// The log and the history. What happens every five minutes is written down once.
    fn record(&mut self, result: &Result<Outcome, PassFailure>, last: &LastPass) {
        let Some(line) = &mut self.line else { return };
        let same = line.installing.repeats();
        let repeated = self.shown.read().last.is_some_and(|before| {
            same && before.outcome == last.outcome
                && before.error.map(|e| e.code) == last.error.as_ref().map(|e| e.code.clone())
        });
        match result {
            Ok(Outcome::Updated { to, generation, brought, .. }) => tracing::info!(
                event = "release.confirmed",
                version = to.as_ref().map(ToString::to_string),
                generation,
                fetched = brought.as_ref().map(|brought| brought.by.as_str()),
                fetched_bytes = brought.as_ref().map(|brought| brought.bytes),
                full_bytes = brought.as_ref().map(|brought| brought.full),
                no_delta = brought.as_ref().and_then(|brought| brought.no_delta.as_deref()),
                "{}",
                last.message
            ),
            Ok(Outcome::Held(why)) if !repeated => {
                tracing::warn!(event = "release.held", code = why.code, "{}", why.message);
            }
            Ok(Outcome::NotReady(why)) if !repeated => {
                tracing::warn!(event = "release.not_ready", code = why.code, "{}", why.message);
            }
            Ok(Outcome::Stale(why)) if !repeated => {
                tracing::warn!(event = "source.stale", code = why.code, "{}", why.message);
            }
            Ok(outcome) => tracing::debug!(event = "pass.ended", outcome = outcome.word(), "{}", last.message),
            Err(failure) if failure.was_interrupted() => tracing::info!(event = "pass.interrupted", "{}", last.message),
            Err(failure) => tracing::warn!(event = "pass.failed", code = failure.code(), "{}", last.message),
        }
        let event = line.event(result, last.at);
        let told = repeated && !matches!(result, Ok(Outcome::Updated { .. }));
        if let Some(event) = event.filter(|_| !told) {
            line.note(&event);
        }
    }

    fn carry_out(&mut self, message: Message) {
        match message {
            Message::Restart(reply) => {
                self.shown.write(|shown| shown.doing = "restarting".to_owned());
                let answer = self.restart().unwrap_or_else(|failure| refused(Reported::of(&failure)));
                self.finish("service.restarted", answer, reply);
            }
            Message::RollBack(reply) => {
                self.shown.write(|shown| shown.doing = "rolling back".to_owned());
                let answer = self.roll_back().unwrap_or_else(|failure| refused(Reported::of(&failure)));
                let event = if answer.error.is_none() { "release.rolled_back" } else { "rollback.failed" };
                self.finish(event, answer, Some(reply));
            }
            Message::Hold { reason, until, reply } => {
                let hold = Hold { reason, since: Timestamp::now(), until };
                let answer = self.set_hold(Some(hold)).unwrap_or_else(|failure| refused(Reported::of(&failure)));
                self.finish("policy.hold", answer, Some(reply));
            }
            Message::Unhold(reply) => {
                let answer = self.set_hold(None).unwrap_or_else(|failure| refused(Reported::of(&failure)));
                self.finish("policy.unhold", answer, Some(reply));
            }
            Message::CrashLoop { sha256, failure } => self.crash_loop(sha256, &failure),
            Message::ProgramChanged => self.restore(),
            Message::Note(event) => self.note(*event),
            Message::Apply(..) | Message::Stop | Message::Rest => {}
        }
    }

    fn finish(&self, event: &str, answer: Answer, reply: Option<Reply>) {
        let mut line = Event::new(Timestamp::now(), event).message(&answer.message);
        match &answer.error {
            Some(failure) => {
                tracing::warn!(event, code = failure.code, "{}", answer.message);
                line = line.failure(failure);
            }
            None => tracing::info!(event, "{}", answer.message),
        }
        self.note(line);
        if let Some(reply) = reply {
            // Whoever asked may have gone.
            let _ = reply.send(answer);
        }
    }

    fn note(&self, event: Event) {
        if let Some(line) = &self.line {
            line.note(&event);
        }
    }

    /// A new process of the same binary, watched like any other.
    fn restart(&mut self) -> Result<Answer, PassFailure> {
        if self.line.as_ref().is_some_and(|line| line.installing.waits()) {
            let (answer, _) = self.pass(Ask { afresh: true, restart: true, ..Ask::default() });
            let tried = answer.error.as_ref().is_some_and(|failure| failure.exit == Exit::Handoff);
            if answer.outcome == "updated" || tried {
                return Ok(answer);
            }
            // What runs is restarted all the same: somebody asked for it.
        }
        let launch = self.same_again()?;
        let handoff = self.driver.handoff(&launch).inspect_err(|_| self.driver.abort())?;
        match self.driver.watch() {
            Ok(()) => self.driver.confirm(),
            Err(HandoffError::Stopping) => return Err(HandoffError::Stopping.into()),
            Err(failure) => {
                self.driver.roll_back(&launch)?;
                return Err(failure.into());
            }
        }
        let message = format!("generation {} serves, ready after {} ms", handoff.generation, handoff.took.as_millis());
        Ok(done("restarted", message, launch.version.as_ref().map(ToString::to_string)))
    }

    /// What runs, to be started once more. With updates on it must be what was verified.
    fn same_again(&self) -> Result<Launch, PassFailure> {
        let Some(line) = &self.line else {
            return Ok(Launch { program: self.program.clone(), sha256: None, version: None, stamp: None });
        };
        let at_path = line.install.startable(line.store.record())?;
        match (at_path, &line.running) {
            (Some(installed), Some(running)) if *installed.sha256() == running.sha256 => {
                Ok(Launch { version: running.version.clone(), ..Launch::of(&installed) })
            }
            (Some(installed), Some(running)) => {
                let message = format!(
                    "`{}` was replaced by something fetchd did not install: it is {}, what runs is {}",
                    installed.program().display(),
                    installed.sha256().short(),
                    running.sha256.short()
                );
                Err(Refused::new("program.changed", Exit::Content, message)
                    .hint("publish it as a release, or use `layout = \"external\"` if a deploy job puts it there")
                    .into())
            }
            (_, None) | (None, _) => {
                Err(Refused::new("program.missing", Exit::Install, "there is nothing to start at the program path")
                    .into())
            }
        }
    }

    /// Back to the previous release, because an operator says so.
    fn roll_back(&mut self) -> Result<Answer, PassFailure> {
        let off = self.updates_off();
        let Some(line) = &mut self.line else { return Ok(refused(off)) };
        let Some(bad) = line.running.clone() else { return Ok(refused(nothing_to_go_back_to())) };
        if let Some(revoked) = line.previous_revoked() {
            return Ok(refused(Reported::of(&revoked)));
        }
        let Some(previous) = line.install.reactivate(&mut line.store)? else {
            return Ok(refused(nothing_to_go_back_to()));
        };
        line.serve_previous(&previous, &mut *self.driver)?;
        let reason = "an operator rolled it back".to_owned();
        line.quarantine(bad.sha256, bad.version.clone(), "operator.rollback", reason)?;
        line.confirm(&previous, &mut *self.driver)?;
        self.ledger.rolled_back("operator");
        #[cfg(feature = "fleet")]
        line.tell_fleet(bad.sha256, "operator.rollback");
        let from = outcome::named(bad.version.as_ref());
        let message = format!("{} serves again; {from} is in quarantine", outcome::named(previous.version()));
        Ok(done("rolled_back", message, previous.version().map(ToString::to_string)))
    }

    fn set_hold(&mut self, hold: Option<Hold>) -> Result<Answer, PassFailure> {
        let off = self.updates_off();
        let Some(line) = &mut self.line else { return Ok(refused(off)) };
        let answer = match &hold {
            Some(Hold { until: Some(until), .. }) => done("held", format!("updates are on hold until {until}"), None),
            Some(_) => done("held", "updates are on hold".to_owned(), None),
            None => done("unheld", "updates go on".to_owned(), None),
        };
        line.store.update(|record| record.hold = hold)?;
        Ok(answer)
    }

    fn updates_off(&self) -> Reported {
        self.shown.read().updates_off.unwrap_or_else(|| Reported {
            code: "source.none".to_owned(),
            exit: Exit::Usage,
            message: "this service has no source of releases".to_owned(),
            hint: Some("name one with `--source URL`, or as `source = \"URL\"` in the file".to_owned()),
        })
    }

    fn show(&self) {
        let Some(line) = &self.line else { return };
        let record = line.store.record();
        self.shown.write(|shown| {
            shown.trust_state = Some(record.trust_state());
            shown.source = Some(fetchd_fetchers::redact(&line.wanted.source.url));
            #[cfg(feature = "fleet")]
            if let Some(fleet) = &line.fleet {
                shown.source = Some(fleet.source().to_owned());
                shown.fleet = Some(fleet.shown());
            }
            shown.version = line.running.as_ref().and_then(|running| running.version.as_ref()).map(ToString::to_string);
            shown.sha256 = line.running.as_ref().map(|running| running.sha256.to_string());
            shown.previous = record.previous.as_ref().map(|p| outcome::named(p.version.as_ref()));
            shown.keys = line.wanted.keys.as_ref().map(KeysShown::of);
            shown.worker = line.worker.hardening().cloned();
            shown.hold.clone_from(&record.hold);
            shown.show_quarantine(&record.quarantine);
        });
    }
}

fn done(outcome: &str, message: String, version: Option<String>) -> Answer {
    Answer { exit: Exit::Done, outcome: outcome.to_owned(), message, version, error: None }
}

fn refused(report: Reported) -> Answer {
    Answer {
        exit: report.exit,
        outcome: "failed".to_owned(),
        message: report.message.clone(),
        version: None,
        error: Some(report),
    }
}

fn nothing_to_go_back_to() -> Reported {
    Reported {
        code: "rollback.nothing".to_owned(),
        exit: Exit::Install,
        message: "there is no previous release to go back to".to_owned(),
        hint: Some("`fetchd history` shows what was installed; to stop updates use `fetchd hold`".to_owned()),
    }
}

fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without words".to_owned())
}

/// Uniform in [0, 1). A machine without randomness gets the middle.
fn chance() -> f64 {
    let number = getrandom::u32().unwrap_or(u32::MAX / 2);
    f64::from(number) / (f64::from(u32::MAX) + 1.0)
}
