//! A view as text, for a terminal of 80 columns and no colour.

use std::time::Duration;

use super::plain;
use super::view::{Failing, Halted, Hosts, Ring, Step, View, Word};
use crate::clock::Timestamp;
use crate::units::show_duration;

/// How wide the bar of a step is, in characters.
const BAR: usize = 20;

/// How wide a line is.
const WIDTH: usize = 80;

/// So many failing hosts are shown; JSON and the page have all.
const FAILING: usize = 5;

/// So many lines of a log.
const LOG: usize = 4;

/// The lines of a view.
///
/// Bars: `#` well, `+` under way, `!` bad or silent, `.` not started.
pub fn lines(view: &View) -> Vec<String> {
    let shown = view.state.word().to_uppercase();
    let mut lines = vec![format!("{} {}  {}  {shown}", view.product, view.channel, view.release)];
    let mut row = |name: &str, text: &str| lines.extend(wrapped(name, text));
    row("rollout", &format!("{}, attempt {}, state {}, since {}", view.rollout, view.attempt, view.seq, view.t0));
    if let Some(halt) = &view.halt {
        let by = halt.by.as_deref().map(|by| format!(", by {}", plain::line(by, 64))).unwrap_or_default();
        let at = halt.at.map(|at| format!(", at {at}")).unwrap_or_default();
        row("HALTED", &format!("{}{at}{by}", halt.text));
        if let Some(sha256) = &halt.sha256 {
            row("", &format!("latch {sha256}"));
            row("", &format!("go on all the same: fetchd fleet resume --ack {}", Halted::short(sha256)));
        }
    }
    row("next", &sentence(view));
    for ring in &view.rings {
        lines.push(String::new());
        lines.push(heading(ring));
        for step in &ring.steps {
            lines.extend(of_step(step, view.at));
        }
    }
    lines.push(String::new());
    let mut row = |name: &str, text: &str| lines.extend(wrapped(name, text));
    row("hosts", &hosts(&view.hosts));
    row("figures", &figures(view));
    for leases in &view.leases {
        let of = leases.slots.map(|slots| format!(" of {slots}")).unwrap_or_default();
        row("leases", &format!("{}: {}{of} in use", leases.group, leases.used));
    }
    let cost = &view.cost;
    row(
        "cost",
        &format!(
            "about ${:.2} a month for {} idle hosts, ${:.2} with a step open; ${:.2} for one rollout",
            cost.idle_month, cost.hosts, cost.open_month, cost.rollout
        ),
    );
    row("valid until", &view.valid_until.to_string());
    for note in &view.notes {
        row("note", &plain::line(note, 300));
    }
    if !view.failing.is_empty() {
        lines.push(String::new());
        for host in view.failing.iter().take(FAILING) {
            lines.extend(failing(host, view.at));
        }
        let more = view.failing_more + view.failing.len().saturating_sub(FAILING) as u64;
        if more > 0 {
            lines.push(format!("… and {more} more: `fetchd fleet hosts --state bad`"));
        }
    }
    lines
}

/// What happens next, with its time.
pub fn sentence(view: &View) -> String {
    match view.next.at {
        Some(at) => format!("{} {at} ({})", view.next.text, relative(at, view.at)),
        None => view.next.text.clone(),
    }
}

/// `in 2h 5m`, `12m ago`, `now`: two units at most.
pub fn relative(at: Timestamp, now: Timestamp) -> String {
    let short = |apart: Duration| {
        let text = show_duration(apart);
        text.split(' ').take(2).collect::<Vec<_>>().join(" ")
    };
    if at > now {
        format!("in {}", short(at.since(now)))
    } else if at < now {
        format!("{} ago", short(now.since(at)))
    } else {
        "now".to_owned()
    }
}

/// `ring canary, about 5 hosts`.
fn heading(ring: &Ring) -> String {
    match ring.hosts {
        0 => format!("ring {}", ring.name),
        hosts => format!("ring {}, about {hosts} hosts", ring.name),
    }
}

fn of_step(step: &Step, now: Timestamp) -> Vec<String> {
    let figures = counts(step);
    let word = step.state.word();
    let when = match step.state {
        Word::Opens => step.opens,
        Word::Filling => step.full,
        Word::Baking => step.bakes_until,
        Word::Passed => step.passed_at,
        Word::Closed | Word::Waiting | Word::Stopped => None,
    };
    let when = when.map(|when| format!(", {}", relative(when, now))).unwrap_or_default();
    let mut lines = vec![format!("{:>3} {:>5} %  [{}]  {word}{when}", step.number, step.pct, bar(step))];
    // Below the words, so that a line fits.
    let below = match (&step.waits, step.started + step.declined > 0) {
        (Some(waits), true) => format!("{figures}; {waits}"),
        (Some(waits), false) => waits.clone(),
        (None, true) => figures,
        (None, false) => return lines,
    };
    lines.extend(folded(&below, WIDTH - 13).into_iter().map(|line| format!("{:13}{line}", "")));
    lines
}

/// `40 of about 90 started: 37 ok, 1 under way, 1 BAD, 1 SILENT`.
pub fn counts(step: &Step) -> String {
    let of = if step.expected > 0 { format!(" of about {}", step.expected) } else { String::new() };
    let under_way = step.started.saturating_sub(step.ok.saturating_add(step.bad).saturating_add(step.overdue));
    let parts = [
        (step.ok, "ok"),
        (under_way, "under way"),
        (step.bad, "BAD"),
        (step.overdue, "SILENT"),
        (step.declined, "declined"),
    ];
    let parts: Vec<String> =
        parts.iter().filter(|(many, _)| *many > 0).map(|(many, word)| format!("{many} {word}")).collect();
    let parts = if parts.is_empty() { String::new() } else { format!(": {}", parts.join(", ")) };
    format!("{}{of} started{parts}", step.started)
}

fn hosts(hosts: &Hosts) -> String {
    let known = match (hosts.inventory, hosts.planned) {
        (Some(known), _) if hosts.inventory_at_least => format!("at least {known} in the inventory; "),
        (Some(known), _) => format!("{known} in the inventory; "),
        (None, 0) => String::new(),
        (None, planned) => format!("about {planned} planned; "),
    };
    format!(
        "{known}{} ok, {} under way, {} bad, {} silent, {} declined, {} waiting",
        hosts.ok, hosts.under_way, hosts.bad, hosts.overdue, hosts.declined, hosts.waiting
    )
}

fn figures(view: &View) -> String {
    let stewards = match view.rollup.stewards {
        Some(1) => ", 1 steward".to_owned(),
        Some(many) => format!(", {many} stewards"),
        None => String::new(),
    };
    match view.rollup.as_of {
        Some(as_of) => {
            let old = if view.rollup.stale { ", TOO OLD" } else { "" };
            format!("counted {}{old}{stewards}", relative(as_of, view.at))
        }
        None => format!("nobody has counted yet{stewards}"),
    }
}

fn failing(host: &Failing, now: Timestamp) -> Vec<String> {
    let name = match &host.name {
        Some(name) => format!("{} ({})", plain::line(name, 64), host.host),
        None => host.host.to_string(),
    };
    let place = host.place.as_ref().map(|(ring, step)| format!(", step {step} of {ring}")).unwrap_or_default();
    let attempt = host.attempt.map(|attempt| format!(", attempt {attempt}")).unwrap_or_default();
    let mut lines = folded(&format!("FAILED {name}"), WIDTH);
    let told = format!("{} {}{place}{attempt}", host.code.as_str(), relative(host.at, now));
    lines.extend(folded(&told, WIDTH - 7).into_iter().map(|line| format!("       {line}")));
    if let Some(reason) = &host.reason {
        lines.extend(folded(&plain::line(reason, 300), WIDTH - 7).into_iter().map(|line| format!("       {line}")));
    }
    let log = host.log.as_deref().unwrap_or_default();
    lines.extend(plain::last_lines(log, LOG, WIDTH - 9).into_iter().map(|line| format!("       | {line}")));
    lines
}

/// The bar of a step: never all full while somebody is missing, never empty of what there is.
fn bar(step: &Step) -> String {
    let whole = step.expected.max(step.started).max(1);
    let failed = step.bad.saturating_add(step.overdue);
    let width = |many: u64| {
        let exact = u128::from(many) * BAR as u128 / u128::from(whole);
        usize::try_from(exact).unwrap_or(BAR).max(usize::from(many > 0))
    };
    let (bad, mut ok) = (width(failed), width(step.ok));
    let started = width(step.started).max(bad);
    ok = ok.min(started - bad);
    let under_way = started - bad - ok;
    format!("{}{}{}{}", "#".repeat(ok), "+".repeat(under_way), "!".repeat(bad), ".".repeat(BAR.saturating_sub(started)))
}

/// A row: its name in a column of its own, and the text beside it.
fn wrapped(name: &str, text: &str) -> Vec<String> {
    let lines = folded(text, WIDTH - 13).into_iter().enumerate();
    lines.map(|(at, line)| format!("{:<13}{line}", if at == 0 { name } else { "" })).collect()
}

/// A text in lines of at most `width` characters, broken between words where that is possible.
fn folded(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let mut word: Vec<char> = word.chars().collect();
        while let Some(last) = lines.last_mut() {
            let room = width.saturating_sub(last.chars().count() + usize::from(!last.is_empty()));
            if word.len() <= room {
                if !last.is_empty() {
                    last.push(' ');
                }
                last.extend(word);
                break;
            }
            if last.is_empty() {
                last.extend(word.drain(..width.min(word.len())));
            }
            lines.push(String::new());
        }
    }
    lines
}

#[cfg(test)]
mod tests;
