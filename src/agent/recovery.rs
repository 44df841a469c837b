//! What the agent does when what runs does not hold.

use super::{Agent, PassFailure, outcome};
use crate::clock::Timestamp;
use crate::digest::Sha256;
use crate::failure::{Failure as _, Reported, chain};
use crate::restart::{HandoffError, Launch};
use crate::state::Event;

impl Agent {
    /// The release that was confirmed does not hold after all.
    pub(super) fn crash_loop(&mut self, sha256: Option<Sha256>, failure: &HandoffError) {
        let runs = self.line.as_ref().and_then(|line| line.running.as_ref()).map(|running| running.sha256);
        if runs.is_some() && sha256.is_some() && runs != sha256 {
            // Another release has taken over since: it is not to blame for the one before.
            return;
        }
        let report = Reported::of(failure);
        tracing::error!(event = "service.crash_loop", "{}", report.message);
        self.note(Event::new(Timestamp::now(), "service.crash_loop").failure(&report));
        let Some(line) = &mut self.line else { return self.driver.give_up() };
        let bad = line.running.clone();
        // A release that crashes again and again is no worse than one that must never run.
        if let Some(revoked) = line.previous_revoked() {
            tracing::error!(event = "rollback.revoked", "{revoked}");
            line.note(&Event::new(Timestamp::now(), "rollback.failed").failure(&Reported::of(&revoked)));
            return self.driver.give_up();
        }
        let back = line.back(&mut *self.driver);
        let is_back = match &back {
            Ok(Some(previous)) => {
                let message = format!("{} serves again", outcome::named(previous.version()));
                let event = Event::new(Timestamp::now(), "release.rolled_back").version(previous.version());
                let event = event.sha256(Some(*previous.sha256())).message(message);
                let from = bad.as_ref().and_then(|bad| bad.version.as_ref()).map(ToString::to_string);
                line.note(&event.detail("from", from).detail("because", report.code.as_str()));
                line.ledger.rolled_back("crash_loop");
                true
            }
            Ok(None) => {
                let message = format!("there is no previous release to go back to: {}", report.message);
                line.note(&Event::new(Timestamp::now(), "rollback.failed").failure(&report).message(message));
                false
            }
            Err(e) => {
                tracing::error!(
                    event = "rollback.failed",
                    error = chain(e),
                    "the previous release cannot be brought back"
                );
                line.note(&Event::new(Timestamp::now(), "rollback.failed").failure(&Reported::of(e)));
                matches!(e, PassFailure::Handoff(_))
            }
        };
        #[cfg(feature = "fleet")]
        if let Some(bad) = bad.as_ref().filter(|_| is_back) {
            line.tell_fleet(bad.sha256, failure.code());
        }
        if is_back
            && let Some(bad) = bad
            && let Err(e) = line.quarantine(bad.sha256, bad.version, failure.code(), chain(failure))
        {
            tracing::error!(event = "state.unwritable", error = chain(&e), "the bad release is not in quarantine");
        }
        if let Ok(None) = back {
            self.driver.give_up();
        }
    }

    /// The service has to be started, and what lies at its path is not what was verified: our own copy is, if there is one.
    pub(super) fn restore(&mut self) {
        let Some(line) = &mut self.line else { return };
        match line.install.startable(line.store.record()) {
            Ok(Some(installed)) if line.running.as_ref().is_some_and(|runs| runs.sha256 == *installed.sha256()) => {
                if let Err(e) = self.driver.roll_back(&Launch::of(&installed)) {
                    tracing::error!(event = "service.not_started", error = chain(&e), "the service cannot be started");
                }
            }
            Ok(_) => {
                tracing::error!(
                    event = "program.changed",
                    "the program path holds something that was not verified; it is not started"
                );
            }
            Err(e) => {
                tracing::error!(event = "program.unreadable", error = chain(&e), "the program path cannot be read")
            }
        }
    }
}
