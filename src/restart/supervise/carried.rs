//! What a supervisor leaves to the program that goes on in its place, in the same process.
//!
//! Its layout is part of schema 1 of the state (`daemon::replace`): a change of it is a new schema, which
//! `the_state_of_schema_1_is_what_it_was` enforces.

use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::generation::Phase;
use super::sockets::Listen;
use crate::clock::Steady;
use crate::digest::Sha256;
use crate::restart::Launch;

/// A supervisor at rest: nothing is being started and nothing is watched. Descriptors are numbers of this process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Carried {
    pub(super) listeners: Vec<CarriedListener>,
    pub(super) notify: RawFd,
    pub(super) notify_address: String,
    pub(super) ready_sent: bool,
    pub(super) generations: Vec<CarriedGeneration>,
    pub(super) next_number: u64,
    pub(super) current: Option<Launch>,
    pub(super) crashes: CarriedCrashes,
    pub(super) confirmed: Option<Sha256>,
    pub(super) probation_until: Steady,
    pub(super) restart_at: Option<Steady>,
    pub(super) last_code: i32,
}

/// A listening socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CarriedListener {
    pub(super) name: String,
    pub(super) socket: RawFd,
    /// What was asked for; `None` for one that somebody else has bound.
    pub(super) listen: Option<Listen>,
    pub(super) bound: CarriedBound,
}

/// Where a socket is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum CarriedBound {
    Tcp(SocketAddr),
    Udp(SocketAddr),
    Unix { path: PathBuf, inode: (u64, u64) },
    Adopted(String),
}

/// A process of the service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CarriedGeneration {
    pub(super) number: u64,
    pub(super) launch: Launch,
    pub(super) phase: CarriedPhase,
    pub(super) started: Steady,
    pub(super) ready_at: Option<Steady>,
    pub(super) status: Option<String>,
    pub(super) watchdog_seen: Option<Steady>,
    pub(super) pauses: bool,
    pub(super) pid: u32,
    pub(super) pidfd: RawFd,
    pub(super) control: Option<RawFd>,
    pub(super) stderr: Option<CarriedTail>,
}

/// A pipe that a process writes its stderr into, and the end of what came through it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CarriedTail {
    pub(super) reader: RawFd,
    pub(super) kept: Vec<u8>,
}

/// Where a process is in its life, deadlines included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum CarriedPhase {
    Serving,
    Paused,
    Draining { deadline: Steady, latest: Steady },
    Ending { deadline: Steady },
    Killed { since: Steady },
}

/// The crashes of the current binary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CarriedCrashes {
    pub(super) recent: Vec<Steady>,
    pub(super) in_a_row: u32,
}

impl Carried {
    /// The digest of what serves, or is to serve again, where it is known.
    pub fn serves(&self) -> Option<Sha256> {
        self.current.as_ref().and_then(|current| current.sha256)
    }
}

impl CarriedPhase {
    pub(super) fn of(phase: Phase) -> Option<CarriedPhase> {
        Some(match phase {
            Phase::Starting { .. } => return None,
            Phase::Serving => CarriedPhase::Serving,
            Phase::Paused => CarriedPhase::Paused,
            Phase::Draining { deadline, latest } => {
                CarriedPhase::Draining { deadline: Steady::of(deadline), latest: Steady::of(latest) }
            }
            Phase::Ending { deadline } => CarriedPhase::Ending { deadline: Steady::of(deadline) },
            Phase::Killed { since } => CarriedPhase::Killed { since: Steady::of(since) },
        })
    }

    pub(super) fn resume(self) -> Phase {
        match self {
            CarriedPhase::Serving => Phase::Serving,
            CarriedPhase::Paused => Phase::Paused,
            CarriedPhase::Draining { deadline, latest } => {
                Phase::Draining { deadline: deadline.instant(), latest: latest.instant() }
            }
            CarriedPhase::Ending { deadline } => Phase::Ending { deadline: deadline.instant() },
            CarriedPhase::Killed { since } => Phase::Killed { since: since.instant() },
        }
    }
}
