//! Plans by name, and plans in a file.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use super::RolloutError;
use crate::clock::Timestamp;
use crate::fleet::plan::{Gate, Lease, Match, PollHint, Ring, Step, Supersede, Window};
use crate::trust::manifest::Bounds;
use crate::units::parse_duration;

/// What an operator plans: all of a head that is not about this rollout alone.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The steps of each ring that has none of its own.
    pub steps: Vec<Step>,
    /// A few hosts go before the first step where that is large: in the plans that have a name and steps of their own.
    pub scouts: bool,
    /// Rings, in their order; none = one of all hosts.
    pub rings: Vec<Ring>,
    /// When it goes on and when it stops. What the operator has not said of it suits the size of the fleet:
    /// [`gate_for`](Plan::gate_for).
    pub gate: Gate,
    /// Figures of the gate that the operator has said.
    pub said: Said,
    /// When hosts may switch.
    pub windows: Vec<Window>,
    /// How many may switch at a time.
    pub lease: Option<Lease>,
    /// How often hosts ask.
    pub poll_s: PollHint,
    /// The share of hosts that report `ok`.
    pub ok_sample: f64,
    /// What a host does with the rollout before this one.
    pub supersede: Supersede,
    /// A host that no ring matches takes nothing.
    pub hold_unmatched: bool,
}

/// The names of the plans that need no file.
pub const PROFILES: [&str; 3] = ["default", "fast", "emergency"];

/// Steps as per cent, ramp and bake, both in minutes.
type Steps = &'static [(f64, u64, u64)];

/// 31 hours: 1, 5, 20, 50 and 100 %.
const DEFAULT: Steps = &[(1.0, 60, 60), (5.0, 120, 60), (20.0, 240, 240), (50.0, 360, 240), (100.0, 480, 0)];

/// Not quite 3 hours: 5, 25 and 100 %.
const FAST: Steps = &[(5.0, 15, 30), (25.0, 30, 30), (100.0, 60, 0)];

/// One hour, the shortest there can be: only where the offline key has said `emergency_ok`, and for a way back.
const EMERGENCY: Steps = &[(5.0, 10, 5), (25.0, 15, 5), (100.0, 25, 0)];

/// Which figures of a gate an operator has said, of those that otherwise follow from the size of the fleet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Said {
    /// How few bad hosts never stop it.
    pub min_bad: bool,
    /// How many always do.
    pub abs_bad: bool,
}

impl Plan {
    /// The gate for a fleet of so many hosts.
    pub fn gate_for(&self, hosts: u64) -> Gate {
        let usual = Gate::for_hosts(hosts);
        let min_bad = if self.said.min_bad { self.gate.min_bad } else { usual.min_bad };
        let abs_bad = if self.said.abs_bad { self.gate.abs_bad } else { usual.abs_bad };
        Gate { min_bad, abs_bad, ..self.gate.clone() }
    }

    /// The plan of this name; `None` if there is none.
    pub fn named(name: &str) -> Option<Plan> {
        let steps = match name {
            "default" => DEFAULT,
            "fast" => FAST,
            "emergency" => EMERGENCY,
            _ => return None,
        };
        let step = |(pct, ramp, bake): &(f64, u64, u64)| Step {
            pct: *pct,
            not_before: None,
            ramp_s: ramp * 60,
            bake_s: bake * 60,
            manual: false,
        };
        // Polls are what a fleet costs; the shorter the plan, the more a host misses between two.
        let open = if name == "default" { 300 } else { 60 };
        Some(Plan {
            steps: steps.iter().map(step).collect(),
            // In an emergency minutes count, and who starts one watches it.
            scouts: name != "emergency",
            rings: Vec::new(),
            gate: Gate::default(),
            said: Said::default(),
            windows: Vec::new(),
            lease: None,
            poll_s: PollHint { idle: 1800, open },
            ok_sample: 1.0,
            supersede: Supersede::default(),
            hold_unmatched: false,
        })
    }

    /// The plan that `asked` is the name of, or the file.
    ///
    /// Fails with `fleet.usage` if it is neither, or the file is no plan.
    pub fn open(asked: &str) -> Result<Plan, RolloutError> {
        if let Some(plan) = Plan::named(asked) {
            return Ok(plan);
        }
        let hint = || format!("give one of `{}`, or a file in TOML (`docs/fleet.md`)", PROFILES.join("`, `"));
        let text = std::fs::read_to_string(Path::new(asked))
            .map_err(|error| RolloutError::asked(format!("the plan `{asked}` cannot be read: {error}"), hint()))?;
        Plan::parse(&text)
            .map_err(|why| RolloutError::asked(format!("the plan `{asked}` makes no sense: {why}"), hint()))
    }

    /// The plan in a text of TOML. What it does not say is as in the profile that it names with `like`, else as in
    /// `default`.
    pub fn parse(text: &str) -> Result<Plan, String> {
        let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
        let like = file.like.as_deref().unwrap_or("default");
        let mut plan = Plan::named(like).ok_or_else(|| format!("there is no plan called `{like}`"))?;
        if let Some(steps) = file.steps {
            plan.scouts = false;
            plan.steps = steps.into_iter().map(FileStep::into).collect();
        }
        plan.rings = file.rings.into_iter().map(FileRing::into).collect();
        if let Some(gate) = file.gate {
            plan.said = Said { min_bad: gate.min_bad.is_some(), abs_bad: gate.abs_bad.is_some() };
            plan.gate = gate.over(plan.gate);
        }
        plan.windows = file.windows;
        plan.lease = file.lease;
        plan.poll_s = PollHint {
            idle: file.poll_idle.map_or(plan.poll_s.idle, |length| length.0),
            open: file.poll_open.map_or(plan.poll_s.open, |length| length.0),
        };
        plan.ok_sample = file.ok_sample.unwrap_or(plan.ok_sample);
        plan.supersede = file.supersede.unwrap_or(plan.supersede);
        plan.hold_unmatched = file.hold_unmatched;
        Ok(plan)
    }
}

/// The bounds of this name, for the manifest of a release; `None` if there are none.
///
/// `default` lets the plans `default` and slower, `fast` also the plan `fast`.
pub fn bounds(name: &str) -> Option<Bounds> {
    let bounds = |min_steps, max_first_pct, min_total_s, min_bake_s| Bounds {
        min_steps,
        max_first_pct,
        min_total_s,
        min_bake_s,
        emergency_ok: false,
        rollback_to: Vec::new(),
    };
    match name {
        "default" => Some(bounds(4, 5.0, 24 * 3600, 3600)),
        "fast" => Some(bounds(3, 10.0, 2 * 3600, 1800)),
        _ => None,
    }
}

/// The bounds that `asked` is the name of, or the file.
///
/// Fails with `fleet.usage` if it is neither, or the file makes no sense.
pub fn open_bounds(asked: &str) -> Result<Bounds, RolloutError> {
    if let Some(bounds) = bounds(asked) {
        return Ok(bounds);
    }
    let hint = "give `default`, `fast`, or a file in TOML (`docs/fleet.md`)";
    let refused = |why: String| RolloutError::asked(format!("the bounds `{asked}` {why}"), hint);
    let text = std::fs::read_to_string(asked).map_err(|error| refused(format!("cannot be read: {error}")))?;
    let bounds: Bounds = toml::from_str(&text).map_err(|error| refused(format!("make no sense: {error}")))?;
    let whole = (1..=100).map(f64::from).any(|whole| whole == bounds.max_first_pct);
    // Manifests hold no fractions: two readers need not write one alike.
    if whole {
        Ok(bounds)
    } else {
        Err(refused("have a `max_first_pct` that is not a whole number from 1 to 100".into()))
    }
}

/// A length of time as people write it, in seconds.
#[derive(Debug, Clone, Copy)]
struct Length(u64);

impl<'de> Deserialize<'de> for Length {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Length, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_duration(&text).map(|length| Length(length.as_secs())).map_err(serde::de::Error::custom)
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    like: Option<String>,
    steps: Option<Vec<FileStep>>,
    #[serde(default)]
    rings: Vec<FileRing>,
    gate: Option<FileGate>,
    #[serde(default)]
    windows: Vec<Window>,
    lease: Option<Lease>,
    poll_idle: Option<Length>,
    poll_open: Option<Length>,
    ok_sample: Option<f64>,
    supersede: Option<Supersede>,
    #[serde(default)]
    hold_unmatched: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileStep {
    pct: f64,
    ramp: Length,
    #[serde(default = "nothing")]
    bake: Length,
    not_before: Option<Timestamp>,
    #[serde(default)]
    manual: bool,
}

fn nothing() -> Length {
    Length(0)
}

impl From<FileStep> for Step {
    fn from(step: FileStep) -> Step {
        let FileStep { pct, ramp, bake, not_before, manual } = step;
        Step { pct, not_before, ramp_s: ramp.0, bake_s: bake.0, manual }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileRing {
    name: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    hosts: Vec<String>,
    #[serde(default)]
    count: u64,
    #[serde(default)]
    min_hosts: u64,
    #[serde(default = "nothing")]
    delay: Length,
    steps: Option<Vec<FileStep>>,
}

impl From<FileRing> for Ring {
    fn from(ring: FileRing) -> Ring {
        Ring {
            name: ring.name,
            matches: Match { labels: ring.labels, hosts: ring.hosts },
            min_hosts: ring.min_hosts,
            delay_s: ring.delay.0,
            steps: ring.steps.map(|steps| steps.into_iter().map(FileStep::into).collect()),
            hosts: ring.count,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileGate {
    ok_share: Option<f64>,
    max_bad_pct: Option<f64>,
    min_bad: Option<u64>,
    abs_bad: Option<u64>,
    deadline: Option<Length>,
    canary_min_bad: Option<u64>,
}

impl FileGate {
    fn over(self, usual: Gate) -> Gate {
        Gate {
            ok_share: self.ok_share.unwrap_or(usual.ok_share),
            max_bad_pct: self.max_bad_pct.unwrap_or(usual.max_bad_pct),
            min_bad: self.min_bad.unwrap_or(usual.min_bad),
            abs_bad: self.abs_bad.unwrap_or(usual.abs_bad),
            deadline_s: self.deadline.map_or(usual.deadline_s, |length| length.0),
            canary_min_bad: self.canary_min_bad.unwrap_or(usual.canary_min_bad),
        }
    }
}

/// How long until the last host may start, if everything goes well: ramps and watches together.
pub fn length(steps: &[Step]) -> Duration {
    let last = steps.len().saturating_sub(1);
    let of = |(number, step): (usize, &Step)| step.ramp_s + if number < last { step.bake_s } else { 0 };
    Duration::from_secs(steps.iter().enumerate().map(of).sum())
}
