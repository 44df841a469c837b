//! The question to what lies at fetchd's path: could you go on from this?

use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Resource, Signal};

use super::state::State;
use super::{CHECK, Next, ReplaceError, WORD, environment};
use crate::agent::Counts;
use crate::spawn::{Child, Exited, Spawn, SpawnStep};

/// A program that has been asked.
#[derive(Debug)]
pub(super) struct Check {
    program: PathBuf,
    child: Child,
    deadline: Instant,
    stdout: OwnedFd,
    stderr: OwnedFd,
}

impl Check {
    /// Asks `next`.
    pub(super) fn start(next: &Next, state: &State) -> Result<Check, ReplaceError> {
        let program = next.path().to_owned();
        let failed = |source: io::Error| ReplaceError::State { source };
        let memory = |name: &str| memfd_create(name, MemfdFlags::CLOEXEC).map_err(|e| failed(e.into()));
        let (stdout, stderr) = (memory("fetchd-check-stdout")?, memory("fetchd-check-stderr")?);
        let (executed, opened) = next.passed(PROGRAM)?;
        let mut spawn = Spawn::new(executed, []);
        spawn.argv = std::env::args_os().collect();
        spawn.env = environment(CHECK, STATE, "asked", &Counts::default());
        spawn.fds = vec![
            (state.write()?, STATE),
            (stdout.try_clone().map_err(failed)?, 1),
            (stderr.try_clone().map_err(failed)?, 2),
        ];
        spawn.fds.extend(opened.map(|file| (file.into(), PROGRAM)));
        spawn.session = true;
        spawn.death_signal = Some(Signal::KILL);
        // Both files are in memory.
        spawn.rlimits = vec![(Resource::Fsize, MOST_SAID)];
        let child = spawn.spawn().map_err(|e| {
            let source = io::Error::from_raw_os_error(e.errno());
            match e.step() {
                SpawnStep::Exec => ReplaceError::Exec { program: program.clone(), source },
                _ => failed(io::Error::new(source.kind(), e)),
            }
        })?;
        Ok(Check { program, child, deadline: Instant::now() + ANSWERS_WITHIN, stdout, stderr })
    }

    /// Readable when it has ended.
    pub(super) fn pidfd(&self) -> BorrowedFd<'_> {
        self.child.pidfd()
    }

    /// When it is given up.
    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// What it said, if it did or its time is up. It is reaped then.
    pub(super) fn answer(&mut self, now: Instant) -> Option<Result<(), ReplaceError>> {
        let ended = self.child.ended_by(now).unwrap_or(true);
        if !ended && now < self.deadline {
            return None;
        }
        self.kill();
        let program = self.program.clone();
        let stderr = end_of(&self.stderr);
        if !ended {
            return Some(Err(ReplaceError::Silent { program, waited: ANSWERS_WITHIN, stderr }));
        }
        let status = match self.child.wait() {
            Ok(Exited::Code(0)) if end_of(&self.stdout).lines().any(|line| line == WORD) => return Some(Ok(())),
            Ok(Exited::Code(0)) => "did not answer as a fetchd does".to_owned(),
            Ok(exited) => format!("ended with {exited}"),
            Err(e) => format!("cannot be asked after: {e}"),
        };
        Some(Err(ReplaceError::Unfit { program, status, stderr }))
    }

    /// Ends it with everything it started.
    pub(super) fn kill(&mut self) {
        let _ = self.child.kill_group(Signal::KILL);
        if self.child.ended_by(Instant::now() + Duration::from_millis(100)).unwrap_or(true) {
            // The answer stays for whoever asks.
            let _ = self.child.wait();
        }
    }
}

/// The last of what was written to a file in memory.
fn end_of(memory: &OwnedFd) -> String {
    let mut text = Vec::new();
    if let Ok(memory) = memory.as_fd().try_clone_to_owned() {
        let mut file = File::from(memory);
        // What cannot be read says nothing.
        let _ = file.rewind().and_then(|()| file.read_to_end(&mut text));
    }
    let from = text.len().saturating_sub(MOST_SHOWN);
    String::from_utf8_lossy(&text[from..]).into_owned()
}

/// Where the state is, in the program that is asked.
const STATE: i32 = 3;

/// Where its own file is, where that is executed and not its path.
const PROGRAM: i32 = 4;

/// It reads a state and a configuration: only a disk that hangs takes this long.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// More than this, in bytes, it cannot say.
const MOST_SAID: u64 = 64 << 10;

/// And this much of the end of it is shown.
const MOST_SHOWN: usize = 2048;
