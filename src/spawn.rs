//! Starting a program with exactly what it was given and nothing else.
//!
//! The standard library's `Command` goes through a search of `PATH`, can hand a file that is not
//! executable to a shell, and passes on whatever a library forgot to mark close-on-exec. A
//! candidate and a service need the opposite: one absolute path, the named descriptors at their
//! exact numbers, the named environment, default signals, and a typed answer if it could not be
//! started.
//!
//! `unsafe` code stands only in the part that forks, `spawn::image`.

#[cfg(feature = "agent")]
mod errand;
mod image;
mod itself;

use std::ffi::OsString;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd, RawFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use std::{fmt, io};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Resource, Signal, WaitId, WaitIdOptions};

#[cfg(feature = "agent")]
pub use errand::{End, Errand, ErrandError, Words};
use image::Image;
pub use itself::{Held, Keep, Successor, hold_no_signals, hold_signals};

/// A program to be started.
pub struct Spawn {
    /// The absolute path of the program. Never searched for, never given to a shell (test
    /// `a_file_that_is_no_program_is_never_given_to_a_shell`).
    pub program: PathBuf,
    /// Its arguments, the zeroth included.
    pub argv: Vec<OsString>,
    /// Its whole environment.
    pub env: Vec<(OsString, OsString)>,
    /// Its working directory; `None` = this process's.
    pub cwd: Option<PathBuf>,
    /// Its descriptors, each with the number it has there. Of 0, 1 and 2, those not named are
    /// `/dev/null`; every other descriptor is closed (test
    /// `descriptors_have_their_exact_numbers_and_no_other_is_inherited`).
    pub fds: Vec<(OwnedFd, RawFd)>,
    /// Whether it leads a session and process group of its own.
    pub session: bool,
    /// Limits, soft and hard alike, each cut to the hard limit of this process.
    pub rlimits: Vec<(Resource, u64)>,
    /// The signal it gets when the *thread* that starts it ends.
    pub death_signal: Option<Signal>,
    /// A variable that is set to the program's own process id, such as `LISTEN_PID`.
    pub pid_variable: Option<String>,
}

impl Spawn {
    /// The program at the absolute path `program`, with the arguments `args` after the zeroth and
    /// an empty environment.
    pub fn new(program: impl Into<PathBuf>, args: impl IntoIterator<Item = OsString>) -> Spawn {
        let program = program.into();
        let argv = std::iter::once(program.clone().into_os_string()).chain(args).collect();
        Spawn {
            program,
            argv,
            env: Vec::new(),
            cwd: None,
            fds: Vec::new(),
            session: false,
            rlimits: Vec::new(),
            death_signal: None,
            pid_variable: None,
        }
    }

    /// Starts it, and returns once the kernel has accepted the program or refused it. A child
    /// that could not become the program is dead and reaped when this returns the error.
    ///
    /// The caller must not reap children of unknown ids meanwhile (`waitpid(-1)`).
    pub fn spawn(self) -> Result<Child, SpawnError> {
        let mut image = Image::of(self)?;
        let pid = image.fork()?;
        // Not reaped yet, so the id cannot have been given to another process.
        let opened = rustix::process::pidfd_open(pid, PidfdFlags::empty());
        let pidfd = opened.map_err(|errno| {
            let _ = rustix::process::kill_process(pid, Signal::KILL);
            let _ = rustix::io::retry_on_intr(|| rustix::process::waitid(WaitId::Pid(pid), WaitIdOptions::EXITED));
            SpawnError::new(SpawnStep::Watch, errno)
        })?;
        let mut child = Child { pid, pidfd, exited: None };
        match image.outcome(&child) {
            Ok(()) => Ok(child),
            Err(error) => {
                let _ = child.kill(Signal::KILL);
                // One that is stuck in the kernel dies when it wakes up; nobody waits for that.
                if child.ended_by(Instant::now() + REAP_DEADLINE).unwrap_or(false) {
                    let _ = child.wait();
                }
                Err(error)
            }
        }
    }
}

impl fmt::Debug for Spawn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The values of an environment are where secrets live.
        let names: Vec<_> = self.env.iter().map(|(name, _)| name).collect();
        f.debug_struct("Spawn")
            .field("program", &self.program)
            .field("argv", &self.argv)
            .field("env", &names)
            .finish_non_exhaustive()
    }
}

/// A process that this one started. Dropping it neither ends nor reaps the process.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    pidfd: OwnedFd,
    exited: Option<Exited>,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exited {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl fmt::Display for Exited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exited::Code(code) => write!(f, "exit code {code}"),
            Exited::Signal(number) => match Signal::from_named_raw(*number) {
                Some(signal) => {
                    // Its debug form is `"Signal::KILL"`, quotes included.
                    let name = format!("{signal:?}");
                    let name = name.trim_matches('"').trim_start_matches("Signal::");
                    write!(f, "signal {number} (SIG{name})")
                }
                None => write!(f, "signal {number}"),
            },
        }
    }
}

impl Child {
    /// A child that an earlier program of this very process started. Fails if `pidfd` is not of a child of this process.
    pub fn inherited(pid: Pid, pidfd: OwnedFd) -> io::Result<Child> {
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        rustix::io::retry_on_intr(|| rustix::process::waitid(WaitId::PidFd(pidfd.as_fd()), look))?;
        Ok(Child { pid, pidfd, exited: None })
    }

    /// Its process id.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// A descriptor that becomes readable when it has ended.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Waits at most until `deadline` for its end. `false`: it still runs. It is not reaped, so
    /// its process group can still be signalled without hitting anybody else.
    pub fn ended_by(&self, deadline: Instant) -> io::Result<bool> {
        loop {
            let mut fds = [PollFd::new(&self.pidfd, PollFlags::IN)];
            let left = deadline.saturating_duration_since(Instant::now());
            match poll(&mut fds, Some(&timespec(left))) {
                Ok(0) if left.is_zero() => return Ok(self.exited.is_some()),
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => return Ok(true),
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Waits for its end and reaps it. The answer stays the same afterwards.
    pub fn wait(&mut self) -> io::Result<Exited> {
        if let Some(exited) = self.exited {
            return Ok(exited);
        }
        let status = rustix::io::retry_on_intr(|| {
            rustix::process::waitid(WaitId::PidFd(self.pidfd.as_fd()), WaitIdOptions::EXITED)
        })?;
        let ended = status.and_then(|status| {
            let signal = status.terminating_signal().map(Exited::Signal);
            signal.or_else(|| status.exit_status().map(Exited::Code))
        });
        let exited = ended.ok_or_else(|| io::Error::other("the kernel reported no end"))?;
        self.exited = Some(exited);
        Ok(exited)
    }

    /// Reaps it if it has ended.
    pub fn try_wait(&mut self) -> io::Result<Option<Exited>> {
        if self.ended_by(Instant::now())? { self.wait().map(Some) } else { Ok(None) }
    }

    /// Sends it a signal. To one that has been reaped: nothing happens.
    pub fn kill(&self, signal: Signal) -> io::Result<()> {
        if self.exited.is_some() {
            return Ok(());
        }
        Ok(rustix::process::pidfd_send_signal(&self.pidfd, signal)?)
    }

    /// Sends a signal to its whole process group, which it must lead ([`Spawn::session`]). Once it
    /// has been reaped nothing happens, because the group's id may then belong to somebody else.
    pub fn kill_group(&self, signal: Signal) -> io::Result<()> {
        if self.exited.is_some() {
            return Ok(());
        }
        Ok(rustix::process::kill_process_group(self.pid, signal)?)
    }
}

/// A program could not be started. Nothing of it has run.
#[derive(Debug, thiserror::Error)]
#[error("{step} failed")]
pub struct SpawnError {
    step: SpawnStep,
    source: io::Error,
}

impl SpawnError {
    fn new(step: SpawnStep, source: impl Into<io::Error>) -> SpawnError {
        SpawnError { step, source: source.into() }
    }

    /// How far it came.
    pub fn step(&self) -> SpawnStep {
        self.step
    }

    /// The error number the kernel gave; 0 if there was none.
    pub fn errno(&self) -> i32 {
        self.source.raw_os_error().unwrap_or(0)
    }
}

/// The steps from a [`Spawn`] to a running program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpawnStep {
    /// A path, argument or variable holds a NUL byte, or there are no descriptors left.
    Prepare,
    /// The process could not be made.
    Fork,
    /// It could not be watched.
    Watch,
    /// It could not lead a session.
    Session,
    /// It could not be tied to this process.
    DeathSignal,
    /// It could not enter its working directory.
    WorkingDirectory,
    /// It could not be limited.
    Limit,
    /// It could not be given its descriptors.
    Descriptors,
    /// The kernel refused the program.
    Exec,
}

impl SpawnStep {
    const IN_CHILD: [SpawnStep; 6] = [
        SpawnStep::Session,
        SpawnStep::DeathSignal,
        SpawnStep::WorkingDirectory,
        SpawnStep::Limit,
        SpawnStep::Descriptors,
        SpawnStep::Exec,
    ];
}

impl fmt::Display for SpawnStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SpawnStep::Prepare => "preparing the start",
            SpawnStep::Fork => "making a process",
            SpawnStep::Watch => "watching the process",
            SpawnStep::Session => "starting a session",
            SpawnStep::DeathSignal => "tying the process to this one",
            SpawnStep::WorkingDirectory => "entering the working directory",
            SpawnStep::Limit => "limiting the process",
            SpawnStep::Descriptors => "handing over descriptors",
            SpawnStep::Exec => "executing the program",
        })
    }
}

fn timespec(duration: Duration) -> Timespec {
    Timespec { tv_sec: duration.as_secs() as i64, tv_nsec: i64::from(duration.subsec_nanos()) }
}

const REAP_DEADLINE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
