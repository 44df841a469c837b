//! `fetchd state repair`.

use std::fs::File;
use std::time::{Duration, Instant};

use clap::ArgMatches;
use serde::Serialize;

use super::plan::Plan;
use super::{Damage, Floor, damage};
use crate::agent::Running;
use crate::cli::{Out, load, logging, out};
use crate::clock::Timestamp;
use crate::config::Config;
use crate::control::{self, Line, Request};
use crate::daemon::floor::place;
use crate::daemon::setup;
use crate::digest::Sha256;
use crate::failure::{Exit, Reported, chain};
use crate::install::Install;
use crate::state::{Event, Examined, Moved, Record, Repair, StateError, Store, TrustState, examine, must_be_free};

/// Sets aside what is damaged and writes a record of what can be proved.
pub(in crate::cli) fn repair(matches: &ArgMatches, out: &mut Out) -> Result<Exit, Reported> {
    let settings = load(matches)?;
    logging::start(&settings);
    let config = Config::of(&settings)?;
    let source = config.source.as_ref();
    let mut wanted = source.map(|source| setup::wanted(&settings, &config, source)).transpose()?;
    let keys = wanted.as_mut().and_then(|wanted| wanted.recall(&config.place.state_dir).err());
    let keys = keys.map(|damaged| Reported::of(&damaged));
    let lower = matches.get_one::<(u64, u64)>("accept-lower").copied();
    let plan = |examined: &Examined| {
        let mut plan = Plan::of(examined, (&settings, &config), wanted.as_ref(), lower)?;
        plan.keys.clone_from(&keys);
        Ok::<Plan, Reported>(plan)
    };

    let seen = examine(&config.place.state_dir);
    if let Some(fault) = seen.fault(".") {
        return Err(Reported::of(&fault.error));
    }
    patiently(&config, || must_be_free(&examine(&config.place.state_dir)))?;
    let nothing_there = seen.is_new() && seen.faults().is_empty() && seen.bundle().is_none();
    if matches.get_flag("dry-run") || nothing_there {
        let mut plan = plan(&seen)?;
        plan.adopts = install_of(&config, seen.record()).is_some_and(|(_, adopts)| adopts);
        if plan.needs_program() {
            let running = hashed(&config);
            plan.runs(running.as_ref(), Timestamp::now());
        }
        let outcome = if plan.is_empty() { Outcome::Undamaged } else { Outcome::WouldRepair };
        print(outcome, &seen, &plan, &[], out);
        return Ok(Exit::Done);
    }

    let at = Timestamp::now();
    let mut repair = patiently(&config, || Repair::begin(&config.place.state_dir, at))?;
    let mut plan = plan(repair.examined())?;
    let mut install = install_of(&config, repair.examined().record());
    plan.adopts = install.as_ref().is_some_and(|(_, adopts)| *adopts);
    if plan.is_empty() {
        print(Outcome::Undamaged, repair.examined(), &plan, &[], out);
        return Ok(Exit::Done);
    }
    if plan.needs_program() {
        let running = install.as_ref().and_then(|(install, _)| asked(&config, install)).or_else(|| hashed(&config));
        plan.runs(running.as_ref(), at);
    }
    if let Some(why) = plan.sets_bundle_aside() {
        repair.set_bundle_aside(why)?;
    }
    if plan.keys.is_some() {
        repair.set_keys_aside()?;
    }
    let damaged = damage(repair.examined());
    let (mut store, moved) = repair.finish(plan.record.clone())?;
    if let Some((install, _)) = install.as_mut().filter(|_| plan.needs_program())
        && let Err(e) = install.adopt(&mut store)
    {
        tracing::warn!(event = "install.not_tidied", error = chain(&e), "what an install left behind is still there");
    }
    note(&store, &plan, &moved, at);
    let shown = Shown::of(Outcome::Repaired, store.dir().display().to_string(), damaged, &plan, &moved);
    shown.print(out);
    Ok(Exit::Done)
}

/// Once more while a supervisor whose updates are off has the lock: it looks whether it can go on, and lets go again.
fn patiently<T>(config: &Config, mut attempt: impl FnMut() -> Result<T, StateError>) -> Result<T, StateError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match attempt() {
            Err(StateError::Locked { .. }) if Instant::now() < deadline && only_looks(config) => {
                std::thread::sleep(Duration::from_millis(50));
            }
            outcome => return outcome,
        }
    }
}

fn only_looks(config: &Config) -> bool {
    let path = control::path(&config.place.state_dir);
    match control::ask(&path, &Request::Status, Duration::from_secs(2), |_| {}) {
        Ok(Line::Status(status)) => status.updates.updates_off.is_some(),
        _ => false,
    }
}

/// Longer than it takes to read the largest program.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where the program lies, and whether it is one that the journal does not know. A place that cannot be opened is
/// something else that has to be put right.
fn install_of(config: &Config, record: Option<&Record>) -> Option<(Install, bool)> {
    let opened = setup::install(config).and_then(|install| {
        let strange = match record {
            Some(record) => install.is_unknown(record)?,
            None => false,
        };
        Ok((install, strange))
    });
    opened.inspect_err(|e| out::say(&format!("warning: {} [{}]", e.message, e.code))).ok()
}

fn asked(config: &Config, install: &Install) -> Option<Running> {
    let started = install.startable(&Record::default()).ok()??;
    Some(Running::of(&started, &setup::verifier(config), install.custody()))
}

fn hashed(config: &Config) -> Option<Running> {
    let (sha256, _) = Sha256::of_reader(&mut File::open(&config.program.path).ok()?).ok()?;
    Some(Running { version: None, sha256 })
}

fn note(store: &Store, plan: &Plan, moved: &[Moved], at: Timestamp) {
    let moved: Vec<String> = moved.iter().map(|moved| moved.to.clone()).collect();
    let floor = place(plan.record.floor());
    let mut events = vec![
        Event::new(at, "state.repaired")
            .message(format!("the floor is {floor}"))
            .detail("moved", moved)
            .detail("quarantine", plan.record.quarantine.len()),
    ];
    if let Some(from) = plan.lowered {
        let message = format!("an operator lowered the floor from {} to {floor}", place(from));
        tracing::warn!(event = "state.floor_lowered", "{message}");
        events.push(Event::new(at, "state.floor_lowered").message(message));
    }
    for event in &events {
        if let Err(e) = store.history().append(event) {
            tracing::warn!(event = "history.unwritable", error = chain(&e), "a line of the history was lost");
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Undamaged,
    WouldRepair,
    Repaired,
}

#[derive(Debug, Serialize)]
struct Shown {
    outcome: Outcome,
    dir: String,
    damage: Vec<Damage>,
    moved: Vec<[String; 2]>,
    floor: Floor,
    trust_state: TrustState,
    lowered_from: Option<[u64; 2]>,
    quarantine: usize,
    hold: bool,
    version: Option<String>,
    kept: Vec<String>,
    lost: Vec<String>,
}

impl Shown {
    fn of(outcome: Outcome, dir: String, mut damage: Vec<Damage>, plan: &Plan, moved: &[Moved]) -> Shown {
        if let Some(Reported { code, message, .. }) = &plan.keys {
            damage.push(Damage { file: "keys", code: code.clone(), message: message.clone() });
        }
        let record = &plan.record;
        Shown {
            outcome,
            dir,
            damage,
            moved: moved.iter().map(|moved| [moved.from.to_owned(), moved.to.clone()]).collect(),
            floor: Floor::of(record),
            trust_state: record.trust_state(),
            lowered_from: plan.lowered.map(|(epoch, seq)| [epoch, seq]),
            quarantine: record.quarantine.len(),
            hold: record.hold.is_some(),
            version: record.confirmed.as_ref().and_then(|known| known.version.as_ref()).map(ToString::to_string),
            kept: plan.kept(),
            lost: plan.lost(),
        }
    }

    fn print(&self, out: &mut Out) {
        if out.json() {
            out.object(self);
            return;
        }
        out.line(match self.outcome {
            Outcome::Undamaged => format!("{}  nothing is damaged, nothing was changed", self.dir),
            Outcome::WouldRepair => format!("{}  would be repaired; nothing was changed", self.dir),
            Outcome::Repaired => format!("{}  repaired", self.dir),
        });
        if self.outcome == Outcome::Undamaged {
            return;
        }
        let mut row = |name: &str, value: &str| out.line(format!("  {name:<14}{value}"));
        for Damage { file, message, code } in &self.damage {
            row("damaged", &format!("{file}: {message} [{code}]"));
        }
        self.moved.iter().for_each(|[from, to]| row("moved", &format!("{from} to {to}")));
        self.kept.iter().for_each(|kept| row("kept", kept));
        self.lost.iter().for_each(|lost| row("lost", lost));
        if self.lowered_from.is_some() {
            row(
                "WARNING",
                "manifests between the two floors can be replayed to this host; `fetchd history` says so too",
            );
        }
        if self.outcome == Outcome::Repaired {
            out.line("A supervisor that runs goes on with updates by itself, within a minute; `fetchd apply` makes it do so now.");
        }
    }
}

fn print(outcome: Outcome, examined: &Examined, plan: &Plan, moved: &[Moved], out: &mut Out) {
    Shown::of(outcome, examined.dir().display().to_string(), damage(examined), plan, moved).print(out);
}
