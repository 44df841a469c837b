//! What a host does next, by everything it knows: the same question after each answer.

use std::sync::Arc;

use super::memory::Fate;
use super::{Host, Known, Learned, Stage, Switched, Word};
use crate::clock::Timestamp;
use crate::failure::Failure as _;
use crate::fleet::bounds::{EMERGENCY, within};
use crate::fleet::evidence::Code;
use crate::fleet::head::Head;
use crate::fleet::plan::{Phase, Supersede};
use crate::fleet::rule;
use crate::fleet::times::part;

/// By how much a rollout may claim to have begun before a host has last seen the head without it, in seconds.
const BACKDATED: u64 = 900;

/// How long after the moment at which the step before can have passed its hosts begin to look whether it has, in seconds;
/// at most a third of what is left until it opens.
const LOOKS_AFTER: u64 = 90;

/// After a window has opened, hosts come within so many seconds.
const AFTER_OPENING: u64 = 300;

/// So often a switch is started that nobody tells the end of; after that the release counts as bad.
const MOST_STARTS: u8 = 3;

/// What comes next.
pub(super) enum Next {
    /// This.
    Go(Stage),
    /// Nothing, until the time by the earlier clock if there is one.
    Wait(Word, Option<&'static str>, Option<Timestamp>),
    /// Nothing, and somebody should look.
    Alarm(&'static str),
}

impl Host {
    /// Goes to what comes next.
    pub(super) fn decide(&mut self) {
        let Some(head) = self.plan() else { return self.rest(Word::Starting, None) };
        match self.judge(&head) {
            Next::Go(stage) => {
                let switches = stage == Stage::Switch;
                self.word = if switches { Word::Switching } else { Word::Preparing };
                self.code = None;
                self.stage = stage;
            }
            Next::Wait(word, code, until) => {
                if word == Word::Held || word == Word::Halted || word == Word::UpToDate {
                    self.give_back();
                }
                self.rest(word, code);
                self.event_at = until.map(|at| self.local(at));
            }
            Next::Alarm(code) => {
                self.give_back();
                self.alarm(code);
            }
        }
    }

    /// The plan as it holds for this host. It cannot have begun before the host last saw the head without it: whoever
    /// has the online key alone does not make a schedule pass by dating it back (`a_rollout_cannot_be_dated_back`).
    pub(super) fn plan(&self) -> Option<Arc<Head>> {
        let head = self.head.clone()?;
        let before = self.memory.before.map(|at| at.min(self.seen));
        match before {
            Some(before) if before.0 > head.t0.0.saturating_add(BACKDATED) => {
                Some(Arc::new(Head { t0: before, ..(*head).clone() }))
            }
            _ => Some(head),
        }
    }

    fn judge(&mut self, head: &Head) -> Next {
        self.near = false;
        if self.clock().later() >= head.valid_until {
            return Next::Alarm("head.expired");
        }
        if let Some(next) = self.unfinished(head) {
            return next;
        }
        let Some(target) = self.target() else { return Next::Wait(Word::Held, Some("fleet.pinned"), None) };
        let Some(known) = self.known.as_deref().filter(|known| known.release == target) else {
            return Next::Go(Stage::Learn);
        };
        let learned = match &known.what {
            Ok(learned) => learned,
            Err(_) => return Next::Wait(Word::Held, Some("fleet.release_unknown"), None),
        };
        if learned.runs {
            return Next::Wait(Word::UpToDate, None, self.has_it_already(head));
        }
        if self.memory.denied.iter().any(|denied| denied.release == target && denied.attempt >= head.attempt) {
            return Next::Wait(Word::Held, Some("fleet.denied"), None);
        }
        if let Err(code) = allowed(head, learned) {
            return Next::Alarm(code);
        }
        // What the plan is based on is no matter of a host that has a release of its own.
        if !learned.from_ok || (self.pinned.is_none() && !is_based(head, learned)) {
            return Next::Wait(Word::Held, Some("fleet.wrong_base"), None);
        }
        match head.state {
            Phase::Running | Phase::Done => {}
            Phase::Paused => return Next::Wait(Word::Held, Some("fleet.paused"), None),
            Phase::Halted => return Next::Wait(Word::Halted, Some("fleet.halted"), None),
            Phase::Aborted => return Next::Wait(Word::Held, Some("fleet.aborted"), None),
        }
        self.time(head)
    }

    /// A switch that was begun and whose end nobody has told.
    fn unfinished(&mut self, head: &Head) -> Option<Next> {
        let begun = self.memory.begun.as_deref()?;
        if begun.rollout != head.rollout && head.supersede == Supersede::Jump {
            self.memory.begun = None;
            self.changed = true;
            self.give_back();
            return None;
        }
        let known = self.known.as_deref().filter(|known| known.release == begun.release);
        let runs = known.map(|known| known.what.as_ref().map(|learned| learned.runs));
        match runs {
            Some(Ok(true)) => {
                self.finish(Switched::Well);
                None
            }
            // Each time nobody was left to tell the end: it is the release that kills the supervisor or the machine.
            Some(Ok(false)) if begun.starts >= MOST_STARTS && !self.fresh.begun => {
                self.finish(Switched::RolledBack(Code::new("fleet.interrupted")));
                None
            }
            // The gate comes once more, and the switch after it.
            _ if begun.rollout == head.rollout => None,
            None => Some(Next::Go(Stage::Learn)),
            Some(Ok(false)) => {
                self.finish(Switched::RolledBack(Code::new("fleet.interrupted")));
                None
            }
            Some(Err(_)) => Some(Next::Wait(Word::Held, Some("fleet.unfinished"), None)),
        }
    }

    /// The release to be learned of: what it was in the middle of, where that comes first, and otherwise its target.
    pub(super) fn wanted(&self) -> Option<&str> {
        let head = self.head.as_ref()?;
        let unfinished = self.memory.begun.as_deref().filter(|begun| begun.rollout != head.rollout);
        unfinished.map(|begun| begun.release.as_str()).or_else(|| self.target())
    }

    /// Whether the host's turn has come.
    fn time(&mut self, head: &Head) -> Next {
        let Some(turn) = self.turn else { return Next::Wait(Word::Held, Some("fleet.no_place"), None) };
        let now = self.clock().earlier();
        let (place, done) = (turn.place, head.state == Phase::Done);
        let (ring, step) = (usize::from(place.ring), usize::from(place.step));
        let after = |at: Timestamp| Timestamp(at.0.saturating_add(part(turn.within, head.steps_of(ring)[step].ramp_s)));
        let floor = after(rule::floor(head, ring, step));
        self.near = now.0.saturating_add(head.poll_s.idle) >= floor.0;
        self.earliest = Some(floor);
        // Once it is fetched, nothing is done before the time itself.
        let lead = if self.fetched { 0 } else { part(self.lot(0xFE7C4), self.me.prefetch_s) };
        let fetch_at = |at: Timestamp| Timestamp(at.0.saturating_sub(lead));
        if now < fetch_at(floor) {
            return Next::Wait(Word::Waiting, None, Some(fetch_at(floor)));
        }
        let first = rule::before(head, place).is_none();
        let opens = rule::floor(head, ring, step);
        let passes = Timestamp(opens.0.saturating_sub(rule::pause(head, place)));
        let looks = passes.0.saturating_add(LOOKS_AFTER.min(opens.since(passes).as_secs() / 3));
        // Before that the stewards cannot know. Who comes early in the step looks first; who has time looks later, and once.
        let look = Timestamp(looks.saturating_add(floor.since(opens).as_secs() / 2));
        if !first && !done && now < look && now < floor {
            return Next::Wait(Word::Waiting, None, Some(look.min(floor)));
        }
        if !first && !done && !self.fresh.rollup {
            return self.anew(Stage::Rollup);
        }
        let starts = if done { Some(floor) } else { rule::starts(head, self.rollup.as_deref(), turn) };
        let Some(starts) = starts else { return Next::Wait(Word::WaitsForStep, None, None) };
        self.earliest = Some(starts);
        if now < fetch_at(starts) {
            return Next::Wait(Word::Waiting, None, Some(fetch_at(starts)));
        }
        if !self.fetched {
            return Next::Go(Stage::Prefetch);
        }
        for clock in [now, self.clock().later()] {
            if let Err(opens) = rule::window(&head.windows, &self.me.labels, clock) {
                let opens = Timestamp(opens.0.saturating_add(part(self.lot(0x71DE), AFTER_OPENING)));
                return Next::Wait(Word::WaitsForWindow, None, Some(opens));
            }
        }
        self.gate(head, place)
    }

    /// `stage`, if the head was read a moment ago; the head otherwise.
    pub(super) fn anew(&mut self, stage: Stage) -> Next {
        if self.is_fresh() {
            return Next::Go(stage);
        }
        self.fresh = super::Fresh::default();
        Next::Go(Stage::Head)
    }

    pub(super) fn after_learning(&mut self, learned: Result<Learned, Code>) {
        let Some(release) = self.wanted().map(str::to_owned) else { return self.rest(Word::Held, None) };
        let failed = learned.as_ref().err().cloned();
        self.known = Some(Box::new(Known { release, what: learned }));
        self.decide();
        if failed.is_some() {
            self.trouble = failed;
        }
    }

    pub(super) fn after_fetching(&mut self, done: Result<(), Code>) {
        match done {
            Ok(()) => {
                self.fetched = true;
                // It took its time: everything is read again.
                self.fresh = super::Fresh::default();
                self.decide();
            }
            Err(code) => {
                self.rest(Word::Preparing, Some(code.as_str()));
                self.trouble = Some(code);
            }
        }
    }

    pub(super) fn after_switching(&mut self, how: Switched) {
        if self.memory.begun.is_none() {
            return;
        }
        self.pause();
        // Until it looks again, nobody must read that it switches.
        (self.word, self.code) = match &how {
            Switched::Well => (Word::UpToDate, None),
            Switched::RolledBack(_) | Switched::Declined(_) => (Word::Held, Some(Code::new("fleet.denied"))),
            Switched::Interrupted => (Word::Preparing, None),
        };
        self.finish(how);
        self.near = true;
        self.poll_at = self.in_up_to(60);
    }

    /// A slot that was taken and is not needed.
    pub(super) fn give_back(&mut self) {
        let switching = self.memory.begun.is_some();
        let other = |rollout: &str| self.head.as_ref().is_some_and(|head| head.rollout != rollout);
        if let Some(held) = &mut self.memory.held
            && (held.fate == Fate::Used && !switching
                || matches!(held.fate, Fate::Keep | Fate::Kept) && other(&held.rollout))
        {
            held.fate = Fate::Free;
            self.changed = true;
        }
    }

    /// When the earlier of its clocks says `at`, by its own.
    fn local(&self, at: Timestamp) -> Timestamp {
        let behind = self.ahead.filter(|ahead| *ahead < 0).map_or(0, i64::unsigned_abs);
        Timestamp(at.0.saturating_add(behind))
    }
}

/// Whether the offline keys let this plan bring the release here.
fn allowed(head: &Head, learned: &Learned) -> Result<(), &'static str> {
    let back = learned.running.as_ref().filter(|running| running.version > learned.version);
    let bounds = match (back, &learned.bounds) {
        (Some(running), _) if running.rollback_to.contains(&learned.version) => &EMERGENCY,
        (Some(_), _) => return Err("fleet.no_way_back"),
        (None, Some(bounds)) => bounds,
        (None, None) => return Err("fleet.no_bounds"),
    };
    within(head, bounds).map_err(|refused| refused.code())
}

/// Whether what the host runs is one of the releases that the plan is for.
fn is_based(head: &Head, learned: &Learned) -> bool {
    let named = |base: &String| {
        let Some(running) = &learned.running else { return false };
        running.release.as_ref() == Some(base) || *base == running.version.to_string()
    };
    head.base.is_empty() || head.base.iter().any(named)
}
