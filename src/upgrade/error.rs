//! Why a process does not start, does not take over, or does not hand over.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::service::{InheritError, ListenError};
use crate::spawn::Exited;

/// Why [`Builder::start`](super::Builder::start) failed. The process should exit with a failure: a parent that waits for it
/// carries on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// What this process inherited cannot be used.
    #[error("what this process inherited cannot be used")]
    Inherit(#[from] InheritError),
    /// A listener can be neither inherited nor bound.
    #[error("a listener is missing")]
    Listen(#[from] ListenError),
    /// A name is empty, longer than 200 bytes, used twice, or has a colon or a control character.
    #[error("`{name}` cannot be the name of a listener or descriptor")]
    Name {
        /// The name.
        name: String,
    },
    /// A descriptor that was not handed on could not be made.
    #[error("the descriptor `{name}` could not be made")]
    Descriptor {
        /// Its name.
        name: String,
        /// What its maker said.
        source: io::Error,
    },
    /// It cannot be told which file to start at an upgrade.
    #[error("the path of the program is unknown")]
    Program(#[source] io::Error),
    /// The signals cannot be listened for, or there is no descriptor left.
    #[error("the upgrades cannot be prepared")]
    Prepare(#[source] io::Error),
    /// The parent ended, or gave up, before it had handed everything on.
    #[error("the parent ended before it had handed everything on")]
    ParentGone,
    /// The parent did not hand everything on in time.
    #[error("the parent handed nothing on for {} s", .0.as_secs())]
    ParentSilent(Duration),
}

/// Why [`Upgrader::ready`](super::Upgrader::ready) failed. The process must not accept connections, and should exit with a failure.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadyError {
    /// It was called before.
    #[error("this process has said before that it is ready")]
    Twice,
    /// The program was told to stop meanwhile.
    #[error("this process is leaving")]
    Leaving,
    /// The parent ended, or gave up, before it said `go`: it has not stopped accepting.
    #[error("the parent ended before it handed over")]
    ParentGone,
    /// The parent did not answer.
    #[error("the parent did not hand over within {} s", .0.as_secs())]
    ParentSilent(Duration),
    /// The PID file cannot be written; found out before anything is handed over.
    #[error("the PID file `{}` cannot be written", path.display())]
    PidFile {
        /// Its path.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The line to the parent is broken, or no thread could be started.
    #[error("this process cannot take over")]
    Broken(#[source] io::Error),
}

/// Why this process must not hand over to a successor of its own making.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// It is process 1, as in a container.
    Init,
    /// supervisord watches it.
    Supervisord {
        /// `SUPERVISOR_PROCESS_NAME`, where it is set.
        process: Option<String>,
    },
    /// fetchd supervises it.
    Fetchd,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Init => f.write_str("this is process 1, and its end would be the end of the container"),
            Refusal::Supervisord { process: Some(name) } => {
                write!(f, "supervisord watches this process as `{name}` and would start a second one at its end")
            }
            Refusal::Supervisord { process: None } => {
                f.write_str("supervisord watches this process and would start a second one at its end")
            }
            Refusal::Fetchd => f.write_str("fetchd supervises this process and starts its successors"),
        }
    }
}

/// Why an upgrade did not happen, or was undone. This process accepts connections as before, but for
/// [`Leaving`](UpgradeError::Leaving) and [`NotReady`](UpgradeError::NotReady), and a later upgrade may succeed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UpgradeError {
    /// A direct handoff would harm the service here.
    #[error("no direct handoff: {0}")]
    Refused(Refusal),
    /// This process has not said yet that it is ready.
    #[error("this process is not ready itself")]
    NotReady,
    /// Another upgrade runs.
    #[error("another upgrade is running")]
    Busy,
    /// This process drains: it has handed over, or was told to stop.
    #[error("this process is leaving")]
    Leaving,
    /// The hook `before` spoke against it.
    #[error("the hook before the upgrade refused: {reason}")]
    Vetoed {
        /// Its reason.
        reason: String,
    },
    /// The kernel would not run the program.
    #[error("`{}` could not be executed", program.display())]
    Exec {
        /// What was to be run.
        program: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// There was no room for another process.
    #[error("no new process could be made")]
    Spawn(#[source] io::Error),
    /// The successor ended before it was ready.
    #[error("the successor ended before it was ready: {exited}")]
    ExitedBeforeReady {
        /// How it ended.
        exited: Exited,
    },
    /// The successor said that it cannot take over.
    #[error("the successor refused to take over: {reason}")]
    Rejected {
        /// Its own words.
        reason: String,
    },
    /// The successor was not ready in time, and was ended.
    #[error("the successor was not ready after {:.1} s", waited.as_secs_f64())]
    ReadyDeadline {
        /// How long it was given.
        waited: Duration,
    },
    /// The successor was told to take over and did not answer, and was killed.
    #[error("the successor did not take over within {} s", waited.as_secs())]
    NotTaken {
        /// How long it was given.
        waited: Duration,
    },
    /// The successor ended soon after it had taken over.
    #[error("the successor ended {:.1} s after it took over: {exited}", after.as_secs_f64())]
    Died {
        /// How it ended.
        exited: Exited,
        /// How long it had accepted connections.
        after: Duration,
    },
}

impl UpgradeError {
    /// Stable, lower-case, dotted; scripts may match on it.
    pub fn code(&self) -> &'static str {
        match self {
            UpgradeError::Refused(_) => "upgrade.refused",
            UpgradeError::NotReady => "upgrade.too_early",
            UpgradeError::Busy => "upgrade.busy",
            UpgradeError::Leaving => "upgrade.leaving",
            UpgradeError::Vetoed { .. } => "upgrade.vetoed",
            UpgradeError::Exec { .. } => "upgrade.exec",
            UpgradeError::Spawn(_) => "upgrade.spawn",
            UpgradeError::ExitedBeforeReady { .. } => "upgrade.exited",
            UpgradeError::Rejected { .. } => "upgrade.rejected",
            UpgradeError::ReadyDeadline { .. } => "upgrade.not_ready",
            UpgradeError::NotTaken { .. } => "upgrade.not_taken",
            UpgradeError::Died { .. } => "upgrade.died",
        }
    }

    /// What to do about it, as one line, where something can be done.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            UpgradeError::Refused(Refusal::Init | Refusal::Supervisord { .. }) => {
                "let `fetchd run` start the program: its process id stays the same"
            }
            UpgradeError::Refused(Refusal::Fetchd) => "ask for it with `fetchd restart` or `Notify::restart`",
            UpgradeError::NotReady => "call `Upgrader::ready` first",
            UpgradeError::Exec { .. } => "check that the file is there, executable, and built for this machine",
            UpgradeError::Spawn(_) => "free memory or raise the process limit",
            UpgradeError::ReadyDeadline { .. } => "the program must call `Upgrader::ready` within the deadline",
            _ => return None,
        })
    }
}

#[cfg(feature = "agent")]
impl crate::failure::Failure for UpgradeError {
    fn code(&self) -> &'static str {
        UpgradeError::code(self)
    }

    fn exit(&self) -> crate::failure::Exit {
        crate::failure::Exit::Handoff
    }

    fn hint(&self) -> Option<String> {
        UpgradeError::hint(self).map(str::to_owned)
    }
}
