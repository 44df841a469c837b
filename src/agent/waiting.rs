//! When a verified release is installed: at once, with the consent of the program that has the agent inside, or when
//! somebody asks for a restart.

use std::error::Error;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use fetchd_fetchers::Revision;
use semver::Version;

use super::bring::Brought;
use super::hooks::NotNow;
use super::line::{Ask, Line};
use super::outcome::{Outcome, PassFailure, named};
use crate::clock::Timestamp;
use crate::digest::Sha256;
use crate::failure::{Exit, Reported, chain};
use crate::fetch::{Attend, FetchFailure};
use crate::restart::RestartDriver;
use crate::state::Event;
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
    /// The release that the pass is about, once one is chosen: its version and its binary's digest, where they are signed.
    pub(super) about: Option<(Option<Version>, Option<Sha256>)>,
    /// What the pass before was about.
    before: Option<(Option<Version>, Option<Sha256>)>,
}

/// A release that waits for a restart.
struct Waiting {
    verified: Verified,
    revision: Revision,
    /// What it waits for: a restart, or that nobody has anything against it any more.
    consent: bool,
}

impl Installing {
    /// What the source showed when the release that waits was taken: it need not be asked for again.
    ///
    /// Where consent is lacking it is asked for again at each poll, and so is the source: the release could be revoked.
    pub(super) fn seen(&self) -> Option<Revision> {
        self.waiting.as_ref().filter(|waiting| !waiting.consent).map(|waiting| waiting.revision.clone())
    }

    /// Whether a release waits for a restart.
    pub fn waits(&self) -> bool {
        self.waiting.as_ref().is_some_and(|waiting| !waiting.consent || self.on_restart)
    }

    /// Whether the pass is about the release that the one before was about.
    pub(super) fn repeats(&mut self) -> bool {
        let same = self.about == self.before;
        self.before.clone_from(&self.about);
        same
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
    /// The line of the history that tells how a pass ended, where it is worth one, with the release that it was about.
    pub fn event(&mut self, result: &Result<Outcome, PassFailure>, at: Timestamp) -> Option<Event> {
        let about = self.installing.about.take();
        let event = match result {
            Ok(outcome) => outcome.event(at),
            Err(failure) => failure.event(at),
        }?;
        let (version, sha256) = about.unwrap_or_default();
        Some(Event { version: event.version.or(version), sha256: event.sha256.or(sha256), ..event })
    }

    /// The source shows nothing new: under another revision, if `renewed`.
    pub(super) fn nothing_new(&mut self, renewed: Option<Revision>) -> Result<Outcome, PassFailure> {
        match (&mut self.installing.waiting, renewed) {
            (Some(waiting), renewed) if !waiting.consent => {
                waiting.revision = renewed.unwrap_or(waiting.revision.clone());
                Ok(Outcome::Held(Installing::report(waiting)))
            }
            (_, renewed) => {
                // The source is back at what it showed before: what lacked consent is not offered any more.
                self.installing.forget();
                renewed.map_or(Ok(()), |revision| self.remember(&revision))?;
                Ok(Outcome::Unchanged)
            }
        }
    }

    /// The release that waits, if it is the very one that was `chosen` again; another one is dropped, and its file removed.
    ///
    /// Where no digest is signed, it is the same if the source still shows what it showed when it was taken.
    pub(super) fn waited(&mut self, chosen: &Chosen, revision: &Revision) -> Option<Verified> {
        let waiting = self.installing.waiting.take()?;
        let same = match chosen.binary_sha256() {
            Some(signed) => signed == waiting.verified.sha256(),
            None => !revision.0.is_empty() && *revision == waiting.revision,
        };
        same.then_some(waiting.verified)
    }

    /// Verified → Installed → Serving → Confirmed, unless it is to wait.
    pub(super) fn take(
        &mut self,
        verified: Verified,
        ask: Ask,
        revision: &Revision,
        driver: &mut dyn RestartDriver,
        attend: &mut dyn Attend,
    ) -> Result<Outcome, PassFailure> {
        self.installing.about = Some((verified.version().cloned(), Some(verified.sha256())));
        if self.installing.on_restart && !ask.restart && !ask.force {
            let waiting = Waiting { verified, revision: revision.clone(), consent: false };
            let report = Installing::report(&waiting);
            self.installing.waiting = Some(waiting);
            return Ok(Outcome::Held(report));
        }
        if let Err(not_now) = self.consent(&verified, attend) {
            // It is not downloaded again for each time it is asked for.
            self.installing.waiting = Some(Waiting { verified, revision: revision.clone(), consent: true });
            return not_now.map(Outcome::Held);
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

    /// Asks whether it may be installed. `Err`: not now, and why; or something else was more urgent than to wait for the
    /// answer.
    fn consent(&mut self, verified: &Verified, attend: &mut dyn Attend) -> Result<(), Result<Reported, PassFailure>> {
        let version = || named(verified.version());
        let held = |message: String| {
            let refused = Refused::new("install.not_now", Exit::Stale, message);
            Ok(refused.hint("it is asked again at the next poll").into())
        };
        match self.hooks.ask(verified, &mut || attend.stop()) {
            Ok(()) => {}
            Err(NotNow::Refused(why)) => return Err(held(format!("{} is not installed now: {why}", version()))),
            Err(NotNow::BrokenOff) => return Err(Err(FetchFailure::Stopped.into())),
        }
        let Some(consent) = self.installing.consent.as_mut() else { return Ok(()) };
        let why = match catch_unwind(AssertUnwindSafe(|| consent(verified))) {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(why)) => chain(&*why),
            Err(_) => "the program's own code panicked".to_owned(),
        };
        Err(held(format!("the program does not want {} now: {why}", version())))
    }
}
