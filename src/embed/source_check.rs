//! What is wrong with a source's options is said at the start, and not at the first poll.
//!
//! A fetcher that speaks TLS is opened in a process of its own: the supervisor never touches that code, which would stay in
//! its memory for good.

use std::io::{self, Read as _, Write as _};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use fetchd_fetchers::Registry;

use super::process::Process;
use super::settings::Settings;
use crate::config::{self, Config};
use crate::daemon::setup;
use crate::failure::Reported;

/// The role of a process that only looks at the source's options.
pub(super) const ROLE: &str = "source-check";

/// In the process that looks: prints what is wrong, if something is.
pub(super) fn main(settings: &Settings, process: &Process, fetchers: &Registry) -> ExitCode {
    match open(settings, process, fetchers) {
        Ok(()) => ExitCode::SUCCESS,
        Err(report) => {
            let text = serde_json::to_string(&report).unwrap_or_default();
            // A line of its own, for the program may have printed something before. Whoever asked may have gone.
            let _ = writeln!(io::stdout(), "\n{text}").and_then(|()| io::stdout().flush());
            ExitCode::from(report.exit.number())
        }
    }
}

/// Opens the fetcher of the source, which asks nothing of it yet.
pub(super) fn open(settings: &Settings, process: &Process, fetchers: &Registry) -> Result<(), Reported> {
    let settings = settings.effective(process)?;
    if let Some(source) = &Config::of(&settings)?.source {
        config::fetcher(&settings, source, fetchers)?;
    }
    Ok(())
}

/// Has it looked at by such a process. One that cannot be had, or that says nothing, finds nothing wrong: the worker will.
pub(super) fn ask(process: &Process) -> Result<(), Reported> {
    let mut command = Command::new(setup::own_program()?);
    command.args(process.arguments()).env("FETCHD_ROLE", ROLE).stdin(Stdio::null()).stdout(Stdio::piped());
    let Ok(mut child) = command.spawn() else { return Ok(()) };
    let Some(mut stdout) = child.stdout.take() else { return Ok(()) };
    let (give_up, mut said) = (Instant::now() + DEADLINE, Vec::new());
    // Read meanwhile: a program that prints a lot before it comes here must not wait for its reader.
    let _ = rustix::io::ioctl_fionbio(&stdout, true);
    loop {
        let ended = !matches!(child.try_wait(), Ok(None)) || Instant::now() >= give_up;
        let mut part = [0; 8192];
        while let Ok(read @ 1..) = stdout.read(&mut part) {
            said.extend(&part[..read]);
            said.drain(..said.len().saturating_sub(LONGEST));
        }
        if ended {
            break;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let _ = child.kill();
    let _ = child.wait();
    let last = said.split(|byte| *byte == b'\n').rfind(|line| !line.is_empty());
    last.and_then(|line| serde_json::from_slice(line).ok()).map_or(Ok(()), Err)
}

/// No network is involved: only a disk that hangs takes this long.
const DEADLINE: Duration = Duration::from_secs(10);

/// So many of the last bytes are looked at.
const LONGEST: usize = 32 * 1024;
