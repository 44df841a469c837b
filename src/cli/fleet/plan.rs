//! `fetchd fleet start` and `rollback`: the rollout of a release, and the way back.

use clap::ArgMatches;

use super::confirm::carry_out;
use crate::cli::release::Day;
use crate::cli::{Failed, Out};
use crate::clock::Timestamp;
use crate::failure::{Exit, Reported};
use crate::fleet::plan::{self, Lease, Match, Ring, Step, Window};
use crate::rollout::{Desk, Plan, Proposal, RolloutError, Start, seen};
use crate::units::parse_duration;

pub(super) fn start(matches: &ArgMatches, out: &mut Out) -> Result<Exit, Reported> {
    let start = asked(matches, "release")?;
    let supersede = matches.get_flag("supersede");
    carry_out("fleet start", matches, out, &|desk, good_for| {
        let proposal = Proposal::start(desk, &start, supersede, good_for)?;
        is_seen(desk, &start, matches)?;
        Ok(proposal)
    })
}

pub(super) fn rollback(matches: &ArgMatches, out: &mut Out) -> Result<Exit, Reported> {
    let start = asked(matches, "to")?;
    carry_out("fleet rollback", matches, out, &|desk, good_for| {
        let proposal = Proposal::rollback(desk, &start, good_for)?;
        is_seen(desk, &start, matches)?;
        Ok(proposal)
    })
}

fn is_seen(desk: &mut Desk<'_>, start: &Start, matches: &ArgMatches) -> Result<(), RolloutError> {
    if matches.get_flag("unseen") { Ok(()) } else { seen::start(desk, start) }
}

fn asked(matches: &ArgMatches, release: &str) -> Result<Start, Reported> {
    let text = |id: &str| matches.get_one::<String>(id).cloned();
    let all = |id: &str| matches.get_many::<String>(id).unwrap_or_default().cloned().collect::<Vec<String>>();
    let mut plan = Plan::open(&text("plan").unwrap_or_default())?;
    let mut rings = all("ring").iter().map(|text| ring(text)).collect::<Result<Vec<Ring>, Reported>>()?;
    for ring in rings.iter_mut().filter(|ring| ring.matches.labels.is_empty() && !ring.matches.hosts.is_empty()) {
        // A few hosts by name come all at once, and are watched as long as the first step is.
        let bake_s = plan.steps.first().map_or(0, |step| step.bake_s);
        ring.steps = Some(vec![Step { pct: 100.0, not_before: None, ramp_s: 0, bake_s, manual: false }]);
    }
    // Before those of the plan, of which the last may be everybody.
    plan.rings.splice(0..0, rings);
    for given in all("window") {
        plan.windows.push(window(&given)?);
    }
    if let Some(given) = text("lease") {
        plan.lease = Some(lease(&given)?);
    }
    Ok(Start {
        release: text(release).unwrap_or_default(),
        plan,
        base: all("base"),
        hosts: matches.get_one("hosts").copied(),
        salt: text("salt"),
        at: matches.get_one::<Day>("at").and_then(|day| day.from(Timestamp::now())),
        rollout: text("rollout"),
        at_least_seq: matches.get_one("at-least-seq").copied().unwrap_or(0),
    })
}

/// `canary,host=web-1,ring=0,min=2,delay=24h`.
fn ring(text: &str) -> Result<Ring, Reported> {
    let wrong = |why: &str| {
        usage(format!("`{text}` is not a ring: {why}"), "write it as `canary,host=web-1` or `eu,az=eu-1,delay=24h`")
    };
    let mut parts = text.split(',');
    let name = parts.next().filter(|name| !name.is_empty() && !name.contains('='));
    let name = name.ok_or_else(|| wrong("its name comes first"))?.to_owned();
    let mut ring = Ring { name, matches: Match::default(), min_hosts: 0, delay_s: 0, steps: None, hosts: 0 };
    for part in parts {
        let (key, value) = part.split_once('=').ok_or_else(|| wrong("a part of it has no `=`"))?;
        let number = || value.parse::<u64>().map_err(|_| wrong("a number of it is none"));
        match key {
            "host" => ring.matches.hosts.push(value.to_owned()),
            "count" => ring.hosts = number()?,
            "min" => ring.min_hosts = number()?,
            "delay" => ring.delay_s = parse_duration(value).map_err(|error| wrong(&error.to_string()))?.as_secs(),
            label => drop(ring.matches.labels.insert(label.to_owned(), value.to_owned())),
        }
    }
    Ok(ring)
}

/// `{az}:2`, `{az}:2:hold`.
fn lease(text: &str) -> Result<Lease, Reported> {
    let (rest, hold_on_failure) = text.strip_suffix(":hold").map_or((text, false), |rest| (rest, true));
    if rest.ends_with('%') {
        let hint = "no host can know how many others its group has: write a number, `{az}:2`";
        return Err(usage(format!("`{text}` is not a lease: its slots are a share"), hint));
    }
    let parsed = rest.rsplit_once(':').and_then(|(group, slots)| Some((group.to_owned(), slots.parse().ok()?)));
    let (group, slots) = parsed
        .filter(|(_, slots)| *slots > 0)
        .ok_or_else(|| usage(format!("`{text}` is not a lease"), "write it as `{az}:2`, the group and its slots"))?;
    Ok(Lease { group, slots, hold_on_failure })
}

/// `22:00-04:00`, `mon,tue 22:00-04:00`.
fn window(text: &str) -> Result<Window, Reported> {
    let wrong =
        || usage(format!("`{text}` is not a window"), "write it in UTC, as `22:00-04:00` or `sat,sun 08:00-20:00`");
    let (days, times) = text.rsplit_once(' ').unwrap_or(("", text));
    let (start, end) = times.split_once('-').ok_or_else(wrong)?;
    let days = days.split(',').filter(|day| !day.is_empty());
    let days = days.map(|day| day_of(day).ok_or_else(wrong)).collect::<Result<_, _>>()?;
    Ok(Window {
        days,
        start: start.to_owned(),
        end: end.to_owned(),
        labels: std::collections::BTreeMap::new(),
        until: None,
    })
}

fn day_of(text: &str) -> Option<plan::Day> {
    use plan::Day::{Fri, Mon, Sat, Sun, Thu, Tue, Wed};
    let days = [("mon", Mon), ("tue", Tue), ("wed", Wed), ("thu", Thu), ("fri", Fri), ("sat", Sat), ("sun", Sun)];
    days.into_iter().find(|(name, _)| *name == text.trim()).map(|(_, day)| day)
}

fn usage(message: String, hint: &str) -> Reported {
    Failed::Usage { message, hint: hint.to_owned() }.into()
}
