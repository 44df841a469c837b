//! What a change changes: before and after, and which hosts may start when.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use super::change::open_place;
use crate::clock::Timestamp;
use crate::fleet::evidence::Place;
use crate::fleet::head::Head;
use crate::fleet::plan::Phase;
use crate::fleet::rollup::Rollup;
use crate::fleet::rule;

/// What a change does.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Effect {
    /// The state before; `None` = there was none.
    pub before: Option<State>,
    /// The state after.
    pub after: State,
    /// The steps as they will be, in order.
    pub steps: Vec<Step>,
    /// What is different, a line each: `state  running → paused`.
    pub changes: Vec<Changed>,
    /// When the first host may start, and in how many seconds, of a rollout that has not begun yet.
    pub begins: Option<(Timestamp, u64)>,
}

/// A state, as far as the schedule matters.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct State {
    /// Its number.
    pub seq: u64,
    /// Its rollout.
    pub rollout: String,
    /// What is rolled out.
    pub release: String,
    /// Whether it goes on.
    pub state: Phase,
    /// The step that is open, as ring and number from 1.
    pub open: Option<(String, u8)>,
    /// How many hosts may start, or may have started: now, within an hour, within a day. Per cent where nobody knows how
    /// many hosts there are.
    pub eligible: [f64; 3],
    /// Whether `eligible` is a number of hosts.
    pub counted: bool,
    /// When it expires.
    pub valid_until: Timestamp,
}

/// A step.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Step {
    /// Its ring.
    pub ring: String,
    /// Its number in the ring, from 1.
    pub step: u8,
    /// Up to which share of the ring, in per cent.
    pub pct: f64,
    /// About how many hosts it has, where that is known.
    pub hosts: Option<u64>,
    /// When it opens at the earliest, or has opened; `None` = when somebody promotes it.
    pub opens: Option<Timestamp>,
    /// When its last host may start.
    pub last: Option<Timestamp>,
    /// When it can have passed.
    pub passes: Option<Timestamp>,
}

/// One thing that is different.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Changed {
    /// What.
    pub what: &'static str,
    /// Before.
    pub before: String,
    /// After.
    pub after: String,
}

impl Effect {
    /// What putting `after` in the place of `before` does, at the store's time `now`.
    pub fn of(before: Option<&Head>, after: &Head, rollup: Option<&Rollup>, now: Timestamp) -> Effect {
        let of_after = rollup.filter(|rollup| rollup.rollout == after.rollout);
        let state = |head: &Head| State::of(head, rollup.filter(|rollup| rollup.rollout == head.rollout), now);
        Effect {
            before: before.map(state),
            after: State::of(after, of_after, now),
            steps: rule::places(after).map(|place| step(after, of_after, place)).collect(),
            changes: before.map(|before| changes(before, after)).unwrap_or_default(),
            begins: (after.t0 > now && goes_on(after.state)).then(|| (after.t0, after.t0.since(now).as_secs())),
        }
    }

    /// A state in one line.
    pub fn line(head: &Head) -> String {
        format!("state {} ({} of {}, {})", head.seq, head.release, head.rollout, word(head.state))
    }

    /// The lines for a person.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        match &self.before {
            None => lines.push(format!("  rollout  none → {} of {}", self.after.rollout, self.after.release)),
            Some(before) => {
                for Changed { what, before, after } in &self.changes {
                    lines.push(format!("  {what:<8} {before} → {after}"));
                }
                lines.push(format!("  number   {} → {}", before.seq, self.after.seq));
            }
        }
        lines.push(format!("  valid    until {}", self.after.valid_until));
        if let Some((at, seconds)) = self.begins {
            let wait = humantime::format_duration(Duration::from_secs(seconds));
            lines.push(format!("  begins   {at}, in {wait}: no host starts before that"));
        }
        let amount = |state: Option<&State>, at: usize| match state {
            Some(state) if state.counted => format!("{:.0}", state.eligible[at]),
            Some(state) => format!("{:.0} %", state.eligible[at]),
            None => "0".to_owned(),
        };
        let pair = |at| format!("{} → {}", amount(self.before.as_ref(), at), amount(Some(&self.after), at));
        lines.push(format!("  hosts    may start now: {}, within 1 h: {}, within 24 h: {}", pair(0), pair(1), pair(2)));
        if goes_on(self.after.state) {
            lines.extend(self.table());
        }
        lines
    }

    fn table(&self) -> Vec<String> {
        let width = self.steps.iter().map(|step| step.ring.len()).max().unwrap_or(4).max(4);
        let mut lines = vec![format!("  {:<width$}  step     up to  hosts  opens, at the earliest  last host", "ring")];
        for step in &self.steps {
            let hosts = step.hosts.map_or_else(|| "?".to_owned(), |hosts| hosts.to_string());
            let time = |at: Option<Timestamp>| at.map_or("when it is promoted".to_owned(), |at| at.to_string());
            let mut line = String::new();
            // A writer into a String cannot fail.
            let _ = write!(line, "  {:<width$}  {:>4}  {:>6} %  {hosts:>5}  ", step.ring, step.step, step.pct);
            let _ =
                write!(line, "{:<22}  {}", time(step.opens), step.last.map(|at| at.to_string()).unwrap_or_default());
            lines.push(line.trim_end().to_owned());
        }
        lines
    }
}

impl State {
    fn of(head: &Head, rollup: Option<&Rollup>, now: Timestamp) -> State {
        let open = open_place(head, rollup, now).filter(|_| matches!(head.state, Phase::Running | Phase::Paused));
        let hours = [0, 1, 24].map(|hours| Timestamp(now.0.saturating_add(hours * 3600)));
        let counted = head.rings.iter().all(|ring| ring.hosts > 0);
        State {
            seq: head.seq,
            rollout: head.rollout.clone(),
            release: head.release.clone(),
            state: head.state,
            open: open.map(|place| (head.rings[usize::from(place.ring)].name.clone(), place.step + 1)),
            eligible: hours.map(|at| eligible(head, rollup, at, counted)),
            counted,
            valid_until: head.valid_until,
        }
    }
}

/// Whether hosts may start, now or later.
fn goes_on(state: Phase) -> bool {
    matches!(state, Phase::Running | Phase::Paused | Phase::Halted)
}

/// A phase as a word.
pub(super) fn word(phase: Phase) -> &'static str {
    match phase {
        Phase::Running => "running",
        Phase::Paused => "paused",
        Phase::Halted => "halted",
        Phase::Aborted => "aborted",
        Phase::Done => "done",
    }
}

/// When a step opens, or opens at the earliest if everything before it goes well.
pub(super) fn earliest(head: &Head, rollup: Option<&Rollup>, place: Place) -> Option<Timestamp> {
    if let Some(opens) = rule::opens(head, rollup, place) {
        return Some(opens);
    }
    let mut before = Some(place);
    while let Some(at) = before {
        let step = &head.steps_of(usize::from(at.ring))[usize::from(at.step)];
        if step.manual && head.promoted.is_none_or(|promoted| promoted < at) {
            return None;
        }
        before = rule::before(head, at);
    }
    Some(rule::floor(head, usize::from(place.ring), usize::from(place.step)))
}

fn step(head: &Head, rollup: Option<&Rollup>, place: Place) -> Step {
    let ring = &head.rings[usize::from(place.ring)];
    let planned = &head.steps_of(usize::from(place.ring))[usize::from(place.step)];
    let opens = earliest(head, rollup, place);
    let later = |seconds: u64| opens.map(|at| Timestamp(at.0.saturating_add(seconds)));
    Step {
        ring: ring.name.clone(),
        step: place.step + 1,
        pct: rule::share_pct(head, place),
        hosts: (ring.hosts > 0).then(|| rule::expected(head, place)),
        opens,
        last: later(planned.ramp_s),
        passes: later(planned.ramp_s.saturating_add(planned.bake_s)),
    }
}

/// How many hosts have had their turn at `at` if everything goes well: hosts, or per cent of the fleet.
#[allow(clippy::cast_precision_loss, reason = "a number of hosts, and seconds")]
fn eligible(head: &Head, rollup: Option<&Rollup>, at: Timestamp, counted: bool) -> f64 {
    if !matches!(head.state, Phase::Running | Phase::Done) {
        return rollup.map_or(0.0, |rollup| if counted { rollup.total().started as f64 } else { 0.0 });
    }
    let (mut sum, last) = (0.0, head.rings.len() - 1);
    for place in rule::places(head) {
        let ring = usize::from(place.ring);
        let Some(opens) = earliest(head, rollup, place) else { continue };
        if at < opens || (!counted && ring != last) {
            continue;
        }
        let ramp = head.steps_of(ring)[usize::from(place.step)].ramp_s;
        let part = if ramp == 0 { 1.0 } else { (at.since(opens).as_secs() as f64 / ramp as f64).min(1.0) };
        let low = if place.step == 0 { 0.0 } else { rule::share(head, ring, usize::from(place.step) - 1) };
        let share = (rule::share(head, ring, usize::from(place.step)) - low).max(0.0);
        sum += part * share * if counted { head.rings[ring].hosts as f64 } else { 100.0 };
    }
    (sum * 10.0).round() / 10.0
}

fn changes(before: &Head, after: &Head) -> Vec<Changed> {
    let mut changes = Vec::new();
    let mut compare = |what, before: String, after: String| {
        if before != after {
            changes.push(Changed { what, before, after });
        }
    };
    let place = |head: &Head| {
        head.promoted.map_or("no step by hand".to_owned(), |place| {
            format!("{}, step {} by hand", head.rings[usize::from(place.ring)].name, place.step + 1)
        })
    };
    let pins = |head: &Head| {
        let pin = |pin: &crate::fleet::plan::Pin| {
            pin.release.as_ref().map_or(pin.host.clone(), |release| format!("{} on {release}", pin.host))
        };
        let all: Vec<String> = head.pins.iter().map(pin).collect();
        if all.is_empty() { "none".to_owned() } else { all.join(", ") }
    };
    let halt = |head: &Head| {
        head.ack.as_ref().map_or("none".to_owned(), |ack| {
            let excluded =
                if ack.exclude.is_empty() { String::new() } else { format!(", {} excluded", ack.exclude.len()) };
            let latch = ack.latch.get(..12).unwrap_or(&ack.latch);
            format!("{latch} ({} bad hosts are known{excluded})", ack.bad)
        })
    };
    compare("rollout", before.rollout.clone(), after.rollout.clone());
    compare("release", before.release.clone(), after.release.clone());
    compare("state", word(before.state).to_owned(), word(after.state).to_owned());
    if before.rollout == after.rollout {
        compare("begins", before.t0.to_string(), after.t0.to_string());
        compare("opened", place(before), place(after));
        compare("attempt", before.attempt.to_string(), after.attempt.to_string());
        compare("halt", halt(before), halt(after));
    }
    compare("pins", pins(before), pins(after));
    changes
}
