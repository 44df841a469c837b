//! A short-lived command of the operator's: is the new process ready, is it healthy?

use std::ffi::OsString;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::spawn::{Child, Exited, Spawn};

/// A running command.
#[derive(Debug)]
pub(in crate::restart) struct Probe {
    child: Child,
    deadline: Instant,
}

/// How a command ended: `Err` says why it does not count as a success.
pub(in crate::restart) type Answer = Result<(), String>;

impl Probe {
    /// Starts `command` about generation `number`, whose process is `pid`.
    pub(in crate::restart) fn start(
        command: &[OsString],
        number: u64,
        pid: u32,
        timeout: Duration,
    ) -> Result<Probe, String> {
        let (name, arguments) = command.split_first().ok_or("the command is empty")?;
        let program = find(Path::new(name)).ok_or_else(|| format!("`{}` is not there", name.to_string_lossy()))?;
        let mut spawn = Spawn::new(program, arguments.iter().cloned());
        spawn.env = std::env::vars_os().filter(|(name, _)| !name.to_string_lossy().starts_with("FETCHD_")).collect();
        spawn.env.push(("FETCHD_GENERATION".into(), number.to_string().into()));
        spawn.env.push(("FETCHD_PID".into(), pid.to_string().into()));
        spawn.session = true;
        spawn.death_signal = Some(Signal::KILL);
        let child = spawn.spawn().map_err(|e| crate::failure::chain(&e))?;
        Ok(Probe { child, deadline: Instant::now() + timeout })
    }

    pub(in crate::restart) fn pidfd(&self) -> BorrowedFd<'_> {
        self.child.pidfd()
    }

    pub(in crate::restart) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Its answer, if it has one or its time is up. It is reaped then.
    pub(in crate::restart) fn answer(&mut self, now: Instant) -> Option<Answer> {
        match self.child.ended_by(now) {
            Ok(false) if now < self.deadline => None,
            Ok(false) => {
                self.kill();
                Some(Err("the command did not end in time".to_owned()))
            }
            Ok(true) | Err(_) => {
                // What it started goes with it.
                let _ = self.child.kill_group(Signal::KILL);
                match self.child.wait() {
                    Ok(Exited::Code(0)) => Some(Ok(())),
                    Ok(exited) => Some(Err(format!("the command ended with {exited}"))),
                    Err(e) => Some(Err(e.to_string())),
                }
            }
        }
    }

    /// Kills it with everything it started, and reaps it.
    pub(in crate::restart) fn kill(&mut self) {
        let _ = self.child.kill_group(Signal::KILL);
        // Usually it is gone at once. One that the kernel holds (a dead file server) is left to it: the supervisor has
        // other things to do.
        if self.child.ended_by(Instant::now() + Duration::from_millis(100)).unwrap_or(true) {
            let _ = self.child.wait();
        }
    }
}

/// As a shell would: a name with a slash is a path, another is looked up in `PATH`.
pub(crate) fn find(name: &Path) -> Option<PathBuf> {
    if name.components().count() > 1 || name.is_absolute() {
        return std::path::absolute(name).ok();
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(name)).find(|candidate| candidate.is_file())
}
