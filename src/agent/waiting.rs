//! When a verified release is installed: at once, with the consent of the program that has the agent inside, or when
//! somebody asks for a restart.

use std::error::Error;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use fetchd_fetchers::Revision;

use super::bring::Brought;
use super::line::{Ask, Line};
use super::outcome::{Outcome, PassFailure, named};
use crate::failure::{Exit, Reported, chain};
use crate::restart::RestartDriver;
use crate::trust::{Chosen, Refused};
use crate::verify::Verified;

type Consent = dyn FnMut(&Verified) -> Result<(), Box<dyn Error + Send + Sync>> + Send;

/// When a release that has passed every check is installed.
#[derive(Default)]
pub struct Installing {
    /// Asked before each installation. `Err`: not now, for this reason. The release is not blamed, and asked for again at
    /// the next poll.
    pub consent: Option<Box<Consent>>,
    /// Only when somebody asks for a restart. Until then the release waits, verified and out of everybody's reach.
    pub on_restart: bool,
    waiting: Option<Waiting>,
    /// How the release came here that was verified last.
    pub(super) brought: Option<Brought>,
}

/// A release that waits for a restart.
struct Waiting {
    verified: Verified,
    revision: Revision,
}

impl Installing {
    /// What the source showed when the release that waits was taken: it need not be asked for again.
    pub(super) fn seen(&self) -> Option<Revision> {
        self.waiting.as_ref().map(|waiting| waiting.revision.clone())
    }

    /// Whether a release waits for a restart.
    pub fn waits(&self) -> bool {
        self.waiting.is_some()
    }

    /// What waits is not wanted any more; its file is removed.
    pub(super) fn forget(&mut self) {
        self.waiting = None;
    }

    fn report(waiting: &Waiting) -> Reported {
        let message = format!("{} is verified and waits for a restart", named(waiting.verified.version()));
        Refused::new("restart.waits", Exit::Stale, message)
            .hint("`fetchd restart` or the restart signal takes it")
            .into()
    }
}

impl fmt::Debug for Installing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Installing");
        shown.field("on_restart", &self.on_restart).field("waits", &self.waits()).finish_non_exhaustive()
    }
}

impl Line {
    /// The source shows nothing new: under another revision, if `renewed`.
    pub(super) fn nothing_new(&mut self, renewed: Option<Revision>) -> Result<Outcome, PassFailure> {
        match (&mut self.installing.waiting, renewed) {
            (Some(waiting), renewed) => {
                waiting.revision = renewed.unwrap_or(waiting.revision.clone());
                Ok(Outcome::Held(Installing::report(waiting)))
            }
            (None, Some(revision)) => {
                self.remember(&revision)?;
                Ok(Outcome::Unchanged)
            }
            (None, None) => Ok(Outcome::Unchanged),
        }
    }

    /// The release that waits, if it is the very one that was `chosen` again; another one is dropped, and its file removed.
    pub(super) fn waited(&mut self, chosen: &Chosen) -> Option<Verified> {
        let waiting = self.installing.waiting.take()?;
        let same = chosen.binary_sha256() == Some(waiting.verified.sha256());
        same.then_some(waiting.verified)
    }

    /// Verified → Installed → Serving → Confirmed, unless it is to wait.
    pub(super) fn take(
        &mut self,
        verified: Verified,
        ask: Ask,
        revision: &Revision,
        driver: &mut dyn RestartDriver,
    ) -> Result<Outcome, PassFailure> {
        if self.installing.on_restart && !ask.restart && !ask.force {
            let waiting = Waiting { verified, revision: revision.clone() };
            let report = Installing::report(&waiting);
            self.installing.waiting = Some(waiting);
            return Ok(Outcome::Held(report));
        }
        if let Some(held) = self.refuses_consent(&verified) {
            return Ok(Outcome::Held(held));
        }
        let from = self.running.as_ref().and_then(|running| running.version.clone());
        let installed = self.install.activate(verified, &mut self.store)?;
        let handoff = self.go_live(&installed, driver, revision)?;
        Ok(Outcome::Updated {
            from,
            to: installed.version().cloned(),
            sha256: *installed.sha256(),
            generation: handoff.generation,
            ready_in: handoff.took,
            brought: self.installing.brought.take().filter(|brought| brought.sha256 == *installed.sha256()),
        })
    }

    fn refuses_consent(&mut self, verified: &Verified) -> Option<Reported> {
        let consent = self.installing.consent.as_mut()?;
        let why = match catch_unwind(AssertUnwindSafe(|| consent(verified))) {
            Ok(Ok(())) => return None,
            Ok(Err(why)) => chain(&*why),
            Err(_) => "the program's own code panicked".to_owned(),
        };
        let message = format!("the program does not want {} now: {why}", named(verified.version()));
        Some(Refused::new("install.not_now", Exit::Stale, message).hint("it is asked again at the next poll").into())
    }
}
