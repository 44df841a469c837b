//! What requests cost, and what the formula for it says.

use serde::Serialize;

use super::case::{Case, Polls};
use super::tally::Requests;

/// Dollars for a million of `GET`s and `HEAD`s: the list price of S3 Standard in November 2026.
pub(super) const GET: f64 = 0.40;

/// Dollars for a million of `PUT`s and of pages of lists.
pub(super) const PUT: f64 = 5.0;

/// The share of hosts that list a shard before they start.
const AUDITS: f64 = crate::fleet::host::AUDITED;

/// Other reads of a host in a rollout, each once.
const READS: f64 = 3.0;

/// What a rollout cost.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Cost {
    /// In dollars.
    pub rollout: f64,
    /// What the formula says of it; the lists of stewards are in it as they were, and so is how late steps opened.
    pub formula: f64,
    /// Of `rollout`: what the lists cost, those of stewards above all.
    pub lists: f64,
    /// A month of polls alone.
    pub month: f64,
    /// What the formula says of that.
    pub month_formula: f64,
}

/// How long polls are counted before a rollout begins, in seconds: an interval in which everybody boots, and this.
pub(super) const IDLE: u64 = 3600;

/// Thirty days, in seconds.
const MONTH: f64 = 30.0 * 86_400.0;

/// What a rollout of `seconds` to `started` hosts should cost without the lists of stewards: polls, two reports a host,
/// reads at the gate, the lists of hosts that look themselves, and what stewards ask for in each round. `late` is how long
/// hosts waited for steps that opened after the earliest time of the plan, all together: in that time they poll as often as
/// while their step is open, and read the roll-up each time. A third of what a plan costs whose steps are watched for less
/// than a switch takes.
#[allow(clippy::cast_precision_loss, reason = "hosts and seconds")]
pub(super) fn formula(case: &Case, seconds: u64, started: u64, late: u64) -> f64 {
    let (hosts, started) = (f64::from(case.hosts), started as f64);
    // Within an interval before its turn a host polls as often as while its step is open.
    let near = (case.poll_s as f64 / case.open_s as f64 - 1.0).max(0.0);
    let polls = hosts * seconds as f64 / case.poll_s as f64 + near * (started + late as f64 / case.poll_s as f64);
    // Head, roll-up and latch; before that the manifest, the artifact, and a look whether the step is open.
    let gate = (3.0 + READS) * started + late as f64 / case.open_s as f64;
    let rounds = seconds as f64 / case.stewards.every_s as f64;
    let stewards = f64::from(case.stewards.many);
    // Head, post and roll-up; a post is renewed in each round, and one of them writes.
    let (asks, writes) = (3.0 * stewards * rounds, (stewards + 1.0) * rounds);
    (polls + gate + asks) * GET / 1e6 + (2.0 * started + AUDITS * started + writes) * PUT / 1e6
}

/// What a month of polls costs.
#[allow(clippy::cast_precision_loss, reason = "seconds")]
pub(super) fn month(case: &Case) -> f64 {
    f64::from(case.hosts) * MONTH / case.poll_s as f64 * GET / 1e6
}

#[allow(clippy::cast_precision_loss, reason = "requests")]
pub(super) fn of(case: &Case, requests: &Requests, idle: u64, seconds: u64, (started, late): (u64, u64)) -> Cost {
    let price = |count: u64, million: f64| count as f64 * million / 1e6;
    let lists = price(requests.list, PUT);
    let rollout = price(requests.get, GET) + price(requests.put, PUT) + lists;
    let audits = price(started, PUT) * AUDITS;
    Cost {
        rollout,
        formula: formula(case, seconds, started, late) + (lists - audits).max(0.0),
        lists,
        month: if case.polls == Polls::Skip { 0.0 } else { price(idle, GET) * MONTH / IDLE as f64 },
        month_formula: month(case),
    }
}
