//! The way back: from a release that does not hold to the one before it.

use super::line::{Line, Unfinished};
use super::outcome::{PassFailure, named};
use super::wanted::Running;
use crate::clock::Timestamp;
use crate::failure::{Exit, Reported};
use crate::install::Installed;
use crate::restart::{Handoff, HandoffError, Launch, RestartDriver};
use crate::state::Event;
use crate::trust::Refused;

impl Line {
    /// Brings the service to an earlier release that has been activated again, or leaves everything as it was.
    pub fn serve_previous(&mut self, to: &Installed, driver: &mut dyn RestartDriver) -> Result<Handoff, PassFailure> {
        self.unfinished = Some(Unfinished::RollBack);
        match driver.handoff(&Launch::of(to)) {
            Ok(handoff) => match driver.watch() {
                Ok(()) => Ok(handoff),
                Err(HandoffError::Stopping) => Err(HandoffError::Stopping.into()),
                Err(failure) => {
                    self.back_after(driver)?;
                    Err(failure.into())
                }
            },
            Err(HandoffError::Stopping) => Err(HandoffError::Stopping.into()),
            Err(failure) => {
                self.finish(driver)?;
                Err(failure.into())
            }
        }
    }

    /// Why the release before must not be gone back to, if the publisher revoked it.
    ///
    /// A release that fails its watch gives way to what ran a moment ago all the same: that process has never stopped.
    pub fn previous_revoked(&self) -> Option<Refused> {
        let record = self.store.record();
        let previous = record.previous.as_ref()?;
        let reason = record.revocation(previous)?;
        let message = format!("{} was revoked by the publisher: {reason}", named(previous.version.as_ref()));
        Some(Refused::new("release.revoked", Exit::Trust, message).hint("publish a good release, or pin one"))
    }

    /// Puts the previous binary back and makes it serve. `None`: there is none. If it does not start either, the driver is
    /// told to give up.
    pub fn back(&mut self, driver: &mut dyn RestartDriver) -> Result<Option<Installed>, PassFailure> {
        let previous = self.install.roll_back(&mut self.store)?;
        self.unfinished = None;
        let Some(previous) = previous else { return Ok(None) };
        // Whether it starts or not, it is what the path and the record hold from now on.
        self.running = Some(Running { version: previous.version().cloned(), sha256: *previous.sha256() });
        if let Err(failure) = driver.roll_back(&Launch::of(&previous)) {
            if failure.blames_release() {
                // Neither of the two holds: to start them in turns would be a loop.
                driver.give_up();
            }
            return Err(failure.into());
        }
        Ok(Some(previous))
    }

    /// The same after a failed watch. A previous binary that lies at its path and does not serve is told to the log and the
    /// history: whoever asked for the release learns what was wrong with the release.
    pub(super) fn back_after(&mut self, driver: &mut dyn RestartDriver) -> Result<(), PassFailure> {
        match self.back(driver) {
            Err(PassFailure::Handoff(failure)) if !matches!(failure, HandoffError::Stopping) => {
                let report = Reported::of(&failure);
                tracing::error!(event = "rollback.failed", code = report.code, "{}", report.message);
                self.note(&Event::new(Timestamp::now(), "rollback.failed").failure(&report));
                Ok(())
            }
            other => other.map(drop),
        }
    }
}
