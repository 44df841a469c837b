//! Why a handoff did not happen, or was undone.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::failure::{Exit, Failure};

/// The new process did not take over, or did not stay.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandoffError {
    /// The kernel would not run the file.
    #[error("`{}` could not be executed", program.display())]
    Exec {
        /// What was to be run.
        program: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Something else lies at the path than what was verified: not the release's fault, and not started.
    #[error("`{}` is not the file that was verified any more", program.display())]
    Changed {
        /// The path.
        program: PathBuf,
    },
    /// The machine had no room for another process: not the release's fault.
    #[error("no new process could be made")]
    Spawn {
        /// What the kernel said.
        source: io::Error,
    },
    /// The service's working directory cannot be entered: not the release's fault, whose bytes are what they should be.
    #[error("the working directory `{}` cannot be entered", directory.display())]
    Directory {
        /// As it is configured.
        directory: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// It exited before it said that it is ready.
    #[error("the new process {status} before it was ready{}", tail(stderr))]
    ExitedBeforeReady {
        /// How it ended, in words.
        status: String,
        /// The end of what it wrote to stderr.
        stderr: String,
    },
    /// It said that it cannot take over.
    #[error("the new process refused to take over: {reason}")]
    Rejected {
        /// Its own words.
        reason: String,
    },
    /// It did not say that it is ready in time.
    #[error("the new process was not ready after {:.1} s{}", waited.as_secs_f64(), tail(stderr))]
    ReadyDeadline {
        /// How long it was given.
        waited: Duration,
        /// The end of what it wrote to stderr.
        stderr: String,
    },
    /// It exited during the watch.
    #[error("the new process {status} {:.1} s after it was ready{}", after.as_secs_f64(), tail(stderr))]
    DiedInWatch {
        /// How it ended, in words.
        status: String,
        /// How long it had served.
        after: Duration,
        /// The end of what it wrote to stderr.
        stderr: String,
    },
    /// Its health checks failed during the watch.
    #[error("the health check failed {failures} times: {reason}")]
    Unhealthy {
        /// How often in a row.
        failures: u32,
        /// What the last one said.
        reason: String,
    },
    /// It stopped sending the watchdog message it had begun to send.
    #[error("no watchdog message for {:.1} s", silent.as_secs_f64())]
    Watchdog {
        /// How long it was silent.
        silent: Duration,
    },
    /// It crashed again and again soon after it was confirmed.
    #[error("the service crashed {count} times in {} s, the last time it {status}{}", within.as_secs(), tail(stderr))]
    CrashLoop {
        /// How often.
        count: u32,
        /// In what time.
        within: Duration,
        /// How it ended the last time, in words.
        status: String,
        /// The end of what it wrote to stderr.
        stderr: String,
    },
    /// A driver found nothing to restart: nothing was touched, and it is not the release's fault.
    #[error("`{driver}` cannot restart the service: {reason}")]
    Unreachable {
        /// The driver.
        driver: &'static str,
        /// What is not there.
        reason: String,
    },
    /// Whoever runs the service could not bring the release to life.
    #[error("the restart by `{driver}` failed: {reason}")]
    Failed {
        /// The driver.
        driver: &'static str,
        /// What was said.
        reason: String,
    },
    /// Whoever runs the service did not end the restart in time.
    #[error("the restart by `{driver}` did not end within {:.1} s: {lacks}", waited.as_secs_f64())]
    Deadline {
        /// The driver.
        driver: &'static str,
        /// How long it was given.
        waited: Duration,
        /// What had not happened.
        lacks: String,
    },
    /// Another handoff is running.
    #[error("another handoff is running")]
    Busy,
    /// The supervisor is stopping.
    #[error("the supervisor is stopping")]
    Stopping,
    /// The supervisor's loop did not answer: a defect of fetchd.
    #[error("the supervisor did not answer within {} s", .0.as_secs())]
    Unanswered(Duration),
}

impl HandoffError {
    /// Whether the release is to blame, so that its digest goes into quarantine.
    pub fn blames_release(&self) -> bool {
        !matches!(
            self,
            HandoffError::Spawn { .. }
                | HandoffError::Directory { .. }
                | HandoffError::Changed { .. }
                | HandoffError::Unreachable { .. }
                | HandoffError::Busy
                | HandoffError::Stopping
                | HandoffError::Unanswered(_)
        )
    }
}

impl Failure for HandoffError {
    fn code(&self) -> &'static str {
        match self {
            HandoffError::Exec { .. } => "handoff.exec",
            HandoffError::Spawn { .. } => "handoff.spawn",
            HandoffError::Changed { .. } => "handoff.changed",
            HandoffError::Directory { .. } => "handoff.directory",
            HandoffError::ExitedBeforeReady { .. } => "handoff.exited",
            HandoffError::Rejected { .. } => "handoff.rejected",
            HandoffError::ReadyDeadline { .. } => "handoff.not_ready",
            HandoffError::DiedInWatch { .. } => "watch.died",
            HandoffError::Unhealthy { .. } => "watch.unhealthy",
            HandoffError::Watchdog { .. } => "watch.watchdog",
            HandoffError::CrashLoop { .. } => "service.crash_loop",
            HandoffError::Unreachable { .. } => "handoff.unreachable",
            HandoffError::Failed { .. } => "handoff.restart_failed",
            HandoffError::Deadline { .. } => "handoff.deadline",
            HandoffError::Busy => "handoff.busy",
            HandoffError::Stopping => "handoff.stopping",
            HandoffError::Unanswered(_) => "handoff.unanswered",
        }
    }

    fn exit(&self) -> Exit {
        Exit::Handoff
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            HandoffError::Exec { .. } => "check that the release was built for this machine and is not damaged",
            HandoffError::Spawn { .. } => "free memory or raise the process limit; fetchd will try again",
            HandoffError::Directory { .. } => "create it, or set another `directory`; fetchd will try again",
            HandoffError::Changed { .. } => "somebody else writes to this path; publish releases instead",
            HandoffError::ReadyDeadline { .. } => {
                "the program must send READY=1 to $NOTIFY_SOCKET; for one that cannot, set `ready = \"alive:2s\"`"
            }
            HandoffError::Deadline { .. } => "`restart_deadline` is how long a restart may take",
            HandoffError::Busy => "wait for it to end: `fetchd status --watch`",
            _ => return None,
        };
        Some(hint.to_owned())
    }
}

fn tail(stderr: &str) -> String {
    let stderr = stderr.trim_end();
    if stderr.is_empty() { String::new() } else { format!("; its stderr ended with:\n{stderr}") }
}
