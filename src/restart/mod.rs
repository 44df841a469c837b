//! Making the service run what was installed, and knowing whether it does.
//!
//! A driver is a plug-in, as a fetcher is, and [`Registry`] knows them by name. [`supervise`] owns the
//! process and its sockets and overlaps generations; [`None`](none::None) changes files only. The others
//! leave the process to whoever runs it and are small: [`external`] is what they share.

mod command;
mod error;
pub mod external;
pub mod none;
mod registry;
mod signal;
mod stop;
pub mod supervise;
mod supervisord;
mod systemd;
#[cfg(test)]
pub(crate) mod words;

use std::fmt::Debug;
use std::path::PathBuf;
use std::time::Duration;

use semver::Version;
use serde::{Deserialize, Serialize};

pub use error::HandoffError;
pub use registry::{Known, Make, NameTaken, Options, Registry, SUPERVISE, Setup, SetupError};
pub use stop::Stop;
pub(crate) use supervise::probe::find as find_program;

use crate::digest::Sha256;
use crate::install::{Installed, Stamp};

/// What a driver is asked to run: a path, and what lies there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launch {
    /// The program as it is started.
    pub program: PathBuf,
    /// The digest of its bytes; `None` if nobody has read them (a service without a source).
    pub sha256: Option<Sha256>,
    /// Its version, where known.
    pub version: Option<Version>,
    /// The file that was looked at: another one at the path is not started in its place.
    pub stamp: Option<Stamp>,
}

impl Launch {
    /// What `installed` is, for a driver.
    pub fn of(installed: &Installed) -> Launch {
        Launch {
            program: installed.program().to_owned(),
            sha256: Some(*installed.sha256()),
            version: installed.version().cloned(),
            stamp: Some(*installed.stamp()),
        }
    }
}

/// A service that runs what it was asked to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handoff {
    /// The generation that serves now; 0 where a driver has none.
    pub generation: u64,
    /// From the request to the readiness of the new process.
    pub took: Duration,
}

/// Brings a service from one binary to another.
///
/// The agent calls these in the order of the line: `handoff`, `watch`, then `confirm` or
/// `roll_back`. Every call ends by its own deadline; there is no outcome beside the two of the
/// `Result`.
pub trait RestartDriver: Debug + Send {
    /// The name in the configuration and in `status`.
    fn name(&self) -> &'static str;

    /// `Ok`: the new process said that it is ready and the old one was told to pause or drain.
    /// `Err`: the old one was told nothing and serves on; the new one is dead and reaped.
    /// Proved by `tests/bad_releases`.
    fn handoff(&mut self, to: &Launch) -> Result<Handoff, HandoffError>;

    /// Waits for the end of the watch. `Err`: what was handed off to died, missed its watchdog or
    /// failed its health checks; nothing has been done about it yet.
    fn watch(&mut self) -> Result<(), HandoffError>;

    /// The watch is over and recorded: what is left of the old process may go.
    fn confirm(&mut self);

    /// After a failed handoff: the previous binary is at the program path again.
    fn abort(&mut self);

    /// After a failed watch: makes `to`, the previous binary, serve again, and ends the failed one.
    fn roll_back(&mut self, to: &Launch) -> Result<Handoff, HandoffError>;

    /// After a crash loop with nothing to go back to: whoever runs the service should end it.
    fn give_up(&mut self);
}
