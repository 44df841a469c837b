//! The first signed state of a rollout.

use super::profile::Plan;
use super::{Desk, RolloutError};
use crate::clock::Timestamp;
use crate::fleet::bounds::EMERGENCY;
use crate::fleet::cohort::Shards;
use crate::fleet::head::Head;
use crate::fleet::plan::{Match, OnHalt, Phase, Ring, with_scouts};
use crate::fleet::rule::{self, FEW_HOSTS};

/// What is to be rolled out, and how.
#[derive(Debug, Clone)]
pub struct Start {
    /// The release.
    pub release: String,
    /// The plan.
    pub plan: Plan,
    /// The releases that hosts may come from; none = any.
    pub base: Vec<String>,
    /// How many hosts there are, where the operator says so; else those of the inventory.
    pub hosts: Option<u64>,
    /// Sorts the hosts; `None` = the release.
    pub salt: Option<String>,
    /// When it begins; `None` = once every host has had the time to see it ([`rule::notice`]).
    pub at: Option<Timestamp>,
    /// The rollout's name; `None` = one with the day in it.
    pub rollout: Option<String>,
    /// The highest number that hosts have seen, where nothing in the bucket says so; else 0.
    pub at_least_seq: u64,
}

/// How often hosts poll that have seen no head yet, in seconds: `interval`, where it was not set otherwise.
const FIRST_POLL: u64 = 300;

/// The most hosts whose labels are read to count the hosts of a ring.
const MOST_READ: usize = 1000;

/// The head that begins it; number, nonce and validity are still to come. `before` is the head that is there.
pub(super) fn head(desk: &mut Desk<'_>, start: &Start, before: Option<&Head>) -> Result<Head, RolloutError> {
    let now = desk.now();
    let keys = desk.keys(&desk.names.inventories(), 1_000_000)?;
    let hosts = start.hosts.unwrap_or(keys.len() as u64);
    let mut rings = rings(desk, &start.plan, hosts, keys.into_iter().map(|(key, _)| key).collect())?;
    if let Some(last) = rings.last_mut().filter(|ring| ring.min_hosts == 0) {
        last.min_hosts =
            least(last.hosts, desk.release(&start.release)?.bounds.max_first_pct.min(EMERGENCY.max_first_pct));
    }
    let rollout = match &start.rollout {
        Some(named) => named.clone(),
        None => name(desk, now)?,
    };
    let plan = &start.plan;
    let everybody = rings.last().map_or(0, |ring| ring.hosts);
    let steps = if plan.scouts { with_scouts(&plan.steps, everybody) } else { plan.steps.clone() };
    Ok(Head {
        v: 1,
        product: desk.names.product().to_owned(),
        channel: desk.names.channel().to_owned(),
        seq: start.at_least_seq,
        nonce: String::new(),
        valid_until: now,
        rollout,
        release: start.release.clone(),
        base: start.base.clone(),
        salt: start.salt.clone().unwrap_or_else(|| start.release.clone()),
        state: Phase::Running,
        t0: start.at.unwrap_or_else(|| {
            // Hosts poll as the head that is there tells them.
            let idle = before.map_or(FIRST_POLL, |before| before.poll_s.idle);
            Timestamp(now.0.saturating_add(rule::notice(idle)))
        }),
        rings,
        steps,
        gate: plan.gate_for(hosts),
        on_halt: OnHalt::Hold,
        windows: plan.windows.clone(),
        lease: plan.lease.clone(),
        poll_s: plan.poll_s,
        // A host that was pinned stays so, whatever is rolled out to the others.
        pins: before.map(|before| before.pins.clone()).unwrap_or_default(),
        attempt: 1,
        ack: None,
        shards: Shards::for_hosts(hosts),
        ok_sample: plan.ok_sample,
        promoted: None,
        supersede: plan.supersede,
        hold_unmatched: plan.hold_unmatched,
    })
}

/// How many hosts the first step has at least: of fewer than [`FEW_HOSTS`] a single failure that has nothing to do with the
/// release holds a rollout for ever. Never more than the bounds let it have,
/// those of a way back among them.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "of hosts")]
fn least(hosts: u64, max_first_pct: f64) -> u64 {
    FEW_HOSTS.min((hosts as f64 * max_first_pct / 100.0) as u64)
}

/// The rings of the plan, with their hosts counted; after them one of all others, unless the plan has one.
fn rings(desk: &mut Desk<'_>, plan: &Plan, hosts: u64, keys: Vec<String>) -> Result<Vec<Ring>, RolloutError> {
    let mut rings = plan.rings.clone();
    let everybody = |ring: &Ring| ring.matches.labels.is_empty() && ring.matches.hosts.is_empty();
    let labelled = rings.iter().any(|ring| ring.hosts == 0 && !ring.matches.labels.is_empty());
    if labelled && keys.len() <= MOST_READ {
        let mut said = Vec::new();
        for key in keys {
            said.extend(desk.inventory(&key)?);
        }
        for ring in rings.iter_mut().filter(|ring| ring.hosts == 0 && !ring.matches.labels.is_empty()) {
            let has = |said: &&serde_json::Value| {
                ring.matches.labels.iter().all(|(key, value)| said["labels"][key].as_str() == Some(value))
            };
            ring.hosts = said.iter().filter(has).count() as u64;
        }
    }
    for ring in rings.iter_mut().filter(|ring| ring.hosts == 0 && ring.matches.labels.is_empty()) {
        ring.hosts = ring.matches.hosts.len() as u64;
    }
    if !rings.iter().any(everybody) && !plan.hold_unmatched {
        rings.push(Ring {
            name: "all".to_owned(),
            matches: Match::default(),
            min_hosts: 0,
            delay_s: 0,
            steps: None,
            hosts: 0,
        });
    }
    let counted: u64 = rings.iter().map(|ring| ring.hosts).sum();
    if let Some(rest) = rings.iter_mut().find(|ring| everybody(ring) && ring.hosts == 0) {
        rest.hosts = hosts.saturating_sub(counted);
    }
    Ok(rings)
}

/// `r-2026-11-22-1`: the day, and the first number that is free.
fn name(desk: &mut Desk<'_>, now: Timestamp) -> Result<String, RolloutError> {
    let day = &now.to_string()[..10];
    let prefix = format!("{}r-{day}-", desk.names.rollouts());
    let taken = desk.keys(&prefix, 100_000)?;
    let number = |(key, _): &(String, Timestamp)| key[prefix.len()..].split('/').next()?.parse::<u32>().ok();
    let last = taken.iter().filter_map(number).max().unwrap_or(0);
    Ok(format!("r-{day}-{}", last.saturating_add(1)))
}
