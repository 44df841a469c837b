//! The rings and steps of a view, from the plan and the roll-up.

use super::{Hosts, Ring, Step, Word};
use crate::clock::Timestamp;
use crate::fleet::evidence::Place;
use crate::fleet::head::Head;
use crate::fleet::rollup::Rollup;
use crate::fleet::rule::{self, NotPassed};

/// What is looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen<'a> {
    pub(super) head: &'a Head,
    /// Empty where there is none.
    pub(super) rollup: &'a Rollup,
    /// The store's time.
    pub(super) now: Timestamp,
}

impl Seen<'_> {
    /// Every ring with its steps.
    pub(super) fn rings(self) -> Vec<Ring> {
        let ring = |number: usize| {
            let ring = &self.head.rings[number];
            let steps = (0..self.head.steps_of(number).len()).map(|step| self.step(place(number, step))).collect();
            Ring { name: ring.name.clone(), hosts: ring.hosts, steps }
        };
        (0..self.head.rings.len()).map(ring).collect()
    }

    fn step(self, at: Place) -> Step {
        let Seen { head, rollup, now } = self;
        let plan = &head.steps_of(usize::from(at.ring))[usize::from(at.step)];
        let count = rollup.step(at).copied().unwrap_or_default();
        let opens = rule::opens(head, Some(rollup), at);
        let later = |seconds: u64| opens.map(|opens| Timestamp(opens.0.saturating_add(seconds)));
        let full = later(plan.ramp_s);
        let (state, waits) = match (count.passed_at, opens) {
            (Some(_), _) => (Word::Passed, None),
            (None, None) => (Word::Closed, Some(self.closed(at))),
            (None, Some(opens)) if now < opens => (Word::Opens, None),
            (None, Some(_)) if full.is_some_and(|full| now < full) => (Word::Filling, None),
            (None, Some(_)) => match rule::passed(head, rollup, at, now) {
                Err(NotPassed::Bakes { .. }) => (Word::Baking, None),
                Ok(()) => (Word::Waiting, Some("a steward has to write that it has passed".to_owned())),
                Err(why) => (Word::Waiting, Some(lacks(why))),
            },
        };
        Step {
            number: usize::from(at.step) + 1,
            pct: rule::share_pct(head, at),
            expected: rule::expected(head, at),
            started: count.started,
            ok: count.ok,
            bad: count.bad,
            overdue: count.overdue,
            declined: count.declined,
            opens,
            full,
            bakes_until: later(plan.ramp_s.saturating_add(plan.bake_s)),
            passed_at: count.passed_at,
            state,
            waits,
        }
    }

    /// Why nobody knows when a step opens.
    fn closed(self, at: Place) -> String {
        let head = self.head;
        let passed = |place| self.rollup.step(place).is_some_and(|count| count.passed_at.is_some());
        match rule::before(head, at) {
            Some(before) if !passed(before) => format!("{} has to pass", named(head, before)),
            _ => "an operator has to promote it".to_owned(),
        }
    }

    /// How far the hosts of all rings are.
    pub(super) fn hosts(self, inventory: Option<(u64, bool)>) -> Hosts {
        let total = self.rollup.total();
        let planned = self.head.rings.iter().fold(0_u64, |all, ring| all.saturating_add(ring.hosts));
        let known = inventory.map_or(planned, |(known, _)| known.max(planned));
        Hosts {
            inventory: inventory.map(|(known, _)| known),
            inventory_at_least: inventory.is_some_and(|(_, more)| more),
            planned,
            waiting: known.saturating_sub(total.started.saturating_add(total.declined)),
            under_way: total.started.saturating_sub(total.ok.saturating_add(total.failed())),
            ok: total.ok,
            bad: total.bad,
            overdue: total.overdue,
            declined: total.declined,
        }
    }
}

/// `step 2`, and of which ring if there are several.
pub(super) fn named(head: &Head, at: Place) -> String {
    let number = usize::from(at.step) + 1;
    match head.rings.get(usize::from(at.ring)) {
        Some(ring) if head.rings.len() > 1 => format!("step {number} of {}", ring.name),
        _ => format!("step {number}"),
    }
}

fn lacks(why: NotPassed) -> String {
    match why {
        NotPassed::Closed => "it is closed".to_owned(),
        NotPassed::Bakes { until } => format!("it is watched until {until}"),
        NotPassed::Few { started, needed } => format!("{started} hosts have started, and {needed} are needed"),
        NotPassed::Unwell { ok, started } => format!("only {ok} of {started} started hosts are well"),
        NotPassed::Halts => "too many hosts are bad".to_owned(),
    }
}

/// Plans have at most 32 rings and steps.
fn place(ring: usize, step: usize) -> Place {
    let small = |number: usize| u8::try_from(number).unwrap_or(u8::MAX);
    Place { ring: small(ring), step: small(step) }
}
