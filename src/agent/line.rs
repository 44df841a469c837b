//! The line a release travels, once: from a poll to a confirmed release.
//!
//! Each step consumes the type the step before it made, so none can be left out.

use std::borrow::Cow;

use fetchd_fetchers::Revision;
use semver::Version;

use super::counts::Ledger;
use super::follow::{Asking, accept};
use super::hooks::Hooks;
use super::outcome::{Outcome, PassFailure};
use super::waiting::Installing;
use super::wanted::{Found, Running, Wanted, on_hold};
use crate::checkpoint::Checkpoint;
use crate::clock::Timestamp;
use crate::digest::Sha256;
use crate::failure::{Exit, Failure as _, Reported, chain};
use crate::fetch::{Attend, Offered, Worker};
use crate::install::{Install, Installed};
use crate::restart::{Handoff, HandoffError, Launch, RestartDriver};
use crate::state::{Confirmed, Event, Quarantined, Store};
use crate::trust::bundle::Bundle;
use crate::trust::{self, Admitted, Choice, Manifest, Refused, Trust, TrustedKeys};
use crate::verify::{Verified, Verifier};

/// What somebody asked of one pass.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ask {
    /// Ask the source without a condition, though it may show what it showed last time.
    pub afresh: bool,
    /// Go on in spite of a hold, a cooldown and a rollout that has not reached this host. What is
    /// refused for trust is refused all the same.
    pub force: bool,
    /// Somebody wants a restart: a release that waits for one is installed.
    pub restart: bool,
}

/// The machinery of one service's updates.
#[derive(Debug)]
pub struct Line {
    /// What is wanted.
    pub wanted: Wanted,
    /// What is remembered; its lock is held.
    pub store: Store,
    /// Where the program lies.
    pub install: Install,
    /// Who fetches.
    pub worker: Box<dyn Worker>,
    /// Who checks.
    pub verifier: Verifier,
    /// What runs, as far as it is known.
    pub running: Option<Running>,
    /// What the last pass could not bring to its end; `None` at the start.
    pub unfinished: Option<Unfinished>,
    /// When what is verified is installed.
    pub installing: Installing,
    /// Where it is counted what becomes of releases.
    pub ledger: Ledger,
    /// The operator's programs that are asked, and told.
    pub hooks: Hooks,
    /// The host of a fleet, where the source is one's; made by [`Line::open_fleet`].
    #[cfg(feature = "fleet")]
    pub fleet: Option<Box<super::fleet::Fleet>>,
}

/// An end that a pass owes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfinished {
    /// A release passed its watch, and that has to be recorded.
    Confirm,
    /// A release did not hold, and the previous one has to be put back.
    RollBack,
}

impl Line {
    /// One pass. Whatever ends it, the service serves as before or better.
    pub fn pass(
        &mut self,
        ask: Ask,
        driver: &mut dyn RestartDriver,
        attend: &mut dyn Attend,
    ) -> Result<Outcome, PassFailure> {
        #[cfg(feature = "fleet")]
        if self.wanted.fleet.is_some() {
            return self.fleet_pass(ask, driver, attend);
        }
        self.finish(driver)?;
        let now = Timestamp::now();
        let afresh = ask.afresh || self.wanted.keys_expired(self.store.record(), now);
        let known = || self.store.record().etags.get(&self.wanted.etag_key()).cloned();
        let since = if afresh { None } else { self.installing.seen().or_else(known) };
        let offered = match self.wanted.poll(&mut *self.worker, since, attend)? {
            Found::Offer(offered) => offered,
            Found::Same(revision) => return self.nothing_new(Some(revision)),
            Found::Nothing(outcome) => match *outcome {
                Outcome::Unchanged => return self.nothing_new(None),
                outcome => return Ok(outcome),
            },
        };
        if let Some(held) = self.follow_keys(&offered, now, attend)? {
            return Ok(Outcome::Held(held.into()));
        }
        let asking = Asking { worker: &mut *self.worker, attend };
        let (offered, manifest) = self.wanted.read_whole(offered, self.install.typed(), now, asking)?;
        if let Some(stale) = self.admit(&manifest, &offered)? {
            return Ok(Outcome::Stale(stale.into()));
        }
        let policy = self.wanted.policy(self.running.as_ref(), ask.force);
        let chosen = match trust::choose(&manifest, self.store.record(), &policy, &self.wanted.expect, now) {
            Choice::Take(chosen) => *chosen,
            Choice::UpToDate { version, .. } => {
                self.installing.forget();
                self.remember(&offered.release.revision)?;
                return Ok(Outcome::UpToDate { version });
            }
            Choice::Held(refused) => return Ok(Outcome::Held(refused.into())),
        };
        if let Some(held) = on_hold(self.store.record(), now).filter(|_| !ask.force) {
            return Ok(Outcome::Held(held.into()));
        }
        let version = chosen.version().cloned();
        self.installing.about = Some((version.clone(), chosen.binary_sha256()));
        let brought =
            self.waited(&chosen, &offered.release.revision).map_or_else(|| self.bring(&offered, chosen, attend), Ok);
        let verified = match brought {
            Ok(verified) => verified,
            Err(failure) => return Err(self.not_verified(failure, version, &offered.release.revision)),
        };
        if self.runs(&verified) {
            let version = verified.version().cloned();
            self.install.keep_running(verified)?;
            self.remember(&offered.release.revision)?;
            return Ok(Outcome::UpToDate { version });
        }
        if let Some(refused) = self.older(&verified) {
            discard(verified);
            self.remember(&offered.release.revision)?;
            return Err(refused.into());
        }
        if let Some(held) = self.quarantined(&verified) {
            discard(verified);
            self.remember(&offered.release.revision)?;
            return Ok(Outcome::Held(held.into()));
        }
        self.take(verified, ask, &offered.release.revision, driver, attend)
    }

    /// Every key set that the source shows beyond what is trusted: kept and recorded before the next is asked for.
    fn follow_keys(
        &mut self,
        offered: &Offered,
        now: Timestamp,
        attend: &mut dyn Attend,
    ) -> Result<Option<Refused>, PassFailure> {
        if self.wanted.keys.is_none() {
            return Ok(None);
        }
        let known = self.store.record().clone();
        let store = &mut self.store;
        let asking = Asking { worker: &mut *self.worker, attend };
        let held =
            self.wanted.follow(&offered.release, &known, now, asking, |keys, bytes| accept(store, now, keys, bytes))?;
        self.keep_version(known.keys_version)?;
        Ok(held)
    }

    /// Records the newest key set, where it is newer than the one that was `known`.
    pub(super) fn keep_version(&mut self, known: u64) -> Result<(), PassFailure> {
        let trusted = self.wanted.keys.as_ref().map_or(0, TrustedKeys::version);
        if trusted > known {
            self.store.update(|record| record.keys_version = trusted)?;
        }
        Ok(())
    }

    /// Raises the floor, durably, before the first byte is downloaded. Why nothing is taken, if the source lags behind.
    pub(super) fn admit(&mut self, manifest: &Manifest, offered: &Offered) -> Result<Option<Refused>, PassFailure> {
        let mut record = self.store.record().clone();
        let admitted = trust::admit(manifest, &mut record)?;
        if admitted != Admitted::Known {
            self.store.update(|kept| *kept = record)?;
        }
        if let Admitted::Stale(why) = admitted {
            return Ok(Some(why));
        }
        // After the record: a bundle above it would mean that somebody set the record back.
        let (Trust::Bundle { .. }, Some(document)) = (&self.wanted.trust, &offered.document) else { return Ok(None) };
        let bundle = match &offered.signature {
            None => Cow::Borrowed(document),
            Some(signature) => {
                let signature = String::from_utf8_lossy(signature).into_owned();
                Cow::Owned(Bundle::new(document.clone(), vec![signature]).to_file())
            }
        };
        if !matches!(self.store.last_bundle(), Ok(Some(kept)) if kept == *bundle) {
            self.store.keep_bundle(&bundle)?;
        }
        Ok(None)
    }

    fn runs(&self, verified: &Verified) -> bool {
        self.running.as_ref().is_some_and(|running| running.sha256 == verified.sha256())
    }

    /// Where no digest was signed, it is known only now.
    fn quarantined(&self, verified: &Verified) -> Option<Refused> {
        let bad = self.store.record().quarantine.iter().find(|bad| bad.sha256 == verified.sha256())?;
        let message = format!("this binary failed here at `{}` and is not tried again: {}", bad.at, bad.code);
        Some(Refused::new("release.quarantined", Exit::Stale, message).hint("publish a repaired one"))
    }

    /// Where no version was signed, it is known only now.
    fn older(&self, verified: &Verified) -> Option<Refused> {
        let running = self.running.as_ref().and_then(|running| running.version.as_ref())?;
        let new = verified.version()?;
        let signed = verified.chosen().version().is_some();
        // A deploy job that points back at an older release means just that, and could write any version it likes.
        let deployed = matches!(self.wanted.trust, Trust::Owner);
        if signed || deployed || self.wanted.allow_downgrade || new.cmp_precedence(running).is_ge() {
            return None;
        }
        let message = format!("`{new}` is older than the `{running}` that runs");
        Some(
            Refused::new("release.downgrade", Exit::Rollback, message)
                .hint("to go back on purpose: `fetchd rollback`, or `allow_downgrade = true`"),
        )
    }

    /// Installed → Serving → Confirmed, or back to where it was.
    pub(super) fn go_live(
        &mut self,
        installed: &Installed,
        driver: &mut dyn RestartDriver,
        revision: &Revision,
    ) -> Result<Handoff, PassFailure> {
        Checkpoint::BeforeHandoff.reached();
        self.unfinished = Some(Unfinished::RollBack);
        let handoff = match driver.handoff(&Launch::of(installed)) {
            Ok(handoff) => handoff,
            // A supervisor that stops leaves the journal: the next start returns to the previous release.
            Err(HandoffError::Stopping) => return Err(HandoffError::Stopping.into()),
            Err(failure) => {
                let finished = self.finish(driver);
                self.undone(installed, &failure, revision, finished)?;
                self.ledger.rolled_back("handoff");
                return Err(failure.into());
            }
        };
        match driver.watch() {
            Ok(()) => {}
            Err(HandoffError::Stopping) => return Err(HandoffError::Stopping.into()),
            Err(failure) => {
                // Whatever becomes of the way back, this release is not tried again.
                let back = self.back_after(driver);
                self.undone(installed, &failure, revision, back)?;
                self.ledger.rolled_back("watch");
                return Err(failure.into());
            }
        }
        self.confirm(installed, driver)?;
        self.remember(revision)?;
        Ok(handoff)
    }

    /// The watch is over. Should the record not take it, the next pass tries again.
    pub fn confirm(&mut self, installed: &Installed, driver: &mut dyn RestartDriver) -> Result<(), PassFailure> {
        self.running = Some(Running { version: installed.version().cloned(), sha256: *installed.sha256() });
        self.unfinished = Some(Unfinished::Confirm);
        Checkpoint::BeforeConfirm.reached();
        self.install.confirm(&mut self.store, Timestamp::now())?;
        Checkpoint::Confirmed.reached();
        driver.confirm();
        self.unfinished = None;
        Ok(())
    }

    /// What a full disk or a panic left undone in the pass before: a release that has proved itself is confirmed, one that
    /// failed is taken back.
    pub(super) fn finish(&mut self, driver: &mut dyn RestartDriver) -> Result<(), PassFailure> {
        match self.unfinished {
            None => return Ok(()),
            Some(Unfinished::Confirm) => {
                self.install.confirm(&mut self.store, Timestamp::now())?;
                driver.confirm();
            }
            Some(Unfinished::RollBack) => {
                self.install.roll_back(&mut self.store)?;
                driver.abort();
            }
        }
        self.unfinished = None;
        Ok(())
    }

    /// The release did not hold, and this is how the way back went. Where that failed, or cannot be recorded, the pass ends
    /// with that, and both are told all the same.
    fn undone(
        &mut self,
        installed: &Installed,
        failure: &HandoffError,
        revision: &Revision,
        back: Result<(), PassFailure>,
    ) -> Result<(), PassFailure> {
        let kept = self.failed_live(installed, failure, revision);
        if let Some(trouble) = back.as_ref().err().or(kept.as_ref().err()).filter(|trouble| !trouble.was_interrupted())
        {
            let told = |event: &str, report: &Reported| {
                let event = Event::new(Timestamp::now(), event).failure(report);
                self.note(&event.version(installed.version()).sha256(Some(*installed.sha256())));
            };
            told("handoff.failed", &Reported::of(failure));
            told("rollback.failed", &Reported::of(trouble));
        }
        kept?;
        back
    }

    /// The release was installed and did not hold: its digest is never run again, if it is to blame.
    fn failed_live(
        &mut self,
        installed: &Installed,
        failure: &HandoffError,
        revision: &Revision,
    ) -> Result<(), PassFailure> {
        if failure.blames_release() {
            self.quarantine(*installed.sha256(), installed.version().cloned(), failure.code(), chain(failure))?;
            self.remember(revision)?;
        }
        Ok(())
    }

    /// A candidate that was received, signed for, and bad, goes into quarantine.
    pub(super) fn not_verified(
        &mut self,
        failure: PassFailure,
        version: Option<Version>,
        revision: &Revision,
    ) -> PassFailure {
        let PassFailure::Verify(refused) = &failure else { return failure };
        let Some(sha256) = refused.sha256() else { return failure };
        let output = refused.output().map(|output| format!("; it printed:\n{}", output.trim_end())).unwrap_or_default();
        let reason = format!("{}{output}", chain(refused));
        let kept = self.quarantine(sha256, version, failure.code(), reason).and_then(|()| self.remember(revision));
        match kept {
            Ok(()) => failure,
            Err(state) => state,
        }
    }

    /// Never runs `sha256` again.
    pub fn quarantine(
        &mut self,
        sha256: Sha256,
        version: Option<Version>,
        code: &str,
        reason: String,
    ) -> Result<(), PassFailure> {
        let at = Timestamp::now();
        // It holds what a bad program wrote: bounded also once it is escaped.
        let reason: String =
            reason.chars().map(|c| if c.is_control() && c != '\n' { '?' } else { c }).take(LONGEST_REASON).collect();
        let event =
            Event::new(at, "release.quarantined").version(version.as_ref()).sha256(Some(sha256)).message(&reason);
        self.store.update(|record| {
            match record.quarantine.iter_mut().find(|known| known.sha256 == sha256) {
                Some(known) => {
                    known.count = known.count.saturating_add(1);
                    (known.at, known.reason, known.code) = (at, reason, code.to_owned());
                }
                None => {
                    let code = code.to_owned();
                    record.quarantine.push(Quarantined { sha256, version, code, reason, at, count: 1 });
                }
            }
            let excess = record.quarantine.len().saturating_sub(MOST_QUARANTINED);
            record.quarantine.drain(..excess);
        })?;
        self.note(&event);
        Ok(())
    }

    /// Writes a line of the history, and tells the hooks. A history that cannot be written stops nothing.
    pub fn note(&self, event: &Event) {
        note(&self.store, event);
        self.hooks.tell(event);
    }

    /// The outcome is final: this revision needs no second look.
    pub(super) fn remember(&mut self, revision: &Revision) -> Result<(), PassFailure> {
        let key = self.wanted.etag_key();
        if self.store.record().etags.get(&key) != Some(revision) {
            self.store.update(|record| {
                // One service has one source: what other settings saw is of no use any more.
                record.etags.clear();
                record.etags.insert(key, revision.clone());
            })?;
        }
        Ok(())
    }

    /// Finds out what runs: from the record, else by asking the binary, as a smoke run would.
    pub fn learn_what_runs(&mut self, started: &Installed) -> Result<(), PassFailure> {
        let running = Running::of(started, &self.verifier, self.install.custody());
        let Running { version, sha256 } = running.clone();
        if self.store.record().confirmed.as_ref().is_none_or(|known| known.sha256 != sha256) {
            let confirmed = Confirmed { version, sha256, at: Timestamp::now() };
            self.store.update(|record| record.confirmed = Some(confirmed))?;
        }
        self.running = Some(running);
        Ok(())
    }
}

pub(super) fn note(store: &Store, event: &Event) {
    if let Err(e) = store.history().append(event) {
        tracing::warn!(event = "history.unwritable", error = chain(&e), "a line of the history was lost");
    }
}

fn discard(verified: Verified) {
    let path = verified.path().to_owned();
    drop(verified);
    // What cannot be removed is swept at the next start.
    let _ = std::fs::remove_file(path);
}

/// Old entries make room: a release that old is below the floor anyway.
const MOST_QUARANTINED: usize = 64;

/// The longest reason that is kept, in characters: the end of a stderr and a sentence.
const LONGEST_REASON: usize = 5000;
