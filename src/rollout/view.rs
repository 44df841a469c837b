//! What a rollout looks like to a person: one document for the terminal, the page, and whoever reads JSON.

mod body;
mod look;
mod next;
mod steps;
#[cfg(test)]
pub(crate) mod tests;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::failure::Reported;
use crate::fleet::cohort::HostId;
use crate::fleet::evidence::Code;
use crate::fleet::head::OpenHead;
use crate::fleet::names::Names;
use crate::fleet::rule::Halt;
use crate::fleet::store::Store;

pub use look::Looker;

/// The layout of a [`View`]. It rises when a member changes its meaning or goes; new members may come at any time.
pub const SCHEMA: u32 = 1;

/// A rollout at one moment. What hosts said (`failing`, `notes`) is their word: whoever shows it escapes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct View {
    /// [`SCHEMA`].
    pub schema: u32,
    /// When this was seen, by the store's clock.
    pub at: Timestamp,
    /// The product.
    pub product: String,
    /// The channel.
    pub channel: String,
    /// The release that is rolled out.
    pub release: String,
    /// The releases it may replace; none = any that its manifest lets.
    pub base: Vec<String>,
    /// The rollout.
    pub rollout: String,
    /// The number of its signed state.
    pub seq: u64,
    /// Which try it is, from 1.
    pub attempt: u16,
    /// How it stands.
    pub state: Standing,
    /// When it began.
    pub t0: Timestamp,
    /// Until when its signed state may be acted on.
    pub valid_until: Timestamp,
    /// What stopped it.
    pub halt: Option<Halted>,
    /// What happens next.
    pub next: Next,
    /// Its rings, in their order.
    pub rings: Vec<Ring>,
    /// Hosts, by how far they are.
    pub hosts: Hosts,
    /// Bad and silent hosts, newest first, as far as the roll-up lists them.
    pub failing: Vec<Failing>,
    /// How many more there are.
    pub failing_more: u64,
    /// Leases that are held, by group.
    pub leases: Vec<Leases>,
    /// What the figures rest on.
    pub rollup: Basis,
    /// What somebody should know beside it: clocks, clones, documents that make no sense.
    pub notes: Vec<String>,
    /// About what the requests cost.
    pub cost: Cost,
}

/// How a rollout stands: the word of its signed state, or what outweighs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Hosts start.
    Running,
    /// Nobody starts, because the figures are too old.
    Held,
    /// Nobody starts: an operator said so.
    Paused,
    /// Nobody starts: it went wrong.
    Halted,
    /// Nobody starts: the signed state is out of date.
    Expired,
    /// Nobody starts, ever.
    Aborted,
    /// Every host may have it.
    Done,
}

impl Standing {
    /// Each of them.
    pub const ALL: [Standing; 7] = [
        Standing::Running,
        Standing::Held,
        Standing::Paused,
        Standing::Halted,
        Standing::Expired,
        Standing::Aborted,
        Standing::Done,
    ];

    /// The word, as JSON has it too.
    pub fn word(self) -> &'static str {
        match self {
            Standing::Running => "running",
            Standing::Held => "held",
            Standing::Paused => "paused",
            Standing::Halted => "halted",
            Standing::Expired => "expired",
            Standing::Aborted => "aborted",
            Standing::Done => "done",
        }
    }
}

impl Halted {
    /// As many digits of a latch's digest as name it to people.
    pub fn short(sha256: &str) -> &str {
        sha256.get(..12).unwrap_or(sha256)
    }
}

/// What stopped a rollout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Halted {
    /// The key of the latch; `None`: the signed state itself says `halted`, or the rule does and nobody has made one.
    pub latch: Option<String>,
    /// The SHA-256 of the latch, which `resume --ack` names.
    pub sha256: Option<String>,
    /// When it was made.
    pub at: Option<Timestamp>,
    /// Who made it.
    pub by: Option<String>,
    /// Which rule, with its figures.
    pub rule: Option<Halt>,
    /// One sentence.
    pub text: String,
}

/// What happens next, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Next {
    /// One sentence.
    pub text: String,
    /// The time that goes with it.
    pub at: Option<Timestamp>,
}

/// A ring.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ring {
    /// Its name.
    pub name: String,
    /// About how many hosts it has; 0 = not known.
    pub hosts: u64,
    /// Its steps, in their order.
    pub steps: Vec<Step>,
}

/// A step of a ring.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// From 1.
    pub number: usize,
    /// Up to which share of the ring, in per cent.
    pub pct: f64,
    /// About how many hosts it has of its own; 0 = not known.
    pub expected: u64,
    /// Hosts that have started.
    pub started: u64,
    /// Of these: well.
    pub ok: u64,
    /// Of these: rolled back or unhealthy.
    pub bad: u64,
    /// Of these: silent for too long.
    pub overdue: u64,
    /// Hosts that will not take it.
    pub declined: u64,
    /// When it opens, or did.
    pub opens: Option<Timestamp>,
    /// When the last of its hosts may start.
    pub full: Option<Timestamp>,
    /// Until when it is watched.
    pub bakes_until: Option<Timestamp>,
    /// When it had passed.
    pub passed_at: Option<Timestamp>,
    /// How it stands.
    pub state: Word,
    /// What it waits for.
    pub waits: Option<String>,
}

/// How a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    /// Nobody knows yet when it opens.
    Closed,
    /// It opens at a known time.
    Opens,
    /// Its hosts start.
    Filling,
    /// Its hosts could start, and may not: the rollout does not go on.
    Stopped,
    /// All may have started, and it is watched.
    Baking,
    /// Its time is over, and its figures are not there yet.
    Waiting,
    /// The next may open.
    Passed,
}

impl Word {
    /// The word, as JSON has it too.
    pub fn word(self) -> &'static str {
        match self {
            Word::Closed => "closed",
            Word::Opens => "opens",
            Word::Filling => "filling",
            Word::Stopped => "stopped",
            Word::Baking => "baking",
            Word::Waiting => "waiting",
            Word::Passed => "passed",
        }
    }
}

/// Hosts, by how far they are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hosts {
    /// Hosts that have said in the inventory that they exist; `None`: nobody has.
    pub inventory: Option<u64>,
    /// Whether there may be more of them than were counted.
    pub inventory_at_least: bool,
    /// About how many the plan has; 0 = not known.
    pub planned: u64,
    /// Not started, as far as that can be said.
    pub waiting: u64,
    /// Started, and nothing more is known.
    pub under_way: u64,
    /// Well.
    pub ok: u64,
    /// Rolled back or unhealthy.
    pub bad: u64,
    /// Silent for too long.
    pub overdue: u64,
    /// Will not take it.
    pub declined: u64,
}

/// A host that is bad or silent. Everything but the times is its own word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failing {
    /// Which.
    pub host: HostId,
    /// What it is called.
    pub name: Option<String>,
    /// The ring, by name, and the step, from 1, that it started in.
    pub place: Option<(String, usize)>,
    /// The code; `silent` for one that says nothing.
    pub code: Code,
    /// A sentence of it.
    pub reason: Option<String>,
    /// The end of its log.
    pub log: Option<String>,
    /// The version it came from.
    pub from: Option<String>,
    /// How far the store's clock was ahead of its own, in seconds.
    pub clock_ahead_s: Option<i64>,
    /// Which try that was; `None`: its evidence was not found.
    pub attempt: Option<u16>,
    /// When it was reported.
    pub at: Timestamp,
}

/// The leases of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leases {
    /// The group.
    pub group: String,
    /// How many are held.
    pub used: u64,
    /// How many there can be, where the plan says so.
    pub slots: Option<u32>,
}

/// What the figures rest on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Basis {
    /// When the evidence was read; `None`: nobody has read any.
    pub as_of: Option<Timestamp>,
    /// How long ago, in seconds.
    pub age_s: Option<u64>,
    /// Whether that is too long ago for anything to go on.
    pub stale: bool,
    /// How many stewards there are now; `None`: that could not be asked.
    pub stewards: Option<u64>,
    /// Hosts seen with two boots at once.
    pub clones: u64,
}

/// About what the requests cost, in US dollars at the list prices of S3 Standard ($0.40 for a million reads, $5 for a
/// million writes or lists). Traffic is not in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// For how many hosts.
    pub hosts: u64,
    /// Polls and the daily inventory of a month in which nothing is rolled out.
    pub idle_month: f64,
    /// The same with a step open all the time.
    pub open_month: f64,
    /// What one rollout adds: evidence, the gate, one comparison each.
    pub rollout: f64,
}

impl Cost {
    /// For `hosts` that poll every so many seconds.
    pub fn of(hosts: u64, idle_s: u64, open_s: u64) -> Cost {
        #[allow(clippy::cast_precision_loss, reason = "of hosts, of seconds")]
        let (many, month) = (hosts as f64, |every: u64| 30.0 * 86_400.0 / every.max(1) as f64);
        let (read, write) = (0.4e-6, 5e-6);
        let monthly = |every: u64| many * (month(every) * read + 30.0 * write);
        Cost {
            hosts,
            idle_month: monthly(idle_s),
            open_month: monthly(open_s),
            rollout: many * (2.0 * write + 3.0 * read + write),
        }
    }
}

impl View {
    /// Looks at a rollout once. [`Looker`] is for whoever looks again.
    ///
    /// Fails as [`Looker::look`] does.
    pub fn gather(store: &mut dyn Store, names: &Names, keys: &dyn OpenHead, now: Timestamp) -> Result<View, Reported> {
        Looker::new(names.clone()).look(store, keys, now)
    }

    /// Everything in it that does not change by itself, for whoever compares.
    #[must_use]
    pub fn steady(&self) -> View {
        let mut view = self.clone();
        view.at = view.t0;
        view.rollup.age_s = None;
        view
    }
}
