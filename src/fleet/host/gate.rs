//! The gate: what is read again right before a switch, and what must be true of it.

use serde::Serialize;

use super::decide::Next;
use super::memory::{Begun, Words};
use super::{Documents, Host, Stage, Word};
use crate::clock::Timestamp;
use crate::failure::Failure as _;
use crate::fleet::evidence::{Place, Report, State};
use crate::fleet::head::Head;
use crate::fleet::latch::{Latch, Maker};
use crate::fleet::lease::nonce;
use crate::fleet::plan::Phase;
use crate::fleet::rollup::Shard;
use crate::fleet::rule::{self, Halt};
use crate::fleet::store::{Request, What};
use crate::fleet::tally::Tally;

/// How old what was read for a switch may be, in seconds.
pub(super) const LONGEST_CHAIN: u64 = 120;

/// How old a roll-up may be, in seconds. No news is no progress.
pub const OLDEST_ROLLUP: u64 = 600;

/// Evidence that came so shortly before a shard was read may be missing, in seconds: clocks and answers take their time.
const AUDIT_SLACK: u64 = 5;

/// The share of hosts that look at the evidence themselves before they start.
pub const AUDITED: f64 = 0.1;

impl Host {
    /// What is still to be read or done before the switch.
    pub(super) fn gate(&mut self, head: &Head, place: Place) -> Next {
        if !self.is_fresh() || !self.fresh.rollup {
            return self.anew(Stage::Rollup);
        }
        // In the first minutes nobody can have counted. After that a step goes on only while somebody does, the first as well.
        let begins =
            rule::before(head, place).is_none() && self.clock().earlier().0 <= head.t0.0.saturating_add(OLDEST_ROLLUP);
        let needed = !begins && head.state == Phase::Running;
        match self.read_rollup(head, place, needed) {
            Ok(()) => self.fresh.consistent = needed,
            // A look at the latch costs a tenth of an attempt to make it, and after a halt every host comes by here.
            Err(Next::Go(Stage::Halt(_))) if !self.fresh.latch => return Next::Go(Stage::Latch),
            Err(next) => return next,
        }
        if !self.fresh.audited && self.rollup.is_some() && self.audits(head) {
            return Next::Go(Stage::Audit);
        }
        if !self.fresh.latch {
            return Next::Go(Stage::Latch);
        }
        if let Some(next) = self.slot(head) {
            return next;
        }
        if !self.fresh.evidence {
            return Next::Go(Stage::Evidence);
        }
        Next::Go(Stage::Switch)
    }

    /// Whether the roll-up lets the host start. It is a claim of somebody: it can hold a host, and what it says for one
    /// counts only where the signed schedule agrees ([`rule::opens`]).
    fn read_rollup(&self, head: &Head, place: Place, needed: bool) -> Result<(), Next> {
        let wait = |code| Err(Next::Wait(Word::WaitsForStep, Some(code), None));
        let Some(rollup) = self.rollup.as_deref() else {
            return if needed { wait("rollup.absent") } else { Ok(()) };
        };
        let shape = rollup.rings.iter().map(Vec::len).eq((0..head.rings.len()).map(|ring| head.steps_of(ring).len()));
        if rollup.rollout != head.rollout || !shape || rollup.attempt != head.attempt {
            return if needed { wait("rollup.behind") } else { Ok(()) };
        }
        if let Some(halt) = rule::halts(head, rollup) {
            return Err(Next::Go(Stage::Halt(halt)));
        }
        if !needed {
            return Ok(());
        }
        let now = self.clock().store();
        if rollup.as_of.0.saturating_add(OLDEST_ROLLUP) < now.0 {
            return wait("rollup.stale");
        }
        if rollup.as_of.0 > now.0.saturating_add(crate::fleet::Clock::TOLERATED) {
            return wait("rollup.of_the_future");
        }
        // The same answer for every look at the same roll-up, and the only one of these questions that is not answered at once.
        if !self.fresh.consistent && !rollup.is_consistent(head.shards) {
            return wait("rollup.inconsistent");
        }
        let passed = |before: Place| {
            head.promoted.is_some_and(|promoted| promoted > before)
                || rollup.step(before).is_some_and(|count| count.passed_at.is_some())
        };
        let all = rule::places(head).take_while(|before| *before < place).all(passed);
        if all { Ok(()) } else { Err(Next::Wait(Word::WaitsForStep, None, None)) }
    }

    pub(super) fn take_rollup(&mut self, what: What, documents: &dyn Documents) {
        match what {
            What::Object { body, tag } => match documents.rollup(&body) {
                Ok(rollup) => (self.rollup, self.rollup_tag) = (Some(rollup), Some(tag)),
                Err(refused) => return self.alarm(refused.code()),
            },
            What::Unchanged if self.rollup.is_some() && self.rollup_tag.is_some() => {}
            What::Absent => (self.rollup, self.rollup_tag) = (None, None),
            What::Failed(trouble) => return self.failed(&trouble),
            _ => return self.nonsense(),
        }
        (self.fresh.rollup, self.fresh.consistent) = (true, false);
        self.decide();
    }

    /// The key of the latch that would stop this state.
    pub(super) fn latch(&self) -> Option<String> {
        let head = self.head.as_ref()?;
        Some(self.me.names.latch(&head.rollout, head.ack.as_ref().map_or(0, |ack| ack.latches)))
    }

    pub(super) fn take_latch(&mut self, what: What) {
        match what {
            What::Absent => {
                self.fresh.latch = true;
                self.decide();
            }
            What::Unchanged | What::Object { .. } => self.halted(),
            What::Failed(trouble) => self.failed(&trouble),
            _ => self.nonsense(),
        }
    }

    fn halted(&mut self) {
        self.give_back();
        self.rest(Word::Halted, Some("fleet.halted"));
    }

    pub(super) fn latch_body(&mut self, why: Halt) -> Option<Vec<u8>> {
        let (head, rollup) = (self.head.clone()?, self.rollup.clone()?);
        let maker = Maker { by: self.me.id.to_string(), at: self.clock().store(), nonce: self.nonce("latch") };
        Latch::body(&head, &rollup, why, maker)
    }

    pub(super) fn take_halt(&mut self, what: What) {
        match what {
            // Somebody else was first: just as well.
            What::Written(_) | What::Conflict => self.halted(),
            What::Failed(trouble) => self.failed(&trouble),
            _ => self.nonsense(),
        }
    }

    /// Whether this host is one of those that look themselves.
    fn audits(&self, head: &Head) -> bool {
        self.me.id.chance(&format!("audit\0{}", head.rollout)) < AUDITED
    }

    /// A shard, another from host to host and from time to time.
    fn audited_shard(&self, head: &Head) -> String {
        let count = head.shards.count();
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below the number of shards")]
        let number = (self.lot(self.fresh.head.map_or(0, |at| at.0)) * f64::from(count)) as u16;
        head.shards.name(number.min(count - 1))
    }

    pub(super) fn audit(&self) -> Option<Request> {
        let head = self.head.as_ref()?;
        Some(Request::Evidence { rollout: head.rollout.clone(), shard: self.audited_shard(head), after: None })
    }

    pub(super) fn take_audit(&mut self, what: What) {
        let (found, next) = match what {
            What::Evidence { found, next } => (found, next),
            What::Failed(trouble) => return self.failed(&trouble),
            _ => return self.nonsense(),
        };
        let (Some(head), Some(rollup)) = (self.head.clone(), self.rollup.clone()) else { return self.nonsense() };
        let claimed = rollup.shards.get(&self.audited_shard(&head));
        let mut listed = Tally::default();
        for evidence in &found {
            listed.add(evidence);
        }
        if agrees(&head, claimed, &listed, next.is_none()) {
            self.fresh.audited = true;
            self.decide();
        } else {
            self.give_back();
            self.alarm("rollup.contradicted");
        }
    }

    /// The evidence that comes before the switch.
    pub(super) fn evidence(&mut self) -> Option<Request> {
        let (head, turn) = (self.head.clone()?, self.turn?);
        let report = Report { attempt: head.attempt, state: State::Started(turn.place) };
        Some(Request::Report {
            rollout: head.rollout.clone(),
            shard: self.me.id.shard(head.shards),
            host: self.me.id,
            report,
            body: self.body(self.seen, None),
        })
    }

    pub(super) fn take_evidence(&mut self, what: What) {
        match what {
            What::Written(_) | What::Conflict => {}
            What::Failed(trouble) => return self.failed(&trouble),
            _ => return self.nonsense(),
        }
        let (Some(head), Some(turn), Some(release)) = (self.head.clone(), self.turn, self.target().map(str::to_owned))
        else {
            return self.nonsense();
        };
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 1000")]
        let ok_sample = (head.ok_sample * 1000.0).round() as u16;
        let same =
            |begun: &&Begun| begun.rollout == head.rollout && begun.release == release && begun.attempt == head.attempt;
        let starts = self.memory.begun.as_deref().filter(same).map_or(0, |begun| begun.starts);
        self.memory.begun = Some(Box::new(Begun {
            rollout: head.rollout.clone(),
            release,
            attempt: head.attempt,
            place: turn.place,
            shards: head.shards,
            ok_sample,
            hold_on_failure: head.lease.as_ref().is_some_and(|lease| lease.hold_on_failure),
            starts,
        }));
        self.changed = true;
        self.fresh.evidence = true;
        self.decide();
    }

    /// More about a piece of evidence, for people: at most 1 KiB. A host without a boot (one of a simulation) has no more to say.
    pub(super) fn body(&self, at: Timestamp, words: Option<&Words>) -> Vec<u8> {
        #[derive(Serialize)]
        struct Body<'a> {
            at: Timestamp,
            ahead_s: Option<i64>,
            boot: &'a str,
            from: Option<String>,
            to: Option<String>,
            lease_seq: Option<u64>,
            #[serde(skip_serializing_if = "Option::is_none")]
            name: Option<&'a str>,
            #[serde(flatten)]
            words: Option<&'a Words>,
        }
        if self.me.boot.is_empty() {
            return Vec::new();
        }
        let learned = self.known.as_ref().and_then(|known| known.what.as_ref().ok());
        let body = Body {
            at,
            ahead_s: self.ahead,
            boot: self.me.boot.get(..64).unwrap_or(&self.me.boot),
            from: learned.and_then(|learned| learned.running.as_ref()).map(|running| running.version.to_string()),
            to: learned.map(|learned| learned.version.to_string()),
            lease_seq: self.memory.held.as_ref().map(|held| held.slot.seq),
            name: self.me.name.as_deref(),
            words,
        };
        let fits = |body: &Body<'_>| serde_json::to_vec(body).ok().filter(|body| body.len() <= 1024);
        // Words that are full of quotes need more room than there is: the figures go before them.
        fits(&body).or_else(|| fits(&Body { words: None, ..body })).unwrap_or_default()
    }

    /// 32 hexadecimal digits that were not used before.
    pub(super) fn nonce(&mut self, what: &str) -> String {
        self.count = self.count.wrapping_add(1);
        let (id, time, count) = (self.me.id.to_string(), self.seen.0.to_string(), self.count.to_string());
        nonce(&[what, &id, &self.me.boot, &time, &count])
    }
}

/// Whether what a roll-up claims of a shard can be true, given the evidence that the host has listed itself: all of it,
/// or (not `whole`) its beginning.
fn agrees(head: &Head, claimed: Option<&Shard>, listed: &Tally, whole: bool) -> bool {
    let nothing = Shard { started: 0, bad: 0, as_of: Timestamp(0) };
    let claimed = claimed.unwrap_or(&nothing);
    let exclude = head.ack.as_ref().map_or(&[][..], |ack| &ack.exclude);
    // What came while or after the shard was read need not be known.
    let known = listed.shard(exclude, Timestamp(claimed.as_of.0.saturating_sub(AUDIT_SLACK)));
    let hides = known.started > claimed.started || known.bad > claimed.bad;
    let bad = listed.shard(exclude, Timestamp(u64::MAX)).bad;
    let invents = whole && (claimed.started > listed.ever_started(exclude) || claimed.bad > bad);
    !hides && !invents
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::evidence::Evidence;
    use crate::fleet::sample::head;

    #[test]
    fn a_roll_up_neither_hides_nor_invents_a_host() {
        let mut listed = Tally::default();
        for (host, report) in [("a", "1-s-r0k0"), ("a", "1-b-x"), ("b", "1-s-r0k0")] {
            let host = crate::fleet::HostId::named(host);
            listed.add(&Evidence { host, report: report.parse().unwrap(), at: Timestamp(100) });
        }
        let agrees = |started, bad, as_of, whole| {
            super::agrees(&head(), Some(&Shard { started, bad, as_of: Timestamp(as_of) }), &listed, whole)
        };
        assert!(agrees(2, 1, 200, true) && agrees(0, 0, 104, true), "what has just come need not be known");
        assert!(!agrees(1, 1, 200, true) && !agrees(2, 0, 200, false), "hidden");
        assert!(!agrees(3, 1, 200, true) && !agrees(2, 2, 200, true), "invented");
        assert!(agrees(3, 2, 200, false), "there are more pages");
    }
}
