//! What is simulated: a fleet, a release, a bucket, and what goes wrong with them.

use serde::Serialize;

use crate::fleet::plan::{Gate, PollHint, Step, with_scouts};
use crate::fleet::rule;
use crate::trust::manifest::Bounds;

/// One thing to be simulated.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Case {
    /// What it is called in a report.
    pub name: String,
    /// How many hosts.
    pub hosts: u32,
    /// How often a host polls, in seconds, while nothing is open for it.
    pub poll_s: u64,
    /// The same while its step is open.
    pub open_s: u64,
    /// The schedule.
    pub plan: Plan,
    /// An operator's own, in its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub own: Option<Box<Own>>,
    /// A few hosts go before the first step where that is large.
    pub scouts: bool,
    /// It is published a poll before it begins, as an operator's `start` does; otherwise at that moment.
    pub announced: bool,
    /// How the release is bad.
    pub bad: Badness,
    /// The share of hosts on which it is, from 0 to 1.
    pub bad_share: f64,
    /// The share of switches that fail whatever the release is.
    pub base_failures: f64,
    /// The share of failures that never report.
    pub silent: f64,
    /// The share of hosts that are off when it begins, and come back within twice the plan's time.
    pub offline: f64,
    /// The stewards.
    pub stewards: Stewards,
    /// The bucket.
    pub bucket: Bucket,
    /// The hosts' clocks.
    pub clocks: Clocks,
    /// Every host restarts within a minute, so many seconds after the rollout began.
    pub storm_s: Option<u64>,
    /// How many hosts of a zone (there are ten) may switch at a time.
    pub slots: Option<u32>,
    /// At least so many hosts are in the first step, whatever its share says.
    pub min_hosts: u64,
    /// The share of hosts that report `ok`.
    pub ok_sample: f64,
    /// The median of a switch, in seconds; its logarithm has a standard deviation of 0.5.
    pub switch_s: u64,
    /// How long a host watches a release before it calls it well, in seconds.
    pub watch_s: u64,
    /// The size of an artifact in bytes.
    pub artifact: u64,
    /// What happens to polls that change nothing.
    pub polls: Polls,
}

/// What is taken of a plan that an operator has written. Hosts of a simulation have neither names nor labels but their
/// zone, so rings and windows are left out; nobody is there to promote a step, so one that waits for that opens as others do.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Own {
    /// What it is called in a report.
    pub name: String,
    /// Its steps.
    pub steps: Vec<Step>,
    /// Its gate.
    pub gate: Gate,
}

/// A named schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Plan {
    /// 1, 5, 20, 50, 100 % over 32 h.
    Default,
    /// 5, 25, 100 % over 3 h.
    Fast,
    /// 5, 25, 100 % over an hour.
    Emergency,
    /// Everybody within an hour: no steps, only the halt rule.
    OneStep,
}

/// How a bad release is bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Badness {
    /// It fails at once and is rolled back.
    Instant,
    /// It fails some time after the switch: two hours in the mean.
    Late,
    /// The host is never heard of again.
    Silent,
    /// It fails at once, on the hosts of one zone of ten, of which `bad_share` are affected.
    Zone,
}

/// The stewards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Stewards {
    /// How many there are.
    pub many: u32,
    /// How often one looks, in seconds.
    pub every_s: u64,
    /// All of them are dead for an hour, from so many seconds after the beginning.
    pub dead_s: Option<u64>,
}

/// How the bucket behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bucket {
    /// As S3 says.
    Perfect,
    /// One request in a hundred is answered with `503`.
    Busy,
    /// One answer in twenty is lost after the request was carried out.
    Lossy,
    /// As Ceph's gateway: of writes that lose a race more than half are answered with `500` and not with `412`.
    Rgw,
    /// It ignores the conditions of writes.
    Tier3,
}

/// How far clocks are off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Clocks {
    /// Not at all.
    Right,
    /// Up to five minutes.
    Minutes,
    /// One in a hundred by a day.
    Days,
}

/// What happens to polls that change nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Polls {
    /// Each is asked and answered.
    Run,
    /// Each is drawn and counted, and not asked. The result is the same
    /// (`counting_polls_gives_what_running_them_gives`).
    Count,
    /// They are left out, and a host is there from shortly before its turn: for measures in which requests do not matter.
    Skip,
}

impl Case {
    /// A good release with the default plan; polls as suits the size.
    pub fn new(name: &str, hosts: u32) -> Case {
        let poll_s = if hosts <= 4_000 { 300 } else { 900 };
        Case {
            name: name.to_owned(),
            hosts,
            poll_s,
            open_s: poll_s.min(300),
            plan: Plan::Default,
            own: None,
            scouts: true,
            announced: true,
            bad: Badness::Instant,
            bad_share: 0.0,
            base_failures: 0.001,
            silent: 0.1,
            offline: 0.0,
            stewards: Stewards { many: 3, every_s: 60, dead_s: None },
            bucket: Bucket::Perfect,
            clocks: Clocks::Right,
            storm_s: None,
            slots: None,
            min_hosts: 20,
            ok_sample: 1.0,
            switch_s: 240,
            watch_s: 300,
            artifact: 50_000_000,
            polls: Polls::Count,
        }
    }

    /// The same with a release that is bad in this way on this share of hosts.
    #[must_use]
    pub fn bad(self, bad: Badness, bad_share: f64) -> Case {
        Case { bad, bad_share, ..self }
    }

    /// The same with this schedule.
    #[must_use]
    pub fn plan(self, plan: Plan) -> Case {
        let scouts = matches!(plan, Plan::Default | Plan::Fast);
        Case { plan, scouts, open_s: self.poll_s.min(plan.open_s()), ..self }
    }

    /// How long before it begins the rollout is published, in seconds.
    pub fn notice_s(&self) -> u64 {
        if self.announced { rule::notice(self.poll_s) } else { 0 }
    }

    /// The same with an operator's own schedule, and how often it says that hosts ask.
    #[must_use]
    pub fn own(self, name: &str, steps: &[Step], gate: Gate, poll: PollHint) -> Case {
        let step = |step: &Step| Step { not_before: None, manual: false, ..step.clone() };
        let own = Own { name: name.to_owned(), steps: steps.iter().map(step).collect(), gate };
        Case { own: Some(Box::new(own)), scouts: false, poll_s: poll.idle, open_s: poll.open, ..self }
    }

    /// What makes no sense about its plan, if anything does.
    pub fn nonsense(&self) -> Option<String> {
        super::script::head(self, 0).nonsense()
    }

    /// The steps of the rollout, for so many hosts.
    pub fn steps(&self) -> Vec<Step> {
        let steps = self.own.as_ref().map_or_else(|| self.plan.steps(), |own| own.steps.clone());
        if self.scouts { with_scouts(&steps, self.hosts.into()) } else { steps }
    }

    /// The gate between them.
    pub fn gate(&self) -> Gate {
        self.own.as_ref().map_or_else(|| Gate::for_hosts(u64::from(self.hosts)), |own| own.gate.clone())
    }

    /// How long it takes by the schedule alone, in seconds.
    pub fn length_s(&self) -> u64 {
        self.steps().iter().map(|step| step.ramp_s + step.bake_s).sum()
    }

    /// Bounds of a release that may go this fast.
    pub fn bounds(&self) -> Bounds {
        match &self.own {
            Some(_) => Bounds { min_steps: 1, min_total_s: 0, min_bake_s: 0, ..self.plan.bounds() },
            None => self.plan.bounds(),
        }
    }

    /// Whether the release itself is good: what stops it is a false alarm.
    pub fn is_good(&self) -> bool {
        self.bad_share == 0.0
    }

    /// Whether a poll that was not asked could have gone wrong: then every one is run.
    pub fn needs_every_poll(&self) -> bool {
        self.polls == Polls::Run || matches!(self.bucket, Bucket::Busy | Bucket::Lossy)
    }
}

impl Plan {
    /// All of them.
    pub const ALL: [Plan; 4] = [Plan::Default, Plan::Fast, Plan::Emergency, Plan::OneStep];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Plan::Default => "default",
            Plan::Fast => "fast",
            Plan::Emergency => "emergency",
            Plan::OneStep => "one-step",
        }
    }

    /// How often hosts poll while their step is open, in seconds, as the operator's plans have it.
    pub fn open_s(self) -> u64 {
        if matches!(self, Plan::Fast | Plan::Emergency) { 60 } else { 300 }
    }

    /// Its steps.
    pub fn steps(self) -> Vec<Step> {
        let steps: &[(f64, u64, u64)] = match self {
            Plan::Default => &[(1.0, 60, 60), (5.0, 120, 60), (20.0, 240, 240), (50.0, 360, 240), (100.0, 480, 0)],
            Plan::Fast => &[(5.0, 15, 30), (25.0, 30, 30), (100.0, 60, 0)],
            Plan::Emergency => &[(5.0, 10, 5), (25.0, 15, 5), (100.0, 25, 0)],
            Plan::OneStep => &[(100.0, 60, 0)],
        };
        let step = |&(pct, ramp, bake): &(f64, u64, u64)| Step {
            pct,
            not_before: None,
            ramp_s: ramp * 60,
            bake_s: bake * 60,
            manual: false,
        };
        steps.iter().map(step).collect()
    }

    /// How long it takes by the schedule alone, in seconds.
    pub fn length_s(self) -> u64 {
        self.steps().iter().map(|step| step.ramp_s + step.bake_s).sum()
    }

    /// Bounds of a release that may go this fast.
    pub fn bounds(self) -> Bounds {
        let steps = self.steps();
        let baked = &steps[..steps.len() - 1];
        Bounds {
            min_steps: u32::try_from(steps.len()).unwrap_or(1),
            max_first_pct: 100.0,
            min_total_s: self.length_s().min(3600),
            min_bake_s: baked.iter().map(|step| step.bake_s).min().unwrap_or(0),
            emergency_ok: false,
            rollback_to: Vec::new(),
        }
    }
}
