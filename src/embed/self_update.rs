//! One update of a program that ends afterwards.

use std::fs::File;

use semver::Version;

use super::process::Process;
use super::service::warn_unsigned;
use super::settings::{Settings, no_source, settings_methods};
use crate::agent::{Ask, Line, Outcome, Running, Wanted};
use crate::clock::Timestamp;
use crate::config::Config;
use crate::daemon::{Outfit, floor, is_this_program, setup, worker};
use crate::digest::Sha256;
use crate::failure::{Exit, Reported};
use crate::fetch::{Attend, Unattended};
use crate::install::Install;
use crate::restart::none;
use crate::state::{Confirmed, Store};

/// Replaces the program's own file by its newest release, for a command-line tool.
///
/// ```no_run
/// use fetchd::{Process, SelfUpdate};
///
/// fn main() -> std::process::ExitCode {
///     let process = match Process::start() {
///         Ok(process) => process,
///         Err(ended) => return ended,
///     };
///     let update = SelfUpdate::new("tool")
///         .version(env!("CARGO_PKG_VERSION"))
///         .source("https://dl.example.com/tool/stable.fetchd")
///         .key("RWTKG7iiOuSsTvJFGcUFqWzaI4MOPyVYDuohUp6y2ieJSGPoYnk3MiuW");
///     match update.apply(&process) {
///         Ok(outcome) => println!("{}", outcome.word()),
///         Err(failure) => eprintln!("{}", fetchd::failure::report(&failure)),
///     }
///     std::process::ExitCode::SUCCESS
/// }
/// ```
///
/// The file is replaced as that of a service is: by one rename, on disk before this returns, with owner, mode and
/// attributes carried over, and the one before kept. A process that runs goes on with the file that it was started from.
#[derive(Debug)]
pub struct SelfUpdate {
    settings: Settings,
}

impl SelfUpdate {
    settings_methods!();

    /// An update of the program whose releases are signed for `product`.
    pub fn new(product: &str) -> SelfUpdate {
        SelfUpdate { settings: Settings::new(product) }
    }

    /// Says whether there is something newer: [`Outcome::Available`]. Changes nothing.
    ///
    /// # Errors
    ///
    /// What is wrong with the settings, the source, or what it offers.
    pub fn check(&self, process: &Process) -> Result<Outcome, Reported> {
        let (config, wanted) = self.wanted(process)?;
        look(&config, wanted, self.settings.semver())
    }

    /// Takes what is newer: [`Outcome::Updated`], and the program path holds it, with the digest that was verified.
    ///
    /// # Errors
    ///
    /// As those of [`check`](SelfUpdate::check); what is wrong with the file or the place where it lies (exit code 40); and
    /// `state.locked` if another process is at it. The program is what it was then.
    pub fn apply(&self, process: &Process) -> Result<Outcome, Reported> {
        self.apply_attended(process, &mut Unattended)
    }

    /// The same, with somebody who sees how far the download is.
    ///
    /// # Errors
    ///
    /// As those of [`apply`](SelfUpdate::apply).
    pub fn apply_attended(&self, process: &Process, attend: &mut dyn Attend) -> Result<Outcome, Reported> {
        let (config, wanted) = self.wanted(process)?;
        pass(&config, wanted, self.settings.semver(), attend)
    }

    fn wanted(&self, process: &Process) -> Result<(Config, Wanted), Reported> {
        let (config, wanted) = self.settings.wanted(process, &fetchd_fetchers::Registry::builtin())?;
        warn_unsigned(&config);
        Ok((config, wanted.ok_or_else(no_source)?))
    }
}

/// What one look finds. `version`: this program's own.
pub(crate) fn look(config: &Config, mut wanted: Wanted, version: Option<Version>) -> Result<Outcome, Reported> {
    let snapshot = Store::read_only(&config.place.state_dir)?;
    wanted.recall(&config.place.state_dir)?;
    let record = &floor::established(snapshot.record(), snapshot.last_bundle(), &wanted, config.policy.floor);
    let running = running(config, record.confirmed.as_ref(), version);
    let mut worker = worker::polling_worker(config)?;
    let looked = wanted.look(
        (&config.program.path, &config.place.state_dir),
        record,
        running.as_ref(),
        &mut *worker,
        &mut Unattended,
    );
    worker.dismiss();
    Ok(looked?)
}

/// What lies at the program path: as it was recorded, else as this program knows itself, else as it says when it is asked.
fn running(config: &Config, confirmed: Option<&Confirmed>, version: Option<Version>) -> Option<Running> {
    let program = &config.program.path;
    let (sha256, _) = Sha256::of_reader(&mut File::open(program).ok()?).ok()?;
    let known = confirmed.filter(|known| known.sha256 == sha256).and_then(|known| known.version.clone());
    let own = || version.filter(|_| is_this_program(program));
    let asked = || setup::verifier(config).version_of(program, sha256, &std::env::temp_dir());
    Some(Running { version: known.or_else(own).or_else(asked), sha256 })
}

/// One pass, and a look at what it left.
pub(crate) fn pass(
    config: &Config,
    wanted: Wanted,
    version: Option<Version>,
    attend: &mut dyn Attend,
) -> Result<Outcome, Reported> {
    let store = Store::open(&config.place.state_dir)?;
    let make = |install: &Install| worker::worker_process(config, install);
    let line = setup::line(config, wanted, store, make).map_err(|(_store, report)| report)?;
    let mut line = Outfit { version, ..Outfit::default() }.fitted(line);
    if let Some(started) = line.install.startable(line.store.record())? {
        line.learn_what_runs(&started)?;
    }
    let result = line.pass(Ask { afresh: true, ..Ask::default() }, &mut none::None, attend);
    line.worker.dismiss();
    if let Some(event) = line.event(&result, Timestamp::now()) {
        line.note(&event);
    }
    if let Ok(Outcome::Updated { sha256, .. }) = &result {
        installed(&line, sha256)?;
    }
    // They would end with this process; a hook may want the state that is locked until then.
    let hooks = line.hooks.clone();
    drop(line);
    hooks.settle();
    Ok(result?)
}

/// Fails unless the bytes at the program path are those that were verified.
fn installed(line: &Line, verified: &Sha256) -> Result<(), Reported> {
    let found = line.install.current()?.map(|current| current.sha256);
    if found == Some(*verified) {
        return Ok(());
    }
    let found = found.map_or_else(|| "nothing".to_owned(), |found| found.short().to_string());
    Err(Reported {
        code: "install.changed".to_owned(),
        exit: Exit::Install,
        message: format!(
            "`{}` holds {found} after {} was installed there",
            line.install.program().display(),
            verified.short()
        ),
        hint: Some("somebody else writes to this path".to_owned()),
    })
}
