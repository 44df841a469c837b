//! The control socket: how `fetchd status`, `apply`, `restart`, … talk to a running supervisor.
//!
//! A unix socket in the state directory that only its owner can open. A connection carries one
//! request, a line of JSON, and one or more lines back, the last of which is the reply.

mod client;
#[cfg(all(debug_assertions, feature = "cli", feature = "http"))]
pub(crate) mod fuzz;
mod peer;
mod server;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use client::{ControlError, ask, supervisor};
pub use server::{Backend, Server, Wish, answer};

use crate::agent::{AgentStatus, Answer, Ask};
use crate::clock::Timestamp;
use crate::failure::Reported;
use crate::restart::supervise;

/// The layout of the messages.
pub const SCHEMA: u32 = 1;

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// What runs, and what the agent does.
    Status,
    /// One pass now.
    Apply {
        /// See [`Ask::force`].
        #[serde(default)]
        force: bool,
    },
    /// The same binary as a new process.
    Restart,
    /// The program of fetchd itself, as it lies at its path now, in place of the one that runs.
    ReplaceSupervisor,
    /// Back to the previous release.
    Rollback,
    /// Install nothing.
    Hold {
        /// Why.
        reason: Option<String>,
        /// Until when.
        until: Option<Timestamp>,
    },
    /// Install again.
    Unhold,
}

impl Request {
    /// What an `apply` asks of the agent.
    fn ask(force: bool) -> Ask {
        Ask { afresh: true, force, ..Ask::default() }
    }
}

/// A line that comes back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// What is being done meanwhile; more lines follow.
    Doing(String),
    /// How it ended.
    Answer(Answer),
    /// What there is.
    Status(Box<Status>),
    /// The request was not understood.
    Refused(String),
}

/// Everything `fetchd status` shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The layout of this object.
    pub schema: u32,
    /// The product.
    pub product: String,
    /// The version of this fetchd.
    pub fetchd: String,
    /// The supervisor's process id.
    pub pid: u32,
    /// How long it has run, in milliseconds.
    pub uptime_ms: u64,
    /// The processes of the service and their sockets.
    pub service: supervise::Status,
    /// The agent.
    pub updates: AgentStatus,
    /// Why the configuration as it is now is not applied; `None`: it is, or nobody has asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration: Option<Reported>,
    /// Why the supervisor inside a program is not the release that serves; `None`: it is, or nobody has tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supervisor: Option<Reported>,
    /// Where metrics are served; `None`: nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<MetricsShown>,
}

/// Where metrics are served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetricsShown {
    /// The address, with the port that the kernel chose; as it is configured as long as it cannot be had.
    pub address: String,
    /// Why nobody is served there yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<Reported>,
}

/// Where the control socket of the service with this state directory is.
pub fn path(state_dir: &Path) -> PathBuf {
    state_dir.join("control.sock")
}

/// The longest request or reply line, in bytes.
const LONGEST_LINE: u64 = 1 << 20;

/// How long either side may take to write or read a line that needs no work.
const PATIENCE: Duration = Duration::from_secs(10);
