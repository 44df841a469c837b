//! Programs that a driver runs: an operator's command, `systemctl`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::wait::Wait;
use crate::restart::HandoffError;
use crate::restart::supervise::probe::find;
pub(in crate::restart) use crate::spawn::Words;
use crate::spawn::{End, Errand, ErrandError, Exited};

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
    let args = command.get(1..).unwrap_or_default();
    match (Errand { program: &program, args, variables, input: &[], words, dies_with_us: false })
        .run(wait.until(), &mut || false)
    {
        Ok((End::Exited(exited), printed)) => Ok((exited, printed)),
        Ok((End::Late | End::BrokenOff, _)) => {
            Err(wait.late(&format!("`{}` still ran and was killed", program.display())))
        }
        Err(error @ ErrandError::Start { .. }) => Err(wait.unreachable(error.to_string())),
        Err(error @ ErrandError::Unknown { .. }) => Err(wait.failed(error.to_string())),
    }
}
