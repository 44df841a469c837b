//! `fetchd run`.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clap::ArgMatches;
use fetchd_fetchers::Registry;

use super::settings::load_text;
use super::{args, load, logging};
use crate::config::{self, Config, Effective, Source, Trust};
use crate::daemon::lines::Unblocked;
use crate::daemon::replace::{self, Becomes};
use crate::daemon::{self, Embedded, Itself, Loaded, setup};
use crate::failure::Reported;
use crate::restart::Registry as Drivers;

/// Runs the service until it is told to stop, and ends with its code.
pub(super) fn run(matches: &ArgMatches) -> Result<u8, Reported> {
    let role = std::env::var("FETCHD_ROLE").unwrap_or_default();
    match role.as_str() {
        replace::CHECK => return could_go_on(matches),
        // The mask of signals is inherited: whatever arrives waits for the loop.
        replace::RESUME => daemon::share_heap(),
        SOURCE_CHECK => {}
        _ => daemon::hold_signals()?,
    }
    // To the end: what was logged last is written before the process ends.
    let log;
    let loaded = {
        // Dropped before the service starts: a supervisor that idles for months keeps nothing it
        // does not need.
        let settings = load(matches);
        if role == replace::RESUME {
            // Should the configuration be wrong by now, what is said of it is printed at the end.
            log = settings.as_ref().ok().and_then(logging::start_unblocked);
            drop(settings);
            return daemon::resume(itself(log.as_ref()), Embedded::default(), &Drivers::builtin());
        }
        let settings = settings?;
        let config = Config::of(&settings)?;
        if role == SOURCE_CHECK {
            logging::start(&settings);
            config.source.as_ref().map(|source| open(&settings, source)).transpose()?;
            return Ok(0);
        }
        log = logging::start_unblocked(&settings);
        let loaded = loaded(&settings, config).checked()?;
        if let Some(source) = &loaded.config.source
            && let Some(code) = check(&settings, source)?
        {
            return Ok(code);
        }
        loaded
    };
    if loaded.config.source.as_ref().is_some_and(|source| source.trust == Trust::Unsigned) {
        tracing::warn!(
            event = "trust.unsigned",
            "RELEASES ARE NOT CHECKED: --insecure-unsigned takes whatever the source shows"
        );
    }
    daemon::run_itself(loaded, itself(log.as_ref()), &Drivers::builtin())
}

/// How this program replaces itself. The command line is read again: it need not be kept.
fn itself(log: Option<&Unblocked>) -> Itself {
    let log = log.cloned();
    Itself {
        becomes: Becomes::OwnPath,
        load: Box::new(|text, _program| {
            let matches = args::command().try_get_matches_from(std::env::args_os()).ok();
            let matches = matches.as_ref().and_then(ArgMatches::subcommand).map(|(_, run)| run);
            // It was read once, by this program or by one that this one has said it can follow.
            let not_built_in = || super::Failed::NotBuiltIn { command: "run".to_owned() };
            let settings = load_text(matches.ok_or_else(not_built_in)?, text)?;
            let config = Config::of(&settings)?;
            Ok(loaded(&settings, config))
        }),
        flush_log: Box::new(move || log.as_ref().is_none_or(Unblocked::flush)),
    }
}

fn loaded(settings: &Effective, config: Config) -> Loaded {
    let wanted = config.source.as_ref().map(|source| setup::wanted(settings, &config, source)).transpose();
    Loaded { wanted, text: settings.text_of_file().map(str::to_owned), config }
}

/// In a process that is asked only this: whether it could go on from the state of the supervisor that asks.
fn could_go_on(matches: &ArgMatches) -> Result<u8, Reported> {
    let yes = replace::check(|_program| {
        let settings = load(matches)?;
        let config = Config::of(&settings)?;
        config.source.as_ref().map(|source| open(&settings, source)).transpose()?;
        Ok(loaded(&settings, config).checked()?.config)
    })?;
    let mut out = super::Out::new(false);
    out.line(yes);
    out.finish().map(|()| 0).map_err(|source| super::Failed::Output { source }.into())
}

fn open(settings: &Effective, source: &Source) -> Result<(), Reported> {
    config::fetcher(settings, source, &Registry::builtin())?;
    Ok(())
}

/// Lets the source's fetcher look at its options, so that what is wrong with them is said now and not at the first poll.
/// `Some`: it was said, and this is the exit code.
///
/// A fetcher that speaks TLS is opened in a process of its own: the supervisor never touches that code, which would stay in
/// its memory for good.
fn check(settings: &Effective, source: &Source) -> Result<Option<u8>, Reported> {
    if source.url.scheme() == "file" {
        open(settings, source)?;
        return Ok(None);
    }
    let mut command = Command::new(setup::own_program()?);
    command.args(std::env::args_os().skip(1)).env("FETCHD_ROLE", SOURCE_CHECK).stdin(Stdio::null());
    // If there is no process to be had, the worker will say what is wrong with the source.
    let Ok(mut child) = command.spawn() else { return Ok(None) };
    let give_up = Instant::now() + CHECK_DEADLINE;
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(None),
            Ok(Some(status)) => return Ok(status.code().and_then(|code| u8::try_from(code).ok())),
            Ok(None) if Instant::now() < give_up => std::thread::sleep(Duration::from_millis(2)),
            Ok(None) | Err(_) => {
                let _ = child.kill();
                let _ = child.wait();
                return Ok(None);
            }
        }
    }
}

/// The role in which this command only looks at the source's options.
const SOURCE_CHECK: &str = "source-check";

/// No network is involved: only a disk that hangs takes this long.
const CHECK_DEADLINE: Duration = Duration::from_secs(10);
