//! `fetchd status`.

use std::io::IsTerminal as _;
use std::time::Duration;

use clap::ArgMatches;

use super::{Out, operate};
use crate::agent::LastPass;
use crate::clock::Timestamp;
use crate::config::Place;
use crate::control::{self, ControlError, Line, Request, Status};
use crate::failure::{Exit, Reported};
use crate::fetch::{Harden, Hardening};
use crate::state::TrustState;
use crate::units::show_duration;

/// Prints what runs, what waits and what failed; with `--watch`, every change of it.
pub(super) fn status(matches: &ArgMatches, out: &mut Out) -> Result<Exit, Reported> {
    let place = operate::place(matches)?;
    if !matches.get_flag("watch-status") {
        let status = ask(&place)?;
        if out.json() {
            out.object(&Bare(&status))
        } else {
            text(&status).iter().for_each(|line| out.line(line))
        }
        return Ok(Exit::Done);
    }
    watch(&place, out)
}

fn watch(place: &Place, out: &mut Out) -> Result<Exit, Reported> {
    let redraw = !out.json() && std::io::stdout().is_terminal();
    let mut shown = String::new();
    loop {
        let status = ask(place)?;
        let lines = if out.json() { Vec::new() } else { text(&status) };
        let same = if out.json() { steady(&status) } else { lines.join("\n") };
        if same != shown {
            if out.json() {
                out.object(&Bare(&status));
            } else if redraw {
                // Home, then clear what was there: less flicker than clearing first.
                out.bytes(format!("\x1b[H\x1b[J{}\n", lines.join("\n")).as_bytes());
            } else {
                lines.iter().for_each(|line| out.line(line));
                out.line("");
            }
            shown = same;
        }
        if out.closed() {
            return Ok(Exit::Done);
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// The status without what changes by itself.
fn steady(status: &Status) -> String {
    let mut status = status.clone();
    status.uptime_ms = 0;
    status.service.generations.iter_mut().for_each(|generation| generation.uptime_ms = 0);
    serde_json::to_string(&status).unwrap_or_default()
}

fn ask(place: &Place) -> Result<Status, Reported> {
    match control::ask(&control::path(&place.state_dir), &Request::Status, PATIENCE, |_| {})? {
        Line::Status(status) => Ok(*status),
        _ => Err(ControlError::Refused("the supervisor gave another answer than was asked for".to_owned()).into()),
    }
}

/// The status without its own schema member: `Out` writes one.
struct Bare<'a>(&'a Status);

impl serde::Serialize for Bare<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut value = serde_json::to_value(self.0).map_err(serde::ser::Error::custom)?;
        if let Some(object) = value.as_object_mut() {
            object.remove("schema");
        }
        value.serialize(serializer)
    }
}

fn text(status: &Status) -> Vec<String> {
    let updates = &status.updates;
    let version = updates.version.as_deref().unwrap_or("unknown version");
    let digest =
        updates.sha256.as_deref().map(|sha256| format!(" ({})", &sha256[..8.min(sha256.len())])).unwrap_or_default();
    let mut lines = vec![format!("{}  {version}{digest}  {}", status.product, updates.doing)];
    let mut row = |name: &str, value: String| lines.push(format!("  {name:<14}{value}"));
    row("supervisor", format!("pid {}, up {}", status.pid, rounded(status.uptime_ms)));
    for (name, address) in &status.service.listeners {
        row("listening", format!("{name} {address}"));
    }
    for generation in &status.service.generations {
        let version = generation.version.as_deref().map(|version| format!(" {version}")).unwrap_or_default();
        let says = generation.status.as_deref().map(|says| format!(", says: {says}")).unwrap_or_default();
        let watched = if status.service.watching && generation.phase == "serving" { ", watched" } else { "" };
        let up = rounded(generation.uptime_ms);
        row(
            &format!("generation {}", generation.generation),
            format!("{}{version}, pid {}, up {up}{watched}{says}", generation.phase, generation.pid),
        );
    }
    match &updates.driver {
        Some(driver) => row("service", format!("run by somebody else, restarted by `{driver}`")),
        None if status.service.generations.is_empty() => row("service", "not running".to_owned()),
        None => {}
    }
    if let Some(why) = &status.supervisor {
        row("supervisor", format!("NOT REPLACED: {} [{}]", why.message, why.code));
    }
    if let Some(metrics) = &status.metrics {
        match &metrics.trouble {
            None => row("metrics", metrics.address.clone()),
            Some(why) => row("metrics", format!("NOT SERVED: {} [{}]", why.message, why.code)),
        }
    }
    if let Some(why) = &status.configuration {
        row("configuration", format!("NOT APPLIED: {} [{}]", why.message, why.code));
    }
    match (&updates.updates_off, &updates.source) {
        (Some(off), _) => {
            row("updates", format!("OFF: {} [{}] (exit {})", off.message, off.code, off.exit.number()));
            if let Some(hint) = &off.hint {
                row("", format!("hint: {hint}"));
            }
        }
        (None, Some(source)) => row("source", source.clone()),
        (None, None) => row("updates", "none: no source is configured".to_owned()),
    }
    #[cfg(feature = "fleet")]
    if let Some(fleet) = &updates.fleet {
        let name = fleet.name.clone().unwrap_or_else(|| fleet.host.to_string());
        row("fleet", format!("as {name}: {}", fleet.says));
        if fleet.shown.clock_is_off {
            let ahead = fleet.shown.clock_ahead_s.unwrap_or_default();
            row("", format!("this machine's clock is {ahead} s behind the bucket's"));
        }
        if fleet.shown.unsent > 0 {
            row("", format!("{} reports are still to be sent", fleet.shown.unsent));
        }
    }
    if let Some(keys) = &updates.keys {
        let expires = keys.expires.map_or_else(|| "never expires".to_owned(), |expires| format!("expires {expires}"));
        let needed = if keys.threshold > 1 { format!(", {} of them needed", keys.threshold) } else { String::new() };
        let release = keys.release.join(" ");
        let (version, epoch) = (keys.version, keys.epoch);
        row("keys", format!("version {version}, epoch {epoch}, {expires}, release keys {release}{needed}"));
    }
    if updates.trust_state == Some(TrustState::New) {
        row("trust", "new: nothing has been accepted since the state began".to_owned());
    }
    if let Some(held) = &updates.worker {
        row("worker", worker(held));
    }
    if let Some(LastPass { at, outcome, message, error }) = &updates.last {
        let code = error.as_ref().map(|error| format!(" [{}]", error.code)).unwrap_or_default();
        // `held: …` says it already.
        let said = message.starts_with(&format!("{}: ", outcome.replace('_', " ")));
        let outcome = if said { String::new() } else { format!("{outcome}: ") };
        row("last pass", format!("{at} {outcome}{message}{code}"));
        if let Some(hint) = error.as_ref().and_then(|error| error.hint.as_ref()) {
            row("", format!("hint: {hint}"));
        }
    }
    if let Some(next) = updates.next_poll {
        row("next poll", format!("in {}", show_duration(next.since(Timestamp::now()))));
    }
    if let Some(hold) = &updates.hold {
        let reason = hold.reason.as_deref().unwrap_or("no reason given");
        let until = hold.until.map_or_else(|| "until `fetchd unhold`".to_owned(), |until| format!("until {until}"));
        row("hold", format!("since {}, {until}: {reason}", hold.since));
    }
    if let Some(previous) = &updates.previous {
        row("previous", format!("{previous}, `fetchd rollback` returns to it"));
    }
    for bad in updates.quarantine.iter().rev().take(QUARANTINE_SHOWN) {
        let version = bad.version.as_ref().map(|version| format!("{version} ")).unwrap_or_default();
        let first = bad.reason.lines().next().unwrap_or_default();
        row("quarantine", format!("{version}({}) [{}] {first}", bad.sha256.short(), bad.code));
    }
    if updates.quarantined > QUARANTINE_SHOWN {
        let more = updates.quarantined - QUARANTINE_SHOWN;
        row("quarantine", format!("and {more} more, which `fetchd state show` lists"));
    }
    lines
}

/// `hardened (require): landlock 7, seccomp, no capabilities, no new privileges, user 998, limits`.
fn worker(held: &Hardening) -> String {
    let landlock = held.landlock.map(|version| format!("landlock {version}"));
    let word = |holds: bool, word: &str| holds.then(|| word.to_owned());
    let words = [
        landlock,
        word(held.seccomp, "seccomp"),
        word(held.capabilities, "no capabilities"),
        word(held.no_new_privs, "no new privileges"),
        Some(format!("user {}", held.user)),
        word(held.limits, "limits"),
    ];
    let words = words.into_iter().flatten().collect::<Vec<_>>().join(", ");
    let (how, missing) = match (held.mode, held.lacking.is_empty()) {
        (Harden::Off, _) => ("NOT hardened", String::new()),
        (_, true) => ("hardened", String::new()),
        (_, false) => ("PARTLY hardened", format!("; lacks {}", held.missing())),
    };
    format!("{how} ({}): {words}{missing}", held.mode.word())
}

fn rounded(milliseconds: u64) -> String {
    show_duration(Duration::from_secs(milliseconds / 1000))
}

/// How many of the digests in quarantine are listed; `--json` has more of them.
const QUARANTINE_SHOWN: usize = 5;

/// How often `--watch` looks.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How long a supervisor may take to say what it does.
const PATIENCE: Duration = Duration::from_secs(10);
