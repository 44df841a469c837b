//! A round: the head, the post, the roll-up that is there, the evidence, the new roll-up.

use std::sync::Arc;

use super::count::{Shard, Timestamp0, roll_up};
use super::{CLOSED, LOOKS, OPEN, Stage, Step, Steward};
use crate::clock::Timestamp;
use crate::failure::Failure as _;
use crate::fleet::Clock;
use crate::fleet::evidence::{Code, Place};
use crate::fleet::head::{self, Head};
use crate::fleet::host::Documents;
use crate::fleet::host::nonsense;
use crate::fleet::latch::{Latch, Maker};
use crate::fleet::plan::Phase;
use crate::fleet::rollup::{self, Rollup};
use crate::fleet::rule::{self, Halt};
use crate::fleet::store::{Request, Trouble, What};
use crate::fleet::times::part;

/// So often somebody else may be faster before a round is given up.
const MOST_CONFLICTS: u8 = 5;

/// Until so many hosts have started, every shard is read in every round.
const FEW: u64 = 2000;

/// Between two rounds there is less, in seconds, also while no step is open.
const LONGEST_GAP: u64 = CLOSED + 2 * OPEN;

/// The longest time between two tries while the store does not answer, in seconds: shorter than what the gate allows.
const LONGEST_BACKOFF: u64 = 300;

impl Steward {
    pub(super) fn turn_clock(&mut self, now: Timestamp) {
        let back = self.seen.0.saturating_sub(now.0);
        if back > 0 {
            self.wake = Timestamp(self.wake.0.saturating_sub(back));
            self.ahead = self.ahead.map(|ahead| ahead.saturating_add_unsigned(back));
            for shard in &mut self.shards {
                shard.due = Timestamp0(now);
            }
        }
        self.seen = now;
    }

    pub(super) fn step(&mut self) -> Step {
        loop {
            if self.stage == Stage::Rest {
                if self.once && self.done {
                    return Step::Done;
                }
                if self.seen < self.wake {
                    return Step::Sleep { until: self.wake };
                }
                (self.tries, self.conflicts) = (0, 0);
                self.stage = Stage::Head;
            }
            if let Some(request) = self.request() {
                self.asked = true;
                return Step::Ask(request);
            }
            self.rest(Timestamp(self.seen.0.saturating_add(OPEN)));
        }
    }

    fn request(&mut self) -> Option<Request> {
        Some(match self.stage {
            Stage::Rest => return None,
            Stage::Head => {
                let unless = self.head.as_ref().and(self.tag.clone());
                Request::Get { key: self.names.head(), unless, limit: head::MAX_FILE as u64 }
            }
            Stage::Look(number) => self.look(number),
            Stage::Take(number) => self.taking(number)?,
            Stage::Rollup => {
                let key = self.names.rollup(&self.head.as_ref()?.rollout);
                let unless = self.rollup.as_ref().and(self.rollup_tag.clone());
                Request::Get { key, unless, limit: rollup::MAX_FILE as u64 }
            }
            Stage::List(number) => {
                let began = self.clock().store();
                let head = self.head.as_ref()?;
                let shard = self.shards.get_mut(number)?;
                if shard.after.is_none() {
                    shard.began = Timestamp0(began);
                }
                let name = head.shards.name(u16::try_from(number).ok()?);
                Request::Evidence { rollout: head.rollout.clone(), shard: name, after: shard.after.clone() }
            }
            Stage::Write => {
                let key = self.names.rollup(&self.head.as_ref()?.rollout);
                let body = serde_json::to_vec(self.written.as_deref()?).ok()?;
                match self.rollup_tag.clone() {
                    None => Request::Create { key, body },
                    Some(tag) => Request::Replace { key, body, tag },
                }
            }
            Stage::Halt(halt) => Request::Create { key: self.latch()?, body: self.latch_body(halt)? },
        })
    }

    pub(super) fn take(&mut self, what: What, documents: &dyn Documents) {
        match self.stage {
            Stage::Rest => {}
            Stage::Head => self.take_head(what, documents),
            Stage::Look(number) => self.take_look(number, what),
            Stage::Take(number) => self.take_post(number, what),
            Stage::Rollup => self.take_rollup(what, documents),
            Stage::List(number) => self.take_page(number, what),
            Stage::Write => self.take_written(what),
            Stage::Halt(_) => self.take_halt(what),
        }
    }

    fn take_head(&mut self, what: What, documents: &dyn Documents) {
        match what {
            What::Object { body, tag } => match documents.open(&body) {
                Ok(head) if head.seq < self.seq => return self.closed(Some("head.rollback")),
                Ok(head) => {
                    self.adopt(head);
                    self.tag = Some(tag);
                }
                Err(refused) => return self.closed(Some(refused.code())),
            },
            What::Unchanged if self.head.is_some() && self.tag.is_some() => {}
            What::Absent => return self.closed(Some("head.absent")),
            What::Failed(trouble) => return self.failed(&trouble),
            _ => return self.nonsense(),
        }
        (self.failures, self.trouble) = (0, None);
        if !self.once && (!self.counts() || self.is_idle()) {
            return self.closed(None);
        }
        self.stage = self.campaign().unwrap_or(Stage::Rollup);
    }

    fn adopt(&mut self, head: Arc<Head>) {
        let same = self.head.as_ref().is_some_and(|mine| mine.rollout == head.rollout && mine.shards == head.shards);
        if !same {
            self.shards = (0..head.shards.count()).map(|_| Shard::default()).collect();
            (self.rollup, self.rollup_tag, self.written) = (None, None, None);
        }
        if self.head.as_ref().is_none_or(|mine| mine.seq != head.seq) {
            self.latched = false;
        }
        self.seq = head.seq;
        self.head = Some(head);
    }

    /// Whether there is anything to count.
    fn counts(&self) -> bool {
        let state = self.head.as_deref().map(|head| head.state);
        matches!(state, Some(Phase::Running | Phase::Paused | Phase::Halted))
    }

    /// Whether nothing is to be read now, of a rollout that goes on to nobody.
    fn is_idle(&self) -> bool {
        let read = |shard: &Shard| shard.read.is_some() && shard.due.0 > self.seen;
        !self.is_open() && !self.shards.is_empty() && self.shards.iter().all(read)
    }

    /// When the step that is open can pass, by the store's clock: then every shard is read anew, and all hosts of the next
    /// step that look a moment later find it open.
    fn bakes_until(&self) -> Option<Timestamp> {
        let (head, rollup) = (self.head.as_deref()?, self.rollup.as_deref()?);
        let passed = |place: &Place| rollup.step(*place).is_some_and(|count| count.passed_at.is_some());
        let place = rule::places(head).find(|place| !passed(place))?;
        let step = &head.steps_of(usize::from(place.ring))[usize::from(place.step)];
        let opened = rule::opens(head, Some(rollup), place)?;
        Some(Timestamp(opened.0.saturating_add(step.ramp_s).saturating_add(step.bake_s)))
    }

    /// Whether hosts may be starting of which none has been seen: the time in which a bad release is found, and in which
    /// each minute costs hosts. Then no shard is quiet enough to be left out of a round.
    fn is_early(&self) -> bool {
        let Some(head) = self.head.as_deref() else { return false };
        let started = self.rollup.as_deref().map_or(0, |rollup| rollup.total().started);
        started < FEW && rule::floor(head, 0, 0) <= self.clock().later()
    }

    /// How long a round is while a step is open, in seconds: hosts that look more often are not kept waiting.
    fn round(&self) -> u64 {
        self.head.as_deref().map_or(OPEN, |head| head.poll_s.open.clamp(1, OPEN))
    }

    /// Whether anything can change soon: somebody may start, or has not said yet how it went.
    pub(super) fn is_open(&self) -> bool {
        let Some(head) = self.head.as_deref() else { return false };
        let over = || {
            let last = rule::places(head).last();
            let passed = last.and_then(|place| self.rollup.as_ref()?.step(place)?.passed_at);
            // Latecomers are counted at leisure.
            passed.is_some_and(|at| self.clock().store().0 > at.0.saturating_add(head.gate.deadline_s))
        };
        head.state == Phase::Running && self.clock().later() < head.valid_until && !over()
    }

    fn closed(&mut self, code: Option<&str>) {
        self.trouble = code.map(Code::new);
        self.rest(Timestamp(self.seen.0.saturating_add(LOOKS)));
    }

    fn take_rollup(&mut self, what: What, documents: &dyn Documents) {
        match what {
            What::Object { body, tag } => {
                // One that cannot be read is replaced, as any other is.
                self.rollup = documents.rollup(&body).ok();
                self.rollup_tag = Some(tag);
            }
            What::Unchanged if self.rollup.is_some() && self.rollup_tag.is_some() => {}
            What::Absent => (self.rollup, self.rollup_tag) = (None, None),
            What::Failed(trouble) => return self.failed(&trouble),
            _ => return self.nonsense(),
        }
        self.notice_gap();
        if self.others_count() {
            return self.rest(Timestamp(self.seen.0.saturating_add(self.round())));
        }
        self.list_next();
    }

    /// Where nobody has counted for long, the store was away, or every steward: hosts could not say how it went, or nobody
    /// knows. The deadline of those that are silent begins anew.
    fn notice_gap(&mut self) {
        let now = self.clock().store();
        // What this steward has counted itself counts as well: somebody who puts an old roll-up back from time to time
        // would otherwise put off every deadline (`an_old_roll_up_that_comes_back_puts_off_no_deadline`).
        let gap = self.rollup.as_ref().is_some_and(|known| {
            let last = known.as_of.max(self.counted);
            last.0.saturating_add(LONGEST_GAP) < now.0
        });
        if gap {
            self.heard = now;
        }
    }

    /// Whether another steward has just counted, under the state that is current.
    fn others_count(&self) -> bool {
        let (Some(rollup), Some(head)) = (&self.rollup, &self.head) else { return false };
        let mine = self.written.as_ref().is_some_and(|mine| mine.nonce == rollup.nonce);
        let (now, as_of) = (self.clock().store().0, rollup.as_of.0);
        let fresh = as_of.saturating_add(self.round() * 5) > now && as_of <= now.saturating_add(Clock::TOLERATED);
        // Where several count, each takes its turn: whoever wrote last goes on, the others stand by.
        !self.once && !mine && fresh && is_of(rollup, head)
    }

    /// The next shard whose time has come, or the roll-up if there is none.
    fn list_next(&mut self) {
        let (seen, once) = (self.seen, self.once);
        let baked = self.bakes_until().filter(|at| *at <= self.clock().earlier());
        let due = |shard: &Shard| {
            shard.read.is_none_or(|read| !once && (shard.due.0 <= seen || baked.is_some_and(|baked| read < baked)))
        };
        match self.shards.iter().position(due) {
            Some(number) => self.stage = Stage::List(number),
            None => self.write(),
        }
    }

    fn take_page(&mut self, number: usize, what: What) {
        let (seen, early) = (self.seen, self.is_early());
        let pause = if self.is_open() { Some(self.round()) } else { None };
        let Some(shard) = self.shards.get_mut(number) else { return self.nonsense() };
        match what {
            What::Evidence { found, next } => {
                let Some(last) = shard.page(&found, next) else { return self.nonsense() };
                if last {
                    shard.is_read(seen, pause, early);
                    self.list_next();
                }
            }
            What::Failed(trouble) => {
                shard.drop_reading();
                self.failed(&trouble);
            }
            _ => {
                shard.drop_reading();
                self.nonsense();
            }
        }
    }

    /// Puts together what was read, and writes it where it is newer than what is there.
    fn write(&mut self) {
        let Some(head) = self.head.clone() else { return self.closed(None) };
        let now = self.clock().store();
        let known = self.rollup.clone().filter(|known| is_of(known, &head));
        let nonce = self.nonce("rollup");
        let Some(rollup) = roll_up(&head, &mut self.shards, known.as_deref(), now, self.heard, nonce) else {
            return self.closed(None);
        };
        let newer = known.as_ref().filter(|known| {
            let possible = known.as_of.0 <= now.0.saturating_add(Clock::TOLERATED);
            known.as_of > rollup.as_of && possible && known.attempt >= head.attempt
        });
        if newer.is_some() && !self.once {
            return self.after_writing();
        }
        self.written = Some(Arc::new(rollup));
        self.stage = Stage::Write;
    }

    fn take_written(&mut self, what: What) {
        match what {
            What::Written(tag) => {
                self.counted = self.written.as_ref().map_or(self.counted, |written| written.as_of.max(self.counted));
                self.rollup = self.written.clone();
                // Without its tag it is read again before it is replaced.
                if tag.is_none() {
                    self.rollup = None;
                }
                self.rollup_tag = tag;
                self.after_writing();
            }
            What::Conflict | What::Absent => {
                self.conflicts += 1;
                (self.rollup, self.rollup_tag) = (None, None);
                if self.conflicts > MOST_CONFLICTS {
                    return self.rest(Timestamp(self.seen.0.saturating_add(self.round())));
                }
                self.stage = Stage::Rollup;
            }
            What::Failed(trouble) => self.failed(&trouble),
            _ => self.nonsense(),
        }
    }

    fn after_writing(&mut self) {
        let halt = match (self.head.as_deref(), self.written.as_deref().or(self.rollup.as_deref())) {
            (Some(head), Some(rollup)) if head.state == Phase::Running => rule::halts(head, rollup),
            _ => None,
        };
        if let Some(halt) = halt.filter(|_| !self.latched) {
            self.stage = Stage::Halt(halt);
            return;
        }
        self.end_round();
    }

    fn latch(&self) -> Option<String> {
        let head = self.head.as_ref()?;
        Some(self.names.latch(&head.rollout, head.ack.as_ref().map_or(0, |ack| ack.latches)))
    }

    fn latch_body(&mut self, why: Halt) -> Option<Vec<u8>> {
        let (head, rollup) = (self.head.clone()?, self.written.clone().or(self.rollup.clone())?);
        let maker = Maker { by: self.id.to_string(), at: self.clock().store(), nonce: self.nonce("latch") };
        Latch::body(&head, &rollup, why, maker)
    }

    fn take_halt(&mut self, what: What) {
        match what {
            What::Written(_) | What::Conflict => {
                self.latched = true;
                self.end_round();
            }
            What::Failed(trouble) => self.failed(&trouble),
            _ => self.nonsense(),
        }
    }

    fn end_round(&mut self) {
        self.done = true;
        let pause = if self.is_open() { self.round() } else { LOOKS };
        // A step that can pass before that is looked at when it can.
        let store = self.clock().store();
        let bakes = self.bakes_until().filter(|at| *at > store).map_or(pause, |at| at.since(store).as_secs() + 1);
        self.rest(Timestamp(self.seen.0.saturating_add(pause.min(bakes))));
    }

    pub(super) fn rest(&mut self, until: Timestamp) {
        self.stage = Stage::Rest;
        self.looked = None;
        self.wake = until;
        self.done |= self.once;
    }

    pub(super) fn failed(&mut self, trouble: &Trouble) {
        self.failures = self.failures.saturating_add(1);
        let limit = 10_u64.saturating_mul(1 << self.failures.min(16)).min(LONGEST_BACKOFF);
        let told = trouble.retry_after_s.unwrap_or(0).min(86_400);
        let until = Timestamp(self.in_up_to(limit).0.saturating_add(told.max(1)));
        self.rest(until);
        self.trouble = Some(Code::new(&trouble.code));
    }

    pub(super) fn nonsense(&mut self) {
        self.failed(&nonsense());
    }

    pub(super) fn in_up_to(&mut self, seconds: u64) -> Timestamp {
        let wait = part(self.chance(), seconds);
        Timestamp(self.seen.0.saturating_add(wait))
    }

    /// A number from 0 to below 1, another each time, the same in each run of a simulation.
    pub(super) fn chance(&mut self) -> f64 {
        self.count = self.count.wrapping_add(1);
        self.id.chance(&format!("steward\0{}\0{}", self.boot, self.count))
    }
}

/// Whether `rollup` is one of this rollout, in the shape of its plan.
fn is_of(rollup: &Rollup, head: &Head) -> bool {
    let shape = rollup.rings.iter().map(Vec::len).eq((0..head.rings.len()).map(|ring| head.steps_of(ring).len()));
    rollup.rollout == head.rollout && shape
}
