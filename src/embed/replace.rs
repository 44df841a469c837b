//! The first process becomes the release that serves: `daemon::replace`, for a program with its supervisor inside.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use super::log;
use super::process::Process;
use super::service::{Service, failed, start_failure};
use super::settings::Settings;
use super::source_check;
use crate::agent::Observer;
use crate::config::Config;
use crate::daemon::lines::Unblocked;
use crate::daemon::replace::{self, Becomes};
use crate::daemon::{self, Embedded, Itself, Loaded, Outfit, Restarts, setup};
use crate::failure::Reported;
use crate::restart::Registry as Drivers;

impl Service {
    /// In a process that is asked only this: whether it could go on from the state of the supervisor that asks.
    pub(super) fn could_go_on(&self, process: &Process) -> ExitCode {
        let yes = replace::check(|program| {
            let process = process.at(program);
            source_check::open(&self.settings, &process, &self.fetchers)?;
            Ok(loaded(&self.settings, &process, None)?.checked()?.config)
        });
        let said = yes.and_then(|yes| {
            // A line of its own, for the program may have printed something before.
            let said = writeln!(io::stdout(), "\n{yes}").and_then(|()| io::stdout().flush());
            said.map_err(|e| start_failure("start.output", &e))
        });
        said.map_or_else(|report| failed(&report), |()| ExitCode::SUCCESS)
    }

    /// Goes on where the supervisor that this process was a moment ago has stopped.
    pub(super) fn go_on(mut self, process: &Process) -> ExitCode {
        daemon::share_heap();
        let log = log::make(&self.settings.product, self.log_level(process).as_deref());
        // The mask of signals came with the process: the thread of the log has it, too.
        let unblocked = log.and_then(|(log, later)| {
            // The program has no other, or this one had not been made.
            let _ = tracing::dispatcher::set_global_default(log);
            later.begin()
        });
        let itself = self.itself(process, unblocked.as_ref());
        match daemon::resume(itself, self.embedded(), &Drivers::builtin()) {
            Ok(code) => ExitCode::from(code),
            Err(report) => failed(&report),
        }
    }

    /// The level of the log, as far as it is known: what this program was called by may lead to another by now.
    pub(super) fn log_level(&self, process: &Process) -> Option<String> {
        let own = process.program().unwrap_or(Path::new("/")).to_owned();
        self.settings.effective(&process.at(&own)).ok()?.text("log_level").map(str::to_owned)
    }

    /// How this supervisor replaces itself.
    pub(super) fn itself(&self, process: &Process, log: Option<&Unblocked>) -> Itself {
        let (settings, process, log) = (self.settings.clone(), process.clone(), log.cloned());
        Itself {
            becomes: Becomes::Release { at_once: self.replaces && self.restarts != Restarts::ByOthers },
            load: Box::new(move |text, program| loaded(&settings, &process.at(program), text)),
            flush_log: Box::new(move || log.as_ref().is_none_or(Unblocked::flush)),
        }
    }

    /// What the program adds.
    pub(super) fn embedded(&mut self) -> Embedded {
        let observers = std::mem::take(&mut self.observers);
        let observer = (!observers.is_empty())
            .then(|| Observer::new(move |event| observers.iter().for_each(|observer| observer.tell(event))));
        let outfit = std::mem::take(&mut self.outfit);
        let outfit = Outfit { observer: observer.clone(), on_restart: self.restarts == Restarts::WhenAsked, ..outfit };
        Embedded { outfit, observer, restarts: self.restarts, restart_signal: self.restart_signal }
    }
}

/// The configuration, for the program at the path of `process`.
pub(super) fn loaded(settings: &Settings, process: &Process, text: Option<&str>) -> Result<Loaded, Reported> {
    let settings = settings.effective_with(process, text)?;
    let config = Config::of(&settings)?;
    let wanted = config.source.as_ref().map(|source| setup::wanted(&settings, &config, source)).transpose();
    Ok(Loaded { wanted, text: settings.text_of_file().map(str::to_owned), config })
}
