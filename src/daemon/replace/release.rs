//! A supervisor inside its program follows the release that serves; and what becomes of any replacement is written down.

use std::sync::PoisonError;

use super::{Becomes, Next, ReplaceError, Replacement, Why, tell};
use crate::agent::{Agent, Message};
use crate::clock::Timestamp;
use crate::daemon::embedded::is_this_program;
use crate::daemon::{Daemon, Itself};
use crate::failure::Reported;
use crate::state::Event;

impl Daemon {
    /// Begins to become the release that serves, if that is another one than before. Once for each: what could not take
    /// over is not tried again by itself.
    pub(in crate::daemon) fn follow_release(&mut self) {
        let Some(Itself { becomes: Becomes::Release { at_once: true }, .. }) = &self.itself else { return };
        if self.replacement.is_some() || self.supervisor.unrest().is_some() {
            return;
        }
        let Some(launch) = self.supervisor.proven() else { return };
        if launch.sha256 == self.considered {
            return;
        }
        let is_this = is_this_program(&launch.program);
        self.considered = launch.sha256;
        if !is_this {
            self.begin_replacement(Why::Release);
        }
    }

    /// What this process is to become.
    pub(super) fn next_program(&self, why: &Why) -> Result<Next, ReplaceError> {
        match (why, self.itself.as_ref().map(|itself| itself.becomes)) {
            // For the sake of the configuration it is what runs.
            (Why::Configuration, _) => Ok(Next::At("/proc/self/exe".into())),
            (_, Some(Becomes::Release { .. })) => Next::release(self.supervisor.current(), self.sourced),
            (_, _) => Ok(Next::At(self.program.clone())),
        }
    }

    /// Whether something else serves by now than what `next` was when it was asked.
    pub(super) fn serves_other_than(&self, next: &Next) -> bool {
        next.sha256().is_some() && next.sha256() != self.supervisor.current().and_then(|launch| launch.sha256)
    }

    /// Fails if the agent, at rest, does not say that `next` is what was confirmed.
    pub(super) fn is_confirmed(next: &Next, agent: &Agent) -> Result<(), ReplaceError> {
        let (Some(sha256), Some(line)) = (next.sha256(), &agent.line) else { return Ok(()) };
        if line.running.as_ref().is_some_and(|running| running.sha256 == sha256) {
            return Ok(());
        }
        Err(ReplaceError::Unverified { program: Some(next.path().to_owned()) })
    }

    /// Says that the supervisor goes on as it is, to whoever wants to know.
    pub(super) fn not_replaced(&self, replacement: &Replacement, report: &Reported) {
        match &replacement.why {
            Why::Configuration => return self.not_applied(report),
            Why::Asked(asker) => tell(asker, report),
            // It ends, and nobody has asked for anything else.
            Why::Release if self.supervisor.is_stopping() => return,
            Why::Release => {}
        }
        self.stays(report);
    }

    /// The log, the history, and where the supervisor is the program that serves, the status.
    pub(super) fn stays(&self, report: &Reported) {
        tracing::error!(event = "supervisor.not_replaced", code = report.code, "{}", report.message);
        self.note(Event::new(Timestamp::now(), "supervisor.not_replaced").failure(report));
        if self.itself.as_ref().is_some_and(|itself| itself.becomes != Becomes::OwnPath) {
            *self.stays.lock().unwrap_or_else(PoisonError::into_inner) = Some(report.clone());
        }
    }

    /// Writes a line of the history, by the agent, which has it; with the release that serves.
    pub(super) fn note(&self, event: Event) {
        let serves = self.supervisor.current();
        let event = event
            .version(serves.and_then(|launch| launch.version.as_ref()))
            .sha256(serves.and_then(|launch| launch.sha256));
        self.post.send(Message::Note(Box::new(event)));
    }
}
