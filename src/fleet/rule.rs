//! When a host may start, when a step has passed, and when a rollout stops: the same answer for everybody who reads
//! the same documents.

use std::collections::BTreeMap;

use super::cohort::HostId;
use super::evidence::Place;
use super::head::Head;
use super::plan::{Day, Ring, Window};
use super::rollup::{Count, Rollup};
use crate::clock::Timestamp;

/// Where a host stands in a plan.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Turn {
    /// Its ring and step.
    pub place: Place,
    /// Where it stands within the step's ramp, from 0 to below 1.
    pub within: f64,
}

/// Where `host` stands in the plan of `head`; `None` if no ring or no step has room for it.
pub fn turn(head: &Head, host: HostId, name: Option<&str>, labels: &BTreeMap<String, String>) -> Option<Turn> {
    let matched = head.rings.iter().position(|ring| ring.matches.includes(host, name, labels));
    let ring = match matched {
        Some(ring) => ring,
        None if head.hold_unmatched => return None,
        None => head.rings.len() - 1,
    };
    let at = host.position(&head.salt);
    let mut low = 0.0;
    for step in 0..head.steps_of(ring).len() {
        let high = share(head, ring, step);
        if at < high {
            let place = Place { ring: small(ring), step: small(step) };
            return Some(Turn { place, within: (at - low) / (high - low) });
        }
        low = low.max(high);
    }
    None
}

/// Up to which position a step of a ring goes, from 0 to 1: its share, and at least the ring's `min_hosts`.
pub fn share(head: &Head, ring: usize, step: usize) -> f64 {
    let plain = head.steps_of(ring)[step].pct / 100.0;
    let Some(ring) = head.rings.get(ring).filter(|ring| ring.hosts > 0) else { return plain };
    #[allow(clippy::cast_precision_loss, reason = "a number of hosts")]
    let least = ring.min_hosts as f64 / ring.hosts as f64;
    plain.max(least.min(1.0))
}

/// The same in per cent, to a hundredth: for people.
pub fn share_pct(head: &Head, place: Place) -> f64 {
    (share(head, usize::from(place.ring), usize::from(place.step)) * 10_000.0).round() / 100.0
}

/// About how many hosts a step has; 0 = not known.
pub fn expected(head: &Head, place: Place) -> u64 {
    let (ring, step) = (usize::from(place.ring), usize::from(place.step));
    let Some(hosts) = head.rings.get(ring).map(|ring| ring.hosts) else { return 0 };
    let low = if step == 0 { 0.0 } else { share(head, ring, step - 1) };
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "of hosts")]
    let expected = (hosts as f64 * (share(head, ring, step) - low)).round() as u64;
    expected
}

/// The earliest time at which a step may open by the signed schedule alone, however well everything goes.
pub fn floor(head: &Head, ring: usize, step: usize) -> Timestamp {
    let mut at = head.t0;
    for r in 0..=ring.min(head.rings.len() - 1) {
        let steps = head.steps_of(r);
        let last = if r == ring { step.min(steps.len() - 1) } else { steps.len() };
        for (number, step) in steps.iter().enumerate() {
            at = later(at, pause(head, Place { ring: small(r), step: small(number) }));
            at = at.max(step.not_before.unwrap_or(at));
            if number >= last {
                return at;
            }
            at = later(at, step.ramp_s.saturating_add(step.bake_s));
        }
    }
    at
}

/// How long a step waits after the one before has passed, in seconds: its ring's delay, and at least until each of its
/// hosts has looked and knows. Whoever learned of it late would start late, and the first hosts of a ramp all at once
/// (`starts_of_a_step_are_even`). A poll comes after 1.1 times its interval at the latest; the rest is for the stewards.
///
/// A step that an operator has promoted waits for nobody, and neither does the first: its hosts look before `t0`.
pub fn pause(head: &Head, place: Place) -> u64 {
    let delay = if place.step == 0 { head.rings[usize::from(place.ring)].delay_s } else { 0 };
    let promoted = head.promoted.is_some_and(|promoted| promoted >= place);
    let open = head.poll_s.open.min(LONGEST_POLL);
    match before(head, place) {
        None => 0,
        Some(_) if promoted => delay,
        Some(_) => delay.max(open + open / 2),
    }
}

/// How long before it begins a rollout must be in the bucket for every host to have seen it, in seconds, where hosts poll
/// every `idle` seconds: a poll, the tenth by which it may be late, and a minute to fetch the release.
pub fn notice(idle: u64) -> u64 {
    let idle = idle.min(LONGEST_POLL);
    idle + idle / 10 + 60
}

/// The longest time between two polls whatever a head says, in seconds: a later head must be able to correct it.
pub const LONGEST_POLL: u64 = 86_400;

/// The step before one: the last of the ring before for the first of a ring.
pub fn before(head: &Head, place: Place) -> Option<Place> {
    match (place.ring, place.step) {
        (0, 0) => None,
        (ring, 0) => Some(Place { ring: ring - 1, step: small(head.steps_of(usize::from(ring) - 1).len() - 1) }),
        (ring, step) => Some(Place { ring, step: step - 1 }),
    }
}

/// When a step opens or has opened; `None` while that is not known, because the one before it has not passed, or
/// nobody has promoted it.
pub fn opens(head: &Head, rollup: Option<&Rollup>, place: Place) -> Option<Timestamp> {
    let (ring, step) = (usize::from(place.ring), usize::from(place.step));
    let floor = floor(head, ring, step);
    if head.promoted.is_some_and(|promoted| promoted >= place) {
        return Some(floor);
    }
    if head.steps_of(ring)[step].manual {
        return None;
    }
    let Some(before) = before(head, place) else { return Some(floor) };
    let passed = rollup?.step(before)?.passed_at?;
    Some(floor.max(later(passed, pause(head, place))))
}

/// When a host may start; `None` while that is not known.
pub fn starts(head: &Head, rollup: Option<&Rollup>, turn: Turn) -> Option<Timestamp> {
    let opened = opens(head, rollup, turn.place)?;
    let ramp = head.steps_of(usize::from(turn.place.ring))[usize::from(turn.place.step)].ramp_s;
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds")]
    let wait = (turn.within * ramp as f64) as u64;
    Some(later(opened, wait))
}

/// Why a rollout stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case", tag = "why")]
pub enum Halt {
    /// Too large a share of the started hosts is bad or silent.
    Share {
        /// Bad and silent.
        bad: u64,
        /// Started.
        started: u64,
    },
    /// Too many are, whatever the share.
    Many {
        /// Bad and silent.
        bad: u64,
    },
    /// A canary is.
    Canary {
        /// Bad and silent canaries.
        bad: u64,
    },
    /// An operator of a host has said stop.
    Stop,
}

/// Whether the rollout of `head` stops, from what is known of it.
///
/// The denominator is *started*, never *finished*: failures report sooner than successes, and a share of those that have
/// finished stops good releases (`FLEET.md` 0.6, `a_good_release_is_not_stopped_by_its_early_failures`).
pub fn halts(head: &Head, rollup: &Rollup) -> Option<Halt> {
    let gate = &head.gate;
    let known = head.ack.as_ref().map_or(0, |ack| {
        // A roll-up from before the acknowledgement still has the hosts that are not to be counted: without this, whoever
        // reads it next would make the next latch.
        let excluded = rollup.bad.iter().filter(|bad| ack.exclude.contains(&bad.host)).count();
        ack.bad.saturating_add(excluded as u64)
    });
    if rollup.stops > head.ack.as_ref().map_or(0, |ack| ack.stops) {
        return Some(Halt::Stop);
    }
    let total = rollup.total();
    for (number, ring) in head.rings.iter().enumerate() {
        let bad = rollup.ring(number).failed().saturating_sub(known);
        if ring.name == "canary" && gate.canary_min_bad > 0 && bad >= gate.canary_min_bad {
            return Some(Halt::Canary { bad });
        }
    }
    let bad = total.failed().saturating_sub(known);
    if gate.abs_bad > 0 && bad >= gate.abs_bad {
        return Some(Halt::Many { bad });
    }
    let too_many = |count: Count| {
        let bad = count.failed().saturating_sub(known);
        bad >= gate.min_bad.max(1) && exceeds(bad, gate.max_bad_pct, count.started)
    };
    // Whoever can write evidence can invent hosts that have started. Where the signed plan says how many a ring has, a share
    // is one of twice as many at most: it is an estimate, and fleets grow.
    let possible = |(number, ring): (usize, &Ring)| {
        let count = rollup.ring(number);
        let most = if ring.hosts == 0 { u64::MAX } else { ring.hosts.saturating_mul(2) };
        Count { started: count.started.min(most), ..count }
    };
    let rings: Vec<Count> = head.rings.iter().enumerate().map(possible).collect();
    let all = rings.iter().fold(Count::default(), |all, ring| all.plus(ring));
    let worst = rings.into_iter().chain([all]).find(|count| too_many(*count))?;
    Some(Halt::Share { bad: worst.failed().saturating_sub(known), started: worst.started })
}

#[allow(clippy::cast_precision_loss, reason = "a number of hosts")]
fn exceeds(bad: u64, pct: f64, started: u64) -> bool {
    bad as f64 > pct / 100.0 * started as f64
}

/// Why a step has not passed yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case", tag = "why")]
pub enum NotPassed {
    /// It is not open.
    Closed,
    /// Its hosts are still coming, or it is still being watched.
    Bakes {
        /// Until when.
        until: Timestamp,
    },
    /// Too few hosts have started.
    Few {
        /// Started.
        started: u64,
        /// Needed.
        needed: u64,
    },
    /// Too few of those that started are well.
    Unwell {
        /// Well.
        ok: u64,
        /// Started.
        started: u64,
    },
    /// The rollout stops.
    Halts,
}

/// Below so many hosts one failure alone does not hold a step: a single host is no rate.
pub const FEW_HOSTS: u64 = 20;

/// Whether a step has passed at `now`, the store's time.
pub fn passed(head: &Head, rollup: &Rollup, place: Place, now: Timestamp) -> Result<(), NotPassed> {
    let opened = opens(head, Some(rollup), place).ok_or(NotPassed::Closed)?;
    let step = &head.steps_of(usize::from(place.ring))[usize::from(place.step)];
    let until = later(opened, step.ramp_s.saturating_add(step.bake_s));
    if now < until {
        return Err(NotPassed::Bakes { until });
    }
    if halts(head, rollup).is_some() {
        return Err(NotPassed::Halts);
    }
    let count = rollup.step(place).copied().unwrap_or_default();
    let well = count.well();
    let lacking = count.started.saturating_sub(well);
    let needed = needed(head, place);
    let patient = until.0.saturating_add(head.gate.deadline_s);
    if count.started < needed && !(is_small(head, place) && lacking == 0 && now.0 >= patient) {
        return Err(NotPassed::Few { started: count.started, needed });
    }
    // Where somebody has it, somebody must be well: one host of one is no rate, but it is all that is known.
    let known = places(head).take_while(|before| *before <= place).filter_map(|before| rollup.step(before).copied());
    let all = known.fold(Count::default(), |all, count| all.plus(&count));
    if all.started > 0 && all.well() == 0 {
        return Err(NotPassed::Unwell { ok: 0, started: all.started });
    }
    #[allow(clippy::cast_precision_loss, reason = "a number of hosts")]
    let well = (count.started - lacking) as f64 >= head.gate.ok_share * count.started as f64;
    let one_of_few = count.started < FEW_HOSTS && lacking <= 1;
    if well || one_of_few { Ok(()) } else { Err(NotPassed::Unwell { ok: count.ok, started: count.started }) }
}

/// How many hosts of a step must have started before the next one: two of five, at most 5, and one of any that is expected to
/// have a host. A step too small for one is no obstacle; where nobody knows how many there are, one is asked for.
fn needed(head: &Head, place: Place) -> u64 {
    match expected(head, place) {
        0 => u64::from(head.rings[usize::from(place.ring)].hosts == 0),
        expected => (expected.saturating_mul(2) / 5).clamp(1, 5),
    }
}

/// Whether so few hosts are expected of a step that chance may have drawn fewer than are needed, or they are off. Then nobody
/// who comes within another deadline is all there will be (`a_small_step_waits_for_somebody_and_not_for_ever`).
fn is_small(head: &Head, place: Place) -> bool {
    (1..FEW_HOSTS).contains(&expected(head, place))
}

/// The place after one: the first of the next ring after the last of one.
pub fn after(head: &Head, place: Place) -> Option<Place> {
    let last = head.steps_of(usize::from(place.ring)).len() - 1;
    if usize::from(place.step) < last {
        return Some(Place { step: place.step + 1, ..place });
    }
    (usize::from(place.ring) + 1 < head.rings.len()).then(|| Place { ring: place.ring + 1, step: 0 })
}

/// Every place of a plan, in order.
pub fn places(head: &Head) -> impl Iterator<Item = Place> + '_ {
    std::iter::successors(Some(Place { ring: 0, step: 0 }), |place| after(head, *place))
}

/// Whether a host with these labels may switch at `now`, and if not, when it may next.
pub fn window(windows: &[Window], labels: &BTreeMap<String, String>, now: Timestamp) -> Result<(), Timestamp> {
    let mine: Vec<&Window> = windows
        .iter()
        .filter(|window| window.until.is_none_or(|until| now < until))
        .filter(|window| window.labels.iter().all(|(key, value)| labels.get(key) == Some(value)))
        .collect();
    if mine.is_empty() {
        return Ok(());
    }
    // A minute at a time for eight days: a window opens at least once a week.
    let minute_of = |at: Timestamp| at.0 / 60;
    let open = |minute: u64| mine.iter().any(|window| is_open(window, minute));
    if open(minute_of(now)) {
        return Ok(());
    }
    let next = (1..=8 * 24 * 60).map(|later| minute_of(now) + later).find(|minute| open(*minute));
    Err(Timestamp(next.unwrap_or_else(|| minute_of(now) + 24 * 60) * 60))
}

fn is_open(window: &Window, minute: u64) -> bool {
    let (Some(start), Some(end)) = (self::minute(&window.start), self::minute(&window.end)) else { return false };
    let (day, of_day) = (minute / (24 * 60), minute % (24 * 60));
    let on = |day: u64| window.days.is_empty() || window.days.contains(&weekday(day));
    if start < end {
        on(day) && (start..end).contains(&of_day)
    } else {
        (on(day) && of_day >= start) || (on(day.saturating_sub(1)) && of_day < end)
    }
}

/// The day of the week, of days since 1970, which began on a Thursday.
fn weekday(day: u64) -> Day {
    [Day::Thu, Day::Fri, Day::Sat, Day::Sun, Day::Mon, Day::Tue, Day::Wed][(day % 7) as usize]
}

/// `HH:MM` as minutes; `24:00` is the end of a day.
pub(super) fn minute(text: &str) -> Option<u64> {
    let (hours, minutes) = text.split_once(':')?;
    if hours.len() != 2 || minutes.len() != 2 {
        return None;
    }
    let (hours, minutes): (u64, u64) = (hours.parse().ok()?, minutes.parse().ok()?);
    let whole = hours * 60 + minutes;
    (minutes < 60 && whole <= 24 * 60).then_some(whole)
}

fn later(at: Timestamp, seconds: u64) -> Timestamp {
    Timestamp(at.0.saturating_add(seconds))
}

/// Plans have at most 32 rings and steps.
fn small(number: usize) -> u8 {
    u8::try_from(number).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests;
