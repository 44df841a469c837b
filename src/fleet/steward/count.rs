//! What the evidence comes to: per shard, and all of it.

use crate::clock::Timestamp;
use crate::fleet::cohort::HostId;
use crate::fleet::evidence::{Code, Evidence, Place};
use crate::fleet::head::Head;
use crate::fleet::rollup::{self, Bad, Count, MOST_BAD, Rollup};
use crate::fleet::rule;
use crate::fleet::tally::{Said, Tally};

/// A shard that stays as it was is read less often, at most so many times less: a roll-up is never older than the gate
/// lets it be.
const MOST_QUIET: u32 = 4;

/// The most hosts of a shard, and the most pages of one reading: more nobody has, and a bucket that invents them would
/// fill the memory of every steward.
pub(super) const MOST_HOSTS: usize = 100_000;
pub(super) const MOST_PAGES: u32 = 1000;

/// A part of the evidence.
#[derive(Debug, Default)]
pub(super) struct Shard {
    tally: Tally,
    /// Where the next page begins.
    pub(super) after: Option<String>,
    /// Pages of the reading that is going on.
    pages: u32,
    /// When the reading that is going on began, by the store's clock.
    pub(super) began: Timestamp0,
    /// When the last whole reading began, by the store's clock; `None` = there was none.
    pub(super) read: Option<Timestamp>,
    /// When it is to be read again, by the steward's own clock.
    pub(super) due: Timestamp0,
    /// Pieces of evidence in the last whole reading, and in the one that is going on.
    pieces: (u64, u64),
    quiet: u32,
    sum: Option<Sum>,
}

/// A time, 1970 at first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Timestamp0(pub(super) Timestamp);

impl Default for Timestamp0 {
    fn default() -> Timestamp0 {
        Timestamp0(Timestamp(0))
    }
}

/// What a shard comes to.
#[derive(Debug, Default)]
struct Sum {
    rings: Vec<Vec<Count>>,
    /// By place, where only a sample says `ok`: those that do once they are well, and those that never will.
    samples: Vec<Vec<[u64; 2]>>,
    started: u64,
    bad: u64,
    listed: Vec<Bad>,
    clones: u64,
    stops: u64,
    /// Hosts that may become overdue, or be well after all.
    open: u64,
    /// Under which state it was counted.
    seq: u64,
}

impl Shard {
    /// Takes a page in. `Some(true)`: it was the last. `None`: no bucket of a fleet has such pages, for they do not go on,
    /// or do not end; nothing of the shard is known any more.
    pub(super) fn page(&mut self, found: &[Evidence], next: Option<String>) -> Option<bool> {
        // Keys rise from page to page: one that leads back would be read for ever.
        let rises = next.as_ref().is_none_or(|next| self.after.as_ref().is_none_or(|after| next > after));
        self.pages += 1;
        if !rises || self.pages > MOST_PAGES {
            self.drop_reading();
            return None;
        }
        for evidence in found {
            self.tally.add(evidence);
        }
        self.pieces.1 = self.pieces.1.saturating_add(found.len() as u64);
        if self.tally.len() > MOST_HOSTS {
            *self = Shard::default();
            return None;
        }
        self.after = next;
        Some(self.after.is_none())
    }

    /// A whole reading has come to its end. While a step is open, `round` is how long a round is, in seconds.
    pub(super) fn is_read(&mut self, now: Timestamp, round: Option<u64>, early: bool) {
        let same = self.read.is_some() && self.pieces.0 == self.pieces.1;
        self.quiet = if same { (self.quiet + 1).min(MOST_QUIET - 1) } else { 0 };
        if !same {
            self.sum = None;
        }
        (self.pieces, self.pages) = ((self.pieces.1, 0), 0);
        self.read = Some(self.began.0);
        let less_often = if early { 1 } else { u64::from(self.quiet + 1) };
        let pause = round.map_or(super::CLOSED, |round| round * less_often);
        self.due = Timestamp0(Timestamp(now.0.saturating_add(pause)));
    }

    /// The reading failed in the middle.
    pub(super) fn drop_reading(&mut self) {
        (self.after, self.pieces.1, self.pages) = (None, 0, 0);
    }

    /// Counts again, where anything can have changed.
    fn sum(&mut self, head: &Head, now: Timestamp, heard: Timestamp) -> &Sum {
        let known = self.sum.take().filter(|sum| sum.seq == head.seq && sum.open == 0);
        self.sum.insert(known.unwrap_or_else(|| count(head, &self.tally, now, heard)))
    }
}

fn count(head: &Head, tally: &Tally, now: Timestamp, heard: Timestamp) -> Sum {
    let mut sum = Sum { rings: empty(head), samples: nobody(head), seq: head.seq, ..Sum::default() };
    let exclude = head.ack.as_ref().map_or(&[][..], |ack| &ack.exclude);
    let counted = tally.hosts().filter(|(host, _)| !exclude.contains(host));
    for (host, said) in counted {
        let overdue = said.is_overdue(head.gate.deadline_s, now, heard);
        add(&mut sum, head, *host, said, overdue);
    }
    sum.listed.sort_by_key(|bad| (bad.at, bad.host));
    sum.listed.truncate(MOST_BAD);
    sum
}

fn add(sum: &mut Sum, head: &Head, host: HostId, said: &Said, overdue: bool) {
    sum.clones += u64::from(said.twice);
    sum.stops += u64::from(said.stop.is_some());
    let place = said.started.map(|(place, _)| place);
    let last = sum.rings.len().saturating_sub(1);
    let known = place.filter(|place| {
        sum.rings.get(usize::from(place.ring)).is_some_and(|ring| usize::from(place.step) < ring.len())
    });
    // A host that says what no plan has is counted where it hastens nothing: at the end.
    let (ring, step) = known.map_or((last, usize::MAX), |place| (usize::from(place.ring), usize::from(place.step)));
    let Some(steps) = sum.rings.get_mut(ring) else { return };
    let step = step.min(steps.len().saturating_sub(1));
    let Some(count) = steps.get_mut(step) else { return };
    if said.declined && !said.has_started() {
        count.declined += 1;
        return;
    }
    if !said.has_started() {
        return;
    }
    count.started += 1;
    sum.started += 1;
    let mut list = |code: Code, at: Timestamp, place: Option<Place>| sum.listed.push(Bad { host, place, code, at });
    if let Some(bad) = said.bad.as_deref() {
        count.bad += 1;
        sum.bad += 1;
        list(bad.0.clone(), bad.1, place);
        return;
    }
    let says_ok = said.ok || host.says_ok(&head.rollout, said.attempt, share(head));
    if let Some(sample) = sum.samples.get_mut(ring).and_then(|steps| steps.get_mut(step)) {
        sample[usize::from(!says_ok)] += 1;
    }
    if said.ok {
        count.ok += 1;
    } else if says_ok {
        sum.open += 1;
        if let Some((place, at)) = said.started.filter(|_| overdue) {
            count.overdue += 1;
            list(Code::new("silent"), Timestamp(at.0.saturating_add(head.gate.deadline_s)), Some(place));
        }
    }
}

/// The share of hosts that say `ok`, as hosts remember it: in parts of a thousand.
fn share(head: &Head) -> f64 {
    (head.ok_sample * 1000.0).round() / 1000.0
}

fn nobody(head: &Head) -> Vec<Vec<[u64; 2]>> {
    (0..head.rings.len()).map(|ring| vec![[0; 2]; head.steps_of(ring).len()]).collect()
}

/// Those that never say `ok` are as well as those that do: a share of a share is no noise that would hold a step.
fn estimate(rings: &mut [Vec<Count>], samples: &[Vec<[u64; 2]>]) {
    for (count, [sample, silent]) in rings.iter_mut().flatten().zip(samples.iter().flatten()) {
        let well = if *sample == 0 { *silent } else { silent.saturating_mul(count.ok) / sample };
        count.ok = count.ok.saturating_add(well);
    }
}

fn empty(head: &Head) -> Vec<Vec<Count>> {
    (0..head.rings.len()).map(|ring| vec![Count::default(); head.steps_of(ring).len()]).collect()
}

/// The roll-up of `shards`, all of which have been read; `None` otherwise. `known` is what stands in the bucket: of it
/// remains which steps have passed, where the signed schedule agrees.
pub(super) fn roll_up(
    head: &Head,
    shards: &mut [Shard],
    known: Option<&Rollup>,
    now: Timestamp,
    heard: Timestamp,
    nonce: String,
) -> Option<Rollup> {
    let as_of = shards.iter().map(|shard| shard.read).min().flatten()?;
    let mut rollup = Rollup { rings: empty(head), ..Rollup::empty(&head.rollout, head.attempt, nonce, as_of, &[]) };
    rollup.seq = known.map_or(1, |known| known.seq.saturating_add(1));
    let mut samples = nobody(head);
    for (shard, name) in shards.iter_mut().zip(head.shards.all()) {
        let read = shard.read?;
        let sum = shard.sum(head, now, heard);
        for (ring, from) in rollup.rings.iter_mut().zip(&sum.rings) {
            for (step, from) in ring.iter_mut().zip(from) {
                *step = step.plus(from);
            }
        }
        for (all, from) in samples.iter_mut().flatten().zip(sum.samples.iter().flatten()) {
            *all = [all[0] + from[0], all[1] + from[1]];
        }
        rollup.shards.insert(name, rollup::Shard { started: sum.started, bad: sum.bad, as_of: read });
        rollup.bad.extend_from_slice(&sum.listed);
        rollup.clones += sum.clones;
        rollup.stops += sum.stops;
    }
    estimate(&mut rollup.rings, &samples);
    rollup.bad.sort_by_key(|bad| (bad.at, bad.host));
    rollup.bad.truncate(MOST_BAD);
    pass(head, &mut rollup, known, as_of, now);
    Some(rollup)
}

/// Says which steps have passed, in their order: a step that has stays so, and one counts only after those before it.
/// What it is judged by is of `as_of`; it has passed `now`, for from now on hosts can know.
fn pass(head: &Head, rollup: &mut Rollup, known: Option<&Rollup>, as_of: Timestamp, now: Timestamp) {
    for place in rule::places(head) {
        let (ring, step) = (usize::from(place.ring), usize::from(place.step));
        let plan = &head.steps_of(ring)[step];
        let baked = rule::floor(head, ring, step).0.saturating_add(plan.ramp_s).saturating_add(plan.bake_s);
        let before = known.and_then(|known| known.step(place)).and_then(|count| count.passed_at);
        // Nobody has to be believed that a step had passed before it can have, or will have.
        let before = before.filter(|at| at.0 >= baked && at.0 <= now.0.saturating_add(crate::fleet::Clock::TOLERATED));
        let passed = before.or_else(|| rule::passed(head, rollup, place, as_of).is_ok().then_some(now));
        let Some(count) = rollup.rings.get_mut(ring).and_then(|steps| steps.get_mut(step)) else { return };
        count.passed_at = passed;
        if passed.is_none() {
            return;
        }
    }
}
