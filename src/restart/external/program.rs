//! Programs that a driver runs: an operator's command, `systemctl`.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::wait::Wait;
use crate::failure::chain;
use crate::restart::HandoffError;
use crate::restart::supervise::probe::find;
use crate::spawn::{Exited, Spawn};

/// What becomes of the words that a program prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::restart) enum Words {
    /// They are kept, both streams together, to the first 64 KiB.
    Kept,
    /// They go to fetchd's own stderr. A server that a command starts inherits no pipe that ends with the restart.
    Passed,
}

/// The program that `command` begins with, as a shell would find it.
pub(in crate::restart) fn program_of(command: &[OsString], wait: &Wait) -> Result<PathBuf, HandoffError> {
    let name = command.first().map(Path::new).unwrap_or(Path::new(""));
    let found = find(name).filter(|program| program.is_file());
    found.ok_or_else(|| wait.unreachable(format!("`{}` is not there", name.display())))
}

/// Runs `command` to its end: how it ended, and what it printed if that was kept.
///
/// A restart that has begun is not broken off because fetchd is told to stop: only the deadline ends it, by killing its
/// process group. What it has started otherwise is left alone.
pub(in crate::restart) fn run(
    command: &[OsString],
    variables: &[(&str, OsString)],
    words: Words,
    wait: &Wait,
) -> Result<(Exited, String), HandoffError> {
    let program = program_of(command, wait)?;
    let shown = program.display().to_string();
    let mut spawn = Spawn::new(program, command.iter().skip(1).cloned());
    spawn.env = std::env::vars_os().filter(|(name, _)| !is_ours(&name.to_string_lossy())).collect();
    spawn.env.extend(variables.iter().map(|(name, value)| ((*name).into(), value.clone())));
    spawn.session = true;
    let broken = |e: io::Error| wait.unreachable(format!("`{shown}` could not be started: {e}"));
    let (mut reader, writer) = match words {
        Words::Kept => {
            let (reader, writer) = io::pipe().map_err(broken)?;
            rustix::io::ioctl_fionbio(&reader, true).map_err(|e| broken(e.into()))?;
            (Some(File::from(OwnedFd::from(reader))), OwnedFd::from(writer))
        }
        Words::Passed => (None, io::stderr().as_fd().try_clone_to_owned().map_err(broken)?),
    };
    spawn.fds = vec![(writer.try_clone().map_err(broken)?, 1), (writer, 2)];
    let mut child =
        spawn.spawn().map_err(|e| wait.unreachable(format!("`{shown}` could not be started: {}", chain(&e))))?;
    let mut printed = Vec::new();
    loop {
        let look = (Instant::now() + GLANCE).min(wait.until());
        // A wait that fails is over: the reaping below says what became of it.
        let ended = child.ended_by(look).unwrap_or(true);
        if let Some(reader) = &mut reader {
            read_some(reader, &mut printed);
        }
        if ended {
            let exited = child.wait().map_err(|e| wait.failed(format!("how `{shown}` ended is not known: {e}")))?;
            return Ok((exited, String::from_utf8_lossy(&printed).trim().to_owned()));
        }
        if Instant::now() >= wait.until() {
            let _ = child.kill_group(Signal::KILL);
            // One that the kernel holds is left to it.
            if child.ended_by(Instant::now() + KILLED).unwrap_or(true) {
                let _ = child.wait();
            }
            return Err(wait.late(&format!("`{shown}` still ran and was killed")));
        }
    }
}

/// What is there to read, up to the limit; the rest is read and forgotten.
fn read_some(reader: &mut File, printed: &mut Vec<u8>) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = reader.read(&mut buffer) {
        let room = MOST_PRINTED.saturating_sub(printed.len());
        printed.extend(&buffer[..count.min(room)]);
    }
}

/// What concerns fetchd and its own supervisor, and would mislead a server that a command starts.
fn is_ours(name: &str) -> bool {
    let own =
        ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "FDSTORE", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"];
    name.starts_with("FETCHD_") || own.contains(&name)
}

/// How long the words of a program that still runs may wait in its pipe.
const GLANCE: Duration = Duration::from_millis(50);

/// How long a killed program may take to be gone.
const KILLED: Duration = Duration::from_secs(2);

const MOST_PRINTED: usize = 64 * 1024;
