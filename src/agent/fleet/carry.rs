//! One pass of a host: what the machine asks for is carried out until it has nothing more to do for now.

use super::{Fleet, shown};
use crate::agent::line::{Ask, Line};
use crate::agent::outcome::{Outcome, PassFailure};
use crate::agent::wanted::on_hold;
use crate::clock::Timestamp;
use crate::digest::Sha256;
use crate::failure::{Failure as _, Reported, chain};
use crate::fetch::Attend;
use crate::fleet::evidence::Code;
use crate::fleet::host::{Step, Switched};
use crate::fleet::steward::{self, Steward};
use crate::restart::{HandoffError, RestartDriver};
use crate::state::Event;

impl Line {
    /// One pass, for a source that is a fleet's. Ends where the machine sleeps, and after a switch.
    pub(in crate::agent) fn fleet_pass(
        &mut self,
        ask: Ask,
        driver: &mut dyn RestartDriver,
        attend: &mut dyn Attend,
    ) -> Result<Outcome, PassFailure> {
        self.finish(driver)?;
        self.open_fleet()?;
        // Should a panic take it along, the next pass opens it anew from what is on disk.
        let Some(mut fleet) = self.fleet.take() else { return Ok(Outcome::Unchanged) };
        let result = self.drive(&mut fleet, ask, driver, attend);
        self.note_changes(&mut fleet);
        self.fleet = Some(fleet);
        result
    }

    fn drive(
        &mut self,
        fleet: &mut Fleet,
        ask: Ask,
        driver: &mut dyn RestartDriver,
        attend: &mut dyn Attend,
    ) -> Result<Outcome, PassFailure> {
        fleet.heed(self.store.record(), Timestamp::now());
        if ask.afresh || ask.force || ask.restart {
            fleet.host.poll_now();
        }
        loop {
            let step = fleet.host.next(Timestamp::now(), &fleet.member.rollouts);
            fleet.keep(&mut self.store)?;
            match step {
                Step::Ask(request) => {
                    let reply = fleet.ask(request, &mut *self.worker, attend)?;
                    fleet.host.replied(reply, Timestamp::now(), &fleet.member.rollouts);
                }
                Step::Sleep { until } => {
                    fleet.wakes = until;
                    self.count(fleet, attend)?;
                    let version = self.running.as_ref().and_then(|running| running.version.clone());
                    if let Some(held) = on_hold(self.store.record(), Timestamp::now()) {
                        return Ok(Outcome::Held(held.into()));
                    }
                    return Ok(shown::outcome(&fleet.host.shown(), version, fleet.failure.as_ref()));
                }
                Step::Learn { release } => {
                    let learned = self.learn(fleet, &release, attend);
                    let learned = fleet.told(learned)?;
                    fleet.host.learned(learned);
                }
                Step::Prefetch { release } => {
                    let fetched = self.fetch(fleet, &release, attend);
                    let bad = fetched.as_ref().err().filter(|failure| failure.code() == "release.quarantined");
                    match (bad, &fleet.host.memory().begun) {
                        // It was tried, failed, and only the end of that is not known to the machine.
                        (Some(_), Some(begun)) if begun.release == release => {
                            let code = self.quarantined_for(fleet);
                            fleet.host.switched(Switched::RolledBack(code));
                        }
                        _ => {
                            let unfit = fetched.as_ref().err().filter(|failure| failure.condemns());
                            let unfit = unfit.map(|failure| (Code::new(failure.code()), chain(failure)));
                            let fetched = fleet.told(fetched)?;
                            let fetched = fetched.map(|verified| fleet.fetched = Some((release, verified)));
                            fleet.host.prefetched(fetched);
                            if let Some((code, words)) = unfit {
                                fleet.host.remark(&words);
                                fleet.host.unfit(code);
                            }
                        }
                    }
                }
                // A supervisor that was interrupted has used up what it had: no download belongs between the gate and the switch.
                Step::Switch { release, .. } if !fleet.has_fetched(&release) => fleet.host.fetch_again(0),
                Step::Switch { release, attempt } => {
                    return self.switch(fleet, (&release, attempt), ask, driver, attend);
                }
            }
        }
    }

    /// What a steward has to do meanwhile, until the host has something to do itself: one request at least, for a host that
    /// polls every second on a slow machine has something to do again before the steward has begun.
    fn count(&mut self, fleet: &mut Fleet, attend: &mut dyn Attend) -> Result<(), PassFailure> {
        let Some(mut steward) = fleet.steward.take() else { return Ok(()) };
        let counted = self.count_as(&mut steward, fleet, attend);
        fleet.steward = Some(steward);
        counted
    }

    fn count_as(
        &mut self,
        steward: &mut Steward,
        fleet: &mut Fleet,
        attend: &mut dyn Attend,
    ) -> Result<(), PassFailure> {
        let mut turn = steward::Turn::default();
        while turn.goes_on(Timestamp::now(), fleet.wakes) {
            match steward.next(Timestamp::now()) {
                steward::Step::Ask(request) => {
                    let reply = fleet.ask(request, &mut *self.worker, attend)?;
                    steward.replied(reply, Timestamp::now(), &fleet.member.rollouts);
                }
                steward::Step::Sleep { until } => {
                    fleet.wakes = fleet.wakes.min(until);
                    break;
                }
                steward::Step::Done => break,
            }
        }
        Ok(())
    }

    /// Installs, hands off and watches; the machine hears how it ended.
    fn switch(
        &mut self,
        fleet: &mut Fleet,
        (release, attempt): (&str, u16),
        ask: Ask,
        driver: &mut dyn RestartDriver,
        attend: &mut dyn Attend,
    ) -> Result<Outcome, PassFailure> {
        let message = format!("`{release}` is this host's turn now, attempt {attempt}");
        tracing::info!(event = "fleet.switch", release, attempt, "{message}");
        self.note(&Event::new(Timestamp::now(), "fleet.switch").message(message).detail("attempt", u64::from(attempt)));
        let result = self.go_to(fleet, release, ask, driver, attend);
        let end = End::of(&result);
        let interrupted = end == End::Known(Switched::Interrupted);
        if let Err(failure) = &result {
            fleet.host.remark(&chain(failure));
        }
        match end {
            _ if matches!(result, Err(PassFailure::Handoff(HandoffError::Stopping))) => {}
            End::Known(how) => fleet.host.switched(how),
            End::NotNow(code) => fleet.host.postponed(&code),
            End::Unfetched => fleet.host.fetch_again(60),
        }
        fleet.keep(&mut self.store)?;
        fleet.wakes = Timestamp::now();
        if interrupted {
            fleet.host.poll_now();
        }
        result
    }

    /// What runs here did not hold, though it was confirmed, and the release before serves again. Its fleet hears of it.
    pub(in crate::agent) fn tell_fleet(&mut self, sha256: Sha256, code: &str) {
        // Right after a start no pass has opened it yet.
        if let Err(e) = self.open_fleet() {
            tracing::error!(event = "state.unreadable", error = chain(&e), "the fleet cannot be told of it");
        }
        let Some(fleet) = self.fleet.as_deref_mut() else { return };
        // Only what it came to last through the fleet is a matter of the fleet.
        if fleet.came.last().is_none_or(|came| came.sha256 != sha256) {
            return;
        }
        fleet.host.failed_later(Code::new(code));
        if let Err(e) = fleet.keep(&mut self.store) {
            tracing::error!(
                event = "state.unwritable",
                error = chain(&e),
                "the fleet is told of it after the next pass"
            );
        }
        fleet.wakes = Timestamp::now();
    }

    /// Tells the history what it does not know yet: another state of a rollout, something that somebody should look at.
    fn note_changes(&mut self, fleet: &mut Fleet) {
        let shown = fleet.host.shown();
        let alarm = shown.trouble.as_ref().filter(|_| shown.alarm).map(|code| code.as_str().to_owned());
        let now = Timestamp::now();
        if shown.seq != fleet.noted.0 {
            let message = shown::told(&shown);
            tracing::info!(event = "fleet.head", seq = shown.seq, "{message}");
            let rollout = shown.rollout.clone();
            self.note(
                &Event::new(now, "fleet.head").message(message).detail("seq", shown.seq).detail("rollout", rollout),
            );
        }
        if let Some(code) = alarm.as_ref().filter(|code| fleet.noted.1.as_ref() != Some(code)) {
            let report = Reported { code: code.clone(), ..shown::report(&shown, fleet.failure.as_ref()) };
            tracing::error!(event = "fleet.alarm", code, "{}", report.message);
            self.note(&Event::new(now, "fleet.alarm").failure(&report));
        }
        fleet.noted = (shown.seq, alarm);
    }
}

/// How a switch ended, for the machine.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Known(Switched),
    /// The program, or whoever restarts it, does not want it now.
    NotNow(Code),
    /// It could not be fetched: nothing was begun with it.
    Unfetched,
}

impl End {
    /// Only what the release itself has done is held against it: a network that fails, or a manifest that stopped being good a
    /// moment ago, must not count as a bad host and halt everybody.
    fn of(result: &Result<Outcome, PassFailure>) -> End {
        const NOT_NOW: [&str; 2] = ["restart.waits", "install.not_now"];
        match result {
            Ok(Outcome::Held(why)) if NOT_NOW.contains(&why.code.as_str()) => End::NotNow(Code::new(&why.code)),
            Ok(Outcome::Held(why)) => End::Known(Switched::Declined(Code::new(&why.code))),
            Ok(_) => End::Known(Switched::Well),
            Err(failure) if failure.was_interrupted() => End::Known(Switched::Interrupted),
            // What could not be written down is brought to its end by the next pass, and learnt then.
            Err(PassFailure::State(_) | PassFailure::Panicked(_)) => End::Known(Switched::Interrupted),
            Err(PassFailure::Fetch(_)) => End::Unfetched,
            // It was tried before, and failed: only the end of that was not known.
            Err(PassFailure::Refused(why)) if why.code() != "release.quarantined" => {
                End::Known(Switched::Declined(Code::new(why.code())))
            }
            Err(failure) => End::Known(Switched::RolledBack(Code::new(failure.code()))),
        }
    }
}

impl Fleet {
    fn has_fetched(&self, release: &str) -> bool {
        self.fetched.as_ref().is_some_and(|(fetched, _)| fetched == release)
    }

    /// What the machine is told of a failure; `Err`: it is told nothing, and asks for the same again.
    fn told<T>(&mut self, result: Result<T, PassFailure>) -> Result<Result<T, Code>, PassFailure> {
        match result {
            Ok(value) => {
                self.failure = None;
                Ok(Ok(value))
            }
            Err(failure) if failure.was_interrupted() => Err(failure),
            Err(failure @ PassFailure::State(_)) => Err(failure),
            Err(failure) => {
                let report = Reported::of(&failure);
                tracing::debug!(event = "fleet.release", code = report.code, "{}", report.message);
                self.failure = Some(report);
                Ok(Err(Code::new(failure.code())))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Exit;
    use crate::fetch::FetchFailure;
    use crate::trust::Refused;

    #[test]
    fn only_what_a_release_did_is_held_against_it() {
        let refused = |code| Refused::new(code, Exit::Stale, "x");
        let end = |failure: PassFailure| End::of(&Err(failure));
        let network = FetchFailure::SiblingDenied { name: "a".to_owned(), message: "x".to_owned() };
        assert_eq!(end(network.into()), End::Unfetched);
        let declined = |code| End::Known(Switched::Declined(Code::new(code)));
        assert_eq!(end(refused("release.revoked").into()), declined("release.revoked"));
        let bad = End::Known(Switched::RolledBack(Code::new("release.quarantined")));
        assert_eq!(end(refused("release.quarantined").into()), bad);
        assert_eq!(end(FetchFailure::Stopped.into()), End::Known(Switched::Interrupted));
        let held = |code: &'static str| End::of(&Ok(Outcome::Held(refused(code).into())));
        for code in ["restart.waits", "install.not_now"] {
            assert_eq!(held(code), End::NotNow(Code::new(code)));
        }
        assert_eq!(held("fleet.other"), declined("fleet.other"));
    }
}
