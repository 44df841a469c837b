//! `fetchd run`.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clap::ArgMatches;
use fetchd_fetchers::Registry;

use super::{load, logging};
use crate::config::{self, Config, Effective, Source, Trust};
use crate::daemon::{self, setup};
use crate::failure::Reported;

/// Runs the service until it is told to stop, and ends with its code.
pub(super) fn run(matches: &ArgMatches) -> Result<u8, Reported> {
    // To the end: what was logged last is written before the process ends.
    let _log;
    let (config, wanted) = {
        // Dropped before the service starts: a supervisor that idles for months keeps nothing it
        // does not need.
        let settings = load(matches)?;
        let config = Config::of(&settings)?;
        if std::env::var_os("FETCHD_ROLE").is_some_and(|role| role == SOURCE_CHECK) {
            logging::start(&settings);
            config.source.as_ref().map(|source| open(&settings, source)).transpose()?;
            return Ok(0);
        }
        _log = logging::start_unblocked(&settings);
        let wanted = config.source.as_ref().map(|source| setup::wanted(&settings, &config, source)).transpose()?;
        if let Some(source) = &config.source
            && let Some(code) = check(&settings, source)?
        {
            return Ok(code);
        }
        (config, wanted)
    };
    if config.source.as_ref().is_some_and(|source| source.trust == Trust::Unsigned) {
        tracing::warn!(
            event = "trust.unsigned",
            "RELEASES ARE NOT CHECKED: --insecure-unsigned takes whatever the source shows"
        );
    }
    daemon::run(&config, wanted)
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
