//! What the supervisor tells about itself, asked and unasked.

use std::time::{Duration, Instant};

use super::Supervisor;
use crate::digest::Sha256;
use crate::restart::HandoffError;

/// What the agent should know without having asked.
#[derive(Debug)]
pub enum News {
    /// A generation serves.
    Serving {
        /// Its number.
        generation: u64,
        /// From its start to its readiness.
        took: Duration,
    },
    /// The serving generation ended by itself and is started again.
    Crashed {
        /// Its number.
        generation: u64,
        /// How it ended, in words.
        status: String,
        /// When it is started again.
        again_in: Duration,
    },
    /// It crashed too often, too soon: the release is bad. The agent answers with
    /// [`Command::RollBack`](super::super::Command::RollBack) or
    /// [`Command::GiveUp`](super::super::Command::GiveUp).
    CrashLoop {
        /// The digest of the binary that crashed, where known.
        sha256: Option<Sha256>,
        /// How.
        failure: HandoffError,
    },
    /// What is to be started is not the file that was verified. The agent says what to start instead.
    ProgramChanged,
    /// The service asked to be restarted.
    RestartWanted,
}

/// One generation, for `status`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct GenerationStatus {
    /// Its number.
    pub generation: u64,
    /// Its process id.
    pub pid: u32,
    /// `starting`, `serving`, `paused`, `draining`, `ending`.
    pub phase: String,
    /// Its version, where known.
    pub version: Option<String>,
    /// How long it has run, in milliseconds.
    pub uptime_ms: u64,
    /// What it last said about itself.
    pub status: Option<String>,
}

/// The supervisor, for `status`.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Status {
    /// Where it listens: name and address.
    pub listeners: Vec<(String, String)>,
    /// The processes of the service, oldest first.
    pub generations: Vec<GenerationStatus>,
    /// A generation that took over is being watched.
    pub watching: bool,
}

impl Supervisor {
    /// What to show.
    pub fn status(&self) -> Status {
        let now = Instant::now();
        Status {
            listeners: self.listeners.iter().map(|l| (l.name().to_owned(), l.address())).collect(),
            generations: self
                .generations
                .iter()
                .map(|g| GenerationStatus {
                    generation: g.number,
                    pid: g.pid(),
                    phase: g.phase.word().to_owned(),
                    version: g.launch.version.as_ref().map(ToString::to_string),
                    uptime_ms: u64::try_from(now.duration_since(g.started).as_millis()).unwrap_or(u64::MAX),
                    status: g.status.clone(),
                })
                .collect(),
            watching: self.watch.as_ref().is_some_and(|watch| !watch.is_over()),
        }
    }
}
