//! The plan of a rollout: rings of hosts, steps of shares, and the conditions between them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::cohort::HostId;
use crate::clock::Timestamp;

/// A ring: hosts that come before others, whatever their position. A host belongs to the first that matches it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ring {
    /// What people call it. A ring called `canary` may not fail as often as others ([`Gate::canary_min_bad`]).
    pub name: String,
    /// Which hosts.
    #[serde(rename = "match", default)]
    pub matches: Match,
    /// The first step has at least so many of its hosts, however small its share is.
    #[serde(default)]
    pub min_hosts: u64,
    /// How long it waits after the ring before it has passed, in seconds.
    #[serde(default)]
    pub delay_s: u64,
    /// Steps of its own; `None` = those of the plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<Vec<Step>>,
    /// About how many hosts it has; 0 = not known.
    #[serde(default)]
    pub hosts: u64,
}

/// Which hosts a ring has: all that carry every label, and all that are named. Nothing at all = every host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Match {
    /// Labels that a host must have, all of them.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Hosts, by id or by name.
    #[serde(default)]
    pub hosts: Vec<String>,
}

/// A step: the share of a ring that may have the release from some time on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Up to which share of the ring, in per cent: above 0, at most 100, rising from step to step.
    pub pct: f64,
    /// Not before; `None` = as soon as the step before has passed.
    #[serde(default)]
    pub not_before: Option<Timestamp>,
    /// Over how long its hosts are spread, in seconds.
    pub ramp_s: u64,
    /// How long it is watched after that, in seconds.
    pub bake_s: u64,
    /// It opens only when an operator promotes it.
    #[serde(default)]
    pub manual: bool,
}

/// How many hosts go before all others, and from how many hosts of a first step on.
const SCOUTS: (u64, u64) = (40, 100);

/// `steps` for `hosts` hosts, with a step of scouts before them where the first has more than a hundred.
///
/// What a bad release hits is the rate of its first step times the minutes until reports are counted. Hosts of a step come one
/// after the other, so of a million hosts hundreds would; of forty that come within half of the time, a dozen do
/// (`a_bad_release_is_stopped_on_one_host_of_thousands`). Forty, because three failures of its own are then needed to hold a
/// good release. They are watched as long as the first step is.
///
/// The first step takes half as long again: of a release that fails on a tenth of its hosts, two hours later, two in a hundred
/// have failed an hour after the first of them started, and by then not all of the step must have it
/// (`a_release_that_fails_late_is_stopped_within_the_first_step`).
#[allow(clippy::cast_precision_loss, reason = "a number of hosts")]
pub fn with_scouts(steps: &[Step], hosts: u64) -> Vec<Step> {
    let (scouts, from) = SCOUTS;
    let first = steps.first().filter(|first| first.pct / 100.0 * hosts as f64 > from as f64 && steps.len() > 1);
    let scouts = first.map(|first| Step {
        pct: scouts as f64 * 100.0 / hosts as f64,
        ramp_s: first.ramp_s / 2,
        not_before: first.not_before,
        ..*first
    });
    let slower = u64::from(scouts.is_some());
    let mut steps = steps.to_vec();
    if let Some(first) = steps.first_mut() {
        first.ramp_s = first.ramp_s.saturating_add(slower * (first.ramp_s / 2));
    }
    scouts.into_iter().chain(steps).collect()
}

/// When a rollout goes on, and when it stops.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gate {
    /// The share of the started hosts that must be well before the next step, from 0 to 1.
    pub ok_share: f64,
    /// The most bad hosts, in per cent of the started ones.
    pub max_bad_pct: f64,
    /// So few bad hosts never stop a rollout.
    pub min_bad: u64,
    /// So many always do.
    pub abs_bad: u64,
    /// A host that started and says nothing for so long counts as bad, in seconds.
    pub deadline_s: u64,
    /// So many bad hosts of a canary ring stop it.
    pub canary_min_bad: u64,
}

impl Default for Gate {
    /// 95 % well; more than 2 % of the started and at least 3 bad stop it, or 500, or one canary; 30 min to report.
    fn default() -> Gate {
        Gate { ok_share: 0.95, max_bad_pct: 2.0, min_bad: 3, abs_bad: 500, deadline_s: 1800, canary_min_bad: 1 }
    }
}

/// Up to so many hosts three bad ones stop a rollout: of fewer than 150 that start at all, three seldom fail by chance, and
/// one more would be a large part of the fleet.
const SMALL: u64 = 100;

impl Gate {
    /// The usual gate for a fleet of so many hosts (`docs/fleet-simulation.md`).
    ///
    /// With a million of them more than 500 fail although the release is good: the number that always stops a rollout is 0.5 %
    /// of them where that is more. And where one host of five hundred fails whatever it is given, three are bad before 150 have
    /// started in one of several hundred rollouts: above a hundred hosts it takes four (`four_of_many_and_three_of_few`).
    pub fn for_hosts(hosts: u64) -> Gate {
        let usual = Gate::default();
        let more = u64::from(hosts > SMALL);
        Gate { abs_bad: usual.abs_bad.max(hosts / 200), min_bad: usual.min_bad + more, ..usual }
    }
}

/// A maintenance window, in UTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// The days it opens on (`mon` to `sun`); none = every day.
    #[serde(default)]
    pub days: Vec<Day>,
    /// When it opens, `HH:MM`.
    pub start: String,
    /// When it closes, `HH:MM`; not after `start` = on the next day.
    pub end: String,
    /// Labels of the hosts it is for; none = every host.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// The window is not looked at any more from then on.
    #[serde(default)]
    pub until: Option<Timestamp>,
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "they are the days")]
pub enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

/// How many hosts of a group may switch at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lease {
    /// The group of a host: text with `{label}` in it.
    pub group: String,
    /// How many slots a group has.
    pub slots: u32,
    /// A host that was rolled back keeps its slot: broken hosts stop their group.
    #[serde(default)]
    pub hold_on_failure: bool,
}

/// How often hosts ask, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PollHint {
    /// While nothing is rolled out, or this host's turn is far.
    pub idle: u64,
    /// While a step of this host is open.
    pub open: u64,
}

/// A host that follows a release of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    /// The host, by id or by name.
    pub host: String,
    /// The release it keeps or takes; `None` = it keeps what it has.
    #[serde(default)]
    pub release: Option<String>,
}

/// An operator has seen a halt and lets the rollout go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ack {
    /// How many latches have been acknowledged, this one included: the next is `halt-<n>`.
    pub latches: u32,
    /// The digest of the latch that was acknowledged, 64 hexadecimal digits.
    pub latch: String,
    /// How many bad hosts were known then; only those beyond count from now on.
    pub bad: u64,
    /// How many operators of hosts had said stop then; only those beyond count from now on.
    #[serde(default, skip_serializing_if = "is_none")]
    pub stops: u64,
    /// Hosts that are not counted any more, by id.
    #[serde(default)]
    pub exclude: Vec<HostId>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde asks")]
fn is_none(number: &u64) -> bool {
    *number == 0
}

/// Whether a rollout is running.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Hosts may start.
    Running,
    /// Nobody starts; it can be resumed.
    Paused,
    /// Nobody starts: it went wrong, and somebody has to look.
    Halted,
    /// Nobody starts, ever.
    Aborted,
    /// Every host may have it, now and later.
    Done,
}

/// What happens to the hosts that have a release whose rollout halts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnHalt {
    /// They keep it.
    #[default]
    Hold,
}

/// What a host does that has not come to an end with the rollout before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Supersede {
    /// It finishes that one first.
    Wait,
    /// It goes to the newer one directly.
    #[default]
    Jump,
}

impl Match {
    /// Whether a host is meant.
    pub fn includes(&self, host: HostId, name: Option<&str>, labels: &BTreeMap<String, String>) -> bool {
        if self.labels.is_empty() && self.hosts.is_empty() {
            return true;
        }
        let named = self.hosts.iter().any(|wanted| is_host(wanted, host, name));
        let labelled = !self.labels.is_empty() && self.labels.iter().all(|(key, value)| labels.get(key) == Some(value));
        named || labelled
    }
}

/// Whether `wanted`, an id or a name, is this host.
pub fn is_host(wanted: &str, host: HostId, name: Option<&str>) -> bool {
    name == Some(wanted) || wanted.parse() == Ok(host) || HostId::named(wanted) == host
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_of_many_and_three_of_few() {
        let least = |hosts| Gate::for_hosts(hosts).min_bad;
        assert_eq!([0, 10, 100].map(least), [3; 3]);
        assert_eq!([101, 1_000, 1_000_000].map(least), [4; 3]);
        // One host of 500 fails by itself. A rollout stops where more than one of 50 of those that started has: at the fourth
        // of fewer than 200, the fifth of fewer than 250, and so on. All of that must be rarer than one rollout of a thousand.
        let poisson = |mean: f64, at_least: u32| {
            let term = |k: u32| (1..=k).fold((-mean).exp(), |term, k| term * mean / f64::from(k));
            1.0 - (0..at_least).map(term).sum::<f64>()
        };
        assert!(poisson(150.0 * 0.002, 3) > 0.001, "three are not enough");
        assert!(poisson(200.0 * 0.002, 4) < 0.001);
    }

    #[test]
    fn the_first_step_of_many_has_scouts_before_it_and_takes_longer() {
        let step = |pct, ramp_s| Step { pct, not_before: None, ramp_s, bake_s: 3600, manual: false };
        let plan = [step(1.0, 3600), step(100.0, 7200)];
        let shape = |hosts| with_scouts(&plan, hosts).iter().map(|step| (step.pct, step.ramp_s)).collect::<Vec<_>>();
        assert_eq!(shape(10_000), [(1.0, 3600), (100.0, 7200)]);
        assert_eq!(shape(100_000), [(0.04, 1800), (1.0, 5400), (100.0, 7200)]);
        assert_eq!(with_scouts(&plan[1..], 100_000), &plan[1..], "one step is no first step");
    }
}
