//! `fetchd state show`.

use clap::ArgMatches;
use serde::Serialize;

use super::{Damage, Floor, damage, floor_text};
use crate::agent::named;
use crate::cli::{ErrorBody, Out, operate, out};
use crate::failure::{Exit, Reported, report};
use crate::state::{Confirmed, Examined, Holder, JournalStep, Record, StateError, TrustState, examine};

/// Prints what is remembered, beside whoever holds the lock. Ends with 50 if something is damaged.
pub(in crate::cli) fn show(matches: &ArgMatches, out: &mut Out) -> Result<Exit, Reported> {
    let place = operate::place(matches)?;
    let examined = examine(&place.state_dir);
    let failure = examined.faults().first().map(|fault| {
        let mut failure = Reported::of(&fault.error);
        if matches!(fault.error, StateError::Io { .. }) {
            failure.hint = Some("`fetchd state repair` sets it aside".to_owned());
        }
        failure
    });
    if out.json() {
        out.object(&Shown::of(&examined, failure.as_ref()));
    } else {
        text(&examined).iter().for_each(|line| out.line(line));
    }
    let Some(failure) = failure else { return Ok(Exit::Done) };
    out::say(&report(&failure));
    Ok(Exit::State)
}

#[derive(Serialize)]
struct Shown<'a> {
    dir: String,
    state: &'static str,
    trust_state: Option<TrustState>,
    floor: Option<Floor>,
    locked: bool,
    holder: Option<u32>,
    last_bundle: bool,
    damage: Vec<Damage>,
    record: Option<&'a Record>,
    error: Option<ErrorBody<'a>>,
}

impl<'a> Shown<'a> {
    fn of(examined: &'a Examined, failure: Option<&'a Reported>) -> Shown<'a> {
        let record = examined.record();
        let (locked, holder) = match examined.holder() {
            Holder::Nobody => (false, None),
            Holder::Process(pid) => (true, pid),
        };
        let new = examined.is_new().then_some(TrustState::New);
        Shown {
            dir: examined.dir().display().to_string(),
            state: word(examined),
            trust_state: record.map(Record::trust_state).or(new),
            floor: record.map(Floor::of),
            locked,
            holder,
            last_bundle: examined.bundle().is_some(),
            damage: damage(examined),
            record,
            error: failure.map(ErrorBody::of),
        }
    }
}

fn word(examined: &Examined) -> &'static str {
    match (examined.faults(), examined.is_new()) {
        ([_, ..], _) => "damaged",
        ([], true) => "new",
        ([], false) => "readable",
    }
}

fn text(examined: &Examined) -> Vec<String> {
    let mut lines = vec![format!("{}  {}", examined.dir().display(), word(examined))];
    let mut row = |name: &str, value: String| lines.push(format!("  {name:<14}{value}"));
    for Damage { file, code, message } in damage(examined) {
        row("damaged", format!("{file}: {message} [{code}]"));
    }
    if let Some(record) = examined.record() {
        rows(record, &mut row);
    }
    let bundle = examined.bundle().map_or("none", |_| "there; its signature is checked at every start");
    row("last.bundle", bundle.to_owned());
    row(
        "lock",
        match examined.holder() {
            Holder::Nobody => "nobody holds it".to_owned(),
            Holder::Process(None) => "held".to_owned(),
            Holder::Process(Some(pid)) => format!("held by process {pid}"),
        },
    );
    lines
}

fn rows(record: &Record, row: &mut impl FnMut(&str, String)) {
    let none = || "none".to_owned();
    let trust = match record.trust_state() {
        TrustState::New => "new: nothing has been accepted since the state began",
        TrustState::Known => "known",
    };
    row("trust", trust.to_owned());
    row("floor", floor_text(record));
    row("issued", record.issued_max.map_or_else(none, |issued| format!("{issued}, the latest")));
    let binary =
        |known: &Confirmed| format!("{} ({}), since {}", named(known.version.as_ref()), known.sha256.short(), known.at);
    row("confirmed", record.confirmed.as_ref().map_or_else(none, binary));
    row("previous", record.previous.as_ref().map_or_else(none, binary));
    for bad in &record.quarantine {
        row("quarantine", format!("{} ({}) [{}]", named(bad.version.as_ref()), bad.sha256.short(), bad.code));
    }
    if record.quarantine.is_empty() {
        row("quarantine", none());
    }
    row("hold", record.hold.as_ref().map_or_else(none, |hold| format!("since {}", hold.since)));
    let step = |step: JournalStep| match step {
        JournalStep::Activating => "activating",
        JournalStep::Unconfirmed => "not confirmed yet:",
        JournalStep::RollingBack => "rolling back",
    };
    let journal = record.journal.as_ref();
    row(
        "journal",
        journal.map_or_else(none, |journal| {
            format!("{} {} ({})", step(journal.step), named(journal.to.version.as_ref()), journal.to.sha256.short())
        }),
    );
    row("keys", format!("version {}", record.keys_version));
    let newest = record.first_seen.iter().max_by_key(|(_, at)| **at);
    row(
        "first seen",
        newest.map_or_else(none, |(version, at)| format!("{version} at {at}, the last of {}", record.first_seen.len())),
    );
}
