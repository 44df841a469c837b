//! What the supervisor needs to know about its service.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use super::crash::CrashRule;

/// How a new process says that it is ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ready {
    /// `READY=1` on `$NOTIFY_SOCKET`.
    Notify,
    /// It is still alive after this long. For programs that cannot notify.
    Alive(Duration),
    /// This command succeeds; run again every 100 ms until the deadline. It gets `FETCHD_PID` and
    /// `FETCHD_GENERATION` of the new process.
    Exec(Vec<OsString>),
}

/// The health check of the watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// The command; exit code 0 is healthy.
    pub command: Vec<OsString>,
    /// From the end of one check to the start of the next.
    pub interval: Duration,
    /// How long one check may take.
    pub timeout: Duration,
    /// This many failures in a row are a failed watch.
    pub failures: u32,
}

/// What the supervisor needs to know about its service.
#[derive(Debug, Clone)]
pub struct Options {
    /// The program as configured, for `FETCHD_PROGRAM` and as the zeroth argument.
    pub program: PathBuf,
    /// The directory each process enters at its start, whatever it leads to then; `None`: the supervisor's own.
    pub directory: Option<PathBuf>,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// How it says that it is ready.
    pub ready: Ready,
    /// How long it may take to.
    pub ready_deadline: Duration,
    /// How long the old one may take to drain.
    pub drain_deadline: Duration,
    /// How long the new one is watched.
    pub watch: Duration,
    /// What is asked of it while it is watched.
    pub health: Option<Health>,
    /// How often a service that sends `WATCHDOG=1` has to; passed on as `WATCHDOG_USEC`.
    pub watchdog: Option<Duration>,
    /// When crashes are too many.
    pub crash: CrashRule,
    /// Whether a service drains when its supervisor is gone; it goes on serving otherwise.
    pub drain_on_supervisor_death: bool,
    /// Whether its stderr goes through the supervisor, which keeps the end of it for reports.
    pub capture_stderr: bool,
}
