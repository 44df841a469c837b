//! Why a host has the release, or has it not yet.

use std::collections::BTreeMap;

use serde::Serialize;

use super::effect::{earliest, word};
use super::hosts::{self, Host};
use super::{Desk, RolloutError, seen};
use crate::clock::Timestamp;
use crate::fleet::cohort::HostId;
use crate::fleet::evidence::Place;
use crate::fleet::head::Head;
use crate::fleet::lease;
use crate::fleet::plan::{Phase, is_host};
use crate::fleet::rollup::Rollup;
use crate::fleet::rule::{self, NotPassed};

/// Figures older than that let nothing start, in seconds.
const STALE_S: u64 = 600;

/// What is known of one host in one rollout.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explained {
    /// The host.
    pub host: HostId,
    /// What its operator calls it.
    pub name: Option<String>,
    /// Whether its labels are known.
    pub inventory: bool,
    /// Whether it has ever said anything in this bucket. One that is still to come is explained by its name alone.
    pub seen: bool,
    /// Which host was probably meant, if this one was never seen.
    pub near: Option<String>,
    /// Its ring and its step, from 1.
    pub ring: Option<String>,
    /// Its step in the ring, from 1.
    pub step: Option<u8>,
    /// Where it stands among all hosts of its ring, from 0 to below 1.
    pub position: f64,
    /// Where it stands within its step's ramp.
    pub within: Option<f64>,
    /// The earliest time at which it may start, if everything before goes well.
    pub earliest: Option<Timestamp>,
    /// What it has said.
    pub said: Option<Host>,
    /// What keeps it from starting now, the first of them the one that matters.
    pub blocks: Vec<Block>,
}

/// What keeps a host from starting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Block {
    /// One word: `state`, `halt`, `expired`, `pin`, `ring`, `turn`, `gate`, `steward`, `window`, `denylist`, `done`,
    /// `lease`.
    pub what: &'static str,
    /// In a sentence.
    pub why: String,
}

/// Explains a host, by id or by name.
///
/// What only the host knows (its clock, a pin or a hold of its own, whether it can be reached) is not seen from here:
/// `fetchd status` on the host says that.
pub fn explain(desk: &mut Desk<'_>, head: &Head, asked: &str) -> Result<Explained, RolloutError> {
    let host: HostId = asked.parse().unwrap_or_else(|_| HostId::named(asked));
    let said = desk.inventory(&desk.names.inventory(&host.shard(head.shards), host))?;
    let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
    let by_id = asked.parse::<HostId>().is_ok();
    let name = said.as_ref().and_then(|said| text(&said["name"])).or_else(|| (!by_id).then(|| asked.to_owned()));
    let labels: BTreeMap<String, String> = said
        .as_ref()
        .and_then(|said| said["labels"].as_object())
        .map(|labels| labels.iter().filter_map(|(key, value)| Some((key.clone(), text(value)?))).collect())
        .unwrap_or_default();
    let rollup = desk.rollup(head)?;
    let halted = desk.halted(head)?;
    let now = desk.now();
    let turn = rule::turn(head, host, name.as_deref(), &labels);
    let ramp = turn.map(|turn| {
        let step = &head.steps_of(usize::from(turn.place.ring))[usize::from(turn.place.step)];
        #[allow(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "seconds"
        )]
        let wait = (turn.within * step.ramp_s as f64) as u64;
        wait
    });
    let opens = turn.and_then(|turn| earliest(head, rollup.as_ref(), turn.place));
    let earliest = opens.zip(ramp).map(|(opens, wait)| Timestamp(opens.0.saturating_add(wait)));
    let reported = hosts::host(desk, head, host)?;

    let seen = said.is_some() || reported.is_some() || seen::is_seen(desk, asked)?;
    let near = if seen { None } else { seen::nearest(asked, seen::names(desk)?.iter().map(String::as_str)) };

    let mut blocks = Vec::new();
    let mut block = |what, why: String| blocks.push(Block { what, why });
    match reported.as_ref().map(|said| said.state) {
        Some(hosts::Word::Ok) => block("done", "it has the release, and is well".to_owned()),
        Some(hosts::Word::Started | hosts::Word::Overdue) => block("done", "it has started already".to_owned()),
        Some(hosts::Word::Bad) if reported.as_ref().is_some_and(|said| said.attempt >= head.attempt) => {
            block("denylist", format!("it was bad in attempt {}; `fetchd fleet retry` begins another", head.attempt));
        }
        _ => {}
    }
    if let Some(pin) = head.pins.iter().find(|pin| is_host(&pin.host, host, name.as_deref())) {
        let on = pin.release.as_ref().map_or("what it has".to_owned(), |release| format!("`{release}`"));
        block("pin", format!("it is pinned to {on}"));
    }
    if !matches!(head.state, Phase::Running | Phase::Done) {
        block("state", format!("the rollout is {}", word(head.state)));
    }
    if let Some(halted) = &halted {
        block("halt", format!("the rollout has halted: `{}`", halted.key));
    }
    if now > head.valid_until {
        block("expired", format!("the signed state has expired at {}; `fetchd fleet renew`", head.valid_until));
    }
    match turn {
        None => block("ring", "no ring of the plan has it".to_owned()),
        Some(turn) => {
            let open = rule::opens(head, rollup.as_ref(), turn.place);
            if open.is_none() {
                block("gate", gate(head, rollup.as_ref(), turn.place, now));
            } else if let Some(at) = earliest.filter(|at| now < *at) {
                block("turn", format!("its turn comes at {at}"));
            }
            let aged = rollup.as_ref().map_or(head.t0, |rollup| rollup.as_of);
            if head.state == Phase::Running && now.since(aged).as_secs() > STALE_S {
                block("steward", format!("no steward has counted since {aged}: no news, no progress"));
            }
            if let Err(next) = rule::window(&head.windows, &labels, now) {
                block("window", format!("its maintenance window opens at {next}"));
            }
            if let Some(lease) = &head.lease {
                leases(desk, &lease.group, lease.slots, &labels, now, &mut blocks)?;
            }
        }
    }
    Ok(Explained {
        host,
        name,
        inventory: said.is_some(),
        seen,
        near,
        ring: turn.map(|turn| head.rings[usize::from(turn.place.ring)].name.clone()),
        step: turn.map(|turn| turn.place.step + 1),
        position: host.position(&head.salt),
        within: turn.map(|turn| turn.within),
        earliest,
        said: reported,
        blocks,
    })
}

/// Says so if every slot of the host's group is taken.
fn leases(
    desk: &mut Desk<'_>,
    group: &str,
    slots: u32,
    labels: &BTreeMap<String, String>,
    now: Timestamp,
    blocks: &mut Vec<Block>,
) -> Result<(), RolloutError> {
    let Some(group) = lease::group(group, labels) else {
        let why = format!("`{group}` is no name of a group with the labels of this host");
        blocks.push(Block { what: "lease", why });
        return Ok(());
    };
    let mut held = Vec::new();
    for slot in 0..slots.min(64) {
        let said = desk.inventory(&desk.names.lease(&group, slot))?;
        let until = said.as_ref().and_then(|said| said["until"].as_str()?.parse::<Timestamp>().ok());
        if until.is_some_and(|until| until > now) {
            held.push(said.and_then(|said| said["host"].as_str().map(str::to_owned)).unwrap_or_default());
        }
    }
    if held.len() == slots as usize {
        let who: Vec<String> = held.into_iter().take(5).collect();
        blocks.push(Block {
            what: "lease",
            why: format!("all {slots} slots of `{group}` are held, by {}", who.join(", ")),
        });
    }
    Ok(())
}

/// What the step before this one, or one before that, still lacks.
fn gate(head: &Head, rollup: Option<&Rollup>, place: Place, now: Timestamp) -> String {
    if head.steps_of(usize::from(place.ring))[usize::from(place.step)].manual {
        return "its step opens when somebody promotes it".to_owned();
    }
    let Some(rollup) = rollup else { return "no steward has counted yet, so no step has passed".to_owned() };
    let missing = |at: &Place| rollup.step(*at).is_none_or(|count| count.passed_at.is_none());
    let Some(at) = rule::places(head).take_while(|at| *at < place).find(missing) else {
        return "it has not opened yet".to_owned();
    };
    let (ring, step) = (&head.rings[usize::from(at.ring)].name, at.step + 1);
    match rule::passed(head, rollup, at, now) {
        Err(why) => format!("step {step} of ring `{ring}` has not passed: {}", not_passed(why)),
        Ok(()) => format!("step {step} of ring `{ring}` has passed, and no steward has said so yet"),
    }
}

fn not_passed(not: NotPassed) -> String {
    match not {
        NotPassed::Closed => "it is not open itself".to_owned(),
        NotPassed::Bakes { until } => format!("it is watched until {until}"),
        NotPassed::Few { started, needed } => format!("{started} of its hosts have started, {needed} are needed"),
        NotPassed::Unwell { ok, started } => format!("{ok} of the {started} hosts that started are well"),
        NotPassed::Halts => "the rollout stops".to_owned(),
    }
}
