//! `fetchd check` and `fetchd apply`.

use std::fs::File;
use std::path::Path;

use clap::ArgMatches;
use fetchd_fetchers::Registry;
use indicatif::ProgressBar;
use serde::Serialize;

use super::{Out, bar, load, logging, operate};
use crate::agent::{Ask, Outcome, Running, Wanted};
use crate::clock::Timestamp;
use crate::config::{Config, fetcher};
use crate::control;
use crate::daemon::{floor::established, setup, worker};
use crate::digest::Sha256;
use crate::failure::{Exit, Reported};
use crate::fetch::{Attend, Progress};
use crate::restart::{self, RestartDriver, Stop, none};
use crate::state::{StateError, Store};

/// Says whether there is something newer. Changes nothing: no download, no state.
pub(super) fn check(matches: &ArgMatches, out: &mut Out) -> Result<Exit, Reported> {
    let (config, mut wanted) = wanted(matches)?;
    let snapshot = Store::read_only(&config.place.state_dir)?;
    wanted.recall(&config.place.state_dir)?;
    let record = &established(snapshot.record(), snapshot.last_bundle(), &wanted, config.policy.floor);
    let running = match &record.confirmed {
        Some(known) => Some(Running { version: known.version.clone(), sha256: known.sha256 }),
        None => not_yet_known(&config.program.path),
    };
    let mut worker = worker::polling_worker(&config)?;
    let paths = (config.program.path.as_path(), config.place.state_dir.as_path());
    let looked = wanted.look(paths, record, running.as_ref(), &mut *worker, &mut Bar::hidden());
    worker.dismiss();
    let outcome = looked?;
    show(&outcome, out);
    Ok(outcome.exit())
}

/// One pass now, through the supervisor if one runs.
pub(super) fn apply(matches: &ArgMatches, out: &mut Out) -> Result<Exit, Reported> {
    let (config, wanted) = wanted(matches)?;
    let force = matches.get_flag("force");
    let request = control::Request::Apply { force };
    // One whose updates were off because of the state holds no lock, and must do this itself all the same.
    if control::supervisor(&config.place.state_dir).is_some() {
        return operate::through(&config.place, &request, out);
    }
    let store = match Store::open(&config.place.state_dir) {
        Ok(store) => store,
        Err(locked @ StateError::Locked { .. }) => {
            return operate::through(&config.place, &request, out).map_err(|failure| {
                // Locked, and nobody answers: that is what matters.
                if failure.code == "control.not_running" { locked.into() } else { failure }
            });
        }
        Err(e) => return Err(e.into()),
    };
    let mut line = setup::line(&config, wanted, store, |install| worker::worker_process(&config, install))
        .map_err(|(_, report)| report)?;
    if let Some(started) = line.install.startable(line.store.record())? {
        line.learn_what_runs(&started)?;
    }
    // Where fetchd would run the service and does not, the next start of it brings the release to life.
    let driver = setup::driver(&config, &restart::Registry::builtin(), &Stop::default())?;
    let mut driver: Box<dyn RestartDriver> = driver.unwrap_or_else(|| Box::new(none::None));
    let ask = Ask { afresh: true, force, ..Ask::default() };
    let result = line.pass(ask, &mut *driver, &mut Bar::on_terminal(out.json()));
    if let Some(event) = line.event(&result, Timestamp::now()) {
        line.note(&event);
    }
    // They would end with this process; a hook may want the state that is locked until then.
    let hooks = line.hooks.clone();
    drop(line);
    hooks.settle();
    let outcome = result?;
    show(&outcome, out);
    Ok(outcome.exit())
}

fn wanted(matches: &ArgMatches) -> Result<(Config, Wanted), Reported> {
    let settings = load(matches)?;
    logging::start(&settings);
    let config = Config::of(&settings)?;
    let source = config.require_source()?;
    fetcher(&settings, source, &Registry::builtin())?;
    let wanted = setup::wanted(&settings, &config, source)?;
    Ok((config, wanted))
}

/// The program of a service that fetchd has never run.
fn not_yet_known(program: &Path) -> Option<Running> {
    let (sha256, _) = Sha256::of_reader(&mut File::open(program).ok()?).ok()?;
    Some(Running { version: None, sha256 })
}

#[derive(Serialize)]
struct Shown<'a> {
    outcome: &'a str,
    version: Option<String>,
    message: String,
    error: Option<Reported>,
}

fn show(outcome: &Outcome, out: &mut Out) {
    if out.json() {
        let error = outcome.held_back().cloned();
        let version = outcome.version().map(ToString::to_string);
        out.object(&Shown { outcome: outcome.word(), version, message: outcome.sentence(), error });
        return;
    }
    match outcome {
        Outcome::Held(why) | Outcome::NotReady(why) => {
            out.line(format!("{} [{}]", outcome.sentence(), why.code));
            why.hint.iter().for_each(|hint| out.line(format!("hint: {hint}")));
        }
        _ => out.line(outcome.sentence()),
    }
}

/// The progress of a download, for a person at a terminal.
pub(super) struct Bar {
    bar: ProgressBar,
    logs: bool,
    tenth: u64,
}

impl Bar {
    fn hidden() -> Bar {
        Bar { bar: ProgressBar::hidden(), logs: false, tenth: 0 }
    }

    pub(super) fn on_terminal(json: bool) -> Bar {
        match bar::on_terminal(json) {
            Some(bar) => Bar { bar, logs: false, tenth: 0 },
            None => Bar { bar: ProgressBar::hidden(), logs: true, tenth: 0 },
        }
    }
}

impl Attend for Bar {
    fn progress(&mut self, progress: Progress) {
        let Progress::Download { bytes, total } = progress;
        if let Some(total) = total {
            self.bar.set_length(total);
            let tenth = bytes.saturating_mul(10).checked_div(total).unwrap_or(10);
            if self.logs && tenth > self.tenth {
                self.tenth = tenth;
                tracing::info!(event = "download.progress", percent = tenth * 10, bytes, total, "downloading");
            }
        }
        self.bar.set_position(bytes);
    }

    fn stop(&mut self) -> bool {
        false
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
